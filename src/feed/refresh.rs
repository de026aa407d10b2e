//! One look at one source: what it has now, guarded and kept.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::HostLookup;
use super::background::{self, Haste};
use super::disk::{self, Mark};
use super::download::{self, Failure, Fetched, Request};
use super::guard::{self, Intake, Refusal, Taken};
use super::meter::Meter;
use super::revision::Validator;
use crate::clock::Clock;
use crate::list::ParseOptions;

/// How much of a file is read at a time, in octets.
const PIECE_LEN: usize = 64 * 1024;

/// What every look needs.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) hosts: Arc<dyn HostLookup>,
    pub(super) clock: Arc<dyn Clock>,
    /// Bounds how many downloads run side by side.
    pub(super) downloads: Arc<Semaphore>,
    pub(super) size_max: u64,
    pub(super) timeout: Duration,
    /// Whether rules are in force while files are read.
    pub(super) haste: Haste,
}

/// What a look is about.
pub(super) struct Subject {
    pub(super) options: ParseOptions,
    /// Where the text is written to.
    pub(super) directory: Option<PathBuf>,
    /// What servers called the texts that are there.
    pub(super) validators: Vec<Validator>,
    /// How many rules the newest text has: one that is nothing like it is taken only when no mirror has a better one.
    pub(super) rules: Option<u64>,
    pub(super) meter: Arc<Meter>,
}

/// What a look found.
pub(super) struct Found {
    pub(super) result: Result<Refreshed, Failure>,
    /// For a file: what it looked like.
    pub(super) mark: Option<Mark>,
}

/// What the source has now.
pub(super) enum Refreshed {
    /// The file was not touched; whatever was wrong with it still is.
    Untouched,
    /// The text that this server gave last.
    Known(Validator),
    /// A text, new or not.
    Text { taken: Taken, url: String, fetched: Timestamp, validator: Option<Validator> },
}

/// Downloads a list when it changed, from the first of these that has it.
pub(super) async fn urls(urls: Vec<String>, subject: Subject, means: Means) -> Found {
    // Never closed, so that a permit always comes.
    let _permit = Arc::clone(&means.downloads).acquire_owned().await;
    let mut odd = None;
    let mut failures: Vec<Failure> = Vec::new();
    for url in urls {
        match download(url, &subject, &means).await {
            Ok(Refreshed::Text { taken, url, fetched, validator })
                if subject.rules.and_then(|rules| guard::size_change(rules, taken.rules)).is_some() =>
            {
                odd.get_or_insert(Refreshed::Text { taken, url, fetched, validator });
            }
            Ok(refreshed) => return Found { result: Ok(refreshed), mark: None },
            Err(failure) => failures.push(failure),
        }
    }
    let result = odd.ok_or_else(|| Failure {
        message: failures.iter().map(|failure| &*failure.message).collect::<Vec<_>>().join("; "),
        retry_after: failures.iter().filter_map(|failure| failure.retry_after).min(),
    });
    Found { result, mark: None }
}

async fn download(url: String, subject: &Subject, means: &Means) -> Result<Refreshed, Failure> {
    let known = subject.validators.iter().find(|known| known.url == url);
    let request = Request {
        url: url.clone(),
        known: known.filter(|known| known.etag.is_some() || known.last_modified.is_some()).cloned(),
        options: subject.options,
        size_max: means.size_max,
        timeout: means.timeout,
        directory: subject.directory.clone(),
        meter: Arc::clone(&subject.meter),
    };
    let fetched = download::fetch(request, Arc::clone(&means.hosts), means.clock.now()).await?;
    Ok(match fetched {
        Fetched::Unchanged(validator) => Refreshed::Known(validator),
        Fetched::Text { taken, etag, last_modified } => {
            let digest = taken.text.digest().into();
            let validator = Validator { url: url.clone(), etag, last_modified, digest };
            Refreshed::Text { taken, url, fetched: means.clock.now(), validator: Some(validator) }
        }
    })
}

/// Reads a file when it was touched since `known`.
pub(super) async fn file(
    path: PathBuf,
    known: Option<Mark>,
    turn: Arc<Mutex<()>>,
    subject: Subject,
    means: Means,
) -> Found {
    let Subject { options, directory, .. } = subject;
    let (size_max, timeout) = (means.size_max, means.timeout);
    let place = path.clone();
    let read = background::run_with(means.haste, move || match turn.try_lock() {
        Err(TryLockError::WouldBlock) => {
            (None, Err("is still being read; check the drive it lies on, which does not answer".to_owned()))
        }
        // A reader that panicked has left nothing behind.
        Ok(_) | Err(TryLockError::Poisoned(_)) => read(&path, known, options, size_max, directory.as_deref()),
    });
    let failure =
        |what: String| Failure { message: format!("{} {what}", place.display()), retry_after: None };
    // A network drive that hangs holds one thread, and neither the other lists nor who waits for a refresh.
    let (mark, text) = match tokio::time::timeout(timeout, read).await {
        Ok(Ok(read)) => read,
        Ok(Err(panic)) => {
            return Found { result: Err(failure(format!("could not be read: {panic}"))), mark: None };
        }
        Err(_) => {
            return Found {
                result: Err(failure(format!(
                    "could not be read within {timeout:?}; check the drive it lies on"
                ))),
                mark: None,
            };
        }
    };
    let result = match text {
        Ok(None) => Ok(Refreshed::Untouched),
        Ok(Some(text)) => {
            let now = means.clock.now();
            let saved = mark.and_then(|mark| Timestamp::try_from(mark.modified).ok()).unwrap_or(now);
            let url = format!("file:{}", place.display());
            Ok(Refreshed::Text { taken: text, url, fetched: saved, validator: None })
        }
        Err(what) => Err(failure(what)),
    };
    Found { result, mark }
}

/// What a file looks like and, when it does not look as `known`, its text or what is wrong with it.
fn read(
    path: &Path,
    known: Option<Mark>,
    options: ParseOptions,
    size_max: u64,
    directory: Option<&Path>,
) -> (Option<Mark>, Result<Option<Taken>, String>) {
    let unreadable = |error: io::Error| {
        (
            None,
            Err(format!("can't be read ({error}); put it back, or remove the list from the configuration")),
        )
    };
    let mark = match Mark::of(path) {
        Ok(mark) if known == Some(mark) => return (known, Ok(None)),
        Ok(mark) => mark,
        Err(error) => return unreadable(error),
    };
    match read_whole(path, options, size_max, directory) {
        Ok(text) => (Some(mark), Ok(Some(text))),
        // Whatever ails the disk may pass, so the file is read again at the next look.
        Err(ReadError::Io(error)) => unreadable(error),
        Err(ReadError::Refused(refusal)) => (Some(mark), Err(refusal.to_string())),
    }
}

enum ReadError {
    Io(io::Error),
    Refused(Refusal),
}

fn read_whole(
    path: &Path,
    options: ParseOptions,
    size_max: u64,
    directory: Option<&Path>,
) -> Result<Taken, ReadError> {
    let mut file = disk::open(path).map_err(ReadError::Io)?;
    let mut intake = Intake::new(options, size_max, directory).map_err(ReadError::Refused)?;
    let mut buffer = vec![0; PIECE_LEN];
    loop {
        let length = file.read(&mut buffer).map_err(ReadError::Io)?;
        match buffer.get(..length) {
            None | Some([]) => return intake.finish().map_err(ReadError::Refused),
            Some(piece) => intake.push(piece).map_err(ReadError::Refused)?,
        }
    }
}
