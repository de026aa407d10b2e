//! What was said of devices on the page or by `pixelsink devices`: the text of `devices.toml`, read and changed with its
//! layout kept.
//!
//! Text in, text out: where the file is and when it is written is not known here.

use std::path::Path;
use std::sync::Arc;

use toml::de::DeTable;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

use super::problem::{ConfigError, Problem};
use super::read::{read_device_name, read_kind};
use super::reader::{Findings, Section};
use crate::device::{Book, BookEntry, DeviceKey};

/// A file that no one has written to yet.
const NEW: &str = "# What you said of your devices on the page or by `pixelsink devices`. You may edit this file; it takes effect at\n\
                   # the next reload or restart. What stands in the configuration wins over it.\n";
/// More entries than a house ever has, and few enough to be looked through for each change.
const ENTRIES_MAX: usize = 4096;

/// The file and what it says. A value of this type has been read without a fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BookFile {
    text: String,
    book: Book,
}

impl Default for BookFile {
    fn default() -> Self {
        Self { text: NEW.to_owned(), book: Book::default() }
    }
}

impl BookFile {
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
        let mut book = Book::default();
        let mut root = Section::root(&table, &findings);
        root.sections("devices").into_iter().for_each(|section| read_entry(section, &mut book));
        drop(root);
        let (problems, _) = findings.finish();
        if !problems.is_empty() {
            return Err(ConfigError { file: file.to_owned(), text: text.to_owned(), problems });
        }
        Ok(Self { text: text.to_owned(), book })
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says.
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// The file that says what `book` does; what stands around the entries that stay is kept.
    ///
    /// # Errors
    /// When the text can't be changed, or can't be read again afterwards.
    pub fn saying(&self, book: &Book, file: &Path) -> Result<Self, ConfigError> {
        let unwritable = |message: &str| {
            let problem = Problem { key: "devices".to_owned(), message: message.to_owned(), span: 0..0 };
            ConfigError { file: file.to_owned(), text: self.text.clone(), problems: vec![problem] }
        };
        let (heading, rest) = self.split_heading();
        let mut document = rest.parse::<DocumentMut>().map_err(|error| unwritable(error.message()))?;
        let item = document.entry("devices").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        let tables = item.as_array_of_tables_mut();
        let tables =
            tables.ok_or_else(|| unwritable("can't be changed here; write its devices as [[devices]]"))?;
        // The tables are in the order of the entries that were read from them. One is the same as before as long as it
        // begins with the same key.
        let find = |entries: &[BookEntry], wanted: &BookEntry| {
            entries.iter().position(|entry| entry.keys.first() == wanted.keys.first())
        };
        let mut old = self.book.entries().iter();
        tables.retain(|_| old.next().is_some_and(|old| find(book.entries(), old).is_some()));
        let mut kept = self.book.entries().to_vec();
        kept.retain(|old| find(book.entries(), old).is_some());
        for entry in book.entries() {
            let place = find(&kept, entry);
            match place.and_then(|place| Some((tables.get_mut(place)?, kept.get(place)?))) {
                Some((table, old)) => write_entry(table, old, entry),
                None => {
                    let mut table = Table::new();
                    if !tables.is_empty() {
                        table.decor_mut().set_prefix("\n");
                    }
                    let nothing = BookEntry { keys: Vec::new(), name: None, kind: None };
                    write_entry(&mut table, &nothing, entry);
                    tables.push(table);
                }
            }
        }
        // Read again: what is written is what will be read.
        Self::parse(&format!("{heading}{}", document.to_string().trim_start()), file)
    }

    /// The comments about the file as a whole, up to a blank line; they stay whichever entries go.
    fn split_heading(&self) -> (String, &str) {
        let first = self.text.find("[[").unwrap_or(self.text.len());
        let (before, _) = self.text.split_at(first);
        if self.book.entries().is_empty() {
            let heading = self.text.trim_end();
            return (if heading.is_empty() { String::new() } else { format!("{heading}\n\n") }, "");
        }
        let is_comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        match before.rfind("\n\n").filter(|_| before.lines().all(is_comment)) {
            None => (String::new(), &self.text),
            Some(end) => {
                let (heading, rest) = self.text.split_at(end + 2);
                (heading.to_owned(), rest)
            }
        }
    }
}

/// Writes what is not as it was.
fn write_entry(table: &mut Table, old: &BookEntry, new: &BookEntry) {
    let name = new.name.as_ref().map(|name| toml_edit::value(&**name));
    let kind = new.kind.map(|kind| toml_edit::value(kind.word()));
    let keys: toml_edit::Array = new.keys.iter().map(ToString::to_string).collect();
    for (key, value, is_changed) in [
        ("name", name, old.name != new.name),
        ("kind", kind, old.kind != new.kind),
        ("keys", Some(toml_edit::value(keys)), old.keys != new.keys),
    ] {
        match value {
            _ if !is_changed => {}
            None => {
                table.remove(key);
            }
            // The comment behind a value stays there.
            Some(mut value) => match table.get_mut(key) {
                Some(item) => {
                    let decor = item.as_value().map(|value| value.decor().clone());
                    if let (Some(value), Some(decor)) = (value.as_value_mut(), decor) {
                        *value.decor_mut() = decor;
                    }
                    *item = value;
                }
                None => {
                    table.insert(key, value);
                }
            },
        }
    }
}

