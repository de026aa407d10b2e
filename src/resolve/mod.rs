//! Answers from the cache and from upstreams.
//!
//! It knows questions and how to get them answered; it never knows who asks, what is blocked, or how an answer is shown.
//! Protocols are hickory's; the order in which upstreams are tried, what counts as an answer, and what is kept of it are
//! decided here.

mod address;
mod cache;
mod check;
mod upstream;

pub use address::{Transport, UpstreamAddress, UpstreamAddressError};
pub use upstream::UpstreamStatus;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::name::{DomainName, NameRef};
use crate::wire::{CLASS_IN, Stored, qtype};
use cache::{Cache, Entry};
use upstream::Pool;

/// What is asked of an upstream. Two clients with the same question share one answer.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Question {
    /// The QNAME.
    pub name: DomainName,
    /// The QTYPE.
    pub qtype: u16,
    /// The QCLASS.
    pub qclass: u16,
    /// Whether DNSSEC records are wanted.
    pub dnssec_ok: bool,
    /// Whether the client checks DNSSEC itself.
    pub checking_disabled: bool,
}

/// A [`Question`] that is only looked up: the same fields, borrowed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "see `Question`")]
pub struct Asked<'a> {
    pub name: NameRef<'a>,
    pub qtype: u16,
    pub qclass: u16,
    pub dnssec_ok: bool,
    pub checking_disabled: bool,
}

impl quick_cache::Equivalent<Question> for Asked<'_> {
    fn equivalent(&self, question: &Question) -> bool {
        let Question { name, qtype, qclass, dnssec_ok, checking_disabled } = question;
        let name = name.as_ref();
        *self
            == Asked {
                name,
                qtype: *qtype,
                qclass: *qclass,
                dnssec_ok: *dnssec_ok,
                checking_disabled: *checking_disabled,
            }
    }
}

/// What is known without asking anybody.
pub enum Known {
    /// An answer.
    Answer(Cached),
    /// Nobody could tell a moment ago.
    Failure(Unresolved),
}

/// An answer of the cache.
#[derive(Clone, Debug)]
pub struct Cached {
    entry: Entry,
    age_secs: u32,
}

impl Cached {
    /// The answer.
    pub fn answer(&self) -> &Stored {
        static NONE: std::sync::OnceLock<Stored> = std::sync::OnceLock::new();
        match self.entry.answered() {
            Ok(answered) => &answered.answer,
            Err(_) => NONE.get_or_init(|| unreachable!()),
        }
    }
    /// Age.
    pub const fn age_secs(&self) -> u32 {
        self.age_secs
    }
    /// Stale.
    pub const fn is_stale(&self) -> bool {
        false
    }
    /// Refresh.
    pub const fn wants_refresh(&self) -> bool {
        false
    }
    /// Cleared.
    pub fn cleared(&self, generation: u64) -> bool {
        self.entry.cleared() == generation
    }
    /// Clear.
    pub fn clear(&self, generation: u64) {
        self.entry.clear(generation);
    }
}

/// An answer and where it came from.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The answer.
    pub cached: Cached,
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
}

/// What failed tries had in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UnresolvedKind {
    /// Upstreams answered, and said that they could not tell.
    Refused,
    /// An upstream could not be reached or said nothing.
    Unreachable,
    /// There were too many questions at once.
    Overload,
}

/// How to resolve.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResolveOptions {
    /// The upstreams, in the order in which they are tried.
    pub servers: Vec<UpstreamAddress>,
    /// How much memory the cache may take, in octets; it takes 64 KiB at least.
    pub cache_size: u64,
}

/// Answers questions.
pub struct Resolver {
    pool: ArcSwap<Pool>,
    cache: Cache,
    clock: Arc<dyn Clock>,
}

impl Resolver {
    /// A resolver with an empty cache. Connections are made when they are needed.
    pub fn new(options: &ResolveOptions, clock: Arc<dyn Clock>) -> Self {
        let pool = ArcSwap::from_pointee(Pool::new(&options.servers, &clock));
        Self { pool, cache: Cache::new(options.cache_size), clock }
    }

    /// Takes over changed options. Answers of upstreams that are no longer asked are forgotten.
    pub fn reconfigure(&self, options: &ResolveOptions) {
        if !self.pool.load().asks(&options.servers) {
            self.pool.store(Arc::new(Pool::new(&options.servers, &self.clock)));
            self.cache.clear();
        }
        self.cache.set_size(options.cache_size);
    }

    /// What is known of a question.
    pub fn cached(&self, asked: &Asked<'_>, now: std::time::Instant) -> Option<Known> {
        let entry = self.cache.get(asked, now)?;
        let age_secs = u32::try_from(now.saturating_duration_since(entry.at()).as_secs()).unwrap_or(u32::MAX);
        match entry.answered() {
            Ok(_) => Some(Known::Answer(Cached { entry, age_secs })),
            Err(unresolved) => Some(Known::Failure(unresolved)),
        }
    }

    /// Refresh.
    pub fn refresh(&self, _question: Question) {}

    /// Answers a question from the cache, or else from an upstream; however many ask at once, one asks the upstream.
    pub async fn resolve(&self, question: &Question) -> Result<Resolved, Unresolved> {
        let asked = async {
            let pool = self.pool.load_full();
            let outcome = pool.ask(question).await;
            Entry::new(outcome, self.clock.instant())
        };
        let (entry, fresh) = self.cache.get_or_ask(question, self.clock.instant(), asked).await;
        let age = self.clock.instant().saturating_duration_since(entry.at());
        let answered = entry.answered()?;
        let origin = if fresh { Origin::Upstream(Arc::clone(&answered.upstream)) } else { Origin::Cache };
        Ok(Resolved {
            cached: Cached { age_secs: u32::try_from(age.as_secs()).unwrap_or(u32::MAX), entry },
            origin,
        })
    }

    /// The addresses of a host, for the daemon's own downloads.
    pub async fn addresses(&self, host: &DomainName) -> Result<Vec<IpAddr>, Unresolved> {
        let question = |qtype| Question {
            name: host.clone(),
            qtype,
            qclass: CLASS_IN,
            dnssec_ok: false,
            checking_disabled: false,
        };
        let (ipv4, ipv6) = (question(qtype::A), question(qtype::AAAA));
        let (ipv4, ipv6) = tokio::join!(self.resolve(&ipv4), self.resolve(&ipv6));
        let mut addresses = Vec::new();
        let mut problem = None;
        for resolved in [ipv4, ipv6] {
            match resolved {
                Ok(resolved) => addresses.extend(resolved.cached.answer().addresses()),
                Err(error) => problem = Some(error),
            }
        }
        match problem {
            Some(error) if addresses.is_empty() => Err(error),
            _ => Ok(addresses),
        }
    }

    /// How each upstream is, in the order of the configuration.
    pub fn upstreams(&self) -> Vec<UpstreamStatus> {
        self.pool.load().status()
    }
}

/// Failures are kept for this long, so that a herd of clients is one question (RFC 9520 section 3.2 asks for a second at
/// least); longer would make us the reason why a mended upstream seems dead.
const FAILURE_KEPT: Duration = Duration::from_secs(1);
