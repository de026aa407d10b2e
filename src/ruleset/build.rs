//! Compiling: rules come in one by one, in any order, and leave as one file.
//!
//! Keys are gathered and sorted in runs of bounded size; runs that do not fit are put aside on the disk. Then all runs are merged,
//! and while the merged keys pass by, blocks, digests and attributes are written. Beside one run, what is held grows with the
//! number of rules by eight octets each (the hashes that the filter is made of), patterns, prefixes and distinct attributes.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufWriter, Cursor as Octets, Seek, Write};
use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use ipnet::IpNet;

use super::attributes::{Flags, put_said};
use super::block::{BlockWriter, KEYS_MAX};
use super::bytes::{Bytes, put_prefixed, put_varint};
use super::file::{About, FileWriter, OpenError};
use super::index::IndexWriter;
use super::key::{Key, NameHash, digest};
use super::patterns::{PatternError, PatternsBuilder};
use super::run::{Cursor, Run, Spill};
use super::symbols::Writer as SymbolWriter;
use super::{Precedence, Ruleset, SourceId, addresses, filter, modifiers, patterns};
use crate::list::{Modifiers, Pattern, Rule, Scope, Subject};

/// How many differences of keys the table of symbols is made from.
const SAMPLE_COUNT: usize = 8192;
/// The most different modifiers of a ruleset: they are held in memory.
const MODIFIERS_MAX: usize = 65_536;

/// How to compile.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    /// Which rule is the stronger one.
    pub precedence: Precedence,
    /// Where runs are put aside, for the time of compiling. `None`: all is sorted in memory.
    pub spill_dir: Option<PathBuf>,
}

/// Why a rule was not taken, or a ruleset not made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Reading or writing failed; nothing of the ruleset that was there before is touched.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The pattern is invalid, too large or one too many.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// More than a ruleset can hold.
    #[error("the ruleset is full: it has {0}")]
    Full(&'static str),
    /// The name has the octet 0 in a label.
    #[error("a name with the octet 0 can't be in a ruleset")]
    Name,
    /// The file that was just written is not what it should be: the disk is failing.
    #[error("the ruleset could not be read back: {0}")]
    ReadBack(#[from] OpenError),
}

/// How many rules came into force: each counts once for each source that has it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    by_source: Vec<u64>,
}

impl Counts {
    /// The rules of one source.
    pub fn of(&self, source: SourceId) -> u64 {
        self.by_source.get(usize::from(source.0)).copied().unwrap_or_default()
    }

    /// All rules.
    pub fn total(&self) -> u64 {
        self.by_source.iter().sum()
    }
}

/// What is said of a key by one source.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Kind {
    flags: Flags,
    modifiers: Option<u32>,
    source: SourceId,
    /// Whether it takes back what others say (`$badfilter`).
    cancels: bool,
}

/// Compiles rules.
pub struct Builder {
    options: BuildOptions,
    run: Run,
    spill: Option<Spill>,
    kinds: Vec<Kind>,
    kind_numbers: HashMap<Kind, u32>,
    last_kind: Option<(Kind, u32)>,
    modifiers: HashMap<Box<Modifiers>, u32>,
    patterns: Vec<(Pattern, Vec<u32>)>,
    pattern_places: HashMap<Pattern, usize>,
    patterns_builder: PatternsBuilder,
    addresses: Vec<(IpNet, u32)>,
}

impl Builder {
    /// A builder without a rule.
    pub fn new(options: BuildOptions) -> Self {
        Self {
            options,
            run: Run::default(),
            spill: None,
            kinds: Vec::new(),
            kind_numbers: HashMap::new(),
            last_kind: None,
            modifiers: HashMap::new(),
            patterns: Vec::new(),
            pattern_places: HashMap::new(),
            patterns_builder: PatternsBuilder::default(),
            addresses: Vec::new(),
        }
    }

