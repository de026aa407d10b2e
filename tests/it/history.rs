//! What the history remembers, exports and forgets, seen from outside.

use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::{Daemon, Home};
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
    assert!(daemon.run(&["log"]).contains("shop.example hides x.tracker.example"));
}

#[test]
fn what_was_asked_is_exported_and_erased() {
    let upstream = upstream();
    let daemon = Daemon::start(upstream.address, LIST);
    for name in ["shop.example", "www.example", "a.secret.example", "b.secret.example"] {
        Ask::new(name, RecordType::A).of(daemon.dns);
    }
    let csv = daemon.get("/api/v1/events/export");
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert!(lines[0].starts_with("time,device,") && lines.len() == 6, "{csv}");
    assert!(
        lines[4].contains(",shop.example,x.tracker.example,A,blocked,mine,||tracker.example^,0,"),
        "{csv}"
    );
    let file = daemon.home().path().join("export.jsonl");
    let to = file.to_str().unwrap();
    daemon.run(&["export", "--format", "jsonl", "--blocked", "--to", to]);
    let exported: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(exported["behind"], "x.tracker.example");
    // What is there is not overwritten.
    assert!(!daemon.home().run(&["export", "--to", to]).status.success());

    let data = daemon.home().path().join("data");
    let stands = || {
        let files = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("history.")).any(|path| {
            let octets = std::fs::read(path).unwrap();
            octets.windows(15).any(|part| part == b"\x06secret\x07example")
        })
    };
    let refused = daemon.home().run(&["erase", "--name", "secret.example"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("add --yes"), "nobody is there to be asked");
    let told = daemon.run(&["erase", "--name", "secret.example", "--yes"]);
    assert_eq!(
        told,
        "2 questions and 1 day of counts of secret.example and what is below it are gone from the history and from its file.\n"
    );
    assert!(!stands());
    assert_eq!(daemon.api("events").as_array().unwrap().len(), 2);
    let json = [("content-type", "application/json")];
    let erase = |body: &str| daemon.request("POST", "/api/v1/history/erase", &json, body);
    for wrong in ["{}", "{\"devise\":\"127.0.0.1\"}", "{\"device\":\"127.0.0.1\",\"everything\":true}"] {
        assert_eq!(erase(wrong).0, 422, "{wrong}");
    }
    assert_eq!(erase("{\"device\":\"127.0.0.1\"}").0, 200);
    assert_eq!(daemon.api("devices").as_array().unwrap().len(), 0);
    Ask::new("www.example", RecordType::A).of(daemon.dns);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let (status, _) = daemon.request("POST", "/history/do/erase", &form, "device=127.0.0.1&back=/devices");
    assert_eq!((status, daemon.api("totals")["queries"].as_u64()), (303, Some(0)));
}

#[test]
fn what_is_private_is_neither_shown_nor_kept_and_a_reload_changes_it() {
    let upstream = upstream();
    let level = |level: &str| format!("history.privacy = \"{level}\"\n{LIST}");
    let home = Home::new();
    home.configure(upstream.address, &level("blocked-only"));
    let daemon = home.start();
    for name in ["shop.example", "www.secret.example"] {
        Ask::new(name, RecordType::A).of(daemon.dns);
    }
    assert_eq!(daemon.api("totals")["queries"], 2);
    assert_eq!(daemon.api("events").as_array().unwrap().len(), 1);
    assert_eq!(daemon.api("names")[0]["name"], "shop.example");
    assert_eq!(daemon.api("status")["history"]["unlisted"], 0);
    home.configure(upstream.address, &level("counts-only"));
    daemon.signal("HUP");
    daemon.tells("was read again");
    Ask::new("shop.example", RecordType::A).of(daemon.dns);
    assert_eq!(daemon.api("totals")["queries"], 3);
    assert_eq!(daemon.api("events").as_array().unwrap().len(), 1);
    let devices = daemon.api("devices");
    let names: Vec<_> =
        devices.as_array().unwrap().iter().map(|it| it["device"]["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"everyone") && names.len() == 2, "{names:?}");
}
