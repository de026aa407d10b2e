//! What would still be blocked if one list went.

use std::cmp::Reverse;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::Web;
use super::errors::Failure;
use super::view::Times;
use crate::device::DeviceTable;
use crate::history::NameCount;
use crate::list::Action;
use crate::policy::{Policy, Question, Verdict};

/// The names that are looked at, those with the most hits first; more take no longer than a page may.
const NAMES_MAX: u32 = 10_000;
/// Over how many hours.
const HOURS: u32 = 7 * 24;

/// Names and their hits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Sum {
    pub(super) names: u64,
    pub(super) hits: u64,
}

impl Sum {
    const fn add(&mut self, hits: u64) {
        self.names += 1;
        self.hits += hits;
    }
}

/// What one list is good for: of all that was blocked in the last seven days, what its rules speak of.
#[derive(Clone, Debug, Default)]
pub(super) struct WithoutList {
    /// All that would be blocked now.
    pub(super) blocked: Sum,
    /// What would pass without the list.
    pub(super) alone: Sum,
    /// What other lists or the person's own rules block as well.
    pub(super) shared: Sum,
    /// What would pass, those with the most hits first.
    pub(super) names: Vec<NameCount>,
    /// Whether there were more names than are looked at.
    pub(super) is_cut: bool,
}

/// Works it out for a list; on a thread of its own, since each name is looked up in all rules.
pub(super) async fn without(web: &Web, list: &str) -> Result<WithoutList, Failure> {
    let span = Times::new(web).last_hours(HOURS);
    let names = web.parts.history.names(span, None, true, NAMES_MAX).await?;
    let policy = Arc::clone(&web.parts.policy.current());
    let list = list.to_owned();
    let _turn = web.comparing.acquire().await;
    let done = tokio::task::spawn_blocking(move || WithoutList::of(&policy, names, &list)).await;
    done.map_err(|_panic| {
        let message = "That went wrong inside; the log of the daemon says where.";
        Failure::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, message)
    })
}

impl WithoutList {
    fn of(policy: &Policy, names: Vec<NameCount>, list: &str) -> Self {
        let nobody = DeviceTable::default().identify(Ipv4Addr::UNSPECIFIED.into());
        let is_cut = u64::from(NAMES_MAX) <= u64::try_from(names.len()).unwrap_or(u64::MAX);
        let mut without = Self { is_cut, ..Self::default() };
        for count in names {
            let hits = count.totals.hits;
            // What hid behind another name was blocked because of where the answer led to.
            let rules = match &count.behind {
                Some(behind) => policy.explain_target(&Question::of(&nobody, behind.as_ref())),
                None => policy.explain(&Question::of(&nobody, count.name.as_ref())),
            };
            if rules.first().is_none_or(|first| first.action != Action::Block) {
                continue;
            }
            without.blocked.add(hits);
            let then = Policy::explain_without(&rules).into_iter().find(|then| *then.list == *list);
            if then.is_some_and(|then| !matches!(then.verdict, Verdict::Block(_))) {
                without.alone.add(hits);
                without.names.push(count);
                continue;
            }
            let blocks = |rule: &&crate::policy::Explained| rule.action == Action::Block && !rule.own;
            if rules.iter().filter(blocks).any(|rule| rule.lists.iter().any(|name| **name == *list)) {
                without.shared.add(hits);
            }
        }
        without.names.sort_by_key(|count| Reverse(count.totals.hits));
        without
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Totals;
    use crate::list::{ParseOptions, parse};
    use crate::name::DomainName;
    use crate::policy::Rules;
    use crate::ruleset::{BuildOptions, Builder, Precedence, SourceId};
    use crate::tracker::Attribution;

    fn policy(lists: &[(&str, &str)]) -> Policy {
        let mut builder =
            Builder::new(BuildOptions { precedence: Precedence::AllowFirst, ..BuildOptions::default() });
        for (source, (_, text)) in (0..).zip(lists) {
            for rule in parse(text.as_bytes(), ParseOptions::default()).rules {
                builder.add(SourceId(source), false, &rule).unwrap();
            }
        }
        let sources = lists.iter().map(|(name, _)| Arc::from(*name)).collect();
        let lists = Rules { ruleset: Arc::new(builder.finish_in_memory().unwrap().0), sources };
        Policy { lists, ..Policy::default() }
    }

    fn count(name: &str, hits: u64) -> NameCount {
        let name = DomainName::parse(name).unwrap();
        let totals = Totals { queries: hits, hits };
        NameCount { attribution: Attribution::Domain(name.clone()), name, behind: None, totals }
    }

    #[track_caller]
    fn check(list: &str, alone: &[&str], shared: u64, blocked: u64) {
        let policy = policy(&[
            ("one", "||a.example^\n||both.example^\n||allowed.example^"),
            ("two", "||x.both.example^\n||two.example^"),
            ("allow", "@@||allowed.example^"),
        ]);
        let names =
            ["a.example", "x.a.example", "x.both.example", "both.example", "allowed.example", "gone.example"];
        let names = (1..).zip(names).map(|(hits, name)| count(name, hits)).collect();
        let without = WithoutList::of(&policy, names, list);
        let shown: Vec<String> = without.names.iter().map(|count| count.name.to_string()).collect();
        assert_eq!(shown, alone);
        assert_eq!((without.shared.names, without.blocked.names), (shared, blocked));
        assert_eq!(without.alone.names, u64::try_from(alone.len()).unwrap());
    }

    #[test]
    fn a_list_is_good_for_what_no_other_list_blocks() {
        check("one", &["both.example", "x.a.example", "a.example"], 1, 4);
        check("two", &[], 1, 4);
        check("allow", &[], 0, 4);
        check("none", &[], 0, 4);
    }
}
