//! An upstream's answer, kept as bytes and patched for each client that asks.

use std::net::IpAddr;

use super::Inward;
use super::answer::{AnswerRecord, push_opt};
use super::{
    CLASS_IN, Ede, HEADER_LEN, Query, RecordFrame, Said, TC, patch, qtype, read_name, read_record, read_u16,
    skip_name,
};
use crate::name::DomainName;

/// An answer without OPT record, whose ID, question case and TTLs are patched on the way out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// The message from the header on.
    message: Box<[u8]>,
    /// Where each record's TTL stands.
    ttl_offsets: Box<[u16]>,
    /// The names that its answer section leads to.
    targets: Box<[DomainName]>,
    question_len: u16,
    rcode: u16,
    authentic: bool,
    /// Whether one of its addresses leads into the house, or nowhere.
    inward: Option<Inward>,
    /// What its sender said of it besides.
    said: Option<Box<Said>>,
    /// How long it may be kept, in seconds: the least TTL of its records, or the SOA's word for negative answers.
    ttl_secs: u32,
}

/// How an answer is to be served.
#[derive(Clone, Copy, Default)]
pub struct Served<'a> {
    /// How long the answer has been kept, in seconds.
    pub age_secs: u32,
    /// The largest message the client takes, in octets.
    pub size_max: usize,
    /// What to tell besides.
    pub ede: Option<Ede<'a>>,
}

/// A negative answer without SOA is kept for this long at most, in seconds (RFC 2308 section 5 would not keep it at all;
/// a client that repeats its question each second would cost the upstream more than the rare late name is worth).
const TTL_WITHOUT_SOA_SECS: u32 = 10;
/// No answer is kept for longer, whatever its TTL (RFC 8767 section 4 names a week as the outmost cap).
const TTL_MAX_SECS: u32 = 86_400;
/// Negative answers are kept for at most this long (RFC 2308 section 5 suggests one to three hours).
const TTL_NEGATIVE_MAX_SECS: u32 = 3_600;

const AD: u16 = 0x0020;

impl Stored {
    /// Takes an answer that carries one question and no OPT record. `rcode` may be an extended one.
    ///
    /// # Errors
    /// When its frame is not sound.
    pub fn new(message: Vec<u8>, rcode: u16) -> Result<Self, StoredError> {
        Self::read(message.into(), rcode).ok_or(StoredError)
    }

    fn read(mut message: Box<[u8]>, rcode: u16) -> Option<Self> {
        let count = |at| read_u16(&message, at);
        if count(4)? != 1 {
            return None;
        }
        let question_end = skip_name(&message, HEADER_LEN)? + 4;
        let qtype = read_u16(&message, question_end - 4)?;
        let [answers, authorities] = [count(6)?, count(8)?];
        let records = u32::from(answers) + u32::from(authorities) + u32::from(count(10)?);
        let authentic = count(2)? & AD != 0;
        // Aliases that lead to no record of the type are a negative answer too (RFC 2308 section 2.2).
        let mut answered = false;
        let mut ttl_offsets = Vec::new();
        let mut least = TTL_MAX_SECS;
        let mut soa_secs = None;
        let mut at = question_end;
        for index in 0..records {
            let record = read_record(&message, at)?;
            if record.rtype == qtype::OPT || record.class != CLASS_IN && record.rtype == qtype::SOA {
                return None;
            }
            at = record.rdata.end;
            let ttl = u32::from_be_bytes(message.get(record.ttl_at..record.ttl_at + 4)?.try_into().ok()?);
            // RFC 2181 section 8: a TTL with its highest bit set is zero.
            let ttl = if ttl >> 31 == 0 { ttl } else { 0 };
            patch(&mut message, record.ttl_at, &ttl.to_be_bytes());
            if index < u32::from(answers) {
                least = least.min(ttl);
                answered |= record.rtype == qtype || qtype == qtype::ANY;
            }
            if record.rtype == qtype::SOA && u32::from(answers) <= index {
                let minimum = message.get(record.rdata.end - 4..record.rdata.end)?.try_into().ok()?;
                soa_secs = Some(ttl.min(u32::from_be_bytes(minimum)));
            }
            ttl_offsets.push(u16::try_from(record.ttl_at).ok()?);
        }
        let negative = !answered || rcode != 0;
        let ttl_secs = match soa_secs {
            _ if !negative => least,
            Some(secs) => secs.min(least).min(TTL_NEGATIVE_MAX_SECS),
            None => least.min(TTL_WITHOUT_SOA_SECS),
        };
        let mut stored = Self {
            targets: Box::default(),
            inward: None,
            said: None,
            question_len: u16::try_from(question_end - HEADER_LEN).ok()?,
            authentic,
            ttl_offsets: ttl_offsets.into(),
            message,
            rcode,
            ttl_secs,
        };
        stored.targets = stored.read_targets();
        stored.inward = stored.addresses().filter_map(Inward::of).max();
        Some(stored)
    }

