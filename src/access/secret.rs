//! Secrets that this machine makes up, and what is kept of them.
//!
//! A secret of 256 random bits can't be guessed, so one round of SHA-256 is as good for it as a slow hash is for a password.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// How many characters the code of the first start has; with 32 letters each, 40 bits behind a limit of one try a second.
const CODE_LEN: usize = 8;
/// Letters and digits that nobody takes for one another.
const CODE_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
/// What the secret of a token begins with, so that people and scanners know one when they see it.
const TOKEN_PREFIX: &str = "pixelsink_";

/// A secret, shown once and kept nowhere. It is never written by `Debug`.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// One of a session.
    pub(super) fn of_session() -> Self {
        Self(hex(&rand::random::<[u8; 32]>()))
    }

    /// One of a token.
    pub(super) fn of_token() -> Self {
        Self(format!("{TOKEN_PREFIX}{}", hex(&rand::random::<[u8; 32]>())))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What is kept of a secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Reads what [`Self::to_hex`] wrote.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let mut octets = [0; 32];
        if text.len() != 64 || !text.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return None;
        }
        for (octet, pair) in octets.iter_mut().zip(text.as_bytes().chunks(2)) {
            *octet = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(octets))
    }

    pub(super) fn to_hex(self) -> String {
        hex(&self.0)
    }
}

/// The code that proves on the page who can read this machine's log: `K7QF-2MXD`.
#[derive(Clone)]
pub(super) struct Code(String);

impl Code {
    pub(super) fn random() -> Self {
        let letter =
            |octet: u8| char::from(CODE_ALPHABET.get(usize::from(octet % 32)).copied().unwrap_or(b'A'));
        let mut code: String = rand::random::<[u8; CODE_LEN]>().into_iter().map(letter).collect();
        code.insert(CODE_LEN / 2, '-');
        Self(code)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `typed` is it, in whatever case and with or without its hyphen. Hashes are compared, so that the time it takes
    /// tells nothing.
    pub(super) fn is(&self, typed: &str) -> bool {
        let plain = |text: &str| {
            let kept = text.chars().filter(char::is_ascii_alphanumeric).take(2 * CODE_LEN);
            Fingerprint::of(&kept.collect::<String>().to_ascii_uppercase())
        };
        plain(&self.0) == plain(typed)
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_outlives_being_written() {
        let kept = Fingerprint::of("a secret");
        assert_eq!(Fingerprint::from_hex(&kept.to_hex()), Some(kept));
        for broken in ["", "00", &"g".repeat(64), &"+1".repeat(32), &"0".repeat(65)] {
            assert_eq!(Fingerprint::from_hex(broken), None, "{broken}");
        }
    }

    #[test]
    fn secrets_differ_and_are_not_told_by_accident() {
        let (one, other) = (Secret::of_session(), Secret::of_session());
        assert_ne!(one, other);
        assert_eq!(one.reveal().len(), 64);
        assert!(Secret::of_token().reveal().starts_with("pixelsink_"));
        assert_eq!(format!("{one:?}"), "Secret(..)");
    }

    #[test]
    fn a_code_is_taken_however_it_is_typed() {
        let code = Code::random();
        assert_eq!(code.as_str().len(), CODE_LEN + 1);
        assert!(code.is(code.as_str()));
        assert!(code.is(&format!(" {} ", code.as_str().to_ascii_lowercase().replace('-', " "))));
        for wrong in ["", "-", "AAAA-AAA1", &format!("{}A", code.as_str())] {
            assert!(!code.is(wrong), "{wrong}");
        }
    }
}
