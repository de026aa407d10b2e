//! Which sources there are and how they are fetched.

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
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
}

/// One configured list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceOptions {
    /// Its name: letters, digits, `-`, `_`, `.`; unique.
    pub name: Arc<str>,
    /// What its plain lines ask for.
    pub kind: Action,
    /// Where its text comes from.
    pub origin: Origin,
    /// Its syntax; `None` to tell by its lines.
    pub format: Option<Format>,
    /// Its exact names cover everything below them too.
    pub subdomains: bool,
    /// How often it is downloaded.
    pub refresh: Duration,
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
fn without_secrets(url: &str) -> String {
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
