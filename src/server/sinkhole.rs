//! The answer to a blocked question.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::list::{Answer, Record};
use crate::name::{DomainName, NameRef};
use crate::policy::{Blocking, Decisive, SinkholeMode};
use crate::wire::{self, AnswerRecord, Ede, OwnedRecord, Query, Rcode, qtype};

/// A blocked question, and why.
pub(super) struct Sinkhole<'a> {
    pub(super) query: &'a Query<'a>,
    pub(super) blocking: Blocking,
    pub(super) rule: Decisive<'a>,
}

impl Sinkhole<'_> {
    /// Writes the answer that the rule asks for, or else the household's, and tells its RCODE. `None`: it is what another
    /// name leads to, which has to be looked up.
    ///
    /// Only `A` and `AAAA` have addresses; any other type has no data, so that a client does not find by `HTTPS` what it may
    /// not find by `A`.
    pub(super) fn answer(&self, answer: Option<&Answer>, out: &mut Vec<u8>) -> Option<u16> {
        Some(match answer {
            None => self.household(out),
            Some(Answer::Null) => self.addresses(&NULL, out),
            Some(Answer::NxDomain) => self.negative(Rcode::NxDomain, out),
            Some(Answer::NoData) => self.negative(Rcode::NoError, out),
            Some(Answer::Refused) => self.refused(out),
            Some(Answer::Drop) => {
                // Nobody sees the RCODE of what is not sent; in the history it stands with what was turned away.
                out.clear();
                Rcode::Refused as u16
            }
            Some(Answer::Records(records)) => self.records(records, out),
            Some(Answer::Cname { .. }) => return None,
        })
    }

    /// The name as an alias of `target`, with what that one leads to.
    pub(super) fn alias(&self, target: &DomainName, leads_to: &[OwnedRecord], out: &mut Vec<u8>) -> u16 {
        let alias = self.record(qtype::CNAME, target.as_ref().as_wire());
        self.forged(std::iter::once(alias).chain(leads_to.iter().map(OwnedRecord::as_record)), out)
    }

    fn household(&self, out: &mut Vec<u8>) -> u16 {
        match self.blocking.mode {
            SinkholeMode::Null => self.addresses(&NULL, out),
            SinkholeMode::Custom { ipv4, ipv6 } => match (ipv4, ipv6) {
                (Some(ipv4), Some(ipv6)) => self.addresses(&[ipv4.into(), ipv6.into()], out),
                (Some(ipv4), None) => self.addresses(&[ipv4.into()], out),
                (None, Some(ipv6)) => self.addresses(&[ipv6.into()], out),
                (None, None) => self.negative(Rcode::NoError, out),
            },
            SinkholeMode::NxDomain => self.negative(Rcode::NxDomain, out),
            SinkholeMode::NoData => self.negative(Rcode::NoError, out),
            SinkholeMode::Refused => self.refused(out),
        }
    }

    fn addresses(&self, addresses: &[IpAddr], out: &mut Vec<u8>) -> u16 {
        let (ttl, ede) = (self.blocking.ttl_secs, self.ede(Ede::BLOCKED));
        wire::compose_addresses(self.query, addresses, ttl, Some(ede), out);
        Rcode::NoError as u16
    }

    pub(super) fn negative(&self, rcode: Rcode, out: &mut Vec<u8>) -> u16 {
        wire::compose_negative(self.query, rcode, self.blocking.ttl_secs, Some(self.ede(Ede::BLOCKED)), out);
        rcode as u16
    }

    fn refused(&self, out: &mut Vec<u8>) -> u16 {
        wire::compose_error(self.query, Rcode::Refused, Some(self.ede(Ede::BLOCKED)), out);
        Rcode::Refused as u16
    }

    fn records(&self, records: &[Record], out: &mut Vec<u8>) -> u16 {
        let asked = self.query.qtype();
        let of_type = records.iter().filter(|record| record.rtype == asked || asked == qtype::ANY);
        self.forged(of_type.map(|record| self.record(record.rtype, &record.rdata)), out)
    }

    fn record<'r>(&self, rtype: u16, rdata: &'r [u8]) -> AnswerRecord<'r> {
        AnswerRecord { owner: None::<NameRef<'r>>, rtype, ttl_secs: self.blocking.ttl_secs, rdata }
    }

    fn forged<'r>(&self, records: impl Iterator<Item = AnswerRecord<'r>>, out: &mut Vec<u8>) -> u16 {
        let (ttl, ede) = (self.blocking.ttl_secs, self.ede(Ede::FORGED_ANSWER));
        wire::compose_records(self.query, records, ttl, Some(ede), out);
        Rcode::NoError as u16
    }

    /// Says with the answer which rule of which list it is made for.
    fn ede(&self, code: u16) -> Ede<'_> {
        Ede { hint: HINT, ..Ede::new(code, self) }
    }
}

impl fmt::Display for Sinkhole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.list(), self.rule)
    }
}

/// Where the rest is told to whoever reads the reason.
const HINT: &str = " (more: pixelsink explain NAME)";

/// 0.0.0.0 and ::, with which a client gives up at once.
const NULL: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
