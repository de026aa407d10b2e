//! The text of a list as it is held: compressed, with what it must hash to.
//!
//! Texts stay in memory for as long as they are in force, at a third of their size: 7 MB for a million names, an eighth
//! of what their compiled rules take. So a compile never waits for a slow card, and never fails because a card went bad.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

/// Compression level: 3 is where zstd is still quicker than a home's line on a small machine.
const LEVEL: i32 = 3;
/// How much text is decompressed at a time, in octets.
const PIECE_LEN: usize = 64 * 1024;
/// The largest window that a kept text may ask for: 2^23 octets. Ours need 2^21; a damaged header can't ask for more.
const WINDOW_LOG_MAX: u32 = 23;

/// A whole text, compressed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Text {
    zst: Box<[u8]>,
    digest: Box<str>,
    size: u64,
}

impl Text {
    /// Takes a text as it was kept, when it decompresses to what its note says.
    pub(super) fn from_zst(zst: Vec<u8>, digest: &str, size: u64) -> io::Result<Self> {
        let text = Self { zst: zst.into(), digest: digest.into(), size };
        let mut hasher = Sha256::new();
        let mut read = 0_u64;
        text.read(|piece| {
            hasher.update(piece);
            read += piece.len() as u64;
            if size < read { Err(io::Error::other("it is longer than its note says")) } else { Ok(()) }
        })?;
        if read == size && hex(&hasher.finalize()) == digest {
            Ok(text)
        } else {
            Err(io::Error::other("its checksum is not the one of its note"))
        }
    }

    /// The text compressed, as it is kept.
    pub(super) fn as_zst(&self) -> &[u8] {
        &self.zst
    }

    /// SHA-256 of the text, in hexadecimal digits.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// How long the text is, in octets.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Hands the text to `take`, piece by piece.
    pub(super) fn read(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(&*self.zst)?;
        decoder.window_log_max(WINDOW_LOG_MAX)?;
        let mut buffer = vec![0; PIECE_LEN];
        loop {
            let length = decoder.read(&mut buffer)?;
            match buffer.get(..length) {
                None | Some([]) => return Ok(()),
                Some(piece) => take(piece)?,
            }
        }
    }
}

/// Compresses and hashes a text as it comes.
pub(super) struct TextWriter {
    encoder: zstd::stream::write::Encoder<'static, Vec<u8>>,
    hasher: Sha256,
    size: u64,
}

impl TextWriter {
    pub(super) fn new() -> io::Result<Self> {
        let encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
        Ok(Self { encoder, hasher: Sha256::new(), size: 0 })
    }

    pub(super) fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        self.hasher.update(piece);
        self.size += piece.len() as u64;
        self.encoder.write_all(piece)
    }

    pub(super) fn finish(self) -> io::Result<Text> {
        let zst = self.encoder.finish()?.into();
        Ok(Text { zst, digest: hex(&self.hasher.finalize()).into(), size: self.size })
    }
}

fn hex(octets: &[u8]) -> String {
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

    fn whole(text: &Text) -> Vec<u8> {
        let mut whole = Vec::new();
        let read = text.read(|piece| {
            whole.extend_from_slice(piece);
            Ok(())
        });
        read.unwrap();
        whole
    }

    #[test]
    fn a_text_comes_back_as_it_was_and_a_damaged_one_never() {
        let original = b"pixel.example\n".repeat(9_000);
        let mut writer = TextWriter::new().unwrap();
        for piece in original.chunks(1000) {
            writer.push(piece).unwrap();
        }
        let text = writer.finish().unwrap();
        assert_eq!(whole(&text), original);
        let kept = |zst: Vec<u8>| Text::from_zst(zst, text.digest(), text.size());
        assert_eq!(kept(text.as_zst().to_vec()).unwrap(), text);
        for position in 0..text.as_zst().len() {
            let mut damaged = text.as_zst().to_vec();
            damaged[position] ^= 0x5a;
            // A flip in an unused bit of the header may still give the same text; never another one.
            if let Ok(kept) = kept(damaged) {
                assert_eq!(whole(&kept), original);
            }
            assert!(kept(text.as_zst()[..position].to_vec()).is_err());
        }
    }
}
