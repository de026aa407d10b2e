//! Records in the form of zone files (RFC 1035 section 5.1), turned into RDATA in wire form.

use std::net::IpAddr;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Answer, Record, Skip, hosts};
use crate::name::DomainName;
use crate::wire::type_by_name;

pub(super) const A: u16 = 1;
pub(super) const NS: u16 = 2;
pub(super) const CNAME: u16 = 5;
pub(super) const SOA: u16 = 6;
const PTR: u16 = 12;
const MX: u16 = 15;
pub(super) const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const DNAME: u16 = 39;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;

/// How many words a record may have; a `HTTPS` record with every parameter has a dozen.
const WORDS_MAX: usize = 24;
/// The longest character string (RFC 1035 section 3.3), in octets.
const STRING_LEN_MAX: usize = 255;

/// The words of a line of a zone file. Quoted strings keep their quotes, parentheses stand alone, comments are gone.
pub(super) struct Words<'a> {
    words: [&'a str; WORDS_MAX],
    count: usize,
}

impl<'a> Words<'a> {
    pub(super) fn of(line: &'a str) -> Result<Self, Skip> {
        let mut words = Self { words: [""; WORDS_MAX], count: 0 };
        let mut rest = line.trim_ascii_start();
        while let Some(first) = rest.bytes().next() {
            let end = match first {
                b';' => break,
                b'(' | b')' => 1,
                b'"' => 2 + closing_quote(rest.get(1..).unwrap_or_default()).ok_or(Skip::Malformed)?,
                _ => rest
                    .find(|character: char| {
                        character.is_ascii_whitespace() || matches!(character, ';' | '(' | ')' | '"')
                    })
                    .unwrap_or(rest.len()),
            };
            let (word, behind) = rest.split_at_checked(end).ok_or(Skip::Malformed)?;
            *words.words.get_mut(words.count).ok_or(Skip::Malformed)? = word;
            words.count += 1;
            rest = behind.trim_ascii_start();
        }
        Ok(words)
    }

    pub(super) fn as_slice(&self) -> &[&'a str] {
        self.words.get(..self.count).unwrap_or_default()
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|octet| {
        let ends = octet == b'"' && !is_escaped;
        is_escaped = octet == b'\\' && !is_escaped;
        ends
    })
}

/// The TYPE of a record and what stands behind it; TTL and class may stand before it, in either order.
pub(super) fn rtype<'w, 'a>(words: &'w [&'a str]) -> Option<(u16, &'w [&'a str])> {
    let (mut has_ttl, mut has_class) = (false, false);
    for (index, word) in words.iter().enumerate() {
        if !has_ttl && is_ttl(word) {
            has_ttl = true;
        } else if !has_class && ["IN", "CH", "HS"].iter().any(|class| class.eq_ignore_ascii_case(word)) {
            has_class = true;
        } else {
            // 128 to 255 are for questions only (RFC 6895 section 3.1): "for any reason" is no record.
            let rtype = type_by_name(word).filter(|rtype| !(128..=255).contains(rtype))?;
            return Some((rtype, words.get(index + 1..)?));
        }
    }
    None
}

/// Seconds, or BIND's `1h30m`.
fn is_ttl(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_digit())
        && word.bytes().all(|octet| octet.is_ascii_digit() || b"smhdwSMHDW".contains(&octet))
}

pub(super) fn address_record(address: IpAddr) -> Record {
    match address {
        IpAddr::V4(address) => Record { rtype: A, rdata: address.octets().into() },
        IpAddr::V6(address) => Record { rtype: AAAA, rdata: address.octets().into() },
    }
}

/// What a record answers; `None` for the address of a sinkhole, which is a block.
pub(super) fn answer(
    rtype: u16,
    data: &[&str],
    absolute: &impl Fn(&str) -> Result<DomainName, Skip>,
) -> Result<Option<Answer>, Skip> {
    match (rtype, data) {
        (CNAME, [target]) => {
            let (prefixed, target) =
                target.strip_prefix("*.").map_or((false, *target), |target| (true, target));
            Ok(Some(Answer::Cname { target: absolute(target)?, prefixed }))
        }
        _ => {
            let record = Record { rtype, rdata: rdata(rtype, data, absolute)? };
            let address = || data.first().and_then(|word| word.parse::<IpAddr>().ok());
            let is_block = matches!(rtype, A | AAAA) && address().is_some_and(hosts::is_sinkhole);
            Ok((!is_block).then(|| Answer::Records([record].into())))
        }
    }
}

/// Why a person's words are no RDATA.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RdataError {
    /// They do not fit the type.
    Malformed,
    /// Words for this type are not read.
    NotRead,
}

/// RDATA in wire form of what stands behind the type of a record, with all names absolute.
///
/// # Errors
/// When it can't be read.
pub fn parse_rdata(rtype: u16, text: &str) -> Result<Box<[u8]>, RdataError> {
    let words = Words::of(text).map_err(|_| RdataError::Malformed)?;
    let absolute = |word: &str| DomainName::parse(word).map_err(Skip::Name);
    rdata(rtype, words.as_slice(), &absolute).map_err(|skip| match skip {
        Skip::NotRead => RdataError::NotRead,
        _ => RdataError::Malformed,
    })
}

