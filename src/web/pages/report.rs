//! `/report`: who tracked whom in one week.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use serde::Deserialize;

use super::log::DeviceChoice;
use super::{Page, page};
use crate::web::Web;
use crate::web::chart::{Chart, Of};
use crate::web::company::CompanyLink;
use crate::web::errors::Failure;
use crate::web::filter::device_key;
use crate::web::format::{self, percent_encoded};
use crate::web::report::{Report, Wanted, gather};
use crate::web::view::{Frame, Tab, Times};

/// Which report is wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    week: String,
    device: String,
}

#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct ReportPage {
    pub(super) frame: Frame,
    pub(super) report: Report,
    pub(super) chart: Chart,
    pub(super) devices: Vec<DeviceChoice>,
    pub(super) before: String,
    pub(super) after: Option<String>,
    /// Where the report is to be had in other dresses; a format is added.
    pub(super) download: String,
}

impl ReportPage {
    fn count(&self, number: &u64) -> String {
        format::count(*number)
    }

    fn share(&self, hits: &u64, queries: &u64) -> String {
        format::share(*hits, *queries)
    }

    fn link(&self, company: &str) -> CompanyLink {
        company.into()
    }

    fn times(&self, number: &u64) -> String {
        format::times(*number)
    }
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri, Query(asked): Query<Asked>) -> Page {
    let times = Times::new(&web);
    let wanted = Wanted::parse(&asked.week).ok_or_else(|| no_week(&asked.week))?;
    let key = device_key(Some(&asked.device))?;
    let history = &web.parts.history;
    let gathered = gather(history, &times, wanted, key).await?;
    let mut devices = history.devices(times.last_hours(0)).await?;
    if key.is_some() && gathered.report.device.is_none() {
        let message = "No device with this address has ever asked here.";
        return Err(Failure::new(StatusCode::NOT_FOUND, message));
    }
    devices.sort_by(|one, other| one.device.name.cmp(&other.device.name));
    let choice = |count: &crate::history::DeviceCount| DeviceChoice {
        device: (&count.device).into(),
        is_current: Some(count.device.key) == key,
    };
    let key = key.map(|key| key.to_string());
    let of_device = key.as_ref().map(|key| format!("&device={}", percent_encoded(key))).unwrap_or_default();
    let report = gathered.report;
    page(&ReportPage {
        frame: Frame::new(&web, &uri, Tab::Report),
        chart: Chart::by_day(
            &gathered.by_hour,
            &times.time_zone,
            Of { device: key.as_deref(), company: None },
        ),
        devices: devices.iter().map(choice).collect(),
        before: format!("/report?week={}{of_device}", gathered.week_before),
        after: gathered.week_after.map(|week| format!("/report?week={week}{of_device}")),
        download: format!("/api/v1/report?week={}{of_device}", report.week),
        report,
    })
}

/// Why there is no such week.
pub(in crate::web) fn no_week(text: &str) -> Failure {
    Failure::bad_request(format!("`{text}` is no week; write 2026-W47, `last` or `this`."))
}
