//! The ruleset: every rule of every source, compiled to one file, mapped, and looked up.
//!
//! A look-up answers "which rules cover this name, and which sources have them" without allocation. It knows names and rules
//! only: nothing of where lists come from, of groups, of the network or of the configuration (see `policy` for those).
//!
//! A name that is in no list, the usual case, costs one probe of a filter (`filter`) for each of its ancestors. Where the filter
//! says "perhaps", the exact name is looked for: a binary search over digests (`index`) finds the block, and the block
//! (`block`) is read up to the name. So a name is never blocked by a false positive. `file` has the layout; `build` compiles; patterns
//! and address prefixes stand aside, in `patterns` and `addresses`.
//!
//! Where in a list a rule stands is not kept here: a line number would cost a third of what a rule takes. The sources' own texts
//! tell when somebody asks.

mod addresses;
mod attributes;
mod block;
mod build;
mod bytes;
mod file;
mod filter;
mod index;
mod key;
mod modifiers;
mod patterns;
mod run;
mod symbols;

pub use build::{BuildError, BuildOptions, Builder, Counts};
pub use file::OpenError;
pub use patterns::PatternError;

use std::cmp::Ordering;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ipnet::IpNet;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::list::{Action, Answer, Modifiers, Pattern, Rule, Scope, Subject};
use crate::name::{DomainName, NameRef};
use attributes::Said;
use block::Block;
use bytes::{Bytes, Part, Reader, u32_at};
use file::{Header, Section};
use index::Index;
use key::{Key, Labels, NameHash, Wanted};
use patterns::Patterns;
use symbols::Symbols;

/// Which source a rule came from: an index into the caller's table of sources.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SourceId(pub u16);

/// Which rule is the stronger one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Precedence {
    /// Lists: `$important` wins over all that is not; then an exception over every block; among equals the more specific
    /// name wins.
    #[default]
    AllowFirst,
    /// A person's own rules: one for some devices wins over one for all; then the more specific name; at the same name an
    /// exception.
    SpecificFirst,
}

/// What is looked up, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The name.
    pub name: NameRef<'a>,
    /// The QTYPE of the question.
    pub qtype: u16,
    /// Who asks.
    pub client: Client<'a>,
    /// Where the name stands.
    pub role: Role,
}

impl<'a> Asked<'a> {
    /// A question for addresses by nobody in particular.
    pub const fn by_anyone(name: NameRef<'a>) -> Self {
        Self { name, qtype: 1, client: Client::ANYONE, role: Role::Question }
    }
}

/// Who asks, as far as rules can tell clients apart.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The name that people gave it.
    pub name: &'a str,
    /// Its address; `None` when no query is behind the look-up.
    pub address: Option<IpAddr>,
    /// What tells it from others whatever it is called and wherever it asks from; `None`: nobody in particular.
    pub known_by: Option<KnownBy>,
    /// What kinds of device it is, as `device_tv`.
    pub tags: &'a [Box<str>],
}

impl Client<'static> {
    /// Nobody in particular.
    pub const ANYONE: Self = Self { name: "", address: None, known_by: None, tags: &[] };
}

/// What a device is known by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KnownBy {
    /// Its hardware address.
    Mac([u8; 6]),
    /// The first or only one of its addresses.
    Address(IpAddr),
}

/// Where a name stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// It is the one that was asked.
    Question,
    /// An answer leads to it: the target of a CNAME or of an SVCB or HTTPS record.
    Target,
}

/// A rule that covers what was looked up.
#[derive(Clone, Copy, Debug)]
pub struct Match<'a> {
    place: Place<'a>,
    found: Found,
    said: Said<'a>,
    modifiers: Option<&'a Modified>,
}

/// The modifiers of some rules, and how they are written: most rules have none, and those that do share them.
#[derive(Debug)]
struct Modified {
    modifiers: Modifiers,
    text: Box<str>,
}

impl Modified {
    fn tells_clients_apart(&self) -> bool {
        self.modifiers.clients.is_some() || self.modifiers.tags.is_some()
    }
}

/// Where in a ruleset a rule about a name, or about one of its ancestors, was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Found {
    attribute: u32,
    /// Which rule of the attribute it is.
    number: u8,
    /// By how many octets the name is longer than the one that the rule is about.
    behind: u8,
}

