//! Texts that are kept, held back, returned to and lost.

use super::*;

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
