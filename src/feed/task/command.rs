//! What is asked of the task, and how it answers: at once, or when the lists that it is about are done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{START_WAIT, Task};
use crate::feed::accepted::AcceptedFile;
use crate::feed::compile::Input;
use crate::feed::own::Own;
use crate::feed::revision::{NoRevision, Revision};
use crate::feed::source::Source;
use crate::feed::text::Text;
use crate::feed::{
    FeedError, FeedOptions, OwnChange, RevisionState, RevisionStatus, SourceOptions, SourceStatus, background,
};
use crate::list::{Action, OwnRule, ParseOptions};

/// What a handle may ask for.
pub(in crate::feed) enum Command {
    Refresh {
        name: Option<String>,
        reply: oneshot::Sender<Result<Vec<SourceStatus>, FeedError>>,
    },
    Reconfigure {
        options: FeedOptions,
        reply: oneshot::Sender<Result<(), FeedError>>,
    },
    WriteOwn {
        action: Action,
        rule: OwnRule,
        reply: oneshot::Sender<Result<OwnChange, FeedError>>,
    },
    ForgetOwn {
        rule: OwnRule,
        reply: oneshot::Sender<Result<OwnChange, FeedError>>,
    },
    AllowOwnFor {
        rule: OwnRule,
        duration: Duration,
        reply: oneshot::Sender<Result<OwnChange, FeedError>>,
    },
    KeepOwn {
        rule: OwnRule,
        reply: oneshot::Sender<Result<OwnChange, FeedError>>,
    },
    /// Does something with the revisions of a list.
    Revise {
        name: String,
        wish: Wish,
        reply: oneshot::Sender<Result<Vec<SourceStatus>, FeedError>>,
    },
    /// Accepts a rule of a list that is held back, or all of them.
    AcceptRule {
        name: String,
        rule: Option<String>,
        reply: oneshot::Sender<Result<Vec<SourceStatus>, FeedError>>,
    },
    /// Asks for a list as it is compiled.
    Input {
        name: String,
        reply: oneshot::Sender<Result<Input, FeedError>>,
    },
    /// Asks for two revisions of a list and how to read them.
    Compare {
        name: String,
        from: Option<String>,
        to: Option<String>,
        reply: oneshot::Sender<Result<Comparison, FeedError>>,
    },
}

/// What may be done with the revisions of a list.
#[derive(Clone, Debug)]
pub(in crate::feed) enum Wish {
    Accept,
    RollBack(Option<String>),
    Follow,
}

/// Two revisions to compare, and how their lines are read.
pub(in crate::feed) struct Comparison {
    pub(in crate::feed) options: ParseOptions,
    pub(in crate::feed) from: (Arc<Text>, RevisionStatus),
    pub(in crate::feed) to: (Arc<Text>, RevisionStatus),
}

/// Someone who waits for the end of a refresh or a change.
pub(super) struct Waiter {
    names: BTreeSet<Arc<str>>,
    /// When the lists are waited for no longer.
    pub(super) until: Option<Instant>,
    reply: Reply,
}

enum Reply {
    Statuses(oneshot::Sender<Result<Vec<SourceStatus>, FeedError>>),
    Done(oneshot::Sender<Result<(), FeedError>>),
}

impl Task {
    pub(super) async fn command(&mut self, command: Command) {
        // Whoever asked may have gone; what they asked for is done all the same.
        match command {
            Command::Refresh { name, reply } => match self.refresh(name.as_deref()) {
                Ok(names) => self.waiters.push(Waiter { names, until: None, reply: Reply::Statuses(reply) }),
                Err(error) => drop(reply.send(Err(error))),
            },
            Command::Reconfigure { options, reply } => {
                self.reconfigure(options).await;
                let files = self.sources.iter().filter(|source| source.file().is_some());
                let names = files.map(|source| Arc::clone(&source.options.name)).collect();
                let until = Some(Instant::now() + START_WAIT);
                self.waiters.push(Waiter { names, until, reply: Reply::Done(reply) });
            }
            Command::WriteOwn { action, rule, reply } => {
                self.change_own(move |own| own.write(action, &rule), reply).await;
            }
            Command::ForgetOwn { rule, reply } => self.change_own(move |own| own.forget(&rule), reply).await,
            Command::AllowOwnFor { rule, duration, reply } => {
                self.change_own(move |own| own.allow_for(&rule, duration), reply).await;
            }
            Command::KeepOwn { rule, reply } => self.change_own(move |own| own.keep(&rule), reply).await,
            Command::Revise { name, wish, reply } => {
                let changed = self.revise(&name, wish);
                self.reply_when_done(&name, changed, reply);
            }
            Command::AcceptRule { name, rule, reply } => {
                let changed = self.accept_rule(&name, rule).await;
                self.reply_when_done(&name, changed, reply);
            }
            Command::Input { name, reply } => {
                let source = self.index_of(&name).map(|index| self.sources.get(index));
                let input = source.map(|source| source.map(|source| self.input(source)));
                drop(reply.send(input.and_then(|input| input.ok_or(FeedError::UnknownList(name)))));
            }
            Command::Compare { name, from, to, reply } => {
                drop(reply.send(self.compare(&name, from.as_deref(), to.as_deref())));
            }
        }
    }

