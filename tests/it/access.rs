//! Who is let in to the page and the API. Requests are written octet by octet, since clients tidy up what an attacker would not.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};

use crate::support::daemon::{BINARY, Daemon, Home};
use crate::support::eventually;
use crate::support::upstream::Upstream;

const PASSWORD: &str = "correct horse battery";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
/// Whoever comes through a proxy does not sit at this machine, wherever the proxy runs.
const ELSEWHERE: &str = "X-Forwarded-For: 192.168.1.5";

/// An answer up to its body, and as much of that as its length says.
pub(crate) struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The cookie that it sets, as the browser sends it back.
    #[track_caller]
    pub(crate) fn cookie(&self) -> String {
        let set = self.header("set-cookie");
        for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(set.contains(word), "{} {set}", self.status);
        }
        format!("Cookie: {}", set.split(';').next().unwrap())
    }

    /// Whether it says that one has to log in.
    fn asks_who(&self) -> bool {
        self.status == 401 && !self.header("www-authenticate").is_empty()
            || self.status == 303 && self.header("location").starts_with("/login")
    }
}

/// Sends a request line and headers as they are, from an address of the loop.
fn ask(daemon: &Daemon, from: u8, line: &str, headers: &[&str], body: &str) -> Answer {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, from], 0)).into()).unwrap();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, daemon.web.port()));
    socket.connect(&to.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let host = if headers.iter().any(|header| header.starts_with("Host:")) {
        String::new()
    } else {
        format!("Host: {to}\r\n")
    };
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let request = format!("{line} HTTP/1.1\r\n{host}Content-Length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    read_answer(&mut stream)
}

fn read_answer(stream: &mut impl Read) -> Answer {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut octet).unwrap(), 1, "{}", String::from_utf8_lossy(&head));
        head.push(octet[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let pairs = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<String, String> =
        pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
}

/// Sets the password as a script does.
#[track_caller]
pub(crate) fn set_password(home: &Home, password: &str) -> String {
    let mut child = Command::new(BINARY)
        .args(["passwd", "--config"])
        .arg(home.config())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn log_in(daemon: &Daemon, from: u8, password: &str, back: &str) -> Answer {
    let body = format!("password={}&back={back}", password.replace(' ', "+"));
    ask(daemon, from, "POST /login", &[FORM], &body)
}

/// A daemon with a password, which monitors nothing without one; and a token of each scope.
fn with_password(more: &str) -> (Daemon, String, String) {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, &format!("web.monitoring_from = []\n{more}"));
    assert!(set_password(daemon.home(), PASSWORD).contains("The password is set"));
    let token = |scope: &str| {
        format!("Authorization: Bearer {}", daemon.run(&["tokens", "add", scope, "--scope", scope]).trim())
    };
    let (read, write) = (token("read"), token("write"));
    (daemon, read, write)
}

/// Every route that stands in the source of the page and the API, with its methods. Parts of a path that vary are `x`.
fn routes() -> Vec<(String, String)> {
    let mut routes = Vec::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
                // Each call ends where the next one begins, or its statement.
                for call in code.split(".route(").skip(1) {
                    let call = call.split(';').next().unwrap().split("\n}").next().unwrap();
                    routes.extend(routes_of(call, code));
                }
            }
        }
    }
    routes.sort();
    routes.dedup();
    routes
}

