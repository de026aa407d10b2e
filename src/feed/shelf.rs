//! The shelf of a list: its revisions on the disk.
//!
//! Each text lies in a file of its own, named by its SHA-256, and `revisions.json` says which there are and which is in
//! force. A text is whole on the disk before the note speaks of it, the note is replaced whole, and only then go texts that
//! it speaks of no more: whatever the moment of a power cut, the note and the texts that it names are there. What it does
//! not name is left from an interrupted step and is removed at the next start.
//!
//! A list that left the configuration keeps its directory for [`FORGOTTEN_AFTER`], in case it was taken out by mistake.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::disk::{self, Replaced};
use super::revision::{Hold, Revision, Revisions, Validator};
use super::text::{self, Text};
use crate::list::Format;

/// A note is some lines for each revision; more than this is none of ours, in octets.
const NOTE_SIZE_MAX: u64 = 1024 * 1024;
const NOTE: &str = "revisions.json";
/// How long the revisions of a list that is not configured any more are kept.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Where the revisions of one list are kept.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    directory: PathBuf,
    /// Held while it is written to.
    turn: Arc<Mutex<()>>,
}

/// What was found on a shelf.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) revisions: Revisions,
    /// What was damaged and where it was put, in whole sentences.
    pub(super) problem: Option<String>,
}

/// [`NOTE`].
#[derive(Deserialize, Serialize)]
struct Note {
    in_force: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_since: Option<Timestamp>,
    checked: Option<Timestamp>,
    /// How lines were read when rules were counted.
    syntax: String,
    revisions: Vec<TextNote>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waiting: Option<WaitingNote>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    validators: Vec<ValidatorNote>,
}

#[derive(Deserialize, Serialize)]
struct TextNote {
    sha256: Box<str>,
    size: u64,
    kept_size: u64,
    url: String,
    fetched: Timestamp,
    rules: Option<u64>,
}

#[derive(Deserialize, Serialize)]
struct WaitingNote {
    #[serde(flatten)]
    text: TextNote,
    reason: String,
}

#[derive(Deserialize, Serialize)]
struct ValidatorNote {
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
    sha256: Box<str>,
}

impl Shelf {
    /// The shelf of the list of this name.
    pub(super) fn new(data_dir: &Path, list: &str) -> Self {
        Self { directory: directory_of(data_dir).join(directory_name(list)), turn: Arc::default() }
    }

    /// Where the files are.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is kept. No text is read: a damaged one is found when it is.
    pub(super) fn load(&self, syntax: Option<Format>) -> Kept {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.file(NOTE);
        let note = match disk::read_bounded(&path, NOTE_SIZE_MAX) {
            Ok(content) => serde_json::from_slice::<Note>(&content).map_err(|error| error.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.remove_unnamed(&Revisions::default());
                return Kept::default();
            }
            Err(error) => Err(error.to_string()),
        };
        let note = match note {
            Ok(note) => note,
            Err(error) => {
                let problem = Some(format!(
                    "The note about the kept texts {} was damaged ({error}) and is {}.",
                    path.display(),
                    self.set_aside(NOTE)
                ));
                return Kept { problem, ..Kept::default() };
            }
        };
        let is_counted_so = note.syntax == syntax_word(syntax);
        let (mut revisions, lost) = self.revisions(note);
        self.remove_unnamed(&revisions);
        if !is_counted_so {
            revisions.forget_counts();
        }
        let problem = (!lost.is_empty()).then(|| lost.join(" "));
        Kept { revisions, problem }
    }

