//! The account of a list's lines: what was kept, what was skipped and why.

use std::fmt;

use crate::name::NameError;

/// How many lines of a reason are kept word for word.
const EXAMPLES_MAX: usize = 10;
/// How much of such a line is kept, in characters.
const EXAMPLE_LEN_MAX: usize = 120;

/// Why a line gave no rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Skip {
    /// `localhost`, `broadcasthost` and the like, as hosts files begin with.
    OwnNames,
    /// An address without a name.
    BareAddress,
    /// A hosts line that gives a name a real address: a local record, not a block.
    RealAddress,
    /// Paths, cosmetic rules and modifiers that need a browser.
    BrowserOnly,
    /// Patterns, modifiers and regular expressions that could be applied to names, but are not yet.
    NotRead,
    /// The source is configured to be of another syntax.
    OtherFormat,
    /// A rule that would cover all of `com` or `co.uk`, or reverse names.
    TopLevelDomain,
    /// Longer than [`super::LINE_LEN_MAX`].
    TooLong,
    /// Not a domain name.
    Name(NameError),
}

impl Skip {
    /// The word for it in programs' output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnNames => "own-names",
            Self::BareAddress => "bare-address",
            Self::RealAddress => "real-address",
            Self::BrowserOnly => "browser-only",
            Self::NotRead => "not-read",
            Self::OtherFormat => "other-format",
            Self::TopLevelDomain => "top-level-domain",
            Self::TooLong => "too-long",
            Self::Name(_) => "not-a-name",
        }
    }

    /// Whether the line is no fault of the list: it is there on purpose, and means nothing to DNS or is not
    /// taken from a list.
    pub const fn is_expected(self) -> bool {
        matches!(self, Self::OwnNames | Self::BrowserOnly | Self::NotRead | Self::TopLevelDomain)
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnNames => "the machine's own names",
            Self::BareAddress => "an address alone",
            Self::RealAddress => "an address that is not a sinkhole",
            Self::BrowserOnly => "only a browser can apply it",
            Self::NotRead => "syntax that this version does not read",
            Self::OtherFormat => "another syntax than the one configured",
            Self::TopLevelDomain => "a whole public suffix",
            Self::TooLong => "a line of more than 4096 octets",
            Self::Name(_) => "not a domain name",
        })
    }
}

/// One skipped line, word for word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Skipped {
    /// The line of the list, from 1.
    pub line: u32,
    /// Its text, shortened.
    pub text: String,
}

/// The lines skipped for one reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SkipCount {
    /// The reason.
    pub skip: Skip,
    /// How many.
    pub count: u32,
    /// The first of them.
    pub first: Vec<Skipped>,
}

/// What every line was taken for. `lines` is the sum of the others.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// All lines.
    pub lines: u32,
    /// Lines that gave one rule or more.
    pub rule_lines: u32,
    /// Comments and headers.
    pub comments: u32,
    /// Empty lines.
    pub blank: u32,
    skipped: Vec<SkipCount>,
}

impl Report {
    /// The skipped lines by reason, in the order in which each reason first occurred.
    pub fn skipped(&self) -> impl Iterator<Item = &SkipCount> {
        self.skipped.iter()
    }

    /// How many lines were skipped.
    pub fn skipped_count(&self) -> u32 {
        self.skipped.iter().map(|skipped| skipped.count).sum()
    }

    /// How many lines were skipped that the list's author would call a mistake.
    pub fn unreadable_count(&self) -> u32 {
        let unexpected = self.skipped.iter().filter(|skipped| !skipped.skip.is_expected());
        unexpected.map(|skipped| skipped.count).sum()
    }

    pub(super) fn skip(&mut self, skip: Skip, line: u32, text: &str) {
        let same = |known: &&mut SkipCount| known.skip.as_str() == skip.as_str();
        let entry = match self.skipped.iter_mut().find(same) {
            Some(entry) => entry,
            None => self.skipped.push_mut(SkipCount { skip, count: 0, first: Vec::new() }),
        };
        entry.count += 1;
        if entry.first.len() < EXAMPLES_MAX {
            let text = text.trim().chars().take(EXAMPLE_LEN_MAX).collect();
            entry.first.push(Skipped { line, text });
        }
    }
}
