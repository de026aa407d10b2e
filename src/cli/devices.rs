//! `pixelsink devices`: every device, and how it was tracked in the last day.

use super::client::Daemon;
use super::output::{local, number, print, print_json, print_table, table};
use super::{CliError, Output};
use crate::config::Config;
use crate::web::api::DeviceCount;

pub(super) async fn run(config: &Config, output: Output) -> Result<(), CliError> {
    let devices: Vec<DeviceCount> = Daemon::find(config)?.get("devices", &[("hours", "24")]).await?;
    if output == Output::Json {
        return print_json(&devices);
    }
    if devices.is_empty() {
        print("No device has asked yet.");
        return Ok(());
    }
    let mut rows =
        table(&["device", "known by", "addresses", "blocked (24 h)", "questions", "trackers", "last seen"]);
    for device in &devices {
        rows.add_row([
            &device.device.name,
            &device.device.key,
            &device.addresses.join(", "),
            &number(device.hits),
            &number(device.queries),
            &number(device.trackers),
            &local(Some(&device.last_seen)),
        ]);
    }
    print_table(&mut rows);
    Ok(())
}
