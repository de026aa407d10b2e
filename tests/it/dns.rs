//! What a stub resolver sees.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{RData, Record, RecordType};

use crate::support::client::{Ask, over_udp};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::upstream::{Upstream, answer_to, with_rcode};

/// An upstream that answers with so many addresses.
fn many_addresses(count: u8) -> Upstream {
    Upstream::start(move |question| {
        let mut answer = answer_to(question);
        for last in 0..count {
            let data = RData::A(A::new(198, 51, 100, last));
            answer.add_answer(Record::from_rdata(question.queries[0].name().clone(), 300, data));
        }
        Some(answer)
    })
}

#[test]
fn an_answer_that_does_not_fit_is_truncated_and_whole_over_tcp() {
    let upstream = many_addresses(100);
    let daemon = Daemon::start(upstream.address, "");
    let mut ask = Ask::new("big.example", RecordType::A);
    for payload in [None, Some(512), Some(1232), Some(4096)] {
        ask.edns = payload;
        let answer = ask.of(daemon.dns);
        assert!(answer.message.metadata.truncation && answer.message.answers.is_empty(), "{payload:?}");
        assert!(answer.bytes.len() <= 1232);
        assert_eq!(answer.message.edns.is_some(), payload.is_some());
    }
    ask.tcp = true;
    let answer = ask.of(daemon.dns);
    assert_eq!((answer.message.metadata.truncation, answer.message.answers.len()), (false, 100));
    assert_eq!(
        (upstream.asked(), upstream.asked_over_tcp()),
        (2, 1),
        "asked once, again over TCP, then kept"
    );
}

#[test]
fn an_answer_that_fits_1232_octets_is_not_truncated_for_who_takes_them() {
    let upstream = many_addresses(60);
    let daemon = Daemon::start(upstream.address, "");
    let mut ask = Ask::new("medium.example", RecordType::A);
    ask.edns = Some(4096);
    assert_eq!(ask.of(daemon.dns).message.answers.len(), 60);
    ask.edns = None;
    assert!(ask.of(daemon.dns).message.metadata.truncation);
}

#[test]
fn an_answer_is_never_larger_than_the_client_takes_however_long_its_name() {
    let name = ["a".repeat(60), "b".repeat(60), "c".repeat(60), "example".to_owned()].join(".");
    for count in [15, 20, 30, 60] {
        let upstream = many_addresses(count);
        let daemon = Daemon::start(upstream.address, "");
        for payload in [None, Some(512), Some(600), Some(1232), Some(4096)] {
            let mut ask = Ask::new(&name, RecordType::A);
            ask.edns = payload;
            let answer = ask.of(daemon.dns);
            let limit = usize::from(payload.unwrap_or(512).min(1232));
            assert!(
                answer.bytes.len() <= limit,
                "{count} records, {payload:?}: {} octets",
                answer.bytes.len()
            );
            let whole = answer.message.answers.len() == usize::from(count);
            assert!(whole || answer.message.answers.is_empty() && answer.message.metadata.truncation);
        }
    }
}

#[test]
fn an_answer_about_another_question_is_not_believed_over_tcp_either() {
    let upstream = Upstream::start(|question| {
        let mut answer = answer_to(question);
        answer.metadata.truncation = true;
        Some(answer)
    });
    upstream.now_says_over_tcp(|question| {
        let mut other = question.clone();
        other.queries[0].set_name("bank.example.".parse().unwrap());
        let mut answer = answer_to(&other);
        answer.add_answer(crate::support::upstream::record("bank.example 300 A 198.51.100.66"));
        Some(answer)
    });
    let daemon = Daemon::start(upstream.address, "");
    let answer = Ask::new("www.example", RecordType::A).of(daemon.dns);
    assert_eq!((answer.words()[0].as_str(), answer.message.answers.len()), ("SERVFAIL", 0));
}

