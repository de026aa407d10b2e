//! A record of the house, and how a person writes one.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::list::{RdataError, parse_rdata};
use crate::name::{DomainName, NameError};
use crate::wire::{qtype, type_by_name, type_name};

/// A TTL is at most a week, in seconds: what a person changes is seen at last.
const TTL_MAX_SECS: u32 = 7 * 86_400;

/// A record that is answered with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LocalRecord {
    /// The TYPE.
    pub rtype: u16,
    /// How long clients may keep it, in seconds.
    pub ttl_secs: u32,
    /// The RDATA, uncompressed.
    pub rdata: Box<[u8]>,
    /// The name that a CNAME leads to.
    pub(super) target: Option<DomainName>,
    /// Where it comes from.
    pub origin: Origin,
}

impl LocalRecord {
    /// The address of an A or AAAA record.
    pub fn address(&self) -> Option<IpAddr> {
        match self.rtype {
            qtype::A => <[u8; 4]>::try_from(&*self.rdata).ok().map(IpAddr::from),
            qtype::AAAA => <[u8; 16]>::try_from(&*self.rdata).ok().map(IpAddr::from),
            _ => None,
        }
    }

    /// Its type, and its data where they are an address or a name.
    pub fn describe(&self) -> String {
        let data = match self.rtype {
            qtype::CNAME | qtype::PTR => DomainName::from_wire(&self.rdata).ok().map(|name| name.to_string()),
            _ => self.address().map(|address| address.to_string()),
        };
        let rtype = type_name(self.rtype);
        data.map_or_else(|| rtype.to_string(), |data| format!("{rtype} {data}"))
    }
}

/// Where a record comes from. Of what is said of the same, that of the first of these counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// A line of the configuration, from 1 on.
    Config(u32),
    /// A line of this hosts file, from 1 on.
    Hosts(Arc<str>, u32),
    /// A device that told its name when it was given an address.
    Lease,
    /// The RFCs.
    Standard,
}

impl Origin {
    /// Who has the last word: the lesser one.
    pub(super) const fn rank(&self) -> u8 {
        match self {
            Self::Config(_) => 0,
            Self::Hosts(..) => 1,
            Self::Lease => 2,
            Self::Standard => 3,
        }
    }
}

/// `FILE line N`, short enough for the EXTRA-TEXT of an extended error.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(line) => write!(f, "local.records, line {line} of the configuration"),
            Self::Hosts(file, line) => write!(f, "{file} line {line}"),
            Self::Lease => f.write_str("a DHCP lease"),
            Self::Standard => f.write_str("localhost is each machine itself (RFC 6761)"),
        }
    }
}

/// A record as a person wrote it: `NAME [TTL] [IN] [TYPE] DATA`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WrittenRecord {
    /// The owner, or what stands behind the `*.` of it.
    pub owner: DomainName,
    /// Whether it is for all names below the owner.
    pub wildcard: bool,
    /// The TTL, in seconds; `None`: as usual.
    pub ttl_secs: Option<u32>,
    /// The TYPE.
    pub rtype: u16,
    /// The RDATA, uncompressed.
    pub rdata: Box<[u8]>,
    target: Option<DomainName>,
}

