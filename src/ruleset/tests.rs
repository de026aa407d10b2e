//! The ruleset against a slow, obvious matcher.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::list::{Chosen, OwnRule};

fn rule(text: &str, action: Action) -> Rule {
    OwnRule::parse(text).unwrap().into_rule(action, 1)
}

fn build(precedence: Precedence, rules: &[(u16, Rule)]) -> Ruleset {
    let mut builder = Builder::new(BuildOptions { precedence, spill_dir: None });
    for (source, rule) in rules {
        builder.add(SourceId(*source), false, rule).unwrap();
    }
    let (ruleset, counts) = builder.finish_in_memory().unwrap();
    assert_eq!(ruleset.len(), counts.total());
    ruleset
}

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

#[track_caller]
fn check(block: &[&str], allow: &[&str], asked: &str, lists: &str, own: &str) {
    for (precedence, expected) in [(Precedence::AllowFirst, lists), (Precedence::SpecificFirst, own)] {
        let block = block.iter().map(|text| (0, rule(text, Action::Block)));
        let allow = allow.iter().map(|text| (1, rule(text, Action::Allow)));
        let ruleset = build(precedence, &block.chain(allow).collect::<Vec<_>>());
        let asked = name(asked);
        let found = ruleset.lookup(&Asked::by_anyone(asked.as_ref()));
        let found = found.map_or("none".to_owned(), |found| found.rule().to_string());
        assert_eq!(found, expected, "{precedence:?} {asked}");
    }
}

#[test]
fn scopes_cover_what_they_say() {
    let block = ["=exact.example", "tree.example", "*.below.example"];
    check(&block, &[], "exact.example", "=exact.example", "=exact.example");
    check(&block, &[], "a.exact.example", "none", "none");
    check(&block, &[], "tree.example", "||tree.example^", "||tree.example^");
    check(&block, &[], "a.b.tree.example", "||tree.example^", "||tree.example^");
    check(&block, &[], "below.example", "none", "none");
    check(&block, &[], "a.below.example", "*.below.example", "*.below.example");
    check(&block, &[], "nottree.example", "none", "none");
    check(&block, &[], "example", "none", "none");
    check(&["example"], &[], "a.example", "||example^", "||example^");
}

#[test]
fn an_exception_wins_in_lists_and_the_more_specific_name_in_own_rules() {
    check(
        &["ads.cdn.example"],
        &["cdn.example"],
        "ads.cdn.example",
        "@@||cdn.example^",
        "||ads.cdn.example^",
    );
    check(
        &["cdn.example"],
        &["ok.cdn.example"],
        "ok.cdn.example",
        "@@||ok.cdn.example^",
        "@@||ok.cdn.example^",
    );
    check(&["cdn.example"], &["cdn.example"], "cdn.example", "@@||cdn.example^", "@@||cdn.example^");
    check(&["=cdn.example"], &["cdn.example"], "cdn.example", "@@||cdn.example^", "=cdn.example");
}

