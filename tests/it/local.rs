//! Names of the house: hosts files and leases as they change, what a reload takes over, and what is said about them.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::{Daemon, Home};
use crate::support::eventually;
use crate::support::upstream::{Upstream, with_rcode};

/// The addresses of a name, or the RCODE when there is none.
fn found(daemon: &Daemon, name: &str, rtype: RecordType) -> String {
    let answer = Ask::new(name, rtype).of(daemon.dns);
    let addresses = answer.addresses();
    if addresses.is_empty() { answer.words()[0].clone() } else { addresses.join(" ") }
}

#[track_caller]
fn becomes(daemon: &Daemon, name: &str, rtype: RecordType, expected: &str) {
    eventually(name, || (found(daemon, name, rtype) == expected).then_some(()));
}

#[test]
fn hosts_files_and_leases_are_followed() {
    let upstream = Upstream::generous();
    let home = Home::new();
    let (hosts, leases) = (home.path().join("hosts"), home.path().join("dnsmasq.leases"));
    std::fs::write(&hosts, "192.168.1.5 nas box.example # the box\n127.0.0.1 localhost\n").unwrap();
    std::fs::write(&leases, "1700000000 aa:bb:cc:dd:ee:01 192.168.1.20 Kitchen-TV *\n").unwrap();
    let more =
        format!("local.hosts = [\"{}\"]\ndiscovery.leases = [\"{}\"]\n", hosts.display(), leases.display());
    home.configure(upstream.address, &more);
    let daemon = home.start();
    for name in ["nas", "NAS.home.arpa", "box.example"] {
        assert_eq!(found(&daemon, name, RecordType::A), "192.168.1.5", "{name}");
    }
    becomes(&daemon, "kitchen-tv", RecordType::A, "192.168.1.20");
    assert_eq!(found(&daemon, "kitchen-tv.home.arpa", RecordType::A), "192.168.1.20");
    assert_eq!(found(&daemon, "20.1.168.192.in-addr.arpa", RecordType::PTR), "kitchen-tv.home.arpa.");
    assert_eq!(found(&daemon, "5.1.168.192.in-addr.arpa", RecordType::PTR), "nas.home.arpa.");
    let told = daemon.run(&["explain", "nas"]);
    assert!(told.contains("nas is answered here") && told.contains("A 192.168.1.5"), "{told}");
    assert!(daemon.get("/explain?name=nas").contains("A 192.168.1.5"));
    assert!(daemon.api("explain?name=nas")["local"].as_str().unwrap().contains("line 1"));
    assert!(daemon.api("explain?name=www.example")["local"].is_null());

    let listed = daemon.run(&["local"]);
    for line in
        ["kitchen-tv.home.arpa", "A 192.168.1.20", "a DHCP lease", "hosts line 1", "PTR nas.home.arpa"]
    {
        assert!(listed.contains(line), "{line}: {listed}");
    }
    assert!(daemon.get("/local").contains("kitchen-tv.home.arpa"));

    std::fs::write(&hosts, "192.168.1.66 nas\nnonsense here\n").unwrap();
    becomes(&daemon, "nas", RecordType::A, "192.168.1.66");
    let problem = eventually("the mistake is told", || {
        let problems = daemon.api("status")["problems"].clone();
        problems.as_array().unwrap().first().map(ToString::to_string)
    });
    assert!(problem.contains("line 2: `nonsense`"), "{problem}");
    let checked = daemon.run(&["check"]);
    assert!(checked.contains("hosts, line 2: `nonsense`"), "{checked}");

    std::fs::remove_file(&hosts).unwrap();
    eventually("the loss is told", || {
        let problems = daemon.api("status")["problems"].to_string();
        problems.contains("can't be read").then_some(())
    });
    assert_eq!(found(&daemon, "nas", RecordType::A), "192.168.1.66", "what was known stays");
    assert_eq!(upstream.asked(), 0);
}

