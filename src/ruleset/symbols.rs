//! The symbols that keys are written in: up to 255 pieces of up to eight octets, each one octet in the file.
//!
//! Boncz, Neumann and Leis, "FSST: Fast Random Access String Compression" (2020). The `fsst-rs` crate trains the table and
//! writes with it; reading is here, since a look-up compares while it reads and never puts a key together.

use fsst::{Compressor, ESCAPE_CODE};

use super::bytes::Reader;

/// Writes keys.
pub(super) struct Writer {
    compressor: Compressor,
    buffer: Vec<u8>,
}

impl Writer {
    /// Makes a table for texts like these.
    pub(super) fn train(sample: &[&[u8]]) -> Self {
        Self { compressor: Compressor::train(&sample.to_vec()), buffer: Vec::new() }
    }

    /// The text in symbols, valid until the next call.
    pub(super) fn encode(&mut self, text: &[u8]) -> &[u8] {
        self.buffer = self.compressor.compress(text);
        &self.buffer
    }

    /// The table as [`Symbols::read`] takes it.
    pub(super) fn table(&self) -> Vec<u8> {
        let mut table = Vec::new();
        let symbols = self.compressor.symbol_table();
        for (symbol, &length) in symbols.iter().zip(self.compressor.symbol_lengths()) {
            table.push(length);
            table.extend_from_slice(&symbol.to_u64().to_le_bytes());
        }
        table
    }
}

/// Reads keys.
#[derive(Clone, Debug)]
pub(super) struct Symbols {
    /// The octets of each, the first in the lowest.
    words: Box<[u64; 256]>,
    lengths: Box<[u8; 256]>,
}

impl Default for Symbols {
    fn default() -> Self {
        Self { words: Box::new([0; 256]), lengths: Box::new([0; 256]) }
    }
}

impl Symbols {
    /// Reads a table; `None` when it is none.
    pub(super) fn read(table: &[u8]) -> Option<Self> {
        let mut symbols = Self::default();
        let mut reader = Reader(table);
        for code in 0..table.len() / 9 {
            let length = reader.u8().filter(|length| (1..=8).contains(length))?;
            *symbols.lengths.get_mut(code)? = length;
            *symbols.words.get_mut(code)? = reader.u64()?;
        }
        reader.0.is_empty().then_some(symbols)
    }

    /// What a text in symbols says, piece by piece.
    pub(super) fn pieces<'a>(&'a self, codes: &'a [u8]) -> Pieces<'a> {
        Pieces { symbols: self, codes }
    }

    /// The first octet of a text; `None` when it is empty.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the first octet is the lowest")]
    pub(super) fn first(&self, codes: &[u8]) -> Option<u8> {
        let (&code, rest) = codes.split_first()?;
        if code == ESCAPE_CODE {
            return rest.first().copied();
        }
        self.words.get(usize::from(code)).map(|word| *word as u8)
    }

    /// Puts a text in symbols behind `out`.
    pub(super) fn append(&self, codes: &[u8], out: &mut Vec<u8>) {
        for (word, length) in self.pieces(codes) {
            out.extend_from_slice(word.to_le_bytes().get(..length).unwrap_or_default());
        }
    }
}

/// An iterator over the pieces of a text: up to eight octets, the first in the lowest, and how many there are.
pub(super) struct Pieces<'a> {
    symbols: &'a Symbols,
    codes: &'a [u8],
}

impl Iterator for Pieces<'_> {
    type Item = (u64, usize);

    #[inline]
    fn next(&mut self) -> Option<(u64, usize)> {
        let (&code, rest) = self.codes.split_first()?;
        if code == ESCAPE_CODE {
            let (&literal, rest) = rest.split_first()?;
            self.codes = rest;
            return Some((u64::from(literal), 1));
        }
        self.codes = rest;
        let place = usize::from(code);
        Some((*self.symbols.words.get(place)?, usize::from(*self.symbols.lengths.get(place)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let sample: Vec<&[u8]> =
            vec![b"com\0doubleclick", b"com\0google\0ads", b"net\0cdn\0pixel", b"", b"\xff\xff\x00"];
        for trained in [&sample[..], &[]] {
            let mut writer = Writer::train(trained);
            let symbols = Symbols::read(&writer.table()).unwrap();
            for text in &sample {
                let codes = writer.encode(text).to_vec();
                let mut read = Vec::new();
                symbols.append(&codes, &mut read);
                assert_eq!(read, *text);
            }
        }
        assert!(Symbols::read(b"\x09abcdefgh").is_none());
        assert!(Symbols::read(b"\x01").is_none());
    }
}
