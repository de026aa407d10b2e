//! What a person sees of the lists: a server that behaves and misbehaves, files that are saved, and restarts.

mod change;
mod download;
mod file;
mod own;
mod revision;

use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, ETAG, IF_NONE_MATCH, LOCATION, RETRY_AFTER, USER_AGENT,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::device::DeviceTable;
use crate::name::DomainName;
use crate::policy::{Question, Verdict};

/// Small, so that what is too large comes soon.
const SIZE_MAX: u64 = 64 * 1024;
/// Long enough for a busy machine, and shorter than the time after which files are looked at unasked.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server of lists answers next.
#[derive(Clone)]
enum Answer {
    Text(String),
    /// With this tag, and 304 to whoever has it.
    Tagged(&'static str, String),
    Encoded(&'static str, Vec<u8>),
    Status(u16),
    Busy {
        seconds: u32,
    },
    Redirect(String),
    Endless,
    /// Says that it is of this length, and never sends it whole.
    OfLength(u64),
    /// An octet now and then.
    Drip,
    Hang,
}

#[derive(Clone)]
struct Server {
    answer: Arc<Mutex<Answer>>,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
    url: String,
    task: Arc<tokio::task::AbortHandle>,
}

impl Server {
    async fn start(text: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/list.txt", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(Answer::Text(text.to_owned())));
        let asked = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let state = (Arc::clone(&answer), Arc::clone(&asked));
        let router = axum::Router::new().fallback(respond).with_state(state);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { answer, asked, url, task: Arc::new(task.abort_handle()) }
    }

    fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn text(&self, text: &str) {
        self.set(Answer::Text(text.to_owned()));
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn last_asked(&self) -> HeaderMap {
        self.asked.lock().unwrap().last().unwrap().clone()
    }
}

type Shared = (Arc<Mutex<Answer>>, Arc<Mutex<Vec<HeaderMap>>>);

async fn respond(State((answer, asked)): State<Shared>, request: Request) -> Response {
    asked.lock().unwrap().push(request.headers().clone());
    let answer = answer.lock().unwrap().clone();
    match answer {
        Answer::Text(text) => text.into_response(),
        Answer::Tagged(tag, _) if request.headers().get(IF_NONE_MATCH).is_some_and(|known| known == tag) => {
            StatusCode::NOT_MODIFIED.into_response()
        }
        Answer::Tagged(tag, text) => ([(ETAG, tag)], text).into_response(),
        Answer::Encoded(encoding, body) => ([(CONTENT_ENCODING, encoding)], body).into_response(),
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Busy { seconds } => {
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, seconds.to_string())]).into_response()
        }
        // The path grows, so that a chain of redirects is no loop.
        Answer::Redirect(to) if request.uri().path().len() < 128 => {
            (StatusCode::FOUND, [(LOCATION, to.replace("{path}", request.uri().path()))]).into_response()
        }
        Answer::Redirect(_) => "redirected.example\n".into_response(),
        Answer::Endless => {
            let line = Bytes::from_static(b"pixel.example\n");
            let lines = futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(line.clone()));
            Body::from_stream(lines).into_response()
        }
        Answer::OfLength(length) => {
            let line = Bytes::from_static(b"pixel.example\n");
            let lines = futures_util::stream::repeat_with(move || Ok::<_, std::io::Error>(line.clone()));
            ([(CONTENT_LENGTH, length.to_string())], Body::from_stream(lines)).into_response()
        }
        Answer::Drip => {
            let octets = futures_util::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b"a")), ()))
            });
            Body::from_stream(octets).into_response()
        }
        Answer::Hang => std::future::pending().await,
    }
}

