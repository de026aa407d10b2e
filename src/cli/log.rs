//! `pixelsink log`: the latest questions.

use super::client::Daemon;
use super::output::{local_seconds, place, print_json, print_table, table, who};
use super::{CliError, LogFilter, Output};
use crate::config::Config;
use crate::web::api::{Event, Verdict};

pub(super) async fn run(filter: &LogFilter, config: &Config, output: Output) -> Result<(), CliError> {
    let daemon = Daemon::find(config)?;
    let key = match &filter.device {
        Some(device) => Some(daemon.device(device).await?),
        None => None,
    };
    let limit = filter.limit.to_string();
    let verdict = filter.verdict.as_deref().or_else(|| filter.blocked.then_some("blocked"));
    let filters = [
        ("device", key.as_deref()),
        ("verdict", verdict),
        ("type", filter.r#type.as_deref()),
        ("company", filter.company.as_deref()),
        ("name_contains", filter.name.as_deref()),
        ("from", filter.since.as_deref()),
        ("until", filter.until.as_deref()),
    ];
    let mut query = vec![("limit", limit.as_str())];
    query.extend(filters.into_iter().filter_map(|(key, value)| Some((key, value?))));
    let mut events: Vec<Event> = daemon.get("events", &query).await?;
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
        let hides = event.behind.as_ref().map(|behind| format!("{} hides {behind}", event.name));
        let name = hides.unwrap_or_else(|| event.name.clone());
        rows.add_row([&time, &event.device.name, &name, &event.qtype, &verdict, &who(&event.who)]);
    }
    print_table(&mut rows);
    Ok(())
}
