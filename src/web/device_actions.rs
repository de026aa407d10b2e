//! The buttons and forms about devices.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::routing::post;
use axum::{Form, Router};
use serde::Deserialize;

use super::Web;
use super::actions::{RULE_PATIENCE, answer, grant};
use super::api::devices::{key, kind_of};
use super::errors::Failure;
use crate::command::Command;

/// What is done with devices. No device has `do` for its key, so that none of their pages is in the way.
pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/devices/do/name", post(name))
        .route("/devices/do/kind", post(kind))
        .route("/devices/do/merge", post(merge))
        .route("/devices/do/split", post(split))
        .route("/devices/do/forget", post(forget))
}

/// What is left empty is left open.
#[derive(Default, Deserialize)]
#[serde(default)]
struct DeviceForm {
    device: String,
    name: String,
    kind: String,
    into: String,
    back: String,
}

async fn name(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<DeviceForm>) -> Response {
    let name = Some(form.name.clone()).filter(|name| !name.trim().is_empty());
    let wish = key(&form.device).map(|device| Command::NameDevice { device, name });
    carry_out(&state, &uri, &headers, &form.back, wish).await
}

async fn kind(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<DeviceForm>) -> Response {
    let wish = key(&form.device)
        .and_then(|device| Ok(Command::SetDeviceKind { device, kind: kind_of(&form.kind)? }));
    carry_out(&state, &uri, &headers, &form.back, wish).await
}

async fn merge(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<DeviceForm>) -> Response {
    let wish = key(&form.device).and_then(|from| Ok(Command::MergeDevices { from, into: key(&form.into)? }));
    carry_out(&state, &uri, &headers, &form.back, wish).await
}

async fn split(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<DeviceForm>) -> Response {
    carry_out(&state, &uri, &headers, &form.back, key(&form.device).map(Command::SplitDevice)).await
}

async fn forget(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<DeviceForm>) -> Response {
    carry_out(&state, &uri, &headers, &form.back, key(&form.device).map(Command::ForgetDevice)).await
}

async fn carry_out(
    web: &Web,
    uri: &Uri,
    headers: &HeaderMap,
    back: &str,
    wish: Result<Command, Failure>,
) -> Response {
    let outcome = match wish {
        Ok(command) => grant(web, command, RULE_PATIENCE).await,
        Err(failure) => Err(failure),
    };
    answer(web, uri, headers, back, outcome)
}
