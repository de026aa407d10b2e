//! What a request must be before anyone looks at it, and what every answer tells the browser.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Web;
use super::errors::Failure;

/// The longest path and query, in octets: a domain name has 253, the longest filter a few hundred.
const TARGET_LEN_MAX: usize = 2048;

/// Endings of names that only a home network hands out, so that no stranger's site can have one: RFC 6762 (`local`),
/// RFC 8375 (`home.arpa`), ICANN's reservation of `internal`, and `lan` as home routers use it.
const HOME_ENDINGS: &[&str] = &[".lan", ".local", ".home.arpa", ".internal", ".localhost"];

/// Nothing but our own script, style and images; no frames, no plug-ins, no forms to elsewhere. No text becomes HTML or
/// script but by the one policy of our script (Trusted Types), which parses what this server rendered.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types pixelsink";

/// Refuses requests under a name that is not ours.
///
/// A stranger's site can make its own name point at this machine (DNS rebinding) and would then share our origin; the
/// browser still says the stranger's name in `Host`.
pub(super) async fn check_host(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let by_header = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    // A target in absolute form takes the place of `Host` (RFC 9112 section 3.2.2).
    let host =
        request.uri().authority().map(|authority| authority.as_str()).or(by_header).unwrap_or_default();
    if is_ours(host, &web.parts.host_names.load()) {
        return next.run(request).await;
    }
    let message = "This page does not answer to the name in the address bar. Open it by its IP address, or add the \
                   name to `host_names` under `[web]` in the configuration.";
    Failure::new(StatusCode::MISDIRECTED_REQUEST, message).into_response()
}

/// Whether `host`, with or without a port, can only mean this machine.
fn is_ours(host: &str, host_names: &[String]) -> bool {
    if let Some(literal) = host.strip_prefix('[') {
        let literal = literal.split(']').next().unwrap_or_default();
        return literal.parse::<Ipv6Addr>().is_ok();
    }
    let name = host.split(':').next().unwrap_or_default();
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_configured = || host_names.iter().any(|known| known.eq_ignore_ascii_case(&name));
    let is_home = || HOME_ENDINGS.iter().any(|ending| name.ends_with(ending));
    name == "localhost"
        || name.parse::<Ipv4Addr>().is_ok()
        || !name.is_empty() && (is_configured() || is_home())
}

/// Refuses paths and queries that no page of ours has.
pub(super) async fn bound_query(request: Request, next: Next) -> Response {
    let length = |uri: &Uri| uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length(request.uri()) <= TARGET_LEN_MAX {
        return next.run(request).await;
    }
    Failure::new(StatusCode::URI_TOO_LONG, "The address is longer than any of this page.").into_response()
}

/// Tells the browser what our answers may do: very little.
pub(super) async fn add_security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let fixed: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not `no-referrer`: with it browsers send `Origin: null` with our own forms, which over plain HTTP (no
        // `Sec-Fetch-Site` there) can't be told from a stranger's. Nothing leaves this site either way.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // What a page shows is about people; only assets say otherwise.
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(no_store);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, expected: bool) {
        assert_eq!(
            is_ours(host, &["pi.example.net".to_owned(), "raspberrypi".to_owned()]),
            expected,
            "{host:?}"
        );
    }

    #[test]
    fn addresses_and_names_of_the_home_are_ours() {
        for host in ["192.168.1.5", "192.168.1.5:8053", "[fe80::1]", "[::1]:8053", "localhost", "LOCALHOST:1"]
        {
            check(host, true);
        }
        for host in [
            "pi.lan",
            "pixelsink.local:8053",
            "Pi.Home.Arpa.",
            "a.internal",
            "pi.example.net:80",
            "raspberrypi",
        ] {
            check(host, true);
        }
    }

    #[test]
    fn a_strangers_name_is_not_ours() {
        for host in ["", ".", ":8053", "evil.example", "192.168.1.5.evil.example", "lan", "evil.example:8053"]
        {
            check(host, false);
        }
        for host in [
            "localhost.evil.example",
            "xpi.example.net",
            "[evil.example]",
            "[",
            "1.2.3",
            "pi.example.net.evil.example",
        ] {
            check(host, false);
        }
    }
}
