//! What the API says and takes. Times are RFC 3339 in UTC.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::list_types::{Progress, QuarantinedRule, Waiting};
use crate::device::{DeviceKey, KnownDevice, NameSource};
use crate::event::{QueryEvent, qtype_name};
use crate::feed::{Origin, OwnRuleStatus, SourceStatus};
use crate::history;
use crate::list;
use crate::local::Listed;
use crate::name::DomainName;
use crate::policy;
use crate::tracker::Attribution;
use crate::web::pages::fix::Suspect;
use crate::web::view::opposite;

/// A time as the API writes it.
pub(in crate::web) fn timestamp(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Why a request was not granted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Error {
    /// For people: what, why, and what to do.
    pub error: String,
}

/// What came of a wish.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Done {
    /// One sentence for people.
    pub message: String,
}

/// How the daemon is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// When it started.
    pub started: String,
    /// How long it has been running.
    pub uptime_secs: u64,
    /// The configuration file, where there is one.
    pub config_file: Option<String>,
    /// Where it keeps what must last.
    pub data_dir: Option<String>,
    /// Where it answers DNS.
    pub dns_listen: Vec<String>,
    /// Whom it asks.
    pub upstreams: Vec<String>,
    /// How they answer, in the same order.
    pub upstream_health: Vec<UpstreamHealth>,
    /// How much memory it has, in octets; null where the system does not tell.
    pub memory_bytes: Option<u64>,
    /// How many rules of lists are in force.
    pub list_rules: u64,
    /// How many rules of the person's own are in force.
    pub own_rules: u64,
    /// How the history is.
    pub history: HistoryHealth,
    /// What is wrong and what to do about it, for people; the history's own problem stands in `history`.
    pub problems: Vec<String>,
}

/// How an upstream answers. Counts are since the daemon started.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct UpstreamHealth {
    /// Where it is, as it is configured.
    pub address: String,
    /// How it is spoken to: `udp`, `tcp`, `tls`, `https`, `h3` or `quic`.
    pub transport: String,
    /// The names that it is asked for; null where it is asked for all that have no route.
    pub route: Option<String>,
    /// The group whose devices it is asked for; null where it is asked for all that are in none.
    pub group: Option<String>,
    /// How it is: `well`, `failing`, or `unasked` when nothing is known yet.
    pub state: String,
    /// How many questions it answered.
    pub answered: u64,
    /// How many tries failed.
    pub failed: u64,
    /// The smoothed time to an answer; null before the first one.
    pub latency_us: Option<u32>,
    /// How many connections were opened to it, each with a handshake.
    pub connections: u64,
    /// How many of them took up the session of an earlier one.
    pub resumed: u64,
    /// What went wrong last, while it is asked last because of that.
    pub problem: Option<String>,
}

impl From<&crate::web::Upstream> for UpstreamHealth {
    fn from(upstream: &crate::web::Upstream) -> Self {
        let crate::web::Upstream {
            address,
            transport,
            route,
            group,
            answered,
            failed,
            latency_us,
            connections,
            resumed,
            problem,
        } = upstream.clone();
        let state = match (&problem, latency_us) {
            (Some(_), _) => "failing",
            (None, Some(_)) => "well",
            (None, None) => "unasked",
        };
        let (transport, state) = (transport.to_owned(), state.to_owned());
        Self {
            address,
            transport,
            route,
            group,
            state,
            answered,
            failed,
            latency_us,
            connections,
            resumed,
            problem,
        }
    }
}

/// How the history is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct HistoryHealth {
    /// The file; null when the history lives in memory only.
    pub file: Option<String>,
    /// The file's size, in octets.
    pub size_bytes: u64,
    /// Questions that were not counted because they came from too many devices at once.
    pub dropped: u64,
    /// Questions that were counted without being listed one by one, because they came too fast.
    pub unlisted: u64,
    /// When the first of them came.
    pub unlisted_since: Option<String>,
    /// Questions that were counted for their device only, because they were for too many names.
    pub unnamed: u64,
    /// Questions that are not in the file yet.
    pub unflushed: u64,
    /// The last time the file was written.
    pub flushed: Option<String>,
    /// What is wrong and what to do about it.
    pub problem: Option<String>,
}

