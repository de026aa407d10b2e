//! Watching files for a save.
//!
//! The directories are watched and not the files: an editor saves by renaming another file over the old one, after
//! which a watch on the file itself stays silent. A watch only says "look again"; what changed is told by looking, and
//! looking is done every half a minute even without a word, because bind mounts and network drives give none.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::disk::{self, Mark};

/// Watches directories and gives a signal when one of the files may have changed.
pub(super) struct Watch {
    watcher: Result<RecommendedWatcher, String>,
    /// The directories that are watched, each with what it was then: one that was made anew must be watched anew.
    directories: BTreeMap<PathBuf, Option<Identity>>,
    names: Arc<ArcSwap<BTreeSet<OsString>>>,
}

/// What came of a change of the watch.
pub(super) struct Watching {
    /// The files that can't be watched, and why.
    pub(super) unwatched: Vec<(PathBuf, String)>,
    /// Whether a directory is watched that was not before.
    pub(super) is_new: bool,
}

/// Which directory it is, whatever is in it.
type Identity = (u64, u64);

impl Watch {
    /// `changed` is notified when it is time to look.
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        let names = Arc::new(ArcSwap::<BTreeSet<OsString>>::default());
        let known = Arc::clone(&names);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if is_of_interest(&event, &known.load()) {
                changed.notify_one();
            }
        });
        Self { watcher: watcher.map_err(|error| error.to_string()), directories: BTreeMap::new(), names }
    }

    /// Watches these files and no others.
    pub(super) fn set(&mut self, files: &[PathBuf]) -> Watching {
        let mut watching = Watching { unwatched: Vec::new(), is_new: false };
        let mut wanted = BTreeMap::<PathBuf, Vec<&PathBuf>>::new();
        let mut names = BTreeSet::new();
        for file in files {
            // A link is saved where it points to.
            for path in [Some(file.clone()), file.canonicalize().ok()].into_iter().flatten() {
                names.extend(path.file_name().map(OsString::from));
                if let Some(directory) = disk::directory_of(&path) {
                    wanted.entry(directory.to_owned()).or_default().push(file);
                }
            }
        }
        self.names.store(Arc::new(names));
        let watcher = match &mut self.watcher {
            Ok(watcher) => watcher,
            Err(error) => {
                watching.unwatched = files.iter().map(|file| (file.clone(), error.clone())).collect();
                return watching;
            }
        };
        self.directories.retain(|directory, identity| {
            let stays = wanted.contains_key(directory) && identity_of(directory) == *identity;
            if !stays {
                // It fails for a directory that is gone, and then there is nothing to end.
                let _ = watcher.unwatch(directory);
            }
            stays
        });
        for (directory, within) in wanted {
            if self.directories.contains_key(&directory) {
                continue;
            }
            match watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watching.is_new = true;
                    self.directories.insert(directory.clone(), identity_of(&directory));
                }
                Err(error) => {
                    watching.unwatched.extend(within.into_iter().map(|file| (file.clone(), reason(&error))));
                }
            }
        }
        watching
    }
}

/// Reading is an event too: ours must not make us look again.
fn is_of_interest(event: &notify::Result<Event>, names: &BTreeSet<OsString>) -> bool {
    let Ok(event) = event else { return true };
    let written = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    };
    let named = event.paths.iter().filter_map(|path| path.file_name()).any(|name| names.contains(name));
    written && (named || event.need_rescan() || event.paths.is_empty())
}

/// The reason alone; the paths are named by whoever tells it.
fn reason(error: &notify::Error) -> String {
    match &error.kind {
        notify::ErrorKind::PathNotFound => "its directory does not exist".to_owned(),
        notify::ErrorKind::MaxFilesWatch => {
            "the kernel's limit `fs.inotify.max_user_watches` is reached".to_owned()
        }
        notify::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}

fn identity_of(directory: &Path) -> Option<Identity> {
    Mark::of(directory).ok().map(|mark| mark.identity())
}
