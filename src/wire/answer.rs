//! Answers that are made here, without an upstream.

use std::net::IpAddr;

use crate::name::DomainName;

use super::{CLASS_IN, Query, Rcode, UDP_PAYLOAD_MAX, qtype};

/// An Extended DNS Error (RFC 8914): why the answer is what it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ede<'a> {
    /// The INFO-CODE, for instance 15 (Blocked).
    pub code: u16,
    /// The EXTRA-TEXT, for people; shortened to [`Ede::TEXT_MAX`] octets.
    pub text: &'a str,
}

impl Ede<'_> {
    /// Other: the text says what.
    pub const OTHER: u16 = 0;
    /// Forged Answer: what stands here is not what the owner of the name says, on purpose.
    pub const FORGED_ANSWER: u16 = 4;
    /// Blocked: by the operator of this resolver, on purpose.
    pub const BLOCKED: u16 = 15;
    /// Prohibited: this client may not ask here.
    pub const PROHIBITED: u16 = 18;
    /// No Reachable Authority: every upstream failed.
    pub const NO_REACHABLE_AUTHORITY: u16 = 22;

    /// How much of the text is sent, in octets.
    pub const TEXT_MAX: usize = 96;
}

/// Answers the question with addresses of its type; those of the other family are left out, and with none left it is NODATA.
pub fn compose_addresses(
    query: &Query<'_>,
    addresses: &[IpAddr],
    ttl_secs: u32,
    ede: Option<Ede<'_>>,
) -> Vec<u8> {
    let mut records = Vec::new();
    let mut count = 0;
    for address in addresses {
        let rdata: &[u8] = match (address, query.qtype()) {
            (IpAddr::V4(address), qtype::A) => &address.octets(),
            (IpAddr::V6(address), qtype::AAAA) => &address.octets(),
            _ => continue,
        };
        count += 1;
        records.extend(QNAME_POINTER);
        push_record(&mut records, query.qtype(), ttl_secs, rdata);
    }
    if count == 0 {
        return compose_negative(query, Rcode::NoError, ttl_secs, ede);
    }
    compose(query, Rcode::NoError, [count, 0], &records, ede)
}

/// A record of an answer that is made here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnswerRecord {
    /// The owner; `None`: the QNAME.
    pub owner: Option<DomainName>,
    /// The TYPE.
    pub rtype: u16,
    /// How long clients may keep it, in seconds.
    pub ttl_secs: u32,
    /// The RDATA, uncompressed.
    pub rdata: Vec<u8>,
}

/// Answers the question with these records; with none it is NODATA, which may be kept for `ttl_secs`.
pub fn compose_records(
    query: &Query<'_>,
    answers: &[AnswerRecord],
    ttl_secs: u32,
    ede: Option<Ede<'_>>,
) -> Vec<u8> {
    let mut records = Vec::new();
    for AnswerRecord { owner, rtype, ttl_secs, rdata } in answers {
        match owner {
            None => records.extend(QNAME_POINTER),
            Some(owner) => records.extend(owner.as_ref().as_wire()),
        }
        push_record(&mut records, *rtype, *ttl_secs, rdata);
    }
    match u16::try_from(answers.len()) {
        Ok(count @ 1..) => compose(query, Rcode::NoError, [count, 0], &records, ede),
        _ => compose_negative(query, Rcode::NoError, ttl_secs, ede),
    }
}

/// NODATA (`Rcode::NoError`) or NXDOMAIN, with an SOA that lets clients keep it for `ttl_secs` (RFC 2308 section 3).
pub fn compose_negative(query: &Query<'_>, rcode: Rcode, ttl_secs: u32, ede: Option<Ede<'_>>) -> Vec<u8> {
    let mut records = Vec::new();
    // The zone's apex is the parent of the QNAME, which begins behind its first label.
    match query.name().parent() {
        Some(parent) if !parent.is_root() => {
            let behind = query.name().as_wire().len() - parent.as_wire().len() + super::HEADER_LEN;
            records.extend(pointer(behind));
        }
        _ => records.push(0),
    }
    let mut rdata = Vec::from(*b"\x09pixelsink\x07invalid\x00\x0ahostmaster\x09pixelsink\x07invalid\x00");
    for number in [1, 3600, 600, 86400, ttl_secs] {
        rdata.extend(u32::to_be_bytes(number));
    }
    push_record(&mut records, qtype::SOA, ttl_secs, &rdata);
    compose(query, rcode, [0, 1], &records, ede)
}

