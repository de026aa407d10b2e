//! In which order the upstreams are asked.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Question;
use super::options::Strategy;
use super::upstream::Upstream;
use crate::name::suffix::registrable_domain;

impl Strategy {
    /// The upstreams in the order in which they are to be asked: those that work first, and of the others those that were left
    /// alone for long enough.
    pub(super) fn order(
        self,
        upstreams: &[Arc<Upstream>],
        question: &Question,
        seed: u64,
    ) -> Vec<Arc<Upstream>> {
        let mut order = upstreams.to_vec();
        if order.len() < 2 {
            return order;
        }
        match self {
            Self::Ordered => {}
            Self::Fastest | Self::Race => order.sort_by_key(|upstream| upstream.health.latency_or_max()),
            Self::Spread => {
                let name = question.name.as_ref();
                let domain = registrable_domain(name).unwrap_or(name);
                // Rendezvous hashing: when an upstream comes or goes, only its own names move.
                let weight = |upstream: &Arc<Upstream>| {
                    let seed = xxh3_64_with_seed(upstream.label.as_bytes(), seed);
                    xxh3_64_with_seed(domain.as_wire(), seed)
                };
                order.sort_by_cached_key(weight);
            }
        }
        order.sort_by_key(|upstream| (upstream.health.is_failing(), upstream.health.down_for_ms()));
        order
    }

    /// How many are asked at once.
    pub(super) const fn width(self) -> usize {
        match self {
            Self::Race => 2,
            Self::Ordered | Self::Fastest | Self::Spread => 1,
        }
    }

    /// Whether all have to be asked now and then to know how fast they are.
    pub(super) const fn compares(self) -> bool {
        matches!(self, Self::Fastest | Self::Race)
    }
}

/// What makes the spread of names this machine's own, and the same after a restart: no upstream is to see another share of them
/// each time.
pub(super) fn seed() -> u64 {
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    xxh3_64_with_seed(&machine, 0)
}
