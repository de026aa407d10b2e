//! Which block a key is in.
//!
//! Blocks stand in groups of [`GROUP`]. The first key of each group is held in memory; those within a group are told apart by
//! twelve octets each in the file: a digest of the block's first key behind what all of the group have in common (u64), and where
//! the block begins (u32). So a search goes through few lines of the cache that nobody has touched before, however many names
//! stand under one domain.

use std::cmp::Ordering;
use std::sync::atomic::{AtomicU64, Ordering as Memory};

use super::block::{Block, shared_len};
use super::bytes::{Reader, put_prefixed};
use super::key::{Wanted, digest};
use super::symbols::Symbols;

/// Octets of a record.
const RECORD_LEN: usize = 12;
/// Blocks in a group.
const GROUP: usize = 32;

/// Gathers what the index is made of.
#[derive(Default)]
pub(super) struct IndexWriter {
    /// The first key of each block, with its length before it.
    keys: Vec<u8>,
    places: Vec<u32>,
}

impl IndexWriter {
    /// Takes the first key of the next block, and where that one begins.
    pub(super) fn push(&mut self, key: &[u8], place: u32) {
        put_prefixed(&mut self.keys, key);
        self.places.push(place);
    }

    /// The records, and the groups; `end` is where the last block ends.
    pub(super) fn finish(self, end: u32) -> (Vec<u8>, Vec<u8>) {
        let mut reader = Reader(&self.keys);
        let keys: Vec<&[u8]> = std::iter::from_fn(|| reader.prefixed()).collect();
        let (mut records, mut groups) = (Vec::new(), Vec::new());
        for (group, keys_of_group) in keys.chunks(GROUP).enumerate() {
            let first = keys_of_group.first().copied().unwrap_or_default();
            // Whatever is looked for here lies between both first keys, and so begins as both do.
            let shared = keys.get((group + 1) * GROUP).map_or(0, |next| shared_len(first, next));
            put_prefixed(&mut groups, first);
            groups.push(u8::try_from(shared).unwrap_or_default());
            for (key, place) in keys_of_group.iter().zip(self.places.iter().skip(group * GROUP)) {
                put(&mut records, digest(key.get(shared..).unwrap_or_default()), *place);
            }
        }
        put(&mut records, u64::MAX, end);
        (records, groups)
    }
}

fn put(out: &mut Vec<u8>, digest: u64, place: u32) {
    out.extend_from_slice(&digest.to_le_bytes());
    out.extend_from_slice(&place.to_le_bytes());
}

/// What is held of the index.
#[derive(Debug, Default)]
pub(super) struct Index {
    groups: Vec<Group>,
    /// The first keys of all groups, one after the other.
    keys: Vec<u8>,
    /// A bit for each block that was found whole when it was first read: checking costs as much as looking into it.
    whole: Vec<AtomicU64>,
    blocks: usize,
}

/// A group of blocks.
#[derive(Debug)]
struct Group {
    digest: u64,
    /// Where its first key ends in `keys`.
    end: u32,
    /// How much of it all keys looked for in this group begin with.
    shared: u8,
}

impl Index {
    /// Reads what [`IndexWriter::finish`] wrote; `None` when the two do not belong together.
    pub(super) fn read(records: &[u8], groups: &[u8]) -> Option<Self> {
        let blocks = (records.len() / RECORD_LEN).saturating_sub(1);
        let mut index = Self { blocks, ..Self::default() };
        let mut reader = Reader(groups);
        while !reader.0.is_empty() {
            let key = reader.prefixed()?;
            index.keys.extend_from_slice(key);
            let end = u32::try_from(index.keys.len()).ok()?;
            index.groups.push(Group { digest: digest(key), end, shared: reader.u8()? });
        }
        index.whole = (0..blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        (index.groups.len() == blocks.div_ceil(GROUP)).then_some(index)
    }

    pub(super) const fn blocks(&self) -> usize {
        self.blocks
    }

    /// The attribute of exactly this key.
    pub(super) fn find(
        &self,
        records: &[u8],
        blocks: &[u8],
        key: Wanted<'_>,
        symbols: &Symbols,
    ) -> Option<u32> {
        let text = key.as_octets();
        let wanted = digest(text);
        let digest_of = |group: usize| self.groups.get(group).map_or(u64::MAX, |group| group.digest);
        // The last group whose first key is not greater.
        let mut group = partition(0, self.groups.len(), |group| digest_of(group) < wanted);
        if digest_of(group) == wanted {
            let high = partition(group, self.groups.len(), |group| digest_of(group) == wanted);
            group = partition(group, high, |group| self.first_key(group) <= text);
        }
        let group = group.checked_sub(1)?;
        let start = group * GROUP;
        let end = (start + GROUP).min(self.blocks);
        let wanted = digest(text.get(usize::from(self.groups.get(group)?.shared)..).unwrap_or_default());
        // The same among its blocks. The first is known not to be greater. Those with the same digest are told apart by
        // the key itself.
        let mut low = partition(start + 1, end, |block| digest_at(records, block) < wanted);
        if low < end && digest_at(records, low) == wanted {
            let high = partition(low, end, |block| digest_at(records, block) == wanted);
            low = partition(low, high, |block| {
                let order =
                    self.block(records, blocks, block).and_then(|block| block.compare_first(key, symbols));
                order.is_some_and(Ordering::is_le)
            });
        }
        self.block(records, blocks, low.checked_sub(1)?)?.find(key, symbols)
    }

    fn first_key(&self, group: usize) -> &[u8] {
        let end = |group: usize| self.groups.get(group).map_or(0, |group| group.end as usize);
        let start = group.checked_sub(1).map_or(0, end);
        self.keys.get(start..end(group)).unwrap_or_default()
    }

    /// A block; `None` when it is damaged.
    pub(super) fn block<'a>(&self, records: &[u8], blocks: &'a [u8], index: usize) -> Option<Block<'a>> {
        let (start, end) = (place_at(records, index)?, place_at(records, index + 1)?);
        let octets = blocks.get(start..end)?;
        let (word, bit) = (self.whole.get(index / 64)?, 1 << (index % 64));
        if word.load(Memory::Relaxed) & bit == 0 {
            if !Block::is_whole(octets) {
                return None;
            }
            word.fetch_or(bit, Memory::Relaxed);
        }
        Block::read(octets)
    }
}

#[inline]
fn digest_at(records: &[u8], index: usize) -> u64 {
    let record = records.get(index * RECORD_LEN..).and_then(|rest| rest.first_chunk());
    record.copied().map_or(u64::MAX, u64::from_le_bytes)
}

fn place_at(records: &[u8], index: usize) -> Option<usize> {
    let mut record = Reader(records.get(index * RECORD_LEN + 8..)?);
    record.u32().map(|place| place as usize)
}

/// The first index of a range for which `is_before` does not hold; it holds for none after.
///
/// Every step does the same whatever it finds, so that there is no branch to be guessed wrongly.
#[inline]
fn partition(mut low: usize, high: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let mut left = high.saturating_sub(low);
    while 1 < left {
        let half = left / 2;
        low += half * usize::from(is_before(low + half - 1));
        left -= half;
    }
    low + usize::from(left == 1 && is_before(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_not_before() {
        for length in 0..40 {
            for answer in 0..=length {
                assert_eq!(partition(3, 3 + length, |index| index < 3 + answer), 3 + answer);
            }
        }
        assert_eq!(partition(5, 3, |_| true), 5);
    }
}
