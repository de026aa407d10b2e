//! `/log`: the latest questions, filtered, page by page; the first page grows as questions come in.
//!
//! Each filter is a part of the address, so that a view can be kept and sent on.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::Uri;
use jiff::Timestamp;
use serde::Deserialize;

use super::{Page, page};
use crate::web::Web;
use crate::web::filter::{AskedEvents, VERDICTS};
use crate::web::format::percent_encoded;
use crate::web::view::{DeviceLink, EventRow, Frame, Tab, Times};

/// How many questions a page has.
const PAGE_LEN: u32 = 100;
/// How long the first page looks for them. The pages behind it, which load by themselves on scrolling, look longer.
const PATIENCE_OF_FIRST: Duration = Duration::from_millis(50);
/// The types that can be chosen; others can be written into the address.
const TYPES: [&str; 8] = ["A", "AAAA", "HTTPS", "PTR", "SRV", "TXT", "MX", "SVCB"];

/// The filter form; all of it optional, so that a bare `/log` works.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    device: String,
    company: String,
    name: String,
    /// One of [`VERDICTS`].
    verdict: String,
    #[serde(rename = "type")]
    qtype: String,
    from: String,
    until: String,
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "log.html")]
pub(super) struct Log {
    pub(super) frame: Frame,
    pub(super) devices: Vec<DeviceChoice>,
    pub(super) company: String,
    pub(super) name: String,
    pub(super) verdicts: Vec<Choice>,
    pub(super) types: Vec<Choice>,
    /// As a browser's field for a date and a time has it.
    pub(super) from: String,
    pub(super) until: String,
    pub(super) is_filtered: bool,
    /// Whether a filter is set that is folded away.
    pub(super) has_more_filters: bool,
    pub(super) rows: Vec<EventRow>,
    /// Where live rows come from; only the first page has them.
    pub(super) live: Option<String>,
    /// The time zone in which the script shows times, as the rest of the page does.
    pub(super) zone: String,
    pub(super) newest: Option<String>,
    pub(super) older: Option<String>,
    /// Whether there may be more rows before `older`, and the page only stopped to look.
    pub(super) is_cut: bool,
}

pub(super) struct DeviceChoice {
    pub(super) device: DeviceLink,
    pub(super) is_current: bool,
}

/// Something that can be chosen.
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) is_current: bool,
}

impl Choice {
    /// All choices; what is chosen and not among them is added.
    fn among(all: &[&str], chosen: &str) -> Vec<Self> {
        let choice = |value: &str| Self { value: value.to_owned(), is_current: value == chosen };
        let other = (!chosen.is_empty() && !all.contains(&chosen)).then(|| choice(chosen));
        all.iter().copied().map(choice).chain(other).collect()
    }
}

