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
fn a_saved_file_takes_effect_long_before_it_is_looked_for() {
    let upstream = Upstream::generous();
    let home = Home::new();
    let file = home.path().join("mine.txt");
    std::fs::write(&file, "one.example\n").unwrap();
    home.configure(upstream.address, &format!("[[lists]]\nname = \"mine\"\npath = \"{}\"\n", file.display()));
    let daemon = home.start();
    assert!(blocks(&daemon, "one.example"));

    // Files are looked at every 30 seconds where nothing is heard of them.
    let soon = |name: &str| {
        let saved = Instant::now();
        eventually(name, || blocks(&daemon, name).then_some(()));
        assert!(saved.elapsed() < Duration::from_secs(10), "{name} took {:?}", saved.elapsed());
    };
    std::fs::write(&file, "one.example\ntwo.example\n").unwrap();
    soon("two.example");
    // As editors save: beside it, then renamed over it.
    let beside = home.path().join("mine.txt~");
    for name in ["three.example", "four.example"] {
        std::fs::write(&beside, format!("{name}\n")).unwrap();
        std::fs::rename(&beside, &file).unwrap();
        soon(name);
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

/// So many names that begin with a word.
fn names(word: &str, count: usize) -> String {
    (0..count).map(|number| format!("{word}{number}.example\n")).collect()
}

/// What the command line says, without what changes from run to run.
fn said(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.home().run(arguments);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap().replace(daemon.home().path().to_str().unwrap(), "HOME");
    let is_changing = |word: &&str| {
        let digits = word.chars().filter(char::is_ascii_digit).count();
        let is_id = word.len() == 8 && word.chars().all(|c| c.is_ascii_hexdigit()) && 0 < digits;
        is_id || 8 <= digits && word.contains('-') || word.len() == 5 && word.as_bytes()[2] == b':'
    };
    let line = |line: &str| {
        let words = line.split(' ').map(|word| if is_changing(&word) { "~" } else { word });
        words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_list_that_lost_much_waits_and_is_accepted_compared_and_taken_back() {
    let upstream = Upstream::generous();
    let server = ListServer::start(Reply::list(&names("a", 500), "\"1\""));
    let daemon = Daemon::start(upstream.address, &config(&server));
    eventually("it is in force", || blocks(&daemon, "a499.example").then_some(()));
    insta::assert_snapshot!(said(&daemon, &["lists", "rollback", "remote"]), @"pixelsink: no earlier revision of `remote` is kept yet");
    server.now_says(Reply::list(&format!("{}new.example\n", names("a", 3)), "\"2\""));
    let problem = refresh(&daemon).unwrap();
    insta::assert_snapshot!(problem, @"A newer text waits for your word. It has 4 rules where the one in force has 500: more than half are gone. Accept it here or by `pixelsink lists accept remote`; `pixelsink lists diff remote --to waiting` shows what would change. The text before it stays in force.");
    assert!(blocks(&daemon, "a499.example"));
    assert_eq!(list_status(&daemon)["waiting"]["rules"], 4);
    let diff = said(&daemon, &["lists", "diff", "remote", "--to", "waiting"]);
    assert!(
        diff.starts_with(
            "remote: 1 came and 497 went between ~ of ~ ~ and ~ of ~ ~\n- =a3.example  (line 4)"
        ),
        "{diff}"
    );
    assert!(diff.ends_with("+ =new.example  (line 4)"), "{diff}");
    insta::assert_snapshot!(said(&daemon, &["lists", "accept", "remote"]), @"The newer text of `remote` was accepted: 4 rules are in force.");
    assert!(blocks(&daemon, "new.example") && !blocks(&daemon, "a499.example"));
    insta::assert_snapshot!(said(&daemon, &["lists", "accept", "remote"]), @"pixelsink: no revision of `remote` waits to be accepted");
    insta::assert_snapshot!(said(&daemon, &["lists", "rollback", "remote"]), @"`remote` is held at its revision of ~ with 500 rules. `pixelsink lists follow remote` lets it change again.");
    assert!(blocks(&daemon, "a499.example"));
    let revisions = said(&daemon, &["lists", "revisions", "remote"]);
    assert!(revisions.contains("kept") && revisions.contains("in force"), "{revisions}");
    // It stays there, over a power cut too.
    let home = daemon.home().clone();
    daemon.kill();
    let daemon = home.start();
    assert_eq!(refresh(&daemon), None);
    assert!(blocks(&daemon, "a499.example"));
    assert!(said(&daemon, &["lists"]).contains("remote: held at its revision by you, since ~"));
    insta::assert_snapshot!(said(&daemon, &["lists", "follow", "remote"]), @"`remote` follows its source again; its revision of ~ is in force.");
    assert!(blocks(&daemon, "new.example"));
    insta::assert_snapshot!(said(&daemon, &["lists", "rollback", "remote", "xyz"]), @"pixelsink: `remote` has no revision `xyz`; `pixelsink lists revisions remote` shows those that are kept");
}

#[test]
fn rules_that_would_break_the_net_wait_until_they_are_accepted() {
    let upstream = Upstream::generous();
    let server = ListServer::start(Reply::list("||one.example^\n||google.com^\n", "\"1\""));
    let daemon = Daemon::start(upstream.address, &config(&server));
    eventually("it is in force", || blocks(&daemon, "one.example").then_some(()));
    assert!(!blocks(&daemon, "google.com"));
    let lists = said(&daemon, &["lists"]);
    let told = "remote: ||google.com^ (line 2) is not in force unless you accept it: it would block google.com, one of the most visited names";
    assert!(lists.contains(told), "{lists}");
    insta::assert_snapshot!(said(&daemon, &["lists", "accept", "remote"]), @"pixelsink: no revision of `remote` waits to be accepted; 1 of its rules are held back: accept one with `pixelsink lists accept remote RULE`, or all with --all-rules");
    insta::assert_snapshot!(said(&daemon, &["lists", "accept", "remote", "||google.com^"]), @"The rule ||google.com^ of `remote` was accepted and is in force.");
    assert!(blocks(&daemon, "google.com"));
    let home = daemon.home().clone();
    daemon.kill();
    let daemon = home.start();
    assert!(blocks(&daemon, "google.com"));
}

#[test]
fn lists_are_added_and_removed_while_it_runs() {
    let upstream = Upstream::generous();
    let server = ListServer::start(Reply::list("||one.example^\n", "\"1\""));
    let home = Home::new();
    home.configure(
        upstream.address,
        "builtin.levels = []\n[[lists]]\nname = \"fixed\"\nrules = [\"fixed.example\"]\n",
    );
    let daemon = home.start();
    insta::assert_snapshot!(said(&daemon, &["lists", "add", &server.url()]), @"`list` was added and is being fetched; `pixelsink lists` shows how it is.");
    eventually("it is in force", || blocks(&daemon, "one.example").then_some(()));
    std::fs::write(home.path().join("mine.txt"), "mine.example\n").unwrap();
    let mine = home.path().join("mine.txt");
    let arguments = ["lists", "add", mine.to_str().unwrap(), "--name", "mine", "--subdomains"];
    insta::assert_snapshot!(said(&daemon, &arguments), @"`mine` was added and is being fetched; `pixelsink lists` shows how it is.");
    assert!(blocks(&daemon, "a.mine.example"));
    for (arguments, expected) in [
        (
            &["lists", "add", &server.url()][..],
            "There is a list named `list` already; give this one another name with --name.",
        ),
        (
            &["lists", "add", "no-such"],
            "`no-such` is no well-known list; `pixelsink lists known` shows them.",
        ),
        (&["lists", "add", "ftp://a.example/l"], "This can't be a list: `ftp://a.example/l` is not a URL;"),
        (
            &["lists", "add", &server.url(), "--name", "x", "--kind", "y"],
            "`y` is no kind of list; expected `block`, `allow` or `cname`",
        ),
        (
            &["lists", "remove", "fixed"],
            "`fixed` stands in HOME/pixelsink.toml; take it out there and reload.",
        ),
        (&["lists", "remove", "pixelsink"], "is built in; write `levels = []` under [builtin]"),
        (&["lists", "remove", "no-such"], "There is no list named `no-such`."),
    ] {
        let said = said(&daemon, arguments);
        assert!(said.contains(expected), "{said}");
    }
    let known = said(&daemon, &["lists", "known"]);
    assert!(known.contains("balanced") && known.contains("easyprivacy"), "{known}");
    let file = home.path().join("data/lists.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    daemon.kill();
    let daemon = home.start();
    assert!(blocks(&daemon, "one.example") && blocks(&daemon, "a.mine.example"));
    // A broken file is told and not written over, and what is in force stays, over a restart too.
    std::fs::write(&file, format!("{text}[[lists]]\nname = 7\n")).unwrap();
    let refused = said(&daemon, &["lists", "remove", "mine"]);
    assert!(refused.contains("lists.toml:") && refused.contains("Nothing was changed."), "{refused}");
    assert!(blocks(&daemon, "a.mine.example"));
    assert!(daemon.stop().success());
    let daemon = home.start();
    assert!(blocks(&daemon, "a.mine.example"));
    assert!(daemon.api("status")["problems"].to_string().contains("lists.toml:"));
    std::fs::write(&file, text).unwrap();
    insta::assert_snapshot!(said(&daemon, &["lists", "remove", "mine"]), @"`mine` was removed. What was kept of it stays on the disk for 30 days.");
    assert!(!blocks(&daemon, "a.mine.example") && blocks(&daemon, "one.example"));
}

#[test]
fn names_of_a_list_of_targets_are_blocked_only_where_answers_lead_to_them() {
    let upstream = Upstream::generous();
    upstream.now_says(|question| {
        let mut answer = crate::support::upstream::answer_to(question);
        if question.queries[0].name().to_ascii() == "shop.example." {
            answer.add_answer(crate::support::upstream::record("shop.example 60 CNAME x.tracker.example"));
            answer.add_answer(crate::support::upstream::record("x.tracker.example 60 A 192.0.2.7"));
        } else {
            answer.add_answer(crate::support::upstream::record("x.tracker.example 60 A 192.0.2.7"));
        }
        Some(answer)
    });
    let list = "builtin.levels = []\n[[lists]]\nname = \"cloaked\"\nkind = \"cname\"\nrules = [\"tracker.example\"]\n";
    let daemon = Daemon::start(upstream.address, list);
    assert_eq!(daemon.api("lists")[0]["kind"], "cname");
    assert!(blocks(&daemon, "shop.example"));
    assert!(!blocks(&daemon, "x.tracker.example"));
}
