//! What makes no allocation: look-ups in the ruleset and in the cache, limits, telling of a query, and all of it together in the
//! threads that answer; and that the cache takes no more memory than it may. Tests of their own, since their allocator counts
//! for the whole program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may fall over"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record, rdata};
use jiff::Timestamp;
use pixelsink::clock::{Clock, SystemClock};
use pixelsink::event::{
    AnsweredBy, Batch, DETAILED_MAX, Decided, EventSink, EventSource, EventWriter, RuleText, Told, ring,
};
use pixelsink::list::{Action, ParseOptions, Rule, Scope, parse};
use pixelsink::local::{self, Bypass, LiveLocal, WrittenRecord};
use pixelsink::name::DomainName;
use pixelsink::policy::{LivePolicy, Rules};
use pixelsink::resolve::{
    CacheOptions, Known, Question, ResolveOptions, Resolver, UpstreamAddress, UpstreamSet,
};
use pixelsink::ruleset::{Asked, BuildOptions, Builder, SourceId};
use pixelsink::server::{Access, Limits, Listener, Open, Responder};
use tokio_util::sync::CancellationToken;

/// Counts the allocations of each thread, and what all of them take.
struct Counting;

/// Octets that are in use, with what the allocator needs itself.
static IN_USE: AtomicUsize = AtomicUsize::new(0);
/// One test at a time, so that none counts another one's memory.
static TURN: Mutex<()> = Mutex::new(());

/// What a block takes of glibc's heap: 8 octets more than it has, in steps of 16, and at least 32.
fn block_size(layout: Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain number and allocates nothing.
#[expect(unsafe_code, reason = "an allocator is unsafe to write")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        IN_USE.fetch_add(block_size(layout), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(block_size(layout), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_look_up_makes_no_allocation() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let name = |text: String| DomainName::parse(&text).unwrap();
    let mut builder = Builder::new(BuildOptions::default());
    for number in 0..20_000 {
        let listed = name(format!("n{number}.t{}.example", number % 50));
        let rule = Rule::plain(listed, Scope::Subtree, Action::Block, 1);
        builder.add(SourceId(number % 3), false, &rule).unwrap();
    }
    let ruleset = builder.finish_in_memory().unwrap().0;
    let listed: Vec<_> =
        (0..20_000).map(|number| name(format!("a.n{number}.t{}.example", number % 50))).collect();
    let unlisted: Vec<_> = (0..20_000).map(|number| name(format!("a.b{number}.c.example"))).collect();
    let before = ALLOCATIONS.with(Cell::get);
    let count = |names: &[DomainName]| {
        names.iter().filter(|name| ruleset.lookup(&Asked::by_anyone(name.as_ref())).is_some()).count()
    };
    let found = (count(&listed), count(&unlisted));
    let allocations = ALLOCATIONS.with(Cell::get) - before;
    assert_eq!(found, (20_000, 0));
    assert_eq!(allocations, 0);
}

/// An upstream that knows every name.
fn upstream() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 1500];
        while let Ok((length, client)) = socket.recv_from(&mut packet) {
            let question = Message::from_vec(&packet[..length]).unwrap();
            let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
            answer.add_queries(question.queries.iter().cloned());
            let name = question.queries[0].name().clone();
            answer.add_answer(Record::from_rdata(name, 300, RData::A(rdata::A::new(198, 51, 100, 1))));
            let _ = socket.send_to(&answer.to_vec().unwrap(), client);
        }
    });
    address
}

fn question(number: usize) -> Question {
    let name = DomainName::parse(&format!("n{number}.t{}.example", number % 50)).unwrap();
    let set = UpstreamSet::EVERYBODY;
    Question { name, qtype: 1, qclass: 1, dnssec_ok: false, checking_disabled: false, set }
}

/// A resolver whose cache has room for so many octets.
fn resolver(size: u64) -> Resolver {
    let upstream = upstream();
    let servers = vec![UpstreamAddress::udp(upstream.ip(), upstream.port()).into()];
    let cache = CacheOptions { size, ..CacheOptions::default() };
    Resolver::new(&ResolveOptions { cache, ..ResolveOptions::new(servers) }, Arc::new(SystemClock))
}

