//! What is wrong, for the overview and for whoever asks how the daemon is.

use jiff::{SignedDuration, Timestamp};

use super::format;
use super::{About, Web};
use crate::feed::SourceStatus;
use crate::history::Health;

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
    if health.dropped_at.is_some_and(|at| now.duration_since(at) < LOSS_TOLD) {
        let lost = format::counted(health.dropped, "question was", "questions were");
        let text = format!(
            "{lost} answered but not written down, because they came faster than the history takes them. \
             If no test caused this, look in the log for the device that asks so much."
        );
        problems.push(Problem { text, link: Some(("/log".to_owned(), "See the log")) });
    }
    problems
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
        let health = Health {
            dropped: 3,
            dropped_at: Some(Timestamp::UNIX_EPOCH),
            problem: Some("The disk is full. Free some space.".into()),
            ..Health::default()
        };
        let about = About { problems: vec!["Port 53 is taken.".into()], ..About::default() };
        let now = Timestamp::UNIX_EPOCH;
        let problems = gather(&about, &health, &[], 0, now);
        let texts: Vec<&str> = problems.iter().map(|problem| &*problem.text).collect();
        assert_eq!(texts.len(), 4, "{texts:?}");
        assert_eq!((texts[0], texts[2]), ("Port 53 is taken.", "The disk is full. Free some space."));
        assert!(texts[3].starts_with("3 questions were answered but not written down"));
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
