//! What is known about questions, bounded in octets: answers, stale ones for when upstreams fail, and failures for a moment.
//!
//! It is handed the time and asks nobody. A look-up reads one shard, allocates nothing and waits for nobody for long; all
//! that changes the cache is called by one thread at a time ([`Resolver`](super::Resolver) sees to that), so that what was
//! looked at is still so when it is replaced.

mod counts;
mod entry;

pub use entry::{Cached, Freshness, Known};

pub(super) use entry::Entry;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use quick_cache::Weighter;
use quick_cache::sync::Cache as QuickCache;

use super::pool::Answered;
use super::question::{Asked, Question};
use super::snapshot::Remembered;
use super::{Unresolved, UnresolvedKind};
use crate::name::DomainName;
use crate::wire::Said;
use counts::Counts;
use entry::{Answer, Failure};

/// How answers are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CacheOptions {
    /// How much memory it may take, in octets. 0: answers are not kept, though who asks at once shares one.
    pub size: u64,
    /// What shorter TTLs are raised to, in seconds.
    pub ttl_min_secs: u32,
    /// What longer TTLs are cut to, in seconds.
    pub ttl_max_secs: u32,
    /// What longer TTLs of negative answers are cut to, in seconds.
    pub negative_ttl_max_secs: u32,
    /// For how long an answer may still be served when its time is over and upstreams fail (RFC 8767); zero: never.
    pub stale_max: Duration,
    /// Whether popular answers are asked for ahead.
    pub prefetch: bool,
    /// Whether answers are kept on the disk over a restart.
    pub keep: bool,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            size: 8 << 20,
            ttl_min_secs: 0,
            ttl_max_secs: 86_400,
            negative_ttl_max_secs: 3_600,
            stale_max: Duration::from_secs(86_400),
            prefetch: true,
            keep: false,
        }
    }
}

/// What is to be forgotten.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Flush {
    /// Everything.
    All,
    /// What is known about a name.
    Name {
        /// The name.
        name: DomainName,
        /// Whether names below it are meant too.
        below: bool,
    },
}

impl Flush {
    pub(super) fn is_about(&self, question: &Question) -> bool {
        match self {
            Self::All => true,
            Self::Name { name, below: false } => question.name == *name,
            Self::Name { name, below: true } => question.name.as_ref().is_within(name.as_ref()),
        }
    }
}

/// How the cache is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CacheStatus {
    /// How many answers and failures are kept.
    pub entries: u64,
    /// How much memory they take, in octets.
    pub octets: u64,
    /// How much they may take, in octets.
    pub octets_max: u64,
    /// How many questions were answered from it while the answer held.
    pub hits: u64,
    /// How many questions had to wait for an upstream.
    pub misses: u64,
    /// How many were answered though the answer's time was over, because upstreams failed.
    pub stale: u64,
    /// How many answers were asked for ahead.
    pub prefetches: u64,
}

/// The first failure is kept for a second (RFC 9520 section 3.2 asks for that at least), each further one in a row twice as
/// long as the one before, up to the second value: the RFC allows five minutes, but then we would be the reason why a
/// mended upstream seems dead to the household.
const FAILURE_KEPT: Duration = Duration::from_secs(1);
const FAILURE_KEPT_MAX: Duration = Duration::from_secs(30);
/// A failure that is older than this is not in a row with the next one (the longest time that RFC 9520 keeps any).
const FAILURE_REMEMBERED: Duration = Duration::from_secs(300);
/// After a refresh failed, the stale answer is served for so long before the next try: the failure recheck timer of
/// RFC 8767 section 5.
const STALE_HELD: Duration = Duration::from_secs(30);

/// About what an answer takes, in octets: by that the cache reckons how many names it remembers that went out of it.
const ENTRY_SIZE_USUAL: u64 = 700;
/// What an entry costs besides its octets: its place in the slab and the table of its shard and half a place of a name that
/// went out of it, both with the slack of growth, and the allocator's headers of four blocks. Measured by
/// `tests/allocations.rs`, which holds the whole to its size.
const ENTRY_OVERHEAD: usize = 224;
/// The least that the cache is built for, in octets: where no answers are kept, failures are (RFC 9520 section 3.2).
const SIZE_MIN: u64 = 64 * 1024;

#[derive(Clone)]
struct Size;

