//! A block of keys: up to [`KEYS_MAX`] of them in order, each as its difference to the one before, with what is said of each.
//!
//! ```text
//! checksum   u16            the lower bits of XXH3 over what follows
//! count      u8             how many keys
//! kinds      u8             how many different attributes there are, less one
//! attributes varint each    the attributes themselves
//! choices    bits           for each key which of them; no bits when there is one
//! middle     varint         where key number [`MIDDLE`] stands among the keys; only when there is one
//! keys       for each:      an octet: shared length against the last one's (high half, 7 is the same),
//!                           and how many octets follow (low half); 15 in either: a varint follows
//!                           the rest of the key in symbols
//! ```
//!
//! The key in the middle is its difference to the first one, so that a look-up may begin there. A look-up knows how much of the key it has matched so far. A key that shares more than that with the one before is
//! smaller than what is looked for, and one that shares less is greater: neither is read.

use std::cmp::Ordering;

use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{Reader, put_varint};
use super::key::Wanted;
use super::symbols::{Symbols, Writer};

/// Keys in a block: the more, the smaller the file and the longer a look-up.
pub(super) const KEYS_MAX: usize = 32;
/// The number of the key in the middle.
const MIDDLE: usize = KEYS_MAX / 2;
/// What stands in half an octet when it does not suffice.
const FOLLOWS: u8 = 15;
/// The same length as the key before.
const SAME: usize = 7;

/// Puts a block together.
#[derive(Default)]
pub(super) struct BlockWriter {
    first: Vec<u8>,
    last: Vec<u8>,
    middle: usize,
    shared: usize,
    keys: Vec<u8>,
    attributes: Vec<u32>,
}

impl BlockWriter {
    pub(super) const fn count(&self) -> usize {
        self.attributes.len()
    }

    /// Takes the next key, which is greater than the last.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a key, and so what is left of it, has at most 255 octets"
    )]
    pub(super) fn push(&mut self, key: &[u8], attribute: u32, symbols: &mut Writer) {
        let shared = match self.count() {
            0 => {
                self.first.clear();
                self.first.extend_from_slice(key);
                0
            }
            MIDDLE => {
                (self.middle, self.shared) = (self.keys.len(), 0);
                shared_len(&self.first, key)
            }
            _ => shared_len(&self.last, key),
        };
        let codes = symbols.encode(key.get(shared..).unwrap_or_default());
        let change = (shared + SAME).checked_sub(self.shared);
        let high = change
            .and_then(|change| u8::try_from(change).ok())
            .filter(|&high| high < FOLLOWS)
            .unwrap_or(FOLLOWS);
        let low = u8::try_from(codes.len()).ok().filter(|&low| low < FOLLOWS).unwrap_or(FOLLOWS);
        self.keys.push(high << 4 | low);
        if high == FOLLOWS {
            put_varint(&mut self.keys, shared as u32);
        }
        if low == FOLLOWS {
            put_varint(&mut self.keys, codes.len() as u32);
        }
        self.keys.extend_from_slice(codes);
        self.attributes.push(attribute);
        self.shared = shared;
        self.last.clear();
        self.last.extend_from_slice(key);
    }

    /// Writes the block out and begins a new one.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a block has at most 32 keys of less than 256 octets, and no more kinds than keys"
    )]
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0, 0, self.count() as u8]);
        let mut kinds: Vec<u32> = Vec::new();
        let choices: Vec<usize> = self
            .attributes
            .iter()
            .map(|attribute| {
                kinds.iter().position(|known| known == attribute).unwrap_or_else(|| {
                    kinds.push(*attribute);
                    kinds.len() - 1
                })
            })
            .collect();
        out.push(kinds.len().saturating_sub(1) as u8);
        kinds.iter().for_each(|&kind| put_varint(out, kind));
        let width = choice_width(kinds.len());
        let mut bits = vec![0_u8; (choices.len() * width).div_ceil(8)];
        for (index, choice) in choices.into_iter().enumerate() {
            for bit in (0..width).filter(|bit| choice >> bit & 1 == 1) {
                let at = index * width + bit;
                if let Some(octet) = bits.get_mut(at / 8) {
                    *octet |= 1 << (at % 8);
                }
            }
        }
        out.extend_from_slice(&bits);
        if MIDDLE < self.attributes.len() {
            put_varint(out, self.middle as u32);
        }
        out.extend_from_slice(&self.keys);
        let sum = checksum(out.get(start + 2..).unwrap_or_default()).to_le_bytes();
        if let Some(place) = out.get_mut(start..start + 2) {
            place.copy_from_slice(&sum);
        }
        self.keys.clear();
        self.attributes.clear();
        self.shared = 0;
    }
}

/// How many octets two keys have in common at their beginning.
pub(super) fn shared_len(one: &[u8], other: &[u8]) -> usize {
    // Eight at a time: every key that is compiled is compared twice.
    let words = one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0);
    let mut shared = 0;
    for (one, other) in words {
        let different = u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other);
        if different != 0 {
            return shared + (different.trailing_zeros() / 8) as usize;
        }
        shared += 8;
    }
    let (one, other) = (one.get(shared..).unwrap_or_default(), other.get(shared..).unwrap_or_default());
    shared + one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