    /// Adds a rule. `targets_only`: it counts for the names that an answer leads to, never for the one asked.
    ///
    /// # Errors
    /// The rule is not taken then, and everything else stays; after [`BuildError::Io`] the builder is of no more use.
    pub fn add(&mut self, source: SourceId, targets_only: bool, rule: &Rule) -> Result<(), BuildError> {
        match &rule.subject {
            Subject::Name { name, scope } => {
                let key = Key::of(name.as_ref())
                    .filter(|key| key.is_of_a_list(key.labels()))
                    .ok_or(BuildError::Name)?;
                let kind = self.kind(source, targets_only, rule, *scope)?;
                self.run.push(key.as_octets(), kind);
                if self.run.is_full() {
                    self.put_aside()?;
                }
            }
            Subject::Pattern(pattern) => {
                let place = match self.pattern_places.get(pattern) {
                    Some(place) => *place,
                    None => {
                        self.patterns_builder.admit(pattern)?;
                        self.patterns.push((pattern.clone(), Vec::new()));
                        self.pattern_places.insert(pattern.clone(), self.patterns.len() - 1);
                        self.patterns.len() - 1
                    }
                };
                let kind = self.kind(source, targets_only, rule, Scope::Subtree)?;
                if let Some((_, kinds)) = self.patterns.get_mut(place) {
                    kinds.push(kind);
                }
            }
            Subject::Addresses(net) => {
                if self.addresses.len() == addresses::ADDRESSES_MAX {
                    return Err(BuildError::Full("two million address prefixes"));
                }
                let kind = self.kind(source, targets_only, rule, Scope::Subtree)?;
                self.addresses.push((net.trunc(), kind));
            }
        }
        Ok(())
    }

    fn kind(
        &mut self,
        source: SourceId,
        targets_only: bool,
        rule: &Rule,
        scope: Scope,
    ) -> Result<u32, BuildError> {
        let mut cancels = false;
        let mut modified = None;
        if let Some(modifiers) = &rule.modifiers {
            let mut modifiers = modifiers.clone();
            cancels = std::mem::take(&mut modifiers.badfilter);
            if *modifiers != Modifiers::default() {
                let next = self.modifiers.len();
                let number = match self.modifiers.get(&modifiers) {
                    Some(number) => *number,
                    None if next == MODIFIERS_MAX => {
                        return Err(BuildError::Full("65536 different modifiers"));
                    }
                    None => {
                        let number = u32::try_from(next).unwrap_or(u32::MAX);
                        self.modifiers.insert(modifiers, number);
                        number
                    }
                };
                modified = Some(number);
            }
        }
        let flags = Flags::new(scope, rule.action, targets_only, modified.is_some());
        let kind = Kind { flags, modifiers: modified, source, cancels };
        if let Some((last, number)) = self.last_kind
            && last == kind
        {
            return Ok(number);
        }
        let next =
            u32::try_from(self.kinds.len()).map_err(|_| BuildError::Full("too many kinds of rules"))?;
        let number = *self.kind_numbers.entry(kind).or_insert(next);
        if number == next {
            self.kinds.push(kind);
        }
        self.last_kind = Some((kind, number));
        Ok(number)
    }

    /// Whether keys were put aside on the disk.
    #[cfg(test)]
    pub(super) const fn is_spilled(&self) -> bool {
        self.spill.is_some()
    }

    /// Makes room for the next keys.
    fn put_aside(&mut self) -> Result<(), BuildError> {
        let Some(directory) = &self.options.spill_dir else {
            return if self.run.has_no_room() {
                Err(BuildError::Full("more names than fit into memory"))
            } else {
                Ok(())
            };
        };
        self.run.sort();
        let spill = match &mut self.spill {
            Some(spill) => spill,
            None => self.spill.insert(Spill::new(directory)?),
        };
        spill.put(&mut self.run)?;
        Ok(())
    }

    /// Compiles to a ruleset in memory.
    ///
    /// # Errors
    /// When more was added than a ruleset can hold.
    pub fn finish_in_memory(self) -> Result<(Ruleset, Counts), BuildError> {
        let (octets, counts) = self.write(Octets::new(Vec::new()), [0; 32], |_| Vec::new())?;
        Ok((Ruleset::from_bytes(Bytes::Held(octets.into_inner().into()))?, counts))
    }

