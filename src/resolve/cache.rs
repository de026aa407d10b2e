//! Answers that are kept, bounded in octets. A failure is kept too, for a moment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache as QuickCache;

use super::upstream::Answered;
use super::{FAILURE_KEPT, Question, Unresolved};

/// What was learnt about a question, and when.
#[derive(Clone, Debug)]
pub(super) struct Entry(Arc<Learnt>);

#[derive(Debug)]
struct Learnt {
    outcome: Result<Answered, Unresolved>,
    at: Instant,
    kept: Duration,
    cleared: std::sync::atomic::AtomicU64,
}

impl Entry {
    pub(super) fn new(outcome: Result<Answered, Unresolved>, at: Instant) -> Self {
        let kept = match &outcome {
            Ok(answered) => Duration::from_secs(answered.answer.ttl_secs().into()),
            Err(_) => FAILURE_KEPT,
        };
        Self(Arc::new(Learnt { outcome, at, kept, cleared: Default::default() }))
    }

    pub(super) fn at(&self) -> Instant {
        self.0.at
    }

    pub(super) fn answered(&self) -> Result<&Answered, Unresolved> {
        self.0.outcome.as_ref().map_err(Clone::clone)
    }

    pub(super) fn cleared(&self) -> u64 {
        self.0.cleared.load(std::sync::atomic::Ordering::Relaxed)
    }
    pub(super) fn clear(&self, g: u64) {
        self.0.cleared.store(g, std::sync::atomic::Ordering::Relaxed);
    }

    fn is_over(&self, now: Instant) -> bool {
        self.0.kept <= now.saturating_duration_since(self.0.at)
    }
}

#[derive(Clone)]
struct Size;

impl Weighter<Question, Entry> for Size {
    fn weight(&self, question: &Question, entry: &Entry) -> u64 {
        let answer = entry.0.outcome.as_ref().map_or(0, |answered| answered.answer.size());
        let name = question.name.as_ref().as_wire().len();
        (size_of::<Question>() + size_of::<Learnt>() + name + answer) as u64
    }
}

/// About what an answer takes, in octets: the cache sizes its table by it.
const ENTRY_SIZE_USUAL: u64 = 400;
/// The least that the cache is built for, so that even one of size 0 lets concurrent clients share an answer.
const SIZE_MIN: u64 = 64 * 1024;

pub(super) struct Cache(QuickCache<Question, Entry, Size>);

impl Cache {
    pub(super) fn new(size: u64) -> Self {
        let items = usize::try_from(size.max(SIZE_MIN) / ENTRY_SIZE_USUAL).unwrap_or(usize::MAX);
        Self(QuickCache::with_weighter(items, size.max(SIZE_MIN), Size))
    }

    pub(super) fn get(&self, asked: &super::Asked<'_>, now: Instant) -> Option<Entry> {
        self.0.get(asked).filter(|entry| !entry.is_over(now))
    }

    pub(super) fn set_size(&self, size: u64) {
        self.0.set_capacity(size.max(SIZE_MIN));
    }

    pub(super) fn clear(&self) {
        self.0.clear();
    }

    /// What is known about `question`, or else what `ask` brings; whoever asks the same meanwhile waits for that.
    /// Tells whether this call was the one that asked.
    pub(super) async fn get_or_ask(
        &self,
        question: &Question,
        now: Instant,
        ask: impl Future<Output = Entry>,
    ) -> (Entry, bool) {
        self.0.remove_if(question, |entry| entry.is_over(now));
        match self.0.get_value_or_guard_async(question).await {
            Ok(entry) => (entry, false),
            Err(guard) => {
                let entry = ask.await;
                // An entry that is over at once still answers those who wait for it.
                let _ = guard.insert(entry.clone());
                (entry, true)
            }
        }
    }
}
