//! The file: taken into use, let go, replaced.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tracing::error;
use tracing::warn;

use super::aside::set_aside;
use super::counts;
use super::counts::Count;
use super::counts::day_and_hour;
use super::fault::Fault;
use super::retention;
use super::schema;
use super::schema::EventId;
use super::store::Store;
use super::store::hour_of;
use super::write::first_seen_sql;
use super::write::last_seen_sql;

/// How long the file is looked over when it is opened. What is not found then is found when it is read.
const CHECK_TIME_MAX: Duration = Duration::from_secs(2);

/// A table, what makes a row of memory (`m`) and one of the file (`f`) the same, and the columns that refer to it. Counts
/// refer to names and devices too, from within their blobs.
type Shared = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// The tables whose rows in memory take over the identifiers of the same rows in the file.
const SHARED: [Shared; 3] = [
    ("name", "m.wire = f.wire", &[("event", "name"), ("cloak", "name"), ("cloak", "behind")]),
    ("device", "m.key = f.key", &[("event", "device")]),
    ("rule", "m.rule = f.rule AND m.list = f.list", &[("event", "rule")]),
];

impl Store {
    /// Takes the file into use, if there is to be one and it can be; otherwise memory has to do.
    pub(super) fn attach(&mut self) {
        let Some(file) = self.options.file.clone() else {
            self.forget_identifiers();
            return;
        };
        match self.try_attach(&file) {
            // The flush that follows tells that the trouble is over.
            Ok(()) => {}
            Err(fault @ (Fault::Damaged(_) | Fault::Newer { .. })) => self.replace_file(&fault),
            Err(fault) => {
                self.detach();
                self.report_trouble(&fault);
            }
        }
    }

    /// Sets a file aside that can't be used, and begins a new one.
    pub(super) fn replace_file(&mut self, fault: &Fault) {
        let Some(file) = self.options.file.clone() else { return };
        // What the file's log holds is left as it is, for whoever tries to recover it.
        let kept_log = self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        self.detach();
        let replaced = kept_log.map_err(Fault::from).and_then(|_| {
            self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
            self.remember_aside(&file, fault)?;
            self.try_attach(&file)
        });
        if let Err(fault) = replaced {
            self.detach();
            self.report_trouble(&fault);
        }
    }

    fn remember_aside(&mut self, file: &Path, fault: &Fault) -> Result<(), Fault> {
        let shown = file.display();
        let (word, what) = match fault {
            Fault::Newer { version, newest } => {
                let what = format!("has the format {version} of a newer version (this one knows {newest})");
                ("newer", what)
            }
            Fault::Damaged(why) => ("damaged", format!("was damaged ({why})")),
            fault => ("damaged", format!("could not be read ({fault:?})")),
        };
        let target = set_aside(file, word, self.clock.now())?;
        let next = match fault {
            Fault::Newer { .. } => {
                "Install the newer version and give the file its name back to see it again"
            }
            _ => "`sqlite3 FILE .recover` may bring back what it held",
        };
        error!(file = %shown, aside = %target.display(), what, "a new history was begun");
        let text = format!(
            "The history {shown} {what}. It was set aside as {}, and a new one was begun. {next}; delete it when you don't \
             need it.",
            target.display()
        );
        self.aside.push((target, text));
        Ok(())
    }

    fn try_attach(&mut self, file: &Path) -> Result<(), Fault> {
        let name = file.to_str().ok_or_else(|| Fault::Refused("the file's name is not UTF-8".to_owned()))?;
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        // Nobody else's business: SQLite would let everybody read it. Its log and later files take the mode over.
        OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
        self.db.execute("ATTACH ?1 AS file", [name])?;
        self.attached = true;
        schema::configure_file(&self.db)?;
        self.check_file()?;
        schema::migrate(&self.db, "file")?;
        // Later on, what is not in the file's counts is in those of memory.
        if !self.caught_up {
            catch_up_counts(&self.db)?;
            if let Some(last_ms) = retention::last_heard_ms(&self.db)? {
                self.trust.compare(&*self.clock, last_ms, self.options.events_kept);
            }
            self.caught_up = true;
        }
        adopt_identifiers(&self.db)?;
        schema::unite(&self.db, true)?;
        self.forget_identifiers();
        Ok(())
    }

