//! The figures of the ruleset, as a table: `cargo bench --bench ruleset [-- NAMES_FILE [COUNT ...]]`.
//!
//! `NAMES_FILE` has one name a line (zstd when it ends in `.zst`); without it, names are made up. `COUNT` names are compiled from
//! hosts text; more than the file has are made of its own labels. Each line of the table is a process of its own, so that its
//! memory is its own. A floor in the same run stands beside each time: reading the text once, and hashing a name once.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::type_complexity,
    clippy::cast_possible_truncation,
    reason = "a table for whoever runs it: what goes wrong ends it, and says where"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pixelsink::list::{Action, ParseOptions, Parser, Rule, Scope};
use pixelsink::name::DomainName;
use pixelsink::ruleset::{Asked, BuildOptions, Builder, Ruleset, SourceId};

/// Counts allocations, so that a look-up can be seen to make none.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
#[expect(unsafe_code, reason = "an allocator is unsafe to write")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many names are looked up for one figure.
const LOOKUPS: usize = 1_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("compile") => compile(Path::new(&arguments[1]), Path::new(&arguments[2])),
        Some("serve") => serve(Path::new(&arguments[1]), Path::new(&arguments[2])),
        _ => table(&arguments),
    }
}

fn table(arguments: &[String]) {
    let directory = std::env::temp_dir().join(format!("pixelsink-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = arguments.first().map(PathBuf::from);
    let counts: Vec<usize> = arguments.iter().skip(1).map(|count| count.parse().unwrap()).collect();
    let counts = if counts.is_empty() { vec![1_000_000, 10_000_000] } else { counts };
    let real = file.as_deref().map(read_names).unwrap_or_default();
    println!(
        "| rules | file, B/rule | RSS after start, B/rule | open to first verdict, ms | compile, M lines/s (reading alone) \
         | compile peak, MB | miss, ns (hash alone) | hit at random, ns (one access to as much memory) \
         | hit among a thousand, ns | allocations |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for count in counts {
        let text = directory.join("hosts.txt");
        write_hosts(&text, &real, count);
        let rules = directory.join("rules.bin");
        let compiled = run(&["compile", &text.display().to_string(), &rules.display().to_string()]);
        let served = run(&["serve", &rules.display().to_string(), &text.display().to_string()]);
        let [lines_per_s, floor, peak_mb, keys] = compiled[..] else { panic!("{compiled:?}") };
        let [rss, open_ms, miss, hash, hit, hot, chase, allocations] = served[..] else {
            panic!("{served:?}")
        };
        let size = std::fs::metadata(&rules).unwrap().len() as f64;
        println!(
            "| {keys} | {:.2} | {:.2} | {open_ms:.1} | {lines_per_s:.2} ({floor:.0}) | {peak_mb:.0} | {miss:.0} ({hash:.0}) \
             | {hit:.0} ({chase:.0}) | {hot:.0} | {allocations} |",
            size / keys,
            rss / keys
        );
    }
    std::fs::remove_dir_all(directory).unwrap();
}

fn run(arguments: &[&str]) -> Vec<f64> {
    let output = Command::new(std::env::current_exe().unwrap()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_ascii_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn read_names(path: &Path) -> Vec<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "zst") {
        zstd::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap();
    } else {
        std::io::BufReader::new(file).read_to_string(&mut text).unwrap();
    }
    text.lines().map(str::to_owned).collect()
}

/// A generator of numbers that look random and are the same each time (Steele, Lea and Flood, "SplitMix").
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((number ^ (number >> 31)) % limit as u64) as usize
    }
}

/// Names as lists have them: the real ones first, then others put together from their labels.
fn write_hosts(path: &Path, real: &[String], count: usize) {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let made_up: Vec<String>;
    let real = if real.is_empty() {
        let words =
            ["ads", "pixel", "track", "stat", "metrics", "cdn", "beacon", "shop", "news", "mail", "go", "my"];
        let mut numbers = Numbers(1);
        made_up = (0..200_000)
            .map(|number| {
                let word = words[numbers.below(words.len())];
                format!("{word}{}.{}{number}.com", numbers.below(100), words[numbers.below(words.len())])
            })
            .collect();
        &made_up
    } else {
        real
    };
    let mut numbers = Numbers(2);
    for index in 0..count {
        match real.get(index) {
            Some(name) => writeln!(out, "0.0.0.0 {name}").unwrap(),
            None => {
                // Two real names crossed in their first labels: as long as real ones are, and under real domains.
                let (one, other) = (&real[numbers.below(real.len())], &real[numbers.below(real.len())]);
                let (first, rest) = one.split_once('.').unwrap_or((one, "com"));
                let second = other.split('.').next().unwrap_or("www");
                let (head, tail) = (&first[..first.len().div_ceil(2)], &second[second.len() / 2..]);
                writeln!(out, "0.0.0.0 {head}{tail}.{rest}").unwrap();
            }
        }
    }
    out.flush().unwrap();
}

/// Compiles a text, and prints lines a second, the same for reading alone, the most memory used, and how many names there are.
fn compile(text: &Path, rules: &Path) {
    let bytes_read = |mut take: Box<dyn FnMut(&[u8]) + '_>| {
        let mut file = std::fs::File::open(text).unwrap();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let length = file.read(&mut buffer).unwrap();
            if length == 0 {
                break;
            }
            take(&buffer[..length]);
        }
    };
    let begun = cpu_time();
    let mut lines = 0;
    bytes_read(Box::new(|piece| lines += memchr::memchr_iter(b'\n', piece).count()));
    let floor = lines as f64 / (cpu_time() - begun).as_secs_f64() / 1e6;
    let begun = cpu_time();
    let spill_dir = rules.parent().map(Path::to_owned);
    let mut builder = Builder::new(BuildOptions { spill_dir, ..BuildOptions::default() });
    let mut parser = Parser::new(ParseOptions::default());
    bytes_read(Box::new(|piece| {
        parser.push(piece, &mut |rule| {
            builder.add(SourceId(0), false, &rule).unwrap();
            Ok(())
        });
    }));
    parser.finish(&mut |_| Ok(()));
    let (_, counts) = builder.finish_to(rules, [1; 32], |_| Vec::new()).unwrap();
    let speed = lines as f64 / (cpu_time() - begun).as_secs_f64() / 1e6;
    println!("{speed} {floor} {} {}", memory("VmHWM") / 1e6, counts.total());
}

