//! `/rules`: what a person wrote themselves, and a form to write more and to change it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use serde::Deserialize;

use super::{Page, page};
use crate::device::{Device, DeviceKey};
use crate::feed::OwnRuleStatus;
use crate::history::NameCount;
use crate::list::{Action, Client, OwnRule, Scope, Subject};
use crate::policy;
use crate::ruleset::{Asked as AskedName, BuildOptions, Builder, SourceId};
use crate::web::Web;
use crate::web::errors::Failure;
use crate::web::format::{self, percent_encoded};
use crate::web::known_devices;
use crate::web::view::{DeviceLink, Frame, NameLink, Prose, RuleButton, Tab, Times};

/// How many names a rule is tried on: those that were asked for most.
const NAMES_MAX: u32 = 20_000;
/// How many of those that it matches are shown.
const MATCHES_MAX: usize = 12;

/// What the form holds, for a look at what it would match or to change a rule.
#[derive(Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    rule: String,
    /// The key of a device; empty: all of them.
    #[serde(default)]
    device: String,
    /// The rule that is being changed.
    #[serde(default)]
    instead_of: String,
    /// A rule to be changed: it is what the form holds then.
    #[serde(default)]
    edit: String,
}

#[derive(Template)]
#[template(path = "rules.html")]
pub(super) struct Rules {
    pub(super) frame: Frame,
    pub(super) form: Form,
    /// Why the page's file can't be read.
    pub(super) problem: Option<Prose>,
    pub(super) rules: Vec<RuleRow>,
}

/// The form and what stands in it.
pub(super) struct Form {
    pub(super) typed: String,
    /// What is wrong with it.
    pub(super) error: Option<Prose>,
    pub(super) devices: Vec<DeviceChoice>,
    /// The rule that is being changed; empty: none.
    pub(super) instead_of: String,
    pub(super) preview: Option<Preview>,
}

pub(super) struct DeviceChoice {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) is_chosen: bool,
}

/// What a rule would match.
pub(super) struct Preview {
    pub(super) rule: String,
    /// `12 of the 3,410 names`.
    pub(super) matched: String,
    /// Whose names these are.
    pub(super) whose: String,
    pub(super) names: Vec<(NameLink, String)>,
    /// How many are not shown.
    pub(super) untold: usize,
}

/// One rule of the person's own.
pub(super) struct RuleRow {
    /// `blocks` or `allows`.
    pub(super) action: &'static str,
    pub(super) rule: String,
    /// The name it is about, for its explanation; a pattern is about none.
    pub(super) encoded: Option<String>,
    pub(super) covers: &'static str,
    /// The device that it is for, and where its page is; `None`: it is for all.
    pub(super) on: Option<(String, Option<DeviceLink>)>,
    /// How long it is until it ends, and when that is.
    pub(super) left: Option<(String, String)>,
    pub(super) place: String,
    /// The address at which it is changed.
    pub(super) edit: Option<String>,
    pub(super) buttons: Vec<RuleButton>,
    /// It stands in the configuration, and what was written here since says otherwise.
    pub(super) is_overruled: bool,
}

impl RuleRow {
    /// `left`: how long it is until the rule ends, and when that is.
    pub(super) fn new(
        status: &OwnRuleStatus,
        all: &[OwnRuleStatus],
        devices: &[Device],
        left: Option<(String, String)>,
        back: &str,
    ) -> Self {
        let rule = status.rule.to_string();
        let button = |action, label| RuleButton { action, label, rule: rule.clone(), back: back.to_owned() };
        let keep = left.is_some().then(|| button("keep", "Keep"));
        let forget = status.removable.then(|| button("forget", "Take back"));
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
            on: status.rule.client.as_ref().map(|client| on(client, devices)),
            place: format!("{}, line {}", status.file, status.line),
            edit: (status.removable && left.is_none())
                .then(|| format!("/rules?edit={}", percent_encoded(&rule))),
            left,
            buttons: keep.into_iter().chain(forget).collect(),
            rule: status.rule.shown_subject(),
        }
    }
}

