//! Records of all threads, put together: whose they are, how many, and which are told one by one.
//!
//! The kernel learns the MAC of a new client a moment before its first query is read, and we learn it from the kernel a
//! moment after. The records of an address that is not known yet wait for that moment, or one device would be two.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use hashbrown::HashMap;
use jiff::Timestamp;

use super::Answered;
use super::AnsweredKind;
use super::CountKind;
use super::Privacy;
use super::QueryEvent;
use super::VerdictKind;
use super::privacy::everyone;
use super::record::Detail;
use super::record::Record;
use super::record::split_first;
use super::ring::Ring;
use super::tally::SlotId;
use super::tally::Tally;
use crate::device::Device;
use crate::device::DeviceKey;
use crate::device::DeviceTable;
use crate::device::Mac;
use crate::name::DomainName;
use crate::policy::RuleRef;
use crate::policy::Verdict;

/// How long records of an unknown address wait; discovery reads the tables again within a tenth of a second.
pub const ACQUAINTANCE: Duration = Duration::from_millis(300);
/// An address that stayed unknown (it is behind a router) is not waited for again for so long.
const STRANGER_KEPT: Duration = Duration::from_secs(60);
/// So many addresses are waited for at once; a flood of forged ones is not worth more memory.
const STRANGERS_MAX: usize = 1024;
/// Octets of records that wait for an acquaintance.
const HELD_LEN_MAX: usize = 1 << 18;
/// Addresses whose devices are known without looking them up.
const ASKERS_MAX: usize = 4096;
/// MACs of a moment that may turn out to be somebody's.
const TOLD_MAX: usize = 256;
/// Single events that wait for the history, about 8 MB at worst: more than a minute of [`super::DETAILED_PER_SECOND`].
const EVENTS_MAX: usize = 1 << 15;

/// Where the buckets of latencies end, in microseconds: from an answer out of memory to one for which a client has nearly
/// given up.
pub const LATENCY_BOUNDS_US: [u32; 9] =
    [50, 200, 1_000, 5_000, 20_000, 100_000, 500_000, 2_000_000, 5_000_000];

/// The types that are counted apart, with their names (IANA's registry of DNS parameters): what devices of a home ask for.
pub const QTYPES_COUNTED: [(u16, &str); 8] =
    [(1, "A"), (28, "AAAA"), (65, "HTTPS"), (64, "SVCB"), (12, "PTR"), (33, "SRV"), (16, "TXT"), (15, "MX")];
/// The RCODEs that are counted apart, with their names.
pub const RCODES_COUNTED: [(u16, &str); 4] =
    [(0, "NOERROR"), (2, "SERVFAIL"), (3, "NXDOMAIN"), (5, "REFUSED")];

/// What was gathered and nobody has taken yet.
#[derive(Debug, Default)]
pub struct Batch {
    /// How often each device asked for each name.
    pub counts: Tally,
    /// Those queries that are told one by one, all of them counted as well.
    pub events: Vec<QueryEvent>,
    /// Queries that are not even counted: there were more devices than have room.
    pub lost: u64,
    /// Queries that are counted and of which no more is told, because nobody wants it to be.
    pub hidden: u64,
}

impl Batch {
    /// Whether it should be taken soon: half of the room for names, pairs or single events is taken. At 100,000 new pairs a
    /// second the rest lasts for one.
    pub fn is_nearly_full(&self) -> bool {
        self.counts.is_nearly_full() || EVENTS_MAX / 2 <= self.events.len()
    }
}

/// Sums for the metrics.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sums {
    /// Queries by [`VerdictKind`] and [`AnsweredKind`].
    pub queries: [[u64; AnsweredKind::ALL.len()]; VerdictKind::ALL.len()],
    /// Queries by their QTYPE, in the order of [`QTYPES_COUNTED`]; all others behind.
    pub qtypes: [u64; QTYPES_COUNTED.len() + 1],
    /// Answers by their RCODE, in the order of [`RCODES_COUNTED`]; all others behind.
    pub rcodes: [u64; RCODES_COUNTED.len() + 1],
    /// By [`AnsweredKind`], queries by the first of [`LATENCY_BOUNDS_US`] that they did not exceed, the last ones above all.
    pub latencies: [[u64; LATENCY_BOUNDS_US.len() + 1]; AnsweredKind::ALL.len()],
    /// By [`AnsweredKind`], all latencies.
    pub latency_sums_us: [u64; AnsweredKind::ALL.len()],
    /// Blocked queries that were told one by one, by the list that decided.
    pub lists: HashMap<String, u64>,
    /// Queries that were not told one by one.
    pub unlisted: u64,
}