/// An answer that says this besides, as an Extended DNS Error.
fn saying(question: &Message, rcode: ResponseCode, code: u16, text: &str) -> Option<Message> {
    let mut answer = with_rcode(question, rcode);
    let mut edns = Edns::new();
    edns.options_mut().insert(EdnsOption::Unknown(15, [&code.to_be_bytes(), text.as_bytes()].concat()));
    answer.set_edns(edns);
    Some(answer)
}

#[test]
fn what_an_upstream_says_of_its_answer_is_passed_on_and_says_who_said_it() {
    let upstream = Upstream::start(|question| {
        let name = question.queries[0].name().to_ascii();
        match name.split('.').next().unwrap() {
            "bogus" => saying(question, ResponseCode::ServFail, 6, "no\x07 signature"),
            "refused" => saying(question, ResponseCode::Refused, 18, ""),
            "filtered" => saying(question, ResponseCode::NXDomain, 15, "listed"),
            "stale" => saying(question, ResponseCode::NXDomain, 19, "old"),
            _ => Some(with_rcode(question, ResponseCode::ServFail)),
        }
    });
    let daemon = Daemon::start(upstream.address, "[rules]\nblock = [\"pixel.example\"]\n");
    let edes = |name: &str| Ask::new(name, RecordType::A).of(daemon.dns).edes();
    let who = format!("udp://{}", upstream.address);
    let bogus = (6, format!("{who}: no  signature"));
    assert_eq!(edes("bogus.example"), std::slice::from_ref(&bogus));
    eventually("the failure is told from memory", || {
        let told = edes("bogus.example");
        assert_eq!(told[0], bogus);
        (told.get(1) == Some(&(13, String::new()))).then_some(())
    });
    assert_eq!(edes("refused.example"), [(0, who.clone())], "it is we who may not ask there");
    for _ in 0..2 {
        assert_eq!(edes("filtered.example"), [(17, format!("{who}: listed"))], "also from the cache");
        assert_eq!(edes("stale.example"), [], "that was its own state");
    }
    let told = edes("pixel.example");
    assert!(
        told[0].0 == 15 && told[0].1.ends_with("pixel.example^ (more: pixelsink explain NAME)"),
        "{told:?}"
    );
    let none = Ask { edns: None, ..Ask::new("bogus.example", RecordType::A) };
    assert_eq!(none.of(daemon.dns).edes(), []);
}

#[test]
fn one_broken_name_is_not_taken_for_a_broken_upstream() {
    let upstream = Upstream::start(|question| {
        if question.queries[0].name().to_ascii() == "broken.example." {
            return Some(with_rcode(question, ResponseCode::ServFail));
        }
        Some(with_rcode(question, ResponseCode::NXDomain))
    });
    let daemon = Daemon::start(upstream.address, "");
    for _ in 0..5 {
        let broken = Ask::new("broken.example", RecordType::A).of(daemon.dns);
        assert_eq!((broken.words()[0].as_str(), broken.ede().unwrap().0), ("SERVFAIL", 0));
        assert_eq!(Ask::new("fine.example", RecordType::A).of(daemon.dns).words()[0], "NXDOMAIN");
    }
    assert_eq!(daemon.api("status")["problems"].as_array().unwrap().len(), 0);
    assert!(!daemon.log().contains("upstream"), "{}", daemon.log());
}

#[test]
fn ttls_count_down_in_the_cache_and_end() {
    let upstream = Upstream::start(|question| {
        let mut answer = answer_to(question);
        let data = RData::A(A::new(198, 51, 100, 1));
        answer.add_answer(Record::from_rdata(question.queries[0].name().clone(), 2, data));
        Some(answer)
    });
    let daemon = Daemon::start(upstream.address, "");
    let ask = Ask::new("short.example", RecordType::A);
    assert_eq!(ask.of(daemon.dns).message.answers[0].ttl, 2);
    eventually("the TTL is lower", || (ask.of(daemon.dns).message.answers[0].ttl == 1).then_some(()));
    eventually("the upstream is asked again", || {
        ask.of(daemon.dns);
        (upstream.asked() == 2).then_some(())
    });
}

