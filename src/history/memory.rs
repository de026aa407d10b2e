//! What is in memory has a bound, also when there is no file that would take it.

use std::collections::HashMap;
use std::collections::HashSet;

use rusqlite::Connection;

use super::counts;
use super::counts::Count;
use super::fault::Fault;
use super::flush::NAMES_COUNTED;
use super::retention;
use super::retention::Kept;
use super::store::Store;

/// Events that memory has room for, about 4 MB: a minute at 1600 queries a second.
const EVENTS_MAX: u64 = 100_000;
/// Counts of names that memory has room for: each a name on a day of a device, about 2 MB, and twice as much for the names.
const COUNTS_MAX: i64 = 200_000;
/// What goes at once when there is no more room, so that it does not happen with every event.
const EVENTS_PER_TRIM: u64 = EVENTS_MAX / 10;

impl Store {
    /// Forgets the oldest events, and the names of the oldest days, when there are more than memory has room for. How
    /// much was asked in total stays known.
    pub(super) fn trim_memory(&mut self) -> Result<(), Fault> {
        if self.unflushed <= EVENTS_MAX {
            return Ok(());
        }
        let excess = i64::try_from(self.unflushed - EVENTS_MAX + EVENTS_PER_TRIM).unwrap_or(i64::MAX);
        let transaction = self.db.unchecked_transaction()?;
        let rows = "SELECT id FROM main.event ORDER BY id LIMIT ?1";
        let removed =
            transaction.execute(&format!("DELETE FROM main.event WHERE id IN ({rows})"), [excess])?;
        let trimmed = trim_counts(&transaction)?;
        transaction.commit()?;
        if trimmed.any {
            self.ids.forget();
        }
        self.unnamed.add(trimmed.unnamed, self.clock.now());
        self.unflushed = self.unflushed.saturating_sub(removed as u64);
        self.crowded_out += removed as u64;
        Ok(())
    }

    /// Whether there are more counts in memory than should wait there.
    pub(super) const fn is_crowded(&self) -> bool {
        COUNTS_MAX.cast_unsigned() < self.uncounted_names
    }

    /// Forgets what is too old while memory is all there is.
    pub(super) fn expire_memory(&mut self) -> Result<(), Fault> {
        let kept = Kept::new(&self.options, &*self.clock, &mut self.trust, 0, 0);
        let transaction = self.db.unchecked_transaction()?;
        retention::expire(&transaction, "main", &kept)?;
        retention::delete_unused(&transaction, "main", &kept)?;
        let trimmed = trim_counts(&transaction)?;
        let left: i64 = transaction.query_row("SELECT count(*) FROM main.event", [], |row| row.get(0))?;
        let counts: i64 = transaction.query_row(NAMES_COUNTED, [], |row| row.get(0))?;
        transaction.commit()?;
        self.ids.forget();
        self.unnamed.add(trimmed.unnamed, self.clock.now());
        self.unflushed = u64::try_from(left).unwrap_or_default();
        self.uncounted_names = u64::try_from(counts).unwrap_or_default();
        Ok(())
    }
}

/// What was forgotten of the counts by name.
struct Trimmed {
    /// Whether anything was.
    any: bool,
    /// Queries of the latest day that are counted for their device only from now on.
    unnamed: u64,
}

/// Forgets the names of the oldest days when there are more counts than memory has room for, and of the last one that is
/// left the names that were asked for least.
fn trim_counts(db: &Connection) -> Result<Trimmed, Fault> {
    let number = |sql| db.query_row(sql, [], |row| row.get::<_, i64>(0));
    let counts = || number(NAMES_COUNTED);
    if counts()? <= COUNTS_MAX {
        return Ok(Trimmed { any: false, unnamed: 0 });
    }
    while COUNTS_MAX < counts()? && 1 < number("SELECT count(DISTINCT day) FROM main.count_name")? {
        db.execute("DELETE FROM main.count_name WHERE day = (SELECT min(day) FROM main.count_name)", [])?;
    }
    let mut left = Vec::new();
    counts::each_name(db, "main", "true", |count| left.push(count))?;
    let unnamed = if counts()? <= COUNTS_MAX { 0 } else { drop_least(&mut left) };
    if 0 < unnamed {
        db.execute("DELETE FROM main.count_name", [])?;
        counts::add_names(db, "main", &mut left)?;
    }
    let used: HashSet<i64> = left.iter().map(|count| count.name).collect();
    retention::delete_names_but(db, "main", &used, i64::MAX)?;
    db.execute(
        "DELETE FROM main.rule WHERE id NOT IN (SELECT rule FROM main.event WHERE rule IS NOT NULL)",
        [],
    )?;
    Ok(Trimmed { any: true, unnamed })
}

/// Drops the counts of one day that are smallest, until as many are left as have room. How many queries that was.
fn drop_least(counts: &mut Vec<Count>) -> u64 {
    let place = |count: &Count| (count.device, count.kind, count.name);
    let mut sums: HashMap<_, u64> = HashMap::new();
    for count in &*counts {
        *sums.entry(place(count)).or_default() += count.n;
    }
    let mut by_sum: Vec<_> = sums.iter().map(|(&place, &n)| (n, place)).collect();
    let excess = by_sum.len().saturating_sub(usize::try_from(COUNTS_MAX).unwrap_or(usize::MAX));
    by_sum.sort_unstable();
    by_sum.truncate(excess);
    let dropped: HashSet<_> = by_sum.iter().map(|(_, place)| *place).collect();
    counts.retain(|count| !dropped.contains(&place(count)));
    by_sum.iter().map(|(n, _)| n).sum()
}
