//! The tables of counts: how often each device asked, and for which names, on each day by its hours.
//!
//! A row of `count_device` has a day of one device, its items being kinds of queries; a row of `count_name` has a part of
//! a day of one device and one kind, its items being names. A part holds the names of some identifiers that follow one
//! another ([`part_bits`]), so that a flood of new names writes new rows and does not read those of the whole day again.

use rusqlite::Connection;
use rusqlite::params;

use super::fault::Fault;
use super::hours::Composer;
use super::hours::Tick;
use super::hours::Ticks;
use super::write::BLOCK;

/// How many bits of a name's identifier tell it from others of its part: with what homes ask, a row has some hundred octets.
/// One of more than a thousand would begin a page of its own for what is beyond; few names are hits, so more share a row.
const fn part_bits(kind: i64) -> u32 {
    if BLOCK <= kind { 11 } else { 8 }
}

/// The hours of a day.
pub(super) const HOURS_PER_DAY: i64 = 24;

/// How often a device asked for a name within an hour. The order is that of the table: most questions are about hits, which
/// lie together.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Count {
    /// The day, counted from 1970 in UTC.
    pub(super) day: i64,
    /// The kind of query: see [`super::write::PASS`] and those after it.
    pub(super) kind: i64,
    /// The identifier of the device.
    pub(super) device: i64,
    /// The identifier of the name.
    pub(super) name: i64,
    /// The hour of the day, 0 to 23.
    pub(super) hour: u8,
    /// How often.
    pub(super) n: u64,
}

/// The day and the hour of the day of an hour that is counted from 1970.
pub(super) fn day_and_hour(hour: i64) -> (i64, u8) {
    // 0 to 23.
    (hour.div_euclid(HOURS_PER_DAY), u8::try_from(hour.rem_euclid(HOURS_PER_DAY)).unwrap_or_default())
}

/// The identifier of a name from its part and its item.
pub(super) fn name_of(kind: i64, part: i64, item: u32) -> i64 {
    part << part_bits(kind) | i64::from(item)
}

/// The part of a name, and its item in it.
pub(super) fn part_of(kind: i64, name: i64) -> (i64, u32) {
    let bits = part_bits(kind);
    (name >> bits, u32::try_from(name & ((1 << bits) - 1)).unwrap_or_default())
}

/// Adds counts by name to those of `db` ("main" or "file"), each row once.
pub(super) fn add_names(connection: &Connection, db: &str, counts: &mut [Count]) -> Result<(), Fault> {
    counts.sort_unstable();
    let mut add = connection.prepare_cached(&format!(
        "INSERT INTO {db}.count_name VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET hours = add_hours(hours, excluded.hours)"
    ))?;
    let row = |count: &Count| (count.day, count.kind, count.device, part_of(count.kind, count.name).0);
    for counts in counts.chunk_by(|one, next| row(one) == row(next)) {
        let Some(first) = counts.first() else { continue };
        let mut hours = Composer::default();
        for count in counts {
            hours.add(Tick { item: part_of(count.kind, count.name).1, hour: count.hour, n: count.n });
        }
        let (day, kind, device, part) = row(first);
        add.execute(params![day, kind, device, part, hours.finish()])?;
    }
    Ok(())
}

/// Adds counts to those by device of `db`, whatever their names are.
pub(super) fn add_devices(connection: &Connection, db: &str, counts: &mut [Count]) -> Result<(), Fault> {
    counts.sort_unstable_by_key(|count| (count.day, count.device, count.kind, count.hour));
    let mut add = connection.prepare_cached(&format!(
        "INSERT INTO {db}.count_device VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET hours = add_hours(hours, excluded.hours)"
    ))?;
    let row = |count: &Count| (count.day, count.device);
    for counts in counts.chunk_by(|one, next| row(one) == row(next)) {
        let Some(first) = counts.first() else { continue };
        let mut hours = Composer::default();
        for count in counts {
            let item = u32::try_from(count.kind).unwrap_or_default();
            hours.add(Tick { item, hour: count.hour, n: count.n });
        }
        add.execute(params![first.day, first.device, hours.finish()])?;
    }
    Ok(())
}

/// Hands over all counts by name of `db` that `condition` chooses.
pub(super) fn each_name(
    connection: &Connection,
    db: &str,
    condition: &str,
    mut take: impl FnMut(Count),
) -> Result<(), Fault> {
    let sql = format!("SELECT day, device, kind, part, hours FROM {db}.count_name WHERE {condition}");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (day, device, kind, part) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        for Tick { item, hour, n } in Ticks::of(row.get_ref(4)?.as_blob().unwrap_or_default()) {
            take(Count { day, device, kind, name: name_of(kind, part, item), hour, n });
        }
    }
    Ok(())
}

/// All counts by device of `db`; names are 0.
pub(super) fn all_devices(connection: &Connection, db: &str) -> Result<Vec<Count>, Fault> {
    let mut statement = connection.prepare(&format!("SELECT day, device, hours FROM {db}.count_device"))?;
    let mut rows = statement.query([])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        let (day, device) = (row.get(0)?, row.get(1)?);
        for Tick { item, hour, n } in Ticks::of(row.get_ref(2)?.as_blob().unwrap_or_default()) {
            counts.push(Count { day, device, kind: item.into(), name: 0, hour, n });
        }
    }
    Ok(counts)
}
