//! Rules of the person's own for one device and for a while, and finding what broke: over page, API and command line.

use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::{Daemon, Home};
use crate::support::eventually;
use crate::support::upstream::Upstream;

const HOME: &str = "[[lists]]\nname = \"trackers\"\nrules = [\"||pixel.example^\", \"||cdn.example^\"]\n\
    [[devices]]\nname = \"Kitchen TV\"\naddresses = [\"127.0.0.7\"]\n[[devices]]\nname = \"Phone\"\naddresses = [\"127.0.0.8\"]\n";
const TV: [u8; 4] = [127, 0, 0, 7];
const PHONE: [u8; 4] = [127, 0, 0, 8];
const BLOCKED: &str = "0.0.0.0";
const PASSED: &str = "198.51.100.1";

fn answer(daemon: &Daemon, name: &str, from: [u8; 4]) -> String {
    let ask = Ask { from: from.into(), ..Ask::new(name, RecordType::A) };
    ask.of(daemon.dns).addresses().join(" ")
}

fn post(daemon: &Daemon, path: &str, body: &str) -> (u16, String) {
    let origin = format!("http://{}", daemon.web);
    let kind =
        if path.starts_with("/api") { "application/json" } else { "application/x-www-form-urlencoded" };
    daemon.request("POST", path, &[("content-type", kind), ("origin", &origin)], body)
}

#[test]
fn an_allowance_is_for_one_device_and_ends_by_itself_also_after_a_restart() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, HOME);
    let daemon = home.start();
    assert_eq!(answer(&daemon, "cdn.example", TV), BLOCKED);
    let said = daemon.run(&["allow", "cdn.example", "--device", "kitchen tv", "--for", "15m"]);
    assert!(said.contains("cdn.example on Kitchen TV is let through for 15 minutes"), "{said}");
    assert_eq!(answer(&daemon, "cdn.example", TV), PASSED);
    assert_eq!(answer(&daemon, "cdn.example", PHONE), BLOCKED);
    let explained = daemon.run(&["explain", "cdn.example", "--device", "Kitchen TV"]);
    assert!(explained.contains("@@||cdn.example^$client=127.0.0.7"), "{explained}");
    assert!(daemon.run(&["explain", "cdn.example"]).starts_with("cdn.example is blocked"));
    assert!(daemon.get("/explain?name=cdn.example&device=127.0.0.7").contains("When"));
    let rules = daemon.api("rules");
    assert_eq!(rules[0]["device"]["name"], "Kitchen TV");
    assert!(rules[0]["until"].is_string(), "{rules}");
    assert!(daemon.run(&["rules"]).contains("Kitchen TV"));
    assert!(daemon.stop().success());

    let daemon = home.start();
    assert_eq!(answer(&daemon, "cdn.example", TV), PASSED, "it is kept over a restart");
    assert!(daemon.run(&["keep", "cdn.example", "--device", "127.0.0.7"]).contains("stays let through"));
    assert!(daemon.api("rules")[0]["until"].is_null());
    daemon.run(&["forget", "cdn.example", "--device", "Kitchen TV"]);
    assert_eq!(answer(&daemon, "cdn.example", TV), BLOCKED);

    let wish = r#"{"action": "allow", "rule": "cdn.example", "device": "Kitchen TV", "for_secs": 2}"#;
    assert_eq!(post(&daemon, "/api/v1/rules", wish).0, 200);
    assert_eq!(answer(&daemon, "cdn.example", TV), PASSED);
    eventually("it is blocked again", || (answer(&daemon, "cdn.example", TV) == BLOCKED).then_some(()));
    eventually("it is out of the file", || {
        let file = std::fs::read_to_string(home.path().join("data/rules.toml")).unwrap();
        (!file.contains("until")).then_some(())
    });
    assert_eq!(daemon.api("rules").as_array().unwrap().len(), 0);
}

