//! The names that this machine answers itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::{Answer, LocalName};
use crate::web::Web;

/// The names of the house: records of the configuration, hosts files and leases, and the reverse names made of them.
#[utoipa::path(get, path = "/api/v1/local", responses((status = 200, body = [LocalName])))]
pub(super) async fn names(State(web): State<Arc<Web>>) -> Answer<Vec<LocalName>> {
    let local = Arc::clone(&web.parts.local.current());
    Ok(Json(local.listed().iter().map(LocalName::from).collect()))
}
