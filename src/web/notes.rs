//! Short messages that outlive a redirect: written by an action, shown once by the next page.
//!
//! The address carries a number only, so a link made by a stranger can't put words on our page.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::list::{Action, OwnRule};

/// How many messages wait; beyond that the oldest go unread.
const NOTES_MAX: usize = 64;

/// What came of an action.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Note {
    /// Whether it was done.
    pub(super) is_good: bool,
    /// One sentence.
    pub(super) text: String,
    /// The number of what undoes it.
    pub(super) undo: Option<u64>,
    /// What a person had typed that could not be read, so that they need not type it again.
    pub(super) typed: Option<String>,
}

/// What was said of rules before an action: what each asked for, and when that was to end. That is how it is undone.
pub(super) type Undo = Vec<(OwnRule, Vec<(Action, Option<Instant>)>)>;

#[derive(Default)]
struct Waiting {
    next: u64,
    notes: VecDeque<(u64, Note)>,
    undos: VecDeque<(u64, Undo)>,
}

/// The messages that nobody has read yet.
#[derive(Default)]
pub(super) struct Notes(Mutex<Waiting>);

impl Notes {
    /// Keeps a message and tells its number.
    pub(super) fn keep(&self, note: Note) -> u64 {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiting.next;
        waiting.next += 1;
        if waiting.notes.len() == NOTES_MAX {
            waiting.notes.pop_front();
        }
        waiting.notes.push_back((number, note));
        number
    }

    /// Keeps a way back and tells its number.
    pub(super) fn keep_undo(&self, undo: Undo) -> u64 {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiting.next;
        waiting.next += 1;
        if waiting.undos.len() == NOTES_MAX {
            waiting.undos.pop_front();
        }
        waiting.undos.push_back((number, undo));
        number
    }

    /// Hands out a way back, once.
    pub(super) fn take_undo(&self, number: u64) -> Option<Undo> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let position = waiting.undos.iter().position(|(kept, _)| *kept == number)?;
        waiting.undos.remove(position).map(|(_, undo)| undo)
    }

    /// Hands out a message, once.
    pub(super) fn take(&self, number: u64) -> Option<Note> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let position = waiting.notes.iter().position(|(kept, _)| *kept == number)?;
        waiting.notes.remove(position).map(|(_, note)| note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_shown_once_and_old_ones_make_room() {
        let notes = Notes::default();
        let note = |text: &str| Note { is_good: true, text: text.to_owned(), undo: None, typed: None };
        let first = notes.keep(note("first"));
        assert_eq!(notes.take(first), Some(note("first")));
        assert_eq!(notes.take(first), None);
        let oldest = notes.keep(note("oldest"));
        for _ in 0..NOTES_MAX {
            notes.keep(note("newer"));
        }
        assert_eq!(notes.take(oldest), None);
    }
}
