//! Revisions: the last good text of each list, kept over a restart.
//!
//! A list has a directory with `current.zst`, the text, and `current.json`, a note about it. Both are written as
//! `next.*` and renamed one after the other, the note last. Whatever the moment of a power cut, one of the two notes
//! agrees with `current.zst`; a text with which neither agrees is damaged, and is set aside rather than believed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::disk::{self, Replaced};
use super::text::Text;

/// A note is a few lines; more than this is none of ours, in octets.
const NOTE_SIZE_MAX: u64 = 64 * 1024;

/// A good text and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub(super) text: Arc<Text>,
    pub(super) provenance: Provenance,
}

/// Where and when a text came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Provenance {
    /// The URL it was downloaded from, or `file:` and the path.
    pub(super) url: String,
    /// What the server called it.
    pub(super) etag: Option<String>,
    /// When the server said it changed, in the server's words.
    pub(super) last_modified: Option<String>,
    /// When it was downloaded or saved.
    pub(super) fetched: Timestamp,
    /// When the source last said that this is its text.
    pub(super) checked: Timestamp,
}

/// `current.json`.
#[derive(Deserialize, Serialize)]
struct Note {
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
    fetched: String,
    checked: String,
    sha256: String,
    size: u64,
}

/// Where the revisions of one list are kept.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    directory: PathBuf,
    /// Held while it is written to: a look that was given up may not have ended yet.
    turn: Arc<Mutex<()>>,
}

/// What was found on a shelf.
pub(super) enum Kept {
    Nothing,
    Revision(Revision),
    /// Damaged; the text says where it was put, in a whole sentence.
    Damaged(String),
}

impl Shelf {
    /// The shelf of the list of this name.
    pub(super) fn new(data_dir: &Path, list: &str) -> Self {
        Self { directory: data_dir.join("lists").join(directory_name(list)), turn: Arc::default() }
    }

    /// The text kept last.
    pub(super) fn load(&self, size_max: u64) -> Kept {
        let path = self.file("current.zst");
        // What compresses to more than its limit was never kept.
        let zst = match disk::read_bounded(&path, size_max.saturating_add(NOTE_SIZE_MAX)) {
            Ok(zst) => zst,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Kept::Nothing,
            Err(error) => {
                return Kept::Damaged(format!(
                    "The kept text {} could not be read ({error}).",
                    path.display()
                ));
            }
        };
        let mut problem = "there is no note about it".to_owned();
        for name in ["current.json", "next.json"] {
            let Some(note) = self.note(name) else { continue };
            match Text::from_zst(zst.clone(), &note.sha256, note.size) {
                Ok(text) => match note.provenance() {
                    Ok(provenance) => {
                        // Ends what a power cut interrupted; a failure leaves it as good as it was.
                        if name == "next.json" {
                            let _ = fs::rename(self.file(name), self.file("current.json"));
                        }
                        return Kept::Revision(Revision { text: Arc::new(text), provenance });
                    }
                    Err(error) => problem = format!("{name}: {error}"),
                },
                Err(error) => problem = error.to_string(),
            }
        }
        Kept::Damaged(self.set_aside(&problem))
    }

