//! The text of a list as it is kept: compressed, with what it must hash to.
//!
//! A text lies on the disk and is read from there when it is needed, its checksum compared while it is read; only what
//! could not be written there is held in memory. A text that turns out damaged says so from then on.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::disk;

/// Compression level: 3 is where zstd is still quicker than a home's line on a small machine.
const LEVEL: i32 = 3;
/// How much text is decompressed at a time, in octets.
const PIECE_LEN: usize = 64 * 1024;
/// The largest window that a kept text may ask for: 2^23 octets. Ours need 2^21; a damaged header can't ask for more.
const WINDOW_LOG_MAX: u32 = 23;
/// What texts that are being written begin with.
const UNFINISHED: &str = "next-";

/// A whole text, compressed.
#[derive(Debug)]
pub(super) struct Text {
    place: Place,
    digest: Box<str>,
    size: u64,
    /// How long it is compressed, in octets.
    kept_size: u64,
    damaged: AtomicBool,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Box<[u8]>),
    File(PathBuf),
}

impl Text {
    /// A text that lies in a file, as its note says; the file is looked at when the text is read.
    pub(super) fn in_file(path: PathBuf, digest: &str, size: u64, kept_size: u64) -> Self {
        let damaged = AtomicBool::new(false);
        Self { place: Place::File(path), digest: digest.into(), size, kept_size, damaged }
    }

    /// SHA-256 of the text, in hexadecimal digits.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// How long the text is, in octets.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// How long it is compressed, in octets.
    pub(super) const fn kept_size(&self) -> u64 {
        self.kept_size
    }

    /// The file that it lies in; `None` when it is held in memory.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Memory(_) => None,
        }
    }

    /// Whether it was found not to be what it was.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Hands the text to `take`, piece by piece.
    ///
    /// # Errors
    /// What `take` says, and when the text is not what it was: that is known at its end only.
    pub(super) fn read(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut taken = Ok(());
        let read = self.read_checked(|piece| {
            taken = take(piece);
            match &taken {
                Ok(()) => Ok(()),
                Err(_) => Err(io::Error::other("it was not taken")),
            }
        });
        taken?;
        if read.is_err() {
            self.damaged.store(true, Ordering::Relaxed);
        }
        read
    }

    fn read_checked(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        match &self.place {
            Place::Memory(zst) => self.decompress(&**zst, &mut take),
            Place::File(path) => self.decompress(BufReader::new(disk::open(path)?), &mut take),
        }
    }

    fn decompress(
        &self,
        zst: impl io::BufRead,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(zst)?;
        decoder.window_log_max(WINDOW_LOG_MAX)?;
        let mut buffer = vec![0; PIECE_LEN];
        let mut hasher = Sha256::new();
        let mut size = 0;
        loop {
            let length = decoder.read(&mut buffer)?;
            let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else { break };
            size += piece.len() as u64;
            if self.size < size {
                return Err(io::Error::other("it is longer than its note says"));
            }
            hasher.update(piece);
            take(piece)?;
        }
        if size == self.size && hex(&hasher.finalize()) == *self.digest {
            Ok(())
        } else {
            Err(io::Error::other("its checksum is not the one of its note"))
        }
    }

    /// Copies the compressed text to a file and waits until it is on the disk.
    pub(super) fn copy_to(&self, path: &Path) -> io::Result<()> {
        match &self.place {
            Place::Memory(zst) => disk::write_synced(path, zst),
            Place::File(from) => {
                let (mut from, mut to) = (disk::open(from)?, File::create(path)?);
                io::copy(&mut from, &mut to)?;
                to.sync_all()
            }
        }
    }
}

/// Compresses and hashes a text as it comes.
pub(super) struct TextWriter {
    encoder: zstd::stream::write::Encoder<'static, Sink>,
    hasher: Sha256,
    size: u64,
}

impl TextWriter {
    /// Writes to `directory`, or into memory where that can't be written.
    pub(super) fn new(directory: Option<&Path>) -> io::Result<Self> {
        let mut encoder = zstd::stream::write::Encoder::new(Sink::new(directory), LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Self { encoder, hasher: Sha256::new(), size: 0 })
    }

    pub(super) fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        self.hasher.update(piece);
        self.size += piece.len() as u64;
        self.encoder.write_all(piece)
    }

    pub(super) fn finish(self) -> io::Result<Text> {
        let digest = hex(&self.hasher.finalize());
        let (place, kept_size) = self.encoder.finish()?.finish(&digest)?;
        let damaged = AtomicBool::new(false);
        Ok(Text { place, digest: digest.into(), size: self.size, kept_size, damaged })
    }
}

/// Where a text is kept by its digest.
pub(super) fn file_name(digest: &str) -> String {
    format!("{digest}.zst")
}

/// Whether a file of this name holds a text, finished or not.
pub(super) fn is_text(name: &str) -> bool {
    name.ends_with(".zst")
}

