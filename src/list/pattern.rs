//! Which names a pattern matches: a regular expression, or wildcards turned into one.

use std::fmt;

use regex_automata::nfa::thompson::{NFA, WhichCaptures, pikevm::PikeVM};
use regex_syntax::ast::ErrorKind;
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Hir, HirKind};

use super::{PATTERN_LEN_MAX, PATTERN_NEST_MAX, PATTERN_SIZE_MAX, PATTERNS_MAX, Skip};

/// How many patterns a text has had, good ones or not: each takes time to check.
#[derive(Debug, Default)]
pub(super) struct Budget(u32);

impl Budget {
    /// As [`Pattern::compile`], for as long as the text has not had [`PATTERNS_MAX`] of them.
    pub(super) fn compile(&mut self, text: &str, expression: &str, inverted: bool) -> Result<Pattern, Skip> {
        if self.0 == PATTERNS_MAX {
            return Err(Skip::TooManyPatterns);
        }
        self.0 += 1;
        Pattern::compile(text, expression, inverted).map_err(Skip::Pattern)
    }
}

/// Matches names as text: lower case, labels joined by dots, no final dot.
///
/// A value of this type is a valid expression without look-around, as a list has it in [`PATTERN_LEN_MAX`] octets and
/// compiled in [`PATTERN_SIZE_MAX`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Pattern {
    text: Box<str>,
    regex: Box<str>,
    inverted: bool,
}

impl Pattern {
    /// Checks an expression; `text` is how it is shown.
    ///
    /// Names are ASCII, so that Unicode is off, and lower case, so that case is folded here once: what
    /// [`Self::as_regex`] gives needs no flags.
    pub(super) fn compile(text: &str, expression: &str, inverted: bool) -> Result<Self, PatternError> {
        if PATTERN_LEN_MAX < expression.len() {
            return Err(PatternError::TooLong);
        }
        if !expression.is_ascii() {
            return Err(PatternError::NotAscii);
        }
        // Collating symbols of POSIX mean something else to every other dialect.
        if ["[.", "[="].iter().any(|open| expression.contains(&format!("[{open}")))
            && expression.contains("]]")
        {
            return Err(PatternError::Unknown);
        }
        let hir = regex_syntax::ParserBuilder::new()
            .nest_limit(PATTERN_NEST_MAX)
            .unicode(false)
            .utf8(false)
            .case_insensitive(true)
            .build()
            .parse(&from_posix(expression))
            .map_err(|error| PatternError::from(&error))?;
        let hir = folded(hir);
        compiled(&hir)?;
        // What matches the empty text without looking at where it is matches everywhere.
        let properties = hir.properties();
        let is_empty = properties.minimum_len() == Some(0) && properties.look_set().is_empty();
        let regex = if is_empty { String::new() } else { hir.to_string() };
        Ok(Self { text: text.into(), regex: regex.into(), inverted })
    }

    /// Takes a pattern back from where a valid one was stored.
    pub fn stored(text: &str, regex: &str, inverted: bool) -> Self {
        Self { text: text.into(), regex: regex.into(), inverted }
    }

    /// How it is shown: `/regex/`, or the wildcards as the list has them.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The expression, in the syntax of the `regex` crates: for text in lower case, with every flag that it needs.
    pub fn as_regex(&self) -> &str {
        &self.regex
    }

    /// Whether it covers the names that do not match.
    pub const fn is_inverted(&self) -> bool {
        self.inverted
    }

    /// Whether it covers nearly every name: as `*` does, or `/\./`, or as the names that do not match something.
    ///
    /// Told by names that have so little in common that what covers all of them was meant for every name.
    pub fn covers_everything(&self) -> bool {
        self.inverted || self.matches_every_name()
    }

