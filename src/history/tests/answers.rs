//! What is remembered is found again.

use std::time::Duration;

use crate::clock::Clock;
use crate::device::DeviceKey;
use crate::device::DeviceTable;
use crate::device::NamedDevice;
use crate::event::Batch;
use crate::event::VerdictKind;
use crate::history::EventFilter;
use crate::history::Span;
use crate::history::flush::Counts;
use crate::history::testkit::START;
use crate::history::testkit::TestClock;
use crate::history::testkit::device;
use crate::history::testkit::ever;
use crate::history::testkit::options;
use crate::history::testkit::store;
use crate::history::testkit::time;

#[test]
fn a_hit_shows_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    store.hear(
        &clock,
        &["block tv a.pixel.example", "pass phone www.shop.example", "allow phone pixel.example"],
    );
    let check = |store: &mut crate::history::store::Store| {
        let lines = [store.tell(ever()).unwrap(), store.tell_events(&EventFilter::default())].concat();
        insta::allow_duplicates! {
            insta::assert_snapshot!(lines.join("\n"), @r"
            all 1/3
            hour 2026-01-14T12:00:00Z 1/3
            company Meta 1 after 0, 0 cloaked on 1
            company Meta at 2026-01-14T12:00:00Z 1
            company Meta by a.pixel.example 1/1
            company Meta on tv 1
            device phone 0/2 by 0 from 2026-01-14T12:30:00Z to 2026-01-14T12:30:00Z
            device tv 1/1 by 1 from 2026-01-14T12:30:00Z to 2026-01-14T12:30:00Z
            name a.pixel.example 1/1
            name a.pixel.example on tv 1/1
            name pixel.example 0/1
            name pixel.example on phone 0/1
            name www.shop.example 0/1
            name www.shop.example on phone 0/1
            new Pixel on tv 1 true
            tracker Pixel 1 on 1
            2026-01-14T12:30:00Z phone pixel.example 28 3 allow own @@||pixel.example^ (Pixel)
            2026-01-14T12:30:00Z phone www.shop.example 28 3 pass (shop.example)
            2026-01-14T12:30:00Z tv a.pixel.example 28 3 block own ||pixel.example^ (Pixel)
            ");
        }
    };
    check(&mut store);
    store.flush(Counts::Due).unwrap();
    check(&mut store);
    store.close().unwrap();
    check(&mut crate::history::testkit::store(&options(dir.path()), &clock));
}

#[test]
fn events_are_found_by_what_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    let heard = [
        "block tv a.pixel.example",
        "pass tv a_b.example",
        "pass phone axb.example",
        r"pass phone 100%.example",
        r"pass phone odd\.dot\000.example",
        "block phone beacon.example",
    ];
    for (index, words) in heard.iter().enumerate() {
        store.hear(&clock, &[words]);
        // Some are in the file, some in memory.
        if index == 2 {
            store.flush(Counts::Due).unwrap();
        }
    }
    let mut check = |filter: EventFilter, expected: &[&str]| {
        let found = store.tell_events(&filter);
        let names: Vec<_> = found.iter().filter_map(|line| line.split(' ').nth(2)).collect();
        assert_eq!(names, expected, "{filter:?}");
    };
    let containing = |text: &str| EventFilter { name_contains: Some(text.to_owned()), ..Default::default() };
    check(containing("a_B"), &["a_b.example"]);
    check(containing("%"), &["100%.example"]);
    check(containing("L.ex"), &["a.pixel.example"]);
    check(containing(r"\000"), &[r"odd\.dot\000.example"]);
    check(containing("nothing"), &[]);
    let hits = EventFilter { hits_only: true, ..Default::default() };
    check(hits, &["beacon.example", "a.pixel.example"]);
    let tv = EventFilter { device: Some(device("tv").key), ..Default::default() };
    check(tv.clone(), &["a_b.example", "a.pixel.example"]);
    check(EventFilter { hits_only: true, ..tv }, &["a.pixel.example"]);
    check(EventFilter { device: Some(device("unknown").key), ..Default::default() }, &[]);
    check(EventFilter { limit: 1, ..Default::default() }, &["beacon.example"]);
}

