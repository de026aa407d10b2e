//! A rule that a person wrote for themselves, in the configuration or on the page.
//!
//! Unlike a line of a list it is refused when it can't be read, and a plain name covers everything below it.

use super::{Action, Pattern, PatternError, Rule, Scope, Subject, adblock};
use crate::name::{DomainName, NameError};

/// A person's rule, without the word whether it allows or blocks: the place it was written in says so.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct OwnRule {
    /// What it is about.
    pub subject: Subject,
}

impl OwnRule {
    /// Reads `name`, `||name^` (the name and everything below it), `=name` (that name only), `*.name` (what is below it),
    /// each with `*` within for any characters, and `/regular expression/` (every name in which it is found).
    pub fn parse(text: &str) -> Result<Self, OwnRuleError> {
        let text = text.trim();
        if text.starts_with("@@") {
            return Err(OwnRuleError::Exception);
        }
        if 1 < text.len() && text.starts_with('/') && text.ends_with('/') {
            let pattern = Pattern::compile(text, text.get(1..text.len() - 1).unwrap_or_default(), false)
                .map_err(OwnRuleError::Pattern)?;
            if pattern.covers_everything() {
                return Err(OwnRuleError::Pattern(PatternError::Everything));
            }
            return Ok(Self { subject: Subject::Pattern(pattern) });
        }
        let (name, scope) = if let Some(name) = text.strip_prefix('=') {
            (name, Scope::Exact)
        } else if let Some(name) = text.strip_prefix("||*.").or_else(|| text.strip_prefix("*.")) {
            (name.strip_suffix('^').unwrap_or(name), Scope::Below)
        } else if let Some(name) = text.strip_prefix("||") {
            (name.strip_suffix('^').unwrap_or(name), Scope::Subtree)
        } else if let Some(name) = text.strip_prefix('|') {
            (name.strip_suffix('^').unwrap_or(name), Scope::Exact)
        } else {
            (text, Scope::Subtree)
        };
        if name.contains('*') {
            return Self::wildcards(name, scope);
        }
        if name.parse::<std::net::IpAddr>().is_ok() {
            return Err(OwnRuleError::Address);
        }
        let name = DomainName::parse(name).map_err(OwnRuleError::Name)?;
        Ok(Self { subject: Subject::Name { name, scope } })
    }

    fn wildcards(name: &str, scope: Scope) -> Result<Self, OwnRuleError> {
        let belongs =
            |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.' | '*');
        if let Some(character) = name.chars().find(|character| !belongs(*character)) {
            return Err(OwnRuleError::Name(NameError::Character(character)));
        }
        let name = name.to_ascii_lowercase();
        let pattern = match scope {
            Scope::Exact => format!("|{name}^"),
            Scope::Subtree => format!("||{name}^"),
            Scope::Below => format!("||*.{name}^"),
        };
        let subject = adblock::wildcards(&pattern).map_err(OwnRuleError::Pattern)?;
        Ok(Self { subject })
    }

    /// The rule as a list has it.
    pub fn into_rule(self, action: Action, line: u32) -> Rule {
        Rule { subject: self.subject, action, modifiers: None, line }
    }
}

/// Writes the rule so that [`OwnRule::parse`] reads it back.
impl std::fmt::Display for OwnRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.subject {
            Subject::Name { name, scope: Scope::Subtree } => name.fmt(f),
            other => other.fmt(f),
        }
    }
}

/// Why a person's rule was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum OwnRuleError {
    #[error(
        "{0}; write a name (`pixel.example`), `=name` for that name only, `*.name` for what is below it, or a regular \
         expression between slashes (`/^ads[0-9]+\\./`)"
    )]
    Name(NameError),
    #[error("{0}")]
    Pattern(PatternError),
    #[error("an address is not a name; nobody asks DNS for it")]
    Address,
    #[error("an exception is written without `@@`, among the allowed names")]
    Exception,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for (text, shown) in [
            ("pixel.example", "pixel.example"),
            ("||Pixel.example^", "pixel.example"),
            ("=pixel.example", "=pixel.example"),
            ("*.pixel.example", "*.pixel.example"),
            ("||*.pixel.example^", "*.pixel.example"),
            ("zip", "zip"),
            ("/^ads[0-9]+\\./", "/^ads[0-9]+\\./"),
            ("ads*.example", "||ads*.example^"),
            ("=Ads*.example", "|ads*.example^"),
            ("*.ads*.example", "||*.ads*.example^"),
            ("*ads.example", "||*ads.example^"),
        ] {
            let rule = OwnRule::parse(text).unwrap();
            assert_eq!(rule.to_string(), shown);
            assert_eq!(OwnRule::parse(shown), Ok(rule));
        }
        assert_eq!(OwnRule::parse("/(/"), Err(OwnRuleError::Pattern(PatternError::GroupOpen)));
        assert_eq!(OwnRule::parse("/^(?!www)/"), Err(OwnRuleError::Pattern(PatternError::LookAround)));
        assert_eq!(OwnRule::parse("/.*/"), Err(OwnRuleError::Pattern(PatternError::Everything)));
        assert_eq!(OwnRule::parse("*"), Err(OwnRuleError::Pattern(PatternError::Everything)));
        assert_eq!(OwnRule::parse("/"), Err(OwnRuleError::Name(NameError::Character('/'))));
        assert_eq!(OwnRule::parse("ads*/x"), Err(OwnRuleError::Name(NameError::Character('/'))));
        assert_eq!(OwnRule::parse("@@a.example"), Err(OwnRuleError::Exception));
        assert_eq!(OwnRule::parse("192.0.2.1"), Err(OwnRuleError::Address));
        assert!(OwnRule::parse("").is_err());
    }
}
