//! What people notice of the answers that are kept.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::{Daemon, Home};
use crate::support::eventually;
use crate::support::upstream::{Upstream, answer_to, record, soa, with_rcode};

/// What an upstream says that knows every name, for so many seconds.
fn for_seconds(ttl: u32) -> impl Fn(&Message) -> Option<Message> + Send + Sync + 'static {
    move |question| {
        let mut answer = answer_to(question);
        answer.add_answer(record(&format!("{} {ttl} A 198.51.100.1", question.queries[0].name())));
        Some(answer)
    }
}

fn ttl(daemon: &Daemon, name: &str) -> Option<u32> {
    let answer = Ask::new(name, RecordType::A).of(daemon.dns);
    answer.message.answers.first().map(|record| record.ttl)
}

fn number(daemon: &Daemon, what: &str) -> u64 {
    daemon.api("cache")[what].as_u64().unwrap()
}

#[test]
fn when_the_upstream_dies_what_was_known_is_still_answered() {
    let upstream = Upstream::start(for_seconds(1));
    let daemon = Daemon::start(upstream.address, "");
    assert_eq!(ttl(&daemon, "www.example"), Some(1));
    upstream.now_says(|question| Some(with_rcode(question, ResponseCode::ServFail)));
    eventually("the stale answer", || (ttl(&daemon, "www.example") == Some(30)).then_some(()));
    let asked = upstream.asked();
    assert_eq!(ttl(&daemon, "www.example"), Some(30), "its TTL does not count down");
    assert_eq!(upstream.asked(), asked, "the upstream is left alone for a while");
    assert!(2 <= number(&daemon, "stale"));
    assert_eq!(ttl(&daemon, "other.example"), None, "what was not known fails");
}

#[test]
fn when_the_upstream_is_silent_nobody_waits_for_long() {
    let upstream = Upstream::start(for_seconds(1));
    let daemon = Daemon::start(upstream.address, "");
    assert_eq!(ttl(&daemon, "www.example"), Some(1));
    upstream.now_says(|_| None);
    eventually("the stale answer", || (ttl(&daemon, "www.example") == Some(30)).then_some(()));
    let begun = Instant::now();
    assert_eq!(ttl(&daemon, "www.example"), Some(30));
    assert!(begun.elapsed() < Duration::from_millis(1_500), "not even the time that the first one waited");
}

#[test]
fn a_name_that_was_blocked_since_is_not_served_stale() {
    let upstream = Upstream::start(for_seconds(1));
    let daemon = Daemon::start(upstream.address, "");
    assert_eq!(ttl(&daemon, "www.example"), Some(1));
    upstream.now_says(|question| Some(with_rcode(question, ResponseCode::ServFail)));
    eventually("the stale answer", || (ttl(&daemon, "www.example") == Some(30)).then_some(()));
    daemon.run(&["block", "www.example"]);
    assert_eq!(Ask::new("www.example", RecordType::A).of(daemon.dns).addresses(), ["0.0.0.0"]);
}

#[test]
fn a_stale_answer_is_not_used_where_that_is_not_wanted() {
    let upstream = Upstream::start(for_seconds(1));
    let daemon = Daemon::start(upstream.address, "cache.stale_max = \"0s\"\n");
    assert_eq!(ttl(&daemon, "www.example"), Some(1));
    upstream.now_says(|question| Some(with_rcode(question, ResponseCode::ServFail)));
    eventually("it fails", || ttl(&daemon, "www.example").is_none().then_some(()));
}

#[test]
fn a_popular_name_is_asked_for_before_its_time_is_over() {
    let upstream = Upstream::start(for_seconds(10));
    let daemon = Daemon::start(upstream.address, "");
    for _ in 0..3 {
        ttl(&daemon, "www.example");
    }
    assert_eq!(upstream.asked(), 1);
    // Nine tenths of its time have to pass; devices ask on and on.
    eventually("the upstream is asked again", || {
        ttl(&daemon, "www.example").unwrap();
        (upstream.asked() == 2).then_some(())
    });
    eventually("the new answer is there", || (8 < ttl(&daemon, "www.example")?).then_some(()));
    let status = daemon.api("cache");
    assert_eq!(
        (status["prefetches"].as_u64(), status["misses"].as_u64()),
        (Some(1), Some(1)),
        "nobody waited"
    );
}

