//! The layout of a ruleset file, version 1. All numbers are little-endian.
//!
//! | at | length | what |
//! | -- | ------ | ---- |
//! | 0 | 8 | `pxl-rule`: this is a ruleset |
//! | 8 | 4 | version of the layout |
//! | 12 | 1 | precedence: 0 allow first, 1 specific first |
//! | 13 | 2 | fewest and most labels of a key |
//! | 15 | 1 | zero |
//! | 16 | 32 | fingerprint of what it was compiled from, in the compiler's own terms |
//! | 48 | 16 | how many rules and how many keys |
//! | 64 | 264 | for each section: where it begins, how long it is, XXH3 of it |
//! | 328 | 8 | XXH3 of all of the above |
//!
//! The sections, in this order: see [`Section`]. A file is written from its first octet to its last, and then the header.

use std::io::{self, Seek, SeekFrom, Write};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::Precedence;
use super::bytes::{Part, Reader};

/// What the file begins with.
const MAGIC: [u8; 8] = *b"pxl-rule";
/// The version of the layout; any other one is compiled anew.
const VERSION: u32 = 2;
/// How many sections there are.
const SECTIONS: usize = 11;
/// The length of the header with its checksum, in octets.
pub(super) const HEADER_LEN: usize = 64 + SECTIONS * 24 + 8;

/// A part of the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Section {
    /// The names in blocks (`block.rs`), one after the other. Each block has its own checksum, looked at when it is read;
    /// that of the section is for a check of the whole file.
    Blocks,
    /// For each block a digest of its first key (u64) and where it begins (u32); then the same for where the last one ends
    /// (`index.rs`).
    Index,
    /// For each group of blocks its first key, and how much of it the digests leave out (`index.rs`).
    Groups,
    /// Whether a name may be there at all (`filter.rs`).
    Filter,
    /// The symbols that keys are written in (`symbols.rs`).
    Symbols,
    /// What is said of keys (`attributes.rs`), one after the other.
    Attributes,
    /// For each attribute where it begins: u32 each.
    AttributePlaces,
    /// The modifiers of rules (`modifiers.rs`), each with its length before it.
    Modifiers,
    /// The patterns (`patterns.rs`).
    Patterns,
    /// The address prefixes (`addresses.rs`).
    Addresses,
    /// What the compiler wants to remember.
    Notes,
}

impl Section {
    pub(super) const ALL: [Self; SECTIONS] = [
        Self::Blocks,
        Self::Index,
        Self::Groups,
        Self::Filter,
        Self::Symbols,
        Self::Attributes,
        Self::AttributePlaces,
        Self::Modifiers,
        Self::Patterns,
        Self::Addresses,
        Self::Notes,
    ];
}

/// What the header says.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) precedence: Precedence,
    pub(super) labels_min: u8,
    pub(super) labels_max: u8,
    pub(super) fingerprint: [u8; 32],
    pub(super) rules: u64,
    pub(super) keys: u64,
    parts: [(Part, u64); SECTIONS],
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there, or can't be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no ruleset, or of another version of this program.
    #[error("it is not a ruleset of this version")]
    Foreign,
    /// It was compiled from other lists or another configuration.
    #[error("it was compiled from other lists")]
    Stale,
    /// Its octets are not the ones that were written.
    #[error("it is damaged ({0})")]
    Damaged(&'static str),
}

impl Header {
    /// Reads and checks a header; of the sections only that they are within a file of this length.
    pub(super) fn read(file: &[u8]) -> Result<Self, OpenError> {
        Self::read_within(file, file.len())
    }

    /// The same when the file is longer than what is at hand.
    pub(super) fn read_within(file: &[u8], file_len: usize) -> Result<Self, OpenError> {
        let damaged = OpenError::Damaged("the header");
        let magic = file.get(..12).ok_or(OpenError::Foreign)?;
        if magic.get(..8) != Some(&MAGIC) || magic.get(8..) != Some(&VERSION.to_le_bytes()) {
            return Err(OpenError::Foreign);
        }
        let Some((said, sum)) = file.get(..HEADER_LEN).and_then(|header| header.split_last_chunk::<8>())
        else {
            return Err(damaged);
        };
        if u64::from_le_bytes(*sum) != xxh3_64(said) {
            return Err(damaged);
        }
        Self::fields(said)
            .filter(|header| header.parts.iter().all(|(part, _)| part.end <= file_len))
            .ok_or(damaged)
    }