    /// Whether it was written so that it matches every name.
    pub(super) fn matches_every_name(&self) -> bool {
        if self.regex.is_empty() {
            return !self.inverted;
        }
        let hir = regex_syntax::ParserBuilder::new().utf8(false).build().parse(&self.regex);
        let matcher = hir.ok().and_then(|hir| PikeVM::new_from_nfa(compiled(&hir).ok()?).ok());
        !self.inverted
            && matcher.is_some_and(|matcher| {
                let mut cache = matcher.create_cache();
                UNLIKE_NAMES.iter().all(|name| matcher.is_match(&mut cache, *name))
            })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// See [`Pattern::covers_everything`].
const UNLIKE_NAMES: [&str; 4] = ["a.zz", "zq9x.example", "7-w.b.co.uk", "_m.xn--p1ai"];

fn compiled(hir: &Hir) -> Result<NFA, PatternError> {
    let limits =
        NFA::config().utf8(false).which_captures(WhichCaptures::None).nfa_size_limit(Some(PATTERN_SIZE_MAX));
    NFA::compiler().configure(limits).build_from_hir(hir).map_err(|_| PatternError::TooLarge)
}

/// The differences of POSIX expressions as Pi-hole has them (regex(7), TRE): within brackets `[` stands for itself unless
/// it begins a class such as `[:digit:]`, there are no set operations, and `{,3}` has a lower bound of 0.
fn from_posix(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len() + 8);
    let mut rest = expression.chars().peekable();
    let mut in_brackets = false;
    while let Some(character) = rest.next() {
        out.push(character);
        let next = rest.peek().copied();
        match (in_brackets, character) {
            (_, '\\') => out.extend(rest.next()),
            (false, '{') if next == Some(',') => out.push('0'),
            (false, '[') => {
                in_brackets = true;
                out.extend(rest.next_if_eq(&'^'));
                // A bracket that comes first stands for itself.
                if rest.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            (true, ']') => in_brackets = false,
            (true, '[') if next == Some(':') => {
                for inner in rest.by_ref() {
                    out.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
            }
            (true, '[' | '&' | '~') => {
                out.pop();
                out.push('\\');
                out.push(character);
            }
            (true, '-') if next == Some('-') => {
                out.pop();
                out.push_str("\\-");
            }
            _ => {}
        }
    }
    out
}

/// The same for text in lower case: no capitals, no octets beyond ASCII, no captures.
fn folded(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Class(Class::Bytes(mut class)) => {
            let ascii = [ClassBytesRange::new(0, b'@'), ClassBytesRange::new(b'[', 127)];
            class.intersect(&ClassBytes::new(ascii));
            Hir::class(Class::Bytes(class))
        }
        HirKind::Class(class) => Hir::class(class),
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(mut repetition) => {
            repetition.sub = Box::new(folded(*repetition.sub));
            Hir::repetition(repetition)
        }
        HirKind::Capture(capture) => folded(*capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(folded).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.into_iter().map(folded).collect()),
    }
}

/// Why a pattern is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PatternError {
    #[error("look-around (`(?=`, `(?!`, `(?<`) is not supported in a regular expression; write it without")]
    LookAround,
    #[error("back-references (`\\1`) are not supported in a regular expression; write it without")]
    BackReference,
    #[error("a pattern of more than 1000 octets")]
    TooLong,
    #[error("a regular expression that would take more than 128 KiB; repeat less in it")]
    TooLarge,
    #[error("groups are nested too deeply in a regular expression")]
    TooDeep,
    #[error("a pattern with other than ASCII characters; write international names as `xn--…`")]
    NotAscii,
    #[error("a `(` without its `)` in a regular expression")]
    GroupOpen,
    #[error("a `)` without its `(` in a regular expression")]
    GroupClosed,
    #[error("a `[` without its `]` in a regular expression")]
    BracketsOpen,
    #[error("a range whose end comes before its beginning in a regular expression")]
    Range,
    #[error(
        "a repetition (`*`, `+`, `?`, `{{n}}`) of nothing, or with no valid count, in a regular expression"
    )]
    Repetition,
    #[error("an escape (`\\`) that means nothing in a regular expression")]
    Escape,
    #[error("flags (`(?…)`) or a class that is not known in a regular expression")]
    Unknown,
    #[error("a pattern that matches every name")]
    Everything,
}

impl From<&regex_syntax::Error> for PatternError {
    fn from(error: &regex_syntax::Error) -> Self {
        let regex_syntax::Error::Parse(error) = error else { return Self::Unknown };
        match error.kind() {
            ErrorKind::UnsupportedLookAround => Self::LookAround,
            ErrorKind::UnsupportedBackreference => Self::BackReference,
            ErrorKind::NestLimitExceeded(_) => Self::TooDeep,
            ErrorKind::GroupUnclosed => Self::GroupOpen,
            ErrorKind::GroupUnopened => Self::GroupClosed,
            ErrorKind::ClassUnclosed => Self::BracketsOpen,
            ErrorKind::ClassRangeInvalid | ErrorKind::ClassRangeLiteral => Self::Range,
            ErrorKind::RepetitionCountInvalid
            | ErrorKind::RepetitionCountDecimalEmpty
            | ErrorKind::RepetitionCountUnclosed
            | ErrorKind::RepetitionMissing
            | ErrorKind::DecimalEmpty
            | ErrorKind::DecimalInvalid => Self::Repetition,
            ErrorKind::EscapeUnexpectedEof
            | ErrorKind::EscapeUnrecognized
            | ErrorKind::ClassEscapeInvalid
            | ErrorKind::EscapeHexEmpty
            | ErrorKind::EscapeHexInvalid
            | ErrorKind::EscapeHexInvalidDigit => Self::Escape,
            _ => Self::Unknown,
        }
    }
}