#[test]
fn a_look_up_in_the_cache_makes_no_allocation() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let resolver = resolver(1 << 20);
        let (known, unknown): (Vec<_>, Vec<_>) =
            (0..200).map(question).partition(|asked| asked.name.as_ref().as_wire()[2] < b'5');
        for asked in &known {
            resolver.resolve(asked).await.unwrap();
        }
        let now = SystemClock.instant();
        let before = ALLOCATIONS.with(Cell::get);
        let count = |questions: &[Question]| {
            let answers = questions.iter().filter(|asked| match resolver.cached(&asked.as_asked(), now) {
                Some(Known::Answer(cached)) => {
                    cached.clear(1);
                    cached.cleared(1) && !cached.wants_refresh() && cached.answer().ttl_secs() == 300
                }
                _ => false,
            });
            answers.count()
        };
        let found = (count(&known), count(&known), count(&unknown));
        let allocations = ALLOCATIONS.with(Cell::get) - before;
        assert_eq!(found, (known.len(), known.len(), 0));
        assert_eq!(allocations, 0);
    });
}

#[test]
fn the_cache_takes_no_more_memory_than_it_may() {
    const SIZE: usize = 1 << 20;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let before = IN_USE.load(Ordering::Relaxed);
        let resolver = resolver(SIZE as u64);
        // Three times as many as there is room for, so that it also remembers as many names that went as it ever does.
        for number in 0..7_000 {
            resolver.resolve(&question(number)).await.unwrap();
        }
        let taken = IN_USE.load(Ordering::Relaxed) - before;
        let status = resolver.cache_status();
        println!("{taken} octets, reckoned {}, {} entries", status.octets, status.entries);
        assert!(taken <= SIZE, "{taken} octets for {} entries", status.entries);
        assert!(SIZE * 6 / 10 <= taken, "{taken} octets: the rest lies idle");
    });
}

/// Lets records lie.
struct Nobody;

impl EventSource for Nobody {
    fn try_gather(&self) {}

    fn gather(&self) {}

    fn take(&self) -> Batch {
        Batch::default()
    }
}

