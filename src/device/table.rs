//! The table of devices: what a person says and what the network shows, put together.
//!
//! It is built whole, outside of the query path, and replaced whole ([`LiveDevices`]). On the query path it is one look-up by
//! hash that allocates nothing.

use std::collections::{HashMap as Map, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use hashbrown::HashMap;

use super::group::{DeviceGroup, Membership};
use super::{Book, Device, DeviceKey, DeviceKind, Mac, NamedDevice};

/// Where the name of a device is from. What stands first wins.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum NameSource {
    /// The configuration.
    Configuration,
    /// The book of devices: the page, or the command line.
    Book,
    /// A lease that a DHCP server gave.
    Lease,
    /// The device itself, over multicast DNS.
    Mdns,
    /// The router, which was asked for the name of the address.
    Router,
    /// Whoever made the device.
    Vendor,
    /// Nothing but that it hides its MAC.
    PrivateAddress,
    /// Its address.
    Address,
    /// It is the machine that pixelsink runs on.
    ThisMachine,
}

impl NameSource {
    /// Whether a person gave the name. Only then rules may go by it: a device could call itself anything.
    pub const fn is_said(self) -> bool {
        matches!(self, Self::Configuration | Self::Book)
    }

    /// As programs read it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Book => "book",
            Self::Lease => "lease",
            Self::Mdns => "mdns",
            Self::Router => "router",
            Self::Vendor => "vendor",
            Self::PrivateAddress => "private-address",
            Self::Address => "address",
            Self::ThisMachine => "this-machine",
        }
    }
}

/// A name that the network has for an address or a MAC.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FoundName {
    /// The name; tidied (see [`super::tidy_name`]).
    pub name: Arc<str>,
    /// Who says so.
    pub source: NameSource,
}

/// All that a table is built from.
#[derive(Clone, Copy, Debug)]
pub struct Knowledge<'a> {
    /// The devices of the configuration.
    pub named: &'a [NamedDevice],
    /// What was said of devices elsewhere.
    pub book: &'a Book,
    /// Which address is which MAC now.
    pub neighbours: &'a [(IpAddr, Mac)],
    /// MACs that a forwarder told, which are no neighbours.
    pub told: &'a HashSet<Mac>,
    /// The best name that the network has for each.
    pub names: &'a Map<DeviceKey, FoundName>,
    /// Who made the interface with this MAC.
    pub vendors: &'a Map<Mac, Arc<str>>,
    /// The groups of the configuration.
    pub groups: &'a [Arc<DeviceGroup>],
}

/// A device that the table knows.
#[derive(Clone, Debug)]
pub struct KnownDevice {
    /// The device.
    pub device: Device,
    /// Where its name is from.
    pub name_from: NameSource,
    /// What kinds of device it is for lists: some of [`super::TAGS`].
    pub tags: Arc<[Box<str>]>,
    /// The group that it is in.
    pub group: Option<Arc<DeviceGroup>>,
    /// What it is.
    pub kind: Option<DeviceKind>,
    /// Whether nobody said what it is.
    pub kind_is_guess: bool,
    /// Who made it.
    pub vendor: Option<Arc<str>>,
    /// Whether it made its MAC up for privacy.
    pub private_mac: bool,
    /// All by which it is known for good, the main one first.
    pub keys: Vec<DeviceKey>,
    /// Its addresses, in order; empty when it is not on the network.
    pub addresses: Vec<IpAddr>,
    /// The line of the configuration that names it.
    pub line: Option<u32>,
}

impl KnownDevice {
    /// The name by which rules may speak of it; empty when no person has named it.
    pub fn said_name(&self) -> &str {
        if self.name_from.is_said() { &self.device.name } else { "" }
    }
}

/// Maps the source address of a query to a device.
#[derive(Clone, Debug, Default)]
pub struct DeviceTable {
    /// In the order of their keys.
    devices: Vec<KnownDevice>,
    by_address: HashMap<IpAddr, u32>,
    by_key: HashMap<DeviceKey, u32>,
    membership: Membership,
}

