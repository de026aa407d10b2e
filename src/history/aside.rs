//! A file that can't be used is renamed, never overwritten and never deleted.

use std::io;
use std::path::Path;
use std::path::PathBuf;

use jiff::Timestamp;

/// How many files may be set aside in the same second.
const TRIES_MAX: u32 = 100;

/// Renames `file` and what SQLite keeps beside it to `<file>.<word>-<timestamp>`, and returns the new name.
pub(super) fn set_aside(file: &Path, word: &str, now: Timestamp) -> io::Result<PathBuf> {
    let stamp = now.strftime("%Y%m%dT%H%M%SZ");
    let candidates = (1..=TRIES_MAX).map(|number| match number {
        1 => with_suffix(file, &format!(".{word}-{stamp}")),
        _ => with_suffix(file, &format!(".{word}-{stamp}-{number}")),
    });
    let mut free = candidates.filter(|path| !path.exists());
    let target = free.next().ok_or(io::ErrorKind::AlreadyExists)?;
    // The write-ahead log goes first: left behind, it would be read into the next file of this name.
    for suffix in ["-wal", "-shm", ""] {
        match std::fs::rename(with_suffix(file, suffix), with_suffix(&target, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(target)
}

/// `path` with `suffix` at the end of its name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("h.sqlite3");
        let now = "2026-01-14T12:30:00Z".parse().unwrap();
        for expected in ["h.sqlite3.newer-20260114T123000Z", "h.sqlite3.newer-20260114T123000Z-2"] {
            std::fs::write(&file, expected).unwrap();
            std::fs::write(with_suffix(&file, "-wal"), "log").unwrap();
            let target = set_aside(&file, "newer", now).unwrap();
            assert_eq!(target, dir.path().join(expected));
            assert_eq!(std::fs::read_to_string(&target).unwrap(), expected);
            assert_eq!(std::fs::read_to_string(with_suffix(&target, "-wal")).unwrap(), "log");
        }
        assert!(!file.exists());
    }
}
