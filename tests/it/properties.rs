//! Rules of every kind, from several sources, compiled and asked: the ruleset says what the naive model says.

use pixelsink::list::{Action, OwnRule, ParseOptions, Rule, parse};
use pixelsink::name::DomainName;
use pixelsink::ruleset::{
    Asked, BuildOptions, Builder, Client, Counts, KnownBy, Precedence, Role, Ruleset, SourceId,
};
use proptest::prelude::*;

use crate::naive::Naive;

/// Few labels, so that rules meet: about the same name, about one above, about one that only looks alike.
const NAME: &str = "[abx]{1,2}(\\.[abx]){0,2}\\.(example|test)";

/// What the devices that ask are known by.
const MAC: KnownBy = KnownBy::Mac([2, 0, 0, 0, 0, 7]);
const ADDRESS: KnownBy = KnownBy::Address(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));

fn modifiers() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        Just("important".to_owned()),
        Just("badfilter".to_owned()),
        NAME.prop_map(|name| format!("denyallow={name}")),
        "dnstype=(A|AAAA|~A|A\\|~AAAA|HTTPS\\|A)",
        "client=('tv'|~'tv'|10\\.0\\.0\\.0/8|~10\\.0\\.0\\.7|10\\.0\\.0\\.7\\|'tv'|2001:db8::/32|02:00:00:00:00:07|10\\.0\\.0\\.1)",
        "ctag=(device_tv|~device_tv|device_tv\\|os_other)",
        "dnsrewrite=(NXDOMAIN|REFUSED|192\\.0\\.2\\.1|192\\.0\\.2\\.2|b\\.test|NOERROR;TXT;x)",
        Just("dnsrewrite".to_owned()),
    ];
    proptest::collection::vec(one, 0..3)
        .prop_map(|words| if words.is_empty() { String::new() } else { format!("${}", words.join(",")) })
}

fn line() -> impl Strategy<Value = String> {
    let pattern = prop_oneof![
        3 => NAME.prop_map(|name| format!("||{name}^")),
        1 => NAME.prop_map(|name| format!("|{name}^")),
        1 => NAME.prop_map(|name| format!("||*.{name}^")),
        1 => "\\|\\|[ab]\\*[abx]\\.(example|test)\\^",
        1 => "/\\^[abx]{1,2}(\\[ab\\]|x\\+|\\.)/",
    ];
    let adblock = ("(@@)?", pattern, modifiers()).prop_map(|(at, pattern, more)| at + &pattern + &more);
    prop_oneof![
        8 => adblock,
        1 => NAME,
        1 => NAME.prop_map(|name| format!("0.0.0.0 {name}")),
        1 => NAME.prop_map(|name| format!("*.{name} CNAME .")),
        1 => "\\^[abx]{1,2}\\\\\\.;querytype=(A|!A)(;reply=(NODATA|192\\.0\\.2\\.1))?",
        1 => NAME.prop_map(|name| format!("local-zone: \"{name}\" always_nodata")),
        1 => NAME.prop_map(|name| format!("address=/{name}/192.0.2.1")),
    ]
}