/// RDATA in wire form.
pub(super) fn rdata(
    rtype: u16,
    data: &[&str],
    absolute: &impl Fn(&str) -> Result<DomainName, Skip>,
) -> Result<Box<[u8]>, Skip> {
    let number = |word: &str| word.parse::<u16>().map(u16::to_be_bytes).map_err(|_| Skip::Malformed);
    let name = |word: &str| if word == "." { Ok(DomainName::root()) } else { absolute(word) };
    let mut wire = Vec::new();
    match (rtype, data) {
        // RFC 3597 section 5: any type.
        (_, ["\\#", length, hex @ ..]) => {
            let digits: String = hex.concat();
            let length: usize = length.parse().map_err(|_| Skip::Malformed)?;
            for pair in digits.as_bytes().chunks(2) {
                let pair = std::str::from_utf8(pair).map_err(|_| Skip::Malformed)?;
                wire.push(u8::from_str_radix(pair, 16).map_err(|_| Skip::Malformed)?);
            }
            if wire.len() != length || !digits.len().is_multiple_of(2) {
                return Err(Skip::Malformed);
            }
        }
        (A, [address]) => {
            wire.extend(address.parse::<Ipv4Addr>().map_err(|_| Skip::Malformed)?.octets());
        }
        (AAAA, [address]) => {
            wire.extend(address.parse::<Ipv6Addr>().map_err(|_| Skip::Malformed)?.octets());
        }
        (NS | CNAME | PTR | DNAME, [target]) => wire.extend(name(target)?.as_ref().as_wire()),
        (MX, [preference, exchange]) => {
            wire.extend(number(preference)?);
            wire.extend(name(exchange)?.as_ref().as_wire());
        }
        (SRV, [priority, weight, port, target]) => {
            for word in [priority, weight, port] {
                wire.extend(number(word)?);
            }
            wire.extend(name(target)?.as_ref().as_wire());
        }
        (TXT, [_, ..]) => {
            for word in data {
                let string = text(word);
                let length = string.len();
                // A longer one is cut into strings.
                for part in string.chunks(STRING_LEN_MAX) {
                    wire.push(u8::try_from(part.len()).map_err(|_| Skip::Malformed)?);
                    wire.extend(part);
                }
                if length == 0 {
                    wire.push(0);
                }
            }
        }
        (SVCB | HTTPS, [priority, target, parameters @ ..]) => {
            wire.extend(number(priority)?);
            wire.extend(name(target)?.as_ref().as_wire());
            service_parameters(parameters, &mut wire)?;
        }
        (A | AAAA | NS | CNAME | PTR | DNAME | MX | SRV | TXT | SVCB | HTTPS, _) => {
            return Err(Skip::Malformed);
        }
        _ => return Err(Skip::NotRead),
    }
    Ok(wire.into())
}

/// SvcParams (RFC 9460 section 2.2) that homes meet: `alpn`, `no-default-alpn`, `port`, `ipv4hint`, `ipv6hint`.
fn service_parameters(parameters: &[&str], wire: &mut Vec<u8>) -> Result<(), Skip> {
    let mut read: Vec<(u16, Vec<u8>)> = Vec::new();
    for parameter in parameters {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let mut octets = Vec::new();
        let key = match key {
            "alpn" => {
                for protocol in value.split(',') {
                    octets.push(u8::try_from(protocol.len()).map_err(|_| Skip::Malformed)?);
                    octets.extend(protocol.as_bytes());
                }
                1
            }
            "no-default-alpn" => 2,
            "port" => {
                octets.extend(value.parse::<u16>().map_err(|_| Skip::Malformed)?.to_be_bytes());
                3
            }
            "ipv4hint" => {
                for address in value.split(',') {
                    octets.extend(address.parse::<Ipv4Addr>().map_err(|_| Skip::Malformed)?.octets());
                }
                4
            }
            "ipv6hint" => {
                for address in value.split(',') {
                    octets.extend(address.parse::<Ipv6Addr>().map_err(|_| Skip::Malformed)?.octets());
                }
                6
            }
            _ => return Err(Skip::NotRead),
        };
        read.push((key, octets));
    }
    // In ascending order, each once.
    read.sort();
    if read.windows(2).any(|pair| matches!(pair, [one, other] if one.0 == other.0)) {
        return Err(Skip::Malformed);
    }
    for (key, octets) in read {
        wire.extend(key.to_be_bytes());
        wire.extend(u16::try_from(octets.len()).map_err(|_| Skip::Malformed)?.to_be_bytes());
        wire.extend(octets);
    }
    Ok(())
}

/// A character string, quoted or not, without its escapes (`\"`, `\059`).
fn text(word: &str) -> Vec<u8> {
    let word = word.strip_prefix('"').and_then(|word| word.strip_suffix('"')).unwrap_or(word);
    let mut rest = word.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        if octet != b'\\' {
            out.push(octet);
            continue;
        }
        let number = rest.get(..3).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u8>().ok());
        match (number, rest.split_first()) {
            (Some(number), _) => {
                out.push(number);
                rest = rest.get(3..).unwrap_or_default();
            }
            (None, Some((&escaped, behind))) => {
                out.push(escaped);
                rest = behind;
            }
            (None, None) => {}
        }
    }
    out
}
