//! Devices as people speak of them: by name, MAC or address.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::StatusCode;

use super::Web;
use super::errors::Failure;
use super::view::Times;
use crate::device::{Device, DeviceKey};

/// Every device that is on the network or ever asked, by name.
pub(super) async fn all(web: &Web) -> Result<Vec<Device>, Failure> {
    let now = Times::new(web).last_hours(0);
    let asked = web.parts.history.devices(now).await?.into_iter().map(|count| count.device);
    let mut devices: HashMap<DeviceKey, Device> = asked.map(|device| (device.key, device)).collect();
    // What a device is called now counts more than what it was called when it asked.
    devices.extend(web.parts.devices.current().devices().into_iter().map(|(device, _)| (device.key, device)));
    let mut devices: Vec<Device> = devices.into_values().collect();
    devices.sort_by(|one, other| (&one.name, one.key).cmp(&(&other.name, other.key)));
    Ok(devices)
}

/// What devices are called.
pub(super) async fn names(web: &Web) -> Result<HashMap<DeviceKey, Arc<str>>, Failure> {
    Ok(all(web).await?.into_iter().map(|device| (device.key, device.name)).collect())
}

/// The device with this name, MAC or address; of an address that belongs to a known device, that one.
pub(super) async fn find(web: &Web, text: &str) -> Result<Device, Failure> {
    let text = text.trim();
    let key = text.parse::<DeviceKey>().ok().map(|key| match key {
        DeviceKey::Address(address) => web.parts.devices.current().key_of(address),
        key @ DeviceKey::Mac(_) => key,
    });
    let devices = all(web).await?;
    if let Some(key) = key {
        let known = devices.into_iter().find(|device| device.key == key);
        return Ok(known.unwrap_or_else(|| Device { key, name: key.to_string().into() }));
    }
    let mut called = devices.into_iter().filter(|device| device.name.eq_ignore_ascii_case(text));
    match (called.next(), called.next()) {
        (Some(device), None) => Ok(device),
        (None, _) => {
            let message = format!("No device is called `{text}`; `pixelsink devices` shows them all.");
            Err(Failure::new(StatusCode::NOT_FOUND, message))
        }
        (Some(one), Some(other)) => {
            let (one, other) = (one.key, other.key);
            let message = format!("Several devices are called `{text}`; say which: `{one}` or `{other}`.");
            Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, message))
        }
    }
}