fn routes_of(call: &str, code: &str) -> Vec<(String, String)> {
    let argument = call.split(',').next().unwrap().trim();
    let path = match argument.strip_prefix('"') {
        Some(path) => path.trim_end_matches('"').to_owned(),
        // A constant of this file, or of the gate.
        None => {
            let gate = include_str!("../../src/web/gate.rs");
            let named = format!("const {argument}: &str = \"");
            let rest = [code, gate].into_iter().find_map(|code| code.split(&named).nth(1));
            rest.unwrap_or_else(|| panic!("{argument} is not known")).split('"').next().unwrap().to_owned()
        }
    };
    let mut filled = String::new();
    for part in path.split('/').skip(1) {
        filled.push('/');
        filled.push_str(if part.starts_with('{') { "x" } else { part });
    }
    let rest = call.split_once(',').unwrap().1;
    let methods = [("get(", "GET"), ("post(", "POST"), ("delete(", "DELETE")];
    let found = methods.into_iter().filter(|(word, _)| {
        rest.match_indices(word)
            .any(|(at, _)| !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    });
    found.map(|(_, method)| (method.to_owned(), filled.clone())).collect()
}

#[test]
fn no_route_lets_anybody_in_who_is_not_known() {
    let (daemon, read, write) = with_password("");
    let session = log_in(&daemon, 1, PASSWORD, "/").cookie();
    let routes = routes();
    assert!(70 < routes.len(), "{routes:?}");
    for known in [
        "/",
        "/log",
        "/api/v1/status",
        "/api/v1/events/live",
        "/lists/do/refresh",
        "/metrics",
        "/access",
        "/login",
    ] {
        assert!(routes.iter().any(|(_, path)| path == known), "{known}: {routes:?}");
    }
    let is_open = |path: &str| ["/login", "/setup", "/assets/x/x"].contains(&path);
    let evil = ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site"];
    for (method, path) in &routes {
        let line = format!("{method} {path}");
        let nobody: &[(&str, &[&str])] = &[
            ("no cookie", &[]),
            ("a wrong cookie", &["Cookie: pixelsink-session=0123456789abcdef; __Host-pixelsink-session=0"]),
            ("an empty cookie", &["Cookie: pixelsink-session="]),
            ("a wrong token", &["Authorization: Bearer pixelsink_0123456789abcdef"]),
            ("a wrong token beside a cookie", &["Authorization: Bearer x", "Cookie: pixelsink-session=x"]),
            ("another scheme", &["Authorization: Basic cGl4ZWxzaW5rOng="]),
            ("JSON wanted", &["Accept: application/json"]),
            (
                "h2c",
                &[
                    "Connection: Upgrade, HTTP2-Settings",
                    "Upgrade: h2c",
                    "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
                ],
            ),
            (
                "a forged way",
                &["X-Original-URL: /login", "X-Rewrite-URL: /login", "X-Forwarded-For: 127.0.0.1"],
            ),
        ];
        for (who, headers) in nobody {
            let answer = ask(&daemon, 1, &line, headers, "");
            assert_ne!(answer.status, 101, "{line}, {who}");
            assert!(is_open(path) || answer.asks_who(), "{line}, {who}: {} {}", answer.status, answer.body);
        }
        for dressed in [
            format!("/{path}"),
            format!("/..;{path}"),
            format!("/%2e{path}"),
            format!("/x/..{path}"),
            format!("/assets/..{path}"),
            format!("/assets/x/x/..{path}"),
            format!("/login/..{path}"),
            format!("/login%2f..{path}"),
            format!("{path}?/login"),
            format!("{path};/login"),
        ] {
            let answer = ask(&daemon, 1, &format!("{method} {dressed}"), &[], "");
            // Some lead to what is open: an asset that there is not, and the page to log in.
            let is_harmless = [404, 405].contains(&answer.status) && dressed.starts_with("/assets/")
                || dressed.starts_with("/login?")
                || is_open(path);
            assert!(
                answer.asks_who() || is_harmless,
                "{method} {dressed}: {} {}",
                answer.status,
                answer.body
            );
        }
        // Tokens.
        let is_management = path.contains("/access");
        let is_way_out = path == "/logout" || is_open(path);
        let by_read = ask(&daemon, 1, &line, &[&read], "");
        let by_write = ask(&daemon, 1, &line, &[&write], "");
        if method != "GET" {
            assert!(by_read.status == 403, "{line}, read token: {}", by_read.status);
        } else if !is_management && !is_way_out {
            assert!(!by_read.asks_who() && by_read.status != 403, "{line}, read token: {}", by_read.status);
        }
        if is_management && path != "/access/tokens/add" {
            assert!([400, 403, 415].contains(&by_write.status), "{line}, write token: {}", by_write.status);
        } else if !is_way_out {
            assert!(
                !by_write.asks_who() && by_write.status != 403,
                "{line}, write token: {}",
                by_write.status
            );
        }
        // A good session that another site makes use of; browsers would not even send the cookie.
        if method != "GET" {
            for headers in [
                &[&*session, evil[0], evil[1]][..],
                &[&session, evil[0], FORM],
                &[&session, evil[0], "Content-Type: text/plain"],
            ] {
                let answer = ask(&daemon, 1, &line, headers, "");
                assert_eq!(answer.status, 403, "{line}, {headers:?}");
            }
        }
        assert_eq!(ask(&daemon, 1, &line, &[&session, "Host: evil.example"], "").status, 421, "{line}");
    }
    // After all that the session is as good as before.
    assert_eq!(ask(&daemon, 1, "GET /", &[&session], "").status, 200);
}

#[test]
fn the_first_password_takes_the_code_from_the_log() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, "");
    let text = std::fs::read_to_string(home.config()).unwrap();
    std::fs::write(
        home.config(),
        text.replace("web.listen = [\"127.0.0.1:0\"]", "web.listen = [\"0.0.0.0:0\"]"),
    )
    .unwrap();
    let daemon = home.start();
    let log = daemon.log();
    let code = log.split("use the code ").nth(1).expect(&log).split(',').next().unwrap();
    assert_eq!(daemon.run(&["passwd", "--code"]).trim(), code);
    // Who sits at the machine is let in, the network is not.
    assert_eq!(ask(&daemon, 1, "GET /", &[], "").status, 200);
    let answer = ask(&daemon, 1, "GET /log?device=tv", &[ELSEWHERE], "");
    assert_eq!((answer.status, answer.header("location")), (303, "/setup?back=%2Flog%3Fdevice%3Dtv"));
    let answer = ask(&daemon, 1, "GET /api/v1/status", &[ELSEWHERE], "");
    assert!(answer.status == 401 && answer.body.contains("pixelsink passwd"), "{}", answer.body);
    assert!(ask(&daemon, 1, "GET /setup", &[ELSEWHERE], "").body.contains("name=\"code\""));
    let set = |code: &str, password: &str, again: &str| {
        let body = format!("code={code}&password={password}&again={again}&back=%2Flog");
        ask(&daemon, 1, "POST /setup", &[ELSEWHERE, FORM], &body)
    };
    assert_eq!(set("AAAA-AAAA", "long+enough", "long+enough").status, 401);
    assert_eq!(set(code, "long+enough", "another").status, 422);
    assert_eq!(set(code, "short", "short").status, 422);
    let answer = set(&code.to_lowercase(), "long+enough", "long+enough");
    assert_eq!((answer.status, answer.header("location")), (303, "/log"));
    assert_eq!(ask(&daemon, 1, "GET /log", &[ELSEWHERE, &answer.cookie()], "").status, 200);
    // From now on the machine itself is asked, too, and the code is good for nothing.
    assert!(ask(&daemon, 1, "GET /", &[], "").asks_who());
    let answer = set(code, "something+else", "something+else");
    assert_eq!((answer.status, answer.header("location")), (303, "/login"));
    assert!(!home.run(&["passwd", "--code"]).status.success());
    // The command line goes on as before, and the next start tells no code.
    assert!(!daemon.run(&["status"]).is_empty());
    assert!(daemon.stop().success());
    assert!(!home.start().log().contains("use the code"));
}

