//! The compiled table.

use std::fmt;

use hashbrown::HashMap;

use super::record::{LocalRecord, Origin};
use super::special::{Zone, ZoneKind};
use crate::name::{DomainName, NameRef};
use crate::wire::{Rcode, qtype};

/// So many aliases are followed here; more is a loop.
const CHAIN_LEN_MAX: usize = 8;

/// Everything that is answered without asking anyone; see [`Builder`](super::Builder).
#[derive(Debug, Default)]
pub struct Local {
    pub(super) nodes: HashMap<DomainName, Node>,
    pub(super) ends: Ends,
    /// Whether hosts of a single label are nobody's business outside.
    pub(super) keeps_bare_names: bool,
}

/// What is known of one name.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Its records, by TYPE; `None`: it has none, though there may be names below it.
    pub(super) own: Option<Box<[LocalRecord]>>,
    /// Those of a `*` below it.
    pub(super) below: Option<Box<[LocalRecord]>>,
    pub(super) zone: Option<Zone>,
    pub(super) is_forwarded: bool,
}

/// What decides about a name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    /// These records, of any type.
    Records(&'a [LocalRecord]),
    /// A zone in which it has none.
    Zone {
        /// The zone.
        zone: Zone,
        /// How many octets the apex has in wire form.
        apex_len: usize,
        /// Whether something is known of it all the same: of a name below it.
        exists: bool,
    },
}

/// What is said of a name.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// The aliases from the name on.
    aliases: [Option<&'a LocalRecord>; CHAIN_LEN_MAX],
    /// The records that the last of them has; of these, the ones of the type asked for count.
    records: &'a [LocalRecord],
    qtype: u16,
    /// NXDOMAIN where the last name is none.
    pub rcode: Rcode,
    /// How many octets of the end of the QNAME are the apex of the zone, in wire form.
    pub apex_len: usize,
    /// Where it comes from.
    pub source: Source<'a>,
    /// The name that an alias leads to and that others have to be asked for.
    pub outside: Option<&'a DomainName>,
}

/// A record and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The owner, or what stands behind the `*.` of it.
    pub name: &'a DomainName,
    /// Whether it is for all names below the owner.
    pub is_wildcard: bool,
    /// The record.
    pub record: &'a LocalRecord,
}

/// Why something is said of a name.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Somebody gave it this record, and perhaps others.
    Record(&'a LocalRecord),
    /// It is in this zone.
    Zone(Zone),
}

