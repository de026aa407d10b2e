//! `/rules`: what a person wrote themselves, and a form to write more.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::Uri;

use super::{Page, page};
use crate::feed::OwnRuleStatus;
use crate::list::{Action, Scope, Subject};
use crate::web::Web;
use crate::web::format::percent_encoded;
use crate::web::view::{Frame, Prose, RuleButton, Tab};

#[derive(Template)]
#[template(path = "rules.html")]
pub(super) struct Rules {
    pub(super) frame: Frame,
    /// Why the page's file can't be read.
    pub(super) problem: Option<Prose>,
    pub(super) rules: Vec<RuleRow>,
}

/// One rule of the person's own.
pub(super) struct RuleRow {
    /// `blocks` or `allows`.
    pub(super) action: &'static str,
    pub(super) rule: String,
    /// The name it is about, for its explanation; a pattern is about none.
    pub(super) encoded: Option<String>,
    pub(super) covers: &'static str,
    pub(super) place: String,
    pub(super) button: Option<RuleButton>,
    /// It stands in the configuration, and what was written here since says otherwise.
    pub(super) is_overruled: bool,
}

impl RuleRow {
    pub(super) fn new(status: &OwnRuleStatus, all: &[OwnRuleStatus], back: &str) -> Self {
        let rule = status.rule.to_string();
        let forget =
            || RuleButton { action: "forget", label: "Take back", rule: rule.clone(), back: back.to_owned() };
        let overrules = |other: &OwnRuleStatus| other.rule == status.rule && other.action != status.action;
        Self {
            is_overruled: !status.removable && all.iter().any(|other| other.removable && overrules(other)),
            action: match status.action {
                Action::Allow => "allows",
                Action::Block => "blocks",
            },
            encoded: rule_name(&status.rule.subject).as_deref().map(percent_encoded),
            covers: match status.rule.subject {
                Subject::Name { scope: Scope::Exact, .. } => "that name only",
                Subject::Name { scope: Scope::Subtree, .. } => "the name and everything below it",
                Subject::Name { scope: Scope::Below, .. } => "everything below the name",
                Subject::Pattern(_) => "every name that it matches",
                Subject::Addresses(_) => "every answer with such an address",
            },
            place: format!("{}, line {}", status.file, status.line),
            button: status.removable.then(forget),
            rule,
        }
    }
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri) -> Page {
    let frame = Frame::new(&web, &uri, Tab::Rules);
    let rules = web.parts.feed.own_rules();
    page(&Rules {
        problem: web.parts.feed.own_problem().as_deref().map(Prose::from),
        rules: rules.iter().map(|status| RuleRow::new(status, &rules, &frame.here)).collect(),
        frame,
    })
}

/// The name that a rule is looked up by.
fn rule_name(subject: &Subject) -> Option<String> {
    match subject {
        Subject::Name { name, .. } => Some(name.to_string()),
        Subject::Pattern(_) | Subject::Addresses(_) => None,
    }
}
