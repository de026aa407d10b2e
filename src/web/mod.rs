//! The page, the JSON API and live events.
//!
//! It shows what the other parts know and hands wishes to whoever grants them ([`Control`]); it decides nothing about
//! queries or lists. Who may see it is asked before anything else (`gate`). What it shows comes from the network, so every text is escaped by its template, the browser is
//! told to run nothing but our one script (`guard`), and no request can cost more than a stated bound.
//!
//! A page is a *view*, a plain struct with all that is shown, and a template that renders it. `pages/` gathers views,
//! `templates/` holds their HTML, `assets/` what browsers load beside it. Nothing is built but by cargo and nothing is
//! loaded from elsewhere; without JavaScript everything works but the live parts.

pub mod api;

mod actions;
mod assets;
mod breakage;
mod chart;
mod company;
mod connection;
mod device_actions;
mod errors;
mod filter;
mod format;
mod gate;
mod guard;
mod heat;
mod known_devices;
mod live;
mod live_views;
mod notes;
mod pages;
mod period;
mod problems;
mod report;
mod serve;
mod silence;
mod tls;
mod view;
mod without;

pub use live_views::LiveViews;
pub use serve::{serve, serve_unix};
pub use silence::{SILENCE_LOOKED_BACK, SILENCE_MIN};
pub use tls::{Loaded, Tls, TlsError, TlsFiles};

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use ipnet::IpNet;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;
use tower_http::csrf::CsrfLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::access::Access;
use crate::clock::Clock;
use crate::command::{Command, Done, Refused};
use crate::device::{DeviceKey, LiveDevices, Presence};
use crate::feed::{Catalogues, Feed, OwnRuleStatus};
use crate::history::History;
use crate::list::FoundLine;
use crate::local::LiveLocal;
use crate::policy::{Explained, LivePolicy};
use crate::tracker::LiveCatalogue;

/// The largest request body, in octets: a form with one rule is far smaller.
const BODY_SIZE_MAX: usize = 64 * 1024;
/// How long a request may take until its answer begins, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The same where lists are refreshed. Before that the answer is that it goes on (`actions`); this is for bodies that come
/// too slowly.
const PATIENT_TIMEOUT: Duration = Duration::from_secs(60);
/// How many live streams may be open at once; a browser tab holds one.
const LIVE_STREAMS_MAX: usize = 32;

/// Where the page is served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WebOptions {
    /// The addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Names that browsers may call the page by, besides IP addresses, `localhost` and the names of home networks.
    pub host_names: Vec<String>,
    /// Its certificate; without one it is served over plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Who may see `/healthz` and `/metrics` without a password.
    pub monitoring_from: Vec<IpNet>,
}

/// Tells when the kernel was sure that a device with these keys is there.
pub type PresenceOf = dyn Fn(&[DeviceKey]) -> Option<Presence> + Send + Sync;

/// What the page needs of the running daemon.
pub struct Parts {
    /// What happened.
    pub history: History,
    /// The lists and the person's own rules.
    pub feed: Feed,
    /// The catalogues of trackers.
    pub catalogues: Catalogues,
    /// The policy in force, for explanations.
    pub policy: Arc<LivePolicy>,
    /// The names that are answered here, for explanations.
    pub local: Arc<LiveLocal>,
    /// The devices on the network.
    pub devices: Arc<LiveDevices>,
    /// Whose a name is.
    pub catalogue: Arc<LiveCatalogue>,
    /// Every event as it happens; live streams subscribe to it.
    pub live: LiveViews,
    /// Grants wishes.
    pub control: Arc<dyn Control>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where "today" begins and which hour the clock on the wall shows.
    pub time_zone: TimeZone,
    /// When the daemon started.
    pub started: Timestamp,
    /// The daemon as it is now; asked anew for each page.
    pub about: Arc<dyn Fn() -> About + Send + Sync>,
    /// [`WebOptions::host_names`], and the machine's own name; replaced at a reload.
    pub host_names: Arc<ArcSwap<Vec<String>>>,
    /// Who may use it.
    pub access: Arc<Access>,
    /// [`WebOptions::monitoring_from`]; replaced at a reload.
    pub monitoring_from: Arc<ArcSwap<Vec<IpNet>>>,
    /// When the kernel was sure that a device with these keys is there; asked anew each time.
    pub presence: Arc<PresenceOf>,
    /// How the cache is; asked anew each time.
    pub cache: Arc<dyn Fn() -> api::CacheStatus + Send + Sync>,
}

/// The daemon, as the page tells of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct About {
    /// Its version.
    pub version: String,
    /// The configuration file; `None` when there is none.
    pub config_file: Option<String>,
    /// Where it keeps what must last; `None` when nothing does.
    pub data_dir: Option<String>,
    /// Where it answers DNS. Addresses that devices can reach stand before wildcard addresses.
    pub dns_listen: Vec<SocketAddr>,
    /// Where the page is served.
    pub web_listen: Vec<SocketAddr>,
    /// Where this network's packets for elsewhere go.
    pub gateways: Vec<IpAddr>,
    /// Whom it asks, and how they answer.
    pub upstreams: Vec<Upstream>,
    /// How much memory it has, in octets; `None` where the system does not tell.
    pub memory_bytes: Option<u64>,
    /// What was not answered or given up since the start, and why: words for people, and how often.
    pub refused: Vec<(&'static str, u64)>,
    /// What is wrong with the daemon and what to do about it, each in one or two sentences.
    pub problems: Vec<String>,
}

