//! Counters and histograms, as OpenMetrics text.
//!
//! Labels never hold names of domains or devices: they come from a few fixed words, so that nobody on the network can
//! make the number of series grow. Queries are counted many at a time.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::EncodeMetric;
use prometheus_client::encoding::MetricEncoder;
use prometheus_client::encoding::NoLabelSet;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use crate::event::{AnsweredKind, LATENCY_BOUNDS_US, Sums, VerdictKind};

/// What is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    queries: Family<QueryLabels, Counter<u64, AtomicU64>>,
    unlisted: Counter<u64, AtomicU64>,
    latency: Arc<Latency>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct QueryLabels {
    verdict: &'static str,
    answered: &'static str,
}

/// A histogram that takes whole buckets.
#[derive(Debug, Default)]
struct Latency {
    buckets: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// The registry owns what it shows.
#[derive(Debug)]
struct Shown(Arc<Latency>);

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("pixelsink");
        let queries = Family::default();
        registry.register("queries", "Queries by verdict and by who answered", queries.clone());
        let unlisted = Counter::default();
        let help = "Queries that were counted without being listed one by one";
        registry.register("queries_unlisted", help, unlisted.clone());
        let latency = Arc::default();
        let help = "Time from a query's arrival to its answer";
        registry.register_with_unit("latency", help, Unit::Seconds, Shown(Arc::clone(&latency)));
        Self { registry, queries, unlisted, latency }
    }
}

impl Metrics {
    /// Adds queries that were counted elsewhere.
    pub fn add(&self, sums: &Sums) {
        for (verdict, by_answered) in VerdictKind::ALL.iter().zip(&sums.queries) {
            for (answered, &queries) in AnsweredKind::ALL.iter().zip(by_answered) {
                if 0 < queries {
                    let labels =
                        QueryLabels { verdict: verdict_word(*verdict), answered: answered_word(*answered) };
                    self.queries.get_or_create(&labels).inc_by(queries);
                }
            }
        }
        for (bucket, &queries) in self.latency.buckets.iter().zip(&sums.latencies) {
            bucket.fetch_add(queries, Ordering::Relaxed);
        }
        self.latency.sum_us.fetch_add(sums.latency_sum_us, Ordering::Relaxed);
        self.unlisted.inc_by(sums.unlisted);
    }

    /// All counters and those of `elsewhere`, in the OpenMetrics text format.
    pub fn text(&self, elsewhere: &[Elsewhere]) -> String {
        let mut registry = Registry::with_prefix("pixelsink");
        for counters in elsewhere.chunk_by(|one, other| one.name == other.name) {
            let family = Family::<Vec<(&str, String)>, Counter<u64, AtomicU64>>::default();
            for Elsewhere { labels, value, .. } in counters {
                let labels = labels.iter().map(|(name, value)| (*name, value.to_string())).collect();
                family.get_or_create(&labels).inc_by(*value);
            }
            if let Some(Elsewhere { name, help, .. }) = counters.first() {
                registry.register(*name, *help, family);
            }
        }
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = encode_registry(&mut text, &self.registry);
        let _ = encode(&mut text, &registry);
        text
    }
}

/// A counter that somebody else keeps. Those with the same name stand behind one another.
#[derive(Clone, Debug)]
pub struct Elsewhere {
    /// What is counted.
    pub name: &'static str,
    /// The same in a sentence.
    pub help: &'static str,
    /// Labels and their values, where there are several: each one of a few words of our own or of the configuration.
    pub labels: Vec<(&'static str, Cow<'static, str>)>,
    /// How many.
    pub value: u64,
}

impl EncodeMetric for Shown {
    #[expect(clippy::cast_precision_loss, reason = "a sum of seconds is not exact in the text either")]
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let bounds = LATENCY_BOUNDS_US.iter().map(|&bound| f64::from(bound) / 1e6).chain([f64::INFINITY]);
        let counts = self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = self.0.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

const fn verdict_word(verdict: VerdictKind) -> &'static str {
    match verdict {
        VerdictKind::Pass => "pass",
        VerdictKind::Allow => "allow",
        VerdictKind::Block => "block",
    }
}

const fn answered_word(answered: AnsweredKind) -> &'static str {
    match answered {
        AnsweredKind::Sinkhole => "sinkhole",
        AnsweredKind::Cache => "cache",
        AnsweredKind::Stale => "stale",
        AnsweredKind::Upstream => "upstream",
        AnsweredKind::Nobody => "nobody",
        AnsweredKind::Local => "local",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_counted_many_at_a_time() {
        let metrics = Metrics::default();
        let mut sums = Sums { latency_sum_us: 6_000, unlisted: 1, ..Sums::default() };
        sums.queries[VerdictKind::Pass as usize][AnsweredKind::Upstream as usize] = 2;
        sums.latencies[3] = 2;
        metrics.add(&sums);
        sums.latencies[9] = 1;
        metrics.add(&sums);
        let counter = |label: &'static str, value| Elsewhere {
            name: "kept",
            help: "Kept",
            labels: vec![("what", label.into())],
            value,
        };
        let text = metrics.text(&[counter("one", 7), counter("other", 8)]);
        for line in [
            r#"pixelsink_queries_total{verdict="pass",answered="upstream"} 4"#,
            "pixelsink_queries_unlisted_total 2",
            r#"pixelsink_kept_total{what="one"} 7"#,
            r#"pixelsink_kept_total{what="other"} 8"#,
            "# EOF",
            r#"pixelsink_latency_seconds_bucket{le="0.001"} 0"#,
            r#"pixelsink_latency_seconds_bucket{le="0.005"} 4"#,
            r#"pixelsink_latency_seconds_bucket{le="+Inf"} 5"#,
            "pixelsink_latency_seconds_count 5",
            "pixelsink_latency_seconds_sum 0.012",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
