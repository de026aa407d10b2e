//! A rule that a person wrote for themselves, in the configuration or on the page.
//!
//! Unlike a line of a list it is refused when it can't be read, and a plain name covers everything below it.

use super::{
    Action, Client, Modifiers, Pattern, PatternError, Picked, Rule, Scope, Subject, adblock, modifiers,
};
use crate::name::{DomainName, NameError};

/// A person's rule, without the word whether it allows or blocks: the place it was written in says so.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct OwnRule {
    /// What it is about.
    pub subject: Subject,
    /// The one device, or network, that it is for; `None`: it is for all.
    pub client: Option<Client>,
}

/// What stands before the device that a rule is for.
const CLIENT: &str = "$client=";

impl OwnRule {
    /// Reads `name`, `||name^` (the name and everything below it), `=name` (that name only), `*.name` (what is below it),
    /// each with `*` within for any characters, and `/regular expression/` (every name in which it is found).
    ///
    /// Behind any of them, `$client=` says for which device it is: its MAC or IP address, an address prefix, or its name
    /// in quotes.
    pub fn parse(text: &str) -> Result<Self, OwnRuleError> {
        let text = text.trim();
        let (about, client) = match split(text) {
            (about, Some(client)) => (about, Some(client_of(client)?)),
            (about, None) => (about, None),
        };
        let rule = Self::about(about.trim())?;
        Ok(Self { client, ..rule })
    }

    /// The same rule for one device only.
    #[must_use]
    pub fn for_client(self, client: Client) -> Self {
        Self { client: Some(client), ..self }
    }

    fn about(text: &str) -> Result<Self, OwnRuleError> {
        if text.starts_with("@@") {
            return Err(OwnRuleError::Exception);
        }
        if 1 < text.len() && text.starts_with('/') && text.ends_with('/') {
            let pattern = Pattern::compile(text, text.get(1..text.len() - 1).unwrap_or_default(), false)
                .map_err(OwnRuleError::Pattern)?;
            if pattern.covers_everything() {
                return Err(OwnRuleError::Pattern(PatternError::Everything));
            }
            return Ok(Self { subject: Subject::Pattern(pattern), client: None });
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
        Ok(Self { subject: Subject::Name { name, scope }, client: None })
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
        Ok(Self { subject, client: None })
    }

    /// What it is about, as a person writes it, whichever device it is for.
    pub fn shown_subject(&self) -> String {
        Self { client: None, ..self.clone() }.to_string()
    }

    /// The rule as a list has it.
    pub fn into_rule(self, action: Action, line: u32) -> Rule {
        let for_one = |client| {
            let clients = Some(Picked { only: [client].into(), except: [].into() });
            Box::new(Modifiers { clients, ..Modifiers::default() })
        };
        Rule { subject: self.subject, action, modifiers: self.client.map(for_one), line }
    }
}

/// What a rule is about, and the device that it is for. An expression may have a dollar sign of its own.
fn split(text: &str) -> (&str, Option<&str>) {
    let found = if text.starts_with('/') {
        text.rfind(&format!("/{CLIENT}")).map(|slash| slash + 1)
    } else {
        text.find(CLIENT)
    };
    found.map_or((text, None), |at| (text.get(..at).unwrap_or_default(), text.get(at + CLIENT.len()..)))
}

fn client_of(text: &str) -> Result<Client, OwnRuleError> {
    match modifiers::picked(text, modifiers::client) {
        Ok(Picked { only, except }) if except.is_empty() => match <[Client; 1]>::try_from(only.into_vec()) {
            Ok([client]) => Ok(client),
            Err(_) => Err(OwnRuleError::Clients),
        },
        Ok(_) => Err(OwnRuleError::Clients),
        Err(_) => Err(OwnRuleError::Client),
    }
}

/// Writes the rule so that [`OwnRule::parse`] reads it back.
impl std::fmt::Display for OwnRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.subject {
            Subject::Name { name, scope: Scope::Subtree } => name.fmt(f)?,
            other => other.fmt(f)?,
        }
        match &self.client {
            Some(client) => write!(f, "{CLIENT}{client}"),
            None => Ok(()),
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
    #[error(
        "what stands behind `$client=` is no device; write its MAC (`aa:bb:cc:dd:ee:ff`), its IP address or its name in \
         quotes (`'Living room TV'`)"
    )]
    Client,
    #[error("a rule of your own is for all devices or for one; write it once for each device")]
    Clients,
    #[error("an exception is written without `@@`, among the allowed names")]
    Exception,
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn reading_never_panics_and_what_was_read_reads_back(
            text in "(\\PC{0,20}|[/|=*.a-z]{0,12})([$]client=(\\PC{0,20}|['a\\\\|,~0-9:./-]{0,20}))?",
        ) {
            if let Ok(rule) = OwnRule::parse(&text) {
                proptest::prop_assert_eq!(OwnRule::parse(&rule.to_string()), Ok(rule), "{}", text);
            }
        }
    }

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
            ("pixel.example$client=AA-bb-cc-dd-ee-ff", "pixel.example$client=aa:bb:cc:dd:ee:ff"),
            ("=pixel.example $client=192.168.1.7", "=pixel.example$client=192.168.1.7"),
            ("*.pixel.example$client=fd00::/64", "*.pixel.example$client=fd00::/64"),
            (
                "pixel.example$client='Anna\\'s TV, \\| upstairs'",
                "pixel.example$client='Anna\\'s TV\\, \\| upstairs'",
            ),
            ("||ads*.example^$client=tv", "||ads*.example^$client='tv'"),
            ("/ads$/$client=tv", "/ads$/$client='tv'"),
            ("/^$client=/", "/^$client=/"),
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
        for (client, error) in [
            ("", OwnRuleError::Client),
            ("'tv", OwnRuleError::Client),
            ("tv|phone", OwnRuleError::Clients),
            ("~tv", OwnRuleError::Clients),
        ] {
            assert_eq!(OwnRule::parse(&format!("a.example$client={client}")), Err(error), "{client}");
        }
        assert_eq!(OwnRule::parse("@@a.example"), Err(OwnRuleError::Exception));
        assert_eq!(OwnRule::parse("192.0.2.1"), Err(OwnRuleError::Address));
        assert!(OwnRule::parse("").is_err());
    }
}
