//! What the tests of the history share: a clock to turn, and events in few words.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use jiff::Timestamp;
use rusqlite::config::DbConfig;

use super::Gap;
use super::HistoryOptions;
use super::Span;
use super::fault::Fault;
use super::store::Store;
use super::view::CompanyCount;
use super::view::EventFilter;
use super::view::FirstMeeting;
use super::view::NameCount;
use super::view::RememberedVerdict;
use super::view::Totals;
use crate::clock::Clock;
use crate::device::Device;
use crate::event::Answered;
use crate::event::Batch;
use crate::event::EventSource;
use crate::event::QueryEvent;
use crate::name::DomainName;
use crate::policy::RuleRef;
use crate::policy::Verdict;
use crate::tracker::Attribution;
use crate::tracker::Catalogue;
use crate::tracker::LiveCatalogue;

/// The time at which tests begin.
pub(super) const START: &str = "2026-01-14T12:30:00Z";

/// A clock that tests turn.
pub(super) struct TestClock {
    began: Instant,
    state: Mutex<State>,
}

struct State {
    now: Timestamp,
    passed: Duration,
    per_look: Duration,
}

impl TestClock {
    pub(super) fn new() -> Arc<Self> {
        let state = State { now: time(START), passed: Duration::ZERO, per_look: Duration::ZERO };
        Arc::new(Self { began: Instant::now(), state: Mutex::new(state) })
    }

    /// Lets time pass.
    pub(super) fn pass(&self, duration: Duration) {
        let mut state = self.state.lock().unwrap();
        state.now += duration;
        state.passed += duration;
    }

    /// Sets the wall clock.
    pub(super) fn set(&self, now: &str) {
        self.state.lock().unwrap().now = time(now);
    }

    /// Lets time pass with each look at it, as if everything between two looks took so long.
    pub(super) fn slow_down(&self, per_look: Duration) {
        self.state.lock().unwrap().per_look = per_look;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.state.lock().unwrap().now
    }

    fn instant(&self) -> Instant {
        let mut state = self.state.lock().unwrap();
        let per_look = state.per_look;
        state.passed += per_look;
        self.began + state.passed
    }
}

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// All of the time that tests know.
pub(super) fn ever() -> Span {
    Span { from: time("2025-01-01T00:00:00Z"), until: time("2028-01-01T00:00:00Z") }
}

/// Options for a file in `dir`: flushed each minute, events for 7 days, counts for 365.
pub(super) fn options(dir: &Path) -> HistoryOptions {
    const DAY: u64 = 86_400;
    HistoryOptions {
        file: Some(dir.join("history.sqlite3")),
        flush_interval: Duration::from_secs(60),
        events_kept: Duration::from_secs(7 * DAY),
        counts_kept: Duration::from_secs(365 * DAY),
        size_max: 1 << 30,
    }
}

pub(super) fn catalogue() -> Arc<LiveCatalogue> {
    let text = "[Pixel]\ncompany Meta\nkind conversion-pixel\npixel pixel.example\npixel beacon.example\n";
    let (catalogue, errors) = Catalogue::parse(text);
    assert_eq!(errors, []);
    Arc::new(LiveCatalogue::new(catalogue))
}

pub(super) fn store(options: &HistoryOptions, clock: &Arc<TestClock>) -> Store {
    Store::open(options.clone(), catalogue(), Arc::default(), Arc::clone(clock) as Arc<dyn Clock>).unwrap()
}

/// Events that wait to be taken.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Vec<QueryEvent>>);

impl Waiting {
    pub(super) fn emit(&self, event: QueryEvent) {
        self.0.lock().unwrap().push(event);
    }
}

impl EventSource for Waiting {
    fn try_gather(&self) {}

    fn gather(&self) {}

    fn take(&self) -> Batch {
        Batch::of(std::mem::take(&mut self.0.lock().unwrap()))
    }
}

