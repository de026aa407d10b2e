//! The configuration changes, and the end.

use super::*;

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