impl Found {
    /// All of it in 48 bits, to be put aside.
    pub const fn to_bits(self) -> u64 {
        (self.attribute as u64) << 16 | (self.number as u64) << 8 | self.behind as u64
    }

    /// What [`Found::to_bits`] made bits of.
    #[expect(clippy::cast_possible_truncation, reason = "each part is as wide as its field")]
    pub const fn from_bits(bits: u64) -> Self {
        Self { attribute: (bits >> 16) as u32, number: (bits >> 8) as u8, behind: bits as u8 }
    }
}

/// How what was found depends on more than the name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trace {
    /// Another client, or another type, may have another answer.
    Varies,
    /// No rule covers the name, whoever asks.
    Nothing,
    /// This rule decides about the name, whoever asks.
    Rule(Found),
}

impl Trace {
    /// What `make` makes of the rule, if there is one.
    pub fn map<T>(self, make: impl FnOnce(Found) -> T) -> Option<T> {
        match self {
            Self::Rule(found) => Some(make(found)),
            Self::Varies | Self::Nothing => None,
        }
    }
}

/// What the rule is about.
#[derive(Clone, Copy, Debug)]
enum Place<'a> {
    /// The name that was looked up or one of its ancestors.
    Name(NameRef<'a>),
    Pattern(&'a Pattern),
    Addresses(IpNet),
}

impl<'a> Match<'a> {
    /// What is to be answered, when the rule says so; of an exception, the answer that it takes back.
    pub fn answer(&self) -> Option<&'a Answer> {
        self.modifiers.and_then(|modified| modified.modifiers.answer.as_ref())
    }

    /// What the rule asks for.
    pub const fn action(&self) -> Action {
        self.said.flags.action()
    }

    /// Whether it is an exception that takes back an answer, and lets nothing through otherwise (`@@…$dnsrewrite`).
    pub fn takes_answer_back(&self) -> bool {
        self.action() == Action::Allow && self.answer().is_some()
    }

    /// Whether the rule is stronger than any that is not important.
    pub fn is_important(&self) -> bool {
        self.modifiers.is_some_and(|modified| modified.modifiers.important)
    }

    /// Whether the rule is for some clients only.
    pub fn is_for_some(&self) -> bool {
        self.modifiers.is_some_and(Modified::tells_clients_apart)
    }

    /// Whether the rule is about one name and nothing else.
    pub const fn is_exact(&self) -> bool {
        matches!(self.place, Place::Name(_)) && matches!(self.said.flags.scope(), Scope::Exact)
    }

    /// The first source that has the rule.
    pub fn source(&self) -> SourceId {
        self.sources().next().unwrap_or(SourceId(u16::MAX))
    }

    /// All sources that have the rule, in order.
    pub fn sources(&self) -> impl Iterator<Item = SourceId> + use<'_> {
        self.said.sources
    }

    /// The rule, without the line on which it stands.
    pub fn rule(&self) -> Rule {
        let subject = match self.place {
            Place::Name(name) => Subject::Name { name: name.to_owned(), scope: self.said.flags.scope() },
            Place::Pattern(pattern) => Subject::Pattern(pattern.clone()),
            Place::Addresses(net) => Subject::Addresses(net),
        };
        let modifiers = self.modifiers.map(|modified| Box::new(modified.modifiers.clone()));
        Rule { subject, action: self.action(), modifiers, line: 0 }
    }

    /// How specific the rule is: names before prefixes and patterns, longer names first.
    fn depth(&self) -> (usize, u8) {
        match self.place {
            // All matches lie on one chain of ancestors, so that length tells depth.
            Place::Name(name) => (name.as_wire().len(), scope_rank(self.said.flags.scope())),
            Place::Addresses(net) => (0, net.prefix_len()),
            Place::Pattern(_) => (0, 0),
        }
    }
}

/// As [`Rule`]s are written, without allocation.
impl fmt::Display for Match<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.action() == Action::Allow {
            f.write_str("@@")?;
        }
        match self.place {
            Place::Name(name) => self.said.flags.scope().write(name, f)?,
            Place::Pattern(pattern) => pattern.fmt(f)?,
            Place::Addresses(net) => net.fmt(f)?,
        }
        match self.modifiers {
            Some(modified) => write!(f, "${}", modified.text),
            None => Ok(()),
        }
    }
}

