//! The text of a list, any syntax, turned into rules and skipped lines.
//!
//! Parsing never fails: a list with bad lines still gives its good ones, and every line is accounted for in a
//! [`Report`]. This module knows names and the syntaxes that list authors use; it never knows where a text came from,
//! which lists there are, or what becomes of the rules.
//!
//! [`Parser`] cuts a text into lines, `line` tells the syntax of each by its shape, and a file for each syntax says what
//! its lines mean: `hosts` (hosts(5), plain names, `*.name`), `adblock` (AdGuard, "DNS filtering rules syntax", with
//! `modifiers` and `rewrite`), `dnsmasq`, `unbound`, `rpz` (with `record` for their data), `regex` (Pi-hole).

mod adblock;
mod addresses;
mod dnsmasq;
mod dress;
mod finder;
mod header;
mod hosts;
mod line;
mod modifiers;
mod own;
mod parser;
mod pattern;
mod record;
mod regex;
mod report;
mod rewrite;
mod rpz;
mod rule;
#[cfg(test)]
mod tests;
mod unbound;

pub use finder::{Finder, FoundLine};
pub use header::Header;
pub use own::{OwnRule, OwnRuleError};
pub use parser::Parser;
pub use pattern::{Pattern, PatternError};
pub use record::{RdataError, parse_rdata};
pub use report::{Report, Skip, SkipCount, Skipped};
pub use rule::*;

use std::str::FromStr;

/// A line longer than this is not a rule that anyone meant, in octets.
pub const LINE_LEN_MAX: usize = 4096;
/// The longest pattern, in octets.
pub const PATTERN_LEN_MAX: usize = 1000;
/// How much memory one compiled pattern may take, in octets. Real ones take 1 to 20 KiB.
pub const PATTERN_SIZE_MAX: usize = 128 * 1024;
/// How deeply the groups of a pattern may be nested.
pub const PATTERN_NEST_MAX: u32 = 50;
/// How many patterns one text may have. The lists of the field have a few dozen.
pub const PATTERNS_MAX: u32 = 10_000;
/// How many records the lines of one owner may add up to.
pub const RECORDS_MAX: usize = 64;

/// A list syntax.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Format {
    /// `0.0.0.0 name [name ...]`: those names only.
    Hosts,
    /// One name a line: that name only.
    Domains,
    /// `*.name` a line: the name and everything below it.
    Wildcard,
    /// `||name^`, `@@||name^` and all else that AdGuard's DNS filters know.
    Adblock,
    /// A response policy zone (draft-vixie-dnsop-dns-rpz).
    Rpz,
    /// `address=/name/`, `server=/name/`, `local=/name/`.
    Dnsmasq,
    /// `local-zone: "name" type`, `local-data: "name A address"`.
    Unbound,
    /// Regular expressions, `/…/` or bare with Pi-hole's options.
    Regex,
    /// An address or a prefix a line: answers that have one of them. Only where it is declared.
    Ip,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Hosts,
        Self::Domains,
        Self::Wildcard,
        Self::Adblock,
        Self::Rpz,
        Self::Dnsmasq,
        Self::Unbound,
        Self::Regex,
        Self::Ip,
    ];

    /// The word for it in the configuration and on the page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Domains => "domains",
            Self::Wildcard => "wildcard",
            Self::Adblock => "adblock",
            Self::Rpz => "rpz",
            Self::Dnsmasq => "dnsmasq",
            Self::Unbound => "unbound",
            Self::Regex => "regex",
            Self::Ip => "ip",
        }
    }

    /// What a line of this syntax matches, for people.
    pub const fn matches(self) -> &'static str {
        match self {
            Self::Hosts | Self::Domains => "each name exactly as listed",
            Self::Wildcard | Self::Adblock | Self::Dnsmasq | Self::Unbound => {
                "each name and everything below it"
            }
            Self::Rpz => "each name exactly as listed; `*.name`: everything below the name",
            Self::Regex => "every name in which an expression is found",
            Self::Ip => "every answer with one of its addresses",
        }
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|format| format.as_str() == word).ok_or(())
    }
}

/// How to read a text.
#[derive(Clone, Copy, Debug, Default)]
pub struct ParseOptions {
    /// Only lines of this syntax are rules. `None`: each line is taken for what it is.
    pub format: Option<Format>,
    /// Names of hosts and plain-domain lines cover everything below them too.
    pub subdomains: bool,
}

/// The rules of one text, and the account of its lines.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The syntax of most of its rules; `None` when there is no rule.
    pub format: Option<Format>,
    /// The rules in the order of the text.
    pub rules: Vec<Rule>,
    /// What every line was taken for.
    pub report: Report,
}

/// Parses the text of a list. Octets that are not UTF-8 spoil only their own line.
pub fn parse(text: &[u8], options: ParseOptions) -> Parsed {
    let mut rules = Vec::new();
    let mut add = |rule| {
        rules.push(rule);
        Ok(())
    };
    let mut parser = Parser::new(options);
    parser.push(text, &mut add);
    let (format, report) = parser.finish(&mut add);
    Parsed { format, rules, report }
}
