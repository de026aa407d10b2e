//! What was counted on one day, in few octets: how often something was asked for in which of its 24 hours (pure).
//!
//! A row of counts by the hour takes 20 octets and more; here an hour is most often one or two. A blob holds the counts of
//! several items (names, or kinds of queries), each an index, in their order. Numbers have seven bits an octet, the lowest
//! first (LEB128). An item is
//!
//! - its index, less that of the item before it, and a bit that tells which of two forms follows, the shorter one:
//! - few hours (0): for each `(n - 1) << 6 | hours since the one before << 1 | whether one more follows`;
//! - many hours (1): three octets with a bit for each hour, the lowest first; then `n - 1` of each in their order.
//!
//! Blobs are added up where they lie, by the SQL function `add_hours`.

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
    state: State,
}

/// Where in an item the reader is.
enum State {
    /// Before the next one.
    Item,
    /// Among few hours, behind this one.
    Few(u8),
    /// Among many hours, of which these are left.
    Many(u32),
}

impl<'a> Ticks<'a> {
    pub(super) const fn of(octets: &'a [u8]) -> Self {
        Self { rest: octets, item: 0, state: State::Item }
    }

    #[inline]
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

    fn begin(&mut self) -> Option<()> {
        let number = self.number()?;
        self.item = self.item.checked_add(u32::try_from(number >> 1).ok()?)?;
        self.state = if number & 1 == 0 {
            State::Few(0)
        } else {
            let (&[a, b, c], rest) = self.rest.split_first_chunk()?;
            self.rest = rest;
            State::Many(u32::from_le_bytes([a, b, c, 0]))
        };
        Some(())
    }
}

impl Iterator for Ticks<'_> {
    type Item = Tick;

    #[inline]
    fn next(&mut self) -> Option<Tick> {
        loop {
            match self.state {
                State::Item | State::Many(0) => self.begin()?,
                State::Few(before) => {
                    let number = self.number()?;
                    // Five bits.
                    let hour =
                        before.checked_add(lowest_bits(number >> 1, 0x1F)).filter(|hour| *hour < HOURS)?;
                    self.state = if number & 1 == 1 { State::Few(hour) } else { State::Item };
                    return Some(Tick { item: self.item, hour, n: (number >> 6) + 1 });
                }
                State::Many(hours) => {
                    // Of 24 bits one is set.
                    let hour = lowest_bits(hours.trailing_zeros().into(), 0x1F);
                    self.state = State::Many(hours & (hours - 1));
                    let n = self.number()?.saturating_add(1);
                    return Some(Tick { item: self.item, hour, n });
                }
            }
        }
    }
}

/// Writes a blob. What it is told comes in the order of items and hours.
#[derive(Default)]
pub(super) struct Composer {
    octets: Vec<u8>,
    /// The item that was written last.
    written: u32,
    /// The item at hand, and its hours.
    item: u32,
    hours: Vec<(u8, u64)>,
    /// A place to write one form in, to see how long it is.
    form: Vec<u8>,
}

impl Composer {
    pub(super) fn add(&mut self, tick: Tick) {
        if tick.item != self.item {
            self.end_item();
            self.item = tick.item;
        }
        match self.hours.last_mut() {
            Some((hour, n)) if *hour == tick.hour => *n = n.saturating_add(tick.n),
            _ => self.hours.push((tick.hour, tick.n)),
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.end_item();
        self.octets
    }

    fn end_item(&mut self) {
        if self.hours.is_empty() {
            return;
        }
        // Nobody asks 2^58 times an hour.
        let less_one = |n: u64| n.saturating_sub(1).min(u64::MAX >> 6);
        let (mut few, mut mask, mut before) = (std::mem::take(&mut self.form), 0_u32, 0);
        few.clear();
        for (index, &(hour, n)) in self.hours.iter().enumerate() {
            let more = u64::from(index + 1 < self.hours.len());
            push_number(&mut few, less_one(n) << 6 | u64::from(hour.saturating_sub(before)) << 1 | more);
            (mask, before) = (mask | 1 << hour, hour);
        }
        let many_len = 3 + self.hours.iter().map(|&(_, n)| number_len(less_one(n))).sum::<usize>();
        let is_many = many_len < few.len();
        let further = u64::from(self.item.saturating_sub(self.written));
        push_number(&mut self.octets, further << 1 | u64::from(is_many));
        if is_many {
            let [a, b, c, _] = mask.to_le_bytes();
            self.octets.extend_from_slice(&[a, b, c]);
            for &(_, n) in &self.hours {
                push_number(&mut self.octets, less_one(n));
            }
        } else {
            self.octets.extend_from_slice(&few);
        }
        self.form = few;
        self.written = self.item;
        self.hours.clear();
    }
}

fn push_number(octets: &mut Vec<u8>, mut number: u64) {
    while 0x80 <= number {
        octets.push(lowest_bits(number, 0x7F) | 0x80);
        number >>= 7;
    }
    octets.push(lowest_bits(number, 0x7F));
}

/// Those of the lowest eight bits that are asked for.
#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are asked for")]
const fn lowest_bits(number: u64, mask: u8) -> u8 {
    number as u8 & mask
}

/// How many octets a number takes.
const fn number_len(number: u64) -> usize {
    let bits = u64::BITS - number.leading_zeros();
    if bits == 0 { 1 } else { bits.div_ceil(7) as usize }
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
        let model = (0..24).map(|hour| ((7, hour), 100)).collect();
        assert_eq!(composed(&model).len(), 1 + 3 + 24);
    }
}
