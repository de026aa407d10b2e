//! Who is let in: nobody but who is known, whatever they ask for.
//!
//! Every request of the network comes through here before any page is looked for. What is open to everybody is told by the
//! route that was found, not by the text of the path, so that no other way of writing a path leads around it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, HeaderValue, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::Web;
use super::actions::safe_back;
use super::errors::{Failure, is_for_program};
use super::format::percent_encoded;
use super::serve::{OverTls, Peer};
use crate::access::{Denied, Lock, SESSION_IDLE_MAX, Scope};

/// The page on which one logs in.
pub(super) const LOGIN: &str = "/login";
/// The page on which the first password is set.
pub(super) const SET_UP: &str = "/setup";
/// What a page needs before anybody has logged in.
const OPEN_TO_ALL: [&str; 3] = [LOGIN, SET_UP, "/assets/{version}/{file}"];
/// What may be open to the networks of `web.monitoring_from`.
const MONITORING: [&str; 2] = ["/healthz", "/metrics"];
/// How many cookies of our name are looked at: another service of this machine can set more, but no good one.
const COOKIES_MAX: usize = 4;
/// The longest way back that is remembered while one logs in, in octets as it is written then.
const BACK_LEN_MAX: usize = 1024;
/// Told by proxies only: whoever asks through one of this machine does not sit at it.
const PROXY_HEADERS: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];

/// Who asks, in the extensions of every request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Caller {
    /// Who may use the control socket.
    Socket,
    /// Who sits at this machine, while no password was ever set.
    Local,
    /// A browser that is logged in, by the secret of its session.
    Session(String),
    /// A program with a token.
    Token(Scope),
    /// Anybody, at what is open to all.
    Stranger,
}

impl Caller {
    /// Whether they may change who may come in. A token may not: what it is good for must end when it is revoked.
    pub(super) fn may_manage(&self) -> Result<(), Failure> {
        match self {
            Self::Socket | Self::Local | Self::Session(_) => Ok(()),
            Self::Token(_) | Self::Stranger => {
                let message = "Who may come in is not changed with a token. Log in to the page, or use `pixelsink passwd` \
                               and `pixelsink tokens` on the machine itself.";
                Err(Failure::new(StatusCode::FORBIDDEN, message))
            }
        }
    }
}

/// Lets a request through, with its [`Caller`], or says who would be.
pub(super) async fn check(State(web): State<Arc<Web>>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|matched| matched.as_str().to_owned());
    let is = |routes: &[&str]| route.as_deref().is_some_and(|route| routes.contains(&route));
    let (caller, is_prolonged) = match recognize(&web, &request) {
        Some(known) => known,
        None if is(&OPEN_TO_ALL) || is(&MONITORING) && may_monitor(&web, &request) => {
            (Caller::Stranger, false)
        }
        None => return refuse(&web, &request, is(&MONITORING)),
    };
    if caller == Caller::Token(Scope::Read) && !is_read(request.method()) {
        let message = "This token has the scope `read`; to change something takes one with `write`.";
        return Failure::new(StatusCode::FORBIDDEN, message).into_response();
    }
    let prolonged = match &caller {
        Caller::Session(secret) if is_prolonged => Some(session_cookie(secret, is_over_tls(&request))),
        _ => None,
    };
    request.extensions_mut().insert(caller);
    let mut response = next.run(request).await;
    // Not where the answer sets or ends a session itself.
    if let Some(cookie) = prolonged.filter(|_| !response.headers().contains_key(SET_COOKIE)) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

/// Who asks, if they may ask for everything; and whether the end of their session has moved.
fn recognize(web: &Web, request: &Request) -> Option<(Caller, bool)> {
    let access = &web.parts.access;
    if let Some(token) = bearer(request.headers()) {
        // Whoever shows a token wants to be known by it, and learns when it is no good.
        return access.token(token).map(|scope| (Caller::Token(scope), false));
    }
    match access.lock() {
        Lock::Broken(_) => None,
        Lock::Unset => is_local(request).then_some((Caller::Local, false)),
        Lock::Set => session_secrets(request).find_map(|secret| {
            let seen = access.session(secret)?;
            Some((Caller::Session(secret.to_owned()), seen.is_prolonged))
        }),
    }
}

