//! What happened to one query.
//!
//! The query path borrows everything and writes a small record ([`Told`], by an [`EventWriter`]); whatever else there is
//! to do is done later, elsewhere, in bulk. It never knows who listens.
//!
//! The way of a record: [`RingWriter`] (one for each thread) -> `ring` -> [`Gatherer`] (whose is it?) -> [`Batch`], which
//! has exact counts in a [`Tally`] and, as long as they are not too many, single events.

mod gather;
mod privacy;
mod record;
mod ring;
mod tally;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::device::Device;
use crate::name::DomainName;
use crate::name::NameRef;
use crate::policy::Verdict;

pub use self::gather::ACQUAINTANCE;
pub use self::gather::Batch;
pub use self::gather::Gatherer;
pub use self::gather::LATENCY_BOUNDS_US;
pub use self::gather::Moment;
pub use self::gather::QTYPES_COUNTED;
pub use self::gather::RCODES_COUNTED;
pub use self::gather::Sums;
pub use self::privacy::Privacy;
pub use self::ring::DETAILED_MAX;
pub use self::ring::DETAILED_PER_SECOND;
pub use self::ring::Ring;
pub use self::ring::RingWriter;
pub use self::ring::ring;
pub use self::tally::CountKind;
pub use self::tally::Pair;
pub use self::tally::Slot;
pub use self::tally::SlotId;
pub use self::tally::Tally;
pub use crate::wire::type_by_name as qtype_number;
pub use crate::wire::type_name as qtype_name;

/// What happened to one query, as the query path tells it: nothing is owned.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// When the query came in.
    pub at: Timestamp,
    /// From which address, or who asked as [`crate::device::DeviceKey::to_address`] writes it.
    pub client: IpAddr,
    /// The QNAME.
    pub name: NameRef<'a>,
    /// The name that the answer led to and because of which it was blocked; `None` where the question itself was.
    pub behind: Option<NameRef<'a>>,
    /// The QTYPE.
    pub qtype: u16,
    /// The RCODE of the answer.
    pub rcode: u16,
    /// From the query's arrival to the answer, in microseconds.
    pub latency_us: u32,
    /// Where the answer came from.
    pub answered: AnsweredBy<'a>,
    /// What the policy said, and because of which rule.
    pub decided: Decided<'a>,
}

/// Where an answer came from, borrowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AnsweredBy<'a> {
    /// The sinkhole.
    Sinkhole,
    /// The cache.
    Cache,
    /// The cache, after the time of what it holds was over (RFC 8767).
    Stale,
    /// The upstream of this name.
    Upstream(&'a str),
    /// No upstream gave a usable answer; the client was told SERVFAIL.
    Nobody,
    /// This machine, for a name of the house or one that never leaves it.
    Local,
}

/// What the policy said, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum Decided<'a> {
    /// No rule speaks of the name.
    Pass,
    /// A rule lets the name through.
    Allow(RuleText<'a>),
    /// A rule blocks the name.
    Block(RuleText<'a>),
}

/// A rule that is written out only where somebody will read it.
#[derive(Clone, Copy)]
pub struct RuleText<'a> {
    /// The list's name; the first one when several have the rule.
    pub list: &'a str,
    /// The rule in its shortest form.
    pub rule: &'a dyn fmt::Display,
}

impl fmt::Debug for RuleText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.rule, self.list)
    }
}

/// Gives each thread that answers queries a writer of its own.
pub trait EventSink: Send + Sync {
    /// A writer for one thread.
    fn writer(&self) -> Box<dyn EventWriter>;
}

/// Takes what happened from one thread of the query path.
pub trait EventWriter: Send {
    /// Tells of one query, and never drops one. Only where a flood has filled the thread's ring, it empties that itself: then
    /// it may allocate, and wait for another thread that is at the records.
    fn write(&mut self, told: &Told<'_>);
}

/// Where what the writers wrote is put together, and waits until it is taken.
pub trait EventSource: Send + Sync {
    /// Gathers what was written so far, unless somebody is doing so.
    fn try_gather(&self);
    /// Gathers what was written so far.
    fn gather(&self);
    /// Takes what was gathered since the last time.
    fn take(&self) -> Batch;
}

/// What the policy said, in a word.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum VerdictKind {
    /// No rule speaks of the name.
    Pass,
    /// A rule lets the name through.
    Allow,
    /// A rule blocks the name.
    Block,
}

