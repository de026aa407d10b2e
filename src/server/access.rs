//! Who may ask, and how much.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Who may ask, and how much.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Access {
    /// The prefixes whose addresses are answered. An answer to anyone else would make this an open resolver.
    pub allow_from: Vec<IpNet>,
    /// Whether the networks that this machine is on are answered too: in a home with IPv6 their addresses are public ones.
    pub allow_local_networks: bool,
    /// Routers and the like that ask for others, and are believed when they say for whom (EDNS options).
    pub trusted_forwarders: Vec<IpNet>,
    /// How many questions an address may ask in a second; 0: no limit.
    pub queries_per_second: u32,
    /// How many answers a prefix outside the house is sent over UDP in a second; 0: no limit.
    pub responses_per_second: u32,
    /// How many questions of an address may wait for upstreams at once.
    pub in_flight_per_client: u32,
    /// How many TCP connections may be open.
    pub tcp_connections: u32,
    /// How many of them may be of one address.
    pub tcp_connections_per_client: u32,
}

impl Access {
    /// Whether `client` may ask, on a machine that is on these networks.
    pub fn allows(&self, client: IpAddr, networks: &[IpNet]) -> bool {
        let client = client.to_canonical();
        within(client, &self.allow_from) || self.allow_local_networks && within(client, networks)
    }

    /// Whether `client` is believed when it says for whom it asks.
    pub fn trusts(&self, client: IpAddr) -> bool {
        !self.trusted_forwarders.is_empty() && within(client.to_canonical(), &self.trusted_forwarders)
    }
}

/// Whether `client` is surely of the house: its address is a private, link-local or loopback one (RFC 1918, 6598, 3927, 4193,
/// 4291), or in a network that this machine is on. Nobody else in the Internet can be reached by an answer to it.
pub fn is_of_the_house(client: IpAddr, networks: &[IpNet]) -> bool {
    let client = client.to_canonical();
    let private = match client {
        IpAddr::V4(address) => {
            address.is_private() || address.is_loopback() || address.is_link_local() || is_shared(address)
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_unicast_link_local() || address == Ipv6Addr::LOCALHOST
        }
    };
    private || within(client, networks)
}

/// Whether it is one of the addresses that providers share among households, 100.64.0.0/10 (RFC 6598).
const fn is_shared(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [100, 64..=127, _, _])
}

fn within(client: IpAddr, prefixes: &[IpNet]) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(&client))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_house_may_ask() {
        let allow_from = vec!["192.168.0.0/16".parse().unwrap(), "fe80::/10".parse().unwrap()];
        let mut access = Access {
            allow_from,
            allow_local_networks: false,
            trusted_forwarders: Vec::new(),
            queries_per_second: 0,
            responses_per_second: 0,
            in_flight_per_client: 1,
            tcp_connections: 1,
            tcp_connections_per_client: 1,
        };
        let networks = ["2001:db8:1::5/64".parse().unwrap()];
        for (client, allowed) in [
            ("192.168.1.2", true),
            ("::ffff:192.168.1.2", true),
            ("fe80::1", true),
            ("203.0.113.5", false),
            ("2001:db8:1::9", false),
        ] {
            assert_eq!(access.allows(client.parse().unwrap(), &networks), allowed, "{client}");
        }
        access.allow_local_networks = true;
        assert!(access.allows("2001:db8:1::9".parse().unwrap(), &networks));
        assert!(!access.allows("2001:db8:2::9".parse().unwrap(), &networks));
    }

    #[test]
    fn strangers_are_told_from_the_house() {
        let networks = ["2001:db8:1::5/64".parse().unwrap(), "198.51.100.7/24".parse().unwrap()];
        for (client, of_the_house) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("::ffff:192.168.1.2", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("169.254.1.1", true),
            ("198.51.100.200", true),
            ("203.0.113.5", false),
            ("::1", true),
            ("::2", false),
            ("fd00::1", true),
            ("fe80::1", true),
            ("2001:db8:1::9", true),
            ("2001:db8:2::9", false),
        ] {
            assert_eq!(is_of_the_house(client.parse().unwrap(), &networks), of_the_house, "{client}");
        }
    }
}
