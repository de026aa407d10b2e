//! Which sources there are and how they are fetched.

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

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

/// Looks up the addresses of a list's host over the daemon's own upstreams, since the machine may be its own resolver.
pub trait HostLookup: Send + Sync + 'static {
    /// The addresses of `host`, or why there are none.
    fn lookup(&self, host: String) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>>;
}
