//! The mnemonics of record types (IANA "DNS Parameters").

use std::borrow::Cow;

/// Those that homes and lists speak of.
const NAMES: &[(u16, &str)] = &[
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (12, "PTR"),
    (15, "MX"),
    (16, "TXT"),
    (28, "AAAA"),
    (33, "SRV"),
    (35, "NAPTR"),
    (39, "DNAME"),
    (43, "DS"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (52, "TLSA"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (255, "ANY"),
    (257, "CAA"),
];

/// The mnemonic of a TYPE; one that has none here reads `TYPE65280` (RFC 3597 section 5).
pub fn type_name(rtype: u16) -> Cow<'static, str> {
    match NAMES.iter().find(|(known, _)| *known == rtype) {
        Some((_, name)) => Cow::Borrowed(name),
        None => format!("TYPE{rtype}").into(),
    }
}

/// The TYPE of a mnemonic, in any case.
pub fn type_by_name(name: &str) -> Option<u16> {
    let known = NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(rtype, _)| *rtype);
    let number =
        || name.get(..4).filter(|start| start.eq_ignore_ascii_case("TYPE")).and_then(|_| name.get(4..));
    known.or_else(|| number()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mnemonic_reads_back() {
        for rtype in [1, 28, 65, 257, 65280] {
            assert_eq!(type_by_name(&type_name(rtype)), Some(rtype));
        }
        assert_eq!(type_by_name("aaaa"), Some(28));
        assert_eq!(type_by_name("TYPEx"), None);
        assert_eq!(type_by_name("nothing"), None);
    }
}
