//! Every file that is kept in the data directory, damaged in every way that disks and power cuts know: the daemon starts, says
//! which file it was and what was done, and nothing is lost that the file did not take with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hickory_proto::rr::RecordType;
use serde_json::Value;

use crate::access::{log_in, set_password};
use crate::support::client::Ask;
use crate::support::daemon::{Daemon, Home};
use crate::support::eventually;
use crate::support::upstream::Upstream;

const PASSWORD: &str = "correct horse battery";

/// Files and their content, by their path in the data directory.
type Kept = BTreeMap<PathBuf, Vec<u8>>;

fn blocks(daemon: &Daemon, name: &str) -> bool {
    Ask::new(name, RecordType::A).of(daemon.dns).addresses() == ["0.0.0.0"]
}

fn status(daemon: &Daemon) -> Value {
    serde_json::from_str(&daemon.run(&["status", "--output", "json"])).unwrap()
}

/// All that a person is told: what the page shows as problems, and the log.
fn told(daemon: &Daemon) -> String {
    let status = status(daemon);
    format!("{}\n{}\n{}\n{}", status["problems"], status["history"], daemon.run(&["lists"]), daemon.log())
}

/// A household in which every file has something in it, killed so that the history's log is there too.
fn household(upstream: &Upstream) -> (Home, Kept) {
    let home = Home::new();
    for (file, names) in [("listed.txt", "listed.example\n"), ("added.txt", "||added.example^\n||com^\n")] {
        std::fs::write(home.path().join(file), names).unwrap();
    }
    let list = format!(
        "builtin.levels = []\ncache.keep = true\n[[lists]]\nname = \"listed\"\npath = \"{}\"\n",
        home.path().join("listed.txt").display()
    );
    home.configure(upstream.address, &list);
    let daemon = home.start();
    assert!(Ask::new("kept.example", RecordType::A).of(daemon.dns).addresses() == ["198.51.100.1"]);
    assert!(daemon.stop().success());
    let daemon = home.start();
    daemon.run(&["block", "own.example"]);
    daemon.run(&["lists", "add", home.path().join("added.txt").to_str().unwrap()]);
    eventually("the added list is in force", || blocks(&daemon, "added.example").then_some(()));
    daemon.run(&["lists", "accept", "added", "||com^"]);
    assert!(blocks(&daemon, "own.example") && blocks(&daemon, "listed.example"));
    daemon.run(&["devices", "rename", "127.0.0.1", "desk"]);
    assert!(set_password(&home, PASSWORD).contains("The password is set"));
    log_in(&daemon, 1, PASSWORD, "").cookie();
    eventually("the history is written", || (status(&daemon)["history"]["unflushed"] == 0).then_some(()));
    daemon.kill();
    let kept = read(&home.path().join("data"));
    (home, kept)
}

/// Every file below a directory but the lock and sockets.
fn read(directory: &Path) -> Kept {
    let mut kept = Kept::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                directories.push(path);
            } else if entry.file_type().unwrap().is_file() {
                let content = std::fs::read(&path).unwrap();
                kept.insert(path.strip_prefix(directory).unwrap().to_owned(), content);
            }
        }
    }
    kept
}

