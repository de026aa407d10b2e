//! Patterns: few, off the way of plain names, and tried only on a name that has a piece of one in it.
//!
//! Each pattern is asked which pieces of text ([`LITERAL_LEN_MIN`] octets or more) a name must have for it to match at all. One
//! automaton looks for all pieces at once. Patterns that may match are tried in groups, each group one machine that reads a name
//! once. Patterns without such a piece are tried on every name.
//!
//! Everything is bounded: patterns ([`PATTERNS_MAX`]), the size of each ([`NFA_LEN_MAX`]) and of all ([`ALL_NFA_LEN_MAX`]), and the
//! memory of each group while it matches ([`CACHE_LEN_MAX`]).

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Input, PatternID, PatternSet};
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Hir, HirKind};

use super::bytes::{Reader, put_prefixed, put_varint};
use crate::list::Pattern;
use crate::name::{NAME_LEN_MAX, NameRef};

/// The most patterns of a ruleset. Real lists have a few hundred.
pub(super) const PATTERNS_MAX: usize = 4096;
/// The largest machine of one pattern, in octets. `(\w{1,100}\.){1,100}` is larger, and nobody means it.
const NFA_LEN_MAX: usize = crate::list::PATTERN_SIZE_MAX;
/// The machines of all patterns together, in octets.
const ALL_NFA_LEN_MAX: usize = 8 * 1024 * 1024;
/// When a group has grown to so much, the next one begins.
const GROUP_NFA_LEN_MAX: usize = 512 * 1024;
const GROUP_MAX: usize = 128;
/// What a group may hold of its machine's states in each thread, in octets.
const CACHE_LEN_MAX: usize = 256 * 1024;
/// A shorter piece of text is in too many names to tell anything.
const LITERAL_LEN_MIN: usize = 3;
/// A pattern with more alternatives than this counts as one without a piece.
const LITERALS_MAX: usize = 64;
/// The deepest nesting of an expression; as it is written back it may be deeper than it was.
const NEST_LIMIT: u32 = 4 * crate::list::PATTERN_NEST_MAX;

/// Why a pattern is not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PatternError {
    #[error("there are more than {PATTERNS_MAX} patterns, or they are too large together")]
    TooMany,
    #[error("the pattern grows to more than {} KiB", NFA_LEN_MAX / 1024)]
    TooLarge,
    #[error("{0}")]
    Invalid(String),
}

/// Patterns while a ruleset is built.
#[derive(Default)]
pub(super) struct PatternsBuilder {
    count: usize,
    nfa_len: usize,
}

impl PatternsBuilder {
    /// Whether there is room for another pattern.
    pub(super) fn admit(&mut self, pattern: &Pattern) -> Result<(), PatternError> {
        if self.count == PATTERNS_MAX {
            return Err(PatternError::TooMany);
        }
        let length = nfa_len(&parse(pattern.as_regex())?).ok_or(PatternError::TooLarge)?;
        if ALL_NFA_LEN_MAX < self.nfa_len + length {
            return Err(PatternError::TooMany);
        }
        self.count += 1;
        self.nfa_len += length;
        Ok(())
    }
}

/// Writes a pattern and its attribute.
pub(super) fn put(out: &mut Vec<u8>, pattern: &Pattern, attribute: u32) {
    put_prefixed(out, pattern.text().as_bytes());
    put_prefixed(out, pattern.as_regex().as_bytes());
    out.push(u8::from(pattern.is_inverted()));
    put_varint(out, attribute);
}

/// All patterns, ready to match.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    patterns: Vec<(Pattern, u32)>,
    groups: Vec<Group>,
    /// Finds the pieces of text, and for each the group to try.
    pieces: Option<(AhoCorasick, Vec<u32>)>,
    /// The groups to try on every name.
    always: Vec<u32>,
}

/// Pieces of text of which a name must have one.
type Pieces = Vec<Vec<u8>>;

/// Patterns that are tried together.
#[derive(Debug)]
struct Group {
    members: Vec<u32>,
    expressions: Vec<Hir>,
    machine: OnceLock<Option<Regex>>,
}

