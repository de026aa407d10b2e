//! What DHCP servers wrote about whom they gave which address: a name for a MAC or an address.
//!
//! Text in, names out. The texts are of strangers, since devices choose their names: whatever is no lease is passed over, names
//! are tidied, and a file that is being written counts up to its last whole line.

mod dnsmasq;
mod isc;
mod kea;
mod odhcpd;

use std::net::IpAddr;

use crate::device::{Mac, tidy_host_name};

/// The largest file that is read, in octets; what comes behind is left out.
pub const SIZE_MAX: u64 = 4 << 20;
/// More leases than a large network has.
const LEASES_MAX: usize = 16_384;

/// Where DHCP servers keep their leases, unless they are told otherwise: dnsmasq (Debian, Fedora, OpenWrt, Pi-hole), ISC
/// dhcpd, Kea, odhcpd.
pub const WELL_KNOWN: &[&str] = &[
    "/var/lib/misc/dnsmasq.leases",
    "/var/lib/dnsmasq/dnsmasq.leases",
    "/tmp/dhcp.leases",
    "/etc/pihole/dhcp.leases",
    "/var/lib/dhcp/dhcpd.leases",
    "/var/lib/dhcpd/dhcpd.leases",
    "/var/lib/kea/kea-leases4.csv",
    "/var/lib/kea/kea-leases6.csv",
    "/tmp/hosts/odhcpd",
    "/var/lib/odhcpd/leases",
    "/tmp/odhcpd.leases",
];

/// One lease of a device that told its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lease {
    /// Who has it; not every server says so.
    pub mac: Option<Mac>,
    /// The address that was given; for DHCPv6 there may be several leases.
    pub address: Option<IpAddr>,
    /// What the device calls itself, tidied.
    pub name: String,
}

/// A way of writing leases.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// dnsmasq.leases.
    Dnsmasq,
    /// dhcpd.leases(5).
    Isc,
    /// Kea's "memfile" CSV.
    Kea,
    /// The state file of odhcpd.
    Odhcpd,
}

impl Format {
    /// The way in which a text is written, by its first line that says something; `None` when it is none of these.
    pub fn of(text: &str) -> Option<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(64);
        lines.into_iter().find_map(|line| {
            if line.starts_with("address,") {
                Some(Self::Kea)
            } else if odhcpd::is_lease(line) {
                Some(Self::Odhcpd)
            } else if line.starts_with('#') {
                None
            } else if isc::is_statement(line) {
                Some(Self::Isc)
            } else if dnsmasq::is_lease(line) {
                Some(Self::Dnsmasq)
            } else {
                None
            }
        })
    }
}

/// The leases in a text whose last line may be cut off; later ones take the place of earlier ones. `None` when the text is
/// in no format that is known.
pub fn parse(text: &[u8]) -> Option<Vec<Lease>> {
    // What is not ended by a line break is still being written.
    let whole = text.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
    let text = String::from_utf8_lossy(text.get(..whole).unwrap_or_default());
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    let mut leases = match Format::of(&text)? {
        Format::Dnsmasq => dnsmasq::parse(&text),
        Format::Isc => isc::parse(&text),
        Format::Kea => kea::parse(&text),
        Format::Odhcpd => odhcpd::parse(&text),
    };
    // The last ones are the newest.
    let excess = leases.len().saturating_sub(LEASES_MAX);
    leases.drain(..excess);
    Some(leases)
}

/// A lease, if it has a name that says something and is anybody's.
fn lease(mac: Option<Mac>, address: Option<IpAddr>, name: &str) -> Option<Lease> {
    let name = tidy_host_name(name)?;
    (mac.is_some() || address.is_some()).then_some(Lease { mac, address, name })
}

/// A MAC of six octets in hex digits, with or without what stands between them.
fn mac_of_hex(text: &str) -> Option<Mac> {
    let mut octets = [0; 6];
    if text.len() != 12 || !text.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        return text.parse().ok();
    }
    for (octet, at) in octets.iter_mut().zip((0..12).step_by(2)) {
        *octet = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(Mac(octets))
}

