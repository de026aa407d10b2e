//! The way to the upstreams: each transport, how it is secured, which upstream is asked, and what is told of them.

use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::{Daemon, Home};
use crate::support::encrypted::{Encrypted, Kind};
use crate::support::eventually;
use crate::support::upstream::{Upstream, answer_to, record};

const KINDS: [Kind; 4] = [Kind::Tls, Kind::Https, Kind::Quic, Kind::H3];

/// A daemon that asks these upstreams, written as in the file.
fn daemon_with(home: &Home, upstream: &str, more: &str) -> Daemon {
    home.configure_upstream(upstream, more);
    home.start()
}

/// A daemon that asks an encrypted upstream under this name; `details` is what else the table says, `{CA}` in it the file of authorities.
fn daemon_of(server: &Encrypted, name: &str, details: &str) -> Daemon {
    let home = Home::new();
    let ca = home.path().join("ca.pem");
    server.write_ca(&ca);
    let table =
        format!("servers = [{{ url = \"{}\", addresses = [\"127.0.0.1\"], {details} }}]", server.url(name));
    daemon_with(&home, &table.replace("{CA}", &format!("ca = \"{}\"", ca.display())), "")
}

#[track_caller]
fn rcode(daemon: &Daemon, name: &str) -> ResponseCode {
    Ask::new(name, RecordType::A).of(daemon.dns).message.metadata.response_code
}

#[track_caller]
fn check_resolves(daemon: &Daemon, name: &str) {
    let answer = Ask::new(name, RecordType::A).of(daemon.dns).message;
    assert_eq!(answer.answers.len(), 1, "{name}: {answer}\n{}", daemon.log());
}