/// Makes the data directory as it was.
fn write(home: &Home, kept: &Kept) {
    let data = home.path().join("data");
    std::fs::remove_dir_all(&data).unwrap();
    for (path, content) in kept {
        let path = data.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// How a file is damaged.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// Power cuts leave files empty, cut short, or full of zeros, as long as they were.
    Emptied,
    Cut,
    Zeros,
    /// Cards that wear out change bits.
    Flipped,
}

const DAMAGES: [Damage; 4] = [Damage::Emptied, Damage::Cut, Damage::Zeros, Damage::Flipped];

impl Damage {
    fn done_to(self, content: &[u8]) -> Vec<u8> {
        match self {
            Self::Emptied => Vec::new(),
            Self::Cut => {
                let half = &content[..content.len() / 2];
                // Within a line: one that was taken away as a whole may have been taken away by a person.
                half.strip_suffix(b"\n").unwrap_or(half).to_vec()
            }
            Self::Zeros => vec![0; content.len()],
            Self::Flipped => {
                // In the middle of all that is kept; in a text of a person's it makes no character any more.
                let middle = content.len() / 2;
                let flip = |(at, octet): (usize, &u8)| if at == middle { octet ^ 0x80 } else { *octet };
                content.iter().enumerate().map(flip).collect()
            }
        }
    }
}

/// Starts with these files damaged; checks what is answered, and gives back the daemon and what it tells.
#[track_caller]
fn start_damaged(home: &Home, kept: &Kept, damaged: &[&Path], damage: Damage) -> (Daemon, String) {
    write(home, kept);
    for path in damaged {
        std::fs::write(home.path().join("data").join(path), damage.done_to(&kept[*path])).unwrap();
    }
    let daemon = home.start();
    let case = format!("{damage:?}: {damaged:?}");
    assert!(blocks(&daemon, "own.example"), "{case}: the person's own rule went away\n{}", daemon.log());
    assert!(!blocks(&daemon, "free.example"), "{case}");
    for name in ["listed.example", "added.example"] {
        eventually(&format!("{case}: {name} is blocked"), || blocks(&daemon, name).then_some(()));
    }
    assert!(daemon.run(&["devices"]).contains("desk"), "{case}: the device's name went away");
    let told = told(&daemon);
    (daemon, told)
}

/// Whether what became of a damaged file has to be told; what is made anew without a loss need not be.
fn is_to_be_told(path: &str, damage: Damage) -> bool {
    match (path, damage) {
        ("lock", _) => false,
        // The copy is only looked at when what it is a copy of is broken.
        (copy, _) if copy.ends_with(".last-good") => false,
        // SQLite's log ends where its checksums do; what it says of shared memory is made anew.
        ("history.sqlite3-wal" | "history.sqlite3-shm", _) => false,
        // The middle of a database may be a page without use.
        ("history.sqlite3", Damage::Flipped) => false,
        _ => true,
    }
}

#[test]
fn every_state_file_may_be_damaged_and_all_else_goes_on() {
    let upstream = Upstream::generous();
    let (home, kept) = household(&upstream);
    let names: Vec<&str> = kept.keys().map(|path| path.to_str().unwrap()).collect();
    for expected in [
        "accepted.toml",
        "access.json",
        "cache.bin",
        "devices.toml",
        "history.sqlite3",
        "history.sqlite3-wal",
        "lists.toml",
        "lists/added/revisions.json",
        "lock",
        "rules.toml",
        "ruleset.bin",
        "sessions.json",
    ] {
        assert!(names.contains(&expected), "{expected} is not among {names:?}");
    }
    for (path, content) in &kept {
        // What is only a copy or a lock is looked at once.
        let is_aside = ["lock", "-shm", ".last-good"].iter().any(|end| path.to_str().unwrap().ends_with(end));
        for damage in DAMAGES.into_iter().skip(if is_aside { DAMAGES.len() - 1 } else { 0 }) {
            let (daemon, _) = start_damaged(&home, &kept, &[path], damage);
            let (name, path) = (path.file_name().unwrap().to_str().unwrap(), path.to_str().unwrap());
            if is_to_be_told(path, damage) {
                // A list's text is found damaged when it is read, which is later, unless it has come anew before.
                let file = home.path().join("data").join(path);
                let is_whole =
                    || path.ends_with(".zst") && std::fs::read(&file).ok().as_ref() == Some(content);
                let is_told = || (told(&daemon).contains(name) || is_whole()).then_some(());
                eventually(&format!("{damage:?}: {path} is told"), is_told);
            }
            assert!(daemon.stop().success(), "{damage:?}: {path}");
            let left = read(&home.path().join("data"));
            let half_written = left.keys().filter(|path| path.to_str().unwrap().ends_with(".new"));
            assert_eq!(half_written.count(), 0, "{damage:?}: {path}");
        }
    }
}

#[test]
fn what_a_power_cut_emptied_is_brought_back_from_its_copy() {
    let upstream = Upstream::generous();
    let (home, kept) = household(&upstream);
    let of_a_person = ["rules.toml", "lists.toml", "devices.toml", "accepted.toml"].map(Path::new);
    let (daemon, told) = start_damaged(&home, &kept, &of_a_person, Damage::Emptied);
    for file in of_a_person {
        assert!(
            told.contains(&format!(
                "{} was empty or cut short",
                home.path().join("data").join(file).display()
            )),
            "{told}"
        );
        assert_eq!(std::fs::read(home.path().join("data").join(file)).unwrap(), kept[file]);
    }
    daemon.run(&["block", "later.example"]);
    assert!(daemon.stop().success());
    let daemon = home.start();
    assert!(blocks(&daemon, "own.example") && blocks(&daemon, "later.example"));
    assert!(!told_as_problems(&daemon).contains("was empty or cut short"), "it is told once");
    // Who deletes both files takes all of it back.
    assert!(daemon.stop().success());
    for file in ["rules.toml", "rules.toml.last-good"] {
        std::fs::remove_file(home.path().join("data").join(file)).unwrap();
    }
    assert!(!blocks(&home.start(), "own.example"));
}

fn told_as_problems(daemon: &Daemon) -> String {
    status(daemon)["problems"].to_string()
}

#[test]
fn all_state_files_may_be_damaged_at_once() {
    let upstream = Upstream::generous();
    let (home, kept) = household(&upstream);
    for damage in [Damage::Zeros, Damage::Cut, Damage::Emptied] {
        let all = kept.keys().map(PathBuf::as_path);
        let all_but_copies: Vec<&Path> =
            all.filter(|path| path.extension().is_none_or(|it| it != "last-good")).collect();
        let (daemon, _) = start_damaged(&home, &kept, &all_but_copies, damage);
        assert!(daemon.stop().success());
    }
    // With the copies too, what stands in the configuration still counts.
    write(&home, &kept);
    for path in kept.keys() {
        std::fs::write(home.path().join("data").join(path), [0xff; 100]).unwrap();
    }
    let daemon = home.start();
    eventually("the list of the configuration is in force", || {
        blocks(&daemon, "listed.example").then_some(())
    });
    let told = told(&daemon);
    for file in [
        "rules.toml",
        "lists.toml",
        "devices.toml",
        "accepted.toml",
        "access.json",
        "history.sqlite3.damaged-",
    ] {
        assert!(told.contains(file), "{file} is not told: {told}");
    }
}

#[test]
fn a_lock_that_can_not_be_opened_is_told_and_all_else_goes_on() {
    let upstream = Upstream::generous();
    let home = Home::new();
    home.configure(upstream.address, "rules.block = [\"pixel.example\"]\n");
    let data = home.path().join("data");
    std::fs::create_dir(&data).unwrap();
    // As another user's is for who is not root.
    std::os::unix::fs::symlink("nowhere/lock", data.join("lock")).unwrap();
    let daemon = home.start();
    assert!(blocks(&daemon, "pixel.example"));
    let told = told_as_problems(&daemon);
    assert!(told.contains("lock can't be opened") && told.contains("Give all that is in it"), "{told}");
}
