//! How far a download has come, told while it runs.

use std::sync::atomic::{AtomicU64, Ordering};

use super::status::Progress;

/// Written by the download, read by whoever shows it. Nothing is decided by it.
#[derive(Debug, Default)]
pub(super) struct Meter {
    received: AtomicU64,
    /// 0: it is not known.
    expected: AtomicU64,
}

impl Meter {
    /// A body begins to come.
    pub(super) fn begin(&self, expected: Option<u64>) {
        self.received.store(0, Ordering::Relaxed);
        self.expected.store(expected.unwrap_or_default(), Ordering::Relaxed);
    }

    pub(super) fn add(&self, length: usize) {
        self.received.fetch_add(length as u64, Ordering::Relaxed);
    }

    /// `None` when nothing has come.
    pub(super) fn progress(&self) -> Option<Progress> {
        let received = self.received.load(Ordering::Relaxed);
        let expected = Some(self.expected.load(Ordering::Relaxed)).filter(|expected| 0 < *expected);
        (0 < received).then_some(Progress { received, expected })
    }
}
