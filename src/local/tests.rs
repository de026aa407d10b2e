//! What a table says, by hand and against a naive model.

use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::name::DomainName;
use crate::wire::{Rcode, qtype, type_by_name};

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

fn builder(records: &[&str]) -> Builder {
    let mut builder = Builder::new(Some(name("home.arpa")), 60, Bypass::default());
    for (line, record) in (1..).zip(records) {
        builder.written(&WrittenRecord::parse(record).unwrap(), line).unwrap();
    }
    builder
}

/// What is said of a question written `NAME TYPE`, in words.
fn said(local: &Local, question: &str) -> String {
    let (asked, qtype) = question.split_once(' ').unwrap();
    let asked = name(asked);
    let Some(answer) = local.answer(asked.as_ref(), type_by_name(qtype).unwrap()) else {
        return "asked of others".to_owned();
    };
    let mut words: Vec<String> = Vec::new();
    for (owner, record) in answer.records() {
        let owner = owner.map(|owner| format!("{owner} ")).unwrap_or_default();
        words.push(format!("{owner}{} {}", record.describe(), record.ttl_secs));
    }
    if words.is_empty() || answer.rcode != Rcode::NoError {
        let apex = asked.as_ref().end(answer.apex_len);
        words.push(format!(
            "{} in {apex}",
            if answer.rcode == Rcode::NxDomain { "no name" } else { "no data" }
        ));
    }
    words.extend(answer.outside.map(|outside| format!("then {outside}")));
    words.join(", ")
}

#[track_caller]
fn check(local: &Local, question: &str, expected: &str) {
    assert_eq!(said(local, question), expected, "{question}");
}

#[test]
fn names_that_no_public_resolver_knows_stay_in_the_house() {
    let local = builder(&[]).build();
    for (question, expected) in [
        ("nas.local A", "no name in local"),
        ("local A", "no data in local"),
        ("a.b.onion A", "no name in onion"),
        ("x.test HTTPS", "no name in test"),
        ("x.invalid A", "no name in invalid"),
        ("x.alt A", "no name in alt"),
        ("db.internal A", "no name in internal"),
        ("tv.home.arpa A", "no name in home.arpa"),
        ("home.arpa A", "no data in home.arpa"),
        ("home.arpa DS", "asked of others"),
        ("x.home.arpa DS", "no name in home.arpa"),
        ("localhost A", "A 127.0.0.1 86400"),
        ("a.b.localhost AAAA", "AAAA ::1 86400"),
        ("localhost HTTPS", "no data in localhost"),
        ("1.0.0.127.in-addr.arpa PTR", "PTR localhost 86400"),
        ("5.1.168.192.in-addr.arpa PTR", "no name in 168.192.in-addr.arpa"),
        ("168.192.in-addr.arpa PTR", "no data in 168.192.in-addr.arpa"),
        ("lb._dns-sd._udp.0.1.168.192.in-addr.arpa PTR", "no name in 168.192.in-addr.arpa"),
        ("1.1.16.172.in-addr.arpa PTR", "no name in 16.172.in-addr.arpa"),
        ("1.1.31.172.in-addr.arpa PTR", "no name in 31.172.in-addr.arpa"),
        ("1.1.32.172.in-addr.arpa PTR", "asked of others"),
        ("1.1.64.100.in-addr.arpa PTR", "no name in 64.100.in-addr.arpa"),
        ("1.1.127.100.in-addr.arpa PTR", "no name in 127.100.in-addr.arpa"),
        ("1.1.128.100.in-addr.arpa PTR", "asked of others"),
        ("9.9.9.9.in-addr.arpa PTR", "asked of others"),
        ("1.e.f.ip6.arpa PTR", "asked of others"),
        ("1.8.e.f.ip6.arpa PTR", "no name in 8.e.f.ip6.arpa"),
        ("1.d.f.ip6.arpa PTR", "no name in d.f.ip6.arpa"),
        ("1.8.b.d.0.1.0.0.2.ip6.arpa PTR", "no name in 8.b.d.0.1.0.0.2.ip6.arpa"),
        ("www.example A", "asked of others"),
        ("test.example A", "asked of others"),
        ("wpad A", "no data in wpad"),
        ("com HTTPS", "no data in com"),
        ("com NS", "asked of others"),
        ("com DS", "asked of others"),
    ] {
        check(&local, question, expected);
    }
    check(&local, "use-application-dns.net A", "no name in net");
    check(&local, "mask.icloud.com A", "no name in icloud.com");
    check(&local, "mask-h2.icloud.com HTTPS", "no name in icloud.com");
    check(&local, "icloud.com A", "asked of others");
    check(&local, "_dns.resolver.arpa SVCB", "no data in resolver.arpa");
    check(&local, "other.resolver.arpa SVCB", "no name in resolver.arpa");
    let off =
        Bypass { firefox: false, icloud_private_relay: false, designated_resolvers: false, doh_hosts: false };
    let off = Builder::new(None, 60, off).build();
    for question in ["use-application-dns.net A", "mask.icloud.com A", "_dns.resolver.arpa SVCB"] {
        check(&off, question, "asked of others");
    }
}

