//! The thread that owns the database: it takes events and answers questions in turn.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::sync::watch;
use tracing::error;

use super::Dropped;
use super::End;
use super::HistoryError;
use super::fault::Fault;
use super::flush::Counts;
use super::store::Store;
use super::view::Health;
use crate::event::QueryEvent;

/// How often events are taken when nobody asks. The query path never wakes the thread: a wake-up costs more than the
/// rest of handing an event over. The queue holds a tick of 65,536 queries a second.
const TICK: Duration = Duration::from_secs(1);
/// Events that are written at once.
const BATCH_MAX: usize = 1024;

/// Something that the thread is asked to do.
pub(super) type Task = Box<dyn FnOnce(&mut Worker) + Send>;

/// What the thread holds.
pub(super) struct Worker {
    store: Store,
    events: mpsc::Receiver<QueryEvent>,
    batch: Vec<QueryEvent>,
    dropped: Arc<Dropped>,
    flushed: Instant,
    /// Whether the last flush went well, once the history is closed.
    closed: Option<End>,
}

impl Worker {
    pub(super) fn new(store: Store, events: mpsc::Receiver<QueryEvent>, dropped: Arc<Dropped>) -> Self {
        let flushed = store.clock.instant();
        Self { store, events, batch: Vec::with_capacity(BATCH_MAX), dropped, flushed, closed: None }
    }

    /// Answers a question from what was handed over so far.
    pub(super) fn read<T>(
        &mut self,
        question: impl Fn(&mut Store) -> Result<T, Fault>,
    ) -> Result<T, HistoryError> {
        self.store.read(question)
    }

    pub(super) fn health(&self) -> Health {
        let (dropped, at) = self.dropped.look();
        self.store.health(dropped, at)
    }

    pub(super) fn flush(&mut self) -> Result<(), HistoryError> {
        self.flushed = self.store.clock.instant();
        Ok(self.store.flush(Counts::Due)?)
    }

    pub(super) fn close(&mut self) -> Result<(), HistoryError> {
        self.closed = Some(End::Otherwise);
        self.events.close();
        self.take_events();
        self.store.close()?;
        self.closed = Some(End::Closed);
        Ok(())
    }

    /// Takes the events that wait; those that come meanwhile have to wait for the next time.
    fn take_events(&mut self) {
        let mut waiting = self.events.len();
        while 0 < waiting {
            while self.batch.len() < BATCH_MAX.min(waiting)
                && let Ok(event) = self.events.try_recv()
            {
                self.batch.push(event);
            }
            if self.batch.is_empty() {
                return;
            }
            waiting = waiting.saturating_sub(self.batch.len());
            let lost = self.store.remember(&self.batch);
            self.batch.clear();
            if 0 < lost {
                self.dropped.add(lost, self.store.clock.now());
            }
            if let Err(fault) = self.store.trim_memory() {
                error!(?fault, "the history could not make room in memory");
            }
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
                worker.take_events();
                task(worker);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                worker.take_events();
                worker.store.close()?;
                return Ok(End::Closed);
            }
        }
        worker.take_events();
        worker.flush_if_due();
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown")
}