#[test]
fn events_come_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    for number in 0..200 {
        store.hear(&clock, &[&format!("pass tv n{number}.example")]);
        if number % 30 == 0 {
            store.flush(Counts::Due).unwrap();
        }
        if number % 7 == 0 {
            clock.pass(Duration::from_millis(1));
        }
    }
    let (mut names, mut before) = (Vec::new(), None);
    loop {
        let page = store.events(&EventFilter { before, limit: 33, ..Default::default() }).unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        names.extend(page.into_iter().map(|event| event.name.to_string()));
    }
    let expected: Vec<_> = (0..200).rev().map(|number| format!("n{number}.example")).collect();
    assert_eq!(names, expected);
    assert_eq!(store.events(&EventFilter { limit: 0, ..Default::default() }), Ok(vec![]));
}

#[test]
fn a_span_holds_the_hours_of_its_first_and_its_last_moment() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    for at in ["2026-01-13T18:10:00Z", "2026-01-13T18:40:00Z", "2026-01-14T05:00:00Z", "2026-01-14T19:00:00Z"]
    {
        clock.set(at);
        store.hear(&clock, &["block tv pixel.example"]);
    }
    // "Today" in India begins at 18:30 UTC.
    let span = Span { from: time("2026-01-13T18:30:00Z"), until: time("2026-01-14T18:30:00Z") };
    assert_eq!(store.totals(span, None).unwrap().hits, 3);
    let hours = store.hours(span, None).unwrap();
    assert_eq!(hours.len(), 25);
    assert_eq!((hours[0].hour, hours[0].totals.hits), (time("2026-01-13T18:00:00Z"), 2));
    assert_eq!(hours[24].hour, time("2026-01-14T18:00:00Z"));
    // Up to, but without.
    let span = Span { from: time("2026-01-14T05:00:00Z"), until: time("2026-01-14T19:00:00Z") };
    assert_eq!(store.totals(span, None).unwrap().hits, 1);
    let nothing = Span { from: span.until, until: span.from };
    assert_eq!(store.hours(nothing, None).unwrap(), []);
    assert_eq!(store.totals(nothing, None).unwrap().queries, 0);
}

#[test]
fn a_device_bears_the_name_that_it_had_last() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    let mut event = crate::history::testkit::event(&clock, "pass tv www.shop.example");
    store.remember(&Batch::of(vec![event.clone()]));
    store.flush(Counts::Due).unwrap();
    event.device.name = "Kitchen TV".into();
    store.remember(&Batch::of(vec![event]));
    for _ in 0..2 {
        let devices = store.devices(ever()).unwrap();
        assert_eq!(devices.len(), 1);
        assert_eq!(&*devices[0].device.name, "Kitchen TV");
        store.flush(Counts::Due).unwrap();
    }
}

#[test]
fn a_device_is_not_first_seen_in_1970_nor_last_in_30_years() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    let mut hear = |at: &str, expected: (&str, &str)| {
        clock.set(at);
        store.hear(&clock, &["pass tv www.shop.example"]);
        for _ in 0..2 {
            let seen = &store.devices(ever()).unwrap()[0];
            assert_eq!((seen.first_seen, seen.last_seen), (time(expected.0), time(expected.1)), "{at}");
            store.flush(Counts::All).unwrap();
            // The file comes late every time.
            store.detach();
            store.hear(&clock, &["pass tv www.shop.example"]);
            store.flush(Counts::Due).unwrap();
        }
    };
    let (early, first, ahead) = ("1970-01-01T00:00:30Z", "2026-01-14T12:00:00Z", "2056-01-01T00:00:00Z");
    hear(early, (early, early));
    hear(first, (first, first));
    hear(ahead, (first, ahead));
    hear("2026-01-14T12:01:00Z", (first, "2026-01-14T12:01:00Z"));
    hear(early, (first, "2026-01-14T12:01:00Z"));
    // A small step back is no reason to doubt.
    hear("2026-01-14T11:59:00Z", ("2026-01-14T11:59:00Z", "2026-01-14T12:01:00Z"));
}

#[test]
fn a_clock_that_steps_back_breaks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    for at in ["2026-01-14T12:00:00Z", "2027-05-01T00:00:00Z", "1970-01-01T00:00:30Z", "2026-01-14T12:00:01Z"]
    {
        clock.set(at);
        store.hear(&clock, &["pass tv www.shop.example"]);
        store.flush(Counts::Due).unwrap();
    }
    assert_eq!(clock.now(), time("2026-01-14T12:00:01Z"));
    let lines = store.tell_events(&EventFilter::default());
    let times: Vec<_> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(
        times,
        ["2026-01-14T12:00:01Z", "1970-01-01T00:00:30Z", "2027-05-01T00:00:00Z", "2026-01-14T12:00:00Z"]
    );
}

