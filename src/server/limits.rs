//! How much one client may have: questions a second, questions that wait, answers a second outside the house, connections.
//!
//! Counting takes no lock and allocates nothing: each count is one atomic word of a table that never grows (connections, which
//! are few, are kept in [`Connections`]). It never knows what is asked or answered, and the time is handed in.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::connections::Connections;

/// What becomes of an answer to a client outside the house.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rate {
    /// It is sent.
    Answer,
    /// It is sent empty and truncated, so that a real client comes back over TCP, where addresses can't be forged.
    Truncate,
    /// It is not sent.
    Drop,
}

/// How often a limit was met since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LimitCounts {
    /// Questions beyond those of a second, refused.
    pub over_rate: u64,
    /// Questions beyond those that may wait, refused.
    pub over_in_flight: u64,
    /// Answers to prefixes outside the house over UDP: sent whole.
    pub rate_answered: u64,
    /// Sent truncated.
    pub rate_truncated: u64,
    /// Not sent.
    pub rate_dropped: u64,
    /// TCP connections that are open now.
    pub connections: u64,
    /// TCP connections that had to give way to another one, or were turned away.
    pub connections_over: u64,
}

/// For how many seconds of answers a prefix can be in debt at most, as with BIND (`window`).
const DEBT_MAX_SECS: u64 = 15;
/// Of so many answers beyond the limit one is sent truncated instead of dropped, as with BIND (`slip`): with 2, whoever forges
/// addresses gets back less than was spent, and a client behind the same prefix comes through with its second try.
const SLIP: u64 = 2;
/// The prefixes by which addresses outside the house are counted, as with BIND: whoever has one address of such a network is
/// likely to have more.
const IPV4_PREFIX_LEN: u32 = 24;
const IPV6_PREFIX_LEN: u32 = 56;

/// The largest `queries_per_second` that can be counted.
pub const QUERIES_PER_SECOND_MAX: u32 = 1_000_000;
/// The largest `responses_per_second` that can be counted.
pub const RESPONSES_PER_SECOND_MAX: u32 = 10_000;

/// Counts per address and per prefix.
#[derive(Debug)]
pub struct Limits {
    started: Instant,
    queries: Table,
    responses: Table,
    waiting: Arc<Table>,
    connections: Arc<Connections>,
    over_rate: AtomicU64,
    over_in_flight: AtomicU64,
    rates: [AtomicU64; 3],
}

impl Limits {
    /// Counts from `now` on.
    pub fn new(now: Instant) -> Self {
        Self {
            started: now,
            queries: Table::new(),
            responses: Table::new(),
            waiting: Arc::new(Table::new()),
            connections: Arc::new(Connections::new(now)),
            over_rate: AtomicU64::new(0),
            over_in_flight: AtomicU64::new(0),
            rates: Default::default(),
        }
    }

    /// Counts a question; `false` when the address has asked `limit` questions in this second already (0: no limit).
    pub fn admits(&self, client: IpAddr, limit: u32, now: Instant) -> bool {
        let (limit, now) = (u64::from(limit.min(QUERIES_PER_SECOND_MAX)), self.second(now));
        if limit == 0 {
            return true;
        }
        // A slot holds the second and how many questions came in it.
        let is_free = |state| Second::of(state).value == 0 || 0 < Second::of(state).age(now);
        let counted = self.queries.update(key(client), is_free, |state| {
            let Second { second, value } = state.map_or(Second { second: now, value: 0 }, Second::of);
            let within = value < limit;
            (Second { second, value: value + u64::from(within) }.state(), within)
        });
        let within = counted.is_none_or(|(within, _)| within);
        if !within {
            self.over_rate.fetch_add(1, Ordering::Relaxed);
        }
        within
    }

