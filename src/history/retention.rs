//! What is too old, or too much, is forgotten: a bounded part of it with each flush, the oldest first.
//!
//! Events go when they are older than `events_kept`, counts when older than `counts_kept`. Where the file is larger than
//! `size_max`, the oldest events go; when there are none, the names that nothing refers to; when there are none, the
//! oldest days of the counts by name. The counts by device are small: they stay, so that totals are exact. Names, rules
//! and devices go when nothing refers to them any more.

use std::collections::HashSet;
use std::time::Duration;
use std::time::Instant;

use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::OptionalExtension;

use super::HistoryOptions;
use super::counts;
use super::counts::HOURS_PER_DAY;
use super::fault::Fault;
use super::hours::Ticks;
use super::schema::EventId;
use super::schema::PLAUSIBLE_MS;
use super::schema::SEEN_DAYS;
use super::store::day_of;
use crate::clock::Clock;

/// Events that go in one flush, at least.
const EVENTS_PER_ROUND: u64 = 20_000;
/// How many events more go for each that is added. An event takes about 25 octets; where each asks for a name of its
/// own, name and counts take 120 more, and still the file must not grow.
const EVENTS_PER_ADDED: u64 = 8;
/// Days of counts that go in one flush.
const DAYS_PER_ROUND: i64 = 1;
/// Names, rules and devices that go at once, of each; and counts by name where the file is too large. Twice as many as
/// are added go on top, so that no flood outruns it.
const ROWS_PER_ROUND: i64 = 5_000;
/// Pages given back to the file system in one flush: 8 MB.
const PAGES_PER_ROUND: i64 = 2_000;
/// Free pages that the file keeps, because new rows fill them and no page has to be moved: 4 MB, or an eighth.
const FREE_PAGES_KEPT: i64 = 1_000;
/// The smallest limit on the file that is heeded, in octets: the tables alone need a part of it.
const SIZE_MAX_LEAST: u64 = 1 << 20;

/// How far the wall clock may get ahead of the time that passed before it is mistrusted.
const STEP_MAX: Duration = Duration::from_secs(3600);
/// How long nothing is too old after the clock stepped ahead. A clock that stands in 2040 by mistake is set right within
/// a day, or is what it will be.
const MISTRUST: Duration = Duration::from_secs(86_400);

/// Watches the wall clock, so that a wrong one does not cost the history.
pub(super) struct Trust {
    looked: (Timestamp, Instant),
    mistrusted_until: Option<Instant>,
}

impl Trust {
    pub(super) const fn new(now: Timestamp, instant: Instant) -> Self {
        Self { looked: (now, instant), mistrusted_until: None }
    }

    /// Whether the clock can be asked what is old.
    fn look(&mut self, now: Timestamp, instant: Instant) -> bool {
        let (then, before) = self.looked;
        let passed = instant.saturating_duration_since(before);
        let expected = then.checked_add(passed + STEP_MAX).unwrap_or(Timestamp::MAX);
        if expected < now {
            self.mistrusted_until = Some(instant + MISTRUST);
        }
        self.looked = (now, instant);
        self.mistrusted_until.is_none_or(|until| until <= instant)
    }

    /// Compares the clock with the last thing that a file knows, which was heard at `last_ms`.
    ///
    /// A clock that is ahead from the start makes no step that could be seen. Where it says that all of the file is too
    /// old at once, a day decides whether the machine was off for so long or the clock is wrong.
    pub(super) fn compare(&mut self, clock: &dyn Clock, last_ms: i64, kept: Duration) {
        // Of less than a day not much is lost, and a machine that is off every night must forget something too.
        let kept_ms = i64::try_from(kept.max(MISTRUST).as_millis()).unwrap_or(i64::MAX);
        if last_ms.saturating_add(kept_ms) < clock.now().as_millisecond() {
            self.mistrusted_until = Some(clock.instant() + MISTRUST);
        }
    }
}

/// When the last event that the file knows was heard; `None` when it never heard any.
///
/// The last one by its place, not the latest one: a clock that is ahead with every start has left its mark before.
pub(super) fn last_heard_ms(connection: &Connection) -> Result<Option<i64>, Fault> {
    let last = "SELECT (id >> 6) + shift FROM file.event ORDER BY id DESC LIMIT 1";
    let last = connection.query_row(last, [], |row| row.get(0)).optional()?;
    if last.is_some() {
        return Ok(last);
    }
    let last =
        "SELECT day, hours FROM file.count_device WHERE day = (SELECT max(day) FROM file.count_device)";
    let mut statement = connection.prepare(last)?;
    let mut rows = statement.query([])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let day: i64 = row.get(0)?;
        let hours = Ticks::of(row.get_ref(1)?.as_blob().unwrap_or_default()).map(|tick| i64::from(tick.hour));
        last = last.max(hours.max().map(|hour| (day * HOURS_PER_DAY + hour + 1) * 3_600_000));
    }
    Ok(last)
}

/// What is kept.
pub(super) struct Kept {
    now_ms: i64,
    events_since_ms: i64,
    counts_since_day: i64,
    size_max: i64,
    events_per_round: i64,
    rows_per_round: i64,
}

