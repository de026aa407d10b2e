//! What the history remembers, exports and forgets, seen from outside.

use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::Daemon;
use crate::support::upstream::{Upstream, answer_to, record};

/// An upstream where `shop.example` leads to a tracker.
fn upstream() -> Upstream {
    Upstream::start(|question| {
        let mut answer = answer_to(question);
        let name = question.queries[0].name().to_ascii();
        if name.starts_with("shop.") {
            answer.add_answer(record(&format!("{name} 60 CNAME x.tracker.example")));
            answer.add_answer(record("x.tracker.example 60 A 198.51.100.7"));
        } else {
            answer.add_answer(record(&format!("{name} 60 A 198.51.100.8")));
        }
        Some(answer)
    })
}

const LIST: &str = "builtin.levels = []\n[[lists]]\nname = \"mine\"\nrules = [\"||tracker.example^\"]\n";

#[test]
fn a_tracker_that_hides_behind_a_name_is_named() {
    let upstream = upstream();
    let daemon = Daemon::start(upstream.address, LIST);
    // From an upstream, then from the cache.
    for _ in 0..2 {
        assert_eq!(Ask::new("shop.example", RecordType::A).of(daemon.dns).addresses(), ["0.0.0.0"]);
    }
    Ask::new("www.example", RecordType::A).of(daemon.dns);
    let events = daemon.api("events");
    let told: Vec<_> = (0..3).map(|index| (&events[index]["name"], &events[index]["behind"])).collect();
    assert_eq!(told[0].1, &serde_json::Value::Null);
    for (name, behind) in &told[1..] {
        assert_eq!((*name, *behind), (&"shop.example".into(), &"x.tracker.example".into()));
    }
    assert_eq!(events[1]["who"]["domain"], "tracker.example");
    assert_eq!(daemon.api("names?hits_only=true")[0]["behind"], "x.tracker.example");
    assert_eq!(daemon.api("trackers")[0]["hits"], 2);
    assert!(daemon.run(&["log"]).contains("shop.example (leads to x.tracker.example)"));
}
