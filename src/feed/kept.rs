//! The compiled ruleset as it is kept from one start to the next.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::compile::{self, Outcome};
use crate::ruleset::{BuildError, Builder, OpenError, Ruleset};

/// The file in the data directory.
const FILE: &str = "ruleset.bin";

/// Where the ruleset is kept.
pub(super) struct Kept {
    path: PathBuf,
}

/// What the file remembers of each source, in order.
#[derive(Deserialize, Serialize)]
struct Note {
    rules: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<String>,
}

impl Kept {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join(FILE) }
    }

    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    pub(super) fn make_directory(&self) -> io::Result<()> {
        fs::create_dir_all(self.directory())
    }

    /// The kept ruleset and what it has of each of `sources` sources, when it was compiled from what `fingerprint` tells.
    pub(super) fn load(&self, fingerprint: &[u8; 32], sources: usize) -> Option<(Ruleset, Vec<Outcome>)> {
        let path = self.path.display();
        let ruleset = match Ruleset::open(&self.path, fingerprint) {
            Ok(ruleset) => ruleset,
            Err(OpenError::Stale) => return None,
            Err(OpenError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%path, %error, "the kept ruleset is not used; the lists are compiled anew");
                return None;
            }
        };
        let notes: Vec<Note> = serde_json::from_slice(ruleset.notes()).ok()?;
        let outcome = |note: Note| Outcome {
            rules: note.rules,
            format: note.format.and_then(|format| format.parse().ok()),
            ..Outcome::default()
        };
        (notes.len() == sources).then(|| (ruleset, notes.into_iter().map(outcome).collect()))
    }

    /// Compiles to the file, and notes how many rules of each source are in force.
    pub(super) fn write(
        &self,
        builder: Builder,
        fingerprint: [u8; 32],
        outcomes: &mut [Outcome],
    ) -> Result<Ruleset, BuildError> {
        let notes = |counts: &_| {
            compile::count(outcomes, counts);
            let note = |outcome: &Outcome| Note {
                rules: outcome.rules,
                format: outcome.format.map(|format| format.as_str().to_owned()),
            };
            // Numbers and words always have a form in JSON.
            serde_json::to_vec(&outcomes.iter().map(note).collect::<Vec<_>>()).unwrap_or_default()
        };
        let (ruleset, _) = builder.finish_to(&self.path, fingerprint, notes)?;
        Ok(ruleset)
    }

    /// Whether every octet of the file is what was written. One that is not is removed, so that nobody takes it again.
    pub(super) fn is_whole(&self) -> bool {
        match Ruleset::verify(&self.path) {
            Ok(()) => true,
            // Replaced or gone meanwhile, or not to be read now: what is mapped is checked block by block anyway. Where the disk
            // can't read it, a look-up in the mapping would be the end of the process.
            Err(OpenError::Io(error)) if error.raw_os_error() != Some(Errno::IO.raw_os_error()) => true,
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%path, %error, "the kept ruleset is removed; the lists are compiled anew");
                let _ = fs::remove_file(&self.path);
                false
            }
        }
    }
}
