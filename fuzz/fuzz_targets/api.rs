//! Requests to the API: whatever their bodies and queries say, they are granted or refused, and what is refused tells why.
#![no_main]

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use libfuzzer_sys::fuzz_target;
use pixelsink::access::Access;
use pixelsink::clock::{Clock, SystemClock};
use pixelsink::command::{Command, Done, Refused};
use pixelsink::event::{Batch, EventSource};
use pixelsink::feed::{CatalogueOptions, Catalogues, Feed, FeedOptions, HostLookup};
use pixelsink::history::{History, HistoryOptions};
use pixelsink::policy::LivePolicy;
use pixelsink::tracker::LiveCatalogue;
use pixelsink::web::{About, Control, Parts, api, control_router};
use tokio::runtime::Runtime;
use tower::ServiceExt;

const ROUTES: [(Method, &str); 40] = [
    (Method::POST, "devices/name"),
    (Method::POST, "devices/kind"),
    (Method::POST, "devices/merge"),
    (Method::POST, "devices/split"),
    (Method::POST, "devices/forget"),
    (Method::POST, "history/erase"),
    (Method::POST, "lists"),
    (Method::DELETE, "lists"),
    (Method::POST, "lists/rollback"),
    (Method::POST, "lists/follow"),
    (Method::POST, "lists/accept"),
    (Method::POST, "lists/refresh"),
    (Method::POST, "catalogues"),
    (Method::DELETE, "catalogues"),
    (Method::POST, "catalogues/refresh"),
    (Method::POST, "rules"),
    (Method::DELETE, "rules"),
    (Method::POST, "rules/keep"),
    (Method::POST, "cache/flush"),
    (Method::POST, "access/tokens"),
    (Method::DELETE, "access/tokens"),
    (Method::GET, "totals"),
    (Method::GET, "hours"),
    (Method::GET, "trackers"),
    (Method::GET, "devices"),
    (Method::GET, "names"),
    (Method::GET, "companies"),
    (Method::GET, "news"),
    (Method::GET, "report"),
    (Method::GET, "events"),
    (Method::GET, "events/export"),
    (Method::GET, "lists/revisions"),
    (Method::GET, "lists/diff"),
    (Method::GET, "explain"),
    (Method::GET, "local"),
    (Method::GET, "rules"),
    // A path goes on with the text.
    (Method::GET, "companies/"),
    (Method::GET, "devices/"),
    (Method::GET, "lists/"),
    (Method::GET, ""),
];

/// Grants every wish, once it has been shown to be one that can be told.
struct Echo;

impl Control for Echo {
    fn execute(&self, command: Command) -> Pin<Box<dyn Future<Output = Result<Done, Refused>> + Send + '_>> {
        Box::pin(async move { Ok(Done(format!("{command:?}"))) })
    }

    fn metrics(&self) -> Pin<Box<dyn Future<Output = String> + Send + '_>> {
        Box::pin(async { "# EOF\n".to_owned() })
    }
}

struct NoHosts;

impl HostLookup for NoHosts {
    fn lookup(&self, host: String) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>> {
        Box::pin(async move { Err(format!("{host} is not looked up here")) })
    }
}

struct Silence;

impl EventSource for Silence {
    fn try_gather(&self) {}

    fn gather(&self) {}

    fn take(&self) -> Batch {
        Batch::default()
    }
}

static SERVED: LazyLock<(Runtime, Router)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let router = runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let catalogue = Arc::<LiveCatalogue>::default();
        let policy = Arc::new(LivePolicy::default());
        let hour = Duration::from_secs(3600);
        let feed = FeedOptions {
            data_dir: None,
            sources: Vec::new(),
            own: Vec::new(),
            own_file: "pixelsink.toml".into(),
            size_max: 1_000_000,
            timeout: hour,
            keep_revisions: 1,
        };
        let history = HistoryOptions {
            file: None,
            flush_interval: hour,
            events_kept: hour,
            counts_kept: hour,
            size_max: 1_000_000,
        };
        control_router(Arc::new(Parts {
            history: History::open(history, Arc::clone(&catalogue), Arc::default(), Arc::clone(&clock), Arc::new(Silence)),
            catalogues: Catalogues::start(
                CatalogueOptions::default(),
                Arc::clone(&catalogue),
                Arc::new(NoHosts),
                Arc::clone(&clock),
            ),
            feed: Feed::start(feed, Arc::clone(&policy), Arc::new(NoHosts), Arc::clone(&clock)).await,
            policy,
            local: Arc::default(),
            devices: Arc::default(),
            catalogue,
            live: Default::default(),
            control: Arc::new(Echo),
            access: Access::open(None, Arc::clone(&clock)),
            monitoring_from: Arc::default(),
            started: clock.now(),
            clock,
            time_zone: jiff::tz::TimeZone::UTC,
            about: Arc::new(About::default),
            host_names: Arc::default(),
            presence: Arc::new(|_| None),
            cache: Arc::new(api::CacheStatus::default),
        }))
    });
    (runtime, router)
});

fuzz_target!(|input: &[u8]| {
    let Some((&choice, text)) = input.split_first() else { return };
    let Some((method, route)) = ROUTES.get(usize::from(choice)) else { return };
    let mut target = format!("/api/v1/{route}");
    let mut body = Vec::new();
    if *method == Method::POST {
        body = text.to_vec();
    } else {
        let text = String::from_utf8_lossy(text);
        target += if target.ends_with('/') { "" } else { "?" };
        target += &text;
    }
    let request = Request::builder().method(method).uri(&target).header("content-type", "application/json");
    // Not every text is one that a request can have.
    let Ok(request) = request.body(Body::from(body)) else { return };
    let (runtime, router) = &*SERVED;
    let (status, told) = runtime.block_on(async {
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        // A stream of events has no end.
        if target.starts_with("/api/v1/events/live") {
            return (status, "{}".into());
        }
        (status, to_bytes(answer.into_body(), 1 << 24).await.unwrap())
    });
    assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "{method} {target}: {told:?}");
    if !status.is_success() {
        let told: serde_json::Value = serde_json::from_slice(&told).expect("why, as JSON");
        assert!(told["error"].is_string(), "{told}");
    }
});
