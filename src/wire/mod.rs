//! DNS messages as bytes: a question in, an answer out; EDNS (RFC 6891) and Extended DNS Errors (RFC 8914).
//!
//! It knows octets and names. It never knows policy, upstreams, sockets or the time: ages and limits are handed in.
//! Answers are composed from the octets of the question itself, so that its letter case comes back as it went out.

mod answer;
mod behalf;
mod inward;
mod query;
mod said;
mod stored;
mod types;

pub use answer::{
    AnswerRecord, Ede, Negative, compose_addresses, compose_error, compose_negative, compose_own,
    compose_records, compose_truncated,
};
pub use behalf::Behalf;
pub use inward::Inward;
pub use query::{Edns, Malformed, Query, is_query, parse};
pub use said::{EDE_OPTION, Said};
pub use stored::{OwnedRecord, Served, Stored, StoredError};
pub use types::{type_by_name, type_name};

use crate::name::{DomainName, NAME_LEN_MAX};

/// RCODE values (IANA "DNS RCODEs") that this program sends.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum Rcode {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
    BadVers = 16,
}

/// QTYPE values (IANA "Resource Record (RR) TYPEs") that mean something here.
#[expect(missing_docs, reason = "the names are the field's own")]
pub mod qtype {
    pub const A: u16 = 1;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const HINFO: u16 = 13;
    pub const AAAA: u16 = 28;
    pub const TXT: u16 = 16;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
    pub const ANY: u16 = 255;
}

/// The class of the Internet.
pub const CLASS_IN: u16 = 1;
/// The largest UDP answer that passes every network unfragmented (DNS Flag Day 2020), and what we tell others to send.
pub const UDP_PAYLOAD_MAX: u16 = 1232;
/// The largest UDP answer for a client that says nothing of EDNS (RFC 1035 section 2.3.4).
pub const UDP_PAYLOAD_PLAIN: usize = 512;
/// The largest message over TCP.
pub const TCP_PAYLOAD_MAX: usize = 65535;

/// The length of a message header, in octets.
pub const HEADER_LEN: usize = 12;

/// The answer was cut short (RFC 1035 section 4.1.1).
const TC: u16 = 0x0200;
/// The answer is by a server of the zone itself (RFC 1035 section 4.1.1).
const AA: u16 = 0x0400;

fn patch(message: &mut [u8], at: usize, octets: &[u8]) {
    if let Some(target) = message.get_mut(at..at + octets.len()) {
        target.copy_from_slice(octets);
    }
}

/// Reads a number of two octets in network order at `at`.
fn read_u16(octets: &[u8], at: usize) -> Option<u16> {
    let pair = octets.get(at..at.checked_add(2)?)?;
    pair.try_into().ok().map(u16::from_be_bytes)
}

/// Where the name that starts at `at` ends; a compression pointer ends it.
fn skip_name(octets: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = *octets.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(length),
            0xc0.. => return (at + 2 <= octets.len()).then_some(at + 2),
            _ => return None,
        }
    }
}

/// Reads the possibly compressed name at `at`; the case is folded.
fn read_name(octets: &[u8], mut at: usize) -> Option<DomainName> {
    let mut wire = Vec::new();
    loop {
        let length = *octets.get(at)?;
        match length {
            0 => break,
            1..=63 => {
                let end = at + 1 + usize::from(length);
                wire.extend_from_slice(octets.get(at..end)?);
                if NAME_LEN_MAX < wire.len() {
                    return None;
                }
                at = end;
            }
            // RFC 1035 section 4.1.4: to a prior occurrence; so that no chain of pointers goes round.
            0xc0.. => at = Some(usize::from(read_u16(octets, at)? & 0x3fff)).filter(|target| *target < at)?,
            _ => return None,
        }
    }
    wire.push(0);
    DomainName::from_wire(&wire).ok()
}

/// One resource record, as far as its frame goes.
struct RecordFrame {
    owner_is_root: bool,
    rtype: u16,
    class: u16,
    ttl_at: usize,
    rdata: std::ops::Range<usize>,
}

