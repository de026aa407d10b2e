//! The public catalogues that were added on the page or by `pixelsink trackers add`: `trackers.toml` in the data directory.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Value};

use crate::feed::{FeedError, disk};
use crate::tracker::PublicCatalogue;

/// A file that no one has written to yet.
const NEW: &str = "# Public catalogues of trackers that were added on the page or by `pixelsink trackers add`. You may edit\n\
                   # this file; it takes effect at the next reload or restart.\n";
/// A larger file was not written by a person, in octets.
const SIZE_MAX: u64 = 64 * 1024;

/// The file and what it says.
#[derive(Clone, Debug)]
pub(super) struct AddedFile {
    /// `None`: what is added lives in memory.
    path: Option<PathBuf>,
    text: String,
    pub(super) catalogues: BTreeSet<PublicCatalogue>,
    pub(super) problem: Option<String>,
}

impl AddedFile {
    /// Reads the file; where it is broken, the copy of what it last said.
    pub(super) fn open(data_dir: Option<&Path>) -> Self {
        let path = data_dir.map(|data_dir| data_dir.join("trackers.toml"));
        let mut file = Self { path, text: NEW.to_owned(), catalogues: BTreeSet::new(), problem: None };
        file.look();
        if let (Some(path), Some(_)) = (&file.path, &file.problem) {
            let last = disk::read_bounded(&disk::last_good(path), SIZE_MAX).ok();
            let last = last.and_then(|content| parse(&String::from_utf8(content).ok()?).ok());
            file.catalogues = last.unwrap_or_default();
        }
        file
    }

    /// Reads the file anew. A broken one changes nothing.
    pub(super) fn look(&mut self) {
        let Some(path) = &self.path else { return };
        let content = match disk::read_bounded(path, SIZE_MAX) {
            Ok(content) => {
                String::from_utf8(content).map_err(|_| "is not UTF-8; save it as UTF-8".to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(NEW.to_owned()),
            Err(error) => Err(format!("can't be read: {error}")),
        };
        match content.and_then(|text| parse(&text).map(|catalogues| (text, catalogues))) {
            Ok((text, catalogues)) => (self.text, self.catalogues, self.problem) = (text, catalogues, None),
            Err(what) => {
                let problem = format!(
                    "{} {what}. What it said before stays in force; mend it and reload.",
                    path.display()
                );
                tracing::warn!(%problem, "the added catalogues could not be read");
                self.problem = Some(problem);
            }
        }
    }

    /// Writes that a catalogue is added or is not.
    pub(super) fn set(&mut self, catalogue: PublicCatalogue, is_added: bool) -> Result<(), FeedError> {
        self.look();
        if let Some(problem) = &self.problem {
            return Err(FeedError::Failed(format!("{problem} Nothing was changed.")));
        }
        let mut catalogues = self.catalogues.clone();
        if is_added {
            catalogues.insert(catalogue);
        } else {
            catalogues.remove(&catalogue);
        }
        let mut document: DocumentMut =
            self.text.parse().map_err(|error: toml_edit::TomlError| FeedError::Failed(error.to_string()))?;
        let array = document.entry("download").or_insert_with(|| toml_edit::value(Array::new()));
        let failed = || FeedError::Failed("`download` is no list. Nothing was changed.".to_owned());
        let array = array.as_array_mut().ok_or_else(failed)?;
        if is_added {
            array.push(catalogue.as_str());
        } else {
            array.retain(|name| name.as_str() != Some(catalogue.as_str()));
        }
        let text = document.to_string();
        if let Some(path) = &self.path {
            disk::replace(path, text.as_bytes()).map_err(|error| {
                FeedError::Failed(format!(
                    "{} could not be written ({error}); make room, or let the daemon write there. Nothing was changed.",
                    path.display()
                ))
            })?;
            // For a restart after the file was broken; without it the file itself still serves.
            let _ = disk::replace(&disk::last_good(path), text.as_bytes());
        }
        (self.text, self.catalogues) = (text, catalogues);
        Ok(())
    }
}

fn parse(text: &str) -> Result<BTreeSet<PublicCatalogue>, String> {
    let document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| format!("is not TOML: {}", error.message()))?;
    let Some(item) = document.get("download") else { return Ok(BTreeSet::new()) };
    let expected = "`download` must be a list of names such as [\"adguard\"]";
    let names = item.as_array().ok_or_else(|| format!("can't be used: {expected}"))?;
    let name = |name: &Value| {
        let name = name.as_str().ok_or_else(|| format!("can't be used: {expected}"))?;
        name.parse().map_err(|()| format!("can't be used: `{name}` is no public catalogue"))
    };
    names.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_wrote_in_the_file_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trackers.toml");
        std::fs::write(&path, "# mine\ndownload = [\"adguard\"] # why\n").unwrap();
        let mut file = AddedFile::open(Some(directory.path()));
        file.set(PublicCatalogue::Ghostery, true).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# mine\ndownload = [\"adguard\", \"ghostery\"]"), "{text}");
        file.set(PublicCatalogue::AdGuard, false).unwrap();
        assert_eq!(
            AddedFile::open(Some(directory.path())).catalogues,
            BTreeSet::from([PublicCatalogue::Ghostery])
        );
        for broken in ["download = 1", "download = [1]", "download = [\"nobody\"]", "x"] {
            std::fs::write(&path, broken).unwrap();
            assert!(file.set(PublicCatalogue::AdGuard, true).is_err(), "{broken}");
            assert_eq!(file.catalogues, BTreeSet::from([PublicCatalogue::Ghostery]));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
        }
    }
}
