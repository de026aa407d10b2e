//! Rules of any text, compiled and asked: the ruleset says what the naive model says.
#![no_main]

#[path = "../../tests/it/naive.rs"]
#[allow(dead_code, reason = "each asks the model for a part of what it can")]
mod naive;

use libfuzzer_sys::fuzz_target;
use naive::Naive;
use pixelsink::list::{ParseOptions, Subject, parse};
use pixelsink::name::DomainName;
use pixelsink::ruleset::{Asked, BuildOptions, Builder, Client, Role, SourceId};

fuzz_target!(|input: &[u8]| {
    let Some((&choice, text)) = input.split_first() else { return };
    let options = ParseOptions { format: None, subdomains: choice & 1 != 0 };
    let mut builder = Builder::new(BuildOptions::default());
    let mut naive = Naive::default();
    let mut names = vec![DomainName::root(), DomainName::parse("ads.example").unwrap()];
    // Texts of several sources stand one after the other; the second is one of targets.
    for (source, text) in text.split(|&octet| octet == 0).take(4).enumerate() {
        let (source, targets_only) = (SourceId(source as u16), source == 1);
        for rule in parse(text, options).rules.iter().take(60) {
            // What a ruleset does not take is not in the model either.
            if builder.add(source, targets_only, rule).is_err() {
                continue;
            }
            naive.add(source, targets_only, rule);
            let others = rule.modifiers.iter().flat_map(|modifiers| modifiers.except.iter());
            let own = match &rule.subject {
                Subject::Name { name, .. } => Some(name),
                Subject::Pattern(_) | Subject::Addresses(_) => None,
            };
            for name in own.into_iter().chain(others) {
                names.push(name.clone());
                names.extend(name.as_ref().parent().map(|parent| parent.to_owned()));
                names.extend(DomainName::parse(&format!("a.{name}")));
                names.extend(DomainName::parse(&format!("a{name}")));
            }
        }
    }
    let (ruleset, counts) = builder.finish_in_memory().unwrap();
    assert_eq!(ruleset.len(), counts.total());
    let tags = ["device_tv".into()];
    let clients = [
        Client::ANYONE,
        Client { name: "tv", address: Some([10, 0, 0, 7].into()), known_by: None, tags: &tags },
    ];
    for name in names.iter().take(60) {
        for (qtype, client, role) in [(1, clients[0], Role::Question), (28, clients[1], Role::Target)] {
            let asked = Asked { name: name.as_ref(), qtype, client, role };
            let matches = ruleset.matches(&asked);
            let mut found: Vec<_> = matches
                .iter()
                .flat_map(|found| found.sources().map(|source| (found.rule().to_string(), source.0)).collect::<Vec<_>>())
                .collect();
            found.sort();
            assert_eq!(found, naive.matches(&asked), "{name}");
            let lookup = ruleset.lookup(&asked);
            assert_eq!(lookup.map(|found| found.action()), naive.action(&asked), "{name}");
            let first = matches.iter().find(|found| !found.takes_answer_back());
            assert_eq!(lookup.map(|found| found.rule()), first.map(|found| found.rule()), "{name}");
        }
    }
});
