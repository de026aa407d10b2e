//! What may happen to the file.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;

use crate::clock::Clock;
use crate::history::EventFilter;
use crate::history::Totals;
use crate::history::flush::Counts;
use crate::history::schema::migrate_to;
use crate::history::store::Store;
use crate::history::testkit::TestClock;
use crate::history::testkit::ever;
use crate::history::testkit::options;
use crate::history::testkit::store;

/// A file with some hundred events.
fn filled(dir: &Path, clock: &std::sync::Arc<TestClock>) -> PathBuf {
    let options = options(dir);
    let mut store = store(&options, clock);
    for number in 0..2000 {
        store.hear(clock, &[&format!("block tv n{number}.pixel.example")]);
    }
    store.close().unwrap();
    options.file.unwrap()
}

/// Files in `dir` whose names contain `word`.
fn files(dir: &Path, word: &str) -> Vec<String> {
    let names =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.contains(word)).collect();
    names.sort();
    names
}

/// The history works, and says that `file` was set aside.
#[track_caller]
fn check_begun_anew(store: &mut Store, clock: &TestClock, word: &str, told: &str) {
    store.hear(clock, &["block phone pixel.example"]);
    store.flush(Counts::Due).unwrap();
    assert!(store.attached);
    assert_eq!(store.totals(ever(), None).unwrap().hits, 1);
    let file = store.options.file.clone().unwrap();
    let aside = files(file.parent().unwrap(), &format!(".{word}-"));
    assert_eq!(aside.first().map(String::as_str), Some(&*format!("history.sqlite3.{word}-20260114T123000Z")));
    let problem = store.health().problem.unwrap();
    assert!(problem.contains(&aside[0]) && problem.contains(told), "{problem}");
    // A person who takes the file away has done what there is to do.
    for name in aside {
        std::fs::remove_file(file.with_file_name(name)).unwrap();
    }
    assert_eq!(store.health().problem, None);
}

/// What is done to a file.
type Damage = fn(&mut Vec<u8>);

#[test]
fn a_damaged_file_is_set_aside() {
    let damages: [(&str, Damage); 5] = [
        ("not a database", |octets| octets[..16].fill(b'x')),
        ("", |octets| octets.fill(0xA5)),
        ("", |octets| octets.truncate(4096 * 3 + 100)),
        ("", |octets| octets.truncate(50)),
        ("", |octets| octets[4096 * 10..4096 * 14].fill(0xFF)),
    ];
    for (told, damage) in damages {
        let dir = tempfile::tempdir().unwrap();
        let clock = TestClock::new();
        let file = filled(dir.path(), &clock);
        let mut octets = std::fs::read(&file).unwrap();
        damage(&mut octets);
        std::fs::write(&file, &octets).unwrap();
        let mut store = store(&options(dir.path()), &clock);
        let aside = files(dir.path(), ".damaged-");
        assert_eq!(std::fs::read(dir.path().join(&aside[0])).unwrap(), octets, "{told}");
        check_begun_anew(&mut store, &clock, "damaged", told);
    }
}

#[test]
fn damage_that_is_found_later_is_dealt_with_then() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let file = filled(dir.path(), &clock);
    let octets = std::fs::read(&file).unwrap();
    let mut store = store(&options(dir.path()), &clock);
    store.hear(&clock, &["block phone beacon.example"]);
    // What SQLite has in its own memory it does not read again.
    store.db.execute_batch("PRAGMA file.cache_size = 0; PRAGMA shrink_memory").unwrap();
    std::fs::write(&file, [&octets[..4096], &vec![0xFF; octets.len() - 4096]].concat()).unwrap();
    assert!(store.totals(ever(), None).is_err());
    // The question is asked again of what is left: memory.
    assert_eq!(store.read(|store| store.totals(ever(), None)).unwrap().hits, 1);
    let aside = files(dir.path(), ".damaged-");
    assert!(!aside.is_empty());
    assert!(store.health().problem.unwrap().contains(&aside[0]));
    store.flush(Counts::Due).unwrap();
    assert_eq!(store.totals(ever(), None).unwrap().hits, 1);
}

#[test]
fn a_file_of_another_program_or_of_a_newer_version_is_set_aside() {
    let cases = [
        ("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)", "damaged", "another program"),
        ("PRAGMA user_version = 99", "newer", "format 99 of a newer version"),
    ];
    for (sql, word, told) in cases {
        let dir = tempfile::tempdir().unwrap();
        let clock = TestClock::new();
        let file =
            if word == "newer" { filled(dir.path(), &clock) } else { dir.path().join("history.sqlite3") };
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        let mut store = store(&options(dir.path()), &clock);
        check_begun_anew(&mut store, &clock, word, told);
    }
}

