//! The directory in which everything is kept, if there is one that can be written.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::config::{Config, user_data_dir};
use crate::feed;

/// Where data is kept, or nowhere; and what to tell about that.
pub(super) struct DataDir {
    pub(super) path: Option<PathBuf>,
    pub(super) problem: Option<String>,
    /// Held for as long as the daemon runs, so that no other one writes here.
    pub(super) lock: Option<File>,
}

/// Finds or makes the directory. Without a configuration file a user's own directory will do.
///
/// # Errors
/// When another daemon uses it.
pub(super) fn prepare(config: &Config) -> anyhow::Result<DataDir> {
    let refused = match writable(&config.data_dir) {
        Ok(()) => return locked(config.data_dir.clone()),
        Err(error) => error,
    };
    if config.file.is_none()
        && let Some(path) = user_data_dir().filter(|path| writable(path).is_ok())
    {
        return locked(path);
    }
    let directory = config.data_dir.display();
    if std::fs::read_dir(&config.data_dir).is_ok() {
        // A card that Linux has made read-only: what is there counts.
        let problem = format!(
            "{directory} can't be written ({refused}): what is kept there is used, and nothing new is kept. Make it \
             writable for the user that runs pixelsink (a card with errors is mounted read-only; `dmesg` tells), and \
             restart."
        );
        return Ok(DataDir { path: Some(config.data_dir.clone()), problem: Some(problem), lock: None });
    }
    let problem = format!(
        "{directory} can't be written ({refused}): lists, history and your rules live in memory only and are lost when \
         pixelsink stops. Make it writable for the user that runs pixelsink, or set data_dir, and restart."
    );
    Ok(DataDir { path: None, problem: Some(problem), lock: None })
}

/// The files that a person may edit. Nothing but a copy brings them back.
const OF_A_PERSON: [&str; 5] = ["rules.toml", "lists.toml", "devices.toml", "accepted.toml", "trackers.toml"];

/// Brings back those of a person's files that a power cut left empty or cut short; what was done.
pub(super) fn restore_cut(directory: &Path) -> Vec<String> {
    OF_A_PERSON.iter().filter_map(|name| feed::restore_cut(&directory.join(name))).collect()
}

fn locked(path: PathBuf) -> anyhow::Result<DataDir> {
    let file = path.join("lock");
    // One that another user left can't be written, and need not be.
    let lock = match File::create(&file).or_else(|_| File::open(&file)) {
        Ok(lock) => lock,
        Err(error) => {
            let problem = format!(
                "{} can't be opened ({error}), so that nobody would notice another pixelsink that uses this directory. Give all \
                 that is in it to the user that runs pixelsink, and restart.",
                file.display()
            );
            return Ok(DataDir { path: Some(path), problem: Some(problem), lock: None });
        }
    };
    match lock.try_lock() {
        Ok(()) => Ok(DataDir { path: Some(path), problem: None, lock: Some(lock) }),
        Err(TryLockError::WouldBlock) => anyhow::bail!(
            "another pixelsink uses {}; stop it first, or give this one another data_dir",
            path.display()
        ),
        // Some network drives know no locks.
        Err(TryLockError::Error(error)) => {
            warn!(%error, file = %file.display(), "can't be locked; see that no other pixelsink uses this directory");
            Ok(DataDir { path: Some(path), problem: None, lock: None })
        }
    }
}

/// Makes the directory, for its owner only, and proves that a file can be written there.
fn writable(directory: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let probe = directory.join(".writable");
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(probe)
}
