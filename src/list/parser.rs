//! A text cut into lines, and the account kept of them.

use super::finder::Sieve;
use super::line::{Line, Reader};
use super::report::EXAMPLES_MAX;
use super::{
    Action, Answer, Format, LINE_LEN_MAX, ParseOptions, RECORDS_MAX, Record, Report, Rule, Skip, Skipped,
};

/// Reads a text piece by piece, wherever it is cut, so that neither the text nor its rules need be held as a whole.
///
/// A line ends with LF, CR LF or CR; no more of one is kept than [`LINE_LEN_MAX`].
#[derive(Debug, Default)]
pub struct Parser {
    reader: Reader,
    report: Report,
    /// How many lines were of each [`Format`].
    votes: [u32; Format::ALL.len()],
    /// The rules of one line, on their way to the caller.
    rules: Vec<Rule>,
    /// A rule whose answer may go on in the next line.
    pending: Option<Pending>,
    /// What tells lines that need not be read, when one rule is looked for.
    sieve: Option<Sieve>,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// Whether more of that line was dropped.
    overlong: bool,
    /// Whether the last octet was a CR, so that a LF belongs to it.
    after_cr: bool,
}

/// A rule with records of its own, such as `name A 192.0.2.1`; the next line may add `name AAAA 2001:db8::1` to it.
#[derive(Debug)]
struct Pending {
    rule: Rule,
    records: Vec<Record>,
    lines: u32,
    first: Vec<Skipped>,
}

