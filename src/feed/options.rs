//! Which sources there are and how they are fetched.

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use crate::list::{Action, Format, OwnRule, Rule};

/// All that the feed needs to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeedOptions {
    /// Where revisions and the person's own rules are kept. `None`: nowhere, all is lost at the end.
    pub data_dir: Option<PathBuf>,
    /// The sources, in order.
    pub sources: Vec<SourceOptions>,
    /// The person's own rules that the configuration has: action, rule, line in the file.
    pub own: Vec<(Action, OwnRule, u32)>,
    /// The file that `own` was read from, for explanations.
    pub own_file: Arc<str>,
    /// The largest list that is taken, in octets after decoding.
    pub size_max: u64,
    /// How long a download may take as a whole.
    pub timeout: Duration,
    /// How many revisions of each list are kept on the disk, the one in force among them; at least one.
    pub keep_revisions: usize,
}

/// What the names of a list are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SourceKind {
    /// They are blocked.
    Block,
    /// They are let through, whatever blocklists say.
    Allow,
    /// They are blocked where an answer leads to them (the target of a CNAME), and not when they are asked for.
    Cname,
}

impl SourceKind {
    /// The word for it in the configuration and on the page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Allow => "allow",
            Self::Cname => "cname",
        }
    }

    /// What a plain line of such a list asks for.
    pub const fn action(self) -> Action {
        match self {
            Self::Allow => Action::Allow,
            Self::Block | Self::Cname => Action::Block,
        }
    }
}

impl FromStr for SourceKind {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Block, Self::Allow, Self::Cname].into_iter().find(|kind| kind.as_str() == word).ok_or(())
    }
}

/// One configured list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceOptions {
    /// Its name: letters, digits, `-`, `_`, `.`; unique.
    pub name: Arc<str>,
    /// What it is for, in the words of the person.
    pub description: Option<Arc<str>>,
    /// What its names are for.
    pub kind: SourceKind,
    /// Where its text comes from.
    pub origin: Origin,
    /// Other URLs of the same list, tried in this order when [`Origin::Url`] fails.
    pub mirrors: Vec<String>,
    /// Its syntax; `None` to tell by its lines.
    pub format: Option<Format>,
    /// Its exact names cover everything below them too.
    pub subdomains: bool,
    /// How often it is downloaded.
    pub refresh: Duration,
    /// Whether it was added on the page or by `pixelsink lists add`, and may be removed there.
    pub added: bool,
}

impl SourceOptions {
    /// A blocklist with nothing said of it but its name and where it comes from; it is downloaded once a day.
    pub fn new(name: &str, origin: Origin) -> Self {
        Self {
            name: name.into(),
            description: None,
            kind: SourceKind::Block,
            origin,
            mirrors: Vec::new(),
            format: None,
            subdomains: false,
            refresh: Duration::from_secs(86_400),
            added: false,
        }
    }

    /// Where it is downloaded from, in the order in which that is tried; empty for what is not downloaded.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        let first = match &self.origin {
            Origin::Url(url) => Some(url.as_str()),
            Origin::File(_) | Origin::Inline(_) | Origin::BuiltIn(_) => None,
        };
        let mirrors = self.mirrors.iter().map(String::as_str).filter(move |_| first.is_some());
        first.into_iter().chain(mirrors)
    }

    /// What its lines match, for people; `found` is the syntax that was found.
    pub fn matches(&self, found: Option<Format>) -> &'static str {
        match found.or(self.format) {
            _ if matches!(self.origin, Origin::BuiltIn(_)) => Format::Adblock.matches(),
            Some(_) if self.subdomains => "each name and everything below it",
            Some(format) => format.matches(),
            None => "nothing yet",
        }
    }
}

/// Where a list's text comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// `http` or `https`.
    Url(String),
    /// A file, watched.
    File(PathBuf),
    /// Lines in the configuration.
    Inline(Arc<str>),
    /// The list of this program, as rules; the text names where their lines stand.
    BuiltIn(Arc<[Rule]>),
}

