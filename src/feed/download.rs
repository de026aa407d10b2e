//! Downloading a list: conditional, bounded in time and size, and over the daemon's own look-ups.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{
    ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RETRY_AFTER,
};
use reqwest::{Client, Response, StatusCode, Url, dns, redirect};
use tokio::sync::mpsc;

use super::guard::{Intake, Refusal, Taken};
use super::meter::Meter;
use super::reach::Reach;
use super::revision::Validator;
use super::{HostLookup, Origin, background};
use crate::list::ParseOptions;

/// Redirects that are followed; list hosts use one or two.
const REDIRECTS_MAX: usize = 5;
/// How long one connection may take to come about, so that a dead address leaves time for the next one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pieces that wait for the guard; beyond that the download waits.
const PIECES_MAX: usize = 4;

/// What to download and within which bounds.
pub(super) struct Request {
    pub(super) url: String,
    /// What the server called the text that came from this URL last.
    pub(super) known: Option<Validator>,
    pub(super) options: ParseOptions,
    pub(super) size_max: u64,
    pub(super) timeout: Duration,
    /// Where the text is written to.
    pub(super) directory: Option<PathBuf>,
    /// Tells how far it has come.
    pub(super) meter: Arc<Meter>,
}

/// What came.
pub(super) enum Fetched {
    /// The text that is known is still the newest.
    Unchanged(Validator),
    Text {
        taken: Taken,
        etag: Option<String>,
        last_modified: Option<String>,
    },
}

/// Why nothing came.
#[derive(Debug)]
pub(super) struct Failure {
    /// What, why, and what to do: a sentence without its full stop and without what is in force now.
    pub(super) message: String,
    /// How long the server wants to be left alone.
    pub(super) retry_after: Option<Duration>,
}

/// What came as it is.
pub(super) enum Raw {
    /// What is known is still the newest.
    Unchanged,
    Content {
        content: Vec<u8>,
        etag: Option<String>,
        last_modified: Option<String>,
    },
}

/// Downloads a list. `now` is for a `Retry-After` that names a time.
pub(super) async fn fetch(
    request: Request,
    hosts: Arc<dyn HostLookup>,
    now: Timestamp,
) -> Result<Fetched, Failure> {
    let failure = failure_at(&request.url);
    let Request { url, known, options, size_max, timeout, directory, meter } = request;
    let response = match ask(&url, known, timeout, hosts, now).await? {
        Answer::Unchanged(known) => return Ok(Fetched::Unchanged(known)),
        Answer::Content(response) => response,
    };
    if response.content_length().is_some_and(|length| size_max < length) {
        return Err(failure(Refusal::TooLarge(size_max).to_string()));
    }
    let (etag, last_modified) = (header(&response, ETAG), header(&response, LAST_MODIFIED));
    meter.begin(response.content_length());
    match take_in(response, options, size_max, directory, meter).await {
        Ok(taken) => Ok(Fetched::Text { taken, etag, last_modified }),
        Err(TakeInError::Refused(refusal)) => Err(failure(refusal.to_string())),
        Err(TakeInError::Transport(error)) => Err(failure(explain(&error.without_url(), timeout))),
        Err(TakeInError::Panic(message)) => Err(failure(format!("could not be read: {message}"))),
    }
}

/// Downloads what is no list, of at most `size_max` octets, as it is.
pub(super) async fn fetch_raw(
    url: &str,
    known: Option<Validator>,
    size_max: usize,
    timeout: Duration,
    hosts: Arc<dyn HostLookup>,
    now: Timestamp,
) -> Result<Raw, Failure> {
    let failure = failure_at(url);
    let mut response = match ask(url, known, timeout, hosts, now).await? {
        Answer::Unchanged(_) => return Ok(Raw::Unchanged),
        Answer::Content(response) => response,
    };
    let (etag, last_modified) = (header(&response, ETAG), header(&response, LAST_MODIFIED));
    let mut content = Vec::new();
    let broken = |error: reqwest::Error| failure(explain(&error.without_url(), timeout));
    while let Some(piece) = response.chunk().await.map_err(broken)? {
        if size_max < content.len() + piece.len() {
            return Err(failure(format!("is larger than {} MiB, which it never was", size_max >> 20)));
        }
        content.extend_from_slice(&piece);
    }
    Ok(Raw::Content { content, etag, last_modified })
}

