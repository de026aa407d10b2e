//! A query as it lies in a ring: a fixed head, the QNAME in wire form, the name behind it where a tracker hid there, and for a
//! detailed record its texts.
//!
//! Only this process reads what it wrote, so numbers have the order of the machine. Every record begins with its length.

use std::fmt;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::net::Ipv6Addr;

use super::AnsweredBy;
use super::CountKind;
use super::Decided;
use super::Told;
use crate::device::DeviceKey;
use crate::name::NAME_LEN_MAX;

/// The head: length, time, client, latency, QTYPE, RCODE, marks, the name's length.
const HEAD_LEN: usize = 2 + 8 + 16 + 4 + 2 + 2 + 1 + 1;
/// Names of lists and addresses of upstreams are of a person's choice; what is longer is cut off, in octets.
const SHORT_TEXT_MAX: usize = 100;
/// Rules of adblock lists may be as long as their authors like; what is longer is cut off, in octets.
const RULE_TEXT_MAX: usize = 200;
/// The longest record: another name and three texts, each behind an octet for its length.
pub(super) const RECORD_LEN_MAX: usize =
    HEAD_LEN + NAME_LEN_MAX + 1 + NAME_LEN_MAX + 3 + 2 * SHORT_TEXT_MAX + RULE_TEXT_MAX;

/// Bits of the marks: what is counted, who answered, whether texts follow.
const KIND: u8 = 0b0000_0011;
const ANSWERED_AT: u32 = 2;
const ANSWERED: u8 = 0b0000_0111;
const DETAILED: u8 = 0b1000_0000;

/// A record as it is written, in one place that is used again and again.
pub(super) struct Draft {
    octets: [u8; RECORD_LEN_MAX],
    length: usize,
}

impl Draft {
    pub(super) const fn new() -> Self {
        Self { octets: [0; RECORD_LEN_MAX], length: 0 }
    }

    /// Composes a record, with its texts when it is `detailed`.
    pub(super) fn compose(&mut self, told: &Told<'_>, detailed: bool) -> &[u8] {
        let (kind, rule) = match &told.decided {
            Decided::Pass => (CountKind::Pass, None),
            Decided::Allow(rule) => (CountKind::Allow, Some(rule)),
            Decided::Block(rule) if told.behind.is_some() => (CountKind::Cloaked, Some(rule)),
            Decided::Block(rule) => (CountKind::Block, Some(rule)),
        };
        let marks =
            kind as u8 | (told.answered.kind() as u8) << ANSWERED_AT | if detailed { DETAILED } else { 0 };
        let client = match told.client {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let name = told.name.as_wire();
        // Behind the length, which is known at the end.
        self.length = 2;
        self.push_number(told.at.as_microsecond().to_ne_bytes());
        self.push_number(client.octets());
        self.push_number(told.latency_us.to_ne_bytes());
        self.push_number(told.qtype.to_ne_bytes());
        self.push_number(told.rcode.to_ne_bytes());
        // A name has at most 255 octets.
        self.push_number([marks, u8::try_from(name.len()).unwrap_or_default()]);
        self.push(name);
        if let Some(behind) = told.behind.filter(|_| kind == CountKind::Cloaked) {
            let behind = behind.as_wire();
            self.push_number([u8::try_from(behind.len()).unwrap_or_default()]);
            self.push(behind);
        }
        if detailed {
            let upstream = if let AnsweredBy::Upstream(upstream) = told.answered { upstream } else { "" };
            self.push_text(&upstream, SHORT_TEXT_MAX);
            if let Some(rule) = rule {
                self.push_text(&rule.list, SHORT_TEXT_MAX);
                self.push_text(rule.rule, RULE_TEXT_MAX);
            }
        }
        let length = u16::try_from(self.length).unwrap_or_default();
        if let Some(place) = self.octets.first_chunk_mut() {
            *place = length.to_ne_bytes();
        }
        self.octets.get(..self.length).unwrap_or_default()
    }

    /// [`Self::push`] for a length that is known when this is compiled: a store instead of a call.
    #[inline(always)]
    fn push_number<const N: usize>(&mut self, octets: [u8; N]) {
        if let Some(place) = self.octets.get_mut(self.length..).and_then(|rest| rest.first_chunk_mut()) {
            *place = octets;
            self.length += N;
        }
    }

    fn push(&mut self, octets: &[u8]) {
        let end = self.length + octets.len();
        if let Some(place) = self.octets.get_mut(self.length..end) {
            place.copy_from_slice(octets);
            self.length = end;
        }
    }

    /// The length of a text, and as many of its characters as have room.
    fn push_text(&mut self, text: &dyn fmt::Display, length_max: usize) {
        let at = self.length;
        self.length += 1;
        let mut bounded = Bounded { draft: self, end: at + 1 + length_max };
        // Fails when the text is cut off.
        let _ = write!(bounded, "{text}");
        let length = u8::try_from(self.length - at - 1).unwrap_or_default();
        if let Some(place) = self.octets.get_mut(at) {
            *place = length;
        }
    }
}

/// Takes text up to a bound.
struct Bounded<'a> {
    draft: &'a mut Draft,
    end: usize,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = text.floor_char_boundary(self.end - self.draft.length);
        self.draft.push(text.get(..room).unwrap_or_default().as_bytes());
        // Nothing may follow what was cut off.
        if room < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// A record as it is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Record<'a> {
    pub(super) at_us: i64,
    /// The octets of the address, as they lie; one of IPv4 is mapped.
    pub(super) client: u128,
    pub(super) qtype: u16,
    pub(super) rcode: u16,
    pub(super) latency_us: u32,
    pub(super) kind: CountKind,
    /// An [`super::AnsweredKind`] as its number.
    pub(super) answered: u8,
    /// The QNAME in wire form.
    pub(super) name: &'a [u8],
    /// The name behind it in wire form, where a tracker hid there.
    pub(super) behind: Option<&'a [u8]>,
    /// What was written out, where the query is to be an event of its own.
    pub(super) detail: Option<Detail<'a>>,
}

