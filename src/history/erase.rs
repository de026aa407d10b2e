//! What a person wants forgotten is forgotten: in memory, in the file, and in what the file no longer uses.
//!
//! A large house has events of a device on nearly every page, so that erasing may take as long as writing the file anew.
//! It is done in steps, each a transaction of its own, between which questions are answered. What is to be erased stands
//! in the table `erasure` until all of it is done: after a crash the next start goes on with it.
//!
//! The steps: counts, [`DAYS_PER_STEP`] at a time, the latest first; events, [`EVENTS_PER_STEP`] at a time; names, rules
//! and devices that nothing refers to any more; and last the pages that became free, and the log, are taken from the file.
//! Cells and pages are overwritten with zeros where they are freed (`secure_delete`), and the tables that say names are
//! written anew. That nothing is left is looked for in the file itself; if something is, from a time before cells were
//! overwritten, the whole file is written anew.

use std::collections::BTreeSet;
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use memchr::memmem::Finder;
use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::params;
use tracing::info;
use tracing::warn;

use super::attribution::NameId;
use super::counts::HOURS_PER_DAY;
use super::counts::name_of;
use super::fault::Fault;
use super::flush::Counts;
use super::hours::Composer;
use super::hours::Tick;
use super::hours::Ticks;
use super::read::hours_of;
use super::schema;
use super::store::Store;
use super::view::Erased;
use super::view::Erasure;
use super::view::Span;
use super::write::CLOAKED;
use crate::name::DomainName;

/// Days whose counts are looked through in one step: of a large house some thousand rows.
const DAYS_PER_STEP: i64 = 20;
/// Events that are looked through in one step: a part of a second, and 2 MB of the log.
const EVENTS_PER_STEP: i64 = 100_000;
/// How much of the file is read at once when it is looked through.
const READ_LEN: usize = 1 << 20;

/// Writes the tables that say names anew, in pages of their own; those that they had are overwritten.
const WRITE_ANEW: &str = "
    CREATE TABLE file.kept_name (id INTEGER PRIMARY KEY, wire BLOB NOT NULL UNIQUE, seen INTEGER NOT NULL) STRICT;
    INSERT INTO file.kept_name SELECT id, wire, seen FROM file.name ORDER BY id;
    DROP TABLE file.name;
    ALTER TABLE file.kept_name RENAME TO name;
    CREATE TABLE file.kept_rule (
        id INTEGER PRIMARY KEY, list TEXT NOT NULL, rule TEXT NOT NULL, seen INTEGER NOT NULL) STRICT;
    INSERT INTO file.kept_rule SELECT id, list, rule, seen FROM file.rule ORDER BY id;
    DROP TABLE file.rule;
    ALTER TABLE file.kept_rule RENAME TO rule;
    CREATE INDEX file.rule_text ON rule (rule);
    CREATE TABLE file.kept_device (
        id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
        first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL) STRICT;
    INSERT INTO file.kept_device SELECT id, key, name, first_ms, last_ms FROM file.device ORDER BY id;
    DROP TABLE file.device;
    ALTER TABLE file.kept_device RENAME TO device;
";

/// Marks in `erasure.day` that all counts are done.
const COUNTS_DONE: i64 = i64::MIN;
/// Marks in `erasure.day` that only free pages and the log are left.
const ROWS_DONE: i64 = i64::MIN + 1;

/// What is being erased, in the numbers of the tables.
pub(super) struct Erasing {
    db: &'static str,
    /// The rows of devices; `None`: of all.
    devices: Option<Vec<i64>>,
    /// The names; `None`: all.
    names: Option<HashSet<NameId>>,
    /// Names that were cloaked whose tracker's name is one of `names`.
    cloaked: HashSet<NameId>,
    /// From this hour on, until that one.
    hours: (i64, i64),
    /// Only events with smaller identifiers: those that came before the wish.
    until_id: i64,
    /// Whether it is about all devices and all times.
    is_whole: bool,
    /// The last day whose counts are not done, or a mark.
    day: i64,
    /// The next event to look at.
    next_id: i64,
    /// What must not stand in the file afterwards.
    traces: Vec<Vec<u8>>,
    /// What is still referred to, as far as events were looked at.
    used_names: HashSet<i64>,
    used_rules: HashSet<i64>,
    used_devices: HashSet<i64>,
    days: BTreeSet<i64>,
    erased: Erased,
}

