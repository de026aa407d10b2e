//! Single events, looked up.
//!
//! Events have no index but their time. The counts know in which hours there is anything of a device or a name, and only
//! the events of these hours are read, the latest first, until there are enough or too much time has passed.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use hashbrown::HashSet;
use jiff::Timestamp;
use memchr::memmem::Finder;
use rusqlite::params;

use super::attribution::NameId;
use super::counts::HOURS_PER_DAY;
use super::fault::Fault;
use super::questions::NamesOfCompany;
use super::read::Parts;
use super::read::Within;
use super::schema::EventId;
use super::store::Store;
use super::store::hour_of;
use super::view::EventFilter;
use super::view::Remembered;
use super::view::RememberedVerdict;
use super::view::Scan;
use super::write::ALLOW;
use super::write::BLOCK;
use super::write::CLOAKED;
use super::write::PASS;
use crate::event::VerdictKind;
use crate::name::DomainName;
use crate::policy::RuleRef;

/// The most events in one answer.
pub(super) const EVENTS_MAX: u32 = 10_000;
/// How long is looked for events unless it is said.
const PATIENCE: Duration = Duration::from_secs(2);
/// How far an event's identifier may be ahead of its time where the clock did not step back; see `schema`.
const AHEAD_MAX_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// An event as it stands in the tables.
struct Row {
    id: EventId,
    shift: i64,
    device: i64,
    name: NameId,
    meta: i64,
    rule: Option<i64>,
}

/// Events with the identifiers of their names, and where the search was given up.
type Named = (Vec<(NameId, Remembered)>, Option<i64>);

/// What is looked for, in the numbers of the tables.
struct Wanted {
    devices: Option<HashSet<i64>>,
    /// Whether each kind of query is wanted.
    kinds: [bool; 4],
    qtype: Option<u16>,
    names: Option<HashSet<NameId>>,
    company: Option<NamesOfCompany>,
    /// Times in milliseconds.
    times: Range<i64>,
    /// Only smaller identifiers.
    before: i64,
    limit: usize,
    patience: Duration,
}

impl Wanted {
    fn has(&self, device: i64, kind: i64, name: NameId) -> bool {
        usize::try_from(kind).is_ok_and(|kind| self.kinds.get(kind) == Some(&true))
            && self.devices.as_ref().is_none_or(|devices| devices.contains(&device))
            && self.names.as_ref().is_none_or(|names| names.contains(&name))
            && self.company.as_ref().is_none_or(|theirs| theirs.owner(name, kind == CLOAKED).is_some())
    }

    fn has_row(&self, row: &Row) -> bool {
        self.has(row.device, row.meta & 3, row.name)
            && self.qtype.is_none_or(|qtype| qtype == sixteen_bits(row.meta >> 2))
            && self.times.contains(&(row.id.ms() + row.shift))
    }

    /// Whether all events are wanted.
    fn is_all(&self) -> bool {
        self.devices.is_none()
            && self.kinds == [true; 4]
            && self.qtype.is_none()
            && self.names.is_none()
            && self.company.is_none()
    }
}

impl Store {
    pub(super) fn events(&mut self, filter: &EventFilter) -> Result<Vec<Remembered>, Fault> {
        Ok(self.scan(filter)?.events)
    }

    pub(super) fn scan(&mut self, filter: &EventFilter) -> Result<Scan, Fault> {
        let (events, cut_at) = self.events_with_names(filter)?;
        Ok(Scan { events: events.into_iter().map(|(_, event)| event).collect(), cut_at })
    }

    /// The events with the identifiers of their names, and where the search was given up.
    pub(super) fn events_with_names(&mut self, filter: &EventFilter) -> Result<Named, Fault> {
        let Some(wanted) = self.wanted(filter)? else { return Ok((Vec::new(), None)) };
        let (found, cut_at) = self.find(&wanted)?;
        let roster = self.roster()?;
        let mut rules: HashMap<i64, Option<RuleRef>> = HashMap::new();
        let mut events = Vec::with_capacity(found.len());
        for row in found {
            let Some(name) = self.name(row.name)? else { continue };
            let Some(device) = roster.device(row.device).cloned() else { continue };
            let rule = match row.rule {
                Some(id) => match rules.get(&id) {
                    Some(known) => known.clone(),
                    None => rules.entry(id).insert(self.rule(id)?).get().clone(),
                },
                None => None,
            };
            let Ok(at) = Timestamp::from_millisecond(row.id.ms() + row.shift) else { continue };
            let (behind, attribution) = self.whose(row.name, &name, row.meta & 3 == CLOAKED)?;
            let (id, qtype, rcode) = (row.id.0, sixteen_bits(row.meta >> 2), sixteen_bits(row.meta >> 18));
            let verdict = verdict(row.meta & 3, rule);
            events.push((
                row.name,
                Remembered { id, at, device, name, behind, qtype, verdict, rcode, attribution },
            ));
        }
        Ok((events, cut_at))
    }

