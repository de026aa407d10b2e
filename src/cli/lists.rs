//! `pixelsink lists`: how each list is; adding, removing and downloading them.

use std::process::ExitCode;

use reqwest::Method;

use super::client::Daemon;
use super::output::{local, number, print, print_json, print_table, table, who};
use super::{CliError, ListsCommand, Output, progress, revisions};
use crate::config::Config;
use crate::web::api::{
    Done, KnownLists, List, ListWithout, NamesAndHits, NewList, RefreshWish, percent_encoded,
};

/// Rules held back that are shown of each list; `--output json` has more.
const QUARANTINED_SHOWN: usize = 10;

/// Does what is to be done with the lists.
pub(super) async fn run(
    command: ListsCommand,
    config: &Config,
    output: Output,
) -> Result<ExitCode, CliError> {
    let daemon = Daemon::find(config)?;
    match command {
        ListsCommand::Status => show(&daemon.get::<Vec<List>>("lists", &[]).await?, output)?,
        ListsCommand::Without { name } => without(&name, &daemon, output).await?,
        ListsCommand::Refresh { name } => return refresh(name, &daemon, output).await,
        ListsCommand::Known { word } => known(word.as_deref(), &daemon, output).await?,
        ListsCommand::Add { what, name, kind, format, subdomains } => {
            let what = absolute(&what)?;
            let wish = NewList { what, name, kind, format, subdomains: subdomains.then_some(true) };
            done(&daemon.send(Method::POST, "lists", &wish).await?, output)?;
        }
        ListsCommand::Remove { name } => done(&daemon.delete("lists", &[("list", &name)]).await?, output)?,
        ListsCommand::Revisions { name } => revisions::show(&name, &daemon, output).await?,
        ListsCommand::Diff { name, from, to } => {
            revisions::diff(&name, from.as_deref(), to.as_deref(), &daemon, output).await?;
        }
        ListsCommand::Rollback { name, revision } => {
            done(&revisions::roll_back(name, revision, &daemon).await?, output)?;
        }
        ListsCommand::Follow { name } => done(&revisions::follow(name, &daemon).await?, output)?,
        ListsCommand::Accept { name, rule, all_rules } => {
            done(&revisions::accept(name, rule, all_rules, &daemon).await?, output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn done(done: &Done, output: Output) -> Result<(), CliError> {
    match output {
        Output::Json => print_json(done),
        Output::Table => {
            print(&done.message);
            Ok(())
        }
    }
}

/// The daemon runs elsewhere: a file is named by its whole path.
fn absolute(what: &str) -> Result<String, CliError> {
    let is_file = !what.contains("://") && (what.contains('/') || std::path::Path::new(what).is_file());
    if !is_file {
        return Ok(what.to_owned());
    }
    let path = std::path::absolute(what).map_err(|error| CliError::Usage(format!("{what}: {error}")))?;
    path.into_os_string().into_string().map_err(|_| CliError::Usage(format!("{what} is not UTF-8")))
}

async fn known(word: Option<&str>, daemon: &Daemon, output: Output) -> Result<(), CliError> {
    let query: Vec<(&str, &str)> = word.map(|word| ("word", word)).into_iter().collect();
    let known: KnownLists = daemon.get("lists/known", &query).await?;
    if output == Output::Json {
        return print_json(&known);
    }
    let mut rows = table(&["name", "size", "level", "for"]);
    for choice in &known.choices {
        let about = format!("{} ({})", choice.about, choice.lists.join(", "));
        rows.add_row([&*choice.name, "-", "choice", &about]);
    }
    for list in &known.lists {
        rows.add_row([&list.name, &list.size, &list.level, &list.about]);
    }
    print_table(&mut rows);
    if known.lists.is_empty() {
        print("No well-known list has this word in its name or purpose.");
    }
    Ok(())
}

async fn without(name: &str, daemon: &Daemon, output: Output) -> Result<(), CliError> {
    let path = format!("lists/{}/without", percent_encoded(name));
    let without: ListWithout = daemon.get(&path, &[]).await?;
    if output == Output::Json {
        return print_json(&without);
    }
    let sum = |NamesAndHits { names, hits }: NamesAndHits| {
        let (hit, name) = (if hits == 1 { "hit" } else { "hits" }, if names == 1 { "name" } else { "names" });
        format!("{} {hit} on {} {name}", number(hits), number(names))
    };
    print(&format!(
        "Without {name}, of {} in the last seven days {} would pass, and {} would still be blocked by others.",
        sum(without.blocked),
        sum(without.alone),
        sum(without.shared)
    ));
    if without.is_cut {
        print("Only the 10,000 names with the most hits were looked at.");
    }
    if without.names.is_empty() {
        return Ok(());
    }
    print("");
    let mut rows = table(&["would pass", "whose it is", "blocked"]);
    for name in &without.names {
        rows.add_row([&name.name, &who(&name.who), &number(name.hits)]);
    }
    print_table(&mut rows);
    let untold = without.alone.names.saturating_sub(without.names.len() as u64);
    if 0 < untold {
        print(&format!("and {} more", number(untold)));
    }
    Ok(())
}

/// Fails when a list could not be refreshed, so that a script notices.
async fn refresh(name: Option<String>, daemon: &Daemon, output: Output) -> Result<ExitCode, CliError> {
    let wish = RefreshWish { list: name.clone() };
    let sending = daemon.send::<Done>(Method::POST, "lists/refresh", &wish);
    let refreshed = progress::shown(sending, daemon).await;
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
        if let Some(since) = &list.held_since {
            print(&format!("{}: held at its revision by you, since {}", list.name, local(Some(since))));
        }
        for held in list.quarantined.iter().take(QUARANTINED_SHOWN) {
            print(&format!(
                "{}: {} (line {}) is not in force unless you accept it: {}",
                list.name, held.rule, held.line, held.reason
            ));
        }
        if QUARANTINED_SHOWN < list.quarantined_total {
            let more = list.quarantined_total - QUARANTINED_SHOWN;
            print(&format!(
                "{}: {} more are not in force unless you accept them",
                list.name,
                number(more as u64)
            ));
        }
        if let Some(problem) = &list.problem {
            print(&format!("{}: {problem}", list.name));
        }
    }
    Ok(())
}