/// Gathers. All that lasts longer than a call is in here, so that a lock around it is enough.
#[derive(Default)]
pub struct Gatherer {
    rings: Vec<Ring>,
    privacy: Privacy,
    table: Arc<DeviceTable>,
    /// The devices of addresses as `table` has them.
    askers: HashMap<u128, Asker>,
    /// Since when each unknown address has been waited for.
    strangers: HashMap<IpAddr, Instant>,
    /// When those that need not be waited for were forgotten.
    swept: Option<Instant>,
    /// Records of strangers, one behind the other.
    held: Vec<u8>,
    batch: Batch,
    /// Events of the batch that were told to live views.
    announced: usize,
    sums: Sums,
    /// MACs that forwarders told and the table does not know.
    told: Vec<Mac>,
}

/// The device behind an address, and where it is counted in this hour.
struct Asker {
    device: Device,
    hour: i64,
    slots: [Option<SlotId>; CountKind::ALL.len()],
}

impl Asker {
    const fn new(device: Device) -> Self {
        Self { device, hour: i64::MIN, slots: [None; CountKind::ALL.len()] }
    }

    fn slot(&mut self, tally: &mut Tally, at_ms: i64, kind: CountKind) -> Option<SlotId> {
        // A clock that was never set may stand before 1970; hours are not negative.
        let hour = at_ms.max(0) / 3_600_000;
        if self.hour != hour {
            (self.hour, self.slots) = (hour, [None; CountKind::ALL.len()]);
        }
        let known = self.slots.get_mut(kind as usize)?;
        if known.is_none() {
            *known = tally.slot(hour, &self.device, kind);
        }
        *known
    }
}

/// The moment at which is gathered.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// What the clock says.
    pub now: Timestamp,
    /// The time that passes whatever the clock says.
    pub instant: Instant,
}

impl Gatherer {
    /// Gathers from one more ring.
    pub fn add(&mut self, ring: Ring) {
        self.rings.push(ring);
    }

    /// Tells no more than this from now on.
    pub fn set_privacy(&mut self, privacy: Privacy) {
        self.privacy = privacy;
        self.askers.clear();
    }

    /// Takes every record that was written so far; devices are those of `table`.
    pub fn gather(&mut self, table: &Arc<DeviceTable>, moment: Moment) {
        if !Arc::ptr_eq(&self.table, table) {
            self.table = Arc::clone(table);
            self.askers.clear();
        }
        let held = std::mem::take(&mut self.held);
        let mut rest = &*held;
        while let Some(octets) = split_first(&mut rest) {
            self.hear(octets, moment);
        }
        let mut rings = std::mem::take(&mut self.rings);
        for ring in &mut rings {
            ring.drain(|octets| self.hear(octets, moment));
        }
        rings.retain(|ring| !ring.is_done());
        self.rings = rings;
    }

    /// Whether records wait for the acquaintance of their address.
    pub fn waits(&self) -> bool {
        !self.held.is_empty()
    }

    /// What was gathered since the last time, left where it is.
    pub const fn peek(&self) -> &Batch {
        &self.batch
    }

    /// What was gathered since the last time.
    pub fn take(&mut self) -> Batch {
        // Their slots are those of the batch that goes.
        self.askers.clear();
        self.announced = 0;
        let mut batch = std::mem::take(&mut self.batch);
        // One ring was emptied after the other.
        batch.events.sort_by_key(|event| event.at);
        batch
    }

    /// What there is to count since the last time.
    pub fn take_sums(&mut self) -> Sums {
        std::mem::take(&mut self.sums)
    }

    /// MACs that the table does not know, met since the last time.
    pub fn take_told(&mut self) -> Vec<Mac> {
        std::mem::take(&mut self.told)
    }

