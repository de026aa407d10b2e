//! What a person may ask of the running daemon.
//!
//! The page, the command line and signals all wish with these words; the daemon alone grants them, one at a time.

use std::time::Duration;

use jiff::Timestamp;

use crate::device::{DeviceKey, DeviceKind};
use crate::list::OwnRule;
use crate::name::DomainName;
use crate::tracker::PublicCatalogue;

/// The longest time for which a name may be let through; whoever wants more wants it for good.
pub const ALLOW_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A wish.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Write a rule of the person's own that lets names through.
    Allow(OwnRule),
    /// Write a rule of the person's own that blocks names.
    Block(OwnRule),
    /// Write a rule of the person's own that lets names through for a while.
    AllowFor {
        /// The rule.
        rule: OwnRule,
        /// How long.
        duration: Duration,
    },
    /// Take the end from a rule of the person's own, so that it stays.
    Keep(OwnRule),
    /// Take back a rule of the person's own, whichever it says; one that has an end before one that has none.
    Forget(OwnRule),
    /// Download one list now, or all of them.
    Refresh(Option<String>),
    /// Add a list, or several that go well together.
    AddList(NewList),
    /// Remove a list that was added.
    RemoveList(String),
    /// Put the newer text of a list in force that waits for the person's word.
    AcceptList(String),
    /// Put rules of a list in force that are held back.
    AcceptRules {
        /// The list.
        list: String,
        /// The rule, as it is shown; all of them when left out.
        rule: Option<String>,
    },
    /// Return to an older revision of a list, and stay there.
    RollBack {
        /// The list.
        list: String,
        /// The revision; the one before the present one when left out.
        revision: Option<String>,
    },
    /// Follow the source of a list again that was held at a revision.
    Follow(String),
    /// Have a public catalogue of trackers downloaded, and use it.
    AddCatalogue(PublicCatalogue),
    /// Use a public catalogue no more that was added.
    RemoveCatalogue(PublicCatalogue),
    /// Download a public catalogue now.
    RefreshCatalogue(PublicCatalogue),
    /// Forget the answers that are kept: all of them, or those about a name.
    FlushCache(Option<FlushedName>),
    /// Call a device by a name of the person's; without one, as it calls itself.
    NameDevice {
        /// The device.
        device: DeviceKey,
        /// The name.
        name: Option<String>,
    },
    /// Say what a device is; without a kind, it is what it seems.
    SetDeviceKind {
        /// The device.
        device: DeviceKey,
        /// The kind.
        kind: Option<DeviceKind>,
    },
    /// Take two devices for one.
    MergeDevices {
        /// The one that goes.
        from: DeviceKey,
        /// The one that it becomes a part of.
        into: DeviceKey,
    },
    /// Take a device for one of its own again that was merged into another.
    SplitDevice(DeviceKey),
    /// Forget what was said of a device.
    ForgetDevice(DeviceKey),
    /// Forget what happened: what the history has of a device, a name or a time, and what answers are kept about a name.
    Erase(Erasure),
    /// Read the configuration again.
    Reload,
}

/// What is to be forgotten: all that fits everything which is said here. With nothing said, it is everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Erasure {
    /// What this device asked.
    pub device: Option<DeviceKey>,
    /// What was asked for this name and those below it.
    pub name: Option<DomainName>,
    /// From this moment on; its whole hour.
    pub from: Option<Timestamp>,
    /// Before this moment; to the end of its hour.
    pub until: Option<Timestamp>,
}

/// A name about which answers are forgotten.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FlushedName {
    /// The name.
    pub name: DomainName,
    /// Whether names below it are meant too.
    pub below: bool,
}

/// A list to be added.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NewList {
    /// The name of a well-known list or choice, a URL, or the absolute path of a file.
    pub what: String,
    /// What it is to be called.
    pub name: Option<String>,
    /// `block`, `allow` or `cname`.
    pub kind: Option<String>,
    /// Its syntax.
    pub format: Option<String>,
    /// Whether plain names cover what is below them.
    pub subdomains: Option<bool>,
}

/// What came of a wish, for people: one sentence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Done(pub String);

/// Why a wish was not granted. Nothing has changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// There is no such list, rule or device.
    #[error("{0}")]
    Unknown(String),
    /// The wish is clear but could not be carried out.
    #[error("{0}")]
    Failed(String),
}
