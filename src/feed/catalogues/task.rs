//! The task that owns the catalogues.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::added::AddedFile;
use super::kept::{FILE_SIZE_MAX, Kept, KeptFile};
use super::own::OwnFile;
use super::{CatalogueOptions, CatalogueOrigin, CatalogueStatus, PublicSource, View};
use crate::clock::Clock;
use crate::feed::download::{self, Failure, Raw};
use crate::feed::revision::Validator;
use crate::feed::watch::Watch;
use crate::feed::{FeedError, HostLookup, background, schedule};
use crate::tracker::{Catalogue, LiveCatalogue, Part, PublicCatalogue};

/// How often a public catalogue is looked for: companies change hands more slowly.
const REFRESH: Duration = Duration::from_secs(7 * 86_400);
/// How often the person's own files are looked at even when nothing was heard.
const POLL: Duration = Duration::from_secs(30);
/// How long a saved file is left alone, since an editor saves in several steps.
const SETTLE: Duration = Duration::from_millis(200);

/// What a handle may ask for.
pub(super) enum Command {
    Reconfigure { options: CatalogueOptions, reply: oneshot::Sender<Result<(), FeedError>> },
    Add { catalogue: PublicCatalogue, reply: Reply },
    Remove { catalogue: PublicCatalogue, reply: oneshot::Sender<Result<(), FeedError>> },
    Refresh { catalogue: PublicCatalogue, reply: Reply },
}

type Reply = oneshot::Sender<Result<CatalogueStatus, FeedError>>;

/// A public catalogue in use.
struct Public {
    source: PublicSource,
    part: Arc<Part>,
    kept: Option<Arc<Kept>>,
    problem: Option<String>,
    failures: u32,
    due: Option<(Instant, Timestamp)>,
    /// Counts the downloads that were begun: one of a source that changed meanwhile counts no more.
    turn: u64,
    running: bool,
    waiters: Vec<Reply>,
}

/// What a download brought.
struct Looked {
    catalogue: PublicCatalogue,
    turn: u64,
    /// What is to be kept, and its part when it is a new one.
    result: Result<(Arc<Kept>, Option<Part>), Failure>,
}

/// The catalogues and all that belongs to them.
pub(super) struct Task {
    options: CatalogueOptions,
    live: Arc<LiveCatalogue>,
    hosts: Arc<dyn HostLookup>,
    clock: Arc<dyn Clock>,
    view: Arc<View>,
    own: Vec<OwnFile>,
    added: AddedFile,
    public: BTreeMap<PublicCatalogue, Public>,
    work: JoinSet<Looked>,
    changed: Arc<Notify>,
    watch: Option<Watch>,
    poll_at: Instant,
    turns: u64,
    chance: RandomState,
}

impl Task {
    pub(super) fn new(
        options: CatalogueOptions,
        live: Arc<LiveCatalogue>,
        hosts: Arc<dyn HostLookup>,
        clock: Arc<dyn Clock>,
        view: Arc<View>,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        Self {
            live,
            hosts,
            clock,
            view,
            own: Vec::new(),
            added: AddedFile::open(None),
            public: BTreeMap::new(),
            work: JoinSet::new(),
            watch: Some(Watch::new(Arc::clone(&changed))),
            changed,
            poll_at: Instant::now() + POLL,
            turns: 0,
            chance: RandomState::new(),
            options,
        }
    }

