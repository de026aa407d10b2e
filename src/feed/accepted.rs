//! What the person accepted of lists although the guard holds it back: `accepted.toml` in the data directory.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml_edit::{Array, DocumentMut, Item, Table, Value};

use super::FeedError;
use super::disk::{self, Mark, Replaced};
use super::quarantine::Accepted;

/// A file that no one has written to yet.
const NEW: &str = "# Rules of lists that you accepted although they block popular names or public suffixes.\n\
                   # LIST = [\"RULE\", ...], or LIST = true for whatever the list says. You may edit this file.\n\
                   [accepted]\n";
/// A larger file was not written by a person, in octets.
const SIZE_MAX: u64 = 4 * 1024 * 1024;

/// The file and what it says.
#[derive(Clone, Debug)]
pub(super) struct AcceptedFile {
    /// `None`: what is accepted lives in memory.
    path: Option<PathBuf>,
    text: String,
    lists: BTreeMap<String, Arc<Accepted>>,
    mark: Option<Mark>,
    pub(super) problem: Option<String>,
}

impl AcceptedFile {
    /// Reads the file; where it is broken, the copy of what it last said.
    pub(super) fn open(data_dir: Option<&Path>) -> Self {
        let path = data_dir.map(|data_dir| data_dir.join("accepted.toml"));
        let mut file = Self { path, text: NEW.to_owned(), lists: BTreeMap::new(), mark: None, problem: None };
        file.look();
        if let (Some(path), Some(_)) = (&file.path, &file.problem) {
            let last = disk::read_bounded(&disk::last_good(path), SIZE_MAX).ok();
            let last = last.and_then(|content| parse(&String::from_utf8(content).ok()?).ok());
            file.lists = last.unwrap_or_default();
        }
        file
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What is accepted of a list.
    pub(super) fn of(&self, list: &str) -> Arc<Accepted> {
        self.lists.get(list).cloned().unwrap_or_default()
    }

    /// Reads the file when it changed; whether it says something else now. A broken one changes nothing.
    pub(super) fn look(&mut self) -> bool {
        let Some(path) = self.path.clone() else { return false };
        let mark = Mark::of(&path).ok();
        if mark == self.mark {
            return false;
        }
        self.mark = mark;
        let content = match disk::read_bounded(&path, SIZE_MAX) {
            Ok(content) => {
                String::from_utf8(content).map_err(|_| "is not UTF-8; save it as UTF-8".to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(NEW.to_owned()),
            Err(error) => Err(format!("can't be read: {error}")),
        };
        match content.and_then(|text| parse(&text).map(|lists| (text, lists))) {
            Ok((text, lists)) => {
                let is_new = lists != self.lists;
                (self.text, self.lists, self.problem) = (text, lists, None);
                is_new
            }
            Err(what) => {
                let problem = format!("{} {what}; what it said before stays in force", path.display());
                tracing::warn!(%problem, "what was accepted could not be read");
                self.problem = Some(problem);
                false
            }
        }
    }

    /// Writes that a rule of a list is accepted, or all of its rules.
    pub(super) fn accept(&mut self, list: &str, rule: Option<&str>) -> Result<(), FeedError> {
        self.look();
        if let Some(problem) = &self.problem {
            return Err(FeedError::Failed(format!(
                "{problem}; mend it first, so that nothing in it is lost"
            )));
        }
        let failed = |what: String| FeedError::Failed(format!("{what}; nothing was changed"));
        let mut document: DocumentMut =
            self.text.parse().map_err(|error: toml_edit::TomlError| failed(error.to_string()))?;
        let table = document.entry("accepted").or_insert_with(|| Item::Table(Table::new()));
        let table = table.as_table_like_mut().ok_or_else(|| failed("`accepted` is no table".to_owned()))?;
        match rule {
            None => {
                table.insert(list, toml_edit::value(true));
            }
            Some(rule) => {
                let item = table.entry(list).or_insert_with(|| Item::Value(Value::Array(Array::new())));
                if let Some(array) = item.as_array_mut() {
                    array.push(rule);
                }
            }
        }
        let text = document.to_string();
        let lists = parse(&text).map_err(failed)?;
        if let Some(path) = &self.path {
            let directory = path.parent().unwrap_or(path);
            let written =
                std::fs::create_dir_all(directory).and_then(|()| disk::replace(path, text.as_bytes()));
            match written {
                Ok(Replaced::OnDisk) => {}
                Ok(Replaced::NotSynced(error)) => {
                    tracing::warn!(path = %path.display(), %error, "what was accepted may not outlast a power cut");
                }
                Err(error) => {
                    return Err(failed(format!("{} could not be written ({error})", path.display())));
                }
            }
            self.mark = Mark::of(path).ok();
            // For a restart after the file was broken; without it the file itself still serves.
            let _ = disk::replace(&disk::last_good(path), text.as_bytes());
        }
        (self.text, self.lists) = (text, lists);
        Ok(())
    }
}

fn parse(text: &str) -> Result<BTreeMap<String, Arc<Accepted>>, String> {
    let document = text.parse::<DocumentMut>().map_err(|error| format!("is not TOML: {error}"))?;
    let mut lists = BTreeMap::new();
    for (key, item) in document.as_table() {
        let table = item.as_table_like().filter(|_| key == "accepted");
        let table =
            table.ok_or_else(|| format!("has `{key}`, which is not known here; expected `[accepted]`"))?;
        for (list, item) in table.iter() {
            let rules = || -> Option<BTreeSet<String>> {
                item.as_array()?.iter().map(|rule| rule.as_str().map(str::to_owned)).collect()
            };
            let accepted = match (item.as_bool(), rules()) {
                (Some(true), _) => Accepted::Everything,
                (Some(false), _) => Accepted::Nothing,
                (None, Some(rules)) => Accepted::Rules(rules),
                (None, None) => {
                    return Err(format!(
                        "says something odd of `{list}`; expected true or rules: [\"||a.example^\"]"
                    ));
                }
            };
            lists.insert(list.to_owned(), Arc::new(accepted));
        }
    }
    Ok(lists)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_accepted_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let open = || AcceptedFile::open(Some(directory.path()));
        let mut file = open();
        assert_eq!(*file.of("a.b"), Accepted::Nothing);
        file.accept("a.b", Some("||google.com^")).unwrap();
        file.accept("a.b", Some("=x.com")).unwrap();
        file.accept("c", None).unwrap();
        for file in [file, open()] {
            assert_eq!(
                *file.of("a.b"),
                Accepted::Rules(["||google.com^".to_owned(), "=x.com".to_owned()].into())
            );
            assert_eq!(*file.of("c"), Accepted::Everything);
        }
    }

    #[test]
    fn a_broken_file_is_told_and_never_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = AcceptedFile::open(Some(directory.path()));
        file.accept("a", None).unwrap();
        let path = file.path().unwrap().to_owned();
        for (broken, told) in [
            ("[accepted\n", "is not TOML"),
            ("[acepted]\n", "`acepted`, which is not known here"),
            ("[accepted]\na = 7\n", "something odd of `a`"),
        ] {
            std::fs::write(&path, broken).unwrap();
            assert!(!file.look());
            assert!(file.problem.as_ref().unwrap().contains(told), "{:?}", file.problem);
            assert_eq!(*file.of("a"), Accepted::Everything);
            let refused = file.accept("b", None).unwrap_err().to_string();
            assert!(refused.contains("mend it first"), "{refused}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), broken);
        }
        std::fs::write(&path, "# mine\n[accepted]\n").unwrap();
        assert!(file.look() && file.problem.is_none());
        file.accept("b", Some("x")).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("# mine\n"));
    }
}