impl Patterns {
    /// Reads what [`put`] wrote; `None` when it is something else.
    pub(super) fn read(octets: &[u8]) -> Option<Self> {
        let mut reader = Reader(octets);
        let mut patterns = Vec::new();
        while !reader.0.is_empty() {
            let (text, regex) = (reader.text()?, reader.text()?);
            let is_inverted = reader.u8()? == 1;
            patterns.push((Pattern::stored(text, regex, is_inverted), reader.varint()?));
        }
        Self::new(patterns)
    }

    fn new(patterns: Vec<(Pattern, u32)>) -> Option<Self> {
        let mut with_pieces = Vec::new();
        let mut without = Vec::new();
        for (index, (pattern, _)) in (0_u32..).zip(&patterns) {
            let hir = parse(pattern.as_regex()).ok()?;
            match pieces(&hir).filter(|_| !pattern.is_inverted()) {
                Some(pieces) => with_pieces.push((pieces, index, hir)),
                None => without.push((Vec::new(), index, hir)),
            }
        }
        // Patterns with the same pieces come into the same group, so that one piece wakes few groups.
        with_pieces.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
        let mut all = Self { patterns, ..Self::default() };
        let mut pieces: Vec<(Vec<u8>, u32)> = Vec::new();
        for (group, texts) in all.group(with_pieces)? {
            pieces.extend(texts.into_iter().flatten().map(|text| (text, group)));
        }
        pieces.sort();
        pieces.dedup();
        all.always = all.group(without)?.into_iter().map(|(group, _)| group).collect();
        if !pieces.is_empty() {
            let texts = pieces.iter().map(|(text, _)| text);
            let finder = AhoCorasick::builder().match_kind(MatchKind::Standard).build(texts).ok()?;
            all.pieces = Some((finder, pieces.into_iter().map(|(_, group)| group).collect()));
        }
        Some(all)
    }

    /// Makes groups of these patterns and gives each one's number with the pieces of its members; `None` when a pattern is
    /// larger than any that [`PatternsBuilder::admit`] lets in.
    fn group(&mut self, patterns: Vec<(Pieces, u32, Hir)>) -> Option<Vec<(u32, Vec<Pieces>)>> {
        let mut made: Vec<(u32, Vec<Pieces>)> = Vec::new();
        let mut room = 0;
        for (pieces, index, hir) in patterns {
            let length = nfa_len(&hir)?;
            let last = self.groups.last().map_or(0, |group| group.members.len());
            if made.is_empty() || room < length || last == GROUP_MAX {
                room = GROUP_NFA_LEN_MAX;
                made.push((u32::try_from(self.groups.len()).unwrap_or(u32::MAX), Vec::new()));
                self.groups.push(Group {
                    members: Vec::new(),
                    expressions: Vec::new(),
                    machine: OnceLock::new(),
                });
            }
            room = room.saturating_sub(length);
            if let (Some(group), Some((_, all))) = (self.groups.last_mut(), made.last_mut()) {
                group.members.push(index);
                group.expressions.push(hir);
                all.push(pieces);
            }
        }
        Some(made)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The patterns that match a name, each with its attribute.
    pub(super) fn matching(&self, name: NameRef<'_>) -> Vec<(&Pattern, u32)> {
        let mut buffer = [0; NAME_LEN_MAX];
        let text = write_text(name, &mut buffer);
        let mut groups = self.always.clone();
        if let Some((finder, owners)) = &self.pieces {
            let found = finder.find_overlapping_iter(text);
            groups.extend(found.filter_map(|found| owners.get(found.pattern().as_usize())));
        }
        groups.sort_unstable();
        groups.dedup();
        let groups = groups.into_iter().filter_map(|group| self.groups.get(group as usize));
        let mut matching: Vec<u32> = groups.flat_map(|group| self.matching_in(group, text)).collect();
        matching.sort_unstable();
        matching.iter().filter_map(|&index| self.at(index)).collect()
    }

    fn matching_in(&self, group: &Group, text: &[u8]) -> Vec<u32> {
        let machine = group.machine.get_or_init(|| machine(&group.expressions).ok());
        let Some(machine) = machine else { return Vec::new() };
        let mut found = PatternSet::new(machine.pattern_len());
        machine.which_overlapping_matches(&Input::new(text), &mut found);
        let members = group.members.iter().enumerate();
        let covers = |&(place, &index): &(usize, &u32)| {
            let place = PatternID::new(place).is_ok_and(|place| found.contains(place));
            place != self.at(index).is_some_and(|(pattern, _)| pattern.is_inverted())
        };
        members.filter(covers).map(|(_, &index)| index).collect()
    }

    fn at(&self, index: u32) -> Option<(&Pattern, u32)> {
        self.patterns.get(index as usize).map(|(pattern, attribute)| (pattern, *attribute))
    }

    /// All patterns with their attributes.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Pattern, u32)> {
        self.patterns.iter()
    }
}

