//! What happened: counts over a span of time, and single questions.

#![expect(unused_qualifications, reason = "`utoipa::path` writes out the paths of parameter types")]

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::types::timestamp;
use super::{Answer, Error, Event, HourCount, NameCount, Totals, TrackerCount};
use crate::device::DeviceKey;
use crate::history::Span;
use crate::web::Web;
use crate::web::errors::Failure;
use crate::web::filter::{AskedEvents, device_key, moment, rows};
use crate::web::view::Times;

/// The longest span of [`Asked::hours`]: a year.
const HOURS_MAX: u32 = 366 * 24;

/// Of what counts are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct Asked {
    /// The last so many hours of the clock, 24 unless said.
    hours: Option<u32>,
    /// The first moment, in place of `hours`: RFC 3339; a time on the daemon's clock such as `2026-11-20T14:00`; or how long
    /// ago: `5m`, `2h`, `3d`.
    from: Option<String>,
    /// The first moment after; now, unless said.
    until: Option<String>,
    /// One device only: its MAC or IP address.
    device: Option<String>,
    /// Blocked names only (`names`).
    hits_only: bool,
    /// At most so many rows.
    limit: Option<u32>,
}

impl Asked {
    pub(super) fn span(&self, web: &Web) -> Result<Span, Failure> {
        let times = Times::new(web);
        let Some(from) = &self.from else {
            return Ok(times.last_hours(self.hours.unwrap_or(24).clamp(1, HOURS_MAX)));
        };
        let moment = |text: &str| moment(text, &times);
        let until = self.until.as_deref().map(moment).transpose()?.unwrap_or(times.now);
        let span = Span { from: moment(from)?, until };
        // An empty span is no mistake; one that runs backwards is, and one of centuries would be answered by the hour.
        let hours = (span.until.as_second() - span.from.as_second()) / 3_600;
        if span.until < span.from || i64::from(HOURS_MAX) < hours {
            return Err(Failure::bad_request("`from` must be before `until`, by a year at most."));
        }
        Ok(span)
    }

    pub(super) fn device(&self) -> Result<Option<DeviceKey>, Failure> {
        device_key(self.device.as_deref())
    }

    pub(super) fn limit(&self) -> u32 {
        rows(self.limit)
    }
}

/// How much happened.
#[utoipa::path(get, path = "/api/v1/totals", params(Asked), responses((status = 200, body = Totals), (status = 400, body = Error), (status = 503, body = Error)))]
pub(super) async fn totals(State(web): State<Arc<Web>>, Query(asked): Query<Asked>) -> Answer<Totals> {
    let span = asked.span(&web)?;
    let totals = web.parts.history.totals(span, asked.device()?).await?;
    let (from, until) = (timestamp(span.from), timestamp(span.until));
    Ok(Json(Totals { from, until, queries: totals.queries, hits: totals.hits }))
}

/// Every hour of the span in order, also those in which nothing happened.
#[utoipa::path(get, path = "/api/v1/hours", params(Asked), responses((status = 200, body = Vec<HourCount>), (status = 400, body = Error), (status = 503, body = Error)))]
pub(super) async fn hours(State(web): State<Arc<Web>>, Query(asked): Query<Asked>) -> Answer<Vec<HourCount>> {
    let hours = web.parts.history.hours(asked.span(&web)?, asked.device()?).await?;
    Ok(Json(hours.into_iter().map(Into::into).collect()))
}

/// The trackers with the most hits.
#[utoipa::path(get, path = "/api/v1/trackers", params(Asked), responses((status = 200, body = Vec<TrackerCount>), (status = 400, body = Error), (status = 503, body = Error)))]
pub(super) async fn trackers(
    State(web): State<Arc<Web>>,
    Query(asked): Query<Asked>,
) -> Answer<Vec<TrackerCount>> {
    let trackers = web.parts.history.trackers(asked.span(&web)?, asked.device()?, asked.limit()).await?;
    Ok(Json(trackers.iter().map(Into::into).collect()))
}

/// The names with the most questions, or with the most hits.
#[utoipa::path(get, path = "/api/v1/names", params(Asked), responses((status = 200, body = Vec<NameCount>), (status = 400, body = Error), (status = 503, body = Error)))]
pub(super) async fn names(State(web): State<Arc<Web>>, Query(asked): Query<Asked>) -> Answer<Vec<NameCount>> {
    let span = asked.span(&web)?;
    let names = web.parts.history.names(span, asked.device()?, asked.hits_only, asked.limit()).await?;
    Ok(Json(names.iter().map(Into::into).collect()))
}

/// Single questions, the latest first.
#[utoipa::path(get, path = "/api/v1/events", params(AskedEvents), responses((status = 200, body = Vec<Event>), (status = 400, body = Error), (status = 503, body = Error)))]
pub(super) async fn events(
    State(web): State<Arc<Web>>,
    Query(asked): Query<AskedEvents>,
) -> Answer<Vec<Event>> {
    let events = web.parts.history.events(asked.filter(&Times::new(&web))?).await?;
    let policy = web.parts.policy.current();
    Ok(Json(events.iter().map(|event| Event::remembered(event, &policy)).collect()))
}
