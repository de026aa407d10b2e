//! Files and downloads unpacked while they come: gzip and zip, told by their first octets.
//!
//! What comes out goes straight on, and whoever takes it may refuse: a bomb is stopped at the bound on the text, after no
//! more than one buffer of it was unpacked.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::guard::Refusal;

/// How much is unpacked at a time, in octets.
const BUFFER_LEN: usize = 32 * 1024;
/// The longest head of a file in a zip: its fixed part, a name and the extra field (APPNOTE.TXT 4.3.7 allows 64 KiB each).
const HEAD_LEN: usize = 30;
/// Files of a zip whose names are told.
const NAMES_MAX: usize = 3;

/// Takes the octets of a text.
pub(super) trait TakeText {
    fn take(&mut self, piece: &[u8]) -> Result<(), Refusal>;
}

/// A text on its way, packed or not.
pub(super) enum Unpack<T: TakeText> {
    /// So little has come that it can't be told.
    Unknown(Vec<u8>, T),
    Plain(T),
    Gzip(Box<MultiGzDecoder<Taker<T>>>),
    Zip(Box<Zip<T>>),
}

impl<T: TakeText> Unpack<T> {
    pub(super) const fn new(take: T) -> Self {
        Self::Unknown(Vec::new(), take)
    }

    pub(super) fn push(self, piece: &[u8]) -> Result<Self, Refusal> {
        match self {
            Self::Unknown(mut start, take) => {
                start.extend_from_slice(piece);
                if start.len() < 4 { Ok(Self::Unknown(start, take)) } else { told(&start, take) }
            }
            Self::Plain(mut take) => {
                take.take(piece)?;
                Ok(Self::Plain(take))
            }
            Self::Gzip(mut gzip) => match gzip.write_all(piece) {
                Ok(()) => Ok(Self::Gzip(gzip)),
                Err(error) => Err(gzip_refusal(gzip.get_mut().refusal.take(), &error)),
            },
            Self::Zip(mut zip) => {
                zip.push(piece)?;
                Ok(Self::Zip(zip))
            }
        }
    }

    /// Gives back who took the text, when all of it came.
    pub(super) fn finish(self) -> Result<T, Refusal> {
        match self {
            Self::Unknown(start, mut take) => {
                take.take(&start)?;
                Ok(take)
            }
            Self::Plain(take) => Ok(take),
            Self::Gzip(mut gzip) => match gzip.try_finish() {
                Ok(()) => {
                    let finished = gzip.finish().map_err(|error| gzip_refusal(None, &error))?;
                    Ok(finished.take)
                }
                Err(error) => Err(gzip_refusal(gzip.get_mut().refusal.take(), &error)),
            },
            Self::Zip(zip) => zip.finish(),
        }
    }
}

fn told<T: TakeText>(start: &[u8], take: T) -> Result<Unpack<T>, Refusal> {
    let unpack = if start.starts_with(b"\x1f\x8b") {
        Unpack::Gzip(Box::new(MultiGzDecoder::new(Taker { take, refusal: None })))
    } else if start.starts_with(b"PK\x03\x04") {
        Unpack::Zip(Box::new(Zip::new(take)))
    } else {
        Unpack::Plain(take)
    };
    unpack.push(start)
}

fn gzip_refusal(refusal: Option<Refusal>, error: &io::Error) -> Refusal {
    refusal.unwrap_or_else(|| Refusal::Garbled { what: "gzip", problem: error.to_string() })
}

/// Hands on what was unpacked, and remembers why it was refused.
pub(super) struct Taker<T> {
    take: T,
    refusal: Option<Refusal>,
}

