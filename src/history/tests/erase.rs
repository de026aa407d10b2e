//! What a person wants forgotten is gone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::clock::Clock;
use crate::event::EventSource;
use crate::event::QueryEvent;
use crate::history::Erased;
use crate::history::Erasure;
use crate::history::EventFilter;
use crate::history::History;
use crate::history::HistoryOptions;
use crate::history::flush::Counts;
use crate::history::store::Store;
use crate::history::testkit::START;
use crate::history::testkit::TestClock;
use crate::history::testkit::Waiting;
use crate::history::testkit::catalogue;
use crate::history::testkit::device;
use crate::history::testkit::event;
use crate::history::testkit::ever;
use crate::history::testkit::model;
use crate::history::testkit::options;
use crate::history::testkit::store;
use crate::history::testkit::time;
use crate::name::DomainName;

fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

/// Erases to the end.
fn erase(store: &mut Store, erasure: &Erasure) -> Erased {
    let mut erasing = store.begin_erasing(erasure).unwrap();
    loop {
        if let Some(erased) = store.erase_step(&mut erasing).unwrap() {
            return erased;
        }
    }
}

/// Whether octets stand in the file or in what SQLite keeps beside it.
fn stands(dir: &Path, octets: &[u8]) -> bool {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.into_iter().any(|file| memchr::memmem::find(&file, octets).is_some())
}

/// Many devices and names, some in the file and some in memory, from days apart.
fn filled(dir: &Path, clock: &Arc<TestClock>) -> Store {
    let mut store = store(&options(dir), clock);
    for day in 0..5 {
        for number in 0..400 {
            store.hear(
                clock,
                &[
                    &format!("block tv n{number}.pixel.example"),
                    &format!("pass phone d{day}n{number}.secret.example"),
                    "pass tv www.shop.example",
                ],
            );
        }
        store.hear(clock, &["cloak tv www.shop.example x.hidden.example", "block phone hidden.example"]);
        clock.pass(Duration::from_secs(86_400));
        if day < 4 {
            store.flush(Counts::Due).unwrap();
        }
    }
    store
}

#[test]
fn nothing_of_a_name_is_left_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = filled(dir.path(), &clock);
    let sign = b"\x06secret\x07example";
    assert!(stands(dir.path(), sign), "the test looks for the right octets");
    let queries = store.totals(ever(), None).unwrap().queries;
    let erased = erase(&mut store, &Erasure { name: Some(name("secret.example")), ..Erasure::default() });
    assert_eq!((erased.queries, erased.events, erased.days, erased.names), (2_000, 2_000, 5, 2_000));
    assert_eq!(store.totals(ever(), None).unwrap().queries, queries - 2_000);
    let found = EventFilter { name_contains: Some("secret".to_owned()), ..Default::default() };
    assert_eq!(store.tell_events(&found), Vec::<String>::new());
    assert!(!stands(dir.path(), sign), "while it is open");
    store.close().unwrap();
    assert!(!stands(dir.path(), sign), "and closed");
    assert!(stands(dir.path(), b"\x04shop\x07example"));
}

#[test]
fn nothing_of_a_device_is_left_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = filled(dir.path(), &clock);
    let key = device("phone").key.to_string();
    assert!(stands(dir.path(), key.as_bytes()));
    let erased = erase(&mut store, &Erasure { device: Some(device("phone").key), ..Erasure::default() });
    assert_eq!((erased.queries, erased.events, erased.devices), (2_005, 2_005, 1));
    assert!(!stands(dir.path(), key.as_bytes()));
    // What nobody else asked for is forgotten with it.
    assert!(!stands(dir.path(), b"\x06secret\x07example"));
    let devices = store.devices(ever()).unwrap();
    assert_eq!((devices.len(), devices[0].totals.queries), (1, 4_005));
    assert_eq!(store.tell_events(&EventFilter { limit: 10_000, ..Default::default() }).len(), 4_005);
}