/// The name as patterns see it: lower case, labels joined by dots, whatever octets are in them.
fn write_text<'a>(name: NameRef<'_>, buffer: &'a mut [u8; NAME_LEN_MAX]) -> &'a [u8] {
    let mut end = 0;
    for label in name.labels() {
        if 0 < end {
            if let Some(place) = buffer.get_mut(end) {
                *place = b'.';
            }
            end += 1;
        }
        if let Some(place) = buffer.get_mut(end..end + label.len()) {
            place.copy_from_slice(label);
        }
        end += label.len();
    }
    buffer.get(..end).unwrap_or_default()
}

/// Reads an expression. A pattern's is for lower case already, and names are in lower case.
fn parse(regex: &str) -> Result<Hir, PatternError> {
    let mut parser = regex_syntax::ParserBuilder::new().utf8(false).nest_limit(NEST_LIMIT).build();
    parser.parse(regex).map_err(|error| PatternError::Invalid(error.to_string()))
}

/// Pieces of text of which every name that matches has one; `None` when there are no such pieces.
fn pieces(hir: &Hir) -> Option<Pieces> {
    let mut found = match hir.kind() {
        HirKind::Alternation(branches) => {
            let all: Option<Vec<_>> = branches.iter().map(pieces).collect();
            all?.concat()
        }
        HirKind::Concat(parts) => {
            let tails =
                (0..parts.len()).filter_map(|start| beginnings(&Hir::concat(parts.get(start..)?.to_vec())));
            let inner = parts.iter().filter_map(pieces);
            // The longest of the shortest pieces tells most.
            tails
                .chain(inner)
                .max_by_key(|pieces| (pieces.iter().map(Vec::len).min(), usize::MAX - pieces.len()))?
        }
        HirKind::Capture(capture) => pieces(&capture.sub)?,
        HirKind::Repetition(repetition) if 0 < repetition.min => pieces(&repetition.sub)?,
        _ => beginnings(hir)?,
    };
    found.sort();
    found.dedup();
    (found.len() <= LITERALS_MAX).then_some(found)
}

fn beginnings(hir: &Hir) -> Option<Pieces> {
    let mut extractor = Extractor::new();
    extractor.kind(ExtractKind::Prefix).limit_total(LITERALS_MAX).limit_literal_len(32);
    let sequence = extractor.extract(hir);
    let literals = sequence.literals()?;
    let is_long = literals.iter().all(|literal| LITERAL_LEN_MIN <= literal.as_bytes().len());
    (is_long && !literals.is_empty())
        .then(|| literals.iter().map(|literal| literal.as_bytes().to_vec()).collect())
}

/// How large the machine of an expression is, in octets; `None` when it is too large.
fn nfa_len(hir: &Hir) -> Option<usize> {
    let config =
        thompson::Config::new().which_captures(WhichCaptures::None).nfa_size_limit(Some(NFA_LEN_MAX));
    thompson::Compiler::new().configure(config).build_from_hir(hir).ok().map(|nfa| nfa.memory_usage())
}

