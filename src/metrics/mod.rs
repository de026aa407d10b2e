//! Counters, gauges and histograms, as OpenMetrics text (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
//!
//! Labels never hold names of domains or devices: they come from a few fixed words and from the configuration, so that nobody on
//! the network can make the number of series grow. Queries are counted many at a time; all other numbers are read from
//! the parts that keep them, when somebody asks.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::event::{AnsweredKind, LATENCY_BOUNDS_US, QTYPES_COUNTED, RCODES_COUNTED, Sums, VerdictKind};

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Sums>);

/// A number under its name. Those of one name stand behind one another.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What it is. `process_` begins the names that all programs share, `pixelsink_` is put before all others.
    pub name: &'static str,
    /// The same in a sentence.
    pub help: &'static str,
    /// Which of those of this name, where there are several: words of our own or of the configuration.
    pub labels: Vec<(&'static str, Cow<'static, str>)>,
    /// The number.
    pub value: Value,
}

/// A number by its kind.
#[derive(Clone, Debug)]
pub enum Value {
    /// It only grows.
    Counter(u64),
    /// It only grows, in seconds.
    Seconds(f64),
    /// It goes up and down.
    Gauge(f64),
    /// How many lie in each bucket.
    Histogram {
        /// The upper bound of each bucket, in seconds, and how many lie in it and in no smaller one. The last one has no bound.
        buckets: Vec<(f64, u64)>,
        /// All of them added up, in seconds.
        sum: f64,
    },
}

impl Metrics {
    /// Adds queries that were counted elsewhere.
    pub fn add(&self, sums: &Sums) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add_all(sums);
    }

    /// All that was counted and what is `elsewhere`, in the OpenMetrics text format.
    pub fn text(&self, elsewhere: Vec<Sample>) -> String {
        let mut samples = self.samples();
        samples.extend(elsewhere);
        let (shared, own) = samples.into_iter().partition(|sample| sample.name.starts_with("process_"));
        let mut text = String::new();
        for (mut registry, samples) in
            [(Registry::with_prefix("pixelsink"), own), (Registry::default(), shared)]
        {
            registry.register_collector(Box::new(Samples(samples)));
            // Writing to a string can't fail.
            let _ = encode_registry(&mut text, &registry);
        }
        let _ = encode_eof(&mut text);
        text
    }

    fn samples(&self) -> Vec<Sample> {
        let sums = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut samples = Vec::new();
        for (verdict, by_answered) in VerdictKind::ALL.iter().zip(&sums.queries) {
            for (answered, &queries) in AnsweredKind::ALL.iter().zip(by_answered) {
                samples.push(
                    Sample::counter("queries", "Queries by verdict and by who answered", queries)
                        .with("verdict", verdict_word(*verdict))
                        .with("answered", answered_word(*answered)),
                );
            }
        }
        let help = "Queries by the type that they asked for";
        let types = QTYPES_COUNTED.iter().map(|(_, name)| *name).chain(["other"]);
        samples.extend(
            types
                .zip(sums.qtypes)
                .map(|(qtype, queries)| Sample::counter("query_types", help, queries).with("qtype", qtype)),
        );
        let help = "Answers by their RCODE";
        let rcodes = RCODES_COUNTED.iter().map(|(_, name)| *name).chain(["other"]);
        samples.extend(
            rcodes
                .zip(sums.rcodes)
                .map(|(rcode, answers)| Sample::counter("answers", help, answers).with("rcode", rcode)),
        );
        let help = "Time from a query's arrival to its answer";
        for ((answered, counts), sum_us) in
            AnsweredKind::ALL.iter().zip(&sums.latencies).zip(sums.latency_sums_us)
        {
            let value = Value::histogram(&LATENCY_BOUNDS_US, counts, sum_us);
            samples.push(
                Sample::new("query_duration_seconds", help, value).with("answered", answered_word(*answered)),
            );
        }
        let help =
            "Blocked queries by the list that decided; of a flood only those that are listed one by one";
        let mut lists: Vec<_> = sums.lists.into_iter().collect();
        lists.sort();
        samples.extend(
            lists
                .into_iter()
                .map(|(list, blocked)| Sample::counter("blocked", help, blocked).with("list", list)),
        );
        let help = "Queries that were counted without being listed one by one";
        samples.push(Sample::counter("queries_unlisted", help, sums.unlisted));
        samples
    }
}

impl Sample {
    /// A number without labels.
    pub const fn new(name: &'static str, help: &'static str, value: Value) -> Self {
        Self { name, help, labels: Vec::new(), value }
    }