impl WrittenRecord {
    /// Reads a record in the form of zone files (RFC 1035 section 5.1), all names absolute. Without TYPE, an address stands
    /// for A or AAAA, and a name for CNAME: `tv.example 192.168.1.9`, `ads.example other.example`.
    ///
    /// # Errors
    /// What is wrong with it, and how to write it.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let mut words = text.split_ascii_whitespace();
        let name = words.next().ok_or(RecordError::Empty)?;
        let (wildcard, name) = match name.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, name),
        };
        let owner = DomainName::parse(name).map_err(|error| RecordError::Name(name.to_owned(), error))?;
        let mut rest = text.trim_ascii_start();
        let mut next = || {
            rest = rest
                .trim_ascii_start()
                .split_once(|c: char| c.is_ascii_whitespace())
                .map_or("", |(_, rest)| rest);
            rest.trim_ascii_start()
        };
        let mut data = next();
        let mut ttl_secs = None;
        loop {
            let word = data.split_ascii_whitespace().next().ok_or(RecordError::NoData)?;
            let is_last = data.split_ascii_whitespace().nth(1).is_none();
            if word.eq_ignore_ascii_case("IN") && !is_last {
                data = next();
            } else if ttl_secs.is_none()
                && !is_last
                && word.starts_with(|c: char| c.is_ascii_digit())
                && !word.contains(['.', ':'])
            {
                ttl_secs = Some(ttl(word)?);
                data = next();
            } else {
                break;
            }
        }
        let word = data.split_ascii_whitespace().next().ok_or(RecordError::NoData)?;
        let is_alone = data.split_ascii_whitespace().nth(1).is_none();
        let (rtype, data) = match (is_alone, word.parse::<IpAddr>()) {
            (true, Ok(IpAddr::V4(_))) => (qtype::A, data),
            (true, Ok(IpAddr::V6(_))) => (qtype::AAAA, data),
            (true, Err(_)) if type_by_name(word).is_none() => (qtype::CNAME, data),
            _ => (type_by_name(word).ok_or_else(|| RecordError::Type(word.to_owned()))?, next()),
        };
        if is_kept_for_zones(rtype) {
            return Err(RecordError::Zone(type_name(rtype).into_owned()));
        }
        let rdata = parse_rdata(rtype, data).map_err(|problem| match problem {
            RdataError::Malformed => RecordError::Data(type_name(rtype).into_owned(), data.to_owned()),
            RdataError::NotRead => RecordError::NotRead(type_name(rtype).into_owned()),
        })?;
        let target = (rtype == qtype::CNAME).then(|| DomainName::from_wire(&rdata)).transpose();
        let target = target.map_err(|error| RecordError::Name(data.trim().to_owned(), error))?;
        Ok(Self { owner, wildcard, ttl_secs, rtype, rdata, target })
    }

    /// The name that a CNAME leads to.
    pub const fn target(&self) -> Option<&DomainName> {
        self.target.as_ref()
    }

    /// The record, to be answered with.
    pub(super) fn to_local(&self, ttl_secs: u32, origin: Origin) -> LocalRecord {
        LocalRecord {
            rtype: self.rtype,
            ttl_secs: self.ttl_secs.unwrap_or(ttl_secs),
            rdata: self.rdata.clone(),
            target: self.target.clone(),
            origin,
        }
    }
}

/// Those that say how a zone is served are ours to say, and there is nothing signed here.
const fn is_kept_for_zones(rtype: u16) -> bool {
    matches!(rtype, 2 | qtype::SOA | 39 | qtype::OPT | qtype::DS | 46..=48 | 50 | 128..=255 | 0)
}

/// Seconds, or BIND's `1h30m`.
fn ttl(word: &str) -> Result<u32, RecordError> {
    let wrong = || RecordError::Ttl(word.to_owned());
    let (mut secs, mut number) = (0_u32, None::<u32>);
    for character in word.chars() {
        if let Some(digit) = character.to_digit(10) {
            number = number.unwrap_or_default().checked_mul(10).and_then(|number| number.checked_add(digit));
            number.ok_or_else(wrong)?;
            continue;
        }
        let unit = match character.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(wrong()),
        };
        let part = number.take().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)?;
        secs = secs.checked_add(part).ok_or_else(wrong)?;
    }
    let secs = secs.checked_add(number.unwrap_or_default()).ok_or_else(wrong)?;
    if TTL_MAX_SECS < secs { Err(wrong()) } else { Ok(secs) }
}

/// What is wrong with a record that a person wrote.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RecordError {
    #[error("the record is empty; write `NAME TYPE DATA`, such as `nas.home.arpa A 192.168.1.5`")]
    Empty,
    #[error("`{0}` is no name: {1}")]
    Name(String, NameError),
    #[error("the record ends behind its name; write `NAME TYPE DATA`, such as `nas.home.arpa A 192.168.1.5`")]
    NoData,
    #[error("`{0}` is no type of record; expected A, AAAA, CNAME, PTR, SRV, TXT, MX, HTTPS or SVCB")]
    Type(String),
    #[error("`{1}` is not the data of a record of type {0}; see the examples in config/pixelsink.toml")]
    Data(String, String),
    #[error("data of type {0} is not read here; write it as `\\# LENGTH HEX` (RFC 3597)")]
    NotRead(String),
    #[error("a record of type {0} is not for a person to write; zones of the house are made by themselves")]
    Zone(String),
    #[error("`{0}` is no time to live; write seconds, or `5m`, up to a week")]
    Ttl(String),
}

/// The reverse name of an address (RFC 1035 section 3.5, RFC 3596 section 2.5).
pub(super) fn reverse_name(address: IpAddr) -> Option<DomainName> {
    let text = match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            let mut text: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            text.push_str("ip6.arpa");
            text
        }
    };
    DomainName::parse(&text).ok()
}

