//! `/lists/{name}`: one list, the revisions of it that are kept, and what came and went between two of them.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use serde::Deserialize;

use super::lists::ListCard;
use super::{Page, page};
use crate::feed::{Diff, DiffRule, RevisionState, RevisionStatus};
use crate::history::NameCount;
use crate::web::Web;
use crate::web::errors::Failure;
use crate::web::format;
use crate::web::view::{Frame, ListButton, Moment, NameLink, Prose, Tab, Times, Who};
use crate::web::without::{self, Sum, WithoutList};

/// How many rules that came, and how many that went, are shown.
const CHANGES_SHOWN: usize = 100;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// The older revision; empty: the one before the other.
    from: String,
    /// The newer one, or `waiting`.
    to: String,
    /// Anything: what would pass without the list is worked out.
    without: String,
}

#[derive(Template)]
#[template(path = "list.html")]
pub(super) struct ListPage {
    pub(super) frame: Frame,
    pub(super) list: ListCard,
    pub(super) revisions: Vec<RevisionRow>,
    /// What came and went between those that were asked for.
    pub(super) changes: Option<Result<Changes, Prose>>,
    /// What would pass without it, when that was asked for.
    pub(super) without: Option<Result<WithoutView, Prose>>,
}

/// What the list is good for.
pub(super) struct WithoutView {
    /// `1,204 hits on 12 names`, three times.
    pub(super) blocked: String,
    pub(super) alone: String,
    pub(super) shared: String,
    pub(super) names: Vec<WithoutName>,
    /// How many are not shown; `None`: all are.
    pub(super) untold: Option<String>,
    pub(super) is_cut: bool,
}

/// A name that would pass.
pub(super) struct WithoutName {
    pub(super) name: NameLink,
    pub(super) who: Who,
    pub(super) hits: String,
}

impl WithoutView {
    pub(super) fn new(without: &WithoutList) -> Self {
        let sum = |sum: Sum| {
            let names = format::counted(sum.names, "name", "names");
            format!("{} on {names}", format::counted(sum.hits, "hit", "hits"))
        };
        let name = |count: &NameCount| WithoutName {
            name: (&count.name).into(),
            who: (&count.attribution).into(),
            hits: format::count(count.totals.hits),
        };
        let names: Vec<WithoutName> = without.names.iter().take(CHANGES_SHOWN).map(name).collect();
        let untold = without.names.len().saturating_sub(names.len());
        Self {
            blocked: sum(without.blocked),
            alone: sum(without.alone),
            shared: sum(without.shared),
            untold: (0 < untold).then(|| format::count(u64::try_from(untold).unwrap_or(u64::MAX))),
            names,
            is_cut: without.is_cut,
        }
    }
}

/// One kept revision.
pub(super) struct RevisionRow {
    pub(super) id: String,
    pub(super) fetched: Moment,
    pub(super) rules: Option<String>,
    pub(super) size: String,
    /// Where it came from, unless all came from the same place.
    pub(super) url: Option<String>,
    pub(super) state: RevisionState,
    pub(super) button: Option<ListButton>,
    /// The one before it, to compare it with.
    pub(super) before: Option<String>,
    /// Whether it is one of the two that are compared.
    pub(super) is_from: bool,
    pub(super) is_to: bool,
}

impl RevisionRow {
    /// `revisions` are the newest first.
    pub(super) fn all(
        list: &str,
        revisions: &[RevisionStatus],
        compared: Option<(&str, &str)>,
        times: &Times,
        back: &str,
    ) -> Vec<Self> {
        // Unless a person chose, it is the one in force and what was kept before it.
        let (from, to) = compared.unwrap_or_else(|| {
            let in_force = revisions.iter().position(|it| it.state == RevisionState::InForce);
            let at = in_force.filter(|at| at + 1 < revisions.len()).unwrap_or(0);
            let id = |at: usize| revisions.get(at).map_or("", |revision| revision.id.as_str());
            (id(at + 1), id(at))
        });
        let came_from_many =
            revisions.iter().any(|it| revisions.first().is_some_and(|first| it.url != first.url));
        let row = |(index, revision): (usize, &RevisionStatus)| Self {
            id: revision.id.clone(),
            fetched: times.ago(revision.fetched),
            rules: revision.rules.map(format::count),
            size: size(revision.size),
            url: came_from_many.then(|| revision.url.clone()),
            state: revision.state,
            button: match revision.state {
                RevisionState::InForce => None,
                RevisionState::Waiting => Some(ListButton {
                    about: format!("Accept the newer text of {list}"),
                    ..ListButton::new("accept", "Accept", list, back)
                }),
                RevisionState::Kept => Some(ListButton {
                    about: format!("Roll back {list} to {}", revision.id),
                    fields: vec![("list", list.to_owned()), ("revision", revision.id.clone())],
                    ..ListButton::new("roll-back", "Roll back", list, back)
                }),
            },
            before: revisions.get(index + 1).map(|before| before.id.clone()),
            is_from: from == revision.id,
            is_to: to == revision.id,
        };
        revisions.iter().enumerate().map(row).collect()
    }
}

