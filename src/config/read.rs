//! What each key means.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeTable;

use super::group::read_group;
use super::house::{read_answers, read_bypass, read_local};
use super::problem::Problem;
use super::quantity::{duration, size};
use super::reader::{Findings, Section, Value};
use super::upstream::read_upstream;
use super::{BUILT_IN_LIST, Config, DOH_LIST, HistorySection};
use crate::device::{DeviceKey, DeviceKind, Mac, NamedDevice, TAGS, tidy_name};
use crate::discovery::DiscoveryOptions;
use crate::event::Privacy;
use crate::feed::{Origin, PublicSource, SourceKind, SourceOptions};
use crate::list::{Action, Format, OwnRule};
use crate::policy::{Blocking, SinkholeMode};
use crate::resolve::CacheOptions;
use crate::server::{Access, IN_FLIGHT_MAX, QUERIES_PER_SECOND_MAX, RESPONSES_PER_SECOND_MAX, ServerOptions};
use crate::tracker::{Level, PublicCatalogue};
use crate::web::TlsFiles;

/// A list that is downloaded more often than this is a burden for who serves it.
const REFRESH_MIN: Duration = Duration::from_secs(3600);
/// A smaller bound on lists would be a slip of the pen, in octets.
const LIST_SIZE_MIN: u64 = 1024;
/// The counts of a home's devices over a year take a third of it, in octets.
const HISTORY_SIZE_MIN: u64 = 16 << 20;
/// Clients may keep what is blocked for a week at most, in seconds.
const BLOCKING_TTL_MAX_SECS: u32 = 7 * 86_400;
/// More memory for answers than this is a slip of the pen: all that a town asks in a day takes less, in octets.
const CACHE_SIZE_MAX: u64 = 16 << 30;
/// Longer TTLs than these would be cut when an answer is read; the least one is bounded because a house whose names move
/// (RFC 2308 section 5 and RFC 8767 section 4 on the others) would not find them for as long.
const TTL_MIN_MAX: Duration = Duration::from_secs(3600);
const TTL_MAX_MAX: Duration = Duration::from_secs(86_400);
const NEGATIVE_TTL_MAX_MAX: Duration = Duration::from_secs(3600);
/// RFC 8767 section 5 suggests one to three days for stale answers; after a week they are rather wrong than right.
const STALE_MAX_MAX: Duration = Duration::from_secs(7 * 86_400);
const REFRESH_DEFAULT: Duration = Duration::from_secs(86_400);
/// Each connection takes one of the files that a process may have open.
const TCP_CONNECTIONS_MAX: u32 = 16_384;

/// Private and link-local networks (RFC 1918, 6598, 3927, 4193, 4291) and this machine itself.
pub(super) fn private_networks() -> Vec<IpNet> {
    const NETWORKS: [&str; 9] = [
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    ];
    NETWORKS.iter().filter_map(|network| network.parse().ok()).collect()
}

/// The addresses of this machine itself.
pub(super) fn this_machine() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128"].iter().filter_map(|network| network.parse().ok()).collect()
}

/// Reads a text; the configuration is whole even where there are problems, with defaults for what can't be read.
pub(super) fn read(text: &str, file: &Path) -> (Config, Vec<Problem>, BTreeSet<String>) {
    let findings = Findings::default();
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        findings.add("", error.span().unwrap_or_default(), error.message());
    }
    let line_of = |at: usize| {
        let lines = text.get(..at).unwrap_or_default().matches('\n').count();
        u32::try_from(lines + 1).unwrap_or(u32::MAX)
    };
    let mut config = Config { file: Some(file.to_owned()), ..Config::default() };
    config.read_root(Section::root(&table, &findings), &line_of);
    let (problems, known) = findings.finish();
    (config, problems, known)
}

