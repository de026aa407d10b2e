//! `pixelsink news`: what is new since yesterday.

use super::client::Daemon;
use super::output::{local, number, print, print_json, print_table, table, who};
use super::{CliError, Output};
use crate::config::Config;
use crate::web::api::News;

pub(super) async fn run(config: &Config, output: Output) -> Result<(), CliError> {
    let news: News = Daemon::find(config)?.get("news", &[("hours", "24")]).await?;
    if output == Output::Json {
        return print_json(&news);
    }
    for new in &news.devices {
        let first = local(Some(&new.first_seen));
        print(&format!("{} ({}) asked for the first time at {first}", new.device.name, new.device.key));
    }
    if news.meetings.is_empty() {
        print("No device met a tracker that it had not met before.");
        return Ok(());
    }
    let mut rows = table(&["device", "met for the first time", "blocked", "new to the home"]);
    for meeting in &news.meetings {
        let is_new = if meeting.new_to_all { "yes" } else { "-" };
        rows.add_row([&meeting.device.name, &who(&meeting.who), &number(meeting.hits), is_new]);
    }
    print_table(&mut rows);
    Ok(())
}