    /// Serves until the last handle is gone.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let options = self.options.clone();
        self.configure(options).await;
        loop {
            self.begin_what_is_due();
            self.tell();
            let downloads =
                self.public.values().filter(|public| !public.running).filter_map(|public| public.due);
            let wake = downloads.map(|(at, _)| at).fold(self.poll_at, Instant::min);
            let changed = Arc::clone(&self.changed);
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => break,
                },
                Some(looked) = self.work.join_next() => match looked {
                    Ok(looked) => self.looked(looked).await,
                    Err(error) => {
                        tracing::error!(problem = background::describe(&error), "a catalogue was not read");
                    }
                },
                () = changed.notified() => {
                    sleep(SETTLE).await;
                    self.look_at_own().await;
                }
                () = sleep_until(wake) => if self.poll_at <= Instant::now() {
                    self.poll_at = Instant::now() + POLL;
                    self.look_at_own().await;
                    self.set_watch().await;
                },
            }
        }
    }

    async fn command(&mut self, command: Command) {
        // Whoever asked may have gone; what they asked for is done all the same.
        match command {
            Command::Reconfigure { options, reply } => {
                self.configure(options).await;
                drop(reply.send(Ok(())));
            }
            Command::Add { catalogue, reply } => match self.add(catalogue).await {
                Ok(()) => self.wait_for(catalogue, reply),
                Err(error) => drop(reply.send(Err(error))),
            },
            Command::Remove { catalogue, reply } => drop(reply.send(self.remove(catalogue).await)),
            Command::Refresh { catalogue, reply } => {
                self.begin(catalogue);
                self.wait_for(catalogue, reply);
            }
        }
    }

    fn wait_for(&mut self, catalogue: PublicCatalogue, reply: Reply) {
        match self.public.get_mut(&catalogue) {
            Some(public) => public.waiters.push(reply),
            None => drop(reply.send(Err(unused(catalogue)))),
        }
    }

    async fn add(&mut self, catalogue: PublicCatalogue) -> Result<(), FeedError> {
        if self.public.contains_key(&catalogue) {
            let what = format!("the catalogue `{}` is in use already", catalogue.as_str());
            return Err(FeedError::Failed(what));
        }
        self.set_added(catalogue, true).await?;
        self.set_public().await;
        self.begin(catalogue);
        Ok(())
    }

    async fn remove(&mut self, catalogue: PublicCatalogue) -> Result<(), FeedError> {
        let name = catalogue.as_str();
        if self.options.download.iter().any(|source| source.catalogue == catalogue) {
            return Err(FeedError::Failed(format!(
                "the catalogue `{name}` stands in the configuration; take it out of `download` under [trackers] and reload"
            )));
        }
        if !self.added.catalogues.contains(&catalogue) {
            return Err(unused(catalogue));
        }
        self.set_added(catalogue, false).await?;
        self.set_public().await;
        self.publish().await;
        if let Some(data_dir) = self.options.data_dir.clone() {
            let removed = background::run(move || Kept::remove(&data_dir, catalogue)).await;
            if let Ok(Err(error)) = removed {
                return Err(FeedError::Failed(format!(
                    "the catalogue `{name}` is in use no more, but what was kept of it could not be removed: {error}"
                )));
            }
        }
        Ok(())
    }

    async fn set_added(&mut self, catalogue: PublicCatalogue, is_added: bool) -> Result<(), FeedError> {
        let mut added = self.added.clone();
        let written = background::run(move || {
            let set = added.set(catalogue, is_added);
            (added, set)
        });
        let (added, set) = written.await.map_err(FeedError::Failed)?;
        self.added = added;
        set
    }

    /// Takes over what is configured and added, and puts in force what is there without a download.
    async fn configure(&mut self, options: CatalogueOptions) {
        let mut known: BTreeMap<PathBuf, OwnFile> =
            self.own.drain(..).map(|file| (file.path.clone(), file)).collect();
        let file = |path: &PathBuf| known.remove(path).unwrap_or_else(|| OwnFile::new(path.clone()));
        self.own = options.files.iter().map(file).collect();
        self.options = options;
        let data_dir = self.options.data_dir.clone();
        // One that is broken now says what it said when it was last read.
        let before = (self.turns != 0).then(|| self.added.clone());
        let opened = background::run(move || match before {
            Some(mut added) => {
                added.look();
                added
            }
            None => AddedFile::open(data_dir.as_deref()),
        });
        if let Ok(added) = opened.await {
            self.added = added;
        }
        self.turns += 1;
        self.look_at_own().await;
        self.set_public().await;
        self.publish().await;
        self.set_watch().await;
    }

    /// Uses the public catalogues that are configured or added, with what is kept of them.
    async fn set_public(&mut self) {
        let added = self.added.catalogues.iter().map(|catalogue| PublicSource::new(*catalogue));
        let configured = self.options.download.iter().cloned();
        let mut wanted: BTreeMap<PublicCatalogue, PublicSource> = BTreeMap::new();
        for source in configured.chain(added) {
            wanted.entry(source.catalogue).or_insert(source);
        }
        self.public.retain(|catalogue, public| wanted.get(catalogue) == Some(&public.source));
        for (catalogue, source) in wanted {
            if self.public.contains_key(&catalogue) {
                continue;
            }
            let public = self.restored(source).await;
            self.public.insert(catalogue, public);
        }
    }

    async fn restored(&self, source: PublicSource) -> Public {
        let (catalogue, now) = (source.catalogue, self.clock.now());
        let mut public = Public {
            source,
            part: Arc::default(),
            kept: None,
            problem: None,
            failures: 0,
            due: None,
            turn: 0,
            running: false,
            waiters: Vec::new(),
        };
        let Some(data_dir) = self.options.data_dir.clone() else {
            public.wait(Duration::ZERO, now);
            return public;
        };
        let kept = background::run(move || {
            let kept = Kept::load(&data_dir, catalogue).map_err(|error| error.to_string())?;
            kept.map(|kept| kept.read(catalogue).map(|part| (kept, part))).transpose()
        });
        match kept.await.unwrap_or_else(Err) {
            Ok(Some((kept, part))) => {
                let wait =
                    schedule::after_success(kept.checked, now, REFRESH, self.chance.hash_one(catalogue));
                public.wait(wait, now);
                (public.part, public.kept) = (Arc::new(part), Some(Arc::new(kept)));
            }
            Ok(None) => public.wait(Duration::ZERO, now),
            Err(problem) => {
                tracing::warn!(catalogue = catalogue.as_str(), problem, "a kept catalogue could not be read");
                public.wait(Duration::ZERO, now);
            }
        }
        public
    }

    /// Reads the person's own files that changed.
    async fn look_at_own(&mut self) {
        let mut own = self.own.clone();
        let looked = background::run(move || {
            // All of them, also after one that changed.
            let changes = own.iter_mut().filter_map(|file| file.look().then_some(())).count();
            (own, 0 < changes)
        });
        if let Ok((own, is_new)) = looked.await {
            self.own = own;
            if is_new {
                self.publish().await;
            }
        }
    }

    async fn set_watch(&mut self) {
        let Some(mut watch) = self.watch.take() else { return };
        let files: Vec<PathBuf> = self.own.iter().map(|file| file.path.clone()).collect();
        let set = background::run(move || {
            // What can't be watched is looked at now and then all the same.
            let _ = watch.set(&files);
            watch
        });
        let watch = set.await.unwrap_or_else(|_panic| Watch::new(Arc::clone(&self.changed)));
        self.watch = Some(watch);
    }

    /// Puts everything together and in force.
    async fn publish(&self) {
        let own: Vec<Arc<Part>> = self.own.iter().map(|file| Arc::clone(&file.part)).collect();
        let built_in = Arc::clone(&self.options.built_in);
        let public: Vec<Arc<Part>> = self.public.values().map(|public| Arc::clone(&public.part)).collect();
        let joined = background::run(move || {
            let written: Vec<&Part> = own.iter().chain([&built_in]).map(|part| &**part).collect();
            let public: Vec<&Part> = public.iter().map(|part| &**part).collect();
            Catalogue::new(&written, &public)
        });
        match joined.await {
            Ok(catalogue) => {
                let names = catalogue.entries().len();
                self.live.replace(catalogue);
                tracing::info!(names, "catalogues of trackers are in force");
            }
            Err(problem) => tracing::error!(problem, "the catalogues could not be put together"),
        }
    }

    fn begin_what_is_due(&mut self) {
        let now = Instant::now();
        let is_due = |public: &Public| !public.running && public.due.is_some_and(|(at, _)| at <= now);
        let due: Vec<PublicCatalogue> = self
            .public
            .iter()
            .filter(|(_, public)| is_due(public))
            .map(|(catalogue, _)| *catalogue)
            .collect();
        due.into_iter().for_each(|catalogue| self.begin(catalogue));
    }

    /// Begins the download of a catalogue, unless one is running.
    fn begin(&mut self, catalogue: PublicCatalogue) {
        let Some(public) = self.public.get_mut(&catalogue).filter(|public| !public.running) else { return };
        self.turns += 1;
        (public.running, public.turn) = (true, self.turns);
        let download = Download {
            source: public.source.clone(),
            kept: public.kept.clone(),
            names_before: public.part.names(),
            data_dir: self.options.data_dir.clone(),
            timeout: self.options.timeout,
            hosts: Arc::clone(&self.hosts),
            clock: Arc::clone(&self.clock),
        };
        let turn = self.turns;
        self.work.spawn(async move { Looked { catalogue, turn, result: download.run().await } });
    }

    async fn looked(&mut self, looked: Looked) {
        let Looked { catalogue, turn, result } = looked;
        let now = self.clock.now();
        let chance = self.chance.hash_one((catalogue, now));
        let Some(public) = self.public.get_mut(&catalogue).filter(|public| public.turn == turn) else {
            return;
        };
        public.running = false;
        let mut is_new = false;
        match result {
            Ok((kept, part)) => {
                (public.failures, public.problem, public.kept) = (0, None, Some(kept));
                if let Some(part) = part {
                    public.part = Arc::new(part);
                    is_new = true;
                }
                public.wait(schedule::after_success(now, now, REFRESH, chance), now);
            }
            Err(Failure { message, retry_after }) => {
                let in_force = match public.part.names() {
                    0 => "Nothing of it is in force yet.",
                    _ => "Its last good text stays in force.",
                };
                let problem = format!("The catalogue `{}`: {message}. {in_force}", catalogue.as_str());
                if public.problem.as_ref() != Some(&problem) {
                    tracing::warn!(%problem, "a catalogue was not refreshed");
                }
                public.failures = public.failures.saturating_add(1);
                public.problem = Some(problem);
                public.wait(schedule::after_failure(public.failures, REFRESH, retry_after, chance), now);
            }
        }
        if is_new {
            self.publish().await;
        }
        self.tell();
        let added = &self.added;
        if let Some(public) = self.public.get_mut(&catalogue) {
            let waiters = std::mem::take(&mut public.waiters);
            let status = public.status(added.catalogues.contains(&catalogue));
            waiters.into_iter().for_each(|waiter| drop(waiter.send(Ok(status.clone()))));
        }
    }

    /// Tells how everything is.
    fn tell(&self) {
        let status = |origin, part: &Part| CatalogueStatus {
            origin,
            names: part.names(),
            products: part.products(),
            companies: part.companies(),
            fetched: None,
            next: None,
            refreshing: false,
            problem: None,
        };
        let own = self.own.iter().map(|file| CatalogueStatus {
            problem: file.problem.clone(),
            ..status(CatalogueOrigin::Own(file.path.clone()), &file.part)
        });
        let built_in = status(CatalogueOrigin::BuiltIn, &self.options.built_in);
        let is_added = |catalogue| {
            let configured = self.options.download.iter().any(|source| source.catalogue == catalogue);
            !configured && self.added.catalogues.contains(&catalogue)
        };
        let public = self.public.iter().map(|(catalogue, public)| public.status(is_added(*catalogue)));
        self.view.catalogues.store(Arc::new(own.chain([built_in]).chain(public).collect()));
        self.view.added_problem.store(Arc::new(self.added.problem.clone()));
    }
}

