//! What somebody else said with an answer by an Extended DNS Error (RFC 8914), as far as it is passed on.

use super::Ede;

/// The OPTION-CODE of an Extended DNS Error (RFC 8914 section 2).
pub const EDE_OPTION: u16 = 15;

/// An Extended DNS Error of another resolver: bounded, and without what can't be shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Said {
    code: u16,
    text: Box<str>,
}

impl Said {
    /// Reads the data of the option: an INFO-CODE and a text, which begins with the name of who said it from here on. `None`: it is no
    /// such option.
    ///
    /// Two codes speak of whoever is asked directly, which is us for who hears it: what another resolver blocks is filtered by one
    /// that was chosen here (section 4.16 and 4.18), and that we may not ask there says nothing of who may ask us (section 4.19).
    pub fn read(data: &[u8], who: &str) -> Option<Self> {
        let (code, text) = data.split_first_chunk()?;
        let code = match u16::from_be_bytes(*code) {
            Ede::BLOCKED => Ede::FILTERED,
            Ede::PROHIBITED => Ede::OTHER,
            code => code,
        };
        // No more of it is sent, whatever it is; four octets is the most that a character takes.
        let text = String::from_utf8_lossy(text.get(..Ede::TEXT_MAX * 4).unwrap_or(text));
        let text = if text.is_empty() { who.to_owned() } else { format!("{who}: {text}") };
        let text: String = text.chars().map(|c| if is_shown(c) { c } else { ' ' }).collect();
        let text = text.get(..text.floor_char_boundary(Ede::TEXT_MAX)).unwrap_or_default();
        Some(Self { code, text: text.trim_end().into() })
    }

    /// Whether it is about the answer or its zone, and so as true of a copy. Others tell how their sender fared at that moment.
    pub const fn is_about_the_answer(&self) -> bool {
        matches!(self.code, 1 | 2 | 4..=12 | 16 | 17 | 25 | 27)
    }

    /// To be passed on.
    pub fn as_ede(&self) -> Ede<'_> {
        Ede::new(self.code, &self.text)
    }

    /// What its text takes, in octets.
    pub fn text_len(&self) -> usize {
        self.text.len()
    }
}

/// Whether a character can be seen, and leaves those around it as they are: no control character, none that hides or turns the
/// direction of text (Unicode Standard Annex 9, section 2).
fn is_shown(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(data: &[u8], expected: Option<(u16, &str)>) {
        let said = Said::read(data, "udp://192.0.2.1:53");
        assert_eq!(said.as_ref().map(|said| (said.code, &*said.text)), expected);
    }

    #[test]
    fn what_is_passed_on_says_who_said_it() {
        check(b"\x00\x06bogus", Some((6, "udp://192.0.2.1:53: bogus")));
        check(b"\x00\x09", Some((9, "udp://192.0.2.1:53")));
        check(b"\x00\x0flisted", Some((17, "udp://192.0.2.1:53: listed")));
        check(b"\x00\x12", Some((0, "udp://192.0.2.1:53")));
        check(b"\xff\xff\x1b[31m\x00red\xe2\x80\xae", Some((65_535, "udp://192.0.2.1:53:  [31m red")));
        check(b"\x00\x06\xff\xfe", Some((6, "udp://192.0.2.1:53: \u{fffd}\u{fffd}")));
        check(b"\x00", None);
        check(b"", None);
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_short_and_can_be_shown(data in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            if let Some(said) = Said::read(&data, "tls://dns.example:853") {
                prop_assert!(said.text.len() <= Ede::TEXT_MAX);
                prop_assert!(said.text.chars().all(is_shown));
            }
        }
    }
}
