//! Every event, to whoever wants to know: the history, live views, the counters.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::event::{EventSink, QueryEvent};
use crate::history::History;
use crate::metrics::Metrics;

pub(super) struct Events {
    pub(super) history: History,
    pub(super) metrics: Arc<Metrics>,
    pub(super) live: broadcast::Sender<Arc<QueryEvent>>,
}

impl EventSink for Events {
    fn emit(&self, event: QueryEvent) {
        self.metrics.count(&event);
        if 0 < self.live.receiver_count() {
            // Fails only when the last receiver has just gone.
            let _ = self.live.send(Arc::new(event.clone()));
        }
        self.history.emit(event);
    }
}
