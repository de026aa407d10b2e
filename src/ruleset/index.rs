//! Which block a key is in.
//!
//! Twelve octets for each block: the digest of its first key (u64), and where it begins (u32). Every [`STRIDE`]th digest is held
//! in memory, so that a search goes through few lines of the cache that nobody has touched before.

use std::cmp::Ordering;
use std::sync::atomic::{AtomicU64, Ordering as Memory};

use super::block::Block;
use super::bytes::Reader;
use super::key::{Wanted, digest};
use super::symbols::Symbols;

/// Octets of a record.
const RECORD_LEN: usize = 12;
/// One digest of so many is held.
const STRIDE: usize = 32;

/// Writes a record.
pub(super) fn put(out: &mut Vec<u8>, digest: u64, place: u32) {
    out.extend_from_slice(&digest.to_le_bytes());
    out.extend_from_slice(&place.to_le_bytes());
}

/// What is held of the index.
#[derive(Debug, Default)]
pub(super) struct Index {
    tops: Vec<u64>,
    /// A bit for each block that was found whole when it was first read: checking costs as much as looking into it.
    whole: Vec<AtomicU64>,
    blocks: usize,
}

impl Index {
    pub(super) fn new(records: &[u8]) -> Self {
        let blocks = (records.len() / RECORD_LEN).saturating_sub(1);
        let tops = (0..blocks).step_by(STRIDE).map(|block| digest_at(records, block)).collect();
        Self { tops, whole: (0..blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(), blocks }
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
        let wanted = digest(key.as_octets());
        let top =
            partition(0, self.tops.len(), |index| self.tops.get(index).is_some_and(|&top| top < wanted));
        let start = top.saturating_sub(1) * STRIDE;
        let end = (top * STRIDE + 1).min(self.blocks);
        // The last block whose first key is not greater. Blocks with the same digest are told apart by that key itself.
        let mut low = partition(start, end, |block| digest_at(records, block) < wanted);
        if low < self.blocks && digest_at(records, low) == wanted {
            let high = partition(low, self.blocks, |block| digest_at(records, block) == wanted);
            low = partition(low, high, |block| {
                let order =
                    self.block(records, blocks, block).and_then(|block| block.compare_first(key, symbols));
                order.is_some_and(Ordering::is_le)
            });
        }
        self.block(records, blocks, low.checked_sub(1)?)?.find(key, symbols)
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