#[test]
fn edns_of_another_version_is_told_ours() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, "");
    let mut packet = Ask::new("www.example", RecordType::A).message().to_vec().unwrap();
    // The OPT record is the last one: root, TYPE, CLASS, extended RCODE, VERSION, flags, RDLENGTH.
    let version = packet.len() - 5;
    packet[version] = 1;
    let answer = over_udp(daemon.dns, IpAddr::from([127, 0, 0, 1]), &packet).unwrap();
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!(u16::from(answer.metadata.response_code), 16, "BADVERS");
    assert_eq!(answer.edns.unwrap().version(), 0);
}

#[test]
fn a_response_is_never_answered() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, "");
    let mut packet = Ask::new("www.example", RecordType::A).message().to_vec().unwrap();
    packet[2] |= 0x80;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    // Whole or in pieces, or nothing but ones.
    for packet in [&packet[..], &packet[..20], &packet[..3], &[0xff; 512]] {
        socket.send_to(packet, daemon.dns).unwrap();
        assert!(socket.recv(&mut [0; 512]).is_err());
    }
    Ask::new("www.example", RecordType::A).of(daemon.dns);
}

#[test]
fn a_flood_of_one_client_is_refused_and_others_are_answered() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, "limits.queries_per_second = 5\n");
    let mut ask = Ask::new("www.example", RecordType::A);
    let refused = (0..20).map(|_| ask.of(daemon.dns)).find(|answer| answer.words()[0] == "REFUSED").unwrap();
    assert_eq!(refused.ede().unwrap(), (18, "more than 5 questions a second".to_owned()));
    ask.from = IpAddr::from([127, 0, 0, 9]);
    assert_eq!(ask.of(daemon.dns).words()[0], "NOERROR");
}

#[test]
fn who_is_not_of_the_house_hears_nothing() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, "dns.allow_from = [\"127.0.0.1\"]\n");
    let mut ask = Ask::new("www.example", RecordType::A);
    assert_eq!(ask.of(daemon.dns).words()[0], "NOERROR");
    ask.from = IpAddr::from([127, 0, 0, 9]);
    let socket = std::net::UdpSocket::bind((ask.from, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket.send_to(&ask.message().to_vec().unwrap(), daemon.dns).unwrap();
    assert!(socket.recv(&mut [0; 512]).is_err());
}

#[test]
fn when_one_upstream_fails_the_next_one_answers() {
    let silent = Upstream::start(|_| None);
    let broken = Upstream::start(|question| Some(with_rcode(question, ResponseCode::ServFail)));
    let good = Upstream::generous();
    let home = crate::support::daemon::Home::new();
    home.configure(silent.address, "");
    let text = std::fs::read_to_string(home.config()).unwrap();
    let servers =
        format!("\"udp://{}\", \"udp://{}\", \"tcp://{}\"", silent.address, broken.address, good.address);
    std::fs::write(home.config(), text.replace(&format!("\"udp://{}\"", silent.address), &servers)).unwrap();
    let daemon = home.start();
    let begun = Instant::now();
    assert_eq!(Ask::new("www.example", RecordType::A).of(daemon.dns).addresses(), ["198.51.100.1"]);
    assert!(begun.elapsed() < Duration::from_secs(5), "before a client gives up");
    // The two that failed are asked last now.
    let begun = Instant::now();
    assert_eq!(Ask::new("other.example", RecordType::A).of(daemon.dns).addresses(), ["198.51.100.1"]);
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(good.asked_over_tcp(), 2);
}

/// An address, after so long that all of a herd have asked.
fn answer_late(question: &Message) -> Message {
    std::thread::sleep(Duration::from_millis(300));
    let mut answer = answer_to(question);
    let data = RData::A(A::new(198, 51, 100, 1));
    answer.add_answer(Record::from_rdata(question.queries[0].name().clone(), 300, data));
    answer
}

#[test]
fn a_herd_of_clients_is_one_question_to_the_upstream() {
    let upstream = Upstream::start(|question| Some(answer_late(question)));
    let daemon = Daemon::start(upstream.address, "");
    let dns = daemon.dns;
    let clients: Vec<_> = (0..40)
        .map(|_| std::thread::spawn(move || Ask::new("herd.example", RecordType::A).of(dns).addresses()))
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), ["198.51.100.1"]);
    }
    assert_eq!(upstream.asked(), 1);
}