impl From<&history::Health> for HistoryHealth {
    fn from(health: &history::Health) -> Self {
        Self {
            file: health.file.as_ref().map(|file| file.display().to_string()),
            size_bytes: health.size_bytes,
            dropped: health.dropped.queries,
            unlisted: health.unlisted.queries,
            unlisted_since: health.unlisted.since.map(timestamp),
            unnamed: health.unnamed.queries,
            unflushed: health.unflushed,
            flushed: health.flushed.map(timestamp),
            problem: health.problem.clone(),
        }
    }
}

/// How the answers are that are kept. Counts are since the daemon started.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct CacheStatus {
    /// How many answers and failures are kept.
    pub entries: u64,
    /// How much memory they take.
    pub size_bytes: u64,
    /// How much memory they may take.
    pub size_max_bytes: u64,
    /// How many questions were answered by them.
    pub hits: u64,
    /// How many had to wait for an upstream.
    pub misses: u64,
    /// How many were answered by them after their time, because no upstream answered.
    pub stale: u64,
    /// How many answers were fetched anew ahead of the end of their time.
    pub prefetches: u64,
}

/// What the history is to forget: all that fits everything which is said here.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EraseWish {
    /// What this device asked: its MAC or IP address.
    pub device: Option<String>,
    /// What was asked for this name and those below it, and hits of trackers of these names behind others.
    pub name: Option<String>,
    /// From this moment on (RFC 3339). Times are rounded outward to whole hours (UTC).
    pub from: Option<String>,
    /// Before this moment.
    pub until: Option<String>,
    /// Everything; then nothing else may be said.
    pub everything: bool,
}

/// Which answers are to be forgotten.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct FlushWish {
    /// Those about this name; all of them when left out.
    #[serde(default)]
    pub name: Option<String>,
    /// Those about names below it too.
    #[serde(default)]
    pub below: bool,
}

/// How much happened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Totals {
    /// The first moment that is counted.
    pub from: String,
    /// The first moment that is not counted any more.
    pub until: String,
    /// All questions.
    pub queries: u64,
    /// Those that were blocked.
    pub hits: u64,
}

/// One hour.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct HourCount {
    /// Its first moment.
    pub hour: String,
    /// All questions.
    pub queries: u64,
    /// Those that were blocked.
    pub hits: u64,
}

impl From<history::HourCount> for HourCount {
    fn from(count: history::HourCount) -> Self {
        Self { hour: timestamp(count.hour), queries: count.totals.queries, hits: count.totals.hits }
    }
}

/// Whose a name is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Who {
    /// A tracker of the catalogue.
    Tracker {
        /// The product.
        product: String,
        /// The company that it belongs to.
        company: String,
        /// The group that the company belongs to.
        parent: Option<String>,
        /// What it is there for, in a word: `conversion-pixel`, `smart-tv-telemetry`, ...
        kind: String,
        /// What it reports about a person.
        reports: Option<String>,
        /// The page on which the company tells what it does with data, or how to object.
        privacy: Option<String>,
    },
    /// Nobody that the catalogue knows.
    Domain {
        /// The registrable domain.
        domain: String,
    },
}

impl From<&Attribution> for Who {
    fn from(attribution: &Attribution) -> Self {
        match attribution {
            Attribution::Tracker(tracker) => Self::Tracker {
                product: tracker.product.clone(),
                company: tracker.company.clone(),
                parent: tracker.parent.clone(),
                kind: tracker.kind.as_str().to_owned(),
                reports: tracker.reports.clone(),
                privacy: tracker.privacy.clone(),
            },
            Attribution::Domain(domain) => Self::Domain { domain: domain.to_string() },
        }
    }
}

