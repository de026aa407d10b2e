//! Who made a MAC: the registry of the IEEE, packed, by which its first digits tell the vendor.
//!
//! It is unpacked when a MAC is met that has not been looked up, read from one end to the other, and dropped: nothing of it
//! stays in memory. `data/oui.md` says where the table is from.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use crate::device::{Mac, short_vendor};

/// Lines of a prefix in hex digits (6: MA-L, 7: MA-M, 9: MA-S), a tab and an organization; sorted.
static PACKED: &[u8] = include_bytes!("../../data/oui.tsv.zst");
/// More than the table takes unpacked, in octets.
const UNPACKED_MAX: u64 = 16 << 20;

/// The vendors of these MACs, as people call them; the longest prefix that fits is the right one. MACs that their devices
/// made up have none.
pub fn vendors(macs: impl IntoIterator<Item = Mac>) -> HashMap<Mac, Arc<str>> {
    let macs: Vec<Mac> = macs.into_iter().filter(|mac| !mac.is_private()).collect();
    let mut vendors = HashMap::new();
    if macs.is_empty() {
        return vendors;
    }
    let mut table = String::new();
    // Fails for no table that the tests have passed.
    let unpacked =
        zstd::Decoder::new(PACKED).map(|decoder| decoder.take(UNPACKED_MAX).read_to_string(&mut table));
    if !matches!(unpacked, Ok(Ok(_))) {
        return vendors;
    }
    let lines: Vec<(&str, &str)> = table.lines().filter_map(|line| line.split_once('\t')).collect();
    for mac in macs {
        let digits: String = mac.0.iter().map(|octet| format!("{octet:02X}")).collect();
        let found = [9, 7, 6].into_iter().find_map(|length| {
            let prefix = digits.get(..length)?;
            let at = lines.binary_search_by_key(&prefix, |(prefix, _)| prefix).ok()?;
            lines.get(at)
        });
        if let Some((_, organization)) = found {
            let vendor = short_vendor(organization);
            if !vendor.is_empty() {
                vendors.insert(mac, vendor.into());
            }
        }
    }
    vendors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mac: &str, expected: Option<&str>) {
        let mac: Mac = mac.parse().unwrap();
        assert_eq!(vendors([mac]).get(&mac).map(|vendor| &**vendor), expected, "{mac}");
    }

    #[test]
    fn a_mac_tells_its_vendor() {
        check("00:00:00:12:34:56", Some("Xerox"));
        check("00:1b:63:00:00:01", Some("Apple"));
        check("02:1b:63:00:00:01", None);
        // Made up by nobody, and assigned to nobody.
        check("fc:ff:ff:ff:ff:ff", None);
    }

    #[test]
    fn prefixes_of_all_lengths_are_found() {
        let mut table = String::new();
        zstd::Decoder::new(PACKED).unwrap().read_to_string(&mut table).unwrap();
        let lines: Vec<(&str, &str)> = table.lines().map(|line| line.split_once('\t').unwrap()).collect();
        assert!(lines.is_sorted() && 50_000 < lines.len());
        for length in [6, 7, 9] {
            let (prefix, organization) =
                lines.iter().find(|(prefix, _)| prefix.len() == length && *prefix > "10").unwrap();
            let digits = format!("{prefix:0<12}");
            let octets: Vec<&str> = (0..6).map(|at| &digits[2 * at..2 * at + 2]).collect();
            check(&octets.join(":"), Some(&short_vendor(organization)));
        }
    }
}
