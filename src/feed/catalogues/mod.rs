//! The catalogues of trackers beside the built-in one: the person's own files, watched, and public ones, downloaded.
//!
//! One task (`task`) owns them. A public catalogue comes by the way that lists come (`download`): bounded, over the
//! daemon's own look-ups, only when it changed. It is kept as it came (`kept`), read once, and put together with the others
//! into the catalogue in force. Whatever fails, the last good one stays.
//!
//! Nothing here blocks anything: catalogues only tell whose names are.

mod added;
mod kept;
mod own;
mod task;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use self::task::{Command, Task};
use super::{FeedError, HostLookup};
use crate::clock::Clock;
use crate::tracker::{LiveCatalogue, Part, PublicCatalogue};

pub use self::own::read as read_catalogue_file;

/// Commands that wait for the task.
const COMMANDS_MAX: usize = 8;

/// Which catalogues there are.
#[derive(Clone, Debug, Default)]
pub struct CatalogueOptions {
    /// Where public ones are kept. `None`: nowhere, they are downloaded at each start.
    pub data_dir: Option<PathBuf>,
    /// The built-in one.
    pub built_in: Arc<Part>,
    /// The person's own files, the strongest first.
    pub files: Vec<PathBuf>,
    /// The public ones that the configuration names.
    pub download: Vec<PublicSource>,
    /// How long the download of one file may take.
    pub timeout: Duration,
}

/// A public catalogue, and where it is downloaded from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicSource {
    /// Which one.
    pub catalogue: PublicCatalogue,
    /// Its files, as [`PublicCatalogue::urls`] has them.
    pub urls: Vec<String>,
}

impl PublicSource {
    /// From where its authors offer it.
    pub fn new(catalogue: PublicCatalogue) -> Self {
        Self { catalogue, urls: catalogue.urls().iter().map(|url| (*url).to_owned()).collect() }
    }
}

/// Whose a catalogue is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CatalogueOrigin {
    /// A file of the person's own.
    Own(PathBuf),
    /// Part of this program.
    BuiltIn,
    /// Downloaded.
    Public {
        /// Which one.
        catalogue: PublicCatalogue,
        /// Whether it was added on the page or by `pixelsink trackers add`, and may be removed there.
        added: bool,
    },
}

/// How a catalogue is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CatalogueStatus {
    /// Whose it is.
    pub origin: CatalogueOrigin,
    /// How many names, products and companies of it are in force.
    pub names: usize,
    /// See `names`.
    pub products: usize,
    /// See `names`.
    pub companies: usize,
    /// When what is in force was downloaded; `None` for what is not.
    pub fetched: Option<Timestamp>,
    /// When it is looked for next; `None` for what is watched or never changes.
    pub next: Option<Timestamp>,
    /// Whether a download is running.
    pub refreshing: bool,
    /// What is wrong and what to do, in whole sentences that also say what is in force.
    pub problem: Option<String>,
}

/// A handle to the catalogues. Cheap to clone; when the last one is dropped, work on them ends.
#[derive(Clone)]
pub struct Catalogues {
    commands: mpsc::Sender<Command>,
    view: Arc<View>,
}

/// What everyone may look at without asking the task.
#[derive(Default)]
struct View {
    catalogues: ArcSwap<Vec<CatalogueStatus>>,
    /// Why the file of what was added can't be read.
    added_problem: ArcSwap<Option<String>>,
}

impl Catalogues {
    /// Begins; what is there without a download is in force soon after, and `live` has it.
    pub fn start(
        options: CatalogueOptions,
        live: Arc<LiveCatalogue>,
        hosts: Arc<dyn HostLookup>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (commands, waiting) = mpsc::channel(COMMANDS_MAX);
        let view = Arc::<View>::default();
        let task = Task::new(options, live, hosts, clock, Arc::clone(&view));
        tokio::spawn(task.run(waiting));
        Self { commands, view }
    }

    /// Every catalogue and how it is, the strongest first.
    pub fn status(&self) -> Vec<CatalogueStatus> {
        self.view.catalogues.load().as_ref().clone()
    }

    /// What is wrong with them, in whole sentences.
    pub fn problems(&self) -> Vec<String> {
        let catalogues = self.view.catalogues.load();
        let of_catalogues = catalogues.iter().filter_map(|status| status.problem.clone());
        self.view.added_problem.load().as_ref().clone().into_iter().chain(of_catalogues).collect()
    }

    /// Takes over a changed configuration, and reads the person's own files anew. They are in force when this returns.
    ///
    /// # Errors
    /// When the daemon is stopping.
    pub async fn reconfigure(&self, options: CatalogueOptions) -> Result<(), FeedError> {
        self.ask(|reply| Command::Reconfigure { options, reply }).await
    }

    /// Adds a public catalogue and waits for its download. When that fails it is tried again by itself.
    ///
    /// # Errors
    /// When it is there already, or the file of what was added can't be written; then nothing has changed.
    pub async fn add(&self, catalogue: PublicCatalogue) -> Result<CatalogueStatus, FeedError> {
        self.ask(|reply| Command::Add { catalogue, reply }).await
    }

    /// Removes a public catalogue that was added, and what was kept of it.
    ///
    /// # Errors
    /// When it was not added, or the file of what was added can't be written; then nothing has changed.
    pub async fn remove(&self, catalogue: PublicCatalogue) -> Result<(), FeedError> {
        self.ask(|reply| Command::Remove { catalogue, reply }).await
    }

    /// Downloads a public catalogue now and waits for the end; its status tells how it went.
    ///
    /// # Errors
    /// When it is not among those in use.
    pub async fn refresh(&self, catalogue: PublicCatalogue) -> Result<CatalogueStatus, FeedError> {
        self.ask(|reply| Command::Refresh { catalogue, reply }).await
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