/// One tracker.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct TrackerCount {
    /// Who it is.
    pub who: Who,
    /// How often it was blocked.
    pub hits: u64,
    /// On how many devices.
    pub devices: u64,
}

impl From<&history::TrackerCount> for TrackerCount {
    fn from(count: &history::TrackerCount) -> Self {
        Self { who: (&count.attribution).into(), hits: count.hits, devices: count.devices }
    }
}

/// A device.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Device {
    /// Its MAC or IP address, by which it is asked for.
    pub key: String,
    /// Its name.
    pub name: String,
}

impl From<&crate::device::Device> for Device {
    fn from(device: &crate::device::Device) -> Self {
        Self { key: device.key.to_string(), name: device.name.to_string() }
    }
}

/// What one device asked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct DeviceCount {
    /// The device.
    pub device: Device,
    /// Where its name is from: `configuration`, `book` (the page or the command line), `lease`, `mdns`, `router`, `vendor`,
    /// `private-address`, `address` or `this-machine`.
    pub name_from: String,
    /// What it is, as one of the words that it can be set to; null when nothing tells.
    pub kind: Option<String>,
    /// Whether nobody said what it is, and it only seems so.
    pub kind_is_guess: bool,
    /// Who made it.
    pub vendor: Option<String>,
    /// Whether it made its MAC up for privacy, and may change it.
    pub private_mac: bool,
    /// All MACs and addresses by which it is known for good, the main one first; others were merged into that one.
    pub keys: Vec<String>,
    /// Its addresses on the network now.
    pub addresses: Vec<String>,
    /// The group that it is in; null where it is in none.
    pub group: Option<String>,
    /// All its questions within the span.
    pub queries: u64,
    /// Those that were blocked.
    pub hits: u64,
    /// How many distinct trackers were blocked on it within the span.
    pub trackers: u64,
    /// When it asked for the first time, ever.
    pub first_seen: String,
    /// When it asked last.
    pub last_seen: String,
    /// For how many seconds it has asked nothing though it is on the network and is not wont to be silent; null where nothing is strange.
    #[serde(default)]
    pub silent_secs: Option<u64>,
}

impl DeviceCount {
    pub(super) fn new(count: &history::DeviceCount, known: Option<&KnownDevice>) -> Self {
        let device = known.map_or(&count.device, |known| &known.device);
        let keys = known.map_or(&[][..], |known| &known.keys);
        Self {
            device: device.into(),
            name_from: known.map_or(NameSource::Address, |known| known.name_from).word().to_owned(),
            kind: known.and_then(|known| Some(known.kind?.word().to_owned())),
            kind_is_guess: known.is_some_and(|known| known.kind.is_some() && known.kind_is_guess),
            vendor: known.and_then(|known| Some(known.vendor.as_ref()?.to_string())),
            private_mac: known.is_some_and(|known| known.private_mac),
            keys: if keys.is_empty() {
                vec![device.key.to_string()]
            } else {
                keys.iter().map(ToString::to_string).collect()
            },
            addresses: known.iter().flat_map(|known| &known.addresses).map(ToString::to_string).collect(),
            group: known.and_then(|known| Some(known.group.as_ref()?.name.to_string())),
            queries: count.totals.queries,
            hits: count.totals.hits,
            trackers: count.trackers,
            first_seen: timestamp(count.first_seen),
            last_seen: timestamp(count.last_seen),
            silent_secs: None,
        }
    }
}

/// One name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct NameCount {
    /// The name.
    pub name: String,
    /// The tracker's name that hid behind it (a CNAME, for instance), if one did.
    #[serde(default)]
    pub behind: Option<String>,
    /// Whose it is; that of `behind` where there is one.
    pub who: Who,
    /// How often it was asked for.
    pub queries: u64,
    /// How often it was blocked.
    pub hits: u64,
}

