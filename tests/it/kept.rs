//! The compiled ruleset on the disk: whatever happens to its file, the last good rules are in force after the next start.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use hickory_proto::rr::RecordType;
use pixelsink::ruleset::Ruleset;

use crate::support::client::Ask;
use crate::support::daemon::{BINARY, Daemon, Home};
use crate::support::eventually;
use crate::support::list_server::{ListServer, Reply};
use crate::support::upstream::Upstream;

fn blocks(daemon: &Daemon, name: &str) -> bool {
    Ask::new(name, RecordType::A).of(daemon.dns).addresses() == ["0.0.0.0"]
}

fn file_of(home: &Home) -> PathBuf {
    home.path().join("data/ruleset.bin")
}

fn problems(daemon: &Daemon) -> String {
    daemon.api("status")["problems"].to_string()
}

/// A list of which every revision has its own names, enough of them that a compile takes a while.
fn revision(number: usize) -> String {
    let mut text = format!("always.example\nonly-in-{number}.example\n");
    for name in 0..6_000 {
        let _ = writeln!(text, "n{name}.of-{}.example", number % 7);
    }
    text
}

/// Whether the revision is in force, told by the name that no other one has.
fn is_in_force(daemon: &Daemon, number: usize) -> bool {
    blocks(daemon, &format!("only-in-{number}.example"))
}