impl Origin {
    /// Where the text comes from, for people: passwords and keys in a URL are left out.
    pub fn shown(&self) -> String {
        match self {
            Self::Url(url) => without_secrets(url),
            Self::File(path) => path.display().to_string(),
            Self::Inline(_) => "lines in the configuration".to_owned(),
            Self::BuiltIn(_) => "built in".to_owned(),
        }
    }

    /// The web address that a page may link to; `None` for what has none, and for a URL that holds a secret.
    pub fn link(&self) -> Option<String> {
        let Self::Url(url) = self else { return None };
        let is_web = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        (is_web && without_secrets(url) == *url).then(|| url.clone())
    }
}

/// What the name of a query's parameter has in it when its value is a secret.
const SECRET_NAMES: [&str; 6] = ["token", "key", "auth", "pass", "secret", "sig"];

/// The URL as it may be shown and logged: without user name and password, and with `***` for keys in its query.
pub(super) fn without_secrets(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        // What can't be read may have a password all the same; it would stand before the `@`.
        return url.rsplit_once('@').map_or(url, |(_, rest)| rest).to_owned();
    };
    let mut is_secret = !parsed.username().is_empty() || parsed.password().is_some();
    // Both fail only for URLs that can't have them.
    let _ = (parsed.set_username(""), parsed.set_password(None));
    let parameters = parsed.query().map(|query| query.split('&').map(str::to_owned).collect::<Vec<_>>());
    if let Some(mut parameters) = parameters {
        for parameter in &mut parameters {
            let Some((name, _)) = parameter.split_once('=') else { continue };
            let lower = name.to_ascii_lowercase();
            if SECRET_NAMES.iter().any(|secret| lower.contains(secret)) {
                is_secret = true;
                *parameter = format!("{name}=***");
            }
        }
        parsed.set_query(Some(&parameters.join("&")));
    }
    // One without a secret is shown as the person wrote it.
    if is_secret { parsed.into() } else { url.to_owned() }
}

/// Looks up the addresses of a list's host over the daemon's own upstreams, since the machine may be its own resolver.
pub trait HostLookup: Send + Sync + 'static {
    /// The addresses of `host`, or why there are none.
    fn lookup(&self, host: String) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, shown: &str) {
        let origin = Origin::Url(url.to_owned());
        assert_eq!(origin.shown(), shown);
        assert_eq!(origin.link(), (shown == url).then(|| url.to_owned()));
    }

    #[test]
    fn passwords_of_lists_are_not_shown() {
        check("https://lists.example/a", "https://lists.example/a");
        check("https://lists.example?hosts=1&showintro=0", "https://lists.example?hosts=1&showintro=0");
        check("https://me:secret@lists.example/a", "https://lists.example/a");
        check("https://secret@lists.example/a", "https://lists.example/a");
        check("https://lists.example/a?b=1&API_Key=secret", "https://lists.example/a?b=1&API_Key=***");
        check("https://lists.example/?token=a=b", "https://lists.example/?token=***");
    }

    #[test]
    fn only_a_web_address_is_a_link() {
        for (url, shown) in [
            ("javascript:alert(1)", "javascript:alert(1)"),
            ("https://me:secret@lists example/", "lists example/"),
            ("lists.example", "lists.example"),
        ] {
            let origin = Origin::Url(url.to_owned());
            assert_eq!((origin.shown(), origin.link()), (shown.to_owned(), None));
        }
        assert_eq!(Origin::File("/etc/mine.txt".into()).shown(), "/etc/mine.txt");
        assert_eq!(Origin::Inline("a.example".into()).shown(), "lines in the configuration");
        assert_eq!(Origin::BuiltIn([].into()).shown(), "built in");
        assert_eq!(Origin::BuiltIn([].into()).link(), None);
    }
}
