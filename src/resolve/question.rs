//! What is asked: owned, as a key of the cache, and borrowed, to look one up without allocation.

use std::hash::{Hash, Hasher};

use quick_cache::Equivalent;
use xxhash_rust::xxh3::xxh3_64;

use crate::name::{DomainName, NameRef};

/// Which upstreams are asked: those of everybody, or those of a group of devices. What one set answered is never told to who asks
/// another.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UpstreamSet(pub u16);

impl UpstreamSet {
    /// The upstreams of whoever is in no group.
    pub const EVERYBODY: Self = Self(0);

    /// The set of a group of this name: the same after a restart, and whatever other groups come and go, so that neither kept answers
    /// nor a reload take one set for another. Never that of everybody. Two names may have the same set, once in 65,535 times.
    pub fn named(name: &str) -> Self {
        let [.., high, low] = xxh3_64(name.as_bytes()).to_be_bytes();
        Self(u16::from_be_bytes([high, low]).max(1))
    }
}

/// What is asked of an upstream. Two clients with the same question share one answer.
#[derive(Clone, Debug, Eq, PartialEq)]
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
    /// Whose upstreams are asked.
    pub set: UpstreamSet,
}

/// A borrowed [`Question`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Asked<'a> {
    /// The QNAME.
    pub name: NameRef<'a>,
    /// The QTYPE.
    pub qtype: u16,
    /// The QCLASS.
    pub qclass: u16,
    /// Whether DNSSEC records are wanted.
    pub dnssec_ok: bool,
    /// Whether the client checks DNSSEC itself.
    pub checking_disabled: bool,
    /// Whose upstreams are asked.
    pub set: UpstreamSet,
}

impl Question {
    /// Borrows it.
    pub fn as_asked(&self) -> Asked<'_> {
        let Self { ref name, qtype, qclass, dnssec_ok, checking_disabled, set } = *self;
        Asked { name: name.as_ref(), qtype, qclass, dnssec_ok, checking_disabled, set }
    }
}

/// Through the borrowed one, so that both have the same hash whatever fields come.
impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_asked().hash(state);
    }
}

impl Asked<'_> {
    /// A copy that owns its name.
    pub fn to_question(self) -> Question {
        let Self { name, qtype, qclass, dnssec_ok, checking_disabled, set } = self;
        Question { name: name.to_owned(), qtype, qclass, dnssec_ok, checking_disabled, set }
    }
}

impl Equivalent<Question> for Asked<'_> {
    fn equivalent(&self, question: &Question) -> bool {
        *self == question.as_asked()
    }
}
