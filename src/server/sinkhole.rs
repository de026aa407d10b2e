//! The answer to a blocked question.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::responder::Outcome;
use crate::event::Answered;
use crate::list::{Answer, Record};
use crate::name::DomainName;
use crate::policy::{Blocking, RuleRef, SinkholeMode};
use crate::wire::{self, AnswerRecord, Ede, Query, Rcode, qtype};

/// A blocked question, and why.
pub(super) struct Sinkhole<'a> {
    pub(super) query: &'a Query<'a>,
    pub(super) blocking: Blocking,
    pub(super) rule: &'a RuleRef,
}

impl Sinkhole<'_> {
    /// The answer that the rule asks for, or else the household's. Only `A` and `AAAA` have addresses; any other type has
    /// no data, so that a client does not find by `HTTPS` what it may not find by `A`.
    pub(super) fn answer(&self, answer: Option<&Answer>) -> Outcome {
        match answer {
            None => self.household(),
            Some(Answer::Null) => self.addresses(&NULL),
            Some(Answer::NxDomain) => self.negative(Rcode::NxDomain),
            Some(Answer::NoData) => self.negative(Rcode::NoError),
            Some(Answer::Refused) => self.refused(),
            // Nobody sees the RCODE of what is not sent; in the history it stands with what was turned away.
            Some(Answer::Drop) => Outcome { message: None, ..self.refused() },
            Some(Answer::Records(records)) => self.records(records),
            // Without what the target leads to, the alias alone.
            Some(Answer::Cname { target, .. }) => self.alias(target, &[]),
        }
    }

    /// The name as an alias of `target`, with what that one leads to.
    pub(super) fn alias(&self, target: &DomainName, leads_to: &[AnswerRecord]) -> Outcome {
        let alias = AnswerRecord {
            owner: None,
            rtype: qtype::CNAME,
            ttl_secs: self.blocking.ttl_secs,
            rdata: target.as_ref().as_wire().to_vec(),
        };
        self.forged(&[&[alias], leads_to].concat())
    }

    fn household(&self) -> Outcome {
        match self.blocking.mode {
            SinkholeMode::Null => self.addresses(&NULL),
            SinkholeMode::Custom { ipv4, ipv6 } => {
                let addresses = ipv4.map(IpAddr::from).into_iter().chain(ipv6.map(IpAddr::from));
                self.addresses(&addresses.collect::<Vec<_>>())
            }
            SinkholeMode::NxDomain => self.negative(Rcode::NxDomain),
            SinkholeMode::NoData => self.negative(Rcode::NoError),
            SinkholeMode::Refused => self.refused(),
        }
    }

    fn addresses(&self, addresses: &[IpAddr]) -> Outcome {
        let ttl = self.blocking.ttl_secs;
        self.outcome(Ede::BLOCKED, Rcode::NoError, |ede| {
            wire::compose_addresses(self.query, addresses, ttl, Some(ede))
        })
    }

    fn negative(&self, rcode: Rcode) -> Outcome {
        let ttl = self.blocking.ttl_secs;
        self.outcome(Ede::BLOCKED, rcode, |ede| wire::compose_negative(self.query, rcode, ttl, Some(ede)))
    }

    fn refused(&self) -> Outcome {
        self.outcome(Ede::BLOCKED, Rcode::Refused, |ede| {
            wire::compose_error(self.query, Rcode::Refused, Some(ede))
        })
    }

    fn records(&self, records: &[Record]) -> Outcome {
        let asked = self.query.qtype();
        let of_type = records.iter().filter(|record| record.rtype == asked || asked == qtype::ANY);
        let records: Vec<_> = of_type
            .map(|record| AnswerRecord {
                owner: None,
                rtype: record.rtype,
                ttl_secs: self.blocking.ttl_secs,
                rdata: record.rdata.to_vec(),
            })
            .collect();
        self.forged(&records)
    }

    fn forged(&self, records: &[AnswerRecord]) -> Outcome {
        let ttl = self.blocking.ttl_secs;
        self.outcome(Ede::FORGED_ANSWER, Rcode::NoError, |ede| {
            wire::compose_records(self.query, records, ttl, Some(ede))
        })
    }

    /// Says with the answer which rule of which list it is made for.
    fn outcome(&self, code: u16, rcode: Rcode, compose: impl FnOnce(Ede<'_>) -> Vec<u8>) -> Outcome {
        let text = format!("{}: {}", self.rule.list, self.rule.rule);
        let message = Some(compose(Ede { code, text: &text }));
        Outcome { message, answered: Answered::Sinkhole, rcode: rcode as u16 }
    }
}

/// 0.0.0.0 and ::, with which a client gives up at once.
const NULL: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
