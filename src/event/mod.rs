//! What happened to one query.
//!
//! The query path borrows everything and writes a small record ([`Told`], by an [`EventWriter`]); whatever else there is
//! to do is done later, elsewhere, in bulk. It never knows who listens.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use crate::device::Device;
use crate::name::DomainName;
use crate::name::NameRef;
use crate::policy::RuleRef;
use crate::policy::Verdict;

pub use crate::wire::type_name as qtype_name;

/// What happened to one query, as the query path tells it: nothing is owned.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// When the query came in.
    pub at: Timestamp,
    /// From which address.
    pub client: IpAddr,
    /// The QNAME.
    pub name: NameRef<'a>,
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
    /// Tells of one query. Never allocates and never drops; makes a system call only where a lock is contended, which is
    /// when a flood has filled the thread's ring and another thread is at its records.
    fn write(&mut self, told: &Told<'_>);
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

impl QueryEvent {
    /// Whether the query was blocked: a hit.
    pub const fn is_hit(&self) -> bool {
        matches!(self.verdict, Verdict::Block(_))
    }
}

impl<'a> From<&'a Answered> for AnsweredBy<'a> {
    fn from(answered: &'a Answered) -> Self {
        match answered {
            Answered::Sinkhole => Self::Sinkhole,
            Answered::Cache => Self::Cache,
            Answered::Stale => Self::Stale,
            Answered::Upstream(upstream) => Self::Upstream(upstream),
            Answered::Nobody => Self::Nobody,
        }
    }
}

impl<'a> From<&'a Verdict> for Decided<'a> {
    fn from(verdict: &'a Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Allow(rule) => Self::Allow(rule.into()),
            Verdict::Block(rule) => Self::Block(rule.into()),
        }
    }
}

impl<'a> From<&'a RuleRef> for RuleText<'a> {
    fn from(rule: &'a RuleRef) -> Self {
        Self { list: &rule.list, rule: &rule.rule }
    }
}
