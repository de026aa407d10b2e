//! Clocks that were never set, and clocks that jump: answers, their times and what is remembered do not depend on the clock on the
//! wall. It is changed by faketime, under the daemon that is built.

use std::path::PathBuf;
use std::process::Command;

use hickory_proto::rr::RecordType;

use crate::support::client::Ask;
use crate::support::daemon::{BINARY, Daemon, Home};
use crate::support::eventually;
use crate::support::upstream::Upstream;

/// The library that faketime puts before the system's; `None` where it is not installed.
fn faketime() -> Option<PathBuf> {
    let directories = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let found =
        directories.map(|directory| directory.join("faketime/libfaketimeMT.so.1")).find(|file| file.exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "faketime is needed");
        eprintln!("not tested: it needs faketime");
    }
    found
}

/// A daemon whose clock on the wall is what the file says; the one that only goes on stays true.
fn start_at(home: &Home, library: &PathBuf, time: &str) -> Daemon {
    set(home, time);
    let mut command = Command::new(BINARY);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", home.path().join("time"))
        .env("FAKETIME_NO_CACHE", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_DONT_RESET", "1")
        .env("TZ", "UTC");
    home.start_as(command)
}

fn set(home: &Home, time: &str) {
    // Written whole, since it is read at any time.
    let beside = home.path().join("time.new");
    std::fs::write(&beside, format!("{time}\n")).unwrap();
    std::fs::rename(beside, home.path().join("time")).unwrap();
}

/// Blocked, kept and fresh names are answered, and no time to live is anything but what it should be.
#[track_caller]
fn check_answers(daemon: &Daemon, fresh: &str) {
    for (name, address) in
        [("pixel.example", "0.0.0.0"), ("kept.example", "198.51.100.1"), (fresh, "198.51.100.1")]
    {
        let answer = Ask::new(name, RecordType::A).of(daemon.dns);
        assert_eq!(answer.addresses(), [address], "{name}");
        let ttl = answer.message.answers[0].ttl;
        assert!((200..=300).contains(&ttl), "{name}: {ttl}");
    }
}

#[test]
fn a_clock_that_was_never_set_and_one_that_jumps_change_no_answer() {
    let Some(library) = faketime() else { return };
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, "rules.block = [\"pixel.example\"]\ncache.keep = true\n");
    let daemon = start_at(&home, &library, "@1970-01-01 00:00:30");
    check_answers(&daemon, "at-1970.example");
    assert!(daemon.log().contains("1970-01-01T00:00:"), "the clock is not the test's: {}", daemon.log());
    eventually("a hit is on the page", || daemon.get("/log").contains("pixel.example").then_some(()));
    // It is set, runs far ahead, and is set back.
    for (number, time) in
        ["@2026-11-28 12:00:00", "@2056-01-01 00:00:00", "@2026-11-28 12:01:00", "@1970-01-01 00:10:00"]
            .iter()
            .enumerate()
    {
        set(&home, time);
        check_answers(&daemon, &format!("after-jump-{number}.example"));
        daemon.run(&["block", &format!("own{number}.example")]);
        daemon.run(&["allow", "--for", "1h", &format!("for-a-while{number}.example")]);
        assert_eq!(daemon.request("GET", "/", &[], "").0, 200);
        eventually("what was asked is written", || {
            (daemon.api("status")["history"]["unflushed"] == 0).then_some(())
        });
    }
    assert!(daemon.stop().success());
    // What each of these clocks wrote is read by the next one.
    for time in ["@2026-11-28 12:02:00", "@1970-01-01 00:00:30", "@2026-11-28 13:00:00"] {
        let daemon = start_at(&home, &library, time);
        check_answers(&daemon, &format!("after-{}.example", &time[1..5]));
        for number in 0..4 {
            let own = Ask::new(&format!("own{number}.example"), RecordType::A).of(daemon.dns);
            assert_eq!(own.addresses(), ["0.0.0.0"], "{time}: the person's own rule went away");
        }
        let aside: Vec<_> = std::fs::read_dir(home.path().join("data"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("damaged") || name.contains("newer"))
            .collect();
        assert_eq!(aside, Vec::<String>::new(), "{time}");
        assert!(daemon.stop().success());
    }
}