    /// The same answer with what its sender said of it besides, where that is as true of a copy. Whoever is served hears it, unless there
    /// is something of our own to be said.
    pub fn saying(mut self, said: Option<Said>) -> Self {
        self.said = said.filter(Said::is_about_the_answer).map(Box::new);
        self
    }

    /// How long it may be kept, in seconds.
    pub const fn ttl_secs(&self) -> u32 {
        self.ttl_secs
    }

    /// The message without OPT record, as it is kept.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// Raises shorter TTLs to `min` and cuts longer ones to `max` seconds, or to `negative_max` where it is a negative answer.
    pub fn clamp_ttls(&mut self, min: u32, max: u32, negative_max: u32) {
        let question_end = HEADER_LEN + usize::from(self.question_len);
        let asked = read_u16(&self.message, question_end - 4).unwrap_or_default();
        let answers = |record: RecordFrame| record.rtype == asked || asked == qtype::ANY;
        let is_negative = self.rcode != 0 || !self.answer_section().any(|(_, record)| answers(record));
        let max = if is_negative { max.min(negative_max) } else { max };
        let clamp = |ttl: u32| ttl.clamp(min.min(max), max);
        for &offset in &self.ttl_offsets {
            let at = usize::from(offset);
            let Some(ttl) = self.message.get(at..at + 4).and_then(|ttl| ttl.try_into().ok()) else {
                continue;
            };
            patch(&mut self.message, at, &clamp(u32::from_be_bytes(ttl)).to_be_bytes());
        }
        self.ttl_secs = clamp(self.ttl_secs);
    }

    /// Forgets that somebody says to have validated it.
    pub fn distrust(&mut self) {
        self.authentic = false;
    }

    /// The RCODE, extended ones included.
    pub const fn rcode(&self) -> u16 {
        self.rcode
    }

    /// The addresses in its answer section: of A and AAAA records, and the hints of SVCB and HTTPS records.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.answer_section().flat_map(|(_, record)| Addresses::of(&self.message, &record))
    }

    /// Whether one of those addresses leads into the house, or nowhere: what is of the house decides.
    pub const fn inward(&self) -> Option<Inward> {
        self.inward
    }

    /// The names that its answer section leads to: targets of CNAME, SVCB and HTTPS records.
    pub fn targets(&self) -> &[DomainName] {
        &self.targets
    }

    fn read_targets(&self) -> Box<[DomainName]> {
        let target = |record: RecordFrame| match record.rtype {
            qtype::CNAME => read_name(&self.message, record.rdata.start),
            // RFC 9460 section 2.2: SvcPriority, then TargetName; the root stands for the owner itself.
            qtype::SVCB | qtype::HTTPS => {
                read_name(&self.message, record.rdata.start + 2).filter(|name| !name.as_ref().is_root())
            }
            _ => None,
        };
        self.answer_section().filter_map(|(_, record)| target(record)).collect()
    }

    /// The records of its answer section that can stand alone: aliases, addresses, and service bindings, with their TTLs
    /// lowered by `age_secs`.
    pub fn records(&self, age_secs: u32) -> Vec<OwnedRecord> {
        let record = |(at, frame): (usize, RecordFrame)| {
            let rdata = self.message.get(frame.rdata.clone())?;
            let rdata = match frame.rtype {
                qtype::CNAME => read_name(&self.message, frame.rdata.start)?.as_ref().as_wire().to_vec(),
                qtype::A | qtype::AAAA | qtype::SVCB | qtype::HTTPS | qtype::TXT => rdata.to_vec(),
                _ => return None,
            };
            let ttl = self.message.get(frame.ttl_at..frame.ttl_at + 4)?.try_into().ok()?;
            Some(OwnedRecord {
                owner: read_name(&self.message, at)?,
                rtype: frame.rtype,
                ttl_secs: u32::from_be_bytes(ttl).min(TTL_MAX_SECS).saturating_sub(age_secs),
                rdata,
            })
        };
        self.answer_section().filter_map(record).collect()
    }

    /// The records of the answer section, each with where it begins.
    fn answer_section(&self) -> impl Iterator<Item = (usize, RecordFrame)> {
        let count = read_u16(&self.message, 6).unwrap_or_default();
        let mut at = HEADER_LEN + usize::from(self.question_len);
        (0..count).map_while(move |_| {
            let record = read_record(&self.message, at)?;
            let start = std::mem::replace(&mut at, record.rdata.end);
            Some((start, record))
        })
    }

    /// Its size in memory, in octets.
    pub fn size(&self) -> usize {
        let targets = self.targets.iter().map(|name| size_of::<DomainName>() + name.as_ref().as_wire().len());
        let said = self.said.as_ref().map_or(0, |said| size_of::<Said>() + said.text_len());
        size_of::<Self>() + self.message.len() + self.ttl_offsets.len() * 2 + targets.sum::<usize>() + said
    }

    /// Writes over `out` the answer for one client: its ID, its letter case, its EDNS; TTLs lowered by the age; truncated
    /// when it does not fit. Allocates only where `out` has no room.
    pub fn serve(&self, query: &Query<'_>, served: Served<'_>, out: &mut Vec<u8>) {
        if self.message.len() <= served.size_max {
            self.compose(query, served, &self.message, out);
            if out.len() <= served.size_max {
                return;
            }
        }
        let question_end = HEADER_LEN + usize::from(self.question_len);
        self.compose(query, served, self.message.get(..question_end).unwrap_or_default(), out);
        patch(out, 2, &(self.flags(query) | TC).to_be_bytes());
        patch(out, 6, &[0; 4]);
        patch(out, 10, &u16::from(query.edns.is_some()).to_be_bytes());
    }

    fn compose(&self, query: &Query<'_>, served: Served<'_>, message: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(message);
        patch(out, 0, &query.id.to_be_bytes());
        patch(out, 2, &self.flags(query).to_be_bytes());
        if query.question.len() == usize::from(self.question_len) {
            patch(out, HEADER_LEN, query.question);
        }
        for &offset in &self.ttl_offsets {
            let Some(place) = out.get_mut(usize::from(offset)..).and_then(|rest| rest.first_chunk_mut())
            else {
                break;
            };
            let ttl = u32::from_be_bytes(*place).min(TTL_MAX_SECS).saturating_sub(served.age_secs);
            *place = ttl.to_be_bytes();
        }
        if query.edns.is_some() {
            let additionals = read_u16(out, 10).unwrap_or_default() + 1;
            patch(out, 10, &additionals.to_be_bytes());
        }
        let said = || self.said.as_ref().map(|said| said.as_ede());
        push_opt(out, query, self.rcode, served.ede.or_else(said));
    }

    fn flags(&self, query: &Query<'_>) -> u16 {
        let authentic = if self.authentic && query.wants_authentic_data() { AD } else { 0 };
        query.answer_flags() | authentic | (self.rcode & 0x0f)
    }
}