    /// `None`: nothing can be found.
    fn wanted(&mut self, filter: &EventFilter) -> Result<Option<Wanted>, Fault> {
        let devices = match filter.device {
            Some(key) => Some(HashSet::from_iter(self.rows_of(key)?)),
            None => None,
        };
        let names = filter.name_contains.as_deref().map(|text| self.names_with(text)).transpose()?;
        let company = filter.company.as_deref().map(|name| self.names_of_company(name)).transpose()?;
        let kinds = [PASS, ALLOW, BLOCK, CLOAKED].map(|kind| {
            let verdict = match kind {
                PASS => VerdictKind::Pass,
                ALLOW => VerdictKind::Allow,
                _ => VerdictKind::Block,
            };
            (!filter.hits_only || BLOCK <= kind) && filter.verdict.is_none_or(|wanted| wanted == verdict)
        });
        let from = filter.from.map_or(i64::MIN, first_ms);
        let until = filter.until.map_or(i64::MAX, first_ms);
        let wanted = Wanted {
            devices,
            kinds,
            qtype: filter.qtype,
            names,
            company,
            times: from..until,
            before: filter.before.unwrap_or(i64::MAX),
            limit: usize::try_from(filter.limit.min(EVENTS_MAX)).unwrap_or(usize::MAX),
            patience: filter.patience.unwrap_or(PATIENCE),
        };
        let is_empty = wanted.limit == 0
            || wanted.devices.as_ref().is_some_and(HashSet::is_empty)
            || wanted.names.as_ref().is_some_and(HashSet::is_empty)
            || wanted.times.is_empty()
            || wanted.kinds == [false; 4];
        Ok(Some(wanted).filter(|_| !is_empty))
    }

    fn find(&mut self, wanted: &Wanted) -> Result<(Vec<Row>, Option<i64>), Fault> {
        let mut found = Vec::new();
        let Some((first, last)) = self.first_and_last_event()? else { return Ok((found, None)) };
        let stepped = "SELECT EXISTS (SELECT 1 FROM temp.all_event WHERE shift < -60000)";
        // Where the clock stepped back, identifiers say little about times.
        if wanted.is_all() || self.db.prepare_cached(stepped)?.query_row([], |row| row.get(0))? {
            let no_earlier = EventId::at(wanted.times.start.max(0)).0;
            self.find_between(wanted, no_earlier..wanted.before, &mut found)?;
            return Ok((found, None));
        }
        let latest = wanted.before.min(last.0.saturating_add(1));
        let from_ms = first.ms().saturating_sub(AHEAD_MAX_MS).max(wanted.times.start);
        let until_ms = EventId(latest).ms().saturating_add(1).min(wanted.times.end);
        if until_ms <= from_ms {
            return Ok((found, None));
        }
        let hours = hour_of(from_ms)..hour_of(until_ms - 1) + 1;
        let days = self.days("count_device", &hours)?;
        let begun = self.clock.instant();
        let mut end = latest;
        // What is wanted is mostly found on the last day.
        for day in days.into_iter().rev() {
            let midnight = day * HOURS_PER_DAY;
            let of_day = hours.start.max(midnight)..hours.end.min(midnight + HOURS_PER_DAY);
            for hour in self.hours_with(wanted, of_day)? {
                let range = EventId::at(hour * HOUR_MS).0
                    ..EventId::at((hour + 1) * HOUR_MS + AHEAD_MAX_MS).0.min(end);
                if range.is_empty() {
                    continue;
                }
                if wanted.patience <= self.clock.instant().saturating_duration_since(begun) {
                    return Ok((found, Some(end)));
                }
                end = range.start;
                self.find_between(wanted, range, &mut found)?;
                if found.len() == wanted.limit {
                    return Ok((found, None));
                }
            }
        }
        Ok((found, None))
    }

    /// Those of some hours in which something was counted that is wanted, the latest first.
    fn hours_with(&mut self, wanted: &Wanted, hours: Range<i64>) -> Result<Vec<i64>, Fault> {
        let devices = wanted.devices.as_ref().map(|devices| devices.iter().copied().collect());
        let kind_least = if wanted.kinds.starts_with(&[false, false]) { BLOCK } else { PASS };
        let parts = match (&wanted.names, &wanted.company) {
            (Some(names), _) => Some(Parts::of(names.iter().copied())),
            (None, Some(theirs)) => Some(theirs.parts()),
            (None, None) => None,
        };
        let within = Within { hours, devices, kind_least, by_hour: true, parts };
        let mut found = HashSet::new();
        // Names that had no room are counted with their devices only.
        let by_name = (wanted.names.is_some() || wanted.company.is_some()) && self.unnamed.queries == 0;
        if by_name {
            // The hours of a name follow one another.
            let (mut last, mut is_wanted) = (None, false);
            self.each_name(&within, |counted| {
                let place = Some((counted.device, counted.kind, counted.name));
                if std::mem::replace(&mut last, place) != place {
                    is_wanted = wanted.has(counted.device, counted.kind, counted.name);
                }
                if is_wanted {
                    found.insert(counted.hour);
                }
            })?;
        } else {
            self.each_device(&within, |counted| {
                if usize::try_from(counted.kind).is_ok_and(|kind| wanted.kinds.get(kind) == Some(&true)) {
                    found.insert(counted.hour);
                }
            })?;
        }
        let mut hours: Vec<i64> = found.into_iter().collect();
        hours.sort_unstable_by(|one, other| other.cmp(one));
        Ok(hours)
    }

