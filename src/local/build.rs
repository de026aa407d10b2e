//! A table, put together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::hosts::HostsFile;
use super::record::{LocalRecord, Origin, WrittenRecord, address_record, pointer_record, reverse_name};
use super::special::{self, Bypass, Zone, ZoneKind};
use super::table::{Local, Node};
use crate::name::{DomainName, NameRef};
use crate::wire::{Inward, qtype};

/// What every machine calls itself may be kept for long, in seconds.
const LOCALHOST_TTL_SECS: u32 = 86_400;
/// Who is given a name with his address may come back with another one, in seconds.
const LEASE_TTL_SECS: u32 = 60;
/// So many records of one name are answered with: more do not fit a message that a client takes.
const RECORDS_MAX: usize = 100;

/// Names that nobody is given by a lease: programs take whoever has them at his word (web proxy discovery, ISATAP; CERT/CC
/// VU#598349), or they mean something else already.
const NOT_FOR_LEASES: &[&str] = &["wpad", "isatap", "local", "localdomain", "localhost", "router", "gateway"];

/// Puts a table together. Of what is said of the same name and type, the word of the lesser [`Origin`] counts.
#[derive(Debug)]
pub struct Builder {
    domain: Option<DomainName>,
    ttl_secs: u32,
    keeps_bare_names: bool,
    nodes: BTreeMap<DomainName, Node>,
    /// By owner; `true`: of all names below it.
    records: BTreeMap<(DomainName, bool), Vec<LocalRecord>>,
    /// The name of each address that has one.
    pointers: BTreeMap<DomainName, LocalRecord>,
}

/// An alias that has other records beside it, or a second one (RFC 1034 section 3.6.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "the name is an alias (CNAME) and has another record too; an alias stands alone: take one of them out"
)]
pub struct Conflict;

