//! `/`: what was blocked today, by whom the home is tracked, what is new, and what is wrong.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Uri, header};
use serde::Deserialize;

use super::news::NewsView;
use super::welcome::Welcome;
use super::{Page, page};
use crate::history::{CompanyCount, DeviceCount, EventFilter};
use crate::web::Web;
use crate::web::chart::{Chart, Of};
use crate::web::company::{Change, CompanyRow, change_of, is_comparable};
use crate::web::format;
use crate::web::period::{Period, PeriodLink};
use crate::web::problems::{Problem, problems};
use crate::web::view::{DeviceLink, EventRow, Frame, Moment, Prose, Tab, Times};

/// How many companies are shown.
const COMPANIES_MAX: usize = 10;
/// How many devices are shown.
const DEVICES_MAX: usize = 10;
/// How many of the latest hits are shown.
const LATEST_MAX: u32 = 6;

#[derive(Deserialize)]
pub(super) struct Asked {
    hours: Option<u32>,
}

#[derive(Template)]
#[template(path = "overview.html")]
pub(super) struct Overview {
    pub(super) frame: Frame,
    pub(super) problems: Vec<ProblemLine>,
    /// Nothing has been asked yet.
    pub(super) welcome: Option<Welcome>,
    pub(super) hits_today: String,
    pub(super) queries_today: String,
    pub(super) share_today: String,
    pub(super) chart: Chart,
    pub(super) periods: Vec<PeriodLink>,
    /// The span of all but today's numbers, as it is called.
    pub(super) period: Period,
    /// The first company, in a sentence.
    pub(super) headline: Option<String>,
    /// How many companies there were in all.
    pub(super) companies_total: String,
    pub(super) companies: Vec<CompanyRow>,
    pub(super) devices: Vec<TopDevice>,
    pub(super) news: NewsView,
    pub(super) latest: Vec<EventRow>,
}

/// One of the devices with the most hits.
pub(super) struct TopDevice {
    pub(super) device: DeviceLink,
    pub(super) hits: String,
    pub(super) queries: String,
    pub(super) share: String,
    pub(super) trackers: String,
    /// Its hits in hundredths of those of the first.
    pub(super) percent: u64,
    pub(super) last_seen: Moment,
}

impl TopDevice {
    pub(super) fn all(devices: &[DeviceCount], times: &Times) -> Vec<Self> {
        let most = devices.iter().map(|device| device.totals.hits).max().unwrap_or(1).max(1);
        let row = |count: &DeviceCount| Self {
            device: (&count.device).into(),
            hits: format::count(count.totals.hits),
            queries: format::counted(count.totals.queries, "question", "questions"),
            share: format::share(count.totals.hits, count.totals.queries),
            trackers: format::counted(count.trackers, "tracker", "trackers"),
            percent: count.totals.hits.saturating_mul(100) / most,
            last_seen: times.ago(count.last_seen),
        };
        let asking = devices.iter().filter(|device| 0 < device.totals.queries);
        asking.take(DEVICES_MAX).map(row).collect()
    }
}

/// A [`Problem`] as it is shown.
pub(super) struct ProblemLine {
    pub(super) text: Prose,
    pub(super) link: Option<(String, &'static str)>,
}

impl From<Problem> for ProblemLine {
    fn from(problem: Problem) -> Self {
        Self { text: problem.text.as_str().into(), link: problem.link }
    }
}

pub(super) async fn show(
    State(web): State<Arc<Web>>,
    uri: Uri,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Page {
    let times = Times::new(&web);
    let history = &web.parts.history;
    let period = asked.hours.and_then(Period::of_hours).unwrap_or(Period::Day);
    let (span, before) = (period.span(&times), period.before(&times));
    let latest = EventFilter { hits_only: true, limit: LATEST_MAX, ..EventFilter::default() };
    let (today, by_hour, companies, devices, latest, health, news) = tokio::try_join!(
        history.totals(times.today(), None),
        history.hours(span, None),
        history.companies(span, Some(before), None, u32::MAX),
        history.devices(span),
        history.events(latest),
        history.health(),
        NewsView::gather(&web, &times),
    )?;
    let about = (web.parts.about)();
    let frame = Frame::new(&web, &uri, Tab::Overview);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let problems = problems(&web, &about, &health).await?;
    let zone = &times.time_zone;
    let of = Of::default();
    let hits = companies.iter().map(|company| company.hits).sum();
    let comparable = is_comparable(&devices, before);
    let shown = companies.get(..COMPANIES_MAX).unwrap_or(&companies);
    page(&Overview {
        problems: problems.into_iter().map(Into::into).collect(),
        welcome: devices.is_empty().then(|| Welcome::new(&about, host)),
        hits_today: format::count(today.hits),
        queries_today: format::counted(today.queries, "question", "questions"),
        share_today: format::share(today.hits, today.queries),
        chart: if period.is_by_day() {
            Chart::by_day(&by_hour, zone, of)
        } else {
            Chart::by_hour(&by_hour, zone, of)
        },
        periods: period.links("/"),
        period,
        headline: companies.first().map(|first| headline(first, change_of(first, comparable))),
        companies_total: format::counted(companies.len() as u64, "company", "companies"),
        companies: CompanyRow::all(shown, hits, comparable),
        devices: TopDevice::all(&devices, &times),
        news,
        latest: latest.iter().map(|event| EventRow::new(event, &web, &times, &frame.here)).collect(),
        frame,
    })
}

/// `Samba TV was blocked 1,204 times on 2 devices, up 30 %`.
fn headline(company: &CompanyCount, change: Change) -> String {
    let devices = format::counted(company.devices, "device", "devices");
    let change = match change {
        Change::Unknown => String::new(),
        change => change.text().map(|text| format!(", {text}")).unwrap_or_default(),
    };
    format!("{} was blocked {} on {devices}{change}", company.name, format::times(company.hits))
}
