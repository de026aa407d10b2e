//! `/devices/{key}/fix`: something does not work on a device; which of the names that were blocked on it may be why.
//! `/fix` asks on which device.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::Uri;
use serde::Deserialize;

use super::{Page, page};
use crate::device::{Device, DeviceKey};
use crate::feed::OwnRuleStatus;
use crate::history::BlockedLately;
use crate::list::{Action, OwnRule, Scope, Subject};
use crate::policy::{self, Policy, Question, Verdict};
use crate::web::Web;
use crate::web::breakage::{Levels, Likelihood, Signs};
use crate::web::errors::Failure;
use crate::web::format;
use crate::web::known_devices;
use crate::web::serve::Peer;
use crate::web::view::{DeviceLink, Frame, Moment, NameLink, RuleButton, Tab, Times, Who};

/// The spans that can be chosen, in minutes.
const SPANS: [u32; 3] = [2, 10, 60];
/// The one that is chosen when nobody does.
pub(in crate::web) const SPAN: u32 = 10;
/// How many names are shown.
const ROWS_MAX: usize = 50;

#[derive(Deserialize)]
pub(super) struct Asked {
    minutes: Option<u32>,
}

#[derive(Template)]
#[template(path = "fix.html")]
pub(super) struct Fix {
    pub(super) frame: Frame,
    pub(super) device: DeviceLink,
    pub(super) spans: Vec<SpanChoice>,
    pub(super) minutes: u32,
    pub(super) suspects: Vec<SuspectRow>,
    /// How many names are not shown.
    pub(super) untold: usize,
    pub(super) allowed: Vec<AllowedRow>,
    pub(super) ttl_secs: u32,
}

pub(super) struct SpanChoice {
    pub(super) minutes: u32,
    pub(super) name: String,
    pub(super) is_current: bool,
}

/// A name that was blocked, as it is shown.
pub(super) struct SuspectRow {
    pub(super) name: NameLink,
    pub(super) who: Option<Who>,
    /// The tracker's name behind it.
    pub(super) behind: Option<String>,
    pub(super) likelihood: &'static str,
    pub(super) why: String,
    pub(super) hits: String,
    pub(super) last: Moment,
    pub(super) list: String,
    pub(super) rule: String,
    /// `None`: no rule could name it, or it is let through now.
    pub(super) button: Option<RuleButton>,
    pub(super) is_allowed: bool,
}

/// What is let through on this device by the person's own word.
pub(super) struct AllowedRow {
    pub(super) rule: String,
    /// How long it is until that ends, with the moment behind it; `None`: it stays.
    pub(super) left: Option<(String, String)>,
    pub(super) keep: Option<RuleButton>,
    pub(super) take_back: RuleButton,
}

/// A name that was blocked lately on a device, weighed.
pub(in crate::web) struct Suspect {
    pub(in crate::web) blocked: BlockedLately,
    pub(in crate::web) likelihood: Likelihood,
    /// How many lists block it.
    pub(in crate::web) lists: usize,
    /// Whether it is let through on this device now.
    pub(in crate::web) is_allowed: bool,
    /// What a person would allow; `None` for a name that no rule could be written with.
    pub(in crate::web) rule: Option<OwnRule>,
}

/// What was blocked on a device in the last minutes, the likeliest cause first.
pub(in crate::web) async fn suspects(
    web: &Web,
    device: &Device,
    minutes: u32,
) -> Result<Vec<Suspect>, Failure> {
    let span = Duration::from_secs(u64::from(minutes) * 60);
    let since = web.parts.clock.now().checked_sub(span).unwrap_or_default();
    let blocked = web.parts.history.blocked_lately(device.key, since).await?;
    let policy = web.parts.policy.current();
    let catalogue = web.parts.catalogue.current();
    let levels = Levels::new(&catalogue);
    let mut suspects: Vec<Suspect> =
        blocked.into_iter().map(|blocked| suspect(&policy, &levels, device, blocked)).collect();
    suspects.sort_by_key(|suspect| {
        std::cmp::Reverse((!suspect.is_allowed, suspect.likelihood.score, suspect.blocked.last))
    });
    Ok(suspects)
}

