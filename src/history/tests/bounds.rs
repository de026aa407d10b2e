//! Everything has a bound.

use std::time::Duration;

use crate::clock::Clock;
use crate::event::Batch;
use crate::event::CountKind;
use crate::event::Tally;
use crate::history::EventFilter;
use crate::history::HistoryError;
use crate::history::HistoryOptions;
use crate::history::counts::each_name;
use crate::history::flush::Counts;
use crate::history::flush::NAMES_COUNTED;
use crate::history::testkit::TestClock;
use crate::history::testkit::event;
use crate::history::testkit::ever;
use crate::history::testkit::options;
use crate::history::testkit::store;
use crate::name::DomainName;

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn what_is_too_old_is_forgotten() {
    for in_file in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let clock = TestClock::new();
        let mut options =
            HistoryOptions { events_kept: 7 * DAY, counts_kept: 30 * DAY, ..options(dir.path()) };
        if !in_file {
            options.file = None;
        }
        let mut store = store(&options, &clock);
        store.hear(&clock, &["block tv pixel.example"]);
        store.flush(Counts::Due).unwrap();
        let mut seen = Vec::new();
        for _ in 0..45 {
            clock.pass(DAY);
            store.hear(&clock, &["pass phone www.shop.example"]);
            store.flush(Counts::Due).unwrap();
            let hits = EventFilter { hits_only: true, ..Default::default() };
            let hits = (
                store.events(&EventFilter { limit: 9, ..hits }).unwrap().len(),
                store.totals(ever(), None).unwrap().hits,
            );
            let rows = |sql: &str| store.db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            let db = if in_file { "file" } else { "main" };
            let rules = rows(&format!("SELECT count(*) FROM {db}.rule"));
            let names = rows(&format!("SELECT count(*) FROM {db}.name"));
            let devices = rows(&format!("SELECT count(*) FROM {db}.device"));
            if seen.last() != Some(&(hits, rules, names, devices)) {
                seen.push((hits, rules, names, devices));
            }
        }
        // Events go first, then counts and devices; rules and names within a week after what referred to them.
        let expected =
            [((1, 1), 1, 2, 2), ((0, 1), 1, 2, 2), ((0, 1), 0, 2, 2), ((0, 0), 0, 2, 1), ((0, 0), 0, 1, 1)];
        assert_eq!(seen, expected, "in file: {in_file}");
    }
}

#[test]
fn a_clock_that_is_ahead_for_a_while_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    store.hear(&clock, &["block tv pixel.example"]);
    store.flush(Counts::Due).unwrap();
    clock.set("2040-01-01T00:00:00Z");
    store.flush(Counts::Due).unwrap();
    clock.pass(Duration::from_secs(3600));
    store.flush(Counts::Due).unwrap();
    assert_eq!(store.tell_events(&EventFilter::default()).len(), 1);
    // If it stays there, it is what it is.
    clock.pass(2 * DAY);
    store.flush(Counts::Due).unwrap();
    assert_eq!(store.tell_events(&EventFilter::default()).len(), 0);
}

#[test]
fn a_clock_that_is_ahead_at_boot_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    store.hear(&clock, &["block tv pixel.example"]);
    store.close().unwrap();
    // The second time the file knows the wrong time already.
    for _ in 0..2 {
        clock.set("2040-01-01T00:00:00Z");
        let mut store = crate::history::testkit::store(&options(dir.path()), &clock);
        store.hear(&clock, &["pass phone early.example"]);
        for _ in 0..3 {
            clock.pass(Duration::from_secs(60));
            store.flush(Counts::Due).unwrap();
        }
        clock.set("2026-01-14T12:40:00Z");
        store.hear(&clock, &["pass phone www.shop.example"]);
        store.flush(Counts::Due).unwrap();
        store.close().unwrap();
    }
    let mut store = crate::history::testkit::store(&options(dir.path()), &clock);
    assert_eq!(store.totals(ever(), None).unwrap().hits, 1);
    assert_eq!(store.tell_events(&EventFilter::default()).len(), 5);
}

#[test]
fn a_machine_that_was_off_for_a_month_forgets_a_day_later() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    store.hear(&clock, &["block tv pixel.example"]);
    store.close().unwrap();
    clock.pass(30 * DAY);
    let mut store = crate::history::testkit::store(&options(dir.path()), &clock);
    store.flush(Counts::Due).unwrap();
    assert_eq!(store.tell_events(&EventFilter::default()).len(), 1);
    clock.pass(DAY);
    store.flush(Counts::Due).unwrap();
    assert_eq!(store.tell_events(&EventFilter::default()).len(), 0);
}

