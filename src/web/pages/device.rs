//! `/devices/{key}`: one device, who tracks it and with what.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};

use super::overview::TrackerRow;
use super::{Page, page};
use crate::device::DeviceKey;
use crate::history::{EventFilter, NameCount};
use crate::policy::{Question, Verdict};
use crate::web::Web;
use crate::web::chart::Chart;
use crate::web::errors::Failure;
use crate::web::format;
use crate::web::view::{EventRow, Frame, Moment, NameLink, RuleButton, Tab, Times, Who};

/// How many trackers and names are shown.
const ROWS_MAX: u32 = 25;
/// How many of the latest hits are shown.
const LATEST_MAX: u32 = 25;

#[derive(Template)]
#[template(path = "device.html")]
pub(super) struct DevicePage {
    pub(super) frame: Frame,
    pub(super) name: String,
    pub(super) key: String,
    pub(super) addresses: String,
    pub(super) first_seen: Option<Moment>,
    pub(super) last_seen: Option<Moment>,
    pub(super) hits_today: String,
    pub(super) queries_today: String,
    pub(super) share_today: String,
    pub(super) chart: Chart,
    pub(super) trackers: Vec<TrackerRow>,
    pub(super) names: Vec<NameRow>,
    pub(super) latest: Vec<EventRow>,
}

/// One name that was asked for.
pub(super) struct NameRow {
    pub(super) name: NameLink,
    pub(super) who: Option<Who>,
    pub(super) hits: String,
    pub(super) queries: String,
    pub(super) button: Option<RuleButton>,
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri, Path(key): Path<String>) -> Page {
    let unknown = || Failure::new(StatusCode::NOT_FOUND, "No device with this address has ever asked here.");
    let key: DeviceKey = key.parse().map_err(|_| unknown())?;
    let times = Times::new(&web);
    let history = &web.parts.history;
    let day = times.last_hours(24);
    let latest =
        EventFilter { device: Some(key), hits_only: true, limit: LATEST_MAX, ..EventFilter::default() };
    let (devices, today, by_hour, trackers, names, latest) = tokio::try_join!(
        history.devices(day),
        history.totals(times.today(), Some(key)),
        history.hours(day, Some(key)),
        history.trackers(day, Some(key), ROWS_MAX),
        history.names(day, Some(key), false, ROWS_MAX),
        history.events(latest),
    )?;
    let count = devices.into_iter().find(|count| count.device.key == key);
    let on_network = web.parts.devices.current().devices().into_iter().find(|(device, _)| device.key == key);
    let (device, addresses) = match (&count, on_network) {
        (Some(count), on_network) => (count.device.clone(), on_network.map(|(_, it)| it).unwrap_or_default()),
        (None, Some(on_network)) => on_network,
        (None, None) => return Err(unknown()),
    };
    let frame = Frame::new(&web, &uri, Tab::Devices);
    let policy = web.parts.policy.current();
    let name_row = |count: &NameCount| NameRow {
        name: (&count.name).into(),
        who: Who::behind(&count.attribution),
        hits: format::count(count.totals.hits),
        queries: format::count(count.totals.queries),
        button: {
            let is_blocked =
                matches!(policy.judge(&Question::of(&device, count.name.as_ref())), Verdict::Block(_));
            RuleButton::against_on(&policy, &device, is_blocked, &count.name, &frame.here)
        },
    };
    let names = names.iter().map(name_row).collect();
    page(&DevicePage {
        name: device.name.to_string(),
        key: key.to_string(),
        addresses: addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        first_seen: count.as_ref().map(|count| times.ago(count.first_seen)),
        last_seen: count.as_ref().map(|count| times.ago(count.last_seen)),
        hits_today: format::count(today.hits),
        queries_today: format::counted(today.queries, "question", "questions"),
        share_today: format::share(today.hits, today.queries),
        chart: Chart::new(&by_hour, &times.time_zone),
        trackers: TrackerRow::all(&trackers),
        names,
        latest: latest.iter().map(|event| EventRow::new(event, &web, &times, &frame.here)).collect(),
        frame,
    })
}