#[test]
fn records_of_the_house_are_answered_with() {
    let local = builder(&[
        "nas.home.arpa A 192.168.1.5",
        "nas.home.arpa 300 AAAA fd00::5",
        "media.home.arpa nas.home.arpa",
        "films.home.arpa media.home.arpa",
        "www.home.arpa www.example.com",
        "loop.home.arpa loop2.home.arpa",
        "loop2.home.arpa loop.home.arpa",
        "gone.home.arpa nothing.home.arpa",
        "*.dev.home.arpa 192.168.1.7",
        "api.dev.home.arpa 192.168.1.8",
        "public.example 192.168.1.9",
        "deep.er.home.arpa 192.168.1.10",
    ])
    .build();
    for (question, expected) in [
        ("nas.home.arpa A", "A 192.168.1.5 60"),
        ("nas.home.arpa AAAA", "AAAA fd00::5 300"),
        ("nas.home.arpa HTTPS", "no data in nas.home.arpa"),
        ("5.1.168.192.in-addr.arpa PTR", "PTR nas.home.arpa 60"),
        ("1.168.192.in-addr.arpa PTR", "no data in 168.192.in-addr.arpa"),
        ("media.home.arpa A", "CNAME nas.home.arpa 60, nas.home.arpa A 192.168.1.5 60"),
        ("media.home.arpa CNAME", "CNAME nas.home.arpa 60"),
        (
            "films.home.arpa A",
            "CNAME media.home.arpa 60, media.home.arpa CNAME nas.home.arpa 60, nas.home.arpa A 192.168.1.5 60",
        ),
        ("www.home.arpa A", "CNAME www.example.com 60, then www.example.com"),
        ("gone.home.arpa A", "CNAME nothing.home.arpa 60, no name in gone.home.arpa"),
        ("a.dev.home.arpa A", "A 192.168.1.7 60"),
        ("a.b.dev.home.arpa A", "A 192.168.1.7 60"),
        ("a.dev.home.arpa AAAA", "no data in a.dev.home.arpa"),
        ("api.dev.home.arpa A", "A 192.168.1.8 60"),
        ("dev.home.arpa A", "no data in home.arpa"),
        ("er.home.arpa A", "no data in home.arpa"),
        ("public.example A", "A 192.168.1.9 60"),
        ("public.example AAAA", "no data in public.example"),
        ("www.public.example A", "asked of others"),
    ] {
        check(&local, question, expected);
    }
    assert_eq!(said(&local, "loop.home.arpa A").matches("CNAME").count(), 8, "a loop ends");
}

#[test]
fn what_a_person_wrote_wins_over_files_and_those_over_leases() {
    let mut builder = builder(&["nas.home.arpa 192.168.1.5"]);
    builder.hosts(
        &Arc::from("/etc/hosts"),
        &read_hosts(b"192.168.1.6 nas\n192.168.1.7 tv tv2\nfd00::7 tv\n203.0.113.7 vps\n"),
    );
    let address = |text: &str| -> IpAddr { text.parse().unwrap() };
    builder.lease("tv", address("192.168.1.8"));
    builder.lease("Phone", address("192.168.1.9"));
    builder.lease("wpad", address("192.168.1.66"));
    builder.lease("onion", address("192.168.1.66"));
    builder.lease("localhost", address("192.168.1.66"));
    builder.lease("phone", address("192.168.1.7"));
    let local = builder.build();
    for (question, expected) in [
        ("nas.home.arpa A", "A 192.168.1.5 60"),
        ("nas A", "A 192.168.1.6 60"),
        ("tv A", "A 192.168.1.7 60"),
        ("tv.home.arpa AAAA", "AAAA fd00::7 60"),
        ("tv2 A", "A 192.168.1.7 60"),
        ("7.1.168.192.in-addr.arpa PTR", "PTR tv.home.arpa 60"),
        ("8.1.168.192.in-addr.arpa PTR", "PTR tv.home.arpa 60"),
        ("9.1.168.192.in-addr.arpa PTR", "PTR phone.home.arpa 60"),
        ("phone A", "A 192.168.1.7 60, A 192.168.1.9 60"),
        ("wpad A", "no data in wpad"),
        ("wpad.home.arpa A", "no name in home.arpa"),
        ("localhost A", "A 127.0.0.1 86400"),
        ("x.onion A", "no name in onion"),
        ("7.113.0.203.in-addr.arpa PTR", "no name in 113.0.203.in-addr.arpa"),
    ] {
        check(&local, question, expected);
    }
}

