//! What was counted on one day, in few octets: how often something was asked for in which of its 24 hours (pure).
//!
//! A row of counts by the hour takes 20 octets and more; here it is most often one or two. A blob holds the counts of
//! several items (names, or kinds of queries), each an index, in their order:
//!
//! - the index, less that of the item before it;
//! - for each hour in which it was counted: `(n - 1) << 6 | hours since the one before << 1 | whether one more follows`.
//!
//! Each is a number of seven bits an octet, the lowest first (LEB128). Blobs are added up where they lie, by the SQL
//! function `add_hours`.

use rusqlite::Connection;
use rusqlite::functions::Context;
use rusqlite::functions::FunctionFlags;

/// The hours of a day.
const HOURS: u8 = 24;

/// How often an item was counted in one hour.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Tick {
    /// The item.
    pub(super) item: u32,
    /// The hour of the day, 0 to 23.
    pub(super) hour: u8,
    /// How often; never 0.
    pub(super) n: u64,
}

/// Reads a blob: in the order of items and hours. It ends where the blob is damaged.
pub(super) struct Ticks<'a> {
    rest: &'a [u8],
    item: u32,
    /// The last hour of the item at hand.
    hour: u8,
    /// Whether one more hour of it follows.
    more: bool,
}

impl<'a> Ticks<'a> {
    pub(super) const fn of(octets: &'a [u8]) -> Self {
        Self { rest: octets, item: 0, hour: 0, more: false }
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (&octet, rest) = self.rest.split_first()?;
            self.rest = rest;
            number |= u64::from(octet & 0x7F) << shift;
            if octet < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

impl Iterator for Ticks<'_> {
    type Item = Tick;

    #[inline]
    fn next(&mut self) -> Option<Tick> {
        if !self.more {
            let further = u32::try_from(self.number()?).ok()?;
            self.item = self.item.checked_add(further)?;
            self.hour = 0;
        }
        let number = self.number()?;
        // Five bits.
        self.hour = self.hour.checked_add((number >> 1 & 0x1F) as u8).filter(|hour| *hour < HOURS)?;
        self.more = number & 1 == 1;
        Some(Tick { item: self.item, hour: self.hour, n: (number >> 6) + 1 })
    }
}

/// Writes a blob. What it is told comes in the order of items and hours.
#[derive(Default)]
pub(super) struct Composer {
    octets: Vec<u8>,
    /// The item that was written last.
    item: u32,
    /// The hour of the waiting tick's item before it.
    hour: u8,
    /// What was told last: more may be added to it, and it has to be known whether an hour follows.
    waiting: Option<Tick>,
}

impl Composer {
    pub(super) fn add(&mut self, tick: Tick) {
        match &mut self.waiting {
            Some(last) if (last.item, last.hour) == (tick.item, tick.hour) => {
                last.n = last.n.saturating_add(tick.n);
                return;
            }
            Some(last) if last.item == tick.item => {
                let last = *last;
                self.hour_of(last, true);
                self.hour = last.hour;
            }
            Some(last) => {
                let last = *last;
                self.hour_of(last, false);
                self.begin(tick.item);
            }
            None => self.begin(tick.item),
        }
        self.waiting = Some(tick);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        if let Some(last) = self.waiting {
            self.hour_of(last, false);
        }
        self.octets
    }

    fn begin(&mut self, item: u32) {
        self.number(u64::from(item.saturating_sub(self.item)));
        (self.item, self.hour) = (item, 0);
    }

    fn hour_of(&mut self, tick: Tick, more: bool) {
        // Nobody asks 2^58 times an hour.
        let n = tick.n.saturating_sub(1).min(u64::MAX >> 6);
        self.number(n << 6 | u64::from(tick.hour.saturating_sub(self.hour)) << 1 | u64::from(more));
    }

    fn number(&mut self, mut number: u64) {
        while 0x80 <= number {
            // The lowest seven bits.
            self.octets.push((number & 0x7F) as u8 | 0x80);
            number >>= 7;
        }
        self.octets.push(number as u8);
    }
}

/// Both together.
fn sum(one: &[u8], other: &[u8]) -> Vec<u8> {
    let (mut one, mut other) = (Ticks::of(one).peekable(), Ticks::of(other).peekable());
    let mut composer = Composer::default();
    let place = |tick: &Tick| (tick.item, tick.hour);
    loop {
        let first = match (one.peek(), other.peek()) {
            (Some(a), Some(b)) if place(b) < place(a) => other.next(),
            (Some(_), _) => one.next(),
            (None, _) => other.next(),
        };
        let Some(tick) = first else { return composer.finish() };
        composer.add(tick);
    }
}

/// How many items a blob has.
pub(super) fn items(octets: &[u8]) -> i64 {
    let mut last = None;
    let distinct = Ticks::of(octets).filter(|tick| last.replace(tick.item) != Some(tick.item));
    i64::try_from(distinct.count()).unwrap_or(i64::MAX)
}

/// Lets the statements of a connection add blobs up (`add_hours`) and count what is in them (`items`).
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    fn blob<'a>(context: &'a Context<'_>, index: usize) -> &'a [u8] {
        context.get_raw(index).as_blob().unwrap_or_default()
    }
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("add_hours", 2, flags, |context| {
        Ok(sum(blob(context, 0), blob(context, 1)))
    })?;
    connection.create_scalar_function("items", 1, flags, |context| Ok(items(blob(context, 0))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn composed(model: &BTreeMap<(u32, u8), u64>) -> Vec<u8> {
        let mut composer = Composer::default();
        model.iter().for_each(|(&(item, hour), &n)| composer.add(Tick { item, hour, n }));
        composer.finish()
    }

    fn model() -> impl Strategy<Value = BTreeMap<(u32, u8), u64>> {
        let n = prop_oneof![1_u64..5, Just(u64::MAX >> 7)];
        let item = prop_oneof![0_u32..20, any::<u32>()];
        proptest::collection::btree_map((item, 0_u8..24), n, 0..80)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_adds_up(one in model(), other in model()) {
            let read = |octets: &[u8]| -> BTreeMap<_, _> {
                Ticks::of(octets).map(|tick| ((tick.item, tick.hour), tick.n)).collect()
            };
            prop_assert_eq!(&read(&composed(&one)), &one);
            let mut both = one.clone();
            for (place, n) in &other {
                *both.entry(*place).or_default() += n;
            }
            let octets = sum(&composed(&one), &composed(&other));
            prop_assert_eq!(&read(&octets), &both);
            let distinct: std::collections::BTreeSet<_> = both.keys().map(|(item, _)| item).collect();
            prop_assert_eq!(items(&octets), distinct.len() as i64);
        }

        #[test]
        fn reading_never_panics(octets: Vec<u8>) {
            let ticks: Vec<_> = Ticks::of(&octets).collect();
            prop_assert!(ticks.is_sorted_by_key(|tick| tick.item) && ticks.iter().all(|tick| tick.hour < 24));
            sum(&octets, &octets);
        }
    }

    #[test]
    fn a_name_that_is_asked_for_now_and_then_takes_few_octets() {
        let ticks = [(7, 9, 1), (8, 9, 2), (8, 10, 1), (9, 23, 256)];
        let model = ticks.into_iter().map(|(item, hour, n)| ((item, hour), n)).collect();
        assert_eq!(composed(&model).len(), 2 + 3 + 3);
    }
}
