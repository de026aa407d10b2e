//! What a person can say of a device, as a part of its page: name, kind, which others it is, and that it be forgotten.

use askama::Template;

use crate::device::{DeviceKey, DeviceKind, DeviceTable, KnownDevice, NameSource};
use crate::web::Web;
use crate::web::view::KindIcon;

/// The part of a device's page on which a person changes what is said of it.
#[derive(Template)]
#[template(path = "pieces/device_settings.html")]
pub(in crate::web) struct DeviceSettings {
    /// The device, as its forms send it.
    pub(in crate::web) key: String,
    /// What it is called now.
    pub(in crate::web) name: String,
    /// The name that a person gave it; empty when none did.
    pub(in crate::web) said_name: String,
    /// Where the name is from, as a sentence without its end.
    pub(in crate::web) name_from: &'static str,
    /// Who made it.
    pub(in crate::web) vendor: Option<String>,
    /// What it is, or seems to be.
    pub(in crate::web) icon: KindIcon,
    /// Whether nobody said what it is.
    pub(in crate::web) kind_is_guess: bool,
    /// All kinds, and which one a person chose.
    pub(in crate::web) kinds: Vec<KindChoice>,
    /// Devices that it might be.
    pub(in crate::web) others: Vec<(String, String)>,
    /// What was merged into it.
    pub(in crate::web) merged: Vec<String>,
    /// Whether it made its MAC up.
    pub(in crate::web) private_mac: bool,
    /// File and line where it is named and has to be changed.
    pub(in crate::web) configured: Option<(String, u32)>,
    /// Whether it is the router of this network.
    pub(in crate::web) is_gateway: bool,
    /// This page.
    pub(in crate::web) back: String,
}

/// A kind that can be chosen.
pub(in crate::web) struct KindChoice {
    pub(in crate::web) word: &'static str,
    pub(in crate::web) label: &'static str,
    pub(in crate::web) is_chosen: bool,
}

impl askama::filters::HtmlSafe for DeviceSettings {}

impl DeviceSettings {
    /// What can be said of the device that `key` belongs to; `back` is its page.
    pub(in crate::web) fn new(web: &Web, key: DeviceKey, back: &str) -> Self {
        let table = web.parts.devices.current();
        let about = (web.parts.about)();
        let device = table.identify_key(key);
        let known = table.find_key(key);
        let chosen = known.filter(|known| !known.kind_is_guess).and_then(|known| known.kind);
        let kinds = DeviceKind::ALL.map(|kind| KindChoice {
            word: kind.word(),
            label: kind.label(),
            is_chosen: chosen == Some(kind),
        });
        let is_other = |other: &&KnownDevice| other.device.key != device.key && other.line.is_none();
        let others = table.known().iter().filter(is_other).take(OTHERS_MAX);
        let mut others: Vec<(String, String)> =
            others.map(|other| (other.device.key.to_string(), other.device.name.to_string())).collect();
        others.sort_by_cached_key(|(_, name)| name.to_lowercase());
        let line = known.and_then(|known| known.line);
        Self {
            key: device.key.to_string(),
            name: device.name.to_string(),
            said_name: known.map(KnownDevice::said_name).unwrap_or_default().to_owned(),
            name_from: name_from(known),
            vendor: known.and_then(|known| Some(known.vendor.as_ref()?.to_string())),
            icon: KindIcon { kind: known.and_then(|known| known.kind) },
            kind_is_guess: known.is_some_and(|known| known.kind_is_guess && known.kind.is_some()),
            kinds: kinds.into(),
            others,
            merged: known
                .iter()
                .flat_map(|known| known.keys.iter().skip(1))
                .map(ToString::to_string)
                .collect(),
            private_mac: known
                .map_or(matches!(key, DeviceKey::Mac(mac) if mac.is_private()), |known| known.private_mac),
            configured: line
                .map(|line| (about.config_file.unwrap_or_else(|| "the configuration".to_owned()), line)),
            is_gateway: is_gateway(&table, key, &about.gateways),
            back: back.to_owned(),
        }
    }
}

/// A choice of more than this is none.
const OTHERS_MAX: usize = 200;

/// Where the name of a device is from, in words.
pub(in crate::web) fn name_from(known: Option<&KnownDevice>) -> &'static str {
    match known.map_or(NameSource::Address, |known| known.name_from) {
        NameSource::Configuration => "named in the configuration",
        NameSource::Book => "named by you",
        NameSource::Lease => "as its DHCP lease says",
        NameSource::Mdns => "as it calls itself",
        NameSource::Router => "as the router calls it",
        NameSource::Vendor => "by its maker; it told no name",
        NameSource::PrivateAddress | NameSource::Address => "it told no name",
        NameSource::ThisMachine => "where pixelsink runs",
    }
}

/// Whether a device is one of the routers that lead out of this network: by its address, or as the neighbour that has it.
pub(in crate::web) fn is_gateway(table: &DeviceTable, key: DeviceKey, gateways: &[std::net::IpAddr]) -> bool {
    let key = table.same(key);
    gateways.iter().any(|gateway| table.identify(*gateway).key == key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Mac;

    #[test]
    fn the_router_is_known_by_address_and_by_mac() {
        let gateway = "192.168.1.1".parse().unwrap();
        let mac = Mac([0, 0x1b, 0x63, 0, 0, 1]);
        let by_address = DeviceKey::Address(gateway);
        assert!(is_gateway(&DeviceTable::default(), by_address, &[gateway]));
        let table = DeviceTable::build(&[], &[(gateway, mac)]);
        assert!(is_gateway(&table, DeviceKey::Mac(mac), &[gateway]));
        assert!(!is_gateway(&table, DeviceKey::Mac(Mac([0; 6])), &[gateway]));
        assert!(!is_gateway(&table, DeviceKey::Mac(mac), &[]));
    }
}
