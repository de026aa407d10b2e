//! Questions about companies, and about what is new: answered from the counts, and from the latest events.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;

use super::events::EVENTS_MAX;
use super::fault::Fault;
use super::store::Store;
use super::view::BlockedLately;
use super::view::CompanyCount;
use super::view::CompanyDetail;
use super::view::EventFilter;
use super::view::FirstMeeting;
use super::view::News;
use super::view::RememberedVerdict;
use super::view::Span;
use super::view::TrackerCount;
use crate::device::DeviceKey;

impl Store {
    pub(super) fn companies(
        &mut self,
        span: Span,
        before: Option<Span>,
        device: Option<DeviceKey>,
        limit: u32,
    ) -> Result<Vec<CompanyCount>, Fault> {
        let mut earlier: HashMap<String, u64> = HashMap::new();
        if let Some(before) = before {
            for tracker in self.trackers(before, device, u32::MAX)? {
                *earlier.entry(tracker.attribution.company()).or_default() += tracker.hits;
            }
        }
        let mut companies: HashMap<String, Vec<TrackerCount>> = HashMap::new();
        for tracker in self.trackers(span, device, u32::MAX)? {
            companies.entry(tracker.attribution.company()).or_default().push(tracker);
        }
        let count = |(name, trackers): (String, Vec<TrackerCount>)| CompanyCount {
            hits: trackers.iter().map(|tracker| tracker.hits).sum(),
            hits_before: earlier.get(&name).copied().unwrap_or_default(),
            cloaked: 0,
            devices: trackers.iter().map(|tracker| tracker.devices).max().unwrap_or_default(),
            name,
            trackers,
        };
        let mut companies: Vec<CompanyCount> = companies.into_iter().map(count).collect();
        companies
            .sort_by(|one, other| (Reverse(one.hits), &one.name).cmp(&(Reverse(other.hits), &other.name)));
        companies.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(companies)
    }

    pub(super) fn company(
        &mut self,
        span: Span,
        before: Option<Span>,
        name: &str,
    ) -> Result<Option<CompanyDetail>, Fault> {
        let companies = self.companies(span, before, None, u32::MAX)?;
        let Some(count) = companies.into_iter().find(|company| company.name == name) else { return Ok(None) };
        let mut devices = Vec::new();
        for device in self.devices(span)? {
            let trackers = self.trackers(span, Some(device.device.key), u32::MAX)?;
            let own = trackers.iter().filter(|tracker| tracker.attribution.company() == name);
            let hits: u64 = own.map(|tracker| tracker.hits).sum();
            if 0 < hits {
                devices.push((device.device, hits));
            }
        }
        devices.sort_by_key(|(device, hits)| (Reverse(*hits), device.key));
        let mut names = self.names(span, None, true, u32::MAX)?;
        names.retain(|count| count.attribution.company() == name);
        Ok(Some(CompanyDetail { count, devices, names, hours: Vec::new() }))
    }

    pub(super) fn news(&mut self, span: Span, known: Duration) -> Result<News, Fault> {
        let from = span.from.checked_sub(known).unwrap_or(Timestamp::UNIX_EPOCH);
        let before = Span { from, until: span.from };
        let mut devices = self.devices(span)?;
        let mut meetings = Vec::new();
        let known: HashSet<String> =
            self.trackers(before, None, u32::MAX)?.iter().map(|it| format!("{:?}", it.attribution)).collect();
        for device in &devices {
            let met = self.trackers(before, Some(device.device.key), u32::MAX)?;
            for tracker in self.trackers(span, Some(device.device.key), u32::MAX)? {
                if met.iter().all(|met| met.attribution != tracker.attribution) {
                    meetings.push(FirstMeeting {
                        is_new_to_all: !known.contains(&format!("{:?}", tracker.attribution)),
                        attribution: tracker.attribution,
                        device: device.device.clone(),
                        hits: tracker.hits,
                    });
                }
            }
        }
        meetings.sort_by_key(|meeting| Reverse(meeting.hits));
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
        for event in self.events(&filter)? {
            let RememberedVerdict::Block(rule) = event.verdict else { continue };
            if event.at < since {
                continue;
            }
            if let Some(known) = names.iter_mut().find(|known| known.name == event.name) {
                known.hits += 1;
                continue;
            }
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
        let before = Span { from: Timestamp::UNIX_EPOCH, until: since };
        let known = self.names(before, Some(device), true, u32::MAX)?;
        for name in &mut names {
            name.is_first_time = known.iter().all(|known| known.name != name.name);
        }
        names.sort_by_key(|name| (Reverse(name.is_first_time), Reverse(name.last)));
        Ok(names)
    }
}