/// An upstream, and how it answers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Upstream {
    /// Where it is, as it is configured.
    pub address: String,
    /// How it is spoken to: `udp`, `tcp`, `tls`, `https`, `h3` or `quic`.
    pub transport: &'static str,
    /// The names that it is asked for; `None` where it is asked for all that have no route.
    pub route: Option<String>,
    /// The group whose devices it is asked for; `None` where it is asked for all that are in none.
    pub group: Option<String>,
    /// How many questions it answered since the start.
    pub answered: u64,
    /// How many tries failed.
    pub failed: u64,
    /// The smoothed time to an answer, in microseconds; `None` before the first one.
    pub latency_us: Option<u32>,
    /// How many connections were opened to it.
    pub connections: u64,
    /// How many of them took up the session of an earlier one.
    pub resumed: u64,
    /// What went wrong last, while it is asked last because of that.
    pub problem: Option<String>,
}

impl Upstream {
    /// Whether anything is on its way unencrypted.
    pub fn is_plain(&self) -> bool {
        matches!(self.transport, "udp" | "tcp")
    }
}

/// Grants wishes and tells numbers; the daemon implements it.
pub trait Control: Send + Sync {
    /// Does what `command` says and tells what came of it. A list refresh may take as long as its downloads.
    fn execute(&self, command: Command) -> Pin<Box<dyn Future<Output = Result<Done, Refused>> + Send + '_>>;

    /// The text of `/metrics`.
    fn metrics(&self) -> Pin<Box<dyn Future<Output = String> + Send + '_>>;
}

/// What all handlers share.
struct Web {
    parts: Arc<Parts>,
    live_slots: Arc<Semaphore>,
    /// One page at a time has revisions of a list compared, which reads both several times; others wait.
    comparing: Semaphore,
    notes: notes::Notes,
}

impl Web {
    fn new(parts: Arc<Parts>) -> Arc<Self> {
        let live_slots = Arc::new(Semaphore::new(LIVE_STREAMS_MAX));
        Arc::new(Self { parts, live_slots, comparing: Semaphore::new(1), notes: notes::Notes::default() })
    }

    /// What the clock on the wall will show at a moment of the clock that never jumps, if nobody sets it.
    fn wall_time_at(&self, at: Instant) -> Timestamp {
        let (now, instant) = (self.parts.clock.now(), self.parts.clock.instant());
        now.checked_add(at.saturating_duration_since(instant)).unwrap_or(Timestamp::MAX)
    }

    /// The lines of a list, or of the file of the person's own rules, that say this rule.
    async fn places(&self, rule: &Explained, list: &str) -> Vec<FoundLine> {
        if !rule.own {
            return self.parts.feed.places(list, &rule.rule.rule).await;
        }
        let own = self.parts.feed.own_rules();
        let says = |own: &&OwnRuleStatus| {
            *own.rule.clone().into_rule(own.action, own.line).to_string() == *rule.rule.rule
        };
        own.iter().filter(says).map(|own| FoundLine { line: own.line, text: own.rule.to_string() }).collect()
    }
}

/// Everything, for browsers on the network. Call it once: its clones share their bounds.
pub fn router(parts: Arc<Parts>) -> Router {
    let web = Web::new(parts);
    let limited = Router::new()
        .merge(pages::routes())
        .merge(actions::rule_routes())
        .merge(actions::list_routes())
        .merge(device_actions::routes())
        .merge(actions::catalogue_routes())
        .merge(actions::history_routes())
        .merge(api::routes())
        .merge(operations())
        .route("/assets/{version}/{file}", get(assets::serve))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT));
    let patient = Router::new()
        .route("/lists/do/refresh", post(actions::refresh))
        .route("/api/v1/lists/refresh", post(api::lists::refresh))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, PATIENT_TIMEOUT));
    limited
        .merge(patient)
        .fallback(errors::not_found)
        .method_not_allowed_fallback(errors::method_not_allowed)
        .layer(DefaultBodyLimit::disable()) // The layer below counts for everything.
        .layer(RequestBodyLimitLayer::new(BODY_SIZE_MAX))
        .layer(from_fn_with_state(Arc::clone(&web), gate::check))
        .layer(CsrfLayer::new())
        .layer(from_fn(guard::bound_query))
        .layer(from_fn_with_state(Arc::clone(&web), guard::check_host))
        .layer(from_fn(errors::dress))
        .layer(CompressionLayer::new())
        .layer(from_fn(guard::add_security_headers))
        .with_state(web)
}

/// The JSON API only, for the Unix socket: its file permissions are the guard, so there is no check of `Host` or origin.
pub fn control_router(parts: Arc<Parts>) -> Router {
    let patient = Router::new()
        .route("/api/v1/lists/refresh", post(api::lists::refresh))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, PATIENT_TIMEOUT));
    Router::new()
        .merge(api::routes())
        .merge(operations())
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
        .merge(patient)
        .fallback(errors::not_found)
        .method_not_allowed_fallback(errors::method_not_allowed)
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(BODY_SIZE_MAX))
        .layer(from_fn(guard::bound_query))
        .layer(Extension(gate::Caller::Socket))
        .layer(from_fn(errors::dress_as_json))
        .with_state(Web::new(parts))
}

/// What monitoring asks for.
fn operations() -> Router<Arc<Web>> {
    let metrics = |state: axum::extract::State<Arc<Web>>| async move {
        // The text ends with `# EOF`, as OpenMetrics has it.
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")], state.parts.control.metrics().await)
            .into_response()
    };
    let health = || async { ([(CACHE_CONTROL, "no-store")], "ok\n") };
    Router::new().route("/healthz", get(health)).route("/metrics", get(metrics))
}

#[cfg(test)]
mod tests;
