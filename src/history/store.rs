//! The database: tables in memory, and the same tables in a file whenever there is one that can be used.
//!
//! Memory is the main database and the file is attached to it, not the other way round: whatever becomes of the file,
//! the connection and all that is not yet written live on. Rows in memory refer to rows in memory only (a name that the
//! file knows is copied with its identifier), so memory is a whole history by itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tracing::error;

use super::Gap;
use super::Health;
use super::HistoryError;
use super::HistoryOptions;
use super::attribution::Attributor;
use super::fault::Fault;
use super::hours;
use super::retention::Trust;
use super::schema;
use super::write::Ids;
use crate::clock::Clock;
use crate::device::LiveDevices;
use crate::tracker::LiveCatalogue;

/// How long a question may take. Events are gathered meanwhile.
const READ_TIME_MAX: Duration = Duration::from_secs(5);
/// How long another process that uses the file is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Steps of SQLite's machine between two looks at the clock: well below a millisecond.
const STEPS_PER_LOOK: i32 = 10_000;
/// The distinct statements of this module, so that each is compiled once.
const STATEMENTS_MAX: usize = 64;

/// The database.
pub(super) struct Store {
    pub(super) db: Connection,
    pub(super) options: HistoryOptions,
    pub(super) clock: Arc<dyn Clock>,
    /// What people call their devices now, and which of them are one.
    pub(super) devices: Arc<LiveDevices>,
    pub(super) ids: Ids,
    pub(super) attributor: Attributor,
    pub(super) trust: Trust,
    /// Whether the file is attached.
    pub(super) attached: bool,
    /// Whether the file's counts have been compared with its events, which is done once.
    pub(super) caught_up: bool,
    /// Why the file can't be written, for people.
    pub(super) trouble: Option<String>,
    /// Files that were set aside, each with what people should know about it.
    pub(super) aside: Vec<(PathBuf, String)>,
    /// Events in memory.
    pub(super) unflushed: u64,
    /// Single events that memory had no room for since the last flush.
    pub(super) crowded_out: u64,
    /// Counts of names in memory, at most.
    pub(super) uncounted_names: u64,
    /// Whether queries wait in memory that are counted and not listed.
    pub(super) unlisted_waits: bool,
    /// Queries that came with too many others to be counted.
    pub(super) dropped: Gap,
    /// Queries that were counted without being listed.
    pub(super) unlisted: Gap,
    /// Queries that were counted without their names.
    pub(super) unnamed: Gap,
    /// The last flush.
    pub(super) flushed: Option<Timestamp>,
    /// The hour in which the counts were written last.
    pub(super) counted_hour: Option<i64>,
}

impl Store {
    /// Opens the database. Fails only when there is no memory.
    pub(super) fn open(
        options: HistoryOptions,
        catalogue: Arc<LiveCatalogue>,
        devices: Arc<LiveDevices>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Fault> {
        let db = Connection::open_in_memory()?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        hours::register(&db)?;
        schema::migrate(&db, "main")?;
        schema::unite(&db, false)?;
        let trust = Trust::new(clock.now(), clock.instant());
        let mut store = Self {
            db,
            options,
            devices,
            clock,
            trust,
            ids: Ids::default(),
            attributor: Attributor::new(catalogue),
            attached: false,
            caught_up: false,
            trouble: None,
            aside: Vec::new(),
            unflushed: 0,
            crowded_out: 0,
            uncounted_names: 0,
            unlisted_waits: false,
            dropped: Gap::default(),
            unlisted: Gap::default(),
            unnamed: Gap::default(),
            flushed: None,
            counted_hour: None,
        };
        store.attach();
        Ok(store)
    }

    /// Answers a question within its time; a damaged file is replaced, and what is left is asked.
    pub(super) fn read<T>(
        &mut self,
        question: impl Fn(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, HistoryError> {
        self.attributor.make_room();
        let mut answer = self.within(READ_TIME_MAX, &question);
        if let Err(Fault::Damaged(why)) = &answer
            && self.attached
        {
            let why = why.clone();
            self.replace_file(&Fault::Damaged(why));
            answer = self.within(READ_TIME_MAX, &question);
        }
        Ok(answer?)
    }

    /// Lets SQLite work for at most `limit`, then fails with [`Fault::TooSlow`].
    pub(super) fn within<T>(
        &mut self,
        limit: Duration,
        work: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let clock = Arc::clone(&self.clock);
        let deadline = clock.instant() + limit;
        self.db.progress_handler(STEPS_PER_LOOK, Some(move || deadline <= clock.instant()))?;
        let result = work(self);
        self.db.progress_handler(0, None::<fn() -> bool>)?;
        result
    }

    /// How the history is.
    pub(super) fn health(&self) -> Health {
        let file = self.options.file.clone();
        let size = |suffix| {
            let path = file.as_deref().map(|path| super::aside::with_suffix(path, suffix));
            path.and_then(|path| path.metadata().ok()).map_or(0, |metadata| metadata.len())
        };
        let (size_bytes, unflushed) = match &file {
            Some(_) => (size("") + size("-wal"), self.unflushed),
            None => (0, 0),
        };
        let Self { dropped, unlisted, unnamed, flushed, .. } = *self;
        let problem = self.problem();
        Health { file, size_bytes, dropped, unlisted, unnamed, unflushed, flushed, problem }
    }

    fn problem(&self) -> Option<String> {
        // Once a person has taken a file away, there is nothing more to say about it.
        let aside = self.aside.iter().filter(|(path, _)| path.exists()).map(|(_, text)| text.clone());
        let crowded = (0 < self.crowded_out && self.trouble.is_none() && self.options.file.is_some()).then(|| {
            format!(
                "Queries came faster than single events can be kept: {} were not. The totals are complete.",
                self.crowded_out
            )
        });
        let problems: Vec<String> = self.trouble.iter().cloned().chain(aside).chain(crowded).collect();
        (!problems.is_empty()).then(|| problems.join(" "))
    }

    /// Tells of trouble with the file, in the log once until it is over.
    pub(super) fn report_trouble(&mut self, fault: &Fault) {
        let Some(file) = &self.options.file else { return };
        let why = HistoryError::from(fault.clone());
        if self.trouble.is_none() {
            error!(file = %file.display(), error = %why, "the history goes on in memory");
        }
        self.trouble = Some(format!(
            "The history can't be written to {}: {why}. It goes on in memory, where only the latest events have room, \
             and is tried again with each flush. Make room on the disk, see that no other daemon uses the file, and \
             that its directory belongs to the daemon's user.",
            file.display()
        ));
    }
}

/// The hour of a time, counted from 1970 in UTC.
pub(super) const fn hour_of(ms: i64) -> i64 {
    ms.div_euclid(3_600_000)
}

/// The day of a time, counted from 1970 in UTC.
pub(super) const fn day_of(ms: i64) -> i64 {
    ms.div_euclid(86_400_000)
}