/// The MAC in a DUID that is made from one: type 1 (with a time) or 3, of Ethernet (RFC 8415 section 11).
fn mac_of_duid(hex: &str) -> Option<Mac> {
    let digits: String =
        hex.chars().filter(char::is_ascii_hexdigit).map(|c| c.to_ascii_lowercase()).collect();
    let mac = match (digits.get(..8)?, digits.len()) {
        ("00010001", 28) => digits.get(16..)?,
        ("00030001", 20) => digits.get(8..)?,
        _ => return None,
    };
    mac_of_hex(mac)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    pub(super) fn check(text: &str, format: Format, expected: &[&str]) {
        assert_eq!(Format::of(text), Some(format));
        let leases = parse(text.as_bytes()).unwrap();
        let shown: Vec<String> = leases
            .iter()
            .map(|lease| {
                let mac = lease.mac.map_or("-".to_owned(), |mac| mac.to_string());
                let address = lease.address.map_or("-".to_owned(), |address| address.to_string());
                format!("{mac} {address} {}", lease.name)
            })
            .collect();
        assert_eq!(shown, expected);
        // However much of the file is written, what there is of it is right.
        for end in 0..text.len() {
            let part = parse(&text.as_bytes()[..end]).unwrap_or_default();
            let known = |part: &&Lease| {
                leases.iter().any(|lease| lease.name == part.name)
                    || format == Format::Isc
                    || format == Format::Kea
            };
            assert_eq!(part.iter().find(|part| !known(part)), None, "cut at {end}");
        }
    }

    #[test]
    fn what_is_no_file_of_leases_is_told() {
        assert_eq!(parse(b"[dns]\nlisten = 1\n"), None);
        assert_eq!(parse(b"\x7fELF\x00\n\xff\xff\n"), None);
        assert_eq!(parse(b"\n"), Some(Vec::new()));
        assert_eq!(parse(b"1700000000 aa:bb:cc:dd:ee:ff 192.168.1.5 half"), Some(Vec::new()));
    }

    #[test]
    fn a_duid_may_have_a_mac_in_it() {
        for (duid, mac) in [
            ("000100012b9c9f6eaabbccddeeff", Some("aa:bb:cc:dd:ee:ff")),
            ("00:03:00:01:aa:bb:cc:dd:ee:ff", Some("aa:bb:cc:dd:ee:ff")),
            ("00020000ab11aabbccddeeff", None),
            ("00030001", None),
            ("", None),
        ] {
            assert_eq!(mac_of_duid(duid).map(|mac| mac.to_string()).as_deref(), mac, "{duid}");
        }
    }

    #[test]
    fn a_flood_of_leases_is_bounded() {
        let line = |number: usize| {
            format!(
                "1 aa:bb:cc:dd:{:02x}:{:02x} 10.0.{}.{} d{number}x\n",
                number >> 8,
                number & 255,
                number >> 8,
                number & 255
            )
        };
        let text: String = (0..LEASES_MAX + 10).map(line).collect();
        let leases = parse(text.as_bytes()).unwrap();
        assert_eq!(leases.len(), LEASES_MAX);
        assert_eq!(leases.last().unwrap().name, format!("d{}x", LEASES_MAX + 9));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(
            start in prop::sample::select(vec!["", "address,hwaddr,hostname\n", "lease 10.0.0.1 {\n", "# br-lan aabbccddeeff ipv4 x 1 1 32 10.0.0.1/32\n", "1 aa:bb:cc:dd:ee:ff 10.0.0.1 a\n"]),
            text in "[ -~\\n\"{};,#/\u{202e}\u{0}]{0,200}",
        ) {
            for lease in parse(format!("{start}{text}").as_bytes()).unwrap_or_default() {
                prop_assert_eq!(crate::device::tidy_name(&lease.name), Some(lease.name.clone()));
            }
        }
    }
}
