//! What is told of a query at all, by the wish of those who ask.

use std::net::Ipv4Addr;
use std::str::FromStr;

use super::CountKind;
use crate::device::Device;
use crate::device::DeviceKey;

/// How much is told. Whatever it is, all queries are counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Privacy {
    /// Everything.
    #[default]
    All,
    /// The names of blocked questions only; others are counted by device and hour.
    BlockedOnly,
    /// Everything but who asked.
    NoClient,
    /// How many, by hour.
    CountsOnly,
}

impl FromStr for Privacy {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "all" => Ok(Self::All),
            "blocked-only" => Ok(Self::BlockedOnly),
            "no-client" => Ok(Self::NoClient),
            "counts-only" => Ok(Self::CountsOnly),
            _ => Err(()),
        }
    }
}

impl Privacy {
    /// Whether the name of a query may be told.
    pub(super) const fn tells_name(self, kind: CountKind) -> bool {
        match self {
            Self::All | Self::NoClient => true,
            Self::BlockedOnly => matches!(kind, CountKind::Block | CountKind::Cloaked),
            Self::CountsOnly => false,
        }
    }

    /// Whether it may be told who asked.
    pub(super) const fn tells_client(self) -> bool {
        matches!(self, Self::All | Self::BlockedOnly)
    }
}

/// The device that stands for all, where it is not told who asked.
pub(super) fn everyone() -> Device {
    Device { key: DeviceKey::Address(Ipv4Addr::UNSPECIFIED.into()), name: "everyone".into() }
}
