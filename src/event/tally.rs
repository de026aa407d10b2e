//! How often each device asked for each name, in little memory: one number for each hour, device, name and verdict.
//!
//! Names lie one behind the other in an arena and are told apart by their index; a place in the table of pairs is 12
//! octets. What has no room is still counted, without its name, and it is told how much that was.

use std::collections::HashMap;
use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;
use hashbrown::HashTable;

use super::VerdictKind;
use crate::device::Device;
use crate::device::DeviceKey;
use crate::name::NAME_LEN_MAX;

/// Pairs that have room: as many as a table of 2^18 places takes, 3.4 MB.
const PAIRS_MAX: usize = (1 << 18) / 8 * 7;
/// Distinct names that have room: as many as a table of 2^17 places takes, 1.2 MB, and their places in the arena.
const NAMES_MAX: usize = (1 << 17) / 8 * 7;
/// Octets of names that have room. Names of homes have 25 on average.
const ARENA_LEN_MAX: usize = 3 << 20;
/// Hours of devices, by verdict, that have room: 1.5 MB. A home has some dozens.
pub(super) const SLOTS_MAX: usize = 1 << 14;

/// As what a query is counted: its verdict, and whether the tracker hid behind another name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum CountKind {
    /// No rule speaks of the name.
    Pass,
    /// A rule lets the name through.
    Allow,
    /// A rule blocks the name.
    Block,
    /// A rule blocks what the answer led to.
    Cloaked,
}

impl CountKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Allow, Self::Block, Self::Cloaked];

    /// The verdict.
    pub const fn verdict(self) -> VerdictKind {
        match self {
            Self::Pass => VerdictKind::Pass,
            Self::Allow => VerdictKind::Allow,
            Self::Block | Self::Cloaked => VerdictKind::Block,
        }
    }
}

/// The number of a [`Slot`] in its tally.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SlotId(u32);

/// One hour of one device, as far as one kind of query goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Slot {
    /// The hour, counted from 1970 in UTC.
    pub hour: i64,
    /// The device, with the name that it had last.
    pub device: Device,
    /// What is counted.
    pub kind: CountKind,
    /// How many queries: exact, whatever had no room.
    pub queries: u64,
    /// The time of the first of them, in milliseconds.
    pub first_ms: i64,
    /// The time of the last of them.
    pub last_ms: i64,
}

/// How often a name was asked for within a slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pair {
    /// The index of the name, see [`Tally::name`].
    pub name: u32,
    /// The index of the slot in [`Tally::slots`].
    pub slot: u32,
    /// How many queries.
    pub queries: u32,
}

/// A name, as the table of names has it: where it begins stands beside it, to save a look at `starts`.
#[derive(Clone, Copy, Debug)]
struct Known {
    name: u32,
    start: u32,
}

impl Known {
    fn begins(self, arena: &[u8], name: &[u8]) -> bool {
        arena.get(self.start as usize..).is_some_and(|rest| rest.starts_with(name))
    }
}

/// The counts.
#[derive(Debug, Default)]
pub struct Tally {
    /// Keyed by a number of this process, so that no neighbour can choose names that meet.
    hasher: DefaultHashBuilder,
    arena: Vec<u8>,
    /// Where each name begins in the arena; one ends where the next begins.
    starts: Vec<u32>,
    names: HashTable<Known>,
    slots: Vec<Slot>,
    slot_ids: HashMap<(DeviceKey, i64, CountKind), SlotId>,
    pairs: HashTable<Pair>,
    /// Names that a tracker hid behind, each with the tracker's name of the last time: no more than there are names.
    cloaks: HashMap<u32, u32>,
    queries: u64,
    unnamed: u64,
}

impl Tally {
    /// The slot of an hour, a device and a kind of query; `None` when there are too many.
    pub fn slot(&mut self, hour: i64, device: &Device, kind: CountKind) -> Option<SlotId> {
        let key = (device.key, hour, kind);
        if let Some(&id) = self.slot_ids.get(&key) {
            if let Some(slot) = self.slots.get_mut(id.0 as usize)
                && slot.device.name != device.name
            {
                slot.device = device.clone();
            }
            return Some(id);
        }
        if SLOTS_MAX <= self.slots.len() {
            return None;
        }
        let id = SlotId(index(self.slots.len()));
        let device = device.clone();
        self.slots.push(Slot { hour, device, kind, queries: 0, first_ms: i64::MAX, last_ms: i64::MIN });
        self.slot_ids.insert(key, id);
        Some(id)
    }

