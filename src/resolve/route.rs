//! Who is asked for which names.
//!
//! Names of a route are asked of its servers alone: those of a house are nobody else's business, and nobody else would know them.

use std::sync::Arc;

use super::bootstrap::Bootstrap;
use super::options::ResolveOptions;
use super::pool::Pool;
use super::{Question, UpstreamStatus};
use crate::clock::Clock;
use crate::name::DomainName;

pub(super) struct Routes {
    options: ResolveOptions,
    everything: Pool,
    /// The longest names first.
    routes: Vec<(DomainName, Arc<Pool>)>,
    pools: Vec<Arc<Pool>>,
}

impl Routes {
    pub(super) fn new(options: &ResolveOptions, clock: &Arc<dyn Clock>) -> Self {
        let bootstrap = Bootstrap::new(options.bootstrap.clone(), Arc::clone(clock));
        let everything = Pool::new(&options.servers, options.strategy, "".into(), &bootstrap, clock);
        let (mut routes, mut pools) = (Vec::new(), Vec::new());
        for route in &options.routes {
            let names: Vec<String> = route.domains.iter().map(ToString::to_string).collect();
            let names = names.join(", ").into();
            let pool = Arc::new(Pool::new(&route.servers, options.strategy, names, &bootstrap, clock));
            routes.extend(route.domains.iter().map(|domain| (domain.clone(), Arc::clone(&pool))));
            pools.push(pool);
        }
        routes.sort_by_key(|(domain, _)| std::cmp::Reverse(domain.as_ref().label_count()));
        Self { options: options.clone(), everything, routes, pools }
    }

    /// Whether this is what the options say.
    pub(super) fn are_of(&self, options: &ResolveOptions) -> bool {
        self.options.asks_as(options)
    }

    pub(super) fn pool_of(&self, question: &Question) -> &Pool {
        let name = question.name.as_ref();
        let route = self.routes.iter().find(|(domain, _)| name.is_within(domain.as_ref()));
        route.map_or(&self.everything, |(_, pool)| pool)
    }

    pub(super) fn status(&self) -> Vec<UpstreamStatus> {
        self.everything.status().chain(self.pools.iter().flat_map(|pool| pool.status())).collect()
    }
}