/// Reads the frame of the record at `at`; the next one starts where its RDATA ends.
fn read_record(octets: &[u8], at: usize) -> Option<RecordFrame> {
    let fixed = skip_name(octets, at)?;
    let rdata_start = fixed + 10;
    let rdata_len = usize::from(read_u16(octets, fixed + 8)?);
    let rdata = rdata_start..rdata_start + rdata_len;
    (rdata.end <= octets.len()).then_some(())?;
    Some(RecordFrame {
        owner_is_root: fixed == at + 1,
        rtype: read_u16(octets, fixed)?,
        class: read_u16(octets, fixed + 2)?,
        ttl_at: fixed + 4,
        rdata,
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use hickory_proto::op::{Edns as HickoryEdns, Message, Query as HickoryQuery};
    use hickory_proto::rr::rdata::{A, SOA};
    use hickory_proto::rr::{Name, RData, Record, RecordType};
    use proptest::prelude::*;

    use super::*;

    /// A question as another implementation writes it.
    fn question(name: &str, rtype: RecordType, edns: Option<u16>) -> Vec<u8> {
        let mut message = Message::query();
        message.metadata.id = 77;
        message.metadata.recursion_desired = true;
        message.add_query(HickoryQuery::query(Name::from_ascii(name).unwrap(), rtype));
        if let Some(payload) = edns {
            let mut edns = HickoryEdns::new();
            edns.set_max_payload(payload).set_dnssec_ok(true);
            message.set_edns(edns);
        }
        message.to_vec().unwrap()
    }

    fn answer(name: &str, count: u8, ttl: u32) -> Stored {
        let mut message = Message::response(1, hickory_proto::op::OpCode::Query);
        message.add_query(HickoryQuery::query(Name::from_ascii(name).unwrap(), RecordType::A));
        for last in 0..count {
            let data = RData::A(A::new(198, 51, 100, last));
            message.add_answer(Record::from_rdata(Name::from_ascii(name).unwrap(), ttl, data));
        }
        Stored::new(message.to_vec().unwrap(), 0).unwrap()
    }

    fn composed(compose: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        // What an earlier answer left behind must not show.
        let mut out = vec![0xaa; 40];
        compose(&mut out);
        out
    }

    fn read(message: &[u8]) -> Message {
        Message::from_vec(message).unwrap()
    }

    #[test]
    fn an_address_answer_keeps_id_case_and_edns() {
        let packet = question("Pixel.EXAMPLE.", RecordType::A, Some(4096));
        let query = parse(&packet).unwrap();
        assert_eq!(query.name().to_string(), "pixel.example");
        let ede = Ede::new(Ede::BLOCKED, &"easyprivacy");
        let message =
            composed(|out| compose_addresses(&query, &[IpAddr::from([0, 0, 0, 0])], 10, Some(ede), out));
        let answer = read(&message);
        assert_eq!(answer.metadata.id, 77);
        assert!(answer.metadata.recursion_available && answer.metadata.recursion_desired);
        assert_eq!(answer.queries[0].name().to_ascii(), "Pixel.EXAMPLE.");
        assert_eq!(answer.answers[0].to_string(), "Pixel.EXAMPLE. 10 IN A 0.0.0.0");
        let edns = answer.edns.unwrap();
        assert!(edns.flags().dnssec_ok && edns.max_payload() == 1232);
        assert!(message.ends_with(b"\x00\x0f\x00\x0d\x00\x0feasyprivacy"));
    }

    /// What follows the length of the OPT record of an error with this EDE.
    #[track_caller]
    fn check_options(ede: Ede<'_>, expected: &[u8]) {
        let packet = question("pixel.example.", RecordType::A, Some(1232));
        let query = parse(&packet).unwrap();
        let message = composed(|out| compose_error(&query, Rcode::ServFail, Some(ede), out));
        assert!(read(&message).edns.is_some());
        let length = u16::try_from(expected.len()).unwrap().to_be_bytes();
        assert!(message.ends_with(&[&length, expected].concat()), "{message:?}");
    }

    #[test]
    fn errors_stand_beside_each_other_and_a_hint_stands_whole_or_not_at_all() {
        let (long, longest) = ("x".repeat(Ede::TEXT_MAX - 4), "x".repeat(Ede::TEXT_MAX - 3));
        let written = |text: &str, hint: &str| {
            let length = u8::try_from(2 + text.len() + hint.len()).unwrap();
            [b"\x00\x0f\x00", &[length][..], b"\x00\x0f", text.as_bytes(), hint.as_bytes()].concat()
        };
        let ede = Ede::new(Ede::BLOCKED, &long);
        check_options(ede, &written(&long, ""));
        check_options(Ede { hint: "more", ..ede }, &written(&long, "more"));
        check_options(Ede { hint: "more", ..Ede::new(Ede::BLOCKED, &longest) }, &written(&longest, ""));
        let both = Ede { besides: Some(Ede::CACHED_ERROR), ..Ede::new(Ede::BLOCKED, &"x") };
        check_options(both, &[&written("x", "")[..], b"\x00\x0f\x00\x02\x00\x0d"].concat());
    }

    #[test]
    fn a_client_without_edns_hears_nothing_of_it() {
        let packet = question("pixel.example.", RecordType::AAAA, None);
        let query = parse(&packet).unwrap();
        let ede = Some(Ede::new(Ede::BLOCKED, &"x"));
        let answer = read(&composed(|out| compose_addresses(&query, &[IpAddr::from([0; 16])], 10, ede, out)));
        assert_eq!(answer.answers[0].to_string(), "pixel.example. 10 IN AAAA ::");
        assert!(answer.edns.is_none());
    }

    #[test]
    fn a_negative_answer_says_how_long_it_may_be_kept() {
        for (name, apex) in [("a.pixel.example.", "pixel.example."), ("example.", ".")] {
            let packet = question(name, RecordType::HTTPS, Some(1232));
            let query = parse(&packet).unwrap();
            for rcode in [Rcode::NoError, Rcode::NxDomain] {
                let answer = read(&composed(|out| compose_negative(&query, rcode, 300, None, out)));
                assert_eq!(u16::from(answer.metadata.response_code), rcode as u16);
                let soa = &answer.authorities[0];
                assert_eq!((soa.name.to_ascii().as_str(), soa.ttl), (apex, 300));
                assert!(matches!(&soa.data, RData::SOA(soa) if soa.minimum == 300));
            }
        }
    }

    #[test]
    fn a_stored_answer_is_patched_for_each_client() {
        let stored = answer("www.example.", 2, 300);
        assert_eq!(stored.ttl_secs(), 300);
        let packet = question("WWW.example.", RecordType::A, Some(1232));
        let query = parse(&packet).unwrap();
        let served = Served { age_secs: 100, size_max: 1232, ..Served::default() };
        let answer = read(&composed(|out| stored.serve(&query, served, out)));
        assert_eq!(answer.metadata.id, 77);
        assert_eq!(answer.queries[0].name().to_ascii(), "WWW.example.");
        assert_eq!(answer.answers.iter().map(|record| record.ttl).collect::<Vec<_>>(), [200, 200]);
        assert!(answer.edns.unwrap().flags().dnssec_ok);
    }

    #[test]
    fn what_does_not_fit_is_truncated_to_its_question() {
        let stored = answer("www.example.", 60, 300);
        let plain = question("www.example.", RecordType::A, None);
        let edns = question("www.example.", RecordType::A, Some(4096));
        for (packet, truncated) in [(&plain, true), (&edns, false)] {
            let query = parse(packet).unwrap();
            let served = Served { size_max: query.udp_payload_max(), ..Served::default() };
            let message = composed(|out| stored.serve(&query, served, out));
            let answer = read(&message);
            assert!(message.len() <= query.udp_payload_max());
            assert_eq!((answer.metadata.truncation, answer.answers.is_empty()), (truncated, truncated));
            assert_eq!(answer.edns.is_some(), query.edns.is_some());
        }
    }

    #[test]
    fn how_long_an_answer_may_be_kept() {
        let negative = |soa: Option<(u32, u32)>| {
            let mut message = Message::response(1, hickory_proto::op::OpCode::Query);
            message.add_query(HickoryQuery::query(Name::from_ascii("a.example.").unwrap(), RecordType::A));
            if let Some((ttl, minimum)) = soa {
                let root = Name::root();
                let data = SOA::new(root.clone(), root.clone(), 1, 1, 1, 1, minimum);
                message.add_authority(Record::from_rdata(root, ttl, RData::SOA(data)));
            }
            Stored::new(message.to_vec().unwrap(), 3).unwrap().ttl_secs()
        };
        assert_eq!(negative(Some((900, 60))), 60);
        assert_eq!(negative(Some((60, 900))), 60);
        assert_eq!(negative(Some((86_400, 86_400))), 3_600);
        assert_eq!(negative(None), 10);
        assert_eq!(answer("a.example.", 1, u32::MAX).ttl_secs(), 0);
        let served = answer("a.example.", 1, u32::MAX);
        let packet = question("a.example.", RecordType::A, None);
        let query = parse(&packet).unwrap();
        let message =
            composed(|out| served.serve(&query, Served { size_max: 512, ..Served::default() }, out));
        assert_eq!(read(&message).answers[0].ttl, 0, "what may not be kept is not told to be kept");
        assert_eq!(answer("a.example.", 1, 604_800).ttl_secs(), 86_400);
    }

    #[test]
    fn aliases_that_lead_to_nothing_are_kept_as_briefly_as_nothing() {
        let mut message = Message::response(1, hickory_proto::op::OpCode::Query);
        let name = |text| Name::from_ascii(text).unwrap();
        message.add_query(HickoryQuery::query(name("www.example."), RecordType::AAAA));
        let target = RData::CNAME(hickory_proto::rr::rdata::CNAME(name("cdn.example.")));
        message.add_answer(Record::from_rdata(name("www.example."), 86_400, target));
        let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, 60);
        message.add_authority(Record::from_rdata(name("example."), 900, RData::SOA(soa)));
        assert_eq!(Stored::new(message.to_vec().unwrap(), 0).unwrap().ttl_secs(), 60);
    }

    #[test]
    fn what_is_no_query_is_told_by_its_header() {
        let mut packet = [0; HEADER_LEN];
        assert!(is_query(&packet));
        assert!(!is_query(&packet[..HEADER_LEN - 1]) && !is_query(&[]));
        packet[2] = 0x80;
        assert!(!is_query(&packet));
    }

    #[test]
    fn packets_that_are_no_query_are_refused_or_passed_over() {
        let good = question("a.example.", RecordType::A, Some(1232));
        let with = |at: usize, octet: u8| {
            let mut packet = good.clone();
            packet[at] = octet;
            match parse(&packet) {
                Ok(_) => "query".to_owned(),
                Err(Malformed::Silent) => "silent".to_owned(),
                Err(Malformed::Answer(header)) => format!("rcode {}", header[3] & 0x0f),
            }
        };
        assert_eq!(with(2, 0x81), "silent", "a response");
        assert_eq!(with(2, 0x28), "rcode 4", "an update");
        assert_eq!(with(5, 0), "rcode 1", "no question");
        assert_eq!(with(5, 2), "rcode 1", "two questions");
        assert_eq!(with(11, 9), "rcode 1", "more records than there are");
        assert_eq!(with(12, 0xc0), "rcode 1", "a compressed question");
        assert_eq!(with(0, 9), "query");
        assert_eq!(parse(&good[..11]).unwrap_err(), Malformed::Silent);
    }

    proptest! {
        #[test]
        fn reading_never_panics(packet: Vec<u8>) {
            let _ = parse(&packet);
            let _ = Stored::new(packet, 0);
        }

        #[test]
        fn a_damaged_query_never_panics(at in 0_usize..60, octet: u8, cut in 0_usize..60) {
            let mut packet = question("www.pixel.example.", RecordType::A, Some(1232));
            let at = at % packet.len();
            packet[at] = octet;
            packet.truncate(packet.len().saturating_sub(cut));
            if let Ok(query) = parse(&packet) {
                let message = composed(|out| compose_negative(&query, Rcode::NoError, 1, None, out));
                prop_assert!(Message::from_vec(&message).is_ok());
            }
        }
    }
}