/// What a client of a rule is called, and its page if it is one device.
fn on(client: &Client, devices: &[Device]) -> (String, Option<DeviceLink>) {
    let called = || match client {
        Client::Name(name) => name.to_string(),
        client => client.to_string(),
    };
    let Some(key) = policy::device_of(client) else { return (called(), None) };
    match devices.iter().find(|device| device.key == key) {
        Some(device) => (device.name.to_string(), Some(device.into())),
        None => (called(), None),
    }
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri, Query(asked): Query<Asked>) -> Page {
    let mut frame = Frame::new(&web, &uri, Tab::Rules);
    let (rules, devices, times) =
        (web.parts.feed.own_rules(), known_devices::all(&web).await?, Times::new(&web));
    let form = form(&web, &mut frame, asked, &devices).await?;
    // Whatever was done leads back to an empty form.
    "/rules".clone_into(&mut frame.here);
    let row = |status: &OwnRuleStatus| {
        let left = status.ends.map(|at| {
            let left = at.saturating_duration_since(web.parts.clock.instant()).as_secs();
            (format::span(left), format::clock_time(web.wall_time_at(at), &times.time_zone))
        });
        RuleRow::new(status, &rules, &devices, left, &frame.here)
    };
    page(&Rules {
        form,
        problem: web.parts.feed.own_problem().as_deref().map(Prose::from),
        rules: rules.iter().map(row).collect(),
        frame,
    })
}

/// The form: with what was refused a moment ago, with a rule to be changed, or with one to be tried.
async fn form(web: &Web, frame: &mut Frame, asked: Asked, devices: &[Device]) -> Result<Form, Failure> {
    let (mut typed, mut chosen, mut instead_of) = (asked.rule, asked.device, asked.instead_of);
    if let Ok(rule) = OwnRule::parse(&asked.edit) {
        instead_of = rule.to_string();
        let key = rule.client.as_ref().and_then(policy::device_of);
        // A device that is named in another way stays in the rule's own text.
        typed = if key.is_some() { rule.shown_subject() } else { rule.to_string() };
        chosen = key.map_or_else(String::new, |key| key.to_string());
    }
    let mut error = None;
    if let Some(refused) = frame.typed.take() {
        typed = refused;
        // Told beside what is wrong, not above the page.
        error = frame.note.take().map(|(_, text)| text);
    }
    let is_tried = error.is_none() && asked.edit.is_empty() && !typed.trim().is_empty();
    let preview = match OwnRule::parse(&typed) {
        Ok(rule) if is_tried => Some(preview(web, &rule, &chosen, devices).await?),
        Err(reason) if is_tried => {
            let text = format!("`{}` is not a rule: {reason}.", typed.trim());
            error = Some(text.as_str().into());
            None
        }
        _ => None,
    };
    let choice = |device: &Device| DeviceChoice {
        key: device.key.to_string(),
        name: device.name.to_string(),
        is_chosen: device.key.to_string() == chosen,
    };
    Ok(Form { typed, error, devices: devices.iter().map(choice).collect(), instead_of, preview })
}

/// Which of the names that were asked for in the last seven days a rule matches.
async fn preview(web: &Web, rule: &OwnRule, chosen: &str, devices: &[Device]) -> Result<Preview, Failure> {
    let key: Option<DeviceKey> =
        chosen.parse().ok().or_else(|| rule.client.as_ref().and_then(policy::device_of));
    let span = Times::new(web).last_hours(7 * 24);
    let names = web.parts.history.names(span, key, false, NAMES_MAX).await?;
    let matched = matched(rule, &names)?;
    let called = key.map(|key| {
        let known = devices.iter().find(|device| device.key == key);
        known.map_or_else(|| key.to_string(), |device| device.name.to_string())
    });
    let total = u64::try_from(names.len()).unwrap_or(u64::MAX);
    Ok(Preview {
        rule: rule.to_string(),
        matched: format!(
            "{} of the {}",
            format::count(u64::try_from(matched.len()).unwrap_or(u64::MAX)),
            format::counted(total, "name", "names")
        ),
        whose: called.map_or_else(String::new, |name| format!(" by {name}")),
        untold: matched.len().saturating_sub(MATCHES_MAX),
        names: matched
            .iter()
            .take(MATCHES_MAX)
            .map(|count| ((&count.name).into(), format::times(count.totals.queries)))
            .collect(),
    })
}

/// The names that a rule matches, whoever asks.
fn matched<'a>(rule: &OwnRule, names: &'a [NameCount]) -> Result<Vec<&'a NameCount>, Failure> {
    let rule = OwnRule { client: None, ..rule.clone() }.into_rule(Action::Block, 1);
    let mut builder = Builder::new(BuildOptions::default());
    let refused =
        |error: &dyn std::fmt::Display| Failure::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
    builder.add(SourceId(0), false, &rule).map_err(|error| refused(&error))?;
    let (ruleset, _) = builder.finish_in_memory().map_err(|error| refused(&error))?;
    let is_matched =
        |count: &&NameCount| ruleset.lookup(&AskedName::by_anyone(count.name.as_ref())).is_some();
    Ok(names.iter().filter(is_matched).collect())
}

/// The name that a rule is looked up by.
fn rule_name(subject: &Subject) -> Option<String> {
    match subject {
        Subject::Name { name, .. } => Some(name.to_string()),
        Subject::Pattern(_) | Subject::Addresses(_) => None,
    }
}