/// A device as far as it is put together.
#[derive(Default)]
struct Draft<'a> {
    keys: Vec<DeviceKey>,
    addresses: Vec<IpAddr>,
    said: Option<(&'a Arc<str>, NameSource)>,
    kind: Option<DeviceKind>,
    tags: Arc<[Box<str>]>,
    line: Option<u32>,
}

impl Knowledge<'_> {
    /// Puts it together. What the configuration says wins over the book, and both over the network.
    pub fn table(&self) -> DeviceTable {
        let membership = Membership::new(self.groups);
        let mut drafts = Vec::new();
        let mut by_key: HashMap<DeviceKey, usize> = HashMap::with_capacity(self.neighbours.len());
        for device in self.named {
            let tagged = || device.tags.iter().find_map(|tag| DeviceKind::of_tag(tag));
            let draft = Draft {
                said: Some((&device.name, NameSource::Configuration)),
                kind: device.kind.or_else(tagged),
                tags: with_tag(&device.tags, device.kind),
                line: Some(device.line),
                ..Draft::default()
            };
            take_keys(draft, device.keys(), &mut drafts, &mut by_key);
        }
        for entry in self.book.entries() {
            let draft = Draft {
                said: entry.name.as_ref().map(|name| (name, NameSource::Book)),
                kind: entry.kind,
                tags: with_tag(&Arc::default(), entry.kind),
                ..Draft::default()
            };
            take_keys(draft, entry.keys.iter().copied(), &mut drafts, &mut by_key);
        }
        let mut by_address = HashMap::with_capacity(self.neighbours.len());
        for (&key, &index) in &by_key {
            if let DeviceKey::Address(address) = key {
                by_address.insert(address, index);
            }
        }
        for &(address, mac) in self.neighbours {
            let address = address.to_canonical();
            by_address.entry(address).or_insert_with(|| {
                *by_key.entry(DeviceKey::Mac(mac)).or_insert_with(|| {
                    drafts.push(Draft { keys: vec![DeviceKey::Mac(mac)], ..Draft::default() });
                    drafts.len() - 1
                })
            });
        }
        // Those that are not on this link, and those whose name is known though they are away: the history shows them.
        let named = self.names.keys().copied().filter(|key| matches!(key, DeviceKey::Mac(_)));
        for key in self.told.iter().copied().map(DeviceKey::Mac).chain(named) {
            by_key.entry(key).or_insert_with(|| {
                drafts.push(Draft { keys: vec![key], ..Draft::default() });
                drafts.len() - 1
            });
        }
        for (&address, &index) in &by_address {
            if let Some(draft) = drafts.get_mut(index) {
                draft.addresses.push(address);
            }
        }
        // In the order of their keys, so that what is shown keeps its order.
        let mut order: Vec<usize> = (0..drafts.len()).collect();
        order.sort_by_key(|&index| drafts.get(index).and_then(|draft| draft.keys.first().copied()));
        let mut places = vec![0; drafts.len()];
        for (place, &index) in (0_u32..).zip(&order) {
            if let Some(slot) = places.get_mut(index) {
                *slot = place;
            }
        }
        let place = |index: usize| places.get(index).copied().unwrap_or(u32::MAX);
        let mut drafts: Vec<Option<Draft<'_>>> = drafts.into_iter().map(Some).collect();
        let in_order = order.iter().filter_map(|&index| drafts.get_mut(index)?.take());
        DeviceTable {
            devices: in_order.map(|draft| self.known(draft, &membership)).collect(),
            by_address: by_address.into_iter().map(|(address, index)| (address, place(index))).collect(),
            by_key: by_key.into_iter().map(|(key, index)| (key, place(index))).collect(),
            membership,
        }
    }

    fn known(&self, draft: Draft<'_>, membership: &Membership) -> KnownDevice {
        let Draft { keys, mut addresses, said, kind, tags, line } = draft;
        // The lowest IPv4 address names a device that has no other name.
        addresses.sort_by_key(|address| (address.is_ipv6(), *address));
        let macs =
            || keys.iter().filter_map(|key| if let DeviceKey::Mac(mac) = key { Some(*mac) } else { None });
        let vendor = macs().find_map(|mac| self.vendors.get(&mac)).cloned();
        let mac = macs().next();
        let main = keys.first().copied().unwrap_or(this_machine());
        let found = || {
            let by_address = addresses.iter().map(|address| DeviceKey::Address(*address));
            let names = keys.iter().copied().chain(by_address).filter_map(|key| self.names.get(&key));
            names.min_by_key(|found| found.source)
        };
        let (name, name_from) = if let Some((name, source)) = said {
            (Arc::clone(name), source)
        } else if let Some(found) = found() {
            (Arc::clone(&found.name), found.source)
        } else if main == this_machine() {
            (THIS_MACHINE.into(), NameSource::ThisMachine)
        } else {
            match (mac, &vendor) {
                (Some(mac), Some(vendor)) => {
                    (format!("{vendor} device ({})", mac.end()).into(), NameSource::Vendor)
                }
                (Some(mac), None) if mac.is_private() => (
                    format!("Device with a private address ({})", mac.end()).into(),
                    NameSource::PrivateAddress,
                ),
                _ => {
                    let address = addresses.first().map_or_else(|| main.to_string(), ToString::to_string);
                    (address.into(), NameSource::Address)
                }
            }
        };
        let tells =
            !matches!(name_from, NameSource::PrivateAddress | NameSource::Address | NameSource::Vendor);
        let guess = || DeviceKind::guess(tells.then_some(&*name), vendor.as_deref());
        let said_name = said.map(|(name, _)| &**name).unwrap_or_default();
        let group = membership.of(&keys, said_name, &addresses);
        KnownDevice {
            group,
            kind: kind.or_else(guess),
            kind_is_guess: kind.is_none(),
            device: Device { key: main, name },
            name_from,
            tags,
            private_mac: mac.is_some_and(Mac::is_private),
            vendor,
            keys,
            addresses,
            line,
        }
    }
}