    /// Counts a query at `at_ms` for `name`, which hid the name `behind`. Both are in wire form.
    pub fn add(&mut self, slot: SlotId, at_ms: i64, name: &[u8], behind: Option<&[u8]>) {
        self.add_nameless(slot, at_ms);
        let name = self.intern(name);
        if let (Some(name), Some(behind)) = (name, behind)
            && let Some(behind) = self.intern(behind)
        {
            self.cloaks.insert(name, behind);
        }
        let counted = name.is_some_and(|name| self.count(name, slot.0));
        if !counted {
            self.unnamed += 1;
        }
    }

    /// Counts a query whose name is not to be known.
    pub fn add_nameless(&mut self, slot: SlotId, at_ms: i64) {
        let Some(counts) = self.slots.get_mut(slot.0 as usize) else { return };
        counts.queries += 1;
        counts.first_ms = counts.first_ms.min(at_ms);
        counts.last_ms = counts.last_ms.max(at_ms);
        self.queries += 1;
    }

    /// The index of a name; `None` when it has no room.
    fn intern(&mut self, name: &[u8]) -> Option<u32> {
        let Self { hasher, arena, starts, names, .. } = self;
        let hash = hasher.hash_one(name);
        // No name in wire form is the beginning of another, so its end need not be looked up.
        let found = names.find(hash, |known| known.begins(arena, name));
        if let Some(known) = found {
            return Some(known.name);
        }
        if NAMES_MAX <= starts.len() || ARENA_LEN_MAX < arena.len() + name.len() || NAME_LEN_MAX < name.len()
        {
            return None;
        }
        let known = Known { name: index(starts.len()), start: index(arena.len()) };
        starts.push(known.start);
        arena.extend_from_slice(name);
        let rehash = |known: &Known| hasher.hash_one(name_at(arena, starts, known.name));
        Some(names.insert_unique(hash, known, rehash).get().name)
    }

    /// Counts a query of a pair. Whether there was room.
    fn count(&mut self, name: u32, slot: u32) -> bool {
        let Self { hasher, pairs, .. } = self;
        let hash = hasher.hash_one(key(name, slot));
        if let Some(pair) = pairs.find_mut(hash, |pair| (pair.name, pair.slot) == (name, slot)) {
            let sum = pair.queries.checked_add(1);
            pair.queries = sum.unwrap_or(pair.queries);
            return sum.is_some();
        }
        if PAIRS_MAX <= pairs.len() {
            return false;
        }
        let rehash = |pair: &Pair| hasher.hash_one(key(pair.name, pair.slot));
        pairs.insert_unique(hash, Pair { name, slot, queries: 1 }, rehash);
        true
    }

    /// Whether half of the room for names or pairs is taken.
    pub fn is_nearly_full(&self) -> bool {
        PAIRS_MAX / 2 <= self.pairs.len()
            || NAMES_MAX / 2 <= self.starts.len()
            || ARENA_LEN_MAX / 2 <= self.arena.len()
    }

    /// All queries that were counted.
    pub const fn queries(&self) -> u64 {
        self.queries
    }

    /// Those of them whose names had no room.
    pub const fn unnamed(&self) -> u64 {
        self.unnamed
    }

    /// The slots, in the order in which they were first heard of.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The pairs, in no order.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = &Pair> {
        self.pairs.iter()
    }

    /// The indices of names that a tracker hid behind, each with that of the tracker's name.
    pub fn cloaks(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.cloaks.iter().map(|(&name, &behind)| (name, behind))
    }

    /// The names in wire form, each at its index.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..index(self.starts.len())).map(|name| self.name(name))
    }

    /// The name with this index, in wire form.
    pub fn name(&self, name: u32) -> &[u8] {
        name_at(&self.arena, &self.starts, name)
    }
}

fn name_at<'a>(arena: &'a [u8], starts: &[u32], name: u32) -> &'a [u8] {
    let Some(&start) = starts.get(name as usize) else { return &[] };
    let end = starts.get(name as usize + 1).map_or(arena.len(), |&end| end as usize);
    arena.get(start as usize..end).unwrap_or_default()
}

const fn key(name: u32, slot: u32) -> u64 {
    (name as u64) << 32 | slot as u64
}

