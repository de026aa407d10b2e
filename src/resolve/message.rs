//! Questions as they are sent over connections. Nothing of the client's own options goes along, above all no address of it
//! (RFC 7871 section 7.1.2).

use hickory_proto::op::{DnsRequest, DnsRequestOptions, Edns, Message, Query};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::Question;
use super::upstream::TryError;
use crate::wire::{EDE_OPTION, Said, UDP_PAYLOAD_MAX};

/// Encrypted questions are filled up to a multiple of this many octets, so that their length tells little (RFC 8467 section 4.1).
const BLOCK_LEN: usize = 128;
/// The code and the length of an option stand before its data (RFC 6891 section 6.1.2).
const OPTION_HEAD_LEN: usize = 4;
/// Padding (RFC 7830 section 3).
const PADDING: u16 = 12;

/// The question of a message.
pub(super) fn query_of(question: &Question) -> Result<Query, TryError> {
    let mut decoder = BinDecoder::new(question.name.as_ref().as_wire());
    let name = Name::read(&mut decoder).map_err(|_| TryError::Unsendable)?;
    let mut query = Query::query(name, RecordType::from(question.qtype));
    query.set_query_class(DNSClass::from(question.qclass));
    Ok(query)
}

/// The question as it is sent over a connection.
pub(super) fn request(question: &Question, edns: bool, padded: bool) -> Result<DnsRequest, TryError> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = question.checking_disabled;
    message.metadata.authentic_data = true;
    message.add_query(query_of(question)?);
    if edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_PAYLOAD_MAX).set_dnssec_ok(question.dnssec_ok);
        message.set_edns(edns.clone());
        if padded {
            let length = message.to_vec().map_err(|_| TryError::Unsendable)?.len() + OPTION_HEAD_LEN;
            let filling = vec![0; length.next_multiple_of(BLOCK_LEN) - length];
            edns.options_mut().insert(EdnsOption::Unknown(PADDING, filling));
            message.set_edns(edns);
        }
    }
    Ok(DnsRequest::new(message, DnsRequestOptions::default()))
}

/// What is said with an answer besides (RFC 8914); of several errors the first one.
pub(super) fn said(answer: &Message, upstream: &str) -> Option<Said> {
    let options = &answer.edns.as_ref()?.options().options;
    options.iter().find_map(|(code, option)| match option {
        EdnsOption::Unknown(_, data) if u16::from(*code) == EDE_OPTION => Said::read(data, upstream),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testkit::question;
    use super::*;

    #[test]
    fn encrypted_questions_are_whole_blocks_and_plain_ones_are_not_padded() {
        for label_len in 1..=63 {
            let question = question(&format!("{}.example", "a".repeat(label_len)));
            let padded = request(&question, true, true).unwrap().to_vec().unwrap();
            assert_eq!(padded.len(), 128);
            let plain = request(&question, true, false).unwrap();
            assert!(plain.edns.as_ref().unwrap().options().as_ref().is_empty());
            assert!(request(&question, false, true).unwrap().edns.is_none());
        }
        let longest = [&"a".repeat(63), &"b".repeat(63), &"c".repeat(50)].map(String::as_str).join(".");
        assert_eq!(request(&question(&longest), true, true).unwrap().to_vec().unwrap().len(), 256);
    }
}
