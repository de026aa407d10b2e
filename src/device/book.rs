//! The book of devices: what a person said of them on the page or the command line.
//!
//! A value; each operation gives the next one and leaves the old as it is. Where it is kept is not known here.

use std::sync::Arc;

use super::{DeviceKey, DeviceKind};

/// What was said of one device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BookEntry {
    /// By which it is known, one at least. The first tells it from others, the rest were merged into it.
    pub keys: Vec<DeviceKey>,
    /// What it is called.
    pub name: Option<Arc<str>>,
    /// What it is.
    pub kind: Option<DeviceKind>,
}

/// What was said of all devices. No key stands in two entries.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Book {
    entries: Vec<BookEntry>,
}

/// Why an operation can't be carried out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BookError {
    /// Two keys that are to be merged are one device.
    #[error("{0} is the same device already")]
    SameDevice(DeviceKey),
    /// A key that is to be split off was never merged.
    #[error("{0} was not merged with another device")]
    NotMerged(DeviceKey),
    /// A key that is to be split off is the one that the others were merged into.
    #[error("the others were merged into {0}; split one of those off")]
    IsMain(DeviceKey),
}

impl BookEntry {
    /// An entry that says nothing yet.
    const fn of(keys: Vec<DeviceKey>) -> Self {
        Self { keys, name: None, kind: None }
    }

    /// Whether it says anything.
    const fn says_something(&self) -> bool {
        1 < self.keys.len() || self.name.is_some() || self.kind.is_some()
    }
}

impl Book {
    /// The entries, in their order.
    pub fn entries(&self) -> &[BookEntry] {
        &self.entries
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// With the key that stands in another entry already. Nothing has changed then.
    pub fn add(&mut self, entry: BookEntry) -> Result<(), DeviceKey> {
        match entry.keys.iter().find(|key| self.entry(**key).is_some()) {
            Some(taken) => Err(*taken),
            None => {
                self.entries.push(entry);
                Ok(())
            }
        }
    }

    /// What is said of the device that `key` belongs to.
    pub fn entry(&self, key: DeviceKey) -> Option<&BookEntry> {
        self.entries.iter().find(|entry| entry.keys.contains(&key))
    }

    /// The device is called `name` from now on; `None`: as it comes.
    #[must_use]
    pub fn renamed(&self, key: DeviceKey, name: Option<Arc<str>>) -> Self {
        self.changed(key, |entry| entry.name = name)
    }

    /// The device is of this kind; `None`: as it seems.
    #[must_use]
    pub fn with_kind(&self, key: DeviceKey, kind: Option<DeviceKind>) -> Self {
        self.changed(key, |entry| entry.kind = kind)
    }

    /// The device of `from` is the device of `into`. What is said of `into` stays said.
    ///
    /// # Errors
    /// When they are one device already.
    pub fn merged(&self, from: DeviceKey, into: DeviceKey) -> Result<Self, BookError> {
        if from == into || self.entry(into).is_some_and(|entry| entry.keys.contains(&from)) {
            return Err(BookError::SameDevice(from));
        }
        let gone = self.entry(from).cloned().unwrap_or_else(|| BookEntry::of(vec![from]));
        let merge = |entry: &mut BookEntry| {
            entry.keys.extend(&gone.keys);
            entry.name = entry.name.take().or_else(|| gone.name.clone());
            entry.kind = entry.kind.or(gone.kind);
        };
        Ok(self.without(from).changed(into, merge))
    }

    /// `key` is a device of its own again.
    ///
    /// # Errors
    /// When it was not merged into another.
    pub fn split(&self, key: DeviceKey) -> Result<Self, BookError> {
        match self.entry(key).map(|entry| entry.keys.as_slice()) {
            None | Some([] | [_]) => Err(BookError::NotMerged(key)),
            Some([main, ..]) if *main == key => Err(BookError::IsMain(key)),
            Some(_) => Ok(self.changed(key, |entry| entry.keys.retain(|other| *other != key))),
        }
    }

    /// Nothing is said any more of the device that `key` belongs to.
    #[must_use]
    pub fn without(&self, key: DeviceKey) -> Self {
        let mut book = self.clone();
        book.entries.retain(|entry| !entry.keys.contains(&key));
        book
    }

    fn changed(&self, key: DeviceKey, change: impl FnOnce(&mut BookEntry)) -> Self {
        let mut book = self.clone();
        match book.entries.iter_mut().find(|entry| entry.keys.contains(&key)) {
            Some(entry) => change(entry),
            None => {
                let mut entry = BookEntry::of(vec![key]);
                change(&mut entry);
                book.entries.push(entry);
            }
        }
        book.entries.retain(BookEntry::says_something);
        book
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "02:00:00:00:00:0a";
    const B: &str = "02:00:00:00:00:0b";
    const C: &str = "192.168.1.9";

    fn key(text: &str) -> DeviceKey {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check(book: &Book, expected: &[&str]) {
        let shown = book.entries().iter().map(|entry| {
            let keys: Vec<String> = entry.keys.iter().map(ToString::to_string).collect();
            let kind = entry.kind.map_or("-", DeviceKind::word);
            format!("{} {} {kind}", keys.join("+"), entry.name.as_deref().unwrap_or("-"))
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn devices_are_named_and_come_to_be_unnamed() {
        let book = Book::default().renamed(key(A), Some("Phone".into()));
        let book = book.with_kind(key(B), Some(DeviceKind::Camera));
        check(&book, &[&format!("{A} Phone -"), &format!("{B} - camera")]);
        check(&book.renamed(key(A), None).with_kind(key(B), None), &[]);
        check(&book.without(key(A)), &[&format!("{B} - camera")]);
    }

    #[test]
    fn what_is_merged_can_be_split() {
        let book = Book::default().renamed(key(A), Some("TV".into())).renamed(key(B), Some("Stick".into()));
        let merged = book.merged(key(B), key(A)).unwrap().merged(key(C), key(B)).unwrap();
        check(&merged, &[&format!("{A}+{B}+{C} TV -")]);
        assert_eq!(merged.merged(key(A), key(C)), Err(BookError::SameDevice(key(A))));
        assert_eq!(merged.split(key(A)), Err(BookError::IsMain(key(A))));
        check(&merged.split(key(B)).unwrap(), &[&format!("{A}+{C} TV -")]);
        assert_eq!(book.split(key(C)), Err(BookError::NotMerged(key(C))));
        // Two that nobody named are one until they are split; then there is nothing to be said of them.
        let merged = Book::default().merged(key(C), key(A)).unwrap();
        check(&merged, &[&format!("{A}+{C} - -")]);
        check(&merged.split(key(C)).unwrap(), &[]);
        // The name of the one that goes is taken over where the other has none.
        check(&book.merged(key(A), key(C)).unwrap(), &[&format!("{B} Stick -"), &format!("{C}+{A} TV -")]);
    }

    #[test]
    fn a_key_stands_in_one_entry() {
        let mut book = Book::default().renamed(key(A), Some("Phone".into()));
        assert_eq!(book.add(BookEntry::of(vec![key(B), key(A)])), Err(key(A)));
        assert_eq!(book.entries().len(), 1);
    }
}