#[test]
fn decades_without_questions_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    clock.set("1970-01-01T00:00:20Z");
    let mut store = store(&options(dir.path()), &clock);
    store.hear(&clock, &["block phone early.example"]);
    store.flush(Counts::Due).unwrap();
    for time in ["2026-01-14T12:31:00Z", "2026-01-16T12:31:00Z"] {
        clock.set(time);
        store.hear(&clock, &["block tv pixel.example"]);
        store.flush(Counts::Due).unwrap();
    }
    let days = store.days("count_device", &(0..1_000_000)).unwrap();
    assert_eq!(days, [0, 20_467, 20_469], "each with something, in order");
    let hits = EventFilter { hits_only: true, ..EventFilter::default() };
    assert_eq!(store.tell_events(&hits).len(), 3);
    // What lies together is gone through day by day.
    assert_eq!(store.days("count_device", &(24..1_000_000)).unwrap(), [20_467, 20_468, 20_469]);
}

#[test]
fn a_question_before_the_clock_is_set_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let options = HistoryOptions { counts_kept: 7 * DAY, ..options(dir.path()) };
    let mut store = store(&options, &clock);
    store.hear(&clock, &["block tv pixel.example"]);
    store.close().unwrap();
    clock.set("1970-01-01T00:00:20Z");
    let mut store = crate::history::testkit::store(&options, &clock);
    store.hear(&clock, &["pass phone early.example"]);
    store.flush(Counts::Due).unwrap();
    clock.set("2026-01-14T12:31:00Z");
    for _ in 0..5 {
        clock.pass(DAY);
        store.hear(&clock, &["pass phone www.shop.example"]);
        store.flush(Counts::Due).unwrap();
    }
    let lines = store.tell_events(&EventFilter::default()).join("\n");
    assert!(lines.contains(" tv pixel.example ") && lines.contains(" phone early.example "), "{lines}");
    assert_eq!(store.totals(ever(), None).unwrap().hits, 1);
    // They go in their time, and so do their names.
    for _ in 0..20 {
        clock.pass(DAY);
        store.hear(&clock, &["pass phone www.shop.example"]);
        store.flush(Counts::Due).unwrap();
    }
    let lines = store.tell_events(&EventFilter::default());
    assert!((7..=8).contains(&lines.len()), "{lines:#?}");
    let names: i64 = store.db.query_row("SELECT count(*) FROM file.name", [], |row| row.get(0)).unwrap();
    assert_eq!(names, 1);
}

#[test]
fn events_from_a_clock_that_was_ahead_are_forgotten_too() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    clock.set("2027-05-01T00:00:00Z");
    store.hear(&clock, &["pass tv ahead.example"]);
    clock.set("2026-01-14T12:00:00Z");
    for number in 0..10 {
        store.hear(&clock, &[&format!("pass tv n{number}.example")]);
        store.flush(Counts::Due).unwrap();
        clock.pass(DAY);
    }
    store.flush(Counts::Due).unwrap();
    let names = store.tell_events(&EventFilter::default());
    assert_eq!(names.len(), 7, "{names:#?}");
}

#[test]
fn a_file_that_is_too_large_loses_its_oldest_events() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let options = HistoryOptions { size_max: 2 << 20, ..options(dir.path()) };
    let mut store = store(&options, &clock);
    for round in 0..40 {
        let events: Vec<_> =
            (0..10_000).map(|number| event(&clock, &format!("pass tv n{}.example", number % 50))).collect();
        store.remember(&Batch::of(events));
        store.hear(&clock, &[&format!("block tv r{round}.pixel.example")]);
        clock.pass(Duration::from_secs(600));
        store.flush(Counts::Due).unwrap();
    }
    let size = store.health().size_bytes;
    // The log comes on top, and a flush may be more than the last one made room for.
    assert!(size < (2 << 20) + (5 << 20), "{size}");
    let pages: i64 = store.db.query_row("PRAGMA file.page_count", [], |row| row.get(0)).unwrap();
    assert!(pages * 4096 < 3 << 20, "{pages}");
    let hits = store.tell_events(&EventFilter { hits_only: true, ..Default::default() });
    assert!(hits[0].contains("r39.") && hits.len() < 40, "{}", hits.len());
    assert_eq!(store.totals(ever(), None).unwrap().queries, 40 * 10_001);
}

