//! What a person sees of the lists: a server that behaves and misbehaves, files that are saved, and restarts.

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
/// Long enough for a busy machine. What a person is promised is measured where it is promised.
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

#[tokio::test]
async fn a_list_is_downloaded_by_itself_and_follows_its_server() {
    let server = Server::start("one.example\n").await;
    let home = Home::new().with_url(&server).started().await;
    until("the list is in force", PATIENCE, || home.verdict("one.example") == "block net").await;
    assert_eq!(server.last_asked()[USER_AGENT], concat!("pixelsink/", env!("CARGO_PKG_VERSION")));
    server.text("# changed\ntwo.example\nthree.example\n");
    let status = home.refresh().await;
    home.check("one.example", "pass");
    home.check("two.example", "block net");
    assert_eq!((status.rules, status.format, status.problem), (2, Some(crate::list::Format::Domains), None));
    assert_eq!(status.revision, Some(home.clock.now()));
    let next = status.next.unwrap();
    assert!(home.clock.now() + SignedDuration::from_hours(24) <= next, "{next}");
}

#[tokio::test]
async fn a_list_that_did_not_change_is_not_downloaded_again() {
    let server = Server::start("").await;
    server.set(Answer::Tagged("\"1\"", "one.example\n".to_owned()));
    let mut home = Home::new().with_url(&server).started().await;
    let fetched = home.clock.now();
    home.pass(30);
    let status = home.refresh().await;
    assert_eq!(server.last_asked()[IF_NONE_MATCH], "\"1\"");
    assert_eq!((status.revision, status.checked), (Some(fetched), Some(home.clock.now())));
    assert_eq!(status.problem, None);
    home.check("one.example", "block net");
    // Nor after a restart, which asks nothing while the list is fresh ...
    let asked = server.asked();
    home.pass(23);
    home.start().await;
    home.check("one.example", "block net");
    assert_eq!(home.status().revision, Some(fetched));
    assert!(!home.status().refreshing);
    assert_eq!(server.asked(), asked);
    // ... and asks by itself, with the tag, when it is not.
    home.pass(23);
    home.start().await;
    home.quiet().await;
    until("the server was asked", PATIENCE, || server.asked() == asked + 1).await;
    assert_eq!(server.last_asked()[IF_NONE_MATCH], "\"1\"");
}

#[tokio::test]
async fn whatever_the_server_does_the_last_good_list_stays_and_the_reason_is_told() {
    let server = Server::start("good.example\n").await;
    let mut home = Home::new().with_url(&server);
    home.options.timeout = Duration::from_secs(2);
    let mut home = home.started().await;
    let zstd = |text: &[u8]| zstd::encode_all(text, 3).unwrap();
    let cases = [
        (Answer::Status(500), "was answered with 500 Internal Server Error"),
        (Answer::Status(404), "look for its new address"),
        (Answer::Status(304), "304"),
        (Answer::Status(204), "204"),
        (Answer::Text("<!DOCTYPE html>\n<title>Login</title>\n".into()), "is an HTML page and not a list"),
        (Answer::Text(String::new()), "has no rule in it"),
        (Answer::Text("# all gone\n".into()), "has no rule in it"),
        (Answer::Text("bad.example\n\0\0\0".into()), "not text but binary"),
        (Answer::Text("this is no list\n".repeat(40)), "40 of 40 lines make no sense"),
        (Answer::Endless, "larger than the 64 KiB allowed"),
        (Answer::OfLength(10_000_000_000), "larger than the 64 KiB allowed"),
        // An octet a second never ends, however patient one is with each.
        (Answer::Drip, "did not arrive within 2s"),
        (Answer::Encoded("gzip", include_bytes!("testdata/bomb.txt.gz").into()), "larger than the 64 KiB"),
        (Answer::Encoded("zstd", zstd(&vec![b'\n'; 1 << 22])), "larger than the 64 KiB allowed"),
        (Answer::Encoded("gzip", b"this is not gzip".into()), "came incomplete or garbled"),
        (
            Answer::Text(String::from_utf8_lossy(b"PK\x03\x04").into_owned()),
            "zip file that can't be unpacked",
        ),
        (Answer::Redirect("file:///etc/passwd".into()), "leads nowhere that can be followed"),
        (Answer::Redirect("ftp://127.0.0.1/list".into()), "neither http nor https"),
        (Answer::Redirect("http://127.0.0.1:1/".into()), "can't be reached"),
        (Answer::Hang, "did not arrive within 2s"),
    ];
    for (answer, expected) in cases {
        server.set(answer);
        let status = home.refresh().await;
        let problem = status.problem.unwrap_or_default();
        assert!(problem.contains(expected), "{problem:?} does not tell {expected:?}");
        assert!(problem.starts_with("http://127.0.0.1"), "the URL is named: {problem}");
        assert!(problem.ends_with(". Its last good text stays in force."), "{problem}");
        assert!(status.failed);
        home.check("good.example", "block net");
        assert_eq!(status.rules, 1);
        let next = status.next.unwrap();
        assert!(next <= home.clock.now() + SignedDuration::from_hours(24), "{next}");
    }
    // After a restart too, the server gone altogether.
    server.task.abort();
    home.pass(48);
    home.start().await;
    home.check("good.example", "block net");
    home.quiet().await;
}

