//! For whom a forwarder asks, as it says in EDNS options of its query.
//!
//! Anybody can write them; who reads them has to know that the sender may be believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Query;
use super::read_u16;

/// EDNS Client Subnet (RFC 7871); of use here with an address of full length (dnsmasq `add-subnet=32,128`).
const CLIENT_SUBNET: u16 = 8;
/// The MAC as it is (dnsmasq `add-mac`).
const MAC: u16 = 65001;
/// The MAC in Base64 or as text (dnsmasq `add-mac=base64`, `add-mac=text`).
const DEVICE_ID: u16 = 65073;

/// For whom a query is asked; nothing when it does not say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Behalf {
    /// The MAC of the one who asks.
    pub mac: Option<[u8; 6]>,
    /// Its address.
    pub address: Option<IpAddr>,
}

impl Query<'_> {
    /// For whom it is asked, as far as its options say. dnsmasq's CPE-ID (65074) is no such option: it names the forwarder.
    pub fn on_behalf(&self) -> Behalf {
        let mut behalf = Behalf::default();
        let mut rest = self.options;
        while let (Some(code), Some(length)) = (read_u16(rest, 0), read_u16(rest, 2)) {
            let end = 4 + usize::from(length);
            let Some(value) = rest.get(4..end) else { break };
            match code {
                CLIENT_SUBNET => behalf.address = behalf.address.or(full_address(value)),
                MAC => behalf.mac = behalf.mac.or(value.try_into().ok()),
                DEVICE_ID => {
                    behalf.mac = behalf.mac.or_else(|| mac_of_base64(value).or_else(|| mac_of_text(value)));
                }
                _ => {}
            }
            rest = rest.get(end..).unwrap_or_default();
        }
        behalf
    }
}

/// The address of a client subnet that is one (RFC 7871 section 6).
fn full_address(value: &[u8]) -> Option<IpAddr> {
    let (&[_, family, source_len, _], address) = value.split_first_chunk()?;
    match (family, source_len) {
        (1, 32) => Some(IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?))),
        (2, 128) => Some(IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)).to_canonical()),
        _ => None,
    }
    // Nobody's address, which RFC 7871 section 7.1.2 has for "do not tell".
    .filter(|address| !address.is_unspecified() && !address.is_multicast())
}

/// Eight characters of Base64 (RFC 4648 section 4) for six octets.
fn mac_of_base64(value: &[u8]) -> Option<[u8; 6]> {
    let digits: [u8; 8] = value.try_into().ok()?;
    let mut bits = 0_u64;
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u64::from(value);
    }
    let [_, _, mac @ ..] = bits.to_be_bytes();
    Some(mac)
}

/// `aa:bb:cc:dd:ee:ff`.
fn mac_of_text(value: &[u8]) -> Option<[u8; 6]> {
    let text: [u8; 17] = value.try_into().ok()?;
    let mut mac = [0; 6];
    let mut parts = text.split(|octet| *octet == b':');
    for octet in &mut mac {
        let &[high, low] = parts.next()? else { return None };
        let digit = |c: u8| char::from(c).to_digit(16);
        *octet = u8::try_from(digit(high)? << 4 | digit(low)?).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::parse;

    /// A query with these octets as the RDATA of its OPT record.
    fn query(options: &[u8]) -> Vec<u8> {
        let length = u16::try_from(options.len()).unwrap().to_be_bytes();
        let opt = [&[0, 0, 41, 4, 208, 0, 0, 0, 0], &length[..], options].concat();
        [&[0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, b'a', 0, 0, 1, 0, 1], &opt[..]].concat()
    }

    fn option(code: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).unwrap();
        [&code.to_be_bytes()[..], &length.to_be_bytes(), value].concat()
    }

    #[track_caller]
    fn check(options: &[Vec<u8>], mac: Option<[u8; 6]>, address: Option<&str>) {
        let packet = query(&options.concat());
        let behalf = parse(&packet).unwrap().on_behalf();
        assert_eq!(behalf, Behalf { mac, address: address.map(|address| address.parse().unwrap()) });
    }

    #[test]
    fn forwarders_say_for_whom_they_ask() {
        const MAC_OCTETS: [u8; 6] = [0xaa, 0xbb, 0xcc, 0x01, 0x02, 0xff];
        check(&[], None, None);
        check(&[option(MAC, &MAC_OCTETS)], Some(MAC_OCTETS), None);
        check(&[option(DEVICE_ID, b"qrvMAQL/")], Some(MAC_OCTETS), None);
        check(&[option(DEVICE_ID, b"aa:bb:cc:01:02:FF")], Some(MAC_OCTETS), None);
        check(&[option(CLIENT_SUBNET, &[0, 1, 32, 0, 192, 168, 1, 5])], None, Some("192.168.1.5"));
        let six = [&[0, 2, 128, 0, 0xfd], &[0; 14][..], &[5]].concat();
        check(
            &[option(10, &[0; 8]), option(CLIENT_SUBNET, &six), option(MAC, &MAC_OCTETS)],
            Some(MAC_OCTETS),
            Some("fd00::5"),
        );
    }

    #[test]
    fn what_says_less_says_nothing() {
        check(&[option(CLIENT_SUBNET, &[0, 1, 24, 0, 192, 168, 1])], None, None);
        check(&[option(CLIENT_SUBNET, &[0, 1, 0, 0])], None, None);
        check(&[option(CLIENT_SUBNET, &[0, 1, 32, 0, 0, 0, 0, 0])], None, None);
        check(&[option(CLIENT_SUBNET, &[0, 1, 32])], None, None);
        check(
            &[option(MAC, &[1; 8]), option(DEVICE_ID, b"????????"), option(DEVICE_ID, b"aa:bb:cc:01:02:xx")],
            None,
            None,
        );
        // An option that is cut off, behind one that is whole.
        check(&[option(MAC, &[1; 6]), vec![0, 8, 0, 9, 1]], Some([1; 6]), None);
        check(&[option(65074, b"my-router")], None, None);
    }

    proptest! {
        #[test]
        fn no_options_are_too_strange(options in proptest::collection::vec(any::<u8>(), 0..100)) {
            let packet = query(&options);
            if let Ok(query) = parse(&packet) {
                query.on_behalf();
            }
        }
    }
}
