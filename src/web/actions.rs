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
use super::api::Done;
use super::errors::{Failure, is_for_program};
use super::notes::Note;
use super::view::with_note;
use crate::command::Command;
use crate::list::OwnRule;

/// How long a change of rules may take; it is one small file.
pub(super) const RULE_PATIENCE: Duration = Duration::from_secs(20);
/// How long a person waits for a refresh before the page comes back and tells that it goes on.
const REFRESH_PATIENCE: Duration = Duration::from_secs(10);
/// The longest way back, in octets.
const BACK_LEN_MAX: usize = 1024;

pub(super) fn rule_routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/rules/allow", post(allow))
        .route("/rules/block", post(block))
        .route("/rules/forget", post(forget))
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
    let outcome = grant(&web, Command::Refresh(list), REFRESH_PATIENCE).await;
    answer(&web, &uri, &headers, &form.back, outcome)
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
