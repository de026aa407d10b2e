//! What is asked: owned, as a key of the cache, and borrowed, to look one up without allocation.

use std::hash::{Hash, Hasher};

use quick_cache::Equivalent;

use crate::name::{DomainName, NameRef};

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
}

impl Question {
    /// Borrows it.
    pub fn as_asked(&self) -> Asked<'_> {
        let Self { ref name, qtype, qclass, dnssec_ok, checking_disabled } = *self;
        Asked { name: name.as_ref(), qtype, qclass, dnssec_ok, checking_disabled }
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
        let Self { name, qtype, qclass, dnssec_ok, checking_disabled } = self;
        Question { name: name.to_owned(), qtype, qclass, dnssec_ok, checking_disabled }
    }
}

impl Equivalent<Question> for Asked<'_> {
    fn equivalent(&self, question: &Question) -> bool {
        *self == question.as_asked()
    }
}