/// The texts of a detailed record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Detail<'a> {
    pub(super) upstream: &'a str,
    pub(super) list: &'a str,
    pub(super) rule: &'a str,
}

impl<'a> Record<'a> {
    pub(super) const fn at_ms(&self) -> i64 {
        self.at_us.div_euclid(1000)
    }

    /// Reads what [`Draft::compose`] wrote.
    pub(super) fn read(octets: &'a [u8]) -> Option<Self> {
        let mut rest = Rest(octets.get(2..)?);
        let at_us = i64::from_ne_bytes(rest.take()?);
        let client = u128::from_ne_bytes(rest.take()?);
        let latency_us = u32::from_ne_bytes(rest.take()?);
        let qtype = u16::from_ne_bytes(rest.take()?);
        let rcode = u16::from_ne_bytes(rest.take()?);
        let [marks, name_len] = rest.take()?;
        let name = rest.slice(usize::from(name_len))?;
        let kind = match marks & KIND {
            0 => CountKind::Pass,
            1 => CountKind::Allow,
            2 => CountKind::Block,
            _ => CountKind::Cloaked,
        };
        let behind = match kind {
            CountKind::Cloaked => {
                let [length] = rest.take()?;
                Some(rest.slice(usize::from(length))?)
            }
            _ => None,
        };
        let answered = marks >> ANSWERED_AT & ANSWERED;
        let detail = if marks & DETAILED == 0 {
            None
        } else {
            let upstream = rest.text()?;
            let (list, rule) = if kind == CountKind::Pass { ("", "") } else { (rest.text()?, rest.text()?) };
            Some(Detail { upstream, list, rule })
        };
        Some(Self { at_us, client, qtype, rcode, latency_us, kind, answered, name, behind, detail })
    }

    /// Who asked.
    pub(super) fn key(&self) -> DeviceKey {
        DeviceKey::from_address(IpAddr::from(Ipv6Addr::from(self.client.to_ne_bytes())))
    }
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<&'a str> {
        let [length] = self.take()?;
        std::str::from_utf8(self.slice(usize::from(length))?).ok()
    }
}

