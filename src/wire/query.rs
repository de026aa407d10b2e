//! A question, as it came in.

use super::{HEADER_LEN, Rcode, UDP_PAYLOAD_MAX, UDP_PAYLOAD_PLAIN, qtype, read_record, read_u16};
use crate::name::{FoldedName, NameRef};

/// Records that a query may carry besides its question; real ones carry one or two (OPT, TSIG).
const RECORDS_MAX: u16 = 8;

/// A query with exactly one question.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    pub(super) id: u16,
    /// The second pair of header octets, as it came.
    pub(super) flags: u16,
    /// The question section, letter case as it came: QNAME, QTYPE, QCLASS.
    pub(super) question: &'a [u8],
    name: FoldedName,
    /// The options of EDNS, as they came (RFC 6891 section 6.1.2).
    pub(super) options: &'a [u8],
    /// What the client said of EDNS, if anything.
    pub edns: Option<Edns>,
}

/// The EDNS part of a query (RFC 6891 section 6.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Edns {
    /// The largest UDP answer that the client takes, in octets.
    pub payload_max: u16,
    /// The version; only 0 is defined.
    pub version: u8,
    /// Whether the client wants DNSSEC records (the DO bit).
    pub dnssec_ok: bool,
}

/// Why a packet is no query that can be answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Malformed {
    /// Nothing may be sent back: a response, or less than a header.
    Silent,
    /// To be answered with this header and RCODE, and nothing else.
    Answer([u8; HEADER_LEN]),
}

const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const RD: u16 = 0x0100;
const AD: u16 = 0x0020;
const CD: u16 = 0x0010;

/// Whether a packet can be a query: a whole header that is not a response's. There is no answer to anything else.
pub fn is_query(packet: &[u8]) -> bool {
    HEADER_LEN <= packet.len() && read_u16(packet, 2).is_some_and(|flags| flags & QR == 0)
}

/// Reads a packet.
pub fn parse(packet: &[u8]) -> Result<Query<'_>, Malformed> {
    if !is_query(packet) {
        return Err(Malformed::Silent);
    }
    let header = |at| read_u16(packet, at).ok_or(Malformed::Silent);
    let (id, flags) = (header(0)?, header(2)?);
    let (questions, answers) = (header(4)?, header(6)?);
    let (authorities, additionals) = (header(8)?, header(10)?);
    let refuse = |rcode: Rcode| Malformed::Answer(bare_header(id, flags, rcode));
    if flags & OPCODE != 0 {
        return Err(refuse(Rcode::NotImp));
    }
    if (questions, answers, authorities) != (1, 0, 0) || RECORDS_MAX < additionals {
        return Err(refuse(Rcode::FormErr));
    }
    read_body(packet, id, flags, additionals).ok_or_else(|| refuse(Rcode::FormErr))
}

fn read_body(packet: &[u8], id: u16, flags: u16, additionals: u16) -> Option<Query<'_>> {
    let name = FoldedName::from_wire(packet.get(HEADER_LEN..)?).ok()?;
    let question_end = HEADER_LEN + name.as_ref().as_wire().len() + 4;
    let question = packet.get(HEADER_LEN..question_end)?;
    let (mut edns, mut options) = (None, &[][..]);
    let mut at = question_end;
    for _ in 0..additionals {
        let record = read_record(packet, at)?;
        at = record.rdata.end;
        if record.rtype == qtype::OPT {
            // More than one OPT, or one with an owner, is a format error (RFC 6891 section 6.1.1 and 6.1.2).
            if edns.is_some() || !record.owner_is_root {
                return None;
            }
            let [_, version, bits, _] = packet.get(record.ttl_at..record.ttl_at + 4)?.try_into().ok()?;
            let dnssec_ok = bits & 0x80 != 0;
            edns = Some(Edns { payload_max: record.class, version, dnssec_ok });
            options = packet.get(record.rdata)?;
        }
    }
    Some(Query { id, flags, question, name, options, edns })
}

/// A header that answers `id` and promises no section.
fn bare_header(id: u16, flags: u16, rcode: Rcode) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let flags = QR | (flags & (OPCODE | RD | CD)) | rcode as u16;
    for (octet, value) in header.iter_mut().zip(id.to_be_bytes().into_iter().chain(flags.to_be_bytes())) {
        *octet = value;
    }
    header
}

impl Query<'_> {
    /// The QNAME, lower case.
    pub fn name(&self) -> NameRef<'_> {
        self.name.as_ref()
    }

    /// The QTYPE.
    pub fn qtype(&self) -> u16 {
        read_u16(self.question, self.question.len() - 4).unwrap_or_default()
    }

    /// The QCLASS.
    pub fn qclass(&self) -> u16 {
        read_u16(self.question, self.question.len() - 2).unwrap_or_default()
    }

    /// Whether the client wants DNSSEC records.
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// Whether the client checks DNSSEC itself (CD, RFC 4035 section 3.2.2).
    pub const fn checking_disabled(&self) -> bool {
        self.flags & CD != 0
    }

    /// Whether the client understands the AD bit of an answer (RFC 6840 section 5.7).
    pub fn wants_authentic_data(&self) -> bool {
        self.flags & AD != 0 || self.dnssec_ok()
    }

    /// The largest answer that may be sent over UDP, in octets.
    pub fn udp_payload_max(&self) -> usize {
        let Some(edns) = self.edns else { return UDP_PAYLOAD_PLAIN };
        usize::from(edns.payload_max.min(UDP_PAYLOAD_MAX)).max(UDP_PAYLOAD_PLAIN)
    }

    /// The header flags of an answer, without TC, AD and RCODE: QR, RD and CD as asked, RA.
    pub(super) const fn answer_flags(&self) -> u16 {
        const RA: u16 = 0x0080;
        QR | RA | (self.flags & (RD | CD))
    }
}