impl Config {
    fn read_root(&mut self, mut root: Section<'_>, line_of: &dyn Fn(usize) -> u32) {
        if let Some(value) = root.get("data_dir")
            && let Some(directory) = value.parse("a directory", absolute_path)
        {
            self.data_dir = directory;
        }
        self.read_dns(root.section("dns"));
        read_limits(root.section("limits"), &mut self.server.access);
        read_upstream(root.section("upstream"), &self.server.listen, &mut self.resolve);
        self.resolve.cache = read_cache(root.section("cache"), self.resolve.cache);
        self.blocking = read_blocking(root.section("blocking"), self.blocking);
        self.answers = read_answers(root.section("answers"));
        self.local = read_local(root.section("local"), line_of);
        self.bypass = read_bypass(root.section("bypass"));
        self.read_web(root.section("web"));
        let mut builtin = root.section("builtin");
        if let Some(value) = builtin.get("levels") {
            let level = |text: &str| {
                Level::from_str(text)
                    .map_err(|()| format!("`{text}` is no level; expected `pixel`, `links` or `shared`"))
            };
            self.builtin_levels = value.list("`pixel`, `links` or `shared`", level);
        }
        let mut download = root.section("download");
        if let Some(value) = download.get("size_max") {
            set(&mut self.list_size_max, value.parse("a size such as `128MiB`", size_of_lists));
        }
        if let Some(value) = download.get("timeout") {
            set(
                &mut self.list_timeout,
                value.parse("a duration such as `2m`", at_least(Duration::from_secs(1))),
            );
        }
        if let Some(value) = download.get("keep_revisions")
            && let Some(keep) = value.integer(1..=100)
        {
            self.keep_revisions = usize::try_from(keep).unwrap_or(self.keep_revisions);
        }
        for section in root.sections("lists") {
            read_list(section, &mut self.lists);
        }
        self.read_trackers(root.section("trackers"));
        self.read_rules(root.section("rules"), line_of);
        for section in root.sections("devices") {
            let device = read_device(section, &self.devices, line_of);
            self.devices.extend(device);
        }
        for section in root.sections("groups") {
            read_group(section, &self.server.listen, &mut self.groups, &mut self.resolve);
        }
        self.discovery = read_discovery(root.section("discovery"), std::mem::take(&mut self.discovery));
        self.history = read_history(root.section("history"), self.history);
    }

    fn read_dns(&mut self, mut dns: Section<'_>) {
        let ServerOptions { listen, threads, access } = &mut self.server;
        if let Some(value) = dns.get("threads") {
            set(threads, value.integer(0..=64));
        }
        if let Some(value) = dns.get("listen") {
            *listen = addresses(&value);
            self.listen_is_named = true;
            not_empty(&value, "an address; without one nobody is answered");
        }
        if let Some(value) = dns.get("allow_from") {
            read_allow_from(&value, access);
            not_empty(&value, "`private`, `local` or a prefix; without one nobody is answered");
        }
        if let Some(value) = dns.get("trusted_forwarders") {
            access.trusted_forwarders = value.list(PREFIX_EXPECTED, read_prefix);
        }
    }

    fn read_web(&mut self, mut web: Section<'_>) {
        if let Some(value) = web.get("listen") {
            self.web.listen = addresses(&value);
            self.web_listen_is_named = true;
        }
        if let Some(value) = web.get("host_names") {
            let name = |text: &str| crate::name::DomainName::parse(text).map(|name| name.to_string());
            self.web.host_names = value.list("a host name", name);
        }
        self.web.tls = read_tls(web.section("tls"));
        if let Some(value) = web.get("monitoring_from") {
            self.web.monitoring_from = value.list(PREFIX_EXPECTED, read_prefix);
        }
    }

    fn read_trackers(&mut self, mut trackers: Section<'_>) {
        if let Some(value) = trackers.get("files") {
            self.catalogue_files = value.list("a file", absolute_path);
        }
        let Some(value) = trackers.get("download") else { return };
        for element in value.elements() {
            let source = match element.as_section() {
                Some(section) => read_public_source(section),
                None => element.parse(PUBLIC_EXPECTED, read_public).map(PublicSource::new),
            };
            let taken = |source: &PublicSource| {
                self.catalogue_download.iter().any(|known| known.catalogue == source.catalogue)
            };
            match source {
                Some(source) if taken(&source) => element.complain("this catalogue is named already"),
                Some(source) => self.catalogue_download.push(source),
                None => {}
            }
        }
    }

