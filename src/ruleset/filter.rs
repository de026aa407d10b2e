//! A filter that tells at once that a name is in no list: a split-block Bloom filter, in which a name is one block of 32 octets
//! and so one line of the cache.
//!
//! Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters" (2007), in the form of Apache Parquet's
//! specification ("BloomFilter"). A binary fuse filter would take as much room at a fifth of the error, but probes three
//! lines of the cache, and its making needs all hashes at once and several times over.

use std::slice::ChunksExact;

/// Octets in a block.
pub(super) const BLOCK_LEN: usize = 32;
/// Bits a name. At nine, two names of a hundred that are in no list are looked at more closely.
const BITS_PER_NAME: usize = 9;

/// An odd number for each word of a block, as the specification has them.
const SALTS: [u32; 8] = [
    0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31,
];

/// Builds the filter of these hashes.
pub(super) fn build(hashes: &[u64]) -> Vec<u8> {
    let blocks = (hashes.len() * BITS_PER_NAME).div_ceil(BLOCK_LEN * 8).max(1);
    let mut filter = vec![0; blocks * BLOCK_LEN];
    for &hash in hashes {
        let start = place(hash, blocks) * BLOCK_LEN;
        let words = filter.get_mut(start..start + BLOCK_LEN).unwrap_or_default().chunks_exact_mut(4);
        for (word, bit) in words.zip(bits(hash)) {
            let number = word.first_chunk().copied().map_or(0, u32::from_le_bytes);
            word.copy_from_slice(&(number | bit).to_le_bytes());
        }
    }
    filter
}

/// Whether a name of this hash may be in a list; `false` is certain.
#[inline]
pub(super) fn may_contain(filter: &[u8], hash: u64) -> bool {
    let start = place(hash, filter.len() / BLOCK_LEN) * BLOCK_LEN;
    let Some(block) = filter.get(start..).and_then(|rest| rest.first_chunk::<BLOCK_LEN>()) else { return false };
    let words: ChunksExact<'_, u8> = block.chunks_exact(4);
    let mut missing = 0;
    for (word, bit) in words.zip(bits(hash)) {
        let number = word.first_chunk().copied().map_or(0, u32::from_le_bytes);
        missing |= !number & bit;
    }
    missing == 0
}

/// The block of a hash: its upper half scaled down to the number of blocks.
#[inline]
const fn place(hash: u64, blocks: usize) -> usize {
    (((hash >> 32) * blocks as u64) >> 32) as usize
}

/// One bit in each word of the block, from the lower half of the hash.
#[inline]
fn bits(hash: u64) -> [u32; 8] {
    SALTS.map(|salt| 1 << ((hash as u32).wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ruleset::key::NameHash;

    fn hash(number: u32) -> u64 {
        let mut hash = NameHash::new();
        hash.push(number.to_string().as_bytes());
        hash.value()
    }

    #[test]
    fn what_is_in_it_is_found_and_little_else() {
        let hashes: Vec<u64> = (0..50_000).map(hash).collect();
        let filter = build(&hashes);
        assert!(hashes.iter().all(|&hash| may_contain(&filter, hash)));
        let mistaken = (50_000..150_000).filter(|&number| may_contain(&filter, hash(number))).count();
        assert!(mistaken < 3_000, "{mistaken} of 100000");
        assert!(!may_contain(&build(&[]), 7));
        assert!(!may_contain(&[], 7));
    }
}
