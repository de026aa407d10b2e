//! Numbers that the parts keep themselves, under the names that `/metrics` has for them.

use procfs::process::Process;
use procfs::{boot_time_secs, page_size, ticks_per_second};

use crate::feed::SourceStatus;
use crate::history;
use crate::metrics::{Sample, Value};
use crate::resolve::{CacheStatus, UPSTREAM_LATENCY_BOUNDS_US, UpstreamStatus};
use crate::server::Responder;

/// Limits of clients, and what of their queries waits.
pub(super) fn of_server(responder: &Responder) -> Vec<Sample> {
    const LIMITED: &str = "Queries that a limit kept from being answered, by the limit";
    let limited = |limit, value| Sample::counter("queries_limited", LIMITED, value).with("limit", limit);
    let limits = responder.limits().counts();
    vec![
        limited("queries_per_second", limits.over_rate),
        limited("in_flight_per_client", limits.over_in_flight),
        limited("responses_per_second_truncated", limits.rate_truncated),
        limited("responses_per_second_dropped", limits.rate_dropped),
        Sample::counter(
            "tcp_connections_limited",
            "TCP connections that had to give way or were turned away",
            limits.connections_over,
        ),
        Sample::counter(
            "answers_unsent",
            "Answers over UDP that the system could not send",
            responder.answers_unsent(),
        ),
        Sample::gauge(
            "queries_in_flight",
            "Queries that wait for an upstream now",
            responder.in_flight().into(),
        ),
    ]
}

/// The cache.
pub(super) fn of_cache(cache: &CacheStatus) -> Vec<Sample> {
    let asked = |outcome, value| {
        Sample::counter("cache_queries", "What the cache did for queries", value).with("outcome", outcome)
    };
    vec![
        asked("hit", cache.hits),
        asked("miss", cache.misses),
        asked("stale", cache.stale),
        Sample::counter("cache_prefetches", "Answers that were asked for ahead", cache.prefetches),
        Sample::gauge("cache_entries", "Answers and failures in the cache", cache.entries),
        Sample::gauge("cache_bytes", "Memory that they take", cache.octets),
        Sample::gauge("cache_bytes_max", "Memory that they may take", cache.octets_max),
    ]
}

/// Each upstream, labelled with its address as it is configured, and with the names and the group that it is for, if not
/// for all.
pub(super) fn of_upstreams(upstreams: &[UpstreamStatus]) -> Vec<Sample> {
    type Number = (&'static str, &'static str, fn(&UpstreamStatus) -> Value);
    const NUMBERS: [Number; 6] = [
        ("upstream_answers", "Questions that an upstream answered", |it| Value::Counter(it.answered)),
        ("upstream_failures", "Tries that an upstream did not answer", |it| Value::Counter(it.failed)),
        ("upstream_duration_seconds", "The time to an answer of an upstream", |it| {
            Value::histogram(&UPSTREAM_LATENCY_BOUNDS_US, &it.latencies, it.latency_sum_us)
        }),
        ("upstream_connections", "Connections that were opened to an upstream", |it| {
            Value::Counter(it.connections)
        }),
        ("upstream_resumed", "Connections to an upstream that took up an earlier session", |it| {
            Value::Counter(it.resumed)
        }),
        ("upstream_up", "Whether an upstream answers: 1, or 0 while others are asked before it", |it| {
            Value::Gauge(if it.problem.is_none() { 1.0 } else { 0.0 })
        }),
    ];
    let sample = |(name, help, value): Number, upstream: &UpstreamStatus| {
        let whose = [("route", &upstream.route), ("group", &upstream.group)];
        let sample = Sample::new(name, help, value(upstream)).with("upstream", upstream.address.to_string());
        whose
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .fold(sample, |sample, (label, value)| sample.with(label, value.to_string()))
    };
    let of_number = |number| upstreams.iter().map(move |upstream| sample(number, upstream));
    NUMBERS.into_iter().flat_map(of_number).collect()
}