/// An error without records.
pub fn compose_error(query: &Query<'_>, rcode: Rcode, ede: Option<Ede<'_>>) -> Vec<u8> {
    compose(query, rcode, [0, 0], &[], ede)
}

/// No records, and the word that there are some over TCP (the TC bit, RFC 1035 section 4.1.1).
pub fn compose_truncated(query: &Query<'_>) -> Vec<u8> {
    const TC: u8 = 0x02;
    let mut message = compose_error(query, Rcode::NoError, None);
    if let Some(flags) = message.get_mut(2) {
        *flags |= TC;
    }
    message
}

fn compose(
    query: &Query<'_>,
    rcode: Rcode,
    counts: [u16; 2],
    records: &[u8],
    ede: Option<Ede<'_>>,
) -> Vec<u8> {
    let mut message = Vec::with_capacity(super::UDP_PAYLOAD_PLAIN);
    let rcode = rcode as u16;
    let [answers, authorities] = counts;
    let additionals = u16::from(query.edns.is_some());
    let flags = query.answer_flags() | (rcode & 0x0f);
    for number in [query.id, flags, 1, answers, authorities, additionals] {
        message.extend(number.to_be_bytes());
    }
    message.extend(query.question);
    message.extend(records);
    push_opt(&mut message, query, rcode, ede);
    message
}

/// Points at the question's name, which always stands behind the 12 octets of the header.
const QNAME_POINTER: [u8; 2] = [0xc0, 12];

fn pointer(at: usize) -> [u8; 2] {
    // A name ends within 255 octets of the header, so the offset fits the 14 bits of a pointer.
    u16::try_from(at).map_or(QNAME_POINTER, |at| (0xc000 | at).to_be_bytes())
}

fn push_record(records: &mut Vec<u8>, rtype: u16, ttl_secs: u32, rdata: &[u8]) {
    records.extend(rtype.to_be_bytes());
    records.extend(CLASS_IN.to_be_bytes());
    records.extend(ttl_secs.to_be_bytes());
    push_len_and(records, &[rdata]);
}

/// Appends the OPT record of an answer, if the query had one: our payload size, version 0, the DO bit as asked.
pub(super) fn push_opt(message: &mut Vec<u8>, query: &Query<'_>, rcode: u16, ede: Option<Ede<'_>>) {
    let Some(edns) = query.edns else { return };
    message.push(0);
    message.extend(qtype::OPT.to_be_bytes());
    message.extend(UDP_PAYLOAD_MAX.to_be_bytes());
    let [_, extended_rcode] = (rcode >> 4).to_be_bytes();
    message.extend([extended_rcode, 0, u8::from(edns.dnssec_ok) << 7, 0]);
    match ede {
        None => message.extend([0, 0]),
        Some(ede) => {
            const OPTION_CODE: u16 = 15;
            let text = ede.text.get(..ede.text.floor_char_boundary(Ede::TEXT_MAX)).unwrap_or_default();
            let mut option = Vec::from(OPTION_CODE.to_be_bytes());
            push_len_and(&mut option, &[&ede.code.to_be_bytes(), text.as_bytes()]);
            push_len_and(message, &[&option]);
        }
    }
}

/// Appends a length of two octets and then what it counts.
fn push_len_and(message: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    // Everything composed here is far shorter than 65,536 octets.
    message.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
    for part in parts {
        message.extend(*part);
    }
}
