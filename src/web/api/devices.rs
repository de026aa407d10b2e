//! Devices: what they asked, and what a person says of them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::history::Asked;
use super::{Answer, DeviceCount, Done, Error, Granted, granted};
use crate::command::Command;
use crate::device::{DeviceKey, DeviceKind};
use crate::history;
use crate::web::Web;
use crate::web::actions::{RULE_PATIENCE, grant};
use crate::web::errors::Failure;
use crate::web::silence;

/// A name for a device.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct DeviceNameWish {
    /// The device: its MAC or IP address.
    pub device: String,
    /// What it is called; null or empty: as it comes.
    #[serde(default)]
    pub name: Option<String>,
}

/// What a device is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct DeviceKindWish {
    /// The device: its MAC or IP address.
    pub device: String,
    /// `phone`, `tablet`, `laptop`, `computer`, `television`, `camera`, `game-console`, `speaker`, `printer`,
    /// `network-storage`, `router`, `alarm` or `other`; null: what it seems to be.
    #[serde(default)]
    pub kind: Option<String>,
}

/// Two devices that are one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct DeviceMergeWish {
    /// The one that goes: its MAC or IP address.
    pub from: String,
    /// The one that it becomes a part of.
    pub into: String,
}

/// A device.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct DeviceWish {
    /// Its MAC or IP address.
    pub device: String,
}

/// Every device, those with the most hits first.
#[utoipa::path(get, path = "/api/v1/devices", params(Asked), responses((status = 200, body = Vec<DeviceCount>), (status = 400, body = Error), (status = 503, body = Error)))]
pub(super) async fn devices(
    State(web): State<Arc<Web>>,
    Query(asked): Query<Asked>,
) -> Answer<Vec<DeviceCount>> {
    let table = Arc::clone(&web.parts.devices.current());
    let wanted = asked.device()?.map(|key| table.same(key));
    let mut counts = web.parts.history.devices(asked.span(&web)?).await?;
    counts.retain(|count| wanted.is_none_or(|key| table.same(count.device.key) == key));
    let silent = silence::silent(&web, &counts).await?;
    let told = |count: &history::DeviceCount| DeviceCount {
        silent_secs: silent.get(&count.device.key).map(std::time::Duration::as_secs),
        ..DeviceCount::new(count, table.find_key(count.device.key))
    };
    Ok(Json(counts.iter().map(told).collect()))
}

/// Calls a device by a name.
#[utoipa::path(post, path = "/api/v1/devices/name", request_body = DeviceNameWish, responses((status = 200, body = Done), (status = 202, body = Done), (status = 400, body = Error), (status = 500, body = Error)))]
pub(super) async fn name(State(web): State<Arc<Web>>, Json(wish): Json<DeviceNameWish>) -> Granted {
    done(&web, Command::NameDevice { device: key(&wish.device)?, name: wish.name }).await
}

/// Says what a device is.
#[utoipa::path(post, path = "/api/v1/devices/kind", request_body = DeviceKindWish, responses((status = 200, body = Done), (status = 202, body = Done), (status = 400, body = Error), (status = 500, body = Error)))]
pub(super) async fn kind(State(web): State<Arc<Web>>, Json(wish): Json<DeviceKindWish>) -> Granted {
    let kind = kind_of(wish.kind.as_deref().unwrap_or_default())?;
    done(&web, Command::SetDeviceKind { device: key(&wish.device)?, kind }).await
}

/// Takes two devices for one, also in what is remembered of them.
#[utoipa::path(post, path = "/api/v1/devices/merge", request_body = DeviceMergeWish, responses((status = 200, body = Done), (status = 202, body = Done), (status = 400, body = Error), (status = 500, body = Error)))]
pub(super) async fn merge(State(web): State<Arc<Web>>, Json(wish): Json<DeviceMergeWish>) -> Granted {
    done(&web, Command::MergeDevices { from: key(&wish.from)?, into: key(&wish.into)? }).await
}

/// Takes a part of a device for one of its own again.
#[utoipa::path(post, path = "/api/v1/devices/split", request_body = DeviceWish, responses((status = 200, body = Done), (status = 202, body = Done), (status = 400, body = Error), (status = 500, body = Error)))]
pub(super) async fn split(State(web): State<Arc<Web>>, Json(wish): Json<DeviceWish>) -> Granted {
    done(&web, Command::SplitDevice(key(&wish.device)?)).await
}

/// Forgets a device.
#[utoipa::path(post, path = "/api/v1/devices/forget", request_body = DeviceWish, responses((status = 200, body = Done), (status = 202, body = Done), (status = 400, body = Error), (status = 500, body = Error)))]
pub(super) async fn forget(State(web): State<Arc<Web>>, Json(wish): Json<DeviceWish>) -> Granted {
    done(&web, Command::ForgetDevice(key(&wish.device)?)).await
}

/// The device that a text means.
pub(in crate::web) fn key(text: &str) -> Result<DeviceKey, Failure> {
    text.trim().parse().map_err(|error| Failure::bad_request(format!("`{}`: {error}.", text.trim())))
}

/// The kind that a word means; none for no word.
pub(in crate::web) fn kind_of(word: &str) -> Result<Option<DeviceKind>, Failure> {
    let kind = Some(word.trim()).filter(|word| !word.is_empty()).map(str::parse::<DeviceKind>).transpose();
    kind.map_err(|error| Failure::bad_request(format!("{error}.")))
}

async fn done(web: &Web, command: Command) -> Granted {
    let slow = "This takes longer than it should; the device's page shows whether it was done.";
    granted(grant(web, command, RULE_PATIENCE).await?, slow)
}
