//! Sorted runs: keys gathered in memory, sorted, and put aside on the disk when they are many.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::block::shared_len;
use super::bytes::{Reader, put_varint};
use super::key::digest;

/// How many octets of keys are sorted at once. With what sorting needs, a run takes twice as much memory. It is what a compile
/// adds to the memory of a daemon, so it is small: merging the runs of a million names costs little time.
const RUN_LEN: usize = 6 * 1024 * 1024;
/// The longest key with its length before it, in octets.
const KEY_LEN_MAX: usize = 256;
/// How much of a run is read from the disk at a time, in octets.
const PIECE_LEN: usize = 64 * 1024;

/// One key and what is said of it.
#[derive(Clone, Copy)]
struct Entry {
    digest: u64,
    /// Where the key is, with its length before it.
    start: u32,
    kind: u32,
}

/// A run that is being gathered.
#[derive(Default)]
pub(super) struct Run {
    keys: Vec<u8>,
    entries: Vec<Entry>,
}

impl Run {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a run ends before 4 GiB (`is_full`, `has_no_room`), and a key is shorter than 256 octets"
    )]
    pub(super) fn push(&mut self, key: &[u8], kind: u32) {
        let start = self.keys.len() as u32;
        self.keys.push(key.len() as u8);
        self.keys.extend_from_slice(key);
        self.entries.push(Entry { digest: digest(key), start, kind });
    }

    pub(super) const fn is_full(&self) -> bool {
        RUN_LEN <= self.keys.len()
    }

    /// Whether another key would not fit: places in the run are numbers of four octets.
    pub(super) const fn has_no_room(&self) -> bool {
        (u32::MAX as usize) - KEY_LEN_MAX < self.keys.len()
    }

    /// How many keys there are, each as often as it came.
    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn sort(&mut self) {
        let keys = &self.keys;
        self.entries.sort_unstable_by(|one, other| {
            let by_digest = one.digest.cmp(&other.digest);
            by_digest.then_with(|| (key_at(keys, one), one.kind).cmp(&(key_at(keys, other), other.kind)))
        });
    }

    /// Some of the sorted keys, each without what it shares with the one before: what blocks will be full of.
    pub(super) fn sample(&self, count: usize) -> Vec<&[u8]> {
        let step = (self.entries.len() / count).max(1);
        let pairs = self.entries.windows(2).step_by(step);
        pairs
            .filter_map(|pair| {
                let [one, other] = pair else { return None };
                let (one, other) = (key_at(&self.keys, one), key_at(&self.keys, other));
                other.get(shared_len(one, other)..)
            })
            .collect()
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.entries.clear();
    }
}

fn key_at<'a>(keys: &'a [u8], entry: &Entry) -> &'a [u8] {
    let (&length, rest) = keys.get(entry.start as usize..).and_then(<[u8]>::split_first).unwrap_or((&0, &[]));
    rest.get(..usize::from(length)).unwrap_or_default()
}

/// Runs on the disk, in a file without a name: whatever happens, nothing of it stays.
pub(super) struct Spill {
    file: Arc<File>,
    /// Where each run ends.
    ends: Vec<u64>,
    /// How many keys were written, each as often as it was.
    count: usize,
}

impl Spill {
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self { file: Arc::new(tempfile::tempfile_in(directory)?), ends: Vec::new(), count: 0 })
    }

    /// Writes a sorted run out and empties it. A key that comes twice with the same kind is written once.
    #[expect(clippy::cast_possible_truncation, reason = "a key is shorter than 256 octets")]
    pub(super) fn put(&mut self, run: &mut Run) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(PIECE_LEN, &*self.file);
        let mut line = Vec::new();
        let mut last: Option<(&[u8], u32)> = None;
        for entry in &run.entries {
            let key = key_at(&run.keys, entry);
            if last == Some((key, entry.kind)) {
                continue;
            }
            let shared = last.map_or(0, |(last, _)| shared_len(last, key));
            let rest = key.get(shared..).unwrap_or_default();
            line.clear();
            line.extend_from_slice(&[shared as u8, rest.len() as u8]);
            put_varint(&mut line, entry.kind);
            line.extend_from_slice(rest);
            out.write_all(&line)?;
            last = Some((key, entry.kind));
            self.count += 1;
        }
        out.flush()?;
        drop(out);
        self.ends.push((&*self.file).stream_position()?);
        run.clear();
        Ok(())
    }

    /// How many keys there are, at most.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// Each run, to be read from its beginning.
    pub(super) fn runs(&self) -> impl Iterator<Item = Cursor<'static>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied()).map(|(at, end)| Cursor::Spilled {
            file: Arc::clone(&self.file),
            at,
            end,
            buffer: Vec::new(),
            read: 0,
        })
    }
}

/// Goes through a sorted run.
pub(super) enum Cursor<'a> {
    Held { run: &'a Run, next: usize },
    Spilled { file: Arc<File>, at: u64, end: u64, buffer: Vec<u8>, read: usize },
}

/// The longest entry in a spilled run: two lengths, a kind, a key.
const ENTRY_LEN_MAX: usize = 2 + 5 + 255;

impl Cursor<'_> {
    /// Takes the next entry: changes `key` to it and gives its kind; `None` at the end.
    pub(super) fn next(&mut self, key: &mut Vec<u8>) -> io::Result<Option<u32>> {
        match self {
            Self::Held { run, next } => {
                let Some(entry) = run.entries.get(*next) else { return Ok(None) };
                *next += 1;
                key.clear();
                key.extend_from_slice(key_at(&run.keys, entry));
                Ok(Some(entry.kind))
            }
            Self::Spilled { file, at, end, buffer, read } => {
                if buffer.len() - *read < ENTRY_LEN_MAX && at < end {
                    buffer.drain(..*read);
                    *read = 0;
                    let kept = buffer.len();
                    let room = PIECE_LEN.min(usize::try_from(*end - *at).unwrap_or(PIECE_LEN));
                    buffer.resize(kept + room, 0);
                    file.read_exact_at(buffer.get_mut(kept..).unwrap_or_default(), *at)?;
                    *at += room as u64;
                }
                let mut reader = Reader(buffer.get(*read..).unwrap_or_default());
                if reader.0.is_empty() {
                    return Ok(None);
                }
                let entry = (|| {
                    let (shared, rest) = (reader.u8()?, reader.u8()?);
                    let kind = reader.varint()?;
                    key.truncate(usize::from(shared));
                    key.extend_from_slice(reader.take(usize::from(rest))?);
                    Some(kind)
                })();
                *read = buffer.len() - reader.0.len();
                entry
                    .map(Some)
                    .ok_or_else(|| io::Error::other("a run on the disk was changed while it was read"))
            }
        }
    }
}
