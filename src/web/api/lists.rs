//! Lists, their refresh and their revisions.

#![expect(unused_qualifications, reason = "`utoipa::path` writes out the paths of parameter types")]

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    AcceptWish, Answer, Diff, Done, Error, Granted, KnownLists, List, ListWish, ListWithout, NewList,
    RefreshWish, Revision, RollbackWish, granted,
};
use crate::command::Command;
use crate::web::Web;
use crate::web::actions::{RULE_PATIENCE, grant};

/// How long a program waits for a refresh until it is told that it goes on; a connection may not be idle for longer.
const REFRESH_PATIENCE: Duration = Duration::from_secs(50);

/// Which list is meant.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedList {
    /// Its name.
    list: String,
}

/// Which revisions are compared.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedDiff {
    /// The list.
    list: String,
    /// The older revision; the one before the other when left out.
    from: Option<String>,
    /// The newer one, or `waiting`; the one in force when left out.
    to: Option<String>,
}

/// Which well-known lists are meant.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedWord {
    /// A word that is part of their names or of what they are for; all when left out.
    word: Option<String>,
}

/// Every list and how it is.
#[utoipa::path(get, path = "/api/v1/lists", responses((status = 200, body = Vec<List>)))]
pub(super) async fn lists(State(web): State<Arc<Web>>) -> Answer<Vec<List>> {
    Ok(Json(web.parts.feed.status().iter().map(Into::into).collect()))
}

/// Adds a list, or the lists of a choice; they are fetched afterwards.
#[utoipa::path(post, path = "/api/v1/lists", request_body = NewList, responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 404, body = Error), (status = 500, body = Error)))]
pub(super) async fn add(State(web): State<Arc<Web>>, Json(wish): Json<NewList>) -> Granted {
    done(&web, Command::AddList(wish.into())).await
}

/// Removes a list that was added.
#[utoipa::path(delete, path = "/api/v1/lists", params(AskedList), responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 404, body = Error), (status = 500, body = Error)))]
pub(super) async fn remove(State(web): State<Arc<Web>>, Query(asked): Query<AskedList>) -> Granted {
    done(&web, Command::RemoveList(asked.list)).await
}

/// Well-known lists, which can be added by name.
#[utoipa::path(get, path = "/api/v1/lists/known", params(AskedWord), responses((status = 200, body = KnownLists)))]
pub(super) async fn known(Query(asked): Query<AskedWord>) -> Answer<KnownLists> {
    Ok(Json(KnownLists::about(asked.word.as_deref())))
}

/// The revisions of a list that are kept, the newest first.
#[utoipa::path(get, path = "/api/v1/lists/revisions", params(AskedList), responses((status = 200, body = Vec<Revision>), (status = 404, body = Error)))]
pub(super) async fn revisions(
    State(web): State<Arc<Web>>,
    Query(asked): Query<AskedList>,
) -> Answer<Vec<Revision>> {
    Ok(Json(web.parts.feed.revisions(&asked.list)?.iter().map(Into::into).collect()))
}

/// What came and went between two revisions of a list.
#[utoipa::path(get, path = "/api/v1/lists/diff", params(AskedDiff), responses((status = 200, body = Diff), (status = 404, body = Error), (status = 500, body = Error)))]
pub(super) async fn diff(State(web): State<Arc<Web>>, Query(asked): Query<AskedDiff>) -> Answer<Diff> {
    let AskedDiff { list, from, to } = &asked;
    let diff = web.parts.feed.diff(list, from.as_deref(), to.as_deref()).await?;
    Ok(Json((&diff).into()))
}

/// What would still be blocked without a list: of the names that were blocked in the last seven days, those that would pass,
/// and those that others block as well.
#[utoipa::path(get, path = "/api/v1/lists/{name}/without", params(("name" = String, Path, description = "The list.")), responses((status = 200, body = ListWithout), (status = 404, body = Error), (status = 503, body = Error)))]
pub(super) async fn without(State(web): State<Arc<Web>>, Path(name): Path<String>) -> Answer<ListWithout> {
    web.parts.feed.revisions(&name)?;
    Ok(Json((&crate::web::without::without(&web, &name).await?).into()))
}

/// Puts an older revision of a list in force and holds the list there.
#[utoipa::path(post, path = "/api/v1/lists/rollback", request_body = RollbackWish, responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 404, body = Error), (status = 500, body = Error)))]
pub(super) async fn roll_back(State(web): State<Arc<Web>>, Json(wish): Json<RollbackWish>) -> Granted {
    done(&web, Command::RollBack { list: wish.list, revision: wish.revision }).await
}

/// Follows the source of a list again that was held at a revision.
#[utoipa::path(post, path = "/api/v1/lists/follow", request_body = ListWish, responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 404, body = Error), (status = 500, body = Error)))]
pub(super) async fn follow(State(web): State<Arc<Web>>, Json(wish): Json<ListWish>) -> Granted {
    done(&web, Command::Follow(wish.list)).await
}

/// Puts in force what waits for the person's word: the newer text of a list, or rules of it that are held back.
#[utoipa::path(post, path = "/api/v1/lists/accept", request_body = AcceptWish, responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 404, body = Error), (status = 500, body = Error)))]
pub(super) async fn accept(State(web): State<Arc<Web>>, Json(wish): Json<AcceptWish>) -> Granted {
    let AcceptWish { list, rule, all_rules } = wish;
    let command = if rule.is_some() || all_rules {
        Command::AcceptRules { list, rule }
    } else {
        Command::AcceptList(list)
    };
    done(&web, command).await
}

/// Downloads one list now, or all of them, and answers when that is done.
#[utoipa::path(post, path = "/api/v1/lists/refresh", request_body = RefreshWish, responses((status = 200, body = Done), (status = 202, body = Done, description = "It takes longer and goes on."), (status = 404, body = Error), (status = 500, body = Error)))]
pub(in crate::web) async fn refresh(State(web): State<Arc<Web>>, Json(wish): Json<RefreshWish>) -> Granted {
    let granting = grant(&web, Command::Refresh(wish.list), REFRESH_PATIENCE).await?;
    granted(granting, "The refresh takes longer and goes on.")
}

async fn done(web: &Web, command: Command) -> Granted {
    let slow = "This takes longer than it should; the lists show whether it was done.";
    granted(grant(web, command, RULE_PATIENCE).await?, slow)
}
