//! `/explain?name=`: every rule that covers a name, which of them decides, and whose the name is.

use std::net::Ipv4Addr;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::Uri;
use serde::Deserialize;

use super::{Page, page};
use crate::list::Action;
use crate::name::DomainName;
use crate::policy::{Explained, Policy, Question, RuleRef, Verdict, Without};
use crate::tracker::Attribution;
use crate::web::Web;
use crate::web::known_devices;
use crate::web::view::{DeviceLink, Frame, RuleButton, Tab, Who};

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    name: String,
    /// The device that would ask, by name, MAC or address.
    device: Option<String>,
}

#[derive(Template)]
#[template(path = "explain.html")]
pub(super) struct Explain {
    pub(super) frame: Frame,
    /// What was typed.
    pub(super) typed: String,
    /// The device that would ask; `None`: nobody in particular.
    pub(super) on: Option<DeviceLink>,
    pub(super) outcome: Outcome,
}

/// What is said of what was typed.
pub(super) enum Outcome {
    /// Nothing was typed.
    Empty,
    /// It is not a name.
    NotAName(String),
    /// It is one.
    Name(Box<Explanation>),
}

pub(super) struct Explanation {
    pub(super) name: String,
    /// `blocked`, `allowed` or `passed`.
    pub(super) word: &'static str,
    /// What this machine answers of itself, where no rule of the person's own comes before it.
    pub(super) local: Option<String>,
    pub(super) rules: Vec<RuleRow>,
    /// What would be said of it without one of the lists, where that is something else.
    pub(super) without: Vec<WithoutRow>,
    pub(super) who: Who,
    pub(super) is_known: bool,
    /// What the list is whose rule decides.
    pub(super) list_about: Option<String>,
    pub(super) button: Option<RuleButton>,
}

/// One rule that covers the name.
pub(super) struct RuleRow {
    pub(super) rule: RuleRef,
    /// Every list that has it; for a rule of the person's own the file.
    pub(super) lists: Vec<String>,
    /// Where it stands in its lists: the number of each line and its text.
    pub(super) places: Vec<(String, Vec<(u32, String)>)>,
    pub(super) action: &'static str,
    pub(super) own: bool,
    pub(super) decides: bool,
}

/// What would be said without a list.
pub(super) struct WithoutRow {
    pub(super) list: String,
    /// `blocked`, `allowed` or `passed`.
    pub(super) word: &'static str,
    /// The rule that would decide.
    pub(super) rule: Option<RuleRef>,
}

impl From<Without> for WithoutRow {
    fn from(without: Without) -> Self {
        let (word, rule) = match without.verdict {
            Verdict::Pass => ("passed", None),
            Verdict::Allow(rule) => ("allowed", Some(rule)),
            Verdict::Block(rule) => ("blocked", Some(rule)),
        };
        Self { list: without.list.to_string(), word, rule }
    }
}

impl RuleRow {
    /// The lines of a list, as far as they are known.
    pub(super) fn lines(&self, list: &str) -> &[(u32, String)] {
        let of_list = self.places.iter().find(|(named, _)| named == list);
        of_list.map_or(&[], |(_, lines)| lines.as_slice())
    }
}

impl Explanation {
    pub(super) fn new(
        name: &DomainName,
        rules: Vec<Explained>,
        policy: &Policy,
        attribution: &Attribution,
        back: &str,
    ) -> Self {
        let word = match rules.first().map(|first| first.action) {
            Some(Action::Block) => "blocked",
            Some(Action::Allow) => "allowed",
            None => "passed",
        };
        let without = Policy::explain_without(&rules).into_iter().map(Into::into).collect();
        let row = |(index, explained): (usize, Explained)| RuleRow {
            action: match explained.action {
                Action::Allow => "allows",
                Action::Block => "blocks",
            },
            own: explained.own,
            decides: index == 0,
            lists: explained.lists.iter().map(ToString::to_string).collect(),
            places: Vec::new(),
            rule: explained.rule,
        };
        Self {
            word,
            local: None,
            without,
            rules: rules.into_iter().enumerate().map(row).collect(),
            who: attribution.into(),
            is_known: matches!(attribution, Attribution::Tracker(_)),
            list_about: None,
            button: RuleButton::against(policy, word == "blocked", name, back),
            name: name.to_string(),
        }
    }
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri, Query(asked): Query<Asked>) -> Page {
    let frame = Frame::new(&web, &uri, Tab::Other);
    let typed = asked.name.trim();
    let device = match asked.device.as_deref().filter(|device| !device.is_empty()) {
        None => None,
        Some(device) => Some(known_devices::find(&web, device).await?),
    };
    let outcome = match DomainName::parse(host_of(typed)) {
        _ if typed.is_empty() => Outcome::Empty,
        Err(error) => Outcome::NotAName(error.to_string()),
        Ok(name) if name.to_string().parse::<Ipv4Addr>().is_ok() => {
            Outcome::NotAName("this is an address; rules are about names".to_owned())
        }
        Ok(name) => {
            let policy = Arc::clone(&web.parts.policy.current());
            let anyone = Question::by_anyone(name.as_ref());
            let question = device.as_ref().map_or(anyone, |device| Question::of(device, name.as_ref()));
            let rules = policy.explain(&question);
            let attribution = web.parts.catalogue.current().attribute(name.as_ref());
            let mut places = Vec::new();
            for rule in &rules {
                let mut of_rule = Vec::new();
                for list in &rule.lists {
                    let lines =
                        web.places(rule, list).await.into_iter().map(|found| (found.line, found.text));
                    of_rule.push((list.to_string(), lines.collect()));
                }
                places.push(of_rule);
            }
            let decides = rules.first().filter(|first| !first.own).map(|first| Arc::clone(&first.rule.list));
            let mut explanation = Explanation::new(&name, rules, &policy, &attribution, &frame.here);
            let is_own = explanation.rules.first().is_some_and(|first| first.own);
            explanation.local = web.parts.local.current().describe(name.as_ref()).filter(|_| !is_own);
            explanation.list_about = decides.and_then(|list| web.parts.feed.describe(&list));
            for (row, places) in explanation.rules.iter_mut().zip(places) {
                row.places = places;
            }
            Outcome::Name(Box::new(explanation))
        }
    };
    page(&Explain { typed: typed.to_owned(), on: device.as_ref().map(Into::into), outcome, frame })
}

/// The host of an address that was copied out of a browser; anything else as it is.
fn host_of(text: &str) -> &str {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let end = text.find(['/', '?', '#', ':']).unwrap_or(text.len());
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_from_a_browser_names_its_host() {
        assert_eq!(host_of("https://pixel.example:8443/a?b#c"), "pixel.example");
        assert_eq!(host_of("pixel.example/a"), "pixel.example");
        assert_eq!(host_of("pixel.example"), "pixel.example");
        assert_eq!(host_of(""), "");
    }
}
