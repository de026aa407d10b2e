//! `/`: what was blocked today, by whom the home is tracked, and what is wrong.

use std::net::SocketAddr;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Uri, header};
use serde::Deserialize;

use super::{Page, page};
use crate::history::{DeviceCount, EventFilter, TrackerCount};
use crate::web::chart::Chart;
use crate::web::format;
use crate::web::pages::devices::DeviceRow;
use crate::web::problems::{Problem, problems};
use crate::web::view::{EventRow, Frame, Prose, Tab, Times, Who};
use crate::web::{About, Web};

/// How many trackers are shown.
const TRACKERS_MAX: u32 = 12;
/// How many of the latest hits are shown.
const LATEST_MAX: u32 = 6;
/// From so many questions on, a single device that asks them all is probably a router.
const ROUTER_QUERIES_MIN: u64 = 200;

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
    /// One address asks everything.
    pub(super) router: Option<String>,
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

/// How to begin.
pub(super) struct Welcome {
    /// An address that devices can reach, where one is known.
    pub(super) server: String,
    pub(super) is_known: bool,
    pub(super) dig: String,
    pub(super) listens: Vec<String>,
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
    let problems = problems(&web, &about, &health);
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
        router: lone_asker(&devices),
        devices: {
            let table = web.parts.devices.current();
            devices
                .iter()
                .map(|count| DeviceRow::new(count, table.find_key(count.device.key), &times))
                .collect()
        },
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

/// The one device that asks for everybody, if it looks like one.
fn lone_asker(devices: &[DeviceCount]) -> Option<String> {
    let mut asking = devices.iter().filter(|device| {
        let is_loopback = &*device.device.name == "this machine";
        0 < device.totals.queries && !is_loopback
    });
    let (first, second) = (asking.next()?, asking.next());
    (second.is_none() && ROUTER_QUERIES_MIN <= first.totals.queries).then(|| first.device.name.to_string())
}

impl Welcome {
    fn new(about: &About, host: &str) -> Self {
        let concrete = about.dns_listen.iter().find(|listen| !listen.ip().is_unspecified());
        let by_wildcard = about.dns_listen.iter().find(|listen| listen.ip().is_unspecified());
        // The browser reached this machine by the address in `Host`, so a device can too.
        let by_host = || host.parse::<SocketAddr>().map(|host| host.ip()).or_else(|_| host.parse());
        let server = match (concrete, by_wildcard) {
            (Some(concrete), None) => Some(*concrete),
            (concrete, Some(wildcard)) => {
                let by_host = by_host().ok().map(|address| SocketAddr::new(address, wildcard.port()));
                by_host.filter(|host| !host.ip().is_loopback()).or(concrete.copied())
            }
            (None, None) => None,
        };
        let port = server.or(by_wildcard.copied()).map_or(53, |server| server.port());
        let port = if port == 53 { String::new() } else { format!(" -p {port}") };
        let address =
            server.map_or_else(|| "the address of this machine".to_owned(), |server| server.ip().to_string());
        let at = server.map_or_else(|| "127.0.0.1".to_owned(), |server| server.ip().to_string());
        Self {
            server: address,
            is_known: server.is_some(),
            dig: format!("dig @{at}{port} google-analytics.com"),
            listens: about.dns_listen.iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listen: &[&str], host: &str, server: &str, dig: &str) {
        let dns_listen = listen.iter().map(|address| address.parse().unwrap()).collect();
        let welcome = Welcome::new(&About { dns_listen, ..About::default() }, host);
        assert_eq!((&*welcome.server, &*welcome.dig), (server, dig));
    }

    #[test]
    fn a_first_visitor_is_told_an_address_that_works() {
        let dig = "dig @192.168.1.5 google-analytics.com";
        check(&["0.0.0.0:53"], "192.168.1.5:8053", "192.168.1.5", dig);
        check(&["192.168.1.5:53", "0.0.0.0:53"], "pi.lan", "192.168.1.5", dig);
        check(&["192.168.1.5:53"], "10.0.0.1", "192.168.1.5", dig);
        check(&["127.0.0.1:5300"], "localhost", "127.0.0.1", "dig @127.0.0.1 -p 5300 google-analytics.com");
        let unknown = "the address of this machine";
        check(&["0.0.0.0:53"], "127.0.0.1:8053", unknown, "dig @127.0.0.1 google-analytics.com");
        check(&[], "", unknown, "dig @127.0.0.1 google-analytics.com");
    }
}
