//! Lists that are files of this machine.

use super::*;

#[tokio::test]
async fn a_saved_file_takes_effect_long_before_it_is_looked_for() {
    let home = Home::new();
    let path = home.path("mine.txt");
    std::fs::write(&path, "one.example\n").unwrap();
    let home = home.with("mine", Origin::File(path.clone())).started().await;
    home.check("one.example", "block mine");
    assert_eq!(home.status().next, None);
    // As a shell writes, and as an editor saves.
    std::fs::write(&path, "# two\ntwo.example\n").unwrap();
    until("written over", PATIENCE, || home.verdict("two.example") == "block mine").await;
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