/// What came and went.
pub(super) struct Changes {
    pub(super) from: Moment,
    pub(super) to: Moment,
    pub(super) came: Changed,
    pub(super) went: Changed,
}

/// One side of it.
pub(super) struct Changed {
    /// How many there are in all.
    pub(super) total: String,
    pub(super) rules: Vec<DiffRule>,
    /// How many are not shown; `None`: all are.
    pub(super) untold: Option<String>,
}

impl Changes {
    pub(super) fn new(diff: &Diff, times: &Times) -> Self {
        let side = |rules: &[DiffRule], total: u64| {
            let rules: Vec<DiffRule> = rules.iter().take(CHANGES_SHOWN).cloned().collect();
            let untold = total.saturating_sub(u64::try_from(rules.len()).unwrap_or(u64::MAX));
            let total = format::counted(total, "rule", "rules");
            Changed { total, rules, untold: (0 < untold).then(|| format::count(untold)) }
        };
        Self {
            from: times.ago(diff.from.fetched),
            to: times.ago(diff.to.fetched),
            came: side(&diff.came, diff.came_total),
            went: side(&diff.went, diff.went_total),
        }
    }
}

pub(super) async fn show(
    State(web): State<Arc<Web>>,
    uri: Uri,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Page {
    let feed = &web.parts.feed;
    let status = feed.status().into_iter().find(|status| *status.options.name == *name);
    let status =
        status.ok_or_else(|| Failure::new(StatusCode::NOT_FOUND, "There is no list of this name."))?;
    let times = Times::new(&web);
    let frame = Frame::new(&web, &uri, Tab::Lists);
    let named = |id: &str| Some(id.trim().to_owned()).filter(|id| !id.is_empty());
    let (from, to) = (named(&asked.from), named(&asked.to));
    // Comparing reads both texts, so it is done for those only who ask for it.
    let changes = if from.is_some() || to.is_some() {
        let _turn = web.comparing.acquire().await;
        let compared = feed.diff(&name, from.as_deref(), to.as_deref()).await;
        Some(compared.map_err(|error| Prose::from(&*format!("Nothing was compared: {error}."))))
    } else {
        None
    };
    let without = if asked.without.is_empty() {
        None
    } else {
        Some(match without::without(&web, &name).await {
            Ok(without) => Ok(WithoutView::new(&without)),
            Err(failure) => Err(Prose::from(&*failure.message)),
        })
    };
    let compared = match &changes {
        Some(Ok(diff)) => Some((&*diff.from.id, &*diff.to.id)),
        Some(Err(_)) | None => None,
    };
    page(&ListPage {
        revisions: RevisionRow::all(&name, &status.revisions, compared, &times, &frame.here),
        list: ListCard::new(&status, &times, &frame.here, usize::MAX),
        changes: changes.as_ref().map(|changes| match changes {
            Ok(diff) => Ok(Changes::new(diff, &times)),
            Err(problem) => Err(problem.clone()),
        }),
        without,
        frame,
    })
}

/// `12 octets`, `3.4 kB`, `1.2 MB`.
fn size(octets: u64) -> String {
    let tenths = |unit: u64| {
        let tenths = octets.saturating_add(unit / 20) / (unit / 10);
        if tenths < 100 { format!("{}.{}", tenths / 10, tenths % 10) } else { format::count(tenths / 10) }
    };
    match octets {
        0..1_000 => format::counted(octets, "octet", "octets"),
        1_000..1_000_000 => format!("{} kB", tenths(1_000)),
        _ => format!("{} MB", tenths(1_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_short() {
        let sizes = [1, 999, 1_000, 1_250, 45_678, 1_234_567, 123_456_789].map(size);
        assert_eq!(sizes, ["1 octet", "999 octets", "1.0 kB", "1.3 kB", "45 kB", "1.2 MB", "123 MB"]);
    }

    #[test]
    fn the_revision_in_force_is_compared_with_the_one_before_it() {
        let revision = |id: &str, state| RevisionStatus {
            id: id.to_owned(),
            fetched: jiff::Timestamp::UNIX_EPOCH,
            rules: None,
            size: 1,
            url: String::new(),
            state,
        };
        let check = |revisions: &[RevisionStatus], compared, expected: (&str, &str)| {
            let times = Times { now: jiff::Timestamp::UNIX_EPOCH, time_zone: jiff::tz::TimeZone::UTC };
            let rows = RevisionRow::all("l", revisions, compared, &times, "/");
            let id = |is: fn(&&RevisionRow) -> bool| rows.iter().find(is).map_or("", |row| row.id.as_str());
            assert_eq!((id(|row| row.is_from), id(|row| row.is_to)), expected);
        };
        let (waits, in_force) = (RevisionState::Waiting, RevisionState::InForce);
        let three = [revision("c", waits), revision("b", in_force), revision("a", RevisionState::Kept)];
        check(&three, None, ("a", "b"));
        check(&three, Some(("a", "c")), ("a", "c"));
        check(&three, Some(("b", "a")), ("b", "a"));
        check(&three[..2], None, ("b", "c"));
        check(&three[1..2], None, ("", "b"));
        check(&[], None, ("", ""));
    }
}
