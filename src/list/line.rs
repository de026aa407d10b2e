//! One line of a list, taken for what its shape says.

use super::pattern::Budget;
use super::rpz::Zone;
use super::{Format, LINE_LEN_MAX, ParseOptions, Rule, Skip};
use super::{adblock, addresses, dnsmasq, dress, hosts, regex, unbound};
use crate::name::DomainName;

/// What a line is.
pub(super) enum Line {
    Blank,
    Comment,
    Rules(Format),
    Skip(Skip),
}

/// Reads lines, and remembers what earlier ones mean to later ones.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) options: ParseOptions,
    /// Whether the text has an Adblock header: a line is part of a URL unless it says otherwise, so that
    /// `.beacon.min.js` and `_trackers.` are no names.
    pub(super) is_adblock: bool,
    /// How many `!#if` are open: what they hold depends on the program that reads the list.
    conditions: u32,
    pub(super) patterns: Budget,
    zone: Zone,
    /// The unbound zone of type `redirect` that was read last: the data of its name are those of all below it.
    pub(super) redirect: Option<DomainName>,
}

impl Reader {
    pub(super) fn new(options: ParseOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Whether the next line belongs to a record that began before.
    pub(super) const fn is_within_record(&self) -> bool {
        self.zone.is_open()
    }

    /// A line that is none of a zone, or may have another owner: what comes next does not go on with the last one.
    pub(super) fn forget_owner(&mut self) {
        self.zone.forget_owner();
    }

    /// Puts the rules of a line into `rules`, which holds none before.
    pub(super) fn read(&mut self, raw: &[u8], is_first: bool, rules: &mut Vec<Rule>) -> Line {
        rules.clear();
        let line = raw.trim_ascii();
        if line.is_empty() {
            return Line::Blank;
        }
        if LINE_LEN_MAX < raw.len() {
            self.forget_owner();
            return Line::Skip(Skip::TooLong);
        }
        if is_first && is_adblock_header(line) {
            self.is_adblock = true;
        }
        if self.conditions == 0
            && !self.zone.is_open()
            && let Some(format) = hosts::quick(line, self, rules)
        {
            self.forget_owner();
            return Line::Rules(format);
        }
        rules.clear();
        let text = String::from_utf8_lossy(raw);
        let text = if text.is_ascii() { text } else { dress::without_odd_blanks(text) };
        let read = self.dressed(&text, rules);
        match (&read, dress::without_entities(&text)) {
            (Line::Skip(_), Some(plain)) => {
                rules.clear();
                self.dressed(&plain, rules)
            }
            _ => read,
        }
    }

    /// As [`Self::read`], for text that is as its author typed it.
    pub(super) fn dressed(&mut self, text: &str, rules: &mut Vec<Rule>) -> Line {
        let line = text.trim();
        if line.is_empty() {
            return Line::Blank;
        }
        if let Some(directive) = line.strip_prefix("!#") {
            if directive.starts_with("if") {
                self.conditions += 1;
            } else if directive.starts_with("endif") {
                self.conditions = self.conditions.saturating_sub(1);
            } else if directive.starts_with("include") {
                return Line::Skip(Skip::NotRead);
            }
            return Line::Comment;
        }
        if is_comment(line) {
            return Line::Comment;
        }
        if 0 < self.conditions {
            self.forget_owner();
            return Line::Skip(Skip::NotRead);
        }
        match self.rules(text, line, rules) {
            // Nothing but what its syntax has for comments.
            Ok(None) => Line::Comment,
            Ok(Some(format)) => Line::Rules(format),
            Err(skip) => Line::Skip(skip),
        }
    }

    /// Tells the syntax of a line, and reads it as that.
    fn rules(&mut self, text: &str, line: &str, rules: &mut Vec<Rule>) -> Result<Option<Format>, Skip> {
        let is_indented = text.starts_with(char::is_whitespace);
        if self.zone.is_open() {
            return self.zone.go_on(line).map(|()| Some(Format::Rpz));
        }
        let format = match self.options.format {
            // These take every line for their own.
            Some(Format::Regex) => Some(Format::Regex),
            Some(Format::Rpz) => Some(Format::Rpz),
            Some(Format::Dnsmasq) => Some(Format::Dnsmasq),
            Some(Format::Unbound) => Some(Format::Unbound),
            Some(Format::Ip) => Some(Format::Ip),
            _ if dnsmasq::is_line(line) => Some(Format::Dnsmasq),
            _ if unbound::is_line(line) => Some(Format::Unbound),
            _ if self.zone.is_line(line, is_indented) => Some(Format::Rpz),
            _ => None,
        };
        if format != Some(Format::Rpz) {
            self.forget_owner();
        }
        match format {
            Some(other) if self.options.format.is_some_and(|configured| configured != other) => {
                Err(Skip::OtherFormat)
            }
            Some(Format::Dnsmasq) => dnsmasq::read(line, &mut self.patterns, rules).map(|()| format),
            Some(Format::Unbound) => unbound::read(line, self, rules).map(|()| format),
            Some(Format::Rpz) => self.zone.read(line, is_indented, rules).map(|any| format.filter(|_| any)),
            Some(Format::Ip) => addresses::read(line, rules).map(|()| format),
            Some(Format::Regex) => regex::read(line, &mut self.patterns, rules).map(|()| format),
            _ => self.browser_or_name(line, rules).map(Some),
        }
    }

    /// The syntaxes in which `#` begins a comment behind a name, or a cosmetic rule.
    fn browser_or_name(&mut self, line: &str, rules: &mut Vec<Rule>) -> Result<Format, Skip> {
        let configured = self.options.format;
        let only = |format: Format| {
            if configured.is_some_and(|configured| configured != format) {
                Err(Skip::OtherFormat)
            } else {
                Ok(format)
            }
        };
        if adblock::is_regex(line) {
            let is_adblock = self.is_adblock || configured == Some(Format::Adblock) || line.contains('$');
            let format = only(if is_adblock { Format::Adblock } else { Format::Regex })?;
            return adblock::read(line, self, rules).map(|()| format);
        }
        let line = without_comment(line)?;
        if line.starts_with("||") || line.starts_with("@@") || line.starts_with('|') {
            let format = only(Format::Adblock)?;
            return adblock::read(line, self, rules).map(|()| format);
        }
        if hosts::address(line).is_some() {
            let format = only(Format::Hosts)?;
            return hosts::read(line, self, rules).map(|()| format);
        }
        if !self.is_adblock && configured != Some(Format::Adblock) {
            if let Some(name) = hosts::wildcard(line) {
                let format = only(Format::Wildcard)?;
                return hosts::read_wildcard(name, rules).map(|()| format);
            }
            if regex::is_line(line) {
                let format = only(Format::Regex)?;
                return regex::read(line, &mut self.patterns, rules).map(|()| format);
            }
        }
        if adblock::is_fragment(line, self.is_adblock) {
            let format = only(Format::Adblock)?;
            return adblock::read(line, self, rules).map(|()| format);
        }
        let format = only(Format::Domains)?;
        hosts::read_name(line, self, rules).map(|()| format)
    }
}

fn is_adblock_header(line: &[u8]) -> bool {
    line.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"[adblock"))
}

