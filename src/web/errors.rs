//! Answers that say no, in the dress of whoever asked: a small page for people, `{"error": "..."}` for programs.

use askama::Template;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use super::api::Error;
use super::view::{Frame, Prose};
use crate::access::Denied;
use crate::command::Refused;
use crate::feed::FeedError;
use crate::history::HistoryError;

/// The longest message that is taken over from below, in octets. Ours have a few hundred; one about a configuration with
/// many faults shows the lines of each.
const MESSAGE_LEN_MAX: usize = 64 * 1024;

/// Why a request gets no better answer. It travels as plain text; [`dress`] makes it presentable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) message: String,
    /// After how many seconds it is worth while to ask again (RFC 9110 section 10.2.3).
    pub(super) retry_after_secs: Option<u64>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after_secs: None }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.message).into_response();
        if let Some(secs) = self.retry_after_secs {
            response.headers_mut().insert(RETRY_AFTER, secs.into());
        }
        response
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        let message = format!("The history can't answer: {error}. Blocking goes on; try again in a moment.");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

impl From<FeedError> for Failure {
    fn from(error: FeedError) -> Self {
        let status = match error {
            FeedError::UnknownList(_) | FeedError::NotThere(_) => StatusCode::NOT_FOUND,
            FeedError::OwnRules(_) | FeedError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            FeedError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        let status = match refused {
            Refused::Unknown(_) => StatusCode::NOT_FOUND,
            Refused::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, refused.to_string())
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        let status = match &denied {
            Denied::WrongPassword | Denied::WrongCode | Denied::Unset => StatusCode::UNAUTHORIZED,
            Denied::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            Denied::AlreadySet | Denied::NameTaken(_) | Denied::TooManyTokens => StatusCode::CONFLICT,
            Denied::TooShort | Denied::TooLong | Denied::BadName => StatusCode::UNPROCESSABLE_ENTITY,
            Denied::UnknownToken(_) => StatusCode::NOT_FOUND,
            Denied::NotKept(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Denied::Broken(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let retry_after_secs = match &denied {
            Denied::TooOften(wait) => Some(wait.as_secs() + 1),
            _ => None,
        };
        Self { retry_after_secs, ..Self::new(status, denied.to_string()) }
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("The page could not be rendered: {error}."))
    }
}

pub(super) async fn not_found() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "There is nothing at this address.")
}

pub(super) async fn method_not_allowed() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "This address does not take requests of this method.")
}

/// Whether the answer goes to a program: the API's addresses, and our own script on others.
pub(super) fn is_for_program(path: &str, headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    path.starts_with("/api/") || accept.starts_with("application/json")
}

/// Marks an answer that says no and is a page already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presentable;

#[derive(Template)]
#[template(path = "error.html")]
pub(super) struct ErrorPage {
    pub(super) frame: Frame,
    pub(super) status: u16,
    pub(super) title: &'static str,
    pub(super) message: Prose,
}

/// Turns every answer that says no, whichever layer it comes from, into a page or JSON.
pub(super) async fn dress(request: Request, next: Next) -> Response {
    let for_program = is_for_program(request.uri().path(), request.headers());
    let response = next.run(request).await;
    if for_program { dressed(response, as_json).await } else { dressed(response, as_page).await }
}

/// [`dress`] where only programs ask.
pub(super) async fn dress_as_json(request: Request, next: Next) -> Response {
    dressed(next.run(request).await, as_json).await
}

async fn dressed(response: Response, dress: fn(StatusCode, String) -> Response) -> Response {
    let status = response.status();
    let says_no = status.is_client_error() || status.is_server_error();
    if !says_no || response.extensions().get::<Presentable>().is_some() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, MESSAGE_LEN_MAX).await.unwrap_or_default();
    let message = match String::from_utf8_lossy(&text).trim() {
        "" => default_message(status).to_owned(),
        text => text.to_owned(),
    };
    let dressed = dress(status, message);
    // What else the refusal says (`Allow`, `Retry-After`) stays.
    parts.headers.remove(CONTENT_LENGTH);
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let kind = dressed.headers().get(CONTENT_TYPE).cloned().unwrap_or(html);
    parts.headers.insert(CONTENT_TYPE, kind);
    Response::from_parts(parts, dressed.into_body())
}

fn as_json(status: StatusCode, error: String) -> Response {
    (status, axum::Json(Error { error })).into_response()
}

fn as_page(status: StatusCode, message: String) -> Response {
    let title = match status {
        StatusCode::NOT_FOUND => "Nothing here",
        StatusCode::UNAUTHORIZED => "Not without a key",
        StatusCode::FORBIDDEN => "Not from there",
        StatusCode::MISDIRECTED_REQUEST => "Not by that name",
        StatusCode::SERVICE_UNAVAILABLE => "Not just now",
        status if status.is_client_error() => "That did not work",
        _ => "Something went wrong",
    };
    let shown = message.as_str().into();
    let page = ErrorPage { frame: Frame::bare(), status: status.as_u16(), title, message: shown };
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => (status, message).into_response(),
    }
}

/// What is said when the layer that refused said nothing.
fn default_message(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => {
            "The request came from another site, so nothing was changed. Open this page itself and try again there."
        }
        StatusCode::REQUEST_TIMEOUT => {
            "It took too long and was given up. Blocking goes on; try again in a moment."
        }
        StatusCode::PAYLOAD_TOO_LARGE => "The request is larger than anything this page takes.",
        _ => status.canonical_reason().unwrap_or("The request was refused."),
    }
}
