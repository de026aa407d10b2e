//! What is wrong, for the overview and for whoever asks how the daemon is.

use jiff::{SignedDuration, Timestamp};

use super::format;
use super::{About, Web};
use crate::feed::SourceStatus;
use crate::history::{Gap, Health};

/// Something that is wrong, and where to see to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Problem {
    pub(super) text: String,
    pub(super) link: Option<(String, &'static str)>,
}

/// All that is wrong, what stops blocking first.
pub(super) fn problems(web: &Web, about: &About, health: &Health) -> Vec<Problem> {
    let rules = web.parts.policy.current().lists.ruleset.len();
    gather(about, health, &web.parts.feed.status(), rules, web.parts.clock.now())
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
