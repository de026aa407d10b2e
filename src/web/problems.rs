//! What is wrong, for the overview and for whoever asks how the daemon is.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use super::errors::Failure;
use super::format;
use super::view::Times;
use super::{About, Web};
use crate::device::{DeviceKey, DeviceTable};
use crate::feed::SourceStatus;
use crate::history::{DeviceCount, Gap, Health};

/// Something that is wrong, and where to see to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Problem {
    pub(super) text: String,
    pub(super) link: Option<(String, &'static str)>,
}

/// All that is wrong, what stops blocking first.
pub(super) async fn problems(web: &Web, about: &About, health: &Health) -> Result<Vec<Problem>, Failure> {
    let day = web.parts.history.devices(Times::new(web).last_hours(24)).await?;
    let rules = web.parts.policy.current().lists.ruleset.len();
    let mut problems = gather(about, health, &web.parts.feed.status(), rules, web.parts.clock.now());
    problems.extend(one_for_all(&day, &about.gateways, &web.parts.devices.current()));
    Ok(problems)
}

/// From so many questions in a day on, who asked them says something.
const QUERIES_MIN: u64 = 200;
/// A device that asks so many of a hundred questions asks for others too, if it may be a router.
const SHARE_MIN: u64 = 95;

/// That all questions of the last day come from one device, which is or may be the router: then devices can't be told apart.
/// Where the router says for whom it asks, these are devices of their own.
pub(super) fn one_for_all(
    day: &[DeviceCount],
    gateways: &[IpAddr],
    devices: &DeviceTable,
) -> Option<Problem> {
    // The machine itself may ask much, and is no router.
    let is_machine = |key: DeviceKey| matches!(key, DeviceKey::Address(address) if address.is_loopback());
    let asking = || day.iter().filter(|count| 0 < count.totals.queries && !is_machine(count.device.key));
    let first = asking().max_by_key(|count| count.totals.queries)?;
    let total: u64 = asking().map(|count| count.totals.queries).sum();
    let is_gateway = gateways.iter().any(|gateway| devices.key_of(*gateway) == first.device.key);
    let is_only = asking().count() == 1;
    let asks_nearly_all = SHARE_MIN * total <= 100 * first.totals.queries;
    if total < QUERIES_MIN || !asks_nearly_all || !(is_gateway || is_only) {
        return None;
    }
    let name = &first.device.name;
    let text = if is_gateway {
        format!(
            "All questions of the last 24 hours come from your router (`{name}`): it asks for everybody, so devices can't be told apart."
        )
    } else {
        format!(
            "All questions of the last 24 hours come from `{name}`. If that is your router, it asks for everybody, and devices \
             can't be told apart."
        )
    };
    Some(Problem { text, link: Some(("/help#router".to_owned(), "How to mend it")) })
}

/// A loss of counts is a matter for the day on which it happened.
const LOSS_TOLD: SignedDuration = SignedDuration::from_hours(24);

fn gather(
    about: &About,
    health: &Health,
    lists: &[SourceStatus],
    rules: u64,
    now: Timestamp,
) -> Vec<Problem> {
    let mut problems: Vec<Problem> =
        about.problems.iter().map(|text| Problem { text: text.clone(), link: None }).collect();
    if rules == 0 {
        let text = "No list is in force, so nothing is blocked yet. A first download may still be running.";
        problems.push(Problem { text: text.to_owned(), link: Some(("/lists".to_owned(), "See the lists")) });
    }
    for list in lists {
        let name = &list.options.name;
        let to_list = || Some((format!("/lists/{}", format::percent_encoded(name)), "See the list"));
        if let Some(problem) = &list.problem {
            problems.push(Problem { text: format!("The list `{name}`: {problem}"), link: to_list() });
        }
        if let Some(text) = held_back(list) {
            problems.push(Problem { text: format!("The list `{name}`: {text}"), link: to_list() });
        }
    }
    if let Some(problem) = &health.problem {
        problems.push(Problem { text: problem.clone(), link: None });
    }
    let see_log = || Some(("/log".to_owned(), "See the log"));
    let is_recent = |gap: &Gap| gap.until.is_some_and(|at| now.duration_since(at) < LOSS_TOLD);
    if is_recent(&health.unlisted) {
        problems.push(Problem { text: unlisted(&health.unlisted), link: see_log() });
    }
    if is_recent(&health.unnamed) {
        let unnamed = format::counted(health.unnamed.queries, "question was", "questions were");
        let text = format!(
            "{unnamed} counted for the device only, because more names were asked for at once than there is room for. Totals \
             are complete, counts of names are not."
        );
        problems.push(Problem { text, link: see_log() });
    }
    if is_recent(&health.dropped) {
        let lost = format::counted(health.dropped.queries, "question was", "questions were");
        let text = format!(
            "{lost} answered but not counted, because they came from more devices than there is room for. If no test caused \
             this, a device forges its address."
        );
        problems.push(Problem { text, link: see_log() });
    }
    problems
}

/// That not every question can be looked at.
fn unlisted(gap: &Gap) -> String {
    let counted = format::counted(gap.queries, "question was", "questions were");
    let since = gap.since.map(|since| format!(" since {since:.0}")).unwrap_or_default();
    format!(
        "{counted} counted without being listed one by one{since}, because they came faster than a person could read. \
         If no test caused this, look in the log for the device that asks so much."
    )
}

