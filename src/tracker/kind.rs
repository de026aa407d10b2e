//! What a tracker is there for, and what else its names are used for.

use std::str::FromStr;

/// What a tracker is there for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Kind {
    ConversionPixel,
    EmailOpenPixel,
    WebAnalytics,
    SessionReplay,
    AdvertisingExchange,
    MobileSdk,
    SmartTvTelemetry,
    DeviceTelemetry,
    /// Anything else that hears of a person: chat windows, comments, hosts of files. Public catalogues have these; the
    /// built-in one names none.
    Other,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::ConversionPixel,
        Self::EmailOpenPixel,
        Self::WebAnalytics,
        Self::SessionReplay,
        Self::AdvertisingExchange,
        Self::MobileSdk,
        Self::SmartTvTelemetry,
        Self::DeviceTelemetry,
        Self::Other,
    ];

    /// The word for it in the catalogue and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConversionPixel => "conversion-pixel",
            Self::EmailOpenPixel => "email-open-pixel",
            Self::WebAnalytics => "web-analytics",
            Self::SessionReplay => "session-replay",
            Self::AdvertisingExchange => "advertising-exchange",
            Self::MobileSdk => "mobile-sdk",
            Self::SmartTvTelemetry => "smart-tv-telemetry",
            Self::DeviceTelemetry => "device-telemetry",
            Self::Other => "other",
        }
    }

    /// The word for it on the page.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ConversionPixel => "conversion pixel",
            Self::EmailOpenPixel => "e-mail open pixel",
            Self::WebAnalytics => "web analytics",
            Self::SessionReplay => "session replay",
            Self::AdvertisingExchange => "advertising exchange",
            Self::MobileSdk => "mobile SDK",
            Self::SmartTvTelemetry => "smart-TV telemetry",
            Self::DeviceTelemetry => "device telemetry",
            Self::Other => "other service",
        }
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or(())
    }
}

/// What else a tracker's name is used for, which decides whether it is blocked unasked.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Tracking only.
    Pixel,
    /// Click or unsubscribe links too.
    Links,
    /// Functions of sites, apps or devices too.
    Shared,
}

impl Level {
    /// All levels.
    pub const ALL: [Self; 3] = [Self::Pixel, Self::Links, Self::Shared];

    /// The word for it in the catalogue and the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pixel => "pixel",
            Self::Links => "links",
            Self::Shared => "shared",
        }
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|level| level.as_str() == word).ok_or(())
    }
}
