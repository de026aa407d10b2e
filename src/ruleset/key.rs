//! Names as keys: labels from the right, so that a name's ancestors are the beginnings of its key.
//!
//! `ads.example.com` has the key `com\0example\0ads`. Keys sort so that what stands below a name follows it at once, which is
//! what makes them short when each is written as the difference to the one before.

use crate::name::{NAME_LEN_MAX, NameRef};

/// The deepest name: 127 labels of one octet.
pub(super) const LABELS_MAX: usize = 127;

/// Octets behind the longest key, so that eight can be read at once wherever one begins.
const PADDING: usize = 8;

/// A key with the places where each ancestor of its name ends.
pub(super) struct Key {
    octets: [u8; NAME_LEN_MAX + PADDING],
    ends: [u8; LABELS_MAX],
    labels: usize,
}

impl Key {
    /// The key of a name. One that has the octet 0 in a label has the key of another name: see [`Key::is_of_a_list`].
    pub(super) fn of(name: NameRef<'_>) -> Option<Self> {
        let wire = name.as_wire();
        let mut key = Self { octets: [0; NAME_LEN_MAX + PADDING], ends: [0; LABELS_MAX], labels: 0 };
        let mut end = 0;
        for start in Labels::of(wire).starts_from_right() {
            let length = usize::from(*wire.get(start)?);
            if 0 < end {
                *key.octets.get_mut(end)? = 0;
                end += 1;
            }
            // Eight octets at a time; what is too much is written over by the next label, or lies behind the end.
            for from in (0..length).step_by(8) {
                let place = key.octets.get_mut(end + from..)?.first_chunk_mut::<8>()?;
                let rest = wire.get(start + 1 + from..)?;
                match rest.first_chunk() {
                    Some(word) => *place = *word,
                    None => place.iter_mut().zip(rest).for_each(|(place, octet)| *place = *octet),
                }
            }
            end += length;
            *key.ends.get_mut(key.labels)? = u8::try_from(end).ok()?;
            key.labels += 1;
        }
        Some(key)
    }

    /// Whether the ancestor with this many labels has the octet 0 in none of them: as the octet between labels it would make
    /// two names one. No list can speak of such a name, and nothing that is found under its key is about it.
    pub(super) fn is_of_a_list(&self, labels: usize) -> bool {
        let between = self.ancestor(labels).as_octets().iter().filter(|octet| **octet == 0).count();
        between + 1 == labels
    }

    /// How many labels the name has.
    pub(super) const fn labels(&self) -> usize {
        self.labels
    }

    /// The whole key.
    pub(super) fn as_octets(&self) -> &[u8] {
        self.ancestor(self.labels).as_octets()
    }

    /// The key of the ancestor with this many labels.
    pub(super) fn ancestor(&self, labels: usize) -> Wanted<'_> {
        let end = labels.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or_default();
        Wanted { octets: &self.octets, length: usize::from(end) }
    }
}

/// A key that is looked for, ready to be compared eight octets at a time.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    octets: &'a [u8; NAME_LEN_MAX + PADDING],
    length: usize,
}

impl<'a> Wanted<'a> {
    pub(super) fn as_octets(self) -> &'a [u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }

    pub(super) const fn len(self) -> usize {
        self.length
    }

    /// The octet at `at`; `None` behind the end.
    #[inline]
    pub(super) fn octet(self, at: usize) -> Option<u8> {
        if at < self.length { self.octets.get(at).copied() } else { None }
    }

    /// Eight octets from `at` on; those behind the key's end mean nothing.
    #[inline]
    pub(super) fn word(self, at: usize) -> u64 {
        self.octets.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u64::from_le_bytes)
    }
}

/// Where the labels of a name in wire form begin.
#[derive(Clone, Copy)]
pub(super) struct Labels {
    starts: [u8; LABELS_MAX],
    count: usize,
}

impl Labels {
    pub(super) fn of(wire: &[u8]) -> Self {
        let mut labels = Self { starts: [0; LABELS_MAX], count: 0 };
        let mut at = 0;
        while let Some(&length) = wire.get(at) {
            let Some(start) = labels.starts.get_mut(labels.count) else { break };
            if length == 0 {
                break;
            }
            *start = u8::try_from(at).unwrap_or(u8::MAX); // A name has at most 255 octets.
            labels.count += 1;
            at += 1 + usize::from(length);
        }
        labels
    }

    /// Where each label begins, with its length; the top-level domain first.
    pub(super) fn starts_from_right(&self) -> impl Iterator<Item = usize> {
        let starts = self.starts.get(..self.count).unwrap_or_default();
        starts.iter().rev().map(|&start| usize::from(start))
    }

    /// The labels, the top-level domain first.
    #[expect(clippy::wrong_self_convention, reason = "it reads from the right")]
    pub(super) fn from_right<'a>(&self, wire: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let starts = self.starts.get(..self.count).unwrap_or_default();
        starts.iter().rev().map(move |&start| {
            let label = wire.get(usize::from(start)..).unwrap_or_default();
            let (&length, rest) = label.split_first().unwrap_or((&0, &[]));
            rest.get(..usize::from(length)).unwrap_or_default()
        })
    }

    /// The ancestor of `count` labels, in wire form.
    pub(super) fn ancestor(&self, wire: &[u8], count: usize) -> usize {
        let start = self.count.checked_sub(count).and_then(|index| self.starts.get(index)).copied();
        start.map_or(wire.len().saturating_sub(1), usize::from)
    }
}

