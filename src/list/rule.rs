//! What a line of a list asks for, whatever its syntax.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::Pattern;
use crate::name::DomainName;
use crate::name::NameRef;
use crate::name::suffix;
use crate::wire::type_name;

/// What a rule covers, from its name on.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Scope {
    /// The name only.
    Exact,
    /// The name and everything below it.
    Subtree,
    /// Everything below the name, not the name.
    Below,
}

/// What a rule asks for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Action {
    /// Let the name through, whatever blocklists say.
    Allow,
    /// Block the name, or give the answer that [`Modifiers::answer`] has.
    Block,
}

/// What a rule is about.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Subject {
    /// A name.
    Name {
        /// The name itself.
        name: DomainName,
        /// What is covered, from the name on.
        scope: Scope,
    },
    /// Every name whose text a pattern matches.
    Pattern(Pattern),
    /// Every name that has an address of this prefix in its answer (RPZ response-IP triggers).
    Addresses(IpNet),
}

/// What narrows a rule, ranks it or says its answer. Nearly all rules have none of this.
///
/// Sources: AdGuard, "DNS filtering rules syntax"; Pi-hole, "Regex blocking: extensions"; RPZ (draft-vixie-dnsop-dns-rpz).
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Modifiers {
    /// `$important`: stronger than any rule of a list that is not.
    pub important: bool,
    /// `$badfilter`: takes back, in every list, the rule that is the same but for this word.
    pub badfilter: bool,
    /// `$denyallow`: these names and what is below them are not covered.
    pub except: Box<[DomainName]>,
    /// `$dnstype`, `;querytype=`: the QTYPEs covered.
    pub qtypes: Option<Chosen<u16>>,
    /// `$client`: the devices covered. Both lists may be filled: one of `only`, none of `except`.
    pub clients: Option<Picked<Client>>,
    /// `$ctag`: the kinds of devices covered, as `device_tv`.
    pub tags: Option<Picked<Box<str>>>,
    /// `$dnsrewrite`, `;reply=`, RPZ actions: what is answered in place of the household's sinkhole.
    ///
    /// In an exception it is the answer that is taken back, of whichever rule has it, and no block is; `$dnsrewrite`
    /// without a value, which takes back all of them, is [`Answer::Records`] with no record.
    pub answer: Option<Answer>,
}

/// Some of all values, or all but some. Sorted, so that equal choices are equal.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Chosen<T> {
    /// These.
    Only(Box<[T]>),
    /// All but these.
    Except(Box<[T]>),
}

/// What must be there, when anything is given, and what must not. Each sorted, so that equal ones are equal.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Picked<T> {
    /// One of these; all when there is none.
    pub only: Box<[T]>,
    /// None of these.
    pub except: Box<[T]>,
}

/// A device as rules speak of it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Client {
    /// By the name that people gave it.
    Name(Box<str>),
    /// By its address, or by the one address that it is known by where it has several.
    Address(IpNet),
    /// By its hardware address (IEEE 802 MAC, 48 bits), which stays when name and address change. AdGuard Home knows names,
    /// addresses and prefixes only; this form is our own.
    Mac([u8; 6]),
}

impl Client {
    /// By this address alone.
    pub fn by_address(address: IpAddr) -> Self {
        Self::Address(IpNet::from(address))
    }

    /// The one address by which it is meant.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(net) if net.prefix_len() == net.max_prefix_len() => Some(net.addr()),
            Self::Address(_) | Self::Name(_) | Self::Mac(_) => None,
        }
    }
}

/// An answer that a rule asks for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Answer {
    /// The household's sinkhole, whatever another answer may be: `always_null`, `;reply=IP`.
    Null,
    /// NXDOMAIN: the name does not exist.
    NxDomain,
    /// NODATA: the name exists but has no record of this type.
    NoData,
    /// REFUSED.
    Refused,
    /// Nothing is sent back.
    Drop,
    /// The name is an alias of another one.
    Cname {
        /// The other one.
        target: DomainName,
        /// Whether the name that was asked stands before `target` (`CNAME *.target` in an RPZ).
        prefixed: bool,
    },
    /// These records; NODATA for every QTYPE that has none of them.
    Records(Box<[Record]>),
}

/// One record of an answer.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Record {
    /// Its TYPE.
    pub rtype: u16,
    /// Its RDATA in wire form, uncompressed.
    pub rdata: Box<[u8]>,
}

/// One rule and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// What it is about.
    pub subject: Subject,
    /// What it asks for.
    pub action: Action,
    /// What narrows it or says its answer; `None` when nothing does.
    pub modifiers: Option<Box<Modifiers>>,
    /// The line of the list, from 1.
    pub line: u32,
}

impl Rule {
    /// A rule about a name, without modifiers.
    pub const fn plain(name: DomainName, scope: Scope, action: Action, line: u32) -> Self {
        Self { subject: Subject::Name { name, scope }, action, modifiers: None, line }
    }

    /// Whether it covers all of a public suffix: `com`, what is below `co.uk`, every name; or a single label, as `com`
    /// is one. Nobody but the person themselves should say such a thing.
    ///
    /// Suffixes of companies (`github.io`) are not meant: some are listed on purpose. Never allocates.
    pub fn covers_public_suffix(&self) -> bool {
        match &self.subject {
            Subject::Name { name, scope } => {
                let name = name.as_ref();
                name.parent().is_none_or(NameRef::is_root) || *scope != Scope::Exact && is_everybodys(name)
            }
            Subject::Pattern(pattern) => pattern.covers_everything(),
            Subject::Addresses(_) => false,
        }
    }
}

