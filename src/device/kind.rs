//! What kinds of device there are, and which one a device seems to be where nobody said.

use std::fmt;
use std::str::FromStr;

/// What kind of thing a device is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum DeviceKind {
    /// A phone.
    Phone,
    /// A tablet.
    Tablet,
    /// A laptop.
    Laptop,
    /// A computer that stays where it is.
    Computer,
    /// A television, or a box or stick that belongs to one.
    Television,
    /// A camera or doorbell.
    Camera,
    /// A game console.
    GameConsole,
    /// A speaker.
    Speaker,
    /// A printer.
    Printer,
    /// Storage for the network.
    NetworkStorage,
    /// A router or access point.
    Router,
    /// An alarm.
    Alarm,
    /// Something else.
    Other,
}

/// A name or vendor that tells what a device is: a word of it, in small letters, and the kind.
type Sign = (&'static str, DeviceKind);

/// Words of host names. The first that fits is taken, so what is said of fewer things stands first.
const NAME_SIGNS: &[Sign] = &[
    ("iphone", DeviceKind::Phone),
    ("ipad", DeviceKind::Tablet),
    ("macbook", DeviceKind::Laptop),
    ("imac", DeviceKind::Computer),
    ("mac-mini", DeviceKind::Computer),
    ("macmini", DeviceKind::Computer),
    ("appletv", DeviceKind::Television),
    ("apple-tv", DeviceKind::Television),
    ("homepod", DeviceKind::Speaker),
    ("galaxy-tab", DeviceKind::Tablet),
    ("galaxy", DeviceKind::Phone),
    ("pixel-tablet", DeviceKind::Tablet),
    ("pixel", DeviceKind::Phone),
    ("redmi", DeviceKind::Phone),
    ("oneplus", DeviceKind::Phone),
    ("huawei_p", DeviceKind::Phone),
    ("android", DeviceKind::Phone),
    ("phone", DeviceKind::Phone),
    ("tablet", DeviceKind::Tablet),
    ("kindle", DeviceKind::Tablet),
    ("bravia", DeviceKind::Television),
    ("roku", DeviceKind::Television),
    ("chromecast", DeviceKind::Television),
    ("firetv", DeviceKind::Television),
    ("fire-tv", DeviceKind::Television),
    ("aftt", DeviceKind::Television),
    ("webos", DeviceKind::Television),
    ("lgwebostv", DeviceKind::Television),
    ("smarttv", DeviceKind::Television),
    ("smart-tv", DeviceKind::Television),
    ("tizen", DeviceKind::Television),
    ("shield", DeviceKind::Television),
    ("tv", DeviceKind::Television),
    ("playstation", DeviceKind::GameConsole),
    ("ps4", DeviceKind::GameConsole),
    ("ps5", DeviceKind::GameConsole),
    ("xbox", DeviceKind::GameConsole),
    ("nintendo", DeviceKind::GameConsole),
    ("steamdeck", DeviceKind::GameConsole),
    ("echo", DeviceKind::Speaker),
    ("sonos", DeviceKind::Speaker),
    ("google-home", DeviceKind::Speaker),
    ("nest-mini", DeviceKind::Speaker),
    ("nest-audio", DeviceKind::Speaker),
    ("doorbell", DeviceKind::Camera),
    ("camera", DeviceKind::Camera),
    ("ipcam", DeviceKind::Camera),
    ("cam", DeviceKind::Camera),
    ("printer", DeviceKind::Printer),
    ("laserjet", DeviceKind::Printer),
    ("officejet", DeviceKind::Printer),
    ("deskjet", DeviceKind::Printer),
    ("epson", DeviceKind::Printer),
    ("brn", DeviceKind::Printer),
    ("brw", DeviceKind::Printer),
    ("diskstation", DeviceKind::NetworkStorage),
    ("synology", DeviceKind::NetworkStorage),
    ("truenas", DeviceKind::NetworkStorage),
    ("nas", DeviceKind::NetworkStorage),
    ("fritz.box", DeviceKind::Router),
    ("fritz", DeviceKind::Router),
    ("openwrt", DeviceKind::Router),
    ("router", DeviceKind::Router),
    ("gateway", DeviceKind::Router),
    ("thinkpad", DeviceKind::Laptop),
    ("laptop", DeviceKind::Laptop),
    ("notebook", DeviceKind::Laptop),
    ("desktop", DeviceKind::Computer),
    ("pc", DeviceKind::Computer),
    ("alarm", DeviceKind::Alarm),
];

/// Vendors that make one kind of thing, as they begin.
const VENDOR_SIGNS: &[Sign] = &[
    ("hikvision", DeviceKind::Camera),
    ("hangzhou hikvision", DeviceKind::Camera),
    ("dahua", DeviceKind::Camera),
    ("zhejiang dahua", DeviceKind::Camera),
    ("axis communications", DeviceKind::Camera),
    ("reolink", DeviceKind::Camera),
    ("arlo", DeviceKind::Camera),
    ("ring", DeviceKind::Camera),
    ("wyze", DeviceKind::Camera),
    ("nintendo", DeviceKind::GameConsole),
    ("sony interactive", DeviceKind::GameConsole),
    ("roku", DeviceKind::Television),
    ("vizio", DeviceKind::Television),
    ("sonos", DeviceKind::Speaker),
    ("bose", DeviceKind::Speaker),
    ("synology", DeviceKind::NetworkStorage),
    ("qnap", DeviceKind::NetworkStorage),
    ("brother", DeviceKind::Printer),
    ("seiko epson", DeviceKind::Printer),
    ("kyocera", DeviceKind::Printer),
    ("lexmark", DeviceKind::Printer),
    ("avm", DeviceKind::Router),
    ("ubiquiti", DeviceKind::Router),
    ("mikrotik", DeviceKind::Router),
    ("routerboard", DeviceKind::Router),
    ("netgear", DeviceKind::Router),
    ("verisure", DeviceKind::Alarm),
];

impl DeviceKind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 13] = [
        Self::Phone,
        Self::Tablet,
        Self::Laptop,
        Self::Computer,
        Self::Television,
        Self::Camera,
        Self::GameConsole,
        Self::Speaker,
        Self::Printer,
        Self::NetworkStorage,
        Self::Router,
        Self::Alarm,
        Self::Other,
    ];

    /// As it is written in files and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Tablet => "tablet",
            Self::Laptop => "laptop",
            Self::Computer => "computer",
            Self::Television => "television",
            Self::Camera => "camera",
            Self::GameConsole => "game-console",
            Self::Speaker => "speaker",
            Self::Printer => "printer",
            Self::NetworkStorage => "network-storage",
            Self::Router => "router",
            Self::Alarm => "alarm",
            Self::Other => "other",
        }
    }

    /// As people read it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Phone => "Phone",
            Self::Tablet => "Tablet",
            Self::Laptop => "Laptop",
            Self::Computer => "Computer",
            Self::Television => "Television",
            Self::Camera => "Camera",
            Self::GameConsole => "Game console",
            Self::Speaker => "Speaker",
            Self::Printer => "Printer",
            Self::NetworkStorage => "Network storage",
            Self::Router => "Router",
            Self::Alarm => "Alarm",
            Self::Other => "Other",
        }
    }

    /// The tag by which rules of lists speak of such a device: one of [`super::TAGS`]; they have none for routers.
    pub const fn tag(self) -> Option<&'static str> {
        Some(match self {
            Self::Phone => "device_phone",
            Self::Tablet => "device_tablet",
            Self::Laptop => "device_laptop",
            Self::Computer => "device_pc",
            Self::Television => "device_tv",
            Self::Camera => "device_camera",
            Self::GameConsole => "device_gameconsole",
            Self::Speaker => "device_audio",
            Self::Printer => "device_printer",
            Self::NetworkStorage => "device_nas",
            Self::Alarm => "device_securityalarm",
            Self::Other => "device_other",
            Self::Router => return None,
        })
    }

    /// The kind that a person meant with one of [`super::TAGS`].
    pub fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.tag() == Some(tag))
    }

    /// What a device with this name and vendor seems to be.
    pub fn guess(name: Option<&str>, vendor: Option<&str>) -> Option<Self> {
        let name = name.unwrap_or_default().to_lowercase().replace(' ', "-");
        let vendor = vendor.unwrap_or_default().to_lowercase();
        let by_name = NAME_SIGNS.iter().find(|(sign, _)| has_word(&name, sign));
        let by_vendor = || VENDOR_SIGNS.iter().find(|(sign, _)| vendor.starts_with(sign));
        by_name.or_else(by_vendor).map(|&(_, kind)| kind)
    }
}