impl Asked {
    /// The filters that are set, as they stand in addresses.
    fn pairs(&self) -> Vec<(&'static str, &str)> {
        let pairs = [
            ("device", self.device.trim()),
            ("company", self.company.trim()),
            ("name", self.name.trim()),
            ("verdict", self.verdict.trim()),
            ("type", self.qtype.trim()),
            ("from", self.from.trim()),
            ("until", self.until.trim()),
        ];
        pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    /// The page with this filter that begins before an event.
    fn address(&self, before: Option<i64>) -> String {
        let mut pairs: Vec<String> =
            self.pairs().iter().map(|(key, value)| format!("{key}={}", percent_encoded(value))).collect();
        pairs.extend(before.map(|id| format!("before={id}")));
        if pairs.is_empty() { "/log".to_owned() } else { format!("/log?{}", pairs.join("&")) }
    }

    fn filter(&self) -> AskedEvents {
        let set = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        AskedEvents {
            device: set(&self.device),
            company: set(&self.company),
            name_contains: set(&self.name),
            verdict: set(&self.verdict),
            qtype: set(&self.qtype),
            from: set(&self.from),
            until: set(&self.until),
            before: self.before,
            limit: Some(PAGE_LEN),
            hits_only: false,
        }
    }

    fn live_address(&self, until: Option<Timestamp>, now: Timestamp) -> Option<String> {
        // Nothing will happen before a moment that is past.
        if self.before.is_some() || until.is_some_and(|until| until <= now) {
            return None;
        }
        let pair = |(key, value): &(&str, &str)| {
            let key = if *key == "name" { "name_contains" } else { key };
            format!("{key}={}", percent_encoded(value))
        };
        let pairs: Vec<String> = self.pairs().iter().map(pair).collect();
        Some(format!("/api/v1/events/live?{}", pairs.join("&")))
    }
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri, Query(asked): Query<Asked>) -> Page {
    let times = Times::new(&web);
    let mut filter = asked.filter().filter(&times)?;
    filter.patience = asked.before.is_none().then_some(PATIENCE_OF_FIRST);
    let (device, from, until) = (filter.device, filter.from, filter.until);
    let history = &web.parts.history;
    // Only who there is, not what they asked: within an empty span nothing is counted.
    let (found, mut devices) = tokio::try_join!(history.scan(filter), history.devices(times.last_hours(0)))?;
    let events = found.events;
    devices.sort_by(|one, other| one.device.name.cmp(&other.device.name));
    let frame = Frame::new(&web, &uri, Tab::Log);
    let is_full = events.len() >= usize::try_from(PAGE_LEN).unwrap_or(usize::MAX);
    let last = events.last().filter(|_| is_full).map(|last| last.id);
    let older = last.or(found.cut_at).map(|id| asked.address(Some(id)));
    let field = |at: Option<Timestamp>| {
        at.map(|at| times.on_wall(at).strftime("%Y-%m-%dT%H:%M").to_string()).unwrap_or_default()
    };
    page(&Log {
        devices: devices
            .iter()
            .map(|count| DeviceChoice {
                device: (&count.device).into(),
                is_current: Some(count.device.key) == device,
            })
            .collect(),
        company: asked.company.trim().to_owned(),
        name: asked.name.trim().to_owned(),
        verdicts: Choice::among(&VERDICTS.map(|(word, _)| word), asked.verdict.trim()),
        types: Choice::among(&TYPES, &asked.qtype.trim().to_ascii_uppercase()),
        from: field(from),
        until: field(until),
        is_filtered: !asked.pairs().is_empty(),
        has_more_filters: asked
            .pairs()
            .iter()
            .any(|(key, _)| ["company", "type", "from", "until"].contains(key)),
        rows: events.iter().map(|event| EventRow::new(event, &web, &times, &frame.here)).collect(),
        live: asked.live_address(until, times.now),
        zone: zone(&times),
        newest: asked.before.map(|_| asked.address(None)),
        older,
        is_cut: found.cut_at.is_some(),
        frame,
    })
}

/// The time zone as browsers know it: its name, or its offset now where it has none (`TZ=CET-1`, a copied file).
fn zone(times: &Times) -> String {
    if times.time_zone.is_unknown() {
        return "UTC".to_owned();
    }
    let offset = || times.on_wall(times.now).strftime("%:z").to_string();
    times.time_zone.iana_name().map_or_else(offset, str::to_owned)
}

#[cfg(test)]
mod tests {
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
        let text = str::to_owned;
        let asked = Asked {
            device: text("::1"),
            verdict: text("blocked"),
            name: text(" a&b "),
            company: text("A/B"),
            qtype: text("AAAA"),
            from: text("5m"),
            ..Asked::default()
        };
        let filters = "device=%3A%3A1&company=A%2FB&name=a%26b&verdict=blocked&type=AAAA&from=5m";
        assert_eq!(asked.address(Some(7)), format!("/log?{filters}&before=7"));
        let now = Timestamp::UNIX_EPOCH;
        let live = format!("/api/v1/events/live?{}", filters.replace("name=", "name_contains="));
        assert_eq!(asked.live_address(None, now), Some(live));
        assert_eq!(asked.live_address(Some(now), now), None, "nothing comes in any more");
        assert_eq!(Asked { before: Some(7), ..asked }.live_address(None, now), None);
        assert_eq!(Asked::default().address(None), "/log");
    }

    #[test]
    fn what_was_chosen_is_among_the_choices() {
        let shown = |chosen| {
            let choices = Choice::among(&["A", "AAAA"], chosen);
            choices
                .iter()
                .map(|it| format!("{}{}", it.value, if it.is_current { "!" } else { "" }))
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(""), ["A", "AAAA"]);
        assert_eq!(shown("AAAA"), ["A", "AAAA!"]);
        assert_eq!(shown("TYPE65280"), ["A", "AAAA", "TYPE65280!"]);
    }
}
