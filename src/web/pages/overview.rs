//! `/`: what was blocked today, by whom the home is tracked, and what is wrong.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Uri, header};
use serde::Deserialize;

use super::welcome::Welcome;
use super::{Page, page};
use crate::history::{EventFilter, TrackerCount};
use crate::web::Web;
use crate::web::chart::Chart;
use crate::web::format;
use crate::web::pages::devices::DeviceRow;
use crate::web::problems::{Problem, problems};
use crate::web::view::{EventRow, Frame, Prose, Tab, Times, Who};

/// How many trackers are shown.
const TRACKERS_MAX: u32 = 12;
/// How many of the latest hits are shown.
const LATEST_MAX: u32 = 6;

/// The spans that can be chosen: hours and what they are called.
const SPANS: [(u32, &str); 3] = [(24, "24 hours"), (168, "7 days"), (720, "30 days")];

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
    pub(super) spans: Vec<SpanChoice>,
    /// The span of trackers and devices, as it is called.
    pub(super) span_name: &'static str,
    /// The first tracker, in a sentence.
    pub(super) headline: Option<String>,
    pub(super) trackers: Vec<TrackerRow>,
    pub(super) devices: Vec<DeviceRow>,
    pub(super) latest: Vec<EventRow>,
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

pub(super) struct SpanChoice {
    pub(super) hours: u32,
    pub(super) name: &'static str,
    pub(super) is_current: bool,
}

/// One tracker.
pub(super) struct TrackerRow {
    pub(super) who: Who,
    pub(super) hits: String,
    pub(super) devices: String,
    /// Its hits in hundredths of those of the first.
    pub(super) percent: u64,
}

impl TrackerRow {
    pub(super) fn all(trackers: &[TrackerCount]) -> Vec<Self> {
        let most = trackers.first().map_or(1, |first| first.hits.max(1));
        let row = |tracker: &TrackerCount| Self {
            who: (&tracker.attribution).into(),
            hits: format::count(tracker.hits),
            devices: format::counted(tracker.devices, "device", "devices"),
            percent: (tracker.hits.saturating_mul(100) / most).clamp(1, 100),
        };
        trackers.iter().map(row).collect()
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
    let (hours, span_name) =
        SPANS.into_iter().find(|(hours, _)| Some(*hours) == asked.hours).unwrap_or((24, "24 hours"));
    let (span, day) = (times.last_hours(hours), times.last_hours(24));
    let latest = EventFilter { hits_only: true, limit: LATEST_MAX, ..EventFilter::default() };
    let (today, by_hour, trackers, devices, latest, health) = tokio::try_join!(
        history.totals(times.today(), None),
        history.hours(day, None),
        history.trackers(span, None, TRACKERS_MAX),
        history.devices(span),
        history.events(latest),
        history.health(),
    )?;
    let about = (web.parts.about)();
    let frame = Frame::new(&web, &uri, Tab::Overview);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let problems = problems(&web, &about, &health).await?;
    let span_choice = |(choice, name)| SpanChoice { hours: choice, name, is_current: choice == hours };
    page(&Overview {
        problems: problems.into_iter().map(Into::into).collect(),
        welcome: devices.is_empty().then(|| Welcome::new(&about, host)),
        hits_today: format::count(today.hits),
        queries_today: format::counted(today.queries, "question", "questions"),
        share_today: format::share(today.hits, today.queries),
        chart: Chart::new(&by_hour, &times.time_zone),
        spans: SPANS.into_iter().map(span_choice).collect(),
        span_name,
        headline: trackers.first().map(headline),
        trackers: TrackerRow::all(&trackers),
        devices: devices.iter().map(|device| DeviceRow::new(device, &times)).collect(),
        latest: latest.iter().map(|event| EventRow::new(event, &web, &times, &frame.here)).collect(),
        frame,
    })
}

/// `Samba TV was blocked 1,204 times on 2 devices`.
fn headline(tracker: &TrackerCount) -> String {
    let who = Who::from(&tracker.attribution).title;
    let devices = format::counted(tracker.devices, "device", "devices");
    format!("{who} was blocked {} on {devices}", format::times(tracker.hits))
}
