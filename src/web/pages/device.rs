//! `/devices/{key}`: one device: who tracks it, what for, when, and what it asks.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use serde::Deserialize;

use super::device_settings::DeviceSettings;
use super::{Page, page};
use crate::device::DeviceKey;
use crate::history::{CompanyCount, EventFilter, NameCount};
use crate::name::DomainName;
use crate::policy::{Question, Verdict};
use crate::tracker::is_doh_host;
use crate::web::Web;
use crate::web::chart::{Chart, Of};
use crate::web::company::{Change, CompanyRow, KindRow, change_of, is_comparable};
use crate::web::errors::Failure;
use crate::web::format;
use crate::web::heat::{Heat, Rhythm};
use crate::web::period::{Period, PeriodLink};
use crate::web::silence;
use crate::web::view::{EventRow, Frame, Moment, NameLink, RuleButton, Tab, Times, Who};

/// How many companies are shown.
const COMPANIES_MAX: usize = 15;
/// How many names are shown.
const NAMES_MAX: u32 = 25;
/// How many names of public resolvers are shown.
const RESOLVERS_MAX: usize = 4;
/// Among how many names of a week those of public resolvers are looked for: more than a device asks for.
const BYPASS_NAMES_MAX: u32 = 5_000;
/// How many of the latest hits are shown.
const LATEST_MAX: u32 = 25;
/// Over how many hours the days of the week are told apart: four weeks.
const RHYTHM_HOURS: u32 = 28 * 24;

#[derive(Deserialize)]
pub(super) struct Asked {
    hours: Option<u32>,
}

#[derive(Template)]
#[template(path = "device.html")]
pub(super) struct DevicePage {
    pub(super) frame: Frame,
    pub(super) name: String,
    pub(super) key: String,
    pub(super) addresses: String,
    /// The group that it is in.
    pub(super) group: Option<String>,
    pub(super) first_seen: Option<Moment>,
    pub(super) last_seen: Option<Moment>,
    /// Its last seven days in a sentence.
    pub(super) headline: String,
    /// Names of public resolvers that it asked for in the last seven days: it may go around this one.
    pub(super) resolvers: Vec<NameLink>,
    /// Whether these names are blocked for all.
    pub(super) resolvers_blocked: bool,
    /// For how long it has asked nothing though it is there, where that is strange.
    pub(super) silence: Option<String>,
    pub(super) hits_today: String,
    pub(super) queries_today: String,
    pub(super) share_today: String,
    pub(super) periods: Vec<PeriodLink>,
    pub(super) period: Period,
    pub(super) chart: Chart,
    pub(super) companies: Vec<CompanyRow>,
    /// Companies that are not shown.
    pub(super) untold: usize,
    pub(super) kinds: Vec<KindRow>,
    pub(super) heat: Heat,
    pub(super) names: Vec<NameRow>,
    pub(super) latest: Vec<EventRow>,
    pub(super) settings: DeviceSettings,
}

/// One name that was asked for.
pub(super) struct NameRow {
    pub(super) name: NameLink,
    /// The tracker's name that hid behind it.
    pub(super) behind: Option<NameLink>,
    pub(super) who: Option<Who>,
    pub(super) hits: String,
    pub(super) queries: String,
    pub(super) button: Option<RuleButton>,
}

