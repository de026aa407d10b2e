//! How a source is.

use std::sync::Arc;

use jiff::Timestamp;

use super::SourceOptions;
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
    /// When it was last looked for, successfully or not.
    pub checked: Option<Timestamp>,
    /// When it will be looked for next; `None` for what is watched or never changes.
    pub next: Option<Timestamp>,
    /// Whether a refresh is running.
    pub refreshing: bool,
    /// Whether the last refresh itself failed; `problem` may tell of other things.
    pub failed: bool,
    /// What is wrong and what to do, in whole sentences that also say what is in force.
    pub problem: Option<String>,
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