#[test]
fn all_sources_of_a_rule_are_known() {
    let rules: Vec<_> =
        [2, 0, 1, 0].into_iter().map(|source| (source, rule("a.example", Action::Block))).collect();
    let ruleset = build(Precedence::AllowFirst, &rules);
    let asked = name("x.a.example");
    let matches = ruleset.matches(&Asked::by_anyone(asked.as_ref()));
    assert_eq!(matches.len(), 1);
    assert_eq!(matches[0].sources().map(|source| source.0).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(ruleset.len(), 3);
}

#[test]
fn modifiers_decide_whether_a_rule_applies_and_how_strong_it_is() {
    let modified = |text: &str, action, modifiers: Modifiers| {
        let mut rule = rule(text, action);
        rule.modifiers = Some(Box::new(modifiers));
        (0, rule)
    };
    let important = Modifiers { important: true, ..Modifiers::default() };
    let only_aaaa = Modifiers { qtypes: Some(Chosen::Only([28].into())), ..Modifiers::default() };
    let cancelled = Modifiers { badfilter: true, ..Modifiers::default() };
    let not_good = Modifiers { except: [name("good.big.example")].into(), ..Modifiers::default() };
    let ruleset = build(
        Precedence::AllowFirst,
        &[
            modified("strong.example", Action::Block, important),
            (1, rule("strong.example", Action::Allow)),
            modified("six.example", Action::Block, only_aaaa),
            (1, rule("taken-back.example", Action::Block)),
            modified("taken-back.example", Action::Block, cancelled),
            modified("big.example", Action::Block, not_good),
        ],
    );
    let ask = |text: &str, qtype| {
        let name = name(text);
        let asked = Asked { qtype, ..Asked::by_anyone(name.as_ref()) };
        ruleset.lookup(&asked).map(|found| found.action())
    };
    assert_eq!(ask("strong.example", 1), Some(Action::Block));
    assert_eq!((ask("six.example", 1), ask("six.example", 28)), (None, Some(Action::Block)));
    assert_eq!(ask("taken-back.example", 1), None);
    assert_eq!((ask("a.big.example", 1), ask("a.good.big.example", 1)), (Some(Action::Block), None));
}

#[test]
fn what_counts_for_targets_only_is_not_looked_for_in_questions() {
    let mut builder = Builder::new(BuildOptions::default());
    builder.add(SourceId(0), true, &rule("cloak.example", Action::Block)).unwrap();
    builder.add(SourceId(0), false, &rule("plain.example", Action::Block)).unwrap();
    let ruleset = builder.finish_in_memory().unwrap().0;
    for (text, question, target) in [("a.cloak.example", false, true), ("a.plain.example", true, true)] {
        let name = name(text);
        let ask = |role| ruleset.lookup(&Asked { role, ..Asked::by_anyone(name.as_ref()) }).is_some();
        assert_eq!((ask(Role::Question), ask(Role::Target)), (question, target), "{text}");
    }
}

#[test]
fn prefixes_and_patterns_are_found() {
    let patterned = |text: &str| Rule {
        subject: Subject::Pattern(Pattern::stored(text, text, false)),
        action: Action::Block,
        modifiers: None,
        line: 1,
    };
    let net = |text: &str| Rule {
        subject: Subject::Addresses(text.parse().unwrap()),
        action: Action::Block,
        modifiers: None,
        line: 1,
    };
    let ruleset = build(
        Precedence::AllowFirst,
        &[
            (3, patterned("^ads[0-9]+\\.")),
            (4, net("192.0.2.0/24")),
            (5, rule("ads1.ok.example", Action::Allow)),
        ],
    );
    let source = |text: &str| {
        let name = name(text);
        ruleset.lookup(&Asked::by_anyone(name.as_ref())).map(|found| found.source().0)
    };
    assert_eq!(
        [source("ads1.a.example"), source("ads.a.example"), source("ads1.ok.example")],
        [Some(3), None, Some(5)]
    );
    let name = name("any.example");
    let matches = |address: &str| {
        ruleset.address_matches(address.parse().unwrap(), &Asked::by_anyone(name.as_ref())).len()
    };
    assert_eq!((matches("192.0.2.1"), matches("198.51.100.1")), (1, 0));
}

#[test]
fn names_that_came_over_the_wire_match_only_themselves() {
    let ruleset = build(Precedence::AllowFirst, &[(0, rule("a.example", Action::Block))]);
    let below = DomainName::from_wire(b"\x03x\0y\x01a\x07example\0").unwrap();
    assert!(ruleset.lookup(&Asked::by_anyone(below.as_ref())).is_some(), "{below}");
    for wire in [&b"\x09example\0a\0"[..], b"\x09a.example\0", b"\0"] {
        let name = DomainName::from_wire(wire).unwrap();
        assert!(ruleset.lookup(&Asked::by_anyone(name.as_ref())).is_none(), "{name}");
    }
}

/// Many names, some of them in the same subtree: several blocks, several blocks of one digest.
fn many() -> Vec<(u16, Rule)> {
    let under_one = (0..3000).map(|number| (0, rule(&format!("n{number}.tracker.example"), Action::Block)));
    let apart = (0..3000).map(|number| (1, rule(&format!("=t{number}.com"), Action::Block)));
    under_one.chain(apart).collect()
}

#[test]
fn a_file_is_mapped_and_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rules.bin");
    let rules = many();
    let held = build(Precedence::AllowFirst, &rules);
    let mut builder =
        Builder::new(BuildOptions { spill_dir: Some(directory.path().into()), ..BuildOptions::default() });
    for (source, rule) in &rules {
        builder.add(SourceId(*source), false, rule).unwrap();
    }
    builder.finish_to(&path, [7; 32], |_| b"notes".to_vec()).unwrap();
    let mapped = Ruleset::open(&path, &[7; 32]).unwrap();
    assert_eq!(mapped.notes(), b"notes");
    assert!(matches!(Ruleset::open(&path, &[8; 32]), Err(OpenError::Stale)));
    Ruleset::verify(&path).unwrap();
    for (source, rule) in &rules {
        let Subject::Name { name, .. } = &rule.subject else { unreachable!() };
        for ruleset in [&held, &mapped] {
            let found = ruleset.lookup(&Asked::by_anyone(name.as_ref())).unwrap();
            assert_eq!((found.source().0, found.rule().to_string()), (*source, rule.to_string()));
        }
    }
    let mut all = BTreeSet::new();
    mapped.for_each(|rule, sources| all.extend(sources.map(|source| (source.0, rule.to_string()))));
    assert_eq!(all, rules.iter().map(|(source, rule)| (*source, rule.to_string())).collect());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn a_damaged_file_is_never_believed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rules.bin");
    let rules = many();
    let mut builder = Builder::new(BuildOptions::default());
    for (source, rule) in &rules {
        builder.add(SourceId(*source), false, rule).unwrap();
    }
    builder.finish_to(&path, [7; 32], |_| b"notes".to_vec()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let names: BTreeSet<String> = rules.iter().map(|(_, rule)| rule.to_string()).collect();
    let step = (whole.len() / 700).max(1);
    for at in (0..file::HEADER_LEN).chain((file::HEADER_LEN..whole.len()).step_by(step)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&path, &damaged).unwrap();
        assert!(Ruleset::verify(&path).is_err(), "octet {at}");
        // Names are checked when they are read: a damaged block has none of its names, and never another one.
        if let Ok(ruleset) = Ruleset::open(&path, &[7; 32]) {
            let mut found = 0;
            ruleset.for_each(|rule, _| {
                assert!(names.contains(&rule.to_string()), "octet {at}: {rule}");
                found += 1;
            });
            assert!(found < rules.len(), "octet {at}");
        }
    }
    for length in [0, 5, file::HEADER_LEN - 1, file::HEADER_LEN, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(Ruleset::open(&path, &[7; 32]).is_err(), "{length} octets");
        assert!(Ruleset::verify(&path).is_err(), "{length} octets");
    }
}

