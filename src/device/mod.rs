//! Who is asking: one device, however many addresses it has.
//!
//! It knows addresses, what a person says of their devices ([`NamedDevice`], [`Book`]), and what `discovery` found; it never
//! looks anything up itself. [`DeviceTable`] puts all of that together, replaced whole when any of it changes.

mod book;
mod group;
mod kind;
mod name;
mod table;

pub use book::Book;
pub use book::BookEntry;
pub use book::BookError;
pub use group::DeviceGroup;
pub use group::Member;
pub use kind::DeviceKind;
pub use name::HOST_NAME_LEN_MAX;
pub use name::NAME_LEN_MAX;
pub use name::short_vendor;
pub use name::tidy_host_name;
pub use name::tidy_name;
pub use table::DeviceTable;
pub use table::FoundName;
pub use table::Knowledge;
pub use table::KnownDevice;
pub use table::LiveDevices;
pub use table::NameSource;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

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
            let part =
                parts.next().filter(|part| part.len() == 2 && !part.starts_with('+')).ok_or(KeyError)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| KeyError)?;
        }
        if parts.next().is_none() { Ok(Self(octets)) } else { Err(KeyError) }
    }
}

impl Mac {
    /// Whether the device made the address up for privacy: the "locally administered" bit of an address of one interface
    /// (IEEE 802c-2017 section 8.4.4), which shows as 2, 6, A or E in its second digit.
    pub const fn is_private(self) -> bool {
        let [first, ..] = self.0;
        first & 0b11 == 0b10
    }

    /// The end of the address, by which people tell devices of one kind apart: `…3f:a2`.
    fn end(self) -> String {
        let [.., a, b] = self.0;
        format!("…{a:02x}:{b:02x}")
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

impl DeviceKey {
    /// The key as an address. A MAC is written as a multicast address (`ffff::` and the MAC), which nobody can ask from (RFC
    /// 4291 section 2.7).
    pub fn to_address(self) -> IpAddr {
        match self {
            Self::Address(address) => address,
            Self::Mac(Mac([a, b, c, d, e, f])) => {
                IpAddr::from([0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d, e, f])
            }
        }
    }

    /// Undoes [`Self::to_address`].
    pub fn from_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => match v6.octets() {
                [0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, mac @ ..] => Self::Mac(Mac(mac)),
                _ => Self::Address(address),
            },
            v4 @ IpAddr::V4(_) => Self::Address(v4),
        }
    }
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

/// That a device is on the network, as the kernel was sure of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Presence {
    /// For how long it was there, as far as is known.
    pub lasting: Duration,
    /// How long ago it was last seen there.
    pub ago: Duration,
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
    /// What kind of device it is.
    pub kind: Option<DeviceKind>,
    /// What kinds of device it is for lists: some of [`TAGS`], by which their rules may speak of it.
    pub tags: Arc<[Box<str>]>,
    /// The line of the configuration on which it stands.
    pub line: u32,
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
    /// Its MACs, then its addresses. The first tells it from others; a name without any is nothing.
    pub fn keys(&self) -> impl Iterator<Item = DeviceKey> {
        let addresses = self.addresses.iter().map(|address| DeviceKey::Address(address.to_canonical()));
        self.macs.iter().copied().map(DeviceKey::Mac).chain(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked() {
        for text in
            ["", "aa:bb", "aa:bb:cc:dd:ee:ff:00", "zz:bb:cc:dd:ee:ff", "192.168.1", "+a:bb:cc:dd:ee:ff"]
        {
            assert_eq!(text.parse::<DeviceKey>(), Err(KeyError), "{text}");
        }
        assert_eq!("AA-BB-CC-DD-EE-FF".parse::<Mac>().unwrap().to_string(), "aa:bb:cc:dd:ee:ff");
    }

    #[test]
    fn keys_are_written_as_addresses() {
        for text in ["aa:bb:cc:dd:ee:ff", "00:00:00:00:00:00", "192.168.1.1", "fd00::1", "ff02::fb"] {
            let key: DeviceKey = text.parse().unwrap();
            assert_eq!(DeviceKey::from_address(key.to_address()), key, "{text}");
        }
        let mac = DeviceKey::Mac(Mac([1, 2, 3, 4, 5, 6]));
        assert!(mac.to_address().is_multicast());
    }

    #[test]
    fn private_addresses_are_recognized() {
        for (mac, private) in [
            ("02:00:00:00:00:01", true),
            ("d6:00:00:00:00:01", true),
            ("7a:00:00:00:00:01", true),
            ("fe:00:00:00:00:01", true),
            ("00:1b:63:00:00:01", false),
            ("f4:0f:24:00:00:01", false),
            // A group address is nobody's.
            ("03:00:00:00:00:01", false),
        ] {
            assert_eq!(mac.parse::<Mac>().unwrap().is_private(), private, "{mac}");
        }
    }
}