#[test]
fn a_directory_that_can_not_be_made_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let data = dir.path().join("data");
    std::fs::write(&data, "a file stands in the way").unwrap();
    let mut store = store(&options(&data), &clock);
    store.hear(&clock, &["block tv pixel.example"]);
    assert!(store.flush(Counts::Due).is_err());
    assert!(store.health().problem.unwrap().contains("can't be written to"));
    assert_eq!((store.totals(ever(), None).unwrap().hits, store.health().unflushed), (1, 1));
    std::fs::remove_file(&data).unwrap();
    store.hear(&clock, &["block tv beacon.example"]);
    store.flush(Counts::Due).unwrap();
    let health = store.health();
    assert_eq!((health.problem, health.unflushed), (None, 0));
    store.close().unwrap();
    assert_eq!(crate::history::testkit::store(&options(&data), &clock).totals(ever(), None).unwrap().hits, 2);
}

#[test]
fn a_full_disk_loses_nothing_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    filled(dir.path(), &clock);
    let mut store = store(&options(dir.path()), &clock);
    let before = store.tell(ever()).unwrap();
    store.db.execute_batch("PRAGMA file.max_page_count = 1").unwrap();
    for number in 0..2000 {
        store.hear(&clock, &[&format!("pass tv m{number}.example")]);
    }
    let during = store.tell(ever()).unwrap();
    for _ in 0..2 {
        assert!(store.flush(Counts::Due).is_err());
        assert_eq!(store.tell(ever()).unwrap(), during);
        assert!(store.health().problem.unwrap().contains("full"));
    }
    store.db.execute_batch("PRAGMA file.max_page_count = 100000").unwrap();
    store.flush(Counts::Due).unwrap();
    assert_eq!(store.health().problem, None);
    assert_eq!(store.tell(ever()).unwrap(), during);
    assert_ne!(before, during);
}

#[test]
fn a_file_in_use_by_another_process_is_joined_later() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut first = store(&options(dir.path()), &clock);
    first.hear(
        &clock,
        &["block tv pixel.example", "pass phone www.shop.example", "block phone beacon.example"],
    );
    first.flush(Counts::Due).unwrap();
    first.hear(&clock, &["block tv late.pixel.example"]);
    let mut second = store(&options(dir.path()), &clock);
    assert!(second.health().problem.unwrap().contains("locked"));
    // The same identifiers stand for other names and devices here.
    second
        .hear(&clock, &["block phone www.shop.example", "block tv other.example", "allow tv pixel.example"]);
    first.close().unwrap();
    second.flush(Counts::Due).unwrap();
    assert_eq!(second.health().problem, None);
    let lines = [second.tell(ever()).unwrap(), second.tell_events(&EventFilter::default())].concat();
    insta::assert_snapshot!(lines.join("\n"), @r"
    all 5/7
    hour 2026-01-14T12:00:00Z 5/7
    company Meta 3 after 0, 0 cloaked on 2
    company Meta at 2026-01-14T12:00:00Z 3
    company Meta by beacon.example 1/1
    company Meta by late.pixel.example 1/1
    company Meta by pixel.example 1/2
    company Meta on phone 1
    company Meta on tv 2
    company other.example 1 after 0, 0 cloaked on 1
    company other.example at 2026-01-14T12:00:00Z 1
    company other.example by other.example 1/1
    company other.example on tv 1
    company shop.example 1 after 0, 0 cloaked on 1
    company shop.example at 2026-01-14T12:00:00Z 1
    company shop.example by www.shop.example 1/2
    company shop.example on phone 1
    device phone 2/3 by 2 from 2026-01-14T12:30:00Z to 2026-01-14T12:30:00Z
    device tv 3/4 by 2 from 2026-01-14T12:30:00Z to 2026-01-14T12:30:00Z
    name beacon.example 1/1
    name beacon.example on phone 1/1
    name late.pixel.example 1/1
    name late.pixel.example on tv 1/1
    name other.example 1/1
    name other.example on tv 1/1
    name pixel.example 1/2
    name pixel.example on tv 1/2
    name www.shop.example 1/2
    name www.shop.example on phone 1/2
    new Pixel on phone 1 true
    new Pixel on tv 2 true
    new other.example on tv 1 true
    new shop.example on phone 1 true
    tracker Pixel 3 on 2
    tracker other.example 1 on 1
    tracker shop.example 1 on 1
    2026-01-14T12:30:00Z tv pixel.example 28 3 allow own @@||pixel.example^ (Pixel)
    2026-01-14T12:30:00Z tv other.example 28 3 block own ||pixel.example^ (other.example)
    2026-01-14T12:30:00Z phone www.shop.example 28 3 block own ||pixel.example^ (shop.example)
    2026-01-14T12:30:00Z tv late.pixel.example 28 3 block own ||pixel.example^ (Pixel)
    2026-01-14T12:30:00Z phone beacon.example 28 3 block own ||pixel.example^ (Pixel)
    2026-01-14T12:30:00Z phone www.shop.example 28 3 pass (shop.example)
    2026-01-14T12:30:00Z tv pixel.example 28 3 block own ||pixel.example^ (Pixel)
    ");
}

