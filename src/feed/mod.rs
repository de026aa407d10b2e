//! The way of a list: download, guard, keep revisions, compile, publish.
//!
//! One task (`task`) owns the sources and decides; what takes time is done beside it. A look at a source (`refresh`)
//! downloads it or reads its file, lets the guard (`guard`) refuse what can't be a list, and keeps what is good
//! (`revision`). A compile (`compile`) makes one ruleset of all texts and puts it in force at once. Whatever fails, the
//! last good text stays in force, and [`SourceStatus::problem`] says why and what to do.
//!
//! The person's own rules (`own`) go a way of their own and are in force as soon as they are written.

mod background;
mod compile;
mod disk;
mod download;
mod guard;
mod options;
mod own;
mod refresh;
mod revision;
mod rules_file;
mod schedule;
mod source;
mod status;
mod task;
mod text;
mod watch;

pub use options::*;
pub use status::*;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::Clock;
use crate::list::{Action, OwnRule};
use crate::policy::LivePolicy;
use task::{Command, Task, View};

/// Commands that wait for the task; more than a household's pages can send at once.
const COMMANDS_MAX: usize = 32;

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
        self.view.sources.load().to_vec()
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

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, FeedError>>) -> Command,
    ) -> Result<T, FeedError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| FeedError::Closed)?;
        answer.await.map_err(|_| FeedError::Closed)?
    }
}

#[cfg(test)]
mod tests;
