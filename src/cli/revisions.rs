//! `pixelsink lists revisions`, `diff`, `rollback`, `follow` and `accept`: the revisions of a list.

use reqwest::Method;

use super::client::Daemon;
use super::output::{local, number, print, print_json, print_table, table};
use super::{CliError, Output};
use crate::web::api::{AcceptWish, Diff, DiffRule, Done, ListWish, Revision, RevisionState, RollbackWish};

pub(super) async fn show(list: &str, daemon: &Daemon, output: Output) -> Result<(), CliError> {
    let revisions: Vec<Revision> = daemon.get("lists/revisions", &[("list", list)]).await?;
    if output == Output::Json {
        return print_json(&revisions);
    }
    let mut rows = table(&["revision", "from", "rules", "octets", "state"]);
    for revision in &revisions {
        let state = match revision.state {
            RevisionState::InForce => "in force",
            RevisionState::Kept => "kept",
            RevisionState::Waiting => "waits for your word",
        };
        rows.add_row([
            &*revision.id,
            &local(Some(&revision.fetched)),
            &rules(revision),
            &number(revision.size),
            state,
        ]);
    }
    print_table(&mut rows);
    Ok(())
}

fn rules(revision: &Revision) -> String {
    revision.rules.map_or_else(|| "-".to_owned(), number)
}

pub(super) async fn diff(
    list: &str,
    from: Option<&str>,
    to: Option<&str>,
    daemon: &Daemon,
    output: Output,
) -> Result<(), CliError> {
    let mut query = vec![("list", list)];
    query.extend(from.map(|from| ("from", from)));
    query.extend(to.map(|to| ("to", to)));
    let diff: Diff = daemon.get("lists/diff", &query).await?;
    if output == Output::Json {
        return print_json(&diff);
    }
    let named = |revision: &Revision| format!("{} of {}", revision.id, local(Some(&revision.fetched)));
    print(&format!(
        "{list}: {} came and {} went between {} and {}",
        number(diff.came_total),
        number(diff.went_total),
        named(&diff.from),
        named(&diff.to)
    ));
    for (sign, rules, total) in [("-", &diff.went, diff.went_total), ("+", &diff.came, diff.came_total)] {
        for DiffRule { rule, line } in rules {
            print(&format!("{sign} {rule}  (line {line})"));
        }
        let untold = total.saturating_sub(rules.len() as u64);
        if 0 < untold {
            print(&format!("{sign} {} more", number(untold)));
        }
    }
    Ok(())
}

pub(super) async fn roll_back(
    list: String,
    revision: Option<String>,
    daemon: &Daemon,
) -> Result<Done, CliError> {
    daemon.send(Method::POST, "lists/rollback", &RollbackWish { list, revision }).await
}

pub(super) async fn follow(list: String, daemon: &Daemon) -> Result<Done, CliError> {
    daemon.send(Method::POST, "lists/follow", &ListWish { list }).await
}

pub(super) async fn accept(
    list: String,
    rule: Option<String>,
    all_rules: bool,
    daemon: &Daemon,
) -> Result<Done, CliError> {
    daemon.send(Method::POST, "lists/accept", &AcceptWish { list, rule, all_rules }).await
}