    /// Counts an answer over UDP to an address outside the house, whose prefix may have `limit` in a second (0: no limit).
    ///
    /// A prefix that has more than that comes into debt, for 15 seconds at most, and is answered again when it is out.
    pub fn rate(&self, client: IpAddr, limit: u32, now: Instant) -> Rate {
        let (limit, now) = (u64::from(limit.min(RESPONSES_PER_SECOND_MAX)), self.second(now));
        let rate = if limit == 0 { Rate::Answer } else { self.rate_of_prefix(prefix(client), limit, now) };
        if let Some(count) = self.rates.get(rate as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        rate
    }

    fn rate_of_prefix(&self, prefix: u128, limit: u64, now: u64) -> Rate {
        // A slot holds the second in which it was written, and what was spent then beyond the credit of each second since;
        // the lowest bit of that tells which answer beyond the limit the next one is.
        let spent = |state| {
            let written = Second::of(state);
            (written.value >> 1).saturating_sub(limit * written.age(now))
        };
        let counted = self.responses.update(
            prefix,
            |state| spent(state) == 0,
            |state| {
                let before = state.map_or(0, spent);
                let second = state.map(Second::of).filter(|written| written.age(now) == 0);
                let second = second.map_or(now, |written| written.second);
                let turn = state.map_or(0, |state| Second::of(state).value & 1);
                let after = (before + 1).min(limit * (1 + DEBT_MAX_SECS));
                let (rate, turn) = match turn {
                    _ if after <= limit => (Rate::Answer, 0),
                    0 => (Rate::Truncate, 1),
                    _ => (Rate::Drop, (turn + 1) % SLIP),
                };
                (Second { second, value: after << 1 | turn }.state(), rate)
            },
        );
        counted.map_or(Rate::Answer, |(rate, _)| rate)
    }

    /// Counts a question that waits for an upstream until what is given back is dropped; `None` when `limit` questions of the
    /// address wait already.
    pub fn wait(&self, client: IpAddr, limit: u32) -> Option<Waiting> {
        // A slot holds how many wait.
        let counted = self.waiting.update(
            key(client),
            |waiting| waiting == 0,
            |waiting| {
                let waiting = waiting.unwrap_or(0);
                let within = waiting < u64::from(limit);
                (waiting + u64::from(within), within)
            },
        );
        match counted {
            Some((true, slot)) => Some(Waiting(Some((Arc::clone(&self.waiting), slot)))),
            None => Some(Waiting(None)),
            Some((false, _)) => {
                self.over_in_flight.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// The TCP connections.
    pub(super) const fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// How often each limit was met.
    pub fn counts(&self) -> LimitCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let [rate_answered, rate_truncated, rate_dropped] = self.rates.each_ref().map(read);
        let (connections, connections_over) = self.connections.counts();
        LimitCounts {
            over_rate: read(&self.over_rate),
            over_in_flight: read(&self.over_in_flight),
            rate_answered,
            rate_truncated,
            rate_dropped,
            connections,
            connections_over,
        }
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_secs()
    }
}

/// A question that waits, also when its task is ended. It counts for nobody when the table had no room for its address.
#[derive(Debug)]
pub struct Waiting(Option<(Arc<Table>, Slot)>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some((table, Slot { bucket, at })) = &self.0
            && let Some(slot) = table.buckets.get(*bucket).and_then(|Bucket(slots)| slots.get(*at))
        {
            // Its own one is still counted there, so this takes nothing from the tag above the count.
            slot.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The state of a slot that counts within a second.
#[derive(Clone, Copy)]
struct Second {
    second: u64,
    value: u64,
}

/// What is counted: up to [`QUERIES_PER_SECOND_MAX`], or twice [`RESPONSES_PER_SECOND_MAX`] for each second of debt.
const VALUE_BITS: u32 = 20;
const VALUE_MAX: u64 = (1 << VALUE_BITS) - 1;
/// Seconds are told apart within 18 hours. A client that met its limit so long ago, to the second, and was silent since, meets it
/// again for a moment.
const SECOND_BITS: u32 = STATE_BITS - VALUE_BITS;
const SECOND_MAX: u64 = (1 << SECOND_BITS) - 1;

impl Second {
    const fn of(state: u64) -> Self {
        Self { second: state >> VALUE_BITS, value: state & VALUE_MAX }
    }

    const fn state(self) -> u64 {
        (self.second & SECOND_MAX) << VALUE_BITS | self.value & VALUE_MAX
    }

    /// How many seconds ago that was. What another thread wrote, who read the clock a moment later, is of now.
    const fn age(self, now: u64) -> u64 {
        match now.wrapping_sub(self.second) & SECOND_MAX {
            SECOND_MAX => 0,
            age => age,
        }
    }
}

/// Slots that stand in one line of the processor's cache: a question touches one line.
const BUCKET_LEN: usize = 8;
/// With 8,192 slots of 8 octets, a table counts more clients at once than a home has by far.
const BUCKETS: u64 = 1024;
/// The lower bits of a slot are what is counted; the upper ones are of the key's hash.
const STATE_BITS: u32 = 36;
const STATE_MAX: u64 = (1 << STATE_BITS) - 1;
/// A slot that others change at each attempt belongs to a client that is counted as well as can be.
const ATTEMPTS_MAX: u32 = 64;

/// Counts of keys, each in a word of its own.
///
/// The hash has a seed that nobody outside knows, so that no one can choose addresses that fall together. A key may stand in any
/// slot of its bucket and is known there by 28 more bits of its hash: keys in one bucket do not count for each other, unless
/// these bits agree too (one pair in 2^38). When all slots of a bucket hold counts of others, the key is not counted, which means
/// admitted: a client is never limited for what others do. Two threads that meet a new key at once may each take a slot for
/// it; from then on both find the first one.
#[derive(Debug)]
struct Table {
    seed: RandomState,
    buckets: Box<[Bucket]>,
}

/// Where a count stands.
#[derive(Clone, Copy, Debug)]
struct Slot {
    bucket: usize,
    at: usize,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; BUCKET_LEN]);

impl Table {
    fn new() -> Self {
        Self { seed: RandomState::new(), buckets: (0..BUCKETS).map(|_| Bucket::default()).collect() }
    }

    /// Replaces the state of `key` by what `step` makes of it, and gives back what `step` tells, with the slot. The state is
    /// `None` where the key has no slot, or one that is free: a free slot is one whose state says nothing any more, as 0 does.
    /// `None` when there is no slot for the key.
    fn update<T>(
        &self,
        key: u128,
        is_free: impl Fn(u64) -> bool,
        step: impl Fn(Option<u64>) -> (u64, T),
    ) -> Option<(T, Slot)> {
        let hash = self.seed.hash_one(key);
        let tag = hash & !STATE_MAX;
        let bucket = usize::try_from(hash % BUCKETS).ok()?;
        let Bucket(slots) = self.buckets.get(bucket)?;
        for _ in 0..ATTEMPTS_MAX {
            let mut found = None;
            for (at, slot) in slots.iter().enumerate() {
                let word = slot.load(Ordering::Relaxed);
                let free = is_free(word & STATE_MAX);
                if !free && word & !STATE_MAX == tag {
                    found = Some((at, slot, word, Some(word & STATE_MAX)));
                    break;
                }
                if free && found.is_none() {
                    found = Some((at, slot, word, None));
                }
            }
            let (at, slot, word, state) = found?;
            let (state, told) = step(state);
            let next = tag | state & STATE_MAX;
            if word == next || slot.compare_exchange(word, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            {
                return Some((told, Slot { bucket, at }));
            }
        }
        None
    }
}

/// An address as a number; an IPv4 address is the same one when it is written as an IPv6 address.
fn key(client: IpAddr) -> u128 {
    match client {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The prefix of an address, as a number.
fn prefix(client: IpAddr) -> u128 {
    match client.to_canonical() {
        IpAddr::V4(address) => {
            let network = address.to_bits() & (u32::MAX << (Ipv4Addr::BITS - IPV4_PREFIX_LEN));
            key(Ipv4Addr::from_bits(network).into())
        }
        IpAddr::V6(address) => address.to_bits() & (u128::MAX << (Ipv6Addr::BITS - IPV6_PREFIX_LEN)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_of_each_second() {
        let start = Instant::now();
        let limits = Limits::new(start);
        let [one, other] = [ip("192.168.1.2"), ip("192.168.1.3")];
        assert!(limits.admits(one, 2, start) && limits.admits(ip("::ffff:192.168.1.2"), 2, start));
        assert!(!limits.admits(one, 2, start));
        assert!(limits.admits(other, 2, start), "another address has its own share");
        assert!(limits.admits(one, 2, start + SECOND));
        assert!((0..10_000).all(|_| limits.admits(one, 0, start)), "0 is no limit");
        assert_eq!(limits.counts().over_rate, 1);
        let most = QUERIES_PER_SECOND_MAX;
        assert_eq!((0..=most).filter(|_| limits.admits(other, most, start + 5 * SECOND)).count(), 1_000_000);
    }

    #[test]
    fn a_count_is_kept_over_days() {
        let start = Instant::now();
        let limits = Limits::new(start);
        let client = ip("fd00::1");
        for second in (0..200_000).step_by(7) {
            let now = start + second * SECOND;
            assert!(limits.admits(client, 1, now), "second {second}");
            assert!(!limits.admits(client, 1, now), "second {second}");
        }
    }

    #[test]
    fn threads_that_share_a_client_share_its_count() {
        let start = Instant::now();
        let limits = Limits::new(start);
        let client = ip("192.168.1.2");
        assert!(limits.admits(client, 5_000, start));
        let admitted: usize = std::thread::scope(|scope| {
            let ask = || (0..4_000).filter(|_| limits.admits(client, 5_000, start)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 4_999);
    }

    #[test]
    fn in_a_full_table_nobody_is_limited_for_another() {
        let start = Instant::now();
        let limits = Limits::new(start);
        let client = |number: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number));
        // Four times as many as there are slots.
        assert!((0..32_768).all(|number| limits.admits(client(number), 1, start)));
        let refused = (0..32_768).filter(|number| !limits.admits(client(*number), 1, start)).count();
        assert!((7_000..=8_192).contains(&refused), "{refused} of 8192 slots were kept");
        let held: Vec<_> = (0..32_768).map(|number| limits.wait(client(number), 1).unwrap()).collect();
        drop(held);
        assert!((0..32_768).all(|number| limits.wait(client(number), 1).is_some()));
    }

    #[test]
    fn a_prefix_outside_is_answered_truncated_and_dropped_by_turns() {
        let start = Instant::now();
        let limits = Limits::new(start);
        let rates = |client: &str, now, count| -> Vec<Rate> {
            (0..count).map(|_| limits.rate(ip(client), 3, now)).collect()
        };
        use Rate::{Answer, Drop, Truncate};
        assert_eq!(rates("203.0.113.1", start, 3), [Answer; 3]);
        assert_eq!(rates("203.0.113.200", start, 4), [Truncate, Drop, Truncate, Drop], "the same /24");
        assert_eq!(rates("203.0.114.1", start, 1), [Answer], "another /24");
        assert_eq!(rates("2001:db8:0:ff::1", start, 4), [Answer, Answer, Answer, Truncate]);
        assert_eq!(rates("2001:db8:0:1::1", start, 1), [Drop], "the same /56");
        assert_eq!(rates("2001:db8:0:100::1", start, 1), [Answer], "another /56");
        // Four beyond the limit: after a second they are not paid yet, and there is one more; after two they are.
        assert_eq!(rates("203.0.113.1", start + SECOND, 1), [Truncate]);
        assert_eq!(rates("203.0.113.1", start + 2 * SECOND, 2), [Answer, Truncate]);
        let counts = limits.counts();
        assert_eq!((counts.rate_answered, counts.rate_truncated, counts.rate_dropped), (9, 5, 3));
        assert!((0..1000).all(|_| limits.rate(ip("203.0.113.1"), 0, start) == Answer), "0 is no limit");
    }

    #[test]
    fn the_longest_flood_is_forgiven_after_its_window() {
        let start = Instant::now();
        let limits = Limits::new(start);
        let client = ip("203.0.113.1");
        for _ in 0..100_000 {
            limits.rate(client, 20, start);
        }
        let at = |seconds| limits.rate(client, 20, start + seconds * SECOND);
        assert_ne!(at(14), Rate::Answer);
        assert_eq!(at(16), Rate::Answer);
    }

    #[test]
    fn so_many_questions_of_an_address_wait() {
        let limits = Limits::new(Instant::now());
        let [one, other] = [ip("192.168.1.2"), ip("192.168.1.3")];
        let first = limits.wait(one, 2).unwrap();
        let _second = limits.wait(one, 2).unwrap();
        assert!(limits.wait(one, 2).is_none());
        assert!(limits.wait(other, 2).is_some());
        drop(first);
        let _third = limits.wait(one, 2).unwrap();
        assert!(limits.wait(one, 2).is_none());
        assert_eq!(limits.counts().over_in_flight, 2);
    }

    proptest! {
        /// Eight clients at most: they have room in one bucket.
        #[test]
        fn counting_equals_a_naive_count(asked in prop::collection::vec((0_u8..8, 0_u64..1500), 1..300), limit in 1_u32..6) {
            let start = Instant::now();
            let limits = Limits::new(start);
            let mut naive: HashMap<(u8, u64), u32> = HashMap::new();
            let mut now_ms = 0;
            for (client, later_ms) in asked {
                // Most questions come within one second.
                now_ms += later_ms.saturating_sub(1000);
                let count = naive.entry((client, now_ms / 1000)).or_default();
                *count += 1;
                let address = IpAddr::from([192, 168, 1, client]);
                let admitted = limits.admits(address, limit, start + Duration::from_millis(now_ms));
                prop_assert_eq!(admitted, *count <= limit);
            }
        }

        #[test]
        fn rates_equal_a_naive_balance(asked in prop::collection::vec((0_u8..8, 0_u64..1500), 1..300), limit in 1_u32..6) {
            let start = Instant::now();
            let limits = Limits::new(start);
            // Per prefix: the balance and the second in which it was reckoned.
            let mut naive: HashMap<u8, (i64, u64)> = HashMap::new();
            let mut now_ms = 0;
            let credit = i64::from(limit);
            for (client, later_ms) in asked {
                now_ms += later_ms.saturating_sub(1000);
                let second = now_ms / 1000;
                let (balance, reckoned) = naive.entry(client).or_insert((credit, second));
                *balance += credit * i64::try_from(second - *reckoned).unwrap();
                *balance = ((*balance).min(credit) - 1).max(-15 * credit);
                *reckoned = second;
                let rate = limits.rate(IpAddr::from([203, 0, client, 1]), limit, start + Duration::from_millis(now_ms));
                prop_assert_eq!(rate == Rate::Answer, 0 <= *balance);
            }
        }

        #[test]
        fn waiting_equals_a_naive_count(steps in prop::collection::vec((0_u8..8, any::<bool>()), 1..300), limit in 1_u32..6) {
            let limits = Limits::new(Instant::now());
            let mut naive: HashMap<u8, Vec<Waiting>> = HashMap::new();
            for (client, comes) in steps {
                let held = naive.entry(client).or_default();
                if comes {
                    let waiting = limits.wait(IpAddr::from([192, 168, 1, client]), limit);
                    prop_assert_eq!(waiting.is_some(), held.len() < limit as usize);
                    held.extend(waiting);
                } else {
                    held.pop();
                }
            }
        }
    }
}
