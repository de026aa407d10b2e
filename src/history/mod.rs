//! Events remembered, counted and looked up.

mod view;

pub use view::*;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::device::DeviceKey;
use crate::event::{EventSink, QueryEvent};
use crate::tracker::Catalogue;

/// What the history is to keep, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HistoryOptions {
    /// The file. `None`: memory only.
    pub file: Option<PathBuf>,
    /// How long events may wait in memory before they are written.
    pub flush_interval: Duration,
    /// How long single events are kept.
    pub events_kept: Duration,
    /// How long the hourly counts are kept.
    pub counts_kept: Duration,
    /// How large the file may grow, in octets; the oldest events go first.
    pub size_max: u64,
}

/// A handle to the history. Cheap to clone.
#[derive(Clone)]
pub struct History {
    _private: (),
}

/// The history can't answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HistoryError {
    /// The daemon is stopping.
    #[error("the history is closed")]
    Closed,
    /// SQLite said no.
    #[error("{0}")]
    Database(String),
}

impl History {
    /// Opens the history and starts its thread. Never fails: what is damaged is set aside, what can't be written lives in memory.
    pub fn open(options: HistoryOptions, catalogue: Arc<Catalogue>, clock: Arc<dyn Clock>) -> Self {
        let _ = (options, catalogue, clock);
        Self { _private: () }
    }
    /// How much happened.
    pub async fn totals(&self, _span: Span, _device: Option<DeviceKey>) -> Result<Totals, HistoryError> {
        Err(HistoryError::Closed)
    }
    /// Every hour of the span in order, also those in which nothing happened.
    pub async fn hours(
        &self,
        _span: Span,
        _device: Option<DeviceKey>,
    ) -> Result<Vec<HourCount>, HistoryError> {
        Err(HistoryError::Closed)
    }
    /// The trackers with the most hits.
    pub async fn trackers(
        &self,
        _span: Span,
        _device: Option<DeviceKey>,
        _limit: u32,
    ) -> Result<Vec<TrackerCount>, HistoryError> {
        Err(HistoryError::Closed)
    }
    /// Every device that asked within the span, or ever asked; those with the most hits first.
    pub async fn devices(&self, _span: Span) -> Result<Vec<DeviceCount>, HistoryError> {
        Err(HistoryError::Closed)
    }
    /// The names with the most hits (`hits_only`) or the most questions.
    pub async fn names(
        &self,
        _span: Span,
        _device: Option<DeviceKey>,
        _hits_only: bool,
        _limit: u32,
    ) -> Result<Vec<NameCount>, HistoryError> {
        Err(HistoryError::Closed)
    }
    /// Single events, the latest first.
    pub async fn events(&self, _filter: EventFilter) -> Result<Vec<Remembered>, HistoryError> {
        Err(HistoryError::Closed)
    }
    /// How the history is.
    pub async fn health(&self) -> Result<Health, HistoryError> {
        Err(HistoryError::Closed)
    }
    /// Writes what waits in memory.
    pub async fn flush(&self) -> Result<(), HistoryError> {
        Err(HistoryError::Closed)
    }
    /// Writes what waits, closes the file and ends the thread.
    pub async fn close(&self) -> Result<(), HistoryError> {
        Err(HistoryError::Closed)
    }
}

impl EventSink for History {
    fn emit(&self, _event: QueryEvent) {}
}
