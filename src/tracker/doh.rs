//! Public resolvers that answer over HTTPS, TLS or QUIC, by whose names a device may go around this one.

use std::sync::LazyLock;

use crate::name::{DomainName, NameRef};

const LIST: &str = include_str!("../../blocklists/doh-hosts.txt");

/// The names of `blocklists/doh-hosts.txt`, each with its line.
static HOSTS: LazyLock<Vec<(DomainName, u32)>> = LazyLock::new(|| {
    let numbered = (1..).zip(LIST.lines());
    let named = numbered.filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
    named.filter_map(|(number, line)| Some((DomainName::parse(line.trim()).ok()?, number))).collect()
});

/// All names that are known, each with its line in the list; what is below them is meant too.
pub fn doh_hosts() -> &'static [(DomainName, u32)] {
    &HOSTS
}

/// Whether a name is one of a public resolver.
pub fn is_doh_host(name: NameRef<'_>) -> bool {
    HOSTS.iter().any(|(host, _)| name.is_within(host.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_list_is_a_name_and_stands_once() {
        let lines = LIST.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
        assert_eq!(HOSTS.len(), lines);
        for (index, (host, line)) in HOSTS.iter().enumerate() {
            let above = HOSTS.iter().enumerate().filter(|(other, _)| *other != index);
            let covered =
                above.map(|(_, (other, _))| other).find(|other| host.as_ref().is_within(other.as_ref()));
            assert_eq!(covered, None, "line {line}: {host}");
            assert!(1 < host.as_ref().label_count(), "line {line}: {host}");
        }
    }

    #[test]
    fn a_resolver_is_known_by_its_name() {
        let check = |name: &str| is_doh_host(DomainName::parse(name).unwrap().as_ref());
        assert!(check("dns.google") && check("mozilla.cloudflare-dns.com"));
        assert!(!check("google") && !check("cloudflare.com") && !check("www.google.com"));
    }
}