/// Where the compressed text goes: to a file that is deleted unless it is finished.
struct Sink {
    memory: Vec<u8>,
    file: Option<(File, PathBuf)>,
    written: u64,
}

impl Sink {
    fn new(directory: Option<&Path>) -> Self {
        /// Two looks at one list may overlap when the first was given up.
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let file = directory.and_then(|directory| {
            fs::create_dir_all(directory).ok()?;
            let path = directory.join(format!("{UNFINISHED}{number}.zst"));
            // Left behind by a crash; only this program writes here.
            let _ = fs::remove_file(&path);
            Some((File::create_new(&path).ok()?, path))
        });
        Self { memory: Vec::new(), file, written: 0 }
    }

    /// Goes on in memory, as when the disk is full.
    fn go_on_in_memory(&mut self) -> io::Result<()> {
        let Some((_, path)) = self.file.take() else { return Ok(()) };
        let written = File::open(&path)
            .and_then(|file| file.take(self.written).read_to_end(&mut self.memory).map(|read| read as u64));
        let _ = fs::remove_file(&path);
        if written? == self.written { Ok(()) } else { Err(io::Error::other("what was written is gone")) }
    }

    /// The text under the name of its digest.
    fn finish(mut self, digest: &str) -> io::Result<(Place, u64)> {
        if let Some((file, path)) = &self.file {
            let named = path.with_file_name(file_name(digest));
            if file.sync_all().and_then(|()| fs::rename(path, &named)).is_ok() {
                self.file = None;
                return Ok((Place::File(named), self.written));
            }
        }
        self.go_on_in_memory()?;
        Ok((Place::Memory(std::mem::take(&mut self.memory).into()), self.written))
    }
}

impl Write for Sink {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if let Some((file, _)) = &mut self.file {
            match file.write(piece) {
                Ok(length) => {
                    self.written += length as u64;
                    return Ok(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(_) => self.go_on_in_memory()?,
            }
        }
        self.memory.extend_from_slice(piece);
        self.written += piece.len() as u64;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.file {
            let _ = fs::remove_file(path);
        }
    }
}

/// Octets in hexadecimal digits.
pub(super) fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 2);
    for octet in octets {
        // Writing to a `String` never fails.
        let _ = write!(text, "{octet:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &Text) -> io::Result<Vec<u8>> {
        let mut whole = Vec::new();
        let read = text.read(|piece| {
            whole.extend_from_slice(piece);
            Ok(())
        });
        read.map(|()| whole)
    }

    fn written(original: &[u8], directory: Option<&Path>) -> Text {
        let mut writer = TextWriter::new(directory).unwrap();
        for piece in original.chunks(1000) {
            writer.push(piece).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn a_text_comes_back_as_it_was_and_a_damaged_one_never() {
        let directory = tempfile::tempdir().unwrap();
        let original = b"pixel.example\n".repeat(9_000);
        assert_eq!(whole(&written(&original, None)).unwrap(), original);
        let text = written(&original, Some(directory.path()));
        assert_eq!(whole(&text).unwrap(), original);
        let path = text.path().unwrap().to_owned();
        assert_eq!(path.file_name().unwrap().to_str().unwrap(), file_name(text.digest()));
        let zst = fs::read(&path).unwrap();
        assert_eq!(zst.len() as u64, text.kept_size());
        for position in 0..zst.len() {
            let mut damaged = zst.clone();
            damaged[position] ^= 0x5a;
            fs::write(&path, damaged).unwrap();
            let text = Text::in_file(path.clone(), text.digest(), text.size(), text.kept_size());
            // A flip in an unused bit of the header may still give the same text; never another one.
            match whole(&text) {
                Ok(read) => assert_eq!(read, original),
                Err(_) => assert!(text.is_damaged()),
            }
            fs::write(&path, &zst[..position]).unwrap();
            assert!(whole(&text).is_err());
        }
    }

    #[test]
    fn what_is_not_finished_is_not_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = TextWriter::new(Some(directory.path())).unwrap();
        writer.push(b"pixel.example\n").unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_text_is_held_where_it_can_not_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let taken = directory.path().join("taken");
        fs::write(&taken, "").unwrap();
        let text = written(b"pixel.example\n", Some(&taken));
        assert_eq!((text.path(), whole(&text).unwrap()), (None, b"pixel.example\n".to_vec()));
        // And when only its last step fails.
        let digest = text.digest().to_owned();
        fs::create_dir(directory.path().join(file_name(&digest))).unwrap();
        let text = written(b"pixel.example\n", Some(directory.path()));
        assert_eq!((text.path(), whole(&text).unwrap()), (None, b"pixel.example\n".to_vec()));
    }

    #[test]
    fn whoever_stops_reading_finds_no_damage() {
        let text = written(b"pixel.example\n", None);
        assert!(text.read(|_| Err(io::Error::other("enough"))).is_err());
        assert!(!text.is_damaged());
    }
}