    /// A number that only grows.
    pub const fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self::new(name, help, Value::Counter(value))
    }

    /// A number that goes up and down.
    #[expect(clippy::cast_precision_loss, reason = "who shows it has only such numbers")]
    pub const fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self::new(name, help, Value::Gauge(value as f64))
    }

    /// The same with one label more.
    #[must_use]
    pub fn with(mut self, label: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.labels.push((label, value.into()));
        self
    }
}

impl Value {
    /// A histogram of times in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "a sum of seconds is not exact in the text either")]
    pub fn histogram(bounds_us: &[u32], counts: &[u64], sum_us: u64) -> Self {
        let bounds = bounds_us.iter().map(|&bound| f64::from(bound) / 1e6).chain([f64::INFINITY]);
        Self::Histogram { buckets: bounds.zip(counts.iter().copied()).collect(), sum: sum_us as f64 / 1e6 }
    }

    fn encode(&self, metric: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
        match self {
            Self::Counter(value) => metric.encode_counter::<NoLabelSet, _, u64>(value, None),
            Self::Seconds(value) => metric.encode_counter::<NoLabelSet, _, u64>(value, None),
            Self::Gauge(value) => metric.encode_gauge(value),
            Self::Histogram { buckets, sum } => {
                let count = buckets.iter().map(|(_, count)| count).sum();
                metric.encode_histogram::<NoLabelSet>(*sum, count, buckets, None)
            }
        }
    }

    const fn kind(&self) -> MetricType {
        match self {
            Self::Counter(_) | Self::Seconds(_) => MetricType::Counter,
            Self::Gauge(_) => MetricType::Gauge,
            Self::Histogram { .. } => MetricType::Histogram,
        }
    }
}

/// Samples, those of one name behind one another.
#[derive(Debug)]
struct Samples(Vec<Sample>);

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in self.0.chunk_by(|one, other| one.name == other.name) {
            let Some(Sample { name, help, value, .. }) = family.first() else { continue };
            let mut metric = encoder.encode_descriptor(name, help, None, value.kind())?;
            for Sample { labels, value, .. } in family {
                // An empty set of labels would be written as `{}`.
                if labels.is_empty() {
                    value.encode(&mut metric)?;
                } else {
                    value.encode(&mut metric.encode_family(labels)?)?;
                }
            }
        }
        Ok(())
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
        let mut sums = Sums { unlisted: 1, ..Sums::default() };
        sums.queries[VerdictKind::Pass as usize][AnsweredKind::Upstream as usize] = 2;
        sums.latencies[AnsweredKind::Upstream as usize][3] = 2;
        sums.latency_sums_us[AnsweredKind::Upstream as usize] = 6_000;
        sums.qtypes[1] = 2;
        sums.rcodes[0] = 2;
        sums.lists.insert("a \"list\"".into(), 3);
        metrics.add(&sums);
        sums.latencies[AnsweredKind::Upstream as usize][9] = 1;
        metrics.add(&sums);
        let kept = |label: &'static str, value| Sample::counter("kept", "Kept", value).with("what", label);
        let text = metrics.text(vec![
            kept("one", 7),
            kept("other", 8),
            Sample::gauge("size", "Size", 3),
            Sample::new("process_cpu_seconds", "Time", Value::Seconds(1.5)),
        ]);
        for line in [
            r#"pixelsink_queries_total{verdict="pass",answered="upstream"} 4"#,
            "pixelsink_queries_unlisted_total 2",
            r#"pixelsink_query_types_total{qtype="AAAA"} 4"#,
            r#"pixelsink_answers_total{rcode="NOERROR"} 4"#,
            r#"pixelsink_blocked_total{list="a \"list\""} 6"#,
            r#"pixelsink_kept_total{what="one"} 7"#,
            r#"pixelsink_kept_total{what="other"} 8"#,
            "# TYPE pixelsink_size gauge",
            "pixelsink_size 3.0",
            "process_cpu_seconds_total 1.5",
            "# EOF",
            r#"pixelsink_query_duration_seconds_bucket{le="0.001",answered="upstream"} 0"#,
            r#"pixelsink_query_duration_seconds_bucket{le="0.005",answered="upstream"} 4"#,
            r#"pixelsink_query_duration_seconds_bucket{le="+Inf",answered="upstream"} 5"#,
            r#"pixelsink_query_duration_seconds_count{answered="upstream"} 5"#,
            r#"pixelsink_query_duration_seconds_sum{answered="upstream"} 0.012"#,
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