impl Erasing {
    fn has_name(&self, kind: i64, name: NameId) -> bool {
        self.names
            .as_ref()
            .is_none_or(|names| names.contains(&name) || kind == CLOAKED && self.cloaked.contains(&name))
    }

    fn has_hour(&self, hour: i64) -> bool {
        (self.hours.0..self.hours.1).contains(&hour)
    }

    fn has_device(&self, device: i64) -> bool {
        self.devices.as_ref().is_none_or(|devices| devices.contains(&device))
    }
}

impl Store {
    /// Begins to erase. What waits in memory is in the file afterwards, so that it is looked for in one place.
    pub(super) fn begin_erasing(&mut self, erasure: &Erasure) -> Result<Erasing, Fault> {
        self.flush(Counts::All)?;
        let db = if self.options.file.is_some() { "file" } else { "main" };
        self.ids.begin(&self.db, self.attached)?;
        let devices = erasure.device.map(|key| self.rows_of(key)).transpose()?;
        let span = Span {
            from: erasure.from.unwrap_or(jiff::Timestamp::UNIX_EPOCH),
            until: erasure.until.unwrap_or(jiff::Timestamp::MAX),
        };
        let hours = hours_of(span);
        let until_id = self.ids.last_event().0.saturating_add(1);
        let rows: Option<Vec<String>> =
            devices.as_ref().map(|rows| rows.iter().map(ToString::to_string).collect());
        let sql = format!(
            "INSERT INTO {db}.erasure (devices, name, from_hour, until_hour, until_id, day) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        );
        let name = erasure.name.as_ref().map(|name| name.as_ref().as_wire());
        let day = i64::MAX;
        let row = params![rows.map(|rows| rows.join(" ")), name, hours.start, hours.end, until_id, day];
        self.db.execute(&sql, row)?;
        // Whatever was under way is done first, so there is one row.
        let kept = self.waiting_erasure()?;
        let mut erasing = kept.ok_or_else(|| Fault::Refused("the wish to erase was not kept".to_owned()))?;
        // At once, so that nothing of today is counted in between.
        self.erase_step(&mut erasing)?;
        Ok(erasing)
    }

    /// What a daemon that is gone did not erase to its end.
    pub(super) fn waiting_erasure(&self) -> Result<Option<Erasing>, Fault> {
        let db = if self.attached { "file" } else { "main" };
        let sql = format!(
            "SELECT devices, name, from_hour, until_hour, until_id, day FROM {db}.erasure ORDER BY rowid LIMIT 1"
        );
        type Row = (Option<String>, Option<Vec<u8>>, i64, i64, i64, i64);
        let row = |row: &rusqlite::Row<'_>| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        };
        let found: Option<Row> = self.db.query_row(&sql, [], row).optional()?;
        let Some((devices, name, from_hour, until_hour, until_id, day)) = found else { return Ok(None) };
        let devices: Option<Vec<i64>> =
            devices.map(|rows| rows.split(' ').filter_map(|row| row.parse().ok()).collect());
        let name = name.and_then(|wire| DomainName::from_wire(&wire).ok());
        let names = name.as_ref().map(|name| self.names_within(name)).transpose()?;
        let is_theirs = |behind: &NameId| names.as_ref().is_some_and(|names| names.contains(behind));
        let cloaked = self
            .cloaks()?
            .into_iter()
            .filter(|(_, behind)| is_theirs(behind))
            .map(|(name, _)| name)
            .collect();
        let mut traces: Vec<Vec<u8>> = Vec::new();
        let is_whole = from_hour <= 0
            && hours_of(Span { from: jiff::Timestamp::UNIX_EPOCH, until: jiff::Timestamp::MAX }).end
                <= until_hour;
        let devices_are_all = devices.is_none();
        if is_whole && devices_are_all {
            traces.extend(name.as_ref().map(|name| name.as_ref().as_wire().to_vec()));
        }
        if is_whole && name.is_none() {
            for id in devices.iter().flatten() {
                let key = format!("SELECT key FROM {db}.device WHERE id = ?1");
                let key: Option<String> = self.db.query_row(&key, [id], |row| row.get(0)).optional()?;
                traces.extend(key.map(String::into_bytes));
            }
        }
        Ok(Some(Erasing {
            db,
            devices,
            names,
            cloaked,
            hours: (from_hour, until_hour),
            until_id,
            is_whole: is_whole && devices_are_all,
            day,
            next_id: i64::MIN,
            traces,
            used_names: HashSet::new(),
            used_rules: HashSet::new(),
            used_devices: HashSet::new(),
            days: BTreeSet::new(),
            erased: Erased::default(),
        }))
    }

    /// A name and those below it.
    fn names_within(&self, name: &DomainName) -> Result<HashSet<NameId>, Fault> {
        let mut names = HashSet::new();
        for db in ["main", "file"].into_iter().take(1 + usize::from(self.attached)) {
            let mut statement = self.db.prepare(&format!("SELECT id, wire FROM {db}.name"))?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let wire = row.get_ref(1)?.as_blob().unwrap_or_default();
                if wire.ends_with(name.as_ref().as_wire())
                    && DomainName::from_wire(wire).is_ok_and(|it| it.as_ref().is_within(name.as_ref()))
                {
                    names.insert(row.get(0)?);
                }
            }
        }
        Ok(names)
    }