    /// The revisions of a note whose files are there, and what is told of the others.
    fn revisions(&self, note: Note) -> (Revisions, Vec<String>) {
        let mut lost = Vec::new();
        let mut text = |note: TextNote| {
            let path = self.file(&text::file_name(&note.sha256));
            let length = fs::metadata(&path).map(|metadata| metadata.len());
            let what = match length {
                Ok(length) if length == note.kept_size => {
                    let text = Text::in_file(path, &note.sha256, note.size, note.kept_size);
                    let TextNote { url, fetched, rules, .. } = note;
                    return Some(Revision { text: Arc::new(text), url, fetched, rules });
                }
                Ok(_) => {
                    let name = text::file_name(&note.sha256);
                    format!(
                        "was damaged (its length is not the one of its note) and is {}",
                        self.set_aside(&name)
                    )
                }
                Err(error) => format!("could not be read ({error})"),
            };
            lost.push(format!("The kept text {} {what}.", path.display()));
            None
        };
        let mut revisions = Revisions {
            kept: note.revisions.into_iter().filter_map(&mut text).collect(),
            held_since: note.held_since,
            checked: note.checked,
            ..Revisions::default()
        };
        revisions.waiting = note
            .waiting
            .and_then(|waiting| Some(Hold { revision: text(waiting.text)?, reason: waiting.reason }));
        let is_there = |digest: &str| revisions.kept.iter().any(|kept| kept.text.digest() == digest);
        revisions.in_force = match note.in_force.filter(|digest| is_there(digest)) {
            Some(digest) => Some(digest),
            None => {
                revisions.held_since = None;
                revisions.newest().map(|newest| newest.text.digest().into())
            }
        };
        let validators = note.validators.into_iter().filter(|validator| revisions.has(&validator.sha256));
        revisions.validators = validators
            .map(|ValidatorNote { url, etag, last_modified, sha256 }| Validator {
                url,
                etag,
                last_modified,
                digest: sha256,
            })
            .collect();
        (revisions, lost)
    }

    /// Keeps all of these. Gives back the texts that were brought here, to be read from here from now on.
    pub(super) fn save(&self, revisions: &Revisions, syntax: Option<Format>) -> io::Result<Vec<Arc<Text>>> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir_all(&self.directory)?;
        let waiting = revisions.waiting.as_ref().map(|hold| &hold.revision);
        let mut brought = Vec::new();
        for Revision { text, .. } in revisions.kept.iter().chain(waiting) {
            let path = self.file(&text::file_name(text.digest()));
            if text.path() == Some(&path) {
                continue;
            }
            let beside = self.file("next-brought.zst");
            let written = text.copy_to(&beside).and_then(|()| fs::rename(&beside, &path));
            if let Err(error) = written {
                // A full disk is not to be filled further by what was left half-written.
                let _ = fs::remove_file(&beside);
                return Err(error);
            }
            let text = Text::in_file(path, text.digest(), text.size(), text.kept_size());
            brought.push(Arc::new(text));
        }
        let mut json = serde_json::to_string_pretty(&Note::new(revisions, syntax))?;
        json.push('\n');
        // The names of the texts are to be there when the note's is; they are in the same directory.
        disk::sync_directory_of(&self.file(NOTE))?;
        if let Replaced::NotSynced(error) = disk::replace(&self.file(NOTE), json.as_bytes())? {
            return Err(error);
        }
        for digest in revisions.dropped.iter().filter(|digest| !revisions.has(digest)) {
            let _ = fs::remove_file(self.file(&text::file_name(digest)));
        }
        Ok(brought)
    }

    /// Whether a text would be there after a restart.
    pub(super) fn has(&self, digest: &str) -> bool {
        let content = disk::read_bounded(&self.file(NOTE), NOTE_SIZE_MAX).ok();
        let note = content.and_then(|content| serde_json::from_slice::<Note>(&content).ok());
        let is_noted = note.is_some_and(|note| note.revisions.iter().any(|text| *text.sha256 == *digest));
        is_noted && self.file(&text::file_name(digest)).exists()
    }

    /// Puts a damaged text where it is not used; what is told of it, in a whole sentence.
    pub(super) fn set_damaged_aside(&self, text: &Text) -> String {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let name = text::file_name(text.digest());
        match text.path() {
            Some(path) if path == self.file(&name) => {
                format!("The kept text {} was damaged and is {}.", path.display(), self.set_aside(&name))
            }
            _ => "The kept text was damaged.".to_owned(),
        }
    }

    fn set_aside(&self, name: &str) -> String {
        let path = self.file(name);
        let aside = disk::beside(&path, ".damaged");
        match fs::rename(&path, &aside) {
            Ok(()) => format!("set aside as {}", aside.display()),
            Err(error) => format!("not used, and could not be set aside ({error})"),
        }
    }

    /// Removes texts of which the note says nothing.
    fn remove_unnamed(&self, revisions: &Revisions) {
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| text::is_text(name)) else { continue };
            if !revisions.has(name.trim_end_matches(".zst")) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Note {
    fn new(revisions: &Revisions, syntax: Option<Format>) -> Self {
        let text = |Revision { text, url, fetched, rules }: &Revision| TextNote {
            sha256: text.digest().into(),
            size: text.size(),
            kept_size: text.kept_size(),
            url: url.clone(),
            fetched: *fetched,
            rules: *rules,
        };
        let validator = |validator: &Validator| ValidatorNote {
            url: validator.url.clone(),
            etag: validator.etag.clone(),
            last_modified: validator.last_modified.clone(),
            sha256: validator.digest.clone(),
        };
        let waiting = revisions.waiting.as_ref();
        Self {
            in_force: revisions.in_force.clone(),
            held_since: revisions.held_since,
            checked: revisions.checked,
            syntax: syntax_word(syntax).to_owned(),
            revisions: revisions.kept.iter().map(text).collect(),
            waiting: waiting
                .map(|hold| WaitingNote { text: text(&hold.revision), reason: hold.reason.clone() }),
            validators: revisions.validators.iter().map(validator).collect(),
        }
    }
}

