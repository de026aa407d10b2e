//! What several pages show: the frame around each, and small pieces with a template of their own.

use askama::Template;
use axum::http::Uri;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Web;
use super::company::CompanyLink;
use super::format;
use super::notes::Note;
use crate::device::{Device, DeviceKind};
use crate::event;
use crate::history::{Remembered, RememberedVerdict, Span};
use crate::list::{Action, OwnRule, Scope, Subject};
use crate::name::DomainName;
use crate::policy::{Policy, Question, RuleRef, Verdict};
use crate::ruleset::Match;
use crate::tracker::Attribution;

/// The key of the query by which an address names a note.
const NOTE_KEY: &str = "note";

/// Which entry of the navigation is current.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tab {
    Overview,
    Devices,
    Companies,
    Log,
    Report,
    Lists,
    Rules,
    Health,
    /// A page that is not in the navigation.
    Other,
}

/// What stands around every page.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) tab: Tab,
    /// What came of the last action, and whether it was done.
    pub(super) note: Option<(bool, Prose)>,
    /// The number of what undoes it.
    pub(super) undo: Option<u64>,
    /// What was typed and could not be read; `note` says why.
    pub(super) typed: Option<String>,
    /// This page's own path and query, where actions lead back to.
    pub(super) here: String,
    pub(super) version: &'static str,
}

impl Frame {
    /// The frame of the page at `uri`.
    pub(super) fn new(web: &Web, uri: &Uri, tab: Tab) -> Self {
        let query = uri.query().unwrap_or_default();
        let number =
            query.split('&').find_map(|pair| pair.strip_prefix(NOTE_KEY)?.strip_prefix('=')?.parse().ok());
        let note = number.and_then(|number| web.notes.take(number));
        let undo = note.as_ref().and_then(|note| note.undo);
        let typed = note.as_ref().and_then(|note| note.typed.clone());
        let note = note.map(|Note { is_good, text, .. }| (is_good, text.as_str().into()));
        let here = without_note(uri.path_and_query().map_or("/", |target| target.as_str()));
        Self { note, undo, typed, here, ..Self::of(tab) }
    }

    /// The frame of an error: nothing of it depends on who asked for what.
    pub(super) fn bare() -> Self {
        Self::of(Tab::Other)
    }

    /// The entries of the navigation.
    pub(super) fn navigation(&self) -> [NavigationEntry; 8] {
        let entry = |tab, address, text| NavigationEntry { address, text, is_current: self.tab == tab };
        [
            entry(Tab::Overview, "/", "Overview"),
            entry(Tab::Devices, "/devices", "Devices"),
            entry(Tab::Companies, "/companies", "Companies"),
            entry(Tab::Log, "/log", "Log"),
            entry(Tab::Report, "/report", "Report"),
            entry(Tab::Lists, "/lists", "Lists"),
            entry(Tab::Rules, "/rules", "Rules"),
            entry(Tab::Health, "/health", "Health"),
        ]
    }