#[test]
fn times_to_live_are_held_to_what_is_configured() {
    let upstream = Upstream::start(for_seconds(1));
    let daemon = Daemon::start(
        upstream.address,
        "cache = { ttl_min = \"1m\", ttl_max = \"10m\", negative_ttl_max = \"2m\" }\n",
    );
    assert_eq!(ttl(&daemon, "short.example"), Some(60));
    upstream.now_says(for_seconds(3600));
    assert_eq!(ttl(&daemon, "long.example"), Some(600));
    upstream.now_says(|question| {
        let mut answer = with_rcode(question, ResponseCode::NXDomain);
        let mut soa = soa();
        soa.ttl = 3600;
        answer.add_authority(soa);
        Some(answer)
    });
    let words = Ask::new("none.example", RecordType::A).of(daemon.dns).words();
    assert_eq!(words[..2], ["NXDOMAIN", "SOA 120"]);
}

#[test]
fn answers_are_forgotten_when_a_person_says_so() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, "");
    let names = ["shop.example", "www.shop.example", "shop.net"];
    let ask_all = || {
        for name in names {
            Ask::new(name, RecordType::A).of(daemon.dns);
        }
        upstream.asked()
    };
    assert_eq!((ask_all(), ask_all()), (3, 3));
    let said = daemon.run(&["cache", "flush", "Shop.example"]);
    assert_eq!(
        said,
        "One answer about shop.example is forgotten. Devices may keep theirs until their time is over.\n"
    );
    assert_eq!(ask_all(), 4);
    let said = daemon.run(&["cache", "flush", "shop.example", "--below"]);
    assert!(said.starts_with("2 answers about shop.example and what is below it are forgotten."), "{said}");
    assert_eq!(ask_all(), 6);
    assert!(daemon.run(&["cache", "flush"]).starts_with("3 answers are forgotten."));
    assert_eq!(ask_all(), 9);
    assert_eq!(
        daemon.run(&["cache", "flush", "nobody.example"]),
        "No answers about nobody.example were kept.\n"
    );
    assert!(!daemon.home().run(&["cache", "flush", "a..b"]).status.success());
    assert!(!daemon.home().run(&["cache", "flush", "--below"]).status.success());
    let json = [("Content-Type", "application/json")];
    let (status, body) = daemon.request("POST", "/api/v1/cache/flush", &json, "{\"below\": true}");
    assert_eq!((status, &*body), (422, "{\"error\":\"Say below which name.\"}"));
    assert_eq!(daemon.request("POST", "/api/v1/cache/flush", &json, "{}").0, 200);
    let shown = daemon.run(&["cache"]);
    assert!(shown.contains("0 answers") && shown.contains("8,192 KiB"), "{shown}");
    let shown: serde_json::Value =
        serde_json::from_str(&daemon.run(&["cache", "status", "--output", "json"])).unwrap();
    assert_eq!((shown["misses"].as_u64(), shown["hits"].as_u64()), (Some(9), Some(6)));
}

#[test]
fn answers_last_over_a_restart_where_that_is_wanted() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, "cache.keep = true\n");
    let file = home.path().join("data/cache.bin");
    let daemon = home.start();
    assert_eq!(ttl(&daemon, "www.example"), Some(300));
    assert!(daemon.stop().success());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let daemon = home.start();
    assert!(daemon.log().contains("kept answers were taken over answers=1"), "{}", daemon.log());
    assert!(ttl(&daemon, "www.example").is_some());
    assert_eq!(upstream.asked(), 1);
    // What a person has forgotten does not come back, not even after a power cut.
    daemon.run(&["cache", "flush"]);
    daemon.kill();
    let daemon = home.start();
    assert!(ttl(&daemon, "www.example").is_some());
    assert_eq!(upstream.asked(), 2);
    assert!(daemon.stop().success());
    // A damaged file is told of, and that is all.
    let mut octets = std::fs::read(&file).unwrap();
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    std::fs::write(&file, octets).unwrap();
    let daemon = home.start();
    assert_eq!(daemon.log().matches("kept answers can't be used").count(), 1, "{}", daemon.log());
    assert!(daemon.log().contains("it is damaged"), "{}", daemon.log());
    assert!(ttl(&daemon, "www.example").is_some());
    assert!(daemon.stop().success());
    // And where it is not wanted any more, nothing is left of it.
    home.configure(upstream.address, "");
    let daemon = home.start();
    assert!(!file.exists());
    assert!(daemon.stop().success());
    assert!(!file.exists());
}