fn choice_width(kinds: usize) -> usize {
    kinds.next_power_of_two().trailing_zeros() as usize
}

#[expect(clippy::cast_possible_truncation, reason = "the lower bits are what is kept")]
fn checksum(octets: &[u8]) -> u16 {
    xxh3_64(octets) as u16
}

/// A block that is looked into.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    count: usize,
    kinds: usize,
    attributes: &'a [u8],
    /// Where the key in the middle stands.
    middle: Option<usize>,
    keys: &'a [u8],
}

impl<'a> Block<'a> {
    /// Whether these are the octets that were written.
    pub(super) fn is_whole(octets: &[u8]) -> bool {
        let mut reader = Reader(octets);
        reader.u16().is_some_and(|sum| sum == checksum(reader.0))
    }

    /// Reads the head of a block that is whole. Octets that are not are no danger, but say anything.
    #[inline]
    pub(super) fn read(octets: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(octets.get(2..)?);
        let count = usize::from(reader.u8()?);
        let kinds = usize::from(reader.u8()?) + 1;
        let attributes = reader.0;
        (0..kinds).try_for_each(|_| reader.varint().map(drop))?;
        let bits = (count * choice_width(kinds)).div_ceil(8);
        reader.take(bits)?;
        let attributes = attributes.get(..attributes.len() - reader.0.len())?;
        let middle = if MIDDLE < count { Some(reader.varint()? as usize) } else { None };
        Some(Self { count, kinds, attributes, middle, keys: reader.0 })
    }

    /// The attribute of a key, or `None` when the block does not have it.
    pub(super) fn find(&self, key: Wanted<'_>, symbols: &Symbols) -> Option<u32> {
        let mut keys = self.keys(0);
        let (_, length) = keys.head()?;
        // How much of the key the last one read has, being smaller than it.
        let mut matched = match compare(symbols, keys.take(length)?, key, 0) {
            (Ordering::Equal, _) => return self.attribute(0),
            (Ordering::Greater, _) => return None,
            (Ordering::Less, matched) => matched,
        };
        let mut numbers = 1..self.count.min(MIDDLE);
        if let Some(middle) = self.middle {
            let mut later = self.keys(middle);
            let (shared, length) = later.head()?;
            let codes = later.take(length)?;
            // It is told from the first one as any key is from the one before.
            let (order, length) = match shared.cmp(&matched) {
                Ordering::Greater => (Ordering::Less, matched),
                Ordering::Less => (Ordering::Greater, matched),
                Ordering::Equal => compare(symbols, codes, key, matched),
            };
            match order {
                Ordering::Equal => return self.attribute(MIDDLE),
                Ordering::Greater => {}
                Ordering::Less => (keys, matched, numbers) = (later, length, MIDDLE + 1..self.count),
            }
        }
        for number in numbers {
            let (shared, length) = keys.head()?;
            if matched < shared {
                keys.at = keys.at.saturating_add(length);
                continue;
            }
            if shared < matched {
                return None;
            }
            let codes = keys.take(length)?;
            // Most keys on the way are told by their next octet alone.
            if symbols.first(codes)? < key.octet(matched)? {
                continue;
            }
            match compare(symbols, codes, key, matched) {
                (Ordering::Equal, _) => return self.attribute(number),
                (Ordering::Greater, _) => return None,
                (Ordering::Less, length) => matched = length,
            }
        }
        None
    }

    /// How the first key compares to another one.
    pub(super) fn compare_first(&self, key: Wanted<'_>, symbols: &Symbols) -> Option<Ordering> {
        let mut keys = self.keys(0);
        let (_, length) = keys.head()?;
        Some(compare(symbols, keys.take(length)?, key, 0).0)
    }

    /// Calls `take` with each key and its attribute.
    pub(super) fn for_each(&self, symbols: &Symbols, take: &mut impl FnMut(&[u8], u32)) -> Option<()> {
        let mut keys = self.keys(0);
        let (mut key, mut first) = (Vec::new(), Vec::new());
        for number in 0..self.count {
            if number == MIDDLE {
                keys.shared = 0;
                key.clone_from(&first);
            }
            let (shared, length) = keys.head()?;
            key.truncate(shared);
            symbols.append(keys.take(length)?, &mut key);
            if number == 0 {
                first.clone_from(&key);
            }
            take(&key, self.attribute(number)?);
        }
        Some(())
    }

    const fn keys(&self, at: usize) -> Keys<'a> {
        Keys { octets: self.keys, at, shared: 0 }
    }

    fn attribute(&self, index: usize) -> Option<u32> {
        let mut reader = Reader(self.attributes);
        if self.kinds == 1 {
            return reader.varint();
        }
        let width = choice_width(self.kinds);
        let choices = self.attributes.len() - (self.count * width).div_ceil(8);
        let bit =
            |at: usize| self.attributes.get(choices + at / 8).map(|octet| usize::from(octet >> (at % 8) & 1));
        let mut choice = 0;
        for place in 0..width {
            choice |= bit(index * width + place)? << place;
        }
        (0..choice).try_for_each(|_| reader.varint().map(drop))?;
        reader.varint()
    }
}

