//! `/lists`: every source, what became of its lines, and how fresh it is.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::Uri;

use super::{Page, page};
use crate::feed::{Feed, Origin, QuarantinedRule, RevisionState, SourceKind, SourceOptions, SourceStatus};
use crate::list::{Format, SkipCount, Skipped};
use crate::web::Web;
use crate::web::format;
use crate::web::view::{Frame, ListButton, Moment, Prose, Tab, Times};

/// How many of the rules that are held back are shown of each list; its own page shows more.
const HELD_SHOWN: usize = 5;

#[derive(Template)]
#[template(path = "lists.html")]
pub(super) struct Lists {
    pub(super) frame: Frame,
    pub(super) rules: String,
    /// Why the file of what was accepted can't be read.
    pub(super) problem: Option<Prose>,
    pub(super) lists: Vec<ListCard>,
}

/// One source.
pub(super) struct ListCard {
    pub(super) name: String,
    /// It was added here.
    pub(super) added: bool,
    pub(super) kind: &'static str,
    /// What it is and what it is for.
    pub(super) about: Option<String>,
    pub(super) origin: String,
    /// Its address, when it is one that a browser may open.
    pub(super) link: Option<String>,
    /// Which of its addresses the text in force came from, where there are several.
    pub(super) served_by: Option<String>,
    pub(super) syntax: String,
    pub(super) matches: &'static str,
    pub(super) rules: String,
    /// Its text has been read.
    pub(super) has_report: bool,
    pub(super) lines: String,
    pub(super) rule_lines: String,
    pub(super) comments: String,
    pub(super) skipped: String,
    pub(super) reasons: Vec<Reason>,
    pub(super) revision: Option<Moment>,
    pub(super) checked: Option<Moment>,
    pub(super) next: Option<Moment>,
    /// When it changes, if not by being looked for.
    pub(super) changes: &'static str,
    /// It came with the program.
    pub(super) is_built_in: bool,
    /// There is something to fetch.
    pub(super) is_fetched: bool,
    pub(super) refreshing: bool,
    pub(super) problem: Option<Prose>,
    pub(super) waiting: Option<WaitingText>,
    /// It stays at its revision.
    pub(super) held: Option<HeldAt>,
    pub(super) held_back: Option<HeldBack>,
    pub(super) refresh: Option<ListButton>,
    pub(super) remove: Option<ListButton>,
}

/// A newer text that waits for the person's word.
pub(super) struct WaitingText {
    /// Why it waits, where the list's problem does not say it already.
    pub(super) reason: Option<Prose>,
    pub(super) fetched: Moment,
    pub(super) rules_now: String,
    pub(super) rules_then: String,
    pub(super) accept: ListButton,
}

/// The person holds the list at a revision.
pub(super) struct HeldAt {
    pub(super) since: Moment,
    pub(super) follow: ListButton,
}

/// Rules that wait for the person's word.
pub(super) struct HeldBack {
    /// `120 rules are held back`.
    pub(super) total: String,
    pub(super) rows: Vec<HeldRule>,
    /// How many there are beside those.
    pub(super) untold: usize,
    /// Whether the page of the list has more of them.
    pub(super) has_more: bool,
    pub(super) accept_all: ListButton,
}

/// One of them.
pub(super) struct HeldRule {
    pub(super) rule: String,
    pub(super) line: u32,
    pub(super) reason: String,
    pub(super) accept: ListButton,
}

/// Lines that were skipped for one reason.
pub(super) struct Reason {
    pub(super) text: String,
    pub(super) count: String,
    pub(super) is_expected: bool,
    pub(super) examples: Vec<Skipped>,
}