#[test]
fn a_tracker_is_forgotten_also_where_it_hid() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = filled(dir.path(), &clock);
    erase(&mut store, &Erasure { name: Some(name("hidden.example")), ..Erasure::default() });
    assert!(!stands(dir.path(), b"\x06hidden\x07example"));
    let companies = store.companies(ever(), None, None, 9).unwrap();
    assert_eq!(companies.iter().map(|count| count.cloaked).sum::<u64>(), 0);
    let shop = store.names(ever(), None, false, 9).unwrap();
    let shop = shop.iter().find(|count| count.name == name("www.shop.example")).unwrap();
    assert_eq!((shop.totals.queries, shop.totals.hits), (2_000, 0));
}

#[test]
fn everything_goes_and_the_room_is_given_back() {
    for in_file in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let clock = TestClock::new();
        let mut store = if in_file {
            filled(dir.path(), &clock)
        } else {
            let mut store = store(&HistoryOptions { file: None, ..options(dir.path()) }, &clock);
            store.hear(&clock, &["block tv pixel.example"]);
            store
        };
        erase(&mut store, &Erasure::default());
        assert_eq!(store.devices(ever()), Ok(vec![]));
        assert_eq!(store.tell_events(&EventFilter::default()), Vec::<String>::new());
        assert_eq!(store.names(ever(), None, false, 9), Ok(vec![]));
        assert!(store.health().size_bytes < 100_000);
        store.hear(&clock, &["block tv pixel.example"]);
        store.flush(Counts::Due).unwrap();
        assert_eq!(store.totals(ever(), None).unwrap().hits, 1);
    }
}

#[test]
fn a_file_from_before_cells_were_overwritten_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    crate::history::schema::set(&store.db, "secure_delete = OFF").unwrap();
    for number in 0..3_000 {
        store.hear(&clock, &[&format!("pass tv n{number}.secret.example")]);
    }
    store.flush(Counts::All).unwrap();
    // Half of them were forgotten in their time.
    store.db.execute("DELETE FROM file.name WHERE id % 2 = 0", []).unwrap();
    store.close().unwrap();
    assert!(stands(dir.path(), b"\x06secret\x07example"));
    let mut store = crate::history::testkit::store(&options(dir.path()), &clock);
    erase(&mut store, &Erasure { name: Some(name("secret.example")), ..Erasure::default() });
    assert!(!stands(dir.path(), b"\x06secret\x07example"));
}

#[test]
fn a_killed_daemon_goes_on_erasing() {
    for steps in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let clock = TestClock::new();
        let mut first = filled(dir.path(), &clock);
        let mut erasing = first
            .begin_erasing(&Erasure { name: Some(name("secret.example")), ..Erasure::default() })
            .unwrap();
        let mut is_done = false;
        for _ in 0..steps {
            is_done = is_done || first.erase_step(&mut erasing).unwrap().is_some();
        }
        // Meanwhile it goes on, also with what is erased.
        first.hear(&clock, &["pass phone new.secret.example"]);
        first.flush(Counts::Due).unwrap();
        first.die();
        let mut second = store(&options(dir.path()), &clock);
        let waiting = second.waiting_erasure().unwrap();
        assert_eq!(waiting.is_none(), is_done, "after {steps} steps");
        if let Some(mut erasing) = waiting {
            while second.erase_step(&mut erasing).unwrap().is_none() {}
        }
        assert!(second.waiting_erasure().unwrap().is_none());
        assert_eq!(second.totals(ever(), None).unwrap().queries, 4_011, "after {steps} steps");
        let found = EventFilter { name_contains: Some("secret".to_owned()), ..Default::default() };
        assert_eq!(second.tell_events(&found).len(), 1);
    }
}

