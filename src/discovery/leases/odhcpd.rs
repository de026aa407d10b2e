//! The state file of odhcpd (OpenWrt): lines that begin with `#` say whose a lease is; lines of a hosts file follow, for
//! dnsmasq. DHCPv4: `# interface mac ipv4 name ends address 32 addresses`; DHCPv6: `# interface duid iaid name ends id length
//! addresses`. A name that odhcpd does not trust has `broken\x20` before it.

use std::net::IpAddr;

use super::{Lease, lease, mac_of_duid, mac_of_hex};

/// What odhcpd writes before a name that is no host name.
const BROKEN: &str = "broken\\x20";

pub(super) fn is_lease(line: &str) -> bool {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, _, identifier, iaid, _, ends, ..] = *words.as_slice() else { return false };
    let is_hex = |word: &str| !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_hexdigit());
    line.starts_with("# ")
        && is_hex(identifier)
        && (iaid == "ipv4" || is_hex(iaid))
        && ends.parse::<i64>().is_ok()
}

pub(super) fn parse(text: &str) -> Vec<Lease> {
    text.lines().filter(|line| is_lease(line)).flat_map(parse_line).collect()
}

fn parse_line(line: &str) -> Vec<Lease> {
    let mut words = line.split_ascii_whitespace().skip(2);
    let (Some(identifier), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else {
        return Vec::new();
    };
    let mac = if kind == "ipv4" { mac_of_hex(identifier) } else { mac_of_duid(identifier) };
    let name = name.strip_prefix(BROKEN).unwrap_or(name);
    let addresses = words.skip(3).filter_map(|word| word.split('/').next()?.parse::<IpAddr>().ok());
    let addresses: Vec<Option<IpAddr>> = addresses.map(Some).collect();
    let addresses = if addresses.is_empty() { vec![None] } else { addresses };
    addresses.into_iter().filter_map(|address| lease(mac, address, name)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::check;

    #[test]
    fn leases_of_odhcpd() {
        check(
            "# br-lan aabbccddee01 ipv4 Annas-iPhone 1700000000 c0a80105 32 192.168.1.5/32\n\
             192.168.1.5\tAnnas-iPhone\n\
             # br-lan 000100012b9c9f6eaabbccddee02 1a2b3c4d laptop 1700000000 5 128 fd00::5/128 2001:db8::5/128\n\
             fd00::5\tlaptop\n\
             # br-lan aabbccddee03 ipv4 - -1 c0a80107 32 192.168.1.7/32\n\
             # br-lan aabbccddee04 ipv4 broken\\x20my_tv -1 c0a80108 32 192.168.1.8/32\n",
            Format::Odhcpd,
            &[
                "aa:bb:cc:dd:ee:01 192.168.1.5 Annas-iPhone",
                "aa:bb:cc:dd:ee:02 fd00::5 laptop",
                "aa:bb:cc:dd:ee:02 2001:db8::5 laptop",
                "aa:bb:cc:dd:ee:04 192.168.1.8 my_tv",
            ],
        );
    }
}