#[test]
fn a_session_leads_back_lasts_over_a_restart_and_ends() {
    let (daemon, ..) = with_password("");
    let home = daemon.home().clone();
    let answer = ask(&daemon, 1, "GET /log?verdict=blocked", &[], "");
    assert_eq!(answer.header("location"), "/login?back=%2Flog%3Fverdict%3Dblocked");
    let wrong = log_in(&daemon, 1, "not the password", "%2Flog");
    assert_eq!(wrong.status, 401);
    assert!(wrong.body.contains("That is not the password") && !wrong.headers.contains_key("set-cookie"));
    let right = log_in(&daemon, 1, PASSWORD, "%2Flog%3Fverdict%3Dblocked");
    assert_eq!((right.status, right.header("location")), (303, "/log?verdict=blocked"));
    for elsewhere in
        ["%2F%2Fevil.example", "https%3A%2F%2Fevil.example", "%2F%5Cevil.example", "%09%2F%2Fevil.example"]
    {
        assert_eq!(log_in(&daemon, 1, PASSWORD, elsewhere).header("location"), "/", "{elsewhere}");
    }
    let (one, other) = (right.cookie(), log_in(&daemon, 1, PASSWORD, "").cookie());
    assert!(daemon.stop().success());
    let daemon = home.start();
    for session in [&one, &other] {
        assert_eq!(ask(&daemon, 1, "GET /access", &[session], "").status, 200);
    }
    let gone = ask(&daemon, 1, "POST /logout", &[&one], "");
    assert!(gone.status == 303 && gone.header("set-cookie").contains("Max-Age=0"));
    assert!(ask(&daemon, 1, "GET /", &[&one], "").asks_who());
    assert_eq!(ask(&daemon, 1, "GET /", &[&other], "").status, 200);
    daemon.run(&["passwd", "--end-sessions"]);
    assert!(ask(&daemon, 1, "GET /", &[&other], "").asks_who());
}