/// An event in words: `block tv a.pixel.example`, or `cloak tv www.shop.example a.pixel.example`, whose second name hid
/// behind the first. A name may be escaped (`a\.b`, `\000`).
pub(super) fn event(clock: &TestClock, words: &str) -> QueryEvent {
    let is_cloaked = words.starts_with("cloak");
    let mut words = words.split(' ');
    let mut word = || words.next().unwrap();
    let rule = |rule: &str| RuleRef { list: "own".into(), rule: rule.into() };
    let verdict = match word() {
        "pass" => Verdict::Pass,
        "allow" => Verdict::Allow(rule("@@||pixel.example^")),
        "block" | "cloak" => Verdict::Block(rule("||pixel.example^")),
        verdict => panic!("{verdict}"),
    };
    let device = device(word());
    let asked = name(word());
    let behind = is_cloaked.then(|| name(word()));
    let answered = Answered::Sinkhole;
    QueryEvent {
        at: clock.now(),
        device,
        name: asked,
        behind,
        qtype: 28,
        verdict,
        answered,
        rcode: 3,
        latency_us: 90,
    }
}

/// A device whose address follows from its name.
pub(super) fn device(name: &str) -> Device {
    let last = name.bytes().fold(0, u8::wrapping_add);
    Device { key: format!("192.168.1.{last}").parse().unwrap(), name: name.into() }
}

fn name(text: &str) -> DomainName {
    let mut wire = Vec::new();
    let mut label = Vec::new();
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        match octet {
            b'.' => {
                wire.push(u8::try_from(label.len()).unwrap());
                wire.append(&mut label);
            }
            b'\\' => match octets.next().unwrap() {
                digit @ b'0'..=b'9' => {
                    let digits = [digit, octets.next().unwrap(), octets.next().unwrap()];
                    label.push(std::str::from_utf8(&digits).unwrap().parse().unwrap());
                }
                octet => label.push(octet),
            },
            octet => label.push(octet),
        }
    }
    wire.push(u8::try_from(label.len()).unwrap());
    wire.append(&mut label);
    wire.push(0);
    DomainName::from_wire(&wire).unwrap()
}

impl Store {
    /// Ends as if the process was killed: what is in memory is lost, and the file's log stays as it is.
    pub(super) fn die(self) {
        self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    }

    /// Remembers events in words.
    pub(super) fn hear(&mut self, clock: &TestClock, events: &[&str]) {
        let events: Vec<_> = events.iter().map(|words| event(clock, words)).collect();
        self.remember(&Batch::of(events));
        assert_eq!(self.dropped, Gap::default());
    }

    /// Remembers events in words of which only the first `listed` are told one by one.
    pub(super) fn hear_sampled(&mut self, clock: &TestClock, events: &[&str], listed: usize) {
        let mut batch = Batch::of(events.iter().map(|words| event(clock, words)).collect());
        batch.events.truncate(listed);
        self.remember(&batch);
    }

    /// All answers in words, in an order of their own, for comparing.
    pub(super) fn tell(&mut self, span: Span) -> Result<Vec<String>, Fault> {
        let mut lines = Vec::new();
        let totals = self.totals(span, None)?;
        lines.push(format!("all {}/{}", totals.hits, totals.queries));
        for hour in self.hours(span, None)?.iter().filter(|hour| 0 < hour.totals.queries) {
            lines.push(format!("hour {} {}/{}", hour.hour, hour.totals.hits, hour.totals.queries));
        }
        let mut more = Vec::new();
        for tracker in self.trackers(span, None, u32::MAX)? {
            let owner = owner(&tracker.attribution);
            more.push(format!("tracker {owner} {} on {}", tracker.hits, tracker.devices));
        }
        for count in self.devices(span)? {
            let key = count.device.key;
            let Totals { queries, hits } = count.totals;
            assert_eq!(self.totals(span, Some(key))?, count.totals);
            more.push(format!(
                "device {} {hits}/{queries} by {} from {} to {}",
                count.device.name, count.trackers, count.first_seen, count.last_seen
            ));
            for name in self.names(span, Some(key), false, u32::MAX)? {
                let Totals { queries, hits } = name.totals;
                let shown = shown(&name.name, name.behind.as_ref());
                more.push(format!("name {shown} on {} {hits}/{queries}", count.device.name));
            }
        }
        for name in self.names(span, None, false, u32::MAX)? {
            let shown = shown(&name.name, name.behind.as_ref());
            more.push(format!("name {shown} {}/{}", name.totals.hits, name.totals.queries));
        }
        for count in self.companies(span, Some(before(span)), None, u32::MAX)? {
            let CompanyCount { name: company, hits, hits_before, cloaked, devices, trackers } = &count;
            let sum: u64 = trackers.iter().map(|tracker| tracker.hits).sum();
            assert_eq!(sum, *hits);
            more.push(format!(
                "company {company} {hits} after {hits_before}, {cloaked} cloaked on {devices}"
            ));
            let detail = self.company(span, Some(before(span)), company)?.unwrap();
            assert_eq!(detail.count, count);
            for (device, hits) in detail.devices {
                more.push(format!("company {company} on {} {hits}", device.name));
                let own = self.companies(span, None, Some(device.key), u32::MAX)?;
                assert_eq!(own.iter().find(|own| own.name == *company).map(|own| own.hits), Some(hits));
            }
            for NameCount { name, behind, totals: Totals { queries, hits }, .. } in detail.names {
                let shown = shown(&name, behind.as_ref());
                more.push(format!("company {company} by {shown} {hits}/{queries}"));
            }
            for (hour, hits) in detail.hours.into_iter().filter(|(_, hits)| 0 < *hits) {
                more.push(format!("company {company} at {hour} {hits}"));
            }
        }
        for meeting in self.news(span, KNOWN)?.meetings {
            let (owner, FirstMeeting { device, hits, is_new_to_all, .. }) =
                (owner(&meeting.attribution), &meeting);
            more.push(format!("new {owner} on {} {hits} {is_new_to_all}", device.name));
        }
        more.sort();
        lines.append(&mut more);
        Ok(lines)
    }

