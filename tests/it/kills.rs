//! Kills at any moment of everything that is kept: after each, the next start has all that was told to be done, whole.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::{BINARY, Daemon, Home};
use crate::support::eventually;
use crate::support::list_server::{ListServer, Reply};
use crate::support::upstream::Upstream;

fn blocks(daemon: &Daemon, name: &str) -> bool {
    Ask::new(name, RecordType::A).of(daemon.dns).addresses() == ["0.0.0.0"]
}

fn random(bound: u64) -> u64 {
    rand::random_range(0..bound)
}

/// Files below `directory` by which an interrupted write can be told.
fn half_written(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let count = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        let is_left = name.ends_with(".new") || name.starts_with("next-") || name.starts_with(".tmp");
        let below = if entry.file_type().unwrap().is_dir() { half_written(&entry.path()) } else { 0 };
        usize::from(is_left) + below
    };
    entries.map(count).sum()
}

/// What another program finds in the data directory of a daemon that was killed.
#[track_caller]
fn check_files(home: &Home, case: &str) {
    let data = home.path().join("data");
    // A copy, so that the daemon finds the file as it was left.
    let copy = tempfile::tempdir().unwrap();
    for part in ["", "-wal"] {
        let name = format!("history.sqlite3{part}");
        if data.join(&name).exists() {
            std::fs::copy(data.join(&name), copy.path().join(&name)).unwrap();
        }
    }
    let history = rusqlite::Connection::open(copy.path().join("history.sqlite3")).unwrap();
    let check: String = history.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok", "{case}");
    for file in ["rules.toml", "rules.toml.last-good", "devices.toml"] {
        if let Ok(text) = std::fs::read_to_string(data.join(file)) {
            assert!(
                text.parse::<toml_edit::DocumentMut>().is_ok() && text.ends_with('\n'),
                "{case}: {file}: {text}"
            );
        }
    }
    let note = std::fs::read(data.join("lists/remote/revisions.json"));
    assert!(note.is_err() || serde_json::from_slice::<serde_json::Value>(&note.unwrap()).is_ok(), "{case}");
    let left = half_written(&data);
    assert!(left <= 6, "{case}: {left} half-written files pile up");
}

/// Kills the daemon in each round at a random moment: of its start, or while rules, devices, lists, settings and the history change.
fn kill_again_and_again(rounds: u64) {
    let upstream = Upstream::generous();
    let text = |number: u64| {
        let names: String = (0..1_500).map(|name| format!("n{name}.of-{}.example\n", number % 5)).collect();
        Reply { etag: None, ..Reply::list(&format!("listed.example\nonly-in-{number}.example\n{names}"), "") }
    };
    let server = ListServer::start(text(0));
    let home = Home::new();
    let configure = |round: u64| {
        let list = format!(
            "builtin.levels = []\ncache.keep = true\nrules.block = [\"own.example\", \"c{round}.example\"]\n\
             download.timeout = \"3s\"\n[[lists]]\nname = \"remote\"\nurl = \"{}\"\n",
            server.url()
        );
        home.configure(upstream.address, &list);
    };
    configure(0);
    let daemon = home.start();
    eventually("the list is in force", || blocks(&daemon, "listed.example").then_some(()));
    // So that a copy is there to be looked at.
    daemon.run(&["block", "kept.example"]);
    daemon.kill();
    let (mut granted, mut in_start) = (BTreeSet::new(), 0);
    let begun = Instant::now();
    for round in 1..=rounds {
        let case = format!("round {round}");
        if random(4) == 0 {
            // While it starts.
            let mut command = Command::new(BINARY);
            let mut child =
                command.args(["run", "--config"]).arg(home.config()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(random(400)));
            child.kill().unwrap();
            child.wait().unwrap();
            in_start += 1;
        } else {
            let daemon = home.start();
            server.now_says(text(round));
            configure(round);
            daemon.signal("HUP");
            let dns = daemon.dns;
            let hits = std::thread::spawn(move || {
                let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
                for number in 0..400 {
                    let packet = Ask::new(&format!("h{number}.own.example"), RecordType::A)
                        .message()
                        .to_vec()
                        .unwrap();
                    let _ = socket.send_to(&packet, dns);
                    std::thread::sleep(Duration::from_millis(1));
                }
            });
            let wishes = {
                let home = home.clone();
                std::thread::spawn(move || {
                    let _ = home.run(&["lists", "refresh"]);
                    let mut granted = Vec::new();
                    for number in 0..3 {
                        let name = format!("w{round}-{number}.example");
                        if !home.run(&["block", &name]).status.success() {
                            break;
                        }
                        granted.push(name);
                        let _ = home.run(&["devices", "rename", "127.0.0.1", &format!("desk {round}")]);
                    }
                    granted
                })
            };
            std::thread::sleep(Duration::from_millis(random(1_500)));
            daemon.kill();
            granted.extend(wishes.join().unwrap());
            hits.join().unwrap();
        }
        check_files(&home, &case);
        let daemon = home.start();
        for name in ["own.example", "kept.example", "listed.example", "h1.own.example"] {
            assert!(blocks(&daemon, name), "{case}: {name} is not blocked\n{}", daemon.log());
        }
        assert!(!blocks(&daemon, "free.example"), "{case}");
        // What was told to be done in this round or before.
        for name in granted.iter().rev().take(8) {
            assert!(blocks(&daemon, name), "{case}: {name} was granted and is gone");
        }
        assert_eq!(daemon.api("status")["problems"], serde_json::json!([]), "{case}");
        assert!(daemon.api("status")["history"]["problem"].is_null(), "{case}");
        daemon.kill();
    }
    let daemon = home.start();
    for name in &granted {
        assert!(blocks(&daemon, name), "{name} was granted and is gone");
    }
    daemon.run(&["block", "last.example"]);
    server.now_says(text(10_000));
    assert!(home.run(&["lists", "refresh"]).status.success());
    assert!(daemon.stop().success());
    let left = half_written(&home.path().join("data"));
    assert_eq!(left, 0, "half-written files are left");
    eprintln!(
        "{rounds} kills, {in_start} of them while it started, in {} s: {} wishes were granted and all are kept",
        begun.elapsed().as_secs(),
        granted.len()
    );
}

#[test]
fn a_kill_at_any_time_leaves_all_that_was_told_to_be_done() {
    kill_again_and_again(10);
}

#[test]
#[ignore = "it takes minutes: tests/faults/run"]
fn two_hundred_kills_leave_all_that_was_told_to_be_done() {
    kill_again_and_again(200);
}