#[test]
fn events_are_found_by_company_verdict_type_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    let heard = [
        "block tv a.pixel.example",
        "pass tv pixel.example",
        "cloak phone www.shop.example b.pixel.example",
        "pass phone www.shop.example",
        "allow tv beacon.example",
    ];
    for words in heard {
        store.hear(&clock, &[words]);
        clock.pass(Duration::from_secs(7000));
        store.flush(Counts::Due).unwrap();
    }
    let mut check = |filter: EventFilter, expected: &[usize]| {
        let found = store.scan(&EventFilter { limit: 9, ..filter.clone() }).unwrap();
        assert_eq!(found.cut_at, None);
        let times: Vec<_> = found
            .events
            .iter()
            .map(|event| (event.at.as_second() - time(START).as_second()) / 7000)
            .collect();
        assert_eq!(times, expected.iter().map(|index| *index as i64).collect::<Vec<_>>(), "{filter:?}");
    };
    let all = EventFilter::default;
    check(all(), &[4, 3, 2, 1, 0]);
    check(EventFilter { company: Some("Meta".to_owned()), ..all() }, &[4, 2, 1, 0]);
    check(EventFilter { company: Some("Meta".to_owned()), hits_only: true, ..all() }, &[2, 0]);
    check(EventFilter { company: Some("shop.example".to_owned()), ..all() }, &[3]);
    check(EventFilter { company: Some("nobody".to_owned()), ..all() }, &[]);
    check(EventFilter { verdict: Some(VerdictKind::Pass), ..all() }, &[3, 1]);
    check(EventFilter { verdict: Some(VerdictKind::Allow), ..all() }, &[4]);
    check(EventFilter { verdict: Some(VerdictKind::Block), ..all() }, &[2, 0]);
    check(EventFilter { verdict: Some(VerdictKind::Pass), hits_only: true, ..all() }, &[]);
    check(EventFilter { qtype: Some(28), ..all() }, &[4, 3, 2, 1, 0]);
    check(EventFilter { qtype: Some(1), ..all() }, &[]);
    let at = |index: i64| Some(time(START) + Duration::from_secs(7000) * u32::try_from(index).unwrap());
    check(EventFilter { from: at(1), until: at(3), ..all() }, &[2, 1]);
    check(EventFilter { from: at(1), until: at(3), device: Some(device("tv").key), ..all() }, &[1]);
    check(EventFilter { from: at(3), until: at(3), ..all() }, &[]);
    let name = Some("shop.ex".to_owned());
    check(
        EventFilter { name_contains: name, device: Some(device("phone").key), until: at(3), ..all() },
        &[2],
    );
}

#[test]
fn a_search_that_takes_long_tells_where_it_got_to() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    for hour in 0..30 {
        let seldom = if hour % 10 == 0 { "pass tv seldom.example" } else { "pass phone seldom.example" };
        store.hear(&clock, &[seldom, "pass tv www.shop.example"]);
        clock.pass(Duration::from_secs(3600));
        store.flush(Counts::Due).unwrap();
    }
    clock.slow_down(Duration::from_millis(300));
    let tv = Some(device("tv").key);
    let mut filter = EventFilter { device: tv, qtype: Some(28), limit: 50, ..Default::default() };
    let (mut found, mut scans) = (Vec::new(), 0);
    loop {
        let scan = store.scan(&filter).unwrap();
        found.extend(scan.events.into_iter().map(|event| event.id));
        scans += 1;
        let Some(cut_at) = scan.cut_at else { break };
        filter.before = Some(cut_at);
    }
    assert!((3..10).contains(&scans), "{scans}");
    let hasty = EventFilter { before: None, patience: Some(Duration::from_millis(1)), ..filter };
    let scan = store.scan(&hasty).unwrap();
    assert!(scan.events.len() <= 1 && scan.cut_at.is_some(), "{scan:?}");
    clock.slow_down(Duration::ZERO);
    let all = store.events(&EventFilter { device: tv, limit: 50, ..Default::default() }).unwrap();
    assert_eq!(found, all.iter().map(|event| event.id).collect::<Vec<_>>());
    assert_eq!(found.len(), 33);
}

