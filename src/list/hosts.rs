//! Names that stand for themselves: hosts lines (hosts(5)), plain names, `*.name` and `.name`.

use std::net::IpAddr;

use super::line::Reader;
use super::{Action, Format, Rule, Scope, Skip};
use crate::name::DomainName;

/// Names that hosts files begin with; they are the machine's own and never a tracker's.
const OWN_NAMES: &[&str] = &[
    "localhost",
    "localhost.localdomain",
    "local",
    "localdomain",
    "broadcasthost",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
    "ip6-allhosts",
    "0.0.0.0",
];

/// How nearly all hosts lines begin.
const SINKHOLES: [&[u8]; 4] = [b"0.0.0.0", b"127.0.0.1", b"::1", b"::"];

/// The lines that nearly all of a list is made of: `||name^`, a sinkhole's address and ordinary names, such a name alone.
/// `None` for all else, which [`Reader`] looks at more closely, and which may be one of these nevertheless.
pub(super) fn quick(line: &[u8], reader: &Reader, rules: &mut Vec<Rule>) -> Option<Format> {
    let configured = reader.options.format;
    let takes = |format: Format| configured.is_none_or(|configured| configured == format);
    let scope = if reader.options.subdomains { Scope::Subtree } else { Scope::Exact };
    if let Some(rule) = line.strip_prefix(b"||") {
        let name = quick_name(rule.strip_suffix(b"^")?).filter(|_| takes(Format::Adblock))?;
        rules.push(Rule::plain(name, Scope::Subtree, Action::Block, 0));
        return Some(Format::Adblock);
    }
    let is_sinkhole = |start: &&[u8]| {
        line.strip_prefix(*start).is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_whitespace))
    };
    if let Some(names) =
        SINKHOLES.iter().find(|start| is_sinkhole(start)).and_then(|start| line.get(start.len()..))
    {
        if !takes(Format::Hosts) {
            return None;
        }
        let mut names = names.trim_ascii_start();
        while !names.is_empty() {
            let end = names.iter().position(u8::is_ascii_whitespace).unwrap_or(names.len());
            let (name, rest) = names.split_at(end);
            if name.starts_with(b"#") {
                break;
            }
            rules.push(Rule::plain(quick_name(name)?, scope, Action::Block, 0));
            names = rest.trim_ascii_start();
        }
        return (!rules.is_empty()).then_some(Format::Hosts);
    }
    // A name that begins with a hyphen may be a piece of a URL.
    if reader.is_adblock || !takes(Format::Domains) || line.starts_with(b"-") {
        return None;
    }
    rules.push(Rule::plain(quick_name(line)?, scope, Action::Block, 0));
    Some(Format::Domains)
}

/// A name of two labels or more that is nothing special.
fn quick_name(text: &[u8]) -> Option<DomainName> {
    // Addresses end in digits; `localdomain` and `arpa` in what few names do.
    let (last, rest) = text.split_last()?;
    if !last.is_ascii_alphabetic()
        || !rest.contains(&b'.')
        || text.ends_with(b"arpa")
        || text.ends_with(b"domain")
    {
        return None;
    }
    DomainName::from_ascii(text).ok()
}

/// The address that a hosts line begins with; `fe80::1%lo0` has a zone.
pub(super) fn address(line: &str) -> Option<IpAddr> {
    if !line.starts_with(|first: char| first.is_ascii_hexdigit() || first == ':') {
        return None;
    }
    line.split_ascii_whitespace().next()?.split('%').next()?.parse().ok()
}

/// Whether names are given this address to lead nowhere.
pub(super) fn is_sinkhole(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_unspecified() || address.is_loopback()
}

pub(super) fn read(line: &str, reader: &Reader, rules: &mut Vec<Rule>) -> Result<(), Skip> {
    let names = || line.split_ascii_whitespace().skip(1);
    let is_sinkhole = address(line).is_some_and(is_sinkhole);
    if names().next().is_none() {
        return Err(Skip::BareAddress);
    }
    if !is_sinkhole && !names().all(is_own) {
        return Err(Skip::RealAddress);
    }
    let scope = if reader.options.subdomains { Scope::Subtree } else { Scope::Exact };
    for text in names().filter(|name| !is_own(name)) {
        // Behind the first word that is no name stands a comment, whatever it begins with; names in it are not meant.
        match name(text, scope) {
            Ok(name) if rules.is_empty() || 1 < name.as_ref().label_count() => {
                rules.push(Rule::plain(name, scope, Action::Block, 0));
            }
            Err(skip) if rules.is_empty() => return Err(skip),
            _ => break,
        }
    }
    if rules.is_empty() { Err(Skip::OwnNames) } else { Ok(()) }
}

pub(super) fn read_name(line: &str, reader: &Reader, rules: &mut Vec<Rule>) -> Result<(), Skip> {
    let scope = if reader.options.subdomains { Scope::Subtree } else { Scope::Exact };
    rules.push(Rule::plain(name(line, scope)?, scope, Action::Block, 0));
    Ok(())
}

/// The name of a `*.name` or `.name` line: nothing that is the sign of a URL.
pub(super) fn wildcard(line: &str) -> Option<&str> {
    let belongs = |character: char| character.is_alphanumeric() || matches!(character, '-' | '_' | '.');
    line.strip_prefix("*.")
        .or_else(|| line.strip_prefix('.'))
        .filter(|name| !name.is_empty() && name.chars().all(belongs))
}

pub(super) fn read_wildcard(text: &str, rules: &mut Vec<Rule>) -> Result<(), Skip> {
    rules.push(Rule::plain(name(text, Scope::Subtree)?, Scope::Subtree, Action::Block, 0));
    Ok(())
}

fn is_own(name: &str) -> bool {
    OWN_NAMES.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// A name that a list may speak of: the machine's own and the reverse names as a whole are not.
pub(super) fn name(text: &str, scope: Scope) -> Result<DomainName, Skip> {
    if matches!(text, "." | "*") {
        return Err(Skip::TooWide);
    }
    let undotted = text.strip_suffix('.').unwrap_or(text);
    if undotted.ends_with(|last: char| last.is_ascii_hexdigit() || last == ':')
        && undotted.parse::<IpAddr>().is_ok()
    {
        return Err(Skip::BareAddress);
    }
    if is_own(undotted) {
        return Err(Skip::OwnNames);
    }
    let name = DomainName::parse(text).map_err(Skip::Name)?;
    let is_reverse = || name.as_ref().labels().last() == Some(b"arpa");
    if scope != Scope::Exact && is_reverse() { Err(Skip::TooWide) } else { Ok(name) }
}
