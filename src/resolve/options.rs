//! How to resolve: who is asked, in which order, and how it is known that it is them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;

use super::address::{Host, Transport, UpstreamAddress};
use super::cache::CacheOptions;
use super::question::UpstreamSet;
use crate::name::DomainName;

/// How to resolve.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResolveOptions {
    /// The upstreams.
    pub servers: Vec<UpstreamOptions>,
    /// Which of them is asked.
    pub strategy: Strategy,
    /// Who is asked, over plain DNS, where upstreams with a name are.
    pub bootstrap: Vec<SocketAddr>,
    /// Names that others are asked for.
    pub routes: Vec<RouteOptions>,
    /// Devices for which others are asked.
    pub groups: Vec<GroupOptions>,
    /// How answers are kept.
    pub cache: CacheOptions,
}

impl ResolveOptions {
    /// These upstreams, one after the other.
    pub fn new(servers: Vec<UpstreamOptions>) -> Self {
        Self {
            servers,
            strategy: Strategy::default(),
            bootstrap: Vec::new(),
            routes: Vec::new(),
            groups: Vec::new(),
            cache: CacheOptions::default(),
        }
    }

    /// Whether the same are asked in the same way.
    pub(super) fn asks_as(&self, other: &Self) -> bool {
        let Self { servers, strategy, bootstrap, routes, groups, cache: _ } = self;
        (servers, strategy, bootstrap, routes, groups)
            == (&other.servers, &other.strategy, &other.bootstrap, &other.routes, &other.groups)
    }
}

/// An upstream, and how it is known that it is the one that is meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpstreamOptions {
    /// Where it is.
    pub address: UpstreamAddress,
    /// Its addresses, where its name is not to be looked up.
    pub addresses: Vec<IpAddr>,
    /// The name in its certificate, where that is not the host of its address.
    pub tls_name: Option<String>,
    /// Its keys: it must have one of them.
    pub pins: Vec<Pin>,
    /// Whether its certificate must be for its name, in force, and of an authority that is trusted. Without that its key alone says
    /// that it is the one that is meant (RFC 7858 section 4.2), and it must have `pins`.
    pub checks_name: bool,
    /// The authority that its certificate is of, where that is not one which this machine trusts: a file of certificates (PEM).
    pub ca: Option<PathBuf>,
}

impl From<UpstreamAddress> for UpstreamOptions {
    fn from(address: UpstreamAddress) -> Self {
        Self { address, addresses: Vec::new(), tls_name: None, pins: Vec::new(), checks_name: true, ca: None }
    }
}

impl UpstreamOptions {
    /// Whether all this fits together.
    ///
    /// # Errors
    /// What does not, and what to do about it.
    pub fn checked(self) -> Result<Self, String> {
        let Self { address: UpstreamAddress { transport, host, .. }, .. } = &self;
        let scheme = transport.scheme();
        let says_who =
            self.tls_name.is_some() || !self.pins.is_empty() || !self.checks_name || self.ca.is_some();
        if says_who && !transport.is_encrypted() {
            return Err(format!(
                "`{scheme}://` shows no certificate, so that `name`, `pin`, `check_name` and `ca` say nothing; write `tls://` or leave them out"
            ));
        }
        if !self.addresses.is_empty() && matches!(host, Host::Ip(_)) {
            return Err(format!(
                "`{host}` is an address already; leave `addresses` out, or write the host's name in `url`"
            ));
        }
        if !self.checks_name && self.pins.is_empty() {
            return Err("without `pin` nothing would tell this upstream from anybody else; name its keys as `pin`, or leave \
                        `check_name` out"
                .to_owned());
        }
        if !self.checks_name && self.ca.is_some() {
            return Err(
                "with `check_name = false` no authority is asked; leave `ca` or `check_name` out".to_owned()
            );
        }
        let needs_name = match host {
            Host::Ip(IpAddr::V6(_)) => matches!(transport, Transport::Https | Transport::H3),
            Host::Ip(IpAddr::V4(_)) | Host::Name(_) => false,
        };
        if needs_name && self.tls_name.is_none() {
            return Err(format!(
                "an IPv6 address alone can't be asked over `{scheme}://`; write {{ url = \"...\", name = \"dns.example\" }} with the server's name"
            ));
        }
        let tls_name = match (&self.tls_name, host) {
            (Some(name), _) => Some(name.clone()),
            (None, Host::Name(name)) if transport.is_encrypted() => Some(name.to_string()),
            (None, _) => None,
        };
        match tls_name.map(|name| (ServerName::try_from(name.clone()).is_err(), name)) {
            Some((true, name)) => Err(format!("`{name}` is not a name that a certificate can be for")),
            _ => Ok(self),
        }
    }
}