#[test]
fn telling_of_a_query_makes_no_allocation() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut writer, _ring) = ring(Arc::new(Nobody));
    let name = DomainName::parse("a.tracker.example").unwrap();
    let rule = RuleText { list: "mine", rule: &format_args!("||{}^", "tracker.example") };
    let before = ALLOCATIONS.with(Cell::get);
    // With and without their rules.
    for _ in 0..2 * DETAILED_MAX {
        for (answered, decided) in [
            (AnsweredBy::Sinkhole, Decided::Block(rule)),
            (AnsweredBy::Upstream("udp://192.0.2.53:53"), Decided::Pass),
        ] {
            let (at, client, name) = (Timestamp::UNIX_EPOCH, [192, 0, 2, 1].into(), name.as_ref());
            writer.write(&Told {
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
        }
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
}

#[test]
fn a_limit_makes_no_allocation() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let limits = Limits::new(now);
    let client = |number: u32| IpAddr::from((0xcb00_7100 + number * 7).to_be_bytes());
    let before = ALLOCATIONS.with(Cell::get);
    for number in 0..100_000 {
        limits.admits(client(number), 10, now);
        limits.rate(client(number), 10, now);
        drop(limits.wait(client(number), 10));
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
}

/// Notes what its thread has allocated so far, each time it is told of a query.
struct Meter(Arc<[AtomicUsize; 2]>);

impl EventSink for Meter {
    fn writer(&self) -> Box<dyn EventWriter> {
        Box::new(Self(Arc::clone(&self.0)))
    }
}

impl EventWriter for Meter {
    fn write(&mut self, told: &Told<'_>) {
        let [allocations, answers] = &*self.0;
        // What had to wait for an upstream is told by another thread.
        if matches!(told.answered, AnsweredBy::Sinkhole | AnsweredBy::Cache | AnsweredBy::Local) {
            allocations.store(usize::try_from(ALLOCATIONS.with(Cell::get)).unwrap(), Ordering::Relaxed);
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn query(name: &DomainName, rtype: u8, edns: bool) -> Vec<u8> {
    let mut packet = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    packet.extend(name.as_ref().as_wire());
    packet.extend([0, rtype, 0, 1]);
    if edns {
        // With the MAC and the address of whoever a trusted forwarder asks for.
        packet.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 22]);
        packet.extend([0xfd, 0xe9, 0, 6, 2, 0, 0, 0, 0, rtype]);
        packet.extend([0, 8, 0, 8, 0, 1, 32, 0, 192, 0, 2, rtype]);
    }
    packet
}

#[test]
fn a_thread_that_answers_makes_no_allocation() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let name = |text: &str| DomainName::parse(text).unwrap();
    let mut builder = Builder::new(BuildOptions::default());
    for text in ["||tracker.example^", "||nx.example^$dnsrewrite=NXDOMAIN;;", "||tv.example^$client=10.9.9.9"]
    {
        let rules = parse(text.as_bytes(), ParseOptions::default()).rules;
        rules.iter().for_each(|rule| builder.add(SourceId(0), false, rule).unwrap());
    }
    let lists = Rules {
        ruleset: Arc::new(builder.finish_in_memory().unwrap().0),
        sources: [Arc::from("list")].into(),
    };
    let policy = Arc::new(LivePolicy::default());
    policy.update(|policy| policy.lists = lists.clone());
    let local = Arc::new(LiveLocal::default());
    let mut names = local::Builder::new(Some(name("home.arpa")), 60, Bypass::default());
    for record in
        ["nas.home.arpa 192.168.1.5", "*.dev.home.arpa 192.168.1.6", "media.home.arpa nas.home.arpa"]
    {
        names.written(&WrittenRecord::parse(record).unwrap(), 1).unwrap();
    }
    local.publish(names.build());
    let counts = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let access = Access {
        allow_from: vec!["127.0.0.0/8".parse().unwrap()],
        allow_local_networks: false,
        trusted_forwarders: vec!["127.0.0.1/32".parse().unwrap()],
        queries_per_second: 1_000_000,
        responses_per_second: 20,
        in_flight_per_client: 256,
        tcp_connections: 8,
        tcp_connections_per_client: 8,
    };
    let (listener, stop) = runtime.block_on(async {
        let resolver = Arc::new(resolver(1 << 20));
        let clock = Arc::new(SystemClock);
        let sink = Arc::new(Meter(Arc::clone(&counts)));
        let responder = Responder::new(clock, Arc::default(), policy, local, resolver, sink, access);
        (
            Listener::bind("127.0.0.1:0".parse().unwrap(), 1, &Open::default(), Arc::new(responder)).unwrap(),
            CancellationToken::new(),
        )
    });
    let address = listener.address();
    let serving = runtime.spawn(listener.serve(stop.clone()));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(address).unwrap();
    client.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let questions: Vec<_> =
        ["a.tracker.example", "b.nx.example", "c.tv.example", "d.plain.example", "e.plain.example"]
            .into_iter()
            .chain(["nas.home.arpa", "x.dev.home.arpa", "media.home.arpa", "x.onion", "mask.icloud.com"])
            .flat_map(|text| {
                [(1, false), (1, true), (28, true), (65, false)]
                    .map(|(rtype, edns)| query(&name(text), rtype, edns))
            })
            .collect();
    let ask_all = || {
        for question in &questions {
            client.send(question).unwrap();
            let mut answer = [0; 1500];
            client.recv(&mut answer).unwrap();
        }
    };
    // Once to fill the cache, once for whatever is made when it is first needed.
    ask_all();
    ask_all();
    let [allocations, answers] = [0, 1].map(|at| counts[at].load(Ordering::Relaxed));
    for _ in 0..100 {
        ask_all();
    }
    let [allocations, answers] =
        [counts[0].load(Ordering::Relaxed) - allocations, counts[1].load(Ordering::Relaxed) - answers];
    assert_eq!((allocations, answers), (0, 100 * questions.len()));
    stop.cancel();
    runtime.block_on(serving).unwrap();
}