fn refuse(web: &Web, request: &Request, is_monitoring: bool) -> Response {
    let lock = web.parts.access.lock();
    let is_for_program = is_monitoring
        || is_for_program(request.uri().path(), request.headers())
        || request.headers().contains_key(AUTHORIZATION);
    if is_for_program {
        let message = match lock {
            Lock::Broken(problem) => return Failure::from(Denied::Broken(problem)).into_response(),
            Lock::Unset => Denied::Unset.to_string(),
            Lock::Set if is_monitoring => {
                "This needs a token (`pixelsink tokens add NAME`), as `Authorization: Bearer TOKEN`, or the network of who \
                 asks in `monitoring_from` under `[web]`."
                    .to_owned()
            }
            Lock::Set => "Log in to the page, or send a token as `Authorization: Bearer TOKEN`; `pixelsink tokens add NAME` \
                          makes one."
                .to_owned(),
        };
        let challenge = [(WWW_AUTHENTICATE, r#"Bearer realm="pixelsink""#)];
        return (challenge, Failure::new(StatusCode::UNAUTHORIZED, message)).into_response();
    }
    let page = if lock == Lock::Unset { SET_UP } else { LOGIN };
    // What a form would have done is not done later, unasked.
    let back = if is_read(request.method()) { way_back(request.uri()) } else { "/" };
    let query = Some(percent_encoded(back)).filter(|back| back != "%2F" && back.len() <= BACK_LEN_MAX);
    let query = query.map(|back| format!("?back={back}")).unwrap_or_default();
    Redirect::to(&format!("{page}{query}")).into_response()
}

fn way_back(uri: &Uri) -> &str {
    safe_back(uri.path_and_query().map_or("/", |target| target.as_str()))
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Whether the request comes from this machine, and not through a proxy that runs here.
fn is_local(request: &Request) -> bool {
    direct_peer(request).is_some_and(|address| address.is_loopback())
}

fn may_monitor(web: &Web, request: &Request) -> bool {
    let networks = web.parts.monitoring_from.load();
    direct_peer(request).is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
}

/// The address of who asks, where nobody stands between.
fn direct_peer(request: &Request) -> Option<IpAddr> {
    let is_passed_on = PROXY_HEADERS.iter().any(|name| request.headers().contains_key(*name));
    let Peer(address) = request.extensions().get::<Peer>().filter(|_| !is_passed_on)?;
    Some(address.to_canonical())
}

fn is_over_tls(request: &Request) -> bool {
    request.extensions().get::<OverTls>().is_some()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The name of our cookie. Over TLS with a prefix that has browsers take it from this very host, and over TLS only.
const fn cookie_name(is_over_tls: bool) -> &'static str {
    if is_over_tls { "__Host-pixelsink-session" } else { "pixelsink-session" }
}

fn session_secrets(request: &Request) -> impl Iterator<Item = &str> {
    let name = cookie_name(is_over_tls(request));
    let cookies = request.headers().get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(move |(key, _)| *key == name).map(|(_, secret)| secret).take(COOKIES_MAX)
}

/// What makes the browser keep a session.
pub(super) fn session_cookie(secret: &str, is_over_tls: bool) -> HeaderValue {
    cookie(secret, SESSION_IDLE_MAX.as_secs(), is_over_tls)
}

/// What makes the browser forget it.
pub(super) fn no_cookie(is_over_tls: bool) -> HeaderValue {
    cookie("", 0, is_over_tls)
}

fn cookie(secret: &str, age_max_secs: u64, is_over_tls: bool) -> HeaderValue {
    let (name, secure) = (cookie_name(is_over_tls), if is_over_tls { "; Secure" } else { "" });
    let text = format!("{name}={secret}; Path=/; Max-Age={age_max_secs}; HttpOnly; SameSite=Strict{secure}");
    // Secrets are hexadecimal, so this is always one.
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let builder = headers
            .iter()
            .fold(axum::http::Request::builder(), |builder, (name, value)| builder.header(*name, *value));
        builder.body(Body::empty()).unwrap()
    }

    #[test]
    fn our_cookie_is_found_among_others() {
        let found = |cookies: &[&str]| {
            let headers: Vec<(&str, &str)> = cookies.iter().map(|cookies| ("cookie", *cookies)).collect();
            session_secrets(&request(&headers)).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(found(&["a=b; pixelsink-session=1234;c=d"]), ["1234"]);
        assert_eq!(found(&["pixelsink-session=1", "x=y; pixelsink-session=2"]), ["1", "2"]);
        assert_eq!(found(&["not-pixelsink-session=1; pixelsink-session; Pixelsink-Session=3"]), [""; 0]);
        assert_eq!(found(&["pixelsink-session=1; ".repeat(50).as_str()]).len(), COOKIES_MAX);
    }

    #[test]
    fn over_tls_the_cookie_stays_there() {
        let text = |is_over_tls| session_cookie("ab", is_over_tls).to_str().unwrap().to_owned();
        assert_eq!(text(false), "pixelsink-session=ab; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict");
        assert_eq!(
            text(true),
            "__Host-pixelsink-session=ab; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure"
        );
    }

    #[track_caller]
    fn check_local(peer: Option<[u8; 4]>, headers: &[(&str, &str)], expected: bool) {
        let mut request = request(headers);
        if let Some(peer) = peer {
            request.extensions_mut().insert(Peer(peer.into()));
        }
        assert_eq!(is_local(&request), expected, "{peer:?} {headers:?}");
    }

    #[test]
    fn who_comes_through_a_proxy_of_this_machine_does_not_sit_at_it() {
        check_local(Some([127, 0, 0, 1]), &[], true);
        check_local(Some([127, 0, 0, 7]), &[("user-agent", "curl")], true);
        check_local(Some([192, 168, 1, 5]), &[], false);
        check_local(None, &[], false);
        for header in ["forwarded", "via", "x-forwarded-for", "x-real-ip"] {
            check_local(Some([127, 0, 0, 1]), &[(header, "192.168.1.5")], false);
        }
        let mut mapped = request(&[]);
        mapped.extensions_mut().insert(Peer("::ffff:127.0.0.1".parse().unwrap()));
        assert!(is_local(&mapped));
    }
}
