//! A rule that a person wrote for themselves, in the configuration or on the page.
//!
//! Unlike a line of a list it is refused when it can't be read, and a plain name covers everything below it.

use super::{Action, Rule, Scope, Subject};
use crate::name::{DomainName, NameError};

/// A person's rule, without the word whether it allows or blocks: the place it was written in says so.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct OwnRule {
    /// What it is about.
    pub subject: Subject,
}

impl OwnRule {
    /// Reads `name`, `||name^` (the name and everything below it), `=name` (that name only), `*.name` (what is below it).
    pub fn parse(text: &str) -> Result<Self, OwnRuleError> {
        let text = text.trim();
        if text.len() < 2 && text.starts_with('/') || text.starts_with('/') && text.ends_with('/') {
            return Err(OwnRuleError::Regex);
        }
        if text.starts_with("@@") {
            return Err(OwnRuleError::Exception);
        }
        let (name, scope) = if let Some(name) = text.strip_prefix('=') {
            (name, Scope::Exact)
        } else if let Some(name) = text.strip_prefix("*.") {
            (name, Scope::Below)
        } else if let Some(name) = text.strip_prefix("||") {
            (name.strip_suffix('^').unwrap_or(name), Scope::Subtree)
        } else {
            (text, Scope::Subtree)
        };
        if name.parse::<std::net::IpAddr>().is_ok() {
            return Err(OwnRuleError::Address);
        }
        let name = DomainName::parse(name).map_err(OwnRuleError::Name)?;
        Ok(Self { subject: Subject::Name { name, scope } })
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
        "{0}; write a name (`pixel.example`), `=name` for that name only or `*.name` for what is below it"
    )]
    Name(NameError),
    #[error(
        "regular expressions are not read by this version; write the names, or `*.name` for all below one"
    )]
    Regex,
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
            ("zip", "zip"),
        ] {
            let rule = OwnRule::parse(text).unwrap();
            assert_eq!(rule.to_string(), shown);
            assert_eq!(OwnRule::parse(shown), Ok(rule));
        }
        assert_eq!(OwnRule::parse("/^ads/"), Err(OwnRuleError::Regex));
        assert_eq!(OwnRule::parse("@@a.example"), Err(OwnRuleError::Exception));
        assert_eq!(OwnRule::parse("192.0.2.1"), Err(OwnRuleError::Address));
        assert!(OwnRule::parse("").is_err());
    }
}
