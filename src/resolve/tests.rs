//! One flight for each question, and what becomes of answers that come late, ahead, or never.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, rdata};
use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::testkit::{ManualClock, closed_port, question, udp};
use super::*;

/// An upstream on 127.0.0.1 that answers when it is let, with SERVFAIL when it is told to.
struct Fake {
    address: SocketAddr,
    asked: AtomicUsize,
    waits: AtomicBool,
    go: Notify,
    fails: AtomicBool,
    ttl: AtomicU32,
}

impl Fake {
    async fn start() -> Arc<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let fake = Arc::new(Self {
            address: socket.local_addr().unwrap(),
            asked: AtomicUsize::new(0),
            waits: AtomicBool::new(false),
            go: Notify::new(),
            fails: AtomicBool::new(false),
            ttl: AtomicU32::new(60),
        });
        let serving = Arc::clone(&fake);
        tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut packet).await {
                serving.asked.fetch_add(1, Ordering::SeqCst);
                if serving.waits.load(Ordering::SeqCst) {
                    serving.go.notified().await;
                }
                let answer = serving.answer(&Message::from_vec(&packet[..length]).unwrap());
                socket.send_to(&answer, client).await.unwrap();
            }
        });
        fake
    }

    fn answer(&self, question: &Message) -> Vec<u8> {
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.add_queries(question.queries.iter().cloned());
        if self.fails.load(Ordering::SeqCst) {
            answer.metadata.response_code = ResponseCode::ServFail;
        } else {
            let name = question.queries[0].name().clone();
            let data = RData::A(rdata::A::new(198, 51, 100, 1));
            answer.add_answer(Record::from_rdata(name, self.ttl.load(Ordering::SeqCst), data));
        }
        answer.to_vec().unwrap()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

struct House {
    upstream: Arc<Fake>,
    clock: Arc<ManualClock>,
    resolver: Arc<Resolver>,
    options: ResolveOptions,
}

impl House {
    async fn new() -> Self {
        Self::with(CacheOptions::default()).await
    }

    async fn with(cache: CacheOptions) -> Self {
        let upstream = Fake::start().await;
        let servers = vec![udp(upstream.address)];
        let options = ResolveOptions { cache, ..ResolveOptions::new(servers) };
        let clock = Arc::new(ManualClock::new());
        let resolver = Arc::new(Resolver::new(&options, Arc::clone(&clock) as Arc<dyn Clock>));
        Self { upstream, clock, resolver, options }
    }

    fn ask(&self, name: &str) -> tokio::task::JoinHandle<Result<Resolved, Unresolved>> {
        let (resolver, question) = (Arc::clone(&self.resolver), question(name));
        tokio::spawn(async move { resolver.resolve(&question).await })
    }

    fn cached(&self, name: &str) -> Option<Known> {
        self.resolver.cached(&question(name).as_asked(), self.clock.instant())
    }

    fn freshness(&self, name: &str) -> Option<Freshness> {
        match self.cached(name) {
            Some(Known::Answer(cached)) => Some(cached.freshness()),
            _ => None,
        }
    }

    /// How many questions upstreams were asked; a packet that seemed lost on a busy machine is not one more.
    fn asked(&self) -> u64 {
        self.resolver.upstreams().iter().map(|upstream| upstream.answered + upstream.failed).sum()
    }

    async fn until(&self, what: impl Fn(&Self) -> bool) {
        for _ in 0..1_000 {
            if what(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it never happened");
    }

    fn pass(&self, secs: u64) {
        self.clock.pass(Duration::from_secs(secs));
    }
}

#[tokio::test]
async fn however_many_ask_one_question_goes_out() {
    let house = House::new().await;
    house.upstream.waits.store(true, Ordering::SeqCst);
    let asking: Vec<_> = (0..100).map(|_| house.ask("a.example")).collect();
    house.until(|house| 1 <= house.upstream.asked()).await;
    house.upstream.waits.store(false, Ordering::SeqCst);
    house.upstream.go.notify_one();
    let mut began = 0;
    for asked in asking {
        let resolved = asked.await.unwrap().unwrap();
        assert_eq!(resolved.answer.addresses().count(), 1);
        began += usize::from(resolved.origin != Origin::Cache);
    }
    assert_eq!((house.asked(), began), (1, 1));
    assert_eq!(house.resolver.cache_status().entries, 1);
}

#[tokio::test]
async fn an_answer_is_shared_though_none_is_kept() {
    let house = House::with(CacheOptions { size: 0, ..CacheOptions::default() }).await;
    house.upstream.waits.store(true, Ordering::SeqCst);
    let asking: Vec<_> = (0..10).map(|_| house.ask("a.example")).collect();
    house.until(|house| 1 <= house.upstream.asked()).await;
    tokio::task::yield_now().await;
    house.upstream.waits.store(false, Ordering::SeqCst);
    house.upstream.go.notify_one();
    for asked in asking {
        asked.await.unwrap().unwrap();
    }
    assert_eq!(house.asked(), 1);
    house.ask("a.example").await.unwrap().unwrap();
    assert_eq!(house.asked(), 2);
}

#[tokio::test]
async fn a_question_lands_though_the_client_who_put_it_is_gone() {
    let house = House::new().await;
    house.upstream.waits.store(true, Ordering::SeqCst);
    let first = house.ask("a.example");
    house.until(|house| 1 <= house.upstream.asked()).await;
    let second = house.ask("a.example");
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    house.upstream.waits.store(false, Ordering::SeqCst);
    house.upstream.go.notify_one();
    assert_eq!(second.await.unwrap().unwrap().answer.addresses().count(), 1);
    assert_eq!(house.asked(), 1);
}

#[tokio::test]
async fn a_stale_answer_is_served_at_once_when_the_upstream_says_that_it_fails() {
    let house = House::new().await;
    house.ask("a.example").await.unwrap().unwrap();
    house.pass(61);
    assert!(house.cached("a.example").is_none());
    house.upstream.fails.store(true, Ordering::SeqCst);
    let resolved = house.ask("a.example").await.unwrap().unwrap();
    assert_eq!((resolved.answer.freshness(), resolved.age_secs), (Freshness::Stale, 0));
    assert_eq!(resolved.answer.records(0)[0].as_record().ttl_secs, 30);
    let asked = house.asked();
    house.ask("a.example").await.unwrap().unwrap();
    assert_eq!(house.freshness("a.example"), Some(Freshness::Stale), "without asking");
    assert_eq!(house.asked(), asked);
    house.pass(30);
    house.upstream.fails.store(false, Ordering::SeqCst);
    let resolved = house.ask("a.example").await.unwrap().unwrap();
    assert_eq!(resolved.answer.freshness(), Freshness::Fresh);
    assert_eq!(house.asked(), asked + 1);
    assert_eq!(house.resolver.cache_status().stale, 3);
}

#[tokio::test]
async fn when_a_port_is_closed_the_next_upstream_is_asked_at_once() {
    let house = House::new().await;
    let (closed, _holder) = closed_port();
    let closed = udp(closed);
    let servers = vec![closed.clone(), house.options.servers[0].clone()];
    house.resolver.reconfigure(&ResolveOptions { servers, ..house.options.clone() });
    let begun = tokio::time::Instant::now();
    house.ask("a.example").await.unwrap().unwrap();
    // Milliseconds; the machine may be busy, but no try of two seconds is waited for.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    house.resolver.reconfigure(&ResolveOptions { servers: vec![closed], ..house.options.clone() });
    let begun = tokio::time::Instant::now();
    assert_eq!(house.ask("b.example").await.unwrap().unwrap_err().kind, UnresolvedKind::Network);
    let after = begun.elapsed();
    assert!(Duration::from_millis(400) <= after && after < Duration::from_secs(4), "asked again: {after:?}");
}

#[tokio::test]
async fn a_slow_upstream_still_brings_the_new_answer() {
    let house = House::new().await;
    house.ask("a.example").await.unwrap().unwrap();
    house.pass(61);
    house.upstream.waits.store(true, Ordering::SeqCst);
    let begun = tokio::time::Instant::now();
    let resolved = house.ask("a.example").await.unwrap().unwrap();
    assert_eq!(resolved.answer.freshness(), Freshness::Stale);
    assert!(STALE_AFTER <= begun.elapsed() && begun.elapsed() < Duration::from_secs(4));
    assert_eq!(house.freshness("a.example"), Some(Freshness::Stale));
    house.upstream.waits.store(false, Ordering::SeqCst);
    house.upstream.go.notify_one();
    house.until(|house| house.freshness("a.example") == Some(Freshness::Fresh)).await;
}

#[tokio::test]
async fn a_failure_without_an_older_answer_is_told_until_the_upstreams_change() {
    let house = House::new().await;
    house.upstream.fails.store(true, Ordering::SeqCst);
    assert_eq!(house.ask("a.example").await.unwrap().unwrap_err().kind, UnresolvedKind::Refused);
    assert!(matches!(house.cached("a.example"), Some(Known::Failure(_))));
    let other = Fake::start().await;
    let servers = vec![udp(other.address)];
    house.resolver.reconfigure(&ResolveOptions { servers, ..house.options.clone() });
    assert!(house.cached("a.example").is_none());
    house.ask("a.example").await.unwrap().unwrap();
}

#[tokio::test]
async fn a_popular_answer_is_asked_for_ahead_and_once() {
    let house = House::new().await;
    for _ in 0..3 {
        house.ask("a.example").await.unwrap().unwrap();
    }
    house.pass(57);
    for _ in 0..5 {
        assert_eq!(house.ask("a.example").await.unwrap().unwrap().origin, Origin::Cache);
    }
    house.until(|house| house.asked() == 2).await;
    let is_new = |house: &House| match house.cached("a.example") {
        Some(Known::Answer(cached)) => cached.age_secs() == 0,
        _ => false,
    };
    house.until(is_new).await;
    assert_eq!(house.resolver.cache_status().prefetches, 1);
}

#[tokio::test]
async fn when_asking_ahead_fails_the_answer_stays() {
    let house = House::new().await;
    house.ask("a.example").await.unwrap().unwrap();
    house.upstream.fails.store(true, Ordering::SeqCst);
    house.resolver.refresh(question("a.example"));
    house.until(|house| house.resolver.0.flights.lock().is_empty()).await;
    assert_eq!(house.asked(), 2);
    assert_eq!(house.freshness("a.example"), Some(Freshness::Fresh));
}

#[tokio::test]
async fn no_more_than_so_many_are_asked_ahead_at_once() {
    let house = House::new().await;
    house.upstream.waits.store(true, Ordering::SeqCst);
    for number in 0..2 * AHEAD_MAX {
        house.resolver.refresh(question(&format!("n{number}.example")));
    }
    assert_eq!(house.resolver.0.flights.lock().len(), AHEAD_MAX);
}

#[tokio::test]
async fn what_was_flushed_does_not_come_back_with_an_answer_on_its_way() {
    let house = House::new().await;
    house.upstream.waits.store(true, Ordering::SeqCst);
    let asked = house.ask("a.example");
    house.until(|house| 1 <= house.upstream.asked()).await;
    let name = question("example").name;
    assert_eq!(house.resolver.flush(&Flush::Name { name, below: true }), 0);
    house.upstream.waits.store(false, Ordering::SeqCst);
    house.upstream.go.notify_one();
    asked.await.unwrap().unwrap();
    assert!(house.cached("a.example").is_none());
}

#[tokio::test]
async fn kept_answers_are_taken_over_as_old_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.bin");
    let house = House::new().await;
    house.ask("a.example").await.unwrap().unwrap();
    house.pass(10);
    house.resolver.save(&path).unwrap();
    house.pass(20);
    let again = |servers: Vec<UpstreamOptions>| {
        let options = ResolveOptions { servers, ..house.options.clone() };
        Resolver::new(&options, Arc::clone(&house.clock) as Arc<dyn Clock>)
    };
    let of = |resolver: &Resolver| match resolver
        .cached(&question("a.example").as_asked(), house.clock.instant())
    {
        Some(Known::Answer(cached)) => Some((cached.freshness(), cached.age_secs())),
        _ => None,
    };
    let restarted = again(house.options.servers.clone());
    assert_eq!(restarted.load(&path).unwrap(), 1);
    assert_eq!(of(&restarted), Some((Freshness::Fresh, 30)));
    let elsewhere = again(vec![udp(([192, 0, 2, 1], 53).into())]);
    assert_eq!(elsewhere.load(&path).unwrap(), 0, "others said so");
    house.pass(60);
    let late = again(house.options.servers.clone());
    assert_eq!((late.load(&path).unwrap(), of(&late)), (1, None), "of use when the upstream fails");
    house.upstream.fails.store(true, Ordering::SeqCst);
    late.resolve(&question("a.example")).await.unwrap();
    assert_eq!(of(&late), Some((Freshness::Stale, 0)));
    house.pass(90_000);
    assert_eq!(again(house.options.servers.clone()).load(&path).unwrap(), 0, "of no use");
    assert_eq!(
        again(house.options.servers.clone()).load(directory.path().join("none").as_path()).unwrap(),
        0
    );
}

/// Who is in a group: a resolver with two sets, and the upstreams of each.
struct TwoSets {
    everybody: Arc<Fake>,
    group: Arc<Fake>,
    options: ResolveOptions,
    set: UpstreamSet,
    clock: Arc<ManualClock>,
}

impl TwoSets {
    async fn new() -> Self {
        let (everybody, group) = (Fake::start().await, Fake::start().await);
        let of_group = GroupOptions {
            name: "kids".into(),
            servers: vec![udp(group.address)],
            strategy: Strategy::Ordered,
        };
        let set = of_group.set();
        let options =
            ResolveOptions { groups: vec![of_group], ..ResolveOptions::new(vec![udp(everybody.address)]) };
        Self { everybody, group, options, set, clock: Arc::new(ManualClock::new()) }
    }

    fn resolver(&self, options: &ResolveOptions) -> Arc<Resolver> {
        Arc::new(Resolver::new(options, Arc::clone(&self.clock) as Arc<dyn Clock>))
    }

    /// The question of a device of the group.
    fn question(&self, name: &str) -> Question {
        Question { set: self.set, ..question(name) }
    }

    fn asked(&self) -> (usize, usize) {
        (self.everybody.asked(), self.group.asked())
    }
}

#[tokio::test]
async fn what_one_set_said_is_never_told_to_who_asks_another() {
    let house = TwoSets::new().await;
    let resolver = house.resolver(&house.options);
    let (own, others) = (house.question("a.example"), question("a.example"));
    resolver.resolve(&others).await.unwrap();
    assert!(resolver.cached(&own.as_asked(), house.clock.instant()).is_none());
    let answer = resolver.resolve(&own).await.unwrap();
    assert_eq!(&**answer.answer.upstream(), format!("udp://{}", house.group.address));
    assert_eq!(house.asked(), (1, 1));
    for question in [&own, &others] {
        assert!(matches!(resolver.resolve(question).await.unwrap().origin, Origin::Cache));
    }
    assert_eq!(house.asked(), (1, 1), "each set has its own");
    // Nor on their way: what one waits for is not what the other gets.
    house.everybody.waits.store(true, Ordering::SeqCst);
    let waiting = {
        let resolver = Arc::clone(&resolver);
        tokio::spawn(async move { resolver.resolve(&question("b.example")).await })
    };
    let answer = resolver.resolve(&house.question("b.example")).await.unwrap();
    assert_eq!(&**answer.answer.upstream(), format!("udp://{}", house.group.address));
    house.everybody.waits.store(false, Ordering::SeqCst);
    house.everybody.go.notify_one();
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!(&**answer.answer.upstream(), format!("udp://{}", house.everybody.address));
    assert_eq!(
        resolver.flush(&Flush::Name { name: DomainName::parse("a.example").unwrap(), below: false }),
        2
    );
}

#[tokio::test]
async fn nobody_steps_in_where_the_upstreams_of_a_group_fail() {
    let house = TwoSets::new().await;
    let resolver = house.resolver(&house.options);
    house.group.fails.store(true, Ordering::SeqCst);
    resolver.resolve(&house.question("a.example")).await.unwrap_err();
    assert_eq!(house.everybody.asked(), 0);
    resolver.resolve(&question("a.example")).await.unwrap();
    // A group that is gone is asked for as everybody is, and hears nothing of what its set said.
    let without = ResolveOptions { groups: Vec::new(), ..house.options.clone() };
    resolver.reconfigure(&without);
    resolver.resolve(&house.question("a.example")).await.unwrap();
    assert_eq!(house.everybody.asked(), 2);
}

#[tokio::test]
async fn kept_answers_come_back_to_the_set_that_they_are_of() {
    let house = TwoSets::new().await;
    let resolver = house.resolver(&house.options);
    resolver.resolve(&house.question("a.example")).await.unwrap();
    resolver.resolve(&question("b.example")).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.bin");
    resolver.save(&path).unwrap();
    let load = |options: &ResolveOptions| {
        let resolver = house.resolver(options);
        let loaded = resolver.load(&path).unwrap();
        let now = house.clock.instant();
        let knows = |question: &Question| resolver.cached(&question.as_asked(), now).is_some();
        assert!(!knows(&question("a.example")) && !knows(&house.question("b.example")));
        (loaded, knows(&house.question("a.example")), knows(&question("b.example")))
    };
    assert_eq!(load(&house.options), (2, true, true));
    // The group's upstream is one of everybody's now: what it said to the group is still the group's.
    let mut swapped = house.options.clone();
    swapped.groups[0].servers = vec![udp(house.everybody.address)];
    swapped.servers.push(udp(house.group.address));
    assert_eq!(load(&swapped), (1, false, true));
}
