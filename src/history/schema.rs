//! The tables, the same in memory and in the file, and the steps from one version of them to the next.
//!
//! Writing is what wears an SD card, and secondary indices are what makes SQLite write: measured on 150,000 events a
//! day, an index on device and one on name made 26 times the writes. So events are keyed by time alone, and whatever is
//! asked often is answered from the counts.
//!
//! `event.id` is `milliseconds << 6 | sequence` (see [`EventId`]), always greater than the one before. `shift` is what
//! must be added to the identifier's milliseconds to get what the clock said: 0 unless the clock stepped back or more
//! than 64 events met in one millisecond. `meta` packs `rcode << 18 | qtype << 2 | verdict`, which takes one or two
//! octets for what homes ask. Verdict 3 is a hit that was cloaked: the tracker's name stands in `cloak`, the one of the
//! last time for each name. Counts are by day and hour; see `hours` for their blobs and `counts` for their rows. Days are
//! counted from 1970 in UTC; so are those of `seen`, which is at most [`SEEN_DAYS`] older than the last day on which a row
//! was used.

use rusqlite::{Connection, OptionalExtension};

use super::counts;
use super::counts::Count;
use super::counts::day_and_hour;
use super::fault::Fault;

/// Marks a file as ours in the header of SQLite: "pxsk".
const APPLICATION_ID: i64 = 0x7078_736B;

/// Each step leads from the version of its index to the next; a step that was released never changes again.
const MIGRATIONS: [Step; 3] = [
    Step::Sql(
        "

    CREATE TABLE {db}.name (id INTEGER PRIMARY KEY, wire BLOB NOT NULL UNIQUE, seen INTEGER NOT NULL) STRICT;
    CREATE TABLE {db}.device (
        id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
        first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL) STRICT;
    -- Lines are nearly unique among the rules in use: an index on them is a fraction of one on all columns.
    CREATE TABLE {db}.rule (
        id INTEGER PRIMARY KEY, list TEXT NOT NULL, line INTEGER NOT NULL, rule TEXT NOT NULL,
        seen INTEGER NOT NULL) STRICT;
    CREATE INDEX {db}.rule_line ON rule (line);
    CREATE TABLE {db}.event (
        id INTEGER PRIMARY KEY, shift INTEGER NOT NULL, device INTEGER NOT NULL, name INTEGER NOT NULL,
        meta INTEGER NOT NULL, rule INTEGER) STRICT;
    -- Empty unless the clock stepped back by more than a minute; see `retention.rs`.
    CREATE INDEX {db}.event_stepped ON event (id, shift) WHERE shift < -60000;
    CREATE TABLE {db}.count_device (
        hour INTEGER NOT NULL, device INTEGER NOT NULL, verdict INTEGER NOT NULL, n INTEGER NOT NULL,
        PRIMARY KEY (hour, device, verdict)) STRICT, WITHOUT ROWID;
    CREATE TABLE {db}.count_name (
        hour INTEGER NOT NULL, device INTEGER NOT NULL, name INTEGER NOT NULL, verdict INTEGER NOT NULL,
        n INTEGER NOT NULL, PRIMARY KEY (hour, device, name, verdict)) STRICT, WITHOUT ROWID;
    -- Events with smaller identifiers are in the counts of this database.
    CREATE TABLE {db}.state (counted_until INTEGER NOT NULL) STRICT;
    INSERT INTO {db}.state VALUES (0);
",
    ),
    Step::Sql(
        "
    -- Where in a list a rule stands is looked up in the list itself.
    DROP INDEX {db}.rule_line;
    ALTER TABLE {db}.rule DROP COLUMN line;
    CREATE INDEX {db}.rule_text ON rule (rule);
",
    ),
    Step::Fold(
        "
    ALTER TABLE {db}.count_device RENAME TO old_count_device;
    ALTER TABLE {db}.count_name RENAME TO old_count_name;
    CREATE TABLE {db}.count_device (
        day INTEGER NOT NULL, device INTEGER NOT NULL, hours BLOB NOT NULL,
        PRIMARY KEY (day, device)) STRICT, WITHOUT ROWID;
    CREATE TABLE {db}.count_name (
        day INTEGER NOT NULL, kind INTEGER NOT NULL, device INTEGER NOT NULL, part INTEGER NOT NULL,
        hours BLOB NOT NULL, PRIMARY KEY (day, kind, device, part)) STRICT, WITHOUT ROWID;
    CREATE TABLE {db}.cloak (name INTEGER PRIMARY KEY, behind INTEGER NOT NULL) STRICT;
    -- What a person wants forgotten, until it is; see `erase.rs`.
    CREATE TABLE {db}.erasure (
        devices TEXT, name BLOB, from_hour INTEGER NOT NULL, until_hour INTEGER NOT NULL,
        until_id INTEGER NOT NULL, day INTEGER NOT NULL) STRICT;
",
    ),
];

