//! Lists and their refresh.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;

use super::{Answer, Done, Error, Granted, List, RefreshWish, granted};
use crate::command::Command;
use crate::web::Web;
use crate::web::actions::grant;

/// How long a program waits for a refresh until it is told that it goes on; a connection may not be idle for longer.
const REFRESH_PATIENCE: Duration = Duration::from_secs(50);

/// Every list and how it is.
#[utoipa::path(get, path = "/api/v1/lists", responses((status = 200, body = Vec<List>)))]
pub(super) async fn lists(State(web): State<Arc<Web>>) -> Answer<Vec<List>> {
    Ok(Json(web.parts.feed.status().iter().map(Into::into).collect()))
}

/// Downloads one list now, or all of them, and answers when that is done.
#[utoipa::path(post, path = "/api/v1/lists/refresh", request_body = RefreshWish, responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 404, body = Error), (status = 500, body = Error)))]
pub(in crate::web) async fn refresh(State(web): State<Arc<Web>>, Json(wish): Json<RefreshWish>) -> Granted {
    let granting = grant(&web, Command::Refresh(wish.list), REFRESH_PATIENCE).await?;
    granted(granting, "The refresh takes longer and goes on.")
}
