//! A filter that tells at once that a name is in no list: a split-block Bloom filter, in which a name is four bits of one block
//! of 32 octets, and so one line of the cache.
//!
//! Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters" (2007). Four bits in words of 64 are found
//! with shifts alone; the eight bits in words of 32 that Apache Parquet has are no surer at this size and cost twice the time
//! where there are no wide vectors. A binary fuse filter would take as much room at a fifth of the error, but probes three
//! lines of the cache, and its making needs all hashes at once and several times over.

/// Octets in a block.
const BLOCK_LEN: usize = 32;
/// Bits a name. At nine, two or three names of a hundred that are in no list are looked at more closely.
const BITS_PER_NAME: usize = 9;

/// Builds the filter of these hashes.
pub(super) fn build(hashes: &[u64]) -> Vec<u8> {
    let blocks = (hashes.len() * BITS_PER_NAME).div_ceil(BLOCK_LEN * 8).max(1);
    let mut filter = vec![0; blocks * BLOCK_LEN];
    for &hash in hashes {
        let start = place(hash, blocks) * BLOCK_LEN;
        for (word, bit) in
            filter.get_mut(start..start + BLOCK_LEN).unwrap_or_default().chunks_exact_mut(8).zip(bits(hash))
        {
            if let Some(octet) = word.get_mut(bit / 8) {
                *octet |= 1 << (bit % 8);
            }
        }
    }
    filter
}

/// Whether a name of this hash may be in a list; `false` is certain.
#[inline]
pub(super) fn may_contain(filter: &[u8], hash: u64) -> bool {
    let start = place(hash, filter.len() / BLOCK_LEN) * BLOCK_LEN;
    let Some(block) = filter.get(start..).and_then(|rest| rest.first_chunk::<BLOCK_LEN>()) else {
        return false;
    };
    let word = |at: usize| {
        block.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u64::from_le_bytes)
    };
    let [one, two, three, four] = bits(hash);
    (word(0) >> one) & (word(8) >> two) & (word(16) >> three) & (word(24) >> four) & 1 == 1
}

/// The block of a hash: its upper half scaled down to the number of blocks.
#[inline]
const fn place(hash: u64, blocks: usize) -> usize {
    (((hash >> 32) * blocks as u64) >> 32) as usize
}

/// One bit in each word of the block, from the lower half of the hash.
#[expect(clippy::cast_possible_truncation, reason = "the lower half of the hash is all there is to it")]
#[inline]
const fn bits(hash: u64) -> [usize; 4] {
    [hash as usize & 63, (hash >> 6) as usize & 63, (hash >> 12) as usize & 63, (hash >> 18) as usize & 63]
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
        assert!(mistaken < 3_500, "{mistaken} of 100000");
        assert!(!may_contain(&build(&[]), 7));
        assert!(!may_contain(&[], 7));
    }
}
