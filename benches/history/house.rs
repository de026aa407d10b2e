//! A house: devices that ask for names, most of all for a few.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use jiff::Timestamp;
use pixelsink::clock::Clock;
use pixelsink::device::Device;
use pixelsink::event::Answered;
use pixelsink::event::Batch;
use pixelsink::event::CountKind;
use pixelsink::event::EventSource;
use pixelsink::event::QueryEvent;
use pixelsink::event::Tally;
use pixelsink::history::History;
use pixelsink::history::HistoryOptions;
use pixelsink::name::DomainName;
use pixelsink::policy::RuleRef;
use pixelsink::policy::Verdict;
use pixelsink::tracker::LiveCatalogue;

pub(crate) const HOUR: u64 = 3_600;
pub(crate) const DAY: u64 = 24 * HOUR;

/// How much of a day's queries an hour has: little at night.
const BY_HOUR: [u64; 24] = [2, 1, 1, 1, 1, 2, 3, 5, 5, 4, 4, 4, 5, 4, 4, 4, 5, 6, 8, 9, 9, 7, 4, 2];

/// How large the house is.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) devices: usize,
    pub(crate) queries_per_day: u64,
    /// All names that anybody asks for.
    pub(crate) names: usize,
    /// Those that a device asks for on one day.
    pub(crate) names_per_day: usize,
}

pub(crate) struct House {
    plan: Plan,
    names: Vec<Asked>,
    /// By how likely a name is of the names of a day: 1/rank, summed up.
    likely: Vec<f64>,
    clock: Arc<HouseClock>,
    waiting: Arc<Waiting>,
    chance: Mutex<Chance>,
}

struct Asked {
    name: DomainName,
    verdict: Verdict,
    behind: Option<DomainName>,
}

/// When the house that is asked about ends: at noon, so that today has hours.
pub(crate) fn end() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// Shows the time of the house, and how long things take as it is: what is given up after a while is given up here too.
struct HouseClock {
    /// The time on the wall, and how much of it was made to pass.
    state: Mutex<(Timestamp, Duration)>,
}

impl HouseClock {
    fn pass(&self, time: Duration) {
        let mut state = self.state.lock().unwrap();
        state.0 += time;
        state.1 += time;
    }
}

impl Clock for HouseClock {
    fn now(&self) -> Timestamp {
        self.state.lock().unwrap().0
    }

    fn instant(&self) -> Instant {
        Instant::now() + self.state.lock().unwrap().1
    }
}

#[derive(Default)]
struct Waiting(Mutex<Batch>);

impl EventSource for Waiting {
    fn try_gather(&self) {}

    fn gather(&self) {}

