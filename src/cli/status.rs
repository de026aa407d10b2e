//! `pixelsink status`: how the daemon is.

use super::client::Daemon;
use super::output::{local, number, print, print_json, print_table, table};
use super::{CliError, Output};
use crate::config::Config;
use crate::web::api::{Status, Totals, UpstreamHealth};

pub(super) async fn run(config: &Config, output: Output) -> Result<(), CliError> {
    let daemon = Daemon::find(config)?;
    let status: Status = daemon.get("status", &[]).await?;
    if output == Output::Json {
        return print_json(&status);
    }
    let day: Totals = daemon.get("totals", &[("hours", "24")]).await?;
    let mut rows = table(&[]);
    let mut row = |what: &str, value: String| {
        rows.add_row([what, &value]);
    };
    row("version", status.version);
    row("running since", local(Some(&status.started)));
    row("configuration", status.config_file.unwrap_or_else(|| "none, everything as it comes".to_owned()));
    row("data", status.data_dir.unwrap_or_else(|| "nowhere, kept in memory only".to_owned()));
    row("answers DNS on", status.dns_listen.join(", "));
    let upstream = |upstream: &UpstreamHealth| match upstream.latency_us {
        Some(us) => format!("{} ({}.{} ms)", upstream.address, us / 1_000, us / 100 % 10),
        None => upstream.address.clone(),
    };
    row("asks", status.upstream_health.iter().map(upstream).collect::<Vec<_>>().join(", "));
    row(
        "rules",
        format!("{} of lists, {} of your own", number(status.list_rules), number(status.own_rules as u64)),
    );
    row("last 24 hours", format!("{} questions, {} blocked", number(day.queries), number(day.hits)));
    let history = &status.history;
    let written = local(history.flushed.as_deref());
    row(
        "history",
        format!(
            "{} KiB, written {written}, {} events waiting",
            number(history.size_bytes / 1024),
            number(history.unflushed)
        ),
    );
    if let Some(memory) = status.memory_bytes {
        row("memory", format!("{} KiB", number(memory / 1024)));
    }
    print_table(&mut rows);
    for upstream in &status.upstream_health {
        if let Some(problem) = &upstream.problem {
            print(&format!("problem: {} is asked last: {problem}", upstream.address));
        }
    }
    for problem in status.problems.iter().chain(&history.problem) {
        print(&format!("problem: {problem}"));
    }
    Ok(())
}
