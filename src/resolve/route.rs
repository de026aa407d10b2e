//! Who is asked for which names, and for which devices.
//!
//! Names of a route are asked of its servers alone: those of a house are nobody else's business, and nobody else would know them. What
//! else the devices of a group ask is asked of the group's servers alone: a resolver that filters would filter nothing if another one
//! stepped in.

use std::sync::Arc;

use super::bootstrap::Bootstrap;
use super::options::{GroupOptions, ResolveOptions};
use super::pool::{Pool, Whose};
use super::{Question, UpstreamSet, UpstreamStatus};
use crate::clock::Clock;
use crate::name::DomainName;

pub(super) struct Routes {
    options: ResolveOptions,
    everything: Pool,
    /// The longest names first.
    routes: Vec<(DomainName, Arc<Pool>)>,
    pools: Vec<Arc<Pool>>,
    groups: Vec<(UpstreamSet, Pool)>,
}

impl Routes {
    pub(super) fn new(options: &ResolveOptions, clock: &Arc<dyn Clock>) -> Self {
        let bootstrap = Bootstrap::new(options.bootstrap.clone(), Arc::clone(clock));
        let everything = Pool::new(&options.servers, options.strategy, Whose::default(), &bootstrap, clock);
        let (mut routes, mut pools) = (Vec::new(), Vec::new());
        for route in &options.routes {
            let names: Vec<String> = route.domains.iter().map(ToString::to_string).collect();
            let whose = Whose { route: names.join(", ").into(), ..Whose::default() };
            let pool = Arc::new(Pool::new(&route.servers, options.strategy, whose, &bootstrap, clock));
            routes.extend(route.domains.iter().map(|domain| (domain.clone(), Arc::clone(&pool))));
            pools.push(pool);
        }
        routes.sort_by_key(|(domain, _)| std::cmp::Reverse(domain.as_ref().label_count()));
        let group = |group: &GroupOptions| {
            let whose = Whose { group: Arc::clone(&group.name), ..Whose::default() };
            (group.set(), Pool::new(&group.servers, group.strategy, whose, &bootstrap, clock))
        };
        let groups = options.groups.iter().map(group).collect();
        Self { options: options.clone(), everything, routes, pools, groups }
    }

    /// Whether this is what the options say.
    pub(super) fn are_of(&self, options: &ResolveOptions) -> bool {
        self.options.asks_as(options)
    }

    pub(super) fn pool_of(&self, question: &Question) -> &Pool {
        let name = question.name.as_ref();
        let route = self.routes.iter().find(|(domain, _)| name.is_within(domain.as_ref()));
        route.map_or_else(|| self.pool_of_set(question.set), |(_, pool)| pool)
    }

    fn pool_of_set(&self, set: UpstreamSet) -> &Pool {
        let group = self.groups.iter().find(|(of_group, _)| *of_group == set);
        group.map_or(&self.everything, |(_, pool)| pool)
    }

    /// Whether an upstream of this label may be asked this.
    pub(super) fn asks(&self, label: &str, question: &Question) -> bool {
        self.pool_of(question).asks(label)
    }

    pub(super) fn status(&self) -> Vec<UpstreamStatus> {
        let routes = self.pools.iter().flat_map(|pool| pool.status());
        let groups = self.groups.iter().flat_map(|(_, pool)| pool.status());
        self.everything.status().chain(routes).chain(groups).collect()
    }
}