struct TestClock(Mutex<Timestamp>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// Knows one host.
struct Hosts;

impl HostLookup for Hosts {
    fn lookup(&self, host: String) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>> {
        Box::pin(async move {
            match &*host {
                "lists.example" => Ok(vec![[127, 0, 0, 1].into()]),
                // Not only of this machine, so that it counts as one outside.
                "outside.example" => Ok(vec![[127, 0, 0, 1].into(), [203, 0, 113, 7].into()]),
                "router.example" => Ok(vec![[127, 0, 0, 1].into()]),
                _ => Err("NXDOMAIN".to_owned()),
            }
        })
    }
}

/// A household: a directory, a configuration, and the lists while they run.
struct Home {
    directory: tempfile::TempDir,
    options: FeedOptions,
    policy: Arc<LivePolicy>,
    clock: Arc<TestClock>,
    feed: Option<Feed>,
}

impl Home {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = FeedOptions {
            data_dir: Some(directory.path().join("data")),
            sources: Vec::new(),
            own: Vec::new(),
            own_file: "pixelsink.toml".into(),
            size_max: SIZE_MAX,
            timeout: Duration::from_secs(10),
            keep_revisions: 3,
        };
        let clock = Arc::new(TestClock(Mutex::new("2026-01-02T12:00:00Z".parse().unwrap())));
        Self { directory, options, policy: Arc::default(), clock, feed: None }
    }

    fn with(mut self, name: &str, origin: Origin) -> Self {
        self.options.sources.push(source(name, origin));
        self
    }

    fn with_url(self, server: &Server) -> Self {
        self.with("net", Origin::Url(server.url.clone()))
    }

    /// Starts, or stops and starts anew; nothing is in force before.
    async fn start(&mut self) {
        self.feed = None;
        self.policy = Arc::default();
        let (policy, clock) = (Arc::clone(&self.policy), Arc::clone(&self.clock));
        let feed = Feed::start(self.options.clone(), policy, Arc::new(Hosts), clock).await;
        self.feed = Some(feed);
    }

    async fn started(mut self) -> Self {
        self.start().await;
        self.quiet().await;
        self
    }

    fn feed(&self) -> &Feed {
        self.feed.as_ref().unwrap()
    }

    fn status(&self) -> SourceStatus {
        self.feed().status()[0].clone()
    }

    fn problem(&self) -> String {
        self.status().problem.unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn rules_file(&self) -> PathBuf {
        self.path("data/rules.toml")
    }

    /// Where this text of the list `net` is kept.
    fn kept(&self, text: &str) -> PathBuf {
        use sha2::Digest as _;
        let digest = text::hex(&sha2::Sha256::digest(text));
        self.path("data/lists/net").join(text::file_name(&digest))
    }

    async fn refresh(&self) -> SourceStatus {
        self.feed().refresh(None).await.unwrap()[0].clone()
    }

    async fn quiet(&self) {
        until("no refresh runs", PATIENCE, || self.feed().status().iter().all(|source| !source.refreshing))
            .await;
    }

    fn pass(&self, hours: i64) {
        *self.clock.0.lock().unwrap() += SignedDuration::from_hours(hours);
    }

    fn verdict(&self, name: &str) -> String {
        let device = DeviceTable::default().identify([192, 0, 2, 1].into());
        match self.policy.current().judge(&Question::of(&device, DomainName::parse(name).unwrap().as_ref())) {
            Verdict::Pass => "pass".to_owned(),
            Verdict::Allow(rule) => format!("allow {}", rule.list),
            Verdict::Block(rule) => format!("block {}", rule.list),
        }
    }

    #[track_caller]
    fn check(&self, name: &str, expected: &str) {
        assert_eq!(self.verdict(name), expected, "{name}; problem: {:?}", self.problem_of_any());
    }

    fn problem_of_any(&self) -> Vec<Option<String>> {
        self.feed().status().into_iter().map(|source| source.problem).collect()
    }

    async fn write(&self, action: Action, rule: &str) -> Result<OwnChange, FeedError> {
        self.feed().write_own(action, OwnRule::parse(rule).unwrap()).await
    }
}

fn source(name: &str, origin: Origin) -> SourceOptions {
    SourceOptions::new(name, origin)
}

/// Waits for what is to be seen within a time, and fails after it.
#[track_caller]
fn until(what: &str, time: Duration, mut is_so: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let end = Instant::now() + time;
        while !is_so() {
            assert!(Instant::now() < end, "{place}: not seen within {time:?}: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// So many names, told apart by a word.
fn names(word: &str, count: usize) -> String {
    (0..count).map(|number| format!("{word}{number}.example\n")).collect()
}
