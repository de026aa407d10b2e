//! What happened to one query.

use std::sync::Arc;

use jiff::Timestamp;

use crate::device::Device;
use crate::name::DomainName;
use crate::policy::Verdict;

pub use crate::wire::type_name as qtype_name;

/// Where the answer came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answered {
    /// The sinkhole.
    Sinkhole,
    /// The cache.
    Cache,
    /// The upstream of this name.
    Upstream(Arc<str>),
    /// No upstream gave a usable answer; the client was told SERVFAIL.
    Nobody,
}

/// What happened to one query.
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

/// Takes events from the query path. Never blocks: a full sink drops and counts.
pub trait EventSink: Send + Sync {
    /// Hands over an event.
    fn emit(&self, event: QueryEvent);
}
