//! Text in UTF-16 turned into UTF-8 while it comes, told by its byte order mark.

use super::guard::Refusal;
use super::unpack::TakeText;

/// Hands on UTF-8; octets without a mark of UTF-16 are taken for it as they are.
pub(super) struct Decode<T> {
    take: T,
    charset: Charset,
    /// The half of a unit whose other half has not come yet; before the charset is known, the first octet.
    half: Option<u8>,
    /// The first of two units that make one character.
    surrogate: Option<u16>,
}

enum Charset {
    Unknown,
    Utf8,
    Utf16 { is_big_endian: bool },
}

impl<T: TakeText> Decode<T> {
    pub(super) const fn new(take: T) -> Self {
        Self { take, charset: Charset::Unknown, half: None, surrogate: None }
    }

    pub(super) fn finish(mut self) -> Result<T, Refusal> {
        match (self.charset, self.half) {
            (Charset::Unknown, Some(first)) => self.take.take(&[first])?,
            (Charset::Utf16 { .. }, Some(_)) => return Err(Refusal::Utf16),
            _ => {}
        }
        Ok(self.take)
    }

    fn decode(&mut self, piece: &[u8], is_big_endian: bool) -> Result<(), Refusal> {
        let mut text = String::with_capacity(piece.len());
        for &octet in piece {
            let Some(first) = self.half.take() else {
                self.half = Some(octet);
                continue;
            };
            let pair = [first, octet];
            let unit = if is_big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
            match (self.surrogate.take(), unit) {
                (None, 0xd800..=0xdbff) => self.surrogate = Some(unit),
                (first, _) => {
                    let units = first.into_iter().chain([unit]);
                    let decoded = char::decode_utf16(units);
                    text.extend(decoded.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
                }
            }
        }
        self.take.take(text.as_bytes())
    }
}

impl<T: TakeText> TakeText for Decode<T> {
    fn take(&mut self, mut piece: &[u8]) -> Result<(), Refusal> {
        if matches!(self.charset, Charset::Unknown) {
            let (first, rest) = match (self.half, piece) {
                (Some(first), rest) => (first, rest),
                (None, [first, rest @ ..]) => (*first, rest),
                (None, []) => return Ok(()),
            };
            let Some(second) = rest.first() else {
                self.half = Some(first);
                return Ok(());
            };
            match (first, *second) {
                (0xfe, 0xff) => self.charset = Charset::Utf16 { is_big_endian: true },
                (0xff, 0xfe) => self.charset = Charset::Utf16 { is_big_endian: false },
                _ => {
                    self.charset = Charset::Utf8;
                    if self.half.is_some() {
                        self.take.take(&[first])?;
                    }
                }
            }
            self.half = None;
            if matches!(self.charset, Charset::Utf16 { .. }) {
                piece = rest.get(1..).unwrap_or_default();
            }
        }
        match self.charset {
            Charset::Utf16 { is_big_endian } => self.decode(piece, is_big_endian),
            Charset::Unknown | Charset::Utf8 => self.take.take(piece),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Whole(Vec<u8>);

    impl TakeText for Whole {
        fn take(&mut self, piece: &[u8]) -> Result<(), Refusal> {
            self.0.extend_from_slice(piece);
            Ok(())
        }
    }

    #[track_caller]
    fn check(octets: &[u8], expected: &str) {
        for piece_len in [1, 3, octets.len().max(1)] {
            let mut decode = Decode::new(Whole(Vec::new()));
            octets.chunks(piece_len).for_each(|piece| decode.take(piece).unwrap());
            assert_eq!(String::from_utf8(decode.finish().unwrap().0).unwrap(), expected, "{piece_len}");
        }
    }

    #[test]
    fn utf_16_becomes_utf_8() {
        let text = "bücher.example\n🦀 # crab\n";
        let units: Vec<u16> = [0xfeff].into_iter().chain(text.encode_utf16()).collect();
        check(&units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>(), text);
        check(&units.iter().flat_map(|unit| unit.to_be_bytes()).collect::<Vec<_>>(), text);
        check(text.as_bytes(), text);
        check(b"", "");
        check(b"a", "a");
        check(b"\xff\xfe", "");
        check(b"\xff\xfe\x00\xd8a\0", "\u{fffd}a");
    }

    #[test]
    fn half_a_character_is_no_end() {
        let mut decode = Decode::new(Whole(Vec::new()));
        decode.take(b"\xff\xfea").unwrap();
        assert!(matches!(decode.finish(), Err(Refusal::Utf16)));
    }
}
