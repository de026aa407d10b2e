//! The account of a list's lines: what was kept, what was skipped and why.

use std::fmt;

use super::{Header, PatternError};
use crate::name::NameError;

/// How many lines of a reason are kept word for word.
pub(super) const EXAMPLES_MAX: usize = 10;
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
    /// What could be applied to names, but is not yet: lines under `!#if`, some record types.
    NotRead,
    /// The source is configured to be of another syntax.
    OtherFormat,
    /// Options of other programs, and the head of a zone.
    Setting,
    /// Names that another server is to be asked about: `server=/name/192.0.2.1`.
    Forwarding,
    /// An RPZ trigger or action that has no meaning here: client addresses, name servers, TCP only.
    NotApplied,
    /// An RPZ owner below `rpz-ip` that is no length and address.
    Prefix,
    /// A zone's record about a name outside of it.
    OutOfZone,
    /// It would cover every name, or reverse names.
    TooWide,
    /// A rule that would cover all of `com` or `co.uk`.
    PublicSuffix,
    /// A rule for a name that many sites need.
    Popular,
    /// Longer than [`super::LINE_LEN_MAX`].
    TooLong,
    /// Not complete, or not as its syntax has it.
    Malformed,
    /// A `$modifier` or `;option` that is known, with a value that is not.
    Modifier,
    /// A pattern that is not taken.
    Pattern(PatternError),
    /// More records for one name than [`super::RECORDS_MAX`].
    TooManyRecords,
    /// More patterns than [`super::PATTERNS_MAX`].
    TooManyPatterns,
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
            Self::Setting => "setting",
            Self::Forwarding => "forwarding",
            Self::NotApplied => "not-applied",
            Self::Prefix => "prefix",
            Self::OutOfZone => "out-of-zone",
            Self::TooWide => "too-wide",
            Self::PublicSuffix => "public-suffix",
            Self::Popular => "popular",
            Self::TooLong => "too-long",
            Self::Malformed => "malformed",
            Self::Modifier => "modifier",
            Self::Pattern(_) => "pattern",
            Self::TooManyPatterns => "too-many-patterns",
            Self::TooManyRecords => "too-many-records",
            Self::Name(_) => "not-a-name",
        }
    }

    /// Whether the line is no fault of the list: it is there on purpose, and means nothing to DNS or is not
    /// taken from a list.
    pub const fn is_expected(self) -> bool {
        matches!(
            self,
            Self::OwnNames
                | Self::BrowserOnly
                | Self::NotRead
                | Self::Setting
                | Self::Forwarding
                | Self::NotApplied
                | Self::PublicSuffix
                | Self::Popular
        )
    }

    /// Whether both are told as one reason. All that is no name is; patterns are refused each for a reason of its own.
    fn is_same(self, other: Self) -> bool {
        self == other || matches!((self, other), (Self::Name(_), Self::Name(_)))
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
            Self::Setting => "a setting of another program",
            Self::Forwarding => "names that another server is asked about, not a block",
            Self::NotApplied => "a trigger or an action that is not applied here",
            Self::Prefix => "no length and address backwards, as in `32.1.2.0.192.rpz-ip`",
            Self::OutOfZone => "a name outside its zone",
            Self::TooWide => "it would cover every name, or reverse names",
            Self::PublicSuffix => "a whole public suffix; accept it if you mean it",
            Self::Popular => "a name that many sites need; accept it if you mean it",
            Self::TooLong => "a line of more than 4096 octets",
            Self::Malformed => "not as its syntax asks for",
            Self::Modifier => "a modifier with a value that is not understood",
            Self::Pattern(error) => return error.fmt(f),
            Self::TooManyPatterns => "more than 10,000 patterns in one list",
            Self::TooManyRecords => "more than 64 records for one name",
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
    /// What the list says of itself.
    pub header: Header,
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
        self.skip_all(skip, 1, [Skipped::new(line, text)]);
    }

    /// Counts lines that were counted as rules until the rule that they gave together was refused.
    pub(super) fn skip_instead(&mut self, skip: Skip, count: u32, first: Vec<Skipped>) {
        self.rule_lines = self.rule_lines.saturating_sub(count);
        self.skip_all(skip, count, first);
    }

    fn skip_all(&mut self, skip: Skip, count: u32, first: impl IntoIterator<Item = Skipped>) {
        let entry = match self.skipped.iter_mut().find(|known| known.skip.is_same(skip)) {
            Some(entry) => entry,
            None => self.skipped.push_mut(SkipCount { skip, count: 0, first: Vec::new() }),
        };
        entry.count += count;
        let room = EXAMPLES_MAX.saturating_sub(entry.first.len());
        entry.first.extend(first.into_iter().take(room));
    }
}

impl Skipped {
    pub(super) fn new(line: u32, text: &str) -> Self {
        Self { line, text: text.trim().chars().take(EXAMPLE_LEN_MAX).collect() }
    }
}