    /// Looks for damage as long as it may.
    fn check_file(&mut self) -> Result<(), Fault> {
        let checked = self.within(CHECK_TIME_MAX, |store| {
            let check = "PRAGMA file.quick_check(1)";
            Ok(store.db.query_row(check, [], |row| row.get::<_, String>(0))?)
        });
        match checked {
            Ok(result) if result == "ok" => Ok(()),
            Ok(complaint) => Err(Fault::Damaged(complaint)),
            Err(Fault::TooSlow) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Lets the file go. Memory stays.
    pub(super) fn detach(&mut self) {
        if !self.attached {
            return;
        }
        self.attached = false;
        self.db.flush_prepared_statement_cache();
        let detached =
            schema::unite(&self.db, false).and_then(|()| Ok(self.db.execute_batch("DETACH file")?));
        if let Err(fault) = detached {
            warn!(?fault, "the history's file could not be let go");
        }
        self.forget_identifiers();
    }

    /// Rows may have gone.
    pub(super) fn forget_rows(&mut self) {
        self.forget_identifiers();
    }

    /// Identifiers may stand for something else from now on.
    fn forget_identifiers(&mut self) {
        self.ids.forget();
        self.attributor.clear();
    }
}

/// Counts the events of the file that were written after its counts were: those of a process that was killed.
fn catch_up_counts(db: &Connection) -> Result<(), Fault> {
    let transaction = db.unchecked_transaction()?;
    let newest = "SELECT coalesce(max(id), 0) + 1 FROM file.event";
    let newest: i64 = transaction.query_row(newest, [], |row| row.get(0))?;
    let until =
        transaction.query_row("SELECT counted_until FROM file.state", [], |row| row.get::<_, i64>(0))?;
    if newest <= until {
        return Ok(());
    }
    let mut sums: HashMap<Count, u64> = HashMap::new();
    let events = "SELECT id, shift, device, meta & 3, name FROM file.event WHERE ?1 <= id";
    let mut statement = transaction.prepare(events)?;
    let mut rows = statement.query([until])?;
    while let Some(row) = rows.next()? {
        let at_ms = EventId(row.get(0)?).ms() + row.get::<_, i64>(1)?;
        let (day, hour) = day_and_hour(hour_of(at_ms));
        let count = Count { day, device: row.get(2)?, kind: row.get(3)?, name: row.get(4)?, hour, n: 0 };
        *sums.entry(count).or_default() += 1;
    }
    drop(rows);
    drop(statement);
    let mut sums: Vec<Count> = sums.into_iter().map(|(count, n)| Count { n, ..count }).collect();
    counts::add_names(&transaction, "file", &mut sums)?;
    counts::add_devices(&transaction, "file", &mut sums)?;
    transaction.execute("UPDATE file.state SET counted_until = ?1", [newest])?;
    Ok(transaction.commit()?)
}

/// Gives the rows in memory identifiers that agree with the file's. There are some when the file comes late.
fn adopt_identifiers(db: &Connection) -> Result<(), Fault> {
    let transaction = db.unchecked_transaction()?;
    let mut names = Vec::new();
    counts::each_name(&transaction, "main", "true", |count| names.push(count))?;
    let mut devices = counts::all_devices(&transaction, "main")?;
    for (table, same, references) in SHARED {
        let max = |db: &str| {
            let max = format!("SELECT coalesce(max(id), 0) FROM {db}.{table}");
            transaction.query_row(&max, [], |row| row.get::<_, i64>(0))
        };
        let in_memory = max("main")?;
        if in_memory == 0 {
            continue;
        }
        // Out of the way of every identifier in use, so that no two rows meet on the way.
        let step = in_memory.max(max("file")?);
        let mut pairs = transaction
            .prepare(&format!("SELECT m.id, f.id FROM main.{table} AS m JOIN file.{table} AS f ON {same}"))?;
        let pair = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let pairs: HashMap<i64, i64> = pairs.query_map([], pair)?.collect::<Result<_, _>>()?;
        let now = |id: i64| pairs.get(&id).copied().unwrap_or(id + step);
        match table {
            "name" => names.iter_mut().for_each(|count| count.name = now(count.name)),
            "device" => {
                names.iter_mut().chain(&mut devices).for_each(|count| count.device = now(count.device));
            }
            _ => {}
        }
        let mut moves = vec![(table, "id")];
        moves.extend(references);
        for &(moved, column) in &moves {
            let out_of_the_way = format!("UPDATE main.{moved} SET {column} = {column} + ?1");
            transaction.execute(&out_of_the_way, [step])?;
        }
        moves.reverse();
        for (moved, column) in moves {
            // The row itself moves last: until then it tells which one it is in the file.
            let pairs = format!("main.{table} AS m JOIN file.{table} AS f ON {same}");
            transaction.execute(
                &format!(
                    "UPDATE main.{moved} SET {column} = (SELECT f.id FROM {pairs} WHERE m.id = {moved}.{column})
                     WHERE {column} IN (SELECT m.id FROM {pairs})"
                ),
                [],
            )?;
        }
    }
    transaction.execute_batch("DELETE FROM main.count_name; DELETE FROM main.count_device")?;
    counts::add_names(&transaction, "main", &mut names)?;
    counts::add_devices(&transaction, "main", &mut devices)?;
    let (first, last) = (first_seen_sql("first_known", "first_ms"), last_seen_sql("last_known", "last_ms"));
    transaction.execute(
        &format!(
            "UPDATE main.device SET first_ms = {first}, last_ms = {last}
             FROM (SELECT id AS known, first_ms AS first_known, last_ms AS last_known FROM file.device)
             WHERE id = known"
        ),
        [],
    )?;
    // Later events have greater identifiers, also than those that are gone; multiples of 64 leave the sequence alone.
    transaction.execute(
        "WITH file_last AS (SELECT max((SELECT coalesce(max(id), 0) FROM file.event), counted_until - 1) AS last
                            FROM file.state)
         UPDATE main.event SET id = id + (step << 6), shift = shift - step
         FROM (SELECT ((max(last, (SELECT max(id) FROM main.event))
                        - (SELECT min(id) FROM main.event)) >> 6) + 1 AS step FROM file_last)
         WHERE (SELECT min(id) FROM main.event) <= (SELECT last FROM file_last)",
        [],
    )?;
    Ok(transaction.commit()?)
}
