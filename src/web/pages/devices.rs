//! `/devices`: all devices, also those that ask somebody else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::Uri;
use serde::Deserialize;

use super::device_settings::{is_gateway, name_from};
use super::overview::ProblemLine;
use super::{Page, page};
use crate::device::KnownDevice;
use crate::history::{DeviceCount, Totals};
use crate::web::Web;
use crate::web::format;
use crate::web::problems::one_for_all;
use crate::web::silence;
use crate::web::view::{DeviceLink, Frame, KindIcon, Moment, Tab, Times};

#[derive(Template)]
#[template(path = "devices.html")]
pub(super) struct Devices {
    pub(super) frame: Frame,
    pub(super) columns: Vec<Column>,
    pub(super) devices: Vec<DeviceRow>,
    pub(super) silent: Vec<SilentDevice>,
    /// One device asks for all others.
    pub(super) router: Option<ProblemLine>,
}

/// In which order devices are shown.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    sort: String,
}

impl Default for Asked {
    fn default() -> Self {
        Self { sort: "blocked".to_owned() }
    }
}

/// A heading, by which the table can be sorted.
pub(super) struct Column {
    pub(super) word: &'static str,
    pub(super) label: &'static str,
    pub(super) is_number: bool,
    pub(super) is_current: bool,
}

/// What the table can be sorted by: a word for the address, the heading, and whether it is a number.
const COLUMNS: [(&str, &str, bool); 6] = [
    ("name", "Device", false),
    ("blocked", "Blocked in 24 hours", true),
    ("share", "Of questions", true),
    ("trackers", "Trackers", true),
    ("week", "Blocked in 7 days", true),
    ("seen", "Last seen", false),
];

/// One device in a table.
pub(super) struct DeviceRow {
    pub(super) device: DeviceLink,
    pub(super) icon: KindIcon,
    pub(super) hits: String,
    pub(super) share: String,
    pub(super) queries: String,
    pub(super) trackers: String,
    pub(super) last_seen: Moment,
    /// Who made it, and where its name is from.
    pub(super) about: String,
    /// Whether it is the router of this network.
    pub(super) is_gateway: bool,
    /// For how long it has asked nothing though it is there, where that is strange.
    pub(super) silence: Option<String>,
    /// Hits of the last 7 days.
    pub(super) week_hits: String,
}

impl DeviceRow {
    pub(super) fn new(count: &DeviceCount, known: Option<&KnownDevice>, times: &Times) -> Self {
        Self {
            device: known.map_or(&count.device, |known| &known.device).into(),
            icon: KindIcon { kind: known.and_then(|known| known.kind) },
            hits: format::count(count.totals.hits),
            share: format::share(count.totals.hits, count.totals.queries),
            queries: format::count(count.totals.queries),
            trackers: format::count(count.trackers),
            last_seen: times.ago(count.last_seen),
            about: known.map(about).unwrap_or_default(),
            is_gateway: false,
            silence: None,
            week_hits: String::new(),
        }
    }
}

/// `Samsung · as it calls itself`.
fn about(known: &KnownDevice) -> String {
    let vendor = known.vendor.as_ref().map(|vendor| format!("{vendor} · ")).unwrap_or_default();
    let private = if known.private_mac { " · private Wi-Fi address" } else { "" };
    format!("{vendor}{}{private}", name_from(Some(known)))
}

/// A device on the network that never asked here.
pub(super) struct SilentDevice {
    pub(super) device: DeviceLink,
    pub(super) icon: KindIcon,
    pub(super) about: String,
    pub(super) addresses: String,
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri, Query(asked): Query<Asked>) -> Page {
    let times = Times::new(&web);
    let history = &web.parts.history;
    let (mut counts, week) =
        tokio::try_join!(history.devices(times.last_hours(24)), history.devices(times.last_hours(7 * 24)))?;
    let week: HashMap<_, Totals> = week.into_iter().map(|count| (count.device.key, count.totals)).collect();
    let week_hits = |count: &DeviceCount| week.get(&count.device.key).map_or(0, |totals| totals.hits);
    let table = Arc::clone(&web.parts.devices.current());
    let name = |count: &DeviceCount| {
        table.name_of(count.device.key).unwrap_or_else(|| Arc::clone(&count.device.name)).to_lowercase()
    };
    let sort = COLUMNS.iter().find(|(word, ..)| *word == asked.sort).map_or("blocked", |(word, ..)| word);
    // Numbers from the greatest on; what is equal stays in the order of hits.
    match sort {
        "name" => counts.sort_by_cached_key(name),
        "share" => counts.sort_by(|a, b| {
            // Hits by questions, without a division: a/b > c/d.
            let product = |hits: u64, queries: u64| u128::from(hits) * u128::from(queries);
            product(b.totals.hits, a.totals.queries).cmp(&product(a.totals.hits, b.totals.queries))
        }),
        "trackers" => counts.sort_by_key(|count| std::cmp::Reverse(count.trackers)),
        "week" => counts.sort_by_key(|count| std::cmp::Reverse(week_hits(count))),
        "seen" => counts.sort_by_key(|count| std::cmp::Reverse(count.last_seen)),
        _ => {}
    }
    let gateways = (web.parts.about)().gateways;
    let fell_silent = silence::silent(&web, &counts).await?;
    let row = |count: &DeviceCount| DeviceRow {
        is_gateway: is_gateway(&table, count.device.key, &gateways),
        silence: fell_silent.get(&count.device.key).copied().map(silence::words),
        week_hits: format::count(week_hits(count)),
        ..DeviceRow::new(count, table.find_key(count.device.key), &times)
    };
    let asking: HashSet<_> = counts.iter().map(|count| table.same(count.device.key)).collect();
    let silent = table.known().iter().filter(|known| {
        !known.addresses.is_empty()
            && !asking.contains(&known.device.key)
            && !is_gateway(&table, known.device.key, &gateways)
    });
    let silent = silent.map(|known| SilentDevice {
        device: (&known.device).into(),
        icon: KindIcon { kind: known.kind },
        about: about(known),
        addresses: known.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    });
    let column = |&(word, label, is_number): &(&'static str, &'static str, bool)| Column {
        word,
        label,
        is_number,
        is_current: word == sort,
    };
    page(&Devices {
        columns: COLUMNS.iter().map(column).collect(),
        devices: counts.iter().map(row).collect(),
        silent: silent.collect(),
        router: one_for_all(&counts, &gateways, &table).map(Into::into),
        frame: Frame::new(&web, &uri, Tab::Devices),
    })
}
