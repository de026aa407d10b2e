//! The task that owns the lists: it alone decides what is fetched, compiled and put in force, and when.
//!
//! Everything that takes time is done beside it, and comes back as a [`Work`]. There is one compile at a time, of
//! everything that changed until it began; what changes meanwhile waits for the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::accepted::AcceptedFile;
use super::background::{self, Haste};
use super::compile::{self, Compiled, Input, Outcome};
use super::download::Failure;
use super::meter::Meter;
use super::own::{Own, OwnView};
use super::refresh::{self, Found, Means, Refreshed};
use super::revision::NoRevision;
use super::shelf::{self, Kept};
use super::source::Source;
use super::text::Text;
use super::watch::{Watch, Watching};
use super::{FeedError, FeedOptions, HostLookup, Origin, OwnChange, SourceOptions, SourceStatus};
use crate::clock::Clock;
use crate::list::{Action, OwnRule};
use crate::policy::LivePolicy;

/// Downloads side by side; more would only share the same line.
const DOWNLOADS_MAX: usize = 4;
/// How long a saved file is left alone, since an editor saves in several steps ...
const SETTLE: Duration = Duration::from_millis(200);
/// ... and how long at most, so that a file that is written without a pause is read all the same.
const SETTLE_MAX: Duration = Duration::from_millis(500);
/// How often watched files are looked at even when nothing was heard.
const POLL: Duration = Duration::from_secs(30);
/// How long a start or a change waits for files, which may lie on a drive that hangs; their kept text serves meanwhile.
const START_WAIT: Duration = Duration::from_secs(2);
/// The shortest time between two looks at the same thing.
const TURN: Duration = Duration::from_millis(20);
/// How long a new text waits for the other downloads that are under way, so that all are compiled at once.
const GATHER: Duration = Duration::from_secs(2);

/// What a handle may ask for.
pub(super) enum Command {
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
pub(super) enum Wish {
    Accept,
    RollBack(Option<String>),
    Follow,
}

/// What everyone may look at without asking the task.
#[derive(Default)]
pub(super) struct View {
    pub(super) sources: ArcSwap<Vec<(SourceStatus, Arc<Meter>)>>,
    pub(super) accepted_problem: ArcSwap<Option<String>>,
    pub(super) unkept: ArcSwap<Option<String>>,
    pub(super) own: ArcSwap<OwnView>,
}

/// What was done beside the task.
enum Work {
    Looked {
        name: Arc<str>,
        found: Found,
    },
    Compiled {
        generation: u64,
        names: Vec<Arc<str>>,
        result: Result<Compiled, String>,
    },
    /// The lines of sources whose ruleset was kept, and whether that one is whole.
    Accounted {
        generation: u64,
        names: Vec<Arc<str>>,
        outcomes: Vec<Outcome>,
        is_whole: bool,
    },
    Watching {
        watch: Watch,
        watching: Watching,
    },
    Saved {
        name: Arc<str>,
        saved: Result<Vec<Arc<Text>>, String>,
    },
}

/// Someone who waits for the end of a refresh or a change.
struct Waiter {
    names: BTreeSet<Arc<str>>,
    /// When the lists are waited for no longer.
    until: Option<Instant>,
    reply: Reply,
}

enum Reply {
    Statuses(oneshot::Sender<Result<Vec<SourceStatus>, FeedError>>),
    Done(oneshot::Sender<Result<(), FeedError>>),
}

/// The lists and all that belongs to them.
pub(super) struct Task {
    options: FeedOptions,
    means: Means,
    policy: Arc<LivePolicy>,
    view: Arc<View>,
    sources: Vec<Source>,
    own: Own,
    /// When the next of its rules ends.
    own_ends: Option<Instant>,
    accepted: AcceptedFile,
    work: JoinSet<Work>,
    /// Counts the changes of texts; and up to which of them the rules in force go.
    generation: u64,
    compiled: u64,
    /// The one with which the sources last changed.
    configured: u64,
    compiling: Option<AbortHandle>,
    /// Whether the lines of kept lists are being accounted for.
    accounting: bool,
    /// Why the compiled rules are not on the disk.
    unkept: Option<String>,
    compile_at: Option<Instant>,
    waiters: Vec<Waiter>,
    /// `None` while it is being set up.
    watch: Option<Watch>,
    rewatch: bool,
    changed: Arc<Notify>,
    look_at: Option<(Instant, Instant)>,
    poll_at: Instant,
    chance: RandomState,
}

impl Task {
    /// Puts in force what is there without a download.
    pub(super) async fn open(
        options: FeedOptions,
        policy: Arc<LivePolicy>,
        hosts: Arc<dyn HostLookup>,
        clock: Arc<dyn Clock>,
        view: Arc<View>,
    ) -> Self {
        let downloads = Arc::new(Semaphore::new(DOWNLOADS_MAX));
        let (size_max, timeout) = (options.size_max, options.timeout);
        let means = Means { hosts, clock, downloads, size_max, timeout, haste: Haste::Urgent };
        let own = Own::open(&options, Arc::clone(&means.clock));
        let accepted = AcceptedFile::open(options.data_dir.as_deref());
        let changed = Arc::new(Notify::new());
        let mut task = Self {
            means,
            policy,
            view,
            sources: Vec::new(),
            own,
            own_ends: None,
            accepted,
            work: JoinSet::new(),
            generation: 0,
            compiled: 0,
            configured: 0,
            compiling: None,
            accounting: false,
            unkept: None,
            compile_at: None,
            waiters: Vec::new(),
            watch: Some(Watch::new(Arc::clone(&changed))),
            rewatch: true,
            changed,
            look_at: None,
            poll_at: Instant::now() + POLL,
            chance: RandomState::new(),
            options: FeedOptions { sources: Vec::new(), ..options.clone() },
        };
        task.publish_own();
        task.set_sources(options.sources).await;
        let is_served = task.serve_kept().await;
        if is_served {
            task.means.haste = Haste::GivesWay;
        }
        task.look_at_files().await;
        let patience = Instant::now() + START_WAIT;
        while !is_served
            && task.sources.iter().any(|source| source.file().is_some() && source.running.is_some())
        {
            match timeout_at(patience, task.work.join_next_with_id()).await {
                Ok(Some(done)) => task.done(done),
                Ok(None) | Err(_) => break,
            }
        }
        if !is_served {
            task.compile_now();
        }
        while task.compiling.is_some() {
            let Some(done) = task.work.join_next_with_id().await else { break };
            task.done(done);
        }
        task.means.haste = Haste::GivesWay;
        if let Some(data_dir) = task.options.data_dir.clone() {
            let lists: Vec<_> = task.sources.iter().map(|source| Arc::clone(&source.options.name)).collect();
            let now = task.means.clock.now();
            tokio::task::spawn_blocking(move || shelf::remove_forgotten(&data_dir, &lists, now));
        }
        task.begin_what_is_due().await;
        task.publish();
        task
    }

