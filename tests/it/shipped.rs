//! Loads every file that is shipped.

use std::path::Path;
use std::process::Command;

use crate::support::daemon::BINARY;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A test that is named and not there would be a promise that nobody keeps.
#[test]
fn every_test_that_the_documentation_names_is_there() {
    let mut sources = String::new();
    let mut directories = vec![root().join("src"), root().join("tests")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                None if path.is_dir() && !path.ends_with("node_modules") => directories.push(path),
                Some("rs") => sources.push_str(&std::fs::read_to_string(path).unwrap()),
                _ => {}
            }
        }
    }
    for page in ["SECURITY.md", "docs/RELIABILITY.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let is_test = |word: &&str| {
            2 < word.matches('_').count() && word.bytes().all(|it| it.is_ascii_lowercase() || it == b'_')
        };
        let named: Vec<&str> = text.split('`').skip(1).step_by(2).filter(is_test).collect();
        assert!(10 < named.len(), "{page}: {named:?}");
        for name in named {
            assert!(sources.contains(&format!("fn {name}(")), "{page} names {name}, which is no test");
        }
    }
}

#[test]
fn the_shipped_configuration_is_right() {
    let output = Command::new(BINARY)
        .arg("check")
        .arg("--config")
        .arg(root().join("config/pixelsink.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("nothing is wrong"), "{said}");
}

/// The unit runs an unprivileged user with the one capability that port 53 needs.
#[test]
fn the_unit_gives_no_more_than_is_needed() {
    let unit = std::fs::read_to_string(root().join("systemd/pixelsink.service")).unwrap();
    let lines: Vec<&str> = unit.lines().collect();
    for needed in [
        "Type=notify",
        "NotifyAccess=main",
        "DynamicUser=yes",
        "AmbientCapabilities=CAP_NET_BIND_SERVICE",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
        "NoNewPrivileges=yes",
        "StateDirectory=pixelsink",
        "RuntimeDirectory=pixelsink",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "ProtectSystem=strict",
    ] {
        assert!(lines.contains(&needed), "the unit lacks {needed}");
    }
    assert!(lines.iter().any(|line| line.starts_with("ExecStart=/usr/bin/pixelsink run")));
}

/// systemd itself reads the unit and has nothing to complain of, where systemd is installed.
#[test]
fn systemd_understands_the_unit() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "systemd-analyze is missing");
        eprintln!("systemd-analyze is not installed; the unit was not verified");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let unit = std::fs::read_to_string(root().join("systemd/pixelsink.service")).unwrap();
    let copy = directory.path().join("pixelsink.service");
    std::fs::write(&copy, unit.replace("/usr/bin/pixelsink", BINARY)).unwrap();
    let socket = directory.path().join("pixelsink.socket");
    std::fs::copy(root().join("systemd/pixelsink.socket"), &socket).unwrap();
    let mut verify = Command::new("systemd-analyze");
    let output = verify.arg("verify").arg("--man=no").args([&copy, &socket]).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    // systemd before 254 restarts without steps, and says that it does not know them.
    let is_newer = |line: &&str| ["RestartSteps", "RestartMaxDelaySec"].iter().any(|key| line.contains(key));
    let ours = complaints.lines().filter(|line| line.contains("pixelsink") && !is_newer(line));
    let ours = ours.collect::<Vec<_>>();
    assert!(ours.is_empty(), "{ours:?}");
}

/// What systemd thinks of how much is left to somebody who takes the daemon over: at most 1.5 of 10.
#[test]
fn the_unit_leaves_little_to_an_intruder() {
    let unit = root().join("systemd/pixelsink.service");
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--threshold=15", "--no-pager"]).arg(unit);
    let Ok(output) = command.output() else {
        assert!(std::env::var_os("CI").is_none(), "systemd-analyze is missing");
        eprintln!("systemd-analyze is not installed; the exposure was not measured");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let overall = said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_default();
    assert!(output.status.success(), "{overall}{}", String::from_utf8_lossy(&output.stderr));
}
