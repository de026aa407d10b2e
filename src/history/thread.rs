//! The thread that owns the database: it takes events and answers questions in turn.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::watch;
use tracing::error;

use super::End;
use super::HistoryError;
use super::fault::Fault;
use super::flush::Counts;
use super::store::Store;
use super::view::Health;
use crate::event::EventSource;

/// How often is looked for what was gathered when nobody asks. Whoever answers never wakes the thread.
const TICK: Duration = Duration::from_secs(1);

/// Something that the thread is asked to do.
pub(super) type Task = Box<dyn FnOnce(&mut Worker) + Send>;

/// What the thread holds.
pub(super) struct Worker {
    store: Store,
    source: Arc<dyn EventSource>,
    flushed: Instant,
    /// Whether the last flush went well, once the history is closed.
    closed: Option<End>,
}

impl Worker {
    pub(super) fn new(store: Store, source: Arc<dyn EventSource>) -> Self {
        let flushed = store.clock.instant();
        Self { store, source, flushed, closed: None }
    }

    /// Answers a question from what was handed over so far.
    pub(super) fn read<T>(
        &mut self,
        question: impl Fn(&mut Store) -> Result<T, Fault>,
    ) -> Result<T, HistoryError> {
        self.store.read(question)
    }

    pub(super) fn health(&self) -> Health {
        self.store.health()
    }

    pub(super) fn flush(&mut self) -> Result<(), HistoryError> {
        self.take();
        self.flushed = self.store.clock.instant();
        Ok(self.store.flush(Counts::Due)?)
    }

    pub(super) fn close(&mut self) -> Result<(), HistoryError> {
        self.closed = Some(End::Otherwise);
        self.take();
        self.store.close()?;
        self.closed = Some(End::Closed);
        Ok(())
    }

    /// Takes what was gathered; what is gathered meanwhile has to wait for the next time.
    fn take(&mut self) {
        let batch = self.source.take();
        if batch.is_empty() {
            return;
        }
        self.store.remember(&batch);
        drop(batch);
        if let Err(fault) = self.store.trim_memory() {
            error!(?fault, "the history could not make room in memory");
        }
        if self.store.is_crowded() {
            // The store has told what is wrong.
            let _ = self.store.flush(Counts::Due);
        }
    }

    /// Otherwise it lies until somebody asks or the next flush: what is counted together is written once. Counts of names are
    /// exact as long as they are taken before their room is full.
    fn take_if_nearly_full(&mut self) {
        if self.source.is_nearly_full() {
            self.take();
        }
    }

    fn flush_if_due(&mut self) {
        let waited = self.store.clock.instant().saturating_duration_since(self.flushed);
        if self.store.options.flush_interval <= waited {
            // The store has told what is wrong, and tries again.
            let _ = self.flush();
        }
    }
}

/// Serves until it is closed, or until nobody is left who could ask.
///
/// A panic ends the thread: whoever asks then is told that the history is closed, and whoever has `ending`'s receiver
/// sees the end.
pub(super) fn run(
    requests: &Receiver<Task>,
    begin: impl FnOnce() -> Result<Worker, Fault>,
    ending: &watch::Sender<End>,
) {
    let served = catch_unwind(AssertUnwindSafe(|| {
        let mut worker = begin()?;
        serve(&mut worker, requests)
    }));
    match served {
        Ok(Ok(end)) => {
            ending.send_replace(end);
        }
        Ok(Err(fault)) => error!(?fault, "the history stopped"),
        Err(panic) => {
            error!(panic = panic_text(&*panic), "the history stopped; restart the daemon to have it back");
        }
    }
}

fn serve(worker: &mut Worker, requests: &Receiver<Task>) -> Result<End, Fault> {
    loop {
        if let Some(end) = worker.closed {
            return Ok(end);
        }
        match requests.recv_timeout(TICK) {
            Ok(task) => {
                worker.take();
                task(worker);
            }
            Err(RecvTimeoutError::Timeout) => worker.take_if_nearly_full(),
            Err(RecvTimeoutError::Disconnected) => {
                worker.source.gather();
                worker.take();
                worker.store.close()?;
                return Ok(End::Closed);
            }
        }
        worker.flush_if_due();
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown")
}
