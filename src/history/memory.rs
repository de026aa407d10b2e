//! What is in memory has a bound, also when there is no file that would take it.

use rusqlite::Connection;

use super::fault::Fault;
use super::retention;
use super::retention::Kept;
use super::store::Store;

/// Events that memory has room for, about 4 MB: a minute at 1600 queries a second.
const EVENTS_MAX: u64 = 100_000;
/// Counts of names that memory has room for, about 4 MB, and as much again for the names.
const COUNTS_MAX: i64 = 200_000;
/// What goes at once when there is no more room, so that it does not happen with every event.
const EVENTS_PER_TRIM: u64 = EVENTS_MAX / 10;

impl Store {
    /// Forgets the oldest events, and the names of the oldest hours, when there are more than memory has room for. How
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
        let counts: i64 =
            transaction.query_row("SELECT count(*) FROM main.count_name", [], |row| row.get(0))?;
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
    /// Queries of the latest hour that are counted for their device only from now on.
    unnamed: u64,
}

/// Forgets the names of the oldest hours when there are more counts than memory has room for, and of the last one that is
/// left the names that were asked for least.
fn trim_counts(db: &Connection) -> Result<Trimmed, Fault> {
    let number = |sql| db.query_row(sql, [], |row| row.get::<_, i64>(0));
    let counts = || number("SELECT count(*) FROM main.count_name");
    if counts()? <= COUNTS_MAX {
        return Ok(Trimmed { any: false, unnamed: 0 });
    }
    while COUNTS_MAX < counts()? && 1 < number("SELECT count(DISTINCT hour) FROM main.count_name")? {
        let oldest = "SELECT min(hour) FROM main.count_name";
        db.execute(&format!("DELETE FROM main.count_name WHERE hour = ({oldest})"), [])?;
    }
    let all = || number("SELECT coalesce(sum(n), 0) FROM main.count_name");
    let (before, excess) = (all()?, counts()? - COUNTS_MAX);
    if 0 < excess {
        let least = "SELECT hour, device, name, verdict FROM main.count_name ORDER BY n LIMIT ?1";
        let delete = format!("DELETE FROM main.count_name WHERE (hour, device, name, verdict) IN ({least})");
        db.execute(&delete, [excess])?;
    }
    let unnamed = u64::try_from(before - all()?).unwrap_or_default();
    db.execute_batch(
        "DELETE FROM main.name
         WHERE id NOT IN (SELECT name FROM main.event UNION SELECT name FROM main.count_name);
         DELETE FROM main.rule WHERE id NOT IN (SELECT rule FROM main.event WHERE rule IS NOT NULL);",
    )?;
    Ok(Trimmed { any: true, unnamed })
}
