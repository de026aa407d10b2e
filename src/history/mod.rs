//! Events remembered, counted and looked up.
//!
//! One thread owns an SQLite database. It takes from an [`EventSource`] what was gathered, counts and single events, and
//! writes it into tables in memory; every `flush_interval` they are moved into the file in one transaction, which is all
//! that the card sees. Whatever was gathered is taken before a question is answered. Events are written once and only for
//! their time; whatever the page asks often is answered from counts by the hour (`counts`, `hours`), which are exact.
//!
//! The way of an event: `thread` (takes turns) -> `write` (into memory) -> `flush` (into the file, see `attach`) ->
//! `retention` (out of it). The way of a question: [`History`] -> `thread` -> `read` (counts) or
//! `events` (single ones). `schema` has the tables, `fault` what can go wrong with them.
//!
//! Where a person wants something forgotten, `erase` does it.
//!
//! [`History`] is all that others know: neither its methods nor their types say that there is SQLite. Another engine
//! would be put behind it.
//!
//! Whatever becomes of the file, the history goes on in memory and says so in [`Health::problem`]. A file that is
//! damaged or too new is set aside (`aside`).

mod aside;
mod attach;
mod attribution;
mod counts;
mod erase;
mod events;
mod fault;
mod flush;
mod hours;
mod memory;
mod questions;
mod read;
mod retention;
mod roster;
mod schema;
mod store;
mod thread;
mod view;
mod write;

#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;
use tokio::sync::watch;
use tracing::error;

pub use self::view::BlockedLately;
pub use self::view::CompanyCount;
pub use self::view::CompanyDetail;
pub use self::view::DeviceCount;
pub use self::view::Erased;
pub use self::view::Erasure;
pub use self::view::EventFilter;
pub use self::view::FirstMeeting;
pub use self::view::Gap;
pub use self::view::Health;
pub use self::view::HourCount;
pub use self::view::NameCount;
pub use self::view::News;
pub use self::view::Remembered;
pub use self::view::RememberedVerdict;
pub use self::view::Scan;
pub use self::view::Span;
pub use self::view::Totals;
pub use self::view::TrackerCount;

use self::fault::Fault;
use self::store::Store;
use self::thread::Task;
use self::thread::Worker;
use crate::clock::Clock;
use crate::device::DeviceKey;
use crate::device::LiveDevices;
use crate::event::EventSource;
use crate::tracker::LiveCatalogue;

/// Questions that may wait to be answered; whoever asks more waits before asking.
const REQUESTS_WAITING_MAX: usize = 64;

/// What the history is to keep, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HistoryOptions {
    /// The file. `None`: memory only.
    pub file: Option<PathBuf>,
    /// How long events may wait in memory before they are written.
    pub flush_interval: Duration,
    /// How long single events are kept.
    pub events_kept: Duration,
    /// How long the hourly counts are kept; at least as long as events.
    pub counts_kept: Duration,
    /// How large the file may grow, in octets; the oldest events go first.
    pub size_max: u64,
}

/// A handle to the history. Cheap to clone. When the last one is dropped, what waits is written and the thread ends.
#[derive(Clone)]
pub struct History {
    source: Arc<dyn EventSource>,
    requests: SyncSender<Task>,
    /// One permit for each place in `requests`: waiting for it does not block the caller's thread.
    places: Arc<Semaphore>,
    /// Closed when the thread has ended; then it holds how.
    end: watch::Receiver<End>,
}

/// How the thread ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// All that waited was written, as was asked.
    Closed,
    /// It was not, or the thread still runs.
    Otherwise,
}

/// The history can't answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HistoryError {
    /// The daemon is stopping, or the history's thread has ended.
    #[error("the history is closed")]
    Closed,
    /// SQLite said no.
    #[error("{0}")]
    Database(String),
}

/// Lets the threads that answer go first, from this thread on: Linux has a niceness for each thread (setpriority(2)).
fn give_way() {
    /// Half of the way to the least: it works on, also next to others that want all of the machine.
    #[cfg(target_os = "linux")]
    const NICENESS: i32 = 10;
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "the history's thread keeps its priority");
    }
}

impl History {
    /// Opens the history and starts its thread. Never fails: what is damaged is set aside, what can't be written lives in memory.
    ///
    /// What happens is taken from `source`. `devices` tells what people call a device now, and which ones are the same:
    /// answers are about those, whatever they were when they asked.
    pub fn open(
        options: HistoryOptions,
        catalogue: Arc<LiveCatalogue>,
        devices: Arc<LiveDevices>,
        clock: Arc<dyn Clock>,
        source: Arc<dyn EventSource>,
    ) -> Self {
        let (requests, requests_taken) = sync_channel(REQUESTS_WAITING_MAX);
        let taken_from = Arc::clone(&source);
        // The file is opened in the thread: a large one on a slow card must not delay the first answer.
        let begin = move || Ok(Worker::new(Store::open(options, catalogue, devices, clock)?, taken_from));
        let thread = std::thread::Builder::new().name("history".to_owned());
        let (ending, end) = watch::channel(End::Otherwise);
        // `ending` goes with the thread, however that ends.
        let run = move || {
            give_way();
            thread::run(&requests_taken, begin, &ending);
        };
        if let Err(error) = thread.spawn(run) {
            error!(%error, "there is no history: its thread could not be started");
        }
        let places = Arc::new(Semaphore::new(REQUESTS_WAITING_MAX));
        Self { source, requests, places, end }
    }