/// The addresses of one record, as they stand one behind the other.
struct Addresses<'a> {
    /// Addresses of one family.
    run: &'a [u8],
    is_ipv6: bool,
    /// SvcParams that are not read yet.
    parameters: &'a [u8],
}

/// SvcParamKeys (RFC 9460 section 14.3.2).
const IPV4HINT: u16 = 4;
const IPV6HINT: u16 = 6;

impl<'a> Addresses<'a> {
    fn of(message: &'a [u8], record: &RecordFrame) -> Self {
        let rdata = message.get(record.rdata.clone()).unwrap_or_default();
        let none = Self { run: &[], is_ipv6: false, parameters: &[] };
        match record.rtype {
            qtype::A if rdata.len() == 4 => Self { run: rdata, ..none },
            qtype::AAAA if rdata.len() == 16 => Self { run: rdata, is_ipv6: true, ..none },
            qtype::SVCB | qtype::HTTPS => {
                // SvcPriority, then TargetName, which is not compressed (RFC 9460 section 2.2).
                let behind = rdata.get(2..).and_then(|rest| rest.get(skip_name(rest, 0)?..));
                Self { parameters: behind.unwrap_or_default(), ..none }
            }
            _ => none,
        }
    }

    /// Goes on to the next parameter; `None` when there is none left.
    fn next_parameter(&mut self) -> Option<()> {
        let key = read_u16(self.parameters, 0)?;
        let length = usize::from(read_u16(self.parameters, 2)?);
        let (value, rest) = self.parameters.get(4..)?.split_at_checked(length)?;
        self.parameters = rest;
        if matches!(key, IPV4HINT | IPV6HINT) {
            (self.run, self.is_ipv6) = (value, key == IPV6HINT);
        }
        Some(())
    }
}

impl Iterator for Addresses<'_> {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        loop {
            let address = if self.is_ipv6 {
                self.run.split_first_chunk::<16>().map(|(octets, rest)| (IpAddr::from(*octets), rest))
            } else {
                self.run.split_first_chunk::<4>().map(|(octets, rest)| (IpAddr::from(*octets), rest))
            };
            if let Some((address, rest)) = address {
                self.run = rest;
                return Some(address);
            }
            self.run = &[];
            self.next_parameter()?;
        }
    }
}

/// A record of an answer, taken out of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnedRecord {
    owner: DomainName,
    rtype: u16,
    ttl_secs: u32,
    rdata: Vec<u8>,
}

impl OwnedRecord {
    /// Borrows it, to be written.
    pub fn as_record(&self) -> AnswerRecord<'_> {
        let Self { owner, rtype, ttl_secs, rdata } = self;
        AnswerRecord { owner: Some(owner.as_ref()), rtype: *rtype, ttl_secs: *ttl_secs, rdata }
    }
}

/// An answer whose frame is not sound.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the answer is malformed")]
pub struct StoredError;