fn syntax_word(syntax: Option<Format>) -> &'static str {
    syntax.map_or("auto", Format::as_str)
}

/// Removes what is kept of lists that have not been there for [`FORGOTTEN_AFTER`].
pub(super) fn remove_forgotten(data_dir: &Path, lists: &[Arc<str>], now: Timestamp) {
    let known: BTreeSet<String> = lists.iter().map(|list| directory_name(list)).collect();
    for entry in fs::read_dir(directory_of(data_dir)).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        // The note is written at each look, so it says when the list was last there.
        let used = fs::metadata(entry.path().join(NOTE)).and_then(|note| note.modified());
        let used = used.ok().and_then(|used| Timestamp::try_from(used).ok());
        let age = used.map(|used| now.duration_since(used));
        if known.contains(&name) || age.is_none_or(|age| age < FORGOTTEN_AFTER) {
            continue;
        }
        for file in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let is_ours = name.trim_end_matches(".damaged");
            if text::is_text(is_ours) || is_ours == NOTE {
                let _ = fs::remove_file(file.path());
            }
        }
        // Fails when someone keeps other files there.
        if fs::remove_dir(entry.path()).is_ok() {
            tracing::info!(list = %name, "what was kept of a list that is gone was removed");
        }
    }
}

fn directory_of(data_dir: &Path) -> PathBuf {
    data_dir.join("lists")
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
    use crate::feed::revision::tests::revision;

    fn revisions(texts: &[&str]) -> Revisions {
        let mut revisions = Revisions::default();
        for text in texts {
            revisions.receive(revision(text, 1), None, true, Timestamp::UNIX_EPOCH);
        }
        revisions
    }

    /// The texts that are kept, the newest first, each with what becomes of it.
    #[track_caller]
    fn check(shelf: &Shelf, expected: &Revisions) {
        let kept = shelf.load(None);
        assert_eq!(kept.problem, None);
        assert_eq!(kept.revisions.statuses(), expected.statuses());
        for revision in &kept.revisions.kept {
            revision.text.read(|_| Ok(())).unwrap();
        }
    }

    #[test]
    fn a_power_cut_between_any_two_steps_leaves_the_old_or_the_new_revisions() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(directory.path(), "a");
        let (old, new) = (revisions(&["one", "two"]), {
            let mut new = revisions(&["one", "two", "three"]);
            new.prune(2);
            new
        });
        check(&shelf, &Revisions::default());
        shelf.save(&old, None).unwrap();
        check(&shelf, &old);
        // The steps of `save`, one after the other.
        let three = new.newest().unwrap().text.clone();
        three.copy_to(&shelf.file("whole")).unwrap();
        let whole = fs::read(shelf.file("whole")).unwrap();
        fs::write(shelf.file("next-0.zst"), &whole[..4]).unwrap();
        check(&shelf, &old);
        assert!(!shelf.file("next-0.zst").exists(), "what is left half-written is removed");
        fs::write(shelf.file("next-0.zst"), &whole).unwrap();
        check(&shelf, &old);
        let named = shelf.file(&text::file_name(three.digest()));
        fs::write(&named, &whole).unwrap();
        check(&shelf, &old);
        assert!(!named.exists(), "a text of which the note says nothing is removed");
        fs::write(&named, &whole).unwrap();
        let note = serde_json::to_string(&Note::new(&new, None)).unwrap();
        fs::write(shelf.file("revisions.json.new"), &note[..7]).unwrap();
        fs::remove_file(&named).unwrap();
        check(&shelf, &old);
        fs::write(&named, &whole).unwrap();
        fs::write(shelf.file("revisions.json.new"), &note).unwrap();
        fs::rename(shelf.file("revisions.json.new"), shelf.file(NOTE)).unwrap();
        check(&shelf, &new);
        let one = shelf.file(&text::file_name(old.kept[0].text.digest()));
        assert!(!one.exists(), "what the interrupted step had still to remove is removed");
        // And the whole of it, again and again.
        shelf.save(&new, None).unwrap();
        check(&shelf, &new);
    }

    #[test]
    fn all_that_is_known_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(directory.path(), "a");
        let mut revisions = revisions(&["one", "two"]);
        let validator = Validator {
            url: "https://lists.example/a".into(),
            etag: Some("\"1\"".into()),
            last_modified: None,
            digest: revisions.kept[1].text.digest().into(),
        };
        revisions.validators.push(validator.clone());
        revisions.roll_back(None, Timestamp::UNIX_EPOCH).unwrap();
        revisions.waiting = Some(Hold { revision: revision("three", 7), reason: "It is odd.".into() });
        let brought = shelf.save(&revisions, None).unwrap();
        assert_eq!(brought.len(), 3);
        check(&shelf, &revisions);
        let kept = shelf.load(None).revisions;
        assert_eq!(kept.validators, [validator]);
        assert_eq!((kept.held_since, kept.checked), (Some(Timestamp::UNIX_EPOCH), revisions.checked));
        assert_eq!(kept.waiting_status(), revisions.waiting_status());
        // Rules that were counted in another syntax are no measure.
        assert_eq!(shelf.load(Some(Format::Hosts)).revisions.kept[0].rules, None);
        // Once they are there nothing is written again.
        assert!(shelf.save(&kept, None).unwrap().is_empty());
    }

    #[test]
    fn a_damaged_text_is_set_aside_and_the_one_before_it_serves() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(directory.path(), "a");
        let revisions = revisions(&["one", "two"]);
        shelf.save(&revisions, None).unwrap();
        let two = shelf.file(&text::file_name(revisions.kept[1].text.digest()));
        fs::write(&two, "rubbish").unwrap();
        let kept = shelf.load(None);
        let problem = kept.problem.unwrap();
        assert!(problem.contains(".zst.damaged"), "{problem}");
        assert_eq!(fs::read(disk::beside(&two, ".damaged")).unwrap(), b"rubbish");
        assert_eq!(kept.revisions.in_force().unwrap().text.digest(), revisions.kept[0].text.digest());
        // One of the right length is found when it is read.
        shelf.save(&kept.revisions, None).unwrap();
        let one = shelf.file(&text::file_name(revisions.kept[0].text.digest()));
        let length = fs::read(&one).unwrap().len();
        fs::write(&one, vec![0; length]).unwrap();
        let mut kept = shelf.load(None);
        assert_eq!(kept.problem, None);
        let text = Arc::clone(&kept.revisions.in_force().unwrap().text);
        assert!(text.read(|_| Ok(())).is_err());
        assert_eq!(kept.revisions.give_up_damaged().len(), 1);
        assert!(shelf.set_damaged_aside(&text).ends_with(".zst.damaged."));
        assert!(kept.revisions.in_force().is_none());
    }

    #[test]
    fn a_damaged_note_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(directory.path(), "a");
        shelf.save(&revisions(&["one"]), None).unwrap();
        fs::write(shelf.file(NOTE), "{").unwrap();
        let problem = shelf.load(None).problem.unwrap();
        assert!(problem.contains("revisions.json.damaged"), "{problem}");
        assert_eq!(shelf.load(None).problem, None);
    }

    #[test]
    fn lists_that_are_gone_for_long_are_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        for list in ["here", "gone"] {
            Shelf::new(directory.path(), list).save(&revisions(&["one"]), None).unwrap();
        }
        let is_there = |list: &str| Shelf::new(directory.path(), list).directory().exists();
        let note = fs::metadata(Shelf::new(directory.path(), "gone").file(NOTE)).unwrap();
        let now = Timestamp::try_from(note.modified().unwrap()).unwrap();
        remove_forgotten(directory.path(), &["here".into()], now);
        assert!(is_there("gone"));
        remove_forgotten(directory.path(), &["here".into()], now + FORGOTTEN_AFTER * 2);
        assert!(is_there("here") && !is_there("gone"));
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