/// No public suffix has more labels than this (`city.kawasaki.jp`, `pvt.k12.ma.us`).
const SUFFIX_LABELS_MAX: usize = 4;

/// Whether a name is a public suffix of the registries, or one above some (`kawasaki.jp` in `*.kawasaki.jp`), or of
/// reverse names.
fn is_everybodys(name: NameRef<'_>) -> bool {
    // From the right, as the list of suffixes is read; a place in front for any label below the name.
    let mut labels: [&[u8]; SUFFIX_LABELS_MAX + 1] = [b"*"; SUFFIX_LABELS_MAX + 1];
    let mut count = 0;
    for label in name.labels() {
        if count == SUFFIX_LABELS_MAX {
            return false;
        }
        count += 1;
        labels.rotate_right(1);
        if let Some(first) = labels.first_mut() {
            *first = label;
        }
    }
    if labels.first() == Some(&b"arpa".as_slice()) {
        return true;
    }
    let is_suffix = |count: usize| labels.get(..count).is_some_and(suffix::is_of_registry);
    is_suffix(count) || is_suffix(count + 1)
}

impl Scope {
    /// Writes a rule about `name`.
    pub(crate) fn write(self, name: NameRef<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => write!(f, "={name}"),
            Self::Subtree => write!(f, "||{name}^"),
            Self::Below => write!(f, "*.{name}"),
        }
    }
}

/// Writes what a rule is about in its shortest unmistakable form: `=name`, `||name^`, `*.name`, `/regex/`, `192.0.2.0/24`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name, scope } => scope.write(name.as_ref(), f),
            Self::Pattern(pattern) => pattern.fmt(f),
            Self::Addresses(net) => net.fmt(f),
        }
    }
}

/// As its subject, with `@@` before an exception and `$modifiers` behind it.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.action == Action::Allow {
            f.write_str("@@")?;
        }
        self.subject.fmt(f)?;
        match &self.modifiers {
            Some(modifiers) => write!(f, "${modifiers}"),
            None => Ok(()),
        }
    }
}

/// The modifiers as AdGuard's syntax has them, in a fixed order.
impl fmt::Display for Modifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = Vec::new();
        if self.important {
            words.push("important".to_owned());
        }
        if self.badfilter {
            words.push("badfilter".to_owned());
        }
        if !self.except.is_empty() {
            words.push(format!("denyallow={}", joined(self.except.iter(), "")));
        }
        match &self.qtypes {
            Some(Chosen::Only(qtypes)) => {
                words.push(format!("dnstype={}", joined(qtypes.iter().map(|qtype| type_name(*qtype)), "")));
            }
            Some(Chosen::Except(qtypes)) => {
                words.push(format!("dnstype={}", joined(qtypes.iter().map(|qtype| type_name(*qtype)), "~")));
            }
            None => {}
        }
        if let Some(clients) = &self.clients {
            words.push(format!("client={clients}"));
        }
        if let Some(tags) = &self.tags {
            words.push(format!("ctag={tags}"));
        }
        if let Some(answer) = &self.answer {
            words.push(format!("dnsrewrite={answer}"));
        }
        f.write_str(&words.join(","))
    }
}

fn joined<T: fmt::Display>(items: impl Iterator<Item = T>, before: &str) -> String {
    items.map(|item| format!("{before}{item}")).collect::<Vec<_>>().join("|")
}

impl<T: fmt::Display> fmt::Display for Picked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [joined(self.only.iter(), ""), joined(self.except.iter(), "~")];
        f.write_str(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("|"))
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => {
                f.write_str("'")?;
                for character in name.chars() {
                    if matches!(character, '\'' | '"' | ',' | '|' | '\\') {
                        f.write_str("\\")?;
                    }
                    write!(f, "{character}")?;
                }
                f.write_str("'")
            }
            Self::Address(net) if net.prefix_len() == net.max_prefix_len() => net.addr().fmt(f),
            Self::Address(net) => net.fmt(f),
            Self::Mac([a, b, c, d, e, g]) => write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::NxDomain => f.write_str("NXDOMAIN"),
            Self::NoData => f.write_str("NODATA"),
            Self::Refused => f.write_str("REFUSED"),
            Self::Drop => f.write_str("DROP"),
            Self::Cname { target, prefixed: false } => target.fmt(f),
            Self::Cname { target, prefixed: true } => write!(f, "*.{target}"),
            Self::Records(records) => f.write_str(&joined(records.iter(), "")),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (1, Ok(octets)) = (self.rtype, <[u8; 4]>::try_from(&*self.rdata)) {
            return std::net::Ipv4Addr::from(octets).fmt(f);
        }
        if let (28, Ok(octets)) = (self.rtype, <[u8; 16]>::try_from(&*self.rdata)) {
            return std::net::Ipv6Addr::from(octets).fmt(f);
        }
        // RFC 3597 section 5.
        write!(f, "{} \\# {} ", type_name(self.rtype), self.rdata.len())?;
        self.rdata.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}
