//! The value of `$dnsrewrite` (AdGuard, "DNS filtering rules syntax").

use std::net::IpAddr;

use super::record::{self, Words, address_record};
use super::{Action, Answer, Record, Skip};
use crate::name::DomainName;
use crate::wire::type_by_name;

/// `NXDOMAIN`, an address, a name, or `RCODE;TYPE;VALUE`. Without a value, in an exception, it is all answers of rules.
pub(super) fn read(value: &str, action: Action) -> Result<Answer, Skip> {
    if value.is_empty() {
        return if action == Action::Allow { Ok(Answer::Records([].into())) } else { Err(Skip::Modifier) };
    }
    let mut parts = value.splitn(3, ';');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(rcode), Some(rtype), Some(data)) => full(rcode, rtype, data),
        (Some(short), None, None) => self::short(short),
        _ => Err(Skip::Modifier),
    }
}

fn short(value: &str) -> Result<Answer, Skip> {
    if value.bytes().all(|octet| octet.is_ascii_uppercase()) {
        return rcode(value);
    }
    if let Ok(address) = value.parse::<IpAddr>() {
        return Ok(Answer::Records([address_record(address)].into()));
    }
    alias(value)
}

/// The keywords are in capitals.
fn rcode(word: &str) -> Result<Answer, Skip> {
    match word {
        "NOERROR" => Ok(Answer::NoData),
        "NXDOMAIN" => Ok(Answer::NxDomain),
        "REFUSED" => Ok(Answer::Refused),
        "SERVFAIL" | "FORMERR" | "NOTIMP" => Err(Skip::NotRead),
        _ => Err(Skip::Modifier),
    }
}

fn alias(value: &str) -> Result<Answer, Skip> {
    Ok(Answer::Cname { target: name(value)?, prefixed: false })
}

fn name(value: &str) -> Result<DomainName, Skip> {
    DomainName::parse(value).map_err(|_| Skip::Modifier)
}

fn full(code: &str, rtype: &str, data: &str) -> Result<Answer, Skip> {
    let answer = rcode(&code.to_ascii_uppercase())?;
    if answer != Answer::NoData || rtype.is_empty() && data.is_empty() {
        return Ok(answer);
    }
    let rtype = type_by_name(rtype).ok_or(Skip::Modifier)?;
    if rtype == record::CNAME {
        return alias(data);
    }
    let text = |data: &str| format!("\"{}\"", data.replace('\\', "\\\\").replace('"', "\\\""));
    // A TXT is one string, blanks and all.
    let data = if rtype == record::TXT { text(data) } else { data.to_owned() };
    let words = Words::of(&data)?;
    let rdata = record::rdata(rtype, words.as_slice(), &name).map_err(|skip| match skip {
        Skip::Malformed => Skip::Modifier,
        other => other,
    })?;
    Ok(Answer::Records([Record { rtype, rdata }].into()))
}