/// Whether `name` has `sign` in it; a short one must stand as a word of its own, since `pc` is in many.
fn has_word(name: &str, sign: &str) -> bool {
    const SHORT_LEN_MAX: usize = 4;
    let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphabetic());
    name.match_indices(sign).any(|(at, _)| {
        let (before, rest) = name.split_at(at);
        let after = rest.get(sign.len()..).unwrap_or_default();
        SHORT_LEN_MAX < sign.len() || is_edge(before.chars().next_back()) && is_edge(after.chars().next())
    })
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for DeviceKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.word() == text).ok_or_else(|| {
            let words = Self::ALL.map(|kind| format!("`{kind}`")).join(", ");
            format!("`{text}` is no kind of device; expected one of {words}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::TAGS;

    #[test]
    fn words_and_tags_lead_back_to_their_kind() {
        for kind in DeviceKind::ALL {
            assert_eq!(kind.word().parse(), Ok(kind));
            if let Some(tag) = kind.tag() {
                assert!(TAGS.contains(&tag), "{tag}");
                assert_eq!(DeviceKind::of_tag(tag), Some(kind));
            }
        }
        assert!("toaster".parse::<DeviceKind>().unwrap_err().contains("expected one of `phone`"));
    }

    #[test]
    fn names_and_vendors_tell_what_a_device_is() {
        for (name, vendor, kind) in [
            ("Annas-iPhone", "", Some(DeviceKind::Phone)),
            ("Galaxy-Tab-S9", "Samsung", Some(DeviceKind::Tablet)),
            ("Galaxy S23", "", Some(DeviceKind::Phone)),
            ("BRAVIA-4K-UR1", "Sony", Some(DeviceKind::Television)),
            ("living-room-tv", "", Some(DeviceKind::Television)),
            ("tvoc-sensor", "", None),
            ("Echo-Dot", "", Some(DeviceKind::Speaker)),
            ("cam2", "", Some(DeviceKind::Camera)),
            ("campus", "", None),
            ("gaming-pc", "", Some(DeviceKind::Computer)),
            ("epcot", "", None),
            ("", "Hikvision", Some(DeviceKind::Camera)),
            ("", "Brother", Some(DeviceKind::Printer)),
            ("", "Samsung", None),
        ] {
            assert_eq!(DeviceKind::guess(Some(name), Some(vendor)), kind, "{name} {vendor}");
        }
        assert_eq!(DeviceKind::guess(None, None), None);
    }
}