/// How specific a scope is at the same name.
const fn scope_rank(scope: Scope) -> u8 {
    match scope {
        Scope::Below => 1,
        Scope::Subtree => 2,
        Scope::Exact => 3,
    }
}

/// All rules, compiled once and never changed after.
#[derive(Debug)]
pub struct Ruleset {
    bytes: Bytes,
    header: Header,
    blocks: Part,
    records: Part,
    filter: Part,
    attributes: Part,
    attribute_places: Part,
    addresses: Part,
    index: Index,
    symbols: Symbols,
    modifiers: Vec<Modified>,
    tells_clients_apart: bool,
    patterns: Patterns,
}

impl Default for Ruleset {
    /// A ruleset without a rule.
    fn default() -> Self {
        let header = Header::empty();
        Self {
            bytes: Bytes::Held(Box::default()),
            header,
            blocks: 0..0,
            records: 0..0,
            filter: 0..0,
            attributes: 0..0,
            attribute_places: 0..0,
            addresses: 0..0,
            index: Index::default(),
            symbols: Symbols::default(),
            modifiers: Vec::new(),
            tells_clients_apart: false,
            patterns: Patterns::default(),
        }
    }
}

impl Ruleset {
    /// Maps a file when it is what was compiled from `fingerprint`.
    ///
    /// The header and all that every look-up relies on are checked here. Names are checked when they are read, block by
    /// block: one that is damaged matches nothing. [`Ruleset::verify`] checks all.
    ///
    /// # Errors
    /// The file is not to be used and should be compiled anew.
    pub fn open(path: &Path, fingerprint: &[u8; 32]) -> Result<Self, OpenError> {
        // Opening a pipe would wait for its other end for ever.
        if !std::fs::metadata(path)?.is_file() {
            return Err(OpenError::Foreign);
        }
        let file = File::open(path)?;
        read_all_but_blocks(&file)?;
        let bytes = Bytes::map(&file)?;
        if Header::read(&bytes)?.fingerprint != *fingerprint {
            return Err(OpenError::Stale);
        }
        Self::from_bytes(bytes)
    }

    fn from_bytes(bytes: Bytes) -> Result<Self, OpenError> {
        let header = Header::read(&bytes)?;
        let part = |section, what| {
            let part = header.part(section);
            let octets = bytes.get(part.clone()).unwrap_or_default();
            if xxh3_64(octets) == header.sum(section) { Ok(part) } else { Err(OpenError::Damaged(what)) }
        };
        let records = part(Section::Index, "its index")?;
        let groups = part(Section::Groups, "its index")?;
        let index = bytes
            .get(records.clone())
            .zip(bytes.get(groups))
            .and_then(|(records, groups)| Index::read(records, groups));
        let index = index.ok_or(OpenError::Damaged("its index"))?;
        let filter = part(Section::Filter, "its filter")?;
        let attributes = part(Section::Attributes, "its attributes")?;
        let attribute_places = part(Section::AttributePlaces, "its attributes")?;
        let addresses = part(Section::Addresses, "its addresses")?;
        part(Section::Notes, "its notes")?;
        let table = |section, what| Ok::<_, OpenError>(bytes.get(part(section, what)?).unwrap_or_default());
        let symbols = Symbols::read(table(Section::Symbols, "its symbols")?);
        let symbols = symbols.ok_or(OpenError::Damaged("its symbols"))?;
        let mut said = Reader(table(Section::Modifiers, "its modifiers")?);
        let mut modifiers = Vec::new();
        while !said.0.is_empty() {
            let one = said.prefixed().and_then(modifiers::read);
            let one = one.ok_or(OpenError::Damaged("its modifiers"))?;
            modifiers.push(Modified { text: one.to_string().into(), modifiers: one });
        }
        let patterns = Patterns::read(table(Section::Patterns, "its patterns")?);
        let patterns = patterns.ok_or(OpenError::Damaged("its patterns"))?;
        let blocks = header.part(Section::Blocks);
        Ok(Self {
            bytes,
            header,
            blocks,
            records,
            index,
            filter,
            attributes,
            attribute_places,
            addresses,
            symbols,
            tells_clients_apart: modifiers.iter().any(Modified::tells_clients_apart),
            modifiers,
            patterns,
        })
    }