    /// Compiles to a file and maps it. It is written beside, synced and renamed: a power cut leaves the old one or the new one.
    ///
    /// `fingerprint` and `notes` are the caller's: by the one it tells whether the file is still right, in the other it
    /// keeps what it wants to find there, once it is known how many rules there are.
    ///
    /// # Errors
    /// What was at `path` before is untouched.
    pub fn finish_to(
        self,
        path: &Path,
        fingerprint: [u8; 32],
        notes: impl FnOnce(&Counts) -> Vec<u8>,
    ) -> Result<(Ruleset, Counts), BuildError> {
        let directory = path.parent().unwrap_or(Path::new("."));
        let beside = path.with_extension("new");
        let written = self.write_beside(&beside, fingerprint, notes).and_then(|written| {
            std::fs::rename(&beside, path)?;
            // Everyone sees the new one; where a directory can't be synced, a power cut may bring the old one back.
            let _ = File::open(directory).and_then(|directory| directory.sync_all());
            Ok(written)
        });
        if written.is_err() {
            // A full disk is not to be filled further by what was left half-written.
            let _ = std::fs::remove_file(&beside);
        }
        written
    }

    fn write_beside(
        self,
        beside: &Path,
        fingerprint: [u8; 32],
        notes: impl FnOnce(&Counts) -> Vec<u8>,
    ) -> Result<(Ruleset, Counts), BuildError> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(beside)?;
        let (out, counts) = self.write(BufWriter::with_capacity(256 * 1024, file), fingerprint, notes)?;
        let file = out.into_inner().map_err(|error| error.into_error())?;
        file.sync_all()?;
        // Mapped before it is renamed: what can't be read back replaces nothing.
        Ok((Ruleset::from_bytes(Bytes::map(&file)?)?, counts))
    }

    fn write<W: Write + Seek>(
        mut self,
        out: W,
        fingerprint: [u8; 32],
        notes: impl FnOnce(&Counts) -> Vec<u8>,
    ) -> Result<(W, Counts), BuildError> {
        self.run.sort();
        let symbols = SymbolWriter::train(&self.run.sample(SAMPLE_COUNT));
        if self.spill.is_some() {
            self.put_aside()?;
        }
        let keys_max = self.run.len() + self.spill.as_ref().map_or(0, Spill::len);
        if self.spill.is_some() {
            // All of it is on the disk, and its memory is better used for what is made of it.
            self.run = Run::default();
        }
        let mut emitter = Emitter {
            file: FileWriter::new(out)?,
            block: BlockWriter::default(),
            symbols,
            octets: Vec::new(),
            index: IndexWriter::default(),
            // At once, since growing would need the old room and the new one.
            hashes: Vec::with_capacity(keys_max),
            labels: (u8::MAX, 0),
            attributes: Attributes::new(&self.kinds),
        };
        let runs = match &self.spill {
            Some(spill) => spill.runs().collect(),
            None => vec![Cursor::Held { run: &self.run, next: 0 }],
        };
        merge(runs, |key, kinds| emitter.key(key, kinds))?;
        emitter.block()?;
        let Emitter { mut file, symbols, index, hashes, labels, mut attributes, .. } = emitter;
        let (records, groups) = index.finish(u32::try_from(file.section_len()).unwrap_or(u32::MAX));
        self.run = Run::default();
        let patterns = std::mem::take(&mut self.patterns);
        let mut written = Vec::new();
        for (pattern, mut kinds) in patterns {
            kinds.sort_unstable();
            kinds.dedup();
            if let Some(attribute) = attributes.number(&kinds)? {
                patterns::put(&mut written, &pattern, attribute);
            }
        }
        let mut prefixes = Vec::new();
        self.addresses.sort_unstable_by_key(|(net, kind)| (*net, *kind));
        for same in self.addresses.chunk_by(|one, other| one.0 == other.0) {
            let mut kinds: Vec<u32> = same.iter().map(|(_, kind)| *kind).collect();
            kinds.dedup();
            if let (Some((net, _)), Some(attribute)) = (same.first(), attributes.number(&kinds)?) {
                prefixes.push((*net, attribute));
            }
        }
        file.end_section()?; // The blocks.
        file.section(&records)?;
        file.section(&groups)?;
        file.section(&filter::build(&hashes))?;
        file.section(&symbols.table())?;
        file.section(&attributes.octets)?;
        file.section(&attributes.places)?;
        let mut all: Vec<(&Modifiers, u32)> =
            self.modifiers.iter().map(|(said, number)| (&**said, *number)).collect();
        all.sort_unstable_by_key(|(_, number)| *number);
        let mut octets = Vec::new();
        for (said, _) in all {
            let mut one = Vec::new();
            modifiers::write(said, &mut one);
            put_prefixed(&mut octets, &one);
        }
        file.section(&octets)?;
        file.section(&written)?;
        file.section(&addresses::write(prefixes))?;
        let counts = attributes.counts();
        file.section(&notes(&counts))?;
        let (rules, keys) = (counts.total(), hashes.len() as u64);
        let about = About { precedence: self.options.precedence, labels, fingerprint, rules, keys };
        Ok((file.finish(&about)?, counts))
    }
}

