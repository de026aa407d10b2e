//! What can be asked of the history, and the shape of its answers.

use std::time::Duration;

use jiff::Timestamp;

use crate::device::{Device, DeviceKey};
use crate::event::VerdictKind;
use crate::name::DomainName;
use crate::policy::RuleRef;
use crate::tracker::Attribution;

/// A span of time: from `from` on, up to but without `until`.
///
/// Counts are kept by the hour (UTC), so a span of counts is rounded outward: the hours of its first and of its last
/// moment count whole. "Today" in a zone that is half an hour off (India) holds half an hour of yesterday as well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// The first moment within.
    pub from: Timestamp,
    /// The first moment after.
    pub until: Timestamp,
}

/// How much happened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Totals {
    /// All questions.
    pub queries: u64,
    /// Those that were blocked.
    pub hits: u64,
}

/// One hour of the clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HourCount {
    /// Its first moment (UTC hours).
    pub hour: Timestamp,
    /// What happened in it.
    pub totals: Totals,
}

/// One tracker, by the hits of its names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrackerCount {
    /// Who it is.
    pub attribution: Attribution,
    /// How often it was blocked.
    pub hits: u64,
    /// On how many devices.
    pub devices: u64,
}

/// One device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeviceCount {
    /// The device; its name is the one it had last.
    pub device: Device,
    /// What it asked within the span.
    pub totals: Totals,
    /// How many distinct trackers were blocked on it within the span.
    pub trackers: u64,
    /// When it asked for the first time, ever.
    pub first_seen: Timestamp,
    /// When it asked last.
    pub last_seen: Timestamp,
}

/// One name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameCount {
    /// The name.
    pub name: DomainName,
    /// The tracker's name that hid behind it, if one did.
    pub behind: Option<DomainName>,
    /// Whose it is; that of `behind` where there is one.
    pub attribution: Attribution,
    /// What was asked of it within the span.
    pub totals: Totals,
}

/// One company, by the hits of its trackers. Where the catalogue knows nobody, a registrable domain stands for one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CompanyCount {
    /// What it is called: [`Attribution::company`].
    pub name: String,
    /// Its trackers, those with the most hits first.
    pub trackers: Vec<TrackerCount>,
    /// How often they were blocked within the span.
    pub hits: u64,
    /// The same within the span that is compared with; 0 where none is.
    pub hits_before: u64,
    /// Those of `hits` that hid behind a name of somebody else.
    pub cloaked: u64,
    /// On how many devices.
    pub devices: u64,
}

/// What is known of one company.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CompanyDetail {
    /// How much.
    pub count: CompanyCount,
    /// Every device that met it, with the hits of this company only, those with the most first.
    pub devices: Vec<(Device, u64)>,
    /// Its names that were blocked, those with the most hits first.
    pub names: Vec<NameCount>,
    /// Its hits in every hour of the span, in order.
    pub hours: Vec<(Timestamp, u64)>,
}

/// A tracker that met a device for the first time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FirstMeeting {
    /// Who it is.
    pub attribution: Attribution,
    /// The device.
    pub device: Device,
    /// How often it was blocked since.
    pub hits: u64,
    /// Whether no device of the home had met it before.
    pub is_new_to_all: bool,
}

/// What is new.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct News {
    /// Devices that asked for the first time.
    pub devices: Vec<DeviceCount>,
    /// Trackers that met a device for the first time, those with the most hits first.
    pub meetings: Vec<FirstMeeting>,
}

