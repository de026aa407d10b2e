//! What a compiled ruleset was made of, in 32 octets: when nothing of it changed, nothing is compiled. Pure.

use sha2::{Digest, Sha256};

use super::compile::{Content, Input};
use super::quarantine::{Accepted, POPULAR};
use crate::list::Format;

/// SHA-256 over all that the compile of `inputs` depends on.
pub(super) fn fingerprint(inputs: &[Input]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    // Each part with its length before it, so that no two sequences of parts look alike.
    let mut add = |part: &[u8]| {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    // Another version may read lines in another way.
    add(env!("CARGO_PKG_VERSION").as_bytes());
    add(POPULAR.as_bytes());
    for Input { name, kind, targets_only, options, content, quarantine } in inputs {
        add(name.as_bytes());
        add(format!("{kind:?}").as_bytes());
        add(&[u8::from(*targets_only), u8::from(options.subdomains)]);
        add(options.format.map_or("auto", Format::as_str).as_bytes());
        match content {
            Content::Nothing => add(b"nothing"),
            Content::Text(text) => {
                add(b"text");
                add(text.digest().as_bytes());
            }
            Content::Inline(text) => {
                add(b"inline");
                add(text.as_bytes());
            }
            Content::Rules(rules) => {
                add(b"rules");
                rules.iter().for_each(|rule| add(format!("{} {rule}", rule.line).as_bytes()));
            }
        }
        match quarantine.accepted() {
            Accepted::Nothing => add(b"nothing accepted"),
            Accepted::Everything => add(b"everything accepted"),
            Accepted::Rules(rules) => {
                add(b"accepted");
                add(&(rules.len() as u64).to_le_bytes());
                rules.iter().for_each(|rule| add(rule.as_bytes()));
            }
        }
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::feed::quarantine::Quarantine;
    use crate::list::{Action, ParseOptions, parse};

    #[test]
    fn every_change_is_seen() {
        let input = || Input {
            name: "a".into(),
            kind: Action::Block,
            targets_only: false,
            options: ParseOptions::default(),
            content: Content::Inline("a.example".into()),
            quarantine: Quarantine::new(Arc::default()),
        };
        let rules = |text: &[u8]| Content::Rules(parse(text, ParseOptions::default()).rules.into());
        let accepted = |accepted| Quarantine::new(Arc::new(accepted));
        let google = || Accepted::Rules(["||google.com^".to_owned()].into());
        let mut all = vec![
            vec![],
            vec![input()],
            vec![input(), input()],
            vec![Input { name: "b".into(), ..input() }],
            vec![Input { kind: Action::Allow, ..input() }],
            vec![Input { targets_only: true, ..input() }],
            vec![Input { options: ParseOptions { subdomains: true, ..ParseOptions::default() }, ..input() }],
            vec![Input {
                options: ParseOptions { format: Some(Format::Hosts), subdomains: false },
                ..input()
            }],
            vec![Input { content: Content::Nothing, ..input() }],
            vec![Input { content: Content::Inline("b.example".into()), ..input() }],
            vec![Input { content: rules(b"a.example"), ..input() }],
            vec![Input { content: rules(b"\na.example"), ..input() }],
            vec![Input { quarantine: accepted(Accepted::Everything), ..input() }],
            vec![Input { quarantine: accepted(google()), ..input() }],
        ];
        let first: Vec<_> = all.iter().map(|inputs| fingerprint(inputs)).collect();
        assert_eq!(first, all.iter_mut().map(|inputs| fingerprint(inputs)).collect::<Vec<_>>());
        let different: std::collections::BTreeSet<_> = first.iter().collect();
        assert_eq!(different.len(), first.len());
    }
}