    /// The events that were gathered since the last time; they stay where they are.
    pub fn announce(&mut self) -> &[QueryEvent] {
        let from = std::mem::replace(&mut self.announced, self.batch.events.len());
        self.batch.events.get(from..).unwrap_or_default()
    }

    fn hear(&mut self, octets: &[u8], moment: Moment) {
        // Always one of ours.
        let Some(record) = Record::read(octets) else { return };
        let Self { askers, batch, sums, .. } = self;
        if let Some(asker) = askers.get_mut(&record.client) {
            return count(asker, batch, sums, self.privacy, &record);
        }
        let key = record.key();
        // A MAC is known as what it is.
        let may_be_known_soon = self.privacy.tells_client()
            && matches!(key, DeviceKey::Address(address) if self.is_stranger(address, record.at_ms(), moment));
        if may_be_known_soon && self.held.len() + octets.len() <= HELD_LEN_MAX {
            self.held.extend_from_slice(octets);
            return;
        }
        if ASKERS_MAX <= self.askers.len() {
            self.askers.clear();
        }
        let device = if self.privacy.tells_client() { self.device(key) } else { everyone() };
        let asker = Asker::new(device);
        let Self { askers, batch, sums, .. } = self;
        count(askers.entry(record.client).or_insert(asker), batch, sums, self.privacy, &record);
    }

    fn device(&mut self, key: DeviceKey) -> Device {
        if let DeviceKey::Mac(mac) = key
            && self.told.len() < TOLD_MAX
            && self.table.find_key(key).is_none()
        {
            self.told.push(mac);
        }
        self.table.identify_key(key)
    }

    /// Whether the owner of an address that asked at `at_ms` may be known in a moment.
    fn is_stranger(&mut self, address: IpAddr, at_ms: i64, moment: Moment) -> bool {
        if address.is_loopback() || self.table.knows(address) {
            return false;
        }
        let was_swept =
            self.swept.is_some_and(|at| moment.instant.saturating_duration_since(at) < ACQUAINTANCE);
        if STRANGERS_MAX <= self.strangers.len() && !was_swept {
            self.swept = Some(moment.instant);
            self.strangers
                .retain(|_, since| moment.instant.saturating_duration_since(*since) < STRANGER_KEPT);
        }
        if let Some(since) = self.strangers.get(&address) {
            let waited = moment.instant.saturating_duration_since(*since);
            if waited < STRANGER_KEPT {
                return waited < ACQUAINTANCE;
            }
        } else if STRANGERS_MAX <= self.strangers.len() {
            return false;
        }
        // It asked a while before it is gathered; a clock that was set meanwhile says nothing.
        let age_ms = u64::try_from(moment.now.as_millisecond() - at_ms).unwrap_or_default();
        let age = Duration::from_millis(age_ms).min(ACQUAINTANCE);
        self.strangers.insert(address, moment.instant.checked_sub(age).unwrap_or(moment.instant));
        age < ACQUAINTANCE
    }
}

fn count(asker: &mut Asker, batch: &mut Batch, sums: &mut Sums, privacy: Privacy, record: &Record<'_>) {
    sums.add(record);
    let Some(slot) = asker.slot(&mut batch.counts, record.at_ms(), record.kind) else {
        batch.lost += 1;
        return;
    };
    if !privacy.tells_name(record.kind) {
        batch.counts.add_nameless(slot, record.at_ms());
        batch.hidden += 1;
        return;
    }
    batch.counts.add(slot, record.at_ms(), record.name, record.behind);
    let detail = record.detail.filter(|_| batch.events.len() < EVENTS_MAX);
    match detail.and_then(|detail| event_of(record, &detail, &asker.device)) {
        Some(event) => batch.events.push(event),
        None => sums.unlisted += 1,
    }
}

impl Sums {
    fn add(&mut self, record: &Record<'_>) {
        let answered = usize::from(record.answered);
        let by_verdict = self.queries.get_mut(record.kind.verdict() as usize);
        bump(by_verdict.and_then(|queries| queries.get_mut(answered)), 1);
        let place = |counted: &[(u16, &str)], number| {
            counted.iter().position(|(other, _)| *other == number).unwrap_or(counted.len())
        };
        bump(self.qtypes.get_mut(place(&QTYPES_COUNTED, record.qtype)), 1);
        bump(self.rcodes.get_mut(place(&RCODES_COUNTED, record.rcode)), 1);
        let bucket = LATENCY_BOUNDS_US.iter().filter(|&&bound| bound < record.latency_us).count();
        bump(self.latencies.get_mut(answered).and_then(|latencies| latencies.get_mut(bucket)), 1);
        bump(self.latency_sums_us.get_mut(answered), u64::from(record.latency_us));
        if let Some(detail) = &record.detail
            && record.kind.verdict() == VerdictKind::Block
        {
            *self.lists.entry_ref(detail.list).or_default() += 1;
        }
    }