impl From<&history::NameCount> for NameCount {
    fn from(count: &history::NameCount) -> Self {
        let history::NameCount { name, behind, attribution, totals } = count;
        Self {
            name: name.to_string(),
            behind: behind.as_ref().map(ToString::to_string),
            who: attribution.into(),
            queries: totals.queries,
            hits: totals.hits,
        }
    }
}

/// A rule and where it stands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct RuleRef {
    /// The list; the first one when several have the rule.
    pub list: String,
    /// The rule in its shortest form.
    pub rule: String,
}

impl From<&policy::RuleRef> for RuleRef {
    fn from(rule: &policy::RuleRef) -> Self {
        Self { list: rule.list.to_string(), rule: rule.rule.to_string() }
    }
}

/// What was said of a question.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(tag = "is", content = "rule", rename_all = "kebab-case")]
pub enum Verdict {
    /// No rule speaks of the name.
    Pass,
    /// This rule lets it through.
    Allow(RuleRef),
    /// This rule blocks it.
    Block(RuleRef),
}

impl From<&policy::Verdict> for Verdict {
    fn from(verdict: &policy::Verdict) -> Self {
        match verdict {
            policy::Verdict::Pass => Self::Pass,
            policy::Verdict::Allow(rule) => Self::Allow(rule.into()),
            policy::Verdict::Block(rule) => Self::Block(rule.into()),
        }
    }
}

impl From<&history::RememberedVerdict> for Verdict {
    fn from(verdict: &history::RememberedVerdict) -> Self {
        match verdict {
            history::RememberedVerdict::Pass => Self::Pass,
            history::RememberedVerdict::Allow(rule) => Self::Allow(rule.into()),
            history::RememberedVerdict::Block(rule) => Self::Block(rule.into()),
        }
    }
}

/// One question.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Event {
    /// Its place in the history; a live event has none yet.
    pub id: Option<i64>,
    /// When.
    pub at: String,
    /// Who asked.
    pub device: Device,
    /// For which name.
    pub name: String,
    /// The name that the answer led to and because of which it was blocked: the tracker hid behind `name`.
    #[serde(default)]
    pub behind: Option<String>,
    /// For which type: `A`, `AAAA`, `HTTPS`, `TYPE65280`, ...
    pub qtype: String,
    /// What was said of it.
    pub verdict: Verdict,
    /// The RCODE of the answer.
    pub rcode: u16,
    /// Whose name it is; that of `behind` where there is one.
    pub who: Who,
    /// The rule that would turn round what is said of the name now; null where none can be written.
    pub button: Option<RuleWish>,
}

impl Event {
    pub(super) fn remembered(event: &history::Remembered, policy: &policy::Policy) -> Self {
        Self {
            id: Some(event.id),
            at: timestamp(event.at),
            device: (&event.device).into(),
            name: event.name.to_string(),
            behind: event.behind.as_ref().map(ToString::to_string),
            qtype: qtype_name(event.qtype).into_owned(),
            verdict: (&event.verdict).into(),
            rcode: event.rcode,
            who: (&event.attribution).into(),
            button: RuleWish::against(policy, &event.device, &event.name),
        }
    }

    pub(in crate::web) fn live(
        event: &QueryEvent,
        attribution: &Attribution,
        policy: &policy::Policy,
    ) -> Self {
        Self {
            id: None,
            at: timestamp(event.at),
            device: (&event.device).into(),
            name: event.name.to_string(),
            behind: event.behind.as_ref().map(ToString::to_string),
            qtype: qtype_name(event.qtype).into_owned(),
            verdict: (&event.verdict).into(),
            rcode: event.rcode,
            who: attribution.into(),
            button: RuleWish::against(policy, &event.device, &event.name),
        }
    }
}

/// Live events that were left out of a stream, since they came faster than it takes them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Skipped {
    /// How many.
    pub count: u64,
}

/// What a rule asks for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Let the name through.
    Allow,
    /// Block the name.
    Block,
}

impl From<list::Action> for Action {
    fn from(action: list::Action) -> Self {
        match action {
            list::Action::Allow => Self::Allow,
            list::Action::Block => Self::Block,
        }
    }
}

