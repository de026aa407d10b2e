//! The way of a list: download, guard, keep revisions, compile, publish.
//!
//! One task (`task`) owns the sources and decides; what takes time is done beside it. A look at a source (`refresh`)
//! downloads it or reads its file, lets the guard (`guard`) refuse what can't be a list, and keeps what is good
//! (`revision`). A compile (`compile`) makes one ruleset of all texts and puts it in force at once. Whatever fails, the
//! last good text stays in force, and [`SourceStatus::problem`] says why and what to do.
//!
//! Catalogues of trackers (`catalogues`) are downloaded alike.
//!
//! The person's own rules (`own`) go a way of their own and are in force as soon as they are written.

mod accepted;
mod background;
mod catalogues;
mod charset;
mod compile;
mod diff;
mod disk;
mod download;
mod fingerprint;
mod guard;
mod kept;
mod known;
mod meter;
mod options;
mod own;
mod quarantine;
mod reach;
mod refresh;
mod revision;
mod rules_file;
mod schedule;
mod shelf;
mod source;
mod status;
mod task;
mod text;
mod unpack;
mod watch;

pub use catalogues::{
    CatalogueOptions, CatalogueOrigin, CatalogueStatus, Catalogues, PublicSource, read_catalogue_file,
};
pub use known::{Choice, KnownList, KnownLists};
pub use options::*;
pub use status::*;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::Clock;
use crate::list::{Action, FoundLine, OwnRule};
use crate::policy::LivePolicy;
use task::{Command, Task, View, Wish};

/// Commands that wait for the task; more than a household's pages can send at once.
const COMMANDS_MAX: usize = 32;

/// Takes a download in that came in these pieces, and gives the checksum of its text and how many rules it has: for fuzzing.
#[doc(hidden)]
pub fn take_in<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    size_max: u64,
) -> Result<(String, u64), String> {
    let taken = || {
        let mut intake = guard::Intake::new(crate::list::ParseOptions::default(), size_max, None)?;
        pieces.into_iter().try_for_each(|piece| intake.push(piece))?;
        intake.finish()
    };
    let taken: Result<guard::Taken, guard::Refusal> = taken();
    taken.map(|taken| (taken.text.digest().to_owned(), taken.rules)).map_err(|refusal| refusal.to_string())
}

/// A handle to the lists. Cheap to clone; when the last one is dropped, work on the lists ends.
///
/// Downloads end at once. A read, a write or a compile that has begun runs to its end on its thread and changes nothing
/// that is in force.
#[derive(Clone)]
pub struct Feed {
    commands: mpsc::Sender<Command>,
    view: Arc<View>,
    _stop: Arc<DropGuard>,
}

/// What of the lists could not be done.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FeedError {
    /// No list has this name.
    #[error("there is no list named `{0}`")]
    UnknownList(String),
    /// The file of the person's own rules could not be read or written.
    #[error("{0}")]
    OwnRules(String),
    /// There is no such revision or rule, or nothing to be done with it.
    #[error("{0}")]
    NotThere(String),
    /// It could not be done; the text says why and what to do.
    #[error("{0}")]
    Failed(String),
    /// The daemon is stopping.
    #[error("the lists are closed")]
    Closed,
}

impl Feed {
    /// Puts the kept revisions in force before it returns, then refreshes in the background.
    pub async fn start(
        options: FeedOptions,
        policy: Arc<LivePolicy>,
        hosts: Arc<dyn HostLookup>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (commands, waiting) = mpsc::channel(COMMANDS_MAX);
        let view = Arc::<View>::default();
        let stop = CancellationToken::new();
        let task = Task::open(options, policy, hosts, clock, Arc::clone(&view)).await;
        tokio::spawn(task.run(waiting, stop.clone()));
        Self { commands, view, _stop: Arc::new(stop.drop_guard()) }
    }

    /// Resolves when the lists are served no longer, by a panic or otherwise. While a handle is there, that is a fault:
    /// lists would be refreshed no more, and every call would be refused.
    pub async fn ended(&self) {
        // The task holds the other end for as long as it lives.
        self.commands.closed().await;
    }

    /// Every source and how it is, in the order of the configuration.
    pub fn status(&self) -> Vec<SourceStatus> {
        let sources = self.view.sources.load();
        let with_progress = |(status, meter): &(SourceStatus, Arc<meter::Meter>)| SourceStatus {
            progress: meter.progress().filter(|_| status.refreshing),
            ..status.clone()
        };
        sources.iter().map(with_progress).collect()
    }

