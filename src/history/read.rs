//! Questions that the counts answer: how much, when, by whom, whose.
//!
//! Counts are by the hour (UTC). A span is rounded outward: the hours of its first and of its last moment count whole.
//! So "today" in a zone that is half an hour off the UTC hours (India) holds half an hour of yesterday as well.
//!
//! Each question reads the rows of its span once and sums here, not in SQL, which would sort them for it.

use std::cmp::Reverse;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use hashbrown::HashMap;
use hashbrown::HashSet;
use jiff::Timestamp;
use rusqlite::OptionalExtension;
use rusqlite::Rows;
use rusqlite::Statement;

use super::attribution::NameId;
use super::attribution::OwnerId;
use super::counts::HOURS_PER_DAY;
use super::counts::name_of;
use super::counts::part_of;
use super::fault::Fault;
use super::hours::Ticks;
use super::roster::Roster;
use super::store::Store;
use super::store::hour_of;
use super::view::DeviceCount;
use super::view::HourCount;
use super::view::NameCount;
use super::view::Span;
use super::view::Totals;
use super::view::TrackerCount;
use super::write::ALLOW;
use super::write::BLOCK;
use super::write::CLOAKED;
use super::write::PASS;
use crate::device::DeviceKey;
use crate::name::DomainName;
use crate::tracker::Attribution;

/// The most hours in one answer: ten years.
pub(super) const HOURS_MAX: i64 = 24 * 366 * 10;
/// How many days are gone through one by one. Between more there may be decades without any: a clock that is never set begins in 1970.
const DAYS_WITHOUT_GAPS: i64 = 1_000;

/// What a question is limited to.
pub(super) struct Within {
    /// Counted from 1970.
    pub(super) hours: Range<i64>,
    /// Rows of devices; `None`: all.
    pub(super) devices: Option<Vec<i64>>,
    /// Kinds of queries from this one on: [`BLOCK`] for hits.
    pub(super) kind_least: i64,
    /// Whether it matters in which hour; otherwise the hours of a name on one day are handed over as one.
    pub(super) by_hour: bool,
    /// Only rows that may have one of these names; what else they have is handed over too.
    pub(super) parts: Option<Parts>,
}

/// The rows that some names are in.
pub(super) struct Parts(HashSet<(i64, i64)>);

impl Parts {
    pub(super) fn of(names: impl Iterator<Item = NameId>) -> Self {
        let parts = |name| [PASS, ALLOW, BLOCK, CLOAKED].map(|kind| (kind, part_of(kind, name).0));
        Self(names.flat_map(parts).collect())
    }

    fn has(&self, kind: i64, part: i64) -> bool {
        self.0.contains(&(kind, part))
    }
}

/// How often a name was asked for in an hour.
#[derive(Clone, Copy)]
pub(super) struct Counted {
    pub(super) device: i64,
    pub(super) kind: i64,
    /// 0 where only devices are counted.
    pub(super) name: NameId,
    /// Counted from 1970.
    pub(super) hour: i64,
    pub(super) n: u64,
}

/// Hits of one device with one owner of names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hits {
    /// Within the span.
    pub(super) hits: u64,
    /// Those of them that hid behind another name.
    pub(super) cloaked: u64,
    /// Within the span before.
    pub(super) before: u64,
}

impl Totals {
    fn add(&mut self, counted: &Counted) {
        self.queries += counted.n;
        if BLOCK <= counted.kind {
            self.hits += counted.n;
        }
    }
}

impl Store {
    pub(super) fn totals(&mut self, span: Span, device: Option<DeviceKey>) -> Result<Totals, Fault> {
        let mut totals = Totals::default();
        self.each_device(&self.limits(span, device, PASS)?, |counted| totals.add(&counted))?;
        Ok(totals)
    }

    pub(super) fn hours(&mut self, span: Span, device: Option<DeviceKey>) -> Result<Vec<HourCount>, Fault> {
        let mut within = self.limits(span, device, PASS)?;
        within.hours.start = within.hours.start.max(within.hours.end - HOURS_MAX);
        let mut by_hour: HashMap<i64, Totals> = HashMap::new();
        self.each_device(&within, |counted| by_hour.entry(counted.hour).or_default().add(&counted))?;
        let hour_count = |hour| {
            let totals = by_hour.get(&hour).copied().unwrap_or_default();
            Some(HourCount { hour: Timestamp::from_second(hour * 3600).ok()?, totals })
        };
        Ok(within.hours.filter_map(hour_count).collect())
    }

