//! What the history takes on the disk, and how long its answers take: of a house that is large and old.
//!
//! `benches/history/run` and `benches/history/card` call it. The house is written by the code that writes every house, an
//! hour at a time under a clock of its own: events as rows, and what is older than they as counts only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measurement may fall over"
)]

mod house;

use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use house::DAY;
use house::HOUR;
use house::House;
use house::Plan;
use jiff::Timestamp;
use pixelsink::history::Erasure;
use pixelsink::history::EventFilter;
use pixelsink::history::History;
use pixelsink::history::Span;
use pixelsink::name::DomainName;
use pixelsink::tracker::BUILT_IN;
use pixelsink::tracker::Catalogue;
use tokio::runtime::Runtime;

/// Events are kept for so many days, counts for the others.
const EVENT_DAYS: u64 = 14;
const COUNT_DAYS: u64 = 400;
const DEVICES: usize = 50;
/// Each question is asked so many times.
const ROUNDS: usize = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match *words {
        ["fill", file, events] => fill(&runtime, Path::new(file), events.parse().unwrap(), COUNT_DAYS),
        ["fill", file, events, days] => {
            fill(&runtime, Path::new(file), events.parse().unwrap(), days.parse().unwrap());
        }
        ["ask", file] => ask(&runtime, Path::new(file)),
        ["erase", file] => erase(&runtime, Path::new(file)),
        ["card", directory, flush_secs, hours] => {
            card(&runtime, Path::new(directory), flush_secs.parse().unwrap(), hours.parse().unwrap());
        }
        [] => println!("benches/history/run and benches/history/card say what this does"),
        _ => panic!("fill FILE EVENTS [DAYS] | ask FILE | erase FILE | card DIRECTORY FLUSH_SECONDS HOURS"),
    }
}

/// Writes a house of so many events.
fn fill(runtime: &Runtime, file: &Path, events: u64, days: u64) {
    let plan =
        Plan { devices: DEVICES, queries_per_day: events / EVENT_DAYS, names: 5_000, names_per_day: 300 };
    let house = House::new(plan, house::end() - Duration::from_secs(days * 86_400));
    let history = house.open(file, Duration::from_secs(86_400 * 365));
    let begun = Instant::now();
    for day in 0..days {
        let as_events = days - EVENT_DAYS <= day;
        // Counts that are not events are written at once, with each flush; an hour of events is as many rows as a flush has.
        for hour in 0..24 {
            house.hear_hour(as_events);
            if as_events || hour % 4 == 3 {
                runtime.block_on(history.flush()).unwrap();
            } else {
                // Whoever asks has the history take what waits.
                runtime.block_on(history.health()).unwrap();
            }
        }
        if day % 50 == 49 || day + 1 == days {
            println!("# day {} of {days} after {:.0} s", day + 1, begun.elapsed().as_secs_f64());
        }
    }
    runtime.block_on(history.close()).unwrap();
    let size = file.metadata().unwrap().len();
    println!("file        {} octets, {:.1} an event", size, size as f64 / events as f64);
}

/// Asks everything that pages ask.
fn ask(runtime: &Runtime, file: &Path) {
    let plan = Plan { devices: DEVICES, queries_per_day: 0, names: 5_000, names_per_day: 300 };
    let house = House::new(plan, house::end());
    let begun = Instant::now();
    let history = house.open(file, Duration::from_secs(86_400 * 365));
    runtime.block_on(history.health()).unwrap();
    println!("open        {:8.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    let asker = Asker { runtime, history: &history, now: house::end() };
    asker.pages(&house);
    runtime.block_on(history.close()).unwrap();
}

/// Erases a device and a name.
fn erase(runtime: &Runtime, file: &Path) {
    let plan = Plan { devices: DEVICES, queries_per_day: 0, names: 5_000, names_per_day: 300 };
    let house = House::new(plan, house::end());
    let history = house.open(file, Duration::from_secs(86_400 * 365));
    let wishes = [
        ("a name", Erasure { name: DomainName::parse(&house.rare_name(7)).ok(), ..Erasure::default() }),
        ("a device", Erasure { device: Some(house.device(7).key), ..Erasure::default() }),
    ];
    for (what, wish) in wishes {
        let begun = Instant::now();
        let erased = runtime.block_on(history.erase(wish)).unwrap();
        println!("erase       {what}: {} queries in {:.1} s", erased.queries, begun.elapsed().as_secs_f64());
    }
    runtime.block_on(history.close()).unwrap();
}

/// Asks, and tells how long it took.
struct Asker<'a> {
    runtime: &'a Runtime,
    history: &'a History,
    now: Timestamp,
}