#[tokio::test]
async fn a_list_that_failed_comes_back() {
    let server = Server::start("").await;
    server.set(Answer::Busy { seconds: 1200 });
    let home = Home::new().with_url(&server).started().await;
    let status = home.status();
    assert_eq!((status.rules, status.revision, status.format), (0, None, None));
    assert!(home.problem().contains("503"), "{}", home.problem());
    assert!(home.problem().ends_with("by itself. Nothing of it is in force yet."), "{}", home.problem());
    // Not a day later: when the server said.
    let next = home.status().next.unwrap();
    assert_eq!(next, home.clock.now() + SignedDuration::from_mins(20));
    server.text("one.example\n");
    assert_eq!(home.refresh().await.problem, None);
    home.check("one.example", "block net");
}

#[tokio::test]
async fn a_list_that_ends_early_is_not_taken() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\none.example\n";
            let _ = stream.write_all(answer).await;
        }
    });
    let home = Home::new().with("net", Origin::Url(url)).started().await;
    assert!(home.problem().contains("came incomplete"), "{}", home.problem());
    home.check("one.example", "pass");
}

#[tokio::test]
async fn every_encoding_is_read() {
    let server = Server::start("plain.example\n").await;
    let home = Home::new().with_url(&server).started().await;
    let zstd = zstd::encode_all(&b"packed.example\n"[..], 3).unwrap();
    let gzip: &[u8] = include_bytes!("testdata/list.txt.gz");
    for (encoding, body) in [("zstd", &*zstd), ("gzip", gzip)] {
        server.text("plain.example\n");
        assert_eq!(home.refresh().await.problem, None);
        home.check("packed.example", "pass");
        server.set(Answer::Encoded(encoding, body.into()));
        assert_eq!(home.refresh().await.problem, None, "{encoding}");
        home.check("packed.example", "block net");
    }
}

#[tokio::test]
async fn redirects_are_followed_but_not_for_ever() {
    let server = Server::start("").await;
    server.set(Answer::Redirect("{path}/0123456789".to_owned()));
    let home = Home::new().with_url(&server).started().await;
    assert!(home.problem().contains("more than 5 redirects"), "{}", home.problem());
    assert_eq!(server.asked(), 6);
    server.set(Answer::Redirect("{path}/0123456789012345678901234567890".to_owned()));
    assert_eq!(home.refresh().await.problem, None);
    home.check("redirected.example", "block net");
}

#[tokio::test]
async fn a_list_from_outside_is_not_led_into_the_house() {
    let server = Server::start("good.example\n").await;
    let url = server.url.replace("127.0.0.1", "outside.example");
    let home = Home::new().with("net", Origin::Url(url)).started().await;
    home.refresh().await;
    home.check("good.example", "block net");
    let asked = server.asked();
    let inside = server.url.clone();
    for (to, expected) in [
        (inside.clone(), "a redirect into your network"),
        (inside.replace("127.0.0.1", "[::1]"), "a redirect into your network"),
        (inside.replace("127.0.0.1", "router.example"), "it is in your network"),
    ] {
        server.set(Answer::Redirect(to.clone()));
        let problem = home.refresh().await.problem.unwrap_or_default();
        assert!(problem.contains(expected), "{to}: {problem}");
        home.check("good.example", "block net");
    }
    assert_eq!(server.asked(), asked + 3, "none of them was followed");
    server.set(Answer::Redirect(
        inside.replace("127.0.0.1", "outside.example") + "{path}012345678901234567890123456789",
    ));
    assert_eq!(home.refresh().await.problem, None, "to itself it may");
}

#[tokio::test]
async fn hosts_are_looked_up_over_the_daemons_own_upstreams() {
    let server = Server::start("one.example\n").await;
    let url = server.url.replace("127.0.0.1", "lists.example");
    let home = Home::new()
        .with("net", Origin::Url(url))
        .with("gone", Origin::Url("http://gone.example/list.txt".into()))
        .with("ftp", Origin::Url("ftp://lists.example/list.txt".into()))
        .with("tls", Origin::Url(server.url.replace("http:", "https:")))
        .started()
        .await;
    home.refresh().await;
    home.check("one.example", "block net");
    let problems = home.problem_of_any();
    assert!(problems[1].as_ref().unwrap().contains("gone.example was not found: NXDOMAIN"), "{problems:?}");
    assert!(problems[2].as_ref().unwrap().contains("neither http nor https"), "{problems:?}");
    // A server without TLS; or a machine without certificates.
    let tls = problems[3].as_ref().unwrap();
    assert!(tls.contains("can't be reached") || tls.contains("`ca-certificates`"), "{problems:?}");
}

