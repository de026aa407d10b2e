//! Every event, to whoever wants to know: the history, live views, the counters.
//!
//! Threads that answer write into rings (see `event`). The rings are emptied twice a second while there are questions, more
//! often while somebody watches, seldom while nobody asks anything; at once when the history is asked something, and by a
//! thread itself when its ring is nearly full.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::devices::Devices;
use crate::clock::Clock;
use crate::event::{
    ACQUAINTANCE, Batch, EventSink, EventSource, EventWriter, Gatherer, Heard, Moment, Privacy, RingWriter,
    ring,
};
use crate::history::{History, HistoryError};
use crate::metrics::Metrics;
use crate::web::LiveViews;

/// How often rings are emptied while there are questions.
const PERIOD: Duration = Duration::from_millis(500);
/// How often while there are none: a machine that has nothing to do sleeps.
const PERIOD_IDLE: Duration = Duration::from_secs(5);
/// How often while live views listen: what comes within a tenth of a second comes at once for a person.
const PERIOD_LIVE: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(super) struct Events(Arc<Gathering>);

struct Gathering {
    /// Locked by whoever gathers, for as long as full rings take: well below a millisecond each.
    gatherer: Mutex<Gatherer>,
    metrics: Arc<Metrics>,
    live: LiveViews,
    devices: Arc<Devices>,
    clock: Arc<dyn Clock>,
    /// Whether there were questions since the last look.
    heard: AtomicBool,
    /// Little room is left for what was gathered.
    crowded: Notify,
}

impl Events {
    pub(super) fn new(
        metrics: Arc<Metrics>,
        live: LiveViews,
        devices: Arc<Devices>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Gathering {
            gatherer: Mutex::default(),
            metrics,
            live,
            devices,
            clock,
            heard: AtomicBool::new(false),
            crowded: Notify::new(),
        }))
    }

    /// Where the history takes from.
    pub(super) fn source(&self) -> Arc<dyn EventSource> {
        Arc::clone(&self.0) as Arc<dyn EventSource>
    }

    /// Gathers by now and then, and has the history take before there is no room left.
    pub(super) fn gather_regularly(&self, history: History) {
        let gathering = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut taking: Option<JoinHandle<Result<(), HistoryError>>> = None;
            loop {
                let period = gathering.period();
                tokio::select! {
                    () = tokio::time::sleep(period) => {}
                    () = gathering.live.joined() => {}
                    () = gathering.crowded.notified() => {}
                }
                gathering.gather();
                let is_taking = taking.as_ref().is_some_and(|taking| !taking.is_finished());
                if !is_taking && gathering.lock().peek().is_nearly_full() {
                    let history = history.clone();
                    // One that is closed has taken all that it ever will.
                    taking = Some(tokio::spawn(async move { history.take().await }));
                }
            }
        });
    }

    /// Has told from now on only what may be kept.
    pub(super) fn set_privacy(&self, privacy: Privacy) {
        // What was asked before was asked under what held then.
        self.0.gather();
        self.0.lock().set_privacy(privacy);
    }

    /// Waits for what is still held back, at the end.
    pub(super) async fn settle(&self) {
        self.0.gather();
        if self.0.lock().waits() {
            tokio::time::sleep(ACQUAINTANCE).await;
        }
    }
}

impl EventSink for Events {
    fn writer(&self) -> Box<dyn EventWriter> {
        let (writer, ring): (RingWriter, _) = ring(self.source());
        self.0.lock().add(ring);
        Box::new(writer)
    }
}

impl Gathering {
    fn lock(&self) -> MutexGuard<'_, Gatherer> {
        self.gatherer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long until the rings are emptied next.
    fn period(&self) -> Duration {
        let gatherer = self.lock();
        if self.live.is_heard() || gatherer.waits() {
            PERIOD_LIVE
        } else if self.heard.swap(false, Ordering::Relaxed) {
            PERIOD
        } else {
            PERIOD_IDLE
        }
    }

    fn gather_locked(&self, gatherer: &mut Gatherer) {
        let was_crowded = gatherer.peek().is_nearly_full();
        let moment = Moment { now: self.clock.now(), instant: self.clock.instant() };
        gatherer.gather(&self.devices.live().current(), moment);
        let told = gatherer.take_told();
        if !told.is_empty() {
            self.devices.meet(told);
        }
        let sums = gatherer.take_sums();
        self.metrics.add(&sums);
        if sums.queries.as_flattened().iter().any(|&count| 0 < count) {
            self.heard.store(true, Ordering::Relaxed);
        }
        // A page that hears of an event asks the history at once; it finds it, since the lock is held until all is told.
        let events = gatherer.announce();
        if self.live.is_heard() {
            for event in events {
                self.live.tell(Heard::Event(Arc::new(event.clone())));
            }
            if 0 < sums.unlisted {
                self.live.tell(Heard::Unlisted(sums.unlisted));
            }
        }
        if !was_crowded && gatherer.peek().is_nearly_full() {
            self.crowded.notify_one();
        }
    }
}

impl EventSource for Gathering {
    fn try_gather(&self) {
        match self.gatherer.try_lock() {
            Ok(mut gatherer) => self.gather_locked(&mut gatherer),
            Err(TryLockError::Poisoned(poisoned)) => self.gather_locked(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    fn gather(&self) {
        self.gather_locked(&mut self.lock());
    }

    fn take(&self) -> Batch {
        self.lock().take()
    }
}
