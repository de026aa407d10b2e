//! Groups of devices, for which something else holds than for the rest of the house.
//!
//! Who names a device by what it is wins over who names a whole network, and the longer prefix over the shorter one.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;

use super::DeviceKey;

/// A group that a person made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeviceGroup {
    /// What it is called.
    pub name: Arc<str>,
    /// What tells it from others; never 0.
    pub number: u16,
    /// Who is in it.
    pub members: Vec<Member>,
}

/// A device, or several, as a person speaks of them.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Member {
    /// By its MAC or its address.
    Key(DeviceKey),
    /// All that have an address in this network.
    Network(IpNet),
    /// By the name that a person gave it, in letters of any case. A name that the network has for it does not count: a device could
    /// call itself anything.
    Name(Box<str>),
}

/// All groups, to find a device's in.
#[derive(Clone, Debug, Default)]
pub(super) struct Membership {
    by_key: HashMap<DeviceKey, Arc<DeviceGroup>>,
    by_name: HashMap<String, Arc<DeviceGroup>>,
    /// The longest prefix first.
    networks: Vec<(IpNet, Arc<DeviceGroup>)>,
}

impl Membership {
    /// Who stands in several groups is in the first one.
    pub(super) fn new(groups: &[Arc<DeviceGroup>]) -> Self {
        let mut membership = Self::default();
        for group in groups {
            for member in &group.members {
                let group = Arc::clone(group);
                match member {
                    Member::Key(key) => {
                        membership.by_key.entry(canonical(*key)).or_insert(group);
                    }
                    Member::Name(name) => {
                        membership.by_name.entry(name.to_lowercase()).or_insert(group);
                    }
                    Member::Network(network) => membership.networks.push((*network, group)),
                }
            }
        }
        membership.networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        membership
    }

    /// The group of a device that has these keys, this name from a person, and these addresses.
    pub(super) fn of(
        &self,
        keys: &[DeviceKey],
        said: &str,
        addresses: &[IpAddr],
    ) -> Option<Arc<DeviceGroup>> {
        let by_address = || addresses.iter().map(|address| DeviceKey::Address(*address));
        let by_key = keys.iter().copied().chain(by_address()).find_map(|key| self.by_key.get(&key));
        let by_name = || self.by_name.get(&said.to_lowercase()).filter(|_| !said.is_empty());
        let by_network = || {
            let holds = |network: &IpNet| addresses.iter().any(|address| network.contains(address));
            self.networks.iter().find(|(network, _)| holds(network)).map(|(_, group)| group)
        };
        by_key.or_else(by_name).or_else(by_network).cloned()
    }

    /// The group of whoever is known by this alone. Never allocates.
    pub(super) fn of_stranger(&self, key: DeviceKey) -> Option<&Arc<DeviceGroup>> {
        if self.by_key.is_empty() && self.networks.is_empty() {
            return None;
        }
        let by_network = || {
            let DeviceKey::Address(address) = key else { return None };
            self.networks.iter().find(|(network, _)| network.contains(&address)).map(|(_, group)| group)
        };
        self.by_key.get(&key).or_else(by_network)
    }
}

fn canonical(key: DeviceKey) -> DeviceKey {
    match key {
        DeviceKey::Address(address) => DeviceKey::Address(address.to_canonical()),
        mac @ DeviceKey::Mac(_) => mac,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, number: u16, members: &[&str]) -> Arc<DeviceGroup> {
        let member = |text: &&str| match (text.parse(), text.parse()) {
            (Ok(key), _) => Member::Key(key),
            (_, Ok(network)) => Member::Network(network),
            _ => Member::Name((*text).into()),
        };
        Arc::new(DeviceGroup { name: name.into(), number, members: members.iter().map(member).collect() })
    }

    #[track_caller]
    fn check(keys: &[&str], said: &str, addresses: &[&str], expected: Option<&str>) {
        let groups = [
            group("guests", 1, &["192.168.0.0/16", "fd00::/8"]),
            group("kids", 2, &["00:1b:63:00:00:01", "192.168.1.7", "Anna's Tablet", "192.168.7.0/24"]),
            group("work", 3, &["anna's tablet", "00:1b:63:00:00:01", "00:1b:63:00:00:02", "10.0.0.7"]),
        ];
        let membership = Membership::new(&groups);
        let keys: Vec<DeviceKey> = keys.iter().map(|key| key.parse().unwrap()).collect();
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let found = membership.of(&keys, said, &addresses);
        assert_eq!(found.as_ref().map(|group| &*group.name), expected, "{keys:?} {said} {addresses:?}");
        if let ([key], "", []) | ([key], "", [_]) = (&*keys, said, &*addresses) {
            let found = membership.of_stranger(*key);
            assert_eq!(found.map(|group| &*group.name), expected, "a stranger: {key}");
        }
    }

    #[test]
    fn who_is_named_is_found_before_who_is_in_a_network() {
        check(&["00:1b:63:00:00:01"], "", &[], Some("kids"));
        check(&["00:1b:63:00:00:02"], "", &[], Some("work"));
        check(&["00:1b:63:00:00:03"], "", &[], None);
        check(&["00:1b:63:00:00:03"], "ANNA'S tablet", &[], Some("kids"));
        check(&["00:1b:63:00:00:03", "10.0.0.7"], "", &["192.168.1.9"], Some("work"));
        check(&["00:1b:63:00:00:03"], "Other", &["fe80::1", "192.168.1.9"], Some("guests"));
        check(&["00:1b:63:00:00:03"], "Other", &["192.168.1.7"], Some("kids"));
        check(&["192.168.1.7"], "", &["192.168.1.7"], Some("kids"));
        check(&["192.168.1.8"], "", &["192.168.1.8"], Some("guests"));
        check(&["192.168.7.8"], "", &["192.168.7.8"], Some("kids"));
        check(&["fd00::8"], "", &["fd00::8"], Some("guests"));
        check(&["172.16.0.1"], "", &["172.16.0.1"], None);
    }

    #[test]
    fn nobody_is_in_a_group_where_there_is_none() {
        let membership = Membership::new(&[]);
        assert!(membership.of_stranger("192.168.1.1".parse().unwrap()).is_none());
        assert!(membership.of(&[], "", &[]).is_none());
    }
}
