//! dnsmasq.leases: a line for each lease, of the time it ends, the MAC (for DHCPv6 the IAID), the address, the name or `*`,
//! and the client's identifier (for DHCPv6 the DUID). A MAC of another kind than Ethernet has that kind before it: `06-`.

use std::net::IpAddr;

use super::{Lease, lease, mac_of_duid, mac_of_hex};

pub(super) fn is_lease(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let number = words.next().is_some_and(|word| word == "duid" || word.parse::<u64>().is_ok());
    let address = words.nth(1).is_none_or(|word| word.parse::<IpAddr>().is_ok());
    number && (address || line.starts_with("duid "))
}

pub(super) fn parse(text: &str) -> Vec<Lease> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Lease> {
    let mut words = line.split_ascii_whitespace();
    let _ends: u64 = words.next()?.parse().ok()?;
    let hardware = words.next()?;
    let address: IpAddr = words.next()?.parse().ok()?;
    let (name, identifier) = (words.next()?, words.next().unwrap_or_default());
    let mac = mac_of_hex(hardware.rsplit('-').next()?).filter(|_| address.is_ipv4());
    lease(mac.or_else(|| mac_of_duid(identifier)), Some(address), name)
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::check;

    #[test]
    fn leases_of_dnsmasq() {
        check(
            "1700000000 aa:bb:cc:dd:ee:01 192.168.1.5 Annas-iPhone 01:aa:bb:cc:dd:ee:01\n\
             1700000000 aa:bb:cc:dd:ee:02 192.168.1.6 * *\n\
             0 06-aa:bb:cc:dd:ee:03 192.168.1.7 tv *\n\
             duid 00:01:00:01:2b:9c:9f:6e:aa:bb:cc:dd:ee:09\n\
             1700000000 1234567 fd00::5 laptop 00:01:00:01:2b:9c:9f:6e:aa:bb:cc:dd:ee:04\n\
             nonsense\n1700000000 aa:bb:cc:dd:ee:05 not-an-address x *\n",
            Format::Dnsmasq,
            &[
                "aa:bb:cc:dd:ee:01 192.168.1.5 Annas-iPhone",
                "aa:bb:cc:dd:ee:03 192.168.1.7 tv",
                "aa:bb:cc:dd:ee:04 fd00::5 laptop",
            ],
        );
    }
}
