//! Answers that are made here, without an upstream.

use std::fmt::{self, Write};
use std::net::IpAddr;

use super::{AA, CLASS_IN, HEADER_LEN, Query, Rcode, TC, UDP_PAYLOAD_MAX, qtype};
use crate::name::NameRef;

/// An Extended DNS Error (RFC 8914): why the answer is what it is.
#[derive(Clone, Copy)]
pub struct Ede<'a> {
    /// The INFO-CODE, for instance 15 (Blocked).
    pub code: u16,
    /// The EXTRA-TEXT, for people; shortened to [`Ede::TEXT_MAX`] octets.
    pub text: &'a dyn fmt::Display,
    /// What stands behind the text where there is room for all of it.
    pub hint: &'static str,
    /// The INFO-CODE of another error, without a text.
    pub besides: Option<u16>,
}

impl<'a> Ede<'a> {
    /// One error, and why.
    pub const fn new(code: u16, text: &'a dyn fmt::Display) -> Self {
        Self { code, text, hint: "", besides: None }
    }
}

impl Ede<'_> {
    /// Other: the text says what.
    pub const OTHER: u16 = 0;
    /// Stale Answer: no upstream answers, and this one is past its TTL (RFC 8767).
    pub const STALE: u16 = 3;
    /// Forged Answer: what stands here is not what the owner of the name says, on purpose.
    pub const FORGED_ANSWER: u16 = 4;
    /// Cached Error: this failure is remembered, and nobody was asked anew (RFC 9520).
    pub const CACHED_ERROR: u16 = 13;
    /// Not Ready: this machine can't ask anybody yet, as it has no network or does not know what time it is.
    pub const NOT_READY: u16 = 14;
    /// Blocked: by the operator of this resolver, on purpose.
    pub const BLOCKED: u16 = 15;
    /// Stale NXDOMAIN Answer: the same, of a name that did not exist.
    pub const STALE_NXDOMAIN: u16 = 19;
    /// Filtered: by somebody whom the one who asks has chosen, such as an upstream that blocks.
    pub const FILTERED: u16 = 17;
    /// Prohibited: this client may not ask here.
    pub const PROHIBITED: u16 = 18;
    /// No Reachable Authority: no upstream said anything.
    pub const NO_REACHABLE_AUTHORITY: u16 = 22;
    /// Network Error: upstreams can't be reached, or not safely.
    pub const NETWORK_ERROR: u16 = 23;
    /// Synthesized: made here, out of what this resolver itself knows of the name (IANA "Extended DNS Error Codes").
    pub const SYNTHESIZED: u16 = 29;

    /// How much of the text is sent, in octets.
    pub const TEXT_MAX: usize = 96;
}

/// Answers the question with addresses of its type; those of the other family are left out, and with none left it is NODATA.
///
/// Like all that compose, it writes over what `out` holds, and allocates only where that has no room.
pub fn compose_addresses(
    query: &Query<'_>,
    addresses: &[IpAddr],
    ttl_secs: u32,
    ede: Option<Ede<'_>>,
    out: &mut Vec<u8>,
) {
    let mut answer = Composed::begin(query, out);
    for address in addresses {
        match (address, query.qtype()) {
            (IpAddr::V4(address), qtype::A) => answer.record(None, qtype::A, ttl_secs, &address.octets()),
            (IpAddr::V6(address), qtype::AAAA) => {
                answer.record(None, qtype::AAAA, ttl_secs, &address.octets());
            }
            _ => {}
        }
    }
    answer.finish_or_negative(ttl_secs, ede);
}

/// A record of an answer that is made here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AnswerRecord<'a> {
    /// The owner; `None`: the QNAME.
    pub owner: Option<NameRef<'a>>,
    /// The TYPE.
    pub rtype: u16,
    /// How long clients may keep it, in seconds.
    pub ttl_secs: u32,
    /// The RDATA, uncompressed.
    pub rdata: &'a [u8],
}

/// Answers the question with these records; with none it is NODATA, which may be kept for `ttl_secs`.
pub fn compose_records<'a>(
    query: &Query<'_>,
    records: impl IntoIterator<Item = AnswerRecord<'a>>,
    ttl_secs: u32,
    ede: Option<Ede<'_>>,
    out: &mut Vec<u8>,
) {
    let mut answer = Composed::begin(query, out);
    for AnswerRecord { owner, rtype, ttl_secs, rdata } in records {
        answer.record(owner, rtype, ttl_secs, rdata);
    }
    answer.finish_or_negative(ttl_secs, ede);
}