impl Asker<'_> {
    fn last(&self, days: u64) -> Span {
        Span { from: self.now - Duration::from_secs(days * DAY), until: self.now }
    }

    fn before(&self, days: u64) -> Span {
        let from = self.now - Duration::from_secs(2 * days * DAY);
        Span { from, until: self.last(days).from }
    }

    fn time(&self, what: &str, mut question: impl FnMut(usize) -> usize) {
        let begun = Instant::now();
        let rows = question(0);
        let first = begun.elapsed();
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|round| {
                let begun = Instant::now();
                question(round);
                begun.elapsed()
            })
            .collect();
        times.sort();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "{what:<44} first {:8.2}  best {:8.2}  median {:8.2}  p99 {:8.2} ms  {rows} rows",
            ms(first),
            ms(times[0]),
            ms(times[ROUNDS / 2]),
            ms(times[ROUNDS * 99 / 100])
        );
    }

    fn pages(&self, house: &House) {
        let (run, history) = (self.runtime, self.history);
        let device = |round: usize| Some(house.device(round % DEVICES).key);
        let known = Duration::from_secs(30 * DAY);
        self.time("device: totals today", |round| {
            run.block_on(history.totals(self.last(1), device(round))).unwrap().hits as usize
        });
        for days in [1, 7] {
            let span = self.last(days);
            self.time(&format!("device: hours, {days} d"), |round| {
                run.block_on(history.hours(span, device(round))).unwrap().len()
            });
            self.time(&format!("device: trackers, {days} d"), |round| {
                run.block_on(history.trackers(span, device(round), 50)).unwrap().len()
            });
            self.time(&format!("device: names, {days} d"), |round| {
                run.block_on(history.names(span, device(round), true, 50)).unwrap().len()
            });
            self.time(&format!("device: companies, {days} d, with those before"), |round| {
                run.block_on(history.companies(span, Some(self.before(days)), device(round), 50))
                    .unwrap()
                    .len()
            });
        }
        self.time("device: hours, 28 d", |round| {
            run.block_on(history.hours(self.last(28), device(round))).unwrap().len()
        });
        self.time("device: its latest hits", |round| {
            self.events(&EventFilter {
                device: device(round),
                hits_only: true,
                limit: 20,
                ..EventFilter::default()
            })
        });
        self.time("device: blocked in the last five minutes", |round| {
            let since = self.now - Duration::from_secs(300);
            run.block_on(history.blocked_lately(device(round).unwrap(), since)).unwrap().len()
        });
        self.time("news of a day against 30", |_| {
            run.block_on(history.news(self.last(1), known)).unwrap().meetings.len()
        });
        self.time("DEVICE PAGE, all of it, 24 h and 7 d", |round| {
            let key = device(round);
            for days in [1, 7] {
                let span = self.last(days);
                run.block_on(history.totals(span, key)).unwrap();
                run.block_on(history.hours(span, key)).unwrap();
                run.block_on(history.trackers(span, key, 50)).unwrap();
                run.block_on(history.names(span, key, true, 50)).unwrap();
                run.block_on(history.companies(span, Some(self.before(days)), key, 50)).unwrap();
            }
            run.block_on(history.news(self.last(1), known)).unwrap();
            self.events(&EventFilter { device: key, hits_only: true, limit: 20, ..EventFilter::default() })
        });
        self.time("OVERVIEW, 30 d", |_| {
            let span = self.last(30);
            run.block_on(history.totals(span, None)).unwrap();
            run.block_on(history.hours(span, None)).unwrap();
            run.block_on(history.companies(span, Some(self.before(30)), None, 10)).unwrap();
            run.block_on(history.news(self.last(1), known)).unwrap();
            run.block_on(history.devices(span)).unwrap().len()
        });
        self.time("devices, 400 d", |_| run.block_on(history.devices(self.last(400))).unwrap().len());
        self.time("companies, 400 d", |_| {
            run.block_on(history.companies(self.last(400), None, None, 50)).unwrap().len()
        });
        let companies = run.block_on(history.companies(self.last(30), None, None, 1_000)).unwrap();
        for days in [7, 30] {
            self.time(&format!("COMPANY PAGE, {days} d"), |round| {
                let name = companies[round % companies.len()].name.clone();
                let detail = history.company(self.last(days), Some(self.before(days)), name);
                run.block_on(detail).unwrap().map_or(0, |detail| detail.names.len())
            });
        }
        // As the first page of the log asks; what is not found so soon is looked for by the pages behind it.
        let patience = Some(Duration::from_millis(50));
        let all = EventFilter { limit: 100, patience, ..EventFilter::default() };
        self.time("LOG, the latest", |_| self.events(&all));
        self.time("LOG of a device", |round| {
            self.events(&EventFilter { device: device(round), ..all.clone() })
        });
        self.time("LOG of a company", |round| {
            let company = Some(companies[round % companies.len()].name.clone());
            self.events(&EventFilter { company, ..all.clone() })
        });
        self.time("LOG of a text in names", |_| {
            self.events(&EventFilter { name_contains: Some("rk".to_owned()), ..all.clone() })
        });
        self.time("LOG of a rare name", |round| {
            let name_contains = Some(house.rare_name(round));
            self.events(&EventFilter { name_contains, ..all.clone() })
        });
        self.time("LOG of a rare name and a device", |round| {
            let name_contains = Some(house.rare_name(round));
            self.events(&EventFilter { name_contains, device: device(round), ..all.clone() })
        });
        self.time("LOG of a type that nobody asks for", |_| {
            self.events(&EventFilter { qtype: Some(99), ..all.clone() })
        });
    }

    fn events(&self, filter: &EventFilter) -> usize {
        self.runtime.block_on(self.history.events(filter.clone())).unwrap().len()
    }
}

