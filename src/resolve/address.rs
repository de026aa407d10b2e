//! Where an upstream is, as people write it: `udp://192.168.1.1:53`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// How an upstream is spoken to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// Plain UDP, with TCP for what does not fit.
    Udp,
    /// Plain TCP.
    Tcp,
}

/// An upstream: transport, address and port.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct UpstreamAddress {
    /// How it is spoken to.
    pub transport: Transport,
    /// Where it is.
    pub socket: SocketAddr,
}

const PORT: u16 = 53;

impl FromStr for UpstreamAddress {
    type Err = UpstreamAddressError;

    fn from_str(text: &str) -> Result<Self, UpstreamAddressError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("udp", text));
        let transport = match scheme {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            "tls" | "https" | "h3" | "quic" => return Err(UpstreamAddressError::NotYet(scheme.to_owned())),
            _ => return Err(UpstreamAddressError::Scheme(scheme.to_owned())),
        };
        let bare = || rest.trim_matches(['[', ']']).parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT));
        let socket: SocketAddr =
            rest.parse().or_else(|_| bare()).map_err(|_| UpstreamAddressError::Address)?;
        if socket.ip().is_unspecified() || socket.port() == 0 {
            return Err(UpstreamAddressError::Address);
        }
        Ok(Self { transport, socket })
    }
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        write!(f, "{scheme}://{}", self.socket)
    }
}

/// Why a text is not an upstream.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum UpstreamAddressError {
    #[error("`{0}://` upstreams are not spoken by this version; write udp:// or tcp://")]
    NotYet(String),
    #[error("`{0}://` is not a way to speak to an upstream; write udp:// or tcp://")]
    Scheme(String),
    #[error(
        "expected an IP address and, if it is not 53, a port: `udp://9.9.9.9` or `tcp://[2620:fe::fe]:53`"
    )]
    Address,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_read_as_people_write_it() {
        for (text, shown) in [
            ("udp://9.9.9.9", "udp://9.9.9.9:53"),
            ("9.9.9.9", "udp://9.9.9.9:53"),
            ("9.9.9.9:5353", "udp://9.9.9.9:5353"),
            ("tcp://[2620:fe::fe]", "tcp://[2620:fe::fe]:53"),
            ("tcp://[2620:fe::fe]:853", "tcp://[2620:fe::fe]:853"),
            ("2620:fe::fe", "udp://[2620:fe::fe]:53"),
        ] {
            let address: UpstreamAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
        for text in ["", "udp://", "udp://dns.example", "0.0.0.0", "udp://9.9.9.9:0", "udp://9.9.9.9:x"] {
            assert_eq!(text.parse::<UpstreamAddress>(), Err(UpstreamAddressError::Address), "{text}");
        }
        assert!(matches!("tls://1.1.1.1".parse::<UpstreamAddress>(), Err(UpstreamAddressError::NotYet(_))));
        assert!(matches!("ftp://1.1.1.1".parse::<UpstreamAddress>(), Err(UpstreamAddressError::Scheme(_))));
    }
}