    /// Adds those of a further time.
    pub fn add_all(&mut self, later: &Self) {
        let add = |sums: &mut [u64], later: &[u64]| {
            sums.iter_mut().zip(later).for_each(|(sum, later)| *sum += later);
        };
        add(self.queries.as_flattened_mut(), later.queries.as_flattened());
        add(&mut self.qtypes, &later.qtypes);
        add(&mut self.rcodes, &later.rcodes);
        add(self.latencies.as_flattened_mut(), later.latencies.as_flattened());
        add(&mut self.latency_sums_us, &later.latency_sums_us);
        self.unlisted += later.unlisted;
        for (list, blocked) in &later.lists {
            *self.lists.entry_ref(&**list).or_default() += blocked;
        }
    }
}

fn bump(sum: Option<&mut u64>, by: u64) {
    if let Some(sum) = sum {
        *sum += by;
    }
}

/// The event that a detailed record tells of.
fn event_of(record: &Record<'_>, detail: &Detail<'_>, device: &Device) -> Option<QueryEvent> {
    let rule = || RuleRef { list: detail.list.into(), rule: detail.rule.into() };
    let answered = match AnsweredKind::ALL.get(usize::from(record.answered))? {
        AnsweredKind::Sinkhole => Answered::Sinkhole,
        AnsweredKind::Cache => Answered::Cache,
        AnsweredKind::Stale => Answered::Stale,
        AnsweredKind::Upstream => Answered::Upstream(detail.upstream.into()),
        AnsweredKind::Nobody => Answered::Nobody,
        AnsweredKind::Local => Answered::Local,
    };
    Some(QueryEvent {
        at: Timestamp::from_microsecond(record.at_us).ok()?,
        device: device.clone(),
        name: DomainName::from_wire(record.name).ok()?,
        behind: record.behind.and_then(|behind| DomainName::from_wire(behind).ok()),
        qtype: record.qtype,
        verdict: match record.kind.verdict() {
            VerdictKind::Pass => Verdict::Pass,
            VerdictKind::Allow => Verdict::Allow(rule()),
            VerdictKind::Block => Verdict::Block(rule()),
        },
        answered,
        rcode: record.rcode,
        latency_us: record.latency_us,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::AnsweredBy;
    use crate::event::DETAILED_MAX;
    use crate::event::Decided;
    use crate::event::EventWriter;
    use crate::event::RingWriter;
    use crate::event::RuleText;
    use crate::event::Silence;
    use crate::event::Told;
    use crate::event::ring;
    use crate::event::tally::SLOTS_MAX;

    const START_MS: i64 = 1_800_000_000_000;

    /// A house with one thread that answers.
    struct House {
        gatherer: Gatherer,
        writer: RingWriter,
        table: Arc<DeviceTable>,
        began: Instant,
        passed: Duration,
    }

    impl House {
        fn new() -> Self {
            let (writer, ring) = ring(Arc::new(Silence));
            let mut gatherer = Gatherer::default();
            gatherer.add(ring);
            Self { gatherer, writer, table: Arc::default(), began: Instant::now(), passed: Duration::ZERO }
        }

        fn now(&self) -> Timestamp {
            Timestamp::from_millisecond(START_MS).unwrap() + self.passed
        }

        fn ask(&mut self, client: &str, name: &str) {
            let name = DomainName::parse(name).unwrap();
            let decided = Decided::Block(RuleText { list: "mine", rule: &"||example^" });
            let (at, client) = (self.now(), client.parse().unwrap());
            let answered = AnsweredBy::Upstream("udp://192.0.2.53:53");
            let name = name.as_ref();
            self.writer.write(&Told {
                at,
                client,
                name,
                behind: None,
                qtype: 28,
                rcode: 3,
                latency_us: 60,
                answered,
                decided,
            });
        }

        fn gather(&mut self) {
            let moment = Moment { now: self.now(), instant: self.began + self.passed };
            self.gatherer.gather(&self.table, moment);
        }

        fn knows(&mut self, address: &str) {
            let neighbours = [(address.parse().unwrap(), Mac([2, 0, 0, 0, 0, 1]))];
            self.table = Arc::new(DeviceTable::build(&[], &neighbours));
        }

        /// The devices that were counted, and those of events.
        fn take(&mut self) -> (Vec<String>, Vec<String>) {
            let batch = self.gatherer.take();
            let counted =
                batch.counts.slots().iter().map(|slot| format!("{} {}", slot.device.key, slot.queries));
            let events = batch.events.iter().map(|event| event.device.key.to_string());
            (counted.collect(), events.collect())
        }
    }

    #[test]
    fn a_query_becomes_an_event_with_its_rule() {
        let mut house = House::new();
        house.ask("127.0.0.1", "a.example");
        house.gather();
        assert_eq!(house.gatherer.announce().len(), 1);
        assert_eq!(house.gatherer.announce().len(), 0, "it was told");
        let sums = house.gatherer.take_sums();
        assert_eq!(sums.queries[VerdictKind::Block as usize][AnsweredKind::Upstream as usize], 1);
        assert_eq!(
            (
                sums.latencies[AnsweredKind::Upstream as usize][1],
                sums.latency_sums_us[AnsweredKind::Upstream as usize],
                sums.unlisted
            ),
            (1, 60, 0)
        );
        let batch = house.gatherer.take();
        let expected = QueryEvent {
            at: house.now(),
            device: house.table.identify([127, 0, 0, 1].into()),
            name: DomainName::parse("a.example").unwrap(),
            behind: None,
            qtype: 28,
            verdict: Verdict::Block(RuleRef { list: "mine".into(), rule: "||example^".into() }),
            answered: Answered::Upstream("udp://192.0.2.53:53".into()),
            rcode: 3,
            latency_us: 60,
        };
        assert_eq!(batch.events, [expected]);
        assert_eq!((batch.counts.queries(), batch.unlisted(), batch.lost), (1, 0, 0));
        assert!(house.gatherer.take().is_empty());
    }

    #[test]
    fn nothing_is_told_that_is_to_be_kept_private() {
        let check = |privacy: Privacy, expected: (&[&str], &[&str], &[&str])| {
            let mut house = House::new();
            house.gatherer.set_privacy(privacy);
            house.ask("127.0.0.1", "blocked.example");
            let (at, client) = (house.now(), [127, 0, 0, 1].into());
            let name = DomainName::parse("passed.example").unwrap();
            let (answered, decided) = (AnsweredBy::Cache, Decided::Pass);
            let name = name.as_ref();
            house.writer.write(&Told {
                at,
                client,
                name,
                behind: None,
                qtype: 1,
                rcode: 0,
                latency_us: 9,
                answered,
                decided,
            });
            house.gather();
            let live: Vec<_> = house.gatherer.announce().iter().map(|event| event.name.to_string()).collect();
            let batch = house.gatherer.take();
            assert_eq!((batch.counts.queries(), batch.counts.unnamed(), batch.unlisted()), (2, 0, 0));
            assert_eq!(house.gatherer.take_sums().unlisted, 0);
            let mut devices: Vec<_> =
                batch.counts.slots().iter().map(|slot| slot.device.name.to_string()).collect();
            devices.dedup();
            assert!(batch.events.iter().all(|event| *event.device.name == *devices[0]));
            let shown = |wire: &[u8]| DomainName::from_wire(wire).unwrap().to_string();
            let names: Vec<_> = batch.counts.names().map(shown).collect();
            let (expected_devices, expected_names, expected_live) = expected;
            assert_eq!(devices, owned(expected_devices), "{privacy:?}");
            assert_eq!((names, live), (owned(expected_names), owned(expected_live)), "{privacy:?}");
        };
        let both = ["blocked.example", "passed.example"];
        check(Privacy::All, (&["this machine"], &both, &both));
        check(Privacy::BlockedOnly, (&["this machine"], &both[..1], &both[..1]));
        check(Privacy::NoClient, (&["everyone"], &both, &both));
        check(Privacy::CountsOnly, (&["everyone"], &[], &[]));
    }

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_client_that_becomes_known_in_a_moment_is_one_device() {
        let mut house = House::new();
        house.ask("192.0.2.1", "a.example");
        house.gather();
        assert!(house.gatherer.waits());
        house.passed += Duration::from_millis(100);
        house.knows("192.0.2.1");
        house.ask("192.0.2.1", "b.example");
        house.gather();
        assert!(!house.gatherer.waits());
        let key = "02:00:00:00:00:01";
        assert_eq!(house.take(), (vec![format!("{key} 2")], vec![key.to_owned(); 2]));
    }

    #[test]
    fn a_client_that_stays_unknown_waits_only_once() {
        let mut house = House::new();
        house.ask("192.0.2.1", "a.example");
        house.gather();
        house.passed += ACQUAINTANCE;
        house.ask("192.0.2.1", "b.example");
        house.gather();
        assert_eq!(house.take().0, ["192.0.2.1 2"]);
        house.ask("192.0.2.1", "c.example");
        house.gather();
        assert_eq!(house.take().0, ["192.0.2.1 1"]);
        // What lay in the ring for so long need not wait again.
        house.ask("192.0.2.2", "a.example");
        house.passed += ACQUAINTANCE;
        house.gather();
        assert_eq!(house.take().0, ["192.0.2.2 1"]);
    }

    #[test]
    fn a_device_that_is_recognized_later_is_counted_as_that() {
        let mut house = House::new();
        house.ask("192.0.2.1", "a.example");
        house.passed += ACQUAINTANCE;
        house.gather();
        house.knows("192.0.2.1");
        house.ask("192.0.2.1", "a.example");
        house.gather();
        assert_eq!(house.take().0, ["192.0.2.1 1", "02:00:00:00:00:01 1"]);
    }

    #[test]
    fn a_mac_that_a_forwarder_told_is_a_device() {
        let mut house = House::new();
        let key: DeviceKey = "02:00:00:00:00:09".parse().unwrap();
        house.ask(&key.to_address().to_string(), "a.example");
        house.gather();
        assert!(!house.gatherer.waits());
        assert_eq!(house.gatherer.take_told(), [Mac([2, 0, 0, 0, 0, 9])]);
        assert_eq!(house.take(), (vec![format!("{key} 1")], vec![key.to_string()]));
    }

    #[test]
    fn a_flood_is_counted_to_the_last_query_and_listed_in_part() {
        let mut house = House::new();
        for number in 0..5 * DETAILED_MAX {
            house.ask("127.0.0.1", &format!("n{}.example", number % 700));
            if number % 1_000 == 0 {
                house.gather();
            }
        }
        house.gather();
        let sums = house.gatherer.take_sums();
        let batch = house.gatherer.take();
        assert_eq!(
            (batch.events.len(), batch.unlisted()),
            (DETAILED_MAX as usize, u64::from(4 * DETAILED_MAX))
        );
        assert_eq!(sums.unlisted, batch.unlisted());
        assert_eq!((batch.counts.names().len(), batch.counts.queries()), (700, u64::from(5 * DETAILED_MAX)));
        assert_eq!(sums.latencies.as_flattened().iter().sum::<u64>(), batch.counts.queries());
    }

    #[test]
    fn forged_addresses_take_bounded_memory() {
        let mut house = House::new();
        let floods = 3 * SLOTS_MAX as u64;
        for number in 0..floods {
            house.ask(&format!("2001:db8::{:x}:{:x}", number >> 16, number & 0xFFFF), "a.example");
            if number % 1_000 == 0 {
                house.gather();
            }
        }
        assert!(house.gatherer.strangers.len() <= STRANGERS_MAX && house.gatherer.held.len() <= HELD_LEN_MAX);
        assert!(house.gatherer.askers.len() <= ASKERS_MAX);
        house.passed += ACQUAINTANCE;
        house.gather();
        let batch = house.gatherer.take();
        assert_eq!(batch.counts.slots().len(), SLOTS_MAX);
        assert_eq!(batch.counts.queries() + batch.lost, floods);
    }
}
