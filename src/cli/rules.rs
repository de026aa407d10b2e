//! `pixelsink allow`, `block` and `forget`: the person's own rules.

use reqwest::Method;

use super::client::Daemon;
use super::output::{print, print_json};
use super::{CliError, Output};
use crate::config::Config;
use crate::list::OwnRule;
use crate::web::api::{Action, Done, RuleWish};

/// What to do with a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    Allow,
    Block,
    Forget,
}

pub(super) async fn write(wish: Wish, rule: &str, config: &Config, output: Output) -> Result<(), CliError> {
    let rule = OwnRule::parse(rule).map_err(|error| CliError::Usage(format!("`{rule}`: {error}")))?;
    let (daemon, rule) = (Daemon::find(config)?, rule.to_string());
    let write = |action| RuleWish { action, rule: rule.clone() };
    let done: Done = match wish {
        Wish::Allow => daemon.send(Method::POST, "rules", &write(Action::Allow)).await?,
        Wish::Block => daemon.send(Method::POST, "rules", &write(Action::Block)).await?,
        Wish::Forget => daemon.delete("rules", &[("rule", &rule)]).await?,
    };
    if output == Output::Json {
        return print_json(&done);
    }
    print(&done.message);
    Ok(())
}
