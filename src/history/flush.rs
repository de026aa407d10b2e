//! What waits in memory is moved into the file, in one transaction.
//!
//! Events go with every flush, counts once an hour: they can be worked out again from the events since
//! `state.counted_until`, which happens when the file is opened after a crash. Written with every flush, the counts of
//! the running hour would be most of what is written. Only where queries were counted without being listed, counts go
//! with the flush that follows, since nothing else knows of them.

use rusqlite::Connection;
use tracing::info;
use tracing::warn;

use super::fault::Fault;
use super::retention;
use super::retention::Kept;
use super::schema::EventId;
use super::store::Store;
use super::store::hour_of;

/// Counts of names in memory, beyond which they are written before the hour is over. About 2 MB.
const COUNTS_MAX: i64 = 50_000;

/// Rows of these tables are copied whenever events are, since events refer to them; all of it takes no write if nothing
/// is new. A device in memory began as the file knew it, so it knows better.
const COPY_ROWS: &str = "
    INSERT INTO file.name SELECT * FROM main.name WHERE true ON CONFLICT (id) DO NOTHING;
    INSERT INTO file.rule SELECT * FROM main.rule WHERE true ON CONFLICT (id) DO NOTHING;
    INSERT INTO file.device SELECT * FROM main.device WHERE true
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, first_ms = excluded.first_ms, last_ms = excluded.last_ms
        WHERE name <> excluded.name OR first_ms <> excluded.first_ms OR last_ms <> excluded.last_ms;
    INSERT INTO file.cloak SELECT * FROM main.cloak WHERE true
        ON CONFLICT (name) DO UPDATE SET behind = excluded.behind WHERE behind <> excluded.behind;
    INSERT INTO file.event SELECT * FROM main.event;
    DELETE FROM main.event;
";

/// Only now nothing in memory refers to the rows of names, rules and devices.
const MOVE_COUNTS: &str = "
    INSERT INTO file.count_device SELECT * FROM main.count_device WHERE true
        ON CONFLICT DO UPDATE SET hours = add_hours(hours, excluded.hours);
    INSERT INTO file.count_name SELECT * FROM main.count_name WHERE true
        ON CONFLICT DO UPDATE SET hours = add_hours(hours, excluded.hours);
    UPDATE file.name SET seen = m.now FROM (SELECT id AS this, seen AS now FROM main.name) AS m
        WHERE id = this AND seen < now;
    UPDATE file.rule SET seen = m.now FROM (SELECT id AS this, seen AS now FROM main.rule) AS m
        WHERE id = this AND seen < now;
    DELETE FROM main.count_device;
    DELETE FROM main.count_name;
    DELETE FROM main.cloak;
    DELETE FROM main.name;
    DELETE FROM main.rule;
    DELETE FROM main.device;
";

/// How many counts by name wait in memory.
pub(super) const NAMES_COUNTED: &str = "SELECT coalesce(sum(items(hours)), 0) FROM main.count_name";

/// Which counts are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Counts {
    /// Those that are due.
    Due,
    /// All: this is the last flush.
    All,
}

impl Store {
    /// Writes what waits into the file, and forgets what is too old.
    pub(super) fn flush(&mut self, counts: Counts) -> Result<(), Fault> {
        let Some(file) = self.options.file.clone() else {
            return self.expire_memory();
        };
        if self.attached && !file.exists() {
            warn!(file = %file.display(), "the history's file is gone; a new one is begun");
            self.detach();
        }
        if !self.attached {
            self.attach();
        }
        if !self.attached {
            return self.wait_in_memory();
        }
        let mut flushed = self.flush_file(counts);
        if let Err(fault @ Fault::Damaged(_)) = &flushed {
            self.replace_file(&fault.clone());
            if !self.attached {
                return self.wait_in_memory();
            }
            flushed = self.flush_file(counts);
        }
        let Err(fault) = flushed else {
            if self.trouble.take().is_some() {
                info!(file = %file.display(), "the history is written again");
            }
            return Ok(());
        };
        // A file that can't be written now can often be read still. With anything else a fresh start is due.
        if !matches!(fault, Fault::Unwritable(_)) {
            self.detach();
        }
        self.report_trouble(&fault);
        self.wait_in_memory()
    }

    /// The trouble that was reported, after forgetting in memory what is too old.
    fn wait_in_memory(&mut self) -> Result<(), Fault> {
        self.expire_memory()?;
        Err(Fault::Unwritable(self.trouble.clone().unwrap_or_default()))
    }

    fn flush_file(&mut self, counts: Counts) -> Result<(), Fault> {
        let now = self.clock.now();
        let hour = hour_of(now.as_millisecond());
        self.ids.begin(&self.db, true)?;
        let transaction = self.db.unchecked_transaction()?;
        let waiting: i64 = transaction.query_row(NAMES_COUNTED, [], |row| row.get(0))?;
        let kept = Kept::new(&self.options, &*self.clock, &mut self.trust, self.unflushed, waiting);
        // Before anything is added, so that the room is used again.
        retention::expire(&transaction, "file", &kept)?;
        let crowded = retention::relieve(&transaction, &kept)?;
        transaction.execute_batch(COPY_ROWS)?;
        let due = counts == Counts::All
            || crowded
            || self.counted_hour != Some(hour)
            || 0 < self.crowded_out
            || self.unlisted_waits
            || COUNTS_MAX < waiting;
        // Memory may have had no room for names; how much was asked waits there all the same.
        let anything = "SELECT EXISTS (SELECT 1 FROM main.count_device)";
        let counted = due && transaction.query_row(anything, [], |row| row.get(0))?;
        if counted {
            move_counts(&transaction, self.ids.last_event())?;
            retention::delete_unused(&transaction, "file", &kept)?;
        }
        retention::shrink(&transaction)?;
        transaction.commit()?;
        if counted {
            self.counted_hour = Some(hour);
            self.uncounted_names = 0;
            self.ids.forget();
        }
        self.unflushed = 0;
        self.crowded_out = 0;
        self.unlisted_waits = false;
        self.flushed = Some(now);
        Ok(())
    }

    /// Flushes for the last time and lets the file go, which copies its log into it.
    pub(super) fn close(&mut self) -> Result<(), Fault> {
        let flushed = self.flush(Counts::All);
        self.detach();
        flushed
    }
}

fn move_counts(db: &Connection, last: EventId) -> Result<(), Fault> {
    db.execute_batch(MOVE_COUNTS)?;
    db.execute("UPDATE file.state SET counted_until = max(counted_until, ?1)", [last.0 + 1])?;
    Ok(())
}