#[test]
fn a_flood_of_new_names_neither_fills_the_disk_nor_costs_the_totals() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let options = HistoryOptions { size_max: 2 << 20, ..options(dir.path()) };
    let mut store = store(&options, &clock);
    let rows = |store: &crate::history::store::Store, sql: &str| {
        store.db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    for round in 0..30 {
        let words = |number| format!("pass tv n{}.example", round * 12_000 + number);
        let events: Vec<_> = (0..12_000).map(|number| event(&clock, &words(number))).collect();
        store.remember(&Batch::of(events));
        // Sometimes within an hour, sometimes in a new one.
        clock.pass(Duration::from_secs(if round < 10 { 60 } else { 1000 }));
        store.flush(Counts::Due).unwrap();
        let size = rows(&store, "PRAGMA file.page_count") * 4096;
        assert!(size < 3 * (2 << 20), "round {round}: {size}");
    }
    assert_eq!(store.totals(ever(), None).unwrap().queries, 30 * 12_000);
    assert_eq!(
        store.hours(ever(), None).unwrap().iter().map(|hour| hour.totals.queries).sum::<u64>(),
        360_000
    );
    // Whatever is told has its name.
    let dangling = "SELECT count(*) FROM file.event WHERE name NOT IN (SELECT id FROM file.name)";
    assert_eq!(rows(&store, dangling), 0);
    let mut counted = std::collections::BTreeSet::new();
    each_name(&store.db, "file", "true", |count| _ = counted.insert(count.name)).unwrap();
    let known: i64 = counted.iter().filter(|name| store.name(**name).unwrap().is_some()).count() as i64;
    assert_eq!(known, counted.len() as i64);
    assert!(store.tell_events(&EventFilter { limit: 1, ..Default::default() })[0].contains("n359999."));
    // With the flood over, the room is given back.
    for _ in 0..10 {
        clock.pass(Duration::from_secs(60));
        store.hear(&clock, &["block tv pixel.example"]);
        store.flush(Counts::Due).unwrap();
    }
    let used = rows(&store, "PRAGMA file.page_count") - rows(&store, "PRAGMA file.freelist_count");
    assert!(used * 4096 < 2 << 20, "{used}");
    assert_eq!(store.totals(ever(), None).unwrap().hits, 10);
}

#[test]
fn a_smaller_limit_gives_the_disk_its_room_back() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut first = store(&options(dir.path()), &clock);
    for _ in 0..60 {
        let events: Vec<_> = (0..10_000).map(|_| event(&clock, "pass tv www.shop.example")).collect();
        first.remember(&Batch::of(events));
        clock.pass(Duration::from_secs(600));
        first.flush(Counts::Due).unwrap();
    }
    first.close().unwrap();
    let before = first.health().size_bytes;
    let options = HistoryOptions { size_max: 1 << 20, ..options(dir.path()) };
    let mut second = store(&options, &clock);
    for _ in 0..60 {
        clock.pass(Duration::from_secs(60));
        second.flush(Counts::Due).unwrap();
    }
    assert_eq!(second.totals(ever(), None).unwrap().queries, 600_000);
    second.close().unwrap();
    let after = second.health().size_bytes;
    assert!((10 << 20) < before && after < 6 << 20, "{before} {after}");
}