impl<T: TakeText> Write for Taker<T> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        match self.take.take(piece) {
            Ok(()) => Ok(piece.len()),
            Err(refusal) => {
                self.refusal = Some(refusal);
                Err(io::Error::other("refused"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A zip read from its beginning, file by file, as it comes (APPNOTE.TXT 6.3.10). The one file that can be a list is taken.
pub(super) struct Zip<T> {
    take: T,
    /// What has come and is not understood yet.
    pending: Vec<u8>,
    at: At,
    /// The files that could be lists.
    names: Vec<String>,
}

enum At {
    /// Before the head of a file, or of the directory that ends the zip.
    Head,
    /// In a file.
    Body(Body),
    /// Behind the last file.
    End,
}

struct Body {
    /// Whether it is handed on.
    is_list: bool,
    /// `None`: it is stored as it is.
    inflate: Option<Decompress>,
    /// How much of a stored file is still to come.
    left: u64,
    /// Whether checksum and sizes follow the file.
    has_trailer: bool,
    expected_crc: u32,
    crc: Crc,
    /// All of it has come but its trailer.
    is_over: bool,
}

impl<T: TakeText> Zip<T> {
    fn new(take: T) -> Self {
        Self { take, pending: Vec::new(), at: At::Head, names: Vec::new() }
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.pending.extend_from_slice(piece);
        loop {
            let before = self.pending.len();
            let at = std::mem::replace(&mut self.at, At::End);
            let (next, goes_on) = match at {
                At::Head => self.head()?,
                At::Body(body) => self.body(body)?,
                At::End => {
                    self.pending.clear();
                    (At::End, false)
                }
            };
            self.at = next;
            if !goes_on && self.pending.len() == before || self.pending.is_empty() {
                return Ok(());
            }
        }
    }

    fn finish(self) -> Result<T, Refusal> {
        match (self.at, self.names.as_slice()) {
            (At::End, [_]) => Ok(self.take),
            (At::End, []) => Err(Refusal::Zip("has no file in it that could be a list".to_owned())),
            (At::End, names) => Err(Refusal::Zip(format!("has several files in it ({})", names.join(", ")))),
            (At::Head | At::Body(_), _) => Err(garbled("it ends early")),
        }
    }

    /// The head of the next file; whether there was all of it.
    fn head(&mut self) -> Result<(At, bool), Refusal> {
        let head = &self.pending;
        let Some(signature) = head.get(..4) else { return Ok((At::Head, false)) };
        if signature != b"PK\x03\x04" {
            // The directory and what follows it repeat what was said.
            let is_end = signature == b"PK\x01\x02" || signature == b"PK\x05\x06";
            return if is_end { Ok((At::End, true)) } else { Err(garbled("a head is wrong")) };
        }
        let short = |at: usize| Some(u16::from_le_bytes([*head.get(at)?, *head.get(at + 1)?]));
        let long = |at: usize| Some(u32::from(short(at)?) | u32::from(short(at + 2)?) << 16);
        let fields = (short(6), short(8), long(14), long(18), short(26), short(28));
        let (Some(flags), Some(method), Some(expected_crc), Some(packed), Some(name_len), Some(extra_len)) =
            fields
        else {
            return Ok((At::Head, false));
        };
        let name_end = HEAD_LEN + usize::from(name_len);
        let end = name_end + usize::from(extra_len);
        let (Some(name), true) = (head.get(HEAD_LEN..name_end), end <= head.len()) else {
            return Ok((At::Head, false));
        };
        let name = String::from_utf8_lossy(name).escape_debug().to_string();
        let has_trailer = flags & 0x8 != 0;
        let inflate = match method {
            8 => Some(Decompress::new(false)),
            0 if !has_trailer => None,
            _ => return Err(Refusal::Zip("is packed in a way that is not read".to_owned())),
        };
        if flags & 0x1 != 0 {
            return Err(Refusal::Zip("is encrypted".to_owned()));
        }
        let is_list = may_be_list(&name);
        if is_list && self.names.len() < NAMES_MAX {
            self.names.push(name);
        }
        if 1 < self.names.len() && is_list {
            return Err(Refusal::Zip(format!("has several files in it ({})", self.names.join(", "))));
        }
        self.pending.drain(..end);
        let (left, crc) = (u64::from(packed), Crc::new());
        let body = Body { is_list, inflate, left, has_trailer, expected_crc, crc, is_over: false };
        Ok((At::Body(body), true))
    }

    /// What has come of a file's content.
    fn body(&mut self, mut body: Body) -> Result<(At, bool), Refusal> {
        if !body.is_over {
            let used = match &mut body.inflate {
                Some(inflate) => {
                    let (used, is_over) =
                        unpack(inflate, &self.pending, &mut body.crc, body.is_list, &mut self.take)?;
                    body.is_over = is_over;
                    used
                }
                None => {
                    let left = usize::try_from(body.left).unwrap_or(usize::MAX);
                    let piece = self.pending.get(..left).unwrap_or(&self.pending);
                    body.crc.update(piece);
                    if body.is_list {
                        self.take.take(piece)?;
                    }
                    body.left -= piece.len() as u64;
                    body.is_over = body.left == 0;
                    piece.len()
                }
            };
            self.pending.drain(..used);
        }
        if !body.is_over {
            return Ok((At::Body(body), false));
        }
        if body.has_trailer {
            // A signature that may be left out, then checksum and two sizes.
            let skipped = if self.pending.starts_with(b"PK\x07\x08") { 4 } else { 0 };
            let Some([a, b, c, d]) = self.pending.get(skipped..skipped + 4) else {
                return Ok((At::Body(body), false));
            };
            if self.pending.len() < skipped + 12 {
                return Ok((At::Body(body), false));
            }
            body.expected_crc = u32::from_le_bytes([*a, *b, *c, *d]);
            self.pending.drain(..skipped + 12);
        }
        if body.crc.sum() == body.expected_crc {
            Ok((At::Head, true))
        } else {
            Err(garbled("a checksum is wrong"))
        }
    }
}

/// Unpacks what has come; how much of it was used, and whether the file is over.
fn unpack(
    inflate: &mut Decompress,
    packed: &[u8],
    crc: &mut Crc,
    is_list: bool,
    take: &mut impl TakeText,
) -> Result<(usize, bool), Refusal> {
    let mut buffer = vec![0; BUFFER_LEN];
    let mut used = 0;
    loop {
        let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
        let rest = packed.get(used..).unwrap_or_default();
        let status = inflate
            .decompress(rest, &mut buffer, FlushDecompress::None)
            .map_err(|error| garbled(&error.to_string()))?;
        let [read, written] = [inflate.total_in() - before_in, inflate.total_out() - before_out]
            .map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        used += read;
        let piece = buffer.get(..written).unwrap_or_default();
        crc.update(piece);
        if is_list {
            take.take(piece)?;
        }
        if status == Status::StreamEnd {
            return Ok((used, true));
        }
        if read == 0 && written == 0 {
            return Ok((used, false));
        }
    }
}

fn garbled(problem: &str) -> Refusal {
    Refusal::Garbled { what: "zip", problem: problem.to_owned() }
}

/// Whether a file of a zip may be the list, by its name: not what tells about it.
fn may_be_list(name: &str) -> bool {
    if name.ends_with('/') || name.starts_with("__MACOSX/") {
        return false;
    }
    let base = name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let about = ["readme", "license", "licence", "copying", "changelog", "credits"];
    let other =
        [".md", ".html", ".htm", ".pdf", ".json", ".xml", ".exe", ".bat", ".cmd", ".ps1", ".sh", ".png"];
    !base.starts_with('.')
        && !about.iter().any(|word| base.starts_with(word))
        && !other.iter().any(|end| base.ends_with(end))
}

#[cfg(test)]
pub(in crate::feed) mod tests {
    use super::*;

    struct Whole(Vec<u8>);

    impl TakeText for Whole {
        fn take(&mut self, piece: &[u8]) -> Result<(), Refusal> {
            self.0.extend_from_slice(piece);
            if 1 << 20 < self.0.len() { Err(Refusal::TooLarge(1 << 20)) } else { Ok(()) }
        }
    }

    pub(in crate::feed) fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// A zip of these files, packed or stored, with sizes before or behind them.
    pub(in crate::feed) fn zip(files: &[(&str, &[u8])], is_packed: bool, has_trailer: bool) -> Vec<u8> {
        let mut zip = Vec::new();
        for (name, text) in files {
            let mut crc = Crc::new();
            crc.update(text);
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(text).unwrap();
            let content = if is_packed { encoder.finish().unwrap() } else { text.to_vec() };
            let [packed, plain] = [content.len(), text.len()].map(|length| u32::try_from(length).unwrap());
            let sizes = [crc.sum(), packed, plain].map(u32::to_le_bytes).concat();
            zip.extend(b"PK\x03\x04\x14\x00");
            zip.extend([if has_trailer { 8 } else { 0 }, 0, if is_packed { 8 } else { 0 }, 0, 0, 0, 0, 0]);
            zip.extend(if has_trailer { &[0; 12] } else { &*sizes });
            zip.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            zip.extend([0, 0]);
            zip.extend(name.as_bytes());
            zip.extend(content);
            if has_trailer {
                zip.extend(b"PK\x07\x08");
                zip.extend(sizes);
            }
        }
        zip.extend(b"PK\x01\x02 and so on");
        zip
    }

    fn unpacked(packed: &[u8], piece_len: usize) -> Result<String, Refusal> {
        let mut unpack = Unpack::new(Whole(Vec::new()));
        for piece in packed.chunks(piece_len) {
            unpack = unpack.push(piece)?;
        }
        unpack.finish().map(|whole| String::from_utf8(whole.0).unwrap())
    }

    #[track_caller]
    fn check(packed: &[u8], expected: &str) {
        for piece_len in [1, 7, packed.len().max(1)] {
            let found = match unpacked(packed, piece_len) {
                Ok(text) => text,
                Err(refusal) => format!("! {refusal}"),
            };
            assert!(found == expected || found.starts_with('!') && found.contains(expected), "{found}");
        }
    }

    #[test]
    fn gzip_and_zip_are_unpacked_and_the_rest_stays_as_it_is() {
        let text = "pixel.example\n".repeat(400);
        check(text.as_bytes(), &text);
        check(b"ab", "ab");
        check(&gzip(text.as_bytes()), &text);
        check(&[gzip(b"a.example\n"), gzip(b"b.example\n")].concat(), "a.example\nb.example\n");
        for (is_packed, has_trailer) in [(true, false), (true, true), (false, false)] {
            let files = [("README.txt", &b"about"[..]), ("a/", b""), ("a/list.txt", text.as_bytes())];
            check(&zip(&files, is_packed, has_trailer), &text);
        }
    }

    #[test]
    fn what_can_not_be_unpacked_is_told() {
        let gzip = gzip(b"pixel.example\n");
        check(&gzip[..gzip.len() - 9], "gzip file that can't be unpacked");
        check(&gzip[..gzip.len() - 1], "gzip file that can't be unpacked");
        check(b"\x1f\x8b\x08this is none", "gzip file that can't be unpacked");
        let list = ("a.txt", &b"pixel.example\n"[..]);
        let good = zip(&[list], true, false);
        check(&good[..good.len() - 20], "it ends early");
        let mut flipped = good;
        flipped[14] ^= 1;
        check(&flipped, "a checksum is wrong");
        check(&zip(&[list, ("b.txt", b"b")], true, true), "several files in it (a.txt, b.txt)");
        check(&zip(&[("README.md", b"b")], true, true), "no file in it that could be a list");
        check(&zip(&[list], false, true), "packed in a way that is not read");
        check(b"PK\x03\x04rubbish", "it ends early");
    }

    #[test]
    fn a_bomb_is_stopped() {
        let much = vec![b'\n'; 1 << 24];
        assert!(matches!(unpacked(&gzip(&much), 4096), Err(Refusal::TooLarge(_))));
        assert!(matches!(unpacked(&zip(&[("a", &much)], true, false), 4096), Err(Refusal::TooLarge(_))));
    }

    proptest::proptest! {
        #[test]
        fn unpacking_never_panics(
            mut octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), which in 0_usize..3,
        ) {
            let start: &[u8] = [&b""[..], b"\x1f\x8b\x08\0\0\0\0\0\0\0", b"PK\x03\x04\x14\0\0\0\x08\0"][which];
            octets.splice(0..0, start.iter().copied());
            let mut unpack = Unpack::new(Whole(Vec::new()));
            for piece in octets.chunks(3) {
                match unpack.push(piece) {
                    Ok(next) => unpack = next,
                    Err(_) => return Ok(()),
                }
            }
            let _ = unpack.finish().map(|whole| whole.0.len());
        }
    }
}
