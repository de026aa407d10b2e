//! Every event, to whoever wants to know: the history, live views, the counters.
//!
//! The kernel learns the MAC of a new client a moment before its first query is read, and we learn it from the kernel a
//! moment after. The events of an address that is not known yet wait for that moment, or one device would be two.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

use crate::device::{DeviceKey, LiveDevices};
use crate::event::{Answered, AnsweredBy, Decided, EventSink, EventWriter, QueryEvent, RuleText, Told};
use crate::history::History;
use crate::metrics::Metrics;
use crate::policy::{RuleRef, Verdict};

/// How long events of an unknown address wait; discovery reads the tables again within a tenth of a second.
const ACQUAINTANCE: Duration = Duration::from_millis(300);
/// An address that stayed unknown (it is behind a router) is not waited for again for so long.
const STRANGER_KEPT: Duration = Duration::from_secs(60);
/// So many addresses are waited for at once; a flood of forged ones is not worth more memory.
const STRANGERS_MAX: usize = 1024;

#[derive(Clone)]
pub(super) struct Events {
    history: History,
    metrics: Arc<Metrics>,
    live: broadcast::Sender<Arc<QueryEvent>>,
    devices: Arc<LiveDevices>,
    /// Since when each unknown address has been waited for.
    strangers: Arc<Mutex<HashMap<IpAddr, Instant>>>,
}

impl Events {
    pub(super) fn new(
        history: History,
        metrics: Arc<Metrics>,
        live: broadcast::Sender<Arc<QueryEvent>>,
        devices: Arc<LiveDevices>,
    ) -> Self {
        Self { history, metrics, live, devices, strangers: Arc::default() }
    }

    /// Waits for the events that are still held back, at the end.
    pub(super) async fn settle(&self) {
        let held = {
            let strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
            strangers.values().any(|since| since.elapsed() < 2 * ACQUAINTANCE)
        };
        if held {
            tokio::time::sleep(ACQUAINTANCE).await;
        }
    }

    fn deliver(&self, event: QueryEvent) {
        self.metrics.count(&event);
        let live = (0 < self.live.receiver_count()).then(|| Arc::new(event.clone()));
        // The history first: a page that hears of the event asks the history at once.
        self.history.emit(event);
        if let Some(event) = live {
            // Fails only when the last receiver has just gone.
            let _ = self.live.send(event);
        }
    }

    /// The address whose owner may be known in a moment.
    fn stranger(&self, event: &QueryEvent) -> Option<IpAddr> {
        let DeviceKey::Address(address) = event.device.key else { return None };
        if address.is_loopback() || self.devices.current().knows(address) {
            return None;
        }
        let now = Instant::now();
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if STRANGERS_MAX <= strangers.len() {
            strangers.retain(|_, since| now.saturating_duration_since(*since) < STRANGER_KEPT);
        }
        if let Some(since) = strangers.get(&address) {
            let waited = now.saturating_duration_since(*since);
            if waited < STRANGER_KEPT {
                return (waited < ACQUAINTANCE).then_some(address);
            }
        } else if STRANGERS_MAX <= strangers.len() {
            return None;
        }
        strangers.insert(address, now);
        Some(address)
    }
}

impl EventSink for Events {
    fn writer(&self) -> Box<dyn EventWriter> {
        Box::new(self.clone())
    }
}

impl EventWriter for Events {
    fn write(&mut self, told: &Told<'_>) {
        let rule =
            |text: &RuleText<'_>| RuleRef { list: text.list.into(), rule: text.rule.to_string().into() };
        let mut event = QueryEvent {
            at: told.at,
            device: self.devices.current().identify(told.client),
            name: told.name.to_owned(),
            qtype: told.qtype,
            verdict: match &told.decided {
                Decided::Pass => Verdict::Pass,
                Decided::Allow(text) => Verdict::Allow(rule(text)),
                Decided::Block(text) => Verdict::Block(rule(text)),
            },
            answered: match told.answered {
                AnsweredBy::Sinkhole => Answered::Sinkhole,
                AnsweredBy::Cache => Answered::Cache,
                AnsweredBy::Stale => Answered::Stale,
                AnsweredBy::Upstream(upstream) => Answered::Upstream(upstream.into()),
                AnsweredBy::Nobody => Answered::Nobody,
            },
            rcode: told.rcode,
            latency_us: told.latency_us,
        };
        let Some(address) = self.stranger(&event) else { return self.deliver(event) };
        let events = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(ACQUAINTANCE).await;
            event.device = events.devices.current().identify(address);
            events.deliver(event);
        });
    }
}