    fn read_rules(&mut self, mut rules: Section<'_>, line_of: &dyn Fn(usize) -> u32) {
        for (key, action) in [("block", Action::Block), ("allow", Action::Allow)] {
            let Some(value) = rules.get(key) else { continue };
            for element in value.elements() {
                if let Some(rule) = element.parse("a rule such as `pixel.example`", OwnRule::parse) {
                    self.own_rules.push((action, rule, line_of(element.span.start)));
                }
            }
        }
    }
}

/// Certificate and key, both or neither.
fn read_tls(mut section: Section<'_>) -> Option<TlsFiles> {
    let mut file = |key| section.get(key).map(|value| value.parse("a file", absolute_path));
    match (file("certificate"), file("key")) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate: certificate?, key: key? }),
        _ if !section.exists() => None,
        _ => {
            section
                .complain("expected both `certificate` and `key`: the PEM files of the page's certificate");
            None
        }
    }
}

const PREFIX_EXPECTED: &str = "an address or a prefix such as `192.168.1.1`";

fn read_prefix(text: &str) -> Result<IpNet, String> {
    let prefix = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    prefix.map_err(|_| format!("`{text}` is neither an address nor a prefix; write `192.168.1.1`"))
}

const PUBLIC_EXPECTED: &str = "`adguard`, `ghostery`, `disconnect` or `duckduckgo`";

fn read_public(text: &str) -> Result<PublicCatalogue, String> {
    text.parse()
        .map_err(|()| format!("`{text}` is no public catalogue of trackers; expected {PUBLIC_EXPECTED}"))
}

/// A public catalogue that comes from elsewhere than its authors offer it.
fn read_public_source(mut section: Section<'_>) -> Option<PublicSource> {
    let name = section.get("name");
    let urls = section.get("urls").map(|value| value.list("a URL", read_url)).unwrap_or_default();
    let Some(name) = name else {
        section.complain(format!("expected `name`: {PUBLIC_EXPECTED}"));
        return None;
    };
    let catalogue = name.parse(PUBLIC_EXPECTED, read_public)?;
    let expected = catalogue.urls().len();
    if urls.len() != expected {
        let files = if expected == 1 { "file" } else { "files" };
        section.complain(format!(
            "expected `urls` with {expected} addresses, since this catalogue is made of {expected} {files}; or only its name"
        ));
        return None;
    }
    Some(PublicSource { catalogue, urls })
}

pub(super) fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

pub(super) fn not_empty(value: &Value<'_>, what: &str) {
    if value.value.as_array().is_some_and(|array| array.is_empty()) {
        value.complain(format!("expected at least one: {what}"));
    }
}

fn size_of_lists(text: &str) -> Result<u64, String> {
    match size(text)? {
        octets if octets < LIST_SIZE_MIN => Err(format!("`{text}` is too small; no list would be taken")),
        octets => Ok(octets),
    }
}

fn size_of_history(text: &str) -> Result<u64, String> {
    match size(text)? {
        octets if octets < HISTORY_SIZE_MIN => Err(format!("`{text}` is too small; expected at least 16MiB")),
        octets => Ok(octets),
    }
}

fn size_of_cache(text: &str) -> Result<u64, String> {
    match size(text)? {
        octets if CACHE_SIZE_MAX < octets => Err(format!(
            "`{text}` is more memory than answers ever take; expected at most 16GiB, and `16MiB` is plenty for a home"
        )),
        octets => Ok(octets),
    }
}

fn blocking_ttl(text: &str) -> Result<u32, String> {
    let ttl = duration(text)?.as_secs();
    let ttl = u32::try_from(ttl).ok().filter(|ttl| *ttl <= BLOCKING_TTL_MAX_SECS);
    ttl.ok_or_else(|| format!("`{text}` is too long; what you allow would take effect at most a week later"))
}