#[tokio::test]
async fn a_damaged_revision_is_set_aside_and_fetched_anew() {
    let server = Server::start("one.example\n").await;
    let mut home = Home::new().with_url(&server).started().await;
    home.refresh().await;
    let kept = home.kept("one.example\n");
    // As long as it was: that is seen when it is read.
    let length = std::fs::read(&kept).unwrap().len();
    std::fs::write(&kept, vec![0; length]).unwrap();
    server.set(Answer::Hang);
    home.start().await;
    let lost = ".zst.damaged. Nothing of it is in force yet.";
    let problem = || home.feed().status()[0].problem.clone().unwrap_or_default();
    until("the damage is found", PATIENCE, || problem().ends_with(lost)).await;
    assert!(!home.status().failed, "{}", home.problem());
    until("it is compiled without it", PATIENCE, || home.verdict("one.example") == "pass").await;
    server.text("one.example\n");
    home.start().await;
    until("the list is there again", PATIENCE, || home.verdict("one.example") == "block net").await;
    assert!(disk::beside(&kept, ".damaged").exists());
}

#[tokio::test]
async fn a_changed_url_is_asked_without_the_old_tag_and_the_old_list_serves_meanwhile() {
    let (old, new) = (Server::start("").await, Server::start("").await);
    old.set(Answer::Tagged("\"1\"", "old.example\n".to_owned()));
    new.set(Answer::Status(500));
    let mut home = Home::new().with_url(&old).started().await;
    home.refresh().await;
    home.options.sources[0].origin = Origin::Url(new.url.clone());
    home.start().await;
    home.check("old.example", "block net");
    home.quiet().await;
    until("the new server was asked", PATIENCE, || new.asked() == 1).await;
    assert!(!new.last_asked().contains_key(IF_NONE_MATCH));
    home.check("old.example", "block net");
    new.text("new.example\n");
    home.refresh().await;
    home.check("old.example", "pass");
    home.check("new.example", "block net");
}

#[tokio::test]
async fn a_list_that_can_not_be_kept_is_in_force_all_the_same() {
    let server = Server::start("one.example\n").await;
    let home = Home::new().with_url(&server);
    // A file where the directory should be: refused to root too.
    std::fs::create_dir_all(home.path("data")).unwrap();
    std::fs::write(home.path("data/lists"), "").unwrap();
    let home = home.started().await;
    home.refresh().await;
    home.check("one.example", "block net");
    let status = home.status();
    let problem = status.problem.unwrap();
    assert!(problem.starts_with("Its newest text could not be kept in /"), "{problem}");
    assert!(problem.ends_with("let the daemon write there."), "{problem}");
    assert!(!status.failed, "the refresh itself went well: {problem}");
}

#[tokio::test]
async fn a_list_that_is_looked_at_with_a_password_is_told_without_it() {
    let server = Server::start("").await;
    server.set(Answer::Status(403));
    let secret = server.url.replace("http://", "http://me:hush@") + "?token=hush";
    let home = Home::new()
        .with("net", Origin::Url(secret.clone()))
        .with("gone", Origin::Url("http://me:hush@gone.example/?token=hush".into()))
        .started()
        .await;
    home.refresh().await;
    for problem in home.problem_of_any() {
        let problem = problem.unwrap();
        assert!(!problem.contains("hush") && problem.contains("?token=***"), "{problem}");
    }
}

#[tokio::test]
async fn a_list_that_came_while_the_disk_was_full_is_there_after_a_restart() {
    let server = Server::start("").await;
    server.set(Answer::Tagged("\"1\"", "old.example\n".to_owned()));
    let mut home = Home::new().with_url(&server).started().await;
    home.refresh().await;
    // A directory where the new text is written: refused to root too.
    let in_the_way = home.kept("new.example\n");
    std::fs::create_dir(&in_the_way).unwrap();
    server.set(Answer::Tagged("\"2\"", "new.example\n".to_owned()));
    home.refresh().await;
    assert!(home.problem().contains("could not be kept in"), "{}", home.problem());
    std::fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(home.refresh().await.problem, None);
    assert_eq!(server.last_asked()[IF_NONE_MATCH], "\"2\"");
    server.task.abort();
    home.start().await;
    home.check("new.example", "block net");
    assert_eq!(home.problem(), "");
}

#[tokio::test]
async fn a_list_is_there_after_a_restart_in_a_data_directory_that_had_another_text_of_it() {
    let server = Server::start("").await;
    server.set(Answer::Tagged("\"1\"", "old.example\n".to_owned()));
    let mut home = Home::new().with_url(&server).started().await;
    home.refresh().await;
    // To another place and back, the text changing in between.
    server.set(Answer::Tagged("\"2\"", "new.example\n".to_owned()));
    for data_dir in [home.path("second"), home.path("data")] {
        home.options.data_dir = Some(data_dir);
        home.feed().reconfigure(home.options.clone()).await.unwrap();
        assert_eq!(home.refresh().await.problem, None);
    }
    server.task.abort();
    home.start().await;
    home.check("new.example", "block net");
}

#[tokio::test]
async fn without_a_data_directory_all_is_in_memory() {
    let server = Server::start("one.example\n").await;
    let mut home = Home::new().with_url(&server);
    home.options.data_dir = None;
    let home = home.started().await;
    assert_eq!(home.refresh().await.problem, None);
    home.check("one.example", "block net");
    assert_eq!(home.write(Action::Allow, "one.example").await, Ok(OwnChange::Written));
    home.check("one.example", "allow own rules");
    assert_eq!(home.feed().own_rules()[0].file, "own rules".into());
    assert!(std::fs::read_dir(home.directory.path()).unwrap().next().is_none());
}

