//! The guard: what comes as a list is taken only when it can be one.
//!
//! A text is looked at while it comes, so that what is too large or no text at all is refused after its first octets
//! and never held. A text that can be a list but is nothing like the one before ([`size_change`]) waits for the person.

use std::io;
use std::path::Path;

use super::charset::Decode;
use super::text::{Text, TextWriter};
use super::unpack::{TakeText, Unpack};
use crate::list::{ParseOptions, Parser, Skip};

/// How much of a text's beginning is looked at to tell what it is, in octets.
const START_LEN: usize = 4096;
/// So few unreadable lines are never a reason: a short list may begin with a few words to its reader.
const UNREADABLE_FLOOR: u32 = 10;
/// So few missing entries are never a reason: authors count duplicates and headers in different ways.
const MISSING_FLOOR: u64 = 100;

/// A list that lost so few rules is not looked at twice: short lists are rewritten whole.
const SHRINK_FLOOR: u64 = 100;
/// A list that gained so few rules is not looked at twice, however short it was.
const GROWTH_FLOOR: u64 = 5_000;
/// A growth to more than so many times the rules.
const GROWTH_MAX: u64 = 4;

/// Why a new text must wait for the person's word, if it must; both counted in rules.
///
/// A list loses more than half or becomes more than four times as long when something went wrong on its way (a file cut
/// or mixed up, a host taken over), and hardly ever else: of real lists one lost 12 % in a day when its author cleaned it,
/// and others gain a tenth in a week. A new text that is wrong costs the household its blocking or its sites; a text that
/// waits costs a click.
pub(super) fn size_change(before: u64, after: u64) -> Option<String> {
    if after < before - before / 2 && SHRINK_FLOOR < before - after {
        return Some(format!(
            "It has {after} rules where the one in force has {before}: more than half are gone."
        ));
    }
    let is_larger = before.saturating_mul(GROWTH_MAX) < after && GROWTH_FLOOR < after - before;
    is_larger.then(|| {
        format!(
            "It has {after} rules where the one in force has {before}: it is more than {GROWTH_MAX} times as long."
        )
    })
}

/// What a text is, for a text that is no list.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "is an HTML page and not a list: perhaps an error page, or the page about the list; open it in a browser and \
         configure the address of the list's plain text"
    )]
    Html,
    #[error("has no rule in it ({lines} lines{}); check that it is the right one; to be without the list, remove it from the configuration", .skipped.as_deref().unwrap_or_default())]
    Empty { lines: u32, skipped: Option<String> },
    #[error("is not text but binary; configure the list's plain text")]
    Binary,
    #[error("is a {0} file, which is not unpacked; configure the list's plain text")]
    Packed(&'static str),
    #[error("is a {what} file that can't be unpacked ({problem}); it may have come incomplete")]
    Garbled { what: &'static str, problem: String },
    #[error("is a zip file that {0}; configure the list's plain text")]
    Zip(String),
    #[error("ends within a character of UTF-16; save it as UTF-8")]
    Utf16,
    #[error("is larger than {} allowed for a list; choose a smaller list or raise the limit", size(*.0))]
    TooLarge(u64),
    #[error(
        "is cut off: its header tells of {declared} entries, and it has {found}; it is tried again by itself"
    )]
    Cut { declared: u64, found: u64 },
    #[error(
        "is not a list that can be read: {unreadable} of {lines} lines make no sense (line {line}, `{example}`: \
         {reason}); check what it is, and its `format` if one is configured"
    )]
    Unreadable { unreadable: u32, lines: u32, line: u32, example: String, reason: String },
    #[error("could not be compressed: {0}")]
    Compression(#[from] io::Error),
}

/// A text that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) text: Text,
    /// How many rules it has.
    pub(super) rules: u64,
}

/// Takes a text in, piece by piece, unpacked and decoded.
pub(super) struct Intake {
    size_max: u64,
    /// What came, before it was unpacked: packed nothing can go on for ever too.
    received: u64,
    /// `None` when it was refused.
    way: Option<Unpack<Decode<Reading>>>,
}

impl Intake {
    /// The text is written to `directory` where that can be.
    pub(super) fn new(
        options: ParseOptions,
        size_max: u64,
        directory: Option<&Path>,
    ) -> Result<Self, Refusal> {
        let (parser, writer) = (Parser::new(options), TextWriter::new(directory)?);
        let reading = Reading { size_max, size: 0, start: Vec::new(), rules: 0, parser, writer };
        Ok(Self { size_max, received: 0, way: Some(Unpack::new(Decode::new(reading))) })
    }

    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.received += piece.len() as u64;
        if self.size_max < self.received {
            return Err(Refusal::TooLarge(self.size_max));
        }
        self.way = match self.way.take() {
            Some(way) => Some(way.push(piece)?),
            None => None,
        };
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Taken, Refusal> {
        match self.way {
            Some(way) => way.finish()?.finish()?.finish(),
            None => Err(Refusal::Binary),
        }
    }
}