pub(super) fn absolute_path(text: &str) -> Result<std::path::PathBuf, String> {
    let path = std::path::PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("`{text}` is not absolute; begin it with `/`")) }
}

/// The file of a list. That there is none yet is no mistake; a directory will never be one.
fn list_file(text: &str) -> Result<std::path::PathBuf, String> {
    let path = absolute_path(text)?;
    if path.is_dir() {
        return Err(format!("`{text}` is a directory; name the file with the list, one for each list"));
    }
    Ok(path)
}

fn addresses(value: &Value<'_>) -> Vec<SocketAddr> {
    value.list("an address and a port such as `0.0.0.0:53` or `[::]:53`", |text| {
        let advice =
            |_| format!("`{text}` is not an address and a port; write `192.168.1.2:53` or `[fd00::2]:53`");
        text.parse().map_err(advice)
    })
}

fn read_limits(mut limits: Section<'_>, access: &mut Access) {
    for (key, field, range) in [
        ("queries_per_second", &mut access.queries_per_second, 0..=QUERIES_PER_SECOND_MAX),
        ("in_flight_per_client", &mut access.in_flight_per_client, 1..=IN_FLIGHT_MAX),
        ("responses_per_second", &mut access.responses_per_second, 0..=RESPONSES_PER_SECOND_MAX),
        ("tcp_connections", &mut access.tcp_connections, 1..=TCP_CONNECTIONS_MAX),
        ("tcp_connections_per_client", &mut access.tcp_connections_per_client, 1..=TCP_CONNECTIONS_MAX),
    ] {
        if let Some(value) = limits.get(key) {
            set(field, value.integer(range));
        }
    }
}

fn read_allow_from(value: &Value<'_>, access: &mut Access) {
    access.allow_from.clear();
    access.allow_local_networks = false;
    for element in value.elements() {
        let expected = "`private`, `local` or a prefix such as `192.168.0.0/16`";
        match element.text(expected) {
            Some("private") => access.allow_from.extend(private_networks()),
            Some("local") => access.allow_local_networks = true,
            Some(text) => {
                let prefix = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
                match prefix {
                    Ok(prefix) => access.allow_from.push(prefix),
                    Err(_) => element.complain(format!("`{text}` is not a prefix; expected {expected}")),
                }
            }
            None => {}
        }
    }
}

fn read_blocking(mut section: Section<'_>, mut blocking: Blocking) -> Blocking {
    if let Some(value) = section.get("mode") {
        set(&mut blocking.mode, read_mode(&value));
    }
    if let Some(value) = section.get("ttl") {
        set(&mut blocking.ttl_secs, value.parse("a duration such as `5m`", blocking_ttl));
    }
    blocking
}

fn read_cache(mut section: Section<'_>, mut cache: CacheOptions) -> CacheOptions {
    if let Some(value) = section.get("size") {
        set(&mut cache.size, value.parse("a size such as `16MiB`", size_of_cache));
    }
    let expected = "a duration such as `5m`";
    let second = Duration::from_secs(1);
    for (key, field, least, most) in [
        ("ttl_max", &mut cache.ttl_max_secs, second, TTL_MAX_MAX),
        ("negative_ttl_max", &mut cache.negative_ttl_max_secs, Duration::ZERO, NEGATIVE_TTL_MAX_MAX),
    ] {
        if let Some(value) = section.get(key) {
            set(field, value.parse(expected, seconds_within(least, most)));
        }
    }
    if let Some(value) = section.get("ttl_min")
        && let Some(secs) = value.parse(expected, seconds_within(Duration::ZERO, TTL_MIN_MAX))
    {
        cache.ttl_min_secs = secs;
        if cache.ttl_max_secs < secs {
            value.complain("`ttl_min` is longer than `ttl_max`; make one of them fit the other");
        }
    }
    if let Some(value) = section.get("stale_max") {
        let secs = value.parse("a duration such as `1d`", seconds_within(Duration::ZERO, STALE_MAX_MAX));
        set(&mut cache.stale_max, secs.map(|secs| Duration::from_secs(secs.into())));
    }
    for (key, field) in [("prefetch", &mut cache.prefetch), ("keep", &mut cache.keep)] {
        if let Some(value) = section.get(key) {
            set(field, value.boolean());
        }
    }
    cache
}