/// Writes the keys as they pass by.
struct Emitter<'a, W> {
    file: FileWriter<W>,
    block: BlockWriter,
    symbols: SymbolWriter,
    /// A block that is put together.
    octets: Vec<u8>,
    index: IndexWriter,
    hashes: Vec<u64>,
    labels: (u8, u8),
    attributes: Attributes<'a>,
}

impl<W: Write + Seek> Emitter<'_, W> {
    fn key(&mut self, key: &[u8], kinds: &[u32]) -> Result<(), BuildError> {
        let Some(attribute) = self.attributes.number(kinds)? else { return Ok(()) };
        let mut hash = NameHash::new();
        let mut labels = 0;
        for label in key.split(|&octet| octet == 0) {
            hash.push(label);
            labels += 1;
        }
        self.labels = (self.labels.0.min(labels), self.labels.1.max(labels));
        self.hashes.push(hash.value());
        if self.block.count() == 0 {
            let place =
                u32::try_from(self.file.section_len()).map_err(|_| BuildError::Full("4 GiB of names"))?;
            self.index.push(key, place);
        }
        self.block.push(key, attribute, &mut self.symbols);
        if self.block.count() == KEYS_MAX { self.block() } else { Ok(()) }
    }

    fn block(&mut self) -> Result<(), BuildError> {
        if self.block.count() == 0 {
            return Ok(());
        }
        self.octets.clear();
        self.block.finish(&mut self.octets);
        self.file.write(&self.octets)?;
        Ok(())
    }
}

/// The attributes so far, each once.
struct Attributes<'a> {
    kinds: &'a [Kind],
    octets: Vec<u8>,
    places: Vec<u8>,
    count: u32,
    /// By the only kind of a key; nearly all keys have one.
    single: Vec<Option<u32>>,
    several: HashMap<Box<[u32]>, Option<u32>>,
    /// How many keys each kind has come with.
    used: Vec<u64>,
}

impl<'a> Attributes<'a> {
    fn new(kinds: &'a [Kind]) -> Self {
        let (single, used) = (vec![None; kinds.len()], vec![0; kinds.len()]);
        Self {
            kinds,
            octets: Vec::new(),
            places: Vec::new(),
            count: 0,
            single,
            several: HashMap::new(),
            used,
        }
    }

    /// The number of the attribute that says what these kinds say, which are in order and each once; `None` when nothing is
    /// left of them.
    fn number(&mut self, kinds: &[u32]) -> Result<Option<u32>, BuildError> {
        if let [kind] = kinds
            && let Some(&Some(known)) = self.single.get(*kind as usize)
        {
            self.count_use(*kind);
            return Ok(Some(known));
        }
        let known = self.several.get(kinds).copied();
        let left = self.left(kinds);
        left.iter().for_each(|&kind| self.count_use(kind));
        if let Some(known) = known {
            return Ok(known);
        }
        let number = if left.is_empty() { None } else { Some(self.write(&left)?) };
        match kinds {
            [kind] => {
                if let Some(place) = self.single.get_mut(*kind as usize) {
                    *place = number;
                }
            }
            _ => drop(self.several.insert(kinds.into(), number)),
        }
        Ok(number)
    }