    /// Checks every octet of a file, by reading it: what is mapped stays out of memory.
    ///
    /// # Errors
    /// The file is damaged, and should be compiled anew.
    pub fn verify(path: &Path) -> Result<(), OpenError> {
        if !std::fs::metadata(path)?.is_file() {
            return Err(OpenError::Foreign);
        }
        let mut file = BufReader::with_capacity(64 * 1024, File::open(path)?);
        let mut head = vec![0; file::HEADER_LEN];
        file.read_exact(&mut head).map_err(|_| OpenError::Damaged("the header"))?;
        let length = usize::try_from(file.get_ref().metadata()?.len()).unwrap_or(usize::MAX);
        let header = Header::read_within(&head, length)?;
        for section in Section::ALL {
            let part = header.part(section);
            file.seek(SeekFrom::Start(part.start as u64))?;
            let mut rest = Read::by_ref(&mut file).take(part.len() as u64);
            let mut hasher = Xxh3::new();
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let length = rest.read(&mut buffer)?;
                if length == 0 {
                    break;
                }
                hasher.update(buffer.get(..length).unwrap_or_default());
            }
            if hasher.digest() != header.sum(section) {
                return Err(OpenError::Damaged("a section"));
            }
        }
        Ok(())
    }

    /// What the compiler left in the file for itself.
    pub fn notes(&self) -> &[u8] {
        self.bytes.get(self.header.part(Section::Notes)).unwrap_or_default()
    }

    /// How many rules there are; a rule that several sources have counts for each of them.
    pub const fn len(&self) -> u64 {
        self.header.rules
    }

    /// Whether there is no rule.
    pub const fn is_empty(&self) -> bool {
        self.header.rules == 0
    }

    /// How long the file is, in octets.
    pub fn file_len(&self) -> usize {
        self.bytes.len()
    }

    /// The strongest rule that covers what is asked, or `None` when no rule does. Allocates only where a pattern may match.
    pub fn lookup<'a>(&'a self, asked: &Asked<'a>) -> Option<Match<'a>> {
        self.strongest(asked, &mut false)
    }

    /// As [`Ruleset::lookup`], and how much of that holds for everybody who asks for the name.
    pub fn trace<'a>(&'a self, asked: &Asked<'a>) -> (Option<Match<'a>>, Trace) {
        let mut varies = false;
        let found = self.strongest(asked, &mut varies);
        let trace = match found {
            _ if varies => Trace::Varies,
            Some(found) => Trace::Rule(found.found),
            None => Trace::Nothing,
        };
        (found, trace)
    }

    /// The rule that [`Ruleset::trace`] of this ruleset told of the same name.
    pub fn recall<'a>(&'a self, name: NameRef<'a>, found: Found) -> Option<Match<'a>> {
        let said = self.attribute(found.attribute).nth(found.number.into())?;
        let place = Place::Name(name.ancestor_at(found.behind.into()));
        Some(Match { place, found, said, modifiers: None })
    }

    /// `varies`: set when another client or another type may have another answer, or one that is not found again by its name.
    fn strongest<'a>(&'a self, asked: &Asked<'a>, varies: &mut bool) -> Option<Match<'a>> {
        let mut best: Option<Match<'a>> = None;
        let mut takes_answers_back = false;
        self.covering(asked, varies, &mut |found| {
            takes_answers_back |= found.takes_answer_back();
            if best.as_ref().is_none_or(|best| self.order(&found, best).is_lt()) {
                best = Some(found);
            }
        });
        if takes_answers_back {
            best = self.matches(asked).into_iter().find(|found| !found.takes_answer_back());
        }
        best
    }

    /// Every rule that covers what is asked, the strongest first. Those whose answer another one takes back are left out;
    /// those that take an answer back and do nothing else are the last.
    pub fn matches<'a>(&'a self, asked: &Asked<'a>) -> Vec<Match<'a>> {
        let mut matches = Vec::new();
        self.covering(asked, &mut false, &mut |found| matches.push(found));
        let taken_back: Vec<&Answer> =
            matches.iter().filter(|found| found.takes_answer_back()).filter_map(Match::answer).collect();
        if !taken_back.is_empty() {
            let every = Answer::Records([].into());
            matches.retain(|found| {
                let answer = found.answer().filter(|_| found.action() == Action::Block);
                answer.is_none_or(|answer| !taken_back.iter().any(|back| **back == every || *back == answer))
            });
        }
        matches.sort_by(|one, other| self.order(one, other));
        matches
    }

    /// Every rule about an address in an answer to what is asked, the strongest first.
    pub fn address_matches<'a>(&'a self, address: IpAddr, asked: &Asked<'a>) -> Vec<Match<'a>> {
        let octets = self.bytes.get(self.addresses.clone()).unwrap_or_default();
        let mut matches = Vec::new();
        for (net, attribute) in addresses::covering(octets, address) {
            self.said(attribute, Place::Addresses(net), asked, &mut false, &mut |found| matches.push(found));
        }
        matches.sort_by(|one, other| self.order(one, other));
        matches
    }

    /// Whether any rule is for some clients only.
    pub const fn tells_clients_apart(&self) -> bool {
        self.tells_clients_apart
    }

    /// Whether there are rules about addresses in answers at all.
    pub fn has_addresses(&self) -> bool {
        8 < self.addresses.len()
    }

    fn covering<'a>(&'a self, asked: &Asked<'a>, varies: &mut bool, take: &mut impl FnMut(Match<'a>)) {
        let wire = asked.name.as_wire();
        let labels = Labels::of(wire);
        let filter = self.bytes.get(self.filter.clone()).unwrap_or_default();
        let (fewest, most) = (usize::from(self.header.labels_min), usize::from(self.header.labels_max));
        let mut hash = NameHash::new();
        let mut key = None;
        for (count, label) in (1..).zip(labels.from_right(wire)).take(most) {
            hash.push(label);
            if count < fewest || !filter::may_contain(filter, hash.value()) {
                continue;
            }
            let Some(key) = key.get_or_insert_with(|| Key::of(asked.name)) else { break };
            let found = self.find(key.ancestor(count)).filter(|_| key.is_of_a_list(count));
            let Some(attribute) = found else { continue };
            let name = asked.name.ancestor_at(labels.ancestor(wire, count));
            self.said(attribute, Place::Name(name), asked, varies, take);
        }
        if !self.patterns.is_empty() && !asked.name.is_root() {
            for (pattern, attribute) in self.patterns.matching(asked.name) {
                *varies = true;
                self.said(attribute, Place::Pattern(pattern), asked, varies, take);
            }
        }
    }

    /// Hands on each rule of an attribute that applies.
    fn said<'a>(
        &'a self,
        attribute: u32,
        place: Place<'a>,
        asked: &Asked<'a>,
        varies: &mut bool,
        take: &mut impl FnMut(Match<'a>),
    ) {
        let behind = match place {
            Place::Name(name) => asked.name.as_wire().len() - name.as_wire().len(),
            Place::Pattern(_) | Place::Addresses(_) => 0,
        };
        let is_ancestor = 0 < behind;
        for (number, said) in self.attribute(attribute).enumerate() {
            let covers = match (place, said.flags.scope()) {
                (Place::Name(_), Scope::Exact) => !is_ancestor,
                (Place::Name(_), Scope::Below) => is_ancestor,
                _ => true,
            };
            if !covers || (said.flags.targets_only() && asked.role == Role::Question) {
                continue;
            }
            *varies |= said.modifiers.is_some();
            let modifiers = match said.modifiers {
                None => None,
                Some(number) => match self.modifiers.get(number as usize) {
                    Some(modified) if modifiers::apply(&modified.modifiers, asked) => Some(modified),
                    _ => continue,
                },
            };
            // A name has 255 octets. An attribute with more rules than that has modifiers, and is not found again by this.
            let number = u8::try_from(number).unwrap_or(u8::MAX);
            let found = Found { attribute, number, behind: u8::try_from(behind).unwrap_or_default() };
            take(Match { place, found, said, modifiers });
        }
    }

    fn attribute(&self, number: u32) -> impl Iterator<Item = Said<'_>> {
        let places = self.bytes.get(self.attribute_places.clone()).unwrap_or_default();
        let octets = self.bytes.get(self.attributes.clone()).unwrap_or_default();
        let place = u32_at(places, number as usize).map_or(usize::MAX, |place| place as usize);
        attributes::read(octets.get(place..).unwrap_or_default())
    }

    /// The attribute of exactly this key.
    fn find(&self, key: Wanted<'_>) -> Option<u32> {
        let (records, blocks) = (self.bytes.get(self.records.clone())?, self.bytes.get(self.blocks.clone())?);
        self.index.find(records, blocks, key, &self.symbols)
    }

    fn block(&self, index: usize) -> Option<Block<'_>> {
        let (records, blocks) = (self.bytes.get(self.records.clone())?, self.bytes.get(self.blocks.clone())?);
        self.index.block(records, blocks, index)
    }

    /// `Less` when `one` is the stronger.
    fn order(&self, one: &Match<'_>, other: &Match<'_>) -> Ordering {
        let by_use = one.takes_answer_back().cmp(&other.takes_answer_back());
        let by_importance = other.is_important().cmp(&one.is_important());
        let by_client = other.is_for_some().cmp(&one.is_for_some());
        let by_action = one.action().cmp(&other.action());
        let by_depth = other.depth().cmp(&one.depth());
        // A rule that says its answer says more than one that does not.
        let by_answer = other.answer().is_some().cmp(&one.answer().is_some());
        let by_source = one.source().cmp(&other.source());
        match self.header.precedence {
            Precedence::AllowFirst => by_use.then(by_importance).then(by_action).then(by_depth),
            Precedence::SpecificFirst => {
                by_use.then(by_client).then(by_depth).then(by_importance).then(by_action)
            }
        }
        .then(by_answer)
        .then(by_source)
    }

    /// Calls `take` with every rule and the sources that have it, in no order that means anything.
    pub fn for_each(&self, mut take: impl FnMut(Rule, &mut dyn Iterator<Item = SourceId>)) {
        let blocks = self.index.blocks();
        let mut each = |subject: &dyn Fn(Scope) -> Option<Subject>, attribute| {
            for mut said in self.attribute(attribute) {
                let Some(subject) = subject(said.flags.scope()) else { continue };
                let modifiers = said.modifiers.and_then(|number| self.modifiers.get(number as usize));
                let modifiers = modifiers.map(|modified| modified.modifiers.clone());
                let rule = Rule {
                    subject,
                    action: said.flags.action(),
                    modifiers: modifiers.map(Box::new),
                    line: 0,
                };
                take(rule, &mut said.sources);
            }
        };
        for block in (0..blocks).filter_map(|index| self.block(index)) {
            block.for_each(&self.symbols, &mut |key, attribute| {
                let name = name_of(key);
                each(&|scope| Some(Subject::Name { name: name.clone()?, scope }), attribute);
            });
        }
        for (pattern, attribute) in self.patterns.iter() {
            each(&|_| Some(Subject::Pattern(pattern.clone())), *attribute);
        }
        for (net, attribute) in addresses::iter(self.bytes.get(self.addresses.clone()).unwrap_or_default()) {
            each(&|_| Some(Subject::Addresses(net)), attribute);
        }
    }
}

