//! The task that owns the lists: it alone decides what is fetched, compiled and put in force, and when.
//!
//! Everything that takes time is done beside it, and comes back as a [`Work`]. There is one compile at a time, of
//! everything that changed until it began; what changes meanwhile waits for the next one.

mod command;
mod done;

pub(super) use command::{Command, Comparison, Wish};

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::accepted::AcceptedFile;
use super::background::{self, Haste};
use super::compile::{self, Compiled, Input, Outcome};
use super::meter::Meter;
use super::own::{Own, OwnView};
use super::refresh::{self, Found, Means};
use super::shelf::{self, Kept};
use super::source::Source;
use super::text::Text;
use super::watch::{Watch, Watching};
use super::{FeedOptions, HostLookup, Origin, SourceOptions, SourceStatus};
use crate::clock::Clock;
use crate::policy::LivePolicy;
use command::Waiter;

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
}