/// What leads from one version to the next.
enum Step {
    /// Statements.
    Sql(&'static str),
    /// Statements, after which counts that had a row for each hour are folded into days.
    Fold(&'static str),
}

/// Folds the rows of `old_count_device` and `old_count_name` into days, and drops those tables.
fn fold_counts(connection: &Connection, db: &str) -> Result<(), Fault> {
    /// Rows that are folded at once: 3 MB.
    const ROWS_MAX: usize = 1 << 16;
    type Add = fn(&Connection, &str, &mut [Count]) -> Result<(), Fault>;
    let tables: [(&str, &str, Add); 2] =
        [("old_count_device", "0", counts::add_devices), ("old_count_name", "name", counts::add_names)];
    for (table, name, add) in tables {
        let sql = format!("SELECT hour, device, verdict, {name}, n FROM {db}.{table}");
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        let mut waiting = Vec::new();
        while let Some(row) = rows.next()? {
            let (day, hour) = day_and_hour(row.get(0)?);
            // Counts are not negative.
            let n = row.get::<_, i64>(4)?.cast_unsigned();
            if n == 0 {
                continue;
            }
            waiting.push(Count { day, device: row.get(1)?, kind: row.get(2)?, name: row.get(3)?, hour, n });
            if ROWS_MAX <= waiting.len() {
                add(connection, db, &mut waiting)?;
                waiting.clear();
            }
        }
        add(connection, db, &mut waiting)?;
        drop(rows);
        drop(statement);
        connection.execute_batch(&format!("DROP TABLE {db}.{table}"))?;
    }
    Ok(())
}

/// The tables that are read from memory and file as if they were one.
const UNITED: [&str; 3] = ["event", "count_device", "count_name"];

/// How exactly the last use of a name or a rule is known, in days. Names lie all over the table, so that noting each use
/// of them would write more than their events do.
pub(super) const SEEN_DAYS: i64 = 7;

/// The earliest time that is believed, in milliseconds: the year of the first release. A clock that was not set yet
/// stands before it, mostly in 1970.
pub(super) const PLAUSIBLE_MS: i64 = 1_767_225_600_000;

/// Bits of an event's identifier below its milliseconds.
const SEQUENCE_BITS: u32 = 6;

/// The identifier of an event.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct EventId(pub(super) i64);

impl EventId {
    /// The smallest identifier of a millisecond.
    pub(super) const fn at(at_ms: i64) -> Self {
        // Times end with the year 9999, at 2^48 ms.
        Self(at_ms << SEQUENCE_BITS)
    }

    /// The milliseconds that it stands for.
    pub(super) const fn ms(self) -> i64 {
        self.0 >> SEQUENCE_BITS
    }

    /// The identifier of an event at `at_ms` that comes after this one.
    pub(super) fn next(self, at_ms: i64) -> Self {
        Self::at(at_ms).max(Self(self.0 + 1))
    }
}

/// Brings the tables of `db` ("main" or "file") to the newest version.
pub(super) fn migrate(connection: &Connection, db: &str) -> Result<(), Fault> {
    migrate_to(connection, db, MIGRATIONS.len())
}

/// Brings the tables of `db` to a version.
pub(super) fn migrate_to(connection: &Connection, db: &str, wanted: usize) -> Result<(), Fault> {
    let mut version = version(connection, db)?;
    let steps = MIGRATIONS.get(..wanted).unwrap_or_default();
    while let Some(step) = usize::try_from(version).ok().and_then(|index| steps.get(index)) {
        let transaction = connection.unchecked_transaction()?;
        match step {
            Step::Sql(sql) => transaction.execute_batch(&sql.replace("{db}", db))?,
            Step::Fold(sql) => {
                transaction.execute_batch(&sql.replace("{db}", db))?;
                fold_counts(&transaction, db)?;
            }
        }
        version += 1;
        transaction.pragma_update(Some(db), "user_version", version)?;
        transaction.pragma_update(Some(db), "application_id", APPLICATION_ID)?;
        transaction.commit()?;
    }
    Ok(())
}

/// The version of the tables; 0 for an empty database.
fn version(connection: &Connection, db: &str) -> Result<i64, Fault> {
    let pragma = |name| connection.pragma_query_value(Some(db), name, |row| row.get::<_, i64>(0));
    let version = pragma("user_version")?;
    let tables =
        connection.query_row(&format!("SELECT count(*) FROM {db}.sqlite_schema"), [], |row| row.get(0));
    if 0_i64 < tables? && pragma("application_id")? != APPLICATION_ID {
        return Err(Fault::Damaged("it is a database of another program".to_owned()));
    }
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version < 0 || newest < version { Err(Fault::Newer { version, newest }) } else { Ok(version) }
}

/// Sets how the file is used. Comes before everything else that touches it.
pub(super) fn configure_file(connection: &Connection) -> Result<(), Fault> {
    // Nobody else may write: identifiers are given out by this process. It also spares the shared memory of the
    // write-ahead log, which some file systems of containers lack.
    set(connection, "locking_mode = EXCLUSIVE")?;
    // Takes effect in a new file only, and only before the first page is written.
    set(connection, "auto_vacuum = INCREMENTAL")?;
    set(connection, "journal_mode = WAL")?;
    // The log is synced when it is copied into the file, not with each flush: a power cut may cost the latest flushes,
    // never the file.
    set(connection, "synchronous = NORMAL")?;
    // What is deleted from a page is overwritten, since the page is written anyway; see `erase` for pages that become free.
    set(connection, "secure_delete = FAST")?;
    // 1000 pages, at which SQLite copies the log into the file.
    set(connection, "journal_size_limit = 4096000")
}

/// Sets a pragma of the file.
pub(super) fn set(connection: &Connection, pragma: &str) -> Result<(), Fault> {
    // Some of these answer with a row, some don't.
    connection.query_row(&format!("PRAGMA file.{pragma}"), [], |_| Ok(())).optional()?;
    Ok(())
}

/// Lets `all_event`, `all_count_device` and `all_count_name` stand for what is in memory and, with `file`, in the file.
pub(super) fn unite(connection: &Connection, file: bool) -> Result<(), Fault> {
    for table in UNITED {
        let from_file = if file { format!("UNION ALL SELECT * FROM file.{table}") } else { String::new() };
        connection.execute_batch(&format!(
            "DROP VIEW IF EXISTS temp.all_{table};
             CREATE TEMP VIEW all_{table} AS SELECT * FROM main.{table} {from_file};"
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_leads_to_the_next_version() {
        let connection = Connection::open_in_memory().unwrap();
        super::super::hours::register(&connection).unwrap();
        migrate(&connection, "main").unwrap();
        migrate(&connection, "main").unwrap();
        assert_eq!(version(&connection, "main").unwrap(), MIGRATIONS.len() as i64);
    }

    #[test]
    fn identifiers_grow_whatever_the_clock_says() {
        let mut last = EventId(0);
        for at_ms in [5, 5, 6, 3, 3, 0, 7, 7] {
            let next = last.next(at_ms);
            assert!(last < next, "{at_ms}");
            last = next;
        }
        assert_eq!(EventId::at(6).next(9), EventId::at(9));
        assert_eq!(EventId::at(9).ms(), 9);
    }
}