    pub(super) fn names(
        &mut self,
        span: Span,
        device: Option<DeviceKey>,
        hits_only: bool,
        limit: u32,
    ) -> Result<Vec<NameCount>, Fault> {
        // Also where only hits are wanted, all questions for their names are told.
        let mut sums: HashMap<NameId, (Totals, bool)> = HashMap::new();
        self.each_name(&self.limits(span, device, PASS)?, |counted| {
            let (totals, is_cloaked) = sums.entry(counted.name).or_default();
            totals.add(&counted);
            *is_cloaked |= counted.kind == CLOAKED;
        })?;
        let order = |totals: &Totals| if hits_only { totals.hits } else { totals.queries };
        let mut rows: Vec<_> = sums.into_iter().filter(|(_, (totals, _))| 0 < order(totals)).collect();
        rows.sort_unstable_by_key(|(id, (totals, _))| (Reverse(order(totals)), *id));
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let mut names = Vec::with_capacity(rows.len());
        for (id, (totals, is_cloaked)) in rows {
            names.extend(self.name_count(id, is_cloaked, totals)?);
        }
        Ok(names)
    }

    /// `None` where the name was forgotten.
    pub(super) fn name_count(
        &mut self,
        id: NameId,
        is_cloaked: bool,
        totals: Totals,
    ) -> Result<Option<NameCount>, Fault> {
        let Some(name) = self.name(id)? else { return Ok(None) };
        let (behind, attribution) = self.whose(id, &name, is_cloaked)?;
        Ok(Some(NameCount { name, behind, attribution, totals }))
    }

    pub(super) fn trackers(
        &mut self,
        span: Span,
        device: Option<DeviceKey>,
        limit: u32,
    ) -> Result<Vec<TrackerCount>, Fault> {
        let roster = self.roster()?;
        let mut by_owner: HashMap<OwnerId, (u64, u64)> = HashMap::new();
        for ((_, owner), hits) in self.meetings(&roster, span, None, device)? {
            let (sum, devices) = by_owner.entry(owner).or_default();
            *sum += hits.hits;
            *devices += 1;
        }
        let mut owners: Vec<_> = by_owner.into_iter().collect();
        owners.sort_unstable_by_key(|(owner, (hits, _))| (Reverse(*hits), *owner));
        owners.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let count = |(owner, (hits, devices))| {
            let attribution = self.attributor.attribution(owner)?.clone();
            Some(TrackerCount { attribution, hits, devices })
        };
        Ok(owners.into_iter().filter_map(count).collect())
    }

    pub(super) fn devices(&mut self, span: Span) -> Result<Vec<DeviceCount>, Fault> {
        let roster = self.roster()?;
        let mut trackers = vec![0_u64; roster.devices.len()];
        for (place, _) in self.meetings(&roster, span, None, None)?.into_keys() {
            if let Some(trackers) = trackers.get_mut(place) {
                *trackers += 1;
            }
        }
        let mut totals = vec![Totals::default(); roster.devices.len()];
        self.each_device(&self.limits(span, None, PASS)?, |counted| {
            if let Some(totals) = roster.place(counted.device).and_then(|place| totals.get_mut(place)) {
                totals.add(&counted);
            }
        })?;
        let mut devices = Vec::with_capacity(roster.devices.len());
        for ((known, trackers), totals) in roster.devices.into_iter().zip(trackers).zip(totals) {
            let times =
                (Timestamp::from_millisecond(known.first_ms), Timestamp::from_millisecond(known.last_ms));
            let (Ok(first_seen), Ok(last_seen)) = times else { continue };
            devices.push(DeviceCount { device: known.device, totals, trackers, first_seen, last_seen });
        }
        devices.sort_by_key(|count| (Reverse((count.totals.hits, count.totals.queries)), count.device.key));
        Ok(devices)
    }

    /// Hits of each device (its place in `roster`) with each owner of names, within `span` or `before`.
    pub(super) fn meetings(
        &mut self,
        roster: &Roster,
        span: Span,
        before: Option<Span>,
        device: Option<DeviceKey>,
    ) -> Result<HashMap<(usize, OwnerId), Hits>, Fault> {
        let mut sums: HashMap<(i64, NameId, bool), Hits> = HashMap::new();
        let place = |counted: &Counted| (counted.device, counted.name, counted.kind == CLOAKED);
        self.each_name(&self.limits(span, device, BLOCK)?, |counted| {
            sums.entry(place(&counted)).or_default().hits += counted.n;
        })?;
        if let Some(before) = before {
            self.each_name(&self.limits_before(span, before, device)?, |counted| {
                sums.entry(place(&counted)).or_default().before += counted.n;
            })?;
        }
        let cloaks =
            if sums.keys().any(|(_, _, is_cloaked)| *is_cloaked) { self.cloaks()? } else { HashMap::new() };
        let mut meetings: HashMap<(usize, OwnerId), Hits> = HashMap::new();
        for ((device, name, is_cloaked), sum) in sums {
            let name = cloaks.get(&name).copied().filter(|_| is_cloaked).unwrap_or(name);
            let (Some(place), Some(owner)) = (roster.place(device), self.owner(name)?) else { continue };
            let hits = meetings.entry((place, owner)).or_default();
            hits.hits += sum.hits;
            hits.before += sum.before;
            hits.cloaked += if is_cloaked { sum.hits } else { 0 };
        }
        // What met only before is told only where that is asked for.
        Ok(meetings)
    }