/// A number that is smaller than one of the bounds above.
fn index(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::name::DomainName;

    fn device(number: u8) -> Device {
        Device { key: DeviceKey::Address([192, 0, 2, number].into()), name: format!("d{number}").into() }
    }

    fn kind(number: u8) -> CountKind {
        CountKind::ALL[usize::from(number)]
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_naive_map(
            queries in proptest::collection::vec((0_i64..3, 0_u8..4, 0_u8..4, "[a-d]{1,2}"), 0..600),
        ) {
            let mut tally = Tally::default();
            let mut model = BTreeMap::<_, u64>::new();
            for (at, (hour, from, verdict, name)) in (0..).zip(&queries) {
                let name = DomainName::parse(name).unwrap();
                let slot = tally.slot(*hour, &device(*from), kind(*verdict)).unwrap();
                let behind = DomainName::parse(&format!("{name}.behind")).unwrap();
                let behind = (*verdict == 3).then(|| behind.as_ref().as_wire());
                tally.add(slot, at, name.as_ref().as_wire(), behind);
                *model.entry((*hour, *from, *verdict, name.as_ref().as_wire().to_vec())).or_default() += 1;
            }
            let mut found = BTreeMap::new();
            for pair in tally.pairs() {
                let slot = &tally.slots()[pair.slot as usize];
                let from = (0..4).find(|&number| device(number) == slot.device).unwrap();
                let name = tally.name(pair.name).to_vec();
                found.insert((slot.hour, from, slot.kind as u8, name), u64::from(pair.queries));
            }
            for (hour, from, verdict, name) in model.keys().filter(|(_, _, verdict, _)| *verdict == 3) {
                let behind = tally.cloaks().find(|(cloaked, _)| tally.name(*cloaked) == &**name);
                let shown = |wire: &[u8]| DomainName::from_wire(wire).unwrap().to_string();
                let behind = behind.map(|(_, behind)| shown(tally.name(behind)));
                prop_assert_eq!(behind, Some(format!("{}.behind", shown(name))), "{} {} {}", hour, from, verdict);
            }
            prop_assert_eq!(found, model);
            prop_assert_eq!((tally.queries(), tally.unnamed()), (queries.len() as u64, 0));
            let sum: u64 = tally.slots().iter().map(|slot| slot.queries).sum();
            prop_assert_eq!(sum, tally.queries());
            prop_assert!(tally.slots().iter().all(|slot| slot.first_ms <= slot.last_ms));
        }
    }

    fn name(number: usize) -> Vec<u8> {
        DomainName::parse(&format!("n{number}.example")).unwrap().as_ref().as_wire().to_vec()
    }

    #[test]
    fn what_has_no_room_is_counted_without_its_name() {
        let mut tally = Tally::default();
        let slot = tally.slot(0, &device(1), CountKind::Pass).unwrap();
        for number in 0..NAMES_MAX + 7 {
            tally.add(slot, 0, &name(number), None);
        }
        // Those that are known are counted on.
        tally.add(slot, 0, &name(0), None);
        assert_eq!((tally.queries(), tally.unnamed()), (NAMES_MAX as u64 + 8, 7));
        assert_eq!(tally.names().len(), NAMES_MAX);
        for other in 2..5 {
            let slot = tally.slot(0, &device(other), CountKind::Pass).unwrap();
            (0..NAMES_MAX).for_each(|number| tally.add(slot, 0, &name(number), None));
        }
        assert_eq!(tally.pairs().len(), PAIRS_MAX);
        assert_eq!(tally.unnamed(), 7 + (4 * NAMES_MAX - PAIRS_MAX) as u64);
    }

    #[test]
    fn there_are_only_so_many_slots() {
        let mut tally = Tally::default();
        for hour in 0..SLOTS_MAX as i64 {
            assert!(tally.slot(hour, &device(1), CountKind::Pass).is_some());
        }
        assert_eq!(tally.slot(-1, &device(1), CountKind::Pass), None);
        assert!(tally.slot(0, &device(1), CountKind::Pass).is_some());
    }

    #[test]
    fn a_device_has_its_last_name() {
        let mut tally = Tally::default();
        let slot = tally.slot(0, &device(1), CountKind::Pass);
        let renamed = Device { name: "TV".into(), ..device(1) };
        assert_eq!(tally.slot(0, &renamed, CountKind::Pass), slot);
        assert_eq!(tally.slots()[0].device, renamed);
    }
}