impl Public {
    fn wait(&mut self, wait: Duration, now: Timestamp) {
        let shown = jiff::SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok());
        let at = Instant::now().checked_add(wait);
        self.due = at.map(|at| (at, shown.unwrap_or(Timestamp::MAX)));
    }

    fn status(&self, added: bool) -> CatalogueStatus {
        CatalogueStatus {
            origin: CatalogueOrigin::Public { catalogue: self.source.catalogue, added },
            names: self.part.names(),
            products: self.part.products(),
            companies: self.part.companies(),
            fetched: self.kept.as_ref().map(|kept| kept.fetched),
            next: self.due.map(|(_, shown)| shown),
            refreshing: self.running,
            problem: self.problem.clone(),
        }
    }
}

fn unused(catalogue: PublicCatalogue) -> FeedError {
    FeedError::NotThere(format!(
        "the catalogue `{0}` is not in use; `pixelsink trackers add {0}` adds it",
        catalogue.as_str()
    ))
}

/// All that a download needs.
struct Download {
    source: PublicSource,
    kept: Option<Arc<Kept>>,
    names_before: usize,
    data_dir: Option<PathBuf>,
    timeout: Duration,
    hosts: Arc<dyn HostLookup>,
    clock: Arc<dyn Clock>,
}

impl Download {
    /// Downloads the files that changed, reads them, and keeps them when they can be what they should be.
    async fn run(self) -> Result<(Arc<Kept>, Option<Part>), Failure> {
        let now = self.clock.now();
        let mut files = Vec::new();
        let mut is_new = false;
        for url in &self.source.urls {
            let known = self.kept.iter().flat_map(|kept| &kept.files).find(|file| file.url == *url);
            let validator = known.filter(|file| file.etag.is_some() || file.last_modified.is_some());
            let validator = validator.map(|file| Validator {
                url: url.clone(),
                etag: file.etag.clone(),
                last_modified: file.last_modified.clone(),
                digest: "".into(),
            });
            let hosts = Arc::clone(&self.hosts);
            let raw = download::fetch_raw(url, validator, FILE_SIZE_MAX, self.timeout, hosts, now).await?;
            files.push(match (raw, known) {
                (Raw::Unchanged, Some(known)) => known.clone(),
                // It was asked for without a condition.
                (Raw::Unchanged, None) => return Err(failure(format!("{url} sent nothing"))),
                (Raw::Content { content, etag, last_modified }, _) => {
                    is_new = true;
                    let text = String::from_utf8(content);
                    let text = text.map_err(|_| failure(format!("{url} is not UTF-8")))?;
                    KeptFile { url: url.clone(), etag, last_modified, text }
                }
            });
        }
        let fetched = match &self.kept {
            Some(kept) if !is_new => kept.fetched,
            _ => now,
        };
        let kept = Kept { fetched, checked: now, files };
        background::run(move || self.take(kept, is_new)).await.unwrap_or_else(|panic| Err(failure(panic)))
    }

    fn take(&self, kept: Kept, is_new: bool) -> Result<(Arc<Kept>, Option<Part>), Failure> {
        let catalogue = self.source.catalogue;
        let part = if is_new {
            let part = kept.read(catalogue).map_err(failure)?;
            if part.names() < self.names_before / 2 {
                return Err(failure(format!(
                    "it has {} names where the one in force has {}, which is not believed; if it is right, remove it and \
                     add it again",
                    part.names(),
                    self.names_before
                )));
            }
            Some(part)
        } else {
            None
        };
        if let Some(data_dir) = &self.data_dir
            && let Err(error) = kept.save(data_dir, catalogue)
        {
            tracing::warn!(catalogue = catalogue.as_str(), %error, "a catalogue is not kept; it is downloaded again");
        }
        Ok((Arc::new(kept), part))
    }
}

const fn failure(message: String) -> Failure {
    Failure { message, retry_after: None }
}