#[test]
fn a_kill_at_any_moment_of_a_refresh_leaves_the_last_good_rules() {
    const ROUNDS: u32 = 44;
    let upstream = Upstream::generous();
    let server = ListServer::start(Reply::list(&revision(0), "\"0\""));
    let home = Home::new();
    let list = format!(
        "builtin.levels = []\ndownload.timeout = \"3s\"\n[[lists]]\nname = \"remote\"\nurl = \"{}\"\n",
        server.url()
    );
    home.configure(upstream.address, &list);
    let mut daemon = home.start();
    eventually("the first revision is in force", || is_in_force(&daemon, 0).then_some(()));
    // How long all of it takes tells which moments there are.
    server.now_says(Reply { etag: None, ..Reply::list(&revision(1), "") });
    let begun = Instant::now();
    assert!(home.run(&["lists", "refresh"]).status.success());
    let whole = begun.elapsed();
    assert!(is_in_force(&daemon, 1));

    let mut good = 1;
    let (mut kept, mut came) = (0, 0);
    for (round, next) in (1..=ROUNDS).zip(2..) {
        server.now_says(Reply { etag: None, ..Reply::list(&revision(next), "") });
        let mut refresh = Command::new(BINARY)
            .args(["lists", "refresh", "--config"])
            .arg(home.config())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Closer to each other at the beginning: a download is short, a compile is long where a machine does other things too.
        let passed = f64::from(round) / f64::from(ROUNDS - 8);
        std::thread::sleep(whole.mul_f64(passed * passed));
        daemon.kill();
        refresh.wait().unwrap();
        // What is in force after the next start was there before the kill.
        server.now_says(Reply::status(503, "not now"));
        if round % 8 == 0 {
            // The next start has to compile.
            std::fs::remove_file(file_of(&home)).unwrap();
        }
        daemon = home.start();
        assert!(blocks(&daemon, "always.example"), "round {round}: nothing is blocked");
        let is_next = is_in_force(&daemon, next);
        assert!(is_next || is_in_force(&daemon, good), "round {round}: revision {good} went away");
        kept += usize::from(daemon.log().contains("kept=true"));
        if is_next {
            (good, came) = (next, came + 1);
        }
        assert_eq!(problems(&daemon), "[]", "round {round}");
    }
    eprintln!(
        "{ROUNDS} kills within {whole:?}: {came} times the next revision was in force, {kept} starts took the file"
    );
    assert!(0 < kept, "no start took the file");
    assert!(0 < came && came < ROUNDS as usize, "kills came at one end only: {came}");
    // Nothing of what was interrupted is left when the next compile is through.
    server.now_says(Reply { etag: None, ..Reply::list(&revision(1_000), "") });
    assert!(home.run(&["lists", "refresh"]).status.success());
    let left: Vec<_> = std::fs::read_dir(home.path().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".new") || name.contains("tmp"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    Ruleset::verify(&file_of(&home)).unwrap();
}

/// A household with rules of every kind: plain names in several blocks, modifiers, patterns, address prefixes.
fn with_all_kinds(home: &Home, upstream: &Upstream) {
    let path = home.path().join("list.txt");
    let mut text = "||deep.example^\n||answer.example^$dnsrewrite=NXDOMAIN\n/^stat[0-9]+\\./\n\
                    32.7.100.51.198.rpz-ip CNAME .\n@@||fine.deep.example^\n"
        .to_owned();
    for number in 0..1_500 {
        let _ = writeln!(text, "t{number}.x{}.example", number % 40);
    }
    std::fs::write(&path, text).unwrap();
    let list = format!(
        "limits.queries_per_second = 0\nbuiltin.levels = []\n[[lists]]\nname = \"file\"\npath = \"{}\"\n",
        path.display()
    );
    home.configure(upstream.address, &list);
}

/// Names that no rule of [`with_all_kinds`] covers are never blocked, whatever the file is like.
#[track_caller]
fn check_free(daemon: &Daemon) {
    for name in ["t1.x2.example", "free.example", "a.t1.x1.example", "fine.deep.example"] {
        let answer = Ask::new(name, RecordType::A).of(daemon.dns);
        assert_eq!(answer.addresses(), ["198.51.100.1"], "{name}");
    }
}

/// What is blocked by [`with_all_kinds`], and what is not; `None` when the daemon is still about to tell.
fn says_what_it_should(daemon: &Daemon) -> Option<()> {
    check_free(daemon);
    let ask = |name: &str| Ask::new(name, RecordType::A).of(daemon.dns);
    let listed = (0..1_500).step_by(37).map(|number| format!("t{number}.x{}.example", number % 40));
    let all_blocked = listed
        .chain(["a.deep.example", "stat7.example"].map(str::to_owned))
        .all(|name| ask(&name).addresses() == ["0.0.0.0"]);
    (all_blocked && ask("answer.example").words()[0] == "NXDOMAIN").then_some(())
}

/// Starts on a ruleset file like this one; the right verdicts come, and the file is as it was.
#[track_caller]
fn check_damaged(home: &Home, what: &str, whole: &[u8], damage: impl FnOnce(&Path)) {
    let file = file_of(home);
    damage(&file);
    let daemon = home.start();
    eventually(&format!("{what}: it is written anew"), || {
        check_free(&daemon);
        (std::fs::read(&file).is_ok_and(|octets| octets == whole)).then_some(())
    });
    eventually(what, || says_what_it_should(&daemon));
    assert_eq!(problems(&daemon), "[]", "{what}");
    daemon.kill();
}

#[test]
fn a_damaged_foreign_or_missing_ruleset_file_is_written_anew() {
    let upstream = Upstream::generous();
    let home = Home::new();
    with_all_kinds(&home, &upstream);
    let daemon = home.start();
    says_what_it_should(&daemon).unwrap();
    daemon.kill();
    let file = file_of(&home);
    let whole = std::fs::read(&file).unwrap();
    for length in [0, 1, 11, 12, 335, 336, 337, whole.len() / 4, whole.len() / 2, whole.len() - 1] {
        let cut = |file: &Path| std::fs::write(file, &whole[..length]).unwrap();
        check_damaged(&home, &format!("cut to {length} octets"), &whole, cut);
    }
    // The whole header, in steps, and then through all of the sections.
    let header = (0..336).step_by(17);
    let sections = (336..whole.len()).step_by((whole.len() - 336) / 45);
    for at in header.chain(sections) {
        let flip = |file: &Path| {
            let mut octets = whole.clone();
            octets[at] ^= 1 << (at % 8);
            std::fs::write(file, octets).unwrap();
        };
        check_damaged(&home, &format!("bit {} of octet {at} flipped", at % 8), &whole, flip);
    }
    check_damaged(&home, "garbage", &whole, |file| std::fs::write(file, [0xaa; 20_000]).unwrap());
    check_damaged(&home, "an older version", &whole, |file| {
        let mut octets = whole.clone();
        octets[8..12].copy_from_slice(&0_u32.to_le_bytes());
        std::fs::write(file, octets).unwrap();
    });
    check_damaged(&home, "gone", &whole, |file| std::fs::remove_file(file).unwrap());
    check_damaged(&home, "a link to nowhere", &whole, |file| {
        std::fs::remove_file(file).unwrap();
        std::os::unix::fs::symlink("nowhere", file).unwrap();
    });
    check_damaged(&home, "a pipe", &whole, |file| {
        std::fs::remove_file(file).unwrap();
        assert!(Command::new("mkfifo").arg(file).status().unwrap().success());
    });
}

#[test]
fn a_ruleset_file_that_can_be_neither_read_nor_replaced_costs_memory_only() {
    let upstream = Upstream::generous();
    let home = Home::new();
    with_all_kinds(&home, &upstream);
    // A directory stands in its place: that refuses root too.
    std::fs::create_dir_all(file_of(&home).join("full")).unwrap();
    let daemon = home.start();
    says_what_it_should(&daemon).unwrap();
    let told = problems(&daemon);
    assert!(told.contains("could not be kept") && told.contains("held in memory"), "{told}");
    daemon.kill();
    std::fs::remove_dir_all(file_of(&home)).unwrap();
    let daemon = home.start();
    says_what_it_should(&daemon).unwrap();
    assert_eq!(problems(&daemon), "[]");
    Ruleset::verify(&file_of(&home)).unwrap();
}

#[test]
fn lists_that_did_not_change_are_not_compiled_again() {
    let upstream = Upstream::generous();
    let home = Home::new();
    with_all_kinds(&home, &upstream);
    let first = home.start();
    assert!(first.log().contains("kept=false"));
    assert!(first.stop().success());
    let modified = std::fs::metadata(file_of(&home)).unwrap().modified().unwrap();
    let second = home.start();
    assert!(second.log().contains("kept=true"), "{}", second.log());
    says_what_it_should(&second).unwrap();
    // The lines are accounted for all the same.
    eventually("the account of the lines", || (second.api("lists")[0]["lines"] == 1_505).then_some(()));
    assert!(second.stop().success());
    assert_eq!(std::fs::metadata(file_of(&home)).unwrap().modified().unwrap(), modified);
    // With a line more they are.
    let list = home.path().join("list.txt");
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, format!("{text}more.example\n")).unwrap();
    let third = home.start();
    eventually("the line is in force", || blocks(&third, "more.example").then_some(()));
}

