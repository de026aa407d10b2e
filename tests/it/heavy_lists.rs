//! Lists that are larger and stranger than anyone means: they cost time in the background, and no query waits for them.
//!
//! Bounds are wide: they tell "it hangs" from "it works", whatever the machine.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;
use serde_json::Value;

use crate::support::client::Ask;
use crate::support::daemon::{Daemon, Home};
use crate::support::upstream::Upstream;

/// How long a list may take from its configuration until it is in force, here and on a machine that does other things too.
const LOAD_MAX: Duration = Duration::from_secs(480);
/// How long any question may take meanwhile: a client asks again after 5 seconds.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Asks, and holds the answer to the bound.
#[track_caller]
fn ask(daemon: &Daemon, name: &str) -> Vec<String> {
    let begun = Instant::now();
    let answer = Ask::new(name, RecordType::A).of(daemon.dns).words();
    assert!(begun.elapsed() < ANSWER_MAX, "{name} took {:?}", begun.elapsed());
    answer
}

fn blocks(daemon: &Daemon, name: &str) -> bool {
    ask(daemon, name).get(1).is_some_and(|answer| answer.starts_with("A 0.0.0.0"))
}

/// Whether rules of the list were told of already, and this name, which the list ends with, is blocked: rules are in force a moment
/// before that is told.
fn is_told_and_blocks(name: &str) -> impl Fn(&Daemon, &Value) -> bool {
    move |daemon, status| status["rules"].as_u64().is_some_and(|rules| 0 < rules) && blocks(daemon, name)
}

fn list(daemon: &Daemon, name: &str) -> Value {
    let lists = daemon.api("lists");
    lists.as_array().unwrap().iter().find(|list| list["name"] == name).cloned().unwrap_or_default()
}

/// Adds a list to a running daemon and asks on until `is_done` says so; gives back what the API has of the list then.
#[track_caller]
fn load(text: &str, is_done: impl Fn(&Daemon, &Value) -> bool) -> (Daemon, Value, Upstream) {
    let upstream = Upstream::generous();
    let home = Home::new();
    let small = "builtin.levels = []\n[[lists]]\nname = \"small\"\nrules = [\"small.example\"]\n";
    home.configure(upstream.address, small);
    let daemon = home.start();
    let path = home.path().join("heavy.txt");
    std::fs::write(&path, text).unwrap();
    let heavy = format!("{small}[[lists]]\nname = \"heavy\"\npath = \"{}\"\n", path.display());
    home.configure(upstream.address, &heavy);
    daemon.signal("HUP");
    let begun = Instant::now();
    let mut number = 0;
    loop {
        number += 1;
        assert!(blocks(&daemon, "small.example"), "what was in force went away");
        assert!(!blocks(&daemon, &format!("free{number}.example")));
        // Over HTTP it may wait for other things; it is asked seldom.
        if number % 8 == 0 {
            let status = list(&daemon, "heavy");
            if is_done(&daemon, &status) {
                eprintln!("it took {:?}: {status}", begun.elapsed());
                return (daemon, status, upstream);
            }
        }
        assert!(begun.elapsed() < LOAD_MAX, "it takes too long: {}", list(&daemon, "heavy"));
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// How many lines were skipped for a reason.
fn skipped(status: &Value, reason: &str) -> u64 {
    let skipped = status["skipped"].as_array().unwrap();
    let counts = skipped.iter().filter(|skipped| skipped["reason"] == reason);
    counts.map(|skipped| skipped["count"].as_u64().unwrap()).sum()
}

/// The sum of all that lines were taken for; none is blank.
fn accounted(status: &Value) -> u64 {
    let count = |key: &str| status[key].as_u64().unwrap();
    let skipped = status["skipped"].as_array().unwrap().iter();
    let skipped: u64 = skipped.map(|skipped| skipped["count"].as_u64().unwrap()).sum();
    count("rule_lines") + count("comments") + skipped
}

#[test]
fn a_list_of_a_hundred_thousand_expressions_is_refused_as_a_whole() {
    let mut text = String::new();
    for number in 0..100_000 {
        let _ = writeln!(text, "^ads{number}[a-f]+\\.(cdn|img)[0-9]*\\.example$");
    }
    // A slow machine tells meanwhile that it is still being read.
    let refused = "more than 10,000 patterns in one list";
    let (daemon, _, _upstream) =
        load(&text, |_, status| status["problem"].as_str().is_some_and(|problem| problem.contains(refused)));
    assert!(!blocks(&daemon, "ads1a.cdn.example"));
}

#[test]
fn expressions_beyond_the_bounds_are_counted_and_the_rest_is_in_force() {
    let mut text = String::new();
    for number in 0..100_000 {
        // As many names as expressions, so that most of the list can be read.
        let _ = writeln!(text, "^(.*[.-])?ads{number}[a-f]{{1,8}}[0-9]*\\.\nn{number}.example");
    }
    let (daemon, status, _upstream) = load(&text, is_told_and_blocks("n99999.example"));
    assert!(blocks(&daemon, "x.ads7ab12.example"));
    let (refused, rules) = (skipped(&status, "too-many-patterns"), status["rules"].as_u64().unwrap());
    assert!(90_000 <= refused, "{status}");
    assert_eq!(rules + refused, 200_000);
    assert_eq!(accounted(&status), 200_000);
}

#[test]
fn expressions_that_are_hard_to_match_do_not_keep_a_query_waiting() {
    let mut text = String::new();
    for number in 0..4_000 {
        // No piece of text tells where to look, and many states are alive at once.
        let (one, two) = (number % 50, number / 50);
        let _ = writeln!(text, "^.{{0,{one}}}[a-m].{{0,{two}}}[n-z].{{{},60}}[0-9]$", number % 7);
    }
    text.push_str("last.example\n");
    let (daemon, status, _upstream) = load(&text, is_told_and_blocks("last.example"));
    let longest = format!("{}.{}.{}.example", "an".repeat(31), "zb9".repeat(20), "mno".repeat(20));
    let begun = Instant::now();
    for number in 0..10 {
        ask(&daemon, &format!("q{number}.{longest}"));
    }
    eprintln!("a query took {:?}", begun.elapsed() / 10);
    assert_eq!(accounted(&status), 4_001);
}

#[test]
fn lines_of_ten_megabytes_are_counted_and_the_rest_is_in_force() {
    let long = "a".repeat(10 * 1024 * 1024);
    let mut text = String::new();
    for number in 0..3 {
        let _ = writeln!(text, "n{number}.example\n{long}\n0.0.0.0 {}", "b.example ".repeat(1024 * 1024));
    }
    text.push_str("last.example\n");
    let (daemon, status, _upstream) = load(&text, is_told_and_blocks("last.example"));
    assert!(blocks(&daemon, "n2.example"));
    assert_eq!((skipped(&status, "too-long"), status["rules"].as_u64()), (6, Some(4)), "{status}");
    assert_eq!(accounted(&status), 10);
}

#[test]
fn a_million_rules_under_one_label_are_in_force() {
    let mut text = String::new();
    for number in 0..1_000_000 {
        let _ = writeln!(text, "||{number:x}.one.example^");
    }
    let (daemon, status, _upstream) = load(&text, is_told_and_blocks("f423f.one.example"));
    assert_eq!(status["rules"], 1_000_000, "{status}");
    for number in (0..1_000_000).step_by(54_321) {
        assert!(blocks(&daemon, &format!("a.{number:x}.one.example")));
        assert!(!blocks(&daemon, &format!("{number:x}z.one.example")));
    }
    assert!(!blocks(&daemon, "one.example"));
}
