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
    pub(super) link: Option<(&'static str, &'static str)>,
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
    let to_lists = Some(("/lists", "See the lists"));
    let mut problems: Vec<Problem> =
        about.problems.iter().map(|text| Problem { text: text.clone(), link: None }).collect();
    if rules == 0 {
        let text = "No list is in force, so nothing is blocked yet. A first download may still be running.";
        problems.push(Problem { text: text.to_owned(), link: to_lists });
    }
    for list in lists {
        if let Some(problem) = &list.problem {
            let text = format!("The list `{}`: {problem}", list.options.name);
            problems.push(Problem { text, link: to_lists });
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
        problems.push(Problem { text, link: Some(("/log", "See the log")) });
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