/// The plain text.
struct Reading {
    size_max: u64,
    size: u64,
    start: Vec<u8>,
    rules: u64,
    parser: Parser,
    writer: TextWriter,
}

impl TakeText for Reading {
    fn take(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.size += piece.len() as u64;
        if self.size_max < self.size {
            return Err(Refusal::TooLarge(self.size_max));
        }
        if self.start.len() < START_LEN {
            let room = START_LEN - self.start.len();
            self.start.extend_from_slice(piece.get(..room).unwrap_or(piece));
            check_start(&self.start)?;
        }
        if piece.contains(&0) {
            return Err(Refusal::Binary);
        }
        self.parser.push(piece, &mut |_| {
            self.rules += 1;
            Ok(())
        });
        self.writer.push(piece)?;
        Ok(())
    }
}

impl Reading {
    fn finish(mut self) -> Result<Taken, Refusal> {
        let (_, report) = self.parser.finish(&mut |_| {
            self.rules += 1;
            Ok(())
        });
        let unreadable = report.unreadable_count();
        let lines = report.lines.saturating_sub(report.comments).saturating_sub(report.blank);
        if UNREADABLE_FLOOR < unreadable && lines / 2 < unreadable {
            let faults = report.skipped().filter(|skipped| !skipped.skip.is_expected());
            let most = faults.max_by_key(|skipped| skipped.count);
            let first = most.and_then(|skipped| Some((skipped.first.first()?, skipped.skip)));
            let (line, example, reason) = first.map_or((0, String::new(), String::new()), |(first, skip)| {
                (first.line, first.text.escape_debug().to_string(), reason(skip))
            });
            return Err(Refusal::Unreadable { unreadable, lines, line, example, reason });
        }
        if self.rules == 0 {
            let most = report.skipped().max_by_key(|skipped| skipped.count);
            let skipped = most.map(|skipped| format!(", most of them skipped: {}", reason(skipped.skip)));
            return Err(Refusal::Empty { lines: report.lines, skipped });
        }
        // Lines that were skipped are entries too; authors count what they wrote.
        let found = self.rules.max(report.rule_lines.into()) + u64::from(report.skipped_count());
        if let Some(declared) = declared_entries(&self.start)
            && found < declared - declared / 4
            && MISSING_FLOOR < declared - found
        {
            return Err(Refusal::Cut { declared, found });
        }
        Ok(Taken { text: self.writer.finish()?, rules: self.rules })
    }
}

/// How many entries a list says it has, in the comments at its beginning: `# Number of entries: 61746`,
/// `! Total count: 1,234`, `# Entries: 143,876`.
///
/// A quarter of them may be missing, since some authors count before they remove duplicates.
fn declared_entries(start: &[u8]) -> Option<u64> {
    const WORDS: [&str; 6] = [
        "number of entries",
        "number of unique domains",
        "number of domains",
        "total number of entries",
        "total count",
        "entries",
    ];
    // The last line may be half.
    let whole = start.get(..start.iter().rposition(|octet| *octet == b'\n')?)?;
    whole.split(|octet| *octet == b'\n').find_map(|line| {
        let line = std::str::from_utf8(line).ok()?.trim();
        let comment = line.trim_start_matches(['#', '!', ';']);
        let (word, count) = if comment.len() < line.len() { comment.split_once(':')? } else { return None };
        let word = word.trim();
        WORDS.iter().find(|known| known.eq_ignore_ascii_case(word))?;
        count.trim().replace([',', '_', '\'', ' '], "").parse().ok()
    })
}