fn read_entry(mut section: Section<'_>, book: &mut Book) {
    let name = section.get("name").and_then(|value| value.parse("a name", read_device_name));
    let kind = section.get("kind").and_then(|value| value.parse("a kind of device", read_kind));
    let keys = section.get("keys");
    if !section.exists() {
        return;
    }
    let Some(keys) = keys else {
        section.complain("expected `keys`: the MAC or IP addresses by which the device is known");
        return;
    };
    let expected = "a MAC address such as `aa:bb:cc:dd:ee:ff` or an IP address";
    let mut read: Vec<DeviceKey> = Vec::new();
    for element in keys.elements() {
        let key = element.parse(expected, |text| {
            text.parse()
                .map_err(|_| format!("`{text}` is neither a MAC nor an IP address; expected {expected}"))
        });
        match key {
            Some(key) if read.contains(&key) || book.entry(key).is_some() => {
                element
                    .complain(format!("{key} stands in this file twice; take it out of one of its devices"));
            }
            key => read.extend(key),
        }
    }
    if read.is_empty() {
        if keys.value.as_array().is_some_and(|array| array.is_empty()) {
            keys.complain(format!("expected at least one: {expected}"));
        }
        return;
    }
    if ENTRIES_MAX <= book.entries().len() {
        section.complain(format!("these are too many; {ENTRIES_MAX} devices are the most"));
        return;
    }
    // No key stands in another entry: that was looked for.
    let _ = book.add(BookEntry { keys: read, name: name.map(Arc::from), kind });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::device::DeviceKind;

    const A: &str = "02:00:00:00:00:0a";
    const B: &str = "192.168.1.9";

    fn file() -> &'static Path {
        Path::new("devices.toml")
    }

    fn key(text: &str) -> DeviceKey {
        text.parse().unwrap()
    }

    #[test]
    fn devices_come_and_go_and_comments_stay() {
        let start =
            "# mine\n\n# the loud one\n[[devices]]\nname = \"TV\" # good\nkeys = [\"02:00:00:00:00:0a\"]\n";
        let read = BookFile::parse(start, file()).unwrap();
        let book =
            read.book().renamed(key(A), Some("Telly".into())).with_kind(key(B), Some(DeviceKind::Camera));
        let more = read.saying(&book, file()).unwrap();
        assert_eq!(
            more.text(),
            "# mine\n\n# the loud one\n[[devices]]\nname = \"Telly\" # good\nkeys = [\"02:00:00:00:00:0a\"]\n\n\
             [[devices]]\nkind = \"camera\"\nkeys = [\"192.168.1.9\"]\n"
        );
        assert_eq!(more.book(), &book);
        let less = more.saying(&book.without(key(A)), file()).unwrap();
        assert_eq!(less.text(), "# mine\n\n[[devices]]\nkind = \"camera\"\nkeys = [\"192.168.1.9\"]\n");
        let none = less.saying(&Book::default(), file()).unwrap();
        assert_eq!(none.text(), "# mine\n\n");
    }

    #[test]
    fn a_new_file_says_what_it_is() {
        let file_new = BookFile::default();
        let book = Book::default().renamed(key(A), Some("a \"b\" \\".into())).merged(key(B), key(A)).unwrap();
        let written = file_new.saying(&book, file()).unwrap();
        assert!(written.text().starts_with("# What you said of your devices"), "{}", written.text());
        assert_eq!(written.book(), &book);
        let split = written.saying(&book.split(key(B)).unwrap(), file()).unwrap();
        assert_eq!(split.book().entries()[0].keys, [key(A)]);
    }

    #[test]
    fn what_is_no_book_is_refused_with_its_place() {
        for (text, told) in [
            ("[[devices]]\nname = \"x\"\n", "devices.toml:1:1: devices[0]: expected `keys`"),
            ("[[devices]]\nkeys = []\n", "expected at least one"),
            ("[[devices]]\nkeys = [\"x\"]\n", "devices.toml:2:9: devices[0].keys[0]: `x` is neither"),
            ("[[devices]]\nkeys = [\"10.0.0.1\", \"10.0.0.1\"]\n", "stands in this file twice"),
            ("[[devices]]\nkeys = [\"10.0.0.1\"]\nkind = \"toaster\"\n", "is no kind of device"),
            (
                "[[devices]]\nkeys = [\"10.0.0.1\"]\nname = \"\\u200b\"\n",
                "has nothing in it that can be seen",
            ),
            ("[[devices]]\nkeys = [\"10.0.0.1\"", "devices.toml:2:"),
            ("[dns]\n", "there is no such key here"),
        ] {
            let error = BookFile::parse(text, file()).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        let inline = BookFile::parse("devices = [{ keys = [\"10.0.0.1\"] }]\n", file()).unwrap();
        assert!(inline.saying(&Book::default(), file()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(
            operations in prop::collection::vec((0u8..5, 0u8..6, 0u8..6, "\\PC{0,9}"), 0..24)
        ) {
            let device = |number: u8| DeviceKey::Address([10, 0, 0, number].into());
            let mut written = BookFile::default();
            for (operation, a, b, text) in operations {
                let book = written.book();
                let next = match operation {
                    0 => book.renamed(device(a), crate::device::tidy_name(&text).map(Arc::from)),
                    1 => book.with_kind(device(a), DeviceKind::ALL.get(usize::from(b)).copied()),
                    2 => book.merged(device(a), device(b)).unwrap_or_else(|_| book.clone()),
                    3 => book.split(device(a)).unwrap_or_else(|_| book.clone()),
                    _ => book.without(device(a)),
                };
                let by_key = |book: &Book| {
                    let mut entries = book.entries().to_vec();
                    entries.sort_by_key(|entry| entry.keys.clone());
                    entries
                };
                written = written.saying(&next, file()).unwrap();
                prop_assert_eq!(by_key(written.book()), by_key(&next));
                prop_assert!(written.text().starts_with("# What you said"));
            }
        }
    }
}