#[test]
fn a_file_that_is_taken_away_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let file = filled(dir.path(), &clock);
    let mut store = store(&options(dir.path()), &clock);
    std::fs::remove_file(&file).unwrap();
    store.hear(&clock, &["pass tv www.shop.example"]);
    store.flush(Counts::Due).unwrap();
    store.close().unwrap();
    assert_eq!(
        crate::history::testkit::store(&options(dir.path()), &clock).totals(ever(), None).unwrap().queries,
        1
    );
}

#[test]
fn a_killed_daemon_leaves_what_was_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    let mut told = Vec::new();
    for minute in 0..5 {
        for number in 0..300 {
            store.hear(
                &clock,
                &[&format!("block tv n{number}.pixel.example"), &format!("pass tv m{minute}.example")],
            );
        }
        clock.pass(Duration::from_secs(60));
        store.flush(Counts::Due).unwrap();
        told = store.tell(ever()).unwrap();
    }
    store.hear(&clock, &["block tv lost.example"]);
    // What the disk has at this moment: the daemon goes on and knows nothing of it.
    let copy = tempfile::tempdir().unwrap();
    for name in files(dir.path(), "history") {
        std::fs::copy(dir.path().join(&name), copy.path().join(&name)).unwrap();
    }
    assert!(files(copy.path(), "-wal").len() == 1);
    let mut copy = crate::history::testkit::store(&options(copy.path()), &clock);
    assert_eq!(copy.health().problem, None);
    assert_eq!(copy.tell(ever()).unwrap(), told);
    assert_eq!(clock.now(), crate::history::testkit::time("2026-01-14T12:35:00Z"));
}

#[test]
fn a_killed_daemon_counts_what_it_flushed_after_a_clock_that_was_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut first = store(&options(dir.path()), &clock);
    clock.set("2026-06-01T00:00:00Z");
    first.hear(&clock, &["pass tv ahead.example"]);
    first.close().unwrap();
    clock.set("2026-01-14T12:00:00Z");
    let mut second = store(&options(dir.path()), &clock);
    // As if the file had been too large.
    second.db.execute("DELETE FROM file.event", []).unwrap();
    second.ids.forget();
    second.flush(Counts::Due).unwrap();
    second.hear(&clock, &["block tv counted.example"]);
    second.flush(Counts::Due).unwrap();
    second.hear(&clock, &["block tv uncounted.example"]);
    second.flush(Counts::Due).unwrap();
    second.die();
    let mut third = store(&options(dir.path()), &clock);
    assert_eq!(third.totals(ever(), None).unwrap().hits, 2);
}

#[test]
fn a_killed_daemon_counts_each_query_once_whether_it_was_listed_or_not() {
    // L: an interval whose queries are all listed; S: one of which only some are.
    for intervals in ["LLL", "S", "LS", "SL", "LSL", "SLLS", "LSSLL"] {
        let dir = tempfile::tempdir().unwrap();
        let clock = TestClock::new();
        let mut store = store(&options(dir.path()), &clock);
        let words = ["block tv pixel.example", "pass phone www.shop.example", "block tv pixel.example"];
        for interval in intervals.chars() {
            store.hear_sampled(&clock, &words, if interval == 'L' { 3 } else { 1 });
            clock.pass(Duration::from_secs(60));
            store.flush(Counts::Due).unwrap();
        }
        let told = store.tell(ever()).unwrap();
        let all = u64::try_from(intervals.len()).unwrap();
        assert_eq!(store.totals(ever(), None).unwrap(), Totals { queries: 3 * all, hits: 2 * all });
        let sampled = intervals.matches('S').count() as u64;
        assert_eq!(store.health().unlisted.queries, 2 * sampled);
        // What comes after the last flush is lost, and nothing else.
        store.hear_sampled(&clock, &words, 1);
        store.die();
        let mut store = crate::history::testkit::store(&options(dir.path()), &clock);
        assert_eq!(store.tell(ever()).unwrap(), told, "{intervals}");
    }
}