/// A name that was blocked lately on one device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BlockedLately {
    /// The name.
    pub name: DomainName,
    /// The tracker's name that hid behind it, if one did.
    pub behind: Option<DomainName>,
    /// Whose it is.
    pub attribution: Attribution,
    /// The rule that blocked it last.
    pub rule: RuleRef,
    /// How often.
    pub hits: u64,
    /// When it was blocked last.
    pub last: Timestamp,
    /// Whether it had never been blocked on this device before, as far as counts are kept.
    pub is_first_time: bool,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EventFilter {
    /// Those of one device.
    pub device: Option<DeviceKey>,
    /// Hits only.
    pub hits_only: bool,
    /// Those with this verdict.
    pub verdict: Option<VerdictKind>,
    /// Those of this QTYPE.
    pub qtype: Option<u16>,
    /// Those for names of this company ([`Attribution::company`]).
    pub company: Option<String>,
    /// Those from this moment on.
    pub from: Option<Timestamp>,
    /// Those before this moment.
    pub until: Option<Timestamp>,
    /// Names that contain this text.
    pub name_contains: Option<String>,
    /// Those before this one, for the next page: [`Remembered::id`].
    pub before: Option<i64>,
    /// At most so many, and never more than 10,000; the latest first.
    pub limit: u32,
    /// How long is looked for them; two seconds unless it is said. An hour of the history is always read to its end.
    pub patience: Option<Duration>,
}

/// What the policy said, as it is remembered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RememberedVerdict {
    /// No rule spoke of the name.
    Pass,
    /// A rule let it through.
    Allow(RuleRef),
    /// A rule blocked it.
    Block(RuleRef),
}

/// One query, as it is remembered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Remembered {
    /// Its place in the history: later ones have greater numbers.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub device: Device,
    /// The QNAME.
    pub name: DomainName,
    /// The tracker's name that hid behind it, if one did.
    pub behind: Option<DomainName>,
    /// The QTYPE.
    pub qtype: u16,
    /// What the policy said.
    pub verdict: RememberedVerdict,
    /// The RCODE of the answer.
    pub rcode: u16,
    /// Whose name it is.
    pub attribution: Attribution,
}

/// Events, and how far was looked for them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Scan {
    /// The events, the latest first.
    pub events: Vec<Remembered>,
    /// Where the search was given up because it took long: [`EventFilter::before`] for going on from there. `None`: there
    /// are as many as were asked for, or no more.
    pub cut_at: Option<i64>,
}

/// What is to be forgotten: all that fits everything which is said here. With nothing said, it is everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Erasure {
    /// What this device asked.
    pub device: Option<DeviceKey>,
    /// What was asked for this name and those below it, and hits of trackers of these names behind others.
    pub name: Option<DomainName>,
    /// From the hour of this moment on.
    pub from: Option<Timestamp>,
    /// Up to the hour before this moment; the moment's own hour too, unless it is the hour's first moment.
    pub until: Option<Timestamp>,
}

/// What was forgotten.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Erased {
    /// Queries, as they were counted.
    pub queries: u64,
    /// Those of them that were kept one by one.
    pub events: u64,
    /// On how many days there were counts of them.
    pub days: u64,
    /// Names that nothing refers to any more.
    pub names: u64,
    /// Devices that nothing refers to any more.
    pub devices: u64,
    /// Files that were set aside, which are left as they are.
    pub aside: Vec<std::path::PathBuf>,
}

/// Queries of which not all is known.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Gap {
    /// How many, since the history was opened.
    pub queries: u64,
    /// When the first of them was noticed.
    pub since: Option<Timestamp>,
    /// When the last of them was.
    pub until: Option<Timestamp>,
}

impl Gap {
    /// Adds queries that were noticed now.
    pub(super) fn add(&mut self, queries: u64, now: Timestamp) {
        if 0 < queries {
            self.queries += queries;
            self.since.get_or_insert(now);
            self.until = Some(now);
        }
    }
}

/// How the history is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Health {
    /// The file; `None` when the history lives in memory only.
    pub file: Option<std::path::PathBuf>,
    /// The size of the file with its write-ahead log, in octets.
    pub size_bytes: u64,
    /// Queries that are not counted: they came from more devices at once than there is room for.
    pub dropped: Gap,
    /// Queries that were counted without being listed one by one, because there were too many.
    pub unlisted: Gap,
    /// Queries that were counted for their device only: there were more names than there is room for.
    pub unnamed: Gap,
    /// Events that are not in the file yet.
    pub unflushed: u64,
    /// The last flush.
    pub flushed: Option<Timestamp>,
    /// What is wrong and what to do about it, for people.
    pub problem: Option<String>,
}
