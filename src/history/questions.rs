//! Questions about companies, and about what is new: answered from the counts, and from the latest events.

use std::cmp::Reverse;
use std::time::Duration;

use hashbrown::HashMap;
use hashbrown::HashSet;
use jiff::Timestamp;

use super::attribution::NameId;
use super::attribution::OwnerId;
use super::events::EVENTS_MAX;
use super::fault::Fault;
use super::read::HOURS_MAX;
use super::read::Parts;
use super::read::Within;
use super::store::Store;
use super::view::BlockedLately;
use super::view::CompanyCount;
use super::view::CompanyDetail;
use super::view::EventFilter;
use super::view::FirstMeeting;
use super::view::News;
use super::view::RememberedVerdict;
use super::view::Span;
use super::view::Totals;
use super::view::TrackerCount;
use super::write::BLOCK;
use super::write::CLOAKED;
use super::write::PASS;
use crate::device::Device;
use crate::device::DeviceKey;

/// What is summed up of a company.
#[derive(Default)]
struct Sum {
    hits: u64,
    before: u64,
    cloaked: u64,
    devices: HashSet<usize>,
    /// Hits and devices of each of its trackers.
    trackers: HashMap<OwnerId, (u64, u64)>,
}

impl Store {
    pub(super) fn companies(
        &mut self,
        span: Span,
        before: Option<Span>,
        device: Option<DeviceKey>,
        limit: u32,
    ) -> Result<Vec<CompanyCount>, Fault> {
        let roster = self.roster()?;
        let meetings = self.meetings(&roster, span, before, device)?;
        let mut companies: HashMap<&str, Sum> = HashMap::new();
        for ((place, owner), hits) in meetings {
            let Some(company) = self.attributor.company(owner) else { continue };
            let sum = companies.entry(company).or_default();
            sum.hits += hits.hits;
            sum.before += hits.before;
            sum.cloaked += hits.cloaked;
            if 0 < hits.hits {
                sum.devices.insert(place);
                let (of_tracker, devices) = sum.trackers.entry(owner).or_default();
                *of_tracker += hits.hits;
                *devices += 1;
            }
        }
        let mut companies: Vec<(&str, Sum)> = companies.into_iter().filter(|(_, sum)| 0 < sum.hits).collect();
        companies.sort_by(|(one, sum), (other, others)| {
            (Reverse(sum.hits), one).cmp(&(Reverse(others.hits), other))
        });
        companies.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(companies.into_iter().map(|(name, sum)| self.company_count(name, sum)).collect())
    }

    fn company_count(&self, name: &str, sum: Sum) -> CompanyCount {
        let mut trackers: Vec<_> = sum.trackers.into_iter().collect();
        trackers.sort_unstable_by_key(|(owner, (hits, _))| (Reverse(*hits), *owner));
        let count = |(owner, (hits, devices))| {
            let attribution = self.attributor.attribution(owner)?.clone();
            Some(TrackerCount { attribution, hits, devices })
        };
        CompanyCount {
            name: name.to_owned(),
            trackers: trackers.into_iter().filter_map(count).collect(),
            hits: sum.hits,
            hits_before: sum.before,
            cloaked: sum.cloaked,
            devices: sum.devices.len() as u64,
        }
    }

