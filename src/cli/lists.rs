//! `pixelsink lists`: how each list is, and downloading them now.

use std::process::ExitCode;

use reqwest::Method;

use super::client::Daemon;
use super::output::{local, number, print, print_json, print_table, table};
use super::{CliError, Output};
use crate::config::Config;
use crate::web::api::{Done, List, RefreshWish};

pub(super) async fn status(config: &Config, output: Output) -> Result<(), CliError> {
    let lists: Vec<List> = Daemon::find(config)?.get("lists", &[]).await?;
    show(&lists, output)
}

/// Fails when a list could not be refreshed, so that a script notices.
pub(super) async fn refresh(
    name: Option<String>,
    config: &Config,
    output: Output,
) -> Result<ExitCode, CliError> {
    let daemon = Daemon::find(config)?;
    let wish = RefreshWish { list: name.clone() };
    let refreshed: Result<Done, CliError> = daemon.send(Method::POST, "lists/refresh", &wish).await;
    let mut lists: Vec<List> = daemon.get("lists", &[]).await?;
    lists.retain(|list| name.as_ref().is_none_or(|name| *name == list.name));
    let failed = lists.iter().any(|list| list.problem.is_some());
    // A list that failed is shown with its reason; any other refusal is told as it is.
    if let Err(error) = refreshed
        && !(failed && matches!(error, CliError::Refused(_)))
    {
        return Err(error);
    }
    show(&lists, output)?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show(lists: &[List], output: Output) -> Result<(), CliError> {
    if output == Output::Json {
        return print_json(&lists);
    }
    let mut rows = table(&["list", "syntax", "rules", "lines", "skipped", "from", "next look"]);
    for list in lists {
        let skipped: u32 = list.skipped.iter().map(|skipped| skipped.count).sum();
        rows.add_row([
            &list.name,
            list.format.as_deref().unwrap_or("-"),
            &number(list.rules as u64),
            &number(list.lines),
            &number(skipped),
            &local(list.revision.as_deref()),
            &list.next.as_deref().map_or("-".to_owned(), |next| local(Some(next))),
        ]);
    }
    print_table(&mut rows);
    for list in lists {
        for skipped in &list.skipped {
            let lines = if skipped.count == 1 { "line" } else { "lines" };
            print(&format!("{}: {} {lines} skipped: {}", list.name, number(skipped.count), skipped.text));
        }
        if let Some(problem) = &list.problem {
            print(&format!("{}: {problem}", list.name));
        }
    }
    Ok(())
}
