//! Questions that the counts answer: how much, when, by whom, whose.
//!
//! Counts are by the hour (UTC). A span is rounded outward: the hours of its first and of its last moment count whole.
//! So "today" in a zone that is half an hour off the UTC hours (India) holds half an hour of yesterday as well.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::OptionalExtension;

use super::attribution::NameId;
use super::attribution::OwnerId;
use super::fault::Fault;
use super::store::Store;
use super::store::hour_of;
use super::view::DeviceCount;
use super::view::HourCount;
use super::view::NameCount;
use super::view::Span;
use super::view::Totals;
use super::view::TrackerCount;
use super::write::BLOCK;
use crate::device::Device;
use crate::device::DeviceKey;
use crate::name::DomainName;
use crate::tracker::Attribution;

/// The most hours in one answer: ten years.
const HOURS_MAX: i64 = 24 * 366 * 10;

/// What every question is limited to: hours from, hours until, the device.
type Bounds = (i64, i64, Option<i64>);

/// The counts that a question is about.
const WITHIN: &str = "?1 <= hour AND hour < ?2 AND (?3 IS NULL OR device = ?3)";
/// All questions, and the hits among them. 2 is `write::BLOCK`.
const SUMS: &str = "coalesce(sum(n), 0), coalesce(sum(n) FILTER (WHERE verdict = 2), 0)";

impl Store {
    pub(super) fn totals(&mut self, span: Span, device: Option<DeviceKey>) -> Result<Totals, Fault> {
        let Some(bounds) = self.bounds(span, device)? else { return Ok(Totals::default()) };
        let sql = format!("SELECT {SUMS} FROM temp.all_count_device WHERE {WITHIN}");
        Ok(self.db.prepare_cached(&sql)?.query_row(bounds, |row| totals_at(row, 0))?)
    }

    pub(super) fn hours(&mut self, span: Span, device: Option<DeviceKey>) -> Result<Vec<HourCount>, Fault> {
        let (from, until) = hours_of(span);
        let from = from.max(until - HOURS_MAX);
        let mut by_hour = HashMap::new();
        if let Some((_, _, device)) = self.bounds(span, device)? {
            let sql = format!("SELECT hour, {SUMS} FROM temp.all_count_device WHERE {WITHIN} GROUP BY hour");
            let mut statement = self.db.prepare_cached(&sql)?;
            let rows = statement
                .query_map((from, until, device), |row| Ok((row.get::<_, i64>(0)?, totals_at(row, 1)?)))?;
            by_hour = rows.collect::<Result<_, _>>()?;
        }
        let hour_count = |hour| {
            let totals = by_hour.get(&hour).copied().unwrap_or_default();
            Some(HourCount { hour: Timestamp::from_second(hour * 3600).ok()?, totals })
        };
        Ok((from..until).filter_map(hour_count).collect())
    }

    pub(super) fn names(
        &mut self,
        span: Span,
        device: Option<DeviceKey>,
        hits_only: bool,
        limit: u32,
    ) -> Result<Vec<NameCount>, Fault> {
        let Some((from, until, device)) = self.bounds(span, device)? else { return Ok(Vec::new()) };
        let order = |totals: &Totals| if hits_only { totals.hits } else { totals.queries };
        let mut rows: Vec<_> = self.totals_by_name((from, until, device))?.into_iter().collect();
        rows.retain(|(_, totals)| 0 < order(totals));
        rows.sort_unstable_by_key(|(id, totals)| (Reverse(order(totals)), *id));
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let mut names = Vec::with_capacity(rows.len());
        for (id, totals) in rows {
            let Some(name) = self.name(id)? else { continue };
            let attribution = self.attribution(id, &name);
            names.push(NameCount { name, behind: None, attribution, totals });
        }
        Ok(names)
    }