    fn first_and_last_event(&self) -> Result<Option<(EventId, EventId)>, Fault> {
        let mut ends: Option<(i64, i64)> = None;
        for db in ["main", "file"].into_iter().take(1 + usize::from(self.attached)) {
            let sql = format!("SELECT (SELECT min(id) FROM {db}.event), (SELECT max(id) FROM {db}.event)");
            let row =
                |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?));
            if let (Some(first), Some(last)) = self.db.prepare_cached(&sql)?.query_row([], row)? {
                ends = Some(ends.map_or((first, last), |(from, until)| (from.min(first), until.max(last))));
            }
        }
        Ok(ends.map(|(first, last)| (EventId(first), EventId(last))))
    }

    /// Adds what is wanted of some identifiers, the latest first, until there is enough.
    fn find_between(&self, wanted: &Wanted, ids: Range<i64>, found: &mut Vec<Row>) -> Result<(), Fault> {
        // What a home asks for most is told apart by SQLite, which is quicker than to look at each row here.
        let only = |set: &Option<HashSet<i64>>| match set {
            Some(set) if set.len() == 1 => set.iter().next().copied(),
            _ => None,
        };
        let (device, name) = (only(&wanted.devices), only(&wanted.names));
        // A condition that says nothing costs as much as one that does.
        let mut conditions = String::new();
        if device.is_some() {
            conditions.push_str(" AND device = ?3");
        }
        if name.is_some() {
            conditions.push_str(" AND name = ?4");
        }
        if wanted.kinds.starts_with(&[false, false]) {
            conditions.push_str(" AND 2 <= meta & 3");
        }
        let mut statement = self.db.prepare_cached(&format!(
            "SELECT id, shift, device, name, meta, rule FROM temp.all_event
             WHERE ?1 <= id AND id < ?2 AND ?3 IS ?3 AND ?4 IS ?4{conditions} ORDER BY id DESC"
        ))?;
        let mut rows = statement.query(params![ids.start, ids.end.min(wanted.before), device, name])?;
        while let Some(row) = rows.next()? {
            let (id, shift, device) = (EventId(row.get(0)?), row.get(1)?, row.get(2)?);
            let row = Row { id, shift, device, name: row.get(3)?, meta: row.get(4)?, rule: row.get(5)? };
            if wanted.has_row(&row) {
                found.push(row);
                if found.len() == wanted.limit {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The names that contain `text` as they are shown.
    pub(super) fn names_with(&self, text: &str) -> Result<HashSet<NameId>, Fault> {
        let text = text.to_lowercase();
        // What is written in a name as it is stands so in its wire form; only what has that is written out.
        let is_plain = |part: &&str| part.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        let sign = text.split('.').filter(is_plain).max_by_key(|part| part.len()).unwrap_or_default();
        let finder = Finder::new(sign);
        let mut names = HashSet::new();
        let in_memory = "SELECT id, wire FROM main.name";
        let in_file = "SELECT id, wire FROM file.name";
        for sql in [Some(in_memory), self.attached.then_some(in_file)].into_iter().flatten() {
            let mut statement = self.db.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let wire = row.get_ref(1)?.as_blob().unwrap_or_default();
                if finder.find(wire).is_some()
                    && DomainName::from_wire(wire).is_ok_and(|name| name.to_string().contains(&text))
                {
                    names.insert(row.get(0)?);
                }
            }
        }
        Ok(names)
    }

    fn rule(&self, id: i64) -> Result<Option<RuleRef>, Fault> {
        let row: Option<(String, String)> = self.first_of(
            "SELECT list, rule FROM main.rule WHERE id = ?1",
            "SELECT list, rule FROM file.rule WHERE id = ?1",
            id,
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(row.map(|(list, rule)| RuleRef { list: list.into(), rule: rule.into() }))
    }
}

/// The first whole millisecond that is not before `at`: events bear whole ones.
fn first_ms(at: Timestamp) -> i64 {
    let ms = at.as_millisecond();
    if Timestamp::from_millisecond(ms).is_ok_and(|floor| floor < at) { ms + 1 } else { ms }
}

fn verdict(code: i64, rule: Option<RuleRef>) -> RememberedVerdict {
    // A rule is forgotten only after its events, unless the clock stepped back in between.
    let rule = rule.unwrap_or_else(|| RuleRef { list: Arc::from("?"), rule: "?".into() });
    match code {
        ALLOW => RememberedVerdict::Allow(rule),
        BLOCK | CLOAKED => RememberedVerdict::Block(rule),
        _ => RememberedVerdict::Pass,
    }
}

#[expect(clippy::cast_sign_loss, reason = "sixteen bits are asked for")]
const fn sixteen_bits(meta: i64) -> u16 {
    (meta & 0xFFFF) as u16
}