    /// What a list is and what it is for, in one line; `None` when nobody says.
    pub fn describe(&self, list: &str) -> Option<String> {
        let sources = self.view.sources.load();
        let found = sources.iter().find(|(status, _)| *status.options.name == *list);
        found.and_then(|(status, _)| status.describe())
    }

    /// The revisions of a list that are kept, the newest first; one that waits among them.
    ///
    /// # Errors
    /// When there is no such list.
    pub fn revisions(&self, name: &str) -> Result<Vec<RevisionStatus>, FeedError> {
        let sources = self.view.sources.load();
        let source = sources.iter().find(|(status, _)| *status.options.name == *name);
        let (status, _) = source.ok_or_else(|| FeedError::UnknownList(name.to_owned()))?;
        Ok(status.revisions.clone())
    }

    /// What came and went between two revisions of a list: unless they are named, the one before and the one in force.
    ///
    /// # Errors
    /// When there is no such list or revision, or a text can't be read.
    pub async fn diff(&self, name: &str, from: Option<&str>, to: Option<&str>) -> Result<Diff, FeedError> {
        let (name, from, to) = (name.to_owned(), from.map(str::to_owned), to.map(str::to_owned));
        let comparison = self.ask(|reply| Command::Compare { name, from, to, reply }).await?;
        let compared = background::run(move || diff::compare(&comparison)).await;
        compared.map_err(FeedError::Failed)?.map_err(|error| {
            FeedError::Failed(format!("a revision could not be read ({error}); refresh the list"))
        })
    }

    /// Puts the revision that waits in force, and follows the source again. It is in force when this returns.
    ///
    /// # Errors
    /// When there is no such list, or nothing waits.
    pub async fn accept(&self, name: &str) -> Result<SourceStatus, FeedError> {
        self.revise(name, Wish::Accept).await
    }

    /// Puts an older revision in force, the one before the present one unless it is named, and holds the list there until
    /// [`Feed::follow`] or [`Feed::accept`]. It is in force when this returns.
    ///
    /// # Errors
    /// When there is no such list or revision.
    pub async fn rollback(&self, name: &str, revision: Option<&str>) -> Result<SourceStatus, FeedError> {
        self.revise(name, Wish::RollBack(revision.map(str::to_owned))).await
    }

    /// Follows the source of a list again that was held at a revision.
    ///
    /// # Errors
    /// When there is no such list, or it is not held.
    pub async fn follow(&self, name: &str) -> Result<SourceStatus, FeedError> {
        self.revise(name, Wish::Follow).await
    }

    /// Accepts a rule of a list that is held back, as [`QuarantinedRule::rule`] has it.
    ///
    /// # Errors
    /// When there is no such list or rule, or the file of what was accepted can't be written.
    pub async fn accept_rule(&self, name: &str, rule: &str) -> Result<SourceStatus, FeedError> {
        self.accept_held_back(name, Some(rule.to_owned())).await
    }

    /// Accepts all rules of a list, those that it will have too.
    ///
    /// # Errors
    /// When there is no such list, nothing of it is held back, or the file of what was accepted can't be written.
    pub async fn accept_rules(&self, name: &str) -> Result<SourceStatus, FeedError> {
        self.accept_held_back(name, None).await
    }

    /// Why the file of what was accepted can't be read; what it said before is in force.
    pub fn accepted_problem(&self) -> Option<String> {
        self.view.accepted_problem.load().as_ref().clone()
    }

    /// Why the compiled rules are not on the disk; then they are in memory, and the next start compiles anew.
    pub fn unkept_problem(&self) -> Option<String> {
        self.view.unkept.load().as_ref().clone()
    }

    /// Where a rule, in its shortest form, stands in the text of a list: its first ten lines. None for a list that is gone, or
    /// of which the text can't be read now.
    pub async fn places(&self, list: &str, rule: &str) -> Vec<FoundLine> {
        let name = list.to_owned();
        let Ok(input) = self.ask(|reply| Command::Input { name, reply }).await else { return Vec::new() };
        let rule = rule.to_owned();
        background::run(move || compile::places(&input, &rule)).await.unwrap_or_default()
    }

    async fn accept_held_back(&self, name: &str, rule: Option<String>) -> Result<SourceStatus, FeedError> {
        let list = name.to_owned();
        let changed = self.ask(|reply| Command::AcceptRule { name: list, rule, reply }).await?;
        changed.into_iter().next().ok_or_else(|| FeedError::UnknownList(name.to_owned()))
    }