/// One list and how it is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct List {
    /// Its name.
    pub name: String,
    /// What it is and what it is for, in one line; null when nobody says.
    pub about: Option<String>,
    /// What its names are for: `block`, `allow`, or `cname` (blocked where an answer leads to them).
    pub kind: String,
    /// Where its text comes from.
    pub origin: String,
    /// The syntax that was found: `hosts`, `domains`, `wildcard`, `adblock`; `built-in` for the list of this program, whose
    /// rules match as those of `adblock` do.
    pub format: Option<String>,
    /// Whether its exact names cover everything below them too.
    pub subdomains: bool,
    /// What its lines match, for people.
    pub matches: String,
    /// Whether it was added here, and may be removed here.
    pub added: bool,
    /// How many of its rules are in force.
    pub rules: usize,
    /// How many lines its text has.
    pub lines: u32,
    /// How many of them gave one rule or more.
    pub rule_lines: u32,
    /// How many are comments or empty.
    pub comments: u32,
    /// The others, by reason.
    pub skipped: Vec<SkippedLines>,
    /// When the text in force was fetched or saved; for what came with the configuration or the program, since when it is
    /// in force.
    pub revision: Option<String>,
    /// Which URL the text in force came from, where it has mirrors one of them.
    pub served_by: Option<String>,
    /// Since when you hold it at the revision in force.
    pub held_since: Option<String>,
    /// A newer text that is not in force unless you accept it.
    pub waiting: Option<Waiting>,
    /// Rules that are not in force unless you accept them: the first of them.
    pub quarantined: Vec<QuarantinedRule>,
    /// How many of those there are.
    pub quarantined_total: usize,
    /// When it was last looked for.
    pub checked: Option<String>,
    /// When it will be looked for next.
    pub next: Option<String>,
    /// Whether a refresh is running.
    pub refreshing: bool,
    /// How far the download that is running has come.
    pub progress: Option<Progress>,
    /// Why the last refresh failed, and what to do; the last good text stays in force.
    pub problem: Option<String>,
}

/// Lines of a list that were skipped for one reason.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct SkippedLines {
    /// The reason, in a word.
    pub reason: String,
    /// The reason, for people.
    pub text: String,
    /// How many.
    pub count: u32,
    /// The first of them.
    pub first: Vec<SkippedLine>,
}

/// A line of a list that was skipped.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct SkippedLine {
    /// Where it stands, from 1.
    pub line: u32,
    /// What it says, shortened.
    pub text: String,
}

impl From<&SourceStatus> for List {
    fn from(status: &SourceStatus) -> Self {
        let report = &status.report;
        let skipped = |skipped: &list::SkipCount| SkippedLines {
            reason: skipped.skip.as_str().to_owned(),
            text: skipped.skip.to_string(),
            count: skipped.count,
            first: skipped
                .first
                .iter()
                .map(|first| SkippedLine { line: first.line, text: first.text.clone() })
                .collect(),
        };
        Self {
            about: status.describe(),
            name: status.options.name.to_string(),
            kind: status.options.kind.as_str().to_owned(),
            origin: status.options.origin.shown(),
            format: match status.options.origin {
                Origin::BuiltIn(_) => Some("built-in".to_owned()),
                Origin::Url(_) | Origin::File(_) | Origin::Inline(_) => {
                    status.format.map(|format| format.as_str().to_owned())
                }
            },
            subdomains: status.options.subdomains,
            matches: status.matches().to_owned(),
            added: status.options.added,
            rules: status.rules,
            lines: report.lines,
            rule_lines: report.rule_lines,
            comments: report.comments + report.blank,
            skipped: report.skipped().map(skipped).collect(),
            revision: status.revision.map(timestamp),
            served_by: status.served_by.clone(),
            held_since: status.held_since.map(timestamp),
            waiting: status.waiting.as_ref().map(Into::into),
            quarantined: status.quarantined.iter().map(Into::into).collect(),
            quarantined_total: status.quarantined_total,
            checked: status.checked.map(timestamp),
            next: status.next.map(timestamp),
            refreshing: status.refreshing,
            progress: status.progress.map(Into::into),
            problem: status.problem.clone(),
        }
    }
}

