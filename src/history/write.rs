//! What was gathered, written into memory: rows for what is new, events, counts.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::OptionalExtension;
use rusqlite::ToSql;
use rusqlite::params;
use rusqlite::params_from_iter;
use tracing::error;

use super::counts;
use super::counts::Count;
use super::counts::day_and_hour;
use super::fault::Fault;
use super::schema::EventId;
use super::schema::PLAUSIBLE_MS;
use super::schema::SEEN_DAYS;
use super::store::Store;
use super::store::day_of;
use crate::device::Device;
use crate::device::DeviceKey;
use crate::event::Batch;
use crate::event::CountKind;
use crate::event::Pair;
use crate::event::QueryEvent;
use crate::event::Tally;
use crate::policy::RuleRef;
use crate::policy::Verdict;

/// How many names, rules or devices are known without asking the database: for names about 5 MB.
const KNOWN_MAX: usize = 50_000;

/// How far "last seen" may lie ahead of what is heard now before it is taken for the mistake of a clock: a day.
const AHEAD_MAX_MS: i64 = 86_400_000;

/// The verdict as it stands in `meta` and in the counts.
pub(super) const PASS: i64 = 0;
/// See [`PASS`].
pub(super) const ALLOW: i64 = 1;
/// See [`PASS`]. From here on they are hits.
pub(super) const BLOCK: i64 = 2;
/// See [`PASS`].
pub(super) const CLOAKED: i64 = 3;

impl Store {
    /// Remembers what was gathered. Whatever is wrong with the file, it is in memory afterwards.
    ///
    /// Nothing is lost unless there is no memory.
    pub(super) fn remember(&mut self, batch: &Batch) {
        let now = self.clock.now();
        self.dropped.add(batch.lost, now);
        self.unlisted.add(batch.unlisted(), now);
        self.unnamed.add(batch.counts.unnamed(), now);
        let Err(fault) = self.write(batch) else { return };
        // Only looking for a name in the file can fail in a way that can be mended: by doing without the file.
        match fault {
            Fault::Damaged(_) if self.attached => self.replace_file(&fault),
            _ if self.attached => {
                self.detach();
                self.report_trouble(&fault);
            }
            _ => self.ids.forget(),
        }
        let Err(fault) = self.write(batch) else { return };
        error!(?fault, queries = batch.counts.queries(), "queries were lost");
        self.ids.forget();
        self.dropped.add(batch.counts.queries(), now);
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Fault> {
        self.ids.begin(&self.db, self.attached)?;
        let transaction = self.db.unchecked_transaction()?;
        for event in &batch.events {
            self.ids.write(&transaction, event)?;
        }
        self.ids.write_counts(&transaction, &batch.counts)?;
        self.ids.write_devices(&transaction)?;
        transaction.commit()?;
        self.unflushed += batch.events.len() as u64;
        self.uncounted_names += batch.counts.pairs().len() as u64;
        self.unlisted_waits |= 0 < batch.unlisted() + batch.hidden;
        Ok(())
    }
}

/// A row that stands in memory, and the last day on which it is said to have been used.
struct Known {
    id: i64,
    seen: i64,
}

/// A device that stands in memory.
struct KnownDevice {
    id: i64,
    name: Arc<str>,
    first_ms: i64,
    last_ms: i64,
    changed: bool,
}

/// Gives out identifiers, and knows those of the rows in memory.
#[derive(Default)]
pub(super) struct Ids {
    /// Whether the next ones have been worked out.
    begun: bool,
    attached: bool,
    next_name: i64,
    next_device: i64,
    next_rule: i64,
    last_event: EventId,
    /// By their wire form.
    names: HashMap<Box<[u8]>, Known>,
    rules: HashMap<RuleRef, Known>,
    /// Names that a tracker hid behind, each with the tracker's name.
    cloaks: HashMap<i64, i64>,
    devices: HashMap<DeviceKey, KnownDevice>,
}

impl Ids {
    /// Forgets everything: the rows in memory have changed.
    pub(super) fn forget(&mut self) {
        // What was deleted may be remembered elsewhere (`attribution`), so no identifier is given out again.
        *self = Self {
            last_event: self.last_event,
            next_name: self.next_name,
            next_device: self.next_device,
            next_rule: self.next_rule,
            ..Self::default()
        };
    }

