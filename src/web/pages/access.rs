//! The pages of the door: log in, set the first password, and who may come in.
//!
//! The first two are seen by strangers, so they show nothing of what is behind, and no script.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Extension, Form, Query, State};
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::{Page, page};
use crate::access::{Denied, Lock, PASSWORD_LEN_MIN, Scope, Secret, Token};
use crate::web::Web;
use crate::web::actions::safe_back;
use crate::web::errors::{Failure, Presentable};
use crate::web::gate::{Caller, LOGIN, SET_UP, no_cookie, session_cookie};
use crate::web::notes::Note;
use crate::web::serve::{OverTls, Peer};
use crate::web::view::{Frame, Moment, Prose, Tab, Times, with_note};

/// The page of who may come in.
const ACCESS: &str = "/access";

pub(super) fn routes() -> Router<Arc<Web>> {
    Router::new()
        .route(LOGIN, get(login_page).post(log_in))
        .route(SET_UP, get(set_up_page).post(set_up))
        .route("/logout", post(log_out))
        .route(ACCESS, get(show))
        .route("/access/password", post(change_password))
        .route("/access/end-sessions", post(end_sessions))
        // Its answer is a page, so that a reload may ask for it in another way.
        .route("/access/tokens/add", get(async || Redirect::to(ACCESS)).post(add_token))
        .route("/access/tokens/revoke", post(revoke_token))
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    /// Why nobody was let in.
    problem: Option<Prose>,
    /// Whether any password could be right.
    is_broken: bool,
    back: String,
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetUpPage {
    problem: Option<Prose>,
    /// What was typed as the code, so that it need not be typed again.
    code: String,
    len_min: usize,
    back: String,
}

#[derive(Template)]
#[template(path = "access.html")]
struct AccessPage {
    frame: Frame,
    is_set: bool,
    has_session: bool,
    sessions: usize,
    tokens: Vec<TokenRow>,
    /// The token that was just made, with its secret.
    made: Option<(String, Secret)>,
    len_min: usize,
}

struct TokenRow {
    name: String,
    scope: &'static str,
    created: Moment,
}

#[derive(Deserialize)]
struct AskedBack {
    #[serde(default)]
    back: String,
}

#[derive(Deserialize)]
struct LoginForm {
    password: String,
    #[serde(default)]
    back: String,
}

#[derive(Deserialize)]
struct SetUpForm {
    code: String,
    password: String,
    again: String,
    #[serde(default)]
    back: String,
}

#[derive(Deserialize)]
struct PasswordForm {
    current: String,
    password: String,
    again: String,
}

#[derive(Deserialize)]
struct TokenForm {
    name: String,
    scope: String,
}

#[derive(Deserialize)]
struct NameForm {
    name: String,
}

type MaybePeer = Option<Extension<Peer>>;
type MaybeTls = Option<Extension<OverTls>>;

/// Where tries are counted. A request without an address is one of all that have none.
fn address(from: MaybePeer) -> IpAddr {
    from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Extension(Peer(address))| address)
}

async fn login_page(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Query(AskedBack { back }): Query<AskedBack>,
) -> Response {
    match web.parts.access.lock() {
        Lock::Broken(problem) => {
            refused(&LoginPage::new(Some(&problem), true, &back), &Denied::Broken(problem))
        }
        Lock::Unset if caller == Caller::Stranger => Redirect::to(SET_UP).into_response(),
        Lock::Set if caller == Caller::Stranger => page(&LoginPage::new(None, false, &back)).into_response(),
        Lock::Unset | Lock::Set => Redirect::to(safe_back(&back)).into_response(),
    }
}

async fn log_in(
    State(web): State<Arc<Web>>,
    from: MaybePeer,
    tls: MaybeTls,
    Form(LoginForm { password, back }): Form<LoginForm>,
) -> Response {
    match web.parts.access.log_in(address(from), password).await {
        Ok(session) => let_in(&session, &tls, safe_back(&back)),
        Err(Denied::Unset) => Redirect::to(SET_UP).into_response(),
        Err(denied) => {
            let is_broken = matches!(denied, Denied::Broken(_));
            refused(&LoginPage::new(Some(&denied.to_string()), is_broken, &back), &denied)
        }
    }
}

async fn set_up_page(State(web): State<Arc<Web>>, Query(AskedBack { back }): Query<AskedBack>) -> Response {
    match web.parts.access.lock() {
        Lock::Unset => page(&SetUpPage::new(None, "", &back)).into_response(),
        Lock::Set | Lock::Broken(_) => Redirect::to(LOGIN).into_response(),
    }
}

async fn set_up(
    State(web): State<Arc<Web>>,
    from: MaybePeer,
    tls: MaybeTls,
    Form(SetUpForm { code, password, again, back }): Form<SetUpForm>,
) -> Response {
    if password != again {
        let page = SetUpPage::new(Some(DIFFERENT), &code, &back);
        return presentable(StatusCode::UNPROCESSABLE_ENTITY, &page);
    }
    match web.parts.access.set_up(address(from), &code, password).await {
        Ok(session) => let_in(&session, &tls, safe_back(&back)),
        Err(Denied::AlreadySet | Denied::Broken(_)) => Redirect::to(LOGIN).into_response(),
        Err(denied) => refused(&SetUpPage::new(Some(&denied.to_string()), &code, &back), &denied),
    }
}

