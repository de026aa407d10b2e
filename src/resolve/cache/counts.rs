//! How often the cache knew, counted by many threads at once.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// More threads than this share counters.
const SLOTS: usize = 16;

/// The counters of the threads of one slot, on lines of the processor's cache that no other slot writes to (two, since
/// they are fetched in pairs).
#[derive(Default)]
#[repr(align(128))]
struct Slot {
    hits: AtomicU64,
    stale: AtomicU64,
}

/// Counts what the cache did.
#[derive(Default)]
pub(in crate::resolve) struct Counts {
    slots: [Slot; SLOTS],
    misses: AtomicU64,
    prefetches: AtomicU64,
}

impl Counts {
    pub(super) fn count_hit(&self) {
        self.slot().hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::resolve) fn count_stale(&self) {
        self.slot().stale.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::resolve) fn count_miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::resolve) fn count_prefetch(&self) {
        self.prefetches.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn hits(&self) -> u64 {
        self.slots.iter().map(|slot| slot.hits.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn stale(&self) -> u64 {
        self.slots.iter().map(|slot| slot.stale.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    pub(super) fn prefetches(&self) -> u64 {
        self.prefetches.load(Ordering::Relaxed)
    }

    fn slot(&self) -> &Slot {
        let [first, ..] = &self.slots;
        self.slots.get(slot_of_thread()).unwrap_or(first)
    }
}

/// Threads take slots in turn, at their first hit.
fn slot_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLOT: Cell<Option<usize>> = const { Cell::new(None) };
    }
    SLOT.with(|slot| {
        slot.get().unwrap_or_else(|| {
            let taken = NEXT.fetch_add(1, Ordering::Relaxed) % SLOTS;
            slot.set(Some(taken));
            taken
        })
    })
}