    /// The identifier that the next event is greater than.
    pub(super) const fn last_event(&self) -> EventId {
        self.last_event
    }

    /// Works out the next identifiers, unless they are known.
    pub(super) fn begin(&mut self, db: &Connection, attached: bool) -> Result<(), Fault> {
        if self.begun {
            return Ok(());
        }
        let max = |table| -> Result<i64, Fault> {
            let max = |db_name| {
                let max = format!("SELECT coalesce(max(id), 0) FROM {db_name}.{table}");
                db.query_row(&max, [], |row| row.get::<_, i64>(0))
            };
            Ok(max("main")?.max(if attached { max("file")? } else { 0 }))
        };
        self.next_name = self.next_name.max(max("name")? + 1);
        self.next_device = self.next_device.max(max("device")? + 1);
        self.next_rule = self.next_rule.max(max("rule")? + 1);
        // What is smaller than `counted_until` is taken for counted, also when those events are gone and the clock stepped
        // back since.
        let counted_until = if attached {
            db.query_row("SELECT counted_until FROM file.state", [], |row| row.get::<_, i64>(0))?
        } else {
            0
        };
        self.last_event = self.last_event.max(EventId(max("event")?.max(counted_until - 1)));
        self.attached = attached;
        self.begun = true;
        Ok(())
    }

