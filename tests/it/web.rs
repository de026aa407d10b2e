//! What a browser gets, without a browser.

use std::collections::HashSet;

use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::{Daemon, Home};
use crate::support::eventually;
use crate::support::upstream::Upstream;

const LIST: &str = "[[lists]]\nname = \"trackers\"\nrules = [\"||pixel.example^\"]\n[[devices]]\nname = \"Kitchen TV\"\naddresses = [\"127.0.0.7\"]\n";

#[test]
fn a_hit_is_on_the_page_under_its_device() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, LIST);
    let mut ask = Ask::new("t.pixel.example", RecordType::A);
    ask.from = [127, 0, 0, 7].into();
    ask.of(daemon.dns);
    for page in ["/", "/devices", "/log", "/devices/127.0.0.7"] {
        eventually(page, || daemon.get(page).contains("Kitchen TV").then_some(()));
    }
    for page in ["/log", "/devices/127.0.0.7"] {
        assert!(daemon.get(page).contains("t.pixel.example"), "{page}");
    }
}

#[test]
fn a_button_writes_a_rule_and_the_next_question_proves_it() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, LIST);
    let origin = format!("http://{}", daemon.web);
    let press = |what: &str, rule: &str| {
        let form = [("content-type", "application/x-www-form-urlencoded"), ("origin", origin.as_str())];
        daemon.request("POST", &format!("/rules/{what}"), &form, &format!("rule={rule}&back=%2Flog"))
    };
    let answer = |name: &str| Ask::new(name, RecordType::A).of(daemon.dns).addresses();
    assert_eq!(answer("pixel.example"), ["0.0.0.0"]);
    assert_eq!(press("allow", "pixel.example").0, 303);
    assert_eq!(answer("pixel.example"), ["198.51.100.1"]);
    assert_eq!(press("block", "www.example").0, 303);
    assert_eq!(answer("www.example"), ["0.0.0.0"]);
    assert!(daemon.get("/rules").contains("www.example"));
    assert_eq!(press("forget", "www.example").0, 303);
    assert_eq!(answer("www.example"), ["198.51.100.1"]);
}

#[test]
fn another_site_can_not_press_a_button_or_rebind_the_page() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, LIST);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let evil = [form, ("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")];
    assert_eq!(daemon.request("POST", "/rules/allow", &evil, "rule=pixel.example").0, 403);
    assert_eq!(daemon.request("GET", "/", &[("host", "evil.example")], "").0, 421);
    for path in ["/", "/log", "/lists", "/rules", "/devices", "/api/v1/status"] {
        daemon.get(path);
    }
}

#[test]
fn names_from_the_network_are_shown_as_text() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, LIST);
    // Octets that presentation format would escape: asked as they are, on the wire.
    let mut packet = Ask::new("x.pixel.example", RecordType::A).message().to_vec().unwrap();
    let label = b"<img src=x onerror=alert(1)>\"'";
    let tail = packet.split_off(14);
    packet.pop();
    packet[12..].copy_from_slice(&[u8::try_from(label.len()).unwrap()]);
    packet.extend_from_slice(label);
    packet.extend_from_slice(&tail);
    crate::support::client::over_udp(daemon.dns, [127, 0, 0, 1].into(), &packet).unwrap();
    eventually("the hit is in the log", || daemon.get("/log").contains("onerror").then_some(()));
    for page in ["/", "/log", "/devices/127.0.0.1"] {
        let page = daemon.get(page);
        assert!(!page.contains("<img src=x") && !page.contains("onerror=alert(1)>"), "{page}");
    }
}

#[test]
fn the_api_describes_itself_and_operations_are_there() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, LIST);
    let openapi = daemon.api("openapi.json");
    assert!(openapi["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(daemon.get("/healthz").trim(), "ok");
    Ask::new("pixel.example", RecordType::A).of(daemon.dns);
    let metrics = daemon.get("/metrics");
    assert!(
        metrics.contains(r#"pixelsink_queries_total{verdict="block",answered="sinkhole"} 1"#),
        "{metrics}"
    );
    let (status, body) = daemon.request("GET", "/nothing", &[], "");
    assert_eq!(status, 404);
    assert!(body.contains("</html>"));
}

#[test]
fn the_dashboard_asks_for_numbers_that_are_told() {
    let upstream = Upstream::generous();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "filed.example\n").unwrap();
    let filed = format!("{LIST}[[lists]]\nname = \"filed\"\npath = {:?}\n", file.path());
    let daemon = Daemon::start(upstream.address, &filed);
    Ask::new("pixel.example", RecordType::A).of(daemon.dns);
    Ask::new("fine.example", RecordType::AAAA).of(daemon.dns);
    let metrics = daemon.get("/metrics");
    let told: HashSet<&str> = metrics
        .lines()
        .filter_map(|line| line.split(['{', ' ']).next())
        .filter(|name| *name != "#")
        .collect();
    let dashboard = include_str!("../../docs/grafana.json");
    let rules = include_str!("../../docs/monitoring.md");
    let asked = dashboard.lines().filter(|line| line.contains(r#""expr":"#));
    let asked: HashSet<&str> = asked
        .chain(rules.lines().filter(|line| line.contains("expr:")))
        .flat_map(|line| line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_'))
        .filter(|word| word.starts_with("pixelsink_") || word.starts_with("process_"))
        .collect();
    assert!(20 < asked.len(), "{asked:?}");
    let missing: Vec<_> = asked.difference(&told).collect();
    assert!(missing.is_empty(), "{missing:?} of\n{metrics}");
    for line in [
        r#"pixelsink_query_types_total{qtype="AAAA"} 1"#,
        r#"pixelsink_answers_total{rcode="NOERROR"} 2"#,
        r#"pixelsink_list_failed{list="trackers"} 0.0"#,
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line}\n{metrics}");
    }
}

#[test]
fn rules_that_the_page_wrote_outlive_a_restart_and_keep_comments() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, LIST);
    let daemon = home.start();
    daemon.run(&["allow", "pixel.example"]);
    let file = home.path().join("data/rules.toml");
    let written = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("# mine\n{written}")).unwrap();
    daemon.run(&["block", "www.example"]);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("# mine\n"));
    assert!(daemon.stop().success());
    let daemon = home.start();
    assert_eq!(Ask::new("pixel.example", RecordType::A).of(daemon.dns).addresses(), ["198.51.100.1"]);
    assert_eq!(Ask::new("www.example", RecordType::A).of(daemon.dns).addresses(), ["0.0.0.0"]);
}
