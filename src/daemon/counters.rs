//! Counters that the parts keep themselves, under the names that `/metrics` has for them.

use crate::metrics::Elsewhere;
use crate::resolve::CacheStatus;
use crate::server::Responder;

pub(super) fn elsewhere(responder: &Responder, cache: &CacheStatus) -> Vec<Elsewhere> {
    const LIMITED: (&str, &str) =
        ("queries_limited", "Queries that a limit kept from being answered, by the limit");
    const CACHE: (&str, &str) = ("cache_queries", "What the cache did for queries");
    let counter = |(name, help), label, value| Elsewhere { name, help, label, value };
    let limited = |limit, value| counter(LIMITED, Some(("limit", limit)), value);
    let cached = |outcome, value| counter(CACHE, Some(("outcome", outcome)), value);
    let limits = responder.limits().counts();
    vec![
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
    ]
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