/// What a server answered, before its text is read.
enum Answer {
    Unchanged(Validator),
    Content(Response),
}

/// A failure that names the address, without what is secret in it.
fn failure_at(url: &str) -> impl Fn(String) -> Failure + use<> {
    let shown = Origin::Url(url.to_owned()).shown();
    move |what| Failure { message: format!("{shown} {what}"), retry_after: None }
}

fn header(response: &Response, name: HeaderName) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// Asks a server for what changed since `known`.
async fn ask(
    url: &str,
    known: Option<Validator>,
    timeout: Duration,
    hosts: Arc<dyn HostLookup>,
    now: Timestamp,
) -> Result<Answer, Failure> {
    let failure = failure_at(url);
    let url = Url::parse(url)
        .map_err(|error| failure(format!("is not a URL ({error}); correct it in the configuration")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(failure(
            "is neither http nor https; for a file on this machine configure its `path`".to_owned(),
        ));
    }
    let plain = url.scheme() == "http";
    // Reading the system's certificates blocks.
    let reach = Arc::new(Reach::of(&url));
    let client = background::run(move || client(timeout, &hosts, &reach, plain)).await;
    let client = client.map_err(|panic| failure(format!("could not be downloaded: {panic}")))?;
    let client = client.map_err(|error| {
        failure(format!("can't be downloaded ({}); install the package `ca-certificates`", innermost(&error)))
    })?;
    let response = client.get(url).headers(conditions(known.as_ref())).send().await;
    let response = response.map_err(|error| failure(explain(&error.without_url(), timeout)))?;
    match (response.status(), known) {
        (StatusCode::OK, _) => Ok(Answer::Content(response)),
        (StatusCode::NOT_MODIFIED, Some(known)) => Ok(Answer::Unchanged(known)),
        (status, _) => {
            let retry_after = retry_after(response.headers(), now);
            Err(Failure { retry_after, ..failure(explain_status(status)) })
        }
    }
}

enum TakeInError {
    Refused(Refusal),
    Transport(reqwest::Error),
    Panic(String),
}

/// Hands the body to the guard, which works on a thread of its own so that the network and DNS never wait for it.
async fn take_in(
    mut response: Response,
    options: ParseOptions,
    size_max: u64,
    directory: Option<PathBuf>,
    meter: Arc<Meter>,
) -> Result<Taken, TakeInError> {
    let (pieces, mut waiting) = mpsc::channel(PIECES_MAX);
    let receive = async move {
        loop {
            let piece = response.chunk().await?;
            meter.add(piece.as_ref().map_or(0, |piece| piece.len()));
            let last = piece.is_none();
            // When the guard has refused the text, it listens no longer.
            if pieces.send(piece).await.is_err() || last {
                return Ok::<(), reqwest::Error>(());
            }
        }
    };
    let guard = background::run(move || {
        let mut intake = Intake::new(options, size_max, directory.as_deref())?;
        while let Some(piece) = waiting.blocking_recv() {
            match piece {
                Some(piece) => intake.push(&piece)?,
                None => return intake.finish().map(Some),
            }
        }
        Ok(None)
    });
    // Both to their ends: a refusal says more than the broken transfer that it may cause.
    let (taken, received) = futures_util::future::join(guard, receive).await;
    match (taken, received) {
        (Err(message), _) => Err(TakeInError::Panic(message)),
        (Ok(Err(refusal)), _) => Err(TakeInError::Refused(refusal)),
        (_, Err(error)) => Err(TakeInError::Transport(error)),
        (Ok(Ok(Some(taken))), Ok(())) => Ok(taken),
        (Ok(Ok(None)), Ok(())) => Err(TakeInError::Panic("its end got lost".to_owned())),
    }
}

/// A client for one download.
///
/// Lists come once a day: connections kept open and the system's certificates would only lie in memory, and a client
/// made anew sees certificates that were renewed.
fn client(
    timeout: Duration,
    hosts: &Arc<dyn HostLookup>,
    reach: &Arc<Reach>,
    plain: bool,
) -> reqwest::Result<Client> {
    // The daemon installs one at start; a client without one panics.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // It fails only when another thread was quicker, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let builder = || {
        Client::builder()
            .user_agent(concat!("pixelsink/", env!("CARGO_PKG_VERSION")))
            .timeout(timeout)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .redirect({
                let reach = Arc::clone(reach);
                redirect::Policy::custom(move |attempt| redirected(attempt, &reach))
            })
            .dns_resolver(Lookup { hosts: Arc::clone(hosts), reach: Arc::clone(reach) })
    };
    match builder().build() {
        // A machine without certificates can still download over plain HTTP.
        Err(_) if plain => builder().tls_certs_only([]).build(),
        built => built,
    }
}

