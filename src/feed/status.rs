//! How a source is.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use super::known::known_at;
use super::{Origin, SourceOptions};
use crate::list::{Action, Format, OwnRule, Report};

/// How a source is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceStatus {
    /// What was configured.
    pub options: Arc<SourceOptions>,
    /// The syntax that was found; `None` when there is no text yet or it has no rule.
    pub format: Option<Format>,
    /// How many of its rules are in force.
    pub rules: usize,
    /// What its lines were taken for.
    pub report: Report,
    /// When the text in force was fetched or saved; `None` when nothing is in force.
    pub revision: Option<Timestamp>,
    /// Which URL the text in force came from, without what is secret in it; `None` when it was not downloaded.
    pub served_by: Option<String>,
    /// The revisions that are kept, the newest first.
    pub revisions: Vec<RevisionStatus>,
    /// Since when the person holds the list at the revision in force; `None` when it follows its source.
    pub held_since: Option<Timestamp>,
    /// A newer text that is not put in force unless the person accepts it.
    pub waiting: Option<Waiting>,
    /// Rules that are not put in force unless the person accepts them: the first of them.
    pub quarantined: Vec<QuarantinedRule>,
    /// How many of those there are.
    pub quarantined_total: usize,
    /// When it was last looked for, successfully or not.
    pub checked: Option<Timestamp>,
    /// When it will be looked for next; `None` for what is watched or never changes.
    pub next: Option<Timestamp>,
    /// Whether a refresh is running.
    pub refreshing: bool,
    /// How far the download that is running has come; `None` when nothing has come yet.
    pub progress: Option<Progress>,
    /// Whether the last refresh itself failed; `problem` may tell of other things.
    pub failed: bool,
    /// What is wrong and what to do, in whole sentences that also say what is in force.
    pub problem: Option<String>,
}

impl SourceStatus {
    /// A source of which nothing is known yet.
    pub fn new(options: Arc<SourceOptions>) -> Self {
        Self {
            options,
            format: None,
            rules: 0,
            report: Report::default(),
            revision: None,
            served_by: None,
            revisions: Vec::new(),
            held_since: None,
            waiting: None,
            quarantined: Vec::new(),
            quarantined_total: 0,
            checked: None,
            next: None,
            refreshing: false,
            progress: None,
            failed: false,
            problem: None,
        }
    }

    /// What it is and what it is for, in one line: `Windows Spy Blocker: hosts that Windows reports to`. The person's own words
    /// come first, then those about well-known lists, then the list's own.
    pub fn describe(&self) -> Option<String> {
        if matches!(self.options.origin, Origin::BuiltIn(_)) {
            return Some("the built-in list: names that report on people".to_owned());
        }
        let known = self.options.urls().find_map(known_at);
        let header = &self.report.header;
        let title = known.map(|list| list.title.as_str()).or(header.title.as_deref());
        let own = self.options.description.as_deref().filter(|own| !own.is_empty());
        let about = own.or_else(|| known.map(|list| list.about.as_str())).or(header.description.as_deref());
        match (title, about) {
            (Some(title), Some(about)) if title != about => Some(format!("{title}: {about}")),
            (title, about) => title.or(about).map(str::to_owned),
        }
    }

    /// What its lines match, for people.
    pub fn matches(&self) -> &'static str {
        self.options.matches(self.format)
    }
}

/// How far a download has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// What has come, in octets as they were sent.
    pub received: u64,
    /// What will come in all, when the server said so.
    pub expected: Option<u64>,
}

/// One kept revision of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RevisionStatus {
    /// What it is called by: the beginning of its text's SHA-256.
    pub id: String,
    /// When it was downloaded or saved.
    pub fetched: Timestamp,
    /// How many rules its text has; `None` when its lines were read in another way.
    pub rules: Option<u64>,
    /// How long its text is, in octets.
    pub size: u64,
    /// Where it came from, without what is secret in it.
    pub url: String,
    /// Whether it is in force, waits, or is only kept.
    pub state: RevisionState,
}

/// What becomes of a revision.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RevisionState {
    /// It is in force.
    InForce,
    /// It may be put in force.
    Kept,
    /// It is not put in force unless the person accepts it.
    Waiting,
}

/// A newer text that waits for the person's word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Waiting {
    /// What it is called by.
    pub id: String,
    /// When it was downloaded.
    pub fetched: Timestamp,
    /// How many rules it has.
    pub rules: u64,
    /// Why it waits, as a whole sentence.
    pub reason: String,
}

/// A rule of a list that waits for the person's word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QuarantinedRule {
    /// The rule in its shortest form.
    pub rule: String,
    /// Its line in the list, from 1.
    pub line: u32,
    /// Why it waits.
    pub reason: QuarantineReason,
}

/// Why a rule of a list is not put in force unless the person accepts it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum QuarantineReason {
    /// It would block one of the sites that most people use.
    #[error("it would block {0}, one of the most visited names")]
    Popular(String),
    /// It would block a name under which others register theirs, as `com` or `co.uk`.
    #[error("it would cover every name below a public suffix")]
    PublicSuffix,
}

/// What came and went between two revisions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diff {
    /// The older one.
    pub from: RevisionStatus,
    /// The newer one.
    pub to: RevisionStatus,
    /// Rules that only the newer one has: the first of them, with their lines there.
    pub came: Vec<DiffRule>,
    /// How many of those there are.
    pub came_total: u64,
    /// Rules that only the older one has: the first of them, with their lines there.
    pub went: Vec<DiffRule>,
    /// How many of those there are.
    pub went_total: u64,
}

/// A rule that only one of two revisions has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DiffRule {
    /// The rule in its shortest form.
    pub rule: String,
    /// Its line, from 1.
    pub line: u32,
}

/// One rule of the person's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnRuleStatus {
    /// What it asks for.
    pub action: Action,
    /// The rule.
    pub rule: OwnRule,
    /// The file it stands in.
    pub file: Arc<str>,
    /// Its line there, from 1.
    pub line: u32,
    /// Whether the page may take it back: it stands in the file that the page writes.
    pub removable: bool,
    /// When it is taken back by itself, by the clock that never jumps.
    pub ends: Option<Instant>,
}

/// What a change of the person's own rules did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OwnChange {
    /// The rule is in force now.
    Written,
    /// The same rule was there already.
    Unchanged,
    /// The rule was taken back.
    Removed,
    /// There was no such rule among those that the page writes.
    Absent,
}
