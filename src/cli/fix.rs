//! `pixelsink fix DEVICE`: what was blocked on it a moment ago, the likeliest cause of a failure first.

use super::client::Daemon;
use super::output::{local_seconds, print, print_json, print_table, table, who};
use super::{CliError, Output};
use crate::config::Config;
use crate::web::api::{BlockedLately, percent_encoded};

pub(super) async fn run(device: &str, minutes: u32, config: &Config, output: Output) -> Result<(), CliError> {
    let path = format!("devices/{}/blocked-lately", percent_encoded(device));
    let query = [("minutes", minutes.to_string())];
    let query: Vec<(&str, &str)> = query.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let blocked: Vec<BlockedLately> = Daemon::find(config)?.get(&path, &query).await?;
    if output == Output::Json {
        return print_json(&blocked);
    }
    if blocked.is_empty() {
        print(&format!(
            "Nothing was blocked on {device} in the last {minutes} minutes, so pixelsink is probably not the cause.\n\
             Try it again on the device and look once more; if there is still nothing, it asks elsewhere or the service is down."
        ));
        return Ok(());
    }
    let mut rows =
        table(&["", "name", "why it may be this one", "times", "last", "list", "who is behind it"]);
    for suspect in &blocked {
        let word = if suspect.is_allowed { "allowed now" } else { &suspect.likelihood };
        rows.add_row([
            word,
            &suspect.name,
            &suspect.why.join(", "),
            &suspect.hits.to_string(),
            &local_seconds(&suspect.last),
            &suspect.rule.list,
            &who(&suspect.who),
        ]);
    }
    print_table(&mut rows);
    if let Some(first) = blocked.iter().find(|suspect| !suspect.is_allowed && suspect.allow.is_some()) {
        print(&format!(
            "\nTo try whether it is the first: pixelsink allow {} --device '{}' --for 15m",
            first.name,
            device.replace('\'', "'\\''")
        ));
    }
    Ok(())
}
