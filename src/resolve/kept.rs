//! The file that the cache is kept in over a restart.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Resolver;
use super::snapshot::{Remembered, SIZE_MAX, Snapshot, SnapshotError};

/// Why kept answers could not be read. They are asked for anew.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KeptError {
    #[error(transparent)]
    Unreadable(#[from] io::Error),
    #[error(transparent)]
    Unusable(#[from] SnapshotError),
}

impl Resolver {
    /// Writes what is known to a file, for [`load`](Self::load); failures are not. Waits for the disk.
    ///
    /// # Errors
    /// When the file could not be replaced; the old one is then still there.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let inner = &self.0;
        let content = Snapshot::encode(inner.clock.now(), inner.cache.remembered(inner.clock.instant()));
        let beside = path.with_extension("new");
        let written = write_synced(&beside, &content).and_then(|()| fs::rename(&beside, path));
        if written.is_err() {
            // A full disk is not to be filled further by what was left half-written.
            let _ = fs::remove_file(&beside);
        }
        written?;
        // Without this a power cut may bring the old file back, and that one is as good.
        let _ =
            path.parent().map(|directory| File::open(directory).and_then(|directory| directory.sync_all()));
        Ok(())
    }

    /// Takes over what [`save`](Self::save) wrote, as far as it is still of use: gives back how many answers. Those of
    /// upstreams that are no longer asked for these names and devices are not.
    ///
    /// # Errors
    /// When the file can't be used, except when there is none.
    pub fn load(&self, path: &Path) -> Result<usize, KeptError> {
        let inner = &self.0;
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            file => file?,
        };
        let mut octets = Vec::new();
        file.take(SIZE_MAX as u64 + 1).read_to_end(&mut octets)?;
        if SIZE_MAX < octets.len() {
            return Err(SnapshotError::Foreign.into());
        }
        let answers = Snapshot::decode(&octets)?.aged(inner.clock.now())?;
        let routes = inner.routes.load_full();
        let is_asked = |answer: &Remembered| {
            answer.question().is_some_and(|question| routes.asks(&answer.upstream, &question))
        };
        let _flights = inner.flights.lock();
        let now = inner.clock.instant();
        let answers = answers.filter(is_asked);
        Ok(answers.filter_map(|answer| inner.cache.remember(answer, now).then_some(())).count())
    }
}

/// Writes a file that only its owner may read, and waits until it is on the disk.
fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    // One that was left behind may be readable by others.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
