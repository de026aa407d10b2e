//! Catalogues of trackers beside the built-in one: the person's own, and public ones that are downloaded.

use serde_json::Value;

use crate::support::client::Ask;
use crate::support::daemon::{Daemon, Home};
use crate::support::eventually;
use crate::support::list_server::{ListServer, Reply};
use crate::support::upstream::Upstream;

const OWN: &str = "[Tag]\ncompany Mine\nkind web-analytics\nreports All of it.\npixel pixel.example\n\
                   {Mine}\nparent Group\nprivacy https://mine.example/privacy\n";

/// A catalogue in the form of Ghostery's, with one company and these domains.
fn public(domains: &[&str]) -> String {
    let domains: serde_json::Map<String, Value> =
        domains.iter().map(|domain| ((*domain).to_owned(), "p".into())).collect();
    serde_json::json!({
        "organizations": {"o": {"name": "Public Inc", "privacy_policy_url": "https://public.example/privacy"}},
        "patterns": {"p": {"name": "Public tag", "category": "advertising", "organization": "o"}},
        "domains": domains,
    })
    .to_string()
}

fn who(daemon: &Daemon, name: &str) -> Value {
    daemon.api(&format!("explain?name={name}"))["who"].clone()
}

fn company(daemon: &Daemon, name: &str) -> Option<String> {
    who(daemon, name)["company"].as_str().map(str::to_owned)
}

/// The catalogue of this name, as the daemon tells of it.
fn status(daemon: &Daemon, name: &str) -> Value {
    let all = daemon.api("catalogues");
    all.as_array().unwrap().iter().find(|it| it["name"] == *name).cloned().unwrap_or_default()
}

#[test]
fn the_persons_own_catalogue_wins_and_is_watched() {
    let upstream = Upstream::generous();
    let home = Home::new();
    let own = home.path().join("mine.txt");
    let google = "[Google Analytics]\ncompany Somebody\nkind web-analytics\nnonsense\n";
    std::fs::write(&own, format!("{OWN}{google}")).unwrap();
    let more = format!("[trackers]\nfiles = [\"{}\"]\n", own.display());
    home.configure(upstream.address, &more);
    let checked = String::from_utf8(home.run(&["check"]).stdout).unwrap();
    assert!(checked.contains("mine.txt, line 12: expected a word and a value"), "{checked}");
    let daemon = home.start();
    eventually("the file is in force", || company(&daemon, "a.pixel.example"));
    let mine = who(&daemon, "pixel.example");
    assert_eq!(mine["company"], "Mine");
    assert_eq!(mine["parent"], "Group");
    assert_eq!(mine["privacy"], "https://mine.example/privacy");
    let told = daemon.run(&["explain", "pixel.example"]);
    assert!(told.contains("part of Group") && told.contains("https://mine.example/privacy"), "{told}");
    // The built-in names of a product are whose the person says that it is.
    assert_eq!(company(&daemon, "www.google-analytics.com").as_deref(), Some("Somebody"));
    let own_name = own.display().to_string();
    eventually("what is wrong with it is told", || {
        status(&daemon, &own_name)["problem"].to_string().contains("mine.txt, line 12").then_some(())
    });
    assert!(daemon.api("status")["problems"].to_string().contains("mine.txt, line 12"));

    std::fs::write(&own, OWN.replace("company Mine", "company Other")).unwrap();
    eventually("the saved file is in force", || {
        (company(&daemon, "pixel.example").as_deref() == Some("Other")).then_some(())
    });
    assert_eq!(company(&daemon, "www.google-analytics.com").as_deref(), Some("Google"));
    eventually("nothing is wrong with it", || status(&daemon, &own_name)["problem"].is_null().then_some(()));

    // Whoever reloads finds it read when that is done.
    std::fs::write(&own, OWN).unwrap();
    std::fs::write(home.config(), std::fs::read_to_string(home.config()).unwrap().replace(&more, ""))
        .unwrap();
    daemon.signal("HUP");
    eventually("the file is no longer in use", || company(&daemon, "pixel.example").is_none().then_some(()));
}

