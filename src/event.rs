//! What happened to one query.

use std::sync::Arc;

use jiff::Timestamp;

use crate::device::Device;
use crate::name::DomainName;
use crate::policy::Verdict;

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

/// The mnemonic of a QTYPE for those that homes see (IANA "DNS Parameters"); others read `TYPE65280` (RFC 3597).
pub fn qtype_name(qtype: u16) -> std::borrow::Cow<'static, str> {
    let name = match qtype {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        43 => "DS",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        52 => "TLSA",
        64 => "SVCB",
        65 => "HTTPS",
        255 => "ANY",
        257 => "CAA",
        _ => return format!("TYPE{qtype}").into(),
    };
    name.into()
}