    /// Does a part of it. Returns what went when all of it is done.
    pub(super) fn erase_step(&mut self, erasing: &mut Erasing) -> Result<Option<Erased>, Fault> {
        if erasing.db == "file" {
            secure(&self.db, true)?;
        }
        match erasing.day {
            ROWS_DONE => return self.finish_erasing(erasing).map(Some),
            COUNTS_DONE => {
                if !self.erase_events(erasing)? {
                    self.erase_rows(erasing)?;
                }
            }
            _ => self.erase_counts(erasing)?,
        }
        Ok(None)
    }

    fn erase_counts(&mut self, erasing: &mut Erasing) -> Result<(), Fault> {
        let db = erasing.db;
        let transaction = self.db.unchecked_transaction()?;
        let last = format!("SELECT max(day) FROM {db}.count_device WHERE day <= ?1");
        let last_name = format!("SELECT max(day) FROM {db}.count_name WHERE day <= ?1");
        let latest = (erasing.hours.1 - 1).div_euclid(HOURS_PER_DAY).min(erasing.day);
        let day = |sql: &str| transaction.query_row(sql, [latest], |row| row.get::<_, Option<i64>>(0));
        let last = day(&last)?.max(day(&last_name)?);
        let first_wanted = erasing.hours.0.div_euclid(HOURS_PER_DAY);
        let Some(last) = last.filter(|last| first_wanted <= *last) else {
            mark(&transaction, db, COUNTS_DONE)?;
            transaction.commit()?;
            erasing.day = COUNTS_DONE;
            return Ok(());
        };
        let first = first_wanted.max(last - DAYS_PER_STEP + 1);
        let by_name = erase_names(&transaction, erasing, first, last)?;
        erase_devices(&transaction, erasing, first, last, &by_name)?;
        mark(&transaction, db, first - 1)?;
        transaction.commit()?;
        erasing.day = first - 1;
        Ok(())
    }