#[test]
fn what_broke_is_found_allowed_kept_and_undone_by_clicks() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, HOME);
    assert_eq!(answer(&daemon, "px.pixel.example", TV), BLOCKED);
    assert_eq!(answer(&daemon, "login.cdn.example", TV), BLOCKED);
    assert_eq!(answer(&daemon, "other.pixel.example", PHONE), BLOCKED);
    let suspects = eventually("both are there", || {
        let suspects = daemon.api("devices/Kitchen%20TV/blocked-lately?minutes=2");
        (suspects.as_array().unwrap().len() == 2).then_some(suspects)
    });
    assert_eq!(suspects[0]["name"], "login.cdn.example");
    assert_eq!(
        (suspects[0]["likelihood"].as_str(), suspects[0]["lists"].as_u64()),
        (Some("likely"), Some(1))
    );
    assert_eq!(suspects[0]["allow"], "login.cdn.example$client=127.0.0.7");
    let told = daemon.run(&["fix", "Kitchen TV"]);
    assert!(told.find("login.cdn.example").unwrap() < told.find("px.pixel.example").unwrap(), "{told}");
    assert!(told.contains("pixelsink allow login.cdn.example --device 'Kitchen TV' --for 15m"), "{told}");

    let page = daemon.get("/devices/127.0.0.7/fix");
    assert!(page.contains("login.cdn.example") && !page.contains("other.pixel.example"), "{page}");
    let rule = "rule=login.cdn.example%24client%3D127.0.0.7&back=%2Fdevices%2F127.0.0.7%2Ffix";
    assert_eq!(post(&daemon, "/rules/allow-for", rule).0, 303);
    assert_eq!(answer(&daemon, "login.cdn.example", TV), PASSED);
    assert_eq!(answer(&daemon, "login.cdn.example", PHONE), BLOCKED);
    let page = daemon.get("/devices/127.0.0.7/fix");
    assert!(page.contains("allowed now") && page.contains("15 minutes left"), "{page}");
    assert_eq!(post(&daemon, "/rules/keep", rule).0, 303);
    assert!(daemon.get("/devices/127.0.0.7/fix").contains("for good"));
    assert!(daemon.get("/rules").contains("Kitchen TV"));
    assert_eq!(post(&daemon, "/rules/forget", rule).0, 303);
    assert_eq!(answer(&daemon, "login.cdn.example", TV), BLOCKED);
    let page = daemon.get("/devices/127.0.0.9/fix");
    assert!(page.contains("Nothing was blocked on it in the last 10 minutes"), "{page}");
    assert!(daemon.get("/fix").contains("Kitchen TV"));
}

#[test]
fn what_is_done_is_undone_by_the_button_of_its_note() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, HOME);
    daemon.run(&["block", "shop.example"]);
    daemon.run(&["allow", "shop.example", "--for", "10m"]);
    assert_eq!(answer(&daemon, "shop.example", TV), PASSED);
    let origin = format!("http://{}", daemon.web);
    let act = |path: &str, body: &str| {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let headers = [kind, ("origin", origin.as_str()), ("accept", "application/json")];
        let (status, said) = daemon.request("POST", path, &headers, body);
        assert_eq!(status, 200, "{said}");
        serde_json::from_str::<serde_json::Value>(&said).unwrap()
    };
    // For good, in place of both; then back to both.
    let said = act("/rules/allow", "rule=shop.example");
    assert_eq!(daemon.api("rules").as_array().unwrap().len(), 1);
    act("/rules/undo", &format!("number={}", said["undo"]));
    let rules = daemon.api("rules");
    assert_eq!(rules.as_array().unwrap().len(), 2, "{rules}");
    assert!(
        rules.as_array().unwrap().iter().any(|rule| rule["action"] == "block" && rule["until"].is_null())
    );
    assert!(
        rules.as_array().unwrap().iter().any(|rule| rule["action"] == "allow" && rule["until"].is_string())
    );
    // What changes nothing has nothing to undo.
    daemon.run(&["forget", "shop.example"]);
    assert!(act("/rules/block", "rule=shop.example")["undo"].is_null());
}

#[test]
fn the_rules_page_keeps_what_was_typed_tells_what_is_wrong_and_what_a_rule_would_match() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, HOME);
    for name in ["a.shop.example", "b.shop.example", "elsewhere.example"] {
        answer(&daemon, name, TV);
    }
    assert_eq!(post(&daemon, "/rules/block", "rule=shop+example&back=%2Frules").0, 303);
    // The first note of this daemon, to which the answer leads.
    let page = daemon.get("/rules?note=0");
    assert!(page.contains("value=\"shop example\"") && page.contains("aria-invalid"), "{page}");
    assert!(page.contains("<code>shop example</code> is not a rule"), "{page}");
    let page = eventually("the names are counted", || {
        let page = daemon.get("/rules?rule=shop.example&device=127.0.0.7");
        page.contains("<b>2 of the 3 names</b> that were asked for by Kitchen TV").then_some(page)
    });
    assert!(page.contains("a.shop.example"), "{page}");
    // A rule is changed: the new one takes the old one's place.
    daemon.run(&["block", "shop.example"]);
    let page = daemon.get("/rules?edit=shop.example");
    assert!(page.contains("Change <code>shop.example</code>"), "{page}");
    let body = "rule=a.shop.example&device=127.0.0.7&instead_of=shop.example&back=%2Frules";
    assert_eq!(post(&daemon, "/rules/block", body).0, 303);
    let rules = daemon.api("rules");
    assert_eq!(rules.as_array().unwrap().len(), 1, "{rules}");
    assert_eq!(rules[0]["rule"], "a.shop.example$client=127.0.0.7");
    assert_eq!(answer(&daemon, "a.shop.example", PHONE), PASSED);
    assert_eq!(answer(&daemon, "a.shop.example", TV), BLOCKED);
}