impl Kept {
    /// What `options` ask for now, when `added` events and `counts` counts by name are about to be added.
    pub(super) fn new(
        options: &HistoryOptions,
        clock: &dyn Clock,
        trust: &mut Trust,
        added: u64,
        counts: i64,
    ) -> Self {
        let now = clock.now();
        let trusted = trust.look(now, clock.instant());
        let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
        let since = |kept: Duration| {
            let kept_ms = i64::try_from(kept.as_millis()).ok().filter(|_| trusted).unwrap_or(i64::MAX);
            now.as_millisecond().saturating_sub(kept_ms).max(0)
        };
        Self {
            now_ms: now.as_millisecond(),
            events_since_ms: since(options.events_kept),
            // Whatever stands in an event stands in a count: so names need no second look before they go.
            counts_since_day: day_of(since(options.counts_kept.max(options.events_kept))),
            size_max: signed(options.size_max.max(SIZE_MAX_LEAST)),
            events_per_round: signed(EVENTS_PER_ROUND.saturating_add(added.saturating_mul(EVENTS_PER_ADDED))),
            rows_per_round: ROWS_PER_ROUND.saturating_add(counts.saturating_mul(2)),
        }
    }
}

/// Forgets in the database `db` ("main" or "file") what is older than it may be.
pub(super) fn expire(connection: &Connection, db: &str, kept: &Kept) -> Result<(), Fault> {
    // An event is never later than its identifier says. Where the clock was ahead, identifiers lie in the time to come:
    // there the clock's own time tells what is old, and whatever came before it is as old. Elsewhere an event that is
    // earlier than its identifier comes from a clock that was behind, and says nothing of those before it.
    let last_old = connection.query_row(
        &format!(
            "SELECT max(
                coalesce((SELECT max(id) FROM {db}.event WHERE id < ?1), 0),
                coalesce((SELECT max(id) FROM (
                    SELECT id, shift FROM {db}.event INDEXED BY event_stepped
                    WHERE shift < -60000 AND ?4 <= id AND ?5 <= (id >> 6) + shift
                    ORDER BY id LIMIT ?3) WHERE (id >> 6) + shift < ?2), 0))"
        ),
        [
            EventId::at(kept.events_since_ms).0,
            kept.events_since_ms,
            kept.events_per_round,
            EventId::at(kept.now_ms.max(0)).0,
            PLAUSIBLE_MS,
        ],
        |row| row.get(0),
    )?;
    delete_events(connection, db, last_old, kept)?;
    if let Some(first) = oldest_day(connection, &format!("{db}.count_device"))? {
        delete_days(connection, db, kept.counts_since_day.min(first + DAYS_PER_ROUND))?;
    }
    Ok(())
}

/// Forgets the oldest part of the file where it is too large. Whether it was.
pub(super) fn relieve(connection: &Connection, kept: &Kept) -> Result<bool, Fault> {
    let crowded = || Ok::<_, Fault>(kept.size_max < used_octets(connection)?);
    let rows_per_round = usize::try_from(kept.rows_per_round).unwrap_or(usize::MAX);
    let events_per_round = usize::try_from(kept.events_per_round).unwrap_or(usize::MAX);
    if !crowded()? {
        return Ok(false);
    }
    // Each step begins when the one before has nothing left.
    if delete_events(connection, "file", i64::MAX, kept)? < events_per_round
        && crowded()?
        && delete_unreferenced_names(connection, kept)? < rows_per_round
        && crowded()?
    {
        let mut deleted = 0;
        while deleted < rows_per_round
            && let Some(first) = oldest_day(connection, "file.count_name")?
        {
            // Each row has some names.
            let names = "SELECT sum(items(hours)) FROM file.count_name WHERE day = ?1";
            let names: i64 = connection.query_row(names, [first], |row| row.get(0))?;
            connection.execute("DELETE FROM file.count_name WHERE day = ?1", [first])?;
            deleted += usize::try_from(names).unwrap_or_default().max(1);
        }
        delete_unreferenced_names(connection, kept)?;
    }
    Ok(true)
}

/// Deletes names of the file that neither an event nor a count refers to. How many.
///
/// It reads all counts: it is for a file that is too large, where `name.seen` is not exact enough.
fn delete_unreferenced_names(connection: &Connection, kept: &Kept) -> Result<usize, Fault> {
    let mut used = HashSet::new();
    counts::each_name(connection, "file", "true", |count| {
        used.insert(count.name);
    })?;
    delete_names_but(connection, "file", &used, kept.rows_per_round)
}