    async fn change_own(
        &mut self,
        change: impl FnOnce(&mut Own) -> Result<OwnChange, FeedError> + Send + 'static,
        reply: oneshot::Sender<Result<OwnChange, FeedError>>,
    ) {
        let changed = self.with_own(change).await;
        self.publish_own();
        drop(reply.send(changed.unwrap_or_else(|panic| Err(FeedError::OwnRules(panic)))));
    }

    fn reply_when_done(
        &mut self,
        name: &str,
        changed: Result<(), FeedError>,
        reply: oneshot::Sender<Result<Vec<SourceStatus>, FeedError>>,
    ) {
        match changed {
            Ok(()) => {
                let names = BTreeSet::from([Arc::from(name)]);
                self.waiters.push(Waiter { names, until: None, reply: Reply::Statuses(reply) });
            }
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn index_of(&self, name: &str) -> Result<usize, FeedError> {
        let index = self.sources.iter().position(|source| *source.options.name == *name);
        index.ok_or_else(|| FeedError::UnknownList(name.to_owned()))
    }

    /// Does what the person wishes with the revisions of a list.
    fn revise(&mut self, name: &str, wish: Wish) -> Result<(), FeedError> {
        let index = self.index_of(name)?;
        let (now, keep) = (self.means.clock.now(), self.options.keep_revisions);
        let Some(source) = self.sources.get_mut(index) else { return Ok(()) };
        let revisions = &mut source.revisions;
        let before = revisions.in_force.clone();
        let (done, id) = match wish {
            Wish::Accept => (revisions.accept(), None),
            Wish::RollBack(id) => (revisions.roll_back(id.as_deref(), now), id),
            Wish::Follow => (revisions.follow(), None),
        };
        done.map_err(|reason| no_revision(name, id.as_deref(), reason))?;
        revisions.prune(keep);
        if revisions.in_force != before {
            self.generation += 1;
            source.generation = self.generation;
            self.compile_at = Some(Instant::now());
        }
        self.save(index);
        Ok(())
    }

    async fn accept_rule(&mut self, name: &str, rule: Option<String>) -> Result<(), FeedError> {
        let index = self.index_of(name)?;
        let Some(source) = self.sources.get(index) else { return Ok(()) };
        let held_back = &source.outcome.held_back;
        let is_told = |rule: &String| held_back.rules.iter().any(|held| held.rule == *rule);
        match &rule {
            // Just started: what is held back is not known yet, and what the person names is believed.
            _ if self.accounting => {}
            // Of many, some are not told one by one; those may be named all the same.
            Some(rule) if !is_told(rule) && held_back.rules.len() == held_back.total => {
                return Err(FeedError::NotThere(format!("`{name}` has no rule `{rule}` that is held back")));
            }
            None if held_back.total == 0 => {
                return Err(FeedError::NotThere(format!("no rule of `{name}` is held back")));
            }
            _ => {}
        }
        let (mut accepted, list) = (self.accepted.clone(), name.to_owned());
        let written = background::run(move || {
            let done = accepted.accept(&list, rule.as_deref());
            (accepted, done)
        });
        let (accepted, done) = written.await.map_err(FeedError::Failed)?;
        self.accepted = accepted;
        done?;
        self.generation += 1;
        if let Some(source) = self.sources.get_mut(index) {
            source.generation = self.generation;
        }
        self.compile_at = Some(Instant::now());
        Ok(())
    }

    fn compare(&self, name: &str, from: Option<&str>, to: Option<&str>) -> Result<Comparison, FeedError> {
        let source = self.sources.get(self.index_of(name)?);
        let source = source.ok_or_else(|| FeedError::UnknownList(name.to_owned()))?;
        let revisions = &source.revisions;
        let find = |id: &str| revisions.find(id).map_err(|reason| no_revision(name, Some(id), reason));
        let to = match to {
            Some(id) => find(id)?,
            None => revisions.in_force().ok_or_else(|| no_revision(name, None, NoRevision::Only))?,
        };
        let is_in_force = |digest: &str| Some(digest) == revisions.in_force.as_deref();
        let from = match from {
            Some(id) => find(id)?,
            // What is not in force is compared with what is.
            None if !is_in_force(to.text.digest()) => {
                revisions.in_force().ok_or_else(|| no_revision(name, None, NoRevision::Only))?
            }
            None => revisions.before_in_force().ok_or_else(|| no_revision(name, None, NoRevision::Only))?,
        };
        let statuses = revisions.statuses();
        let with_status = |revision: &Revision| {
            let status = statuses.iter().find(|status| status.id == revision.id()).cloned();
            let kept = || revision.status(RevisionState::Kept);
            (Arc::clone(&revision.text), status.unwrap_or_else(kept))
        };
        Ok(Comparison { options: source.parse_options(), from: with_status(from), to: with_status(to) })
    }

    fn refresh(&mut self, name: Option<&str>) -> Result<BTreeSet<Arc<str>>, FeedError> {
        let asked = |source: &Source| name.is_none_or(|name| *source.options.name == *name);
        let chosen: Vec<usize> = self
            .sources
            .iter()
            .enumerate()
            .filter(|(_, source)| asked(source))
            .map(|(index, _)| index)
            .collect();
        if let Some(name) = name.filter(|_| chosen.is_empty()) {
            return Err(FeedError::UnknownList(name.to_owned()));
        }
        let mut names = BTreeSet::new();
        for index in chosen {
            if let Some(source) = self.sources.get_mut(index) {
                names.insert(Arc::clone(&source.options.name));
                // Whoever asks for it wants it read, whatever it looks like.
                source.mark = None;
            }
            self.begin_look(index);
        }
        Ok(names)
    }

    async fn reconfigure(&mut self, options: FeedOptions) {
        let moved = options.data_dir != self.options.data_dir;
        if moved {
            self.accepted = AcceptedFile::open(options.data_dir.as_deref());
        }
        (self.means.size_max, self.means.timeout) = (options.size_max, options.timeout);
        let new = options.clone();
        if let Err(problem) = self.with_own(move |own| own.configure(&new)).await {
            tracing::error!(problem, "the own rules could not be taken over; those in force stay");
        }
        let sources = options.sources.clone();
        self.options = FeedOptions { sources: Vec::new(), ..options };
        self.publish_own();
        if moved {
            // Nothing of the old place counts in the new one, but the texts in force stay in force.
            for source in &mut self.sources {
                let same = SourceOptions::clone(&source.options);
                let data_dir = self.options.data_dir.as_deref();
                let now = self.means.clock.now();
                let old = std::mem::replace(source, Source::new(same.clone(), data_dir, now));
                *source = old.with_options(same, data_dir, now);
                source.hurry(now);
            }
        }
        self.set_sources(sources).await;
        self.look_at_files().await;
        self.rewatch = true;
    }

    /// Tells those who wait for what is done now.
    pub(super) fn answer_waiters(&mut self) {
        let busy: BTreeSet<Arc<str>> = self
            .sources
            .iter()
            .filter(|source| source.running.is_some() || source.saving || self.compiled < source.generation)
            .map(|source| Arc::clone(&source.options.name))
            .collect();
        let (configuration, sources) = (self.configured <= self.compiled, &self.sources);
        let now = Instant::now();
        let is_done = |waiter: &Waiter| {
            let waited = waiter.until.is_some_and(|until| until <= now) || waiter.names.is_disjoint(&busy);
            match waiter.reply {
                Reply::Statuses(_) => waited,
                Reply::Done(_) => configuration && waited,
            }
        };
        for waiter in self.waiters.extract_if(.., |waiter| is_done(waiter)) {
            match waiter.reply {
                Reply::Statuses(reply) => {
                    let asked = sources.iter().filter(|source| waiter.names.contains(&source.options.name));
                    drop(reply.send(Ok(asked.map(Source::status).collect())));
                }
                Reply::Done(reply) => drop(reply.send(Ok(()))),
            }
        }
    }
}

fn no_revision(list: &str, id: Option<&str>, reason: NoRevision) -> FeedError {
    let id = id.unwrap_or_default();
    FeedError::NotThere(match reason {
        NoRevision::Unknown => {
            format!(
                "`{list}` has no revision `{id}`; `pixelsink lists revisions {list}` shows those that are kept"
            )
        }
        NoRevision::Ambiguous => {
            format!("more than one revision of `{list}` begins with `{id}`; write more of it")
        }
        NoRevision::Only => format!("no earlier revision of `{list}` is kept yet"),
        NoRevision::NothingWaits => format!("no revision of `{list}` waits to be accepted"),
        NoRevision::NotHeld => format!("`{list}` is not held at a revision"),
    })
}
