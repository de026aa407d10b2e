//! `pixelsink log`: the latest questions.

use super::client::Daemon;
use super::output::{local_seconds, place, print_json, print_table, table, who};
use super::{CliError, Output};
use crate::config::Config;
use crate::web::api::{Event, Verdict};

/// Which questions are shown.
pub(super) struct Filter<'a> {
    pub(super) device: Option<&'a str>,
    pub(super) blocked: bool,
    pub(super) name: Option<&'a str>,
    pub(super) limit: u32,
}

pub(super) async fn run(filter: &Filter<'_>, config: &Config, output: Output) -> Result<(), CliError> {
    let (limit, blocked) = (filter.limit.to_string(), filter.blocked.to_string());
    let mut query = vec![("limit", limit.as_str()), ("hits_only", blocked.as_str())];
    query.extend(filter.device.map(|device| ("device", device)));
    query.extend(filter.name.map(|name| ("name_contains", name)));
    let mut events: Vec<Event> = Daemon::find(config)?.get("events", &query).await?;
    if output == Output::Json {
        return print_json(&events);
    }
    // The latest last, where a terminal ends.
    events.reverse();
    let mut rows = table(&["time", "device", "name", "type", "verdict", "who is behind it"]);
    for event in &events {
        let verdict = match &event.verdict {
            Verdict::Pass => "passed".to_owned(),
            Verdict::Allow(rule) => format!("allowed ({})", place(rule)),
            Verdict::Block(rule) => format!("blocked ({})", place(rule)),
        };
        let time = local_seconds(&event.at);
        let name = match &event.behind {
            Some(behind) => format!("{} (leads to {behind})", event.name),
            None => event.name.clone(),
        };
        rows.add_row([&time, &event.device.name, &name, &event.qtype, &verdict, &who(&event.who)]);
    }
    print_table(&mut rows);
    Ok(())
}
