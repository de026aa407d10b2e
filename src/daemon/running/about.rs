//! What is told of the daemon: on the page, and to whoever reads its metrics.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::Running;
use crate::daemon::counters;
use crate::resolve::UpstreamStatus;
use crate::web;

/// How long `/metrics` waits for the history.
const HISTORY_PATIENCE: Duration = Duration::from_secs(1);

impl Running {
    /// The daemon as the page tells of it.
    pub(super) fn about(&self) -> web::About {
        let upstreams = self.resolver.upstreams();
        let mut problems = self.start_problems.clone();
        problems.extend(self.listeners.problems());
        problems.extend(self.feed.own_problem());
        problems.extend(self.feed.accepted_problem());
        problems.extend(self.feed.unkept_problem());
        problems.extend(self.catalogues.problems());
        for stored in [&self.reload_problem, &self.added_problem] {
            problems.extend(stored.load().as_ref().clone());
        }
        problems.extend(self.devices.problems());
        problems.extend(self.access.problem());
        problems.extend(self.tls.problem());
        problems.extend(self.local.problems());
        problems.extend(upstream_problems(&upstreams));
        web::About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_file: self
                .options
                .config
                .as_ref()
                .map(|file| file.display().to_string())
                .or_else(default_file),
            data_dir: self.data_dir.as_ref().map(|directory| directory.display().to_string()),
            dns_listen: self.reachable_addresses(),
            web_listen: self.listeners.page_addresses(),
            gateways: self.devices.observed().gateways,
            upstreams: upstreams.into_iter().map(upstream_status).collect(),
            memory_bytes: counters::resident(),
            refused: counters::refused(&self.responder),
            problems,
        }
    }

    /// What `/metrics` shows.
    pub(super) async fn metrics(&self) -> String {
        self.events.source().gather();
        let mut samples = counters::of_server(&self.responder);
        samples.extend(counters::of_cache(&self.resolver.cache_status()));
        samples.extend(counters::of_upstreams(&self.resolver.upstreams()));
        samples.extend(counters::of_lists(&self.feed.status()));
        // The history may wait for a disk that has stalled, which is when somebody looks at the other numbers.
        if let Ok(Ok(health)) = timeout(HISTORY_PATIENCE, self.history.health()).await {
            samples.extend(counters::of_history(&health));
        }
        samples.extend(counters::of_process());
        self.metrics.text(samples)
    }

    /// Where devices can ask: for a wildcard address, each address of this machine.
    fn reachable_addresses(&self) -> Vec<SocketAddr> {
        let observed = self.devices.observed();
        let mut addresses = Vec::new();
        for listen in self.listeners.dns_addresses() {
            if !listen.ip().is_unspecified() {
                addresses.push(listen);
                continue;
            }
            let own = observed.networks.iter().map(|network| network.addr()).filter(|address| {
                address.is_ipv4() == listen.is_ipv4() && !address.is_loopback() && !is_link_local(*address)
            });
            addresses.extend(own.map(|address| SocketAddr::new(address, listen.port())));
            addresses.push(listen);
        }
        addresses.sort_by_key(|address| (address.ip().is_unspecified(), address.ip().is_loopback()));
        addresses.dedup();
        addresses
    }
}

/// What is wrong with upstreams, as far as somebody has to know of it: when all fail that are asked for some names, and when it is left
/// to plain ones what encrypted ones were to answer.
fn upstream_problems(upstreams: &[UpstreamStatus]) -> Vec<String> {
    let mut problems = Vec::new();
    for pool in upstreams.chunk_by(|one, other| (&one.route, &one.group) == (&other.route, &other.group)) {
        let failing: Vec<&UpstreamStatus> =
            pool.iter().filter(|upstream| upstream.problem.is_some()).collect();
        let list = || {
            let told = |upstream: &&UpstreamStatus| {
                format!("{} ({})", upstream.address, upstream.problem.as_deref().unwrap_or_default())
            };
            failing.iter().map(told).collect::<Vec<_>>().join(", ")
        };
        let whose = pool.first().map(|upstream| (&*upstream.route, &*upstream.group));
        let (route, group) = whose.unwrap_or_default();
        let is_plain_only = pool
            .iter()
            .filter(|upstream| upstream.problem.is_none())
            .all(|upstream| !upstream.transport.is_encrypted());
        if failing.len() == pool.len() && !group.is_empty() {
            problems.push(format!("No upstream answers for the group `{group}`: {}. Nobody else is asked for its devices. Check them, or name others in groups.upstream.", list()));
        } else if failing.len() == pool.len() && route.is_empty() {
            problems.push(format!("No upstream answers: {}. What is not blocked does not resolve. Check the network, or name others in upstream.servers.", list()));
        } else if failing.len() == pool.len() {
            problems.push(format!("No upstream answers for {route}: {}. Nobody else is asked for these names. Check them, or name others in upstream.routes.", list()));
        } else if is_plain_only && failing.iter().any(|upstream| upstream.transport.is_encrypted()) {
            problems.push(format!("Upstreams fail: {}. Those that answer instead are not encrypted: others can read on the way what is asked.", list()));
        }
    }
    if upstreams.is_empty() {
        problems.push(
            "No upstream is configured. What is not blocked does not resolve. Name one in upstream.servers."
                .to_owned(),
        );
    }
    problems
}

/// An upstream, as the page tells of it.
fn upstream_status(status: UpstreamStatus) -> web::Upstream {
    let UpstreamStatus {
        address,
        route,
        group,
        answered,
        failed,
        latency_us,
        connections,
        resumed,
        problem,
        ..
    } = status;
    web::Upstream {
        address: address.to_string(),
        transport: status.transport.scheme(),
        route: (!route.is_empty()).then(|| route.to_string()),
        group: (!group.is_empty()).then(|| group.to_string()),
        answered,
        failed,
        latency_us,
        connections,
        resumed,
        problem,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn default_file() -> Option<String> {
    let file = Path::new(crate::config::DEFAULT_FILE);
    file.exists().then(|| file.display().to_string())
}