fn machine(expressions: &[Hir]) -> Result<Regex, Box<regex_automata::meta::BuildError>> {
    let config = Regex::config()
        // Every pattern that matches, not the one that matches first.
        .match_kind(regex_automata::MatchKind::All)
        .which_captures(WhichCaptures::None)
        // Bounded already, by the sum of what its patterns take.
        .nfa_size_limit(None)
        .hybrid_cache_capacity(CACHE_LEN_MAX)
        .onepass(false)
        .backtrack(false)
        .auto_prefilter(false);
    Regex::builder().configure(config).build_many_from_hir(expressions).map_err(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::DomainName;

    fn patterns(texts: &[&str]) -> Patterns {
        let mut octets = Vec::new();
        for (text, attribute) in texts.iter().zip(0..) {
            let (regex, is_inverted) = text.strip_prefix('!').map_or((*text, false), |regex| (regex, true));
            put(&mut octets, &Pattern::stored(text, regex, is_inverted), attribute);
        }
        Patterns::read(&octets).unwrap()
    }

    #[track_caller]
    fn check(patterns: &Patterns, name: &str, expected: &[u32]) {
        let name = DomainName::parse(name).unwrap();
        let found: Vec<u32> =
            patterns.matching(name.as_ref()).iter().map(|(_, attribute)| *attribute).collect();
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn a_name_is_matched_by_each_pattern_that_fits() {
        let patterns = patterns(&[
            "^ads[0-9]+\\.",
            "^(.+[_.-])?adse?rv(er?|ice)?s?[0-9]*[_.-]",
            "^ad([sxv]?[0-9]*|system)[_.-]([^.[:space:]]+\\.){1,}|[_.-]ad([sxv]?[0-9]*|system)[_.-]",
            "telemetry",
            "^.{30,}$",
            "!^[a-z]",
        ]);
        check(&patterns, "ads1.cdn.example", &[0, 2]);
        check(&patterns, "xads1.example", &[]);
        check(&patterns, "cdn-adserver.example", &[1]);
        check(&patterns, "my.telemetry.example", &[3]);
        check(&patterns, "a-very-long-name-that-nobody-types.example", &[4]);
        check(&patterns, "1.example", &[5]);
        // More than one of a group.
        check(&patterns, "ads1-adserver-telemetry.cdn.example", &[1, 2, 3, 4]);
        assert!(patterns.pieces.is_some() && patterns.always.len() == 1);
    }

    #[test]
    fn the_pieces_a_name_must_have() {
        let check = |regex: &str, expected: &[&str]| {
            let found = pieces(&parse(regex).unwrap()).unwrap_or_default();
            let found: Vec<_> = found.iter().map(|piece| String::from_utf8_lossy(piece)).collect();
            assert_eq!(found, expected, "{regex}");
        };
        check("^telemetry\\.", &["telemetry."]);
        check("^(.+[_.-])?telemetry[_.-]", &["telemetry-", "telemetry.", "telemetry_"]);
        check("(twitter|twimg)\\.(co\\.)?[^.]+$", &["twimg.", "twimg.co.", "twitter.", "twitter.co."]);
        check("^a[0-9]", &[]);
        check(".*", &[]);
        check("^(pixel)+", &["pixel"]);
    }

    #[test]
    fn what_is_invalid_or_grows_too_large_is_refused() {
        let mut builder = PatternsBuilder::default();
        let mut admit = |regex: &str| builder.admit(&Pattern::stored(regex, regex, false));
        assert_eq!(admit("^ads"), Ok(()));
        assert!(matches!(admit("(?=ads)"), Err(PatternError::Invalid(_))));
        assert_eq!(admit("((a{1,100}){1,100}){1,100}"), Err(PatternError::TooLarge));
        for number in 1..PATTERNS_MAX {
            assert_eq!(admit(&format!("^a{number}")), Ok(()));
        }
        assert_eq!(admit("^ads"), Err(PatternError::TooMany));
    }

    #[test]
    fn a_stored_pattern_that_no_list_could_have_is_not_taken() {
        let mut octets = Vec::new();
        put(&mut octets, &Pattern::stored("x", "((a{1,100}){1,100}){1,100}", false), 0);
        assert!(Patterns::read(&octets).is_none());
    }
}
