//! What this machine itself says of a name, and what it does not pass on of what others say.

use super::responder::{Outcome, Turn};
use crate::event::AnsweredBy;
use crate::list::Action;
use crate::local::{self, Local};
use crate::policy::{Decisive, Objection};
use crate::resolve::Cached;
use crate::wire::{self, Ede, Rcode};

/// How long clients may keep that the house has no such name, in seconds: one may come at any time.
const LOCAL_NEGATIVE_TTL_SECS: u32 = 60;

impl<'a> Turn<'a> {
    /// What this machine itself has to say of the name; `None`: nothing. A rule of the person's own wins over it, but none
    /// makes a name leave the house that must not.
    pub(super) fn local(&self, table: &'a Local) -> Option<local::Answer<'a>> {
        let answer = table.answer(self.query.name(), self.query.qtype())?;
        let own = self.policy.own_rule(&self.question).map(|rule| rule.action());
        match (own, answer.source) {
            (Some(Action::Block), _) => None,
            (Some(Action::Allow), local::Source::Zone(zone)) if zone.may_be_asked_for() => None,
            _ => Some(answer),
        }
    }

    /// Writes what this machine itself says. `None`: what another name leads to has to be looked up first.
    pub(super) fn answer_local(&self, local: &local::Answer<'a>, out: &mut Vec<u8>) -> Option<Outcome<'a>> {
        let is_whole = local.outside.is_none() || self.query.qtype() == wire::qtype::ANY;
        is_whole.then(|| self.write_local(local, &[], out))
    }

    pub(super) fn write_local(
        &self,
        local: &local::Answer<'a>,
        outside: &[wire::OwnedRecord],
        out: &mut Vec<u8>,
    ) -> Outcome<'a> {
        if self.query.qtype() == wire::qtype::ANY {
            return Outcome { answered: AnsweredBy::Local, ..self.minimal(None, out) };
        }
        let own = local.records().map(|(owner, record)| wire::AnswerRecord {
            owner,
            rtype: record.rtype,
            ttl_secs: record.ttl_secs,
            rdata: &record.rdata,
        });
        let records = own.chain(outside.iter().map(wire::OwnedRecord::as_record));
        let apex = self.query.name().end(local.apex_len);
        let negative = wire::Negative { rcode: local.rcode, apex, ttl_secs: LOCAL_NEGATIVE_TTL_SECS };
        let code = if local.is_canary() { Ede::BLOCKED } else { Ede::SYNTHESIZED };
        wire::compose_own(self.query, records, negative, Some(Ede::new(code, &local.source)), out);
        Outcome::by(None, AnsweredBy::Local, local.rcode as u16)
    }

    /// What is wrong with an answer. A person who lets a name through takes it as it is, and so do those who have a name
    /// asked of others for the house.
    pub(super) fn object(
        &self,
        decisive: Option<Decisive<'_>>,
        cached: &Cached,
        table: &Local,
    ) -> Option<Objection> {
        let objection = self.policy.answers.check(self.query.name(), cached.answer())?;
        let is_let_through = decisive.is_some_and(|decisive| self.policy.is_own(&decisive));
        (!is_let_through && !table.is_forwarded(self.query.name())).then_some(objection)
    }

    /// Writes that there is nothing, instead of an answer with which something is wrong.
    pub(super) fn withhold(&self, objection: Objection, out: &mut Vec<u8>) -> Outcome<'a> {
        let (rcode, code) = match objection {
            Objection::Rebinding(_) => (Rcode::NoError, Ede::BLOCKED),
            Objection::Nowhere => (Rcode::NoError, Ede::FILTERED),
            Objection::Bogus(_) => (Rcode::NxDomain, Ede::FORGED_ANSWER),
        };
        let ede = Ede::new(code, &objection);
        wire::compose_negative(self.query, rcode, self.policy.blocking.ttl_secs, Some(ede), out);
        let outcome = Outcome::by(None, AnsweredBy::Sinkhole, rcode as u16);
        Outcome { objection: Some(objection), ..outcome }
    }
}
