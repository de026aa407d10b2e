//! The file that a person writes, turned into the options of each part.
//!
//! All problems are told at once, each with file, line, column, key and what was expected; a file with a problem is not
//! used at all. `config/pixelsink.toml` has every key with its default.

mod added;
mod book;
mod group;
mod house;
mod problem;
mod quantity;
mod read;
mod reader;
mod upstream;

pub use added::{AddedList, AddedLists};
pub use book::BookFile;
pub use house::LocalSection;
pub use problem::{ConfigError, Problem};
pub use quantity::duration;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::device::{DeviceGroup, NamedDevice};
use crate::discovery::DiscoveryOptions;
use crate::event::Privacy;
use crate::feed::{PublicSource, SourceOptions};
use crate::list::{Action, OwnRule};
use crate::local::Bypass;
use crate::policy::{AnswerChecks, Blocking};
use crate::resolve::{CacheOptions, ResolveOptions, Strategy, UpstreamAddress};
use crate::server::{Access, ServerOptions};
use crate::tracker::Level;
use crate::web::WebOptions;

/// Where the configuration is, unless the command line says otherwise.
pub const DEFAULT_FILE: &str = "/etc/pixelsink/pixelsink.toml";

/// The name under which the built-in list is shown; no other list may have it.
pub const BUILT_IN_LIST: &str = "pixelsink";

/// The name under which the built-in list of public DoH servers is shown; no other list may have it.
pub const DOH_LIST: &str = "public-doh";

/// Everything that a person can set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The file that it was read from; `None` when there is none and everything is as it comes.
    pub file: Option<PathBuf>,
    /// Where revisions, history and the person's own rules are kept.
    pub data_dir: PathBuf,
    /// The listeners.
    pub server: ServerOptions,
    /// Whether the file names the addresses to listen on; what it names must work.
    pub listen_is_named: bool,
    /// The upstreams and the cache.
    pub resolve: ResolveOptions,
    /// How blocking is done.
    pub blocking: Blocking,
    /// What no answer may say.
    pub answers: AnswerChecks,
    /// Which names this machine answers for itself.
    pub local: LocalSection,
    /// What keeps devices from going around it.
    pub bypass: Bypass,
    /// The page.
    pub web: WebOptions,
    /// Whether the file names the addresses to serve it on.
    pub web_listen_is_named: bool,
    /// The levels of the built-in list that are blocked.
    pub builtin_levels: Vec<Level>,
    /// The lists.
    pub lists: Vec<SourceOptions>,
    /// The largest list that is taken, in octets.
    pub list_size_max: u64,
    /// How long a download may take.
    pub list_timeout: Duration,
    /// How many revisions of each list are kept.
    pub keep_revisions: usize,
    /// The person's own catalogues of trackers, the strongest first.
    pub catalogue_files: Vec<PathBuf>,
    /// The public catalogues that are downloaded.
    pub catalogue_download: Vec<PublicSource>,
    /// The person's own rules, each with its line.
    pub own_rules: Vec<(Action, OwnRule, u32)>,
    /// The devices that have a name.
    pub devices: Vec<NamedDevice>,
    /// The groups of devices.
    pub groups: Vec<Arc<DeviceGroup>>,
    /// Where else names of devices are looked for.
    pub discovery: DiscoveryOptions,
    /// How the history is kept.
    pub history: HistorySection,
}