#[test]
fn a_public_catalogue_is_downloaded_kept_and_never_lost() {
    let upstream = Upstream::generous();
    let server = ListServer::start(Reply::list(
        &public(&["a.example", "b.example", "www.google-analytics.com"]),
        "\"1\"",
    ));
    let home = Home::new();
    let source = format!("{{ name = \"ghostery\", urls = [\"{}\"] }}", server.url());
    home.configure(upstream.address, &format!("[trackers]\ndownload = [{source}]\n"));
    let daemon = home.start();
    eventually("it is in force", || company(&daemon, "x.a.example"));
    assert_eq!(who(&daemon, "a.example")["privacy"], "https://public.example/privacy");
    assert_eq!(company(&daemon, "www.google-analytics.com").as_deref(), Some("Google"), "it only adds");
    let told = daemon.run(&["trackers"]);
    assert!(
        told.contains("ghostery") && told.contains("CC-BY-NC-SA-4.0") && told.contains("adguard"),
        "{told}"
    );
    assert!(daemon.get("/catalogues").contains("3 names of 1 product of 1 company"));

    for (reply, reason) in [
        (Reply::status(500, "oops"), "500"),
        (Reply::status(200, "<html>Log in</html>"), "not in the form"),
        (Reply::list("{\"organizations\":{},\"patterns\":{},\"domains\":{}}", "\"2\""), "names no domain"),
        (Reply { endless: true, ..Reply::status(200, "") }, "larger than"),
    ] {
        server.now_says(reply);
        let output = home.run(&["trackers", "refresh", "ghostery"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.contains(reason), "{reason}: {told}");
        assert!(told.contains("last good"), "{told}");
        assert_eq!(company(&daemon, "a.example").as_deref(), Some("Public Inc"));
    }
    server.now_says(Reply::list(&public(&["a.example", "b.example", "c.example"]), "\"3\""));
    daemon.run(&["trackers", "refresh", "ghostery"]);
    assert_eq!(company(&daemon, "c.example").as_deref(), Some("Public Inc"));
    daemon.run(&["trackers", "refresh", "ghostery"]);
    assert_eq!(server.given.lock().unwrap().last(), Some(&304), "asked with the ETag");
    assert_eq!(status(&daemon, "ghostery")["names"], 3);

    let refused = home.run(&["trackers", "remove", "ghostery"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("stands in the configuration"));
    let unknown = home.run(&["trackers", "add", "nobody"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no public catalogue"));

    // What is kept serves after a restart, also when nobody answers.
    daemon.stop();
    drop(server);
    let daemon = home.start();
    eventually("what was kept is in force", || company(&daemon, "c.example"));
}

#[test]
fn a_list_tells_what_would_pass_without_it() {
    let upstream = Upstream::generous();
    let lists = "builtin.levels = []\n\
                 [[lists]]\nname = \"one\"\ndescription = \"what televisions report to\"\nrules = [\"# Title: The first\", \"||only.example^\", \"||both.example^\"]\n\
                 [[lists]]\nname = \"two\"\nrules = [\"||both.example^\"]\n";
    let daemon = Daemon::start(upstream.address, lists);
    for (name, times) in
        [("only.example", 3), ("a.only.example", 1), ("both.example", 5), ("good.example", 2)]
    {
        for _ in 0..times {
            Ask::new(name, hickory_proto::rr::RecordType::A).of(daemon.dns);
        }
    }
    let without = daemon.api("lists/one/without");
    assert_eq!(without["blocked"], serde_json::json!({"names": 3, "hits": 9}));
    assert_eq!(without["alone"], serde_json::json!({"names": 2, "hits": 4}));
    assert_eq!(without["shared"], serde_json::json!({"names": 1, "hits": 5}));
    assert_eq!(without["names"][0]["name"], "only.example");
    assert_eq!(daemon.api("lists/two/without")["alone"]["names"], 0);
    assert_eq!(daemon.request("GET", "/api/v1/lists/three/without", &[], "").0, 404);
    let told = daemon.run(&["lists", "without", "one"]);
    assert!(told.contains("9 hits on 3 names") && told.contains("4 hits on 2 names would pass"), "{told}");
    let page = daemon.get("/lists/one?without=1");
    assert!(page.contains("<b>4 hits on 2 names</b> would pass"), "{page}");
    assert!(page.contains("The first: what televisions report to"), "{page}");
    let told = daemon.run(&["explain", "only.example"]);
    assert!(told.contains("The list whose rule decides is The first: what televisions report to"), "{told}");
}
