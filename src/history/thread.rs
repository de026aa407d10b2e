//! The thread that owns the database: it takes events and answers questions in turn.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::sync::watch;
use tracing::error;

use super::End;
use super::Erased;
use super::Erasure;
use super::HistoryError;
use super::erase::Erasing;
use super::fault::Fault;
use super::flush::Counts;
use super::store::Store;
use super::view::Health;
use crate::event::EventSource;

/// Something that the thread is asked to do.
pub(super) type Task = Box<dyn FnOnce(&mut Worker) + Send>;

/// Whoever wants to know what was erased.
type Erases = oneshot::Sender<Result<Erased, HistoryError>>;

/// What the thread holds.
pub(super) struct Worker {
    store: Store,
    source: Arc<dyn EventSource>,
    flushed: Instant,
    /// What is being erased, and who wants to know; nobody where a daemon before this one was asked.
    erasing: Option<(Erasing, Option<Erases>)>,
    /// What is to be erased after that.
    to_erase: VecDeque<(Erasure, Erases)>,
    /// Whether the last flush went well, once the history is closed.
    closed: Option<End>,
}

impl Worker {
    pub(super) fn new(store: Store, source: Arc<dyn EventSource>) -> Self {
        let flushed = store.clock.instant();
        let mut worker =
            Self { store, source, flushed, erasing: None, to_erase: VecDeque::new(), closed: None };
        worker.resume_erasing();
        worker
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

    /// Has something erased, as soon as nothing else is.
    pub(super) fn erase(&mut self, erasure: Erasure, reply: Erases) {
        self.to_erase.push_back((erasure, reply));
        self.begin_erasing();
    }

    fn begin_erasing(&mut self) {
        while self.erasing.is_none()
            && let Some((erasure, reply)) = self.to_erase.pop_front()
        {
            self.take();
            match self.store.begin_erasing(&erasure) {
                Ok(erasing) => self.erasing = Some((erasing, Some(reply))),
                Err(fault) => {
                    // Whoever asked has gone away.
                    let _ = reply.send(Err(fault.into()));
                }
            }
        }
    }

    /// Goes on with what is not erased to its end.
    fn resume_erasing(&mut self) {
        if self.erasing.is_none() {
            match self.store.waiting_erasure() {
                Ok(found) => self.erasing = found.map(|erasing| (erasing, None)),
                Err(fault) => error!(?fault, "it is not known whether something is to be erased"),
            }
        }
    }

    /// Erases a part. Where that fails it is tried again after the next flush.
    fn erase_step(&mut self) {
        let Some((erasing, reply)) = &mut self.erasing else { return };
        let outcome = match self.store.erase_step(erasing) {
            Ok(None) => return,
            Ok(Some(erased)) => Ok(erased),
            Err(fault) => {
                error!(?fault, "something could not be erased; it is tried again");
                self.store.forget_rows();
                Err(fault.into())
            }
        };
        if let Some(reply) = reply.take() {
            let _ = reply.send(outcome);
        }
        self.erasing = None;
        self.begin_erasing();
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

    /// How long until the next flush.
    fn until_flush(&self) -> Duration {
        let waited = self.store.clock.instant().saturating_duration_since(self.flushed);
        self.store.options.flush_interval.saturating_sub(waited)
    }

    fn flush_if_due(&mut self) {
        if self.until_flush().is_zero() {
            // The store has told what is wrong, and tries again.
            if self.flush().is_ok() {
                self.resume_erasing();
            }
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
        let pause = if worker.erasing.is_some() { Duration::ZERO } else { worker.until_flush() };
        match requests.recv_timeout(pause) {
            Ok(task) => {
                worker.take();
                task(worker);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                worker.source.gather();
                worker.take();
                worker.store.close()?;
                return Ok(End::Closed);
            }
        }
        worker.flush_if_due();
        worker.erase_step();
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("unknown")
}
