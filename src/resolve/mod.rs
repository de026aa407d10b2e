//! Answers from the cache and from upstreams.
//!
//! It knows questions and how to get them answered; it never knows who asks, what is blocked, or how an answer is shown.
//! Message types and all transports but UDP are hickory's; the order in which upstreams are tried, what counts as an answer, what is
//! kept of it and for how long are decided here.
//!
//! `route` chooses the `pool` of upstreams for a name, `strategy` the order in it; an `upstream` sends a question over `udp` or over
//! one of the connections that `lanes` keep open; `way` opens them, with addresses of `bootstrap` and secured by `tls`.

mod address;
mod bootstrap;
mod cache;
mod check;
mod connection;
mod flight;
mod health;
mod kept;
mod lanes;
mod message;
mod options;
mod pool;
mod question;
mod route;
mod snapshot;
mod strategy;
mod tls;
mod udp;
mod upstream;
mod way;

pub use address::{Host, Transport, UpstreamAddress, UpstreamAddressError};
pub use cache::{CacheOptions, CacheStatus, Cached, Flush, Freshness, Known};
pub use health::UPSTREAM_LATENCY_BOUNDS_US;
pub use kept::KeptError;
pub use options::{GroupOptions, Pin, ResolveOptions, RouteOptions, Strategy, UpstreamOptions};
pub use question::{Asked, Question, UpstreamSet};
pub use snapshot::{Snapshot, SnapshotError};
pub use tls::check_authority;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::name::DomainName;
use crate::wire::{CLASS_IN, Said, qtype};
use cache::{Cache, Entry};
use flight::{Boarded, Flights};
use route::Routes;

/// An answer and where it came from.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The answer.
    pub answer: Cached,
    /// By how much its TTLs are to be lowered, in seconds.
    pub age_secs: u32,
    /// Where it came from.
    pub origin: Origin,
}

/// Where an answer came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// The cache.
    Cache,
    /// This upstream, for this question.
    Upstream(Arc<str>),
}

/// No upstream gave a usable answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{why}")]
pub struct Unresolved {
    /// What was tried and what came of it.
    pub why: Arc<str>,
    /// What the tries had in common.
    pub kind: UnresolvedKind,
    /// What an upstream itself said of its failure.
    pub said: Option<Arc<Said>>,
    /// Whether it is remembered, and nobody was asked for whoever hears it.
    pub is_kept: bool,
}

impl Unresolved {
    /// That upstreams failed just now.
    pub const fn new(why: Arc<str>, kind: UnresolvedKind) -> Self {
        Self { why, kind, said: None, is_kept: false }
    }
}

/// What failed tries had in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UnresolvedKind {
    /// Upstreams answered, and said that they could not tell.
    Refused,
    /// An upstream said nothing.
    Unreachable,
    /// Upstreams could not be reached, or not safely.
    Network,
    /// This machine can't ask anybody yet: it has no network, or does not know what time it is.
    NotReady,
    /// There were too many questions at once.
    Overload,
}

/// How an upstream is. Counts are since the daemon started, or since the upstreams were changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpstreamStatus {
    /// Where it is, as it is configured.
    pub address: Arc<str>,
    /// How it is spoken to.
    pub transport: Transport,
    /// The names that it is asked for; empty where it is asked for all that no route has.
    pub route: Arc<str>,
    /// The group whose devices it is asked for; empty where it is asked for all that are in none.
    pub group: Arc<str>,
    /// How many questions it answered.
    pub answered: u64,
    /// How many tries failed.
    pub failed: u64,
    /// The smoothed time to an answer, in microseconds; `None` before the first one.
    pub latency_us: Option<u32>,
    /// The times to all answers, added up, in microseconds.
    pub latency_sum_us: u64,
    /// How many of those times lie in each bucket of [`UPSTREAM_LATENCY_BOUNDS_US`], the longest behind.
    pub latencies: [u64; UPSTREAM_LATENCY_BOUNDS_US.len() + 1],
    /// How many connections were opened to it.
    pub connections: u64,
    /// How many of them took up the session of an earlier one.
    pub resumed: u64,
    /// What went wrong last, while it is asked last because of that.
    pub problem: Option<String>,
}

/// Answers questions.
pub struct Resolver(Arc<Inner>);

struct Inner {
    routes: ArcSwap<Routes>,
    cache: Cache,
    flights: Flights,
    /// A permit for each question that is asked ahead.
    ahead: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
}

/// With a stale answer at hand, a client waits so long for a fresh one: the client response timer of RFC 8767 section 5.
const STALE_AFTER: Duration = Duration::from_millis(1_800);
/// How many questions are asked ahead at once; others are left to those who ask.
const AHEAD_MAX: usize = 32;

