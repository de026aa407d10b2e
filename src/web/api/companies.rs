//! Who tracks, and what is new.

#![expect(unused_qualifications, reason = "`utoipa::path` writes out the paths of parameter types")]

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::history::Asked;
use super::types::timestamp;
use super::{Answer, Device, DeviceCount, Error, NameCount, TrackerCount, Who};
use crate::history::{self, Span};
use crate::tracker::Attribution;
use crate::web::Web;
use crate::web::company::{change_of, is_comparable};
use crate::web::errors::Failure;
use crate::web::filter::device_key;
use crate::web::pages::{KNOWN, no_week};
use crate::web::period::earlier;
use crate::web::report::{Mail, Report, Wanted, gather};
use crate::web::view::Times;

/// One company, by the hits of its trackers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Company {
    /// What it is called; a registrable domain where the catalogue knows no company.
    pub name: String,
    /// How often it was blocked.
    pub hits: u64,
    /// The same within a span as long, at the same times of the week, before this one; null where the history does not
    /// reach back so far.
    pub hits_before: Option<u64>,
    /// What became of it, for people: `up 30 %`; null where there is nothing to say.
    pub change: Option<String>,
    /// Those of `hits` that hid behind a name of somebody else.
    pub cloaked: u64,
    /// On how many devices.
    pub devices: u64,
    /// Its trackers, those with the most hits first.
    pub trackers: Vec<TrackerCount>,
}

impl Company {
    fn new(count: &history::CompanyCount, is_comparable: bool) -> Self {
        Self {
            name: count.name.clone(),
            hits: count.hits,
            hits_before: is_comparable.then_some(count.hits_before),
            change: change_of(count, is_comparable).text(),
            cloaked: count.cloaked,
            devices: count.devices,
            trackers: count.trackers.iter().map(Into::into).collect(),
        }
    }
}

/// What is known of one company.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct CompanyDetail {
    /// How much.
    pub company: Company,
    /// What the catalogue knows of it: every product, also those that were not met.
    pub products: Vec<Who>,
    /// The devices that met it, those with the most hits first.
    pub devices: Vec<DeviceHits>,
    /// Its names that were blocked, those with the most hits first.
    pub names: Vec<NameCount>,
    /// Its hits in every hour of the span, in order.
    pub hours: Vec<HourHits>,
}

/// How often something was blocked on a device.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct DeviceHits {
    /// The device.
    pub device: Device,
    /// How often.
    pub hits: u64,
}

/// How often something was blocked in an hour.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct HourHits {
    /// Its first moment.
    pub hour: String,
    /// How often.
    pub hits: u64,
}

/// What happened for the first time.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct News {
    /// The first moment that is looked at.
    pub from: String,
    /// The first moment after.
    pub until: String,
    /// Devices that asked for the first time.
    pub devices: Vec<DeviceCount>,
    /// Trackers that met a device for the first time in four weeks, those with the most hits first.
    pub meetings: Vec<FirstMeeting>,
}

/// A tracker that met a device for the first time.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct FirstMeeting {
    /// Who it is.
    pub who: Who,
    /// The company, or the domain where the catalogue knows none.
    pub company: String,
    /// The device.
    pub device: Device,
    /// How often it was blocked since.
    pub hits: u64,
    /// Whether no device of the home had met it before.
    pub new_to_all: bool,
}

impl From<&history::FirstMeeting> for FirstMeeting {
    fn from(meeting: &history::FirstMeeting) -> Self {
        Self {
            who: (&meeting.attribution).into(),
            company: meeting.attribution.company(),
            device: (&meeting.device).into(),
            hits: meeting.hits,
            new_to_all: meeting.is_new_to_all,
        }
    }
}

/// Which report is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct AskedReport {
    /// `2026-W47`, `last` or `this`; the last week in which anything happened, unless said.
    week: String,
    /// Of one device only: its MAC or IP address.
    device: String,
    /// `json`, `text` or `html`; JSON unless said.
    format: String,
}

async fn comparable(web: &Web, before: Span, asked: &Asked) -> Result<bool, Failure> {
    let wanted = asked.device()?;
    let mut devices = web.parts.history.devices(Span { from: before.from, until: before.from }).await?;
    devices.retain(|count| wanted.is_none_or(|key| count.device.key == key));
    Ok(is_comparable(&devices, before))
}

/// The companies with the most hits, each compared with the week before.
#[utoipa::path(get, path = "/api/v1/companies", params(Asked), responses((status = 200, body = Vec<Company>), (status = 400, body = Error), (status = 503, body = Error)))]
pub(super) async fn companies(
    State(web): State<Arc<Web>>,
    Query(asked): Query<Asked>,
) -> Answer<Vec<Company>> {
    let span = asked.span(&web)?;
    let before = earlier(span);
    let is_comparable = comparable(&web, before, &asked).await?;
    let companies = web.parts.history.companies(span, Some(before), asked.device()?, asked.limit()).await?;
    Ok(Json(companies.iter().map(|count| Company::new(count, is_comparable)).collect()))
}

