//! `pixelsink erase`: has the history forget.

use std::io::{self, BufRead, IsTerminal, Write};

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};
use reqwest::Method;

use super::client::Daemon;
use super::output::{print, print_json};
use super::{CliError, Output};
use crate::config::Config;
use crate::web::api::{DeviceCount, Done, EraseWish};

/// What is to be forgotten.
#[derive(clap::Args, Clone, Debug)]
pub struct EraseArguments {
    /// What this device asked: its name, or its MAC or IP address.
    #[arg(long)]
    device: Option<String>,
    /// What was asked for this name and those below it.
    #[arg(long)]
    name: Option<String>,
    /// From this moment on: `2026-11-20`, `2026-11-20T14:00` or `2026-11-20T14:00:00Z`. Whole hours go.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Before this moment.
    #[arg(long, visible_alias = "before", value_name = "TIME")]
    until: Option<String>,
    /// Everything.
    #[arg(long, conflicts_with_all = ["device", "name", "from", "until"])]
    everything: bool,
    /// Do not ask whether it is meant.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(arguments: EraseArguments, config: &Config, output: Output) -> Result<(), CliError> {
    let EraseArguments { device, name, from, until, everything, yes } = arguments;
    if !everything && device.is_none() && name.is_none() && from.is_none() && until.is_none() {
        let message = "say what to erase: --device, --name, --from, --until or --everything";
        return Err(CliError::Usage(message.to_owned()));
    }
    let daemon = Daemon::find(config)?;
    let device = match device {
        Some(device) => Some(key_of(&daemon, device).await?),
        None => None,
    };
    let moment = |text: Option<String>| text.map(|text| moment(&text, &TimeZone::system())).transpose();
    let wish = EraseWish { device, name, from: moment(from)?, until: moment(until)?, everything };
    if !yes && !confirm(&wish)? {
        return Err(CliError::Usage("nothing was erased".to_owned()));
    }
    let done: Done = daemon.send(Method::POST, "history/erase", &wish).await?;
    if output == Output::Json {
        return print_json(&done);
    }
    print(&done.message);
    Ok(())
}

/// The address of the device that is called so; what no device is called is an address.
async fn key_of(daemon: &Daemon, meant: String) -> Result<String, CliError> {
    let devices: Vec<DeviceCount> = daemon.get("devices", &[("hours", "1")]).await?;
    let called: Vec<&DeviceCount> =
        devices.iter().filter(|count| count.device.name.to_lowercase() == meant.to_lowercase()).collect();
    match *called {
        [] => Ok(meant),
        [one] => Ok(one.device.key.clone()),
        _ => {
            let keys: Vec<&str> = called.iter().map(|count| &*count.device.key).collect();
            Err(CliError::Usage(format!(
                "several devices are called `{meant}`; say which: {}",
                keys.join(", ")
            )))
        }
    }
}

/// A time as a person writes it, on the clock of this machine unless it says otherwise.
fn moment(text: &str, zone: &TimeZone) -> Result<String, CliError> {
    let wrong = |error: &dyn std::fmt::Display| CliError::Usage(format!("`{text}` is not a time: {error}"));
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.to_string());
    }
    let local: civil::DateTime = text.parse().map_err(|error: jiff::Error| wrong(&error))?;
    let at = zone.to_timestamp(local).map_err(|error| wrong(&error))?;
    Ok(at.to_string())
}

/// Asks a person. Where there is none, it is not meant.
fn confirm(wish: &EraseWish) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        let message = "nobody can be asked whether this is meant; add --yes if it is";
        return Err(CliError::Usage(message.to_owned()));
    }
    let parts =
        [("device", &wish.device), ("name", &wish.name), ("from", &wish.from), ("until", &wish.until)];
    let said: Vec<String> =
        parts.iter().filter_map(|(what, value)| Some(format!("{what} {}", value.as_ref()?))).collect();
    let what = if wish.everything { "everything".to_owned() } else { said.join(", ") };
    let mut terminal = io::stderr().lock();
    let _ = write!(terminal, "The history will forget {what} for good. Is that meant? [y/N] ");
    let _ = terminal.flush();
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_clock_on_the_wall() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let check = |text: &str, expected: &str| assert_eq!(moment(text, &zone).unwrap(), expected);
        check("2026-11-20", "2026-11-19T22:00:00Z");
        check("2026-11-20T14:00", "2026-11-20T12:00:00Z");
        check("2026-11-20T14:00:00Z", "2026-11-20T14:00:00Z");
        for wrong in ["", "yesterday", "2026-13-01"] {
            assert!(moment(wrong, &zone).is_err(), "{wrong}");
        }
    }
}
