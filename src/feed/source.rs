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
use super::meter::Meter;
use super::options::without_secrets;
use super::quarantine::{Accepted, Quarantine};
use super::refresh::{Found, Refreshed, Subject};
use super::revision::{Received, Revision, Revisions};
use super::schedule;
use super::shelf::{Kept, Shelf};
use super::text::Text;
use super::{Origin, SourceKind, SourceOptions, SourceStatus};
use crate::list::ParseOptions;

/// One source.
pub(super) struct Source {
    pub(super) options: Arc<SourceOptions>,
    pub(super) shelf: Option<Shelf>,
    pub(super) revisions: Revisions,
    /// Whether something of the revisions is being written; and whether more of them changed meanwhile.
    pub(super) saving: bool,
    pub(super) save_again: bool,
    /// How far a download has come.
    pub(super) meter: Arc<Meter>,
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
            revisions: Revisions::default(),
            saving: false,
            save_again: false,
            meter: Arc::default(),
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
            new.revisions = std::mem::take(&mut self.revisions);
            if new.options.format != self.options.format {
                new.revisions.forget_counts();
            }
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
        let Kept { revisions, problem } = kept;
        self.checked = revisions.checked;
        self.revisions = revisions;
        if let Some(problem) = problem {
            self.tell_damaged(problem);
        }
    }

    fn tell_damaged(&mut self, problem: String) {
        tracing::warn!(list = %self.options.name, %problem, "a kept list was damaged");
        self.damaged = Some(problem);
    }

    /// Gives up texts that were found damaged when they were read, to be fetched anew; the text given up first.
    pub(super) fn give_up_damaged(&mut self, now: Timestamp) -> Option<Arc<Text>> {
        let lost = self.revisions.give_up_damaged();
        let first = lost.into_iter().next()?;
        let problem = match &self.shelf {
            Some(shelf) => shelf.set_damaged_aside(&first),
            None => "The kept text was damaged.".to_owned(),
        };
        self.tell_damaged(problem);
        self.mark = None;
        self.hurry(now);
        Some(first)
    }

    /// What a look needs to know.
    pub(super) fn subject(&self) -> Subject {
        let newest = self.revisions.newest();
        Subject {
            options: self.parse_options(),
            directory: self.shelf.as_ref().map(|shelf| shelf.directory().to_owned()),
            validators: self.revisions.validators.clone(),
            rules: newest.filter(|newest| self.is_guarded(newest)).and_then(|newest| newest.rules),
            meter: Arc::clone(&self.meter),
        }
    }

    /// Whether what comes must be like this one: where it comes from is another list, or a person saves the file, not.
    fn is_guarded(&self, newest: &Revision) -> bool {
        self.options.urls().any(|url| url == newest.url)
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

    pub(super) fn input(&self, accepted: Arc<Accepted>) -> Input {
        let content = match &self.options.origin {
            Origin::Url(_) | Origin::File(_) => self
                .revisions
                .in_force()
                .map_or(Content::Nothing, |revision| Content::Text(Arc::clone(&revision.text))),
            Origin::Inline(text) => Content::Inline(Arc::clone(text)),
            Origin::BuiltIn(rules) => Content::Rules(Arc::clone(rules)),
        };
        let quarantine = match &self.options.origin {
            Origin::Url(_) | Origin::File(_) => Quarantine::new(accepted),
            // The person's own words, and ours.
            Origin::Inline(_) | Origin::BuiltIn(_) => Quarantine::none(),
        };
        let SourceOptions { name, kind, .. } = &*self.options;
        Input {
            name: Arc::clone(name),
            kind: kind.action(),
            targets_only: *kind == SourceKind::Cname,
            options: self.parse_options(),
            content,
            quarantine,
        }
    }

    /// Sets when it is looked for next, counted from the last success: what was kept may be fresh enough.
    ///
    /// One that failed since is looked for at once.
    pub(super) fn schedule(&mut self, now: Timestamp, chance: u64) {
        if !matches!(self.options.origin, Origin::Url(_)) {
            return;
        }
        let newest = self.revisions.newest().filter(|_| self.failures == 0);
        let fresh = newest.filter(|newest| self.options.urls().any(|url| url == newest.url));
        let checked = fresh.and(self.revisions.checked);
        let wait = checked.map_or(Duration::ZERO, |checked| {
            schedule::after_success(checked, now, self.options.refresh, chance)
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

    /// Takes over what a look found; whether the text in force is a new one.
    pub(super) fn found(&mut self, found: Found, keep: usize, now: Timestamp, chance: u64) -> bool {
        let Found { result, mark } = found;
        if self.file().is_some() {
            self.mark = mark;
        }
        self.checked = Some(now);
        let received = match result {
            Ok(Refreshed::Untouched) => return false,
            Ok(Refreshed::Known(known)) => {
                let received = self.revisions.receive_known(&known.url, &known.digest, now);
                if received == Received::Lost {
                    self.hurry(now);
                    return false;
                }
                received
            }
            Ok(Refreshed::Text { taken, url, fetched, validator }) => {
                let (text, rules) = (Arc::new(taken.text), Some(taken.rules));
                let is_guarded = self.revisions.newest().is_some_and(|newest| self.is_guarded(newest));
                self.revisions.receive(Revision { text, url, fetched, rules }, validator, is_guarded, now)
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
        if received == (Received::Waits { is_new: true })
            && let Some(waiting) = self.revisions.waiting_status()
        {
            tracing::warn!(list = %self.options.name, reason = waiting.reason, "a new text waits to be accepted");
        }
        self.revisions.prune(keep);
        (self.failures, self.failure, self.damaged) = (0, None, None);
        self.schedule(now, chance);
        received == Received::New
    }

    /// Takes over how keeping the revisions went.
    pub(super) fn saved(&mut self, saved: Result<Vec<Arc<Text>>, String>) {
        let unkept = match saved {
            Ok(brought) => {
                let waiting = self.revisions.waiting.as_mut().map(|hold| &mut hold.revision);
                for revision in self.revisions.kept.iter_mut().chain(waiting) {
                    let here = brought.iter().find(|text| text.digest() == revision.text.digest());
                    if let Some(text) = here {
                        revision.text = Arc::clone(text);
                    }
                }
                None
            }
            Err(problem) => Some(problem),
        };
        if let Some(problem) = unkept.as_ref().filter(|problem| self.unkept.as_ref() != Some(problem)) {
            tracing::warn!(list = %self.options.name, %problem, "a list was not kept");
        }
        self.unkept = unkept;
    }

    pub(super) fn abort(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }

    pub(super) fn status(&self) -> SourceStatus {
        let Outcome { format, rules, report, .. } = &self.outcome;
        let in_force = self.revisions.in_force();
        let (revision, watched) = match &self.options.origin {
            Origin::Url(_) => (in_force.map(|revision| revision.fetched), false),
            Origin::File(_) => (in_force.map(|revision| revision.fetched), true),
            Origin::Inline(_) | Origin::BuiltIn(_) => (Some(self.since), true),
        };
        let downloaded = in_force.filter(|revision| !revision.url.starts_with("file:"));
        SourceStatus {
            options: Arc::clone(&self.options),
            format: *format,
            rules: *rules,
            report: report.clone(),
            revision,
            served_by: downloaded.map(|revision| without_secrets(&revision.url)),
            revisions: self.revisions.statuses(),
            held_since: self.revisions.held_since,
            waiting: self.revisions.waiting_status(),
            quarantined: self.outcome.held_back.rules.clone(),
            quarantined_total: self.outcome.held_back.total,
            checked: self.checked,
            next: self.due.filter(|_| !watched).map(|(_, shown)| shown),
            refreshing: self.running.is_some() && !watched,
            progress: None,
            failed: self.failure.is_some(),
            problem: self.problem(),
        }
    }

    /// All that is wrong, in whole sentences.
    fn problem(&self) -> Option<String> {
        let failure = self.failure.as_ref().map(|failure| format!("{}.", failure.trim_end_matches('.')));
        let is_missing = failure.is_some() || self.damaged.is_some();
        let waiting = self.revisions.waiting_status().map(|waiting| {
            format!(
                "A newer text waits for your word. {} Accept it here or by `pixelsink lists accept {name}`; `pixelsink \
                 lists diff {name} --to waiting` shows what would change. The text before it stays in force.",
                waiting.reason,
                name = self.options.name,
            )
        });
        let in_force = match (self.revisions.in_force(), self.outcome.rules) {
            (None, _) => "Nothing of it is in force yet.",
            (Some(_), 0) => "Nothing of it is in force.",
            (Some(_), _) => "Its last good text stays in force.",
        };
        let problems: Vec<&str> = [
            self.damaged.as_deref(),
            failure.as_deref(),
            is_missing.then_some(in_force),
            waiting.as_deref(),
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
