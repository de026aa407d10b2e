//! `pixelsink upstreams`: who is asked for what is not blocked, and how they answer.

use super::client::Daemon;
use super::output::{number, print, print_json, print_table, table};
use super::{CliError, Output};
use crate::config::Config;
use crate::web::api::UpstreamHealth;

/// What it is asked for.
fn whose(upstream: &UpstreamHealth) -> String {
    match (&upstream.route, &upstream.group) {
        (Some(names), _) => names.clone(),
        (None, Some(group)) => format!("the group {group}"),
        (None, None) => "everything else".to_owned(),
    }
}

pub(super) async fn run(config: &Config, output: Output) -> Result<(), CliError> {
    let upstreams: Vec<UpstreamHealth> = Daemon::find(config)?.get("upstreams", &[]).await?;
    if output == Output::Json {
        return print_json(&upstreams);
    }
    let mut rows =
        table(&["upstream", "for", "state", "answers in", "answered", "failed", "connections", "resumed"]);
    for upstream in &upstreams {
        let latency = upstream.latency_us.map(|us| format!("{}.{} ms", us / 1_000, us / 100 % 10));
        rows.add_row([
            &upstream.address,
            &whose(upstream),
            &upstream.state,
            latency.as_deref().unwrap_or("-"),
            &number(upstream.answered),
            &number(upstream.failed),
            &number(upstream.connections),
            &number(upstream.resumed),
        ]);
    }
    print_table(&mut rows);
    for upstream in &upstreams {
        if let Some(problem) = &upstream.problem {
            print(&format!("problem: {} is asked last: {problem}", upstream.address));
        }
    }
    Ok(())
}
