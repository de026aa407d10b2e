//! What is kept of a question: an answer, or that there was none; and how it may be served.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::CacheOptions;
use crate::resolve::Unresolved;
use crate::wire::Stored;

/// The TTL of an answer that is served though its time is over, in seconds (RFC 8767 section 4).
pub(in crate::resolve) const STALE_TTL_SECS: u32 = 30;
/// Answers of a shorter TTL, in seconds, are not refreshed ahead: a tenth of it would be less than the second that a TTL
/// counts in, and they would be asked for all the time.
const REFRESH_TTL_MIN_SECS: u64 = 10;
/// How often an answer was asked for when it counts as popular.
const HITS_TO_BE_POPULAR: u8 = 2;

/// What is known about a question.
#[derive(Clone, Debug)]
pub(in crate::resolve) enum Entry {
    Answer(Arc<Answer>),
    Failure(Arc<Failure>),
}

/// An answer and when it came.
#[derive(Debug)]
pub(in crate::resolve) struct Answer {
    pub(super) stored: Stored,
    pub(super) upstream: Arc<str>,
    pub(super) at: Instant,
    /// How long it holds from then on.
    pub(super) fresh_for: Duration,
    /// It could not be refreshed, and until then it is served all the same; its TTLs are [`STALE_TTL_SECS`] already.
    pub(super) held_until: Option<Instant>,
    /// The age from which on it is worth asking for ahead.
    refresh_after: Duration,
    /// Counted up to [`HITS_TO_BE_POPULAR`], so that a popular answer is not written to by every thread that reads it.
    hits: AtomicU8,
    refresh_told: AtomicBool,
    /// The generation of the policy that found nothing to block in it; 0: none has.
    cleared: AtomicU64,
}

/// That no upstream gave an answer.
#[derive(Debug)]
pub(in crate::resolve) struct Failure {
    pub(super) unresolved: Unresolved,
    pub(super) at: Instant,
    pub(super) kept: Duration,
    /// Which failure in a row it is, from 1 on.
    pub(super) in_a_row: u32,
}

impl Answer {
    /// An answer that came at `at`.
    pub(super) fn new(mut stored: Stored, upstream: Arc<str>, at: Instant, options: &CacheOptions) -> Self {
        stored.clamp_ttls(options.ttl_min_secs, options.ttl_max_secs, options.negative_ttl_max_secs);
        let fresh_for = Duration::from_secs(stored.ttl_secs().into());
        Self::with_time(stored, upstream, at, fresh_for, options)
    }

    /// One that was kept before and has its TTLs already.
    pub(super) fn with_time(
        mut stored: Stored,
        upstream: Arc<str>,
        at: Instant,
        fresh_for: Duration,
        options: &CacheOptions,
    ) -> Self {
        if !is_on_a_safe_way(&upstream) {
            stored.distrust();
        }
        let is_refreshed = options.prefetch && REFRESH_TTL_MIN_SECS <= fresh_for.as_secs();
        Self {
            stored,
            upstream,
            at,
            fresh_for,
            held_until: None,
            refresh_after: if is_refreshed { fresh_for - fresh_for / 10 } else { Duration::MAX },
            hits: AtomicU8::new(0),
            refresh_told: AtomicBool::new(false),
            cleared: AtomicU64::new(0),
        }
    }

    /// The same answer, to be served until `until` though its time is over.
    pub(super) fn held(&self, until: Instant) -> Self {
        let mut stored = self.stored.clone();
        stored.clamp_ttls(STALE_TTL_SECS, STALE_TTL_SECS, STALE_TTL_SECS);
        Self {
            stored,
            upstream: Arc::clone(&self.upstream),
            at: self.at,
            fresh_for: self.fresh_for,
            held_until: Some(until),
            refresh_after: Duration::MAX,
            hits: AtomicU8::new(0),
            refresh_told: AtomicBool::new(false),
            cleared: AtomicU64::new(self.cleared.load(Ordering::Relaxed)),
        }
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.age(now) < self.fresh_for
    }

    fn count_hit(&self) -> u8 {
        let hits = self.hits.load(Ordering::Relaxed);
        if hits < HITS_TO_BE_POPULAR {
            // Two threads at once may count further than that, by one each.
            return self.hits.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        }
        hits
    }
}

