//! Names that the public DNS has nothing to say about, and names by which programs ask whether to go around a resolver.

use std::borrow::Cow;

use crate::wire::Rcode;

/// A name that is answered here with all that is below it, unless there are records or a forward.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Zone {
    /// What is said.
    pub kind: ZoneKind,
    /// Why, for people: fits the EXTRA-TEXT of an extended error.
    pub why: &'static str,
}

/// What is said of the names of a zone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ZoneKind {
    /// That there is nothing: NXDOMAIN below its apex, NODATA at it.
    Empty,
    /// The same for a zone that is delegated, so that whether it is signed is asked of its parent (RFC 8375 section 4).
    EmptyDelegated,
    /// NXDOMAIN, by which a program sees that it is not wanted to go around.
    Canary,
    /// That resolvers have no other way to be asked (RFC 9462): NODATA for `_dns`, NXDOMAIN for the rest.
    Resolver,
}

/// Which names are answered so that devices don't go around this resolver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bypass {
    /// Firefox does not turn on DNS over HTTPS by itself.
    pub firefox: bool,
    /// Apple's devices do without iCloud Private Relay.
    pub icloud_private_relay: bool,
    /// Devices do not look for another way to ask this resolver or the one behind it (DDR).
    pub designated_resolvers: bool,
    /// Names of public DoH servers are blocked.
    pub doh_hosts: bool,
}

impl Default for Bypass {
    fn default() -> Self {
        Self { firefox: true, icloud_private_relay: true, designated_resolvers: true, doh_hosts: false }
    }
}

impl Bypass {
    /// The zones that this asks for, with their apex.
    pub(super) fn zones(self) -> impl Iterator<Item = (Cow<'static, str>, Zone)> {
        let canary = |why| Zone { kind: ZoneKind::Canary, why };
        let firefox = canary("asks Firefox to leave DNS to this resolver (bypass.firefox)");
        let relay = canary("asks Apple devices to do without Private Relay (bypass.icloud_private_relay)");
        let resolver = Zone {
            kind: ZoneKind::Resolver,
            why: "no other resolver is designated (RFC 9462, bypass.designated_resolvers)",
        };
        [
            (self.firefox, "use-application-dns.net", firefox),
            (self.icloud_private_relay, "mask.icloud.com", relay),
            (self.icloud_private_relay, "mask-h2.icloud.com", relay),
            (self.designated_resolvers, "resolver.arpa", resolver),
        ]
        .into_iter()
        .filter_map(|(wanted, apex, zone)| wanted.then_some((apex.into(), zone)))
    }
}

/// The zones that are never asked for outside, with their apex.
pub(super) fn zones() -> impl Iterator<Item = (Cow<'static, str>, Zone)> {
    let domain = |&(apex, why): &(&'static str, &'static str)| {
        let is_delegated = apex.ends_with("arpa");
        let kind = if is_delegated { ZoneKind::EmptyDelegated } else { ZoneKind::Empty };
        (apex.into(), Zone { kind, why })
    };
    let why = "addresses of a private or special network have no public name (RFC 6303)";
    let reverse = move |apex| (apex, Zone { kind: ZoneKind::EmptyDelegated, why });
    // RFC 1918 and RFC 7793: networks that do not end where an octet does.
    let private = (16..=31).map(|second| format!("{second}.172.in-addr.arpa").into());
    let shared = (64..=127).map(|second| format!("{second}.100.in-addr.arpa").into());
    let others = REVERSE.iter().map(|&apex| apex.into());
    DOMAINS.iter().map(domain).chain(others.chain(private).chain(shared).map(reverse))
}

const DOMAINS: &[(&str, &str)] = &[
    ("localhost", "localhost is each machine itself (RFC 6761)"),
    ("test", "test is no domain of the public DNS (RFC 6761)"),
    ("invalid", "invalid never exists (RFC 6761)"),
    ("onion", "onion names are for Tor and are not looked up in DNS (RFC 7686)"),
    ("alt", "alt names are not for DNS (RFC 9476)"),
    ("local", "local names are looked up by multicast DNS (RFC 6762)"),
    ("internal", "internal names are private to each network (ICANN, 2024)"),
    ("home.arpa", "home.arpa is the house's own, which has no such name (RFC 8375)"),
];

/// The reverse names of networks that are not public: RFC 6303 section 4, RFC 9637 (documentation), and all of fc00::/7
/// (RFC 4193).
const REVERSE: &[&str] = &[
    "0.in-addr.arpa",
    "10.in-addr.arpa",
    "127.in-addr.arpa",
    "254.169.in-addr.arpa",
    "168.192.in-addr.arpa",
    "2.0.192.in-addr.arpa",
    "100.51.198.in-addr.arpa",
    "113.0.203.in-addr.arpa",
    "255.255.255.255.in-addr.arpa",
    "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa",
    "c.f.ip6.arpa",
    "d.f.ip6.arpa",
    "8.e.f.ip6.arpa",
    "9.e.f.ip6.arpa",
    "a.e.f.ip6.arpa",
    "b.e.f.ip6.arpa",
    "8.b.d.0.1.0.0.2.ip6.arpa",
    "0.f.f.f.3.ip6.arpa",
];

impl Zone {
    /// Whether others can tell about its names, if a person wants them asked.
    pub fn may_be_asked_for(self) -> bool {
        matches!(self.kind, ZoneKind::Canary | ZoneKind::Resolver)
    }

    /// What is said of a name, by how it stands to the apex; `exists` when something here is below it.
    pub(super) fn rcode(self, is_apex: bool, exists: bool, first_label: &[u8]) -> Rcode {
        let is_there = match self.kind {
            ZoneKind::Empty | ZoneKind::EmptyDelegated => is_apex || exists,
            ZoneKind::Canary => false,
            ZoneKind::Resolver => is_apex || first_label == b"_dns",
        };
        if is_there { Rcode::NoError } else { Rcode::NxDomain }
    }
}