#[tokio::test]
async fn a_changed_configuration_touches_only_what_changed() {
    let server = Server::start("net.example\n").await;
    let mut home = Home::new()
        .with_url(&server)
        .with("mine", Origin::Inline("mine.example\n".into()))
        .with(
            "built-in",
            Origin::BuiltIn(crate::list::parse(b"||in.example^", Default::default()).rules.into()),
        )
        .started()
        .await;
    home.refresh().await;
    home.check("a.in.example", "block built-in");
    home.check("mine.example", "block mine");
    let asked = server.asked();
    home.options.sources[1].kind = SourceKind::Allow;
    home.options.sources[1].subdomains = true;
    home.options.sources.remove(2);
    home.options.sources.push(source("more", Origin::Inline("more.example\n".into())));
    home.feed().reconfigure(home.options.clone()).await.unwrap();
    home.check("a.mine.example", "allow mine");
    home.check("a.in.example", "pass");
    home.check("more.example", "block more");
    home.check("net.example", "block net");
    assert_eq!(server.asked(), asked);
    let names: Vec<_> = home.feed().status().iter().map(|source| source.options.name.to_string()).collect();
    assert_eq!(names, ["net", "mine", "more"]);
    // A list that is taken out and put in again comes back from the disk.
    let net = home.options.sources.remove(0);
    home.feed().reconfigure(home.options.clone()).await.unwrap();
    home.check("net.example", "pass");
    home.options.sources.push(net);
    home.feed().reconfigure(home.options.clone()).await.unwrap();
    home.check("net.example", "block net");
    assert_eq!(server.asked(), asked);
    assert_eq!(home.feed().refresh(Some("nothing")).await, Err(FeedError::UnknownList("nothing".into())));
}

#[tokio::test]
async fn a_saved_file_takes_effect_within_a_second() {
    let home = Home::new();
    let path = home.path("mine.txt");
    std::fs::write(&path, "one.example\n").unwrap();
    let home = home.with("mine", Origin::File(path.clone())).started().await;
    home.check("one.example", "block mine");
    assert_eq!(home.status().next, None);
    // As a shell writes, and as an editor saves. This one time is measured; a busy machine is given more for the rest.
    std::fs::write(&path, "# two\ntwo.example\n").unwrap();
    until("written over", Duration::from_secs(1), || home.verdict("two.example") == "block mine").await;
    home.check("one.example", "pass");
    for name in ["three.example", "four.example"] {
        std::fs::write(home.path("mine.txt.swp"), format!("{name}\n")).unwrap();
        std::fs::rename(home.path("mine.txt.swp"), &path).unwrap();
        until("renamed over", PATIENCE, || home.verdict(name) == "block mine").await;
    }
    // Through a link, which is saved where it points to.
    let (linked, elsewhere) = (home.path("linked.txt"), home.path("elsewhere"));
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("real.txt"), "five.example\n").unwrap();
    std::os::unix::fs::symlink(elsewhere.join("real.txt"), &linked).unwrap();
    let mut options = home.options.clone();
    options.sources.push(source("linked", Origin::File(linked)));
    home.feed().reconfigure(options).await.unwrap();
    home.check("five.example", "block linked");
    std::fs::write(elsewhere.join("real.txt"), "six.example\n").unwrap();
    until("written through a link", PATIENCE, || home.verdict("six.example") == "block linked").await;
}

#[tokio::test]
async fn a_server_that_hangs_delays_no_one_else() {
    let (slow, quick) = (Server::start("").await, Server::start("quick.example\n").await);
    slow.set(Answer::Hang);
    let home = Home::new();
    let path = home.path("mine.txt");
    std::fs::write(&path, "one.example\n").unwrap();
    let mut home = home
        .with("mine", Origin::File(path.clone()))
        .with("slow", Origin::Url(slow.url.clone()))
        .with("quick", Origin::Url(quick.url.clone()));
    home.start().await;
    home.check("one.example", "block mine");
    until("the quick list", PATIENCE, || home.verdict("quick.example") == "block quick").await;
    std::fs::write(&path, "two.example\n").unwrap();
    until("saved", PATIENCE, || home.verdict("two.example") == "block mine").await;
    assert!(home.feed().status()[1].refreshing);
    assert_eq!(home.write(Action::Allow, "two.example").await, Ok(OwnChange::Written));
    home.check("two.example", "allow own rules");
}

#[tokio::test]
async fn a_list_is_fetched_at_once_when_what_was_wrong_with_it_is_corrected() {
    let server = Server::start("0.0.0.0 one.example\n").await;
    let mut home = Home::new().with_url(&server).started().await;
    home.refresh().await;
    // What the server has next is refused for a wrong format only.
    server.text("0.0.0.0 two.example\n");
    home.options.sources[0].format = Some(crate::list::Format::Domains);
    home.feed().reconfigure(home.options.clone()).await.unwrap();
    until("it failed by itself", PATIENCE, || home.status().failed).await;
    home.options.sources[0].format = None;
    home.feed().reconfigure(home.options.clone()).await.unwrap();
    until("the list is there", PATIENCE, || home.verdict("two.example") == "block net").await;
    assert_eq!(home.problem(), "");
    // Or when the server was mended, and the person reloads to see it.
    server.set(Answer::Status(500));
    home.refresh().await;
    server.text("three.example\n");
    home.feed().reconfigure(home.options.clone()).await.unwrap();
    until("the list is there", PATIENCE, || home.verdict("three.example") == "block net").await;
}