#[test]
fn memory_keeps_the_latest_events_and_all_totals() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let data = dir.path().join("data");
    std::fs::write(&data, "a file stands in the way").unwrap();
    let mut store = store(&options(&data), &clock);
    for round in 0..26 {
        // Each name once: the worst that a device can do.
        let words = |number| format!("pass tv n{}.example", round * 10_000 + number);
        let events: Vec<_> = (0..10_000).map(|number| event(&clock, &words(number))).collect();
        store.remember(&Batch::of(events));
        store.trim_memory().unwrap();
        clock.pass(Duration::from_secs(600));
    }
    assert!(store.flush(Counts::Due).is_err());
    let count = |table| {
        let count = match table {
            "count_name" => NAMES_COUNTED.to_owned(),
            table => format!("SELECT count(*) FROM main.{table}"),
        };
        store.db.query_row(&count, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert!(count("event") <= 100_000 && count("count_name") <= 200_000 && count("name") <= 200_000);
    assert_eq!(count("event"), store.health().unflushed as i64);
    assert_eq!(store.totals(ever(), None).unwrap().queries, 260_000);
    assert!(store.tell_events(&EventFilter { limit: 1, ..Default::default() })[0].contains("n259999."));
    std::fs::remove_file(&data).unwrap();
    store.flush(Counts::Due).unwrap();
    assert_eq!(store.totals(ever(), None).unwrap().queries, 260_000);
}

#[test]
fn memory_alone_does_not_fill_up_with_the_names_of_a_year() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let options = HistoryOptions { file: None, events_kept: DAY, ..options(dir.path()) };
    let mut store = store(&options, &clock);
    for day in 0..9 {
        let words = |number| format!("pass tv n{}.example", day * 30_000 + number);
        let events: Vec<_> = (0..30_000).map(|number| event(&clock, &words(number))).collect();
        store.remember(&Batch::of(events));
        store.trim_memory().unwrap();
        clock.pass(2 * DAY);
        store.flush(Counts::Due).unwrap();
        store.flush(Counts::Due).unwrap();
    }
    let rows = |table| {
        let count = match table {
            "count_name" => NAMES_COUNTED.to_owned(),
            table => format!("SELECT count(*) FROM main.{table}"),
        };
        store.db.query_row(&count, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert!(rows("count_name") <= 200_000 && rows("name") <= 200_000, "{}", rows("count_name"));
    assert_eq!(store.totals(ever(), None).unwrap().queries, 270_000);
}

#[test]
fn a_question_that_takes_too_long_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    for number in 0..5000 {
        store.hear(&clock, &[&format!("block tv n{number}.pixel.example")]);
    }
    let names = |store: &mut crate::history::store::Store| Ok(store.names_with("pixel")?.len());
    clock.slow_down(Duration::from_secs(6));
    let answer = store.read(names);
    assert_eq!(answer, Err(HistoryError::Database("this took too long; ask for a shorter span".to_owned())));
    clock.slow_down(Duration::ZERO);
    assert_eq!(store.read(names), Ok(5000));
}

#[test]
fn a_flood_of_names_does_not_wait_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    let mut counts = Tally::default();
    let device = crate::history::testkit::device("tv");
    let slot = counts.slot(0, &device, CountKind::Pass).unwrap();
    for number in 0..60_000 {
        let name = DomainName::parse(&format!("n{number}.example")).unwrap();
        counts.add(slot, 0, name.as_ref().as_wire(), None);
    }
    let batch = Batch { counts, ..Batch::default() };
    let count = |store: &crate::history::store::Store, table: &str| {
        let sql = format!("SELECT coalesce(sum(items(hours)), 0) FROM {table}");
        store.db.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    while !store.is_crowded() {
        store.remember(&batch);
    }
    assert_eq!(count(&store, "main.count_name"), 60_000);
    store.flush(Counts::Due).unwrap();
    assert!(!store.is_crowded());
    assert_eq!((count(&store, "main.count_name"), count(&store, "file.count_name")), (0, 60_000));
    assert_eq!(store.health().unlisted.queries % 60_000, 0);
}

#[test]
fn names_that_memory_has_no_room_for_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&HistoryOptions { file: None, ..options(dir.path()) }, &clock);
    let mut counts = Tally::default();
    for number in 0..3 {
        let device = crate::history::testkit::device(&format!("{number}"));
        let hour = clock.now().as_second() / 3600;
        let slot = counts.slot(hour, &device, CountKind::Pass).unwrap();
        for number in 0..70_000 {
            let name = DomainName::parse(&format!("n{number}.example")).unwrap();
            // The first ones are asked for twice.
            for _ in 0..1 + i32::from(number < 100) {
                counts.add(slot, clock.now().as_millisecond(), name.as_ref().as_wire(), None);
            }
        }
    }
    store.remember(&Batch { counts, ..Batch::default() });
    assert!(store.is_crowded());
    store.flush(Counts::Due).unwrap();
    let (queries, unnamed) = (store.totals(ever(), None).unwrap().queries, store.health().unnamed.queries);
    assert_eq!((queries, unnamed), (210_300, 10_000));
    let named: u64 =
        store.names(ever(), None, false, u32::MAX).unwrap().iter().map(|name| name.totals.queries).sum();
    assert_eq!(named, 200_300);
}
