//! The page as a browser or a stranger meets it: over a socket.

use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::SystemClock;
use crate::device::DeviceTable;
use crate::event::{Answered, Heard, QueryEvent, Silence};
use crate::feed::{CatalogueOptions, FeedOptions, HostLookup};
use crate::history::HistoryOptions;
use crate::list::{Action, OwnRule};
use crate::name::DomainName;
use crate::policy::{RuleRef, Verdict};

/// Grants every wish, and repeats it.
struct Echo;

impl Control for Echo {
    fn execute(&self, command: Command) -> Pin<Box<dyn Future<Output = Result<Done, Refused>> + Send + '_>> {
        Box::pin(async move {
            match command {
                Command::Refresh(Some(list)) if list == "long" => Err(Refused::Failed("why ".repeat(10_000))),
                Command::Refresh(Some(list)) => Err(Refused::Unknown(format!("there is no list `{list}`"))),
                Command::Allow(rule) => Ok(Done(format!("`{rule}` is allowed"))),
                command => Ok(Done(format!("{command:?}"))),
            }
        })
    }

    fn metrics(&self) -> Pin<Box<dyn Future<Output = String> + Send + '_>> {
        Box::pin(async { "# EOF\n".to_owned() })
    }
}

struct NoHosts;

impl HostLookup for NoHosts {
    fn lookup(&self, host: String) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send>> {
        Box::pin(async move { Err(format!("{host} is not looked up in a test")) })
    }
}

/// A daemon in whose configuration these rules stand.
async fn parts(own: &[(Action, &str)]) -> Arc<Parts> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let catalogue = Arc::<LiveCatalogue>::default();
    let minute = Duration::from_secs(60);
    let history = HistoryOptions {
        file: None,
        flush_interval: minute,
        events_kept: minute,
        counts_kept: minute,
        size_max: 1_000_000,
    };
    let feed = FeedOptions {
        data_dir: None,
        sources: Vec::new(),
        own: own.iter().map(|(action, rule)| (*action, OwnRule::parse(rule).unwrap(), 1)).collect(),
        own_file: "pixelsink.toml".into(),
        size_max: 1_000_000,
        timeout: minute,
        keep_revisions: 1,
    };
    let policy = Arc::new(LivePolicy::default());
    let feed = Feed::start(feed, Arc::clone(&policy), Arc::new(NoHosts), Arc::clone(&clock)).await;
    Arc::new(Parts {
        history: History::open(
            history,
            Arc::clone(&catalogue),
            Arc::default(),
            Arc::clone(&clock),
            Arc::new(Silence),
        ),
        catalogues: Catalogues::start(
            CatalogueOptions::default(),
            Arc::clone(&catalogue),
            Arc::new(NoHosts),
            Arc::clone(&clock),
        ),
        feed,
        policy,
        local: Arc::default(),
        devices: Arc::default(),
        catalogue,
        live: LiveViews::default(),
        control: Arc::new(Echo),
        access: Access::open(None, Arc::clone(&clock)),
        monitoring_from: Arc::default(),
        started: clock.now(),
        clock,
        time_zone: TimeZone::UTC,
        about: Arc::new(About::default),
        host_names: Arc::new(ArcSwap::from_pointee(vec!["pi.example.net".to_owned()])),
        presence: Arc::new(|_| None),
        cache: Arc::new(api::CacheStatus::default),
    })
}

/// A page that is served until it is dropped.
struct Served {
    address: SocketAddr,
    cancel: CancellationToken,
    serving: Option<tokio::task::JoinHandle<()>>,
    parts: Arc<Parts>,
}

impl Served {
    async fn start(make: fn(Arc<Parts>) -> Router) -> Self {
        Self::with_own_rules(make, &[]).await
    }