fn reason(skip: Skip) -> String {
    match skip {
        Skip::Name(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn check_start(start: &[u8]) -> Result<(), Refusal> {
    let packed: [(&[u8], _); 6] = [
        // Within another: one is unpacked.
        (b"\x1f\x8b", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"\xfd7zXZ\x00", "xz"),
        (b"BZh", "bzip2"),
    ];
    if let Some((_, what)) = packed.into_iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err(Refusal::Packed(what));
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    // No list begins with any of these; `<!--` stands before many a page's doctype.
    let html: [&[u8]; 6] = [b"<!doctype", b"<html", b"<head", b"<body", b"<!--", b"<?xml"];
    let begins = |tag: &&[u8]| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    if html.iter().any(begins) { Err(Refusal::Html) } else { Ok(()) }
}

/// A size as people say it.
fn size(octets: u64) -> String {
    match octets {
        0..=1023 => format!("the {octets} octets"),
        1024..=1_048_575 => format!("the {} KiB", octets / 1024),
        _ => format!("the {} MiB", octets / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &[u8], expected: &str) {
        for piece in [1, 7, text.len().max(1)] {
            let take = || {
                let mut intake = Intake::new(ParseOptions::default(), 64 * 1024, None)?;
                text.chunks(piece).try_for_each(|piece| intake.push(piece))?;
                intake.finish()
            };
            let found = match take() {
                Ok(_) => "taken".to_owned(),
                Err(refusal) => refusal.to_string(),
            };
            assert!(found.contains(expected), "{found:?} for {:?}", text.escape_ascii().to_string());
        }
    }

    #[test]
    fn what_is_no_list_is_told_for_what_it_is() {
        check(b"pixel.example\n", "taken");
        check(b"# a comment with <html> in it\npixel.example\n", "taken");
        check(b"<!DOCTYPE html><title>404</title>", "HTML page");
        check(b"\xef\xbb\xbf \r\n\t<HTML>pixel.example", "HTML page");
        check(b"<!-- saved -->\n<!doctype html>", "HTML page");
        check(b"", "no rule in it (0 lines)");
        check(b"# nothing\n\n", "no rule in it (2 lines)");
        check(b"# pixel.example\n", "to be without the list, remove it from the configuration");
        check(b"!#if adguard\n||pixel.example^\n!#endif\n", "syntax that this version does not read");
        check(b"pixel.example\n\0\0", "binary");
        check(b"\x1f\x8b\x08abc", "gzip file that can't be unpacked");
        check(b"PK\x03\x04abc", "zip file that can't be unpacked");
        check(b"BZh91AY", "bzip2 file, which is not unpacked");
        check(b"\xff\xfea\0.\0b\0", "taken");
        check(b"\xff\xfea\0.\0b", "within a character of UTF-16");
        check(b"\xff\xfea\0\0\0", "binary");
        check(&b"pixel.example\n".repeat(5000), "larger than the 64 KiB allowed");
        check(
            &[b"pixel.example\n".to_vec(), b"what is this\n".repeat(20)].concat(),
            "20 of 21 lines make no sense",
        );
        check(&[b"pixel.example\n".to_vec(), b"what is this\n".repeat(9)].concat(), "taken");
        check(&[b"p.example\n".repeat(30), b"what is this\n".repeat(29)].concat(), "taken");
    }

    #[test]
    fn packed_lists_are_held_to_the_same() {
        use crate::feed::unpack::tests::{gzip, zip};
        check(&gzip(b"pixel.example\n"), "taken");
        check(&zip(&[("list.txt", b"pixel.example\n")], true, true), "taken");
        check(&gzip(b"<!DOCTYPE html><title>404</title>"), "HTML page");
        check(&gzip(&gzip(b"pixel.example\n")), "gzip file, which is not unpacked");
        check(&gzip(&b"pixel.example\n".repeat(5000)), "larger than the 64 KiB allowed");
        check(&gzip(b"\xff\xfea\0.\0b\0"), "taken");
    }

    #[test]
    fn a_list_that_tells_how_long_it_is_is_held_to_that() {
        let list = |header: &str, entries: usize| {
            let names = (0..entries).map(|number| format!("n{number}.example\n"));
            [format!("{header}\n").into_bytes(), names.collect::<String>().into_bytes()].concat()
        };
        for header in
            ["# Number of entries: 1000", "! Total count: 1,000", "; Entries: 1000", "#  entries : 1'000"]
        {
            check(&list(header, 1000), "taken");
            check(&list(header, 750), "taken");
            check(&list(header, 700), "its header tells of 1000 entries, and it has 700");
        }
        check(&list("# Entries: 100", 3), "taken");
        check(&list("# Entries: many", 3), "taken");
        check(&list("# Entries blocked: 99999", 3), "taken");
        check(&list("# Number of entries: 18446744073709551615", 3), "it has 3");
    }

    #[test]
    fn a_list_that_lost_or_gained_much_waits() {
        for (before, after, waits) in [
            // HaGeZi Light on 2 May 2026.
            (70_092, 61_746, false),
            // AdGuard's filter gains 16,000 in a week.
            (160_000, 176_000, false),
            (100_000, 50_000, false),
            (100_000, 49_999, true),
            (100_000, 0, true),
            (201, 101, false),
            (201, 99, true),
            (100, 1, false),
            (100, 5_000, false),
            (1_500, 6_000, false),
            (1_500, 6_501, true),
            (100_000, 400_000, false),
            (100_000, 400_001, true),
            (0, 1_000, false),
        ] {
            assert_eq!(size_change(before, after).is_some(), waits, "{before} to {after}");
        }
    }
}
