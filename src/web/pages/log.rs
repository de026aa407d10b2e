//! `/log`: the latest questions, filtered, page by page; the first page grows as questions come in.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::Uri;
use serde::Deserialize;

use super::{Page, page};
use crate::device::DeviceKey;
use crate::history::EventFilter;
use crate::web::Web;
use crate::web::errors::Failure;
use crate::web::format::percent_encoded;
use crate::web::view::{DeviceLink, EventRow, Frame, Tab, Times};

/// How many questions a page has.
const PAGE_LEN: u32 = 100;

/// The filter form; all of it optional, so that a bare `/log` works.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    device: String,
    /// `hits` or empty.
    show: String,
    name: String,
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "log.html")]
pub(super) struct Log {
    pub(super) frame: Frame,
    pub(super) devices: Vec<DeviceChoice>,
    pub(super) hits_only: bool,
    pub(super) name: String,
    pub(super) is_filtered: bool,
    pub(super) rows: Vec<EventRow>,
    /// Where live rows come from; only the first page has them.
    pub(super) live: Option<String>,
    /// The time zone in which the script shows times, as the rest of the page does.
    pub(super) zone: String,
    pub(super) newest: Option<String>,
    pub(super) older: Option<String>,
}

pub(super) struct DeviceChoice {
    pub(super) device: DeviceLink,
    pub(super) is_current: bool,
}

impl Asked {
    fn device_key(&self) -> Result<Option<DeviceKey>, Failure> {
        let key = Some(&self.device).filter(|key| !key.is_empty());
        let parsed = key.map(|key| key.parse()).transpose();
        parsed.map_err(|error| Failure::bad_request(format!("`{}` names no device: {error}.", self.device)))
    }

    fn is_filtered(&self) -> bool {
        !self.device.is_empty() || self.show == "hits" || !self.name.trim().is_empty()
    }

    /// The page with this filter that begins before an event.
    fn address(&self, before: Option<i64>) -> String {
        let mut pairs = Vec::new();
        if !self.device.is_empty() {
            pairs.push(format!("device={}", percent_encoded(&self.device)));
        }
        if self.show == "hits" {
            pairs.push("show=hits".to_owned());
        }
        if !self.name.trim().is_empty() {
            pairs.push(format!("name={}", percent_encoded(self.name.trim())));
        }
        pairs.extend(before.map(|id| format!("before={id}")));
        if pairs.is_empty() { "/log".to_owned() } else { format!("/log?{}", pairs.join("&")) }
    }

    fn live_address(&self) -> String {
        let (device, name) = (percent_encoded(&self.device), percent_encoded(self.name.trim()));
        let hits_only = self.show == "hits";
        format!("/api/v1/events/live?hits_only={hits_only}&device={device}&name_contains={name}")
    }
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri, Query(asked): Query<Asked>) -> Page {
    let times = Times::new(&web);
    let device = asked.device_key()?;
    let name = asked.name.trim();
    let filter = EventFilter {
        device,
        hits_only: asked.show == "hits",
        name_contains: (!name.is_empty()).then(|| name.to_ascii_lowercase()),
        before: asked.before,
        limit: PAGE_LEN,
        ..EventFilter::default()
    };
    let history = &web.parts.history;
    // Only who there is, not what they asked: within an empty span nothing is counted.
    let (events, mut devices) =
        tokio::try_join!(history.events(filter), history.devices(times.last_hours(0)))?;
    devices.sort_by(|one, other| one.device.name.cmp(&other.device.name));
    let frame = Frame::new(&web, &uri, Tab::Log);
    let is_full = events.len() >= usize::try_from(PAGE_LEN).unwrap_or(usize::MAX);
    let older = events.last().filter(|_| is_full).map(|last| asked.address(Some(last.id)));
    page(&Log {
        devices: devices
            .iter()
            .map(|count| DeviceChoice {
                device: (&count.device).into(),
                is_current: Some(count.device.key) == device,
            })
            .collect(),
        hits_only: asked.show == "hits",
        is_filtered: asked.is_filtered(),
        rows: events.iter().map(|event| EventRow::new(event, &web, &times, &frame.here)).collect(),
        live: asked.before.is_none().then(|| asked.live_address()),
        zone: zone(&times),
        newest: asked.before.map(|_| asked.address(None)),
        older,
        name: name.to_owned(),
        frame,
    })
}

/// The time zone as browsers know it: its name, or its offset now where it has none (`TZ=CET-1`, a copied file).
fn zone(times: &Times) -> String {
    if times.time_zone.is_unknown() {
        return "UTC".to_owned();
    }
    let offset = || times.now.to_zoned_datetime(times.time_zone.clone()).strftime("%:z").to_string();
    times.time_zone.iana_name().map_or_else(offset, str::to_owned)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn live_rows_are_told_the_zone_of_the_other_rows() {
        let zone = |time_zone| zone(&Times { now: Timestamp::UNIX_EPOCH, time_zone });
        assert_eq!(zone(TimeZone::get("Europe/Berlin").unwrap()), "Europe/Berlin");
        assert_eq!(zone(TimeZone::posix("CET-1").unwrap()), "+01:00");
        assert_eq!(zone(TimeZone::UTC), "UTC");
        assert_eq!(zone(TimeZone::unknown()), "UTC");
    }

    #[test]
    fn a_filter_stands_in_the_addresses_of_its_pages() {
        let asked = Asked { device: "::1".into(), show: "hits".into(), name: " a&b ".into(), before: None };
        assert_eq!(asked.address(Some(7)), "/log?device=%3A%3A1&show=hits&name=a%26b&before=7");
        assert_eq!(
            asked.live_address(),
            "/api/v1/events/live?hits_only=true&device=%3A%3A1&name_contains=a%26b"
        );
        assert_eq!(Asked::default().address(None), "/log");
    }
}
