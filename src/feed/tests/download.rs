//! What servers do, and what is made of it.

use super::*;

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
        (Answer::Encoded("gzip", include_bytes!("../testdata/bomb.txt.gz").into()), "larger than the 64 KiB"),
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
    let gzip: &[u8] = include_bytes!("../testdata/list.txt.gz");
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
