//! Files that are looked at again and again, and read only when they changed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

/// By what a change is seen: when a file was saved, and how long it is.
pub(super) type Seen = (SystemTime, u64);

/// The first `size_max` octets of a file, unless it is as it was `seen`.
///
/// # Errors
/// When it can't be read, or is no file: opening a pipe would wait for its other end for ever.
pub(super) fn read_if_changed(
    path: &Path,
    seen: Option<Seen>,
    size_max: u64,
) -> io::Result<Option<(Seen, Vec<u8>)>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let now = (metadata.modified()?, metadata.len());
    if seen == Some(now) {
        return Ok(None);
    }
    let mut text = Vec::new();
    File::open(path)?.take(size_max).read_to_end(&mut text)?;
    Ok(Some((now, text)))
}