#[test]
fn totals_are_written_also_when_memory_had_no_room_for_names() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    store.hear(&clock, &["block tv pixel.example"]);
    store.db.execute("DELETE FROM main.count_name", []).unwrap();
    store.close().unwrap();
    let mut store = crate::history::testkit::store(&options(dir.path()), &clock);
    assert_eq!(store.totals(ever(), None).unwrap().hits, 1);
}

#[test]
fn a_file_of_the_second_version_keeps_every_count() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let old = Connection::open(options(dir.path()).file.unwrap()).unwrap();
    migrate_to(&old, "main", 2).unwrap();
    let wire = |name: &str| crate::name::DomainName::parse(name).unwrap().as_ref().as_wire().to_vec();
    for (id, name) in [(1, "a.pixel.example"), (2_000, "www.shop.example")] {
        old.execute("INSERT INTO name VALUES (?1, ?2, 20000)", rusqlite::params![id, wire(name)]).unwrap();
    }
    let first_hour = 491_000;
    let mut expected = std::collections::BTreeMap::new();
    let mut sum = Totals::default();
    for device in 1..=3_i64 {
        let row = rusqlite::params![
            device,
            format!("192.168.1.{device}"),
            format!("d{device}"),
            first_hour * 3_600_000,
            first_hour * 3_600_000
        ];
        old.execute("INSERT INTO device VALUES (?1, ?2, ?3, ?4, ?5)", row).unwrap();
        for hour in (0..2_000).filter(|hour| hour % (2 * device) == 0) {
            let (name, verdict) = if hour % 5 == 0 { (1, 2) } else { (2_000, hour % 2) };
            let n = 1 + hour % 100;
            let hour = first_hour + hour;
            old.execute("INSERT INTO count_device VALUES (?1, ?2, ?3, ?4)", [hour, device, verdict, n])
                .unwrap();
            old.execute(
                "INSERT INTO count_name VALUES (?1, ?2, ?3, ?4, ?5)",
                [hour, device, name, verdict, n],
            )
            .unwrap();
            let n = n.cast_unsigned();
            let hits = if verdict == 2 { n } else { 0 };
            let (of_hour, of_name): (&mut Totals, _) = (expected.entry(hour).or_default(), name);
            of_hour.queries += n;
            of_hour.hits += hits;
            assert_eq!(verdict == 2, of_name == 1);
            sum.queries += n;
            sum.hits += hits;
        }
    }
    drop(old);
    let mut store = store(&options(dir.path()), &clock);
    assert_eq!(store.health().problem, None);
    assert_eq!(store.totals(ever(), None), Ok(sum));
    let hours = store.hours(ever(), None).unwrap().into_iter().filter(|hour| 0 < hour.totals.queries);
    let hours: Vec<_> = hours.map(|hour| (hour.hour.as_second() / 3600, hour.totals)).collect();
    assert_eq!(hours, expected.into_iter().collect::<Vec<_>>());
    let names = store.names(ever(), None, false, 9).unwrap();
    let by_name = |name: &str| names.iter().find(|count| count.name.to_string() == name).unwrap().totals;
    assert_eq!(by_name("a.pixel.example"), Totals { queries: sum.hits, hits: sum.hits });
    assert_eq!(by_name("www.shop.example"), Totals { queries: sum.queries - sum.hits, hits: 0 });
    assert_eq!(store.trackers(ever(), None, 9).unwrap()[0].devices, 3);
    let left = "SELECT count(*) FROM file.sqlite_schema WHERE name LIKE 'old%'";
    assert_eq!(store.db.query_row(left, [], |row| row.get::<_, i64>(0)), Ok(0));
}

#[test]
fn a_killed_daemon_remembers_what_was_cloaked() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut first = store(&options(dir.path()), &clock);
    first.hear(&clock, &["pass tv www.shop.example"]);
    first.flush(Counts::Due).unwrap();
    first.hear(&clock, &["cloak tv www.shop.example a.pixel.example", "block tv www.shop.example"]);
    first.flush(Counts::Due).unwrap();
    let told = first.tell(ever()).unwrap();
    assert!(told.contains(&"company Meta 1 after 0, 1 cloaked on 1".to_owned()), "{told:#?}");
    assert!(
        told.contains(&"company Meta by www.shop.example for a.pixel.example 1/2".to_owned()),
        "{told:#?}"
    );
    first.die();
    let mut second = store(&options(dir.path()), &clock);
    assert_eq!(second.tell(ever()), Ok(told));
}