impl Weighter<Question, Entry> for Size {
    fn weight(&self, question: &Question, entry: &Entry) -> u64 {
        let octets = match entry {
            Entry::Answer(answer) => size_of::<Answer>() + answer.stored.size() - size_of_val(&answer.stored),
            Entry::Failure(failure) => {
                let Unresolved { why, said, .. } = &failure.unresolved;
                let said = said.as_ref().map_or(0, |said| size_of::<Said>() + said.text_len());
                size_of::<Failure>() + why.len() + said
            }
        };
        (octets + question.name.as_ref().as_wire().len() + ENTRY_OVERHEAD) as u64
    }
}

pub(super) struct Cache {
    kept: QuickCache<Question, Entry, Size>,
    options: ArcSwap<CacheOptions>,
    pub(super) counts: Counts,
}

impl Cache {
    pub(super) fn new(options: CacheOptions) -> Self {
        let size = options.size.max(SIZE_MIN);
        let items = usize::try_from(size / ENTRY_SIZE_USUAL).unwrap_or(usize::MAX);
        Self {
            kept: QuickCache::with_weighter(items, size, Size),
            options: ArcSwap::from_pointee(options),
            counts: Counts::default(),
        }
    }

    /// Takes over changed options; what is kept keeps the TTLs that it has.
    pub(super) fn set_options(&self, options: CacheOptions) {
        self.options.store(Arc::new(options));
        self.kept.set_capacity(options.size.max(SIZE_MIN));
        if options.size == 0 {
            self.kept.retain(|_, entry| matches!(entry, Entry::Failure(_)));
        }
        if options.stale_max.is_zero() {
            self.kept
                .retain(|_, entry| !matches!(entry, Entry::Answer(answer) if answer.held_until.is_some()));
        }
    }

    /// What can be said at once. Never allocates.
    pub(super) fn known(&self, asked: &Asked<'_>, now: Instant) -> Option<Known> {
        match self.kept.get(asked)? {
            Entry::Answer(answer) if answer.is_fresh(now) => {
                self.counts.count_hit();
                Some(Known::Answer(Cached::hit(answer, now)))
            }
            Entry::Answer(answer) if answer.held_until.is_some_and(|until| now < until) => {
                self.counts.count_stale();
                Some(Known::Answer(Cached::new(answer, now)))
            }
            Entry::Failure(failure) if failure.holds(now) => {
                Some(Known::Failure(Unresolved { is_kept: true, ..failure.unresolved.clone() }))
            }
            Entry::Answer(_) | Entry::Failure(_) => None,
        }
    }

    /// Whether there is an answer whose time is over and that is better than none.
    pub(super) fn has_stale(&self, question: &Question, now: Instant) -> bool {
        matches!(
            self.kept.peek(question),
            Some(Entry::Answer(answer)) if !answer.is_fresh(now) && now < self.stale_until(&answer)
        )
    }

    /// Takes over what came of asking upstreams; gives back what is known now.
    pub(super) fn learn(
        &self,
        question: Question,
        outcome: Result<Answered, Unresolved>,
        now: Instant,
    ) -> Entry {
        let unresolved = match outcome {
            Ok(answered) => {
                let answer = self.answer(answered, now);
                let entry = Entry::Answer(Arc::clone(&answer));
                // RFC 1035 section 3.2.1: a TTL of zero is for those who wait, and for nobody else.
                if self.options.load().size == 0 || answer.fresh_for.is_zero() {
                    self.kept.remove(&question);
                } else {
                    self.kept.insert(question, entry.clone());
                }
                return entry;
            }
            Err(unresolved) => unresolved,
        };
        if let Some(answer) = self.hold(&question, now) {
            return answer;
        }
        let before = match self.kept.peek(&question) {
            Some(Entry::Failure(before)) if now.saturating_duration_since(before.at) < FAILURE_REMEMBERED => {
                before.in_a_row
            }
            _ => 0,
        };
        // That we had too much to do says nothing about the name.
        let is_kept = unresolved.kind != UnresolvedKind::Overload;
        let kept = FAILURE_KEPT.saturating_mul(1 << before.min(16)).min(FAILURE_KEPT_MAX);
        let in_a_row = before.saturating_add(1);
        let entry = Entry::Failure(Arc::new(Failure { unresolved, at: now, kept, in_a_row }));
        if is_kept {
            self.kept.insert(question, entry.clone());
        }
        entry
    }

