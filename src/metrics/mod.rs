//! Counters and histograms, as OpenMetrics text.
//!
//! Labels never hold names of domains or devices: they come from a few fixed words, so that nobody on the network can
//! make the number of series grow.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::event::{Answered, QueryEvent};
use crate::policy::Verdict;

/// What is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    queries: Family<QueryLabels, Counter<u64, AtomicU64>>,
    latency: Histogram,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct QueryLabels {
    verdict: &'static str,
    answered: &'static str,
}

/// From an answer out of memory to one for which a client has nearly given up, in seconds.
const LATENCY_BOUNDS: [f64; 9] = [0.000_05, 0.000_2, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 5.0];

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("pixelsink");
        let queries = Family::default();
        registry.register("queries", "Queries by verdict and by who answered", queries.clone());
        let latency = Histogram::new(LATENCY_BOUNDS);
        let help = "Time from a query's arrival to its answer";
        registry.register_with_unit("latency", help, Unit::Seconds, latency.clone());
        Self { registry, queries, latency }
    }
}

impl Metrics {
    /// Counts a query.
    pub fn count(&self, event: &QueryEvent) {
        let verdict = match event.verdict {
            Verdict::Pass => "pass",
            Verdict::Allow(_) => "allow",
            Verdict::Block(_) => "block",
        };
        let answered = match event.answered {
            Answered::Sinkhole => "sinkhole",
            Answered::Cache => "cache",
            Answered::Stale => "stale",
            Answered::Upstream(_) => "upstream",
            Answered::Nobody => "nobody",
        };
        self.queries.get_or_create(&QueryLabels { verdict, answered }).inc();
        self.latency.observe(f64::from(event.latency_us) / 1e6);
    }

    /// All counters, in the OpenMetrics text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceTable;
    use crate::name::DomainName;

    #[test]
    fn queries_are_counted_without_their_names() {
        let metrics = Metrics::default();
        let event = QueryEvent {
            at: jiff::Timestamp::UNIX_EPOCH,
            device: DeviceTable::default().identify([192, 0, 2, 1].into()),
            name: DomainName::parse("secret.example").unwrap(),
            qtype: 1,
            verdict: Verdict::Pass,
            answered: Answered::Upstream("udp://192.0.2.53:53".into()),
            rcode: 0,
            latency_us: 3_000,
        };
        metrics.count(&event);
        metrics.count(&event);
        let text = metrics.text();
        assert!(text.contains(r#"pixelsink_queries_total{verdict="pass",answered="upstream"} 2"#), "{text}");
        assert!(text.contains(r#"pixelsink_latency_seconds_bucket{le="0.005"} 2"#), "{text}");
        assert!(!text.contains("secret"));
    }
}