    pub(super) fn company(
        &mut self,
        span: Span,
        before: Option<Span>,
        name: &str,
    ) -> Result<Option<CompanyDetail>, Fault> {
        let roster = self.roster()?;
        let theirs = self.names_of_company(name)?;
        let mut within =
            Within { by_hour: true, parts: Some(theirs.parts()), ..self.limits(span, None, BLOCK)? };
        let mut by_hour: HashMap<i64, u64> = HashMap::new();
        let mut by_device: HashMap<(usize, OwnerId), u64> = HashMap::new();
        let mut by_name: HashMap<(NameId, bool), u64> = HashMap::new();
        let mut sum = Sum::default();
        self.each_name(&within, |counted| {
            let is_cloaked = counted.kind == CLOAKED;
            let Some(owner) = theirs.owner(counted.name, is_cloaked) else { return };
            *by_hour.entry(counted.hour).or_default() += counted.n;
            *by_name.entry((counted.name, is_cloaked)).or_default() += counted.n;
            sum.hits += counted.n;
            sum.cloaked += if is_cloaked { counted.n } else { 0 };
            if let Some(place) = roster.place(counted.device) {
                *by_device.entry((place, owner)).or_default() += counted.n;
            }
        })?;
        if sum.hits == 0 {
            return Ok(None);
        }
        let mut asked: HashMap<NameId, u64> = HashMap::new();
        let asked_within = Within { parts: Some(theirs.parts()), ..self.limits(span, None, PASS)? };
        self.each_name(&asked_within, |counted| {
            if counted.kind < BLOCK && theirs.knows(counted.name) {
                *asked.entry(counted.name).or_default() += counted.n;
            }
        })?;
        if let Some(before) = before {
            let before_within =
                Within { parts: Some(theirs.parts()), ..self.limits_before(span, before, None)? };
            self.each_name(&before_within, |counted| {
                if theirs.owner(counted.name, counted.kind == CLOAKED).is_some() {
                    sum.before += counted.n;
                }
            })?;
        }
        let mut devices: HashMap<usize, u64> = HashMap::new();
        for ((place, owner), hits) in by_device {
            *devices.entry(place).or_default() += hits;
            let (of_tracker, met) = sum.trackers.entry(owner).or_default();
            *of_tracker += hits;
            *met += 1;
        }
        sum.devices.extend(devices.keys());
        let count = self.company_count(name, sum);
        let device = |(place, hits): (usize, u64)| Some((roster.devices.get(place)?.device.clone(), hits));
        let mut devices: Vec<(Device, u64)> = devices.into_iter().filter_map(device).collect();
        devices.sort_by_key(|(device, hits)| (Reverse(*hits), device.key));
        let mut by_name: Vec<_> = by_name.into_iter().collect();
        by_name.sort_unstable_by_key(|(name, hits)| (Reverse(*hits), *name));
        let mut names = Vec::with_capacity(by_name.len());
        for ((id, is_cloaked), hits) in by_name {
            let queries = hits + asked.get(&id).copied().unwrap_or_default();
            names.extend(self.name_count(id, is_cloaked, Totals { queries, hits })?);
        }
        within.hours.start = within.hours.start.max(within.hours.end - HOURS_MAX);
        let of_hour = |hour: i64| {
            let hits = by_hour.get(&hour).copied().unwrap_or_default();
            Some((Timestamp::from_second(hour * 3600).ok()?, hits))
        };
        let hours = within.hours.filter_map(of_hour).collect();
        Ok(Some(CompanyDetail { count, devices, names, hours }))
    }

    pub(super) fn news(&mut self, span: Span, known: Duration) -> Result<News, Fault> {
        let from = span.from.checked_sub(known).unwrap_or(Timestamp::UNIX_EPOCH);
        let before = Span { from, until: span.from };
        let roster = self.roster()?;
        let met = self.meetings(&roster, span, Some(before), None)?;
        let known_to_all: HashSet<OwnerId> =
            met.iter().filter(|(_, hits)| 0 < hits.before).map(|((_, owner), _)| *owner).collect();
        let meeting = |(&(place, owner), hits): (&(usize, OwnerId), &super::read::Hits)| {
            Some(FirstMeeting {
                attribution: self.attributor.attribution(owner)?.clone(),
                device: roster.devices.get(place)?.device.clone(),
                hits: hits.hits,
                is_new_to_all: !known_to_all.contains(&owner),
            })
        };
        let is_first = |hits: &super::read::Hits| 0 < hits.hits && hits.before == 0;
        let mut meetings: Vec<FirstMeeting> =
            met.iter().filter(|(_, hits)| is_first(hits)).filter_map(meeting).collect();
        meetings.sort_by_cached_key(|meeting| {
            (Reverse(meeting.hits), meeting.device.key, meeting.attribution.company())
        });
        let mut devices = self.devices(span)?;
        devices.retain(|device| span.from <= device.first_seen);
        Ok(News { devices, meetings })
    }

