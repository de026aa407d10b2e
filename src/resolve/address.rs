//! Where an upstream is and how it is spoken to, as people write it: `tls://dns.example`, `udp://192.168.1.1:53`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::name::DomainName;

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// Plain UDP, with TCP for what does not fit.
    Udp,
    /// Plain TCP.
    Tcp,
    /// DNS over TLS (RFC 7858).
    Tls,
    /// DNS over HTTPS with HTTP/2 (RFC 8484).
    Https,
    /// DNS over HTTPS with HTTP/3.
    H3,
    /// DNS over QUIC (RFC 9250).
    Quic,
}

impl Transport {
    /// All there are.
    pub const ALL: [Self; 6] = [Self::Udp, Self::Tcp, Self::Tls, Self::Https, Self::H3, Self::Quic];

    /// The scheme of its addresses.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
            Self::H3 => "h3",
            Self::Quic => "quic",
        }
    }

    /// The port where none is named.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 53,
            Self::Tls | Self::Quic => 853,
            Self::Https | Self::H3 => 443,
        }
    }

    /// Whether nobody on the way can read it.
    pub const fn is_encrypted(self) -> bool {
        !matches!(self, Self::Udp | Self::Tcp)
    }

    /// Whether its addresses have a path.
    pub const fn has_path(self) -> bool {
        matches!(self, Self::Https | Self::H3)
    }
}

/// Which host an upstream is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Host {
    /// This address.
    Ip(IpAddr),
    /// One whose addresses have to be looked up.
    Name(DomainName),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// An upstream: transport, host, port, and the path where there is one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UpstreamAddress {
    /// How it is spoken to.
    pub transport: Transport,
    /// Which host it is.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// The path of `https://` and `h3://`, with its slash; empty for others.
    pub path: String,
}

/// What servers of DNS over HTTPS have by custom (RFC 8484 section 4.1.1 shows it).
const PATH: &str = "/dns-query";
/// A longer path is a slip of the pen.
const PATH_LEN_MAX: usize = 255;

impl UpstreamAddress {
    /// Plain UDP to an address.
    pub fn udp(ip: IpAddr, port: u16) -> Self {
        Self { transport: Transport::Udp, host: Host::Ip(ip), port, path: String::new() }
    }
}

impl FromStr for UpstreamAddress {
    type Err = UpstreamAddressError;

    fn from_str(text: &str) -> Result<Self, UpstreamAddressError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("udp", text));
        let transport = Transport::ALL.into_iter().find(|transport| transport.scheme() == scheme);
        let transport = transport.ok_or_else(|| UpstreamAddressError::Scheme(scheme.to_owned()))?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let path = if transport.has_path() { read_path(path)? } else { no_path(transport, path)? };
        let (host, port) = read_authority(authority)?;
        let port = match port {
            Some(port) => port.parse().ok().filter(|&port| port != 0),
            None => Some(transport.default_port()),
        };
        let port = port.ok_or(UpstreamAddressError::Address)?;
        Ok(Self { transport, host, port, path })
    }
}

fn read_path(path: &str) -> Result<String, UpstreamAddressError> {
    // Providers print their addresses as URI templates (RFC 8484 section 3); questions are POSTed here.
    let path = path.strip_suffix("{?dns}").unwrap_or(path);
    let is_plain =
        |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'#' | b'{' | b'}' | b'"' | b'<' | b'>');
    match path {
        "" | "/" => Ok(PATH.to_owned()),
        _ if path.len() <= PATH_LEN_MAX && path.bytes().all(is_plain) => Ok(path.to_owned()),
        _ => Err(UpstreamAddressError::Path(path.to_owned())),
    }
}

fn no_path(transport: Transport, path: &str) -> Result<String, UpstreamAddressError> {
    match path {
        "" | "/" => Ok(String::new()),
        _ => Err(UpstreamAddressError::NoPath { scheme: transport.scheme(), path: path.to_owned() }),
    }
}

/// The host, and the port as it is written.
fn read_authority(text: &str) -> Result<(Host, Option<&str>), UpstreamAddressError> {
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let (ip, rest) = bracketed.split_once(']').ok_or(UpstreamAddressError::Address)?;
        let ip: Ipv6Addr = ip.parse().map_err(|_| UpstreamAddressError::Address)?;
        let port = if rest.is_empty() { None } else { rest.strip_prefix(':') };
        if port.is_none() && !rest.is_empty() {
            return Err(UpstreamAddressError::Address);
        }
        (Host::Ip(ip.into()), port)
    } else if let Ok(ip) = text.parse::<Ipv6Addr>() {
        (Host::Ip(ip.into()), None)
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        (read_host(host)?, port)
    };
    match host {
        Host::Ip(ip) if ip.is_unspecified() || ip.is_multicast() => Err(UpstreamAddressError::Address),
        host => Ok((host, port)),
    }
}

