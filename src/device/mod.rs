//! Who is asking: one device, however many addresses it has.
//!
//! It knows addresses and the table that `discovery` fills; it never looks anything up itself.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use hashbrown::HashMap;

/// The hardware address of a network interface (IEEE 802 MAC, 48 bits).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(KeyError)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| KeyError)?;
        }
        if parts.next().is_none() { Ok(Self(octets)) } else { Err(KeyError) }
    }
}

/// What tells one device from another, and stays the same when it is renamed.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum DeviceKey {
    /// A device on the link.
    Mac(Mac),
    /// A device behind a router, or one whose MAC is not known: each address is a device.
    Address(IpAddr),
}

/// As it stands in the history and in the page's addresses: a MAC or an IP address.
impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl FromStr for DeviceKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical()));
        }
        text.parse().map(Self::Mac)
    }
}

/// A text is neither a MAC nor an IP address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected a MAC address (aa:bb:cc:dd:ee:ff) or an IP address")]
pub struct KeyError;

/// A device in the home, as its owner knows it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Device {
    /// What tells it from others.
    pub key: DeviceKey,
    /// The name shown to people.
    pub name: Arc<str>,
}

/// A device that a person has named in the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedDevice {
    /// The name.
    pub name: Arc<str>,
    /// Its hardware addresses.
    pub macs: Vec<Mac>,
    /// Its fixed IP addresses.
    pub addresses: Vec<IpAddr>,
    /// What kinds of device it is: some of [`TAGS`], by which rules of lists may speak of it.
    pub tags: Arc<[Box<str>]>,
}

/// The kinds of device that lists know (AdGuard, "DNS filtering rules syntax", `$ctag`).
pub const TAGS: [&str; 21] = [
    "device_audio",
    "device_camera",
    "device_gameconsole",
    "device_laptop",
    "device_nas",
    "device_other",
    "device_pc",
    "device_phone",
    "device_printer",
    "device_securityalarm",
    "device_tablet",
    "device_tv",
    "os_android",
    "os_ios",
    "os_linux",
    "os_macos",
    "os_other",
    "os_windows",
    "user_admin",
    "user_child",
    "user_regular",
];

impl NamedDevice {
    /// The first MAC, or the first address; a name without either is nothing.
    fn key(&self) -> Option<DeviceKey> {
        let mac = self.macs.first().copied().map(DeviceKey::Mac);
        mac.or_else(|| self.addresses.first().map(|address| DeviceKey::Address(address.to_canonical())))
    }
}

/// Maps the source address of a query to a device.
#[derive(Clone, Debug, Default)]
pub struct DeviceTable {
    devices: HashMap<IpAddr, KnownDevice>,
}

/// A device that the table knows.
#[derive(Clone, Debug)]
pub struct KnownDevice {
    /// The device.
    pub device: Device,
    /// What kinds of device it is: some of [`TAGS`].
    pub tags: Arc<[Box<str>]>,
}

impl DeviceTable {
    /// Builds the table from what a person has named and from the neighbours that the kernel knows.
    pub fn build(named: &[NamedDevice], neighbours: &[(IpAddr, Mac)]) -> Self {
        let mut by_mac = HashMap::new();
        let mut table = HashMap::new();
        for device in named {
            let Some(key) = device.key() else { continue };
            let tags = Arc::clone(&device.tags);
            let known = KnownDevice { device: Device { key, name: Arc::clone(&device.name) }, tags };
            by_mac.extend(device.macs.iter().map(|&mac| (mac, known.clone())));
            table.extend(device.addresses.iter().map(|address| (address.to_canonical(), known.clone())));
        }
        let mut neighbours = neighbours.to_vec();
        // The lowest IPv4 address names a device that nobody has named.
        neighbours.sort_by_key(|(address, _)| (address.is_ipv6(), *address));
        for (address, mac) in neighbours {
            let unnamed = || KnownDevice {
                device: Device { key: DeviceKey::Mac(mac), name: address.to_string().into() },
                tags: Arc::default(),
            };
            let device = by_mac.entry(mac).or_insert_with(unnamed).clone();
            table.entry(address.to_canonical()).or_insert(device);
        }
        Self { devices: table }
    }

    /// What the table knows of whoever asks from `source`.
    pub fn find(&self, source: IpAddr) -> Option<&KnownDevice> {
        self.devices.get(&source.to_canonical())
    }

