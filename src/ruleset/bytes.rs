//! The octets of a ruleset file: mapped, or held in memory.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};

use memmap2::Mmap;

/// The octets of a whole file.
#[derive(Debug)]
pub(super) enum Bytes {
    Held(Box<[u8]>),
    Mapped(Mmap),
}

impl Bytes {
    /// Maps a file read-only.
    #[expect(unsafe_code, reason = "a mapping is sound only while nobody changes the file; see below")]
    pub(super) fn map(file: &File) -> io::Result<Self> {
        // SAFETY: a ruleset file is written under another name, renamed, and never written to again: a new ruleset is a
        // new file, and this mapping keeps the old one. Its directory belongs to the daemon alone. Every access through
        // the mapping is bounds-checked and every value read from it is valid whatever its bits are, so that a change
        // by a stranger's hand could give a wrong verdict but is not relied upon for memory safety of anything else.
        let map = unsafe { Mmap::map(file) }?;
        // Look-ups jump about; reading ahead would only fill memory. A kernel that does not know the advice ignores it.
        let _ = map.advise(memmap2::Advice::Random);
        Ok(Self::Mapped(map))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Held(octets) => octets,
            Self::Mapped(map) => map,
        }
    }
}

/// Reads numbers from octets, in order; `None` at their end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    /// A number in seven bits an octet, the lowest first (LEB128).
    pub(super) fn varint(&mut self) -> Option<u32> {
        let mut number = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let octet = self.u8()?;
            number |= u32::from(octet & 0x7f) << shift;
            if octet < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// Octets with their count before them.
    pub(super) fn prefixed(&mut self) -> Option<&'a [u8]> {
        let length = self.varint()? as usize;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.prefixed()?).ok()
    }
}

/// Writes what [`Reader::varint`] reads.
#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u32) {
    while 0x80 <= number {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes what [`Reader::prefixed`] reads.
pub(super) fn put_prefixed(out: &mut Vec<u8>, octets: &[u8]) {
    put_varint(out, u32::try_from(octets.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(octets);
}

/// The number at `index` in an array of little-endian numbers of four octets.
pub(super) fn u32_at(octets: &[u8], index: usize) -> Option<u32> {
    octets.get(index.checked_mul(4)?..)?.first_chunk().copied().map(u32::from_le_bytes)
}

/// A part of the file.
pub(super) type Part = Range<usize>;