    /// The header of a ruleset without a rule.
    pub(super) const fn empty() -> Self {
        let parts = [const { (0..0, 0) }; SECTIONS];
        let fingerprint = [0; 32];
        Self {
            precedence: Precedence::AllowFirst,
            labels_min: 0,
            labels_max: 0,
            fingerprint,
            rules: 0,
            keys: 0,
            parts,
        }
    }

    fn fields(said: &[u8]) -> Option<Self> {
        let mut reader = Reader(said.get(12..)?);
        let precedence = match reader.u8()? {
            0 => Precedence::AllowFirst,
            1 => Precedence::SpecificFirst,
            _ => return None,
        };
        let (labels_min, labels_max) = (reader.u8()?, reader.u8()?);
        reader.u8()?;
        let fingerprint = reader.array()?;
        let (rules, keys) = (reader.u64()?, reader.u64()?);
        let mut parts = [const { (0..0, 0) }; SECTIONS];
        for place in &mut parts {
            let (start, length) =
                (usize::try_from(reader.u64()?).ok()?, usize::try_from(reader.u64()?).ok()?);
            *place = (start..start.checked_add(length)?, reader.u64()?);
        }
        Some(Self { precedence, labels_min, labels_max, fingerprint, rules, keys, parts })
    }

    fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[self.precedence as u8, self.labels_min, self.labels_max, 0]);
        out.extend_from_slice(&self.fingerprint);
        for number in [self.rules, self.keys] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for (part, sum) in &self.parts {
            for number in [part.start as u64, part.len() as u64, *sum] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        let sum = xxh3_64(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Where a section is.
    pub(super) fn part(&self, section: Section) -> Part {
        self.parts.get(section as usize).map_or(0..0, |(part, _)| part.clone())
    }

    /// What a section hashes to.
    pub(super) fn sum(&self, section: Section) -> u64 {
        self.parts.get(section as usize).map_or(0, |(_, sum)| *sum)
    }
}

/// Writes a file, section by section.
pub(super) struct FileWriter<W> {
    out: W,
    at: u64,
    start: u64,
    hasher: Xxh3,
    parts: Vec<(Part, u64)>,
}

impl<W: Write + Seek> FileWriter<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&[0; HEADER_LEN])?;
        let at = HEADER_LEN as u64;
        Ok(Self { out, at, start: at, hasher: Xxh3::new(), parts: Vec::new() })
    }

    /// Writes on in the present section.
    pub(super) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.hasher.update(octets);
        self.at += octets.len() as u64;
        self.out.write_all(octets)
    }

    /// How long the present section is.
    pub(super) const fn section_len(&self) -> u64 {
        self.at - self.start
    }

    /// Ends the present section; the order of calls is that of [`Section`].
    pub(super) fn end_section(&mut self) -> io::Result<()> {
        let offset = |at| {
            usize::try_from(at).map_err(|_| io::Error::other("the ruleset is too large for this machine"))
        };
        self.parts.push((offset(self.start)?..offset(self.at)?, self.hasher.digest()));
        self.hasher.reset();
        self.start = self.at;
        Ok(())
    }

    /// Writes a whole section.
    pub(super) fn section(&mut self, octets: &[u8]) -> io::Result<()> {
        self.write(octets)?;
        self.end_section()
    }

    /// Writes the header and gives back what was written to.
    pub(super) fn finish(mut self, about: &About) -> io::Result<W> {
        let &About { precedence, labels, fingerprint, rules, keys } = about;
        let parts = self.parts.try_into().map_err(|_| io::Error::other("a section is missing"))?;
        let (labels_min, labels_max) = labels;
        let header = Header { precedence, labels_min, labels_max, fingerprint, rules, keys, parts };
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header.write())?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// What the header is to say beside where the sections are.
pub(super) struct About {
    pub(super) precedence: Precedence,
    pub(super) labels: (u8, u8),
    pub(super) fingerprint: [u8; 32],
    pub(super) rules: u64,
    pub(super) keys: u64,
}