    fn take(&self) -> Batch {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Numbers that are the same in every run (xorshift64*, Vigna 2016).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// From 0 up to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl House {
    pub(crate) fn new(plan: Plan, begins: Timestamp) -> Self {
        let catalogue = super::catalogue();
        let mut trackers = catalogue.entries().iter().map(|entry| entry.name.clone()).cycle();
        let rule =
            |name: &DomainName| RuleRef { list: "easyprivacy".into(), rule: format!("||{name}^").into() };
        let names = (0..plan.names).map(|number| {
            let plain = |sub: &str| {
                DomainName::parse(&format!("{sub}{}.site{}.example", number % 7, number / 3)).unwrap()
            };
            match number % 20 {
                // One in seven names is a tracker's; a few of them hide.
                0 | 7 => {
                    let name = trackers.next().unwrap();
                    Asked { verdict: Verdict::Block(rule(&name)), name, behind: None }
                }
                13 if number % 3 == 0 => {
                    let behind = trackers.next().unwrap();
                    Asked {
                        name: plain("metrics"),
                        verdict: Verdict::Block(rule(&behind)),
                        behind: Some(behind),
                    }
                }
                _ => Asked { name: plain("rk"), verdict: Verdict::Pass, behind: None },
            }
        });
        let mut sum = 0.0;
        let likely = (1..=plan.names_per_day).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        Self {
            plan,
            names: names.collect(),
            likely: likely.collect(),
            clock: Arc::new(HouseClock { state: Mutex::new((begins, Duration::ZERO)) }),
            waiting: Arc::default(),
            chance: Mutex::new(Chance(0x9E37_79B9_7F4A_7C15)),
        }
    }

    pub(crate) fn open(&self, file: &Path, flush_interval: Duration) -> History {
        let options = HistoryOptions {
            file: Some(file.to_owned()),
            flush_interval,
            // A little more, so that nothing goes while it is measured.
            events_kept: Duration::from_secs(16 * DAY),
            counts_kept: Duration::from_secs(402 * DAY),
            size_max: 8 << 30,
        };
        let (clock, waiting) = (Arc::clone(&self.clock), Arc::clone(&self.waiting));
        History::open(
            options,
            Arc::new(LiveCatalogue::new(super::catalogue())),
            Arc::default(),
            clock,
            waiting,
        )
    }

    pub(crate) fn device(&self, number: usize) -> Device {
        let number = u8::try_from(number).unwrap();
        let key = format!("02:00:00:00:00:{number:02x}").parse().unwrap();
        Device { key, name: format!("device {number}").into() }
    }

    /// A name of the tail, as people would look for it.
    pub(crate) fn rare_name(&self, number: usize) -> String {
        let tail = self.names.iter().rev().filter(|asked| asked.verdict == Verdict::Pass);
        tail.skip(number % 500).map(|asked| asked.name.to_string()).next().unwrap()
    }

    /// The name that comes to a device's mind on a day.
    fn name(&self, device: usize, day: u64, chance: &mut Chance) -> usize {
        let sum = self.likely.last().copied().unwrap_or_default();
        let wanted = chance.share() * sum;
        let rank = self.likely.partition_point(|&likely| likely < wanted) as u64;
        // What it asks for most it asks for every day; of the others each day has some of its own. Early numbers are asked
        // for by many devices.
        let of_day = if rank < self.plan.names_per_day as u64 / 2 { 0 } else { day };
        let mut own = Chance((device as u64 + 1) << 40 ^ of_day << 20 ^ (rank + 1));
        own.next();
        let share = own.share();
        ((share * share) * self.plan.names as f64) as usize
    }

    /// Lets an hour pass in which the house asks what it asks in that hour.
    pub(crate) fn hear_hour(&self, as_events: bool) {
        self.hear(HOUR, as_events);
    }

    pub(crate) fn hear_seconds(&self, seconds: u64) {
        self.hear(seconds, true);
    }

    fn hear(&self, seconds: u64, as_events: bool) {
        let begins = self.clock.now();
        let (day, hour) = (begins.as_second() as u64 / DAY, begins.as_second() as u64 % DAY / HOUR);
        let share = BY_HOUR[hour as usize];
        let exact = self.plan.queries_per_day * share * seconds;
        let whole = BY_HOUR.iter().sum::<u64>() * HOUR;
        let chance = &mut *self.chance.lock().unwrap();
        // What is less than a query comes by chance.
        let queries = exact / whole + u64::from(chance.below(whole) < exact % whole);
        let devices: Vec<Device> = (0..self.plan.devices).map(|number| self.device(number)).collect();
        let mut counts = Tally::default();
        let mut events = Vec::new();
        for number in 0..queries {
            let from = chance.below(self.plan.devices as u64) as usize;
            let asked = &self.names[self.name(from, day, chance)];
            let at = begins + Duration::from_micros(seconds * 1_000_000 * number / queries);
            if as_events {
                let answered = Answered::Cache;
                events.push(QueryEvent {
                    at,
                    device: devices[from].clone(),
                    name: asked.name.clone(),
                    behind: asked.behind.clone(),
                    qtype: [1, 1, 28, 65][chance.below(4) as usize],
                    verdict: asked.verdict.clone(),
                    answered,
                    rcode: if chance.below(50) == 0 { 3 } else { 0 },
                    latency_us: 900,
                });
                continue;
            }
            let kind = match (&asked.verdict, &asked.behind) {
                (Verdict::Block(_), None) => CountKind::Block,
                (Verdict::Block(_), Some(_)) => CountKind::Cloaked,
                _ => CountKind::Pass,
            };
            let at_ms = at.as_millisecond();
            let slot = counts.slot(at_ms / 3_600_000, &devices[from], kind).unwrap();
            let behind = asked.behind.as_ref().map(|behind| behind.as_ref().as_wire());
            counts.add(slot, at_ms, asked.name.as_ref().as_wire(), behind);
        }
        let mut waiting = self.waiting.0.lock().unwrap();
        let heard = if as_events { Batch::of(events) } else { Batch { counts, ..Batch::default() } };
        if waiting.is_empty() {
            *waiting = heard;
        } else {
            // Only counts wait for more than an hour.
            let mut events = std::mem::take(&mut waiting.events);
            events.extend(heard.events);
            *waiting =
                if as_events { Batch::of(events) } else { panic!("the history takes counts each hour") };
        }
        drop(waiting);
        self.clock.pass(Duration::from_secs(seconds));
    }
}
