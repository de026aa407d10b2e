//! The page's buttons: a form is posted, the wish is granted, the browser is led back with a note.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use axum::{Form, Json, Router};
use serde::Deserialize;

use super::Web;
use super::api::{Done, catalogues};
use super::errors::{Failure, is_for_program};
use super::notes::Note;
use super::view::with_note;
use crate::command::{Command, NewList};
use crate::list::OwnRule;
use crate::tracker::PublicCatalogue;

/// How long a change of rules may take; it is one small file.
pub(super) const RULE_PATIENCE: Duration = Duration::from_secs(20);
/// How long a person waits for a list before the page comes back and tells that it goes on: it may be downloaded, or compiled
/// together with all others.
pub(super) const LIST_PATIENCE: Duration = Duration::from_secs(10);
/// The longest way back, in octets.
const BACK_LEN_MAX: usize = 1024;

pub(super) fn rule_routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/rules/allow", post(allow))
        .route("/rules/block", post(block))
        .route("/rules/forget", post(forget))
}

/// What is done with lists, but for [`refresh`]. No list can be named so that its page is in the way: that has one part less.
pub(super) fn list_routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/lists/do/add", post(add))
        .route("/lists/do/remove", post(remove))
        .route("/lists/do/accept", post(accept))
        .route("/lists/do/accept-rule", post(accept_rule))
        .route("/lists/do/accept-all-rules", post(accept_all_rules))
        .route("/lists/do/roll-back", post(roll_back))
        .route("/lists/do/follow", post(follow))
}

/// What is done with the catalogues of trackers.
pub(super) fn catalogue_routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/catalogues/add", post(add_catalogue))
        .route("/catalogues/remove", post(remove_catalogue))
        .route("/catalogues/refresh", post(refresh_catalogue))
}

#[derive(Deserialize)]
struct CatalogueForm {
    catalogue: String,
    #[serde(default)]
    back: String,
}

#[derive(Deserialize)]
struct RuleForm {
    rule: String,
    #[serde(default)]
    back: String,
}

#[derive(Deserialize)]
pub(super) struct RefreshForm {
    /// Empty: all lists.
    #[serde(default)]
    list: String,
    #[serde(default)]
    back: String,
}

#[derive(Deserialize)]
struct ListForm {
    list: String,
    #[serde(default)]
    back: String,
}

#[derive(Deserialize)]
struct ListRuleForm {
    list: String,
    rule: String,
    #[serde(default)]
    back: String,
}

#[derive(Deserialize)]
struct RevisionForm {
    list: String,
    revision: String,
    #[serde(default)]
    back: String,
}

/// What is left empty is left open.
#[derive(Default, Deserialize)]
#[serde(default)]
struct NewListForm {
    what: String,
    name: String,
    kind: String,
    format: String,
    /// Sent only when it is ticked.
    subdomains: Option<String>,
    back: String,
}

impl From<&NewListForm> for NewList {
    fn from(form: &NewListForm) -> Self {
        let said = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Self {
            what: form.what.trim().to_owned(),
            name: said(&form.name),
            kind: said(&form.kind),
            format: said(&form.format),
            subdomains: form.subdomains.is_some().then_some(true),
        }
    }
}

async fn allow(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<RuleForm>) -> Response {
    change(&state, &uri, &headers, &form, Command::Allow).await
}

async fn block(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<RuleForm>) -> Response {
    change(&state, &uri, &headers, &form, Command::Block).await
}

async fn forget(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<RuleForm>) -> Response {
    change(&state, &uri, &headers, &form, Command::Forget).await
}

async fn change(
    web: &Web,
    uri: &Uri,
    headers: &HeaderMap,
    form: &RuleForm,
    command: fn(OwnRule) -> Command,
) -> Response {
    let outcome = match OwnRule::parse(&form.rule) {
        Ok(rule) => grant(web, command(rule), RULE_PATIENCE).await,
        Err(error) => {
            let message = format!("`{}` is not a rule: {error}.", form.rule.trim());
            Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, message))
        }
    };
    answer(web, uri, headers, &form.back, outcome)
}

pub(super) async fn refresh(
    State(web): State<Arc<Web>>,
    uri: Uri,
    headers: HeaderMap,
    Form(form): Form<RefreshForm>,
) -> Response {
    let list = Some(form.list).filter(|list| !list.is_empty());
    let outcome = grant(&web, Command::Refresh(list), LIST_PATIENCE).await;
    answer(&web, &uri, &headers, &form.back, outcome)
}

async fn add(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<NewListForm>) -> Response {
    let list = NewList::from(&*form);
    let outcome = if list.what.is_empty() {
        let message = "Say which list: its URL, the path of a file, or the name of a well-known one.";
        Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, message))
    } else {
        grant(&state, Command::AddList(list), LIST_PATIENCE).await
    };
    answer(&state, &uri, &headers, &form.back, outcome)
}

async fn remove(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<ListForm>) -> Response {
    let command = Command::RemoveList(form.list.clone());
    on_list(&state, &uri, &headers, &form.back, command).await
}

async fn accept(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<ListForm>) -> Response {
    let command = Command::AcceptList(form.list.clone());
    on_list(&state, &uri, &headers, &form.back, command).await
}

