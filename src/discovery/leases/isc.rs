//! dhcpd.leases(5) of ISC dhcpd: a journal, in which later leases take the place of earlier ones.
//!
//! ```text
//! lease 192.168.1.5 {
//!   hardware ethernet aa:bb:cc:dd:ee:ff;
//!   client-hostname "Annas-iPhone";
//! }
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Lease, lease};
use crate::device::Mac;

pub(super) fn is_statement(line: &str) -> bool {
    let word = line.split_ascii_whitespace().next().unwrap_or_default();
    matches!(
        word,
        "lease" | "authoring-byte-order" | "server-duid" | "failover" | "host" | "ia-na" | "ia-ta" | "ia-pd"
    )
}

#[derive(Default)]
struct Block {
    address: Option<IpAddr>,
    mac: Option<Mac>,
    name: Option<String>,
}

pub(super) fn parse(text: &str) -> Vec<Lease> {
    let mut leases = BTreeMap::new();
    let mut open: Option<Block> = None;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("lease ") {
            let address = rest.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
            open = Some(Block { address, ..Block::default() });
        } else if line.starts_with('}') {
            let Some(Block { address: Some(address), mac, name }) = open.take() else { continue };
            // One that has no name takes the name of the one before away.
            leases.insert(address, name.and_then(|name| lease(mac, Some(address), &name)));
        } else if let Some(block) = &mut open {
            if let Some(mac) = line.strip_prefix("hardware ethernet ") {
                block.mac = mac.trim_end_matches(';').trim().parse().ok();
            } else if let Some(name) = line.strip_prefix("client-hostname ") {
                block.name = Some(unquoted(name));
            }
        }
    }
    leases.into_values().flatten().collect()
}

/// What stands between quotes, with its escapes (`\"`, `\\`, `\ooo`) undone.
fn unquoted(text: &str) -> String {
    let text = text.trim().trim_end_matches(';').trim();
    let text = text.strip_prefix('"').unwrap_or(text);
    let text = text.strip_suffix('"').unwrap_or(text);
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes().peekable();
    while let Some(octet) = rest.next() {
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        let mut code: Option<u32> = None;
        for _ in 0..3 {
            let Some(digit) = rest.next_if(|octet| (b'0'..=b'7').contains(octet)) else { break };
            code = Some(code.unwrap_or_default() * 8 + u32::from(digit - b'0'));
        }
        match code {
            Some(code) => octets.extend(u8::try_from(code)),
            None => octets.extend(rest.next()),
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::check;
    use super::*;

    #[test]
    fn leases_of_isc_dhcpd() {
        check(
            "# The format of this file is documented in the dhcpd.leases(5) manual page.\n\
             authoring-byte-order little-endian;\n\n\
             lease 192.168.1.5 {\n  starts 4 2026/11/20 10:00:00;\n  hardware ethernet aa:bb:cc:dd:ee:01;\n  \
             client-hostname \"old-name\";\n}\n\
             lease 192.168.1.6 {\n  hardware ethernet aa:bb:cc:dd:ee:02;\n}\n\
             lease 192.168.1.5 {\n  hardware ethernet aa:bb:cc:dd:ee:01;\n  uid \"\\001\\252\";\n  \
             client-hostname \"K\\303\\274che\";\n}\n\
             lease 192.168.1.7 {\n  hardware ethernet aa:bb:cc:dd:ee:03;\n  client-hostname \"half\";\n",
            Format::Isc,
            &["aa:bb:cc:dd:ee:01 192.168.1.5 Küche"],
        );
    }

    #[test]
    fn escapes_are_undone() {
        for (text, name) in
            [("\"a\\\"b\\\\\";", "a\"b\\"), ("\"\\012\";", "\n"), ("plain;", "plain"), ("\"\\777\";", "")]
        {
            assert_eq!(unquoted(text), name, "{text}");
        }
    }
}
