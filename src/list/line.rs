//! One line of a list, taken for what its shape says.

use std::net::IpAddr;

use super::{Action, Format, LINE_LEN_MAX, ParseOptions, Scope, Skip};
use crate::name::DomainName;

/// What a line is.
pub(super) enum Line {
    Blank,
    Comment,
    Rules(Format),
    Skip(Skip),
}

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

/// What separates a site from a cosmetic rule in the Adblock syntax.
const COSMETIC: &[&str] =
    &["##", "#@#", "#?#", "#@?#", "#$#", "#@$#", "#$?#", "#@$?#", "#%#", "#@%#", "$$", "$@$"];

/// How lines of dnsmasq and unbound begin.
const OTHER_PROGRAMS: &[&str] =
    &["address=/", "local=/", "server=/", "ipset=/", "nftset=/", "server:", "local-zone:", "local-data:"];

/// Words of the lines of a zone file, RPZ among them.
const ZONE_WORDS: &[&str] = &["CNAME", "SOA", "NS", "IN", "$TTL", "$ORIGIN"];

/// Modifiers that could be applied to a name (AdGuard, "DNS filtering rules syntax"); all others need a browser.
const DNS_MODIFIERS: &[&str] =
    &["important", "badfilter", "client", "ctag", "denyallow", "dnstype", "dnsrewrite"];

/// Whether the text says of itself that it is of the Adblock syntax, in which a line is part of a URL unless it says
/// otherwise: `.beacon.min.js` and `_trackers.` are no names there.
pub(super) fn is_adblock_header(line: &str) -> bool {
    line.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("[adblock"))
}

/// Reads a line without surrounding white space and hands its rules to `add`.
///
/// `adblock` says that the text had an Adblock header.
pub(super) fn read(
    line: &str,
    adblock: bool,
    options: ParseOptions,
    add: &mut impl FnMut(DomainName, Scope, Action),
) -> Line {
    if line.is_empty() {
        return Line::Blank;
    }
    if LINE_LEN_MAX < line.len() {
        return Line::Skip(Skip::TooLong);
    }
    if is_comment(line) {
        return Line::Comment;
    }
    match rules(line, adblock, options, add) {
        Ok(format) => Line::Rules(format),
        Err(skip) => Line::Skip(skip),
    }
}

fn is_comment(line: &str) -> bool {
    let cosmetic = ["##", "#@#", "#?#", "#$#", "#%#"].into_iter().any(|mark| {
        let selector = line.strip_prefix(mark).unwrap_or_default();
        selector.starts_with(|first: char| !first.is_whitespace() && first != '#')
    });
    (line.starts_with('#') && !cosmetic) || line.starts_with(['!', ';']) || is_adblock_header(line)
}

fn rules(
    line: &str,
    adblock: bool,
    options: ParseOptions,
    add: &mut impl FnMut(DomainName, Scope, Action),
) -> Result<Format, Skip> {
    let (format, names) = recognise(line, adblock)?;
    if options.format.is_some_and(|configured| configured != format) {
        return Err(Skip::OtherFormat);
    }
    let mut error = Skip::OwnNames;
    let mut any = false;
    for (name, scope, action) in names {
        let scope = if scope == Scope::Exact && options.subdomains { Scope::Subtree } else { scope };
        if is_own(name) {
            continue;
        }
        match checked(name, scope) {
            Ok(name) => {
                any = true;
                add(name, scope, action);
            }
            // Behind the first word that is no name stands a comment, whatever it begins with; names in it are not meant.
            Err(skip) => {
                error = skip;
                break;
            }
        }
    }
    if any { Ok(format) } else { Err(error) }
}

type Named<'a> = (&'a str, Scope, Action);

