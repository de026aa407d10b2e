//! The answers that are kept: how many there are, and the file that they last in over a restart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::resolve::Resolver;
use crate::web::api::CacheStatus;

/// How often the file is written: a power cut costs no more than what was learnt since, and an SD card bears it.
pub(super) const SAVE_PAUSE: Duration = Duration::from_secs(15 * 60);
/// The file, in the data directory.
const FILE: &str = "cache.bin";

/// The file of kept answers, where there is a place for it.
pub(super) struct KeptAnswers {
    resolver: Arc<Resolver>,
    file: Option<PathBuf>,
    /// One writes at a time.
    writing: Mutex<()>,
}

impl KeptAnswers {
    pub(super) fn new(resolver: &Arc<Resolver>, data_dir: Option<&Path>) -> Self {
        let file = data_dir.map(|directory| directory.join(FILE));
        Self { resolver: Arc::clone(resolver), file, writing: Mutex::default() }
    }

    /// Takes over what the last daemon knew; where that is not wanted any more, its file goes.
    pub(super) async fn load(&self, is_wanted: bool) {
        let Some(file) = &self.file else { return };
        if !is_wanted {
            return remove(file);
        }
        let (resolver, path) = (Arc::clone(&self.resolver), file.clone());
        match spawn_blocking(move || resolver.load(&path)).await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(answers)) => info!(answers, "kept answers were taken over"),
            Ok(Err(error)) => {
                warn!(file = %file.display(), %error, "kept answers can't be used and are asked for anew");
            }
        }
    }

    /// Writes down what is known, or sees to it that nothing is.
    pub(super) async fn save(&self, is_wanted: bool) {
        let Some(file) = &self.file else { return };
        let _writing = self.writing.lock().await;
        if !is_wanted {
            return remove(file);
        }
        let (resolver, path) = (Arc::clone(&self.resolver), file.clone());
        if let Ok(Err(error)) = spawn_blocking(move || resolver.save(&path)).await {
            warn!(file = %file.display(), %error, "answers could not be written down; a restart asks for them anew");
        }
    }
}

fn remove(file: &Path) {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(file = %file.display(), %error, "answers of before are still on the disk; remove the file");
        }
        _ => {}
    }
}

/// The cache, as the page tells of it.
pub(super) fn status(resolver: &Resolver) -> CacheStatus {
    let status = resolver.cache_status();
    CacheStatus {
        entries: status.entries,
        size_bytes: status.octets,
        size_max_bytes: status.octets_max,
        hits: status.hits,
        misses: status.misses,
        stale: status.stale,
        prefetches: status.prefetches,
    }
}
