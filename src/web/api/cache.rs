//! The answers that are kept.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{Answer, CacheStatus, Done, Error, FlushWish, Granted, granted};
use crate::command::{Command, FlushedName};
use crate::name::DomainName;
use crate::web::Web;
use crate::web::actions::{RULE_PATIENCE, grant};
use crate::web::errors::Failure;

/// How the cache is.
#[utoipa::path(get, path = "/api/v1/cache", responses((status = 200, body = CacheStatus)))]
pub(super) async fn status(State(web): State<Arc<Web>>) -> Answer<CacheStatus> {
    Ok(Json((web.parts.cache)()))
}

/// Forgets kept answers: all of them, or those about a name.
#[utoipa::path(post, path = "/api/v1/cache/flush", request_body = FlushWish, responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 422, body = Error), (status = 500, body = Error)))]
pub(super) async fn flush(State(web): State<Arc<Web>>, Json(wish): Json<FlushWish>) -> Granted {
    let refuse = |message: String| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, message);
    let name = match wish.name.as_deref().map(str::trim) {
        None if wish.below => return Err(refuse("Say below which name.".to_owned())),
        None => None,
        Some(".") => Some(DomainName::root()),
        Some(name) => Some(DomainName::parse(name).map_err(|error| refuse(format!("`{name}`: {error}.")))?),
    };
    let command = Command::FlushCache(name.map(|name| FlushedName { name, below: wish.below }));
    let slow = "The answers are forgotten; the disk takes longer than it should to take note of that.";
    granted(grant(&web, command, RULE_PATIENCE).await?, slow)
}
