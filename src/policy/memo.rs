//! What was decided about names a moment ago, for a thread that is asked for the same names again and again.
//!
//! A look-up in the rulesets waits for memory several times; this one waits once, for a line of the cache that holds two
//! names. Only what depends on the name alone is remembered, and only under the generation of the policy that decided it. A
//! name is known by 128 bits of a hash whose seed nobody knows.

use std::hash::{BuildHasher, RandomState};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::name::NameRef;
use crate::ruleset::Found;

/// So many pairs of names are remembered: 2 MiB, of which only what is used takes memory.
const SETS: usize = 32_768;

/// Decisions of a moment ago.
pub struct Memo {
    sets: Box<[Set]>,
    seed: u64,
}

/// Two names whose hashes lead here, the later one first.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Set([Slot; 2]);

#[derive(Clone, Copy, Default)]
struct Slot {
    hash: u128,
    /// See [`super::Policy::generation`]; its lower half, which comes again after four thousand million changes.
    generation: u32,
    decided: Remembered,
}

/// What was decided about a name.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Remembered {
    /// Nothing is remembered of it.
    #[default]
    Unknown,
    /// No rule speaks of it.
    Pass,
    /// A person's own rule.
    Own(Found),
    /// A rule of a list.
    Lists(Found),
}

/// Where a name is remembered, or is to be.
#[derive(Clone, Copy)]
pub(super) struct Place {
    hash: u128,
    generation: u32,
}

impl Default for Memo {
    fn default() -> Self {
        // Zeroed memory, which the system gives when it is first touched.
        Self { sets: vec![Set::default(); SETS].into(), seed: RandomState::new().hash_one(0) }
    }
}

impl Memo {
    #[expect(clippy::cast_possible_truncation, reason = "halves of numbers, which are enough")]
    pub(super) fn place(&self, name: NameRef<'_>, generation: u64) -> Place {
        Place { hash: xxh3_128_with_seed(name.as_wire(), self.seed), generation: generation as u32 }
    }

    pub(super) fn recall(&self, place: Place) -> Remembered {
        let Place { hash, generation } = place;
        let slots = self.sets.get(set(hash)).map(|Set(slots)| slots).into_iter().flatten();
        let known = slots.into_iter().find(|slot| slot.hash == hash && slot.generation == generation);
        known.map_or(Remembered::Unknown, |slot| slot.decided)
    }

    pub(super) fn remember(&mut self, place: Place, decided: Remembered) {
        let Place { hash, generation } = place;
        let Some(Set([first, second])) = self.sets.get_mut(set(hash)) else { return };
        if first.hash != hash {
            *second = *first;
        }
        *first = Slot { hash, generation, decided };
    }
}

const fn set(hash: u128) -> usize {
    hash as usize % SETS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::DomainName;

    #[test]
    fn a_name_is_remembered_until_the_policy_changes() {
        let mut memo = Memo::default();
        let name = |number: u32| DomainName::parse(&format!("n{number}.example")).unwrap();
        for number in 0..1_000 {
            let place = memo.place(name(number).as_ref(), 1);
            assert_eq!(memo.recall(place), Remembered::Unknown);
            memo.remember(place, Remembered::Pass);
            assert_eq!(memo.recall(place), Remembered::Pass);
            assert_eq!(memo.recall(memo.place(name(number).as_ref(), 2)), Remembered::Unknown);
        }
        let known = (0..1_000)
            .filter(|&number| memo.recall(memo.place(name(number).as_ref(), 1)) == Remembered::Pass);
        assert!(900 < known.count());
    }
}
