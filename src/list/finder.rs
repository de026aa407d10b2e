//! Which lines of a text a rule comes from, found when somebody asks.

use memchr::memmem;

use super::parser::Lines;
use super::{ParseOptions, Parser, Rule, Skip};

/// A line that a rule comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FoundLine {
    /// The line of the list, from 1.
    pub line: u32,
    /// Its text, without white space around it.
    pub text: String,
}

/// Reads a text piece by piece, as [`Parser`] does, and keeps the lines that one rule comes from.
///
/// Lines in which the rule's name can't stand are passed over quickly: this is many times faster than parsing.
#[derive(Debug)]
pub struct Finder {
    parser: Parser,
    wanted: String,
    any_action: bool,
    max: usize,
    found: Vec<FoundLine>,
}

impl Finder {
    /// Looks for the rule that is shown as `wanted` (its `Display`); no more than `max` lines are kept.
    pub fn new(options: ParseOptions, wanted: &str, max: usize) -> Self {
        let mut parser = Parser::new(options);
        parser.pass_over(Sieve::new(wanted));
        Self { parser, wanted: wanted.to_owned(), any_action: false, max, found: Vec::new() }
    }

    /// Finds the rule whether it blocks or allows there: in an allowlist, a line that would block allows.
    pub fn of_any_action(mut self) -> Self {
        self.any_action = true;
        self
    }

    /// Reads on.
    pub fn push(&mut self, piece: &[u8]) {
        let Self { parser, wanted, any_action, max, found } = self;
        parser.read(piece, &mut |rule, lines| keep(&rule, lines, wanted, *any_action, *max, found));
    }

    /// The lines, in the order of the text.
    pub fn finish(mut self) -> Vec<FoundLine> {
        let Self { parser, wanted, any_action, max, found } = &mut self;
        parser.end(&mut |rule, lines| keep(&rule, lines, wanted, *any_action, *max, found));
        self.found
    }
}

fn keep(
    rule: &Rule,
    lines: Lines<'_>,
    wanted: &str,
    any_action: bool,
    max: usize,
    found: &mut Vec<FoundLine>,
) -> Result<(), Skip> {
    let shown = rule.to_string();
    let bare = |text: &str| text.strip_prefix("@@").unwrap_or(text).to_owned();
    if shown == wanted || any_action && bare(&shown) == bare(wanted) {
        let room = max.saturating_sub(found.len());
        match lines {
            Lines::Current(raw) => {
                let text = String::from_utf8_lossy(raw).trim().to_owned();
                found.extend([FoundLine { line: rule.line, text }].into_iter().take(room));
            }
            Lines::Several(lines) => {
                let lines = lines.iter().map(|line| FoundLine { line: line.line, text: line.text.clone() });
                found.extend(lines.take(room));
            }
        }
    }
    Ok(())
}

/// Tells the lines in which a rule can't stand.
#[derive(Debug)]
pub(super) struct Sieve {
    /// Part of every line that gives the rule, in lower case.
    needle: memmem::Finder<'static>,
    lower: Vec<u8>,
}

impl Sieve {
    fn new(wanted: &str) -> Self {
        let subject = wanted.strip_prefix("@@").unwrap_or(wanted);
        let needle = if let Some(expression) = subject.strip_prefix('/') {
            // The expression without what stands behind it.
            let end = expression.rfind("/$").or_else(|| expression.rfind('/')).unwrap_or(expression.len());
            expression.get(..end).unwrap_or_default()
        } else {
            let name = subject.trim_start_matches(['|', '=', '*', '.']);
            name.split(['.', '^', '|', '$', '*']).next().unwrap_or_default()
        };
        // Addresses stand backwards in a zone.
        let is_net = subject.split('/').next().is_some_and(|start| start.parse::<std::net::IpAddr>().is_ok());
        let needle = if is_net { "rpz-ip".to_owned() } else { needle.to_ascii_lowercase() };
        Self { needle: memmem::Finder::new(&needle).into_owned(), lower: Vec::new() }
    }

    /// Whether a line may give the rule, or change what later ones mean.
    pub(super) fn passes(&mut self, raw: &[u8]) -> bool {
        self.lower.clear();
        self.lower.extend(raw.iter().map(u8::to_ascii_lowercase));
        raw.first().is_none_or(|first| first.is_ascii_whitespace() || matches!(first, b'$' | b'@' | b'['))
            || raw.starts_with(b"!#")
            || self.needle.find(&self.lower).is_some()
            || !raw.is_ascii()
            || memchr::memchr3(b'&', b'(', b')', raw).is_some()
            || memmem::find(&self.lower, b"soa").is_some()
    }
}