/// Opens a ruleset and prints its memory, the time to open it, and the times of look-ups.
fn serve(rules: &Path, text: &Path) {
    let name = |text: &str| DomainName::parse(text).unwrap();
    let mut real = Vec::new();
    let step = {
        let lines = std::fs::metadata(text).unwrap().len() / 28;
        (lines as usize / LOOKUPS).max(1)
    };
    let listed = std::fs::read_to_string(text).unwrap();
    real.extend(
        listed.lines().step_by(step).take(LOOKUPS).filter_map(|line| line.split(' ').nth(1)).map(name),
    );
    drop(listed);
    let unlisted: Vec<DomainName> = {
        let mut numbers = Numbers(3);
        (0..LOOKUPS)
            .map(|_| {
                let domain = real[numbers.below(real.len())].to_string();
                let top = domain.rsplit('.').next().unwrap_or("com").to_owned();
                name(&format!(
                    "a{}.b{}.c{}.{top}",
                    numbers.below(1000),
                    numbers.below(1000),
                    numbers.below(1_000_000)
                ))
            })
            .collect()
    };
    // Shuffled, as questions come.
    let mut numbers = Numbers(4);
    for index in (1..real.len()).rev() {
        real.swap(index, numbers.below(index + 1));
    }
    // Copied in that order: a question's name lies in the packet that was just read, not far away in memory.
    let real = real.clone();
    // A small one first, so that the program's own pages do not count.
    let mut small = Builder::new(BuildOptions::default());
    small.add(SourceId(0), false, &Rule::plain(real[0].clone(), Scope::Exact, Action::Block, 1)).unwrap();
    let small = small.finish_in_memory().unwrap().0;
    assert!(small.lookup(&Asked::by_anyone(real[0].as_ref())).is_some());
    let before = memory("Rss");
    let begun = Instant::now();
    let ruleset = Ruleset::open(rules, &[1; 32]).unwrap();
    let found = ruleset.lookup(&Asked::by_anyone(real[0].as_ref())).is_some();
    let open = begun.elapsed();
    assert!(found, "the first verdict is right");
    let rss = memory("Rss") - before;
    let median = |mut round: Box<dyn FnMut() -> usize + '_>, expected: usize| {
        let mut times: Vec<Duration> = (0..5)
            .map(|_| {
                let begun = cpu_time();
                let count = black_box(round());
                assert!(count.abs_diff(expected) <= expected / 1000, "{count} of {expected}");
                cpu_time() - begun
            })
            .collect();
        times.sort();
        times[2].as_nanos() as f64
    };
    let count = |names: &[DomainName]| {
        names.iter().filter(|name| ruleset.lookup(&Asked::by_anyone(name.as_ref())).is_some()).count()
    };
    let allocations = ALLOCATIONS.load(Ordering::Relaxed);
    let unlisted_found = count(&unlisted);
    let miss = median(Box::new(|| count(&unlisted)), unlisted_found) / unlisted.len() as f64;
    let hit = median(Box::new(|| count(&real)), real.len()) / real.len() as f64;
    // What a household asks for again and again.
    let few: Vec<DomainName> = real.iter().take(LOOKUPS / 1000).cloned().collect();
    let many_times = || (0..1000).map(|_| count(&few)).sum();
    let hot = median(Box::new(many_times), few.len() * 1000) / (few.len() * 1000) as f64;
    // The vectors of times are all that is allocated, and the few names with them.
    let few_made = few.len() as u64 + 20;
    let allocations = (ALLOCATIONS.load(Ordering::Relaxed) - allocations).saturating_sub(few_made);
    let chase = chase(std::fs::metadata(rules).unwrap().len() as usize);
    let hash = median(
        Box::new(|| {
            unlisted.iter().filter(|name| xxhash_rust::xxh3::xxh3_64(name.as_ref().as_wire()) != 7).count()
        }),
        unlisted.len(),
    ) / unlisted.len() as f64;
    println!("{rss} {} {miss} {hash} {hit} {hot} {chase} {allocations}", open.as_secs_f64() * 1e3);
}

/// How long one access to a random place of so much memory takes, in nanoseconds: each tells where the next one is.
fn chase(length: usize) -> f64 {
    let mut places: Vec<u32> = (0..u32::try_from(length / 4).unwrap()).collect();
    let mut numbers = Numbers(5);
    // One cycle through all places (Sattolo).
    for index in (1..places.len()).rev() {
        places.swap(index, numbers.below(index));
    }
    let begun = cpu_time();
    let end = (0..LOOKUPS).fold(0, |at: u32, _| places[at as usize]);
    black_box(end);
    (cpu_time() - begun).as_nanos() as f64 / LOOKUPS as f64
}

/// What this thread has had of its core, so that whatever else the machine does counts little.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// A figure of this process's memory, in octets. `Rss` is counted page by page; what the kernel says elsewhere is rounded.
fn memory(field: &str) -> f64 {
    let file = if field == "Rss" { "smaps_rollup" } else { "status" };
    let status = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kib: f64 = line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024.0
}
