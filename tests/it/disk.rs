//! Disks that take no more, or not all: at each write of what is kept, what was there stays, what could not be kept is told, and
//! all of it works again when there is room.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use hickory_proto::rr::RecordType;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;

use crate::access::set_password;
use crate::kept::SmallDisk;
use crate::support::client::Ask;
use crate::support::daemon::{BINARY, Daemon, Home};
use crate::support::eventually;
use crate::support::upstream::Upstream;

fn blocks(daemon: &Daemon, name: &str) -> bool {
    Ask::new(name, RecordType::A).of(daemon.dns).addresses() == ["0.0.0.0"]
}

/// Through the command line's socket, which asks for no password.
fn status(daemon: &Daemon) -> Value {
    serde_json::from_str(&daemon.run(&["status", "--output", "json"])).unwrap()
}

fn problems(daemon: &Daemon) -> String {
    let status = status(daemon);
    format!("{} {}", status["problems"], status["history"]["problem"])
}

/// A daemon whose files may be bounded in size: what is written beyond fails (EFBIG), as on a card that takes no more. The shell
/// has it ignore the signal that would end it (setrlimit(2)).
fn start_bounded(home: &Home) -> Daemon {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", BINARY]);
    home.start_as(command)
}

/// No file may become larger than so many octets; `None`: as large as ours.
fn bound_files(daemon: &Daemon, size: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = Rlimit { current: size, maximum };
    let pid = Pid::from_raw(daemon.pid().try_into().unwrap());
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

fn configure(home: &Home, upstream: &Upstream) {
    std::fs::write(home.path().join("listed.txt"), "listed.example\n").unwrap();
    std::fs::write(home.path().join("added.txt"), "added.example\n").unwrap();
    let list = format!(
        "builtin.levels = []\ncache.keep = true\n[[lists]]\nname = \"listed\"\npath = \"{}\"\n",
        home.path().join("listed.txt").display()
    );
    home.configure(upstream.address, &list);
}

/// What a person does that has to be kept, and how it shows that it was done.
fn wishes(home: &Home) -> [(Vec<String>, &'static str); 3] {
    let added = home.path().join("added.txt").display().to_string();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    [
        (words(&["block", "second.example"]), "second.example"),
        (words(&["lists", "add", &added]), "added.example"),
        (words(&["devices", "rename", "127.0.0.1", "desk"]), ""),
    ]
}

fn is_done(daemon: &Daemon, name: &str) -> bool {
    if name.is_empty() { daemon.run(&["devices"]).contains("desk") } else { blocks(daemon, name) }
}

/// Tries all of it while writing may fail: each wish is granted and in force, or refused and not; which of them were granted.
fn try_all(daemon: &Daemon, case: &str) -> Vec<bool> {
    let home = daemon.home();
    let mut granted = Vec::new();
    for (arguments, name) in wishes(home) {
        let output = home.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            eventually(&format!("{case}: {arguments:?} is in force"), || is_done(daemon, name).then_some(()));
        } else {
            assert!(said.contains("could not be written") && said.contains("make room"), "{case}: {said}");
            assert!(said.to_lowercase().contains("nothing was changed"), "{case}: {said}");
            assert!(!is_done(daemon, name), "{case}: {arguments:?} was refused and done");
        }
        granted.push(output.status.success());
    }
    let said = set_password(home, "correct horse battery");
    granted.push(said.contains("The password is set"));
    assert!(granted[3] || said.contains("could not be kept"), "{case}: {said}");
    // A text of a list that can't be kept is in force all the same.
    std::fs::write(home.path().join("listed.txt"), "listed.example\nnewer.example\n").unwrap();
    eventually(&format!("{case}: the newer text is in force"), || {
        blocks(daemon, "newer.example").then_some(())
    });
    assert!(blocks(daemon, "listed.example") && blocks(daemon, "own.example"), "{case}");
    for number in 0..40 {
        assert!(blocks(daemon, &format!("n{number}.own.example")), "{case}");
    }
    granted
}

/// The history, read by another program, is whole.
#[track_caller]
fn check_whole(home: &Home, case: &str) {
    let history = rusqlite::Connection::open(home.path().join("data/history.sqlite3")).unwrap();
    let check: String = history.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok", "{case}");
}

/// A file that is half-written, or set aside.
fn unfinished(home: &Home) -> Option<String> {
    let mut directories = vec![home.path().join("data")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with(".tmp")
                || [".new", ".damaged", "next-"].iter().any(|word| name.contains(word))
            {
                return Some(name);
            }
            if entry.path().is_dir() {
                directories.push(entry.path());
            }
        }
    }
    None
}