/// Tells the syntax of a line by its shape, and the names in it.
fn recognise(line: &str, in_adblock: bool) -> Result<(Format, Vec<Named<'_>>), Skip> {
    if line.contains(['#', '$']) && COSMETIC.iter().any(|mark| line.contains(mark)) {
        // `a.example ## comment` is a comment behind a name.
        let mark = line.find("##").or_else(|| line.find('#')).or_else(|| line.find('$')).unwrap_or_default();
        let (before, behind) = line.split_at_checked(mark).unwrap_or_default();
        let selects = behind.trim_start_matches('#').starts_with(|first: char| !first.is_whitespace());
        if !before.ends_with(char::is_whitespace) || behind.starts_with("##") && selects {
            return Err(Skip::BrowserOnly);
        }
    }
    // A comment behind a rule; what stands at once behind a `#` and is no word belongs to a browser.
    let line = match line.split_once('#') {
        Some((rule, comment)) => {
            let is_comment = rule.ends_with(char::is_whitespace)
                || comment.starts_with(|first: char| first.is_alphanumeric() || first.is_whitespace())
                || comment.is_empty();
            if !is_comment || (!rule.ends_with(char::is_whitespace) && rule.contains(['|', '/'])) {
                return Err(Skip::BrowserOnly);
            }
            rule.trim_end()
        }
        None => line,
    };
    if line.starts_with("||") || line.starts_with("@@") || line.starts_with('|') {
        return adblock(line).map(|name| (Format::Adblock, vec![name]));
    }
    if line.starts_with('/') {
        // `/…/` is a regular expression; anything else that begins with a slash is a path.
        let regex = 1 < line.len() && line.ends_with('/');
        return Err(if regex { Skip::NotRead } else { Skip::BrowserOnly });
    }
    if OTHER_PROGRAMS.iter().any(|start| line.starts_with(start)) || line.starts_with('^') {
        return Err(Skip::NotRead);
    }
    let mut words = line.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    // `fe80::1%lo0 localhost`: the address has a zone.
    if let Ok(address) = first.split('%').next().unwrap_or_default().parse::<IpAddr>() {
        let names: Vec<_> = words.map(|name| (name, Scope::Exact, Action::Block)).collect();
        let is_sinkhole = address.is_unspecified() || address.is_loopback();
        return match (names.is_empty(), is_sinkhole || names.iter().all(|named| is_own(named.0))) {
            (true, _) => Err(Skip::BareAddress),
            (false, false) => Err(Skip::RealAddress),
            (false, true) => Ok((Format::Hosts, names)),
        };
    }
    let wildcard = line.strip_prefix("*.").or_else(|| line.strip_prefix('.'));
    if let Some(name) = wildcard.filter(|name| !in_adblock && name.chars().all(belongs_into_name)) {
        return Ok((Format::Wildcard, vec![(name, Scope::Subtree, Action::Block)]));
    }
    if line.split_ascii_whitespace().take(4).any(|word| ZONE_WORDS.contains(&word)) {
        return Err(Skip::NotRead);
    }
    let browser_pattern = line.starts_with(['-', '&', '?', '=', ':', '*', '.', ','])
        || (in_adblock && (line.starts_with('_') || line.ends_with(['.', '_', '-'])))
        || line.contains(['/', '?', '=', '&', '*', '$', '^']);
    if browser_pattern && !line.contains(['<', '>', ' ']) {
        return Err(Skip::BrowserOnly);
    }
    Ok((Format::Domains, vec![(line, Scope::Exact, Action::Block)]))
}

fn is_own(name: &str) -> bool {
    OWN_NAMES.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// What is not a sign of a URL; whether it really is a name is told by [`DomainName::parse`].
fn belongs_into_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '-' | '_' | '.')
}

/// `||name^`, `||*.name^`, each with `@@` before it for an exception.
fn adblock(line: &str) -> Result<Named<'_>, Skip> {
    let (action, pattern) = match line.strip_prefix("@@") {
        Some(pattern) => (Action::Allow, pattern),
        None => (Action::Block, line),
    };
    let (pattern, modifiers) = match pattern.split_once('$') {
        Some((pattern, modifiers)) => (pattern, Some(modifiers)),
        None => (pattern, None),
    };
    let browser = |modifier: &str| {
        let name = modifier.split('=').next().unwrap_or_default().trim_start_matches('~').trim();
        !DNS_MODIFIERS.contains(&name)
    };
    if modifiers.is_some_and(|modifiers| modifiers.split(',').any(browser))
        || pattern.contains(['/', '?', ':'])
    {
        return Err(Skip::BrowserOnly);
    }
    let name = pattern.strip_prefix("||").ok_or(Skip::NotRead)?;
    let name = name.strip_suffix('|').unwrap_or(name);
    let name = name.strip_suffix('^').ok_or(Skip::NotRead)?;
    let (name, scope) = match name.strip_prefix("*.") {
        Some(name) => (name, Scope::Below),
        None => (name, Scope::Subtree),
    };
    // An exception of lists wins over every block here, so that `$important` adds nothing to it.
    let is_plain = modifiers.is_none() || action == Action::Allow && modifiers == Some("important");
    if !is_plain || name.contains(['*', '^', '|']) {
        return Err(Skip::NotRead);
    }
    Ok((name, scope, action))
}

/// A name that a list may speak of: a rule for a whole public suffix (`com`, `co.uk`) or for reverse names would be a
/// catastrophe or a misprint. Suffixes of companies (`github.io`) are left to the list: some are listed on purpose.
fn checked(text: &str, scope: Scope) -> Result<DomainName, Skip> {
    if text.parse::<IpAddr>().is_ok() {
        return Err(Skip::BareAddress);
    }
    let name = DomainName::parse(text).map_err(Skip::Name)?;
    let is_wide = scope != Scope::Exact && is_everybodys(&name);
    if is_wide || name.as_ref().label_count() < 2 { Err(Skip::TopLevelDomain) } else { Ok(name) }
}

fn is_everybodys(name: &DomainName) -> bool {
    let text = name.to_string();
    let suffix = psl::suffix(text.as_bytes());
    let is_suffix = suffix.is_some_and(|suffix| {
        suffix.typ() == Some(psl::Type::Icann) && suffix.as_bytes().len() == text.len()
    });
    is_suffix || text.ends_with(".arpa")
}