/// How the history is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HistorySection {
    /// How long events may wait in memory before they are written.
    pub flush: Duration,
    /// How long single events are kept.
    pub events: Duration,
    /// How long hourly counts are kept.
    pub counts: Duration,
    /// How large the file may grow, in octets.
    pub size_max: u64,
    /// What is remembered of a question at all.
    pub privacy: Privacy,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Config {
    fn default() -> Self {
        let any = |port| {
            let addresses = [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
            addresses.map(|address| SocketAddr::new(address, port)).to_vec()
        };
        let quad9 = [IpAddr::from([9, 9, 9, 9]), IpAddr::from([149, 112, 112, 112])];
        let quad9_ipv6 = IpAddr::from([0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe]);
        Self {
            file: None,
            data_dir: "/var/lib/pixelsink".into(),
            server: ServerOptions {
                listen: any(53),
                threads: 0,
                access: Access {
                    allow_from: read::private_networks(),
                    allow_local_networks: true,
                    trusted_forwarders: Vec::new(),
                    queries_per_second: 1000,
                    responses_per_second: 20,
                    in_flight_per_client: 256,
                    tcp_connections: 512,
                    tcp_connections_per_client: 32,
                },
            },
            listen_is_named: false,
            resolve: ResolveOptions {
                servers: quad9.map(|ip| UpstreamAddress::udp(ip, 53).into()).to_vec(),
                strategy: Strategy::default(),
                bootstrap: quad9.into_iter().chain([quad9_ipv6]).map(|ip| SocketAddr::new(ip, 53)).collect(),
                routes: Vec::new(),
                groups: Vec::new(),
                cache: CacheOptions::default(),
            },
            blocking: Blocking::default(),
            answers: AnswerChecks::default(),
            local: LocalSection::default(),
            bypass: Bypass::default(),
            web: WebOptions {
                listen: vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8053)],
                host_names: Vec::new(),
                tls: None,
                monitoring_from: read::this_machine(),
            },
            web_listen_is_named: false,
            builtin_levels: vec![Level::Pixel],
            lists: Vec::new(),
            list_size_max: 128 << 20,
            list_timeout: Duration::from_secs(120),
            keep_revisions: 5,
            catalogue_files: Vec::new(),
            catalogue_download: Vec::new(),
            own_rules: Vec::new(),
            devices: Vec::new(),
            groups: Vec::new(),
            discovery: DiscoveryOptions::default(),
            history: HistorySection {
                flush: Duration::from_secs(60),
                events: 14 * DAY,
                counts: 400 * DAY,
                size_max: 1 << 30,
                privacy: Privacy::All,
            },
        }
    }
}

/// Where the data of a user without privileges is kept (XDG Base Directory Specification).
pub fn user_data_dir() -> Option<PathBuf> {
    let absolute = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(data.join("pixelsink"))
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// All that is wrong with it, at once.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| ConfigError::unreadable(file, &error))?;
        Self::parse(&text, file)
    }

    /// Reads a file again that is in force. One with nothing in it is refused: so many an editor leaves it while it saves, and the
    /// defaults would take the place of all that was said.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn reload(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| ConfigError::unreadable(file, &error))?;
        if text.trim().is_empty() {
            return Err(ConfigError::emptied(file));
        }
        Self::parse(&text, file)
    }

    /// Reads a file for what can be read of it: enough to find a daemon that runs with an earlier state of the file.
    pub fn load_leniently(file: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        Some(read::read(&text, file).0)
    }

    /// Reads a text as if it stood in `file`.
    ///
    /// # Errors
    /// All that is wrong with it, at once.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let (config, problems, _) = read::read(text, file);
        if problems.is_empty() {
            return Ok(config);
        }
        Err(ConfigError { file: file.to_owned(), text: text.to_owned(), problems })
    }

    /// What is right, but should be known to who uses it.
    pub fn warnings(&self) -> Vec<String> {
        let Access { allow_from, responses_per_second, .. } = &self.server.access;
        let open = allow_from.iter().filter(|prefix| is_open_to_strangers(prefix));
        let bound = match responses_per_second {
            0 => "with limits.responses_per_second = 0 nothing bounds what is sent to them".to_owned(),
            limit => format!(
                "what they are sent over UDP is bounded to {limit} answers a second for each /24 or /56"
            ),
        };
        let warning = |prefix| {
            format!(
                "dns.allow_from: {prefix} lets strangers ask, which makes this an open resolver: others will use it to flood \
                 their victims with its answers, in your name (RFC 5358); name the prefixes of your own devices instead; {bound}"
            )
        };
        open.map(warning).chain(self.rules_at_odds()).collect()
    }

    /// Rules that stand in both of the person's lists.
    fn rules_at_odds(&self) -> impl Iterator<Item = String> {
        let of = |wanted: Action| self.own_rules.iter().filter(move |(action, ..)| *action == wanted);
        of(Action::Block).filter_map(move |(_, rule, line)| {
            let (.., allowed) = of(Action::Allow).find(|(_, other, _)| other == rule)?;
            Some(format!(
                "rules: `{rule}` stands in `block` (line {line}) and in `allow` (line {allowed}), and is let through; take one of them out"
            ))
        })
    }

    /// The name under which the person's own rules of this file are shown.
    pub fn own_rules_name(&self) -> Arc<str> {
        self.file.as_ref().map_or_else(|| "configuration".into(), |file| file.display().to_string().into())
    }
}

/// Whether `prefix` is public, and wider than any household's or company's own.
fn is_open_to_strangers(prefix: &IpNet) -> bool {
    const IPV4_LEN_MIN: u8 = 8;
    const IPV6_LEN_MIN: u8 = 16;
    let len_min = if prefix.addr().is_ipv4() { IPV4_LEN_MIN } else { IPV6_LEN_MIN };
    prefix.prefix_len() < len_min && !read::private_networks().iter().any(|private| private.contains(prefix))
}

#[cfg(test)]
mod tests;