#[test]
fn a_live_stream_ends_when_its_session_does() {
    let (daemon, ..) = with_password("");
    let session = log_in(&daemon, 1, PASSWORD, "").cookie();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, daemon.web.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!(
        "GET /api/v1/events/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{session}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut stream).status, 200);
    ask(&daemon, 1, "POST /logout", &[&session], "");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("the stream ends");
}

#[test]
fn a_brute_force_is_slowed_and_the_right_password_is_not_locked_out() {
    let (daemon, ..) = with_password("");
    let session = log_in(&daemon, 9, PASSWORD, "").cookie();
    let statuses: Vec<u16> = (0..40).map(|_| log_in(&daemon, 66, "a guess", "").status).collect();
    let looked_at = statuses.iter().filter(|status| **status == 401).count();
    assert!((3..8).contains(&looked_at), "{statuses:?}");
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
    let refused = log_in(&daemon, 66, PASSWORD, "");
    assert!(refused.status == 429 && !refused.header("retry-after").is_empty(), "{}", refused.status);
    assert!(refused.body.contains("Try again in"), "{}", refused.body);
    let wish = r#"{"current": "a guess", "password": "a new password"}"#;
    let headers = [&session, "Content-Type: application/json"];
    let refused = ask(&daemon, 66, "POST /api/v1/access/password", &headers, wish);
    assert!(refused.status == 429 && !refused.header("retry-after").is_empty(), "{}", refused.body);
    assert_eq!(log_in(&daemon, 9, PASSWORD, "").status, 303);
    daemon.tells("a wrong password was given to the page");
    assert!(!daemon.log().contains("a guess"), "{}", daemon.log());
}

#[test]
fn a_token_with_read_scope_can_not_write_and_a_revoked_one_can_nothing() {
    let (daemon, read, write) = with_password("");
    let json = "Content-Type: application/json";
    let wish = r#"{"rule":"pixel.example","action":"block"}"#;
    let refused = ask(&daemon, 1, "POST /api/v1/rules", &[&read, json], wish);
    assert!(refused.status == 403 && refused.body.contains("scope `read`"), "{}", refused.body);
    assert_eq!(ask(&daemon, 1, "GET /api/v1/rules", &[&read], "").body, "[]");
    assert_eq!(ask(&daemon, 1, "POST /api/v1/rules", &[&write, json], wish).status, 200);
    assert_ne!(ask(&daemon, 1, "GET /api/v1/rules", &[&read], "").body, "[]");
    // What a token can do ends with it, so it makes no others.
    let another = r#"{"name":"another","scope":"write"}"#;
    assert_eq!(ask(&daemon, 1, "POST /api/v1/access/tokens", &[&write, json], another).status, 403);
    let shown = daemon.run(&["tokens"]);
    assert!(shown.contains("read") && shown.contains("write") && !shown.contains("pixelsink_"), "{shown}");
    daemon.run(&["tokens", "revoke", "write"]);
    assert_eq!(ask(&daemon, 1, "POST /api/v1/rules", &[&write, json], wish).status, 401);
    let session = log_in(&daemon, 1, PASSWORD, "").cookie();
    let made = ask(&daemon, 1, "POST /access/tokens/add", &[&session, FORM], "name=a+dashboard&scope=read");
    assert!(made.status == 200 && made.body.contains("pixelsink_"), "{}", made.body);
    assert!(daemon.run(&["tokens"]).contains("a dashboard"));
}

#[test]
fn monitoring_is_open_to_the_networks_that_are_named() {
    let upstream = Upstream::generous();
    let daemon = Daemon::start(upstream.address, "web.monitoring_from = [\"127.0.0.9\"]\n");
    set_password(daemon.home(), PASSWORD);
    for path in ["GET /healthz", "GET /metrics"] {
        assert_eq!(ask(&daemon, 9, path, &[], "").status, 200, "{path}");
        for answer in [ask(&daemon, 1, path, &[], ""), ask(&daemon, 9, path, &[ELSEWHERE], "")] {
            assert!(
                answer.status == 401 && answer.body.contains("monitoring_from"),
                "{path}: {}",
                answer.body
            );
        }
    }
    assert!(ask(&daemon, 9, "GET /api/v1/status", &[], "").asks_who());
}

#[test]
fn a_password_file_that_is_damaged_keeps_everybody_out_and_says_what_to_do() {
    let (daemon, read, _) = with_password("");
    let home = daemon.home().clone();
    let session = log_in(&daemon, 1, PASSWORD, "").cookie();
    assert!(daemon.stop().success());
    let file = home.path().join("data/access.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, &text[..text.len() / 2]).unwrap();
    let daemon = home.start();
    for headers in [&[][..], &[&*session], &[&*read]] {
        let answer = ask(&daemon, 1, "GET /api/v1/status", headers, "");
        assert!(answer.status == 503 && answer.body.contains("pixelsink passwd"), "{}", answer.body);
    }
    assert!(ask(&daemon, 1, "GET /", &[], "").asks_who());
    let page = ask(&daemon, 1, "GET /login", &[], "");
    assert!(
        page.status == 503 && page.body.contains("access.json") && !page.body.contains("name=\"password\""),
        "{}",
        page.body
    );
    daemon.tells("Nobody can log in to the page");
    assert!(set_password(&home, "another password").contains("The password is set"));
    assert_eq!(log_in(&daemon, 1, "another password", "").status, 303);
    assert!(home.path().join("data/access.json.damaged").exists());
}

#[test]
fn a_password_is_refused_when_it_is_short_and_changed_by_who_knows_it() {
    let (daemon, ..) = with_password("");
    assert!(set_password(daemon.home(), "short").contains("at least 8 characters"));
    let session = log_in(&daemon, 1, PASSWORD, "").cookie();
    let change = |current: &str| {
        let body = format!("current={current}&password=a+new+password&again=a+new+password");
        ask(&daemon, 1, "POST /access/password", &[&session, FORM], &body)
    };
    assert!(!change("wrong").headers.contains_key("set-cookie"));
    let fresh = change("correct+horse+battery").cookie();
    assert!(ask(&daemon, 1, "GET /", &[&session], "").asks_who());
    assert_eq!(ask(&daemon, 1, "GET /", &[&fresh], "").status, 200);
    assert_eq!(log_in(&daemon, 1, "a new password", "").status, 303);
}

/// A certificate of this machine, and its key.
struct Pair {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

impl Pair {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        Self { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }
}

/// A request over TLS to whoever shows one of our certificates; the answer, and the certificate.
fn over_tls(port: u16, trusted: [&Pair; 2], request: &str) -> (Answer, CertificateDer<'static>) {
    let mut roots = rustls::RootCertStore::empty();
    for pair in trusted {
        roots.add(pair.der.clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, stream);
    stream.write_all(request.as_bytes()).unwrap();
    let answer = read_answer(&mut stream);
    let shown = stream.conn.peer_certificates().unwrap()[0].clone().into_owned();
    (answer, shown)
}

#[test]
fn the_page_is_served_over_tls_and_takes_over_a_new_certificate() {
    let upstream = Upstream::generous();
    let home = Home::new();
    let (certificate, key) = (home.path().join("page.pem"), home.path().join("page.key.pem"));
    let (one, other) = (Pair::new(), Pair::new());
    let put = |pair: &Pair| {
        std::fs::write(&certificate, &pair.certificate).unwrap();
        std::fs::write(&key, &pair.key).unwrap();
    };
    put(&one);
    let tls =
        format!("web.tls = {{ certificate = \"{}\", key = \"{}\" }}\n", certificate.display(), key.display());
    home.configure(upstream.address, &tls);
    let daemon = home.start();
    let log = daemon.log();
    let port =
        log.split("https://127.0.0.1:").nth(1).expect(&log).split('/').next().unwrap().parse().unwrap();
    set_password(&home, PASSWORD);
    let body = "password=correct+horse+battery";
    let request = format!(
        "POST /login HTTP/1.1\r\nHost: localhost\r\n{FORM}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (answer, shown) = over_tls(port, [&one, &other], &request);
    assert_eq!(shown, one.der);
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-pixelsink-session=") && cookie.contains("; Secure"), "{cookie}");
    // A certificate whose key has not come yet is not taken over, and told.
    std::fs::write(&certificate, &other.certificate).unwrap();
    daemon.tells("keeps the certificate that it had");
    let shown = || over_tls(port, [&one, &other], "GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n").1;
    assert_eq!(shown(), one.der);
    put(&other);
    eventually("the new certificate is served", || (shown() == other.der).then_some(()));
    daemon.stop();
    // Files that can't be used at a start close the page, and nothing else; it opens by itself when they can.
    std::fs::write(&key, "nothing").unwrap();
    let daemon = home.start();
    let told = daemon.run(&["status"]);
    assert!(told.contains("The page is closed") && told.contains("page.key.pem"), "{told}");
    let port =
        daemon.log().split("https://127.0.0.1:").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
    let mut refused = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let _ = refused.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut said = Vec::new();
    let _ = refused.read_to_end(&mut said);
    assert_eq!(said, b"", "nothing is said in the clear");
    put(&other);
    daemon.tells("the page has a new certificate");
    assert_eq!(over_tls(port, [&one, &other], "GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n").1, other.der);
    assert!(!daemon.run(&["status"]).contains("The page is closed"));
}