    /// The device that asks from `source`; an unknown one is named after its address.
    pub fn identify(&self, source: IpAddr) -> Device {
        match self.find(source) {
            Some(known) => known.device.clone(),
            None => {
                let key = unknown(source);
                let name = if source.to_canonical().is_loopback() {
                    "this machine".into()
                } else {
                    key.to_string().into()
                };
                Device { key, name }
            }
        }
    }

    /// Which device asks from `source`. Never allocates.
    pub fn key_of(&self, source: IpAddr) -> DeviceKey {
        self.find(source).map_or_else(|| unknown(source), |known| known.device.key)
    }

    /// The device that a key belongs to now; the key itself when it was not merged.
    pub const fn same(&self, key: DeviceKey) -> DeviceKey {
        key
    }

    /// What people call a device now; `None` when the table does not know it.
    pub fn name_of(&self, key: DeviceKey) -> Option<Arc<str>> {
        let known = self.devices.values().find(|known| known.device.key == key);
        known.map(|known| Arc::clone(&known.device.name))
    }

    /// Whether the table has an entry for `source`.
    pub fn knows(&self, source: IpAddr) -> bool {
        self.find(source).is_some()
    }

    /// Every device, each with its addresses in order.
    pub fn devices(&self) -> Vec<(Device, Vec<IpAddr>)> {
        let mut devices: HashMap<DeviceKey, (Device, Vec<IpAddr>)> = HashMap::new();
        for (&address, KnownDevice { device, .. }) in &self.devices {
            let entry = devices.entry(device.key).or_insert_with(|| (device.clone(), Vec::new()));
            entry.1.push(address);
        }
        let mut devices: Vec<_> = devices.into_values().collect();
        for (_, addresses) in &mut devices {
            addresses.sort();
        }
        devices.sort_by_key(|(device, _)| device.key);
        devices
    }
}

/// Which device asks from an address that no table knows: all of loopback is this machine.
fn unknown(source: IpAddr) -> DeviceKey {
    let source = source.to_canonical();
    DeviceKey::Address(if source.is_loopback() { std::net::Ipv4Addr::LOCALHOST.into() } else { source })
}

/// The table in force, replaced whole.
#[derive(Debug, Default)]
pub struct LiveDevices(ArcSwap<DeviceTable>);

impl LiveDevices {
    /// The table in force now.
    pub fn current(&self) -> Guard<Arc<DeviceTable>> {
        self.0.load()
    }

    /// Puts a new table in force.
    pub fn publish(&self, table: DeviceTable) {
        self.0.store(Arc::new(table));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

    #[track_caller]
    fn check(named: &[NamedDevice], source: &str, key: &str, name: &str) {
        let neighbours = [("192.168.1.9", MAC), ("fe80::1", MAC), ("192.168.1.5", MAC)]
            .map(|(address, mac)| (address.parse().unwrap(), mac));
        let device = DeviceTable::build(named, &neighbours).identify(source.parse().unwrap());
        assert_eq!((&*device.key.to_string(), &*device.name), (key, name));
        assert_eq!(key.parse(), Ok(device.key));
        assert_eq!(DeviceTable::build(named, &neighbours).key_of(source.parse().unwrap()), device.key);
    }

    #[test]
    fn all_addresses_of_a_mac_are_one_device() {
        for source in ["192.168.1.5", "192.168.1.9", "fe80::1", "::ffff:192.168.1.5"] {
            check(&[], source, "02:00:00:00:00:01", "192.168.1.5");
        }
        check(&[], "192.168.1.7", "192.168.1.7", "192.168.1.7");
        check(&[], "::1", "127.0.0.1", "this machine");
    }

    #[test]
    fn a_named_device_is_known_by_mac_and_by_address() {
        let addresses = vec!["192.168.1.7".parse().unwrap()];
        let named = [NamedDevice { name: "Kitchen TV".into(), macs: vec![MAC], addresses, tags: [].into() }];
        check(&named, "fe80::1", "02:00:00:00:00:01", "Kitchen TV");
        check(&named, "192.168.1.7", "02:00:00:00:00:01", "Kitchen TV");
        let table = DeviceTable::build(&named, &[]);
        assert_eq!(table.devices().len(), 1);
    }

    #[test]
    fn keys_are_checked() {
        for text in ["", "aa:bb", "aa:bb:cc:dd:ee:ff:00", "zz:bb:cc:dd:ee:ff", "192.168.1"] {
            assert_eq!(text.parse::<DeviceKey>(), Err(KeyError), "{text}");
        }
        assert_eq!("AA-BB-CC-DD-EE-FF".parse::<Mac>().unwrap().to_string(), "aa:bb:cc:dd:ee:ff");
    }
}