/// Each list, labelled with its name.
#[expect(clippy::cast_precision_loss, reason = "seconds of this age are exact")]
pub(super) fn of_lists(lists: &[SourceStatus]) -> Vec<Sample> {
    type Number = (&'static str, &'static str, fn(&SourceStatus) -> Option<f64>);
    const NUMBERS: [Number; 4] = [
        ("list_rules", "Rules of a list that are in force", |list| Some(list.rules as f64)),
        (
            "list_revision_timestamp_seconds",
            "When the text in force of a list was fetched or saved",
            |list| Some(list.revision?.as_second() as f64),
        ),
        ("list_checked_timestamp_seconds", "When a list was last looked for", |list| {
            Some(list.checked?.as_second() as f64)
        }),
        ("list_failed", "Whether the last refresh of a list failed: 1 or 0", |list| {
            Some(if list.failed { 1.0 } else { 0.0 })
        }),
    ];
    let of_number = |(name, help, value): Number| {
        lists.iter().filter_map(move |list| {
            Some(
                Sample::new(name, help, Value::Gauge(value(list)?))
                    .with("list", list.options.name.to_string()),
            )
        })
    };
    NUMBERS.into_iter().flat_map(of_number).collect()
}

/// The history.
pub(super) fn of_history(health: &history::Health) -> Vec<Sample> {
    vec![
        Sample::gauge("history_bytes", "The size of the history's file with its log", health.size_bytes),
        Sample::gauge("history_events_waiting", "Events that are not in the file yet", health.unflushed),
        Sample::counter(
            "history_queries_dropped",
            "Queries that the history could not count",
            health.dropped.queries,
        ),
        Sample::counter(
            "history_queries_unnamed",
            "Queries that the history counted for their device only",
            health.unnamed.queries,
        ),
        Sample::gauge(
            "history_failed",
            "Whether something is wrong with the history: 1 or 0",
            health.problem.is_some().into(),
        ),
    ]
}

/// How much memory this process has now, in octets.
pub(super) fn resident() -> Option<u64> {
    Some(Process::myself().ok()?.stat().ok()?.rss * page_size())
}

/// This process, under the names that all programs share (the Prometheus client library guidelines, "Standard and runtime
/// collectors"), as far as the system tells.
pub(super) fn of_process() -> Vec<Sample> {
    let mut samples =
        vec![Sample::gauge("build_info", "The version", 1).with("version", env!("CARGO_PKG_VERSION"))];
    let Ok(process) = Process::myself() else { return samples };
    if let Ok(stat) = process.stat() {
        samples.push(Sample::gauge(
            "process_resident_memory_bytes",
            "Memory that is in use",
            stat.rss * page_size(),
        ));
        samples.push(Sample::gauge("process_virtual_memory_bytes", "Memory that is mapped", stat.vsize));
        samples.push(Sample::gauge(
            "process_threads",
            "Threads",
            stat.num_threads.try_into().unwrap_or_default(),
        ));
        #[expect(clippy::cast_precision_loss, reason = "seconds of a processor are not exact")]
        let seconds = (stat.utime + stat.stime) as f64 / ticks_per_second() as f64;
        let help = "Time of processors that was used";
        samples.push(Sample::new("process_cpu_seconds", help, Value::Seconds(seconds)));
        if let Ok(booted) = boot_time_secs() {
            let started = booted + stat.starttime / ticks_per_second();
            samples.push(Sample::gauge("process_start_time_seconds", "When it was started", started));
        }
    }
    if let Ok(open) = process.fd_count() {
        samples.push(Sample::gauge("process_open_fds", "Open files", open as u64));
    }
    let limits = process.limits().map(|limits| limits.max_open_files.soft_limit);
    if let Ok(procfs::process::LimitValue::Value(limit)) = limits {
        samples.push(Sample::gauge("process_max_fds", "Files that may be open", limit));
    }
    samples
}

/// What was not answered or given up since the start, in words for people.
pub(super) fn refused(responder: &Responder) -> Vec<(&'static str, u64)> {
    let limits = responder.limits().counts();
    vec![
        ("questions of a device that asked more a second than it may", limits.over_rate),
        ("questions of a device that waited for more answers at once than it may", limits.over_in_flight),
        ("answers to strangers that were cut short or left out", limits.rate_truncated + limits.rate_dropped),
        ("TCP connections that had to give way", limits.connections_over),
        ("answers that the system could not send", responder.answers_unsent()),
    ]
}
