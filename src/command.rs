//! What a person may ask of the running daemon.
//!
//! The page, the command line and signals all wish with these words; the daemon alone grants them, one at a time.

use crate::list::OwnRule;

/// A wish.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Write a rule of the person's own that lets names through.
    Allow(OwnRule),
    /// Write a rule of the person's own that blocks names.
    Block(OwnRule),
    /// Take back a rule of the person's own, whichever it says.
    Forget(OwnRule),
    /// Download one list now, or all of them.
    Refresh(Option<String>),
    /// Read the configuration again.
    Reload,
}

/// What came of a wish, for people: one sentence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Done(pub String);

/// Why a wish was not granted. Nothing has changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// There is no such list, rule or device.
    #[error("{0}")]
    Unknown(String),
    /// The wish is clear but could not be carried out.
    #[error("{0}")]
    Failed(String),
}
