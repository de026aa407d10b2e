//! Addresses that no name of the public DNS has business with: those of the house, and those of nobody.
//!
//! A page from outside whose name leads to one of them makes a browser at home speak to the router in its name (DNS
//! rebinding). IPv4 addresses are looked for inside of IPv6 addresses too, since a translator or a tunnel unwraps them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads that is not outside. The greater one says more.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Inward {
    /// 0.0.0.0 or ::, with which resolvers block. Some systems take them for themselves.
    Nowhere,
    /// To a machine of the house, or to this machine itself.
    House,
}

impl Inward {
    /// Where `address` leads; `None`: outside.
    pub fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => of_ipv4(address),
            IpAddr::V6(address) => of_ipv6(address),
        }
    }
}

fn of_ipv4(address: Ipv4Addr) -> Option<Inward> {
    if address.is_unspecified() {
        return Some(Inward::Nowhere);
    }
    let [first, second, ..] = address.octets();
    let is_of_the_house = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        // "This network" (RFC 791 section 3.2), and the addresses that providers share (RFC 6598).
        || first == 0
        || first == 100 && second & 0xc0 == 64;
    is_of_the_house.then_some(Inward::House)
}

fn of_ipv6(address: Ipv6Addr) -> Option<Inward> {
    if address.is_unspecified() {
        return Some(Inward::Nowhere);
    }
    let segments = address.segments();
    let ipv4 = |high: u16, low: u16| of_ipv4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match segments {
        // Loopback; IPv4-mapped and, deprecated, IPv4-compatible (RFC 4291 section 2.5.5).
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Inward::House),
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => ipv4(high, low),
        // NAT64 (RFC 6052), and the prefix of it that is for one's own network (RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => ipv4(high, low),
        [0x64, 0xff9b, 1, ..] => Some(Inward::House),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => ipv4(high, low),
        // Unique local (RFC 4193), link-local, and site-local, which is deprecated (RFC 3879).
        [0xfc00..=0xfdff | 0xfe80..=0xfeff, ..] => Some(Inward::House),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_the_house_is_told_from_what_is_outside() {
        #[track_caller]
        fn check(address: &str, expected: Option<Inward>) {
            assert_eq!(Inward::of(address.parse().unwrap()), expected, "{address}");
        }
        for nowhere in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
            check(nowhere, Some(Inward::Nowhere));
        }
        for house in [
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "127.0.0.1",
            "127.8.9.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "255.255.255.255",
            "0.1.2.3",
            "::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fd00::1",
            "fc00::1",
            "::ffff:192.168.1.1",
            "::192.168.1.1",
            "64:ff9b::c0a8:101",
            "64:ff9b:1::1",
            "2002:c0a8:101::1",
        ] {
            check(house, Some(Inward::House));
        }
        for outside in [
            "9.9.9.9",
            "172.15.0.1",
            "172.32.0.1",
            "192.169.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "169.253.0.1",
            "192.0.0.170",
            "198.51.100.1",
            "203.0.113.1",
            "2001:db8::1",
            "2620:fe::fe",
            "64:ff9b::909:909",
            "2002:909:909::1",
            "::ffff:9.9.9.9",
            "fbff::1",
            "ff02::1",
        ] {
            check(outside, None);
        }
    }
}