/// NODATA (`Rcode::NoError`) or NXDOMAIN, with an SOA that lets clients keep it for `ttl_secs` (RFC 2308 section 3).
pub fn compose_negative(
    query: &Query<'_>,
    rcode: Rcode,
    ttl_secs: u32,
    ede: Option<Ede<'_>>,
    out: &mut Vec<u8>,
) {
    Composed::begin(query, out).finish_negative(rcode, ttl_secs, ede);
}

/// What is said of a name that has no record of the type.
#[derive(Clone, Copy, Debug)]
pub struct Negative<'a> {
    /// [`Rcode::NoError`] or [`Rcode::NxDomain`].
    pub rcode: Rcode,
    /// The apex of the zone that the name would be in.
    pub apex: NameRef<'a>,
    /// How long clients may keep it, in seconds.
    pub ttl_secs: u32,
}

/// Answers a question about a zone that is served here: as its authoritative server does (RFC 6303 section 3), with the
/// AA bit. Without records it says `negative`; behind an alias its RCODE is that of the last name (RFC 6604 section 2).
pub fn compose_own<'a>(
    query: &Query<'_>,
    records: impl IntoIterator<Item = AnswerRecord<'a>>,
    negative: Negative<'_>,
    ede: Option<Ede<'_>>,
    out: &mut Vec<u8>,
) {
    let mut answer = Composed::begin(query, out);
    answer.flags = AA;
    for AnswerRecord { owner, rtype, ttl_secs, rdata } in records {
        answer.record(owner, rtype, ttl_secs, rdata);
    }
    match answer.answers {
        0 => answer.finish_below(Some(negative.apex), negative.rcode, negative.ttl_secs, ede),
        _ => answer.finish(negative.rcode, 0, ede),
    }
}

/// An error without records.
pub fn compose_error(query: &Query<'_>, rcode: Rcode, ede: Option<Ede<'_>>, out: &mut Vec<u8>) {
    Composed::begin(query, out).finish(rcode, 0, ede);
}

/// An answer that has no records and says that it was cut short, so that the client asks over TCP.
pub fn compose_truncated(query: &Query<'_>, out: &mut Vec<u8>) {
    compose_error(query, Rcode::NoError, None, out);
    super::patch(out, 2, &(query.answer_flags() | TC).to_be_bytes());
}

/// An answer that is being written.
struct Composed<'a> {
    query: &'a Query<'a>,
    out: &'a mut Vec<u8>,
    answers: u16,
    /// Those of the header besides the ones that every answer has.
    flags: u16,
}

impl<'a> Composed<'a> {
    /// Writes the question; the header follows at the end.
    fn begin(query: &'a Query<'a>, out: &'a mut Vec<u8>) -> Self {
        out.clear();
        out.extend_from_slice(&[0; HEADER_LEN]);
        out.extend_from_slice(query.question);
        Self { query, out, answers: 0, flags: 0 }
    }

    fn record(&mut self, owner: Option<NameRef<'_>>, rtype: u16, ttl_secs: u32, rdata: &[u8]) {
        match owner {
            None => self.out.extend_from_slice(&QNAME_POINTER),
            Some(owner) => self.out.extend_from_slice(owner.as_wire()),
        }
        self.answers += 1;
        push_record(self.out, rtype, ttl_secs, &[rdata]);
    }

    fn finish_or_negative(self, ttl_secs: u32, ede: Option<Ede<'_>>) {
        match self.answers {
            0 => self.finish_negative(Rcode::NoError, ttl_secs, ede),
            _ => self.finish(Rcode::NoError, 0, ede),
        }
    }

    fn finish_negative(self, rcode: Rcode, ttl_secs: u32, ede: Option<Ede<'_>>) {
        let parent = self.query.name().parent();
        self.finish_below(parent, rcode, ttl_secs, ede);
    }