    /// Puts the kept ruleset in force when it is of the texts that are kept; whether it is. Files that were saved since are
    /// read next, as at any other time.
    async fn serve_kept(&mut self) -> bool {
        let Some(data_dir) = self.options.data_dir.clone() else { return false };
        let inputs = self.inputs();
        let names = inputs.iter().map(|input| Arc::clone(&input.name)).collect();
        let kept = background::run(move || compile::kept(&inputs, &data_dir)).await;
        let Ok(Some(compiled)) = kept else { return false };
        self.compile_at = None;
        self.compiled_to(self.generation, names, compiled);
        true
    }

    /// Serves until the last handle is gone.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>, stop: CancellationToken) {
        loop {
            self.begin_what_is_due().await;
            self.publish();
            self.answer_waiters();
            let wake = self.next_wake();
            let changed = Arc::clone(&self.changed);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(done) = self.work.join_next_with_id() => self.done(done),
                command = commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => break,
                },
                () = changed.notified() => self.settle(),
                () = sleep_until(wake) => {}
            }
        }
        // Downloads end with `work`. A file that is being read, a compile and a write each run to their end on their
        // threads, and nobody takes what they made.
    }

    async fn command(&mut self, command: Command) {
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
        let with_status = |revision: &super::revision::Revision| {
            let status = statuses.iter().find(|status| status.id == revision.id()).cloned();
            let kept = || revision.status(super::RevisionState::Kept);
            (Arc::clone(&revision.text), status.unwrap_or_else(kept))
        };
        Ok(Comparison { options: source.parse_options(), from: with_status(from), to: with_status(to) })
    }

    /// Keeps the revisions of a source on the disk, beside everything else.
    fn save(&mut self, index: usize) {
        let Some(source) = self.sources.get_mut(index) else { return };
        let Some(shelf) = source.shelf.clone() else {
            source.revisions.dropped.clear();
            return;
        };
        if std::mem::replace(&mut source.saving, true) {
            source.save_again = true;
            return;
        }
        let (name, syntax) = (Arc::clone(&source.options.name), source.options.format);
        let revisions = source.revisions.clone();
        source.revisions.dropped.clear();
        self.work.spawn(async move {
            let directory = shelf.directory().display().to_string();
            let saved = background::run(move || {
                let saved = shelf.save(&revisions, syntax);
                saved.map_err(|error| {
                    let newest = revisions.newest().map(|newest| newest.text.digest());
                    (error.to_string(), newest.is_some_and(|digest| shelf.has(digest)))
                })
            });
            let saved = saved.await.unwrap_or_else(|panic| Err((panic, false)));
            let saved = saved.map_err(|(error, is_there)| {
                let (what, then) = if is_there {
                    ("When it was last looked for", "it is looked for again")
                } else {
                    ("Its newest text", "an older one or none is in force until it is fetched again")
                };
                format!(
                    "{what} could not be kept in {directory} ({error}): after a restart {then}; make room there, or \
                     let the daemon write there."
                )
            });
            Work::Saved { name, saved }
        });
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

    /// Takes over a list of sources; those that stay the same are not touched.
    async fn set_sources(&mut self, configured: Vec<SourceOptions>) {
        let now = self.means.clock.now();
        let data_dir = self.options.data_dir.clone();
        let mut known: BTreeMap<Arc<str>, Source> = std::mem::take(&mut self.sources)
            .into_iter()
            .map(|source| (Arc::clone(&source.options.name), source))
            .collect();
        let order: Vec<Arc<str>> = known.keys().cloned().collect();
        let mut changed = order.len() != configured.len();
        for options in configured {
            let source = match known.remove(&options.name) {
                Some(mut source) if *source.options == options => {
                    // Whoever reloads may have mended what was wrong with it.
                    if source.has_failed() {
                        source.hurry(now);
                    }
                    source
                }
                Some(source) => {
                    changed = true;
                    let mut source = source.with_options(options, data_dir.as_deref(), now);
                    source.hurry(now);
                    source
                }
                None => {
                    changed = true;
                    self.restored(Source::new(options, data_dir.as_deref(), now)).await
                }
            };
            self.sources.push(source);
        }
        known.into_values().for_each(|mut removed| removed.abort());
        if changed {
            self.generation += 1;
            self.configured = self.generation;
            self.compile_at = Some(Instant::now());
        }
    }

    /// A new source with what was kept of it.
    async fn restored(&self, mut source: Source) -> Source {
        if let Some(shelf) = source.shelf.clone() {
            let syntax = source.options.format;
            let kept = background::run(move || shelf.load(syntax)).await;
            let panic = |panic| {
                let problem = Some(format!("The kept texts could not be read: {panic}."));
                Kept { problem, ..Kept::default() }
            };
            source.restore(kept.unwrap_or_else(panic));
        }
        source.schedule(self.means.clock.now(), self.chance.hash_one(&source.options.name));
        source
    }

    async fn begin_what_is_due(&mut self) {
        let now = Instant::now();
        let is_due =
            |source: &Source| source.due.is_some_and(|(at, _)| at <= now) && source.running.is_none();
        let due: Vec<usize> = self
            .sources
            .iter()
            .enumerate()
            .filter(|(_, source)| is_due(source))
            .map(|(index, _)| index)
            .collect();
        due.into_iter().for_each(|index| self.begin_look(index));
        if self.look_at.is_some_and(|(at, _)| at <= now) {
            self.look_at = None;
            self.look_at_files().await;
        }
        if self.poll_at <= now {
            self.poll_at = now + POLL;
            self.look_at_files().await;
            self.rewatch = true;
        }
        if self.own_ends.is_some_and(|at| at <= now) {
            self.take_back_ended().await;
        }
        if self.compile_at.is_some_and(|at| at <= now) {
            self.compile_now();
        }
        if self.rewatch {
            self.set_watch();
        }
    }

    fn next_wake(&self) -> Instant {
        let due =
            self.sources.iter().filter(|source| source.running.is_none()).filter_map(|source| source.due);
        let compile = self.compile_at.filter(|_| self.compiling.is_none());
        let look = self.look_at.map(|(at, _)| at);
        let now = Instant::now();
        // One whose time has passed waits for the compile alone, which wakes by itself.
        let waiters = self.waiters.iter().filter_map(|waiter| waiter.until).filter(|until| now < *until);
        due.map(|(at, _)| at)
            .chain(compile)
            .chain(look)
            .chain(waiters)
            .chain(self.own_ends)
            .fold(self.poll_at, Instant::min)
    }

    /// Takes rules of the person's own back whose time is over.
    async fn take_back_ended(&mut self) {
        if self.with_own(Own::take_back_ended).await.unwrap_or(false) {
            self.publish_own();
        }
        // In the next turn at the earliest, should a clock that is not the runtime's lag behind.
        self.own_ends = self.own.next_end().map(|at| Instant::from_std(at).max(Instant::now() + TURN));
    }

    /// Something in a watched directory was written: it is looked at once it is quiet.
    fn settle(&mut self) {
        let now = Instant::now();
        let latest = self.look_at.map_or(now + SETTLE_MAX, |(_, latest)| latest);
        self.look_at = Some(((now + SETTLE).min(latest), latest));
    }

    /// Does something with the own rules that reads or writes their file, which a slow card makes long.
    async fn with_own<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Own) -> T + Send + 'static,
    ) -> Result<T, String> {
        // A copy, since a panic would take them along.
        let mut own = self.own.clone();
        let (own, done) = background::run(move || {
            let done = work(&mut own);
            (own, done)
        })
        .await?;
        self.own = own;
        Ok(done)
    }

    async fn look_at_files(&mut self) {
        if self.with_own(Own::look).await.unwrap_or(false) {
            self.publish_own();
        }
        self.take_back_ended().await;
        let mut accepted = self.accepted.clone();
        let looked = background::run(move || {
            let is_new = accepted.look();
            (accepted, is_new)
        });
        if let Ok((accepted, is_new)) = looked.await {
            self.accepted = accepted;
            if is_new {
                self.generation += 1;
                self.compile_at = Some(Instant::now());
            }
        }
        if self.own.is_unsettled() {
            self.settle();
        }
        for index in 0..self.sources.len() {
            if self.sources.get(index).is_some_and(|source| source.file().is_some()) {
                self.begin_look(index);
            }
        }
    }

    /// Begins a look at a source that has somewhere to look.
    fn begin_look(&mut self, index: usize) {
        let Some(source) = self.sources.get_mut(index) else { return };
        if source.running.is_some() {
            source.again |= source.file().is_some();
            return;
        }
        let name = Arc::clone(&source.options.name);
        let subject = source.subject();
        source.meter.begin(None);
        let means = self.means.clone();
        let running = match &source.options.origin {
            Origin::Url(_) => {
                let urls = source.options.urls().map(str::to_owned).collect();
                self.work.spawn(async move {
                    let found = refresh::urls(urls, subject, means).await;
                    Work::Looked { name, found }
                })
            }
            Origin::File(path) => {
                let (path, mark, turn) = (path.clone(), source.mark, Arc::clone(&source.turn));
                self.work.spawn(async move {
                    let found = refresh::file(path, mark, turn, subject, means).await;
                    Work::Looked { name, found }
                })
            }
            Origin::Inline(_) | Origin::BuiltIn(_) => return,
        };
        source.running = Some(running);
    }

    /// A source as it is compiled now.
    fn input(&self, source: &Source) -> Input {
        source.input(self.accepted.of(&source.options.name))
    }

    fn inputs(&self) -> Vec<Input> {
        self.sources.iter().map(|source| self.input(source)).collect()
    }

    fn compile_now(&mut self) {
        if self.compiling.is_some() {
            return; // What came meanwhile is compiled when this one is done.
        }
        self.compile_at = None;
        let generation = self.generation;
        let inputs = self.inputs();
        let data_dir = self.options.data_dir.clone();
        let compile = background::long(self.means.haste, move || {
            let result = compile::ruleset(&inputs, data_dir.as_deref());
            let names = inputs.into_iter().map(|input| input.name).collect();
            Work::Compiled { generation, names, result }
        });
        self.compiling = Some(self.work.spawn(compile));
    }

    /// Has the lines accounted for that a kept ruleset was compiled from, and that one checked as a whole.
    fn account(&mut self, generation: u64) {
        let inputs = self.inputs();
        let data_dir = self.options.data_dir.clone();
        self.accounting = true;
        self.work.spawn(background::long(Haste::GivesWay, move || {
            let is_whole = data_dir.is_none_or(|data_dir| compile::is_whole(&data_dir));
            let outcomes = compile::account(&inputs);
            let names = inputs.into_iter().map(|input| input.name).collect();
            Work::Accounted { generation, names, outcomes, is_whole }
        }));
    }

    /// Something of the compile failed for all lists alike; what was in force stays.
    fn not_compiled(&mut self, problem: &str) {
        self.compiled = self.generation;
        tracing::error!(problem, "the lists could not be compiled; the rules in force stay");
        for source in &mut self.sources {
            source.outcome.problem = Some(problem.to_owned());
        }
    }

    fn set_watch(&mut self) {
        let Some(mut watch) = self.watch.take() else { return };
        self.rewatch = false;
        let own = self.own.path().into_iter().chain(self.accepted.path()).map(PathBuf::from);
        let files: Vec<PathBuf> = self.sources.iter().filter_map(Source::file).cloned().chain(own).collect();
        self.work.spawn_blocking(move || {
            let watching = watch.set(&files);
            Work::Watching { watch, watching }
        });
    }

    fn done(&mut self, done: Result<(Id, Work), JoinError>) {
        let (id, work) = match done {
            Ok(done) => done,
            Err(error) => return self.failed(&error),
        };
        match work {
            Work::Looked { name, found } => self.looked(id, &name, found),
            Work::Compiled { generation, names, result } => {
                self.compiling = None;
                if self.give_up_damaged() {
                    // What was read of a damaged text is no list; it is all compiled again without it.
                    self.compile_now();
                    return;
                }
                match result {
                    Ok(compiled) => self.compiled_to(generation, names, compiled),
                    Err(problem) => self.not_compiled(&problem),
                }
            }
            Work::Accounted { generation, names, outcomes, is_whole } => {
                self.accounting = false;
                if !is_whole || self.give_up_damaged() {
                    self.compile_now();
                    return;
                }
                if generation != self.compiled || generation != self.generation {
                    return; // A compile has told more since, or is about to.
                }
                let known = |name: &Arc<str>| self.sources.iter().find(|source| source.options.name == *name);
                let outcomes = names.iter().zip(outcomes).map(|(name, outcome)| Outcome {
                    rules: known(name).map_or(0, |source| source.outcome.rules),
                    ..outcome
                });
                let outcomes = outcomes.collect();
                self.take_outcomes(names, outcomes);
            }
            Work::Saved { name, saved } => {
                let Some(index) = self.sources.iter().position(|source| source.options.name == name) else {
                    return;
                };
                if let Some(source) = self.sources.get_mut(index) {
                    source.saving = false;
                    source.saved(saved);
                    if std::mem::take(&mut source.save_again) {
                        self.save(index);
                    }
                }
            }
            Work::Watching { watch, watching: Watching { unwatched, is_new } } => {
                self.watch = Some(watch);
                if is_new {
                    // What was saved before the watch was there was not heard.
                    let now = Instant::now();
                    self.look_at = Some((now, now));
                }
                for source in &mut self.sources {
                    let reason = unwatched.iter().find(|(path, _)| Some(path) == source.file());
                    let told = source.unwatched.take().is_some();
                    source.unwatched = reason.map(|(path, reason)| {
                        if !told {
                            tracing::warn!(path = %path.display(), reason, "a file can't be watched");
                        }
                        let (path, every) = (path.display(), POLL.as_secs());
                        format!("{path} can't be watched ({reason}); it is looked at every {every} seconds instead.")
                    });
                }
            }
        }
    }

    /// Takes damaged texts out of force; whether there was one.
    fn give_up_damaged(&mut self) -> bool {
        let now = self.means.clock.now();
        let mut found = false;
        for index in 0..self.sources.len() {
            let lost = self.sources.get_mut(index).and_then(|source| source.give_up_damaged(now));
            if lost.is_some() {
                found = true;
                self.generation += 1;
                self.save(index);
                if self.sources.get(index).is_some_and(|source| source.file().is_some()) {
                    self.begin_look(index);
                }
            }
        }
        found
    }

    /// Puts a ruleset in force.
    fn compiled_to(&mut self, generation: u64, names: Vec<Arc<str>>, compiled: Compiled) {
        let Compiled { rules, outcomes, is_kept, unkept } = compiled;
        self.compiled = generation;
        self.policy.update(|policy| policy.lists = rules.clone());
        if let Some(problem) = unkept.as_ref().filter(|_| self.unkept.is_none()) {
            tracing::warn!(problem, "the compiled rules are not kept");
        }
        self.unkept = unkept;
        self.take_outcomes(names, outcomes);
        if is_kept {
            self.account(generation);
        }
        let (rules, lists) = (rules.ruleset.len(), rules.sources.len());
        tracing::info!(rules, lists, kept = is_kept, "lists are in force");
    }

    fn take_outcomes(&mut self, names: Vec<Arc<str>>, outcomes: Vec<Outcome>) {
        for (name, outcome) in names.into_iter().zip(outcomes) {
            if let Some(source) = self.sources.iter_mut().find(|source| source.options.name == name) {
                tell_held_back(source, &outcome);
                source.outcome = outcome;
            }
        }
    }

    fn looked(&mut self, id: Id, name: &Arc<str>, found: Found) {
        let chance = self.chance.hash_one((name, Instant::now()));
        let now = self.means.clock.now();
        // One that was changed or removed meanwhile runs no more under this number.
        let Some(index) = self.sources.iter().position(|source| source.options.name == *name) else { return };
        let Some(source) = self.sources.get_mut(index) else { return };
        if source.running.as_ref().map(AbortHandle::id) != Some(id) {
            return;
        }
        source.running = None;
        let is_kept = matches!(found.result, Ok(Refreshed::Known(_) | Refreshed::Text { .. }));
        let is_new = source.found(found, self.options.keep_revisions, now, chance);
        if is_new {
            self.generation += 1;
            source.generation = self.generation;
        }
        let is_file = source.file().is_some();
        if std::mem::take(&mut source.again) {
            self.begin_look(index);
        }
        if is_kept {
            self.save(index);
        }
        let others = self.sources.iter().any(|source| source.running.is_some() && source.file().is_none());
        if is_new {
            // Who saved a file looks at the result; nobody looks at a download.
            let latest = Instant::now() + if others && !is_file { GATHER } else { Duration::ZERO };
            self.compile_at = Some(self.compile_at.map_or(latest, |at| at.min(latest)));
        } else if !others && self.compile_at.is_some() {
            self.compile_at = Some(Instant::now());
        }
    }

    /// Something done beside the task panicked or was stopped.
    fn failed(&mut self, error: &JoinError) {
        let problem = background::describe(error);
        let id = error.id();
        if self.compiling.as_ref().is_some_and(|compiling| compiling.id() == id) {
            self.compiling = None;
            self.not_compiled(&format!(
                "The lists could not be compiled, and the rules from before stay: {problem}."
            ));
            return;
        }
        let running =
            |source: &&mut Source| source.running.as_ref().is_some_and(|running| running.id() == id);
        let options = self.sources.iter_mut().find(running).map(|source| Arc::clone(&source.options));
        if let Some(options) = options {
            let message = format!("{} could not be read: {problem}", options.origin.shown());
            let result = Err(Failure { message, retry_after: None });
            self.looked(id, &options.name, Found { result, mark: None });
        } else if error.is_panic() {
            // The watch is gone with its thread; a new one takes over.
            self.watch.get_or_insert_with(|| Watch::new(Arc::clone(&self.changed)));
        }
    }

    fn publish_own(&mut self) {
        self.own_ends = self.own.next_end().map(Instant::from_std);
        let rules = self.own.compile();
        self.policy.update(|policy| policy.own = rules.clone());
        self.view.own.store(Arc::new(self.own.view()));
    }

    fn publish(&self) {
        let status = |source: &Source| (source.status(), Arc::clone(&source.meter));
        self.view.sources.store(Arc::new(self.sources.iter().map(status).collect()));
        self.view.accepted_problem.store(Arc::new(self.accepted.problem.clone()));
        self.view.unkept.store(Arc::new(self.unkept.clone()));
    }

    /// Tells those who wait for what is done now.
    fn answer_waiters(&mut self) {
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

/// Two revisions to compare, and how their lines are read.
pub(super) struct Comparison {
    pub(super) options: crate::list::ParseOptions,
    pub(super) from: (Arc<Text>, super::RevisionStatus),
    pub(super) to: (Arc<Text>, super::RevisionStatus),
}

/// Says in the log what is held back, once for each change.
fn tell_held_back(source: &Source, outcome: &Outcome) {
    let held_back = &outcome.held_back;
    if held_back.total != source.outcome.held_back.total
        && let Some(first) = held_back.rules.first()
    {
        tracing::warn!(
            list = %source.options.name,
            rules = held_back.total,
            first = first.rule,
            line = first.line,
            reason = %first.reason,
            "rules are not put in force unless you accept them"
        );
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