/// What is said of two passwords that should be one.
const DIFFERENT: &str = "The two passwords are not the same. Type the new one twice.";

async fn log_out(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    tls: MaybeTls,
) -> Response {
    if let Caller::Session(secret) = &caller {
        web.parts.access.log_out(secret).await;
    }
    with_cookie(Redirect::to(LOGIN).into_response(), no_cookie(tls.is_some()))
}

async fn show(State(web): State<Arc<Web>>, uri: Uri, Extension(caller): Extension<Caller>) -> Page {
    caller.may_manage()?;
    page(&AccessPage::new(&web, &uri, &caller, None))
}

async fn change_password(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    from: MaybePeer,
    tls: MaybeTls,
    Form(PasswordForm { current, password, again }): Form<PasswordForm>,
) -> Result<Response, Failure> {
    caller.may_manage()?;
    if password != again {
        return Ok(noted(&web, Err(DIFFERENT.to_owned())));
    }
    match web.parts.access.change_password(address(from), current, password).await {
        Ok(session) => {
            let said = "The password was changed. Everybody else is logged out.";
            Ok(with_cookie(noted(&web, Ok(said.to_owned())), session_cookie(session.reveal(), tls.is_some())))
        }
        Err(denied) => Ok(noted(&web, Err(denied.to_string()))),
    }
}

async fn end_sessions(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    tls: MaybeTls,
) -> Result<Response, Failure> {
    caller.may_manage()?;
    web.parts.access.end_sessions().await;
    Ok(with_cookie(Redirect::to(LOGIN).into_response(), no_cookie(tls.is_some())))
}

async fn add_token(
    State(web): State<Arc<Web>>,
    uri: Uri,
    Extension(caller): Extension<Caller>,
    Form(TokenForm { name, scope }): Form<TokenForm>,
) -> Result<Response, Failure> {
    caller.may_manage()?;
    let scope: Scope =
        scope.parse().map_err(|()| Failure::bad_request("A token's scope is `read` or `write`."))?;
    match web.parts.access.add_token(&name, scope).await {
        Ok(secret) => {
            let made = Some((name.trim().to_owned(), secret));
            Ok(page(&AccessPage::new(&web, &uri, &caller, made)).into_response())
        }
        Err(denied) => Ok(noted(&web, Err(denied.to_string()))),
    }
}

async fn revoke_token(
    State(web): State<Arc<Web>>,
    Extension(caller): Extension<Caller>,
    Form(NameForm { name }): Form<NameForm>,
) -> Result<Response, Failure> {
    caller.may_manage()?;
    let outcome = web.parts.access.revoke_token(&name).await;
    let said = outcome.map(|()| format!("`{name}` is good for nothing from now on."));
    Ok(noted(&web, said.map_err(|denied| denied.to_string())))
}

fn let_in(session: &Secret, tls: &MaybeTls, back: &str) -> Response {
    with_cookie(Redirect::to(back).into_response(), session_cookie(session.reveal(), tls.is_some()))
}

fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

/// Leads back to the page of access, with a note.
fn noted(web: &Web, outcome: Result<String, String>) -> Response {
    let is_good = outcome.is_ok();
    let (Ok(text) | Err(text)) = outcome;
    let note = Note { is_good, text, undo: None, typed: None };
    Redirect::to(&with_note(ACCESS, web.notes.keep(note))).into_response()
}

/// A page that says no by its status, too.
fn refused(page: &impl Template, denied: &Denied) -> Response {
    let failure = Failure::from(denied.clone());
    let mut response = presentable(failure.status, page);
    if let Some(secs) = failure.retry_after_secs {
        response.headers_mut().insert(RETRY_AFTER, secs.into());
    }
    response
}

fn presentable(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Extension(Presentable), Html(html)).into_response(),
        Err(error) => Failure::from(error).into_response(),
    }
}

impl LoginPage {
    fn new(problem: Option<&str>, is_broken: bool, back: &str) -> Self {
        Self { problem: problem.map(Into::into), is_broken, back: safe_back(back).to_owned() }
    }
}

impl SetUpPage {
    fn new(problem: Option<&str>, code: &str, back: &str) -> Self {
        Self {
            problem: problem.map(Into::into),
            code: code.to_owned(),
            len_min: PASSWORD_LEN_MIN,
            back: safe_back(back).to_owned(),
        }
    }
}

impl AccessPage {
    fn new(web: &Web, uri: &Uri, caller: &Caller, made: Option<(String, Secret)>) -> Self {
        let (access, times) = (&web.parts.access, Times::new(web));
        let row = |token: Token| TokenRow {
            scope: match token.scope {
                Scope::Read => "looks",
                Scope::Write => "looks and changes",
            },
            created: times.ago(token.created),
            name: token.name,
        };
        Self {
            frame: Frame::new(web, uri, Tab::Other),
            is_set: access.lock() == Lock::Set,
            has_session: matches!(caller, Caller::Session(_)),
            sessions: access.sessions(),
            tokens: access.tokens().into_iter().map(row).collect(),
            made,
            len_min: PASSWORD_LEN_MIN,
        }
    }
}