/// The lines that a rule comes from.
#[derive(Clone, Copy)]
pub(super) enum Lines<'a> {
    /// The one that is being read.
    Current(&'a [u8]),
    /// Several, of which these are the first.
    Several(&'a [Skipped]),
}

impl Parser {
    /// A parser that has read nothing yet.
    pub fn new(options: ParseOptions) -> Self {
        Self { reader: Reader::new(options), ..Self::default() }
    }

    /// Reads on; every rule is handed to `add` in the order of the text.
    ///
    /// `add` says why it does not take a rule; a line of which no rule is taken is counted as skipped for that reason.
    pub fn push(&mut self, piece: &[u8], add: &mut impl FnMut(Rule) -> Result<(), Skip>) {
        self.read(piece, &mut |rule, _| add(rule));
    }

    /// Reads what is left and gives the syntax of most lines, `None` when there was no rule, with the account of all.
    pub fn finish(mut self, add: &mut impl FnMut(Rule) -> Result<(), Skip>) -> (Option<Format>, Report) {
        self.end(&mut |rule, _| add(rule));
        let most = self.votes.iter().copied().max().unwrap_or_default();
        let format = Format::ALL
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

    /// Reads only the lines that `sieve` lets through, and such as change what they mean.
    pub(super) fn pass_over(&mut self, sieve: Sieve) {
        self.sieve = Some(sieve);
    }

    /// As [`Self::push`], with the lines that each rule comes from.
    pub(super) fn read(
        &mut self,
        mut piece: &[u8],
        add: &mut impl FnMut(Rule, Lines<'_>) -> Result<(), Skip>,
    ) {
        while let Some(&first) = piece.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                piece = piece.get(1..).unwrap_or_default();
                continue;
            }
            let end = memchr::memchr2(b'\n', b'\r', piece);
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

    pub(super) fn end(&mut self, add: &mut impl FnMut(Rule, Lines<'_>) -> Result<(), Skip>) {
        if !self.partial.is_empty() {
            self.held_line(add);
        }
        self.deliver_pending(add);
    }

    fn hold(&mut self, part: &[u8]) {
        let room = LINE_LEN_MAX.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(part.get(..room).unwrap_or(part));
        self.overlong |= room < part.len();
    }

    fn held_line(&mut self, add: &mut impl FnMut(Rule, Lines<'_>) -> Result<(), Skip>) {
        let line = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.overlong) {
            self.reader.forget_owner();
            self.deliver_pending(add);
            self.report.lines += 1;
            self.report.skip(Skip::TooLong, self.report.lines, &String::from_utf8_lossy(&line));
        } else {
            self.line(&line, add);
        }
        self.partial = line;
        self.partial.clear();
    }

    fn line(&mut self, raw: &[u8], add: &mut impl FnMut(Rule, Lines<'_>) -> Result<(), Skip>) {
        let is_first = self.report.lines == 0;
        let raw = if is_first { raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw) } else { raw };
        self.report.lines += 1;
        if let Some(sieve) = &mut self.sieve
            && !is_first
            && !self.reader.is_within_record()
            && !sieve.passes(raw)
        {
            self.report.comments += 1;
            if !raw.starts_with(b"#") && !raw.starts_with(b";") && !raw.starts_with(b"!") {
                self.reader.forget_owner();
                self.deliver_pending(add);
            }
            return;
        }
        let line = self.reader.read(raw, is_first, &mut self.rules);
        match line {
            Line::Blank => self.report.blank += 1,
            Line::Comment => {
                self.report.comments += 1;
                self.report.header.read(self.report.lines, raw);
            }
            Line::Skip(skip) => {
                self.deliver_pending(add);
                self.skip(skip, raw);
            }
            Line::Rules(format) => match self.deliver(raw, add) {
                Ok(()) => {
                    self.report.rule_lines += 1;
                    if let Some(vote) = self.votes.get_mut(format as usize) {
                        *vote += 1;
                    }
                }
                Err(skip) => self.skip(skip, raw),
            },
        }
    }

    fn skip(&mut self, skip: Skip, raw: &[u8]) {
        self.report.skip(skip, self.report.lines, &String::from_utf8_lossy(raw));
    }

    /// Hands on the rules of a line; an error when none of them was taken.
    fn deliver(
        &mut self,
        raw: &[u8],
        add: &mut impl FnMut(Rule, Lines<'_>) -> Result<(), Skip>,
    ) -> Result<(), Skip> {
        if self.pending.is_some() || self.rules.iter().any(|rule| rule.modifiers.is_some()) {
            if let [rule] = &mut *self.rules
                && let Some(records) = take_records(rule)
            {
                let rule = self.rules.pop();
                return rule.map_or(Ok(()), |rule| self.collect(rule, records, raw, add));
            }
            self.deliver_pending(add);
        }
        let mut outcome = None;
        for mut rule in self.rules.drain(..) {
            rule.line = self.report.lines;
            match add(rule, Lines::Current(raw)) {
                Ok(()) => outcome = Some(Ok(())),
                Err(skip) => outcome = outcome.or(Some(Err(skip))),
            }
        }
        outcome.unwrap_or(Ok(()))
    }

    /// Adds records to the rule of the line before when they are of the same owner, or begins a new one.
    fn collect(
        &mut self,
        mut rule: Rule,
        records: Box<[Record]>,
        raw: &[u8],
        add: &mut impl FnMut(Rule, Lines<'_>) -> Result<(), Skip>,
    ) -> Result<(), Skip> {
        let line = self.report.lines;
        let same = |pending: &&mut Pending| {
            (&pending.rule.subject, pending.rule.action, &pending.rule.modifiers)
                == (&rule.subject, rule.action, &rule.modifiers)
        };
        let text = || Skipped::new(line, &String::from_utf8_lossy(raw));
        if let Some(pending) = self.pending.as_mut().filter(same) {
            if RECORDS_MAX < pending.records.len() + records.len() {
                return Err(Skip::TooManyRecords);
            }
            pending.records.extend(records);
            pending.lines += 1;
            if pending.first.len() < EXAMPLES_MAX {
                pending.first.push(text());
            }
            return Ok(());
        }
        self.deliver_pending(add);
        rule.line = line;
        self.pending = Some(Pending { rule, records: records.into(), lines: 1, first: vec![text()] });
        Ok(())
    }

    fn deliver_pending(&mut self, add: &mut impl FnMut(Rule, Lines<'_>) -> Result<(), Skip>) {
        let Some(Pending { mut rule, mut records, lines, first }) = self.pending.take() else { return };
        records.sort();
        records.dedup();
        rule.modifiers.get_or_insert_default().answer = Some(Answer::Records(records.into()));
        if let Err(skip) = add(rule, Lines::Several(&first)) {
            self.report.skip_instead(skip, lines, first);
        }
    }
}

/// Takes out the records that a rule answers with, when it does so.
fn take_records(rule: &mut Rule) -> Option<Box<[Record]>> {
    if rule.action == Action::Allow {
        return None;
    }
    let answer = &mut rule.modifiers.as_mut()?.answer;
    match answer.take() {
        Some(Answer::Records(records)) if !records.is_empty() => Some(records),
        other => {
            *answer = other;
            None
        }
    }
}