/// What is wrong with the only upstream.
fn problem(daemon: &Daemon) -> String {
    daemon.api("upstreams")[0]["problem"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn every_encrypted_transport_works_over_one_connection_and_resumes_it() {
    for kind in KINDS {
        let server = Encrypted::start(kind, "dns.example");
        let daemon = daemon_of(&server, "dns.example", "{CA}");
        for number in 0..150 {
            check_resolves(&daemon, &format!("n{number}.example"));
        }
        assert_eq!((server.connections(), server.asked()), (1, 150), "{kind:?}");
        assert!(server.lengths().iter().all(|length| length % 128 == 0), "{kind:?}: RFC 8467 section 4.1");
        server.hang_up();
        for number in 0..3 {
            check_resolves(&daemon, &format!("m{number}.example"));
        }
        assert_eq!(server.connections(), 2, "{kind:?}");
        // One may have been heard just before the connection ended, and is asked again.
        assert!((153..=154).contains(&server.asked()), "{kind:?}: {} questions", server.asked());
        let told = &daemon.api("upstreams")[0];
        assert_eq!((&told["connections"], &told["resumed"]), (&2.into(), &1.into()), "{kind:?}: {told}");
        assert_eq!((&told["state"], &told["failed"]), (&"well".into(), &0.into()), "{kind:?}: {told}");
    }
}

#[test]
fn a_connection_that_died_without_a_word_loses_no_question() {
    for kind in KINDS {
        let server = Encrypted::start(kind, "dns.example");
        let daemon = daemon_of(&server, "dns.example", "{CA}");
        check_resolves(&daemon, "before.example");
        server.go_deaf();
        check_resolves(&daemon, "after.example");
        let begun = Instant::now();
        check_resolves(&daemon, "later.example");
        assert!(begun.elapsed() < Duration::from_millis(1_400), "{kind:?}: the dead one is used again");
        assert_eq!(server.connections(), 2, "{kind:?}");
    }
}

#[test]
fn a_certificate_for_another_name_is_refused_and_named() {
    for kind in KINDS {
        let server = Encrypted::start(kind, "other.example");
        let daemon = daemon_of(&server, "dns.example", "{CA}");
        assert_eq!(rcode(&daemon, "www.example"), ResponseCode::ServFail, "{kind:?}");
        let problem = problem(&daemon);
        assert!(
            problem.contains("other.example") && problem.contains("not for `dns.example`"),
            "{kind:?}: {problem}"
        );
        assert_eq!(server.asked(), 0, "{kind:?}: it heard a question");
        daemon.tells("not for `dns.example`");
    }
}

#[test]
fn the_name_of_a_certificate_can_be_told() {
    let server = Encrypted::start(Kind::Tls, "other.example");
    let daemon = daemon_of(&server, "dns.example", "name = \"other.example\", {CA}");
    check_resolves(&daemon, "www.example");
}

#[test]
fn an_authority_that_nobody_named_is_refused() {
    let server = Encrypted::start(Kind::Tls, "dns.example");
    let daemon = daemon_of(&server, "dns.example", "name = \"dns.example\"");
    assert_eq!(rcode(&daemon, "www.example"), ResponseCode::ServFail);
    assert!(problem(&daemon).contains("`ca`"), "{}", problem(&daemon));
}

#[test]
fn a_key_must_be_pinned_where_there_are_pins() {
    let wrong = format!("sha256/{}=", "B".repeat(43));
    let wrong = wrong.replace(&"B".repeat(43), "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc");
    for kind in KINDS {
        let server = Encrypted::start(kind, "dns.example");
        let daemon = daemon_of(&server, "dns.example", &format!("pin = \"{}\", {{CA}}", server.pin));
        check_resolves(&daemon, "www.example");
        let daemon = daemon_of(&server, "dns.example", &format!("pin = [\"{wrong}\"], {{CA}}"));
        assert_eq!(rcode(&daemon, "www.example"), ResponseCode::ServFail, "{kind:?}");
        assert!(problem(&daemon).contains(&server.pin), "{kind:?}: {}", problem(&daemon));
        assert_eq!(server.asked(), 1, "{kind:?}: it heard a question");
    }
}

#[test]
fn a_pinned_key_is_enough_only_where_the_name_is_not_checked() {
    let server = Encrypted::start(Kind::Tls, "other.example");
    let pinned = format!("pin = \"{}\"", server.pin);
    let daemon = daemon_of(&server, "dns.example", &pinned);
    assert_eq!(rcode(&daemon, "www.example"), ResponseCode::ServFail);
    let daemon = daemon_of(&server, "dns.example", &format!("{pinned}, check_name = false"));
    check_resolves(&daemon, "www.example");
}

#[test]
fn while_an_encrypted_upstream_is_not_trusted_a_plain_one_serves() {
    let (server, plain) = (Encrypted::start(Kind::Tls, "other.example"), Upstream::generous());
    let home = Home::new();
    let servers = format!(
        "servers = [{{ url = \"{}\", addresses = [\"127.0.0.1\"] }}, \"udp://{}\"]",
        server.url("dns.example"),
        plain.address
    );
    let daemon = daemon_with(&home, &servers, "");
    check_resolves(&daemon, "www.example");
    let told = daemon.run(&["upstreams"]);
    assert!(told.contains("failing") && told.contains("is asked last"), "{told}");
    let problems = daemon.api("status")["problems"].to_string();
    assert!(problems.contains("are not encrypted"), "{problems}");
}

#[test]
fn a_thousand_at_once_are_all_answered() {
    // The test server over HTTP/3 is hickory's and takes three questions at once.
    for kind in [Kind::Tls, Kind::Https, Kind::Quic] {
        let server = Encrypted::start(kind, "dns.example");
        server.now_takes(Duration::from_millis(50));
        let home = Home::new();
        let ca = home.path().join("ca.pem");
        server.write_ca(&ca);
        let table = format!(
            "servers = [{{ url = \"{}\", addresses = [\"127.0.0.1\"], ca = \"{}\" }}]",
            server.url("dns.example"),
            ca.display()
        );
        let limits = "limits.queries_per_second = 0\nlimits.in_flight_per_client = 4096\n";
        let daemon = daemon_with(&home, &table, limits);
        let answered = ask_at_once(&daemon, 1_000);
        assert_eq!(answered, 1_000, "{kind:?}: {}\n{}", daemon.api("upstreams"), daemon.log());
    }
}

/// Asks for so many names at once; how many are answered with an address.
fn ask_at_once(daemon: &Daemon, count: u16) -> usize {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
    for id in 0..count {
        let mut message = Ask::new(&format!("n{id}.example"), RecordType::A).message();
        message.metadata.id = id;
        socket.send_to(&message.to_vec().unwrap(), daemon.dns).unwrap();
        // As many packets as the daemon's socket holds, and no more.
        if id % 100 == 99 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let mut packet = [0; 1500];
    let mut good = std::collections::HashSet::new();
    for _ in 0..count {
        let Ok(length) = socket.recv(&mut packet) else { break };
        let answer = hickory_proto::op::Message::from_vec(&packet[..length]).unwrap();
        if answer.answers.len() == 1 {
            good.insert(answer.metadata.id);
        }
    }
    good.len()
}

#[test]
fn an_upstream_with_a_name_is_found_by_bootstrap() {
    let server = Encrypted::start(Kind::Tls, "dns.example");
    let bootstrap = Upstream::start(|question| {
        let mut answer = answer_to(question);
        if question.queries[0].name().to_ascii().eq_ignore_ascii_case("dns.example.")
            && question.queries[0].query_type() == RecordType::A
        {
            answer.add_answer(record("dns.example 60 A 127.0.0.1"));
        }
        Some(answer)
    });
    let home = Home::new();
    let ca = home.path().join("ca.pem");
    server.write_ca(&ca);
    let upstream = format!(
        "servers = [{{ url = \"{}\", ca = \"{}\" }}]\nbootstrap = [\"{}\"]",
        server.url("dns.example"),
        ca.display(),
        bootstrap.address
    );
    let daemon = daemon_with(&home, &upstream, "");
    check_resolves(&daemon, "www.example");
    assert_eq!(bootstrap.asked(), 2, "for its addresses, and for nothing else");
}

#[test]
fn an_upstream_that_can_not_be_found_is_named() {
    let home = Home::new();
    let upstream = "servers = [\"tls://dns.example\"]\nbootstrap = [\"127.0.0.1:9\"]";
    let daemon = daemon_with(&home, upstream, "");
    let answer = Ask::new("www.example", RecordType::A).of(daemon.dns);
    assert_eq!(answer.message.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(answer.ede().unwrap().0, 14, "nothing ever answered: not ready");
    assert!(problem(&daemon).contains("`dns.example` can't be looked up"), "{}", problem(&daemon));
}

#[test]
fn names_of_a_route_are_asked_of_its_servers_alone() {
    let (everybody, router, office) = (Upstream::generous(), Upstream::generous(), Upstream::generous());
    let home = Home::new();
    let upstream = format!(
        "servers = [\"udp://{}\"]\n[[upstream.routes]]\ndomains = [\"fritz.box\", \"192.168.178.0/24\"]\nservers = [\"udp://{}\"]\n\
         [[upstream.routes]]\ndomains = [\"work.fritz.box\"]\nservers = [\"udp://{}\"]",
        everybody.address, router.address, office.address
    );
    let daemon = daemon_with(&home, &upstream, "");
    let asked = || (everybody.asked(), router.asked(), office.asked());
    check_resolves(&daemon, "www.example");
    check_resolves(&daemon, "fritz.box");
    check_resolves(&daemon, "nas.fritz.box");
    check_resolves(&daemon, "a.work.fritz.box");
    assert_eq!(asked(), (1, 2, 1));
    // A name of an address in the house, and an address of the house, which nobody outside could tell.
    router.now_says(|question| {
        let mut answer = answer_to(question);
        let name = question.queries[0].name();
        answer.add_answer(match question.queries[0].query_type() {
            RecordType::A => record(&format!("{name} 60 A 192.168.178.20")),
            _ => record(&format!("{name} 60 TXT nas")),
        });
        Some(answer)
    });
    check_resolves(&daemon, "tv.fritz.box");
    let reverse = Ask::new("20.178.168.192.in-addr.arpa", RecordType::TXT).of(daemon.dns).message;
    assert_eq!(reverse.answers.len(), 1, "{reverse}");
    assert_eq!(asked(), (1, 4, 1));
    router.now_says(|_| None);
    assert_eq!(rcode(&daemon, "secret.fritz.box"), ResponseCode::ServFail);
    let (everybody, _, office) = asked();
    assert_eq!((everybody, office), (1, 1), "nobody else hears of it");
    let problems = daemon.api("status")["problems"].to_string();
    assert!(problems.contains("No upstream answers for fritz.box"), "{problems}");
    let told = daemon.run(&["upstreams"]);
    assert!(told.contains("fritz.box, 178.168.192.in-addr.arpa"), "{told}");
    assert!(daemon.get("/health").contains("for work.fritz.box only"));
}

/// Asks as one of the devices that the kernel takes for this machine.
#[track_caller]
fn address_for(daemon: &Daemon, from: [u8; 4], name: &str) -> String {
    let ask = Ask { from: from.into(), ..Ask::new(name, RecordType::A) };
    let answer = ask.of(daemon.dns).message;
    answer.answers.first().unwrap_or_else(|| panic!("{name}: {answer}\n{}", daemon.log())).data.to_string()
}

#[test]
fn devices_of_a_group_have_upstreams_of_their_own() {
    let saying = |address: &'static str| {
        Upstream::start(move |question| {
            let mut answer = answer_to(question);
            answer.add_answer(record(&format!("{} 60 A {address}", question.queries[0].name())));
            Some(answer)
        })
    };
    let (everybody, family, router) = (saying("192.0.2.1"), saying("192.0.2.2"), saying("192.0.2.3"));
    let home = Home::new();
    let more = |group: &str| {
        format!(
            "[[devices]]\nname = \"Tablet\"\naddresses = [\"127.0.0.7\"]\n\
             [[groups]]\nname = \"{group}\"\ndevices = [\"tablet\", \"127.0.20.0/24\", \"Old phone\"]\n\
             upstream.servers = [\"udp://{}\"]\n",
            family.address
        )
    };
    let upstream = format!(
        "servers = [\"udp://{}\"]\n[[upstream.routes]]\ndomains = [\"fritz.box\"]\nservers = [\"udp://{}\"]",
        everybody.address, router.address
    );
    let daemon = daemon_with(&home, &upstream, &more("kids"));
    let (tablet, guest, other) = ([127, 0, 0, 7], [127, 0, 20, 9], [127, 0, 0, 1]);
    for _ in 0..2 {
        assert_eq!(address_for(&daemon, other, "www.example"), "192.0.2.1");
        assert_eq!(address_for(&daemon, tablet, "www.example"), "192.0.2.2");
        assert_eq!(address_for(&daemon, guest, "www.example"), "192.0.2.2");
    }
    assert_eq!((everybody.asked(), family.asked()), (1, 1), "each set's answers are kept for whom they are");
    assert_eq!(address_for(&daemon, tablet, "nas.fritz.box"), "192.0.2.3", "routes come first");
    let tablets_cname = Ask { from: tablet.into(), ..Ask::new("printer.home.arpa", RecordType::A) };
    assert_eq!(tablets_cname.of(daemon.dns).message.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(
        (everybody.asked(), family.asked(), router.asked()),
        (1, 1, 1),
        "the house's names stay there"
    );
    let told = daemon.run(&["upstreams"]);
    assert!(told.contains("the group kids"), "{told}");
    assert!(daemon.get("/health").contains("for the group kids only"));
    let line =
        format!("pixelsink_upstream_answers_total{{upstream=\"udp://{}\",group=\"kids\"}} 1", family.address);
    let metrics = daemon.get("/metrics");
    assert!(metrics.contains(&line), "{metrics}");
    let problems = daemon.api("status")["problems"].to_string();
    assert!(problems.contains("names `Old phone`") && !problems.contains("`tablet`"), "{problems}");
    let devices = daemon.api("devices");
    let of =
        |name: &str| devices.as_array().unwrap().iter().find(|one| one["device"]["name"] == name).cloned();
    assert_eq!(of("Tablet").unwrap()["group"], "kids", "{devices}");
    // Nobody steps in when it fails.
    family.now_says(|_| None);
    let ask = Ask { from: tablet.into(), ..Ask::new("other.example", RecordType::A) };
    assert_eq!(ask.of(daemon.dns).message.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(everybody.asked(), 1);
    eventually("it is told", || {
        let problems = daemon.api("status")["problems"].to_string();
        problems.contains("No upstream answers for the group `kids`").then_some(())
    });
    // Without its group it is asked for as everybody is, and hears nothing of what the group's upstream said.
    home.configure_upstream(&upstream, "");
    daemon.signal("HUP");
    eventually("it is in no group any more", || {
        (address_for(&daemon, tablet, "www.example") == "192.0.2.1").then_some(())
    });
}

#[test]
fn when_the_first_upstream_dies_nobody_waits_for_it_after_the_first_question() {
    for strategy in ["ordered", "fastest", "race", "spread"] {
        let (first, second) = (Upstream::generous(), Upstream::generous());
        let home = Home::new();
        let upstream = format!(
            "servers = [\"udp://{}\", \"udp://{}\"]\nstrategy = \"{strategy}\"",
            first.address, second.address
        );
        let daemon = daemon_with(&home, &upstream, "");
        check_resolves(&daemon, "www.example");
        first.now_says(|_| None);
        let (mut slow, mut again) = (0, 0);
        for number in 0..150 {
            let begun = Instant::now();
            check_resolves(&daemon, &format!("n{number}.n{number}.example"));
            slow += usize::from(Duration::from_millis(300) < begun.elapsed());
            // Longer than a dead upstream is left alone for: it is asked again, and nobody waits for that.
            std::thread::sleep(Duration::from_millis(10));
        }
        // A busy machine may keep one or the other waiting.
        assert!(slow <= 8, "{strategy}: {slow} of 150 waited");
        first.now_says(|question| {
            let mut answer = answer_to(question);
            answer.add_answer(record(&format!("{} 60 A 192.0.2.7", question.queries[0].name())));
            Some(answer)
        });
        eventually("it is found to answer again", || {
            again += 1;
            check_resolves(&daemon, &format!("again{again}.again{again}.example"));
            (daemon.api("upstreams")[0]["state"] == "well").then_some(())
        });
    }
}

#[test]
fn a_race_is_won_by_the_first_answer_and_the_fastest_is_found() {
    let slow = |question: &hickory_proto::op::Message| {
        std::thread::sleep(Duration::from_millis(30));
        let mut answer = answer_to(question);
        answer.add_answer(record(&format!("{} 60 A 192.0.2.7", question.queries[0].name())));
        Some(answer)
    };
    for strategy in ["race", "fastest"] {
        let (first, second) = (Upstream::start(slow), Upstream::generous());
        let home = Home::new();
        let upstream = format!(
            "servers = [\"udp://{}\", \"udp://{}\"]\nstrategy = \"{strategy}\"",
            first.address, second.address
        );
        let daemon = daemon_with(&home, &upstream, "");
        for number in 0..3 {
            check_resolves(&daemon, &format!("warm{number}.example"));
        }
        std::thread::sleep(Duration::from_millis(100));
        let asked = first.asked();
        for number in 0..20 {
            let answer = Ask::new(&format!("n{number}.example"), RecordType::A).of(daemon.dns).message;
            assert!(answer.answers[0].data.to_string().starts_with("198.51.100."), "{strategy}: {answer}");
        }
        if strategy == "fastest" {
            assert!(first.asked() <= asked + 1, "the slow one is left alone");
        }
    }
}

#[test]
fn names_are_spread_and_each_domain_stays_where_it_is() {
    let (first, second) = (Upstream::generous(), Upstream::generous());
    let home = Home::new();
    let upstream = format!(
        "servers = [\"udp://{}\", \"udp://{}\"]\nstrategy = \"spread\"",
        first.address, second.address
    );
    let daemon = daemon_with(&home, &upstream, "");
    for number in 0..60 {
        let before = (first.asked(), second.asked());
        for host in ["a", "b", "c.d"] {
            check_resolves(&daemon, &format!("{host}.site{number}.example"));
        }
        let after = (first.asked() - before.0, second.asked() - before.1);
        assert!(after == (3, 0) || after == (0, 3), "{after:?}");
    }
    assert!(30 <= first.asked() && 30 <= second.asked(), "{} and {}", first.asked(), second.asked());
}

#[test]
fn names_go_out_in_mixed_case_and_an_upstream_that_loses_it_is_asked_in_lower_case() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let names = std::sync::Arc::clone(&seen);
    let upstream = Upstream::start(move |question| {
        names.lock().unwrap().push(question.queries[0].name().to_ascii());
        let mut answer = answer_to(question);
        let name = question.queries[0].name().to_ascii().to_ascii_lowercase();
        answer.queries.clear();
        let lower = hickory_proto::rr::Name::from_ascii(&name).unwrap();
        answer.add_query(hickory_proto::op::Query::query(lower, question.queries[0].query_type()));
        answer.add_answer(record(&format!("{name} 60 A 192.0.2.7")));
        Some(answer)
    })
    .seeing_case();
    let daemon = Daemon::start(upstream.address, "");
    for number in 0..6 {
        check_resolves(&daemon, &format!("a-name-with-many-letters-{number}.example"));
    }
    let seen = seen.lock().unwrap();
    let is_mixed = |name: &String| *name != name.to_ascii_lowercase();
    assert_eq!(seen.iter().filter(|name| is_mixed(name)).count(), 3, "{seen:?}");
    assert!(seen.iter().rev().take(3).all(|name| !is_mixed(name)), "{seen:?}");
    daemon.tells("does not keep the case");
    assert_eq!(daemon.log().matches("does not keep the case").count(), 1, "told once");
}

#[test]
fn upstreams_change_while_it_runs() {
    let (plain, server) = (Upstream::generous(), Encrypted::start(Kind::Https, "dns.example"));
    let home = Home::new();
    let ca = home.path().join("ca.pem");
    server.write_ca(&ca);
    let daemon = daemon_with(&home, &format!("servers = [\"udp://{}\"]", plain.address), "");
    check_resolves(&daemon, "www.example");
    let table = format!(
        "servers = [{{ url = \"{}\", addresses = [\"127.0.0.1\"], ca = \"{}\" }}]\nstrategy = \"race\"",
        server.url("dns.example"),
        ca.display()
    );
    home.configure_upstream(&table, "");
    daemon.signal("HUP");
    eventually("the new upstream is asked", || {
        let _ = rcode(&daemon, &format!("n{}.example", server.asked() + plain.asked()));
        (0 < server.asked()).then_some(())
    });
    home.configure_upstream("servers = [\"ftp://192.0.2.1\"]", "");
    daemon.signal("HUP");
    daemon.tells("is not a way to speak");
    check_resolves(&daemon, "still.example");
}

/// An upstream that answers the first packet of each question after three seconds; the others find it busy.
fn slow_upstream() -> Upstream {
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    Upstream::start(move |question| {
        if !seen.lock().unwrap().insert(question.metadata.id) {
            return None;
        }
        std::thread::sleep(Duration::from_secs(3));
        let mut answer = answer_to(question);
        answer.add_answer(record(&format!("{} 60 A 192.0.2.7", question.queries[0].name())));
        Some(answer)
    })
}

#[test]
fn upstreams_that_take_three_seconds_are_waited_for() {
    check_waits_for(&[slow_upstream()]);
    check_waits_for(&[slow_upstream(), slow_upstream()]);
}

#[track_caller]
fn check_waits_for(upstreams: &[Upstream]) {
    let home = Home::new();
    let urls: Vec<String> = upstreams.iter().map(|upstream| format!("udp://{}", upstream.address)).collect();
    home.configure_upstream(&format!("servers = {urls:?}"), "");
    let daemon = home.start();
    let mut tries = 0;
    // A busy machine may need another one.
    eventually("a slow name resolves", || {
        tries += 1;
        let begun = Instant::now();
        let resolved = rcode(&daemon, &format!("slow{tries}.example")) == ResponseCode::NoError;
        assert!(!resolved || Duration::from_millis(2_900) <= begun.elapsed(), "it was slow");
        resolved.then_some(())
    });
    assert_eq!(daemon.api("upstreams")[0]["state"], "well", "{}", daemon.log());
}

#[test]
fn metrics_tell_of_upstreams() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, "");
    check_resolves(&daemon, "www.example");
    let text = daemon.get("/metrics");
    let line = format!("pixelsink_upstream_answers_total{{upstream=\"udp://{}\"}} 1", upstream.address);
    assert!(text.contains(&line), "{text}");
}