/// Reads once what a start looks at. What the disk can't give any more is an error here; in the mapping it would be the end of the
/// process (SIGBUS).
fn read_all_but_blocks(file: &File) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut read = |part: std::ops::Range<usize>| {
        let (mut at, end) = (part.start as u64, part.end as u64);
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            match file.read_at(buffer.get_mut(..length).unwrap_or_default(), at)? {
                0 => break,
                length => at += length as u64,
            }
        }
        Ok::<_, std::io::Error>(())
    };
    let mut head = vec![0; file::HEADER_LEN];
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let read_length = file.read_at(&mut head, 0)?;
    // Whether it is one of ours is for who reads the mapping to say.
    let Ok(header) = Header::read_within(head.get(..read_length).unwrap_or_default(), length) else {
        return Ok(());
    };
    let parts = Section::ALL.into_iter().filter(|section| *section != Section::Blocks);
    parts.map(|section| header.part(section)).try_for_each(&mut read)
}

/// The name of a key.
fn name_of(key: &[u8]) -> Option<DomainName> {
    let mut wire = Vec::with_capacity(key.len() + 2);
    for label in key.rsplit(|&octet| octet == 0) {
        wire.push(u8::try_from(label.len()).ok()?);
        wire.extend_from_slice(label);
    }
    wire.push(0);
    DomainName::from_wire(&wire).ok()
}

#[cfg(test)]
mod tests;