    fn of(tab: Tab) -> Self {
        Self {
            tab,
            note: None,
            undo: None,
            typed: None,
            here: "/".to_owned(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// A page that every page leads to.
pub(super) struct NavigationEntry {
    pub(super) address: &'static str,
    pub(super) text: &'static str,
    pub(super) is_current: bool,
}

/// `target` with its note's number taken out.
pub(super) fn without_note(target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_note = |pair: &&str| pair.split('=').next() == Some(NOTE_KEY);
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty() && !is_note(pair)).collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

/// `target` with the number of a note.
pub(super) fn with_note(target: &str, number: u64) -> String {
    let target = without_note(target);
    let separator = if target.contains('?') { '&' } else { '?' };
    format!("{target}{separator}{NOTE_KEY}={number}")
}

/// Marks pieces whose own template has escaped what they show, so that it is not escaped twice.
macro_rules! pieces {
    ($($piece:ty),*) => { $(impl askama::filters::HtmlSafe for $piece {})* };
}
pieces!(Prose, Moment, Who, NameLink, DeviceLink, KindIcon, VerdictView, RuleButton, ListButton);

/// Tells times to people; one for each page, so that all of it is told from the same moment.
#[derive(Clone, Debug)]
pub(super) struct Times {
    pub(super) now: Timestamp,
    pub(super) time_zone: TimeZone,
}

impl Times {
    pub(super) fn new(web: &Web) -> Self {
        Self { now: web.parts.clock.now(), time_zone: web.parts.time_zone.clone() }
    }

    /// How long ago, with the exact time behind it.
    pub(super) fn ago(&self, at: Timestamp) -> Moment {
        self.moment(at, format::relative(self.now, at))
    }

    /// The time of day, with the date before it when it is not of the last 24 hours.
    pub(super) fn clock(&self, at: Timestamp) -> Moment {
        let time = format::clock_time(at, &self.time_zone);
        let is_recent = (self.now.as_second() - at.as_second()).unsigned_abs() < 86_400;
        let date = || at.to_zoned_datetime(self.time_zone.clone()).strftime("%b %-d").to_string();
        self.moment(at, if is_recent { time } else { format!("{} {time}", date()) })
    }

    fn moment(&self, at: Timestamp, shown: String) -> Moment {
        let iso = format!("{at:.3}");
        Moment { iso, exact: format::exact(at, &self.time_zone), shown }
    }

    /// From the beginning of the day to the end of this hour.
    pub(super) fn today(&self) -> Span {
        let now = self.now.to_zoned_datetime(self.time_zone.clone());
        let from = now.start_of_day().map_or(self.now, |midnight| midnight.timestamp());
        Span { from, until: self.last_hours(1).until }
    }

    /// The clock on the wall.
    pub(super) fn on_wall(&self, at: Timestamp) -> jiff::ZonedDateTime {
        at.to_zoned_datetime(self.time_zone.clone())
    }

    /// The current hour of the clock and those before it, `hours` in all; an empty span for none.
    pub(super) fn last_hours(&self, hours: u32) -> Span {
        let this_hour = self.now.as_second().div_euclid(3_600);
        let at = |hour: i64| Timestamp::from_second(hour * 3_600).unwrap_or(self.now);
        Span { from: at(this_hour + 1 - i64::from(hours)), until: at(this_hour + 1) }
    }
}

/// A moment.
#[derive(Clone, Debug, Template)]
#[template(path = "pieces/moment.html")]
pub(super) struct Moment {
    pub(super) iso: String,
    pub(super) exact: String,
    pub(super) shown: String,
}

/// A sentence of ours or of the daemon, in which code stands between backticks.
#[derive(Clone, Debug, Template)]
#[template(path = "pieces/prose.html")]
pub(super) struct Prose {
    pub(super) parts: Vec<ProsePart>,
}

/// A part of a sentence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ProsePart {
    pub(super) is_code: bool,
    pub(super) text: String,
}

impl From<&str> for Prose {
    fn from(text: &str) -> Self {
        let is_paired = text.matches('`').count().is_multiple_of(2);
        let part =
            |(index, text): (usize, &str)| ProsePart { is_code: index % 2 == 1, text: text.to_owned() };
        let whole = || vec![ProsePart { is_code: false, text: text.to_owned() }];
        Self { parts: if is_paired { text.split('`').enumerate().map(part).collect() } else { whole() } }
    }
}

/// Whose a name is.
#[derive(Clone, Debug, Template)]
#[template(path = "pieces/who.html")]
pub(super) struct Who {
    /// The product, or the domain of one that the catalogue does not know.
    pub(super) title: String,
    /// The company behind the product.
    pub(super) company: Option<CompanyLink>,
    /// The group that the company belongs to, and the kind.
    pub(super) detail: Option<String>,
    /// What it reports about a person.
    pub(super) reports: Option<String>,
    /// Where the company tells what it does with data, or how to object.
    pub(super) privacy: Option<String>,
}

impl From<&Attribution> for Who {
    fn from(attribution: &Attribution) -> Self {
        match attribution {
            Attribution::Tracker(tracker) => {
                let group = tracker.parent.as_ref().map(|parent| format!("({parent}) ")).unwrap_or_default();
                let detail = format!("{group}· {}", tracker.kind.label());
                Self {
                    title: tracker.product.clone(),
                    company: Some(attribution.into()),
                    detail: Some(detail),
                    reports: tracker.reports.clone(),
                    privacy: tracker.privacy.clone(),
                }
            }
            Attribution::Domain(domain) => {
                Self { title: domain.to_string(), company: None, detail: None, reports: None, privacy: None }
            }
        }
    }
}

impl Who {
    /// Who is behind a name, where that says more than the name itself does.
    pub(super) fn behind(attribution: &Attribution) -> Option<Self> {
        match attribution {
            Attribution::Domain(_) => None,
            Attribution::Tracker(_) => Some(attribution.into()),
        }
    }
}

/// A name, leading to its explanation.
#[derive(Clone, Debug, Template)]
#[template(path = "pieces/name.html")]
pub(super) struct NameLink {
    pub(super) name: String,
    pub(super) encoded: String,
}

impl From<&DomainName> for NameLink {
    fn from(name: &DomainName) -> Self {
        let name = name.to_string();
        Self { encoded: format::percent_encoded(&name), name }
    }
}

/// A device, leading to its page.
#[derive(Clone, Debug, Template)]
#[template(path = "pieces/device.html")]
pub(super) struct DeviceLink {
    pub(super) name: String,
    pub(super) key: String,
}

impl From<&Device> for DeviceLink {
    fn from(device: &Device) -> Self {
        Self { name: device.name.to_string(), key: device.key.to_string() }
    }
}

/// A small picture of what a device is.
#[derive(Clone, Copy, Debug, Template)]
#[template(path = "pieces/kind_icon.html")]
pub(super) struct KindIcon {
    /// `None`: nothing tells.
    pub(super) kind: Option<DeviceKind>,
}

impl KindIcon {
    fn label(&self) -> &'static str {
        self.kind.map_or("Device", DeviceKind::label)
    }
}

/// What was said of a question, in words.
#[derive(Clone, Debug, Template)]
#[template(path = "pieces/verdict.html")]
pub(super) struct VerdictView {
    /// `blocked`, `allowed` or `passed`.
    pub(super) word: &'static str,
    /// The rule that decided.
    pub(super) rule: Option<RuleRef>,
}

impl From<&RememberedVerdict> for VerdictView {
    fn from(verdict: &RememberedVerdict) -> Self {
        match verdict {
            RememberedVerdict::Pass => Self { word: "passed", rule: None },
            RememberedVerdict::Allow(rule) => Self { word: "allowed", rule: Some(rule.clone()) },
            RememberedVerdict::Block(rule) => Self { word: "blocked", rule: Some(rule.clone()) },
        }
    }
}

/// A button that writes a rule of the person's own, or takes it back.
#[derive(Clone, Debug, Template)]
#[template(path = "pieces/rule_button.html")]
pub(super) struct RuleButton {
    /// `allow`, `allow-for` (a quarter of an hour), `block`, `keep` or `forget`.
    pub(super) action: &'static str,
    /// What stands on it.
    pub(super) label: &'static str,
    /// The rule, as a person writes it.
    pub(super) rule: String,
    /// Where it leads back to.
    pub(super) back: String,
}

impl RuleButton {
    /// Writes [`opposite`].
    pub(super) fn against(policy: &Policy, is_blocked: bool, name: &DomainName, back: &str) -> Option<Self> {
        Self::writing(opposite(policy, None, is_blocked, name)?, back)
    }

    /// The same for what is said of `name` on one device.
    pub(super) fn against_on(
        policy: &Policy,
        device: &Device,
        is_blocked: bool,
        name: &DomainName,
        back: &str,
    ) -> Option<Self> {
        Self::writing(opposite(policy, Some(device), is_blocked, name)?, back)
    }

    fn writing((action, rule): (Action, OwnRule), back: &str) -> Option<Self> {
        let (action, label) = match action {
            Action::Allow => ("allow", "Allow"),
            Action::Block => ("block", "Block"),
        };
        Some(Self { action, label, rule: rule.to_string(), back: back.to_owned() })
    }
}

/// A button that does something with a list.
#[derive(Clone, Debug, Template)]
#[template(path = "pieces/list_button.html")]
pub(super) struct ListButton {
    /// The last part of its address.
    pub(super) action: &'static str,
    /// What stands on it.
    pub(super) label: &'static str,
    /// What it does and to what, for those who hear it without what stands around it.
    pub(super) about: String,
    /// What it sends along.
    pub(super) fields: Vec<(&'static str, String)>,
    /// Where it leads back to.
    pub(super) back: String,
    /// What it stands on is there no longer when it was done, so that the browser has to go elsewhere.
    pub(super) leads_away: bool,
}

impl ListButton {
    /// A button that does something with a whole list.
    pub(super) fn new(action: &'static str, label: &'static str, list: &str, back: &str) -> Self {
        Self {
            action,
            label,
            about: format!("{label} {list}"),
            fields: vec![("list", list.to_owned())],
            back: back.to_owned(),
            leads_away: false,
        }
    }
}

/// What a person would write to turn round what is said of `name` now.
///
/// `None` for a name that came over the wire with octets that no rule is written with, and where a rule would block a
/// whole top-level domain: `com` is asked for by mistake, and nobody means all that is below it.
pub(super) fn opposite(
    policy: &Policy,
    device: Option<&Device>,
    is_blocked: bool,
    name: &DomainName,
) -> Option<(Action, OwnRule)> {
    let action = if is_blocked { Action::Allow } else { Action::Block };
    if action == Action::Block && name.as_ref().label_count() < 2 {
        return None;
    }
    // The person's own word about this very name is stronger than any about what is below it, so it is taken up again.
    let question = device
        .map_or_else(|| Question::by_anyone(name.as_ref()), |device| Question::of(device, name.as_ref()));
    let decides = policy.own_rule(&question);
    let scope = if decides.is_some_and(|decides| decides.is_exact()) { Scope::Exact } else { Scope::Subtree };
    // A word for all would not be heard where there is one for this device.
    let for_some = decides.filter(Match::is_for_some).and_then(|decides| decides.rule().modifiers);
    let client = for_some.and_then(|modifiers| modifiers.clients?.only.first().cloned());
    let rule = OwnRule { subject: Subject::Name { name: name.clone(), scope }, client };
    (OwnRule::parse(&rule.to_string()).as_ref() == Ok(&rule)).then_some((action, rule))
}

/// One question in a log.
#[derive(Clone, Debug)]
pub(super) struct EventRow {
    pub(super) at: Moment,
    pub(super) device: DeviceLink,
    pub(super) name: NameLink,
    /// The tracker's name that hid behind it.
    pub(super) behind: Option<NameLink>,
    pub(super) who: Option<Who>,
    pub(super) qtype: String,
    pub(super) verdict: VerdictView,
    /// What would be said of the name now, where that is something else.
    pub(super) now: Option<&'static str>,
    pub(super) button: Option<RuleButton>,
}

impl EventRow {
    pub(super) fn new(event: &Remembered, web: &Web, times: &Times, back: &str) -> Self {
        let policy = web.parts.policy.current();
        let verdict_now = policy.judge(&Question::of(&event.device, event.name.as_ref()));
        let is_blocked = matches!(verdict_now, Verdict::Block(_));
        let was_blocked = matches!(event.verdict, RememberedVerdict::Block(_));
        let now = match (was_blocked, is_blocked) {
            (true, false) => Some("allowed now"),
            (false, true) => Some("blocked now"),
            _ => None,
        };
        Self {
            at: times.clock(event.at),
            device: (&event.device).into(),
            name: (&event.name).into(),
            behind: event.behind.as_ref().map(Into::into),
            who: Who::behind(&event.attribution),
            qtype: event::qtype_name(event.qtype).into_owned(),
            verdict: (&event.verdict).into(),
            now,
            button: RuleButton::against_on(&policy, &event.device, is_blocked, &event.name, back),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_into_an_address_and_out_of_it() {
        assert_eq!(with_note("/log?hits=1&note=3", 7), "/log?hits=1&note=7");
        assert_eq!(with_note("/rules", 7), "/rules?note=7");
        assert_eq!(without_note("/log?note=3&noted=1&&x"), "/log?noted=1&x");
        assert_eq!(without_note("/?note=3"), "/");
    }

    #[test]
    fn code_stands_between_backticks() {
        let html = Prose::from("Set `<listen>` under `[dns]`.").to_string();
        assert_eq!(html.trim(), "Set <code>&#60;listen&#62;</code> under <code>[dns]</code>.");
        assert_eq!(Prose::from("A lone ` stays.").to_string().trim(), "A lone ` stays.");
    }

    #[test]
    fn spans_end_with_the_hour() {
        let now = "2026-11-20T12:34:56Z".parse().unwrap();
        let times = Times { now, time_zone: TimeZone::get("Europe/Berlin").unwrap() };
        let shown = |span: Span| format!("{} {}", span.from, span.until);
        assert_eq!(shown(times.today()), "2026-11-19T23:00:00Z 2026-11-20T13:00:00Z");
        assert_eq!(shown(times.last_hours(24)), "2026-11-19T13:00:00Z 2026-11-20T13:00:00Z");
    }
}