    async fn revise(&self, name: &str, wish: Wish) -> Result<SourceStatus, FeedError> {
        let list = name.to_owned();
        let changed = self.ask(|reply| Command::Revise { name: list, wish, reply }).await?;
        changed.into_iter().next().ok_or_else(|| FeedError::UnknownList(name.to_owned()))
    }

    /// Refreshes one source or all of them and waits for the end; each one's status afterwards tells how it went.
    ///
    /// A refresh that is already running is waited for and not begun again.
    pub async fn refresh(&self, name: Option<&str>) -> Result<Vec<SourceStatus>, FeedError> {
        let name = name.map(str::to_owned);
        self.ask(|reply| Command::Refresh { name, reply }).await
    }

    /// Takes over a changed configuration; what did not change stays in force meanwhile.
    ///
    /// When this returns, all that needs no download is in force, save a file on a drive that does not answer within
    /// two seconds; that follows as soon as it is read. Lists that changed or failed are looked for at once. Files of
    /// lists that are no more stay on the disk.
    pub async fn reconfigure(&self, options: FeedOptions) -> Result<(), FeedError> {
        self.ask(|reply| Command::Reconfigure { options, reply }).await
    }

    /// The person's own rules, with where each was written.
    pub fn own_rules(&self) -> Vec<OwnRuleStatus> {
        self.view.own.load().rules.clone()
    }

    /// Why the file of the own rules can't be read, with its place and what was expected; what it said before is in
    /// force.
    pub fn own_problem(&self) -> Option<String> {
        self.view.own.load().problem.clone()
    }

    /// Writes a rule of the person's own; it replaces what was said of the same name and scope. It is in force when
    /// this returns.
    ///
    /// # Errors
    /// When the file can't be written, or a person broke it: it is never written over. Nothing is changed then.
    pub async fn write_own(&self, action: Action, rule: OwnRule) -> Result<OwnChange, FeedError> {
        self.ask(|reply| Command::WriteOwn { action, rule, reply }).await
    }

    /// Takes back a rule that [`Feed::write_own`] wrote.
    ///
    /// # Errors
    /// As [`Feed::write_own`].
    pub async fn forget_own(&self, rule: OwnRule) -> Result<OwnChange, FeedError> {
        self.ask(|reply| Command::ForgetOwn { rule, reply }).await
    }

    /// Writes a rule of the person's own that lets names through for a while and is taken back by itself, also after a
    /// restart. What was said of the same name, scope and device for good counts again afterwards.
    ///
    /// # Errors
    /// As [`Feed::write_own`].
    pub async fn allow_own_for(&self, rule: OwnRule, duration: Duration) -> Result<OwnChange, FeedError> {
        self.ask(|reply| Command::AllowOwnFor { rule, duration, reply }).await
    }

    /// Takes the end from a rule that [`Feed::allow_own_for`] wrote, so that it stays.
    ///
    /// # Errors
    /// As [`Feed::write_own`].
    pub async fn keep_own(&self, rule: OwnRule) -> Result<OwnChange, FeedError> {
        self.ask(|reply| Command::KeepOwn { rule, reply }).await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, FeedError>>) -> Command,
    ) -> Result<T, FeedError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| FeedError::Closed)?;
        answer.await.map_err(|_| FeedError::Closed)?
    }
}

/// Writes a file so that a power cut leaves the old one or the new one, never half of one.
///
/// # Errors
/// When the old file is still there.
pub fn replace_file(path: &std::path::Path, content: &[u8]) -> std::io::Result<()> {
    match disk::replace(path, content)? {
        disk::Replaced::OnDisk => {}
        // Everyone sees the new one; nothing is left that could be tried again.
        disk::Replaced::NotSynced(error) => {
            tracing::warn!(path = %path.display(), %error, "a file was written but may not outlast a power cut");
        }
    }
    Ok(())
}

/// Where a copy of a file is kept that a person may edit, as it was when it could last be read.
pub fn last_good(path: &std::path::Path) -> std::path::PathBuf {
    disk::last_good(path)
}

/// Brings a file back from its [copy](last_good) when only its beginning is there, or nothing at all, as a power cut leaves a file
/// on some file systems. What was done, in whole sentences; `None`: there was nothing to do.
pub fn restore_cut(path: &std::path::Path) -> Option<String> {
    disk::restore_cut(path)
}

#[cfg(test)]
mod tests;