fn read_host(text: &str) -> Result<Host, UpstreamAddressError> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Host::Ip(ip));
    }
    let bad = || UpstreamAddressError::Host(text.to_owned());
    let name = DomainName::parse(text).map_err(|_| bad())?;
    let shown = name.to_string();
    let is_host_octet = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    // `9.9.9` is an address that lacks an octet, not a name.
    let ends_in_number =
        shown.rsplit('.').next().is_some_and(|last| last.bytes().all(|octet| octet.is_ascii_digit()));
    if name.as_ref().is_root() || ends_in_number || !shown.bytes().all(is_host_octet) {
        return Err(if ends_in_number { UpstreamAddressError::Address } else { bad() });
    }
    Ok(Host::Name(name))
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transport, host, port, path } = self;
        write!(f, "{}://{host}", transport.scheme())?;
        if !transport.is_encrypted() || *port != transport.default_port() {
            write!(f, ":{port}")?;
        }
        f.write_str(path)
    }
}

/// Why a text is not an upstream.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum UpstreamAddressError {
    #[error(
        "`{0}://` is not a way to speak to an upstream; write `udp://`, `tcp://`, `tls://`, `https://`, `h3://` or `quic://`"
    )]
    Scheme(String),
    #[error(
        "expected an address or a host name and, if it is not the usual one, a port: `udp://9.9.9.9`, `tcp://[2620:fe::fe]:53` or \
         `tls://dns.example`"
    )]
    Address,
    #[error("`{0}` is neither an address nor a host name; write `9.9.9.9` or `dns.example`")]
    Host(String),
    #[error("`{0}` is not a path; write it as in `https://dns.example/dns-query`")]
    Path(String),
    #[error("`{scheme}://` has no path; leave `{path}` out, or write `https://`")]
    NoPath { scheme: &'static str, path: String },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        let address: UpstreamAddress = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(address.to_string(), shown);
        assert_eq!(shown.parse(), Ok(address));
    }

    #[test]
    fn an_upstream_is_read_as_people_write_it() {
        check("udp://9.9.9.9", "udp://9.9.9.9:53");
        check("9.9.9.9", "udp://9.9.9.9:53");
        check("9.9.9.9:5353", "udp://9.9.9.9:5353");
        check("tcp://[2620:fe::fe]", "tcp://[2620:fe::fe]:53");
        check("tcp://[2620:fe::fe]:853", "tcp://[2620:fe::fe]:853");
        check("2620:fe::fe", "udp://[2620:fe::fe]:53");
        check("udp://Dns.Example", "udp://dns.example:53");
        check("tls://1.1.1.1", "tls://1.1.1.1");
        check("tls://dns.example:8853", "tls://dns.example:8853");
        check("tls://dns.example/", "tls://dns.example");
        check("quic://dns.example", "quic://dns.example");
        check("quic://[2620:fe::fe]:853", "quic://[2620:fe::fe]");
        check("https://dns.example", "https://dns.example/dns-query");
        check("https://dns.example/", "https://dns.example/dns-query");
        check("https://dns.example/dns-query{?dns}", "https://dns.example/dns-query");
        check("https://dns.example:443/a/b?id=1", "https://dns.example/a/b?id=1");
        check("h3://1.1.1.1:8443/x", "h3://1.1.1.1:8443/x");
        check("https://bücher.example", "https://xn--bcher-kva.example/dns-query");
    }

    #[test]
    fn what_is_no_upstream_is_told_why() {
        for text in [
            "udp://9.9.9.9:0",
            "udp://9.9.9.9:x",
            "0.0.0.0",
            "[::]",
            "udp://[::1",
            "udp://[::1]x",
            "9.9.9",
            "ff02::1",
        ] {
            assert_eq!(text.parse::<UpstreamAddress>(), Err(UpstreamAddressError::Address), "{text}");
        }
        for text in ["", "udp://", "tls://a b", "tls://user@dns.example", "https://", "tls://a..b"] {
            assert!(matches!(text.parse::<UpstreamAddress>(), Err(UpstreamAddressError::Host(_))), "{text}");
        }
        for text in ["https://a.example/ b", "https://a.example/{x}", "h3://a.example/#x"] {
            assert!(matches!(text.parse::<UpstreamAddress>(), Err(UpstreamAddressError::Path(_))), "{text}");
        }
        assert!(matches!("tls://a/x".parse::<UpstreamAddress>(), Err(UpstreamAddressError::NoPath { .. })));
        assert!(matches!("ftp://1.1.1.1".parse::<UpstreamAddress>(), Err(UpstreamAddressError::Scheme(_))));
    }

    proptest! {
        /// Whatever somebody writes is read or refused, and what was read is shown as something that reads the same.
        #[test]
        fn what_is_read_is_shown_as_it_reads(text in "(udp|tcp|tls|https|h3|quic|x)?(://)?\\PC{0,40}") {
            if let Ok(address) = text.parse::<UpstreamAddress>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }

        #[test]
        fn what_looks_like_one_is_shown_as_it_reads(
            text in "(udp|tcp|tls|https|h3|quic)://([a-z0-9.-]{1,20}|\\[[0-9a-f:]{2,20}\\]|[0-9.]{7,15})(:[0-9]{1,5})?(/[!-~]{0,20})?"
        ) {
            if let Ok(address) = text.parse::<UpstreamAddress>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }
}