/// One disk from beginning to end: full, killed or with room again, and started anew.
///
/// `refuses` says that small files can't be written either, so that wishes are refused.
fn check_disk(home: &Home, case: &str, is_killed: bool, refuses: bool, set_full: impl Fn(&Daemon, bool)) {
    let daemon = start_bounded(home);
    daemon.run(&["block", "own.example"]);
    assert!(blocks(&daemon, "own.example"));
    let hits = || daemon_hits(&daemon);
    eventually("the history is written", || (status(&daemon)["history"]["unflushed"] == 0).then_some(()));
    let hits_before = hits();
    set_full(&daemon, true);
    let granted = try_all(&daemon, case);
    assert_eq!(granted.contains(&false), refuses, "{case}: {granted:?}");
    if is_killed {
        daemon.kill();
    } else {
        eventually(&format!("{case}: it is told"), || (problems(&daemon) != "[] null").then_some(()));
        set_full(&daemon, false);
        eventually(&format!("{case}: the history is caught up"), || {
            let history = &status(&daemon)["history"];
            (history["unflushed"] == 0 && history["problem"].is_null()).then_some(())
        });
        assert!(hits_before + 40 <= hits(), "{case}: {} hits of {hits_before} + 40", hits());
        for (arguments, name) in wishes(home) {
            let _ = home.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
            eventually(&format!("{case}: {arguments:?} with room again"), || {
                is_done(&daemon, name).then_some(())
            });
        }
        assert!(set_password(home, "correct horse battery").contains("The password is set"), "{case}");
        let status = daemon.stop();
        assert!(status.success(), "{case}: {status} {:?}", status.signal());
    }
    if is_killed {
        // The next start has room.
        set_room(home);
    }
    let daemon = home.start();
    assert!(blocks(&daemon, "own.example"), "{case}: the person's rule went away");
    eventually(&format!("{case}: the lists are in force"), || blocks(&daemon, "newer.example").then_some(()));
    for ((arguments, name), was_granted) in wishes(home).into_iter().zip(granted) {
        let is_granted = was_granted || !is_killed;
        if is_granted {
            eventually(&format!("{case}: {arguments:?} after a start"), || {
                is_done(&daemon, name).then_some(())
            });
        } else {
            assert!(!is_done(&daemon, name), "{case}: {arguments:?} was refused, and is done after a start");
        }
    }
    assert!(hits_before <= daemon_hits(&daemon), "{case}: what was flushed is lost");
    eventually(&format!("{case}: nothing is wrong any more"), || {
        (problems(&daemon) == "[] null").then_some(())
    });
    eventually(&format!("{case}: nothing is left half-written"), || unfinished(home).is_none().then_some(()));
    assert!(daemon.stop().success());
    check_whole(home, case);
}

fn daemon_hits(daemon: &Daemon) -> u64 {
    let log: Value = serde_json::from_str(&daemon.run(&["devices", "--output", "json"])).unwrap();
    log.as_array().unwrap().iter().map(|device| device["hits"].as_u64().unwrap_or_default()).sum()
}

fn ballast(home: &Home) -> std::path::PathBuf {
    home.path().join("data/ballast")
}

fn set_room(home: &Home) {
    let _ = std::fs::remove_file(ballast(home));
}

fn fill(path: &Path) {
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    for size in [65536, 4096, 1] {
        while std::io::Write::write_all(&mut file, &vec![0; size]).is_ok() {}
    }
}

#[test]
fn writes_that_fail_or_end_half_way_lose_nothing() {
    let upstream = Upstream::generous();
    // From the first octet on, within texts, within the database's log, within compiled rules.
    for size in [0, 100, 4_096, 30_000] {
        for is_killed in [false, true] {
            let home = Home::new();
            configure(&home, &upstream);
            let case = format!("files of {size} octets, {}", if is_killed { "killed" } else { "healed" });
            check_disk(&home, &case, is_killed, size < 4_096, |daemon, is_full| {
                bound_files(daemon, is_full.then_some(size));
            });
        }
    }
}

#[test]
fn a_disk_that_is_full_while_it_runs_loses_nothing() {
    let upstream = Upstream::generous();
    for is_killed in [false, true] {
        let home = Home::new();
        let Some(disk) = SmallDisk::mount(&home, "size=4m") else { return };
        configure(&home, &upstream);
        let case = if is_killed { "a full disk, killed" } else { "a full disk, healed" };
        check_disk(&home, case, is_killed, true, |_, is_full| {
            if is_full { fill(&ballast(&home)) } else { set_room(&home) }
        });
        drop(disk);
    }
}

