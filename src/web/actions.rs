//! The page's buttons: a form is posted, the wish is granted, the browser is led back with a note.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use axum::{Form, Json, Router};
use serde::{Deserialize, Serialize};

use super::Web;
use super::api::{EraseWish, GOES_ON, catalogues, erasure};
use super::errors::{Failure, is_for_program};
use super::notes::{Note, Undo};
use super::view::with_note;
use crate::command::{Command, NewList};
use crate::list::{Action, OwnRule};
use crate::policy;
use crate::tracker::PublicCatalogue;

/// How long a change of rules may take; it is one small file.
pub(super) const RULE_PATIENCE: Duration = Duration::from_secs(20);
/// How long a person waits for a list before the page comes back and tells that it goes on: it may be downloaded, or compiled
/// together with all others.
pub(super) const LIST_PATIENCE: Duration = Duration::from_secs(10);
/// How long a person waits until the page comes back and tells that erasing goes on.
pub(super) const ERASE_PATIENCE: Duration = Duration::from_secs(25);
/// The longest way back, in octets.
const BACK_LEN_MAX: usize = 1024;

pub(super) fn rule_routes() -> Router<Arc<Web>> {
    Router::new()
        .route("/rules/allow", post(allow))
        .route("/rules/allow-for", post(allow_for))
        .route("/rules/block", post(block))
        .route("/rules/keep", post(keep))
        .route("/rules/undo", post(undo))
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

pub(super) fn history_routes() -> Router<Arc<Web>> {
    Router::new().route("/history/do/erase", post(erase))
}

#[derive(Deserialize)]
struct RuleForm {
    rule: String,
    /// The key of the device that it is for; empty: as the rule says.
    #[serde(default)]
    device: String,
    /// For how long it allows.
    #[serde(default = "quarter_of_an_hour")]
    seconds: u64,
    /// The rule that it takes the place of; empty: none.
    #[serde(default)]
    instead_of: String,
    #[serde(default)]
    back: String,
}

const fn quarter_of_an_hour() -> u64 {
    15 * 60
}

#[derive(Deserialize)]
struct UndoForm {
    number: u64,
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

/// What is left empty is left open; what is erased altogether has to be ticked.
#[derive(Default, Deserialize)]
#[serde(default)]
struct EraseForm {
    device: String,
    name: String,
    from: String,
    until: String,
    everything: Option<String>,
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

async fn allow_for(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<RuleForm>) -> Response {
    let duration = Duration::from_secs(form.seconds);
    change(&state, &uri, &headers, &form, |rule| Command::AllowFor { rule, duration }).await
}

async fn block(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<RuleForm>) -> Response {
    change(&state, &uri, &headers, &form, Command::Block).await
}

async fn keep(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<RuleForm>) -> Response {
    change(&state, &uri, &headers, &form, Command::Keep).await
}

async fn forget(state: State<Arc<Web>>, uri: Uri, headers: HeaderMap, form: Form<RuleForm>) -> Response {
    change(&state, &uri, &headers, &form, Command::Forget).await
}

async fn change(
    web: &Web,
    uri: &Uri,
    headers: &HeaderMap,
    form: &RuleForm,
    command: impl FnOnce(OwnRule) -> Command,
) -> Response {
    let (rule, replaced) = match read(form) {
        Ok(read) => read,
        Err(message) => {
            let typed = Some(form.rule.trim().to_owned());
            let outcome = Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, message));
            return answer_with(web, uri, headers, &form.back, outcome, (None, typed));
        }
    };
    let touched: Vec<OwnRule> = [rule.clone()].into_iter().chain(replaced.clone()).collect();
    let said = || touched.iter().map(|rule| (rule.clone(), said_of(web, rule))).collect::<Undo>();
    let before = said();
    let outcome = grant(web, command(rule), RULE_PATIENCE).await;
    if let (Ok(Some(_)), Some(replaced)) = (&outcome, replaced) {
        // What is written anew is in force already; that the old one is gone is what was wished for.
        let _ = grant(web, Command::Forget(replaced), RULE_PATIENCE).await;
    }
    let undo = (said() != before).then(|| web.notes.keep_undo(before));
    answer_with(web, uri, headers, &form.back, outcome, (undo, None))
}

/// The rule of a form, and the one whose place it takes.
fn read(form: &RuleForm) -> Result<(OwnRule, Option<OwnRule>), String> {
    let typed = form.rule.trim();
    if typed.is_empty() {
        return Err("Write a name, for example `pixel.example`.".to_owned());
    }
    let mut rule = OwnRule::parse(typed).map_err(|error| format!("`{typed}` is not a rule: {error}."))?;
    if let Ok(key) = form.device.parse() {
        rule = rule.for_client(policy::client_of(key));
    }
    let replaced = OwnRule::parse(&form.instead_of).ok().filter(|replaced| *replaced != rule);
    Ok((rule, replaced))
}

/// What the page's file says of a rule's name, scope and device.
fn said_of(web: &Web, rule: &OwnRule) -> Vec<(Action, Option<Instant>)> {
    let own = web.parts.feed.own_rules();
    let of_rule = own.iter().filter(|status| status.removable && status.rule == *rule);
    of_rule.map(|status| (status.action, status.ends)).collect()
}

/// Brings back what was said of a rule before an action.
async fn undo(
    State(web): State<Arc<Web>>,
    uri: Uri,
    headers: HeaderMap,
    Form(form): Form<UndoForm>,
) -> Response {
    let outcome = match web.notes.take_undo(form.number) {
        Some(undo) => restore(&web, undo).await,
        None => Err(Failure::new(StatusCode::NOT_FOUND, "That was undone already, or too long ago.")),
    };
    answer(&web, &uri, &headers, &form.back, outcome)
}

async fn restore(web: &Web, undo: Undo) -> Result<Option<String>, Failure> {
    let rules: Vec<String> = undo.iter().map(|(rule, _)| format!("`{rule}`")).collect();
    for (rule, before) in undo {
        restore_one(web, rule, before).await?;
    }
    Ok(Some(format!("Undone: what was said of {} before counts again.", rules.join(" and "))))
}

async fn restore_one(
    web: &Web,
    rule: OwnRule,
    mut before: Vec<(Action, Option<Instant>)>,
) -> Result<(), Failure> {
    // What has an end stands beside what has none, and goes first.
    for _ in 0..said_of(web, &rule).len() {
        if grant(web, Command::Forget(rule.clone()), RULE_PATIENCE).await.is_err() {
            break;
        }
    }
    before.sort_by_key(|(_, ends)| ends.is_some());
    let now = web.parts.clock.instant();
    for (action, ends) in before {
        let rule = rule.clone();
        let command = match (action, ends) {
            (Action::Allow, Some(at)) => {
                let duration = at.saturating_duration_since(now);
                if duration < Duration::from_secs(1) {
                    continue;
                }
                Command::AllowFor { rule, duration }
            }
            (Action::Allow, None) => Command::Allow(rule),
            (Action::Block, _) => Command::Block(rule),
        };
        grant(web, command, RULE_PATIENCE).await?;
    }
    Ok(())
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

async fn erase(
    State(web): State<Arc<Web>>,
    uri: Uri,
    headers: HeaderMap,
    Form(form): Form<EraseForm>,
) -> Response {
    let wish = EraseWish {
        device: Some(form.device),
        name: Some(form.name),
        from: Some(form.from),
        until: Some(form.until),
        everything: form.everything.is_some(),
    };
    let outcome = match erasure(&wish) {
        Ok(erasure) => grant(&web, Command::Erase(erasure), ERASE_PATIENCE).await,
        Err(failure) => Err(failure),
    };
    let outcome = outcome.map(|message| Some(message.unwrap_or_else(|| GOES_ON.to_owned())));
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
pub(super) fn answer(
    web: &Web,
    uri: &Uri,
    headers: &HeaderMap,
    back: &str,
    outcome: Result<Option<String>, Failure>,
) -> Response {
    answer_with(web, uri, headers, back, outcome, (None, None))
}

/// What was done, for our own script.
#[derive(Serialize)]
struct Acted {
    message: String,
    /// The number of what undoes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    undo: Option<u64>,
}

/// The same, with what undoes it and with what could not be read.
fn answer_with(
    web: &Web,
    uri: &Uri,
    headers: &HeaderMap,
    back: &str,
    outcome: Result<Option<String>, Failure>,
    (undo, typed): (Option<u64>, Option<String>),
) -> Response {
    let still = || "This takes a while and goes on; reload the page to see how it went.".to_owned();
    let outcome = outcome.map(|message| message.unwrap_or_else(still));
    if is_for_program(uri.path(), headers) {
        return match outcome {
            Ok(message) => Json(Acted { message, undo }).into_response(),
            Err(failure) => failure.into_response(),
        };
    }
    let note = match outcome {
        Ok(text) => Note { is_good: true, text, undo, typed },
        Err(failure) => Note { is_good: false, text: failure.message, undo, typed },
    };
    Redirect::to(&with_note(safe_back(back), web.notes.keep(note))).into_response()
}

/// `back` if it is a path on this site, and otherwise the overview.
///
/// Browsers take `//host` and `/\host` for another site, drop tabs and line breaks, and resolve from there.
pub(super) fn safe_back(back: &str) -> &str {
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