    /// What a question about a span and perhaps a device is limited to.
    pub(super) fn limits(
        &self,
        span: Span,
        device: Option<DeviceKey>,
        kind_least: i64,
    ) -> Result<Within, Fault> {
        let devices = device.map(|key| self.rows_of(key)).transpose()?;
        Ok(Within { hours: hours_of(span), devices, kind_least, by_hour: false, parts: None })
    }

    /// What the hits before a span are limited to: the hour in which both meet is the span's.
    pub(super) fn limits_before(
        &self,
        span: Span,
        before: Span,
        device: Option<DeviceKey>,
    ) -> Result<Within, Fault> {
        let mut limits = self.limits(before, device, BLOCK)?;
        if before.until <= span.from {
            limits.hours.end = limits.hours.end.min(hours_of(span).start);
        }
        Ok(limits)
    }

    /// Hands over the counts by device.
    pub(super) fn each_device(&self, within: &Within, mut take: impl FnMut(Counted)) -> Result<(), Fault> {
        let all = "SELECT day, device, hours FROM temp.all_count_device WHERE ?1 <= day AND day <= ?2";
        let one = "SELECT day, device, hours FROM temp.all_count_device WHERE day = ?1 AND device = ?2";
        let first_hour = within.hours.start;
        self.each_row("count_device", within, all, one, |statement, [a, b]| {
            let mut rows = statement.query([a, b])?;
            while let Some(row) = rows.next()? {
                let (midnight, device) = (row.get::<_, i64>(0)? * HOURS_PER_DAY, row.get(1)?);
                for tick in Ticks::of(row.get_ref(2)?.as_blob().unwrap_or_default()) {
                    let (kind, hour) = (i64::from(tick.item), midnight + i64::from(tick.hour));
                    if within.kind_least <= kind && first_hour <= hour && hour < within.hours.end {
                        take(Counted { device, kind, name: 0, hour, n: tick.n });
                    }
                }
            }
            Ok(())
        })
    }

