//! The text of a list, any syntax, turned into rules and skipped lines.
//!
//! Parsing never fails: a list with bad lines still gives its good ones, and every line is accounted for in a
//! [`Report`]. This module knows names and the syntaxes that list authors use; it never knows where a text came from,
//! which lists there are, or what becomes of the rules.
//!
//! Syntaxes, each as its format page has it: hosts(5); plain domain names; `*.name` (the "wildcard" lists of the field);
//! and the part of the Adblock syntax that names a whole domain (`||name^`, `@@||name^`).

mod line;
mod own;
mod pattern;
mod report;
mod rule;

pub use own::{OwnRule, OwnRuleError};
pub use pattern::Pattern;
pub use report::{Report, Skip, SkipCount, Skipped};
pub use rule::*;

use std::str::FromStr;

/// A line longer than this is not a rule that anyone meant, in octets.
pub const LINE_LEN_MAX: usize = 4096;

/// The longest pattern, in octets.
pub const PATTERN_LEN_MAX: usize = 1000;

/// A list syntax.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Format {
    /// `0.0.0.0 name [name ...]`: those names only.
    Hosts,
    /// One name a line: that name only.
    Domains,
    /// `*.name` a line: the name and everything below it.
    Wildcard,
    /// `||name^` and `@@||name^`: the name and everything below it.
    Adblock,
}

impl Format {
    /// The word for it in the configuration and on the page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Domains => "domains",
            Self::Wildcard => "wildcard",
            Self::Adblock => "adblock",
        }
    }

    /// What a line of this syntax matches, for people.
    pub const fn matches(self) -> &'static str {
        match self {
            Self::Hosts | Self::Domains => "each name exactly as listed",
            Self::Wildcard | Self::Adblock => "each name and everything below it",
        }
    }
}

impl FromStr for Format {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Hosts, Self::Domains, Self::Wildcard, Self::Adblock]
            .into_iter()
            .find(|format| format.as_str() == word)
            .ok_or(())
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
    let mut parser = Parser::new(options);
    parser.push(text, &mut |rule| rules.push(rule));
    let (format, report) = parser.finish(&mut |rule| rules.push(rule));
    Parsed { format, rules, report }
}

/// Reads a text piece by piece, wherever it is cut, so that neither the text nor its rules need be held as a whole.
///
/// A line ends with LF, CR LF or CR; no more of one is kept than [`LINE_LEN_MAX`].
#[derive(Debug, Default)]
pub struct Parser {
    options: ParseOptions,
    report: Report,
    /// Whether the text has an Adblock header.
    adblock: bool,
    /// How many `!#if` are open: what they hold depends on the program that reads the list.
    conditions: u32,
    /// How many lines were of each [`Format`].
    votes: [u32; 4],
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// Whether more of that line was dropped.
    overlong: bool,
    /// Whether the last octet was a CR, so that a LF belongs to it.
    after_cr: bool,
}

