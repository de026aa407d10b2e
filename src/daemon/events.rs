//! Every event, to whoever wants to know: the history, live views, the counters.
//!
//! Threads that answer write into rings (see `event`). The rings are emptied twice a second, more often while somebody
//! watches, at once when the history is asked something, and by a thread itself when its ring is nearly full.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use tokio::sync::broadcast;

use super::devices::Devices;
use crate::clock::Clock;
use crate::event::{
    ACQUAINTANCE, Batch, EventSink, EventSource, EventWriter, Gatherer, Heard, Moment, Privacy, RingWriter,
    ring,
};
use crate::metrics::Metrics;

/// How often rings are emptied when nobody asks: a page that begins to listen hears of the first question within that.
const PERIOD: Duration = Duration::from_millis(500);
/// How often while live views listen: what comes within a tenth of a second comes at once for a person.
const PERIOD_LIVE: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(super) struct Events(Arc<Gathering>);

struct Gathering {
    /// Locked by whoever gathers, for as long as full rings take: well below a millisecond each.
    gatherer: Mutex<Gatherer>,
    metrics: Arc<Metrics>,
    live: broadcast::Sender<Heard>,
    devices: Arc<Devices>,
    clock: Arc<dyn Clock>,
}

impl Events {
    pub(super) fn new(
        metrics: Arc<Metrics>,
        live: broadcast::Sender<Heard>,
        devices: Arc<Devices>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Gathering { gatherer: Mutex::default(), metrics, live, devices, clock }))
    }

    /// Where the history takes from.
    pub(super) fn source(&self) -> Arc<dyn EventSource> {
        Arc::clone(&self.0) as Arc<dyn EventSource>
    }

    /// Gathers by now and then, until nobody is left who could take.
    pub(super) fn gather_regularly(&self) {
        let gathering = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            let mut period = PERIOD;
            loop {
                tokio::time::sleep(period).await;
                let Some(gathering) = gathering.upgrade() else { return };
                gathering.gather();
                let is_awaited = 0 < gathering.live.receiver_count() || gathering.lock().waits();
                period = if is_awaited { PERIOD_LIVE } else { PERIOD };
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

    fn gather_locked(&self, gatherer: &mut Gatherer) {
        let moment = Moment { now: self.clock.now(), instant: self.clock.instant() };
        gatherer.gather(&self.devices.live().current(), moment);
        let told = gatherer.take_told();
        if !told.is_empty() {
            self.devices.meet(told);
        }
        let sums = gatherer.take_sums();
        self.metrics.add(&sums);
        // A page that hears of an event asks the history at once; it finds it, since the lock is held until all is told.
        let events = gatherer.announce();
        if 0 < self.live.receiver_count() {
            for event in events {
                // Fails only when the last receiver has just gone.
                let _ = self.live.send(Heard::Event(Arc::new(event.clone())));
            }
            if 0 < sums.unlisted {
                let _ = self.live.send(Heard::Unlisted(sums.unlisted));
            }
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

    fn is_nearly_full(&self) -> bool {
        self.lock().peek().is_nearly_full()
    }
}