    pub(super) fn trackers(
        &mut self,
        span: Span,
        device: Option<DeviceKey>,
        limit: u32,
    ) -> Result<Vec<TrackerCount>, Fault> {
        let Some(bounds) = self.bounds(span, device)? else { return Ok(Vec::new()) };
        let mut by_owner: HashMap<OwnerId, (u64, HashSet<i64>)> = HashMap::new();
        for (device, owner, hits) in self.hits_by_owner(bounds)? {
            let (sum, devices) = by_owner.entry(owner).or_default();
            *sum += hits;
            devices.insert(device);
        }
        let mut owners: Vec<_> = by_owner.into_iter().collect();
        owners.sort_unstable_by_key(|(owner, (hits, _))| (Reverse(*hits), *owner));
        owners.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let count = |(owner, (hits, devices)): (OwnerId, (u64, HashSet<i64>))| {
            let attribution = self.attributor.attribution(owner)?.clone();
            Some(TrackerCount { attribution, hits, devices: devices.len() as u64 })
        };
        Ok(owners.into_iter().filter_map(count).collect())
    }

    pub(super) fn devices(&mut self, span: Span) -> Result<Vec<DeviceCount>, Fault> {
        let (from, until) = hours_of(span);
        let mut trackers: HashMap<i64, HashSet<OwnerId>> = HashMap::new();
        for (device, owner, _) in self.hits_by_owner((from, until, None))? {
            trackers.entry(device).or_default().insert(owner);
        }
        let sql = format!("SELECT device, {SUMS} FROM temp.all_count_device WHERE {WITHIN} GROUP BY device");
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement
            .query_map((from, until, None::<i64>), |row| Ok((row.get::<_, i64>(0)?, totals_at(row, 1)?)))?;
        let totals: HashMap<i64, Totals> = rows.collect::<Result<_, _>>()?;
        drop(statement);
        let mut devices = Vec::new();
        for (id, device, first_ms, last_ms) in self.all_devices()? {
            let times = (Timestamp::from_millisecond(first_ms), Timestamp::from_millisecond(last_ms));
            let (Ok(first_seen), Ok(last_seen)) = times else { continue };
            let totals = totals.get(&id).copied().unwrap_or_default();
            let trackers = trackers.get(&id).map_or(0, HashSet::len) as u64;
            devices.push(DeviceCount { device, totals, trackers, first_seen, last_seen });
        }
        devices.sort_by_key(|count| (Reverse((count.totals.hits, count.totals.queries)), count.device.key));
        Ok(devices)
    }

    /// Hits of each device with each owner of names; a pair may come more than once, in any order.
    fn hits_by_owner(&mut self, bounds: Bounds) -> Result<Vec<(i64, OwnerId, u64)>, Fault> {
        let sql = format!("SELECT device, name, n FROM temp.all_count_name WHERE {WITHIN} AND verdict = 2");
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut counts = statement.query(bounds)?;
        let mut sums: HashMap<(i64, NameId), i64> = HashMap::new();
        while let Some(row) = counts.next()? {
            *sums.entry((row.get(0)?, row.get(1)?)).or_default() += row.get::<_, i64>(2)?;
        }
        drop(counts);
        drop(statement);
        let mut hits = Vec::with_capacity(sums.len());
        for ((device, name), sum) in sums {
            let owner = match self.attributor.known(name) {
                Some(owner) => owner,
                None => match self.name(name)? {
                    Some(wire) => self.attributor.learn(name, &wire),
                    None => continue,
                },
            };
            // Sums of counts are not negative.
            hits.push((device, owner, sum.cast_unsigned()));
        }
        Ok(hits)
    }

    /// Summed here and not in SQL, which would sort all rows for it: half of the time.
    fn totals_by_name(&self, bounds: Bounds) -> Result<HashMap<NameId, Totals>, Fault> {
        let sql = format!("SELECT name, verdict, n FROM temp.all_count_name WHERE {WITHIN}");
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut rows = statement.query(bounds)?;
        let mut sums: HashMap<NameId, Totals> = HashMap::new();
        while let Some(row) = rows.next()? {
            let totals = sums.entry(row.get(0)?).or_default();
            // Counts are not negative.
            let n = row.get::<_, i64>(2)?.cast_unsigned();
            totals.queries += n;
            if row.get::<_, i64>(1)? == BLOCK {
                totals.hits += n;
            }
        }
        Ok(sums)
    }

