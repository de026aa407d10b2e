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

use super::compile::{self, Outcome};
use super::download::Failure;
use super::own::{Own, OwnView};
use super::refresh::{self, Found, Means, Subject};
use super::revision::Kept;
use super::source::Source;
use super::watch::{Watch, Watching};
use super::{FeedError, FeedOptions, HostLookup, Origin, OwnChange, SourceOptions, SourceStatus, background};
use crate::clock::Clock;
use crate::list::{Action, OwnRule};
use crate::policy::{LivePolicy, Rules};

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
/// How long a new text waits for the other downloads that are under way, so that all are compiled at once.
const GATHER: Duration = Duration::from_secs(2);

/// What a handle may ask for.
pub(super) enum Command {
    Refresh { name: Option<String>, reply: oneshot::Sender<Result<Vec<SourceStatus>, FeedError>> },
    Reconfigure { options: FeedOptions, reply: oneshot::Sender<Result<(), FeedError>> },
    WriteOwn { action: Action, rule: OwnRule, reply: oneshot::Sender<Result<OwnChange, FeedError>> },
    ForgetOwn { rule: OwnRule, reply: oneshot::Sender<Result<OwnChange, FeedError>> },
}

/// What everyone may look at without asking the task.
#[derive(Default)]
pub(super) struct View {
    pub(super) sources: ArcSwap<Vec<SourceStatus>>,
    pub(super) own: ArcSwap<OwnView>,
}

/// What was done beside the task.
enum Work {
    Looked { name: Arc<str>, found: Found },
    Compiled { generation: u64, names: Vec<Arc<str>>, rules: Rules, outcomes: Vec<Outcome> },
    Watching { watch: Watch, watching: Watching },
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
    work: JoinSet<Work>,
    /// Counts the changes of texts; and up to which of them the rules in force go.
    generation: u64,
    compiled: u64,
    /// The one with which the sources last changed.
    configured: u64,
    compiling: Option<AbortHandle>,
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
        let means = Means { hosts, clock, downloads, size_max, timeout };
        let own = Own::open(&options);
        let changed = Arc::new(Notify::new());
        let mut task = Self {
            means,
            policy,
            view,
            sources: Vec::new(),
            own,
            work: JoinSet::new(),
            generation: 0,
            compiled: 0,
            configured: 0,
            compiling: None,
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
        task.look_at_files().await;
        let patience = Instant::now() + START_WAIT;
        while task.sources.iter().any(|source| source.file().is_some() && source.running.is_some()) {
            match timeout_at(patience, task.work.join_next_with_id()).await {
                Ok(Some(done)) => task.done(done),
                Ok(None) | Err(_) => break,
            }
        }
        task.compile_now();
        while task.compiling.is_some() {
            let Some(done) = task.work.join_next_with_id().await else { break };
            task.done(done);
        }
        task.begin_what_is_due().await;
        task.publish();
        task
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
                let changed = self.with_own(move |own| own.write(action, &rule)).await;
                self.publish_own();
                drop(reply.send(changed.unwrap_or_else(|panic| Err(FeedError::OwnRules(panic)))));
            }
            Command::ForgetOwn { rule, reply } => {
                let changed = self.with_own(move |own| own.forget(&rule)).await;
                self.publish_own();
                drop(reply.send(changed.unwrap_or_else(|panic| Err(FeedError::OwnRules(panic)))));
            }
        }
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
            let size_max = self.means.size_max;
            let kept = background::run(move || shelf.load(size_max)).await;
            let panic = |panic| Kept::Damaged(format!("The kept text could not be read: {panic}."));
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
        due.map(|(at, _)| at).chain(compile).chain(look).chain(waiters).fold(self.poll_at, Instant::min)
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
        let subject = Subject {
            options: source.parse_options(),
            current: source.revision.clone(),
            shelf: source.shelf.clone(),
        };
        let means = self.means.clone();
        let running = match &source.options.origin {
            Origin::Url(url) => {
                let url = url.clone();
                self.work.spawn(async move {
                    let found = refresh::url(url, subject, means).await;
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

    fn compile_now(&mut self) {
        if self.compiling.is_some() {
            return; // What came meanwhile is compiled when this one is done.
        }
        self.compile_at = None;
        let generation = self.generation;
        let inputs: Vec<_> = self.sources.iter().map(Source::input).collect();
        self.compiling = Some(self.work.spawn_blocking(move || {
            let (rules, outcomes) = compile::compile(&inputs);
            let names = inputs.into_iter().map(|input| input.name).collect();
            Work::Compiled { generation, names, rules, outcomes }
        }));
    }

    fn set_watch(&mut self) {
        let Some(mut watch) = self.watch.take() else { return };
        self.rewatch = false;
        let own = self.own.path().map(PathBuf::from);
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
            Work::Compiled { generation, names, rules, outcomes } => {
                self.compiling = None;
                self.compiled = generation;
                self.policy.update(|policy| policy.lists = rules.clone());
                for (name, outcome) in names.into_iter().zip(outcomes) {
                    if let Some(source) = self.sources.iter_mut().find(|source| source.options.name == name) {
                        source.outcome = outcome;
                    }
                }
                tracing::info!(
                    rules = rules.ruleset.len(),
                    lists = rules.sources.len(),
                    "lists are in force"
                );
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
        let is_new = source.found(found, now, chance);
        if is_new {
            self.generation += 1;
            source.generation = self.generation;
        }
        let is_file = source.file().is_some();
        if std::mem::take(&mut source.again) {
            self.begin_look(index);
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
            self.compiled = self.generation;
            tracing::error!(%error, "the lists could not be compiled; the rules in force stay");
            for source in &mut self.sources {
                source.outcome.problem = Some(format!(
                    "The lists could not be compiled, and the rules from before stay: {problem}."
                ));
            }
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

    fn publish_own(&self) {
        let rules = self.own.compile();
        self.policy.update(|policy| policy.own = rules.clone());
        self.view.own.store(Arc::new(self.own.view()));
    }

    fn publish(&self) {
        self.view.sources.store(Arc::new(self.sources.iter().map(Source::status).collect()));
    }

    /// Tells those who wait for what is done now.
    fn answer_waiters(&mut self) {
        let busy: BTreeSet<Arc<str>> = self
            .sources
            .iter()
            .filter(|source| source.running.is_some() || self.compiled < source.generation)
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