    /// How much happened.
    pub async fn totals(&self, span: Span, device: Option<DeviceKey>) -> Result<Totals, HistoryError> {
        self.read(move |store| store.totals(span, device)).await
    }

    /// Every hour of the span in order, also those in which nothing happened; the last ten years of a longer span.
    pub async fn hours(&self, span: Span, device: Option<DeviceKey>) -> Result<Vec<HourCount>, HistoryError> {
        self.read(move |store| store.hours(span, device)).await
    }

    /// The trackers with the most hits.
    pub async fn trackers(
        &self,
        span: Span,
        device: Option<DeviceKey>,
        limit: u32,
    ) -> Result<Vec<TrackerCount>, HistoryError> {
        self.read(move |store| store.trackers(span, device, limit)).await
    }

    /// Every device that asked within the span, or ever asked; those with the most hits first.
    ///
    /// A device that has not asked anything for as long as counts are kept is forgotten.
    pub async fn devices(&self, span: Span) -> Result<Vec<DeviceCount>, HistoryError> {
        self.read(move |store| store.devices(span)).await
    }

    /// The names with the most hits (`hits_only`) or the most questions.
    pub async fn names(
        &self,
        span: Span,
        device: Option<DeviceKey>,
        hits_only: bool,
        limit: u32,
    ) -> Result<Vec<NameCount>, HistoryError> {
        self.read(move |store| store.names(span, device, hits_only, limit)).await
    }

    /// The companies with the most hits, each compared with the span `before`.
    pub async fn companies(
        &self,
        span: Span,
        before: Option<Span>,
        device: Option<DeviceKey>,
        limit: u32,
    ) -> Result<Vec<CompanyCount>, HistoryError> {
        self.read(move |store| store.companies(span, before, device, limit)).await
    }

    /// One company, by its name; `None` when it had no hit within the span.
    pub async fn company(
        &self,
        span: Span,
        before: Option<Span>,
        name: String,
    ) -> Result<Option<CompanyDetail>, HistoryError> {
        self.read(move |store| store.company(span, before, &name)).await
    }

    /// What happened within `span` for the first time, as far as the days before it are remembered that `known` has.
    pub async fn news(&self, span: Span, known: Duration) -> Result<News, HistoryError> {
        self.read(move |store| store.news(span, known)).await
    }

    /// The names that were blocked on a device since a moment ago: those for the first time before the others, then the
    /// latest first.
    pub async fn blocked_lately(
        &self,
        device: DeviceKey,
        since: Timestamp,
    ) -> Result<Vec<BlockedLately>, HistoryError> {
        self.read(move |store| store.blocked_lately(device, since)).await
    }

    /// Single events, the latest first.
    pub async fn events(&self, filter: EventFilter) -> Result<Vec<Remembered>, HistoryError> {
        self.read(move |store| store.events(&filter)).await
    }

    /// The same, and where the search was given up: what is rare is looked for through all that is kept, but not for long.
    pub async fn scan(&self, filter: EventFilter) -> Result<Scan, HistoryError> {
        self.read(move |store| store.scan(&filter)).await
    }

    /// How the history is.
    pub async fn health(&self) -> Result<Health, HistoryError> {
        self.ask(|worker| Ok(worker.health())).await
    }

    /// Forgets what a person wants forgotten, in memory and in the file. It may take a while; questions are answered
    /// meanwhile, and a daemon that is stopped goes on with it at its next start.
    pub async fn erase(&self, erasure: Erasure) -> Result<Erased, HistoryError> {
        let (reply, erased) = oneshot::channel();
        self.ask(move |worker| {
            worker.erase(erasure, reply);
            Ok(())
        })
        .await?;
        erased.await.map_err(|_| HistoryError::Closed)?
    }

    /// Writes what waits in memory.
    pub async fn flush(&self) -> Result<(), HistoryError> {
        self.ask(Worker::flush).await
    }

    /// Writes what waits, closes the file and ends the thread. Whoever asks later is told that the history is closed; to
    /// close it once more is no error.
    pub async fn close(&self) -> Result<(), HistoryError> {
        match self.ask(Worker::close).await {
            Err(HistoryError::Closed) if *self.end.borrow() == End::Closed => Ok(()),
            closed => closed,
        }
    }

    /// Has what was gathered so far taken now. Otherwise it lies until somebody asks or the next flush: what is counted
    /// together is written once. Counts of names are exact as long as they are taken before their room is full.
    pub async fn take(&self) -> Result<(), HistoryError> {
        // Each task finds what was gathered taken.
        self.ask(|_| Ok(())).await
    }

    /// Waits until the history's thread has ended: it was closed, or a defect ended it. Nothing is remembered after that.
    pub async fn ended(&self) {
        let mut end = self.end.clone();
        while end.changed().await.is_ok() {}
    }

    async fn read<T: Send + 'static>(
        &self,
        question: impl Fn(&mut Store) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, HistoryError> {
        self.ask(move |worker| worker.read(question)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Worker) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, HistoryError> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| HistoryError::Closed)?;
        // Whoever has an answer from the daemon finds the question in the history. Done here and not in the history's
        // thread, whose low priority must not hold up those who answer.
        self.source.gather();
        let (reply, answer) = oneshot::channel();
        let task = move |worker: &mut Worker| {
            drop(place);
            // Whoever went away meanwhile needs no answer.
            if !reply.is_closed() {
                let _ = reply.send(task(worker));
            }
        };
        self.requests.try_send(Box::new(task)).map_err(|_| HistoryError::Closed)?;
        answer.await.map_err(|_| HistoryError::Closed)?
    }
}
