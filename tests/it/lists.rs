//! Lists that come from elsewhere: they change, fail and come back.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;
use serde_json::Value;

use crate::support::client::Ask;
use crate::support::daemon::{Daemon, Home};
use crate::support::eventually;
use crate::support::list_server::{ListServer, Reply};
use crate::support::upstream::Upstream;

/// Whether the daemon blocks `name` now.
fn blocks(daemon: &Daemon, name: &str) -> bool {
    Ask::new(name, RecordType::A).of(daemon.dns).addresses() == ["0.0.0.0"]
}

fn list_status(daemon: &Daemon) -> Value {
    daemon.api("lists")[0].clone()
}

/// Refreshes and gives back the list's problem, if it has one.
fn refresh(daemon: &Daemon) -> Option<String> {
    let output = daemon.home().run(&["lists", "refresh", "--output", "json"]);
    let lists: Value = serde_json::from_slice(&output.stdout).unwrap();
    let problem = lists[0]["problem"].as_str().map(str::to_owned);
    assert_eq!(output.status.success(), problem.is_none());
    problem
}

fn config(server: &ListServer) -> String {
    format!(
        "builtin.levels = []\ndownload.size_max = \"1MiB\"\ndownload.timeout = \"3s\"\n[[lists]]\nname = \"remote\"\nurl = \"{}\"\n",
        server.url()
    )
}

#[test]
fn a_list_changes_stays_fails_and_comes_back() {
    let upstream = Upstream::generous();
    let server = ListServer::start(Reply::list("||one.example^\n", "\"1\""));
    let daemon = Daemon::start(upstream.address, &config(&server));
    eventually("the first revision is in force", || blocks(&daemon, "one.example").then_some(()));

    server.now_says(Reply::list("||two.example^\n", "\"2\""));
    assert_eq!(refresh(&daemon), None);
    assert!(blocks(&daemon, "two.example") && !blocks(&daemon, "one.example"));

    assert_eq!(refresh(&daemon), None);
    assert_eq!(server.given.lock().unwrap().last(), Some(&304), "asked with the ETag");
    assert!(blocks(&daemon, "two.example"));

    for (reply, reason) in [
        (Reply::status(500, "oops"), "500"),
        (Reply::status(404, "no such list"), "404"),
        (
            Reply::status(200, "<!DOCTYPE html><html><body>Log in to the hotel's network</body></html>"),
            "HTML",
        ),
        (Reply::status(200, ""), "has no rule in it (0 lines)"),
        (Reply::status(200, "# nothing but\n# comments\n"), "no rule"),
        (Reply { body: b"\x7fELF\0\0\0\0".to_vec(), ..Reply::status(200, "") }, "binary"),
        (Reply { endless: true, ..Reply::status(200, "||one.example^\n") }, "1 MiB"),
    ] {
        server.now_says(reply.clone());
        let problem = refresh(&daemon).unwrap_or_else(|| panic!("{reply:?} was taken"));
        assert!(problem.contains(reason), "{problem}");
        assert!(blocks(&daemon, "two.example"), "the last good revision went away: {problem}");
        assert_eq!(list_status(&daemon)["problem"], problem.as_str());
    }

    server.now_says(Reply::list("||three.example^\n", "\"3\""));
    assert_eq!(refresh(&daemon), None);
    assert!(blocks(&daemon, "three.example") && !blocks(&daemon, "two.example"));
}

#[test]
fn the_last_good_revision_outlives_a_restart_without_the_server() {
    let upstream = Upstream::generous();
    let server = ListServer::start(Reply::list("||one.example^\n", "\"1\""));
    let home = Home::new();
    home.configure(upstream.address, &config(&server));
    let daemon = home.start();
    eventually("it is in force", || blocks(&daemon, "one.example").then_some(()));
    assert!(daemon.stop().success());
    drop(server);
    let daemon = home.start();
    assert!(blocks(&daemon, "one.example"), "in force before the daemon is ready");
    let problem = refresh(&daemon).unwrap();
    assert!(problem.contains("list.txt"), "{problem}");
    assert!(blocks(&daemon, "one.example"));
}

#[test]
fn the_host_of_a_list_is_looked_up_over_the_upstream() {
    let server = ListServer::start(Reply::list("||one.example^\n", "\"1\""));
    let upstream = Upstream::generous();
    upstream.now_says(|question| {
        let mut answer = crate::support::upstream::answer_to(question);
        let query = &question.queries[0];
        if query.name().to_ascii() == "lists.example." && query.query_type() == RecordType::A {
            answer.add_answer(crate::support::upstream::record("lists.example 60 A 127.0.0.1"));
        }
        Some(answer)
    });
    let url = server.url().replace("127.0.0.1", "lists.example");
    let list = format!("builtin.levels = []\n[[lists]]\nname = \"remote\"\nurl = \"{url}\"\n");
    let daemon = Daemon::start(upstream.address, &list);
    eventually("it is in force", || blocks(&daemon, "one.example").then_some(()));
}

#[test]
fn a_saved_file_takes_effect_within_a_second() {
    let upstream = Upstream::generous();
    let home = Home::new();
    let file = home.path().join("mine.txt");
    std::fs::write(&file, "one.example\n").unwrap();
    home.configure(upstream.address, &format!("[[lists]]\nname = \"mine\"\npath = \"{}\"\n", file.display()));
    let daemon = home.start();
    assert!(blocks(&daemon, "one.example"));

    let within_a_second = |name: &str| {
        let saved = Instant::now();
        eventually(name, || blocks(&daemon, name).then_some(()));
        assert!(saved.elapsed() < Duration::from_secs(1), "{name} took {:?}", saved.elapsed());
    };
    std::fs::write(&file, "one.example\ntwo.example\n").unwrap();
    within_a_second("two.example");
    // As editors save: beside it, then renamed over it.
    let beside = home.path().join("mine.txt~");
    for name in ["three.example", "four.example"] {
        std::fs::write(&beside, format!("{name}\n")).unwrap();
        std::fs::rename(&beside, &file).unwrap();
        within_a_second(name);
    }
    std::fs::remove_file(&file).unwrap();
    eventually("the loss is told", || {
        daemon.api("lists").as_array().unwrap().iter().any(|list| list["problem"].is_string()).then_some(())
    });
    assert!(blocks(&daemon, "four.example"), "what was there stays in force");
}

#[test]
fn every_syntax_is_told_apart() {
    let upstream = Upstream::generous();
    let mut lists = "builtin.levels = []\n".to_owned();
    for (name, rule) in [
        ("hosts", "0.0.0.0 a.hosts.example b.hosts.example"),
        ("domains", "a.domains.example"),
        ("wildcard", "*.wildcard.example"),
        ("adblock", "||adblock.example^"),
    ] {
        let _ = writeln!(lists, "[[lists]]\nname = \"{name}\"\nrules = [\"{rule}\"]");
    }
    let daemon = Daemon::start(upstream.address, &lists);
    for list in daemon.api("lists").as_array().unwrap() {
        assert_eq!(list["format"], list["name"]);
    }
    for (name, blocked) in [
        ("b.hosts.example", true),
        ("x.a.hosts.example", false),
        ("a.domains.example", true),
        ("x.a.domains.example", false),
        ("wildcard.example", true),
        ("x.wildcard.example", true),
        ("x.adblock.example", true),
    ] {
        assert_eq!(blocks(&daemon, name), blocked, "{name}");
    }
}
