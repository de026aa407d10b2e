//! One source as the task has it: what is in force, what is under way, what went wrong.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::compile::{Content, Input, Outcome};
use super::disk::Mark;
use super::download::Failure;
use super::refresh::{Found, Refreshed};
use super::revision::{Kept, Revision, Shelf};
use super::schedule;
use super::{Origin, SourceOptions, SourceStatus};
use crate::list::ParseOptions;

/// One source.
pub(super) struct Source {
    pub(super) options: Arc<SourceOptions>,
    pub(super) shelf: Option<Shelf>,
    pub(super) revision: Option<Revision>,
    /// What the file looked like when it was last read.
    pub(super) mark: Option<Mark>,
    /// The look that is under way.
    pub(super) running: Option<AbortHandle>,
    /// Whether the file may have changed since that look began.
    pub(super) again: bool,
    /// When it is looked for next: for the timer, and for people.
    pub(super) due: Option<(Instant, Timestamp)>,
    /// The state of the texts in which its present text first stood.
    pub(super) generation: u64,
    /// What the last compile made of it.
    pub(super) outcome: Outcome,
    /// Why it can't be watched.
    pub(super) unwatched: Option<String>,
    /// Held while the file is read.
    pub(super) turn: Arc<Mutex<()>>,
    since: Timestamp,
    checked: Option<Timestamp>,
    failures: u32,
    failure: Option<String>,
    /// What is wrong with the text that was kept before a restart, and with keeping the present one.
    damaged: Option<String>,
    unkept: Option<String>,
}

impl Source {
    /// A source that nothing is known of yet.
    pub(super) fn new(options: SourceOptions, data_dir: Option<&Path>, now: Timestamp) -> Self {
        let fetched = matches!(options.origin, Origin::Url(_) | Origin::File(_));
        let shelf = data_dir.filter(|_| fetched).map(|data_dir| Shelf::new(data_dir, &options.name));
        Self {
            options: Arc::new(options),
            shelf,
            revision: None,
            mark: None,
            running: None,
            again: false,
            due: None,
            generation: 0,
            outcome: Outcome::default(),
            unwatched: None,
            turn: Arc::default(),
            since: now,
            checked: None,
            failures: 0,
            failure: None,
            damaged: None,
            unkept: None,
        }
    }

    /// This source with other options: what is in force stays until there is something better.
    pub(super) fn with_options(
        mut self,
        options: SourceOptions,
        data_dir: Option<&Path>,
        now: Timestamp,
    ) -> Self {
        self.abort();
        let mut new = Self::new(options, data_dir, now);
        new.outcome = std::mem::take(&mut self.outcome);
        let fetched = |options: &SourceOptions| matches!(options.origin, Origin::Url(_) | Origin::File(_));
        if fetched(&new.options) && fetched(&self.options) {
            new.revision = self.revision.take();
        }
        let directory = |shelf: &Option<Shelf>| shelf.as_ref().map(|shelf| shelf.directory().to_owned());
        if directory(&new.shelf) == directory(&self.shelf) {
            new.shelf = self.shelf.take();
        }
        if new.options.origin == self.options.origin {
            (new.checked, new.failures) = (self.checked, self.failures);
            (new.failure, new.unkept) = (self.failure.take(), self.unkept.take());
            new.damaged = self.damaged.take();
            new.turn = Arc::clone(&self.turn);
        }
        new
    }

    /// Takes over what was kept from before a restart.
    pub(super) fn restore(&mut self, kept: Kept) {
        match kept {
            Kept::Nothing => {}
            Kept::Revision(revision) => {
                self.checked = Some(revision.provenance.checked);
                self.revision = Some(revision);
            }
            Kept::Damaged(problem) => {
                tracing::warn!(list = %self.options.name, %problem, "a kept list was damaged");
                self.damaged = Some(problem);
            }
        }
    }

    pub(super) fn file(&self) -> Option<&PathBuf> {
        match &self.options.origin {
            Origin::File(path) => Some(path),
            Origin::Url(_) | Origin::Inline(_) | Origin::BuiltIn(_) => None,
        }
    }

    pub(super) fn parse_options(&self) -> ParseOptions {
        ParseOptions { format: self.options.format, subdomains: self.options.subdomains }
    }

    pub(super) fn input(&self) -> Input {
        let content = match &self.options.origin {
            Origin::Url(_) | Origin::File(_) => {
                self.revision.as_ref().map_or(Content::Nothing, |kept| Content::Text(Arc::clone(&kept.text)))
            }
            Origin::Inline(text) => Content::Inline(Arc::clone(text)),
            Origin::BuiltIn(rules) => Content::Rules(Arc::clone(rules)),
        };
        let SourceOptions { name, kind, .. } = &*self.options;
        Input { name: Arc::clone(name), kind: *kind, options: self.parse_options(), content }
    }