    pub(super) fn blocked_lately(
        &mut self,
        device: DeviceKey,
        since: Timestamp,
    ) -> Result<Vec<BlockedLately>, Fault> {
        let filter = EventFilter {
            device: Some(device),
            hits_only: true,
            from: Some(since),
            limit: EVENTS_MAX,
            ..EventFilter::default()
        };
        let mut names: Vec<BlockedLately> = Vec::new();
        let mut places: HashMap<NameId, usize> = HashMap::new();
        for (id, event) in self.events_with_names(&filter)?.0 {
            let RememberedVerdict::Block(rule) = event.verdict else { continue };
            if let Some(known) = places.get(&id).and_then(|&place| names.get_mut(place)) {
                known.hits += 1;
                continue;
            }
            places.insert(id, names.len());
            names.push(BlockedLately {
                name: event.name,
                behind: event.behind,
                attribution: event.attribution,
                rule,
                hits: 1,
                last: event.at,
                is_first_time: false,
            });
        }
        // All hits of these names, now and ever: where there are no more than those just told, it is the first time.
        let within = Within {
            hours: 0..i64::MAX,
            devices: Some(self.rows_of(device)?),
            kind_least: BLOCK,
            by_hour: false,
            parts: Some(Parts::of(places.keys().copied())),
        };
        let mut ever: HashMap<NameId, u64> = HashMap::new();
        self.each_name(&within, |counted| {
            if places.contains_key(&counted.name) {
                *ever.entry(counted.name).or_default() += counted.n;
            }
        })?;
        for (id, &place) in &places {
            if let Some(name) = names.get_mut(place) {
                name.is_first_time = ever.get(id).copied().unwrap_or_default() <= name.hits;
            }
        }
        names.sort_by_key(|name| (Reverse(name.is_first_time), Reverse(name.last)));
        Ok(names)
    }
}

/// The names of one company.
pub(super) struct NamesOfCompany {
    /// Names that are its own.
    own: HashMap<NameId, OwnerId>,
    /// Names of anybody that it hid behind.
    cloaked: HashMap<NameId, OwnerId>,
}

impl NamesOfCompany {
    /// Which of the company's owners a hit belongs to; `None`: it is somebody else's.
    pub(super) fn owner(&self, name: NameId, is_cloaked: bool) -> Option<OwnerId> {
        if is_cloaked { self.cloaked.get(&name).copied() } else { self.own.get(&name).copied() }
    }

    /// The rows of counts that they are in.
    pub(super) fn parts(&self) -> Parts {
        Parts::of(self.own.keys().chain(self.cloaked.keys()).copied())
    }

    fn knows(&self, name: NameId) -> bool {
        self.own.contains_key(&name) || self.cloaked.contains_key(&name)
    }
}

impl Store {
    /// Finds the names of a company among all that are remembered.
    pub(super) fn names_of_company(&mut self, company: &str) -> Result<NamesOfCompany, Fault> {
        let mut ids = Vec::new();
        for sql in ["SELECT id FROM main.name", "SELECT id FROM file.name"]
            .iter()
            .take(1 + usize::from(self.attached))
        {
            let mut statement = self.db.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| row.get::<_, NameId>(0))?;
            ids.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
        }
        let mut own = HashMap::new();
        for id in ids {
            if let Some(owner) = self.owner(id)?
                && self.attributor.company(owner) == Some(company)
            {
                own.insert(id, owner);
            }
        }
        let hidden = |(name, behind)| Some((name, own.get(&behind).copied()?));
        let cloaks = self.cloaks()?;
        let cloaked = cloaks.iter().map(|(&name, &behind)| (name, behind)).filter_map(hidden).collect();
        // A name that was cloaked, and whose tracker's name was forgotten, is its own.
        let mut names = NamesOfCompany { own, cloaked };
        for (&id, &owner) in &names.own {
            if !cloaks.contains_key(&id) {
                names.cloaked.entry(id).or_insert(owner);
            }
        }
        Ok(names)
    }
}