fn redirected(attempt: redirect::Attempt<'_>, reach: &Reach) -> redirect::Action {
    if REDIRECTS_MAX < attempt.previous().len() {
        return attempt.error(format!("more than {REDIRECTS_MAX} redirects"));
    }
    if !reach.may_lead_to(attempt.url()) {
        return attempt.error("a redirect into your network, where a list from outside is not");
    }
    if matches!(attempt.url().scheme(), "http" | "https") {
        return attempt.follow();
    }
    let scheme = attempt.url().scheme().to_owned();
    attempt.error(format!("a redirect to `{scheme}:`, which is neither http nor https"))
}

fn conditions(known: Option<&Validator>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Some(known) = known else { return headers };
    for (name, value) in [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)] {
        if let Some(value) = value.as_deref().and_then(|value| value.parse().ok()) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Seconds or a date (RFC 9110 section 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    Duration::try_from(date.timestamp().duration_since(now)).ok()
}

fn explain_status(status: StatusCode) -> String {
    let advice = match status.as_u16() {
        300..=399 => "it leads nowhere that can be followed; look for the list's own address",
        404 | 410 => "the list has moved or ended; look for its new address",
        401 | 403 => "the server does not give it to us; check the address, or ask its author",
        400..=499 if status != StatusCode::TOO_MANY_REQUESTS => "check the address in the configuration",
        _ => "nothing to do: it is tried again by itself",
    };
    format!("was answered with {status} instead of the list; {advice}")
}

fn explain(error: &reqwest::Error, timeout: Duration) -> String {
    let cause = innermost(error);
    if error.is_timeout() {
        format!("did not arrive within {timeout:?}; it is tried again by itself")
    } else if error.is_redirect() {
        format!("can't be followed: {cause}; look for the list's own address")
    } else if error.is_connect() {
        format!("can't be reached ({cause}); it is tried again by itself")
    } else if error.is_body() || error.is_decode() {
        format!("came incomplete or garbled ({cause}); it is tried again by itself")
    } else {
        format!("could not be downloaded ({cause}); it is tried again by itself")
    }
}

/// The cause that stands at the bottom: what wraps it says only that a request failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Resolves list hosts over the daemon's own upstreams: the machine's resolver may be the daemon that is just starting.
struct Lookup {
    hosts: Arc<dyn HostLookup>,
    reach: Arc<Reach>,
}

impl dns::Resolve for Lookup {
    fn resolve(&self, name: dns::Name) -> dns::Resolving {
        let host = name.as_str().to_owned();
        let looked_up = self.hosts.lookup(host.clone());
        let reach = Arc::clone(&self.reach);
        Box::pin(async move {
            let addresses = looked_up.await.and_then(|addresses| {
                if addresses.is_empty() {
                    return Err("it has no address".to_owned());
                }
                let reachable = reach.reachable(&host, addresses);
                if reachable.is_empty() {
                    return Err("it is in your network, where a list from outside is not".to_owned());
                }
                Ok(reachable)
            });
            let addresses = addresses.map_err(|error| format!("the host {host} was not found: {error}"))?;
            // Port 0 stands for the one of the URL.
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_server_says_when_to_come_back() {
        let now: Timestamp = "2015-10-21T07:28:00Z".parse().unwrap();
        for (value, expected) in [
            ("120", Some(120)),
            ("Wed, 21 Oct 2015 07:38:00 GMT", Some(600)),
            ("Wed, 21 Oct 2015 07:18:00 GMT", None),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), expected.map(Duration::from_secs), "{value}");
        }
    }
}
