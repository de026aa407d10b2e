//! The person's own rules.

use super::*;

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
