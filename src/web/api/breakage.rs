//! What was blocked on a device a moment ago, for whoever looks for the cause of something that does not work.

#![expect(unused_qualifications, reason = "`utoipa::path` writes out the paths of parameter types")]

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answer, BlockedLately, Error};
use crate::web::Web;
use crate::web::errors::Failure;
use crate::web::known_devices;
use crate::web::pages::fix::{SPAN, suspects};

/// A day: what was blocked before that is for the log.
const MINUTES_MAX: u32 = 24 * 60;

/// How far back.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedSpan {
    /// The last so many minutes: 10 unless said otherwise, a day at most.
    minutes: Option<u32>,
}

/// The names that were blocked lately on a device, the likeliest cause of something that does not work there first.
#[utoipa::path(get, path = "/api/v1/devices/{device}/blocked-lately", params(("device" = String, Path, description = "Its name, MAC or IP address."), AskedSpan), responses((status = 200, body = Vec<BlockedLately>), (status = 400, body = Error), (status = 404, body = Error), (status = 503, body = Error)))]
pub(super) async fn blocked_lately(
    State(web): State<Arc<Web>>,
    Path(device): Path<String>,
    Query(asked): Query<AskedSpan>,
) -> Answer<Vec<BlockedLately>> {
    let minutes = asked.minutes.unwrap_or(SPAN);
    if !(1..=MINUTES_MAX).contains(&minutes) {
        return Err(Failure::bad_request(format!("`minutes` is from 1 to {MINUTES_MAX}")));
    }
    let device = known_devices::find(&web, &device).await?;
    Ok(Json(suspects(&web, &device, minutes).await?.iter().map(Into::into).collect()))
}