    /// The same where it is too late to be taken over.
    pub(super) fn pass_on(&self, outcome: Result<Answered, Unresolved>, now: Instant) -> Entry {
        match outcome {
            Ok(answered) => Entry::Answer(self.answer(answered, now)),
            Err(unresolved) => {
                let kept = FAILURE_KEPT;
                Entry::Failure(Arc::new(Failure { unresolved, at: now, kept, in_a_row: 1 }))
            }
        }
    }

    fn answer(&self, answered: Answered, now: Instant) -> Arc<Answer> {
        let Answered { answer, upstream } = answered;
        Arc::new(Answer::new(Arc::unwrap_or_clone(answer), upstream, now, &self.options.load()))
    }

    /// Upstreams give no answer in time: has the old one served for a while, if there is one.
    pub(super) fn hold(&self, question: &Question, now: Instant) -> Option<Entry> {
        let Some(Entry::Answer(answer)) = self.kept.peek(question) else { return None };
        if answer.is_fresh(now) {
            return Some(Entry::Answer(answer));
        }
        let over = self.stale_until(&answer);
        if over <= now {
            return None;
        }
        let held = Entry::Answer(Arc::new(answer.held(over.min(now + STALE_HELD))));
        self.kept.insert(question.clone(), held.clone());
        Some(held)
    }

    /// When an answer is of no use at all any more.
    fn stale_until(&self, answer: &Answer) -> Instant {
        answer.at + answer.fresh_for + self.options.load().stale_max
    }

    /// Forgets; gives back how many entries went.
    pub(super) fn flush(&self, what: &Flush) -> usize {
        let gone = AtomicUsize::new(0);
        self.kept.retain(|question, _| {
            let goes = what.is_about(question);
            gone.fetch_add(usize::from(goes), Ordering::Relaxed);
            !goes
        });
        gone.into_inner()
    }

    /// Every answer that may still be served, for the disk.
    pub(super) fn remembered(&self, now: Instant) -> impl Iterator<Item = Remembered> {
        self.kept.iter().filter_map(move |(question, entry)| match entry {
            Entry::Answer(answer) if answer.is_fresh(now) || now < self.stale_until(&answer) => {
                Some(Remembered {
                    dnssec_ok: question.dnssec_ok,
                    checking_disabled: question.checking_disabled,
                    set: question.set,
                    answer: answer.stored.clone(),
                    upstream: Arc::clone(&answer.upstream),
                    age: answer.age(now),
                    fresh_secs: u32::try_from(answer.fresh_for.as_secs()).unwrap_or(u32::MAX),
                })
            }
            Entry::Answer(_) | Entry::Failure(_) => None,
        })
    }

    /// Takes an answer back that was on the disk, unless there is a newer one. Tells whether it is kept.
    pub(super) fn remember(&self, remembered: Remembered, now: Instant) -> bool {
        let Some(question) = remembered.question() else { return false };
        let Some(at) = now.checked_sub(remembered.age) else { return false };
        let options = self.options.load();
        let Remembered { mut answer, upstream, fresh_secs, age, .. } = remembered;
        let fresh_for = Duration::from_secs(fresh_secs.into());
        let is_fresh = age < fresh_for;
        if is_fresh {
            answer.clamp_ttls(options.ttl_min_secs, options.ttl_max_secs, options.negative_ttl_max_secs);
        }
        // The time of one that is over was its own; a fresh one keeps to the bounds of today.
        let fresh_for =
            if is_fresh { fresh_for.min(Duration::from_secs(answer.ttl_secs().into())) } else { fresh_for };
        let answer = Answer::with_time(answer, upstream, at, fresh_for, &options);
        let is_of_use = answer.is_fresh(now) || now < self.stale_until(&answer);
        if !is_of_use || options.size == 0 || self.kept.contains_key(&question) {
            return false;
        }
        self.kept.insert(question, Entry::Answer(Arc::new(answer)));
        true
    }

    pub(super) fn status(&self) -> CacheStatus {
        CacheStatus {
            entries: self.kept.len() as u64,
            octets: self.kept.weight(),
            octets_max: self.options.load().size,
            hits: self.counts.hits(),
            misses: self.counts.misses(),
            stale: self.counts.stale(),
            prefetches: self.counts.prefetches(),
        }
    }
}

#[cfg(test)]
mod tests;