    /// `None` where the device has never asked anything.
    fn bounds(&self, span: Span, device: Option<DeviceKey>) -> Result<Option<Bounds>, Fault> {
        let (from, until) = hours_of(span);
        let Some(key) = device else { return Ok(Some((from, until, None))) };
        Ok(self.device_id(key)?.map(|device| (from, until, Some(device))))
    }

    /// The identifier of a device that has asked something.
    pub(super) fn device_id(&self, key: DeviceKey) -> Result<Option<i64>, Fault> {
        let key = key.to_string();
        self.first_of(
            "SELECT id FROM main.device WHERE key = ?1",
            "SELECT id FROM file.device WHERE key = ?1",
            &key,
            |row| row.get(0),
        )
    }

    /// The name with this identifier. `None` if it was forgotten.
    pub(super) fn name(&self, id: NameId) -> Result<Option<DomainName>, Fault> {
        let wire: Option<Vec<u8>> = self.first_of(
            "SELECT wire FROM main.name WHERE id = ?1",
            "SELECT wire FROM file.name WHERE id = ?1",
            id,
            |row| row.get(0),
        )?;
        Ok(wire.and_then(|wire| DomainName::from_wire(&wire).ok()))
    }

    /// Whose a name is.
    pub(super) fn attribution(&mut self, id: NameId, name: &DomainName) -> Attribution {
        let owner = self.attributor.known(id).unwrap_or_else(|| self.attributor.learn(id, name));
        // Whatever was learnt is known.
        self.attributor.attribution(owner).cloned().unwrap_or_else(|| Attribution::Domain(name.clone()))
    }

    /// One row, from memory or else from the file. Memory may have a later copy of what is in the file.
    pub(super) fn first_of<T>(
        &self,
        in_memory: &str,
        in_file: &str,
        key: impl rusqlite::ToSql,
        row: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Fault> {
        let found = self.db.prepare_cached(in_memory)?.query_row([&key], &row).optional()?;
        if found.is_some() || !self.attached {
            return Ok(found);
        }
        Ok(self.db.prepare_cached(in_file)?.query_row([&key], &row).optional()?)
    }

    fn all_devices(&self) -> Result<Vec<(i64, Device, i64, i64)>, Fault> {
        let in_memory = "SELECT id, key, name, first_ms, last_ms FROM main.device";
        let in_file = "SELECT id, key, name, first_ms, last_ms FROM file.device
                       WHERE id NOT IN (SELECT id FROM main.device)";
        let mut devices = Vec::new();
        for sql in [Some(in_memory), self.attached.then_some(in_file)].into_iter().flatten() {
            let mut statement = self.db.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (key, name): (String, String) = (row.get(1)?, row.get(2)?);
                let Ok(key) = key.parse() else { continue };
                devices.push((row.get(0)?, Device { key, name: name.into() }, row.get(3)?, row.get(4)?));
            }
        }
        Ok(devices)
    }
}

/// The hours of a span: the first, and the first after it.
fn hours_of(span: Span) -> (i64, i64) {
    let from = hour_of(span.from.as_millisecond());
    let last = span.until.checked_sub(Duration::from_nanos(1)).ok().filter(|last| span.from <= *last);
    let until = last.map_or(from, |last| hour_of(last.as_millisecond()) + 1);
    (from, until)
}

fn totals_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Totals> {
    // Sums of counts are not negative.
    let (queries, hits): (i64, i64) = (row.get(column)?, row.get(column + 1)?);
    Ok(Totals { queries: queries.cast_unsigned(), hits: hits.cast_unsigned() })
}