#[test]
fn runs_that_were_put_aside_are_merged() {
    let directory = tempfile::tempdir().unwrap();
    let spilled = BuildOptions { spill_dir: Some(directory.path().into()), ..BuildOptions::default() };
    let mut builders = [Builder::new(spilled), Builder::new(BuildOptions::default())];
    for number in 0..600_000_u32 {
        let scattered = number.wrapping_mul(0x9e37_79b9);
        let rule = Rule::plain(
            name(&format!("n{}.a-label-that-fills-a-run-sooner.t{}.example", scattered >> 12, number % 7)),
            Scope::Exact,
            Action::Block,
            1,
        );
        for builder in &mut builders {
            builder.add(SourceId(u16::try_from(number % 3).unwrap()), false, &rule).unwrap();
        }
    }
    assert!(builders[0].is_spilled());
    let [spilled, held] = builders.map(|builder| builder.finish_in_memory().unwrap());
    assert_eq!(spilled.1, held.1);
    for number in (0..1 << 20).step_by(97) {
        let name = name(&format!("n{number}.a-label-that-fills-a-run-sooner.t{}.example", number % 7));
        let [one, other] = [&spilled.0, &held.0].map(|ruleset| {
            let found = ruleset.lookup(&Asked::by_anyone(name.as_ref()));
            found.map(|found| found.sources().collect::<Vec<_>>())
        });
        assert_eq!(one, other, "{name}");
    }
}

proptest! {
    /// A naive scan over all rules finds the same set, and the strongest of it is what a look-up returns.
    #[test]
    fn equals_a_naive_scan(
        rules in proptest::collection::vec((0_u16..4, "(=|\\*\\.|)[ab](\\.[abc]){1,3}", any::<bool>(), any::<bool>()), 0..60),
        asked in "[ab](\\.[abc]){0,4}",
        own: bool,
    ) {
        let precedence = if own { Precedence::SpecificFirst } else { Precedence::AllowFirst };
        let rules: Vec<(u16, Rule)> = rules
            .into_iter()
            .map(|(source, text, allow, important)| {
                let mut rule = rule(&text, if allow { Action::Allow } else { Action::Block });
                rule.modifiers = important.then(|| Box::new(Modifiers { important, ..Modifiers::default() }));
                (source, rule)
            })
            .collect();
        let ruleset = build(precedence, &rules);
        let asked = name(&asked);
        let mut naive: Vec<(u16, Rule)> = rules.into_iter().filter(|(_, rule)| covers(rule, &asked)).collect();
        naive.sort_by_key(|(source, rule)| (strength(precedence, rule), *source));
        let matches = ruleset.matches(&Asked::by_anyone(asked.as_ref()));
        let lookup = ruleset.lookup(&Asked::by_anyone(asked.as_ref()));
        let first = |found: &Match<'_>| (found.source().0, found.rule().to_string());
        prop_assert_eq!(lookup.as_ref().map(first), matches.first().map(first));
        prop_assert_eq!(lookup.as_ref().map(first), naive.first().map(|(source, rule)| (*source, rule.to_string())));
        let found: BTreeSet<_> = matches
            .iter()
            .flat_map(|found| found.sources().map(|source| (source.0, found.rule().to_string())).collect::<Vec<_>>())
            .collect();
        prop_assert_eq!(found, naive.iter().map(|(source, rule)| (*source, rule.to_string())).collect());
    }
}

fn covers(rule: &Rule, asked: &DomainName) -> bool {
    let Subject::Name { name, scope } = &rule.subject else { return false };
    match scope {
        Scope::Exact => asked == name,
        Scope::Subtree => asked.as_ref().is_within(name.as_ref()),
        Scope::Below => asked.as_ref().is_within(name.as_ref()) && asked != name,
    }
}

/// Sorts the strongest first.
fn strength(precedence: Precedence, rule: &Rule) -> Vec<usize> {
    let Subject::Name { name, scope } = &rule.subject else { return Vec::new() };
    let important = usize::from(rule.modifiers.is_none());
    let action = usize::from(rule.action == Action::Block);
    let depth = [
        100 - name.as_ref().label_count(),
        match scope {
            Scope::Exact => 0,
            Scope::Subtree => 1,
            Scope::Below => 2,
        },
    ];
    match precedence {
        Precedence::AllowFirst => vec![important, action, depth[0], depth[1]],
        Precedence::SpecificFirst => vec![depth[0], depth[1], important, action],
    }
}
