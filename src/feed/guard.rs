//! The guard: what comes as a list is taken only when it can be one.
//!
//! A text is looked at while it comes, so that what is too large or no text at all is refused after its first octets
//! and never held.

use std::io;

use super::text::{Text, TextWriter};
use crate::list::{ParseOptions, Parser, Skip};

/// How much of a text's beginning is looked at to tell what it is, in octets.
const START_LEN: usize = 4096;
/// So few unreadable lines are never a reason: a short list may begin with a few words to its reader.
const UNREADABLE_FLOOR: u32 = 10;

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
    #[error("is text in UTF-16; save it as UTF-8")]
    Utf16,
    #[error("is larger than {} allowed for a list; choose a smaller list or raise the limit", size(*.0))]
    TooLarge(u64),
    #[error(
        "is not a list that can be read: {unreadable} of {lines} lines make no sense (line {line}, `{example}`: \
         {reason}); check what it is, and its `format` if one is configured"
    )]
    Unreadable { unreadable: u32, lines: u32, line: u32, example: String, reason: String },
    #[error("could not be compressed: {0}")]
    Compression(#[from] io::Error),
}

/// Takes a text in, piece by piece.
pub(super) struct Intake {
    size_max: u64,
    size: u64,
    start: Vec<u8>,
    rules: u64,
    parser: Parser,
    writer: TextWriter,
}

impl Intake {
    pub(super) fn new(options: ParseOptions, size_max: u64) -> Result<Self, Refusal> {
        let (parser, writer) = (Parser::new(options), TextWriter::new()?);
        Ok(Self { size_max, size: 0, start: Vec::new(), rules: 0, parser, writer })
    }

    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
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

    pub(super) fn finish(mut self) -> Result<Text, Refusal> {
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
        Ok(self.writer.finish()?)
    }
}

fn reason(skip: Skip) -> String {
    match skip {
        Skip::Name(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn check_start(start: &[u8]) -> Result<(), Refusal> {
    let packed: [(&[u8], _); 6] = [
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
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        return Err(Refusal::Utf16);
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
                let mut intake = Intake::new(ParseOptions::default(), 64 * 1024)?;
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
        check(b"\x1f\x8b\x08abc", "gzip file");
        check(b"PK\x03\x04abc", "zip file");
        check(b"\xff\xfea\0.\0b\0", "UTF-16");
        check(&b"pixel.example\n".repeat(5000), "larger than the 64 KiB allowed");
        check(
            &[b"pixel.example\n".to_vec(), b"what is this\n".repeat(20)].concat(),
            "20 of 21 lines make no sense",
        );
        check(&[b"pixel.example\n".to_vec(), b"what is this\n".repeat(9)].concat(), "taken");
        check(&[b"p.example\n".repeat(30), b"what is this\n".repeat(29)].concat(), "taken");
    }
}