    /// Hands over the counts by name.
    pub(super) fn each_name(&self, within: &Within, mut take: impl FnMut(Counted)) -> Result<(), Fault> {
        let days = self.days("count_name", &within.hours)?;
        // The rows of a day lie by kind, then by device.
        let mut all = self.db.prepare_cached(
            "SELECT device, kind, part, hours FROM temp.all_count_name WHERE day = ?1 AND ?2 <= kind",
        )?;
        let mut one = self.db.prepare_cached(
            "SELECT device, kind, part, hours FROM temp.all_count_name
             WHERE day = ?1 AND kind = ?2 AND device = ?3",
        )?;
        for day in days {
            match &within.devices {
                None => names_of_day(&mut all.query([day, within.kind_least])?, day, within, &mut take)?,
                Some(devices) => {
                    for kind in within.kind_least..=CLOAKED {
                        for &device in devices {
                            names_of_day(&mut one.query([day, kind, device])?, day, within, &mut take)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Runs a statement over the days of `within`: once for all of them, or for each day and device.
    fn each_row(
        &self,
        table: &str,
        within: &Within,
        all: &str,
        one: &str,
        mut run: impl FnMut(&mut Statement<'_>, [i64; 2]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let days = self.days(table, &within.hours)?;
        let (Some(&first), Some(&last)) = (days.first(), days.last()) else { return Ok(()) };
        match &within.devices {
            None => run(&mut *self.db.prepare_cached(all)?, [first, last]),
            Some(devices) => {
                let mut statement = self.db.prepare_cached(one)?;
                // One look at the tree for each, where a range of days would have those of all devices.
                for day in days {
                    for &device in devices {
                        run(&mut statement, [day, device])?;
                    }
                }
                Ok(())
            }
        }
    }

    /// The days of `hours` as far as the table may have any, in order.
    pub(super) fn days(&self, table: &str, hours: &Range<i64>) -> Result<Vec<i64>, Fault> {
        if hours.is_empty() {
            return Ok(Vec::new());
        }
        let from = hours.start.div_euclid(HOURS_PER_DAY);
        let until = (hours.end - 1).div_euclid(HOURS_PER_DAY);
        let first = self.ends_of_days(table, "min", from..=until)?.into_iter().min();
        let last = self.ends_of_days(table, "max", from..=until)?.into_iter().max();
        let (Some(first), Some(last)) = (first, last) else { return Ok(Vec::new()) };
        if last - first < DAYS_WITHOUT_GAPS {
            return Ok((first..=last).collect());
        }
        let mut days = Vec::new();
        let mut next = Some(first);
        while let Some(day) = next {
            days.push(day);
            next = self.ends_of_days(table, "min", day + 1..=last)?.into_iter().min();
        }
        Ok(days)
    }

    /// The first ("min") or the last ("max") of these days that each database has anything of, by one look at its tree.
    fn ends_of_days(&self, table: &str, end: &str, days: RangeInclusive<i64>) -> Result<Vec<i64>, Fault> {
        let mut ends = Vec::new();
        for db in ["main", "file"].into_iter().take(1 + usize::from(self.attached)) {
            let sql = format!("SELECT {end}(day) FROM {db}.{table} WHERE day BETWEEN ?1 AND ?2");
            let row = |row: &rusqlite::Row<'_>| row.get::<_, Option<i64>>(0);
            ends.extend(self.db.prepare_cached(&sql)?.query_row([days.start(), days.end()], row)?);
        }
        Ok(ends)
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

    /// Whose the name with this identifier is. `None` if it was forgotten.
    pub(super) fn owner(&mut self, id: NameId) -> Result<Option<OwnerId>, Fault> {
        if let Some(owner) = self.attributor.known(id) {
            return Ok(Some(owner));
        }
        Ok(self.name(id)?.map(|name| self.attributor.learn(id, &name)))
    }

    /// The name behind a name, where it was cloaked, and whose it is.
    pub(super) fn whose(
        &mut self,
        id: NameId,
        name: &DomainName,
        is_cloaked: bool,
    ) -> Result<(Option<DomainName>, Attribution), Fault> {
        let behind = if is_cloaked { self.behind(id)? } else { None };
        let attribution = match &behind {
            Some((behind, name)) => self.attribution(*behind, name),
            None => self.attribution(id, name),
        };
        Ok((behind.map(|(_, name)| name), attribution))
    }

    fn behind(&self, id: NameId) -> Result<Option<(NameId, DomainName)>, Fault> {
        let behind: Option<NameId> = self.first_of(
            "SELECT behind FROM main.cloak WHERE name = ?1",
            "SELECT behind FROM file.cloak WHERE name = ?1",
            id,
            |row| row.get(0),
        )?;
        let Some(behind) = behind else { return Ok(None) };
        Ok(self.name(behind)?.map(|name| (behind, name)))
    }

    /// The names that a tracker hid behind, each with the tracker's.
    pub(super) fn cloaks(&self) -> Result<HashMap<NameId, NameId>, Fault> {
        let mut cloaks = HashMap::new();
        let (in_file, in_memory) =
            ("SELECT name, behind FROM file.cloak", "SELECT name, behind FROM main.cloak");
        // Memory has the latest.
        for sql in [self.attached.then_some(in_file), Some(in_memory)].into_iter().flatten() {
            let mut statement = self.db.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                cloaks.insert(row.get(0)?, row.get(1)?);
            }
        }
        Ok(cloaks)
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
}

/// Hands over what the rows of one day have: device, kind, part, hours.
fn names_of_day(
    rows: &mut Rows<'_>,
    day: i64,
    within: &Within,
    take: &mut impl FnMut(Counted),
) -> Result<(), Fault> {
    let midnight = day * HOURS_PER_DAY;
    while let Some(row) = rows.next()? {
        let (device, kind, part) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if within.parts.as_ref().is_some_and(|parts| !parts.has(kind, part)) {
            continue;
        }
        let mut sum: Option<Counted> = None;
        for tick in Ticks::of(row.get_ref(3)?.as_blob().unwrap_or_default()) {
            let (name, hour) = (name_of(kind, part, tick.item), midnight + i64::from(tick.hour));
            if !within.hours.contains(&hour) {
                continue;
            }
            match &mut sum {
                Some(sum) if sum.name == name && !within.by_hour => sum.n = sum.n.saturating_add(tick.n),
                _ => {
                    let next = Counted { device, kind, name, hour, n: tick.n };
                    if let Some(done) = sum.replace(next) {
                        take(done);
                    }
                }
            }
        }
        if let Some(done) = sum {
            take(done);
        }
    }
    Ok(())
}

/// The hours of a span.
pub(super) fn hours_of(span: Span) -> Range<i64> {
    let from = hour_of(span.from.as_millisecond());
    let last = span.until.checked_sub(Duration::from_nanos(1)).ok().filter(|last| span.from <= *last);
    let until = last.map_or(from, |last| hour_of(last.as_millisecond()) + 1);
    from..until
}
