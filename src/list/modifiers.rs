//! `$modifiers` of Adblock rules that DNS can apply (AdGuard, "DNS filtering rules syntax").

use ipnet::IpNet;

use super::{Action, Chosen, Client, Modifiers, Picked, Skip, rewrite};
use crate::name::DomainName;
use crate::wire::type_by_name;

/// Those that could be applied to a name; all others need a browser.
const DNS_MODIFIERS: &[&str] =
    &["important", "badfilter", "client", "ctag", "denyallow", "dnstype", "dnsrewrite"];

/// Reads all modifiers of a rule, or none: a rule is never half applied.
pub(super) fn read(text: &str, action: Action) -> Result<Modifiers, Skip> {
    let parts = || {
        split(text, ',')
            .map(|part| part.split_once('=').map_or((part, None), |(key, value)| (key, Some(value))))
    };
    if parts().any(|(key, _)| !DNS_MODIFIERS.contains(&key.trim())) {
        return Err(Skip::BrowserOnly);
    }
    let mut modifiers = Modifiers::default();
    let mut seen = Vec::new();
    for (key, value) in parts() {
        let key = key.trim();
        if seen.contains(&key) {
            return Err(Skip::Modifier);
        }
        seen.push(key);
        match (key, value) {
            ("important", None) => modifiers.important = true,
            ("badfilter", None) => modifiers.badfilter = true,
            ("denyallow", Some(value)) => modifiers.except = names(value)?,
            ("dnstype", Some(value)) => modifiers.qtypes = Some(qtypes(value)?),
            ("client", Some(value)) => modifiers.clients = Some(picked(value, client)?),
            ("ctag", Some(value)) => modifiers.tags = Some(picked(value, tag)?),
            ("dnsrewrite", value) => {
                modifiers.answer = Some(rewrite::read(value.unwrap_or_default(), action)?);
            }
            _ => return Err(Skip::Modifier),
        }
    }
    Ok(modifiers)
}

/// The parts between separators that no backslash escapes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_escaped = false;
    text.split(move |character: char| {
        let splits = character == separator && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        splits
    })
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Box<[T]> {
    values.sort();
    values.dedup();
    values.into()
}

fn names(value: &str) -> Result<Box<[DomainName]>, Skip> {
    let names = value.split('|').map(|name| DomainName::parse(name.trim()));
    names.collect::<Result<Vec<_>, _>>().map(sorted).map_err(|_| Skip::Modifier)
}

/// With a type that is asked for, those that are not say nothing more.
fn qtypes(value: &str) -> Result<Chosen<u16>, Skip> {
    let (mut only, mut except) = (Vec::new(), Vec::new());
    for word in value.split('|').map(str::trim) {
        let (list, word) = word.strip_prefix('~').map_or((&mut only, word), |word| (&mut except, word));
        list.push(type_by_name(word).ok_or(Skip::Modifier)?);
    }
    Ok(if only.is_empty() { Chosen::Except(sorted(except)) } else { Chosen::Only(sorted(only)) })
}

pub(super) fn picked<T: Ord>(value: &str, read: impl Fn(&str) -> Option<T>) -> Result<Picked<T>, Skip> {
    let (mut only, mut except) = (Vec::new(), Vec::new());
    for word in split(value, '|').map(str::trim) {
        let (list, word) = word.strip_prefix('~').map_or((&mut only, word), |word| (&mut except, word));
        list.push(read(word).ok_or(Skip::Modifier)?);
    }
    Ok(Picked { only: sorted(only), except: sorted(except) })
}

/// An address, a prefix, a MAC, or a name, which may stand in quotes.
pub(super) fn client(word: &str) -> Option<Client> {
    if let Some(mac) = mac(word) {
        return Some(Client::Mac(mac));
    }
    if let Ok(address) = word.parse::<std::net::IpAddr>() {
        return Some(Client::Address(IpNet::from(address)));
    }
    if let Ok(net) = word.parse::<IpNet>() {
        return Some(Client::Address(net.trunc()));
    }
    let bare = ['"', '\''].into_iter().find_map(|quote| word.strip_prefix(quote)?.strip_suffix(quote));
    let mut name = String::new();
    let mut rest = bare.unwrap_or(word).chars();
    while let Some(character) = rest.next() {
        match character {
            '\\' => name.push(rest.next()?),
            // A quote that is not closed.
            '"' | '\'' if bare.is_none() && name.is_empty() => return None,
            _ => name.push(character),
        }
    }
    (!name.is_empty()).then(|| Client::Name(name.into()))
}

/// `aa:bb:cc:dd:ee:ff`, with colons or hyphens.
fn mac(word: &str) -> Option<[u8; 6]> {
    let mut octets = [0; 6];
    let mut parts = word.split([':', '-']);
    for octet in &mut octets {
        let is_hex = |part: &&str| part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
        *octet = u8::from_str_radix(parts.next().filter(is_hex)?, 16).ok()?;
    }
    parts.next().is_none().then_some(octets)
}

fn tag(word: &str) -> Option<Box<str>> {
    let is_tag = !word.is_empty()
        && word.bytes().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_');
    is_tag.then(|| word.into())
}