#[test]
fn a_reload_takes_over_names_and_checks() {
    let upstream = Upstream::start(|question| {
        let mut answer = crate::support::upstream::answer_to(question);
        answer.add_answer(crate::support::upstream::record("nas.example 60 A 192.168.1.9"));
        Some(answer)
    });
    let home = Home::new();
    home.configure(upstream.address, "");
    let daemon = home.start();
    let ask = || found(&daemon, "nas.example", RecordType::A);
    assert_eq!(ask(), "NOERROR", "it leads into the house");
    let reload = |more: &str| {
        home.configure(upstream.address, more);
        daemon.signal("HUP");
    };
    reload("answers.rebinding_allow = [\"nas.example\"]\n");
    eventually("it is let through, also out of the cache", || (ask() == "192.168.1.9").then_some(()));
    reload("local.records = [\"nas.example 192.168.1.5\"]\n");
    eventually("it is a name of the house", || (ask() == "192.168.1.5").then_some(()));
    reload("answers.rebinding = false\n");
    eventually("nothing is checked", || (ask() == "192.168.1.9").then_some(()));
    reload("local.records = [\"nas.example\"]\n");
    eventually("a mistake is told", || {
        let problems = daemon.api("status")["problems"].to_string();
        problems.contains("the record ends behind its name").then_some(())
    });
    assert_eq!(ask(), "192.168.1.9", "and changes nothing");
    assert_eq!(upstream.asked(), 1);
}

#[test]
fn what_an_upstream_denies_hides_no_name_of_the_house() {
    let upstream = Upstream::start(|question| Some(with_rcode(question, ResponseCode::NXDomain)));
    let daemon = Daemon::start(upstream.address, "local.records = [\"nas.shop.example 192.168.1.5\"]\n");
    for name in ["shop.example", "other.shop.example"] {
        assert_eq!(Ask::new(name, RecordType::A).of(daemon.dns).words()[0], "NXDOMAIN", "{name}");
    }
    assert_eq!(Ask::new("nas.shop.example", RecordType::A).of(daemon.dns).addresses(), ["192.168.1.5"]);
}

#[test]
fn names_of_the_house_are_told_in_the_log() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, "local.records = [\"nas.home.arpa 192.168.1.5\"]\n");
    assert_eq!(found(&daemon, "nas.home.arpa", RecordType::A), "192.168.1.5");
    let events = eventually("the query is in the history", || {
        let events = daemon.api("events?limit=10");
        (events.as_array().unwrap().len() == 1).then_some(events)
    });
    assert_eq!(
        (events[0]["name"].as_str(), events[0]["verdict"]["is"].as_str()),
        (Some("nas.home.arpa"), Some("pass"))
    );
    let metrics = daemon.get("/metrics");
    let local =
        metrics.lines().find(|line| line.contains("answered=\"local\"") && line.contains("pass")).unwrap();
    assert!(local.ends_with(" 1"), "{local}");
}

#[test]
fn public_doh_servers_are_blocked_where_that_is_wanted() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, "bypass.doh_hosts = true\n");
    assert_eq!(found(&daemon, "dns.google", RecordType::A), "0.0.0.0");
    assert_eq!(found(&daemon, "mozilla.cloudflare-dns.com", RecordType::A), "0.0.0.0");
    assert_eq!(upstream.asked(), 0);
    assert!(daemon.run(&["explain", "dns.google"]).contains("public-doh"));
}

#[test]
fn a_device_that_asks_for_public_resolvers_is_marked() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, "");
    let daemon = home.start();
    assert_ne!(found(&daemon, "dns.google", RecordType::A), "0.0.0.0");
    let page = |expected: &str| {
        eventually(expected, || {
            let (status, page) = daemon.request("GET", "/devices/127.0.0.1", &[], "");
            (status == 200 && page.contains(expected)).then_some(page)
        })
    };
    let marked = page("It may go around pixelsink");
    assert!(marked.contains("dns.google") && marked.contains("doh_hosts = true"));
    home.configure(upstream.address, "bypass.doh_hosts = true\n");
    daemon.signal("HUP");
    page("It tries to go around pixelsink");
}
