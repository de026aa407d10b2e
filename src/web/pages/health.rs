//! `/health`: how each part is, and how to mend what is not well.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::Uri;

use super::overview::ProblemLine;
use super::{Page, page};
use crate::feed::SourceStatus;
use crate::history::{Gap, Health as HistoryHealth};
use crate::web::api::CacheStatus;
use crate::web::format;
use crate::web::problems::problems;
use crate::web::view::{Frame, Moment, Tab, Times};
use crate::web::{Upstream, Web};

#[derive(Template)]
#[template(path = "health.html")]
pub(super) struct Health {
    pub(super) frame: Frame,
    pub(super) problems: Vec<ProblemLine>,
    pub(super) version: String,
    pub(super) started: Moment,
    pub(super) uptime: String,
    pub(super) config_file: Option<String>,
    pub(super) data_dir: Option<String>,
    pub(super) listens: Vec<String>,
    pub(super) memory: Option<String>,
    pub(super) upstreams: Vec<UpstreamRow>,
    pub(super) cache: CacheFacts,
    pub(super) history: HistoryFacts,
    pub(super) lists: ListFacts,
    /// What was not answered: words, and how often.
    pub(super) refused: Vec<(&'static str, String)>,
}

/// One upstream.
pub(super) struct UpstreamRow {
    pub(super) address: String,
    /// The names that it is asked for, where it is not asked for all.
    pub(super) route: Option<String>,
    /// The group whose devices it is asked for.
    pub(super) group: Option<String>,
    pub(super) latency: String,
    pub(super) answered: String,
    pub(super) failed: String,
    /// How many connections there were, where there are any.
    pub(super) connections: Option<String>,
    pub(super) problem: Option<String>,
}

impl From<&Upstream> for UpstreamRow {
    fn from(upstream: &Upstream) -> Self {
        Self {
            address: upstream.address.clone(),
            route: upstream.route.clone(),
            group: upstream.group.clone(),
            latency: upstream.latency_us.map_or_else(|| "not asked yet".to_owned(), latency),
            answered: format::count(upstream.answered),
            failed: format::count(upstream.failed),
            connections: (0 < upstream.connections).then(|| connections(upstream)),
            problem: upstream.problem.clone(),
        }
    }
}

fn connections(upstream: &Upstream) -> String {
    let opened = format::counted(upstream.connections, "connection", "connections");
    match (upstream.is_plain(), upstream.resumed) {
        (true, _) | (false, 0) => opened,
        (false, resumed) => format!("{opened}, {} resumed", format::count(resumed)),
    }
}

/// The cache of answers.
pub(super) struct CacheFacts {
    pub(super) entries: String,
    pub(super) size: String,
    pub(super) size_max: String,
    pub(super) percent: u64,
    pub(super) hit_share: String,
    pub(super) stale: String,
    pub(super) prefetches: String,
}

impl From<CacheStatus> for CacheFacts {
    fn from(cache: CacheStatus) -> Self {
        Self {
            entries: format::count(cache.entries),
            size: size(cache.size_bytes),
            size_max: size(cache.size_max_bytes),
            percent: (cache.size_bytes.saturating_mul(100) / cache.size_max_bytes.max(1)).min(100),
            hit_share: format::share(cache.hits, cache.hits.saturating_add(cache.misses)),
            stale: format::count(cache.stale),
            prefetches: format::count(cache.prefetches),
        }
    }
}

/// The history.
pub(super) struct HistoryFacts {
    pub(super) file: Option<String>,
    pub(super) size: String,
    pub(super) flushed: Option<Moment>,
    pub(super) unflushed: String,
    /// What is missing in it: words, and how much.
    pub(super) gaps: Vec<(&'static str, String)>,
}

impl HistoryFacts {
    fn new(health: &HistoryHealth, times: &Times) -> Self {
        let gap = |what, gap: &Gap| (what, format::count(gap.queries));
        Self {
            file: health.file.as_ref().map(|file| file.display().to_string()),
            size: size(health.size_bytes),
            flushed: health.flushed.map(|at| times.ago(at)),
            unflushed: format::count(health.unflushed),
            gaps: vec![
                gap("counted, not listed one by one", &health.unlisted),
                gap("counted for the device only", &health.unnamed),
                gap("not counted", &health.dropped),
            ],
        }
    }
}

/// The lists.
pub(super) struct ListFacts {
    pub(super) count: String,
    pub(super) rules: String,
    pub(super) own_rules: String,
    /// Those of which a refresh failed, and those that wait for the person's word.
    pub(super) failed: Vec<String>,
    pub(super) waiting: Vec<String>,
}

impl ListFacts {
    fn new(lists: &[SourceStatus], rules: u64, own_rules: u64) -> Self {
        let names = |is_meant: &dyn Fn(&SourceStatus) -> bool| {
            lists.iter().filter(|list| is_meant(list)).map(|list| list.options.name.to_string()).collect()
        };
        Self {
            count: format::counted(u64::try_from(lists.len()).unwrap_or(u64::MAX), "list", "lists"),
            rules: format::count(rules),
            own_rules: format::count(own_rules),
            failed: names(&|list| list.failed),
            waiting: names(&|list| list.waiting.is_some() || 0 < list.quarantined_total),
        }
    }
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri) -> Page {
    let times = Times::new(&web);
    let (about, health) = ((web.parts.about)(), web.parts.history.health().await?);
    let problems = problems(&web, &about, &health).await?;
    let policy = web.parts.policy.current();
    let (rules, own_rules) = (policy.lists.ruleset.len(), policy.own.ruleset.len());
    let uptime = times.now.as_second() - web.parts.started.as_second();
    page(&Health {
        frame: Frame::new(&web, &uri, Tab::Health),
        problems: problems.into_iter().map(Into::into).collect(),
        version: about.version,
        started: times.ago(web.parts.started),
        uptime: format::span(u64::try_from(uptime).unwrap_or_default()),
        config_file: about.config_file,
        data_dir: about.data_dir,
        listens: about.dns_listen.iter().map(ToString::to_string).collect(),
        memory: about.memory_bytes.map(size),
        upstreams: about.upstreams.iter().map(Into::into).collect(),
        cache: (web.parts.cache)().into(),
        history: HistoryFacts::new(&health, &times),
        lists: ListFacts::new(&web.parts.feed.status(), rules, own_rules),
        refused: about.refused.iter().map(|(what, count)| (*what, format::count(*count))).collect(),
    })
}

/// `340 µs`, `12 ms`, `1.3 s`.
fn latency(us: u32) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
    }
}

/// `12 KiB`, `3.4 MiB`, `1.2 GiB`.
fn size(octets: u64) -> String {
    let (unit, of) = match octets {
        0..1_048_576 => return format!("{} KiB", octets.div_ceil(1_024)),
        1_048_576..1_073_741_824 => ("MiB", 1_048_576),
        _ => ("GiB", 1_073_741_824),
    };
    format!("{}.{} {unit}", octets / of, octets % of * 10 / of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_told_by_their_largest_unit() {
        assert_eq!([340, 12_900, 1_300_000].map(latency), ["340 µs", "12 ms", "1.3 s"]);
        let sizes = [0, 1, 12_288, 3_670_016, 1_073_741_824].map(size);
        assert_eq!(sizes, ["0 KiB", "1 KiB", "12 KiB", "3.5 MiB", "1.0 GiB"]);
    }

    #[test]
    fn an_unused_cache_is_no_division_by_nothing() {
        let facts = CacheFacts::from(CacheStatus::default());
        assert_eq!((facts.percent, &*facts.hit_share), (0, "0 %"));
        let full = CacheStatus { size_bytes: u64::MAX, size_max_bytes: 1, ..CacheStatus::default() };
        assert_eq!(CacheFacts::from(full).percent, 100);
    }
}