impl ListCard {
    /// `held_max`: how many of the rules that are held back are shown.
    pub(super) fn new(status: &SourceStatus, times: &Times, back: &str, held_max: usize) -> Self {
        let options = &status.options;
        let name = &*options.name;
        let is_fetched = matches!(options.origin, Origin::Url(_) | Origin::File(_));
        let remove =
            || ListButton { leads_away: true, ..ListButton::new("remove", "Remove", name, "/lists") };
        let report = &status.report;
        let reason = |skipped: &SkipCount| Reason {
            text: skipped.skip.to_string(),
            count: format::counted(u64::from(skipped.count), "line", "lines"),
            is_expected: skipped.skip.is_expected(),
            examples: skipped.first.clone(),
        };
        Self {
            name: name.to_owned(),
            added: options.added,
            kind: match options.kind {
                SourceKind::Allow => "allows",
                SourceKind::Block => "blocks",
                SourceKind::Cname => "blocks where answers lead to",
            },
            about: status.describe(),
            origin: options.origin.shown(),
            link: options.origin.link(),
            served_by: status.served_by.clone().filter(|_| !options.mirrors.is_empty()),
            syntax: syntax(status),
            matches: status.matches(),
            rules: format::count(number(status.rules)),
            has_report: 0 < report.lines,
            lines: format::count(u64::from(report.lines)),
            rule_lines: format::count(u64::from(report.rule_lines)),
            comments: format::count(u64::from(report.comments) + u64::from(report.blank)),
            skipped: format::count(u64::from(report.skipped_count())),
            reasons: report.skipped().map(reason).collect(),
            revision: status.revision.map(|at| times.ago(at)),
            checked: status.checked.map(|at| times.ago(at)),
            next: status.next.map(|at| times.ago(at)),
            changes: match options.origin {
                Origin::Url(_) => "not planned",
                Origin::File(_) => "when it is saved",
                Origin::Inline(_) => "with the configuration",
                Origin::BuiltIn(_) => "with the next version",
            },
            is_built_in: is_built_in(options),
            is_fetched,
            refreshing: status.refreshing,
            problem: status.problem.as_deref().map(Prose::from),
            waiting: WaitingText::of(status, times, back),
            held: status.held_since.map(|since| HeldAt {
                since: times.ago(since),
                follow: ListButton::new("follow", "Follow again", name, back),
            }),
            held_back: HeldBack::of(status, back, held_max),
            refresh: is_fetched.then(|| ListButton::new("refresh", "Refresh", name, back)),
            remove: options.added.then(remove),
        }
    }
}

impl WaitingText {
    fn of(status: &SourceStatus, times: &Times, back: &str) -> Option<Self> {
        let waiting = status.waiting.as_ref()?;
        let is_told = status.problem.as_ref().is_some_and(|problem| problem.contains(&waiting.reason));
        let in_force = status.revisions.iter().find(|revision| revision.state == RevisionState::InForce);
        let in_force_rules = in_force.and_then(|revision| revision.rules);
        let name = &*status.options.name;
        Some(Self {
            reason: (!is_told).then(|| waiting.reason.as_str().into()),
            fetched: times.ago(waiting.fetched),
            rules_now: format::count(in_force_rules.unwrap_or_else(|| number(status.rules))),
            rules_then: format::count(waiting.rules),
            accept: ListButton {
                about: format!("Accept the newer text of {name}"),
                ..ListButton::new("accept", "Accept", name, back)
            },
        })
    }
}

impl HeldBack {
    fn of(status: &SourceStatus, back: &str, max: usize) -> Option<Self> {
        if status.quarantined_total == 0 {
            return None;
        }
        let name = &*status.options.name;
        let row = |held: &QuarantinedRule| HeldRule {
            rule: held.rule.clone(),
            line: held.line,
            reason: held.reason.to_string(),
            accept: ListButton {
                about: format!("Accept {} of {name}", held.rule),
                fields: vec![("list", name.to_owned()), ("rule", held.rule.clone())],
                ..ListButton::new("accept-rule", "Accept", name, back)
            },
        };
        let rows: Vec<HeldRule> = status.quarantined.iter().take(max).map(row).collect();
        let total = number(status.quarantined_total);
        Some(Self {
            total: format::counted(total, "rule is held back", "rules are held back"),
            untold: status.quarantined_total.saturating_sub(rows.len()),
            has_more: rows.len() < status.quarantined.len(),
            rows,
            accept_all: ListButton {
                about: format!("Accept all rules of {name}"),
                ..ListButton::new("accept-all-rules", "Accept all", name, back)
            },
        })
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn is_built_in(options: &SourceOptions) -> bool {
    matches!(options.origin, Origin::BuiltIn(_))
}

fn syntax(status: &SourceStatus) -> String {
    if is_built_in(&status.options) {
        return "its own, graded by level".to_owned();
    }
    match (status.options.format, status.format) {
        (Some(configured), _) => configured.as_str().to_owned(),
        (None, found) => found.map_or("not known yet", Format::as_str).to_owned(),
    }
}

/// What is wrong with the lists as a whole.
fn problem(feed: &Feed) -> Option<String> {
    let problems: Vec<String> =
        [feed.accepted_problem(), feed.unkept_problem()].into_iter().flatten().collect();
    (!problems.is_empty()).then(|| problems.join(" "))
}

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri) -> Page {
    let times = Times::new(&web);
    let frame = Frame::new(&web, &uri, Tab::Lists);
    let card = |status: &SourceStatus| ListCard::new(status, &times, &frame.here, HELD_SHOWN);
    page(&Lists {
        rules: format::count(web.parts.policy.current().lists.ruleset.len()),
        problem: problem(&web.parts.feed).as_deref().map(Prose::from),
        lists: web.parts.feed.status().iter().map(card).collect(),
        frame,
    })
}