    /// Ends with the SOA of a zone at this apex; `None`: the root.
    fn finish_below(self, apex: Option<NameRef<'_>>, rcode: Rcode, ttl_secs: u32, ede: Option<Ede<'_>>) {
        let name = self.query.name();
        match apex {
            // It is the end of the QNAME.
            Some(apex) if !apex.is_root() && name.as_wire().ends_with(apex.as_wire()) => {
                let behind = name.as_wire().len() - apex.as_wire().len() + HEADER_LEN;
                self.out.extend_from_slice(&pointer(behind));
            }
            _ => self.out.push(0),
        }
        const NAMES: &[u8] = b"\x09pixelsink\x07invalid\x00\x0ahostmaster\x09pixelsink\x07invalid\x00";
        let [serial, refresh, retry, expire, minimum] = [1, 3600, 600, 86400, ttl_secs].map(u32::to_be_bytes);
        let rdata = [NAMES, &serial, &refresh, &retry, &expire, &minimum];
        push_record(self.out, qtype::SOA, ttl_secs, &rdata);
        self.finish(rcode, 1, ede);
    }

    fn finish(self, rcode: Rcode, authorities: u16, ede: Option<Ede<'_>>) {
        let Self { query, out, answers, flags } = self;
        let rcode = rcode as u16;
        let additionals = u16::from(query.edns.is_some());
        let flags = query.answer_flags() | flags | (rcode & 0x0f);
        let header = [query.id, flags, 1, answers, authorities, additionals].map(u16::to_be_bytes);
        super::patch(out, 0, header.as_flattened());
        push_opt(out, query, rcode, ede);
    }
}

/// Points at the question's name, which always stands behind the 12 octets of the header.
const QNAME_POINTER: [u8; 2] = [0xc0, 12];

fn pointer(at: usize) -> [u8; 2] {
    // A name ends within 255 octets of the header, so the offset fits the 14 bits of a pointer.
    u16::try_from(at).map_or(QNAME_POINTER, |at| (0xc000 | at).to_be_bytes())
}

fn push_record(out: &mut Vec<u8>, rtype: u16, ttl_secs: u32, rdata: &[&[u8]]) {
    let mut fixed = [0; 8];
    let [type_class, ttl] = [u32::from(rtype) << 16 | u32::from(CLASS_IN), ttl_secs].map(u32::to_be_bytes);
    super::patch(&mut fixed, 0, &type_class);
    super::patch(&mut fixed, 4, &ttl);
    out.extend_from_slice(&fixed);
    let length: usize = rdata.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&length_octets(length));
    rdata.iter().for_each(|part| out.extend_from_slice(part));
}

/// Appends the OPT record of an answer, if the query had one: our payload size, version 0, the DO bit as asked.
pub(super) fn push_opt(out: &mut Vec<u8>, query: &Query<'_>, rcode: u16, ede: Option<Ede<'_>>) {
    let Some(edns) = query.edns else { return };
    let [_, opt] = qtype::OPT.to_be_bytes();
    let [size_high, size_low] = UDP_PAYLOAD_MAX.to_be_bytes();
    let [_, extended_rcode] = (rcode >> 4).to_be_bytes();
    let dnssec_ok = u8::from(edns.dnssec_ok) << 7;
    out.extend_from_slice(&[0, 0, opt, size_high, size_low, extended_rcode, 0, dnssec_ok, 0, 0, 0]);
    let Some(ede) = ede else { return };
    let options = out.len();
    let [code_high, code_low] = ede.code.to_be_bytes();
    // OPTION-CODE 15, its length, INFO-CODE (RFC 8914 section 2); both lengths are known only behind the text.
    out.extend_from_slice(&[0, 15, 0, 0, code_high, code_low]);
    // What does not fit is left out; that is no error.
    let _ = write!(Shortened { room: Ede::TEXT_MAX, out }, "{}", ede.text);
    let room = (options + 6 + Ede::TEXT_MAX).saturating_sub(out.len());
    if ede.hint.len() <= room {
        out.extend_from_slice(ede.hint.as_bytes());
    }
    let length = out.len() - options;
    super::patch(out, options + 2, &length_octets(length - 4));
    if let Some(besides) = ede.besides {
        let [code_high, code_low] = besides.to_be_bytes();
        out.extend_from_slice(&[0, 15, 0, 2, code_high, code_low]);
    }
    let length = out.len() - options;
    super::patch(out, options - 2, &length_octets(length));
}

/// Writes so many octets of a text, and whole characters only.
struct Shortened<'a> {
    room: usize,
    out: &'a mut Vec<u8>,
}

impl Write for Shortened<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let taken = text.get(..text.floor_char_boundary(self.room)).unwrap_or_default();
        self.out.extend_from_slice(taken.as_bytes());
        self.room -= taken.len();
        if taken.len() < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Everything composed here is far shorter than 65,536 octets.
fn length_octets(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}