/// What the machine that pixelsink runs on is called, unless a person says otherwise.
const THIS_MACHINE: &str = "this machine";

fn private_name(mac: Mac) -> String {
    format!("Device with a private address ({})", mac.end())
}

/// All loopback addresses are one device.
const fn this_machine() -> DeviceKey {
    DeviceKey::Address(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Enters a device under those of its keys that are no other's.
fn take_keys<'a>(
    mut draft: Draft<'a>,
    keys: impl Iterator<Item = DeviceKey>,
    drafts: &mut Vec<Draft<'a>>,
    by_key: &mut HashMap<DeviceKey, usize>,
) {
    let index = drafts.len();
    for key in keys {
        if by_key.try_insert(key, index).is_ok() {
            draft.keys.push(key);
        }
    }
    if !draft.keys.is_empty() {
        drafts.push(draft);
    }
}

/// The tags with that of the kind.
fn with_tag(tags: &Arc<[Box<str>]>, kind: Option<DeviceKind>) -> Arc<[Box<str>]> {
    match kind.and_then(DeviceKind::tag).filter(|tag| !tags.iter().any(|other| **other == **tag)) {
        None => Arc::clone(tags),
        Some(tag) => tags.iter().cloned().chain([tag.into()]).collect(),
    }
}

impl DeviceTable {
    /// Builds the table from what a person has named and from the neighbours that the kernel knows.
    pub fn build(named: &[NamedDevice], neighbours: &[(IpAddr, Mac)]) -> Self {
        let (book, told) = (Book::default(), HashSet::new());
        let (names, vendors) = (Map::new(), Map::new());
        Knowledge {
            named,
            book: &book,
            neighbours,
            told: &told,
            names: &names,
            vendors: &vendors,
            groups: &[],
        }
        .table()
    }

    fn at(&self, index: Option<&u32>) -> Option<&KnownDevice> {
        self.devices.get(usize::try_from(*index?).ok()?)
    }

    /// What the table knows of whoever asks from `source`.
    pub fn find(&self, source: IpAddr) -> Option<&KnownDevice> {
        let source = source.to_canonical();
        let found = self.by_address.get(&source);
        if found.is_none() && source.is_loopback() {
            return self.find_key(this_machine());
        }
        self.at(found)
    }

    /// What the table knows of the device that `key` belongs to.
    pub fn find_key(&self, key: DeviceKey) -> Option<&KnownDevice> {
        self.at(self.by_key.get(&key))
    }

    /// The device that asks from `source`; an unknown one is named after its address.
    pub fn identify(&self, source: IpAddr) -> Device {
        let source = source.to_canonical();
        match self.find(source) {
            Some(known) => known.device.clone(),
            None if source.is_loopback() => Device { key: this_machine(), name: THIS_MACHINE.into() },
            None => Device { key: DeviceKey::Address(source), name: source.to_string().into() },
        }
    }

    /// Which device asks from `source`. Never allocates.
    pub fn key_of(&self, source: IpAddr) -> DeviceKey {
        let source = source.to_canonical();
        match self.find(source) {
            Some(known) => known.device.key,
            None if source.is_loopback() => this_machine(),
            None => DeviceKey::Address(source),
        }
    }

    /// The device with this key; an unknown one is named after it.
    pub fn identify_key(&self, key: DeviceKey) -> Device {
        match (self.find_key(key), key) {
            (Some(known), _) => known.device.clone(),
            (None, DeviceKey::Address(address)) => self.identify(address),
            (None, DeviceKey::Mac(mac)) => {
                let name = if mac.is_private() { private_name(mac) } else { mac.to_string() };
                Device { key, name: name.into() }
            }
        }
    }

    /// The device that a key belongs to now: what a person merged is one. Otherwise the key itself.
    pub fn same(&self, key: DeviceKey) -> DeviceKey {
        self.find_key(key).map_or(key, |known| known.device.key)
    }

    /// What the device that a key belongs to is called now; `None` when the table knows nothing of it.
    pub fn name_of(&self, key: DeviceKey) -> Option<Arc<str>> {
        self.find_key(key).map(|known| Arc::clone(&known.device.name))
    }

    /// The group of a device that the table does not know. Never allocates.
    pub fn group_of_stranger(&self, key: DeviceKey) -> Option<&Arc<DeviceGroup>> {
        self.membership.of_stranger(key)
    }

    /// Whether the table has an entry for `source`.
    pub fn knows(&self, source: IpAddr) -> bool {
        self.find(source).is_some()
    }

    /// Every device that the table knows, also those that are away, in the order of their keys.
    pub fn known(&self) -> &[KnownDevice] {
        &self.devices
    }

    /// Every device with an address, each with its addresses in order.
    pub fn devices(&self) -> Vec<(Device, Vec<IpAddr>)> {
        let present = self.devices.iter().filter(|known| !known.addresses.is_empty());
        present.map(|known| (known.device.clone(), known.addresses.clone())).collect()
    }
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

    const MAC: Mac = Mac([0, 0x1b, 0x63, 0, 0, 1]);
    const KEY: &str = "00:1b:63:00:00:01";

    fn named(macs: Vec<Mac>, address: &str) -> NamedDevice {
        let addresses = vec![address.parse().unwrap()];
        NamedDevice { name: "Kitchen TV".into(), macs, addresses, kind: None, tags: [].into(), line: 3 }
    }

    fn neighbours() -> Vec<(IpAddr, Mac)> {
        let neighbours = [("192.168.1.9", MAC), ("fe80::1", MAC), ("192.168.1.5", MAC)];
        neighbours.map(|(address, mac)| (address.parse().unwrap(), mac)).to_vec()
    }

    #[track_caller]
    fn check(named: &[NamedDevice], source: &str, key: &str, name: &str) {
        let device = DeviceTable::build(named, &neighbours()).identify(source.parse().unwrap());
        assert_eq!((&*device.key.to_string(), &*device.name), (key, name));
        assert_eq!(key.parse(), Ok(device.key));
        assert_eq!(DeviceTable::build(named, &neighbours()).key_of(source.parse().unwrap()), device.key);
    }

    #[test]
    fn all_addresses_of_a_mac_are_one_device() {
        for source in ["192.168.1.5", "192.168.1.9", "fe80::1", "::ffff:192.168.1.5"] {
            check(&[], source, KEY, "192.168.1.5");
        }
        check(&[], "192.168.1.7", "192.168.1.7", "192.168.1.7");
        check(&[], "::1", "127.0.0.1", "this machine");
    }

    #[test]
    fn a_named_device_is_known_by_mac_and_by_address() {
        let named = [named(vec![MAC], "192.168.1.7")];
        check(&named, "fe80::1", KEY, "Kitchen TV");
        check(&named, "192.168.1.7", KEY, "Kitchen TV");
        let table = DeviceTable::build(&named, &[]);
        assert_eq!(table.devices().len(), 1);
        assert_eq!(table.known()[0].line, Some(3));
    }

    #[test]
    fn a_mac_that_moves_takes_its_name_along() {
        let named = [named(vec![MAC], "192.168.1.77")];
        for address in ["192.168.1.5", "192.168.1.6"] {
            let address: IpAddr = address.parse().unwrap();
            let table = DeviceTable::build(&named, &[(address, MAC)]);
            assert_eq!(&*table.identify(address).name, "Kitchen TV");
        }
        let another = Mac([0, 0x1b, 0x63, 0, 0, 2]);
        let table = DeviceTable::build(&named, &[("192.168.1.5".parse().unwrap(), another)]);
        assert_eq!(&*table.identify("192.168.1.5".parse().unwrap()).name, "192.168.1.5");
    }

    /// What the table says of the device at 192.168.1.5, given names that the network has, a vendor, and a book.
    #[track_caller]
    fn check_name(
        names: &[(&str, NameSource, &str)],
        vendor: Option<&str>,
        book: &Book,
        expected: (&str, NameSource),
    ) {
        let found = |&(key, source, name): &(&str, NameSource, &str)| {
            (key.parse().unwrap(), FoundName { name: name.into(), source })
        };
        let names: Map<DeviceKey, FoundName> = names.iter().map(found).collect();
        let vendors = vendor.map(|vendor| (MAC, vendor.into())).into_iter().collect();
        let neighbours = neighbours();
        let knowledge = Knowledge {
            named: &[],
            book,
            neighbours: &neighbours,
            told: &HashSet::new(),
            names: &names,
            vendors: &vendors,
            groups: &[],
        };
        let table = knowledge.table();
        let known = table.find("192.168.1.5".parse().unwrap()).unwrap();
        assert_eq!((&*known.device.name, known.name_from), expected);
        assert_eq!(known.said_name().is_empty(), !known.name_from.is_said(), "no rule goes by a found name");
    }

    #[test]
    fn a_name_is_from_whoever_knows_best() {
        let none = Book::default();
        let mdns = ("192.168.1.5", NameSource::Mdns, "annas-iphone");
        let lease = (KEY, NameSource::Lease, "Annas-iPhone");
        check_name(&[], None, &none, ("192.168.1.5", NameSource::Address));
        check_name(&[], Some("Samsung"), &none, ("Samsung device (…00:01)", NameSource::Vendor));
        check_name(&[mdns], Some("Samsung"), &none, ("annas-iphone", NameSource::Mdns));
        check_name(&[mdns, lease], Some("Samsung"), &none, ("Annas-iPhone", NameSource::Lease));
        let book = none.renamed(KEY.parse().unwrap(), Some("Anna".into()));
        check_name(&[mdns, lease], Some("Samsung"), &book, ("Anna", NameSource::Book));
        // A merged device that nobody named is called as either is.
        let book = none.merged("192.168.1.200".parse().unwrap(), KEY.parse().unwrap()).unwrap();
        let other = ("192.168.1.200", NameSource::Router, "tv");
        check_name(&[other], None, &book, ("tv", NameSource::Router));
    }

    #[test]
    fn a_private_mac_is_told() {
        let mac: Mac = "d2:00:00:00:3f:a2".parse().unwrap();
        let address = "192.168.1.5".parse().unwrap();
        let table = DeviceTable::build(&[], &[(address, mac)]);
        let known = table.find(address).unwrap();
        assert!(known.private_mac);
        assert_eq!(&*known.device.name, "Device with a private address (…3f:a2)");
        assert_eq!(known.name_from, NameSource::PrivateAddress);
    }

    #[test]
    fn what_was_merged_is_one_device_also_in_the_past() {
        let [main, other, third]: [DeviceKey; 3] =
            [KEY, "d2:00:00:00:00:02", "10.0.0.7"].map(|key| key.parse().unwrap());
        let book = Book::default().renamed(main, Some("Phone".into())).merged(other, main).unwrap();
        let (told, names, vendors) = (HashSet::new(), Map::new(), Map::new());
        let neighbours = neighbours();
        let knowledge = Knowledge {
            named: &[],
            book: &book,
            neighbours: &neighbours,
            told: &told,
            names: &names,
            vendors: &vendors,
            groups: &[],
        };
        let table = knowledge.table();
        assert_eq!((table.same(other), table.same(main), table.same(third)), (main, main, third));
        assert_eq!(table.name_of(other).as_deref(), Some("Phone"));
        assert_eq!(table.name_of(third), None);
        // What the configuration names is not the book's.
        let DeviceKey::Mac(mac) = main else { unreachable!() };
        let named = [named(vec![mac], "192.168.1.77")];
        let table = Knowledge { named: &named, ..knowledge }.table();
        assert_eq!((table.same(main), table.same(other)), (main, other));
        assert_eq!(table.name_of(other).as_deref(), Some("Phone"));
        assert_eq!(table.name_of(main).as_deref(), Some("Kitchen TV"));
    }

    #[test]
    fn who_is_behind_a_forwarder_has_a_maker() {
        let (told, vendors) = ([MAC].into(), [(MAC, Arc::from("Apple"))].into());
        let (book, names) = (Book::default(), Map::new());
        let knowledge = Knowledge {
            named: &[],
            book: &book,
            neighbours: &[],
            told: &told,
            names: &names,
            vendors: &vendors,
            groups: &[],
        };
        let table = knowledge.table();
        assert_eq!(&*table.identify_key(DeviceKey::Mac(MAC)).name, "Apple device (…00:01)");
        assert!(table.devices().is_empty(), "it is not on this network");
    }

    #[test]
    fn this_machine_can_be_named() {
        let key = "127.0.0.1".parse().unwrap();
        let book = Book::default().renamed(key, Some("Pi".into()));
        let (told, names, vendors) = (HashSet::new(), Map::new(), Map::new());
        let knowledge = Knowledge {
            named: &[],
            book: &book,
            neighbours: &[],
            told: &told,
            names: &names,
            vendors: &vendors,
            groups: &[],
        };
        let table = knowledge.table();
        assert_eq!(&*table.identify("::1".parse().unwrap()).name, "Pi");
        assert_eq!(table.identify_key(key).key, key);
    }

    #[test]
    fn ten_thousand_neighbours_are_no_trouble() {
        let neighbours: Vec<(IpAddr, Mac)> = (0..10_000_u32)
            .map(|number| {
                let [_, b, c, d] = number.to_be_bytes();
                (IpAddr::from([10, b, c, d]), Mac([0, 0x1b, 0x63, b, c, d / 2]))
            })
            .collect();
        let table = DeviceTable::build(&[], &neighbours);
        assert_eq!(table.devices().len(), 5_000);
        assert!(neighbours.iter().all(|(address, mac)| table.identify(*address).key == DeviceKey::Mac(*mac)));
    }
}