/// Reads a duration as a TTL counts it.
pub(super) fn seconds_within(least: Duration, most: Duration) -> impl Fn(&str) -> Result<u32, String> {
    move |text| {
        let duration = duration(text)?;
        if duration < least || most < duration {
            let (least, most) = (least.as_secs(), most.as_secs());
            return Err(format!("`{text}` is out of bounds; expected {least} to {most} seconds"));
        }
        u32::try_from(duration.as_secs()).map_err(|error| error.to_string())
    }
}

fn read_mode(value: &Value<'_>) -> Option<SinkholeMode> {
    if let Some(mut custom) = value.as_section() {
        let ipv4 = custom.get("ipv4").and_then(|value| {
            value.parse("an IPv4 address", |text| {
                text.parse().map_err(|_| format!("`{text}` is not an IPv4 address"))
            })
        });
        let ipv6 = custom.get("ipv6").and_then(|value| {
            value.parse("an IPv6 address", |text| {
                text.parse().map_err(|_| format!("`{text}` is not an IPv6 address"))
            })
        });
        if ipv4.is_none() && ipv6.is_none() {
            value.complain("expected `ipv4`, `ipv6` or both");
        }
        return Some(SinkholeMode::Custom { ipv4, ipv6 });
    }
    let expected = "`null`, `nxdomain`, `nodata`, `refused` or { ipv4 = \"...\", ipv6 = \"...\" }";
    value.parse(expected, |text| match text {
        "null" => Ok(SinkholeMode::Null),
        "nxdomain" => Ok(SinkholeMode::NxDomain),
        "nodata" => Ok(SinkholeMode::NoData),
        "refused" => Ok(SinkholeMode::Refused),
        "pixel" => Err(format!("this version does not answer with a pixel yet; expected {expected}")),
        _ => Err(format!("`{text}` is no way of blocking; expected {expected}")),
    })
}

pub(super) fn read_list(mut section: Section<'_>, lists: &mut Vec<SourceOptions>) {
    let name = section.get("name");
    let origins = ["url", "path", "rules"].map(|key| section.get(key));
    let urls = section.get("urls").map(|value| value.list("a URL", read_url));
    let kind = section.get("kind").and_then(|value| {
        let expected = "`block`, `allow` or `cname`";
        value.parse(expected, |text| {
            text.parse::<SourceKind>()
                .map_err(|()| format!("`{text}` is no kind of list; expected {expected}"))
        })
    });
    let format = section.get("format").and_then(|value| value.parse("a syntax such as `hosts`", read_format));
    let description =
        section.get("description").and_then(|value| value.parse("a sentence", read_description));
    let subdomains = section.get("subdomains").and_then(|value| value.boolean());
    let refresh = section
        .get("refresh")
        .and_then(|value| value.parse("a duration such as `24h`", at_least(REFRESH_MIN)));
    if !section.exists() {
        return;
    }
    let [url, path, rules] = &origins;
    let mut mirrors = urls.unwrap_or_default();
    let origin = match (url, path, rules) {
        (None, None, None) if !mirrors.is_empty() => Some(Origin::Url(mirrors.remove(0))),
        (_, Some(_), _) | (_, _, Some(_)) if !mirrors.is_empty() => {
            section.complain(
                "`urls` are other addresses of a list that has a `url`, not one of `path` or `rules`",
            );
            None
        }
        (Some(url), None, None) => url.parse("a URL", read_url).map(Origin::Url),
        (None, Some(path), None) => path.parse("a file", list_file).map(Origin::File),
        (None, None, Some(rules)) => {
            let lines: Vec<String> = rules.list("a line of a list", |text| Ok::<_, String>(text.to_owned()));
            Some(Origin::Inline(lines.join("\n").into()))
        }
        _ => {
            section.complain("expected one of `url`, `urls`, `path` or `rules`: where the list comes from");
            None
        }
    };
    let Some(name) = name else {
        section.complain("expected `name`: a short word under which the list is shown");
        return;
    };
    let taken: Vec<&str> = lists.iter().map(|list| &*list.name).collect();
    let name = name.parse("a name", |text| read_list_name(text, &taken));
    let (Some(name), Some(origin)) = (name, origin) else { return };
    let kind = kind.unwrap_or(SourceKind::Block);
    lists.push(SourceOptions {
        name,
        description,
        kind,
        origin,
        mirrors,
        format: format.flatten(),
        // Where an answer leads below such a name, it leads to the same tracker.
        subdomains: subdomains.unwrap_or(kind == SourceKind::Cname),
        refresh: refresh.unwrap_or(REFRESH_DEFAULT),
        added: false,
    });
}