    fn count_use(&mut self, kind: u32) {
        if let Some(count) = self.used.get_mut(kind as usize) {
            *count += 1;
        }
    }

    fn kind(&self, number: u32) -> Option<&'a Kind> {
        self.kinds.get(number as usize)
    }

    /// What is left of these kinds when those that are taken back are gone.
    fn left(&self, kinds: &[u32]) -> Vec<u32> {
        let said = |kind: &Kind| (kind.flags.scope(), kind.flags.action(), kind.modifiers);
        let cancelled: Vec<_> =
            kinds.iter().filter_map(|&kind| self.kind(kind)).filter(|kind| kind.cancels).map(said).collect();
        let stays = |kind: &Kind| !kind.cancels && !cancelled.contains(&said(kind));
        kinds.iter().copied().filter(|&kind| self.kind(kind).is_some_and(stays)).collect()
    }

    fn write(&mut self, kinds: &[u32]) -> Result<u32, BuildError> {
        let mut said: Vec<&Kind> = kinds.iter().filter_map(|&kind| self.kind(kind)).collect();
        said.sort_unstable_by_key(|kind| (kind.flags, kind.modifiers, kind.source));
        let place = u32::try_from(self.octets.len()).map_err(|_| BuildError::Full("4 GiB of attributes"))?;
        self.places.extend_from_slice(&place.to_le_bytes());
        let rules = said.chunk_by(|one, other| (one.flags, one.modifiers) == (other.flags, other.modifiers));
        put_varint(&mut self.octets, u32::try_from(rules.clone().count()).unwrap_or(u32::MAX));
        for same in rules {
            let Some(first) = same.first() else { continue };
            let sources: Vec<SourceId> = same.iter().map(|kind| kind.source).collect();
            put_said(&mut self.octets, first.flags, first.modifiers, &sources);
        }
        self.count += 1;
        Ok(self.count - 1)
    }

    fn counts(&self) -> Counts {
        let sources = self.kinds.iter().map(|kind| usize::from(kind.source.0) + 1).max().unwrap_or_default();
        let mut by_source = vec![0; sources];
        for (kind, used) in self.kinds.iter().zip(&self.used) {
            if let Some(count) = by_source.get_mut(usize::from(kind.source.0)) {
                *count += used;
            }
        }
        Counts { by_source }
    }
}

/// The next key of a run.
struct Head<'a> {
    digest: u64,
    key: Vec<u8>,
    kind: u32,
    rest: Cursor<'a>,
}

impl Head<'_> {
    /// Goes on to the next key; whether there is one.
    fn advance(&mut self) -> io::Result<bool> {
        let next = self.rest.next(&mut self.key)?;
        self.digest = digest(&self.key);
        self.kind = next.unwrap_or_default();
        Ok(next.is_some())
    }
}

/// The smallest key first.
impl Ord for Head<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_digest = other.digest.cmp(&self.digest);
        by_digest.then_with(|| (&other.key, other.kind).cmp(&(&self.key, self.kind)))
    }
}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head<'_> {}

/// Hands each key of sorted runs to `take`, once and in order, with all kinds that it has come with.
fn merge(
    runs: Vec<Cursor<'_>>,
    mut take: impl FnMut(&[u8], &[u32]) -> Result<(), BuildError>,
) -> Result<(), BuildError> {
    let mut heads = BinaryHeap::with_capacity(runs.len());
    for rest in runs {
        let mut head = Head { digest: 0, key: Vec::new(), kind: 0, rest };
        if head.advance()? {
            heads.push(head);
        }
    }
    let mut key = Vec::new();
    let mut kinds: Vec<u32> = Vec::new();
    while let Some(mut head) = heads.peek_mut() {
        if head.key != key {
            if !kinds.is_empty() {
                take(&key, &kinds)?;
                kinds.clear();
            }
            key.clone_from(&head.key);
        }
        if kinds.last() != Some(&head.kind) {
            kinds.push(head.kind);
        }
        if !head.advance()? {
            PeekMut::pop(head);
        }
    }
    if kinds.is_empty() { Ok(()) } else { take(&key, &kinds) }
}