/// Has calls of a running daemon on its files fail, as strace can.
struct Failing(std::process::Child);

impl Failing {
    /// `None` where strace is not installed or may not look into another process.
    fn start(home: &Home, daemon: &Daemon, calls: &str) -> Option<Self> {
        let data = home.path().join("data");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null"]).arg("-p").arg(daemon.pid().to_string());
        let files = ["rules.toml", "lists.toml", "devices.toml"];
        let files = files.iter().flat_map(|file| [format!("{file}.new"), format!("{file}.last-good.new")]);
        let files = files.chain(["access.json", "sessions.json"].map(|file| format!("{file}.new")));
        let files = files.chain(["cache.new", "ruleset.new"].map(str::to_owned));
        let files = files.chain(["", "-wal"].map(|part| format!("history.sqlite3{part}")));
        let lists = ["listed", "added"].into_iter().flat_map(|list| {
            let texts = (0..40).map(move |number| format!("lists/{list}/next-{number}.zst"));
            texts.chain([format!("lists/{list}/revisions.json.new")])
        });
        for file in files.chain(lists) {
            strace.arg("-P").arg(data.join(file));
        }
        strace.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:error=EIO")]);
        let mut child = strace.stderr(std::process::Stdio::piped()).spawn().ok()?;
        let is_traced = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
            !status.contains("TracerPid:\t0")
        };
        while child.try_wait().unwrap().is_none() {
            if is_traced() {
                // Its other threads follow within a moment.
                std::thread::sleep(std::time::Duration::from_millis(300));
                return Some(Self(child));
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        // It lets go of the daemon when it is asked to end.
        let pid = Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn calls_that_fail_lose_nothing() {
    let upstream = Upstream::generous();
    let home = Home::new();
    configure(&home, &upstream);
    if Failing::start(&home, &home.start(), "fsync").is_none() {
        assert!(std::env::var_os("CI").is_none(), "strace is needed, and the right to use it");
        eprintln!("not tested: it needs strace, and the right to use it");
        return;
    }
    for (calls, is_killed) in
        [("write,pwrite64", false), ("fsync,fdatasync", true), ("fsync,fdatasync", false), ("rename", false)]
    {
        let home = Home::new();
        configure(&home, &upstream);
        let failing = std::cell::RefCell::new(None);
        let case = format!("{calls} fail, killed: {is_killed}");
        check_disk(&home, &case, is_killed, true, |daemon, is_full| {
            *failing.borrow_mut() = is_full.then(|| Failing::start(&home, daemon, calls).unwrap());
        });
    }
}

/// A bad sector under a mapping would be the end of the process; it is found by reading, at the start and in the background.
#[test]
fn compiled_rules_on_a_bad_sector_are_compiled_anew() {
    let upstream = Upstream::generous();
    let home = Home::new();
    configure(&home, &upstream);
    let daemon = home.start();
    eventually("the list is in force", || blocks(&daemon, "listed.example").then_some(()));
    if Failing::start(&home, &daemon, "fsync").is_none() {
        assert!(std::env::var_os("CI").is_none(), "strace is needed, and the right to use it");
        eprintln!("not tested: it needs strace, and the right to use it");
        return;
    }
    assert!(daemon.stop().success());
    let file = home.path().join("data/ruleset.bin");
    for (call, told) in [("pread64", "the kept ruleset is not used"), ("read", "the kept ruleset is removed")]
    {
        let mut strace = Command::new("strace");
        // It stands aside, so that the daemon is our own child.
        strace.args(["-D", "-f", "-qq", "-o", "/dev/null", "-P"]).arg(&file);
        strace.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:error=EIO"), BINARY]);
        let daemon = home.start_as(strace);
        eventually(&format!("{call}: the list is in force"), || {
            blocks(&daemon, "listed.example").then_some(())
        });
        eventually(&format!("{call}: it is told"), || daemon.log().contains(told).then_some(()));
        assert!(blocks(&daemon, "listed.example"));
        assert!(daemon.stop().success());
        let daemon = home.start();
        assert!(blocks(&daemon, "listed.example"));
        assert!(daemon.stop().success());
        pixelsink::ruleset::Ruleset::verify(&file).unwrap();
    }
}