/// A small file system of its own on the data directory, for as long as this lives.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn mount(home: &Home, size: &str) -> Option<Self> {
        let data = home.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(&data).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(data));
        }
        assert!(std::env::var_os("CI").is_none(), "root is needed to mount");
        eprintln!("not tested: it needs root");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(&self.0).status();
    }
}

#[test]
fn on_a_full_disk_blocking_goes_on_from_memory() {
    let upstream = Upstream::generous();
    let home = Home::new();
    let Some(disk) = SmallDisk::mount(&home, "size=8m") else { return };
    with_all_kinds(&home, &upstream);
    let daemon = home.start();
    says_what_it_should(&daemon).unwrap();
    assert_eq!(problems(&daemon), "[]");
    let ballast = disk.0.join("ballast");
    let fill = || {
        let zeros = vec![0; 4096];
        let mut file = std::fs::File::options().create(true).append(true).open(&ballast).unwrap();
        while std::io::Write::write_all(&mut file, &zeros).is_ok() {}
    };
    fill();
    let before = std::fs::read(file_of(&home)).unwrap();
    let list = home.path().join("list.txt");
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, format!("{text}more.example\n")).unwrap();
    fill();
    eventually("the new line is in force", || blocks(&daemon, "more.example").then_some(()));
    says_what_it_should(&daemon).unwrap();
    let told = problems(&daemon);
    assert!(told.contains("compiled rules could not be kept") && told.contains("make room"), "{told}");
    assert_eq!(std::fs::read(file_of(&home)).unwrap(), before, "what was there is still there");
    // After a power cut on the full disk, too.
    daemon.kill();
    let daemon = home.start();
    eventually("the new line is in force", || blocks(&daemon, "more.example").then_some(()));
    says_what_it_should(&daemon).unwrap();
    // With room again, the next change is kept.
    std::fs::remove_file(&ballast).unwrap();
    std::fs::write(&list, format!("{text}more.example\nmost.example\n")).unwrap();
    eventually("the last line is in force", || blocks(&daemon, "most.example").then_some(()));
    eventually("nothing is wrong any more", || (problems(&daemon) == "[]").then_some(()));
    Ruleset::verify(&file_of(&home)).unwrap();
    daemon.kill();
    drop(disk);
}

#[test]
fn what_changed_while_the_disk_is_read_only_is_in_force_all_the_same() {
    let upstream = Upstream::generous();
    let home = Home::new();
    let Some(disk) = SmallDisk::mount(&home, "size=8m") else { return };
    with_all_kinds(&home, &upstream);
    let daemon = home.start();
    assert!(daemon.stop().success());
    let remount = |how: &str| {
        let status = Command::new("mount").args(["-o", how]).arg(&disk.0).status().unwrap();
        assert!(status.success());
    };
    remount("remount,ro");
    let list = home.path().join("list.txt");
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, format!("{text}more.example\n")).unwrap();
    let daemon = home.start();
    eventually("the new line is in force", || blocks(&daemon, "more.example").then_some(()));
    says_what_it_should(&daemon).unwrap();
    let told = problems(&daemon);
    assert!(told.contains("can't be written") && told.contains("compiled rules could not be kept"), "{told}");
    drop(daemon);
    remount("remount,rw");
    // What was kept serves at once; the file that was saved since is read a moment later.
    let daemon = home.start();
    says_what_it_should(&daemon).unwrap();
    eventually("the new line is in force", || blocks(&daemon, "more.example").then_some(()));
    eventually("nothing is wrong any more", || (problems(&daemon) == "[]").then_some(()));
    daemon.kill();
    drop(disk);
}