#[test]
fn a_hit_belongs_to_the_one_who_hid_last() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    store.hear(&clock, &["cloak tv www.shop.example a.hidden.example"]);
    store.flush(Counts::Due).unwrap();
    assert_eq!(store.trackers(ever(), None, 9).unwrap().len(), 1);
    store.hear(&clock, &["cloak tv www.shop.example a.pixel.example"]);
    for _ in 0..2 {
        let companies = store.companies(ever(), None, None, 9).unwrap();
        let told: Vec<_> = companies.iter().map(|count| (&*count.name, count.hits, count.cloaked)).collect();
        assert_eq!(told, [("Meta", 2, 2)]);
        let names = store.names(ever(), None, true, 9).unwrap();
        assert_eq!(names[0].behind.as_ref().map(ToString::to_string).as_deref(), Some("a.pixel.example"));
        store.flush(Counts::All).unwrap();
    }
}

#[test]
fn what_is_blocked_for_the_first_time_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    store.hear(&clock, &["block tv a.pixel.example", "block phone b.pixel.example"]);
    clock.pass(Duration::from_secs(60));
    let since = clock.now();
    store.hear(
        &clock,
        &["block tv b.pixel.example", "pass tv www.shop.example", "block phone c.pixel.example"],
    );
    clock.pass(Duration::from_secs(10));
    store.hear(
        &clock,
        &[
            "cloak tv www.shop.example x.pixel.example",
            "block tv a.pixel.example",
            "block tv a.pixel.example",
        ],
    );
    let told: Vec<_> = store
        .blocked_lately(device("tv").key, since)
        .unwrap()
        .iter()
        .map(|it| (it.name.to_string(), it.hits, it.is_first_time, it.behind.is_some()))
        .collect();
    let expected = [
        ("www.shop.example".to_owned(), 1, true, true),
        ("b.pixel.example".to_owned(), 1, true, false),
        ("a.pixel.example".to_owned(), 2, false, false),
    ];
    assert_eq!(told, expected);
}

#[test]
fn devices_that_were_put_together_are_one_from_their_first_question_on() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let mut store = store(&options(dir.path()), &clock);
    let heard = ["block tv a.pixel.example", "block phone a.pixel.example", "pass laptop www.shop.example"];
    store.hear(&clock, &heard);
    store.flush(Counts::All).unwrap();
    store.hear(&clock, &heard);
    let key = |name: &str| device(name).key;
    let addresses = ["tv", "phone"].map(|name| match key(name) {
        DeviceKey::Address(address) => address,
        DeviceKey::Mac(_) => unreachable!(),
    });
    let named = NamedDevice {
        name: "Both".into(),
        macs: Vec::new(),
        addresses: addresses.to_vec(),
        kind: None,
        tags: [].into(),
        line: 1,
    };
    store.devices.publish(DeviceTable::build(&[named], &[]));
    for _ in 0..2 {
        let devices = store.devices(ever()).unwrap();
        let told: Vec<_> =
            devices.iter().map(|count| (&*count.device.name, count.totals.queries, count.trackers)).collect();
        assert_eq!(told, [("Both", 4, 1), ("laptop", 2, 0)]);
        assert_eq!(store.trackers(ever(), None, 9).unwrap()[0].devices, 1);
        assert_eq!(store.companies(ever(), None, None, 9).unwrap()[0].devices, 1);
        let detail = store.company(ever(), None, "Meta").unwrap().unwrap();
        assert_eq!((detail.devices.len(), detail.devices[0].1), (1, 4));
        assert_eq!(store.news(ever(), Duration::from_secs(60)).unwrap().meetings.len(), 1);
        // Whichever of both is asked for.
        for name in ["tv", "phone"] {
            assert_eq!(store.totals(ever(), Some(key(name))).unwrap().hits, 4);
            let filter = EventFilter { device: Some(key(name)), limit: 9, ..Default::default() };
            let events = store.events(&filter).unwrap();
            assert!(events.len() == 4 && events.iter().all(|event| &*event.device.name == "Both"));
        }
        store.flush(Counts::All).unwrap();
    }
}