/// What is shown in one line beside names.
fn read_description(text: &str) -> Result<Arc<str>, String> {
    const LEN_MAX: usize = 200;
    if LEN_MAX < text.chars().count() || text.chars().any(char::is_control) {
        return Err(format!("this can't be a description; use one line of up to {LEN_MAX} characters"));
    }
    Ok(text.trim().into())
}

fn read_format(text: &str) -> Result<Option<Format>, String> {
    let expected = "expected `auto`, `hosts`, `domains`, `wildcard`, `adblock`, `rpz`, `dnsmasq`, `unbound`, `regex` or `ip`";
    match text {
        "auto" => Ok(None),
        _ => text.parse().map(Some).map_err(|()| format!("`{text}` is no syntax of lists; {expected}")),
    }
}

fn read_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !text.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            read_host(host).map_err(|problem| format!("`{text}` is not a URL: {problem}"))?;
            Ok(text.to_owned())
        }
        _ => Err(format!("`{text}` is not a URL; expected one that begins with `https://` or `http://`")),
    }
}

/// The host of a URL and its port (RFC 3986 section 3.2).
fn read_host(host: &str) -> Result<(), String> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (ip, port) =
                rest.split_once(']').ok_or("the `[` before an IPv6 address has no `]` behind it")?;
            ip.parse::<std::net::Ipv6Addr>().map_err(|_| format!("`{ip}` is not an IPv6 address"))?;
            (ip, port)
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    if name.is_empty() || name.contains(['[', ']', '\\']) {
        return Err("there is no host in it".to_owned());
    }
    let number = port.strip_prefix(':').unwrap_or(if port.is_empty() { "443" } else { port });
    number.parse::<u16>().map_err(|_| format!("`{port}` is no port")).map(|_| ())
}

fn read_list_name(text: &str, taken: &[&str]) -> Result<Arc<str>, String> {
    const LEN_MAX: usize = 64;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || LEN_MAX < text.len() || !text.chars().all(plain) || text.starts_with('.') {
        return Err(format!(
            "`{text}` can't be a list's name; use up to {LEN_MAX} letters, digits, `-`, `_` and `.`"
        ));
    }
    if text == BUILT_IN_LIST {
        return Err(format!("`{BUILT_IN_LIST}` is the built-in list (see [builtin]); choose another name"));
    }
    if text == DOH_LIST {
        return Err(format!("`{DOH_LIST}` is built in (see bypass.doh_hosts); choose another name"));
    }
    if taken.contains(&text) {
        return Err(format!("another list is named `{text}` already; choose another name"));
    }
    Ok(text.into())
}

fn at_least(least: Duration) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let duration = duration(text)?;
        if duration < least {
            return Err(format!("`{text}` is too short; expected at least {} seconds", least.as_secs()));
        }
        Ok(duration)
    }
}

/// A name that a person gives a device.
pub(super) fn read_device_name(text: &str) -> Result<String, String> {
    tidy_name(text).ok_or_else(|| format!("`{}` has nothing in it that can be seen", text.escape_debug()))
}

pub(super) fn read_kind(text: &str) -> Result<DeviceKind, String> {
    text.parse()
}