    /// Keeps a new text.
    pub(super) fn keep(&self, revision: &Revision) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(revision)
    }

    /// Keeps what is newly known of a text that is kept already; one that is not is kept whole.
    ///
    /// The text may be missing because the disk was full when it came, or because the directory moved. A note about
    /// it beside another text would make that one look damaged.
    pub(super) fn keep_note(&self, revision: &Revision) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has(revision) {
            let note = Note::new(revision).to_json()?;
            match disk::replace(&self.file("current.json"), note.as_bytes())? {
                Replaced::OnDisk => Ok(()),
                Replaced::NotSynced(error) => Err(error),
            }
        } else {
            self.write(revision)
        }
    }

    /// Whether the text is kept, as far as its note and its length tell.
    pub(super) fn has(&self, revision: &Revision) -> bool {
        let is_noted = self.note("current.json").is_some_and(|note| note.sha256 == revision.text.digest());
        let length = revision.text.as_zst().len() as u64;
        is_noted && fs::metadata(self.file("current.zst")).is_ok_and(|kept| kept.len() == length)
    }

    fn write(&self, revision: &Revision) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let note = Note::new(revision).to_json()?;
        let (text, about) = (self.file("next.zst"), self.file("next.json"));
        let written = disk::write_synced(&text, revision.text.as_zst())
            .and_then(|()| disk::write_synced(&about, note.as_bytes()))
            .and_then(|()| disk::sync_directory_of(&text))
            .and_then(|()| fs::rename(&text, self.file("current.zst")));
        if written.is_err() {
            // The last good pair is whole; what was half-written only takes room.
            let _ = (fs::remove_file(&text), fs::remove_file(&about));
        }
        written?;
        fs::rename(&about, self.file("current.json"))?;
        disk::sync_directory_of(&about)
    }

    /// Where the files are, for people.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn note(&self, name: &str) -> Option<Note> {
        let content = disk::read_bounded(&self.file(name), NOTE_SIZE_MAX).ok()?;
        serde_json::from_slice(&content).ok()
    }

    fn set_aside(&self, problem: &str) -> String {
        let path = self.file("current.zst");
        let aside = disk::beside(&path, ".damaged");
        let _ = fs::rename(self.file("current.json"), disk::beside(&self.file("current.json"), ".damaged"));
        let place = match fs::rename(&path, &aside) {
            Ok(()) => format!("set aside as {}", aside.display()),
            Err(error) => format!("not used, and could not be set aside ({error})"),
        };
        format!("The kept text {} was damaged ({problem}) and is {place}.", path.display())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Note {
    fn new(revision: &Revision) -> Self {
        let Revision { text, provenance } = revision;
        Self {
            url: provenance.url.clone(),
            etag: provenance.etag.clone(),
            last_modified: provenance.last_modified.clone(),
            fetched: provenance.fetched.to_string(),
            checked: provenance.checked.to_string(),
            sha256: text.digest().to_owned(),
            size: text.size(),
        }
    }

    fn to_json(&self) -> io::Result<String> {
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        Ok(json)
    }

    fn provenance(self) -> Result<Provenance, jiff::Error> {
        let Self { url, etag, last_modified, fetched, checked, .. } = self;
        let (fetched, checked) = (fetched.parse()?, checked.parse()?);
        Ok(Provenance { url, etag, last_modified, fetched, checked })
    }
}

/// The list's name where it can be a directory's name too; else with what can't be written out as `%XX`.
fn directory_name(list: &str) -> String {
    let mut name = String::with_capacity(list.len());
    for (position, octet) in list.bytes().enumerate() {
        let plain = octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
        // A dot at the start would hide the directory, or be the one above.
        if plain || (octet == b'.' && 0 < position) {
            name.push(char::from(octet));
        } else {
            name.push_str(&format!("%{octet:02X}"));
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::text::TextWriter;

    fn revision(text: &str) -> Revision {
        let mut writer = TextWriter::new().unwrap();
        writer.push(text.as_bytes()).unwrap();
        let time = Timestamp::UNIX_EPOCH;
        let url = "https://lists.example/a".to_owned();
        let provenance =
            Provenance { url, etag: Some("\"1\"".into()), last_modified: None, fetched: time, checked: time };
        Revision { text: Arc::new(writer.finish().unwrap()), provenance }
    }

    #[track_caller]
    fn check(shelf: &Shelf, expected: Option<&Revision>) {
        let kept = match shelf.load(1024) {
            Kept::Revision(kept) => Some((kept.text, kept.provenance)),
            Kept::Nothing | Kept::Damaged(_) => None,
        };
        assert_eq!(kept, expected.map(|revision| (revision.text.clone(), revision.provenance.clone())));
    }

    #[test]
    fn a_power_cut_between_any_two_steps_leaves_the_old_or_the_new_text() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(directory.path(), "a");
        let (old, new) = (revision("old.example\n"), revision("new.example\n"));
        check(&shelf, None);
        shelf.keep(&old).unwrap();
        check(&shelf, Some(&old));
        // The steps of `keep`, one after the other.
        fs::write(shelf.file("next.zst"), &new.text.as_zst()[..4]).unwrap();
        check(&shelf, Some(&old));
        fs::write(shelf.file("next.zst"), new.text.as_zst()).unwrap();
        check(&shelf, Some(&old));
        fs::write(shelf.file("next.json"), Note::new(&new).to_json().unwrap()).unwrap();
        check(&shelf, Some(&old));
        fs::rename(shelf.file("next.zst"), shelf.file("current.zst")).unwrap();
        check(&shelf, Some(&new));
        assert!(!shelf.file("next.json").exists(), "what was interrupted is ended");
        check(&shelf, Some(&new));
    }

    #[test]
    fn a_damaged_text_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(directory.path(), "a");
        shelf.keep(&revision("old.example\n")).unwrap();
        fs::write(shelf.file("current.zst"), "rubbish").unwrap();
        let Kept::Damaged(problem) = shelf.load(1024) else { panic!("damage was not seen") };
        assert!(problem.contains("current.zst.damaged"), "{problem}");
        assert_eq!(fs::read(shelf.file("current.zst.damaged")).unwrap(), b"rubbish");
        assert!(matches!(shelf.load(1024), Kept::Nothing));
    }

    #[test]
    fn a_name_never_leads_out_of_the_directory() {
        for (list, directory) in
            [("easy.privacy-1_a", "easy.privacy-1_a"), ("..", "%2E."), (".", "%2E"), ("a/../b", "a%2F..%2Fb")]
        {
            assert_eq!(directory_name(list), directory);
        }
    }
}
