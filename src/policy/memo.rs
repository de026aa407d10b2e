//! What was decided about names a moment ago, for a house that asks for the same names again and again.
//!
//! A look-up in the rulesets waits for memory several times; this one waits once, for a line of the cache that holds two
//! names. Only what depends on the name alone is remembered, and only under the generation of the policy that decided it. A
//! name is known by 128 bits of a hash whose seed nobody knows.
//!
//! All threads share it without a lock. A name that two threads write at once reads as another one, since what is kept of its
//! hash is mixed with what was decided (Hyatt and Mann, "A lockless transposition-table implementation for parallel search",
//! 2002).

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::name::NameRef;
use crate::ruleset::Found;

/// So many pairs of names are remembered, in 2 MiB: more than a house asks for in a day.
const SETS: usize = 32_768;

/// Decisions of a moment ago.
pub struct Memo {
    sets: Box<[Set]>,
    seed: u64,
}

/// Two names whose hashes lead here.
#[derive(Default)]
#[repr(align(64))]
struct Set([Slot; 2]);

/// Both halves of a hash, each mixed with both words of what was decided, and these.
#[derive(Default)]
struct Slot([AtomicU64; 4]);

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
    hash: [u64; 2],
    generation: u64,
}

impl Default for Memo {
    fn default() -> Self {
        Self { sets: (0..SETS).map(|_| Set::default()).collect(), seed: RandomState::new().hash_one(0) }
    }
}

impl Memo {
    #[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
    pub(super) fn place(&self, name: NameRef<'_>, generation: u64) -> Place {
        let hash = xxh3_128_with_seed(name.as_wire(), self.seed);
        Place { hash: [hash as u64, (hash >> 64) as u64], generation }
    }

    pub(super) fn recall(&self, place: Place) -> Remembered {
        let Some(Set(slots)) = self.set(place) else { return Remembered::Unknown };
        let known = slots.iter().find_map(|slot| slot.read(place.hash));
        known
            .filter(|[generation, _]| *generation == place.generation)
            .map_or(Remembered::Unknown, |[_, decided]| read(decided))
    }

    pub(super) fn remember(&self, place: Place, decided: Remembered) {
        let Some(Set([first, second])) = self.set(place) else { return };
        // What was there before has a second chance.
        if first.read(place.hash).is_none() {
            for (to, from) in second.0.iter().zip(&first.0) {
                to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        first.write(place.hash, [place.generation, written(decided)]);
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are as good as any")]
    fn set(&self, place: Place) -> Option<&Set> {
        self.sets.get(place.hash[0] as usize % SETS)
    }
}

impl Slot {
    fn read(&self, hash: [u64; 2]) -> Option<[u64; 2]> {
        let [low, high, one, other] = self.0.each_ref().map(|word| word.load(Ordering::Relaxed));
        let mixed = one ^ other.rotate_left(32);
        ([low ^ mixed, high ^ mixed] == hash).then_some([one, other])
    }

    fn write(&self, hash: [u64; 2], [one, other]: [u64; 2]) {
        let mixed = one ^ other.rotate_left(32);
        for (word, value) in self.0.iter().zip([hash[0] ^ mixed, hash[1] ^ mixed, one, other]) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

/// A decision in one word: its kind, and what [`Found`] has.
fn written(decided: Remembered) -> u64 {
    match decided {
        Remembered::Unknown => 0,
        Remembered::Pass => 1,
        Remembered::Own(found) => 2 | found.to_bits() << 2,
        Remembered::Lists(found) => 3 | found.to_bits() << 2,
    }
}

fn read(word: u64) -> Remembered {
    match word & 3 {
        0 => Remembered::Unknown,
        1 => Remembered::Pass,
        2 => Remembered::Own(Found::from_bits(word >> 2)),
        _ => Remembered::Lists(Found::from_bits(word >> 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::DomainName;

    #[test]
    fn a_name_is_remembered_until_the_policy_changes() {
        let memo = Memo::default();
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

    #[test]
    fn threads_that_write_at_once_never_read_what_was_not_written() {
        let memo = Memo::default();
        let found = |number: u64| Remembered::Lists(Found::from_bits(number));
        // Eight names that all lead to the same set.
        let places: Vec<Place> =
            (0..8_u64).map(|number| Place { hash: [7, number << 40 | 1], generation: 3 }).collect();
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let (memo, places) = (&memo, &places);
                scope.spawn(move || {
                    for round in 0..100_000 {
                        let number = (round * (thread + 3)) % 8;
                        memo.remember(places[number], found(number as u64));
                        let read = (round + 1) % 8;
                        let known = memo.recall(places[read]);
                        assert!(known == Remembered::Unknown || known == found(read as u64), "{known:?}");
                    }
                });
            }
        });
    }
}