fn read_discovery(mut section: Section<'_>, mut discovery: DiscoveryOptions) -> DiscoveryOptions {
    if let Some(value) = section.get("leases") {
        let (mut well_known, mut files) = (false, Vec::new());
        let expected = "`auto` or a file such as `/var/lib/misc/dnsmasq.leases`";
        for path in value.list(expected, |text| match text {
            "auto" => Ok(None),
            text => absolute_path(text).map(Some),
        }) {
            match path {
                None => well_known = true,
                Some(path) => files.push(path),
            }
        }
        (discovery.well_known_leases, discovery.leases) = (well_known, files);
    }
    for (key, field) in [("mdns", &mut discovery.mdns), ("router_names", &mut discovery.router_names)] {
        if let Some(value) = section.get(key) {
            set(field, value.boolean());
        }
    }
    discovery
}

fn read_device(
    mut section: Section<'_>,
    others: &[NamedDevice],
    line_of: &dyn Fn(usize) -> u32,
) -> Option<NamedDevice> {
    let name = section.get("name");
    let kind = section.get("kind").and_then(|value| value.parse("a kind of device", read_kind));
    let is_free = |key: DeviceKey| {
        let owner = others.iter().find(|other| other.keys().any(|known| known == key));
        owner.map_or(Ok(()), |owner| {
            Err(format!("`{key}` is the device `{}` (line {}) already", owner.name, owner.line))
        })
    };
    let macs = section.get("macs").map(|value| {
        value.list("a MAC address such as `aa:bb:cc:dd:ee:ff`", |text| {
            let mac = Mac::from_str(text).map_err(|_| {
                format!("`{text}` is not a MAC address; expected one such as `aa:bb:cc:dd:ee:ff`")
            })?;
            is_free(DeviceKey::Mac(mac)).map(|()| mac)
        })
    });
    let addresses = section.get("addresses").map(|value| {
        value.list("an IP address", |text| {
            let address = text.parse::<IpAddr>().map_err(|_| format!("`{text}` is not an IP address"))?;
            is_free(DeviceKey::Address(address.to_canonical())).map(|()| address)
        })
    });
    let tags = section.get("tags").map(|value| {
        value.list("a kind of device such as `device_tv`", |text| {
            let known = TAGS.contains(&text).then(|| Box::from(text));
            known.ok_or_else(|| {
                format!("`{text}` is not a kind of device; expected one of {}", TAGS.join(", "))
            })
        })
    });
    if !section.exists() {
        return None;
    }
    let Some(name) = name else {
        section.complain("expected `name`: what you call the device");
        return None;
    };
    let is_named = macs.is_some() || addresses.is_some();
    let (macs, addresses) = (macs.unwrap_or_default(), addresses.unwrap_or_default());
    if !is_named {
        section.complain("expected `macs` or `addresses`: by which the device is known");
    }
    if macs.is_empty() && addresses.is_empty() {
        return None;
    }
    let name: Arc<str> = name.parse("a name", read_device_name)?.into();
    let line = line_of(section.span.start);
    Some(NamedDevice { name, macs, addresses, kind, tags: tags.unwrap_or_default().into(), line })
}

fn read_history(mut section: Section<'_>, mut history: HistorySection) -> HistorySection {
    let expected = "a duration such as `60s` or `14d`";
    for (key, field, least) in [
        ("flush", &mut history.flush, Duration::from_secs(1)),
        ("events", &mut history.events, Duration::from_secs(3600)),
        ("counts", &mut history.counts, Duration::from_secs(3600)),
    ] {
        if let Some(value) = section.get(key) {
            set(field, value.parse(expected, at_least(least)));
        }
    }
    if let Some(value) = section.get("size_max") {
        set(&mut history.size_max, value.parse("a size such as `1GiB`", size_of_history));
    }
    if let Some(value) = section.get("privacy") {
        let levels = "`all`, `blocked-only`, `no-client` or `counts-only`";
        set(
            &mut history.privacy,
            value.parse(levels, |text| text.parse::<Privacy>().map_err(|()| "unknown")),
        );
    }
    history
}