impl VerdictKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Allow, Self::Block];
}

/// Who answered, in a word.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AnsweredKind {
    /// The sinkhole.
    Sinkhole,
    /// The cache.
    Cache,
    /// The cache, with what is out of date.
    Stale,
    /// An upstream.
    Upstream,
    /// Nobody.
    Nobody,
    /// This machine.
    Local,
}

impl AnsweredKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Sinkhole, Self::Cache, Self::Stale, Self::Upstream, Self::Nobody, Self::Local];
}

impl AnsweredBy<'_> {
    /// Who it is, in a word.
    pub const fn kind(&self) -> AnsweredKind {
        match self {
            Self::Sinkhole => AnsweredKind::Sinkhole,
            Self::Cache => AnsweredKind::Cache,
            Self::Stale => AnsweredKind::Stale,
            Self::Upstream(_) => AnsweredKind::Upstream,
            Self::Nobody => AnsweredKind::Nobody,
            Self::Local => AnsweredKind::Local,
        }
    }
}

/// Where the answer came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answered {
    /// The sinkhole.
    Sinkhole,
    /// The cache.
    Cache,
    /// The cache, after the time of what it holds was over (RFC 8767).
    Stale,
    /// The upstream of this name.
    Upstream(Arc<str>),
    /// No upstream gave a usable answer; the client was told SERVFAIL.
    Nobody,
    /// This machine, for a name of the house or one that never leaves it.
    Local,
}

/// What happened to one query, in full.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QueryEvent {
    /// When the query came in.
    pub at: Timestamp,
    /// Who asked.
    pub device: Device,
    /// The QNAME.
    pub name: DomainName,
    /// The name that the answer led to (a CNAME or SVCB target) and because of which it was blocked: the tracker hid
    /// behind `name`.
    pub behind: Option<DomainName>,
    /// The QTYPE.
    pub qtype: u16,
    /// What the policy said, and because of which rule.
    pub verdict: Verdict,
    /// Where the answer came from.
    pub answered: Answered,
    /// The RCODE of the answer.
    pub rcode: u16,
    /// From the query's arrival to the answer, in microseconds.
    pub latency_us: u32,
}

/// What live views hear.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A query.
    Event(Arc<QueryEvent>),
    /// So many queries that are not told one by one.
    Unlisted(u64),
}

impl QueryEvent {
    /// Whether the query was blocked: a hit.
    pub const fn is_hit(&self) -> bool {
        matches!(self.verdict, Verdict::Block(_))
    }

    /// What the policy said, in a word.
    pub const fn verdict_kind(&self) -> VerdictKind {
        match self.verdict {
            Verdict::Pass => VerdictKind::Pass,
            Verdict::Allow(_) => VerdictKind::Allow,
            Verdict::Block(_) => VerdictKind::Block,
        }
    }

    /// As what it is counted.
    pub const fn count_kind(&self) -> CountKind {
        match self.verdict {
            Verdict::Pass => CountKind::Pass,
            Verdict::Allow(_) => CountKind::Allow,
            Verdict::Block(_) if self.behind.is_some() => CountKind::Cloaked,
            Verdict::Block(_) => CountKind::Block,
        }
    }
}

impl Batch {
    /// What there would be to take if just these events had happened.
    pub fn of(events: Vec<QueryEvent>) -> Self {
        let mut counts = Tally::default();
        for event in &events {
            let at_ms = event.at.as_millisecond().max(0);
            if let Some(slot) = counts.slot(at_ms / 3_600_000, &event.device, event.count_kind()) {
                let behind = event.behind.as_ref().map(|behind| behind.as_ref().as_wire());
                counts.add(slot, at_ms, event.name.as_ref().as_wire(), behind);
            }
        }
        Self { counts, events, lost: 0, hidden: 0 }
    }

    /// Whether nothing happened.
    pub const fn is_empty(&self) -> bool {
        self.counts.queries() == 0 && self.lost == 0
    }

    /// The queries that are counted and not told one by one because there are too many.
    pub const fn unlisted(&self) -> u64 {
        self.counts.queries().saturating_sub(self.events.len() as u64 + self.hidden)
    }
}

/// A source for tests in which nobody asks anything.
#[cfg(test)]
pub(crate) struct Silence;

#[cfg(test)]
impl EventSource for Silence {
    fn try_gather(&self) {}

    fn gather(&self) {}

    fn take(&self) -> Batch {
        Batch::default()
    }
}