#[tokio::test]
async fn a_reload_does_not_wait_for_a_drive_that_hangs() {
    let mut home = Home::new().started().await;
    std::fs::write(home.path("slow.txt"), "slow.example\n").unwrap();
    // A pipe where the text is kept: whoever writes waits until someone reads.
    let pipe = home.path("data/lists/slow/revisions.json.new");
    std::fs::create_dir_all(pipe.parent().unwrap()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    home.options.sources.push(source("slow", Origin::File(home.path("slow.txt"))));
    home.options.sources.push(source("mine", Origin::Inline("mine.example\n".into())));
    let reload = home.feed().reconfigure(home.options.clone());
    let ended = tokio::time::timeout(PATIENCE, reload).await;
    let verdicts = [home.verdict("mine.example"), home.verdict("slow.example")];
    // The drive answers again; until then not even the test could end.
    tokio::task::spawn_blocking(move || std::fs::read(pipe)).await.unwrap().unwrap();
    ended.expect("the reload ends").unwrap();
    assert_eq!(verdicts, ["block mine", "block slow"], "to be in force they need not be kept");
    until("the file is in force", PATIENCE, || home.verdict("slow.example") == "block slow").await;
}

#[tokio::test]
async fn lists_that_are_served_no_longer_are_noticed() {
    let server = Server::start("one.example\n").await;
    let home = Home::new().with_url(&server).started().await;
    home.refresh().await;
    let ended = tokio::spawn({
        let feed = home.feed().clone();
        async move { feed.ended().await }
    });
    home.refresh().await;
    assert!(!ended.is_finished());
    // Whoever asks this clock for the time panics.
    let clock = Arc::clone(&home.clock);
    let _ = std::thread::spawn(move || {
        let _now = clock.0.lock().unwrap();
        panic!("a fault that no one thought of")
    })
    .join();
    assert_eq!(home.feed().refresh(None).await, Err(FeedError::Closed));
    tokio::time::timeout(PATIENCE, ended).await.expect("it is told").unwrap();
}

#[tokio::test]
async fn a_moved_data_directory_is_used_from_then_on() {
    let server = Server::start("one.example\n").await;
    let mut home = Home::new().with_url(&server).started().await;
    home.refresh().await;
    home.options.data_dir = Some(home.path("moved"));
    home.feed().reconfigure(home.options.clone()).await.unwrap();
    home.check("one.example", "block net");
    assert!(home.status().next.is_some());
    assert_eq!(home.refresh().await.problem, None);
    assert!(home.path("moved/lists/net/revisions.json").exists());
    home.write(Action::Allow, "one.example").await.unwrap();
    assert!(home.path("moved/rules.toml").exists());
}

#[tokio::test]
async fn a_file_that_vanishes_or_is_no_list_leaves_its_last_good_text_in_force() {
    let home = Home::new();
    let path = home.path("mine.txt");
    std::fs::write(&path, "one.example\n").unwrap();
    let mut home = home.with("mine", Origin::File(path.clone())).started().await;
    std::fs::remove_file(&path).unwrap();
    until("it is told", PATIENCE, || home.problem().contains("mine.txt can't be read")).await;
    home.check("one.example", "block mine");
    home.start().await;
    home.check("one.example", "block mine");
    until("it is told", PATIENCE, || home.problem().contains("last good text stays in force")).await;
    std::fs::write(&path, "<html>\n").unwrap();
    until("it is told", PATIENCE, || home.problem().contains("HTML page")).await;
    home.check("one.example", "block mine");
    std::fs::write(&path, "two.example\n").unwrap();
    until("the file is good again", PATIENCE, || home.verdict("two.example") == "block mine").await;
    assert_eq!(home.problem(), "");
    // A directory in its place is no reason to stop either.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    until("it is told", PATIENCE, || home.problem().contains("it is not a file")).await;
    home.check("two.example", "block mine");
}

#[tokio::test]
async fn a_file_that_can_not_be_watched_is_looked_at_all_the_same() {
    let home = Home::new();
    let path = home.path("not-there-yet/mine.txt");
    let home = home.with("mine", Origin::File(path.clone())).started().await;
    until("it is told", PATIENCE, || home.problem().contains("can't be watched")).await;
    let problem = home.problem();
    assert!(problem.contains("from the configuration. Nothing of it is in force yet. /"), "{problem}");
    assert!(problem.ends_with("every 30 seconds instead."), "{problem}");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "one.example\n").unwrap();
    let status = home.refresh().await;
    home.check("one.example", "block mine");
    assert!(!status.failed, "{:?}", status.problem);
}

