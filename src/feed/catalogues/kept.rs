//! A public catalogue as it is kept: its files as they came, with what the server called them, in one compressed file that
//! is replaced whole.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::feed::disk::{self, Replaced};
use crate::tracker::{Part, PublicCatalogue};

/// The largest file of a catalogue, in octets: ten times the largest that there is.
pub(super) const FILE_SIZE_MAX: usize = 32 << 20;
/// Texts are JSON, which becomes a tenth; a better level takes long on a small machine.
const COMPRESSION_LEVEL: i32 = 3;

/// A catalogue as it came.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Kept {
    /// When its newest file was downloaded.
    pub(super) fetched: Timestamp,
    /// When it was last found to be the newest.
    pub(super) checked: Timestamp,
    pub(super) files: Vec<KeptFile>,
}

/// One of its files.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct KeptFile {
    pub(super) url: String,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    pub(super) text: String,
}

impl Kept {
    pub(super) fn read(&self, catalogue: PublicCatalogue) -> Result<Part, String> {
        let files: Vec<&[u8]> = self.files.iter().map(|file| file.text.as_bytes()).collect();
        catalogue.read(&files).map_err(|error| error.to_string())
    }

    /// What is kept of a catalogue; `None` when nothing is.
    pub(super) fn load(data_dir: &Path, catalogue: PublicCatalogue) -> io::Result<Option<Self>> {
        let content = match std::fs::read(path(data_dir, catalogue)) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Two files at most, and JSON within JSON at most doubles them.
        let limit = u64::try_from(4 * FILE_SIZE_MAX).unwrap_or(u64::MAX);
        let text = io::Read::take(zstd::Decoder::new(&*content)?, limit);
        Ok(Some(serde_json::from_reader(io::BufReader::new(text))?))
    }

    pub(super) fn save(&self, data_dir: &Path, catalogue: PublicCatalogue) -> io::Result<()> {
        let path = path(data_dir, catalogue);
        std::fs::create_dir_all(path.parent().unwrap_or(data_dir))?;
        let content = zstd::encode_all(&*serde_json::to_vec(self)?, COMPRESSION_LEVEL)?;
        match disk::replace(&path, &content)? {
            Replaced::OnDisk => {}
            // It would be downloaded again.
            Replaced::NotSynced(error) => tracing::debug!(%error, "a catalogue may not outlast a power cut"),
        }
        Ok(())
    }

    pub(super) fn remove(data_dir: &Path, catalogue: PublicCatalogue) -> io::Result<()> {
        match std::fs::remove_file(path(data_dir, catalogue)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn path(data_dir: &Path, catalogue: PublicCatalogue) -> PathBuf {
    data_dir.join("catalogues").join(format!("{}.json.zst", catalogue.as_str()))
}