/// Names that others are asked for; those others alone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteOptions {
    /// These names and those below them. Where several routes have a name, the longest counts.
    pub domains: Vec<DomainName>,
    /// Who is asked.
    pub servers: Vec<UpstreamOptions>,
}

/// Upstreams for the devices of a group; those alone, but for names that have a route.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupOptions {
    /// What the group is called.
    pub name: Arc<str>,
    /// Who is asked.
    pub servers: Vec<UpstreamOptions>,
    /// Which of them.
    pub strategy: Strategy,
}

impl GroupOptions {
    /// The set of these upstreams.
    pub fn set(&self) -> UpstreamSet {
        UpstreamSet::named(&self.name)
    }
}

/// Which upstream is asked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Strategy {
    /// The first one that works, in the order of the file.
    #[default]
    Ordered,
    /// The one that answered fastest of late; the others are asked now and then, to know how fast they are.
    Fastest,
    /// The two fastest at once; the first answer counts.
    Race,
    /// One for each registrable domain, always the same as long as it works, so that none sees all.
    Spread,
}

impl FromStr for Strategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "ordered" => Self::Ordered,
            "fastest" => Self::Fastest,
            "race" => Self::Race,
            "spread" => Self::Spread,
            _ => {
                return Err(format!(
                    "`{text}` is no strategy; expected `ordered`, `fastest`, `race` or `spread`"
                ));
            }
        })
    }
}

/// The SHA-256 of a public key with its algorithm (SPKI), written as `sha256/BASE64` (RFC 7858 appendix A).
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Pin(pub [u8; 32]);

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let encoded = text.strip_prefix("sha256/").unwrap_or(text);
        let digest = STANDARD.decode(encoded).ok().and_then(|digest| digest.try_into().ok());
        digest.map(Self).ok_or_else(|| {
            format!(
                "`{text}` is not the SHA-256 of a public key; write `sha256/` and its 44 characters of Base64"
            )
        })
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256/{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_together_is_told() {
        let of = |url: &str| UpstreamOptions::from(url.parse::<UpstreamAddress>().unwrap());
        let name = || Some("dns.example".to_owned());
        let (pins, ip) = (vec![Pin([7; 32])], IpAddr::from([192, 0, 2, 1]));
        for (options, words) in [
            (UpstreamOptions { pins: pins.clone(), ..of("udp://192.0.2.1") }, "no certificate"),
            (UpstreamOptions { tls_name: name(), ..of("tcp://192.0.2.1") }, "no certificate"),
            (UpstreamOptions { addresses: vec![ip], ..of("tls://192.0.2.1") }, "an address already"),
            (UpstreamOptions { checks_name: false, ..of("tls://192.0.2.1") }, "without `pin`"),
            (
                UpstreamOptions {
                    checks_name: false,
                    pins: pins.clone(),
                    ca: Some("/ca".into()),
                    ..of("tls://a.example")
                },
                "no authority",
            ),
            (of("https://[2001:db8::1]"), "IPv6 address alone"),
            (UpstreamOptions { tls_name: Some("a b".to_owned()), ..of("tls://192.0.2.1") }, "`a b`"),
        ] {
            let error = options.checked().unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        for options in [
            of("https://192.0.2.1"),
            of("tls://[2001:db8::1]"),
            UpstreamOptions { tls_name: name(), ..of("https://[2001:db8::1]") },
            UpstreamOptions { checks_name: false, pins, addresses: vec![ip], ..of("quic://dns.example") },
        ] {
            options.checked().unwrap();
        }
    }

    #[test]
    fn a_pin_is_read_as_it_is_shown() {
        let pin = Pin([7; 32]);
        assert_eq!(pin.to_string(), "sha256/BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=");
        assert_eq!(pin.to_string().parse(), Ok(pin));
        assert_eq!(pin.to_string().trim_start_matches("sha256/").parse(), Ok(pin));
        for text in ["", "sha256/", "sha256/BwcH", "sha1/BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="] {
            assert!(text.parse::<Pin>().is_err(), "{text}");
        }
    }
}