/// Goes through the keys of a block.
struct Keys<'a> {
    octets: &'a [u8],
    at: usize,
    shared: usize,
}

impl<'a> Keys<'a> {
    /// How much the next key shares with the one before, and how long its rest is in symbols: that stands behind.
    #[inline]
    fn head(&mut self) -> Option<(usize, usize)> {
        let halves = *self.octets.get(self.at)?;
        self.at += 1;
        let (high, low) = (halves >> 4, halves & 0x0f);
        // Octets that were not written here may say anything; then nothing is as long as what comes out, and nothing matches.
        self.shared = self.shared.wrapping_add(usize::from(high)).wrapping_sub(SAME);
        if high == FOLLOWS || low == FOLLOWS {
            return self.long_head(high, low);
        }
        Some((self.shared, usize::from(low)))
    }

    #[cold]
    fn long_head(&mut self, high: u8, low: u8) -> Option<(usize, usize)> {
        let mut reader = Reader(self.octets.get(self.at..)?);
        if high == FOLLOWS {
            self.shared = reader.varint()? as usize;
        }
        let length = if low == FOLLOWS { reader.varint()? as usize } else { usize::from(low) };
        self.at = self.octets.len() - reader.0.len();
        Some((self.shared, length))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.octets.get(self.at..)?.get(..length);
        self.at = self.at.saturating_add(length);
        taken
    }
}

/// How a text in symbols compares to a key of which `matched` octets were seen before it, and how many have been seen after.
#[inline]
fn compare(symbols: &Symbols, codes: &[u8], key: Wanted<'_>, mut matched: usize) -> (Ordering, usize) {
    for (piece, length) in symbols.pieces(codes) {
        let left = key.len().saturating_sub(matched);
        let word = key.word(matched);
        // The lowest octet in which both differ.
        let shared = ((piece ^ word).trailing_zeros() / 8) as usize;
        if length <= shared.min(left) {
            matched += length;
        } else if left <= shared {
            // The key ends within the piece.
            return (Ordering::Greater, matched + left);
        } else {
            let octet = |word: u64| word >> (shared * 8) & 0xff;
            return (octet(piece).cmp(&octet(word)), matched + shared);
        }
    }
    (if matched < key.len() { Ordering::Less } else { Ordering::Equal }, matched)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ruleset::key::Key;

    #[test]
    fn a_flipped_bit_is_seen() {
        let mut symbols = Writer::train(&[b"com\0example"]);
        let mut writer = BlockWriter::default();
        for key in ["com\0example", "com\0example\0a", "net\0example"] {
            writer.push(key.as_bytes(), 7, &mut symbols);
        }
        let mut octets = Vec::new();
        writer.finish(&mut octets);
        for at in 0..octets.len() * 8 {
            octets[at / 8] ^= 1 << (at % 8);
            assert!(!Block::is_whole(&octets), "bit {at}");
            octets[at / 8] ^= 1 << (at % 8);
        }
        assert!(Block::is_whole(&octets));
    }

    proptest! {
        #[test]
        fn every_key_is_found_and_no_other(
            keys in proptest::collection::btree_map("[a-c\0]{1,20}", 0_u32..6, 1..=KEYS_MAX), others in proptest::collection::vec("[a-d\0]{0,9}", 20),
        ) {
            let sample: Vec<&[u8]> = keys.keys().map(String::as_bytes).collect();
            let mut symbols = Writer::train(&sample);
            let mut writer = BlockWriter::default();
            for (key, &attribute) in &keys {
                writer.push(key.as_bytes(), attribute * 1000, &mut symbols);
            }
            let mut octets = Vec::new();
            writer.finish(&mut octets);
            let symbols = Symbols::read(&symbols.table()).unwrap();
            let block = Block::read(&octets).unwrap();
            for name in keys.keys().chain(&others) {
                let expected = keys.get(name).map(|attribute| attribute * 1000);
                prop_assert_eq!(block.find(Key::raw(name.as_bytes()).ancestor(1), &symbols), expected, "{:?}", name);
            }
            let mut all = Vec::new();
            block.for_each(&symbols, &mut |key, attribute| all.push((key.to_vec(), attribute / 1000))).unwrap();
            prop_assert_eq!(all, keys.into_iter().map(|(key, attribute)| (key.into_bytes(), attribute)).collect::<Vec<_>>());
        }

        #[test]
        fn no_octets_make_a_look_up_fall_over(octets: Vec<u8>, key: Vec<u8>) {
            if let Some(block) = Block::read(&octets) {
                let symbols = Symbols::default();
                let key = Key::raw(&key);
                block.find(key.ancestor(1), &symbols);
                block.compare_first(key.ancestor(1), &symbols);
                block.for_each(&symbols, &mut |_, _| ());
            }
        }
    }
}
