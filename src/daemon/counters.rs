//! Counters that the parts keep themselves, under the names that `/metrics` has for them.

use std::borrow::Cow;

use crate::metrics::Elsewhere;
use crate::resolve::{CacheStatus, UpstreamStatus};
use crate::server::Responder;

pub(super) fn elsewhere(
    responder: &Responder,
    cache: &CacheStatus,
    upstreams: &[UpstreamStatus],
) -> Vec<Elsewhere> {
    const LIMITED: (&str, &str) =
        ("queries_limited", "Queries that a limit kept from being answered, by the limit");
    const CACHE: (&str, &str) = ("cache_queries", "What the cache did for queries");
    let counter = |(name, help), label: Option<_>, value| {
        let labels = label.into_iter().collect();
        Elsewhere { name, help, labels, value }
    };
    let limited = |limit, value| counter(LIMITED, Some(("limit", Cow::from(limit))), value);
    let cached = |outcome, value| counter(CACHE, Some(("outcome", Cow::from(outcome))), value);
    let limits = responder.limits().counts();
    let own = [
        limited("queries_per_second", limits.over_rate),
        limited("in_flight_per_client", limits.over_in_flight),
        limited("responses_per_second_truncated", limits.rate_truncated),
        limited("responses_per_second_dropped", limits.rate_dropped),
        counter(
            ("tcp_connections_limited", "TCP connections that had to give way or were turned away"),
            None,
            limits.connections_over,
        ),
        counter(
            ("answers_unsent", "Answers over UDP that the system could not send"),
            None,
            responder.answers_unsent(),
        ),
        cached("hit", cache.hits),
        cached("miss", cache.misses),
        cached("stale", cache.stale),
        counter(("cache_prefetches", "Answers that were asked for ahead"), None, cache.prefetches),
    ];
    own.into_iter().chain(upstream_counters(upstreams)).collect()
}

/// Counters of each upstream, labelled with its address as it is configured, and with the group whose devices it is asked for.
fn upstream_counters(upstreams: &[UpstreamStatus]) -> impl Iterator<Item = Elsewhere> {
    type Counter = (&'static str, &'static str, fn(&UpstreamStatus) -> u64);
    const COUNTERS: [Counter; 5] = [
        ("upstream_answers", "Questions that an upstream answered", |upstream| upstream.answered),
        ("upstream_failures", "Tries that an upstream did not answer", |upstream| upstream.failed),
        ("upstream_latency_microseconds", "The times to its answers, added up", |upstream| {
            upstream.latency_sum_us
        }),
        ("upstream_connections", "Connections that were opened to an upstream", |upstream| {
            upstream.connections
        }),
        ("upstream_resumed", "Connections to an upstream that took up an earlier session", |upstream| {
            upstream.resumed
        }),
    ];
    COUNTERS.iter().flat_map(move |&(name, help, value)| {
        upstreams.iter().map(move |upstream| Elsewhere {
            name,
            help,
            labels: upstream_labels(upstream),
            value: value(upstream),
        })
    })
}

fn upstream_labels(upstream: &UpstreamStatus) -> Vec<(&'static str, Cow<'static, str>)> {
    let UpstreamStatus { address, group, .. } = upstream;
    let of_group = (!group.is_empty()).then(|| ("group", Cow::from(group.to_string())));
    [("upstream", Cow::from(address.to_string()))].into_iter().chain(of_group).collect()
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
