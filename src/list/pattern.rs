//! A pattern over names: a regular expression, or AdGuard's wildcards turned into one.

use std::fmt;

/// Matches names as text: lower case, labels joined by dots, no final dot.
///
/// A value of this type is a valid expression without look-around and within [`super::PATTERN_LEN_MAX`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Pattern {
    text: Box<str>,
    regex: Box<str>,
    inverted: bool,
}

impl Pattern {
    /// Puts one together; `text` is how it is shown.
    pub(super) fn new(text: &str, regex: &str, inverted: bool) -> Self {
        Self { text: text.into(), regex: regex.into(), inverted }
    }

    /// Takes a pattern back from where a valid one was stored.
    pub fn stored(text: &str, regex: &str, inverted: bool) -> Self {
        Self::new(text, regex, inverted)
    }

    /// How it is shown: `/regex/`, or the wildcards as the list has them.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The expression, in the syntax of the `regex` crates.
    pub fn as_regex(&self) -> &str {
        &self.regex
    }

    /// Whether it covers the names that do not match.
    pub const fn is_inverted(&self) -> bool {
        self.inverted
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
