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
    let (method, action) = match wish {
        Wish::Allow => (Method::POST, Action::Allow),
        Wish::Block => (Method::POST, Action::Block),
        // Taking back names the rule only; what it asked for does not matter.
        Wish::Forget => (Method::DELETE, Action::Block),
    };
    let wish = RuleWish { action, rule: rule.to_string() };
    let done: Done = Daemon::find(config)?.send(method, "rules", &wish).await?;
    if output == Output::Json {
        return print_json(&done);
    }
    print(&done.message);
    Ok(())
}