    /// Looks through the next events. Whether there may be more.
    fn erase_events(&mut self, erasing: &mut Erasing) -> Result<bool, Fault> {
        let db = erasing.db;
        let transaction = self.db.unchecked_transaction()?;
        let sql = format!(
            "SELECT id, shift, device, name, meta & 3, rule FROM {db}.event WHERE ?1 <= id ORDER BY id LIMIT ?2"
        );
        let mut statement = transaction.prepare_cached(&sql)?;
        let mut rows = statement.query([erasing.next_id, EVENTS_PER_STEP])?;
        let (mut gone, mut seen, mut next_id) = (Vec::new(), 0, erasing.next_id);
        while let Some(row) = rows.next()? {
            let (id, shift): (i64, i64) = (row.get(0)?, row.get(1)?);
            let (device, name, kind, rule) =
                (row.get(2)?, row.get(3)?, row.get(4)?, row.get::<_, Option<i64>>(5)?);
            let hour = ((id >> 6) + shift).div_euclid(3_600_000);
            (seen, next_id) = (seen + 1, id + 1);
            if id < erasing.until_id
                && erasing.has_device(device)
                && erasing.has_name(kind, name)
                && erasing.has_hour(hour)
            {
                gone.push(id);
            } else {
                erasing.used_names.insert(name);
                erasing.used_devices.insert(device);
                erasing.used_rules.extend(rule);
            }
        }
        drop(rows);
        drop(statement);
        {
            let mut delete = transaction.prepare_cached(&format!("DELETE FROM {db}.event WHERE id = ?1"))?;
            for id in &gone {
                delete.execute([id])?;
            }
        }
        transaction.commit()?;
        erasing.erased.events += gone.len() as u64;
        erasing.next_id = next_id;
        Ok(seen == EVENTS_PER_STEP)
    }