#[test]
fn a_name_may_be_asked_of_others_though_it_seems_private() {
    let mut builder = builder(&["5.1.168.192.in-addr.arpa PTR nas.home.arpa", "nas.lan 192.168.1.5"]);
    for forwarded in ["168.192.in-addr.arpa", "home.arpa", "lan"] {
        builder.forward(&name(forwarded));
    }
    let local = builder.build();
    check(&local, "5.1.168.192.in-addr.arpa PTR", "PTR nas.home.arpa 60");
    check(&local, "6.1.168.192.in-addr.arpa PTR", "asked of others");
    check(&local, "tv.home.arpa A", "asked of others");
    check(&local, "nas.lan A", "A 192.168.1.5 60");
    assert!(local.is_forwarded(name("tv.home.arpa").as_ref()) && local.is_forwarded(name("lan").as_ref()));
    assert!(!local.is_forwarded(name("lan.example").as_ref()));
}

#[test]
fn an_alias_stands_alone() {
    let mut builder = builder(&["nas.home.arpa 192.168.1.5", "tv.home.arpa nas.home.arpa"]);
    for record in ["nas.home.arpa tv.example", "tv.home.arpa 192.168.1.6", "tv.home.arpa other.example"] {
        assert_eq!(builder.written(&WrittenRecord::parse(record).unwrap(), 3), Err(Conflict), "{record}");
    }
}

/// What decides about a name by looking at everything, and nothing else.
fn naive(
    records: &[(DomainName, bool)],
    zones: &[DomainName],
    forwarded: &[DomainName],
    asked: &DomainName,
) -> String {
    let asked = asked.as_ref();
    for (depth, ancestor) in asked.ancestors().enumerate() {
        if records.iter().any(|(owner, wildcard)| owner.as_ref() == ancestor && *wildcard == (depth != 0)) {
            return format!("records of {}{ancestor}", if depth == 0 { "" } else { "*." });
        }
        if forwarded.iter().any(|name| name.as_ref() == ancestor) {
            return "others".to_owned();
        }
        if zones.iter().any(|name| name.as_ref() == ancestor) {
            return format!("zone {ancestor}");
        }
    }
    "others".to_owned()
}

/// Names of few labels, so that they meet.
fn names() -> impl Strategy<Value = DomainName> {
    proptest::collection::vec(prop_oneof!["a", "b", "home", "arpa", "test", "local"], 1..5)
        .prop_map(|labels| name(&labels.join(".")))
}

proptest! {
    #[test]
    fn a_table_says_what_a_look_at_everything_says(
        records in proptest::collection::vec((names(), any::<bool>()), 0..6),
        forwarded in proptest::collection::vec(names(), 0..2),
        asked in names(),
    ) {
        let none = Bypass { firefox: false, icloud_private_relay: false, designated_resolvers: false, doh_hosts: false };
        let mut builder = Builder::new(None, 60, none);
        for (line, (owner, wildcard)) in (1..).zip(&records) {
            let text = format!("{}{owner} TXT {line}", if *wildcard { "*." } else { "" });
            builder.written(&WrittenRecord::parse(&text).unwrap(), line).unwrap();
        }
        forwarded.iter().for_each(|name| builder.forward(name));
        let local = builder.build();
        let zones = ["test", "local", "home.arpa", "localhost"].map(name);
        let expected = naive(&records, &zones, &forwarded, &asked);
        let found = match local.find(asked.as_ref()) {
            None => "others".to_owned(),
            Some(table::Found::Zone { apex_len, .. }) => format!("zone {}", asked.as_ref().end(apex_len)),
            Some(table::Found::Records(found)) => {
                let Origin::Config(line) = found[0].origin else { panic!() };
                let (owner, wildcard) = &records[usize::try_from(line).unwrap() - 1];
                format!("records of {}{owner}", if *wildcard { "*." } else { "" })
            }
        };
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn following_aliases_ends(targets in proptest::collection::vec((0_usize..6, 0_usize..8), 0..12)) {
        let mut builder = Builder::new(None, 60, Bypass::default());
        for (from, to) in targets {
            // A second alias of the same name is refused.
            let _ = builder.written(&WrittenRecord::parse(&format!("n{from}.example n{to}.example")).unwrap(), 1);
        }
        let local = builder.build();
        for asked in 0..6 {
            let asked = name(&format!("n{asked}.example"));
            if let Some(answer) = local.answer(asked.as_ref(), qtype::A) {
                prop_assert!(answer.records().count() <= 8);
            }
        }
    }

    #[test]
    fn reading_a_record_never_panics(text in "\\PC{0,80}") {
        let _ = WrittenRecord::parse(&text);
    }
}