    /// Single events in words, the latest first.
    pub(super) fn tell_events(&mut self, filter: &EventFilter) -> Vec<String> {
        let limit = if filter.limit == 0 { 100 } else { filter.limit };
        let events = self.events(&EventFilter { limit, ..filter.clone() }).unwrap();
        assert!(events.is_sorted_by(|later, earlier| earlier.id < later.id));
        let line = |event: &super::Remembered| {
            let verdict = match &event.verdict {
                RememberedVerdict::Pass => "pass".to_owned(),
                RememberedVerdict::Allow(rule) => format!("allow {} {}", rule.list, rule.rule),
                RememberedVerdict::Block(rule) => format!("block {} {}", rule.list, rule.rule),
            };
            let (at, device, owner) = (event.at, &event.device.name, owner(&event.attribution));
            let name = shown(&event.name, event.behind.as_ref());
            format!("{at} {device} {name} {} {} {verdict} ({owner})", event.qtype, event.rcode)
        };
        events.iter().map(line).collect()
    }
}

/// For how long a tracker is to have been unknown.
const KNOWN: Duration = Duration::from_secs(7200);

/// As long a span before.
fn before(span: Span) -> Span {
    Span { from: span.from - span.from.duration_until(span.until), until: span.from }
}

fn shown(name: &DomainName, behind: Option<&DomainName>) -> String {
    behind.map_or_else(|| name.to_string(), |behind| format!("{name} for {behind}"))
}

fn owner(attribution: &Attribution) -> String {
    match attribution {
        Attribution::Tracker(tracker) => tracker.product.clone(),
        Attribution::Domain(domain) => domain.to_string(),
    }
}