#[tokio::test]
async fn own_rules_are_in_force_at_once_and_comments_stay() {
    let mut home = Home::new().with("mine", Origin::Inline("||pixel.example^\n".into()));
    let rule = |text| OwnRule::parse(text).unwrap();
    home.options.own = vec![(Action::Block, rule("tv.example"), 7), (Action::Allow, rule("=a.example"), 8)];
    let mut home = home.started().await;
    home.check("tv.example", "block pixelsink.toml");
    assert_eq!(home.write(Action::Allow, "pixel.example").await, Ok(OwnChange::Written));
    home.check("a.pixel.example", "allow own rules");
    assert_eq!(home.write(Action::Allow, "||pixel.example^").await, Ok(OwnChange::Unchanged));
    assert_eq!(home.write(Action::Block, "tv.example").await, Ok(OwnChange::Unchanged));
    // The page's word is newer than the configuration's.
    assert_eq!(home.write(Action::Allow, "tv.example").await, Ok(OwnChange::Written));
    home.check("tv.example", "allow own rules");
    // A person writes comments, and the page leaves them.
    let text = "# for the\n# kitchen radio\n[rules]\nblock = [\n  \"radio.example\", # noisy\n]\n";
    std::fs::write(home.rules_file(), text).unwrap();
    until("own edit", PATIENCE, || home.verdict("radio.example") == "block own rules").await;
    home.check("tv.example", "block pixelsink.toml");
    home.write(Action::Block, "more.example").await.unwrap();
    let written = std::fs::read_to_string(home.rules_file()).unwrap();
    assert_eq!(written, text.replace("noisy\n", "noisy\n  \"more.example\",\n"));
    home.start().await;
    home.check("more.example", "block own rules");
    let removable: Vec<_> = home.feed().own_rules().iter().map(|rule| (rule.line, rule.removable)).collect();
    assert_eq!(removable, [(5, true), (6, true), (7, false), (8, false)]);
    assert_eq!(home.feed().forget_own(rule("more.example")).await, Ok(OwnChange::Removed));
    assert_eq!(home.feed().forget_own(rule("more.example")).await, Ok(OwnChange::Absent));
    assert_eq!(home.feed().forget_own(rule("tv.example")).await, Ok(OwnChange::Absent));
    assert_eq!(std::fs::read_to_string(home.rules_file()).unwrap(), text);
    home.check("more.example", "pass");
}

#[tokio::test]
async fn own_rules_that_someone_broke_stay_as_they_were_and_are_not_written_over() {
    let mut home = Home::new().started().await;
    home.write(Action::Block, "one.example").await.unwrap();
    let good = std::fs::read_to_string(home.rules_file()).unwrap();
    let broken = good.replace("block = [", "block = [[");
    std::fs::write(home.rules_file(), &broken).unwrap();
    until("it is told", PATIENCE, || home.feed().own_problem().is_some()).await;
    let problem = home.feed().own_problem().unwrap();
    assert!(problem.contains("rules.toml: line "), "{problem}");
    home.check("one.example", "block own rules");
    let refused = home.write(Action::Block, "two.example").await.unwrap_err().to_string();
    assert!(refused.contains("mend the file first"), "{refused}");
    assert_eq!(std::fs::read_to_string(home.rules_file()).unwrap(), broken);
    // Over a restart too.
    home.start().await;
    home.check("one.example", "block own rules");
    assert!(home.feed().own_problem().unwrap().contains("what it said before stays in force"));
    std::fs::write(home.rules_file(), good.replace("one", "two")).unwrap();
    until("mended", PATIENCE, || home.feed().own_problem().is_none()).await;
    home.check("two.example", "block own rules");
    home.check("one.example", "pass");
}

#[tokio::test]
async fn own_rules_whose_file_is_deleted_are_taken_back_but_can_be_found_again() {
    let home = Home::new().started().await;
    home.write(Action::Block, "one.example").await.unwrap();
    let good = std::fs::read_to_string(home.rules_file()).unwrap();
    std::fs::remove_file(home.rules_file()).unwrap();
    until("they are taken back", PATIENCE, || home.verdict("one.example") == "pass").await;
    let copy = home.path("data/rules.toml.last-good");
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), good);
    std::fs::copy(&copy, home.rules_file()).unwrap();
    until("they are back", PATIENCE, || home.verdict("one.example") == "block own rules").await;
    // Who empties the file wants none.
    std::fs::write(home.rules_file(), "").unwrap();
    until("they are taken back", PATIENCE, || home.verdict("one.example") == "pass").await;
    until("the copy too", PATIENCE, || std::fs::read(&copy).unwrap().is_empty()).await;
}

#[tokio::test]
async fn own_rules_that_can_not_be_written_are_refused_with_the_reason() {
    let mut home = Home::new();
    std::fs::write(home.path("data"), "a file where the directory should be").unwrap();
    home = home.started().await;
    let refused = home.write(Action::Block, "two.example").await.unwrap_err().to_string();
    assert!(refused.contains("nothing was changed") || refused.contains("can't be read"), "{refused}");
    home.check("two.example", "pass");
}

