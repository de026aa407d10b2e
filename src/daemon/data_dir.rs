//! The directory in which everything is kept, if there is one that can be written.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::config::{Config, user_data_dir};

/// Where data is kept, or nowhere; and what to tell about that.
pub(super) struct DataDir {
    pub(super) path: Option<PathBuf>,
    pub(super) problem: Option<String>,
}

/// Finds or makes the directory. Without a configuration file a user's own directory will do.
pub(super) fn prepare(config: &Config) -> DataDir {
    let refused = match writable(&config.data_dir) {
        Ok(()) => return DataDir { path: Some(config.data_dir.clone()), problem: None },
        Err(error) => error,
    };
    if config.file.is_none()
        && let Some(path) = user_data_dir().filter(|path| writable(path).is_ok())
    {
        return DataDir { path: Some(path), problem: None };
    }
    let directory = config.data_dir.display();
    let problem = format!(
        "{directory} can't be written ({refused}): lists, history and your rules live in memory only and are lost when \
         pixelsink stops. Make it writable for the user that runs pixelsink, or set data_dir, and restart."
    );
    DataDir { path: None, problem: Some(problem) }
}

/// Makes the directory, for its owner only, and proves that a file can be written there.
fn writable(directory: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let probe = directory.join(".writable");
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(probe)
}