impl Local {
    /// What decides about a name; `None`: nothing here does. Allocates nothing, and costs three nanoseconds for a
    /// name that ends as none here does.
    pub(super) fn find(&self, name: NameRef<'_>) -> Option<Found<'_>> {
        if !self.ends.may_have(name) {
            return None;
        }
        for (depth, ancestor) in name.ancestors().enumerate() {
            let Some(node) = self.nodes.get(ancestor.as_wire()) else { continue };
            let records = if depth == 0 { &node.own } else { &node.below };
            if let Some(records) = records {
                return Some(Found::Records(records));
            }
            if node.is_forwarded {
                return None;
            }
            if let Some(zone) = node.zone {
                let exists = self.nodes.contains_key(name.as_wire());
                return Some(Found::Zone { zone, apex_len: ancestor.as_wire().len(), exists });
            }
        }
        None
    }

    /// Whether others are to be asked for a name though it seems private, because a person said so.
    pub fn is_forwarded(&self, name: NameRef<'_>) -> bool {
        let forwards =
            |name: NameRef<'_>| self.nodes.get(name.as_wire()).is_some_and(|node| node.is_forwarded);
        self.ends.may_have(name) && name.ancestors().any(forwards)
    }

    /// What is said of a question; `None`: nothing. QTYPE ANY counts as a type that nothing has.
    pub fn answer(&self, name: NameRef<'_>, qtype: u16) -> Option<Answer<'_>> {
        let found = self.find(name).or_else(|| self.bare(name, qtype))?;
        let mut answer = Answer {
            aliases: [None; CHAIN_LEN_MAX],
            records: &[],
            qtype,
            rcode: Rcode::NoError,
            apex_len: name.as_wire().len(),
            source: Source::Zone(Zone { kind: ZoneKind::Empty, why: "" }),
            outside: None,
        };
        match found {
            Found::Records(records) => {
                answer.source = Source::Record(records.first()?);
                self.follow(records, &mut answer);
            }
            Found::Zone { zone, apex_len, exists } => {
                let is_apex = apex_len == name.as_wire().len();
                if zone.kind == ZoneKind::EmptyDelegated && is_apex && qtype == qtype::DS {
                    return None;
                }
                answer.rcode = zone.rcode(is_apex, exists, name.labels().next().unwrap_or_default());
                // Where there is no such name, its zone begins above it.
                answer.apex_len = match name.parent() {
                    Some(parent) if is_apex && answer.rcode == Rcode::NxDomain => parent.as_wire().len(),
                    _ => apex_len,
                };
                answer.source = Source::Zone(zone);
            }
        }
        Some(answer)
    }

    /// A name of a single label that is asked for as a host: `nas`, `wpad`. Whether there is a top-level domain of that name is
    /// another question, so that nothing is said of other types, nor that it does not exist.
    fn bare(&self, name: NameRef<'_>, qtype: u16) -> Option<Found<'_>> {
        let is_bare = !name.is_root() && name.parent().is_some_and(NameRef::is_root);
        let is_for_a_host = matches!(qtype, qtype::A | qtype::AAAA | qtype::SVCB | qtype::HTTPS);
        let is_kept = self.keeps_bare_names && is_bare && is_for_a_host && !self.is_forwarded(name);
        let why = "a bare name is of the house, which has none such (local.bare_names)";
        is_kept.then_some(Found::Zone {
            zone: Zone { kind: ZoneKind::Empty, why },
            apex_len: name.as_wire().len(),
            exists: true,
        })
    }

    /// Follows aliases from these records on to the end.
    fn follow<'a>(&'a self, mut records: &'a [LocalRecord], answer: &mut Answer<'a>) {
        for place in 0..CHAIN_LEN_MAX {
            let alias = records.iter().find(|record| record.target.is_some());
            let Some((alias, target)) = alias.and_then(|alias| Some((alias, alias.target.as_ref()?))) else {
                answer.records = records;
                return;
            };
            if let Some(place) = answer.aliases.get_mut(place) {
                *place = Some(alias);
            }
            if answer.qtype == qtype::CNAME {
                return;
            }
            match self.find(target.as_ref()) {
                None => {
                    answer.outside = Some(target);
                    return;
                }
                Some(Found::Records(next)) => records = next,
                Some(Found::Zone { zone, apex_len, exists }) => {
                    let is_apex = apex_len == target.as_ref().as_wire().len();
                    let first = target.as_ref().labels().next().unwrap_or_default();
                    answer.rcode = zone.rcode(is_apex, exists, first);
                    return;
                }
            }
        }
    }

    /// What is said of a name here, for people, whatever rules say of it; `None`: nothing.
    pub fn describe(&self, name: NameRef<'_>) -> Option<String> {
        match self.find(name)? {
            Found::Records(records) => {
                let data: Vec<String> = records.iter().map(LocalRecord::describe).collect();
                Some(format!("{} ({})", data.join(", "), records.first()?.origin))
            }
            Found::Zone { zone, .. } => Some(format!("with nothing: {}", zone.why)),
        }
    }

    /// The records of the house, by name; those that the RFCs ask for are left out.
    pub fn listed(&self) -> Vec<Listed<'_>> {
        let mut listed = Vec::new();
        for (name, node) in &self.nodes {
            for (records, is_wildcard) in [(&node.own, false), (&node.below, true)] {
                let of_the_house =
                    records.iter().flatten().filter(|record| record.origin != Origin::Standard);
                listed.extend(of_the_house.map(|record| Listed { name, is_wildcard, record }));
            }
        }
        // By the name from its end on, so that what belongs together stands together.
        let key = |name: &DomainName| {
            name.as_ref()
                .labels()
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
        };
        listed.sort_by_cached_key(|listed| (key(listed.name), listed.is_wildcard, listed.record.rtype));
        listed
    }
}

/// Why it is said, for people: fits the EXTRA-TEXT of an extended error.
impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(record) => record.origin.fmt(f),
            Self::Zone(zone) => f.write_str(zone.why),
        }
    }
}

