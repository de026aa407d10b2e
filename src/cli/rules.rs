//! `pixelsink allow`, `block`, `keep`, `forget` and `rules`: the person's own rules.

use std::time::Duration;

use reqwest::Method;

use super::client::Daemon;
use super::output::{local_minutes, print, print_json, print_table, table};
use super::{CliError, Output};
use crate::config::Config;
use crate::list::OwnRule;
use crate::web::api::{self, Action, Done, KeepWish, RuleWish};

/// What to do with a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    /// For good, or for a while.
    Allow(Option<Duration>),
    Block,
    Keep,
    Forget,
}

/// Writes, keeps or takes back `rule`, for one device when one is named.
pub(super) async fn write(
    wish: Wish,
    rule: &str,
    device: Option<String>,
    config: &Config,
    output: Output,
) -> Result<(), CliError> {
    let rule = OwnRule::parse(rule).map_err(|error| CliError::Usage(format!("`{rule}`: {error}")))?;
    if device.is_some() && rule.client.is_some() {
        let message = "the device is named twice; leave out --device or what stands behind `$client=`";
        return Err(CliError::Usage(message.to_owned()));
    }
    let (daemon, rule) = (Daemon::find(config)?, rule.to_string());
    let write = |action, duration: Option<Duration>| RuleWish {
        device: device.clone(),
        for_secs: duration.map(|duration| duration.as_secs()),
        ..RuleWish::new(action, rule.clone())
    };
    let done: Done = match wish {
        Wish::Allow(duration) => daemon.send(Method::POST, "rules", &write(Action::Allow, duration)).await?,
        Wish::Block => daemon.send(Method::POST, "rules", &write(Action::Block, None)).await?,
        Wish::Keep => {
            let wish = KeepWish { rule: rule.clone(), device: device.clone() };
            daemon.send(Method::POST, "rules/keep", &wish).await?
        }
        Wish::Forget => {
            let device = device.as_deref().map(|device| ("device", device));
            let query: Vec<_> = [("rule", rule.as_str())].into_iter().chain(device).collect();
            daemon.delete("rules", &query).await?
        }
    };
    if output == Output::Json {
        return print_json(&done);
    }
    print(&done.message);
    Ok(())
}

/// Shows the rules.
pub(super) async fn show(config: &Config, output: Output) -> Result<(), CliError> {
    let rules: Vec<api::OwnRule> = Daemon::find(config)?.get("rules", &[]).await?;
    if output == Output::Json {
        return print_json(&rules);
    }
    if rules.is_empty() {
        print("You have written no rules. `pixelsink allow NAME` and `pixelsink block NAME` do.");
        return Ok(());
    }
    let mut rows = table(&["", "rule", "on", "until", "file", "line"]);
    for rule in &rules {
        rows.add_row([
            if rule.action == Action::Allow { "allow" } else { "block" },
            &rule.rule,
            rule.device.as_ref().map_or("all devices", |device| &device.name),
            &rule.until.as_deref().map_or_else(String::new, local_minutes),
            &rule.file,
            &rule.line.to_string(),
        ]);
    }
    print_table(&mut rows);
    Ok(())
}