/// Sixty-four bits that sort as keys do, as far as they go: the first twelve octets, each as one of forty ranks.
///
/// Equal keys have equal digests; a smaller digest is a smaller key. 40^12 is just below 2^64.
pub(super) fn digest(key: &[u8]) -> u64 {
    let mut digest = 0_u64;
    for position in 0..12 {
        let rank = key.get(position).map_or(0, |&octet| RANKS.get(usize::from(octet)).copied().unwrap_or(39));
        digest = digest * 40 + u64::from(rank);
    }
    digest
}

/// The rank of each octet: the end of a key is 0 and the end of a label 1. What never stands in a list's name shares the rank
/// of a neighbour.
#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "worked out by the compiler, which sees that all of the 256 octets are there"
)]
const RANKS: [u8; 256] = {
    let mut ranks = [39; 256];
    let mut octet = 0;
    while octet < 256 {
        ranks[octet] = match octet as u8 {
            0 => 1,
            1..=b'/' => 2,
            digit @ b'0'..=b'9' => 3 + (digit - b'0'),
            b':'..=b'`' => 13,
            letter @ b'a'..=b'z' => 14 + (letter - b'a'),
            _ => 39,
        };
        octet += 1;
    }
    ranks
};

/// Hashes a name label by label from the right, so that the hashes of all its ancestors fall out on the way.
#[derive(Clone, Copy)]
pub(super) struct NameHash(u64);

impl NameHash {
    pub(super) const fn new() -> Self {
        Self(0x2d35_8dcc_aa6c_78a5)
    }

    /// Takes the next label.
    #[inline]
    pub(super) fn push(&mut self, label: &[u8]) {
        let mut rest = label;
        let mut state = self.0 ^ (label.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        while let Some((word, tail)) = rest.split_first_chunk::<8>() {
            state = fold(state ^ u64::from_le_bytes(*word), 0x8bb8_4b93_962e_acc9);
            rest = tail;
        }
        let tail = match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
            }
            _ => rest.iter().fold(0, |word, &octet| word << 8 | u64::from(octet)),
        };
        self.0 = fold(state ^ tail, 0x4b33_a62e_d433_d4a3);
    }

    /// The hash of the name so far.
    #[inline]
    pub(super) const fn value(self) -> u64 {
        self.0
    }
}

/// Both halves of a product: every bit of the result depends on every bit of both.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half, and then the upper one")]
const fn fold(one: u64, other: u64) -> u64 {
    let product = (one as u128).wrapping_mul(other as u128);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
impl Key {
    /// A key as it is written, which need not be one of a name.
    pub(super) fn raw(text: &[u8]) -> Self {
        let mut key = Self { octets: [0; NAME_LEN_MAX + PADDING], ends: [0; LABELS_MAX], labels: 1 };
        let length = text.len().min(NAME_LEN_MAX);
        key.octets[..length].copy_from_slice(&text[..length]);
        key.ends[0] = u8::try_from(length).unwrap();
        key
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::name::DomainName;

    fn key(name: &str) -> Vec<u8> {
        Key::of(DomainName::parse(name).unwrap().as_ref()).unwrap().as_octets().to_vec()
    }

    #[test]
    fn ancestors_are_the_beginnings_of_a_key() {
        let name = DomainName::parse("a.bc.example").unwrap();
        let key = Key::of(name.as_ref()).unwrap();
        assert_eq!(key.as_octets(), b"example\0bc\0a");
        assert_eq!(key.ancestor(2).as_octets(), b"example\0bc");
        assert_eq!(key.ancestor(1).as_octets(), b"example");
        let labels = Labels::of(name.as_ref().as_wire());
        assert_eq!((labels.count, labels.ancestor(name.as_ref().as_wire(), 2)), (3, 2));
    }

    #[test]
    fn a_label_with_the_octet_0_is_told() {
        let key = |wire| Key::of(DomainName::from_wire(wire).unwrap().as_ref()).unwrap();
        let key_with = key(b"\x03a\0b\x03com\0");
        assert!(!key_with.is_of_a_list(2) && key_with.is_of_a_list(1));
        assert!(key(b"\x03a0b\x03com\0").is_of_a_list(2));
    }

    #[test]
    fn the_longest_names_have_a_key() {
        for label in ["a".repeat(63), "a".to_owned()] {
            let mut name = label.clone();
            while name.len() + 1 + label.len() <= 253 {
                name = format!("{name}.{label}");
            }
            assert_eq!(key(&name).len(), name.len());
        }
    }

    proptest! {
        #[test]
        fn digests_sort_as_keys_do(one in "[a-c0-1_-]{1,3}(\\.[a-c0-1_-]{1,4}){0,4}", other in "[a-c0-1_-]{1,3}(\\.[a-c0-1_-]{1,4}){0,4}") {
            let (one, other) = (key(&one), key(&other));
            let (less, more) = if one < other { (one, other) } else { (other, one) };
            prop_assert!(digest(&less) <= digest(&more), "{less:?} {more:?}");
        }
    }
}
