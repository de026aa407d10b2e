//! The first start: three steps until the first question comes, and where devices find this machine.

use std::net::{IpAddr, SocketAddr};

use crate::web::About;

/// A name that the built-in list blocks, for a first try.
pub(super) const BLOCKED_NAME: &str = "google-analytics.com";

/// Where devices can ask, as far as that is known.
pub(super) struct Server {
    /// `None`: this machine listens on all of its addresses, and which of them devices reach is not known.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

impl Server {
    /// `host`: what the browser called this machine, which may be an address that devices reach too.
    pub(super) fn of(about: &About, host: &str) -> Self {
        let concrete = about.dns_listen.iter().find(|listen| !listen.ip().is_unspecified());
        let by_wildcard = about.dns_listen.iter().find(|listen| listen.ip().is_unspecified());
        let by_host = || host.parse::<SocketAddr>().map(|host| host.ip()).or_else(|_| host.parse());
        let server = match (concrete, by_wildcard) {
            (Some(concrete), None) => Some(*concrete),
            (concrete, Some(wildcard)) => {
                let by_host = by_host().ok().map(|address| SocketAddr::new(address, wildcard.port()));
                by_host.filter(|host| !host.ip().is_loopback()).or(concrete.copied())
            }
            (None, None) => None,
        };
        Self {
            address: server.map(|server| server.ip()),
            port: server.or(by_wildcard.copied()).map_or(53, |server| server.port()),
        }
    }

    /// The address, or words in its place.
    pub(super) fn shown(&self) -> String {
        self.address.map_or_else(|| "the address of this machine".to_owned(), |address| address.to_string())
    }

    /// The command that asks for a name that is blocked.
    pub(super) fn dig(&self) -> String {
        let at = self.address.map_or_else(|| "127.0.0.1".to_owned(), |address| address.to_string());
        let port = if self.port == 53 { String::new() } else { format!(" -p {}", self.port) };
        format!("dig @{at}{port} {BLOCKED_NAME}")
    }
}

/// How to begin.
pub(super) struct Welcome {
    /// An address that devices can reach, where one is known.
    pub(super) server: String,
    pub(super) is_known: bool,
    /// Devices ask at port 53 only; another one is good for a try with `dig`.
    pub(super) other_port: Option<u16>,
    /// No device can reach an address of the loopback interface.
    pub(super) is_loopback: bool,
    pub(super) dig: String,
    pub(super) listens: Vec<String>,
}

impl Welcome {
    pub(super) fn new(about: &About, host: &str) -> Self {
        let server = Server::of(about, host);
        Self {
            server: server.shown(),
            is_known: server.address.is_some(),
            other_port: Some(server.port).filter(|port| *port != 53),
            is_loopback: server.address.is_some_and(|address| address.is_loopback()),
            dig: server.dig(),
            listens: about.dns_listen.iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listen: &[&str], host: &str, server: &str, dig: &str) {
        let dns_listen = listen.iter().map(|address| address.parse().unwrap()).collect();
        let welcome = Welcome::new(&About { dns_listen, ..About::default() }, host);
        assert_eq!((&*welcome.server, &*welcome.dig), (server, dig));
    }

    #[test]
    fn a_first_visitor_is_told_an_address_that_works() {
        let dig = "dig @192.168.1.5 google-analytics.com";
        check(&["0.0.0.0:53"], "192.168.1.5:8053", "192.168.1.5", dig);
        check(&["192.168.1.5:53", "0.0.0.0:53"], "pi.lan", "192.168.1.5", dig);
        check(&["192.168.1.5:53"], "10.0.0.1", "192.168.1.5", dig);
        check(&["127.0.0.1:5300"], "localhost", "127.0.0.1", "dig @127.0.0.1 -p 5300 google-analytics.com");
        let unknown = "the address of this machine";
        check(&["0.0.0.0:53"], "127.0.0.1:8053", unknown, "dig @127.0.0.1 google-analytics.com");
        check(&[], "", unknown, "dig @127.0.0.1 google-analytics.com");
    }

    #[test]
    fn what_no_device_can_use_is_told() {
        let welcome = |listen: &str| {
            let dns_listen = vec![listen.parse().unwrap()];
            let welcome = Welcome::new(&About { dns_listen, ..About::default() }, "localhost");
            (welcome.is_loopback, welcome.other_port)
        };
        assert_eq!(welcome("127.0.0.1:5300"), (true, Some(5300)));
        assert_eq!(welcome("192.168.1.5:53"), (false, None));
    }
}