pub(super) async fn show(
    State(web): State<Arc<Web>>,
    uri: Uri,
    Path(key): Path<String>,
    Query(asked): Query<Asked>,
) -> Page {
    let unknown = || Failure::new(StatusCode::NOT_FOUND, "No device with this address has ever asked here.");
    let key: DeviceKey = key.parse().map_err(|_| unknown())?;
    let key = web.parts.devices.current().same(key);
    let times = Times::new(&web);
    let history = &web.parts.history;
    let period = asked.hours.and_then(Period::of_hours).unwrap_or(Period::Week);
    let (span, before) = (period.span(&times), period.before(&times));
    let (week, week_before) = (Period::Week.span(&times), Period::Week.before(&times));
    let latest =
        EventFilter { device: Some(key), hits_only: true, limit: LATEST_MAX, ..EventFilter::default() };
    let (devices, today, by_hour, companies, of_week, four_weeks, names, of_week_names, latest) = tokio::try_join!(
        history.devices(span),
        history.totals(times.today(), Some(key)),
        history.hours(span, Some(key)),
        history.companies(span, Some(before), Some(key), u32::MAX),
        history.companies(week, Some(week_before), Some(key), u32::MAX),
        history.hours(times.last_hours(RHYTHM_HOURS), Some(key)),
        history.names(span, Some(key), false, NAMES_MAX),
        history.names(week, Some(key), false, BYPASS_NAMES_MAX),
        history.events(latest),
    )?;
    let count = devices.into_iter().find(|count| count.device.key == key);
    let on_network = web.parts.devices.current().devices().into_iter().find(|(device, _)| device.key == key);
    let (device, addresses) = match (&count, on_network) {
        (Some(count), on_network) => (count.device.clone(), on_network.map(|(_, it)| it).unwrap_or_default()),
        (None, Some(on_network)) => on_network,
        (None, None) => return Err(unknown()),
    };
    let silent = silence::silent(&web, count.as_slice()).await?;
    let silence = silent.into_values().next().map(silence::words);
    let group = web.parts.devices.current().find_key(key).and_then(|known| known.group.clone());
    let frame = Frame::new(&web, &uri, Tab::Devices);
    let policy = web.parts.policy.current();
    let is_blocked =
        |name: &DomainName| matches!(policy.judge(&Question::of(&device, name.as_ref())), Verdict::Block(_));
    let name_row = |count: &NameCount| NameRow {
        name: (&count.name).into(),
        behind: count.behind.as_ref().map(Into::into),
        who: Who::behind(&count.attribution),
        hits: format::count(count.totals.hits),
        queries: format::count(count.totals.queries),
        button: RuleButton::against_on(&policy, &device, is_blocked(&count.name), &count.name, &frame.here),
    };
    let resolvers: Vec<_> = of_week_names.iter().filter(|count| is_doh_host(count.name.as_ref())).collect();
    let resolvers_blocked = resolvers.iter().all(|count| is_blocked(&count.name));
    let resolvers = resolvers.iter().take(RESOLVERS_MAX).map(|count| (&count.name).into()).collect();
    let names = names.iter().map(name_row).collect();
    let (key, zone) = (key.to_string(), &times.time_zone);
    let of = Of { device: Some(&key), company: None };
    let hits = companies.iter().map(|company| company.hits).sum();
    let of_this_week: Vec<_> = four_weeks.iter().filter(|hour| week.from <= hour.hour).copied().collect();
    let headline = headline(
        &device.name,
        &of_week,
        is_comparable(&count, week_before),
        Rhythm::new(&of_this_week, zone).mostly(),
    );
    page(&DevicePage {
        name: web
            .parts
            .devices
            .current()
            .name_of(device.key)
            .unwrap_or_else(|| Arc::clone(&device.name))
            .to_string(),
        addresses: addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        group: group.map(|group| group.name.to_string()),
        first_seen: count.as_ref().map(|count| times.ago(count.first_seen)),
        last_seen: count.as_ref().map(|count| times.ago(count.last_seen)),
        headline,
        resolvers,
        resolvers_blocked,
        silence,
        hits_today: format::count(today.hits),
        queries_today: format::counted(today.queries, "question", "questions"),
        share_today: format::share(today.hits, today.queries),
        periods: period.links(&format!("/devices/{key}")),
        period,
        chart: if period.is_by_day() {
            Chart::by_day(&by_hour, zone, of)
        } else {
            Chart::by_hour(&by_hour, zone, of)
        },
        companies: CompanyRow::all(
            companies.get(..COMPANIES_MAX).unwrap_or(&companies),
            hits,
            is_comparable(&count, before),
        ),
        untold: companies.len().saturating_sub(COMPANIES_MAX),
        kinds: KindRow::all(&companies),
        heat: Heat::new(&Rhythm::new(&four_weeks, zone)),
        names,
        latest: latest.iter().map(|event| EventRow::new(event, &web, &times, &frame.here)).collect(),
        settings: DeviceSettings::new(&web, device.key, &frame.here),
        key,
        frame,
    })
}

/// `Living-room TV was tracked by 9 companies in the last 7 days, mostly at night. Samba TV did most: 1,204 times, up 30 %.`
fn headline(
    device: &str,
    companies: &[CompanyCount],
    is_comparable: bool,
    mostly: Option<&'static str>,
) -> String {
    let Some(first) = companies.first() else {
        return format!("Nothing was blocked on {device} in the last 7 days.");
    };
    let mostly = mostly.map(|mostly| format!(", mostly {mostly}")).unwrap_or_default();
    let times = format::times(first.hits);
    let change = match change_of(first, is_comparable) {
        Change::Unknown => String::new(),
        change => change.text().map(|text| format!(", {text}")).unwrap_or_default(),
    };
    if companies.len() == 1 {
        return format!(
            "{device} was tracked by {} in the last 7 days{mostly}: {times}{change}.",
            first.name
        );
    }
    let number = format::counted(companies.len() as u64, "company", "companies");
    format!(
        "{device} was tracked by {number} in the last 7 days{mostly}. {} did most: {times}{change}.",
        first.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn company(name: &str, hits: u64, hits_before: u64) -> CompanyCount {
        CompanyCount {
            name: name.to_owned(),
            trackers: Vec::new(),
            hits,
            hits_before,
            cloaked: 0,
            devices: 1,
        }
    }

    #[track_caller]
    fn check(companies: &[CompanyCount], comparable: bool, mostly: Option<&'static str>, expected: &str) {
        assert_eq!(headline("TV", companies, comparable, mostly), expected);
    }

    #[test]
    fn the_headline_says_no_more_than_is_known() {
        let (samba, meta) = (company("Samba TV", 1_204, 926), company("Meta", 3, 0));
        check(
            &[samba.clone(), meta.clone()],
            true,
            Some("at night"),
            "TV was tracked by 2 companies in the last 7 days, mostly at night. Samba TV did most: 1,204 times, up 30 %.",
        );
        check(
            &[samba, meta.clone()],
            false,
            None,
            "TV was tracked by 2 companies in the last 7 days. Samba TV did most: 1,204 times.",
        );
        check(&[meta], true, None, "TV was tracked by Meta in the last 7 days: 3 times, new.");
        check(&[], true, None, "Nothing was blocked on TV in the last 7 days.");
    }
}