/// The record of an address.
pub(super) fn address_record(address: IpAddr, ttl_secs: u32, origin: Origin) -> LocalRecord {
    let (rtype, rdata): (_, Box<[u8]>) = match address {
        IpAddr::V4(address) => (qtype::A, address.octets().into()),
        IpAddr::V6(address) => (qtype::AAAA, address.octets().into()),
    };
    LocalRecord { rtype, ttl_secs, rdata, target: None, origin }
}

/// The record that names an address.
pub(super) fn pointer_record(name: &DomainName, ttl_secs: u32, origin: Origin) -> LocalRecord {
    let rdata = name.as_ref().as_wire().into();
    LocalRecord { rtype: qtype::PTR, ttl_secs, rdata, target: None, origin }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let said = match WrittenRecord::parse(text) {
            Ok(record) => {
                let star = if record.wildcard { "*." } else { "" };
                let ttl = record.ttl_secs.map(|secs| format!(" {secs}")).unwrap_or_default();
                let octets = record.rdata.len();
                format!("{star}{}{ttl} {} {octets}", record.owner, type_name(record.rtype))
            }
            Err(error) => error.to_string().split([';', ':']).next().unwrap_or_default().to_owned(),
        };
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn a_record_is_read_as_zone_files_have_it() {
        check("nas.home.arpa A 192.168.1.5", "nas.home.arpa A 4");
        check("nas.home.arpa. 300 IN A 192.168.1.5", "nas.home.arpa 300 A 4");
        check("NAS.home.arpa IN 1h30m AAAA fd00::5", "nas.home.arpa 5400 AAAA 16");
        check("tv 192.168.1.9", "tv A 4");
        check("tv 60 fd00::9", "tv 60 AAAA 16");
        check("*.dev.home.arpa 192.168.1.7", "*.dev.home.arpa A 4");
        check("media.home.arpa CNAME nas.home.arpa", "media.home.arpa CNAME 15");
        check("media.home.arpa nas.home.arpa.", "media.home.arpa CNAME 15");
        check("5.1.168.192.in-addr.arpa PTR nas.home.arpa", "5.1.168.192.in-addr.arpa PTR 15");
        check("_http._tcp.home.arpa SRV 0 5 80 nas.home.arpa", "_http._tcp.home.arpa SRV 21");
        check("home.arpa MX 10 nas.home.arpa", "home.arpa MX 17");
        check("home.arpa TXT \"two words\" three", "home.arpa TXT 16");
        check("nas.home.arpa HTTPS 1 . alpn=h2 ipv4hint=192.168.1.5", "nas.home.arpa HTTPS 18");
        check("nas.home.arpa TYPE65280 \\# 2 ab01", "nas.home.arpa TYPE65280 2");
    }

    #[test]
    fn what_is_no_record_is_refused_with_the_reason() {
        check("", "the record is empty");
        check("nas.home.arpa", "the record ends behind its name");
        check("nas..arpa A 192.168.1.5", "`nas..arpa` is no name");
        check("nas.home.arpa A 192.168.1.500", "`192.168.1.500` is not the data of a record of type A");
        check("nas.home.arpa A", "`` is not the data of a record of type A");
        check("nas.home.arpa B 192.168.1.5", "`B` is no type of record");
        check("nas.home.arpa SOA a. b. 1 1 1 1 1", "a record of type SOA is not for a person to write");
        check("nas.home.arpa ANY 1", "a record of type ANY is not for a person to write");
        check("nas.home.arpa 99999999999 A 192.168.1.5", "`99999999999` is no time to live");
        check("nas.home.arpa 5x A 192.168.1.5", "`5x` is no time to live");
        check("nas.home.arpa MX nas.home.arpa", "`nas.home.arpa` is not the data of a record of type MX");
        check("nas.home.arpa CNAME a b", "`a b` is not the data of a record of type CNAME");
        check("nas.home.arpa CAA 0 issue \"x\"", "data of type CAA is not read here");
    }

    #[test]
    fn an_address_has_a_reverse_name() {
        let reverse = |text: &str| reverse_name(text.parse().unwrap()).unwrap().to_string();
        assert_eq!(reverse("192.168.1.5"), "5.1.168.192.in-addr.arpa");
        let v6 = "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
        assert_eq!(reverse("fd00::5"), v6);
    }
}
