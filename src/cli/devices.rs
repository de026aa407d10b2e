//! `pixelsink devices`: every device and how it was tracked in the last day; naming, merging and forgetting them.

use reqwest::Method;
use serde::Serialize;

use super::client::Daemon;
use super::output::{local, number, print, print_json, print_table, table};
use super::{CliError, DevicesCommand, Output};
use crate::config::Config;
use crate::device::DeviceKey;
use crate::web::api::{DeviceCount, DeviceKindWish, DeviceMergeWish, DeviceNameWish, DeviceWish, Done};

pub(super) async fn run(command: DevicesCommand, config: &Config, output: Output) -> Result<(), CliError> {
    let daemon = Daemon::find(config)?;
    match command {
        DevicesCommand::Status => show(&devices(&daemon).await?, output),
        DevicesCommand::Rename { device, name } => {
            let device = find(&device, &daemon).await?;
            wish("devices/name", &DeviceNameWish { device, name }, &daemon, output).await
        }
        DevicesCommand::Kind { device, kind } => {
            let device = find(&device, &daemon).await?;
            wish("devices/kind", &DeviceKindWish { device, kind }, &daemon, output).await
        }
        DevicesCommand::Merge { from, into } => {
            let (from, into) = (find(&from, &daemon).await?, find(&into, &daemon).await?);
            wish("devices/merge", &DeviceMergeWish { from, into }, &daemon, output).await
        }
        DevicesCommand::Split { device } => {
            wish("devices/split", &DeviceWish { device }, &daemon, output).await
        }
        DevicesCommand::Forget { device, yes } => {
            let key = find(&device, &daemon).await?;
            if !yes {
                return Err(CliError::Usage(format!(
                    "this erases all that is remembered of `{device}` ({key}), its name and what was merged into it, for good; \
                     say it again with --yes"
                )));
            }
            wish("devices/forget", &DeviceWish { device: key }, &daemon, output).await
        }
    }
}

async fn devices(daemon: &Daemon) -> Result<Vec<DeviceCount>, CliError> {
    daemon.get("devices", &[("hours", "24")]).await
}

/// The key of the device that a person means: a MAC, an address, or a name that one device has.
async fn find(text: &str, daemon: &Daemon) -> Result<String, CliError> {
    if text.parse::<DeviceKey>().is_ok() {
        return Ok(text.to_owned());
    }
    let devices = devices(daemon).await?;
    let has_name = |device: &&DeviceCount| device.device.name.to_lowercase() == text.to_lowercase();
    let named: Vec<&str> = devices.iter().filter(has_name).map(|device| &*device.device.key).collect();
    match named.as_slice() {
        [key] => Ok((*key).to_owned()),
        [] => Err(CliError::Usage(format!(
            "no device is called `{text}`; `pixelsink devices` shows them, each with the MAC or address that it is known by"
        ))),
        keys => Err(CliError::Usage(format!(
            "several devices are called `{text}`; say one of {}",
            keys.join(", ")
        ))),
    }
}

async fn wish(
    path: &str,
    wish: &(impl Serialize + Sync),
    daemon: &Daemon,
    output: Output,
) -> Result<(), CliError> {
    let done: Done = daemon.send(Method::POST, path, wish).await?;
    match output {
        Output::Json => print_json(&done),
        Output::Table => {
            print(&done.message);
            Ok(())
        }
    }
}

fn show(devices: &[DeviceCount], output: Output) -> Result<(), CliError> {
    if output == Output::Json {
        return print_json(&devices);
    }
    if devices.is_empty() {
        print("No device has asked yet.");
        return Ok(());
    }
    let mut rows = table(&[
        "device",
        "kind",
        "vendor",
        "known by",
        "addresses",
        "blocked (24 h)",
        "questions",
        "trackers",
        "last seen",
    ]);
    for device in devices {
        let kind = device.kind.as_deref().unwrap_or("-");
        rows.add_row([
            &device.device.name,
            &if device.kind_is_guess { format!("{kind}?") } else { kind.to_owned() },
            device.vendor.as_deref().unwrap_or("-"),
            &device.keys.join(", "),
            &device.addresses.join(", "),
            &number(device.hits),
            &number(device.queries),
            &number(device.trackers),
            &local(Some(&device.last_seen)),
        ]);
    }
    print_table(&mut rows);
    for note in devices.iter().filter_map(silence) {
        print(&note);
    }
    Ok(())
}

/// That a device is there and asks nothing.
fn silence(device: &DeviceCount) -> Option<String> {
    let hours = device.silent_secs? / 3_600;
    Some(format!(
        "note: {} is on the network and has asked nothing here for {hours} hours, longer than is its way: it may use another DNS server \
         (private DNS, DNS over HTTPS, a VPN), or sleep",
        device.device.name
    ))
}
