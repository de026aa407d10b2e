//! `/companies`: every company that was met, in the order that was chosen; of the whole home or of one device.

use std::cmp::Reverse;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::Uri;
use serde::Deserialize;

use super::{Page, page};
use crate::device::DeviceKey;
use crate::history::CompanyCount;
use crate::web::Web;
use crate::web::company::{CompanyRow, is_comparable};
use crate::web::errors::Failure;
use crate::web::format::{self, percent_encoded};
use crate::web::period::{Period, PeriodLink};
use crate::web::view::{DeviceLink, Frame, Tab, Times};

/// How many rows a page has; nobody reads more, and a phone would have to draw them.
const ROWS_MAX: usize = 500;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    hours: Option<u32>,
    sort: String,
    device: String,
}

/// By what the rows are ordered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    Hits,
    Name,
    Devices,
    Change,
}

impl Order {
    const ALL: [Self; 4] = [Self::Name, Self::Hits, Self::Change, Self::Devices];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Hits => "hits",
            Self::Name => "name",
            Self::Devices => "devices",
            Self::Change => "change",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Hits => "Blocked",
            Self::Name => "Company",
            Self::Devices => "On",
            Self::Change => "Change",
        }
    }

    /// Orders companies, which come by their hits; those that are equal stay so.
    fn sort(self, companies: &mut [CompanyCount]) {
        match self {
            Self::Hits => {}
            Self::Name => companies.sort_by_cached_key(|company| company.name.to_lowercase()),
            Self::Devices => companies.sort_by_key(|company| Reverse(company.devices)),
            // By how many more; what fell most comes last.
            Self::Change => companies.sort_by_key(|company| {
                let (now, before) = (i128::from(company.hits), i128::from(company.hits_before));
                Reverse(now - before)
            }),
        }
    }
}

/// The head of a column, by which rows can be ordered.
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) address: String,
    pub(super) is_current: bool,
    /// `ascending` or `descending`, for those who don't see it.
    pub(super) direction: &'static str,
    pub(super) is_number: bool,
}

#[derive(Template)]
#[template(path = "companies.html")]
pub(super) struct Companies {
    pub(super) frame: Frame,
    pub(super) device: Option<DeviceLink>,
    pub(super) periods: Vec<PeriodLink>,
    pub(super) period: Period,
    /// What changes are measured by; `None` while nothing is old enough.
    pub(super) compared_with: Option<&'static str>,
    pub(super) total: String,
    pub(super) hits: String,
    pub(super) columns: Vec<Column>,
    pub(super) companies: Vec<CompanyRow>,
    /// Companies that are not shown.
    pub(super) untold: usize,
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri, Query(asked): Query<Asked>) -> Page {
    let times = Times::new(&web);
    let history = &web.parts.history;
    let period = asked.hours.and_then(Period::of_hours).unwrap_or(Period::Week);
    let order = Order::ALL.into_iter().find(|order| order.as_str() == asked.sort).unwrap_or(Order::Hits);
    let wanted = Some(&asked.device).filter(|key| !key.is_empty()).map(|key| key.parse::<DeviceKey>());
    let key = wanted
        .transpose()
        .map_err(|error| Failure::bad_request(format!("`{}` names no device: {error}.", asked.device)))?;
    let (span, before) = (period.span(&times), period.before(&times));
    let (mut companies, mut devices) = tokio::try_join!(
        history.companies(span, Some(before), key, u32::MAX),
        history.devices(times.last_hours(0)),
    )?;
    devices.retain(|device| key.is_none_or(|key| device.device.key == key));
    let comparable = is_comparable(&devices, before);
    order.sort(&mut companies);
    let hits = companies.iter().map(|company| company.hits).sum();
    let shown = companies.get(..ROWS_MAX).unwrap_or(&companies);
    let of_device = if asked.device.is_empty() {
        String::new()
    } else {
        format!("&device={}", percent_encoded(&asked.device))
    };
    let address = |order: Order| format!("/companies?sort={}{of_device}", order.as_str());
    let column = |choice: Order| Column {
        title: choice.title(),
        address: format!("{}&hours={}", address(choice), period.hours()),
        is_current: choice == order,
        direction: if choice == Order::Name { "ascending" } else { "descending" },
        is_number: matches!(choice, Order::Hits | Order::Devices),
    };
    page(&Companies {
        frame: Frame::new(&web, &uri, Tab::Companies),
        device: key.and_then(|_| devices.first().map(|count| (&count.device).into())),
        periods: period.links(&address(order)),
        period,
        compared_with: comparable.then(|| period.compared_with()),
        total: format::counted(companies.len() as u64, "company", "companies"),
        hits: format::times(hits),
        columns: Order::ALL.into_iter().map(column).collect(),
        companies: CompanyRow::all(shown, hits, comparable),
        untold: companies.len().saturating_sub(ROWS_MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_ordered_as_was_chosen() {
        let company = |name: &str, hits, hits_before, devices| CompanyCount {
            name: name.to_owned(),
            trackers: Vec::new(),
            hits,
            hits_before,
            cloaked: 0,
            devices,
        };
        let companies = [company("b", 9, 1, 1), company("C", 7, 70, 3), company("a", 5, 0, 2)];
        let ordered = |order: Order| {
            let mut companies = companies.clone();
            order.sort(&mut companies);
            companies.map(|company| company.name).join("")
        };
        assert_eq!(Order::ALL.map(ordered), ["abC", "bCa", "baC", "Cab"]);
    }
}
