//! Who may ask, and how much.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use ipnet::IpNet;

/// Who may ask, and how much.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Access {
    /// The prefixes whose addresses are answered. An answer to anyone else would make this an open resolver.
    pub allow_from: Vec<IpNet>,
    /// Whether the networks that this machine is on are answered too: in a home with IPv6 their addresses are public ones.
    pub allow_local_networks: bool,
    /// How many questions an address may ask in a second; 0: no limit.
    pub queries_per_second: u32,
}

impl Access {
    /// Whether `client` may ask, on a machine that is on these networks.
    pub fn allows(&self, client: IpAddr, networks: &[IpNet]) -> bool {
        let client = client.to_canonical();
        let within = |prefixes: &[IpNet]| prefixes.iter().any(|prefix| prefix.contains(&client));
        within(&self.allow_from) || self.allow_local_networks && within(networks)
    }
}

/// So many addresses are counted at once; when more come within a second, the count begins anew for all of them.
const CLIENTS_MAX: usize = 8192;

/// Counts questions per address within the running second.
#[derive(Debug)]
pub struct Limits {
    started: Instant,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    second: u64,
    by_client: HashMap<IpAddr, u32>,
}

impl Limits {
    /// Counts from `now` on.
    pub fn new(now: Instant) -> Self {
        Self { started: now, counts: Mutex::default() }
    }

    /// Counts a question; `false` when the address has asked `limit` questions in this second already.
    pub fn admits(&self, client: IpAddr, limit: u32, now: Instant) -> bool {
        if limit == 0 {
            return true;
        }
        let second = now.saturating_duration_since(self.started).as_secs();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.second != second || CLIENTS_MAX <= counts.by_client.len() {
            counts.second = second;
            counts.by_client.clear();
        }
        let count = counts.by_client.entry(client.to_canonical()).or_default();
        *count = count.saturating_add(1);
        *count <= limit
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_address_has_its_share_of_each_second() {
        let start = Instant::now();
        let limits = Limits::new(start);
        let [one, other] = [IpAddr::from([192, 168, 1, 2]), IpAddr::from([192, 168, 1, 3])];
        assert!(limits.admits(one, 2, start) && limits.admits(one, 2, start));
        assert!(!limits.admits(one, 2, start));
        assert!(limits.admits(other, 2, start), "another address has its own share");
        assert!(limits.admits(one, 2, start + Duration::from_secs(1)));
        assert!((0..10_000).all(|_| limits.admits(one, 0, start)), "0 is no limit");
    }

    #[test]
    fn only_the_house_may_ask() {
        let allow_from = vec!["192.168.0.0/16".parse().unwrap(), "fe80::/10".parse().unwrap()];
        let mut access = Access { allow_from, allow_local_networks: false, queries_per_second: 0 };
        let networks = ["2001:db8:1::5/64".parse().unwrap()];
        for (client, allowed) in [
            ("192.168.1.2", true),
            ("::ffff:192.168.1.2", true),
            ("fe80::1", true),
            ("203.0.113.5", false),
            ("2001:db8:1::9", false),
        ] {
            assert_eq!(access.allows(client.parse().unwrap(), &networks), allowed, "{client}");
        }
        access.allow_local_networks = true;
        assert!(access.allows("2001:db8:1::9".parse().unwrap(), &networks));
        assert!(!access.allows("2001:db8:2::9".parse().unwrap(), &networks));
    }
}