#[tokio::test]
async fn all_work_ends_with_the_last_handle() {
    let server = Server::start("").await;
    server.set(Answer::Hang);
    let mut home = Home::new().with_url(&server);
    home.start().await;
    let feed = home.feed().clone();
    home.feed = None;
    let waiting = tokio::spawn({
        let view = Arc::downgrade(&feed.view);
        async move { view }
    });
    let view = waiting.await.unwrap();
    drop(feed);
    until("the task let go of everything", PATIENCE, || view.strong_count() == 0).await;
}

/// Every kept file is of the list's directory, beside the compiled ruleset; nothing else is written.
#[tokio::test]
async fn what_is_kept_is_where_it_is_said_to_be() {
    let server = Server::start("one.example\n").await;
    let home = Home::new().with_url(&server).started().await;
    home.refresh().await;
    let mut names: Vec<String> = files(&home.path("data"));
    names.sort();
    let text = home.kept("one.example\n");
    assert_eq!(names, [text.file_name().unwrap().to_str().unwrap(), "revisions.json", "ruleset.bin"]);
    let note = std::fs::read_to_string(home.path("data/lists/net/revisions.json")).unwrap();
    let note: serde_json::Value = serde_json::from_str(&note).unwrap();
    assert_eq!(note["revisions"][0]["url"], server.url);
    assert_eq!(note["revisions"][0]["size"], 12);
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .flat_map(|entry| match entry.file_type().unwrap().is_dir() {
            true => files(&entry.path()),
            false => vec![entry.file_name().into_string().unwrap()],
        })
        .collect()
}

/// So many names, told apart by a word.
fn names(word: &str, count: usize) -> String {
    (0..count).map(|number| format!("{word}{number}.example\n")).collect()
}

#[tokio::test]
async fn a_list_that_lost_most_of_its_rules_waits_until_it_is_accepted() {
    let server = Server::start("").await;
    server.set(Answer::Tagged("\"1\"", names("a", 1000)));
    let mut home = Home::new().with_url(&server).started().await;
    home.refresh().await;
    server.set(Answer::Tagged("\"2\"", names("a", 10)));
    let status = home.refresh().await;
    home.check("a999.example", "block net");
    let waiting = status.waiting.unwrap();
    assert_eq!((waiting.rules, status.rules, status.failed), (10, 1000, false));
    assert!(waiting.reason.contains("more than half are gone"), "{}", waiting.reason);
    assert!(home.problem().contains("pixelsink lists accept net"), "{}", home.problem());
    let diff = home.feed().diff("net", None, Some("waiting")).await.unwrap();
    assert_eq!((diff.came_total, diff.went_total, diff.went[0].rule.as_str()), (0, 990, "=a10.example"));
    // It is asked for by its own tag, and waits over a restart.
    home.refresh().await;
    assert_eq!(server.last_asked()[IF_NONE_MATCH], "\"2\"");
    home.start().await;
    home.check("a999.example", "block net");
    assert_eq!(home.status().waiting, Some(waiting));
    let status = home.feed().accept("net").await.unwrap();
    assert_eq!((status.waiting, status.rules), (None, 10));
    home.check("a999.example", "pass");
    assert_eq!(home.problem(), "");
    home.start().await;
    home.check("a9.example", "block net");
    home.check("a999.example", "pass");
    let again = home.feed().accept("net").await.unwrap_err().to_string();
    assert!(again.contains("no revision of `net` waits"), "{again}");
    assert_eq!(home.feed().accept("nothing").await, Err(FeedError::UnknownList("nothing".into())));
}

#[tokio::test]
async fn a_list_that_is_whole_again_waits_no_longer() {
    let server = Server::start(&names("a", 1000)).await;
    let home = Home::new().with_url(&server).started().await;
    home.refresh().await;
    server.text(&names("a", 10));
    assert!(home.refresh().await.waiting.is_some());
    server.text(&names("a", 990));
    let status = home.refresh().await;
    assert_eq!((status.waiting, status.rules, status.problem), (None, 990, None));
    // 12 % at once is what real authors do.
    server.text(&names("a", 880));
    assert_eq!(home.refresh().await.rules, 880);
    let kept = home.feed().revisions("net").unwrap();
    assert_eq!(kept.iter().map(|revision| revision.rules.unwrap()).collect::<Vec<_>>(), [880, 990, 1000]);
    // A file that a person saves is taken as it is, and so is another list under the same name.
    let mut options = home.options.clone();
    std::fs::write(home.path("mine.txt"), names("b", 5)).unwrap();
    options.sources[0].origin = Origin::File(home.path("mine.txt"));
    home.feed().reconfigure(options).await.unwrap();
    home.check("b4.example", "block net");
}