fn is_comment(line: &str) -> bool {
    let cosmetic = ["##", "#@#", "#?#", "#$#", "#%#"].into_iter().any(|mark| {
        let selector = line.strip_prefix(mark).unwrap_or_default();
        selector.starts_with(|first: char| !first.is_whitespace() && first != '#')
    });
    (line.starts_with('#') && !cosmetic) || line.starts_with(['!', ';']) || is_adblock_header(line.as_bytes())
}

/// What separates a site from a cosmetic rule in the Adblock syntax.
const COSMETIC: &[&str] =
    &["##", "#@#", "#?#", "#@?#", "#$#", "#@$#", "#$?#", "#@$?#", "#%#", "#@%#", "$$", "$@$"];

/// A line up to the comment behind it; what stands at once behind a `#` and is no word belongs to a browser.
fn without_comment(line: &str) -> Result<&str, Skip> {
    if !line.contains(['#', '$']) {
        return Ok(line);
    }
    if COSMETIC.iter().any(|mark| line.contains(mark)) {
        // `a.example ## comment` is a comment behind a name.
        let mark = line.find("##").or_else(|| line.find('#')).or_else(|| line.find('$')).unwrap_or_default();
        let (before, behind) = line.split_at_checked(mark).unwrap_or_default();
        let selects = behind.trim_start_matches('#').starts_with(|first: char| !first.is_whitespace());
        if !before.ends_with(char::is_whitespace) || behind.starts_with("##") && selects {
            return Err(Skip::BrowserOnly);
        }
    }
    let Some((rule, comment)) = line.split_once('#') else { return Ok(line) };
    let is_comment = rule.ends_with(char::is_whitespace)
        || comment.starts_with(|first: char| first.is_alphanumeric() || first.is_whitespace())
        || comment.is_empty();
    if !is_comment || (!rule.ends_with(char::is_whitespace) && rule.contains(['|', '/'])) {
        return Err(Skip::BrowserOnly);
    }
    Ok(rule.trim_end())
}