/// One company: its products, devices, names and hours.
#[utoipa::path(get, path = "/api/v1/companies/{name}", params(Asked, ("name" = String, Path, description = "The company, or the domain that stands for one.")), responses((status = 200, body = CompanyDetail), (status = 400, body = Error), (status = 404, body = Error), (status = 503, body = Error)))]
pub(super) async fn company(
    State(web): State<Arc<Web>>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer<CompanyDetail> {
    let span = asked.span(&web)?;
    let before = earlier(span);
    let detail = web.parts.history.company(span, Some(before), name.clone()).await?;
    let is_comparable = comparable(&web, before, &Asked::default()).await?;
    let catalogue = web.parts.catalogue.current();
    let of_company = catalogue.trackers().iter().filter(|tracker| tracker.company == name);
    let products: Vec<Who> =
        of_company.map(|tracker| (&Attribution::Tracker(Arc::clone(tracker))).into()).collect();
    let Some(detail) = detail else {
        if products.is_empty() {
            let message =
                format!("no company called `{name}` was met within the span, and the catalogue knows none");
            return Err(Failure::new(StatusCode::NOT_FOUND, message));
        }
        let company = Company {
            name,
            hits: 0,
            hits_before: None,
            change: None,
            cloaked: 0,
            devices: 0,
            trackers: Vec::new(),
        };
        let (devices, names, hours) = (Vec::new(), Vec::new(), Vec::new());
        return Ok(Json(CompanyDetail { company, products, devices, names, hours }));
    };
    let device =
        |(device, hits): &(crate::device::Device, u64)| DeviceHits { device: device.into(), hits: *hits };
    let hour = |(hour, hits): &(jiff::Timestamp, u64)| HourHits { hour: timestamp(*hour), hits: *hits };
    Ok(Json(CompanyDetail {
        company: Company::new(&detail.count, is_comparable),
        products,
        devices: detail.devices.iter().map(device).collect(),
        names: detail.names.iter().map(Into::into).collect(),
        hours: detail.hours.iter().map(hour).collect(),
    }))
}

/// What happened within the span for the first time: devices, and trackers on a device.
#[utoipa::path(get, path = "/api/v1/news", params(Asked), responses((status = 200, body = News), (status = 400, body = Error), (status = 503, body = Error)))]
pub(super) async fn news(State(web): State<Arc<Web>>, Query(asked): Query<Asked>) -> Answer<News> {
    let (span, wanted) = (asked.span(&web)?, asked.device()?);
    let news = web.parts.history.news(span, KNOWN).await?;
    let table = web.parts.devices.current();
    let is_wanted = |device: &crate::device::Device| wanted.is_none_or(|key| device.key == key);
    let devices = news.devices.iter().filter(|count| is_wanted(&count.device));
    let meetings = news.meetings.iter().filter(|meeting| is_wanted(&meeting.device));
    Ok(Json(News {
        from: timestamp(span.from),
        until: timestamp(span.until),
        devices: devices.map(|count| DeviceCount::new(count, table.find_key(count.device.key))).collect(),
        meetings: meetings.map(Into::into).collect(),
    }))
}

/// Who tracked whom in one week.
#[utoipa::path(get, path = "/api/v1/report", params(AskedReport), responses((status = 200, body = Report), (status = 400, body = Error), (status = 404, body = Error), (status = 503, body = Error)))]
pub(super) async fn report(
    State(web): State<Arc<Web>>,
    Query(asked): Query<AskedReport>,
) -> Result<Response, Failure> {
    let times = Times::new(&web);
    let wanted = Wanted::parse(&asked.week).ok_or_else(|| no_week(&asked.week))?;
    let key = device_key(Some(&asked.device))?;
    let report = gather(&web.parts.history, &times, wanted, key).await?.report;
    if key.is_some() && report.device.is_none() {
        return Err(Failure::new(StatusCode::NOT_FOUND, "no device with this address has ever asked here"));
    }
    let saved_as = |ending: &str| format!("attachment; filename=\"pixelsink-{}.{ending}\"", report.week);
    match &*asked.format {
        "" | "json" => Ok(Json(&report).into_response()),
        "text" => {
            let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
            Ok((headers, report.text()).into_response())
        }
        // To be kept or sent: its styles stand within, which our pages may not have.
        "html" => {
            let html = askama::Template::render(&Mail { report: &report })?;
            let kind = "text/html; charset=utf-8".to_owned();
            Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, saved_as("html"))], html)
                .into_response())
        }
        other => {
            Err(Failure::bad_request(format!("`{other}` is no format; there are `json`, `text` and `html`.")))
        }
    }
}
