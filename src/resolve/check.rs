//! What of an upstream's answer may be believed and is passed on.
//!
//! An answer speaks of the question only: the chain of CNAME records (RFC 1034 section 3.6.2) from the QNAME on, the DNAME
//! records that explain them (RFC 6672 section 3.1: a server gives the CNAME too), and what says that nothing is there.
//! Everything else is left out, so that no record rides along.

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// A chain of more aliases than this is a loop or an attack (resolvers follow 8 to 16).
const CHAIN_LEN_MAX: usize = 16;

/// Whether the RCODE says something about the name; any other is a failure of the upstream.
pub(super) fn is_about_the_name(rcode: ResponseCode) -> bool {
    matches!(rcode, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// Keeps what answers the question that was asked. `None`: the answer is about another one, or has records but none of
/// this one's. Over TCP nobody else compares the question.
pub(super) fn keep_what_answers(mut message: Message, question: &Query, dnssec_ok: bool) -> Option<Message> {
    if message.queries.len() != 1 || message.queries.first() != Some(question) {
        return None;
    }
    let answers = std::mem::take(&mut message.answers);
    let any = !answers.is_empty();
    let mut owners = vec![question.name.clone()];
    let wants_alias = matches!(question.query_type, RecordType::CNAME | RecordType::ANY);
    while owners.len() <= CHAIN_LEN_MAX && !wants_alias {
        let Some(target) = owners.last().and_then(|owner| alias(&answers, owner)) else { break };
        if owners.contains(&target) {
            break;
        }
        owners.push(target);
    }
    let is_alias_above = |record: &Record, owner: &Name| {
        matches!(record.record_type(), RecordType::DNAME | RecordType::RRSIG) && record.name.zone_of(owner)
    };
    let belongs = |record: &Record| {
        let in_chain = owners.iter().any(|owner| record.name == *owner || is_alias_above(record, owner));
        in_chain && (dnssec_ok || is_asked_for(record, question.query_type))
    };
    message.answers = answers.into_iter().filter(belongs).collect();
    if any && message.answers.is_empty() {
        return None;
    }
    message.authorities.retain(|record| match record.record_type() {
        RecordType::SOA => owners.iter().any(|owner| record.name.zone_of(owner)),
        RecordType::NSEC | RecordType::NSEC3 | RecordType::RRSIG | RecordType::DS => dnssec_ok,
        _ => false,
    });
    message.additionals.clear();
    message.signature = None;
    message.edns = None;
    Some(message)
}

/// Where `owner` is an alias to.
fn alias(answers: &[Record], owner: &Name) -> Option<Name> {
    answers.iter().find_map(|record| match &record.data {
        RData::CNAME(target) if record.name == *owner => Some(target.0.clone()),
        _ => None,
    })
}

/// DNSSEC records are for those who ask for them (RFC 4035 section 3.2.1).
fn is_asked_for(record: &Record, qtype: RecordType) -> bool {
    !record.record_type().is_dnssec() || record.record_type() == qtype || qtype == RecordType::ANY
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::rdata;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    /// An answer to `a.example. A` from records written `owner target` (an alias) or `owner` (an address).
    #[track_caller]
    fn check(records: &[&str], expected: Option<&[&str]>) {
        let mut message = Message::response(1, OpCode::Query);
        let question = Query::query(name("a.example."), RecordType::A);
        message.add_query(question.clone());
        for record in records {
            let (owner, data) = match record.split_once(' ') {
                Some((owner, target)) => (owner, RData::CNAME(rdata::CNAME(name(target)))),
                None => (*record, RData::A(rdata::A::new(198, 51, 100, 1))),
            };
            message.add_answer(Record::from_rdata(name(owner), 60, data));
        }
        message.add_authority(Record::from_rdata(name("example."), 60, RData::NS(rdata::NS(name("ns.")))));
        message.add_additional(Record::from_rdata(name("ns."), 60, RData::A(rdata::A::new(192, 0, 2, 1))));
        let another = Query::query(name("a.example."), RecordType::AAAA);
        assert!(keep_what_answers(message.clone(), &another, false).is_none());
        let kept = keep_what_answers(message, &question, false);
        let owners = kept.as_ref().map(|message| {
            assert!(message.authorities.is_empty() && message.additionals.is_empty());
            message.answers.iter().map(|record| record.name.to_ascii()).collect::<Vec<_>>()
        });
        let expected = expected.map(|owners| owners.iter().map(|&owner| owner.to_owned()).collect());
        assert_eq!(owners, expected);
    }

    #[test]
    fn only_the_chain_from_the_question_is_kept() {
        check(&["a.example."], Some(&["a.example."]));
        check(&["A.Example."], Some(&["A.Example."]));
        check(&["a.example. b.other.", "b.other."], Some(&["a.example.", "b.other."]));
        check(&["b.other.", "a.example. b.other."], Some(&["b.other.", "a.example."]));
        check(&["a.example.", "bank.example."], Some(&["a.example."]));
        check(&["bank.example."], None);
        check(&["a.example. a.example."], Some(&["a.example."]));
        check(&[], Some(&[]));
    }
}
