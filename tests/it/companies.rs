//! Who tracks whom, asked from the command line and over HTTP.

use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::Daemon;
use crate::support::upstream::Upstream;

const LIST: &str = "[[lists]]\nname = \"trackers\"\nrules = [\"||pixel.example^\"]\n[[devices]]\nname = \"Kitchen TV\"\naddresses = [\"127.0.0.7\"]\n";

/// A home in which a TV met two companies, one of which the catalogue knows, and asked for a name that passes.
fn home(upstream: &Upstream) -> Daemon {
    let daemon = Daemon::start(upstream.address, LIST);
    let asked = [
        ("t.pixel.example", RecordType::A),
        ("log.samba.tv", RecordType::A),
        ("www.example", RecordType::AAAA),
    ];
    for (name, rtype) in asked {
        let mut ask = Ask::new(name, rtype);
        ask.from = [127, 0, 0, 7].into();
        ask.of(daemon.dns);
    }
    daemon
}

#[test]
fn companies_are_told_with_their_products_devices_and_names() {
    let upstream = Upstream::generous();
    let daemon = home(&upstream);
    for arguments in [&["companies"][..], &["companies", "--device", "kitchen tv", "--hours", "1"]] {
        let companies = daemon.run(arguments);
        assert!(companies.contains("Samba TV ACR") && companies.contains("pixel.example"), "{companies}");
    }
    let company = daemon.run(&["company", "Samba TV"]);
    for told in ["blocked 1 time on 1 device", "smart tv telemetry", "Kitchen TV  127.0.0.7", "log.samba.tv"]
    {
        assert!(company.contains(told), "{told} in {company}");
    }
    let news = daemon.run(&["news"]);
    assert!(news.contains("Kitchen TV (127.0.0.7) asked for the first time"), "{news}");
    let json: serde_json::Value =
        serde_json::from_str(&daemon.get("/api/v1/companies/pixel.example")).unwrap();
    assert_eq!(
        (&json["company"]["hits"], &json["company"]["hits_before"]),
        (&1.into(), &serde_json::Value::Null)
    );
    assert_eq!(json["names"][0]["name"], "t.pixel.example");
    let hours = json["hours"].as_array().unwrap();
    assert_eq!(hours.iter().map(|hour| hour["hits"].as_u64().unwrap()).sum::<u64>(), 1);
    let page = daemon.get("/companies/Samba%20TV");
    assert!(page.contains("What is on your television screen"), "{page}");
    let (status, body) = daemon.request("GET", "/companies/nobody%20at%20all", &[], "");
    assert_eq!(status, 404, "{body}");
    assert!(body.contains("No company called"), "{body}");
}

#[test]
fn the_log_is_filtered_alike_everywhere() {
    let upstream = Upstream::generous();
    let daemon = home(&upstream);
    let cases = [
        (&["--verdict", "passed"][..], "verdict=passed", "www.example"),
        (&["--type", "aaaa"], "type=aaaa", "www.example"),
        (&["--company", "Samba TV", "--since", "5m"], "company=Samba%20TV&from=5m", "log.samba.tv"),
        (&["--device", "Kitchen TV", "--name", "pixel"], "device=127.0.0.7&name=pixel", "t.pixel.example"),
    ];
    for (arguments, address, name) in cases {
        let log = daemon.run(&[&["log"], arguments].concat());
        assert_eq!(log.lines().count(), 2, "{arguments:?}: {log}");
        assert!(log.contains(name), "{arguments:?}: {log}");
        let page = daemon.get(&format!("/log?{address}"));
        assert_eq!(
            page.matches("<td data-label=\"Time\" class=\"time\"><time datetime").count(),
            1,
            "{address}: {page}"
        );
        assert!(page.contains(name), "{address}: {page}");
    }
    assert_eq!(daemon.run(&["log", "--until", "1h"]).lines().count(), 1);
}

#[test]
fn the_report_comes_as_text_html_and_json() {
    let upstream = Upstream::generous();
    let daemon = home(&upstream);
    let text = daemon.run(&["report", "--week", "this"]);
    assert!(text.lines().all(|line| line.chars().count() <= 78), "{text}");
    for told in [
        "Who tracked your home",
        "2 of 3 questions were blocked (67 %)",
        "on Kitchen TV",
        "This is the first week",
    ] {
        assert!(text.contains(told), "{told} in {text}");
    }
    let of_device = daemon.run(&["report", "--week", "this", "--device", "Kitchen TV"]);
    assert!(of_device.starts_with("Who tracked Kitchen TV, "), "{of_device}");
    let html = daemon.run(&["report", "--week", "this", "--output", "html"]);
    assert!(html.starts_with("<!doctype html>") && html.contains("Samba TV ACR"), "{html}");
    let json: serde_json::Value =
        serde_json::from_str(&daemon.run(&["report", "--week", "this", "--output", "json"])).unwrap();
    assert_eq!((&json["hits"], &json["devices"][0]["companies_total"]), (&2.into(), &2.into()));
    assert!(daemon.run(&["report", "--week", "2020-W01"]).contains("No question was asked."));
    assert!(daemon.get("/report").contains("Kitchen TV"));
}
