//! What the file says of names of the house, of answers that lead into it, and of ways around this resolver.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::read::{absolute_path, seconds_within, set};
use super::reader::{Section, Value};
use crate::local::{Builder, Bypass, WrittenRecord};
use crate::name::DomainName;
use crate::policy::AnswerChecks;

/// Which names this machine answers for itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LocalSection {
    /// The domain of the house; `None`: there is none.
    pub domain: Option<DomainName>,
    /// Hosts files.
    pub hosts: Vec<PathBuf>,
    /// Records, each with its line.
    pub records: Vec<(WrittenRecord, u32)>,
    /// Whether devices have the names that they told when they were given an address.
    pub leases: bool,
    /// Whether hosts of a single label are asked of nobody else.
    pub bare_names: bool,
    /// Names that upstreams are asked for though they seem private.
    pub forward: Vec<DomainName>,
    /// How long clients may keep what has no TTL of its own, in seconds.
    pub ttl_secs: u32,
}

impl Default for LocalSection {
    fn default() -> Self {
        Self {
            domain: DomainName::parse("home.arpa").ok(),
            hosts: Vec::new(),
            records: Vec::new(),
            leases: true,
            bare_names: true,
            forward: Vec::new(),
            ttl_secs: 60,
        }
    }
}

pub(super) fn read_local(mut section: Section<'_>, line_of: &dyn Fn(usize) -> u32) -> LocalSection {
    let mut local = LocalSection::default();
    if let Some(value) = section.get("domain") {
        let domain = value.parse("a domain such as `home.arpa`, or nothing", |text| match text {
            "" => Ok(None),
            text => name(text).map(Some),
        });
        set(&mut local.domain, domain);
    }
    if let Some(value) = section.get("hosts") {
        local.hosts = value.list("a file such as `/etc/pixelsink/hosts`", absolute_path);
    }
    for (key, field) in [("leases", &mut local.leases), ("bare_names", &mut local.bare_names)] {
        if let Some(value) = section.get(key) {
            set(field, value.boolean());
        }
    }
    if let Some(value) = section.get("forward") {
        local.forward = names(&value);
    }
    if let Some(value) = section.get("ttl") {
        let (least, most) = (Duration::ZERO, Duration::from_secs(86_400));
        set(&mut local.ttl_secs, value.parse("a duration such as `1m`", seconds_within(least, most)));
    }
    if let Some(value) = section.get("records") {
        // Tells what does not go together.
        let mut builder = Builder::new(local.domain.clone(), local.ttl_secs, Bypass::default());
        for element in value.elements() {
            let expected = "a record such as `nas.home.arpa A 192.168.1.5`";
            let Some(record) = element.parse(expected, WrittenRecord::parse) else { continue };
            let line = line_of(element.span.start);
            match builder.written(&record, line) {
                Ok(()) => local.records.push((record, line)),
                Err(conflict) => element.complain(format!("`{}`: {conflict}", record.owner)),
            }
        }
    }
    local
}

pub(super) fn read_answers(mut section: Section<'_>) -> AnswerChecks {
    let mut answers = AnswerChecks::default();
    if let Some(value) = section.get("rebinding") {
        set(&mut answers.rebinding, value.boolean());
    }
    if let Some(value) = section.get("rebinding_allow") {
        answers.rebinding_allow = names(&value);
    }
    if let Some(value) = section.get("bogus_nxdomain") {
        answers.bogus_nxdomain = value.list("an address or a prefix such as `203.0.113.7`", |text| {
            let prefix = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            prefix.map_err(|_| format!("`{text}` is neither an address nor a prefix; write `203.0.113.7`"))
        });
    }
    answers
}

pub(super) fn read_bypass(mut section: Section<'_>) -> Bypass {
    let mut bypass = Bypass::default();
    for (key, field) in [
        ("firefox", &mut bypass.firefox),
        ("icloud_private_relay", &mut bypass.icloud_private_relay),
        ("designated_resolvers", &mut bypass.designated_resolvers),
        ("doh_hosts", &mut bypass.doh_hosts),
    ] {
        if let Some(value) = section.get(key) {
            set(field, value.boolean());
        }
    }
    bypass
}

fn names(value: &Value<'_>) -> Vec<DomainName> {
    value.list("a domain such as `plex.direct`", name)
}

fn name(text: &str) -> Result<DomainName, String> {
    DomainName::parse(text).map_err(|error| format!("`{text}` is no domain: {error}"))
}