/// RebirthDay (CVE-2025-5994): options that clients choose must not make one question many, each of which could be forged.
#[test]
fn a_herd_with_options_of_their_own_is_one_question_and_none_of_them_goes_out() {
    let with_options = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = std::sync::Arc::clone(&with_options);
    let upstream = Upstream::start(move |question| {
        let options = question.edns.as_ref().map_or(0, |edns| edns.options().options.len());
        seen.fetch_add(options, std::sync::atomic::Ordering::Relaxed);
        Some(answer_late(question))
    });
    let daemon = Daemon::start(upstream.address, "");
    let dns = daemon.dns;
    let client = |number: u8| {
        let mut message = Ask::new("herd.example", RecordType::A).message();
        let options = message.edns.as_mut().unwrap().options_mut();
        // A client subnet (RFC 7871): IPv4, a prefix of 24 bits.
        options.insert(EdnsOption::Unknown(8, vec![0, 1, 24, 0, 203, 0, number]));
        options.insert(EdnsOption::Unknown(65_001, vec![number; 6]));
        std::thread::spawn(move || over_udp(dns, [127, 0, 0, 1].into(), &message.to_vec().unwrap()).is_some())
    };
    let clients: Vec<_> = (0..40).map(client).collect();
    assert!(clients.into_iter().all(|client| client.join().unwrap()));
    assert_eq!(upstream.asked(), 1);
    assert_eq!(with_options.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn an_upstream_that_asks_us_in_turn_costs_bounded_work() {
    let here = std::sync::Arc::new(std::sync::OnceLock::new());
    let back = std::sync::Arc::clone(&here);
    let upstream = Upstream::start(move |question| {
        let answer = over_udp(*back.get()?, [127, 0, 0, 1].into(), &question.to_vec().unwrap())?;
        Message::from_vec(&answer).ok()
    });
    let daemon = Daemon::start(upstream.address, "rules.block = [\"pixel.example\"]\n");
    here.set(daemon.dns).unwrap();
    let answer = Ask::new("round.example", RecordType::A).of(daemon.dns);
    assert_eq!(answer.words()[0], "SERVFAIL", "{answer:?}");
    assert!(upstream.asked() <= 6, "{}", upstream.asked());
    assert_eq!(Ask::new("pixel.example", RecordType::A).of(daemon.dns).addresses(), ["0.0.0.0"]);
}

#[test]
fn records_that_ride_along_are_not_passed_on() {
    let upstream = Upstream::start(|question| {
        let mut answer = answer_to(question);
        for owner in ["www.example.", "bank.example."] {
            let data = RData::A(A::new(198, 51, 100, 1));
            answer.add_answer(Record::from_rdata(owner.parse().unwrap(), 300, data));
        }
        Some(answer)
    });
    let daemon = Daemon::start(upstream.address, "");
    let answer = Ask::new("www.example", RecordType::A).of(daemon.dns);
    assert_eq!(answer.message.answers.len(), 1);
}

#[test]
fn queries_in_flight_are_answered_when_the_daemon_stops() {
    let upstream = Upstream::start(|question| {
        std::thread::sleep(Duration::from_millis(700));
        Some(with_rcode(question, ResponseCode::NXDomain))
    });
    let daemon = Daemon::start(upstream.address, "");
    let dns = daemon.dns;
    let client = std::thread::spawn(move || Ask::new("slow.example", RecordType::A).of(dns).words());
    eventually("the upstream is asked", || (upstream.asked() == 1).then_some(()));
    assert!(daemon.stop().success());
    assert_eq!(client.join().unwrap()[0], "NXDOMAIN");
}
