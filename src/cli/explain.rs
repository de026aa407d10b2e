//! `pixelsink explain NAME`: which rule decides about a name, and which others speak of it.

use super::client::Daemon;
use super::output::{place, print, print_json, print_table, table, who};
use super::{CliError, Output};
use crate::config::Config;
use crate::web::api::{Action, Explanation, Verdict, Who};

pub(super) async fn run(
    name: &str,
    device: Option<&str>,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let device = device.map(|device| ("device", device));
    let query: Vec<_> = [("name", name)].into_iter().chain(device).collect();
    let explanation: Explanation = Daemon::find(config)?.get("explain", &query).await?;
    if output == Output::Json {
        return print_json(&explanation);
    }
    let is_own = explanation.rules.first().is_some_and(|first| first.own);
    match explanation.local.as_ref().filter(|_| !is_own) {
        Some(local) => {
            print(&format!("{} is answered here, whatever lists say: {local}", explanation.name));
        }
        None => print(&headline(&explanation)),
    }
    match &explanation.who {
        Who::Tracker { reports, privacy, .. } => {
            let reports = reports.as_ref().map(|reports| format!(": {reports}")).unwrap_or_default();
            print(&format!("It belongs to {}{reports}", who(&explanation.who)));
            if let Some(privacy) = privacy {
                print(&format!("What the company says about privacy, and how to object: {privacy}"));
            }
        }
        Who::Domain { domain } if *domain != explanation.name => {
            print(&format!("It belongs to {domain}, of which the catalogue knows nothing."));
        }
        Who::Domain { .. } => print("The catalogue knows nothing of it."),
    }
    if let (Who::Domain { .. }, Some(about)) = (&explanation.who, &explanation.list_about) {
        print(&format!("The list whose rule decides is {about}"));
    }
    if explanation.rules.is_empty() {
        return Ok(());
    }
    print("");
    let mut rows = table(&["", "asks for", "rule", "list", "line"]);
    for (index, rule) in explanation.rules.iter().enumerate() {
        let decides = if index == 0 { "decides" } else { "" };
        let action = if rule.action == Action::Allow { "allow" } else { "block" };
        for (index, place) in rule.places.iter().enumerate() {
            let lines: Vec<String> = place.lines.iter().map(|found| found.line.to_string()).collect();
            let lines = if lines.is_empty() { "?".to_owned() } else { lines.join(", ") };
            // What several lists say is said once.
            let [decides, action, rule] =
                if index == 0 { [decides, action, &rule.rule.rule] } else { [""; 3] };
            rows.add_row([decides, action, rule, &place.list, &lines]);
        }
    }
    print_table(&mut rows);
    for without in &explanation.without {
        let then = match &without.verdict {
            Verdict::Pass => "nothing would speak of it".to_owned(),
            Verdict::Allow(rule) => format!("it would be let through by {} ({})", rule.rule, place(rule)),
            Verdict::Block(rule) => format!("it would be blocked by {} ({})", rule.rule, place(rule)),
        };
        print(&format!("Without {} {then}.", without.list));
    }
    Ok(())
}

fn headline(explanation: &Explanation) -> String {
    let name = &explanation.name;
    let places = explanation.rules.first().map(|rule| &*rule.places).unwrap_or_default();
    let line = places.first().and_then(|place| place.lines.first());
    let line = line.map(|found| format!(", line {}", found.line)).unwrap_or_default();
    match &explanation.verdict {
        Verdict::Block(rule) => format!("{name} is blocked by {} ({}{line})", rule.rule, place(rule)),
        Verdict::Allow(rule) => format!("{name} is let through by {} ({}{line})", rule.rule, place(rule)),
        Verdict::Pass => format!("{name} is not blocked: no rule of any list covers it"),
    }
}
