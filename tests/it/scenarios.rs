//! Plays the stories in `tests/scenarios` against the built binary.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::Record;

use crate::support::client::Ask;
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::upstream::{Upstream, answer_to, record, soa, with_rcode};

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test] fn $name() { play(stringify!($name)); })*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

scenarios! {
    answers_adblock answers_forged answers_inward forwarding history lists_adblock lists_cname lists_dnsmasq lists_hosts lists_ip
    lists_regex lists_rpz lists_unbound mode_custom mode_nodata mode_nxdomain mode_refused names_local names_special
    names_special_forwarded own_rules own_rules_of_a_device precedence sinkhole upstream_silent
}

#[test]
fn every_scenario_is_played() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut found: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".txt")?.to_owned()))
        .collect();
    found.sort();
    assert_eq!(found, NAMES);
}

/// One paragraph: its first line and what is indented below.
struct Step {
    line: usize,
    head: String,
    body: Vec<String>,
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        // A comment begins in the first column; `#` further in belongs to a list.
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match line.strip_prefix("    ") {
            Some(body) => steps.last_mut().unwrap().body.push(body.to_owned()),
            None => steps.push(Step { line: number, head: line.trim().to_owned(), body: Vec::new() }),
        }
    }
    steps
}

/// What the upstream knows, by name and type.
#[derive(Default)]
struct Zone {
    answers: HashMap<(String, String), (ResponseCode, Vec<Record>)>,
    silent: HashSet<String>,
}

impl Zone {
    fn answer(&self, question: &Message) -> Option<Message> {
        let query = &question.queries[0];
        let name = query.name().to_ascii().to_ascii_lowercase().trim_end_matches('.').to_owned();
        if self.silent.contains(&name) {
            return None;
        }
        let mut answer = match self.answers.get(&(name, query.query_type().to_string())) {
            None => with_rcode(question, ResponseCode::NXDomain),
            Some((rcode, records)) => {
                let mut answer = answer_to(question);
                answer.metadata.response_code = *rcode;
                answer.answers = records.clone();
                answer
            }
        };
        if answer.answers.is_empty() {
            answer.add_authority(soa());
        }
        Some(answer)
    }
}

fn play(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/scenarios/{name}.txt"));
    let text = std::fs::read_to_string(&path).unwrap();
    let zone = Arc::new(Mutex::new(Zone::default()));
    let knows = Arc::clone(&zone);
    let upstream = Upstream::start(move |question| knows.lock().unwrap().answer(question));
    let (mut first, mut tables) = ("builtin.levels = []\n".to_owned(), String::new());
    let mut acts = Vec::new();
    for step in steps(&text) {
        let words: Vec<&str> = step.head.split_ascii_whitespace().collect();
        match words[..] {
            ["config"] => first.extend(step.body.iter().flat_map(|line| [line, "\n"])),
            ["list", list, ref kind @ ..] => {
                let kind = match kind {
                    [] => "block",
                    ["of", kind] => kind,
                    other => panic!("line {}: {other:?} says nothing of a list", step.line),
                };
                let list = format!("name = \"{list}\"\nkind = \"{kind}\"\nrules = {:?}", step.body);
                let _ = writeln!(tables, "[[lists]]\n{list}");
            }
            ["device", address, ..] => {
                let device = step.head.splitn(3, ' ').nth(2).unwrap();
                let _ = writeln!(tables, "[[devices]]\nname = \"{device}\"\naddresses = [\"{address}\"]");
            }
            ["upstream", "answers", name, rtype, ref rcode @ ..] => {
                let rcode = match rcode {
                    [] => ResponseCode::NoError,
                    ["SERVFAIL"] => ResponseCode::ServFail,
                    other => panic!("line {}: no RCODE {other:?} in scenarios", step.line),
                };
                let records = step.body.iter().map(|line| record(line)).collect();
                zone.lock().unwrap().answers.insert((name.to_owned(), rtype.to_owned()), (rcode, records));
            }
            ["upstream", "is", "silent", name] => {
                zone.lock().unwrap().silent.insert(name.to_owned());
            }
            _ => acts.push(step),
        }
    }
    let daemon = Daemon::start(upstream.address, &format!("{first}{tables}"));
    for act in &acts {
        let found = perform(act, &daemon, &upstream);
        let alike = |(found, expected): (&String, &String)| match expected.strip_suffix('*') {
            Some(beginning) => found.starts_with(beginning),
            None => found == expected,
        };
        let same = found.len() == act.body.len() && found.iter().zip(&act.body).all(alike);
        let (found, expected) = (found.join("\n    "), act.body.join("\n    "));
        assert!(
            same,
            "{name}.txt:{}: {}\n  came\n    {found}\n  expected\n    {expected}",
            act.line, act.head
        );
    }
}

/// Does what the step says and gives back what came of it.
fn perform(step: &Step, daemon: &Daemon, upstream: &Upstream) -> Vec<String> {
    let words: Vec<&str> = step.head.split_ascii_whitespace().collect();
    match words[..] {
        [address, "asks", name, rtype, ref how @ ..] => {
            let mut ask = Ask::new(name, rtype.parse().unwrap());
            ask.from = address.parse().unwrap();
            if step.body == ["nothing"] {
                // What is answered is answered in milliseconds.
                ask.patience = Duration::from_secs(2);
            }
            let mut how = how.iter();
            while let Some(&word) = how.next() {
                match (word, *how.next().unwrap()) {
                    ("over", "tcp") => ask.tcp = true,
                    ("without", "edns") => ask.edns = None,
                    ("with", "do") => ask.dnssec_ok = true,
                    ("with", "payload") => ask.edns = Some(how.next().unwrap().parse().unwrap()),
                    other => panic!("line {}: {other:?} is no way of asking", step.line),
                }
            }
            ask.try_of(daemon.dns).map_or_else(|| vec!["nothing".to_owned()], |answer| answer.words())
        }
        [_, "runs", ref arguments @ ..] => {
            daemon.run(arguments);
            Vec::new()
        }
        ["upstream", "was", "asked", count, "times"] => {
            assert_eq!(upstream.asked().to_string(), count, "line {}: the upstream's questions", step.line);
            Vec::new()
        }
        ["history"] => eventually("the history tells it all", || {
            let events = daemon.api("events?limit=100");
            let events = events.as_array().unwrap();
            (events.len() == step.body.len()).then(|| events.iter().rev().map(told).collect())
        }),
        _ => panic!("line {}: `{}` is no step of a scenario", step.line, step.head),
    }
}

/// One event of the history, as scenarios write it.
fn told(event: &serde_json::Value) -> String {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let verdict = &event["verdict"];
    let rule = &verdict["rule"];
    let mut told = format!(
        "{}, {} {}: {}",
        text(&event["device"]["name"]),
        text(&event["name"]),
        text(&event["qtype"]),
        text(&verdict["is"])
    );
    if rule.is_object() {
        let _ = write!(told, ", {} {}", text(&rule["list"]), text(&rule["rule"]));
    }
    told
}
