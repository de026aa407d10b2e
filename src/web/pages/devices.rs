//! `/devices`: all devices, also those that ask somebody else.

use std::collections::HashSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::Uri;

use super::overview::ProblemLine;
use super::{Page, page};
use crate::history::DeviceCount;
use crate::web::Web;
use crate::web::format;
use crate::web::problems::one_for_all;
use crate::web::view::{DeviceLink, Frame, Moment, Tab, Times};

#[derive(Template)]
#[template(path = "devices.html")]
pub(super) struct Devices {
    pub(super) frame: Frame,
    pub(super) devices: Vec<DeviceRow>,
    pub(super) silent: Vec<SilentDevice>,
    /// One device asks for all others.
    pub(super) router: Option<ProblemLine>,
}

/// One device in a table.
pub(super) struct DeviceRow {
    pub(super) device: DeviceLink,
    pub(super) hits: String,
    pub(super) share: String,
    pub(super) queries: String,
    pub(super) trackers: String,
    pub(super) first_seen: Moment,
    pub(super) last_seen: Moment,
}

impl DeviceRow {
    pub(super) fn new(count: &DeviceCount, times: &Times) -> Self {
        Self {
            device: (&count.device).into(),
            hits: format::count(count.totals.hits),
            share: format::share(count.totals.hits, count.totals.queries),
            queries: format::count(count.totals.queries),
            trackers: format::count(count.trackers),
            first_seen: times.ago(count.first_seen),
            last_seen: times.ago(count.last_seen),
        }
    }
}

/// A device on the network that never asked here.
pub(super) struct SilentDevice {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) addresses: String,
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri) -> Page {
    let times = Times::new(&web);
    let counts = web.parts.history.devices(times.last_hours(24)).await?;
    let asking: HashSet<_> = counts.iter().map(|count| count.device.key).collect();
    let on_network = web.parts.devices.current().devices();
    let silent = on_network.into_iter().filter(|(device, _)| !asking.contains(&device.key));
    let silent = silent.map(|(device, addresses)| SilentDevice {
        name: device.name.to_string(),
        key: device.key.to_string(),
        addresses: addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    });
    page(&Devices {
        frame: Frame::new(&web, &uri, Tab::Devices),
        devices: counts.iter().map(|count| DeviceRow::new(count, &times)).collect(),
        silent: silent.collect(),
        router: one_for_all(&counts, &(web.parts.about)().gateways, &web.parts.devices.current())
            .map(Into::into),
    })
}