/// What the answers must be, from a list of all that happened: `(at, event)`.
pub(super) fn model(events: &[QueryEvent], span: Span) -> Vec<String> {
    let catalogue = catalogue();
    let hour = |at: Timestamp| at.as_second().div_euclid(3600);
    let within: Vec<_> = events
        .iter()
        .filter(|event| {
            (hour(span.from)..=hour(span.until - Duration::from_nanos(1))).contains(&hour(event.at))
        })
        .collect();
    let count = |chosen: &dyn Fn(&QueryEvent) -> bool| {
        let chosen: Vec<_> = within.iter().filter(|event| chosen(event)).collect();
        let hits = chosen.iter().filter(|event| event.is_hit()).count();
        (hits, chosen.len())
    };
    let (hits, queries) = count(&|_| true);
    let mut lines = vec![format!("all {hits}/{queries}")];
    let hours: BTreeMap<_, _> = within.iter().map(|event| (hour(event.at), ())).collect();
    for (&at, ()) in &hours {
        let (hits, queries) = count(&|event| hour(event.at) == at);
        lines.push(format!("hour {} {hits}/{queries}", Timestamp::from_second(at * 3600).unwrap()));
    }
    let mut more = BTreeSet::new();
    let earlier_by = |by: Timestamp| -> Vec<&QueryEvent> {
        let hours = hour(by)..hour(span.from);
        events.iter().filter(|event| event.is_hit() && hours.contains(&hour(event.at))).collect()
    };
    let earlier = earlier_by(before(span).from);
    let known = earlier_by(span.from - KNOWN);
    let whose = |event: &QueryEvent| {
        catalogue.current().attribute(event.behind.as_ref().unwrap_or(&event.name).as_ref())
    };
    let owner_of = |event: &QueryEvent| owner(&whose(event));
    for event in &within {
        let mut name = |also: &dyn Fn(&QueryEvent) -> bool, on: &str| {
            let same = |other: &QueryEvent| other.name == event.name && also(other);
            let (hits, queries) = count(&same);
            let behind = within.iter().filter(|other| same(other)).find_map(|other| other.behind.as_ref());
            more.insert(format!("name {}{on} {hits}/{queries}", shown(&event.name, behind)));
        };
        name(&|_| true, "");
        name(&|other| other.device == event.device, &format!(" on {}", event.device.name));
        if event.is_hit() {
            let same = |other: &QueryEvent| other.is_hit() && owner_of(other) == owner_of(event);
            let devices: BTreeSet<_> =
                within.iter().filter(|other| same(other)).map(|other| other.device.key).collect();
            more.insert(format!("tracker {} {} on {}", owner_of(event), count(&same).0, devices.len()));
            tell_company(&mut more, event, &within, &earlier, &|event| whose(event).company());
            let is_known = |of_device: bool| {
                let same = |other: &QueryEvent| {
                    owner_of(other) == owner_of(event) && (!of_device || other.device == event.device)
                };
                known.iter().any(|other| same(other))
            };
            if !is_known(true) {
                let (hits, _) = count(&|other| same(other) && other.device == event.device);
                let (owner, device) = (owner_of(event), &event.device.name);
                more.insert(format!("new {owner} on {device} {hits} {}", !is_known(false)));
            }
        }
    }
    for event in events {
        let of_device = |other: &QueryEvent| other.device == event.device;
        let (hits, queries) = count(&of_device);
        let trackers: BTreeSet<_> = within
            .iter()
            .filter(|other| of_device(other) && other.is_hit())
            .map(|other| owner_of(other))
            .collect();
        let times = || events.iter().filter(|other| of_device(other)).map(|other| other.at);
        let day = Duration::from_secs(86_400);
        let later = |known: Timestamp, at| if at + day < known { at } else { known.max(at) };
        let (first, last) = (times().min().unwrap(), times().reduce(later).unwrap());
        more.insert(format!(
            "device {} {hits}/{queries} by {} from {first} to {last}",
            event.device.name,
            trackers.len()
        ));
    }
    lines.extend(more);
    lines
}

/// What is told of the company that met a device in `event`.
fn tell_company(
    lines: &mut BTreeSet<String>,
    event: &QueryEvent,
    within: &[&QueryEvent],
    earlier: &[&QueryEvent],
    company_of: &dyn Fn(&QueryEvent) -> String,
) {
    let company = company_of(event);
    let is_theirs = |other: &&&QueryEvent| other.is_hit() && company_of(other) == company;
    let hits: Vec<_> = within.iter().filter(is_theirs).collect();
    let number = |chosen: &dyn Fn(&QueryEvent) -> bool| hits.iter().filter(|other| chosen(other)).count();
    let devices: BTreeSet<_> = hits.iter().map(|other| other.device.key).collect();
    lines.insert(format!(
        "company {company} {} after {}, {} cloaked on {}",
        hits.len(),
        earlier.iter().filter(is_theirs).count(),
        number(&|other| other.behind.is_some()),
        devices.len()
    ));
    let on_device = number(&|other| other.device == event.device);
    lines.insert(format!("company {company} on {} {on_device}", event.device.name));
    let hour = |at: Timestamp| at.as_second().div_euclid(3600);
    let at = Timestamp::from_second(hour(event.at) * 3600).unwrap();
    let in_hour = number(&|other| hour(other.at) == hour(event.at));
    lines.insert(format!("company {company} at {at} {in_hour}"));
    let by_name = number(&|other| (&other.name, &other.behind) == (&event.name, &event.behind));
    let others = within.iter().filter(|other| other.name == event.name && !other.is_hit()).count();
    let shown = shown(&event.name, event.behind.as_ref());
    lines.insert(format!("company {company} by {shown} {by_name}/{}", by_name + others));
}
