//! What it costs to record a query, as a table: `cargo bench --bench events [-- QUERIES_PER_SECOND SECONDS]`.
//!
//! 50,000 names are asked for by 20 devices, each pair as often as any other: the worst for every table. The last line is a
//! flood as it comes, with the history's own thread and its file: all CPU time of the process for each query.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a table for whoever runs it"
)]

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pixelsink::clock::{Clock, SystemClock};
use pixelsink::device::DeviceTable;
use pixelsink::event::{
    AnsweredBy, Batch, Decided, EventSource, EventWriter, Gatherer, Moment, RuleText, Told, ring,
};
use pixelsink::history::{History, HistoryOptions};
use pixelsink::metrics::Metrics;
use pixelsink::name::DomainName;
use pixelsink::tracker::LiveCatalogue;
use rustix::time::{ClockId, clock_gettime};

const NAMES: usize = 50_000;
const DEVICES: u8 = 20;
/// Queries between two looks at the clock: about half of a ring.
const ROUND: usize = 2_000;

/// Gathers as the daemon does.
#[derive(Default)]
struct House {
    gatherer: Mutex<Gatherer>,
    table: Arc<DeviceTable>,
    metrics: Metrics,
}

impl EventSource for House {
    fn try_gather(&self) {
        self.gather();
    }

    fn gather(&self) {
        let mut gatherer = self.gatherer.lock().unwrap();
        let moment = Moment { now: SystemClock.now(), instant: SystemClock.instant() };
        gatherer.gather(&self.table, moment);
        self.metrics.add(&gatherer.take_sums());
    }

    fn take(&self) -> Batch {
        self.gatherer.lock().unwrap().take()
    }
}

/// Hears, and writes nothing: the floor.
struct Nobody;

impl EventWriter for Nobody {
    fn write(&mut self, told: &Told<'_>) {
        // Whoever answered has just read the name.
        black_box(told.name.as_wire().iter().fold(0_u8, |sum, octet| sum ^ octet));
        black_box(told);
    }
}

/// Those who ask.
struct Flood {
    names: Vec<DomainName>,
    state: u64,
}

impl Flood {
    fn new() -> Self {
        let name = |number| DomainName::parse(&format!("n{number}.t{}.example", number % 97)).unwrap();
        Self { names: (0..NAMES).map(name).collect(), state: 0x9E37_79B9_7F4A_7C15 }
    }

    fn number(&mut self, below: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap() % below
    }

    fn write(&mut self, writer: &mut impl EventWriter, at: Timestamp) {
        let (name, device) = (self.number(NAMES), self.number(usize::from(DEVICES)));
        let rule = RuleText { list: "mine", rule: &"||example^" };
        writer.write(&Told {
            at,
            client: IpAddr::from([127, 0, 0, u8::try_from(device).unwrap() + 1]),
            name: self.names[name].as_ref(),
            behind: None,
            qtype: 1,
            rcode: 0,
            latency_us: 30,
            answered: AnsweredBy::Cache,
            decided: if name % 4 == 0 { Decided::Block(rule) } else { Decided::Pass },
        });
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let (per_second, seconds) = (arguments.next().unwrap_or(200_000), arguments.next().unwrap_or(60));
    parts();
    flood(per_second, seconds);
}

/// Writer and gatherer by themselves, then the history with a full tally.
fn parts() {
    let house = Arc::new(house());
    let source = Arc::clone(&house) as Arc<dyn EventSource>;
    let (mut writer, ring) = ring(Arc::clone(&source));
    house.gatherer.lock().unwrap().add(ring);
    let mut flood = Flood::new();
    let (mut asking, mut writing, mut gathering) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let rounds = 800;
    for round in 0..rounds {
        let at = SystemClock.now();
        let timed = |work: &mut dyn FnMut()| {
            let before = clock(ClockId::ThreadCPUTime);
            work();
            clock(ClockId::ThreadCPUTime).checked_sub(before).unwrap()
        };
        asking += timed(&mut || (0..ROUND).for_each(|_| flood.write(&mut Nobody, at)));
        writing += timed(&mut || (0..ROUND).for_each(|_| flood.write(&mut writer, at)));
        gathering += timed(&mut || house.gather());
        if round % 100 == 99 {
            drop(house.take());
        }
    }
    let queries = rounds * ROUND;
    println!(
        "asking      {:6.1} ns a query, which stands in all figures but the gatherer's",
        nanoseconds(asking, queries)
    );
    println!("writer      {:6.1} ns a query", nanoseconds(writing, queries));
    println!("gatherer    {:6.1} ns a query", nanoseconds(gathering, queries));

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path(), source);
    for what in ["new", "known"] {
        // The history's thread looks once a second whether it has rested; what it took is not in this figure.
        while house.gatherer.lock().unwrap().peek().counts.pairs().len() < 200_000 {
            (0..ROUND).for_each(|_| flood.write(&mut writer, SystemClock.now()));
            house.gather();
        }
        let begun = Instant::now();
        runtime.block_on(history.flush()).unwrap();
        let rows = 200_000.0 / begun.elapsed().as_secs_f64();
        println!(
            "history     {:6.0} ms for 200,000 {what} pairs, {rows:.0} a second",
            begun.elapsed().as_secs_f64() * 1e3
        );
    }
    runtime.block_on(history.close()).unwrap();
}

/// All of it at once.
fn flood(per_second: u64, seconds: u64) {
    let house = Arc::new(house());
    let source = Arc::clone(&house) as Arc<dyn EventSource>;
    let (mut writer, ring) = ring(Arc::clone(&source));
    house.gatherer.lock().unwrap().add(ring);
    let mut flood = Flood::new();
    let dir = tempfile::tempdir().unwrap();
    let history = open(dir.path(), source);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(history.health()).unwrap();
    let (begun, before) = (Instant::now(), clock(ClockId::ProcessCPUTime));
    let mut queries = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let due = u128::from(per_second) * begun.elapsed().as_millis() / 1000;
        let at = SystemClock.now();
        while queries < due {
            flood.write(&mut writer, at);
            queries += 1;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let spent = clock(ClockId::ProcessCPUTime).checked_sub(before).unwrap();
    let queries = usize::try_from(queries).unwrap();
    println!("all told    {:6.1} ns a query at {per_second} a second", nanoseconds(spent, queries));
    let health = runtime.block_on(history.health()).unwrap();
    println!(
        "of {queries}: {} not listed, {} without their names, {} lost",
        health.unlisted.queries, health.unnamed.queries, health.dropped.queries
    );
    runtime.block_on(history.close()).unwrap();
}

fn house() -> House {
    // One device for each address, as in a house.
    let addresses = (1..=DEVICES)
        .map(|number| (IpAddr::from([127, 0, 0, number]), pixelsink::device::Mac([2, 0, 0, 0, 0, number])));
    House { table: Arc::new(DeviceTable::build(&[], &addresses.collect::<Vec<_>>())), ..House::default() }
}

fn open(dir: &std::path::Path, source: Arc<dyn EventSource>) -> History {
    let options = HistoryOptions {
        file: Some(dir.join("history.sqlite3")),
        flush_interval: Duration::from_secs(60),
        events_kept: Duration::from_secs(7 * 86_400),
        counts_kept: Duration::from_secs(365 * 86_400),
        size_max: 1 << 30,
    };
    History::open(options, Arc::<LiveCatalogue>::default(), Arc::default(), Arc::new(SystemClock), source)
}

fn clock(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap()
}

fn nanoseconds(time: Duration, queries: usize) -> f64 {
    time.as_secs_f64() * 1e9 / f64::from(u32::try_from(queries).unwrap())
}