/// Compiles in memory, and to a file that is mapped, with what does not fit put aside.
fn compiled(rules: &[(SourceId, bool, Rule)], directory: &std::path::Path) -> [(Ruleset, Counts); 2] {
    let builder = |spill_dir| {
        let mut builder = Builder::new(BuildOptions { spill_dir, ..BuildOptions::default() });
        for (source, targets_only, rule) in rules {
            builder.add(*source, *targets_only, rule).unwrap();
        }
        builder
    };
    let held = builder(None).finish_in_memory().unwrap();
    let path = directory.join("rules.bin");
    let (_, counts) = builder(Some(directory.into())).finish_to(&path, [3; 32], |_| Vec::new()).unwrap();
    [held, (Ruleset::open(&path, &[3; 32]).unwrap(), counts)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn rules_of_every_kind_are_compiled_to_what_they_say(
        lists in proptest::collection::vec(proptest::collection::vec(line(), 0..14), 1..5),
        names in proptest::collection::vec("[abx]{1,2}(\\.[abx]{1,2}){0,3}\\.(example|test)|example|[ab]", 12),
    ) {
        let mut rules = Vec::new();
        let mut naive = Naive::default();
        for (index, lines) in (0..).zip(&lists) {
            // The third is a list of targets, the fourth one of exceptions.
            let (source, targets_only) = (SourceId(index * 300), index == 2);
            for mut rule in parse(lines.join("\n").as_bytes(), ParseOptions::default()).rules {
                if index == 3 && rule.action == Action::Block {
                    rule.action = Action::Allow;
                }
                naive.add(source, targets_only, &rule);
                rules.push((source, targets_only, rule));
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let both = compiled(&rules, directory.path());
        prop_assert_eq!(&both[0].1, &both[1].1);
        let tags = ["device_tv".into()];
        let clients = [
            Client::ANYONE,
            Client { name: "tv", address: Some([10, 0, 0, 7].into()), known_by: Some(MAC), tags: &[] },
            Client { name: "", address: Some([10, 9, 0, 1].into()), known_by: Some(ADDRESS), tags: &tags },
        ];
        for (name, number) in names.iter().zip(0_usize..) {
            let name = DomainName::parse(name).unwrap();
            for (qtype, client, role) in [
                (1, clients[number % 3], Role::Question),
                (28, clients[(number + 1) % 3], Role::Target),
                (65, clients[(number + 2) % 3], Role::Question),
            ] {
                let asked = Asked { name: name.as_ref(), qtype, client, role };
                for (ruleset, counts) in &both {
                    prop_assert_eq!(ruleset.len(), counts.total());
                    let matches = ruleset.matches(&asked);
                    let mut found: Vec<(String, u16)> = matches
                        .iter()
                        .flat_map(|found| {
                            found.sources().map(|source| (found.rule().to_string(), source.0)).collect::<Vec<_>>()
                        })
                        .collect();
                    found.sort();
                    prop_assert_eq!(found, naive.matches(&asked), "{}", &name);
                    let lookup = ruleset.lookup(&asked);
                    prop_assert_eq!(lookup.map(|found| found.action()), naive.action(&asked), "{}", &name);
                    let first = matches.iter().find(|found| !found.takes_answer_back());
                    prop_assert_eq!(
                        lookup.map(|found| (found.rule(), found.source())),
                        first.map(|found| (found.rule(), found.source())),
                    );
                }
            }
        }
    }
    /// A person's own rules, for all devices and for one of them.
    #[test]
    fn own_rules_for_a_device_are_compiled_to_what_they_say(
        lines in proptest::collection::vec(
            (any::<bool>(), "(=|\\*\\.|)", NAME, "(\\$client=(02:00:00:00:00:07|10\\.0\\.0\\.1|'tv'|10\\.9\\.0\\.0/16)|)"),
            0..14,
        ),
        names in proptest::collection::vec("[abx]{1,2}(\\.[abx]{1,2}){0,3}\\.(example|test)", 12),
    ) {
        let options = BuildOptions { precedence: Precedence::SpecificFirst, ..BuildOptions::default() };
        let mut builder = Builder::new(options);
        let mut naive = Naive::default();
        for (allows, scope, name, client) in lines {
            let action = if allows { Action::Allow } else { Action::Block };
            let rule = OwnRule::parse(&format!("{scope}{name}{client}")).unwrap();
            prop_assert_eq!(&OwnRule::parse(&rule.to_string()).unwrap(), &rule);
            let rule = rule.into_rule(action, 1);
            naive.add(SourceId(0), false, &rule);
            builder.add(SourceId(0), false, &rule).unwrap();
        }
        let (ruleset, _) = builder.finish_in_memory().unwrap();
        let clients = [
            Client::ANYONE,
            Client { name: "tv", address: Some([10, 0, 0, 7].into()), known_by: Some(MAC), tags: &[] },
            Client { name: "", address: Some([10, 9, 0, 1].into()), known_by: Some(ADDRESS), tags: &[] },
        ];
        for name in &names {
            let name = DomainName::parse(name).unwrap();
            for client in clients {
                let asked = Asked { client, ..Asked::by_anyone(name.as_ref()) };
                let found = ruleset.lookup(&asked).map(|found| found.action());
                prop_assert_eq!(found, naive.own_action(&asked), "{} {:?}", &name, client);
            }
        }
    }
}
