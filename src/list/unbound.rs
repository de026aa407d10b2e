//! unbound's local zones and data (unbound.conf(5), `local-zone`, `local-data`).
//!
//! A zone covers its name and everything below it. `static`, `always_nxdomain` and `always_null` are how lists say "block";
//! the household says how blocks are answered. Types that say more are kept: `always_nodata`, `refuse`, `deny`.
//! Types that leave names as they are unless there is data for them (`transparent`, `inform`, …) are no rules, since they
//! often stand above names that are blocked; only `always_transparent` says that names are let through.

use super::line::Reader;
use super::record::{self, Words};
use super::{Action, Answer, Chosen, Modifiers, Rule, Scope, Skip, Subject, hosts};

/// How lines of a configuration begin, of which lists are a part.
const KEYWORDS: &[&str] = &[
    "server:",
    "local-zone:",
    "local-data:",
    "local-data-ptr:",
    "local-zone-tag:",
    "local-zone-override:",
    "include:",
    "forward-zone:",
    "stub-zone:",
    "auth-zone:",
    "rpz:",
    "domain-insecure:",
    "private-domain:",
    "private-address:",
];

pub(super) fn is_line(line: &str) -> bool {
    let is_keyword =
        |keyword: &&str| line.get(..keyword.len()).is_some_and(|start| start.eq_ignore_ascii_case(keyword));
    line.contains(':') && KEYWORDS.iter().any(is_keyword)
}

pub(super) fn read(line: &str, reader: &mut Reader, rules: &mut Vec<Rule>) -> Result<(), Skip> {
    let (keyword, value) = line.split_once(':').ok_or(Skip::Setting)?;
    let value = value.trim();
    if keyword.trim().eq_ignore_ascii_case("local-zone") {
        let (name, rest) = quoted(value)?;
        let (kind, _) = quoted(rest)?;
        zone(name, kind, reader, rules)
    } else if keyword.trim().eq_ignore_ascii_case("local-data") {
        let (data, _) = quoted(value)?;
        local_data(data, reader, rules)
    } else {
        Err(Skip::Setting)
    }
}

/// A word, quoted or not, and what follows it.
fn quoted(text: &str) -> Result<(&str, &str), Skip> {
    for quote in ['"', '\''] {
        if let Some(rest) = text.strip_prefix(quote) {
            let (word, rest) = rest.split_once(quote).ok_or(Skip::Malformed)?;
            // unbound knows no escapes: quotes within stand in quotes of the other kind.
            if word.ends_with('\\') {
                return Err(Skip::Malformed);
            }
            return Ok((word.trim(), rest.trim_start()));
        }
    }
    let end =
        text.find(|character: char| character.is_whitespace() || character == '#').unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end).ok_or(Skip::Malformed)?;
    if word.is_empty() { Err(Skip::Malformed) } else { Ok((word, rest.trim_start())) }
}

fn zone(name: &str, kind: &str, reader: &mut Reader, rules: &mut Vec<Rule>) -> Result<(), Skip> {
    let name = hosts::name(name, Scope::Subtree)?;
    let mut modifiers = Modifiers::default();
    let mut action = Action::Block;
    match kind.to_ascii_lowercase().as_str() {
        "static" | "always_nxdomain" | "always_null" => {}
        "always_nodata" => modifiers.answer = Some(Answer::NoData),
        "refuse" | "always_refuse" => modifiers.answer = Some(Answer::Refused),
        "deny" | "always_deny" | "inform_deny" => modifiers.answer = Some(Answer::Drop),
        "block_a" => {
            modifiers.qtypes = Some(Chosen::Only([record::A].into()));
            modifiers.answer = Some(Answer::NoData);
        }
        "always_transparent" => action = Action::Allow,
        "redirect" | "inform_redirect" => {
            reader.redirect = Some(name);
            return Err(Skip::Setting);
        }
        "transparent" | "typetransparent" | "nodefault" | "inform" | "ipset" => return Err(Skip::Setting),
        _ => return Err(Skip::Malformed),
    }
    let modifiers = (modifiers != Modifiers::default()).then(|| Box::new(modifiers));
    rules.push(Rule { subject: Subject::Name { name, scope: Scope::Subtree }, action, modifiers, line: 0 });
    Ok(())
}

/// One record in the form of zone files; its name is absolute, with or without the final dot.
fn local_data(data: &str, reader: &Reader, rules: &mut Vec<Rule>) -> Result<(), Skip> {
    let words = Words::of(data)?;
    let (owner, words) = words.as_slice().split_first().ok_or(Skip::Malformed)?;
    let (rtype, data) = record::rtype(words).ok_or(Skip::Malformed)?;
    let name = hosts::name(owner, Scope::Exact)?;
    let scope = if reader.redirect.as_ref() == Some(&name) { Scope::Subtree } else { Scope::Exact };
    let name = if scope == Scope::Subtree { hosts::name(owner, scope)? } else { name };
    let absolute = |name: &str| hosts::name(name, Scope::Exact);
    let answer = record::answer(rtype, data, &absolute)?;
    let with = |answer| Box::new(Modifiers { answer: Some(answer), ..Modifiers::default() });
    let modifiers = answer.map(with);
    rules.push(Rule { subject: Subject::Name { name, scope }, action: Action::Block, modifiers, line: 0 });
    Ok(())
}