impl Resolver {
    /// A resolver with an empty cache. Connections are made when they are needed, on the runtime that this is called on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(options: &ResolveOptions, clock: Arc<dyn Clock>) -> Self {
        let routes = ArcSwap::from_pointee(Routes::new(options, &clock));
        Self(Arc::new(Inner {
            routes,
            cache: Cache::new(options.cache),
            flights: Flights::default(),
            ahead: Arc::new(Semaphore::new(AHEAD_MAX)),
            clock,
            runtime: Handle::current(),
        }))
    }

    /// Takes over changed options. What upstreams said that are no longer asked is forgotten, failures too.
    pub fn reconfigure(&self, options: &ResolveOptions) {
        let inner = &*self.0;
        let mut flights = inner.flights.lock();
        if !inner.routes.load().are_of(options) {
            inner.routes.store(Arc::new(Routes::new(options, &inner.clock)));
            flights.clear();
            inner.cache.flush(&Flush::All);
        }
        inner.cache.set_options(options.cache);
    }

    /// What can be said at once, and is served as it is: an answer that holds, one that is stale and could not be refreshed
    /// a moment ago, or that upstreams failed a moment ago. `None`: [`resolve`](Self::resolve) asks.
    ///
    /// Never allocates and never waits for an upstream. Who finds an answer that [wants it](Cached::wants_refresh) calls
    /// [`refresh`](Self::refresh).
    pub fn cached(&self, asked: &Asked<'_>, now: Instant) -> Option<Known> {
        self.0.cache.known(asked, now)
    }

    /// Answers a question from the cache, or else from an upstream; however many ask at once, one asks the upstream. It is
    /// asked to the end though who asked goes away.
    ///
    /// # Errors
    /// When no upstream gave a usable answer and there is no older one.
    pub async fn resolve(&self, question: &Question) -> Result<Resolved, Unresolved> {
        let inner = &self.0;
        if let Some(known) = self.cached(&question.as_asked(), inner.clock.instant()) {
            return self.resolved(question, known);
        }
        let (landing, began) = match inner.board(question.clone(), None)? {
            Boarded::Known(known) => return self.resolved(question, known),
            Boarded::Waits { landing, began } => (landing, began),
        };
        inner.cache.counts.count_miss();
        let landed = if inner.cache.has_stale(question, inner.clock.instant()) {
            timeout(STALE_AFTER, landing.wait()).await.ok().flatten()
        } else {
            landing.wait().await
        };
        // The flight goes on; what it brings late is kept all the same (RFC 8767 section 5).
        let entry = landed.or_else(|| inner.hold(question));
        match entry {
            Some(Entry::Answer(answer)) => {
                let answer = Cached::new(answer, inner.clock.instant());
                let is_stale = answer.freshness() == Freshness::Stale;
                if is_stale {
                    inner.cache.counts.count_stale();
                }
                let origin = if began && !is_stale {
                    Origin::Upstream(Arc::clone(answer.upstream()))
                } else {
                    Origin::Cache
                };
                Ok(Resolved { age_secs: answer.age_secs(), answer, origin })
            }
            Some(Entry::Failure(failure)) => Err(failure.unresolved().clone()),
            None => {
                let why = "the question was lost on its way".into();
                Err(Unresolved::new(why, UnresolvedKind::Overload))
            }
        }
    }

    fn resolved(&self, question: &Question, known: Known) -> Result<Resolved, Unresolved> {
        match known {
            Known::Answer(answer) => {
                if answer.wants_refresh() {
                    self.refresh(question.clone());
                }
                Ok(Resolved { age_secs: answer.age_secs(), answer, origin: Origin::Cache })
            }
            Known::Failure(unresolved) => Err(unresolved),
        }
    }

    /// Asks upstreams ahead, in the background; when too many are asked ahead already, it is left to the next one who asks.
    pub fn refresh(&self, question: Question) {
        let Ok(permit) = Arc::clone(&self.0.ahead).try_acquire_owned() else { return };
        if let Ok(Boarded::Waits { began: true, .. }) = self.0.board(question, Some(permit)) {
            self.0.cache.counts.count_prefetch();
        }
    }

    /// Forgets what is known, and what is on its way; gives back how many answers and failures went.
    pub fn flush(&self, what: &Flush) -> usize {
        let mut flights = self.0.flights.lock();
        flights.retain(|question, _| !what.is_about(question));
        self.0.cache.flush(what)
    }

    /// How the cache is.
    pub fn cache_status(&self) -> CacheStatus {
        self.0.cache.status()
    }

    /// The addresses of a host, for the daemon's own downloads.
    pub async fn addresses(&self, host: &DomainName) -> Result<Vec<IpAddr>, Unresolved> {
        let question = |qtype| Question {
            name: host.clone(),
            qtype,
            qclass: CLASS_IN,
            dnssec_ok: false,
            checking_disabled: false,
            set: UpstreamSet::EVERYBODY,
        };
        let (ipv4, ipv6) = (question(qtype::A), question(qtype::AAAA));
        let (ipv4, ipv6) = tokio::join!(self.resolve(&ipv4), self.resolve(&ipv6));
        let mut addresses = Vec::new();
        let mut problem = None;
        for resolved in [ipv4, ipv6] {
            match resolved {
                Ok(resolved) => addresses.extend(resolved.answer.addresses()),
                Err(error) => problem = Some(error),
            }
        }
        match problem {
            Some(error) if addresses.is_empty() => Err(error),
            _ => Ok(addresses),
        }
    }

    /// Where upstreams are asked, for those who hand questions over.
    pub fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// How each upstream is, in the order of the configuration: those of everybody, of routes, of groups.
    pub fn upstreams(&self) -> Vec<UpstreamStatus> {
        self.0.routes.load().status()
    }
}

impl Inner {
    /// The stale answer to a question, from now on served at once for a while.
    fn hold(&self, question: &Question) -> Option<Entry> {
        let _flights = self.flights.lock();
        self.cache.hold(question, self.clock.instant())
    }
}

#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;