impl<'a> Answer<'a> {
    /// Whether it only says that nobody shall go around this resolver.
    pub fn is_canary(&self) -> bool {
        matches!(self.source, Source::Zone(zone) if zone.may_be_asked_for())
    }

    /// The records to answer with, each with its owner; `None`: the QNAME.
    pub fn records(&self) -> impl Iterator<Item = (Option<NameRef<'a>>, &'a LocalRecord)> {
        let aliases = self.aliases.iter().copied().flatten();
        let owners =
            std::iter::once(None).chain(aliases.clone().map(|alias| Some(alias.target.as_ref()?.as_ref())));
        let last = aliases.clone().last().and_then(|alias| Some(alias.target.as_ref()?.as_ref()));
        let qtype = self.qtype;
        let of_type = self.records.iter().filter(move |record| record.rtype == qtype);
        owners.zip(aliases).chain(of_type.map(move |record| (last, record)))
    }
}

/// The ends of all names in a table, so that most names can be told not to be in it by a look at their last octets.
#[derive(Debug)]
pub(super) struct Ends {
    bits: Box<[u64; END_WORDS]>,
    /// Whether a name is too short to have an end.
    always: bool,
}

/// 4,096 bits: with a hundred different ends, one name of twenty is looked up in vain.
const END_WORDS: usize = 64;

impl Default for Ends {
    fn default() -> Self {
        Self { bits: Box::new([0; END_WORDS]), always: false }
    }
}

impl Ends {
    pub(super) fn add(&mut self, name: NameRef<'_>) {
        let wire = name.as_wire();
        match end::<9>(wire).or_else(|| end::<5>(wire)).or_else(|| end::<4>(wire)) {
            None => self.always = true,
            Some(end) => {
                let (word, bit) = place(end);
                if let Some(word) = self.bits.get_mut(word) {
                    *word |= 1 << bit;
                }
            }
        }
    }

    /// Whether `name` may be a name of the table or below one: it ends as that one does, at any length.
    fn may_have(&self, name: NameRef<'_>) -> bool {
        let wire = name.as_wire();
        let has = |end: Option<u64>| {
            let (word, bit) = place(end.unwrap_or_default());
            end.is_some() && self.bits.get(word).is_some_and(|word| word >> bit & 1 != 0)
        };
        self.always || has(end::<9>(wire)) || has(end::<5>(wire)) || has(end::<4>(wire))
    }
}

fn place(end: u64) -> (usize, u32) {
    // The upper bits are the best mixed ones: six for the word, six for the bit.
    let upper = end >> 52;
    (usize::try_from(upper >> 6).unwrap_or_default(), u32::try_from(upper & 63).unwrap_or_default())
}

/// An odd number whose bits look like chance (Knuth: 2^64 divided by the golden ratio).
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// A fingerprint of the last `N` octets of a name in wire form, of which the root is one; `None`: it has fewer.
fn end<const N: usize>(wire: &[u8]) -> Option<u64> {
    let last = wire.last_chunk::<N>()?;
    let mut octets = [0; 8];
    for (place, octet) in octets.iter_mut().zip(last.iter().take(N - 1)) {
        *place = *octet;
    }
    Some(u64::from_le_bytes(octets).wrapping_mul(MIX))
}
