//! `/lists`: every source, what became of its lines, and how fresh it is.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::Uri;

use super::{Page, page};
use crate::feed::{Origin, SourceKind, SourceOptions, SourceStatus};
use crate::list::{Format, SkipCount, Skipped};
use crate::web::Web;
use crate::web::format;
use crate::web::view::{Frame, Moment, Prose, Tab, Times};

#[derive(Template)]
#[template(path = "lists.html")]
pub(super) struct Lists {
    pub(super) frame: Frame,
    pub(super) rules: String,
    pub(super) lists: Vec<ListCard>,
}

/// One source.
pub(super) struct ListCard {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) origin: String,
    /// Its address, when it is one that a browser may open.
    pub(super) link: Option<String>,
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
}

/// Lines that were skipped for one reason.
pub(super) struct Reason {
    pub(super) text: String,
    pub(super) count: String,
    pub(super) is_expected: bool,
    pub(super) examples: Vec<Skipped>,
}

impl ListCard {
    pub(super) fn new(status: &SourceStatus, times: &Times) -> Self {
        let options = &status.options;
        let report = &status.report;
        let reason = |skipped: &SkipCount| Reason {
            text: skipped.skip.to_string(),
            count: format::counted(u64::from(skipped.count), "line", "lines"),
            is_expected: skipped.skip.is_expected(),
            examples: skipped.first.clone(),
        };
        Self {
            name: options.name.to_string(),
            kind: match options.kind {
                SourceKind::Allow => "allows",
                SourceKind::Block => "blocks",
                SourceKind::Cname => "blocks where answers lead to",
            },
            origin: options.origin.shown(),
            link: options.origin.link(),
            syntax: syntax(status),
            matches: status.matches(),
            rules: format::count(u64::try_from(status.rules).unwrap_or(u64::MAX)),
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
            is_fetched: matches!(options.origin, Origin::Url(_) | Origin::File(_)),
            refreshing: status.refreshing,
            problem: status.problem.as_deref().map(Prose::from),
        }
    }
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

pub(super) async fn show(State(web): State<Arc<Web>>, uri: Uri) -> Page {
    let times = Times::new(&web);
    let lists = web.parts.feed.status();
    let rules = web.parts.policy.current().lists.ruleset.len();
    page(&Lists {
        frame: Frame::new(&web, &uri, Tab::Lists),
        rules: format::count(u64::try_from(rules).unwrap_or(u64::MAX)),
        lists: lists.iter().map(|status| ListCard::new(status, &times)).collect(),
    })
}