async fn accept_rule(
    state: State<Arc<Web>>,
    uri: Uri,
    headers: HeaderMap,
    form: Form<ListRuleForm>,
) -> Response {
    let command = Command::AcceptRules { list: form.list.clone(), rule: Some(form.rule.clone()) };
    on_list(&state, &uri, &headers, &form.back, command).await
}

async fn accept_all_rules(
    state: State<Arc<Web>>,
    uri: Uri,
    headers: HeaderMap,
    form: Form<ListForm>,
) -> Response {
    let command = Command::AcceptRules { list: form.list.clone(), rule: None };
    on_list(&state, &uri, &headers, &form.back, command).await
}

async fn roll_back(
    state: State<Arc<Web>>,
    uri: Uri,
    headers: HeaderMap,
    form: Form<RevisionForm>,
) -> Response {
    let command = Command::RollBack { list: form.list.clone(), revision: Some(form.revision.clone()) };
    on_list(&state, &uri, &headers, &form.back, command).await
}

async fn follow(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<ListForm>) -> Response {
    let command = Command::Follow(form.list.clone());
    on_list(&state, &uri, &headers, &form.back, command).await
}

async fn add_catalogue(
    state: State<Arc<Web>>,
    uri: Uri,
    headers: HeaderMap,
    form: Form<CatalogueForm>,
) -> Response {
    on_catalogue(&state, &uri, &headers, &form, Command::AddCatalogue).await
}

async fn remove_catalogue(
    state: State<Arc<Web>>,
    uri: Uri,
    headers: HeaderMap,
    form: Form<CatalogueForm>,
) -> Response {
    on_catalogue(&state, &uri, &headers, &form, Command::RemoveCatalogue).await
}

async fn refresh_catalogue(
    state: State<Arc<Web>>,
    uri: Uri,
    headers: HeaderMap,
    form: Form<CatalogueForm>,
) -> Response {
    on_catalogue(&state, &uri, &headers, &form, Command::RefreshCatalogue).await
}

async fn on_catalogue(
    web: &Web,
    uri: &Uri,
    headers: &HeaderMap,
    form: &CatalogueForm,
    command: fn(PublicCatalogue) -> Command,
) -> Response {
    let outcome = match catalogues::named(&form.catalogue) {
        Ok(catalogue) => grant(web, command(catalogue), LIST_PATIENCE).await,
        Err(failure) => Err(failure),
    };
    answer(web, uri, headers, &form.back, outcome)
}

async fn on_list(web: &Web, uri: &Uri, headers: &HeaderMap, back: &str, command: Command) -> Response {
    let outcome = grant(web, command, LIST_PATIENCE).await;
    answer(web, uri, headers, back, outcome)
}

/// Has a wish granted, to its end even when whoever asked goes away meanwhile; `None` when it takes longer than that.
pub(super) async fn grant(
    web: &Web,
    command: Command,
    patience: Duration,
) -> Result<Option<String>, Failure> {
    let parts = Arc::clone(&web.parts);
    let granting = tokio::spawn(async move { parts.control.execute(command).await });
    match tokio::time::timeout(patience, granting).await {
        Ok(Ok(outcome)) => Ok(Some(outcome?.0)),
        Ok(Err(_panic)) => {
            let message = "That went wrong inside; the log of the daemon says where.";
            Err(Failure::new(StatusCode::INTERNAL_SERVER_ERROR, message))
        }
        Err(_elapsed) => Ok(None),
    }
}

/// JSON for our own script; for a browser without it the way back, with a note.
fn answer(
    web: &Web,
    uri: &Uri,
    headers: &HeaderMap,
    back: &str,
    outcome: Result<Option<String>, Failure>,
) -> Response {
    let still = || "This takes a while and goes on; reload the page to see how it went.".to_owned();
    let outcome = outcome.map(|message| message.unwrap_or_else(still));
    if is_for_program(uri.path(), headers) {
        return match outcome {
            Ok(message) => Json(Done { message }).into_response(),
            Err(failure) => failure.into_response(),
        };
    }
    let note = match outcome {
        Ok(text) => Note { is_good: true, text },
        Err(failure) => Note { is_good: false, text: failure.message },
    };
    Redirect::to(&with_note(safe_back(back), web.notes.keep(note))).into_response()
}

/// `back` if it is a path on this site, and otherwise the overview.
///
/// Browsers take `//host` and `/\host` for another site, drop tabs and line breaks, and resolve from there.
fn safe_back(back: &str) -> &str {
    let is_path = back.starts_with('/') && !back.starts_with("//");
    let is_plain = back.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'\\' && octet != b'#');
    if is_path && is_plain && back.len() <= BACK_LEN_MAX { back } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_stays_on_this_site() {
        for back in ["/", "/log?device=a&before=3", "/devices/02:00:00:00:00:01", "/a//b"] {
            assert_eq!(safe_back(back), back);
        }
        for back in ["", "//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)"] {
            assert_eq!(safe_back(back), "/", "{back:?}");
        }
        for back in ["/\t/evil.example", "/\n/evil.example", "\\\\evil.example", "/a b", "/\u{e4}", " /"] {
            assert_eq!(safe_back(back), "/", "{back:?}");
        }
        assert_eq!(safe_back(&format!("/{}", "a".repeat(BACK_LEN_MAX))), "/");
    }
}