    async fn with_own_rules(make: fn(Arc<Parts>) -> Router, own: &[(Action, &str)]) -> Self {
        let parts = parts(own).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let cancel = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, make(Arc::clone(&parts)), Arc::default(), cancel.clone()));
        Self { address, cancel, serving: Some(serving), parts }
    }

    async fn open(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Sends a request of one line and some headers; the answer is in lower case up to its body.
    async fn ask(&self, line: &str, headers: &[&str], body: &str) -> (u16, String, String) {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        let mut answer = Vec::new();
        let mut stream = self.open(&request).await;
        // What refuses a long body may reset the connection after its answer.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    async fn get(&self, target: &str) -> (u16, String, String) {
        self.ask(&format!("GET {target}"), &["Host: localhost"], "").await
    }

    async fn post(&self, target: &str, headers: &[&str], body: &str) -> (u16, String, String) {
        let fixed = ["Host: localhost", "Content-Type: application/x-www-form-urlencoded"];
        self.ask(&format!("POST {target}"), &[&fixed, headers].concat(), body).await
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

#[tokio::test]
async fn a_strangers_name_is_refused_on_every_address() {
    let page = Served::start(router).await;
    for target in ["/", "/api/v1/rules", "/assets/x/app.js", "/healthz", "/nowhere"] {
        let line = format!("GET {target}");
        assert_eq!(page.ask(&line, &["Host: evil.example"], "").await.0, 421, "{target}");
        assert_eq!(page.ask(&line, &["Host:"], "").await.0, 421, "{target}");
    }
    let absolute = "GET http://evil.example/rules";
    assert_eq!(page.ask(absolute, &["Host: localhost"], "").await.0, 421);
    let (status, _, body) = page.ask("GET /rules", &["Host: pi.example.net:8053"], "").await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn another_site_changes_nothing() {
    let page = Served::start(router).await;
    let body = "rule=pixel.example";
    for header in ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"] {
        for target in [
            "/rules/allow",
            "/rules/block",
            "/rules/forget",
            "/lists/do/refresh",
            "/lists/do/remove",
            "/api/v1/rules",
        ] {
            let (status, _, answer) = page.post(target, &[header], body).await;
            assert_eq!(status, 403, "{target} {header}");
            assert!(answer.contains("another site"), "{answer}");
        }
    }
    assert_eq!(page.post("/rules/allow", &["Origin: http://localhost"], body).await.0, 303);
    assert_eq!(page.post("/rules/allow", &["Sec-Fetch-Site: same-origin"], body).await.0, 303);
}

#[tokio::test]
async fn every_answer_tells_the_browser_how_little_it_may_do() {
    let page = Served::start(router).await;
    let targets =
        ["/rules", "/nowhere", "/api/v1/rules", "/healthz", &assets::url("app.js")].map(str::to_owned);
    for target in targets {
        let (_, head, body) = page.get(&target).await;
        assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self';"), "{head}");
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(!head.contains("access-control"), "{head}");
        let is_kept = head.contains("immutable");
        assert_eq!(is_kept, target.starts_with("/assets/"), "{head}");
        assert!(is_kept || head.contains("cache-control: no-store"), "{head}");
        for forbidden in ["<script>", " style=", " onclick=", "<style"] {
            assert!(!body.contains(forbidden) || target.ends_with(".js"), "{target} has {forbidden}");
        }
    }
}

#[tokio::test]
async fn errors_are_pages_for_people_and_json_for_programs() {
    let page = Served::start(router).await;
    let (status, head, body) = page.get("/nowhere").await;
    assert_eq!(status, 404);
    assert!(head.contains("text/html") && body.contains("<h1>Nothing here</h1>"), "{body}");
    let (status, head, body) = page.get("/api/v1/nowhere").await;
    assert_eq!((status, &*body), (404, r#"{"error":"There is nothing at this address."}"#));
    assert!(head.contains("application/json"), "{head}");
    for (target, expected) in [("/log?before=x", 400), ("/api/v1/totals?hours=x", 400), ("/devices/x", 404)] {
        let (status, _, body) = page.get(target).await;
        assert_eq!(status, expected, "{target}: {body}");
    }
    let (status, head, body) = page.ask("PUT /rules", &["Host: localhost"], "").await;
    assert_eq!(status, 405, "{body}");
    assert!(head.contains("allow: get"), "{head}");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let page = Served::start(router).await;
    assert_eq!(page.get(&format!("/explain?name={}", "a".repeat(3_000))).await.0, 414);
    let (status, _, body) = page.post("/rules/allow", &[], &format!("rule={}", "a".repeat(70_000))).await;
    assert_eq!(status, 413, "{body}");
}

#[tokio::test]
async fn a_button_leads_back_with_a_note_that_is_shown_once() {
    let page = Served::start(router).await;
    let (status, head, _) = page.post("/rules/allow", &[], "rule=Good.example&back=/rules?x=1").await;
    assert_eq!(status, 303);
    assert!(head.contains("location: /rules?x=1&note=0"), "{head}");
    let note = "<code>good.example</code> is allowed";
    let (_, _, body) = page.get("/rules?x=1&note=0").await;
    assert!(body.contains(note), "{body}");
    assert!(!page.get("/rules?note=0").await.2.contains(note));
    let (_, head, _) = page.post("/rules/allow", &[], "rule=a.example&back=//evil.example").await;
    assert!(head.contains("location: /?note=1"), "{head}");
    page.post("/rules/block", &[], "rule=<b>bold</b>&back=/rules").await;
    let (_, _, body) = page.get("/rules?note=2").await;
    assert!(body.contains("&#60;b&#62;bold") && !body.contains("<b>bold"), "{body}");
}

#[tokio::test]
async fn our_script_is_answered_in_json() {
    let page = Served::start(router).await;
    let json = ["Accept: application/json"];
    let (status, _, body) = page.post("/rules/allow", &json, "rule=a.example").await;
    assert_eq!((status, &*body), (200, r#"{"message":"`a.example` is allowed"}"#));
    let (status, _, body) = page.post("/lists/do/refresh", &json, "list=x").await;
    assert_eq!((status, &*body), (404, r#"{"error":"there is no list `x`"}"#));
    let (status, _, body) = page.post("/lists/do/refresh", &json, "list=long").await;
    assert!(status == 500 && body.matches("why ").count() == 9_999, "the whole reason is told: {body}");
    let (status, _, body) = page.post("/rules/block", &json, "rule=/(a/").await;
    assert_eq!(status, 422);
    assert!(body.contains("in a regular expression"), "{body}");
}

#[tokio::test]
async fn the_buttons_of_lists_wish_for_what_stands_on_them() {
    let page = Served::start(router).await;
    let json = ["Accept: application/json"];
    let new = "what=%20https://lists.example/a%20&name=&kind=allow&format=&back=/lists";
    for (action, body, expected) in [
        (
            "add",
            new,
            "AddList(NewList { what: \"https://lists.example/a\", name: None, kind: Some(\"allow\"), format: None, \
             subdomains: None })",
        ),
        (
            "add",
            "what=easyprivacy",
            "AddList(NewList { what: \"easyprivacy\", name: None, kind: None, format: None, subdomains: None })",
        ),
        ("remove", "list=a", "RemoveList(\"a\")"),
        ("accept", "list=a", "AcceptList(\"a\")"),
        (
            "accept-rule",
            "list=a&rule=%7C%7Cgoogle.com%5E",
            "AcceptRules { list: \"a\", rule: Some(\"||google.com^\") }",
        ),
        ("accept-rule", "list=a&rule=", "AcceptRules { list: \"a\", rule: Some(\"\") }"),
        ("accept-all-rules", "list=a", "AcceptRules { list: \"a\", rule: None }"),
        ("roll-back", "list=a&revision=1f", "RollBack { list: \"a\", revision: Some(\"1f\") }"),
        ("follow", "list=a", "Follow(\"a\")"),
    ] {
        let (status, _, answer) = page.post(&format!("/lists/do/{action}"), &json, body).await;
        let done: api::Done = serde_json::from_str(&answer).unwrap();
        assert_eq!((status, &*done.message), (200, expected));
    }
    for (action, body) in
        [("add", "what=%20"), ("accept-rule", "list=a"), ("roll-back", "list=a"), ("follow", "")]
    {
        assert_eq!(page.post(&format!("/lists/do/{action}"), &json, body).await.0, 422, "{action} {body}");
    }
    let (status, head, _) = page.post("/lists/do/remove", &[], "list=a&back=/lists").await;
    assert!(status == 303 && head.contains("location: /lists?note=0"), "{head}");
}

#[tokio::test]
async fn well_known_lists_are_found_by_their_words() {
    let page = Served::start(router).await;
    let (_, _, all) = page.get("/known-lists").await;
    assert!(all.contains("EasyPrivacy") && all.contains("balanced") && all.contains("strict"), "{all}");
    let (_, _, found) = page.get("/known-lists?q=easyprivacy+browsers").await;
    assert!(found.contains("EasyPrivacy") && !found.contains("OISD small"), "{found}");
    let (status, _, none) = page.get("/known-lists?q=%3Cscript%3E").await;
    assert!(status == 200 && none.contains("No well-known list") && !none.contains("<script>"), "{none}");
}

#[tokio::test]
async fn a_list_that_is_not_there_has_no_page() {
    let page = Served::start(router).await;
    for target in ["/lists/nowhere", "/lists/%3Cscript%3E?from=a", "/lists/do", "/lists/a/b"] {
        let (status, _, body) = page.get(target).await;
        assert!(status == 404 && !body.contains("<script>"), "{target}: {body}");
    }
}

#[tokio::test]
async fn a_name_is_explained() {
    let page = Served::start(router).await;
    let (_, _, body) = page.get("/explain?name=https://A.Other.example/path").await;
    assert!(body.contains("a.other.example") && body.contains("no list and no rule"), "{body}");
    let (_, _, body) = page.get("/explain?name=<script>alert(1)</script>").await;
    assert!(!body.contains("<script>"), "{body}");
    let (_, _, body) = page.get("/api/v1/explain?name=a.other.example").await;
    let explanation: api::Explanation = serde_json::from_str(&body).unwrap();
    assert_eq!((explanation.verdict, &*explanation.rules), (api::Verdict::Pass, &[][..]));
    assert_eq!(explanation.who, api::Who::Domain { domain: "other.example".to_owned() });
    assert_eq!(page.get("/api/v1/explain?name=a..b").await.0, 422);
}

#[tokio::test]
async fn the_status_tells_what_the_overview_tells() {
    let page = Served::start(router).await;
    let (_, _, body) = page.get("/api/v1/status").await;
    let status: api::Status = serde_json::from_str(&body).unwrap();
    assert_eq!(status.problems.len(), 1, "{body}");
    assert!(status.problems[0].starts_with("No list is in force"), "{body}");
    assert!(page.get("/").await.2.contains(&status.problems[0]));
}

#[tokio::test]
async fn an_asset_is_sent_once() {
    let page = Served::start(router).await;
    let url = assets::url("style.css");
    let (status, head, _) = page.get(&url).await;
    assert_eq!(status, 200);
    let etag = head.split("etag: ").nth(1).unwrap().split('\r').next().unwrap();
    let known = format!("If-None-Match: W/{etag}");
    let (status, _, body) = page.ask(&format!("GET {url}"), &["Host: localhost", &known], "").await;
    assert_eq!((status, &*body), (304, ""));
    let (status, head, _) = page.get("/assets/0000/style.css").await;
    assert!(status == 200 && head.contains("cache-control: no-cache"), "{head}");
    assert_eq!(page.get("/assets/0000/nothing.css").await.0, 404);
}

#[tokio::test]
async fn the_control_socket_speaks_the_api_only() {
    let control = Served::start(control_router).await;
    let (status, _, body) = control.ask("GET /api/v1/rules", &["Host: pixelsink"], "").await;
    assert_eq!((status, &*body), (200, "[]"));
    assert_eq!(control.get("/healthz").await.2, "ok\n");
    assert_eq!(control.get("/rules").await.2, r#"{"error":"There is nothing at this address."}"#);
    let json = ["Host: pixelsink", "Content-Type: application/json"];
    let wish = r#"{"action":"allow","rule":"=a.example"}"#;
    let (status, _, body) = control.ask("POST /api/v1/rules", &json, wish).await;
    assert_eq!((status, &*body), (200, r#"{"message":"`=a.example` is allowed"}"#));
    let (status, _, body) = control.ask("DELETE /api/v1/rules?rule=%3Da.example", &["Host: x"], "").await;
    assert_eq!(status, 200, "{body}");
    let (status, _, body) = control.ask("POST /api/v1/lists/refresh", &json, "{}").await;
    assert_eq!((status, &*body), (200, r#"{"message":"Refresh(None)"}"#));
    let (status, _, body) = control.ask("POST /api/v1/rules", &json, "{").await;
    assert!(status == 400 && body.starts_with(r#"{"error":"#), "{status} {body}");
}

const LIVE: &str = "GET /api/v1/events/live?hits_only=true HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn heard(name: &str, verdict: Verdict) -> Heard {
    Heard::Event(Arc::new(event(name, verdict)))
}

fn event(name: &str, verdict: Verdict) -> QueryEvent {
    let device = DeviceTable::default().identify(Ipv4Addr::LOCALHOST.into());
    let (name, at) = (DomainName::parse(name).unwrap(), Timestamp::UNIX_EPOCH);
    let answered = Answered::Sinkhole;
    QueryEvent { at, device, name, behind: None, qtype: 1, verdict, answered, rcode: 0, latency_us: 1 }
}

/// Reads a stream up to a line that contains `text`.
async fn read_until(stream: &mut BufReader<TcpStream>, text: &str) -> String {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "the stream ended before {text:?}");
    }
    line
}

#[tokio::test]
async fn live_events_come_filtered_and_end_with_the_daemon() {
    let mut page = Served::start(router).await;
    let mut stream = BufReader::new(page.open(LIVE).await);
    read_until(&mut stream, "text/event-stream").await;
    let rule = RuleRef { list: "l".into(), rule: "r".into() };
    page.parts.live.tell(heard("passed.example", Verdict::Pass));
    page.parts.live.tell(heard("pixel.example", Verdict::Block(rule.clone())));
    let line = read_until(&mut stream, "data: ").await;
    let told: api::Event = serde_json::from_str(line.trim().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((&*told.name, &*told.qtype, told.id), ("pixel.example", "A", None));
    // More at once than the stream is let hold or carry: what is left out is told.
    for _ in 0..2_000 {
        page.parts.live.tell(heard("pixel.example", Verdict::Block(rule.clone())));
    }
    read_until(&mut stream, "event: skipped").await;
    assert!(read_until(&mut stream, "data: ").await.contains("count"));
    // So it is while they keep coming.
    let live = page.parts.live.clone();
    let flood = tokio::spawn(async move {
        while live.is_heard() {
            live.tell(heard("pixel.example", Verdict::Block(rule.clone())));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let told = read_until(&mut stream, "event: skipped");
    tokio::time::timeout(Duration::from_secs(5), told).await.expect("told during the flood");
    flood.abort();
    page.cancel.cancel();
    tokio::time::timeout(Duration::from_secs(2), page.serving.take().unwrap()).await.unwrap().unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
}

#[tokio::test]
async fn a_button_against_a_rule_about_one_name_writes_a_rule_about_that_name() {
    let own = [(Action::Block, "=pixel.example"), (Action::Block, "other.example")];
    let page = Served::with_own_rules(router, &own).await;
    let mut stream = BufReader::new(page.open(LIVE).await);
    read_until(&mut stream, "text/event-stream").await;
    let rule = RuleRef { list: "own".into(), rule: "r".into() };
    // What decides about the others is the person's own word too, but a rule about the name itself is stronger.
    let cases = [
        ("pixel.example", "=pixel.example"),
        ("a.other.example", "a.other.example"),
        ("other.example", "other.example"),
    ];
    for (name, expected) in cases {
        page.parts.live.tell(heard(name, Verdict::Block(rule.clone())));
        let line = read_until(&mut stream, "data: ").await;
        let told: api::Event = serde_json::from_str(line.trim().strip_prefix("data: ").unwrap()).unwrap();
        let wish = api::RuleWish::new(api::Action::Allow, expected.to_owned());
        assert_eq!(told.button, Some(wish), "{name}");
        let (_, _, body) = page.get(&format!("/explain?name={name}")).await;
        assert!(body.contains(&format!(r#"name="rule" value="{expected}""#)), "{body}");
    }
    let name = DomainName::from_wire(b"\x03a<b\x07example\x00").unwrap();
    let event = QueryEvent { name, ..event("x.example", Verdict::Block(rule)) };
    page.parts.live.tell(Heard::Event(Arc::new(event)));
    let line = read_until(&mut stream, "data: ").await;
    assert!(line.contains(r#""button":null"#), "{line}");
}

#[tokio::test]
async fn live_streams_are_few_and_a_closed_one_makes_room() {
    let page = Served::start(router).await;
    let mut streams = Vec::new();
    for _ in 0..LIVE_STREAMS_MAX {
        let mut stream = BufReader::new(page.open(LIVE).await);
        read_until(&mut stream, "text/event-stream").await;
        streams.push(stream);
    }
    let (status, head, body) = page.get("/api/v1/events/live").await;
    assert!(status == 503 && head.contains("retry-after: 30"), "{head}");
    assert!(body.starts_with(r#"{"error":"#), "{body}");
    streams.pop();
    let is_free = async {
        loop {
            let mut stream = BufReader::new(page.open(LIVE).await);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            if line.contains("200") {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), is_free).await.unwrap();
}