#[tokio::test]
async fn a_person_returns_to_an_older_revision_and_it_stays() {
    let server = Server::start("one.example\n").await;
    let mut home = Home::new().with_url(&server).started().await;
    home.refresh().await;
    let none = home.feed().rollback("net", None).await.unwrap_err().to_string();
    assert!(none.contains("no earlier revision of `net`"), "{none}");
    for text in ["two.example\n", "three.example\n"] {
        server.text(text);
        home.refresh().await;
    }
    let status = home.feed().rollback("net", None).await.unwrap();
    assert_eq!(status.held_since, Some(home.clock.now()));
    home.check("two.example", "block net");
    home.check("three.example", "pass");
    server.text("four.example\n");
    home.refresh().await;
    home.start().await;
    home.refresh().await;
    home.check("two.example", "block net");
    home.check("four.example", "pass");
    let diff =
        home.feed().diff("net", None, Some(&home.feed().revisions("net").unwrap()[0].id)).await.unwrap();
    assert_eq!((diff.came[0].rule.as_str(), diff.went[0].rule.as_str()), ("=four.example", "=two.example"));
    let status = home.feed().follow("net").await.unwrap();
    assert_eq!(status.held_since, None);
    home.check("four.example", "block net");
    home.check("two.example", "pass");
    let unknown = home.feed().rollback("net", Some("xyz")).await.unwrap_err().to_string();
    assert!(unknown.contains("lists revisions net"), "{unknown}");
}

#[tokio::test]
async fn a_mirror_serves_when_the_first_address_does_not() {
    let (first, second) = (Server::start("").await, Server::start("").await);
    first.set(Answer::Status(500));
    second.set(Answer::Tagged("\"2\"", names("a", 1000)));
    let mut home = Home::new().with_url(&first);
    home.options.sources[0].mirrors = vec![second.url.clone()];
    let home = home.started().await;
    let status = home.refresh().await;
    assert_eq!((status.problem, status.served_by), (None, Some(second.url.clone())));
    assert_eq!(second.last_asked()[IF_NONE_MATCH], "\"2\"");
    // What one serves is compared with what the other has: an odd text is taken from none.
    first.set(Answer::Tagged("\"1\"", names("a", 3)));
    let status = home.refresh().await;
    assert_eq!((status.problem, status.rules), (None, 1000));
    assert_eq!(status.waiting, None);
    second.set(Answer::Text("<html>".into()));
    let status = home.refresh().await;
    assert_eq!((status.waiting.map(|waiting| waiting.rules), status.rules), (Some(3), 1000));
    first.set(Answer::Status(404));
    let problem = home.refresh().await.problem.unwrap();
    assert!(problem.contains("404") && problem.contains("HTML page"), "{problem}");
}

#[tokio::test]
async fn rules_that_would_break_the_net_are_held_back_until_they_are_accepted() {
    let server = Server::start("||one.example^\n||google.com^\n=x\n||youtube.com^\n").await;
    let home = Home::new().with_url(&server);
    let mut home = home.with("mine", Origin::Inline("||facebook.com^\n".into())).started().await;
    let status = home.refresh().await;
    home.check("one.example", "block net");
    home.check("google.com", "pass");
    home.check("facebook.com", "block mine");
    assert_eq!((status.quarantined_total, status.quarantined[0].rule.as_str()), (2, "||google.com^"));
    assert_eq!(status.quarantined[0].line, 2);
    assert!(status.quarantined[0].reason.to_string().contains("it would block google.com"));
    assert_eq!(status.problem, None);
    let status = home.feed().accept_rule("net", "||google.com^").await.unwrap();
    assert_eq!(status.quarantined_total, 1);
    home.check("google.com", "block net");
    home.check("youtube.com", "pass");
    home.start().await;
    home.check("google.com", "block net");
    assert_eq!(home.feed().accept_rules("net").await.unwrap().quarantined_total, 0);
    home.check("youtube.com", "block net");
    let none = home.feed().accept_rule("net", "||one.example^").await.unwrap_err().to_string();
    assert!(none.contains("has no rule `||one.example^` that is held back"), "{none}");
    // Taken back in the file.
    std::fs::write(home.path("data/accepted.toml"), "[accepted]\n").unwrap();
    until("it is read", PATIENCE, || home.verdict("google.com") == "pass").await;
    std::fs::write(home.path("data/accepted.toml"), "[accepted\n").unwrap();
    until("it is told", PATIENCE, || home.feed().accepted_problem().is_some()).await;
}

#[tokio::test]
async fn packed_and_foreign_texts_are_read() {
    let server = Server::start("plain.example\n").await;
    let home = Home::new().with_url(&server).started().await;
    home.refresh().await;
    let utf_16: Vec<u8> = "\u{feff}wide.example\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, body) in [
        ("gz.example", unpack::tests::gzip(b"gz.example\n")),
        ("zip.example", unpack::tests::zip(&[("a.txt", b"zip.example\n")], true, false)),
        ("wide.example", utf_16),
    ] {
        server.set(Answer::Encoded("identity", body));
        assert_eq!(home.refresh().await.problem, None, "{name}");
        home.check(name, "block net");
    }
}

#[tokio::test]
async fn a_damaged_text_gives_way_to_the_one_before_it() {
    let server = Server::start("one.example\n").await;
    let mut home = Home::new().with_url(&server).started().await;
    home.refresh().await;
    server.text("two.example\n");
    home.refresh().await;
    let kept = home.kept("two.example\n");
    let length = std::fs::read(&kept).unwrap().len();
    std::fs::write(&kept, vec![0; length]).unwrap();
    server.set(Answer::Hang);
    home.start().await;
    until("the damage is found", PATIENCE, || home.verdict("one.example") == "block net").await;
    assert!(home.problem().contains(".zst.damaged"), "{}", home.problem());
}