/// Deletes up to `most` names of `db` that are neither `used` nor events' or behind another name that stays. How many.
pub(super) fn delete_names_but(
    connection: &Connection,
    db: &str,
    used: &HashSet<i64>,
    most: i64,
) -> Result<usize, Fault> {
    let ids = |sql: &str, row_of: fn(&rusqlite::Row<'_>) -> rusqlite::Result<(i64, i64)>| {
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], row_of)?;
        rows.collect::<rusqlite::Result<HashSet<_>>>()
    };
    let one = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, 0));
    let events = ids(&format!("SELECT DISTINCT name FROM {db}.event"), one)?;
    let is_used = |id: i64| used.contains(&id) || events.contains(&(id, 0));
    let cloaks = ids(&format!("SELECT name, behind FROM {db}.cloak"), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let behind: HashSet<i64> =
        cloaks.iter().filter(|(name, _)| is_used(*name)).map(|(_, behind)| *behind).collect();
    let mut unused: Vec<i64> =
        ids(&format!("SELECT id FROM {db}.name"), one)?.into_iter().map(|(id, _)| id).collect();
    unused.retain(|id| !is_used(*id) && !behind.contains(id));
    unused.sort_unstable();
    unused.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    let mut delete = connection.prepare_cached(&format!("DELETE FROM {db}.name WHERE id = ?1"))?;
    for id in &unused {
        delete.execute([id])?;
    }
    delete_loose_cloaks(connection, db)?;
    Ok(unused.len())
}

/// Deletes what is said of names that are gone.
fn delete_loose_cloaks(connection: &Connection, db: &str) -> Result<(), Fault> {
    let delete = format!("DELETE FROM {db}.cloak WHERE name NOT IN (SELECT id FROM {db}.name)");
    connection.execute(&delete, [])?;
    Ok(())
}

/// Deletes rows that were used before anything that is left.
pub(super) fn delete_unused(connection: &Connection, db: &str, kept: &Kept) -> Result<(), Fault> {
    let first_event = format!("SELECT (id >> 6) + shift FROM {db}.event ORDER BY id LIMIT 1");
    let first_event: Option<i64> = connection.query_row(&first_event, [], |row| row.get(0)).optional()?;
    // Where nothing is left, nothing is in use.
    let first_day = |table: &str| {
        let first = oldest_day(connection, &format!("{db}.{table}"))?;
        let first = first.into_iter().chain(first_event.map(day_of)).min();
        Ok::<_, Fault>(first.map_or(i64::MAX, |day| day - SEEN_DAYS))
    };
    let first_day_ms = oldest_day(connection, &format!("{db}.count_device"))?.map(|day| day * 86_400_000);
    let first_ms = first_day_ms.into_iter().chain(first_event).min();
    let delete = |table: &str, used: &str, before: i64| {
        // Where the clock stepped back, an event may be kept longer than the time that it bears says.
        let rows = format!(
            "SELECT id FROM {db}.{table} WHERE {used} < ?1 AND id NOT IN (
                SELECT {table} FROM {db}.event INDEXED BY event_stepped
                WHERE shift < -60000 AND {table} IS NOT NULL) LIMIT ?2"
        );
        let delete = format!("DELETE FROM {db}.{table} WHERE id IN ({rows})");
        connection.execute(&delete, [before, kept.rows_per_round])
    };
    if 0 < delete("name", "seen", first_day("count_name")?)? {
        delete_loose_cloaks(connection, db)?;
    }
    delete("rule", "seen", first_event.map_or(i64::MAX, |first| day_of(first) - SEEN_DAYS))?;
    delete("device", "last_ms", first_ms.unwrap_or(i64::MAX))?;
    Ok(())
}

/// Gives free pages back, if there are many.
pub(super) fn shrink(connection: &Connection) -> Result<(), Fault> {
    let free = pragma(connection, "freelist_count")?;
    let kept = FREE_PAGES_KEPT.max(pragma(connection, "page_count")? / 8);
    if free <= kept {
        return Ok(());
    }
    let pages = (free - kept).min(PAGES_PER_ROUND);
    // Each step gives one page back.
    let mut vacuum = connection.prepare(&format!("PRAGMA file.incremental_vacuum({pages})"))?;
    let mut steps = vacuum.query([])?;
    while steps.next()?.is_some() {}
    Ok(())
}

/// Deletes the oldest events up to `last`, but none that the counts of the file don't have yet.
fn delete_events(connection: &Connection, db: &str, last: i64, kept: &Kept) -> Result<usize, Fault> {
    let counted = if db == "file" { "AND id < (SELECT counted_until FROM file.state)" } else { "" };
    let rows = format!("SELECT id FROM {db}.event WHERE id <= ?1 {counted} ORDER BY id LIMIT ?2");
    let delete = format!("DELETE FROM {db}.event WHERE id IN ({rows})");
    Ok(connection.execute(&delete, [last, kept.events_per_round])?)
}

fn delete_days(connection: &Connection, db: &str, until: i64) -> Result<(), Fault> {
    for table in ["count_device", "count_name"] {
        connection.execute(&format!("DELETE FROM {db}.{table} WHERE day < ?1"), [until])?;
    }
    Ok(())
}

fn oldest_day(connection: &Connection, table: &str) -> Result<Option<i64>, Fault> {
    Ok(connection.query_row(&format!("SELECT min(day) FROM {table}"), [], |row| row.get(0))?)
}

fn used_octets(connection: &Connection) -> Result<i64, Fault> {
    let pages = pragma(connection, "page_count")? - pragma(connection, "freelist_count")?;
    Ok(pages * pragma(connection, "page_size")?)
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, Fault> {
    Ok(connection.pragma_query_value(Some("file"), name, |row| row.get(0))?)
}
