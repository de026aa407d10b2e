//! What is new since yesterday: devices that were never seen, and trackers that a device never met. A part of the overview.

use std::time::Duration;

use crate::history::{FirstMeeting, HistoryError, News};
use crate::tracker::Attribution;
use crate::web::Web;
use crate::web::company::CompanyLink;
use crate::web::format;
use crate::web::view::{DeviceLink, Moment, Times, Who};

/// How far back something must have been seen so that it is not new.
pub(in crate::web) const KNOWN: Duration = Duration::from_secs(28 * 86_400);
/// How many first meetings are shown.
const MEETINGS_SHOWN: usize = 8;
/// How many new devices are shown.
const DEVICES_SHOWN: usize = 5;

/// What is new.
pub(super) struct NewsView {
    /// Nobody asked before yesterday, so that all there is would be new.
    pub(super) is_first_day: bool,
    pub(super) devices: Vec<NewDevice>,
    pub(super) meetings: Vec<Meeting>,
    /// First meetings that are not shown.
    pub(super) untold: usize,
}

/// A device that asked for the first time.
pub(super) struct NewDevice {
    pub(super) device: DeviceLink,
    pub(super) first_seen: Moment,
}

/// A tracker that met a device for the first time.
pub(super) struct Meeting {
    /// The product, or the domain.
    pub(super) title: String,
    pub(super) company: CompanyLink,
    pub(super) kind: Option<&'static str>,
    pub(super) device: DeviceLink,
    pub(super) hits: String,
    pub(super) is_new_to_all: bool,
}

impl NewsView {
    /// What happened in the last 24 hours for the first time.
    pub(super) async fn gather(web: &Web, times: &Times) -> Result<Self, HistoryError> {
        let span = times.last_hours(24);
        let history = &web.parts.history;
        let (news, devices) =
            tokio::try_join!(history.news(span, KNOWN), history.devices(times.last_hours(0)))?;
        let is_first_day = devices.iter().all(|device| span.from <= device.first_seen);
        Ok(Self::new(&news, is_first_day, times))
    }

    pub(super) fn new(news: &News, is_first_day: bool, times: &Times) -> Self {
        if is_first_day {
            return Self { is_first_day, devices: Vec::new(), meetings: Vec::new(), untold: 0 };
        }
        let devices = news.devices.iter().take(DEVICES_SHOWN).map(|count| NewDevice {
            device: (&count.device).into(),
            first_seen: times.ago(count.first_seen),
        });
        // Of a device that is itself new, every tracker would be: that it is new says it.
        let is_known =
            |meeting: &&FirstMeeting| news.devices.iter().all(|new| new.device.key != meeting.device.key);
        let meetings: Vec<&FirstMeeting> = news.meetings.iter().filter(is_known).collect();
        let untold = meetings.len().saturating_sub(MEETINGS_SHOWN);
        let shown = meetings.into_iter().take(MEETINGS_SHOWN).map(Meeting::new);
        Self { is_first_day, devices: devices.collect(), meetings: shown.collect(), untold }
    }
}

impl Meeting {
    fn new(meeting: &FirstMeeting) -> Self {
        Self {
            title: Who::from(&meeting.attribution).title,
            company: (&meeting.attribution).into(),
            kind: match &meeting.attribution {
                Attribution::Tracker(tracker) => Some(tracker.kind.label()),
                Attribution::Domain(_) => None,
            },
            device: (&meeting.device).into(),
            hits: format::times(meeting.hits),
            is_new_to_all: meeting.is_new_to_all,
        }
    }
}