/// Which list to refresh.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct RefreshWish {
    /// Its name; all of them when left out.
    #[serde(default)]
    pub list: Option<String>,
}

/// A rule that a person wants to write.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct RuleWish {
    /// What it asks for.
    pub action: Action,
    /// `name` (and everything below it), `=name` (that name only) or `*.name` (what is below it); with `$client=` behind it
    /// when it is for one device.
    pub rule: String,
    /// The device that it is for, by name, MAC or address; all of them when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// For how many seconds it allows; for good when left out. Then what was said before counts again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_secs: Option<u64>,
}

/// A rule that a person wants to stay.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct KeepWish {
    /// The rule, as it was written.
    pub rule: String,
    /// The device that it is for, by name, MAC or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

impl RuleWish {
    /// For all devices and for good.
    pub fn new(action: Action, rule: String) -> Self {
        Self { action, rule, device: None, for_secs: None }
    }

    /// Turns round what is said of `name` now.
    fn against(policy: &policy::Policy, device: &crate::device::Device, name: &DomainName) -> Option<Self> {
        let is_blocked =
            matches!(policy.judge(&policy::Question::of(device, name.as_ref())), policy::Verdict::Block(_));
        let (action, rule) = opposite(policy, Some(device), is_blocked, name)?;
        Some(Self::new(action.into(), rule.to_string()))
    }
}

/// One rule of the person's own.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct OwnRule {
    /// What it asks for.
    pub action: Action,
    /// The rule, as a person writes it.
    pub rule: String,
    /// The device that it is for; null when it is for all, or for those that `rule` names in another way.
    pub device: Option<Device>,
    /// When it is taken back by itself; null when it stays.
    pub until: Option<String>,
    /// The file it stands in.
    pub file: String,
    /// Its line there, from 1.
    pub line: u32,
    /// Whether it can be taken back here; otherwise it is to be taken out of its file.
    pub removable: bool,
}

impl OwnRule {
    /// `name_of` tells what a device is called; `ends_at` what the clock on the wall will show at a moment.
    pub(super) fn new(
        status: &OwnRuleStatus,
        name_of: impl Fn(DeviceKey) -> Option<Arc<str>>,
        ends_at: impl Fn(Instant) -> Timestamp,
    ) -> Self {
        let device = status.rule.client.as_ref().and_then(policy::device_of).map(|key| Device {
            key: key.to_string(),
            name: name_of(key).map_or_else(|| key.to_string(), |name| name.to_string()),
        });
        Self {
            action: status.action.into(),
            rule: status.rule.to_string(),
            device,
            until: status.ends.map(|at| timestamp(ends_at(at))),
            file: status.file.to_string(),
            line: status.line,
            removable: status.removable,
        }
    }
}

/// A name that was blocked lately on one device, and how likely it is why something does not work there.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct BlockedLately {
    /// The name.
    pub name: String,
    /// The tracker's name that hid behind it, if one did.
    pub behind: Option<String>,
    /// Whose it is.
    pub who: Who,
    /// The rule that blocked it last.
    pub rule: RuleRef,
    /// How many lists block it.
    pub lists: u64,
    /// How often it was blocked.
    pub hits: u64,
    /// When it was blocked last.
    pub last: String,
    /// Whether it had never been blocked on this device before.
    pub is_first_time: bool,
    /// `likely`, `possible` or `unlikely`.
    pub likelihood: String,
    /// Why, in words.
    pub why: Vec<String>,
    /// Whether it is let through on this device now.
    pub is_allowed: bool,
    /// What to write to let it through there; null when no rule can be written with the name.
    pub allow: Option<String>,
}

