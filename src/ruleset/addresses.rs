//! Address prefixes whose names are blocked: for each length that occurs one search among those of that length.
//!
//! Written as: for IPv4, the count (u32), then records of 9 octets, each the prefix length, the address in network order, and the
//! attribute (u32); the same for IPv6, in records of 21 octets. Records are sorted as octets.

use std::net::IpAddr;

use ipnet::IpNet;

use super::bytes::Reader;

/// The most prefixes of a ruleset: they are sorted in memory.
pub(super) const ADDRESSES_MAX: usize = 2_000_000;

/// Writes prefixes, each with its attribute.
pub(super) fn write(mut prefixes: Vec<(IpNet, u32)>) -> Vec<u8> {
    prefixes.sort_unstable_by_key(|(net, _)| (net.addr().is_ipv6(), net.prefix_len(), net.network()));
    let mut out = Vec::new();
    for is_ipv6 in [false, true] {
        let of_family = prefixes.iter().filter(|(net, _)| net.addr().is_ipv6() == is_ipv6);
        out.extend_from_slice(&u32::try_from(of_family.clone().count()).unwrap_or(u32::MAX).to_le_bytes());
        for (net, attribute) in of_family {
            out.push(net.prefix_len());
            match net.network() {
                IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
                IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
            }
            out.extend_from_slice(&attribute.to_le_bytes());
        }
    }
    out
}

/// The prefixes that an address is in, the longest first, each with its attribute.
pub(super) fn covering(octets: &[u8], address: IpAddr) -> impl Iterator<Item = (IpNet, u32)> {
    let address = address.to_canonical();
    let family = family(octets, address.is_ipv6()).unwrap_or_default();
    let (bits, record_len) = if address.is_ipv6() { (128, 21) } else { (32, 9) };
    (0..=bits).rev().filter_map(move |length| {
        let net = IpNet::new(address, length).ok()?.trunc();
        find(family, record_len, net).map(|attribute| (net, attribute))
    })
}

/// All prefixes with their attributes.
pub(super) fn iter(octets: &[u8]) -> impl Iterator<Item = (IpNet, u32)> {
    let records =
        |is_ipv6, record_len: usize| family(octets, is_ipv6).unwrap_or_default().chunks_exact(record_len);
    records(false, 9).chain(records(true, 21)).filter_map(read)
}

fn family(octets: &[u8], is_ipv6: bool) -> Option<&[u8]> {
    let mut reader = Reader(octets);
    let count = reader.u32()? as usize;
    let ipv4 = reader.take(count.checked_mul(9)?)?;
    if !is_ipv6 {
        return Some(ipv4);
    }
    let count = reader.u32()? as usize;
    reader.take(count.checked_mul(21)?)
}

fn find(records: &[u8], record_len: usize, wanted: IpNet) -> Option<u32> {
    let (mut low, mut high) = (0, records.len() / record_len);
    while low < high {
        let middle = usize::midpoint(low, high);
        let start = middle * record_len;
        let (net, attribute) = read(records.get(start..start + record_len)?)?;
        match (net.prefix_len(), net.addr()).cmp(&(wanted.prefix_len(), wanted.addr())) {
            std::cmp::Ordering::Equal => return Some(attribute),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

fn read(record: &[u8]) -> Option<(IpNet, u32)> {
    let mut reader = Reader(record);
    let length = reader.u8()?;
    let address = match record.len() {
        9 => IpAddr::from(reader.array::<4>()?),
        _ => IpAddr::from(reader.array::<16>()?),
    };
    Some((IpNet::new(address, length).ok()?, reader.u32()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_each_of_its_prefixes() {
        let texts = ["192.0.2.0/24", "192.0.2.7/32", "2001:db8::/32", "10.0.0.0/8", "192.0.0.0/16"];
        let prefixes = texts.iter().zip(0..).map(|(text, index)| (text.parse().unwrap(), index)).collect();
        let octets = write(prefixes);
        let check = |address: &str, expected: &[u32]| {
            let found: Vec<u32> =
                covering(&octets, address.parse().unwrap()).map(|(_, attribute)| attribute).collect();
            assert_eq!(found, expected, "{address}");
        };
        check("192.0.2.7", &[1, 0, 4]);
        check("::ffff:192.0.2.8", &[0, 4]);
        check("192.1.2.7", &[]);
        check("2001:db8::1", &[2]);
        check("2001:db9::1", &[]);
        assert_eq!(iter(&octets).count(), 5);
        assert_eq!(covering(&octets[..20], "192.0.2.7".parse().unwrap()).count(), 0);
    }
}