#[tokio::test]
async fn what_waits_to_be_taken_is_erased_too_and_questions_are_answered_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let waiting = Arc::new(Waiting::default());
    let source = Arc::clone(&waiting) as Arc<dyn EventSource>;
    let time = Arc::clone(&clock) as Arc<dyn Clock>;
    let history = History::open(options(dir.path()), catalogue(), Arc::default(), time, source);
    for words in ["block tv a.pixel.example", "pass phone www.shop.example"] {
        waiting.emit(event(&clock, words));
    }
    let erasure = |device: &str| Erasure {
        device: Some(crate::history::testkit::device(device).key),
        ..Erasure::default()
    };
    let (tv, phone, totals) = tokio::join!(
        history.erase(erasure("tv")),
        history.erase(erasure("phone")),
        history.totals(ever(), None)
    );
    assert_eq!((tv.unwrap().queries, phone.unwrap().queries), (1, 1));
    assert!(totals.is_ok());
    assert_eq!(history.totals(ever(), None).await.unwrap().queries, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn what_is_left_is_what_a_naive_model_has_left(
        heard in proptest::collection::vec((0_usize..9, 0_u64..20_000), 1..50),
        of_device in proptest::option::of(prop_oneof![Just("tv"), Just("phone")]),
        of_name in proptest::option::of(prop_oneof![Just("pixel.example"), Just("example"), Just("www.shop.example")]),
        from in proptest::option::of(0_i64..600),
        until in proptest::option::of(0_i64..600),
    ) {
        const WORDS: [&str; 9] = [
            "block tv a.pixel.example", "block phone a.pixel.example", "pass tv a.pixel.example",
            "pass phone www.shop.example", "block tv www.shop.example", "allow tv beacon.example",
            "cloak tv www.shop.example x.pixel.example", "pass tv www.shop.test", "block phone t.shop.test",
        ];
        let dir = tempfile::tempdir().unwrap();
        let clock = TestClock::new();
        let mut store = store(&options(dir.path()), &clock);
        let mut all = Vec::new();
        for (words, pause) in &heard {
            store.hear(&clock, &[WORDS[*words]]);
            all.push(event(&clock, WORDS[*words]));
            clock.pass(Duration::from_secs(*pause));
            if pause % 3 == 0 {
                prop_assert_eq!(store.flush(Counts::Due), Ok(()));
            }
        }
        let at = |hours: Option<i64>| hours.map(|hours| time(START) + jiff::SignedDuration::from_mins(60 * hours + 7));
        let erasure = Erasure {
            device: of_device.map(|name| device(name).key),
            name: of_name.map(name),
            from: at(from),
            until: at(until),
        };
        let erased = erase(&mut store, &erasure);
        let hour = |at: jiff::Timestamp| at.as_second().div_euclid(3600);
        let goes = |event: &QueryEvent| {
            let names = [Some(&event.name), event.behind.as_ref()];
            let is_named = |within: &DomainName| names.iter().flatten().any(|name| name.as_ref().is_within(within.as_ref()));
            erasure.device.is_none_or(|key| key == event.device.key)
                && erasure.name.as_ref().is_none_or(is_named)
                && erasure.from.is_none_or(|from| hour(from) <= hour(event.at))
                && erasure.until.is_none_or(|until| hour(event.at) <= hour(until))
        };
        let (gone, left): (Vec<_>, Vec<_>) = all.into_iter().partition(goes);
        prop_assert_eq!((erased.queries, erased.events), (gone.len() as u64, gone.len() as u64));
        // When a device was seen first and last stays known as long as anything of it does.
        let without_times = |lines: Vec<String>| -> Vec<String> {
            lines.iter().map(|line| line.split(" from ").next().unwrap().to_owned()).collect()
        };
        prop_assert_eq!(without_times(store.tell(ever()).unwrap()), without_times(model(&left, ever())));
        let events = store.events(&EventFilter { limit: 1000, ..Default::default() }).unwrap();
        prop_assert_eq!(events.len(), left.len());
        prop_assert_eq!(store.close(), Ok(()));
    }
}