impl Parser {
    /// A parser that has read nothing yet.
    pub fn new(options: ParseOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// Reads on; every rule is handed to `add` in the order of the text.
    pub fn push(&mut self, mut piece: &[u8], add: &mut impl FnMut(Rule)) {
        while let Some(&first) = piece.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                piece = piece.get(1..).unwrap_or_default();
                continue;
            }
            let end = piece.iter().position(|octet| matches!(octet, b'\n' | b'\r'));
            let (line, rest) = piece.split_at(end.unwrap_or(piece.len()));
            let Some((&terminator, rest)) = rest.split_first() else {
                self.hold(line);
                return;
            };
            self.after_cr = terminator == b'\r';
            piece = rest;
            if self.partial.is_empty() {
                self.line(line, add);
            } else {
                self.hold(line);
                self.held_line(add);
            }
        }
    }

    /// Reads what is left and gives the syntax of most lines, `None` when there was no rule, with the account of all.
    pub fn finish(mut self, add: &mut impl FnMut(Rule)) -> (Option<Format>, Report) {
        if !self.partial.is_empty() {
            self.held_line(add);
        }
        let most = self.votes.iter().copied().max().unwrap_or_default();
        let format = [Format::Hosts, Format::Domains, Format::Wildcard, Format::Adblock]
            .into_iter()
            .zip(self.votes)
            .find(|&(_, count)| 0 < count && count == most)
            .map(|(format, _)| format);
        (format, self.report)
    }

    /// What the lines were taken for so far.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    fn hold(&mut self, part: &[u8]) {
        let room = LINE_LEN_MAX.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(part.get(..room).unwrap_or(part));
        self.overlong |= room < part.len();
    }

    fn held_line(&mut self, add: &mut impl FnMut(Rule)) {
        let line = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.overlong) {
            self.report.lines += 1;
            let shown = String::from_utf8_lossy(&line);
            self.report.skip(Skip::TooLong, self.report.lines, &shown);
        } else {
            self.line(&line, add);
        }
        self.partial = line;
        self.partial.clear();
    }

    fn line(&mut self, raw: &[u8], add: &mut impl FnMut(Rule)) {
        let raw = if self.report.lines == 0 { raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw) } else { raw };
        self.report.lines += 1;
        let number = self.report.lines;
        let line = String::from_utf8_lossy(raw);
        let mut add = |name, scope, action| add(Rule::plain(name, scope, action, number));
        if line.trim_start().starts_with("!#if") {
            self.conditions += 1;
        } else if line.trim_start().starts_with("!#endif") {
            self.conditions = self.conditions.saturating_sub(1);
        } else if 0 < self.conditions && !line.trim().is_empty() && !line.starts_with('!') {
            return self.report.skip(Skip::NotRead, number, &line);
        }
        self.adblock |= number == 1 && line::is_adblock_header(line.trim());
        match line::read(line.trim(), self.adblock, self.options, &mut add) {
            line::Line::Blank => self.report.blank += 1,
            line::Line::Comment => self.report.comments += 1,
            line::Line::Rules(format) => {
                self.report.rule_lines += 1;
                if let Some(vote) = self.votes.get_mut(format as usize) {
                    *vote += 1;
                }
            }
            line::Line::Skip(skip) => self.report.skip(skip, number, &line),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The single place that calls the parser; `expected` is each rule's shortest form, or the reason for the skip.
    #[track_caller]
    fn check(line: &str, expected: &str) {
        let parsed = parse(line.as_bytes(), ParseOptions::default());
        let rules: Vec<String> = parsed.rules.iter().map(ToString::to_string).collect();
        let skipped: Vec<String> = parsed.report.skipped().map(|skipped| skipped.skip.to_string()).collect();
        let found = [rules, skipped].concat().join(" ");
        assert_eq!(found, expected, "{line:?}");
    }

    #[test]
    fn hosts_lines_name_hosts_exactly() {
        check("0.0.0.0 pixel.example", "=pixel.example");
        check("127.0.0.1\tpixel.example # tv", "=pixel.example");
        check(":: pixel.example", "=pixel.example");
        check("0.0.0.0 a.example b.example#c", "=a.example =b.example");
        check("127.0.0.1 localhost localhost.localdomain", "the machine's own names");
        check("0.0.0.0 localhost a.example", "=a.example");
        check("::1 ip6-localhost ip6-loopback", "the machine's own names");
        check("255.255.255.255 broadcasthost", "the machine's own names");
        check("fe80::1%lo0 localhost", "the machine's own names");
        check("ff00::0 ip6-mcastprefix", "the machine's own names");
        check("fe80::1%lo0 nas.example", "an address that is not a sinkhole");
        check("192.168.1.7 nas.example", "an address that is not a sinkhole");
        check("0.0.0.0", "an address alone");
        check("10.1.2.3", "an address alone");
        check("0.0.0.0 a..example", "not a domain name");
        check("0.0.0.0 com", "a whole public suffix");
        check("0.0.0.0 a.example ; see google.com", "=a.example");
        check("0.0.0.0 a.example - belongs to amazon.com", "=a.example");
        check("0.0.0.0 ; google.com", "not a domain name");
    }

    #[test]
    fn plain_and_wildcard_lines() {
        check("Pixel.Example.", "=pixel.example");
        check("pixel.example # comment", "=pixel.example");
        check("pixel.example#comment", "=pixel.example");
        check("*.pixel.example", "||pixel.example^");
        check(".pixel.example", "||pixel.example^");
        check("*.com", "a whole public suffix");
        check("bücher.example", "=xn--bcher-kva.example");
        check("localhost", "the machine's own names");
        check("_xmpp-client._tcp.example.com", "=_xmpp-client._tcp.example.com");
        check("pixel example", "not a domain name");
        check("<!DOCTYPE html>", "not a domain name");
    }

    #[test]
    fn adblock_rules_that_name_a_whole_domain() {
        check("||pixel.example^", "||pixel.example^");
        check("||pixel.example^|", "||pixel.example^");
        check("@@||good.example^", "@@||good.example^");
        check("||pixel.example^ # a comment", "||pixel.example^");
        check("||*.pixel.example^", "*.pixel.example");
        check("||com^", "a whole public suffix");
        check("||co.uk^", "a whole public suffix");
        check("||*.co.uk^", "a whole public suffix");
        check("||in-addr.arpa^", "a whole public suffix");
        check("co.uk", "=co.uk");
        check("||shop.co.uk^", "||shop.co.uk^");
        check("@@||good.example^$important", "@@||good.example^");
        check("||192.0.2.1^", "an address alone");
    }

    #[test]
    fn what_only_a_browser_can_apply_is_never_a_whole_domain() {
        check("||site.example/pixel.gif", "only a browser can apply it");
        check("||site.example^$third-party", "only a browser can apply it");
        check("||site.example^$domain=a.example", "only a browser can apply it");
        check("site.example##.ad", "only a browser can apply it");
        check("site.example#@#.ad", "only a browser can apply it");
        check("site.example#$?#.ad { remove: true; }", "only a browser can apply it");
        check("site.example#@$?#.ad", "only a browser can apply it");
        check("site.example#+js(x)", "only a browser can apply it");
        check("||site.example^#top", "only a browser can apply it");
        check(".com/pixel.gif?", "only a browser can apply it");
        check("##.ad-banner", "only a browser can apply it");
        check("site.example ##.ad", "only a browser can apply it");
        check("/pixel.gif?", "only a browser can apply it");
        check("-tracking-pixel.", "only a browser can apply it");
        check("||site.example^$important", "syntax that this version does not read");
        check("||site.example", "syntax that this version does not read");
        check("||ads*.example^", "syntax that this version does not read");
        check("|site.example^", "syntax that this version does not read");
        check("/^ads[0-9]+\\./", "syntax that this version does not read");
    }

    #[test]
    fn parts_of_urls_in_a_browsers_list_are_no_names() {
        for line in [".beacon.min.js", "_adobe_analytics.js", "_trackEvents.", ".v4.analytics.", "-ads."] {
            let text = format!("[Adblock Plus 2.0]\n{line}\n||pixel.example^\n");
            let parsed = parse(text.as_bytes(), ParseOptions::default());
            assert_eq!(parsed.rules.len(), 1, "{line}");
            assert_eq!(parsed.report.unreadable_count(), 0, "{line}");
        }
    }

    #[test]
    fn lines_of_other_programs_are_told_as_not_read() {
        for line in [
            "address=/pixel.example/0.0.0.0",
            "local=/pixel.example/",
            "local-zone: \"pixel.example.\" always_null",
            "pixel.example CNAME .",
            "*.pixel.example 300 IN CNAME .",
            "$TTL 3600",
            "^(.+[_.-])?adserv[0-9]*[_.-]",
        ] {
            check(line, "syntax that this version does not read");
        }
        check("; a comment of a zone file", "");
    }

    #[test]
    fn comments_and_dress() {
        check("# comment", "");
        check("! comment", "");
        check("[Adblock Plus 2.0]", "");
        check("### heading", "");
        check("\u{feff}pixel.example\r\n", "=pixel.example");
        check(&"a".repeat(LINE_LEN_MAX + 1), "a line of more than 4096 octets");
        check(&format!("a.example{}", " ".repeat(LINE_LEN_MAX)), "a line of more than 4096 octets");
        check(
            "a.example\r\nb.example\rc.example\n\r\nd.example",
            "=a.example =b.example =c.example =d.example",
        );
    }

    #[test]
    fn every_line_is_accounted_for() {
        let text = b"# head\n\n0.0.0.0 a.example b.example\n||c.example^\n||d.example/x\n\xff\xfe.example\n";
        let parsed = parse(text, ParseOptions::default());
        let report = &parsed.report;
        assert_eq!((report.lines, report.rule_lines, report.comments, report.blank), (6, 2, 1, 1));
        assert_eq!(report.skipped().map(|skipped| skipped.count).sum::<u32>(), 2);
        assert_eq!(parsed.rules.len(), 3);
        assert_eq!(parsed.format, Some(Format::Hosts));
        assert_eq!(parsed.rules[2].line, 4);
    }

    #[test]
    fn what_stands_under_a_condition_is_not_read() {
        let text = b"!#if adguard_app_ios\n||a.example^\n!#else\n||b.example^\n!#endif\n||c.example^\n";
        let parsed = parse(text, ParseOptions::default());
        assert_eq!(parsed.rules.iter().map(ToString::to_string).collect::<Vec<_>>(), ["||c.example^"]);
        assert_eq!(parsed.report.skipped_count(), 2);
    }

    #[test]
    fn a_named_format_takes_its_own_lines_only() {
        let text = b"0.0.0.0 a.example\nb.example\n";
        let options = ParseOptions { format: Some(Format::Domains), subdomains: true };
        let parsed = parse(text, options);
        assert_eq!(parsed.rules.iter().map(ToString::to_string).collect::<Vec<_>>(), ["||b.example^"]);
        let skipped: Vec<_> = parsed.report.skipped().map(|skipped| skipped.skip.to_string()).collect();
        assert_eq!(skipped, ["another syntax than the one configured"]);
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_counts_every_line(text: Vec<u8>) {
            let report = parse(&text, ParseOptions::default()).report;
            let skipped: u32 = report.skipped().map(|skipped| skipped.count).sum();
            prop_assert_eq!(report.lines, report.blank + report.comments + report.rule_lines + skipped);
        }

        #[test]
        fn it_does_not_matter_where_a_text_is_cut(
            text in "([a-c.|^*#@ ]{0,9}(\\n|\\r|\\r\\n)){0,9}[a-c.]{0,5}", cuts: Vec<proptest::sample::Index>,
        ) {
            let whole = parse(text.as_bytes(), ParseOptions::default());
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.sort_unstable();
            let mut rules = Vec::new();
            let mut parser = Parser::default();
            let mut start = 0;
            for end in cuts.into_iter().chain([text.len()]) {
                parser.push(&text.as_bytes()[start..end], &mut |rule| rules.push(rule));
                start = end;
            }
            let (format, report) = parser.finish(&mut |rule| rules.push(rule));
            prop_assert_eq!((format, rules, report), (whole.format, whole.rules, whole.report));
        }

        #[test]
        fn lines_from_the_grammar_never_block_more_than_their_name(
            prefix in "(\\|\\||@@\\|\\||\\|||0\\.0\\.0\\.0 |\\*\\.)",
            name in "[a-z]{1,5}\\.[a-z]{1,5}",
            suffix in "(\\^|/p|\\^\\$third-party|##.x|#x|\\*|)",
        ) {
            let line = format!("{prefix}{name}{suffix}");
            for rule in parse(line.as_bytes(), ParseOptions::default()).rules {
                let Subject::Name { name: found, .. } = rule.subject else { panic!("{line}") };
                prop_assert_eq!(found.to_string(), name.clone(), "{}", line);
            }
        }
    }
}