    /// Deletes names, rules and devices that nothing refers to any more.
    fn erase_rows(&mut self, erasing: &mut Erasing) -> Result<(), Fault> {
        // What came meanwhile refers to them too, and stands in the file with what it refers to.
        self.flush(Counts::All)?;
        while self.erase_events(erasing)? {}
        let db = erasing.db;
        let transaction = self.db.unchecked_transaction()?;
        let mut statement =
            transaction.prepare(&format!("SELECT device, kind, part, hours FROM {db}.count_name"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (device, kind, part) = (row.get(0)?, row.get(1)?, row.get(2)?);
            erasing.used_devices.insert(device);
            for tick in Ticks::of(row.get_ref(3)?.as_blob().unwrap_or_default()) {
                erasing.used_names.insert(name_of(kind, part, tick.item));
            }
        }
        drop(rows);
        drop(statement);
        let ids = |sql: &str| {
            let mut statement = transaction.prepare(sql)?;
            let rows = statement.query_map([], |row| row.get::<_, i64>(0))?;
            rows.collect::<rusqlite::Result<HashSet<_>>>()
        };
        erasing.used_devices.extend(ids(&format!("SELECT DISTINCT device FROM {db}.count_device"))?);
        let mut cloaks = Vec::new();
        {
            let mut statement = transaction.prepare(&format!("SELECT name, behind FROM {db}.cloak"))?;
            let pairs = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
            for pair in pairs {
                cloaks.push(pair?);
            }
        }
        for (name, behind) in cloaks {
            // What it led to goes also where the name itself stays, for other reasons.
            let goes = erasing.is_whole && erasing.cloaked.contains(&name);
            if erasing.used_names.contains(&name) && !goes {
                erasing.used_names.insert(behind);
            } else {
                transaction.execute(&format!("DELETE FROM {db}.cloak WHERE name = ?1"), [name])?;
            }
        }
        for (table, used) in
            [("name", &erasing.used_names), ("rule", &erasing.used_rules), ("device", &erasing.used_devices)]
        {
            let mut delete =
                transaction.prepare_cached(&format!("DELETE FROM {db}.{table} WHERE id = ?1"))?;
            let mut gone = 0;
            for id in ids(&format!("SELECT id FROM {db}.{table}"))?.difference(used) {
                gone += delete.execute([id])? as u64;
            }
            match table {
                "name" => erasing.erased.names += gone,
                "device" => erasing.erased.devices += gone,
                _ => {}
            }
        }
        if db == "file" {
            // Where rows moved from page to page, what they were is left between the cells.
            transaction.execute_batch(WRITE_ANEW)?;
        }
        // Who asked again meanwhile is there again.
        let is_back = |wanted: Option<&HashSet<i64>>, used: &HashSet<i64>| {
            wanted.is_some_and(|wanted| !wanted.is_disjoint(used))
        };
        let devices = erasing.devices.as_ref().map(|rows| rows.iter().copied().collect());
        if is_back(erasing.names.as_ref(), &erasing.used_names)
            || is_back(devices.as_ref(), &erasing.used_devices)
        {
            erasing.traces.clear();
        }
        // The wish itself names what is to be forgotten.
        transaction.execute(&format!("UPDATE {db}.erasure SET name = NULL"), [])?;
        mark(&transaction, db, ROWS_DONE)?;
        transaction.commit()?;
        self.ids.forget();
        self.attributor.clear();
        erasing.day = ROWS_DONE;
        Ok(())
    }

    /// Takes from the file what it no longer uses, and sees that nothing is left.
    fn finish_erasing(&mut self, erasing: &mut Erasing) -> Result<Erased, Fault> {
        let db = erasing.db;
        erasing.erased.days = erasing.days.len() as u64;
        let erased = std::mem::take(&mut erasing.erased);
        if db == "main" {
            self.db.execute("DELETE FROM main.erasure", [])?;
            let count = |sql: &str| self.db.query_row(sql, [], |row| row.get::<_, i64>(0));
            self.unflushed = count("SELECT count(*) FROM main.event")?.cast_unsigned();
            self.uncounted_names = count(super::flush::NAMES_COUNTED)?.cast_unsigned();
            return Ok(erased);
        }
        self.give_pages_back()?;
        if let Some(file) = self.options.file.clone()
            && contains_any(&file, &erasing.traces)?
        {
            info!(file = %file.display(), "the file is written anew, since it was begun before what is freed was overwritten");
            self.db.execute_batch("VACUUM file")?;
            self.empty_log()?;
            if contains_any(&file, &erasing.traces)? {
                warn!(file = %file.display(), "what was to be erased still stands in the history's file");
                return Err(Fault::Refused("it still stands in the file".to_owned()));
            }
        }
        secure(&self.db, false)?;
        self.db.execute("DELETE FROM file.erasure", [])?;
        self.empty_log()?;
        let aside = self.aside.iter().map(|(path, _)| path.clone()).filter(|path| path.exists());
        Ok(Erased { aside: aside.collect(), ..erased })
    }

    fn give_pages_back(&self) -> Result<(), Fault> {
        // Each step gives one page back.
        let mut vacuum = self.db.prepare("PRAGMA file.incremental_vacuum")?;
        let mut steps = vacuum.query([])?;
        while steps.next()?.is_some() {}
        drop(steps);
        drop(vacuum);
        self.empty_log()
    }

    /// Copies the log into the file and cuts it off.
    fn empty_log(&self) -> Result<(), Fault> {
        let checkpoint = "PRAGMA file.wal_checkpoint(TRUNCATE)";
        let busy = self.db.query_row(checkpoint, [], |row| row.get::<_, i64>(0))?;
        if busy == 0 { Ok(()) } else { Err(Fault::Unwritable("somebody else reads the file".to_owned())) }
    }
}

/// Notes how far the erasure at hand got.
fn mark(connection: &Connection, db: &str, day: i64) -> Result<(), Fault> {
    connection.execute(&format!("UPDATE {db}.erasure SET day = ?1"), [day])?;
    Ok(())
}

/// Whether also whole pages that become free are overwritten; cells always are.
fn secure(connection: &Connection, pages: bool) -> Result<(), Fault> {
    schema::set(connection, if pages { "secure_delete = ON" } else { "secure_delete = FAST" })
}

/// What went of a day: device, kind of query, hour of the day.
type Gone = std::collections::HashMap<(i64, i64, i64, u8), u64>;

/// Erases counts by name of some days. How much that was.
fn erase_names(db: &Connection, erasing: &Erasing, first: i64, last: i64) -> Result<Gone, Fault> {
    let schema = erasing.db;
    let sql = format!(
        "SELECT day, device, kind, part, hours FROM {schema}.count_name WHERE ?1 <= day AND day <= ?2"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query([first, last])?;
    let mut changed = Vec::new();
    let mut gone = Gone::new();
    while let Some(row) = rows.next()? {
        let place: [i64; 4] = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
        let [day, device, kind, part] = place;
        if !erasing.has_device(device) {
            continue;
        }
        let mut left = Composer::default();
        let (mut any_left, mut any_gone) = (false, false);
        for tick in Ticks::of(row.get_ref(4)?.as_blob().unwrap_or_default()) {
            let hour = day * HOURS_PER_DAY + i64::from(tick.hour);
            if erasing.has_hour(hour) && erasing.has_name(kind, name_of(kind, part, tick.item)) {
                *gone.entry((day, device, kind, tick.hour)).or_default() += tick.n;
                any_gone = true;
            } else {
                left.add(tick);
                any_left = true;
            }
        }
        if any_gone {
            changed.push((place, any_left.then(|| left.finish())));
        }
    }
    drop(rows);
    let same = "day = ?1 AND device = ?2 AND kind = ?3 AND part = ?4";
    let mut update = db.prepare_cached(&format!("UPDATE {schema}.count_name SET hours = ?5 WHERE {same}"))?;
    let mut delete = db.prepare_cached(&format!("DELETE FROM {schema}.count_name WHERE {same}"))?;
    for ([day, device, kind, part], left) in changed {
        match left {
            Some(left) => update.execute(params![day, device, kind, part, left])?,
            None => delete.execute([day, device, kind, part])?,
        };
    }
    Ok(gone)
}

/// Erases the same from the counts by device. Where it is not about names, what has none goes too.
fn erase_devices(
    db: &Connection,
    erasing: &mut Erasing,
    first: i64,
    last: i64,
    by_name: &Gone,
) -> Result<(), Fault> {
    let schema = erasing.db;
    let sql = format!("SELECT day, device, hours FROM {schema}.count_device WHERE ?1 <= day AND day <= ?2");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query([first, last])?;
    let mut changed = Vec::new();
    while let Some(row) = rows.next()? {
        let (day, device): (i64, i64) = (row.get(0)?, row.get(1)?);
        if !erasing.has_device(device) {
            continue;
        }
        let mut left = Composer::default();
        let (mut any_left, mut gone) = (false, 0);
        for tick in Ticks::of(row.get_ref(2)?.as_blob().unwrap_or_default()) {
            let hour = day * HOURS_PER_DAY + i64::from(tick.hour);
            let goes = match (&erasing.names, erasing.has_hour(hour)) {
                (_, false) => 0,
                (None, true) => tick.n,
                (Some(_), true) => by_name
                    .get(&(day, device, tick.item.into(), tick.hour))
                    .copied()
                    .unwrap_or_default()
                    .min(tick.n),
            };
            gone += goes;
            if goes < tick.n {
                left.add(Tick { n: tick.n - goes, ..tick });
                any_left = true;
            }
        }
        if 0 < gone {
            erasing.erased.queries += gone;
            erasing.days.insert(day);
            changed.push((day, device, any_left.then(|| left.finish())));
        }
    }
    drop(rows);
    let same = "day = ?1 AND device = ?2";
    let mut update =
        db.prepare_cached(&format!("UPDATE {schema}.count_device SET hours = ?3 WHERE {same}"))?;
    let mut delete = db.prepare_cached(&format!("DELETE FROM {schema}.count_device WHERE {same}"))?;
    for (day, device, left) in changed {
        match left {
            Some(left) => update.execute(params![day, device, left])?,
            None => delete.execute([day, device])?,
        };
    }
    Ok(())
}

/// Whether one of some octets stands anywhere in a file.
fn contains_any(file: &Path, traces: &[Vec<u8>]) -> Result<bool, Fault> {
    let finders: Vec<Finder<'_>> = traces.iter().map(Finder::new).collect();
    let Some(longest) = traces.iter().map(Vec::len).max() else { return Ok(false) };
    let mut file = File::open(file)?;
    let mut octets = Vec::with_capacity(READ_LEN + longest);
    loop {
        let read = file.by_ref().take(READ_LEN as u64).read_to_end(&mut octets)?;
        if finders.iter().any(|finder| finder.find(&octets).is_some()) {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
        // One may lie over the end.
        octets.drain(..octets.len().saturating_sub(longest));
    }
}
