//! Files written so that a power cut leaves the old one or the new one, never half of one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How a file was replaced.
pub(super) enum Replaced {
    OnDisk,
    /// Everyone sees the new one, but a power cut may bring the old one back.
    NotSynced(io::Error),
}

/// Writes beside the file, syncs, renames over it and syncs the directory. Permissions of the old file are kept.
///
/// # Errors
/// When the old file is still there.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<Replaced> {
    // Where the name is a link, what it points to is written, and the link stays.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let beside = beside(&path, ".new");
    let written = write_synced(&beside, content).and_then(|()| {
        if let Ok(old) = fs::metadata(&path) {
            fs::set_permissions(&beside, old.permissions())?;
        }
        fs::rename(&beside, &path)
    });
    if written.is_err() {
        // A full disk is not to be filled further by what was left half-written.
        let _ = fs::remove_file(&beside);
    }
    written?;
    Ok(match sync_directory_of(&path) {
        Ok(()) => Replaced::OnDisk,
        Err(error) => Replaced::NotSynced(error),
    })
}

/// Where a copy of a file is kept that a person may edit, as it was when it could last be read.
pub(super) fn last_good(path: &Path) -> PathBuf {
    beside(path, ".last-good")
}

/// Brings a file back from its [copy](last_good) when only its beginning is there, or nothing at all, as a power cut leaves a file
/// on some file systems. What was done, in whole sentences; `None`: there was nothing to do.
pub(super) fn restore_cut(path: &Path) -> Option<String> {
    const SIZE_MAX: u64 = 4 * 1024 * 1024;
    let copy = last_good(path);
    let (there, whole) = (read_bounded(path, SIZE_MAX).ok()?, read_bounded(&copy, SIZE_MAX).ok()?);
    // Who takes lines away leaves whole ones.
    if there.len() == whole.len() || !whole.starts_with(&there) || there.ends_with(b"\n") {
        return None;
    }
    // A full disk has room for another name.
    let restored = replace(path, &whole).map(drop).or_else(|_| fs::rename(&copy, path));
    let (path, copy) = (path.display(), copy.display());
    Some(match restored {
        Ok(()) => format!(
            "{path} was empty or cut short, as a power cut leaves a file; what it said before was brought back from {copy}. To take \
             all of it back, delete both files."
        ),
        Err(error) => format!(
            "{path} is empty or cut short, as a power cut leaves a file, and could not be brought back from {copy} ({error}); copy it \
             by hand, and restart."
        ),
    })
}

/// Writes a file and waits until it is on the disk.
pub(super) fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Waits until the names in the file's directory are on the disk.
pub(super) fn sync_directory_of(path: &Path) -> io::Result<()> {
    match directory_of(path) {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// The directory that a file is in: for a bare name the one the daemon runs in.
pub(super) fn directory_of(path: &Path) -> Option<&Path> {
    path.parent().map(|directory| if directory == Path::new("") { Path::new(".") } else { directory })
}

/// Reads a file of no more than `size_max` octets.
pub(super) fn read_bounded(path: &Path, size_max: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut content = Vec::new();
    file.take(size_max.saturating_add(1)).read_to_end(&mut content)?;
    if size_max < content.len() as u64 {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {size_max} octets")));
    }
    Ok(content)
}

/// Opens a file that is one: opening a pipe would wait for its other end for ever.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    File::open(path)
}

/// Tells whether a file changed since it was last looked at, without reading it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Mark {
    /// When it was saved.
    pub(super) modified: SystemTime,
    length: u64,
    /// Device, inode, time of the last change of status.
    place: (u64, u64, i64, i64),
}

impl Mark {
    /// Looks at a file.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            modified: metadata.modified()?,
            length: metadata.len(),
            // A rename brings another inode; the time of the last status change can't be set back by a tool.
            place: (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether there is nothing in it.
    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Which file it is, whatever is in it: device and inode.
    pub(super) const fn identity(&self) -> (u64, u64) {
        (self.place.0, self.place.1)
    }
}

/// The path with something added to its file name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_in_a_directory_that_can_not_be_synced_counts_as_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rules.toml");
        // To write in it is allowed, to open it is not; root is not bound by that.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o300)).unwrap();
        let is_root = File::open(directory.path()).is_ok();
        let replaced = replace(&path, b"new").unwrap();
        assert_eq!(matches!(replaced, Replaced::NotSynced(_)), !is_root);
        assert_eq!(fs::read(&path).unwrap(), b"new");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn a_file_that_was_cut_is_brought_back_and_one_that_was_edited_is_not() {
        #[track_caller]
        fn check(there: Option<&str>, copy: Option<&str>, expected: Option<&str>) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("rules.toml");
            for (path, content) in [(&path, there), (&last_good(&path), copy)] {
                content.into_iter().for_each(|content| fs::write(path, content).unwrap());
            }
            let told = restore_cut(&path);
            assert_eq!(told.is_some(), there != expected, "{told:?}");
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), expected);
        }
        let whole = Some("# mine\na = 1\n");
        check(Some(""), whole, whole);
        check(Some("# mine\na ="), whole, whole);
        check(Some("# mine\n"), whole, Some("# mine\n"));
        check(Some("a = 2"), whole, Some("a = 2"));
        check(whole, whole, whole);
        check(None, whole, None);
        check(Some(""), None, Some(""));
        check(Some(""), Some(""), Some(""));
    }

    #[test]
    fn a_bare_name_is_in_the_directory_the_daemon_runs_in() {
        assert_eq!(directory_of(Path::new("mine.txt")), Some(Path::new(".")));
        assert_eq!(directory_of(Path::new("lists/mine.txt")), Some(Path::new("lists")));
        assert_eq!(directory_of(Path::new("/")), None);
    }
}