    fn write(&mut self, db: &Connection, event: &QueryEvent) -> Result<(), Fault> {
        // A clock that was never set may stand before 1970; hours and days are not negative.
        let at_ms = event.at.as_millisecond().max(0);
        let rule = match &event.verdict {
            Verdict::Pass => None,
            Verdict::Allow(rule) | Verdict::Block(rule) => Some(rule),
        };
        let verdict = kind_code(event.count_kind());
        let id = self.last_event.next(at_ms);
        self.last_event = id;
        // With a clock that was not set yet, the events before this one know better which day it is.
        let day = day_of(if at_ms < PLAUSIBLE_MS { id.ms() } else { at_ms });
        let name = self.name(db, event.name.as_ref().as_wire(), day)?;
        if let Some(behind) = &event.behind {
            let behind = self.name(db, behind.as_ref().as_wire(), day)?;
            self.cloak(db, name, behind)?;
        }
        let rule = rule.map(|rule| self.rule(db, rule, day)).transpose()?;
        let device = self.device(db, &event.device, at_ms)?;
        let meta = i64::from(event.rcode) << 18 | i64::from(event.qtype) << 2 | verdict;
        let mut add = db.prepare_cached("INSERT INTO main.event VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        add.execute(params![id.0, at_ms - id.ms(), device, name, meta, rule])?;
        Ok(())
    }

    /// Adds to the counts, each row once, in the order of their table.
    fn write_counts(&mut self, db: &Connection, counts: &Tally) -> Result<(), Fault> {
        let mut slots = Vec::with_capacity(counts.slots().len());
        for slot in counts.slots() {
            self.device(db, &slot.device, slot.first_ms)?;
            let device = self.device(db, &slot.device, slot.last_ms)?;
            let (day, hour) = day_and_hour(slot.hour);
            let heard_ms = slot.last_ms;
            // With a clock that was not set yet, the events before know better which day it is.
            let known_ms =
                if heard_ms < PLAUSIBLE_MS { heard_ms.max(self.last_event.ms()) } else { heard_ms };
            let count = Count { day, device, kind: kind_code(slot.kind), name: 0, hour, n: slot.queries };
            slots.push((count, day_of(known_ms)));
        }
        let slot_of = |pair: &Pair| slots.get(pair.slot as usize).copied().unwrap_or_default();
        // The last day on which each name was asked for.
        let mut days = vec![0; counts.names().len()];
        for pair in counts.pairs() {
            if let Some(day) = days.get_mut(pair.name as usize) {
                *day = slot_of(pair).1.max(*day);
            }
        }
        let behind_at = |(name, behind)| (name as usize, behind as usize);
        let cloaks: Vec<(usize, usize)> = counts.cloaks().map(behind_at).collect();
        for &(name, behind) in &cloaks {
            let last = days.get(name).copied().unwrap_or_default();
            if let Some(day) = days.get_mut(behind) {
                *day = last.max(*day);
            }
        }
        let mut names = Vec::with_capacity(days.len());
        for (name, day) in counts.names().zip(days) {
            names.push(self.name(db, name, day)?);
        }
        let name_at = |index: usize| names.get(index).copied().unwrap_or_default();
        for (name, behind) in cloaks {
            self.cloak(db, name_at(name), name_at(behind))?;
        }
        let by_name = |pair: &Pair| Count {
            name: name_at(pair.name as usize),
            n: pair.queries.into(),
            ..slot_of(pair).0
        };
        counts::add_names(db, "main", &mut counts.pairs().map(by_name).collect::<Vec<_>>())?;
        let mut slots: Vec<Count> = slots.into_iter().map(|(count, _)| count).collect();
        // A name that had no room made a slot with nothing in it at worst.
        slots.retain(|count| 0 < count.n);
        counts::add_devices(db, "main", &mut slots)
    }

    /// Notes that the tracker `behind` hid behind `name`.
    fn cloak(&mut self, db: &Connection, name: i64, behind: i64) -> Result<(), Fault> {
        if self.cloaks.get(&name) == Some(&behind) {
            return Ok(());
        }
        let mut add = db.prepare_cached(
            "INSERT INTO main.cloak VALUES (?1, ?2) ON CONFLICT DO UPDATE SET behind = excluded.behind",
        )?;
        add.execute([name, behind])?;
        if KNOWN_MAX <= self.cloaks.len() {
            self.cloaks.clear();
        }
        self.cloaks.insert(name, behind);
        Ok(())
    }

    fn name(&mut self, db: &Connection, name: &[u8], day: i64) -> Result<i64, Fault> {
        if let Some(known) = self.names.get(name)
            && day < known.seen + SEEN_DAYS
        {
            return Ok(known.id);
        }
        let known = settle(db, &NAME, self.attached, &[&name], self.next_name, day)?;
        self.next_name = self.next_name.max(known.id + 1);
        let id = known.id;
        if KNOWN_MAX <= self.names.len() {
            self.names.clear();
        }
        self.names.insert(name.into(), known);
        Ok(id)
    }

    fn rule(&mut self, db: &Connection, rule: &RuleRef, day: i64) -> Result<i64, Fault> {
        if let Some(known) = self.rules.get(rule)
            && day < known.seen + SEEN_DAYS
        {
            return Ok(known.id);
        }
        let key: [&dyn ToSql; 2] = [&&*rule.rule, &&*rule.list];
        let known = settle(db, &RULE, self.attached, &key, self.next_rule, day)?;
        self.next_rule = self.next_rule.max(known.id + 1);
        let id = known.id;
        if KNOWN_MAX <= self.rules.len() {
            self.rules.clear();
        }
        self.rules.insert(rule.clone(), known);
        Ok(id)
    }

    fn device(&mut self, db: &Connection, device: &Device, at_ms: i64) -> Result<i64, Fault> {
        if let Some(known) = self.devices.get_mut(&device.key) {
            known.changed = true;
            known.first_ms = first_seen(known.first_ms, at_ms);
            known.last_ms = last_seen(known.last_ms, at_ms);
            if known.name != device.name {
                known.name = Arc::clone(&device.name);
            }
            return Ok(known.id);
        }
        if KNOWN_MAX <= self.devices.len() {
            self.write_devices(db)?;
            self.devices.clear();
        }
        let key = device.key.to_string();
        let find = |sql| {
            let row =
                |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
            db.prepare_cached(sql)?.query_row([&key], row).optional()
        };
        let mut found = find("SELECT id, first_ms, last_ms FROM main.device WHERE key = ?1")?;
        let in_memory = found.is_some();
        if found.is_none() && self.attached {
            found = find("SELECT id, first_ms, last_ms FROM file.device WHERE key = ?1")?;
        }
        let (id, first_ms, last_ms) = found.unwrap_or((self.next_device, at_ms, at_ms));
        self.next_device = self.next_device.max(id + 1);
        if !in_memory {
            let mut add = db.prepare_cached("INSERT INTO main.device VALUES (?1, ?2, ?3, ?4, ?5)")?;
            add.execute(params![id, key, &*device.name, first_ms, last_ms])?;
        }
        let (first_ms, last_ms) = (first_seen(first_ms, at_ms), last_seen(last_ms, at_ms));
        let known = KnownDevice { id, name: Arc::clone(&device.name), first_ms, last_ms, changed: true };
        self.devices.insert(device.key, known);
        Ok(id)
    }

    /// Writes what changed about devices: once for many events.
    fn write_devices(&mut self, db: &Connection) -> Result<(), Fault> {
        let mut update =
            db.prepare_cached("UPDATE main.device SET name = ?2, first_ms = ?3, last_ms = ?4 WHERE id = ?1")?;
        for device in self.devices.values_mut().filter(|device| device.changed) {
            update.execute(params![device.id, &*device.name, device.first_ms, device.last_ms])?;
            device.changed = false;
        }
        Ok(())
    }
}

const fn kind_code(kind: CountKind) -> i64 {
    match kind {
        CountKind::Pass => PASS,
        CountKind::Allow => ALLOW,
        CountKind::Block => BLOCK,
        CountKind::Cloaked => CLOAKED,
    }
}

/// The earlier of two times at which a device was seen, unless the clock was not set yet.
pub(super) fn first_seen(known_ms: i64, at_ms: i64) -> i64 {
    if known_ms.min(at_ms) < PLAUSIBLE_MS { known_ms.max(at_ms) } else { known_ms.min(at_ms) }
}

/// The later of two times at which a device was seen; `at_ms` was heard later, and shows when the clock was ahead.
fn last_seen(known_ms: i64, at_ms: i64) -> i64 {
    if PLAUSIBLE_MS <= at_ms && at_ms + AHEAD_MAX_MS < known_ms { at_ms } else { known_ms.max(at_ms) }
}

/// [`first_seen`] of two columns.
pub(super) fn first_seen_sql(known: &str, at: &str) -> String {
    format!(
        "CASE WHEN min({known}, {at}) < {PLAUSIBLE_MS} THEN max({known}, {at}) ELSE min({known}, {at}) END"
    )
}

/// [`last_seen`] of two columns.
pub(super) fn last_seen_sql(known: &str, at: &str) -> String {
    format!(
        "CASE WHEN {PLAUSIBLE_MS} <= {at} AND {at} + {AHEAD_MAX_MS} < {known} THEN {at}
         ELSE max({known}, {at}) END"
    )
}

/// How rows of one table are found and made.
struct Table {
    in_memory: &'static str,
    in_file: &'static str,
    add: &'static str,
    touch: &'static str,
}

const NAME: Table = Table {
    in_memory: "SELECT id, seen FROM main.name WHERE wire = ?1",
    in_file: "SELECT id, seen FROM file.name WHERE wire = ?1",
    add: "INSERT INTO main.name (wire, id, seen) VALUES (?1, ?2, ?3)",
    touch: "UPDATE main.name SET seen = ?2 WHERE id = ?1",
};

const RULE: Table = Table {
    in_memory: "SELECT id, seen FROM main.rule WHERE rule = ?1 AND list = ?2",
    in_file: "SELECT id, seen FROM file.rule WHERE rule = ?1 AND list = ?2",
    add: "INSERT INTO main.rule (rule, list, id, seen) VALUES (?1, ?2, ?3, ?4)",
    touch: "UPDATE main.rule SET seen = ?2 WHERE id = ?1",
};

/// Sees to it that a row stands in memory: found there, copied from the file, or made with the identifier `next`.
fn settle(
    db: &Connection,
    table: &Table,
    attached: bool,
    key: &[&dyn ToSql],
    next: i64,
    day: i64,
) -> Result<Known, Fault> {
    let find = |sql| {
        let row = |row: &rusqlite::Row<'_>| Ok(Known { id: row.get(0)?, seen: row.get(1)? });
        db.prepare_cached(sql)?.query_row(key, row).optional()
    };
    if let Some(Known { id, seen }) = find(table.in_memory)? {
        let now = seen_on(seen, day);
        if seen < now {
            db.prepare_cached(table.touch)?.execute([id, now])?;
        }
        return Ok(Known { id, seen: now });
    }
    let found = if attached { find(table.in_file)? } else { None };
    let known = found
        .map_or(Known { id: next, seen: day }, |Known { id, seen }| Known { id, seen: seen_on(seen, day) });
    let values = key.iter().copied().chain([&known.id as &dyn ToSql, &known.seen]);
    db.prepare_cached(table.add)?.execute(params_from_iter(values))?;
    Ok(known)
}

/// The day that stands for a use on `day`.
const fn seen_on(seen: i64, day: i64) -> i64 {
    if day < seen + SEEN_DAYS { seen } else { day }
}
