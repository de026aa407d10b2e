//! The lists that were added on the page or by `pixelsink lists add`: the text of `lists.toml`, read and changed with its
//! layout kept.
//!
//! Text in, text out: where the file is and when it is written is not known here. Its `[[lists]]` have the keys that they
//! have in the configuration.

use std::path::Path;

use toml::de::DeTable;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

use super::problem::{ConfigError, Problem};
use super::read::read_list;
use super::reader::{Findings, Section};
use crate::feed::SourceOptions;

/// A file that no one has written to yet.
const NEW: &str = "# The lists that were added on the page or by `pixelsink lists add`. You may edit this file; it takes\n\
                   # effect at the next reload or restart.\n";

/// The file and what it says. A value of this type has been read without a fault.
#[derive(Clone, Debug)]
pub struct AddedLists {
    text: String,
    lists: Vec<SourceOptions>,
}

/// A list to be added, as it is written.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AddedList {
    /// Its name.
    pub name: String,
    /// Where it is downloaded from; the first is asked first.
    pub urls: Vec<String>,
    /// Or the file that it is.
    pub path: Option<String>,
    /// `block`, `allow` or `cname`.
    pub kind: Option<String>,
    /// Its syntax.
    pub format: Option<String>,
    /// Whether plain names cover what is below them.
    pub subdomains: Option<bool>,
}

impl Default for AddedLists {
    fn default() -> Self {
        Self { text: NEW.to_owned(), lists: Vec::new() }
    }
}

impl AddedLists {
    /// Reads a text as if it stood in `file`.
    ///
    /// # Errors
    /// All that is wrong with it, at once.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let findings = Findings::default();
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            findings.add("", error.span().unwrap_or_default(), error.message());
        }
        let mut lists = Vec::new();
        let mut root = Section::root(&table, &findings);
        root.sections("lists").into_iter().for_each(|section| read_list(section, &mut lists));
        drop(root);
        let (problems, _) = findings.finish();
        if !problems.is_empty() {
            return Err(ConfigError { file: file.to_owned(), text: text.to_owned(), problems });
        }
        lists.iter_mut().for_each(|list| list.added = true);
        Ok(Self { text: text.to_owned(), lists })
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The lists, in the order of the file.
    pub fn lists(&self) -> &[SourceOptions] {
        &self.lists
    }

    /// The file with one more list.
    ///
    /// # Errors
    /// When the list is not one: what is wrong stands in the text that would have been written.
    pub fn with(&self, list: &AddedList, file: &Path) -> Result<Self, ConfigError> {
        let mut table = Table::new();
        table.insert("name", toml_edit::value(list.name.as_str()));
        if let Some((first, mirrors)) = list.urls.split_first() {
            table.insert("url", toml_edit::value(first.as_str()));
            if !mirrors.is_empty() {
                let mirrors: toml_edit::Array = mirrors.iter().map(String::as_str).collect();
                table.insert("urls", toml_edit::value(mirrors));
            }
        }
        for (key, value) in [("path", &list.path), ("kind", &list.kind), ("format", &list.format)] {
            if let Some(value) = value {
                table.insert(key, toml_edit::value(value.as_str()));
            }
        }
        if let Some(subdomains) = list.subdomains {
            table.insert("subdomains", toml_edit::value(subdomains));
        }
        // What stands in a file without a list are comments about it as a whole: they stay above the first one.
        let heading = if self.lists.is_empty() { self.text.trim_end() } else { "" };
        if !heading.is_empty() {
            table.decor_mut().set_prefix(format!("{heading}\n\n"));
        }
        let without_heading = Self { text: self.text.replacen(heading, "", 1), ..self.clone() };
        without_heading.change(file, |tables| tables.push(table))
    }

    /// The file without a list; `None` when it is not in it.
    pub fn without(&self, name: &str, file: &Path) -> Option<Result<Self, ConfigError>> {
        self.lists.iter().any(|list| *list.name == *name).then(|| {
            self.change(file, |tables| {
                tables.retain(|table| table.get("name").and_then(Item::as_str) != Some(name));
            })
        })
    }

    fn change(&self, file: &Path, change: impl FnOnce(&mut ArrayOfTables)) -> Result<Self, ConfigError> {
        let unwritable = |message: &str| {
            let problem = Problem { key: "lists".to_owned(), message: message.to_owned(), span: 0..0 };
            ConfigError { file: file.to_owned(), text: self.text.clone(), problems: vec![problem] }
        };
        let document = self.text.parse::<DocumentMut>();
        let mut document = document.map_err(|error| unwritable(error.message()))?;
        let item = document.entry("lists").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        let tables = item.as_array_of_tables_mut();
        change(tables.ok_or_else(|| unwritable("can't be changed here; write its lists as [[lists]]"))?);
        // Read again: what is written is what will be read.
        Self::parse(&document.to_string(), file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> &'static Path {
        Path::new("lists.toml")
    }

    fn list(name: &str, url: &str) -> AddedList {
        AddedList { name: name.to_owned(), urls: vec![url.to_owned()], ..AddedList::default() }
    }

    #[test]
    fn lists_come_and_go_and_comments_stay() {
        let start = "# mine\n[[lists]]\nname = \"a\" # good\npath = \"/a.txt\"\n";
        let lists = AddedLists::parse(start, file()).unwrap();
        let more = AddedList {
            urls: vec!["https://a.example/b".into(), "https://b.example/b".into()],
            kind: Some("cname".into()),
            format: Some("adblock".into()),
            subdomains: Some(true),
            ..list("b", "")
        };
        let lists = lists.with(&more, file()).unwrap();
        assert_eq!(
            lists.text(),
            format!(
                "{start}\n[[lists]]\nname = \"b\"\nurl = \"https://a.example/b\"\nurls = [\"https://b.example/b\"]\n\
                 kind = \"cname\"\nformat = \"adblock\"\nsubdomains = true\n"
            )
        );
        assert!(lists.lists().iter().all(|list| list.added));
        assert_eq!(lists.lists()[1].urls().count(), 2);
        assert_eq!(lists.without("b", file()).unwrap().unwrap().text(), start);
        assert!(lists.without("c", file()).is_none());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let lists = AddedLists::default().with(&list("a", "https://a.example/"), file()).unwrap();
        for (list, told) in [
            (list("a", "https://a.example/"), "another list is named `a` already"),
            (list("a b", "https://a.example/"), "can't be a list's name"),
            (list("b", "ftp://a.example/"), "is not a URL"),
            (AddedList { format: Some("x".into()), ..list("b", "https://a.example/") }, "is no syntax"),
        ] {
            let error = lists.with(&list, file()).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let error = AddedLists::parse("[dns]\n", file()).unwrap_err().to_string();
        assert!(error.contains("lists.toml:1:2: dns: there is no such key here"), "{error}");
        assert!(
            AddedLists::parse("lists = []\n", file())
                .unwrap()
                .with(&list("b", "https://a.example/"), file())
                .is_err()
        );
    }
}