/// A home of 150,000 queries a day, written to a directory that is synced each 30 seconds of its clock. Where a file named
/// `go` is waited for, its kernel counters are looked at from outside.
fn card(runtime: &Runtime, directory: &Path, flush_secs: u64, hours: u64) {
    const SYNC_SECS: u64 = 30;
    let plan = Plan { devices: 40, queries_per_day: 150_000, names: 5_000, names_per_day: 100 };
    // A day before, so that names and tables are there.
    let house = House::new(plan, house::end() - Duration::from_secs(DAY));
    let history = house.open(&directory.join("history.sqlite3"), Duration::from_secs(flush_secs));
    for _ in 0..24 {
        house.hear_hour(true);
        runtime.block_on(history.flush()).unwrap();
    }
    sync(directory);
    println!("begun");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let mut second = 0;
    while second < hours * HOUR {
        house.hear_seconds(SYNC_SECS);
        second += SYNC_SECS;
        if second % flush_secs == 0 {
            runtime.block_on(history.flush()).unwrap();
        }
        sync(directory);
    }
    println!("ended");
    std::io::stdin().read_line(&mut line).unwrap();
    runtime.block_on(history.close()).unwrap();
}

/// What the kernel does by itself once dirty pages are 30 seconds old.
fn sync(directory: &Path) {
    rustix::fs::syncfs(std::fs::File::open(directory).unwrap()).unwrap();
}

/// The catalogue as it is shipped.
fn catalogue() -> Catalogue {
    Catalogue::parse(BUILT_IN).0
}
