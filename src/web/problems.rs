//! What is wrong, for the overview and for whoever asks how the daemon is.

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
    gather(about, health, &web.parts.feed.status(), web.parts.policy.current().lists.ruleset.len())
}

fn gather(about: &About, health: &Health, lists: &[SourceStatus], rules: usize) -> Vec<Problem> {
    let to_lists = Some(("/lists", "See the lists"));
    let mut problems: Vec<Problem> =
        about.problems.iter().map(|text| Problem { text: text.clone(), link: None }).collect();
    if rules == 0 {
        let text = "No list is in force, so nothing is blocked yet. A first download may still be running.";
        problems.push(Problem { text: text.to_owned(), link: to_lists });
    }
    for list in lists {
        if let Some(problem) = &list.problem {
            problems.push(Problem { text: problem.clone(), link: to_lists });
        }
    }
    if let Some(problem) = &health.problem {
        problems.push(Problem { text: problem.clone(), link: None });
    }
    if 0 < health.dropped {
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
            problem: Some("The disk is full. Free some space.".into()),
            ..Health::default()
        };
        let about = About { problems: vec!["Port 53 is taken.".into()], ..About::default() };
        let problems = gather(&about, &health, &[], 0);
        let texts: Vec<&str> = problems.iter().map(|problem| &*problem.text).collect();
        assert_eq!(texts.len(), 4, "{texts:?}");
        assert_eq!((texts[0], texts[2]), ("Port 53 is taken.", "The disk is full. Free some space."));
        assert!(texts[3].starts_with("3 questions were answered but not written down"));
    }
}