/// Cuts the first record off; `None` when there is no whole one.
pub(super) fn split_first<'a>(records: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(u16::from_ne_bytes(*records.first_chunk()?));
    // A record is never shorter; a length of 0 would be read for ever.
    let (record, rest) = records.split_at_checked(length.max(HEAD_LEN))?;
    *records = rest;
    Some(record)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::event::RuleText;
    use crate::name::DomainName;

    #[test]
    fn a_text_is_cut_off_between_characters() {
        let name = DomainName::parse("a.example").unwrap();
        let long = format!("x{}", "é".repeat(150));
        let rule = RuleText { list: "mine", rule: &format_args!("||{long}^") };
        let told = Told {
            at: Timestamp::UNIX_EPOCH,
            client: [192, 0, 2, 1].into(),
            name: name.as_ref(),
            behind: None,
            qtype: 1,
            rcode: 0,
            latency_us: 0,
            answered: AnsweredBy::Sinkhole,
            decided: Decided::Block(rule),
        };
        let mut draft = Draft::new();
        let detail = Record::read(draft.compose(&told, true)).unwrap().detail.unwrap();
        assert_eq!(detail, Detail { upstream: "", list: "mine", rule: &format!("||x{}", "é".repeat(98)) });
    }

    proptest! {
        #[test]
        fn what_is_told_is_read(
            at_us in 0_i64..4_000_000_000_000_000,
            client: IpAddr,
            labels in proptest::collection::vec("[a-z]{1,20}", 0..8),
            numbers: (u16, u16, u32),
            answered in 0_u8..6,
            kind in 0_u8..4,
            texts in ("\\PC{0,200}", "\\PC{0,200}", "\\PC{0,300}"),
            detailed: bool,
        ) {
            let name = DomainName::parse(&labels.join(".")).unwrap_or_else(|_| DomainName::root());
            let rule = RuleText { list: &texts.1, rule: &texts.2 };
            let told = Told {
                at: Timestamp::from_microsecond(at_us).unwrap(),
                client,
                name: name.as_ref(),
                behind: (kind == 3).then(|| name.as_ref()),
                qtype: numbers.0,
                rcode: numbers.1,
                latency_us: numbers.2,
                answered: match answered {
                    0 => AnsweredBy::Sinkhole,
                    1 => AnsweredBy::Cache,
                    2 => AnsweredBy::Stale,
                    3 => AnsweredBy::Upstream(&texts.0),
                    4 => AnsweredBy::Nobody,
                    _ => AnsweredBy::Local,
                },
                decided: match kind {
                    0 => Decided::Pass,
                    1 => Decided::Allow(rule),
                    _ => Decided::Block(rule),
                },
            };
            let mut draft = Draft::new();
            let octets = draft.compose(&told, detailed).to_vec();
            prop_assert!(octets.len() <= RECORD_LEN_MAX);
            let mut rest = &*octets;
            prop_assert_eq!(split_first(&mut rest), Some(&*octets));
            prop_assert!(rest.is_empty());
            let record = Record::read(&octets).unwrap();
            prop_assert_eq!((record.at_us, record.key()), (at_us, DeviceKey::from_address(client)));
            prop_assert_eq!((record.qtype, record.rcode, record.latency_us), numbers);
            prop_assert_eq!((record.kind as u8, record.answered), (kind, answered));
            prop_assert_eq!(record.name, name.as_ref().as_wire());
            prop_assert_eq!(record.behind, (kind == 3).then(|| name.as_ref().as_wire()));
            prop_assert_eq!(record.detail.is_some(), detailed);
            if let Some(detail) = record.detail {
                let begins = |text: &str, of: &str, max: usize| {
                    of.starts_with(text) && (text == of || max - 4 < text.len())
                };
                let upstream = if answered == 3 { &*texts.0 } else { "" };
                let (list, rule) = if kind == 0 { ("", "") } else { (&*texts.1, &*texts.2) };
                prop_assert!(begins(detail.upstream, upstream, SHORT_TEXT_MAX));
                prop_assert!(begins(detail.list, list, SHORT_TEXT_MAX));
                prop_assert!(begins(detail.rule, rule, RULE_TEXT_MAX));
            }
        }

        #[test]
        fn reading_never_panics(octets: Vec<u8>) {
            let _ = Record::read(&octets);
            let mut rest = &*octets;
            while split_first(&mut rest).is_some() {}
        }
    }
}