/// That rules of a list wait for the person's word, which nobody can give who does not know.
fn held_back(list: &SourceStatus) -> Option<String> {
    let first = list.quarantined.first()?;
    let total = u64::try_from(list.quarantined_total).unwrap_or(u64::MAX);
    let held = format::counted(total, "rule of it is held back", "rules of it are held back");
    let which = if total == 1 { "" } else { "the first, " };
    let (rule, reason) = (&first.rule, &first.reason);
    Some(format!("{held} until you accept what is meant: {which}`{rule}`, because {reason}."))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::feed::{Origin, QuarantineReason, QuarantinedRule, SourceOptions};

    #[test]
    fn problems_say_what_to_do() {
        let gap =
            |queries| Gap { queries, since: Some(Timestamp::UNIX_EPOCH), until: Some(Timestamp::UNIX_EPOCH) };
        let health = Health {
            dropped: gap(3),
            unlisted: gap(70_000),
            unnamed: gap(1),
            problem: Some("The disk is full. Free some space.".into()),
            ..Health::default()
        };
        let about = About { problems: vec!["Port 53 is taken.".into()], ..About::default() };
        let now = Timestamp::UNIX_EPOCH;
        let problems = gather(&about, &health, &[], 0, now);
        let texts: Vec<&str> = problems.iter().map(|problem| &*problem.text).collect();
        assert_eq!(texts.len(), 6, "{texts:?}");
        assert_eq!((texts[0], texts[2]), ("Port 53 is taken.", "The disk is full. Free some space."));
        let unlisted = "questions were counted without being listed one by one since 1970-01-01T00:00:00Z";
        assert!(texts[3].contains(unlisted), "{}", texts[3]);
        assert!(texts[4].starts_with("1 question was counted for the device only"));
        assert!(texts[5].starts_with("3 questions were answered but not counted"));
        assert_eq!(gather(&about, &health, &[], 0, now + LOSS_TOLD).len(), 3, "it is told for a day");
    }

    #[test]
    fn a_router_that_asks_for_everybody_is_told() {
        use crate::device::{Device, NamedDevice};
        use crate::history::Totals;
        let count = |address: &str, queries| DeviceCount {
            device: Device { key: address.parse().unwrap(), name: address.into() },
            totals: Totals { queries, hits: 0 },
            trackers: 0,
            first_seen: Timestamp::UNIX_EPOCH,
            last_seen: Timestamp::UNIX_EPOCH,
        };
        let mac = "02:00:00:00:00:01".parse().unwrap();
        let router = NamedDevice {
            name: "Router".into(),
            macs: vec![mac],
            addresses: Vec::new(),
            kind: None,
            tags: [].into(),
            line: 1,
        };
        let gateway: IpAddr = [192, 168, 1, 1].into();
        let table = DeviceTable::build(&[router], &[(gateway, mac)]);
        let told = |day: &[(&str, u64)], gateways: &[IpAddr]| {
            let day: Vec<_> = day.iter().map(|(address, queries)| count(address, *queries)).collect();
            one_for_all(&day, gateways, &table).map(|problem| problem.text.contains("from your router"))
        };
        let (router, gateways) = ("02:00:00:00:00:01", [gateway]);
        assert_eq!(told(&[(router, 950), ("192.168.1.7", 50)], &gateways), Some(true));
        assert_eq!(told(&[(router, 940), ("192.168.1.7", 60)], &gateways), None, "others ask themselves");
        assert_eq!(told(&[("192.168.1.7", 950), (router, 50)], &gateways), None, "a device that asks much");
        assert_eq!(told(&[(router, 199)], &gateways), None, "too little to say");
        assert_eq!(told(&[("192.168.1.7", 200)], &[]), Some(false), "it may be one");
        assert_eq!(told(&[("192.168.1.7", 200), ("127.0.0.1", 900)], &[]), Some(false));
        assert_eq!(told(&[("127.0.0.1", 900)], &[]), None, "this machine is no router");
        assert_eq!(told(&[], &gateways), None);
    }

    #[test]
    fn what_waits_for_a_word_leads_to_its_list() {
        let held = QuarantinedRule {
            rule: "||google.com^".to_owned(),
            line: 3,
            reason: QuarantineReason::Popular("google.com".to_owned()),
        };
        let options = SourceOptions::new("mine", Origin::Inline("".into()));
        let status = SourceStatus {
            problem: Some("A newer text waits for your word.".to_owned()),
            quarantined: vec![held],
            quarantined_total: 2,
            ..SourceStatus::new(Arc::new(options))
        };
        let problems = gather(&About::default(), &Health::default(), &[status], 1, Timestamp::UNIX_EPOCH);
        let texts: Vec<&str> = problems.iter().map(|problem| &*problem.text).collect();
        assert_eq!(
            texts,
            [
                "The list `mine`: A newer text waits for your word.",
                "The list `mine`: 2 rules of it are held back until you accept what is meant: the first, `||google.com^`, \
                 because it would block google.com, one of the most visited names.",
            ]
        );
        let is_there = |problem: &Problem| problem.link == Some(("/lists/mine".to_owned(), "See the list"));
        assert!(problems.iter().all(is_there), "{problems:?}");
    }
}