impl Builder {
    /// One with the zones that never leave the house, those of `bypass`, and `domain` as the domain of the house. Records
    /// that say nothing of it may be kept for `ttl_secs`.
    pub fn new(domain: Option<DomainName>, ttl_secs: u32, bypass: Bypass) -> Self {
        let (nodes, records, pointers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut builder = Self { domain, ttl_secs, keeps_bare_names: true, nodes, records, pointers };
        for (apex, zone) in special::zones().chain(bypass.zones()) {
            // They are written in the code; one that is no name would be missed by the tests.
            if let Ok(apex) = DomainName::parse(&apex) {
                builder.node(&apex).zone = Some(zone);
            }
        }
        if let Some(domain) = builder.domain.clone() {
            let why = "the domain of the house has no such name (local.domain)";
            builder.node(&domain).zone.get_or_insert(Zone { kind: ZoneKind::Empty, why });
        }
        for loopback in [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])] {
            if let Ok(localhost) = DomainName::parse("localhost") {
                let record = || address_record(loopback, LOCALHOST_TTL_SECS, Origin::Standard);
                builder.add(&localhost, true, record());
                builder.add(&localhost, false, record());
                builder.point(loopback, &localhost, LOCALHOST_TTL_SECS, Origin::Standard);
            }
        }
        builder
    }

    /// Has others asked for a name and what is below it, though it seems private.
    pub fn forward(&mut self, name: &DomainName) {
        self.node(name).is_forwarded = true;
    }

    /// Has hosts of a single label asked of others too.
    pub const fn forward_bare_names(&mut self) {
        self.keeps_bare_names = false;
    }

    /// Adds a record of the configuration, which stands in this line of it.
    ///
    /// # Errors
    /// When an alias does not stand alone.
    pub fn written(&mut self, record: &WrittenRecord, line: u32) -> Result<(), Conflict> {
        let key = (record.owner.clone(), record.wildcard);
        let known = self.records.get(&key).into_iter().flatten();
        let mut known = known.filter(|known| matches!(known.origin, Origin::Config(_)));
        let is_alias = |rtype| rtype == qtype::CNAME;
        if known.any(|known| is_alias(known.rtype) || is_alias(record.rtype)) {
            return Err(Conflict);
        }
        let local = record.to_local(self.ttl_secs, Origin::Config(line));
        if let (Some(address), false) = (local.address(), record.wildcard) {
            self.point(address, &record.owner, local.ttl_secs, local.origin.clone());
        }
        self.add(&record.owner, record.wildcard, local);
        Ok(())
    }

    /// Adds what a hosts file says. A bare name counts in the domain of the house too.
    pub fn hosts(&mut self, path: &Arc<str>, file: &HostsFile) {
        for line in &file.lines {
            let origin = Origin::Hosts(Arc::clone(path), line.line);
            for (index, name) in line.names.iter().enumerate() {
                let full = self.in_domain(name);
                if index == 0 {
                    self.point(line.address, full.as_ref().unwrap_or(name), self.ttl_secs, origin.clone());
                }
                for name in std::iter::once(name).chain(&full) {
                    self.add(name, false, address_record(line.address, self.ttl_secs, origin.clone()));
                }
            }
        }
    }

    /// Adds the name that a device told when it was given an address: bare, and in the domain of the house. A name that means
    /// something else is not for the taking.
    pub fn lease(&mut self, name: &str, address: IpAddr) {
        let Some(name) = lease_name(name) else { return };
        let full = self.in_domain(&name);
        self.point(address, full.as_ref().unwrap_or(&name), LEASE_TTL_SECS, Origin::Lease);
        for name in std::iter::once(&name).chain(&full) {
            self.add(name, false, address_record(address, LEASE_TTL_SECS, Origin::Lease));
        }
    }

    /// The table.
    pub fn build(mut self) -> Local {
        for (reverse, pointer) in std::mem::take(&mut self.pointers) {
            // What a person says of an address takes the place of what follows from its name.
            self.records.entry((reverse, false)).or_insert_with(|| vec![pointer]);
        }
        for ((owner, wildcard), records) in std::mem::take(&mut self.records) {
            let records = strongest(records);
            // What is between the name and its zone exists too (RFC 4592 section 2.2.2).
            let above: Vec<DomainName> = owner.as_ref().ancestors().skip(1).map(NameRef::to_owned).collect();
            let is_in_zone = |name: &DomainName| self.nodes.get(name).is_some_and(|node| node.zone.is_some());
            if let Some(depth) = above.iter().position(is_in_zone) {
                for name in above.into_iter().take(depth) {
                    self.node(&name);
                }
            }
            let node = self.node(&owner);
            let place = if wildcard { &mut node.below } else { &mut node.own };
            *place = Some(records.into());
        }
        let mut local = Local { keeps_bare_names: self.keeps_bare_names, ..Local::default() };
        for name in self.nodes.keys() {
            local.ends.add(name.as_ref());
        }
        local.nodes = self.nodes.into_iter().collect();
        local
    }

    fn node(&mut self, name: &DomainName) -> &mut Node {
        self.nodes.entry(name.clone()).or_default()
    }

    fn add(&mut self, owner: &DomainName, wildcard: bool, record: LocalRecord) {
        self.records.entry((owner.clone(), wildcard)).or_default().push(record);
    }

    /// Names an address of the house, unless somebody who has more to say did so, or did so first. Whose a public address is
    /// is not for us to say.
    fn point(&mut self, address: IpAddr, name: &DomainName, ttl_secs: u32, origin: Origin) {
        if Inward::of(address) != Some(Inward::House) {
            return;
        }
        let Some(reverse) = reverse_name(address) else { return };
        let has_more_to_say = |known: &LocalRecord| known.origin.rank() <= origin.rank();
        if !self.pointers.get(&reverse).is_some_and(has_more_to_say) {
            self.pointers.insert(reverse, pointer_record(name, ttl_secs, origin));
        }
    }

    /// A bare name within the domain of the house.
    fn in_domain(&self, name: &DomainName) -> Option<DomainName> {
        let domain = self.domain.as_ref().filter(|_| name.as_ref().label_count() == 1)?;
        let (_, label) = name.as_ref().as_wire().split_last()?;
        DomainName::from_wire(&[label, domain.as_ref().as_wire()].concat()).ok()
    }
}

/// The name of a lease as a label; `None` when it can't be one, or is not for the taking.
fn lease_name(name: &str) -> Option<DomainName> {
    // What a device is called may be its full name.
    let bare = name.split('.').next().unwrap_or(name).trim().replace([' ', '_'], "-");
    let name = DomainName::parse(&bare).ok()?;
    let text = name.to_string();
    let is_address = text.parse::<u32>().is_ok();
    let is_special = || special::zones().any(|(apex, _)| apex == text);
    (!is_address && !NOT_FOR_LEASES.contains(&text.as_str()) && !is_special()).then_some(name)
}

/// Of records of one owner, those that count: for each type the ones of the least origin. An alias stands alone, and so does
/// what is stronger than an alias.
fn strongest(mut records: Vec<LocalRecord>) -> Vec<LocalRecord> {
    records.sort_by(|one, other| {
        (one.origin.rank(), one.rtype, &one.rdata).cmp(&(other.origin.rank(), other.rtype, &other.rdata))
    });
    let mut kept: Vec<LocalRecord> = Vec::new();
    let mut ranks: BTreeMap<u16, u8> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for record in records {
        let has_alias = kept.iter().any(|kept| kept.rtype == qtype::CNAME);
        let comes_too_late = has_alias || record.rtype == qtype::CNAME && !kept.is_empty();
        let rank = *ranks.entry(record.rtype).or_insert_with(|| record.origin.rank());
        if !comes_too_late
            && rank == record.origin.rank()
            && seen.insert((record.rtype, record.rdata.clone()))
        {
            kept.push(record);
        }
    }
    kept.truncate(RECORDS_MAX);
    kept
}