impl Failure {
    pub(in crate::resolve) const fn unresolved(&self) -> &Unresolved {
        &self.unresolved
    }

    pub(super) fn holds(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < self.kept
    }
}

/// Whether nobody can have changed an answer of this upstream on its way: its AD bit says something only then (RFC 4035
/// section 4.9.3, RFC 6840 section 5.7). Within this machine plain DNS is as good as any.
fn is_on_a_safe_way(upstream: &str) -> bool {
    match upstream.split_once("://") {
        Some(("udp" | "tcp", socket)) => {
            socket.parse::<SocketAddr>().is_ok_and(|socket| socket.ip().is_loopback())
        }
        _ => true,
    }
}

/// Whether an answer's time is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Freshness {
    /// It holds.
    Fresh,
    /// Its time is over and it could not be refreshed; it is better than none (RFC 8767).
    Stale,
}

/// What is known about a question without asking anyone.
#[derive(Clone, Debug)]
pub enum Known {
    /// An answer.
    Answer(Cached),
    /// That upstreams failed a moment ago (RFC 9520).
    Failure(Unresolved),
}

/// An answer out of the cache. Cheap to make and to clone: it shares what is kept.
#[derive(Clone, Debug)]
pub struct Cached {
    answer: Arc<Answer>,
    age: Duration,
    freshness: Freshness,
    is_due: bool,
}

impl Cached {
    /// The answer as it is at `now`, for somebody who did not find it in the cache.
    pub(in crate::resolve) fn new(answer: Arc<Answer>, now: Instant) -> Self {
        let freshness = if answer.held_until.is_some() { Freshness::Stale } else { Freshness::Fresh };
        Self { age: answer.age(now), freshness, is_due: false, answer }
    }

    /// The same for somebody who did.
    pub(super) fn hit(answer: Arc<Answer>, now: Instant) -> Self {
        let is_popular = HITS_TO_BE_POPULAR <= answer.count_hit();
        let cached = Self::new(answer, now);
        Self { is_due: is_popular && cached.answer.refresh_after <= cached.age, ..cached }
    }

    /// The answer.
    pub fn answer(&self) -> &Stored {
        &self.answer.stored
    }

    /// By how much its TTLs are to be lowered, in seconds: how long it has been kept. A stale answer has the TTLs that it
    /// is to be served with.
    pub fn age_secs(&self) -> u32 {
        match self.freshness {
            Freshness::Fresh => u32::try_from(self.age.as_secs()).unwrap_or(u32::MAX),
            Freshness::Stale => 0,
        }
    }

    /// Whether its time is over.
    pub const fn freshness(&self) -> Freshness {
        self.freshness
    }

    /// The upstream that gave it.
    pub fn upstream(&self) -> &Arc<str> {
        &self.answer.upstream
    }

    /// Whether it is popular and soon over, so that it should be asked for ahead ([`Resolver::refresh`]). True once in the
    /// life of an answer, for whoever asks first.
    ///
    /// [`Resolver::refresh`]: crate::resolve::Resolver::refresh
    pub fn wants_refresh(&self) -> bool {
        self.is_due && !self.answer.refresh_told.swap(true, Ordering::Relaxed)
    }

    /// Whether the policy of this generation found nothing to block in what it leads to.
    pub fn cleared(&self, generation: u64) -> bool {
        // The number stands for itself; nothing else is read because of it.
        generation != 0 && self.answer.cleared.load(Ordering::Relaxed) == generation
    }

    /// Notes that the policy of this generation found nothing to block in what it leads to.
    pub fn clear(&self, generation: u64) {
        self.answer.cleared.store(generation, Ordering::Relaxed);
    }
}

impl Deref for Cached {
    type Target = Stored;

    fn deref(&self) -> &Stored {
        self.answer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_dns_over_a_network_is_no_safe_way() {
        for safe in
            ["udp://127.0.0.1:53", "tcp://[::1]:5353", "tls://9.9.9.9:853", "https://dns.quad9.net/dns-query"]
        {
            assert!(is_on_a_safe_way(safe), "{safe}");
        }
        for unsafe_way in
            ["udp://9.9.9.9:53", "tcp://192.168.1.1:53", "udp://[2620:fe::fe]:53", "udp://router.example:53"]
        {
            assert!(!is_on_a_safe_way(unsafe_way), "{unsafe_way}");
        }
    }
}
