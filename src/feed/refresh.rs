//! One look at one source: what it has now, guarded and kept.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::disk::{self, Mark};
use super::download::{self, Failure, Fetched, Request};
use super::guard::{Intake, Refusal};
use super::revision::{Provenance, Revision, Shelf};
use super::text::Text;
use super::{HostLookup, background};
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
}

/// What a look is about.
pub(super) struct Subject {
    pub(super) options: ParseOptions,
    pub(super) current: Option<Revision>,
    pub(super) shelf: Option<Shelf>,
}

/// What a look found.
pub(super) struct Found {
    pub(super) result: Result<Refreshed, Failure>,
    /// For a file: what it looked like.
    pub(super) mark: Option<Mark>,
}

/// What is to be in force now.
pub(super) enum Refreshed {
    /// The file was not touched; whatever was wrong with it still is.
    Untouched,
    /// The text in force is the newest, and this is what is known of it.
    Same { provenance: Provenance, unkept: Option<String> },
    /// A new text; `unkept` says why it would not survive a restart.
    New { revision: Revision, unkept: Option<String> },
}

/// Downloads a list when it changed.
pub(super) async fn url(url: String, subject: Subject, means: Means) -> Found {
    Found { result: download(url, subject, means).await, mark: None }
}

async fn download(url: String, subject: Subject, means: Means) -> Result<Refreshed, Failure> {
    let Means { hosts, clock, downloads, size_max, timeout } = means;
    // Never closed, so that a permit always comes.
    let _permit = downloads.acquire_owned().await;
    let Subject { options, current, shelf } = subject;
    let known = current.clone().filter(|Revision { provenance, .. }| {
        provenance.url == url && (provenance.etag.is_some() || provenance.last_modified.is_some())
    });
    let request = Request { url: url.clone(), known, options, size_max, timeout };
    let fetched = download::fetch(request, hosts, clock.now()).await?;
    let now = clock.now();
    match fetched {
        Fetched::Text { text, etag, last_modified } => {
            let provenance = Provenance { url, etag, last_modified, fetched: now, checked: now };
            Ok(take(text, provenance, current, shelf).await)
        }
        Fetched::Unchanged(known) => {
            let provenance = Provenance { checked: now, ..known.provenance };
            let unkept =
                keep(Revision { text: known.text, provenance: provenance.clone() }, shelf, true).await;
            Ok(Refreshed::Same { provenance, unkept })
        }
    }
}

/// Takes a guarded text over; one that is in force already is not written again.
async fn take(
    text: Text,
    provenance: Provenance,
    current: Option<Revision>,
    shelf: Option<Shelf>,
) -> Refreshed {
    match current {
        Some(current) if current.text.digest() == text.digest() => {
            let provenance = Provenance { fetched: current.provenance.fetched, ..provenance };
            let unkept =
                keep(Revision { text: current.text, provenance: provenance.clone() }, shelf, true).await;
            Refreshed::Same { provenance, unkept }
        }
        _ => {
            let revision = Revision { text: Arc::new(text), provenance };
            let unkept = keep(revision.clone(), shelf, false).await;
            Refreshed::New { revision, unkept }
        }
    }
}

/// Keeps a revision, or its note alone; why that failed, as a whole sentence.
async fn keep(revision: Revision, shelf: Option<Shelf>, note_only: bool) -> Option<String> {
    let shelf = shelf?;
    let directory = shelf.directory().display().to_string();
    let kept = background::run(move || {
        let kept = match note_only {
            true => shelf.keep_note(&revision),
            false => shelf.keep(&revision),
        };
        kept.map_err(|error| (error.to_string(), shelf.has(&revision)))
    });
    let (error, is_there) = match kept.await {
        Ok(Ok(())) => return None,
        Ok(Err(error)) => error,
        Err(panic) => (panic, false),
    };
    let (what, then) = if is_there {
        ("When it was last looked for", "it is looked for again")
    } else {
        ("Its newest text", "an older one or none is in force until it is fetched again")
    };
    Some(format!(
        "{what} could not be kept in {directory} ({error}): after a restart {then}; make room there, or let the daemon \
         write there."
    ))
}

/// Reads a file when it was touched since `known`.
pub(super) async fn file(
    path: PathBuf,
    known: Option<Mark>,
    turn: Arc<Mutex<()>>,
    subject: Subject,
    means: Means,
) -> Found {
    let Subject { options, current, shelf } = subject;
    let (size_max, timeout) = (means.size_max, means.timeout);
    let place = path.clone();
    let read = background::run(move || match turn.try_lock() {
        Err(TryLockError::WouldBlock) => {
            (None, Err("is still being read; check the drive it lies on, which does not answer".to_owned()))
        }
        // A reader that panicked has left nothing behind.
        Ok(_) | Err(TryLockError::Poisoned(_)) => read(&path, known, options, size_max),
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
            let new = Provenance { url, etag: None, last_modified: None, fetched: saved, checked: now };
            Ok(take(text, new, current, shelf).await)
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
) -> (Option<Mark>, Result<Option<Text>, String>) {
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
    match read_whole(path, options, size_max) {
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

fn read_whole(path: &Path, options: ParseOptions, size_max: u64) -> Result<Text, ReadError> {
    let mut file = disk::open(path).map_err(ReadError::Io)?;
    let mut intake = Intake::new(options, size_max).map_err(ReadError::Refused)?;
    let mut buffer = vec![0; PIECE_LEN];
    loop {
        let length = file.read(&mut buffer).map_err(ReadError::Io)?;
        match buffer.get(..length) {
            None | Some([]) => return intake.finish().map_err(ReadError::Refused),
            Some(piece) => intake.push(piece).map_err(ReadError::Refused)?,
        }
    }
}