impl From<&Suspect> for BlockedLately {
    fn from(suspect: &Suspect) -> Self {
        let Suspect { blocked, likelihood, lists, is_allowed, rule } = suspect;
        Self {
            name: blocked.name.to_string(),
            behind: blocked.behind.as_ref().map(ToString::to_string),
            who: (&blocked.attribution).into(),
            rule: (&blocked.rule).into(),
            lists: *lists as u64,
            hits: blocked.hits,
            last: timestamp(blocked.last),
            is_first_time: blocked.is_first_time,
            likelihood: likelihood.word().to_owned(),
            why: likelihood.why.clone(),
            is_allowed: *is_allowed,
            allow: rule.as_ref().map(ToString::to_string),
        }
    }
}

/// What would be said of a name, and why.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Explanation {
    /// The name.
    pub name: String,
    /// What would be said of it.
    pub verdict: Verdict,
    /// What this machine answers of itself, for people: a name of the house, or one that never leaves it. It counts before
    /// lists, and after the person's own rules. Null: nothing.
    pub local: Option<String>,
    /// Whose it is.
    pub who: Who,
    /// What the list is whose rule decides, in one line; null when it is a rule of the person's own or nobody says.
    pub list_about: Option<String>,
    /// Every rule that covers it, the strongest first: the first one decides.
    pub rules: Vec<ExplainedRule>,
    /// What would change if a list were removed: only the lists without which something would.
    pub without: Vec<WithoutList>,
}

/// A name that this machine answers itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct LocalName {
    /// The name; `*.` before it stands for all names below.
    pub name: String,
    /// The type of its record, and the data where they are an address or a name: `A 192.168.1.5`.
    pub record: String,
    /// How long clients may keep it, in seconds.
    pub ttl_secs: u32,
    /// Where it comes from, for people.
    pub from: String,
}

impl From<&Listed<'_>> for LocalName {
    fn from(listed: &Listed<'_>) -> Self {
        let star = if listed.is_wildcard { "*." } else { "" };
        Self {
            name: format!("{star}{}", listed.name),
            record: listed.record.describe(),
            ttl_secs: listed.record.ttl_secs,
            from: listed.record.origin.to_string(),
        }
    }
}

/// One rule that covers a name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct ExplainedRule {
    /// The rule.
    pub rule: RuleRef,
    /// What it asks for.
    pub action: Action,
    /// Every list that has it, with the lines on which it stands.
    pub places: Vec<RulePlace>,
    /// Whether a person wrote it.
    pub own: bool,
}

/// A list that has a rule.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct RulePlace {
    /// The list.
    pub list: String,
    /// The lines of it that say so, as far as they were looked up; the first ten.
    pub lines: Vec<SkippedLine>,
}

/// What would be said of a name if there were one list less.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct WithoutList {
    /// The list.
    pub list: String,
    /// What would be said then.
    pub verdict: Verdict,
}

impl Explanation {
    pub(super) fn new(name: &DomainName, rules: &[policy::Explained], attribution: &Attribution) -> Self {
        let verdict = match rules.first() {
            None => Verdict::Pass,
            Some(first) if first.action == list::Action::Allow => Verdict::Allow((&first.rule).into()),
            Some(first) => Verdict::Block((&first.rule).into()),
        };
        let explained = |explained: &policy::Explained| ExplainedRule {
            rule: (&explained.rule).into(),
            action: explained.action.into(),
            places: explained
                .lists
                .iter()
                .map(|list| RulePlace { list: list.to_string(), lines: Vec::new() })
                .collect(),
            own: explained.own,
        };
        let without = policy::Policy::explain_without(rules).into_iter().map(|without| WithoutList {
            list: without.list.to_string(),
            verdict: (&without.verdict).into(),
        });
        let without = without.collect();
        let rules = rules.iter().map(explained).collect();
        Self {
            name: name.to_string(),
            verdict,
            local: None,
            who: attribution.into(),
            list_about: None,
            rules,
            without,
        }
    }
}