fn suspect(policy: &Policy, levels: &Levels<'_>, device: &Device, blocked: BlockedLately) -> Suspect {
    let question = Question::of(device, blocked.name.as_ref());
    let says = policy.judge(&question);
    // The rule is about the name behind it, where there is one.
    let blamed = blocked.behind.as_ref().unwrap_or(&blocked.name);
    let explained = policy.explain(&Question::of(device, blamed.as_ref()));
    let blocks = || explained.iter().filter(|rule| rule.action == Action::Block);
    let mut lists: Vec<&Arc<str>> = blocks().filter(|rule| !rule.own).flat_map(|rule| &rule.lists).collect();
    lists.sort();
    lists.dedup();
    let signs = Signs {
        name: &blocked.name,
        is_first_time: blocked.is_first_time,
        level: levels.of(blamed.as_ref()),
        is_known_tracker: levels.of(blamed.as_ref()).is_some(),
        lists: lists.len(),
        is_own: blocks().any(|rule| rule.own),
    };
    let is_allowed = match says {
        Verdict::Allow(_) => true,
        Verdict::Block(_) => false,
        // Nothing is said of the name itself: what it leads to decides.
        Verdict::Pass => !matches!(explained.first(), Some(first) if first.action == Action::Block),
    };
    let decides = policy.own_rule(&question);
    let scope = if decides.is_some_and(|decides| decides.is_exact()) { Scope::Exact } else { Scope::Subtree };
    let client = Some(policy::client_of(device.key));
    let rule = OwnRule { subject: Subject::Name { name: blocked.name.clone(), scope }, client };
    Suspect {
        likelihood: Likelihood::of(&signs),
        lists: lists.len(),
        is_allowed,
        rule: (OwnRule::parse(&rule.to_string()).as_ref() == Ok(&rule)).then_some(rule),
        blocked,
    }
}

impl SuspectRow {
    fn new(suspect: &Suspect, times: &Times, back: &str) -> Self {
        let Suspect { blocked, likelihood, is_allowed, rule, .. } = suspect;
        let allow = |rule: &OwnRule| RuleButton {
            action: "allow-for",
            label: "Allow for 15 minutes",
            rule: rule.to_string(),
            back: back.to_owned(),
        };
        Self {
            name: (&blocked.name).into(),
            who: Who::behind(&blocked.attribution),
            behind: blocked.behind.as_ref().map(ToString::to_string),
            likelihood: likelihood.word(),
            why: likelihood.why.join(", "),
            hits: format::times(blocked.hits),
            last: times.ago(blocked.last),
            list: blocked.rule.list.to_string(),
            rule: blocked.rule.rule.to_string(),
            button: rule.as_ref().filter(|_| !is_allowed).map(allow),
            is_allowed: *is_allowed,
        }
    }
}

impl AllowedRow {
    fn new(status: &OwnRuleStatus, web: &Web, times: &Times, back: &str) -> Self {
        let button = |action, label| RuleButton {
            action,
            label,
            rule: status.rule.to_string(),
            back: back.to_owned(),
        };
        let left = status.ends.map(|at| {
            let left = at.saturating_duration_since(web.parts.clock.instant()).as_secs();
            let at = format::hour(web.wall_time_at(at), &times.time_zone);
            (format::span(left), at)
        });
        Self {
            rule: status.rule.shown_subject(),
            keep: left.is_some().then(|| button("keep", "Keep")),
            take_back: button("forget", "Take back now"),
            left,
        }
    }
}

pub(super) async fn show(
    State(web): State<Arc<Web>>,
    uri: Uri,
    Path(key): Path<String>,
    Query(asked): Query<Asked>,
) -> Page {
    let device = known_devices::find(&web, &key).await?;
    let minutes = asked.minutes.filter(|minutes| SPANS.contains(minutes)).unwrap_or(SPAN);
    let (times, frame) = (Times::new(&web), Frame::new(&web, &uri, Tab::Devices));
    let suspects = suspects(&web, &device, minutes).await?;
    let own = web.parts.feed.own_rules();
    let client = policy::client_of(device.key);
    let is_allowed_here = |status: &&OwnRuleStatus| {
        status.removable && status.action == Action::Allow && status.rule.client.as_ref() == Some(&client)
    };
    let span = |choice| SpanChoice {
        minutes: choice,
        name: format!("{choice} minutes"),
        is_current: choice == minutes,
    };
    page(&Fix {
        device: (&device).into(),
        spans: SPANS.into_iter().map(span).collect(),
        minutes,
        untold: suspects.len().saturating_sub(ROWS_MAX),
        suspects: suspects
            .iter()
            .take(ROWS_MAX)
            .map(|suspect| SuspectRow::new(suspect, &times, &frame.here))
            .collect(),
        allowed: own
            .iter()
            .filter(is_allowed_here)
            .map(|status| AllowedRow::new(status, &web, &times, &frame.here))
            .collect(),
        ttl_secs: web.parts.policy.current().blocking.ttl_secs,
        frame,
    })
}

#[derive(Template)]
#[template(path = "fix_pick.html")]
pub(super) struct Pick {
    pub(super) frame: Frame,
    /// The device that the page is looked at from.
    pub(super) here: Option<DeviceLink>,
    pub(super) others: Vec<DeviceLink>,
}

pub(super) async fn pick(State(web): State<Arc<Web>>, uri: Uri, peer: Option<Extension<Peer>>) -> Page {
    let here: Option<DeviceKey> =
        peer.map(|Extension(Peer(address))| web.parts.devices.current().key_of(address));
    let (here, others): (Vec<Device>, Vec<Device>) =
        known_devices::all(&web).await?.into_iter().partition(|device| Some(device.key) == here);
    page(&Pick {
        frame: Frame::new(&web, &uri, Tab::Devices),
        here: here.first().map(Into::into),
        others: others.iter().map(Into::into).collect(),
    })
}