    /// Sets when it is looked for next, counted from the last success: what was kept may be fresh enough.
    ///
    /// One that failed since is looked for at once.
    pub(super) fn schedule(&mut self, now: Timestamp, chance: u64) {
        let Origin::Url(url) = &self.options.origin else { return };
        let succeeded = self.revision.as_ref().filter(|_| self.failures == 0);
        let fresh = succeeded.filter(|revision| revision.provenance.url == *url);
        let wait = fresh.map_or(Duration::ZERO, |revision| {
            schedule::after_success(revision.provenance.checked, now, self.options.refresh, chance)
        });
        self.wait(wait, now);
    }

    /// Has it looked for at once: what was wrong with it may just have been put right.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        if matches!(self.options.origin, Origin::Url(_)) {
            self.wait(Duration::ZERO, now);
        }
    }

    pub(super) const fn has_failed(&self) -> bool {
        0 < self.failures
    }

    fn wait(&mut self, wait: Duration, now: Timestamp) {
        let shown = SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok());
        let at = Instant::now().checked_add(wait);
        self.due = at.map(|at| (at, shown.unwrap_or(Timestamp::MAX)));
    }

    /// Takes over what a look found; whether its text is a new one.
    pub(super) fn found(&mut self, found: Found, now: Timestamp, chance: u64) -> bool {
        let Found { result, mark } = found;
        if self.file().is_some() {
            self.mark = mark;
        }
        self.checked = Some(now);
        let is_new = match result {
            Ok(Refreshed::Untouched) => false,
            Ok(Refreshed::Same { provenance, unkept }) => {
                if let Some(revision) = &mut self.revision {
                    revision.provenance = provenance;
                }
                self.succeeded(unkept);
                false
            }
            Ok(Refreshed::New { revision, unkept }) => {
                self.revision = Some(revision);
                self.succeeded(unkept);
                true
            }
            Err(Failure { message, retry_after }) => {
                let repeated = self.failure.as_ref() == Some(&message);
                if !repeated {
                    tracing::warn!(list = %self.options.name, problem = %message, "a list was not refreshed");
                }
                self.failures = self.failures.saturating_add(1);
                self.failure = Some(message);
                if self.file().is_none() {
                    let wait =
                        schedule::after_failure(self.failures, self.options.refresh, retry_after, chance);
                    self.wait(wait, now);
                }
                return false;
            }
        };
        self.schedule(now, chance);
        is_new
    }

    fn succeeded(&mut self, unkept: Option<String>) {
        if let Some(problem) = unkept.as_ref().filter(|problem| self.unkept.as_ref() != Some(problem)) {
            tracing::warn!(list = %self.options.name, %problem, "a list was not kept");
        }
        (self.failures, self.failure, self.damaged, self.unkept) = (0, None, None, unkept);
    }

    pub(super) fn abort(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }

    pub(super) fn status(&self) -> SourceStatus {
        let Outcome { format, rules, report, .. } = &self.outcome;
        let (revision, watched) = match &self.options.origin {
            Origin::Url(_) => (self.revision.as_ref().map(|revision| revision.provenance.fetched), false),
            Origin::File(_) => (self.revision.as_ref().map(|revision| revision.provenance.fetched), true),
            Origin::Inline(_) | Origin::BuiltIn(_) => (Some(self.since), true),
        };
        SourceStatus {
            options: Arc::clone(&self.options),
            format: *format,
            rules: *rules,
            report: report.clone(),
            revision,
            checked: self.checked,
            next: self.due.filter(|_| !watched).map(|(_, shown)| shown),
            refreshing: self.running.is_some() && !watched,
            failed: self.failure.is_some(),
            problem: self.problem(),
        }
    }

    /// All that is wrong, in whole sentences.
    fn problem(&self) -> Option<String> {
        let failure = self.failure.as_ref().map(|failure| format!("{}.", failure.trim_end_matches('.')));
        let is_missing = failure.is_some() || self.damaged.is_some();
        let in_force = match (&self.revision, self.outcome.rules) {
            (None, _) => "Nothing of it is in force yet.",
            (Some(_), 0) => "Nothing of it is in force.",
            (Some(_), _) => "Its last good text stays in force.",
        };
        let problems: Vec<&str> = [
            self.damaged.as_deref(),
            failure.as_deref(),
            is_missing.then_some(in_force),
            self.unkept.as_deref(),
            self.outcome.problem.as_deref(),
            self.unwatched.as_deref(),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!problems.is_empty()).then(|| problems.join(" "))
    }
}
