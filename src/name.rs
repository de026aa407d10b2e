//! A domain name that has been checked, in wire form (RFC 1035 section 3.1).
//!
//! It knows octets, labels and how people write them (presentation format, RFC 1035 section 5.1; A-labels, RFC 5890).
//! It never knows what a name is for.

pub mod suffix;

use std::borrow::Borrow;
use std::fmt;

/// The longest name in wire form, in octets (RFC 1035 section 2.3.4).
pub const NAME_LEN_MAX: usize = 255;
/// The longest label, in octets.
pub const LABEL_LEN_MAX: usize = 63;

/// An absolute domain name in wire form, lower case, uncompressed, with its root label.
///
/// A value of this type is always valid. Whoever holds one need not check again.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DomainName(Box<[u8]>);

/// A [`DomainName`] that lies where it is made, so that reading a packet allocates nothing.
#[derive(Clone, Copy)]
pub struct FoldedName {
    octets: [u8; NAME_LEN_MAX],
    len: usize,
}

impl FoldedName {
    /// See [`DomainName::from_wire`].
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        let mut len = 0;
        loop {
            let length = usize::from(*wire.get(len).ok_or(NameError::Truncated)?);
            if LABEL_LEN_MAX < length {
                return Err(NameError::Label);
            }
            len += 1 + length;
            if NAME_LEN_MAX < len {
                return Err(NameError::TooLong);
            }
            if length == 0 {
                break;
            }
        }
        let mut octets = [0; NAME_LEN_MAX];
        let name = octets.get_mut(..len).zip(wire.get(..len)).ok_or(NameError::Truncated)?;
        name.0.copy_from_slice(name.1);
        // A length octet is at most 63 and so never an upper-case letter (65 to 90).
        name.0.make_ascii_lowercase();
        Ok(Self { octets, len })
    }

    /// Borrows the name.
    pub fn as_ref(&self) -> NameRef<'_> {
        NameRef(self.octets.get(..self.len).unwrap_or_default())
    }
}

impl fmt::Debug for FoldedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// A borrowed [`DomainName`]: the same octets under the same guarantee.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NameRef<'a>(&'a [u8]);

impl DomainName {
    /// Parses a name as people write it: with or without the final dot, in any case, international or not.
    ///
    /// Octets that presentation format escapes (`\.`, `\000`) are not accepted: no list and no person writes them.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.is_ascii() {
            Self::from_ascii(text.as_bytes())
        } else {
            // UTS 46 as browsers apply it; hyphens and underscores as they come (`_dmarc`, `r3---sn`).
            let ascii = idna::domain_to_ascii(text).map_err(|_| NameError::Idna)?;
            Self::from_ascii(ascii.as_bytes())
        }
    }

    /// Takes a name out of a DNS message, in which its octets stand uncompressed; the case is folded.
    pub fn from_wire(wire: &[u8]) -> Result<Self, NameError> {
        FoldedName::from_wire(wire).map(|name| name.as_ref().to_owned())
    }

    /// The root, `.`.
    pub fn root() -> Self {
        Self(Box::new([0]))
    }

    /// Parses a name of ASCII octets, without a final dot. Allocates once.
    pub(crate) fn from_ascii(text: &[u8]) -> Result<Self, NameError> {
        if NAME_LEN_MAX - 2 < text.len() {
            return Err(NameError::TooLong);
        }
        let mut wire = [0; NAME_LEN_MAX];
        // A label's length stands where the dot before it stood.
        let (mut start, mut length) = (0, 0_u8);
        for (index, &octet) in text.iter().chain(b".").enumerate() {
            if octet == b'.' {
                if length == 0 || LABEL_LEN_MAX < usize::from(length) {
                    return Err(if text.is_empty() { NameError::Empty } else { NameError::Label });
                }
                if let Some(place) = wire.get_mut(start) {
                    *place = length;
                }
                (start, length) = (index + 1, 0);
                continue;
            }
            let plain = PLAIN.get(usize::from(octet)).copied().unwrap_or_default();
            if plain == 0 {
                return Err(NameError::Character(char::from(octet)));
            }
            if let Some(place) = wire.get_mut(index + 1) {
                *place = plain;
            }
            length += 1;
        }
        Ok(Self(wire.get(..text.len() + 2).unwrap_or_default().into()))
    }

    /// Borrows the name.
    pub fn as_ref(&self) -> NameRef<'_> {
        NameRef(&self.0)
    }
}

/// What each octet reads as within a label: itself in lower case, or 0 when it does not stand in names that people write
/// (letters, digits, hyphen, and the underscore of service names).
#[expect(clippy::indexing_slicing, reason = "it is computed when this is compiled")]
const PLAIN: [u8; 256] = {
    let mut plain = [0; 256];
    let mut octet = 0_u8;
    while octet < 128 {
        if octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_' {
            plain[octet as usize] = octet.to_ascii_lowercase();
        }
        octet += 1;
    }
    plain
};

impl<'a> NameRef<'a> {
    /// The octets: length, label, ..., zero.
    pub const fn as_wire(self) -> &'a [u8] {
        self.0
    }

    /// The labels from left to right, without the root.
    pub fn labels(self) -> impl Iterator<Item = &'a [u8]> {
        self.ancestors().filter_map(|name| {
            let (&length, rest) = name.0.split_first()?;
            rest.get(..usize::from(length))
        })
    }

    /// The name and then each of its parents, the most specific first, without the root.
    pub fn ancestors(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |name| name.parent()).filter(|name| !name.is_root())
    }

    /// The name without its leftmost label; `None` for the root.
    pub fn parent(self) -> Option<Self> {
        let length = usize::from(*self.0.first()?);
        if length == 0 { None } else { self.0.get(1 + length..).map(NameRef) }
    }

    /// The ancestor whose wire form begins at this octet, where a label begins; the root for any other.
    pub fn ancestor_at(self, start: usize) -> Self {
        self.ancestors().find(|name| self.0.len() - name.0.len() == start).unwrap_or(NameRef(&[0]))
    }

    /// The ancestor that has so many octets in wire form, or the name itself; the root when there is none.
    pub fn end(self, length: usize) -> Self {
        self.ancestor_at(self.0.len().saturating_sub(length))
    }

    /// Whether this is the root, `.`.
    pub fn is_root(self) -> bool {
        self.0 == [0]
    }

    /// How many labels the name has, without the root.
    pub fn label_count(self) -> usize {
        self.ancestors().count()
    }

    /// Whether the name is `other` or stands below it.
    pub fn is_within(self, other: NameRef<'_>) -> bool {
        other.is_root() || self.ancestors().any(|name| name.0 == other.0)
    }

    /// A copy that owns its octets.
    pub fn to_owned(self) -> DomainName {
        DomainName(self.0.into())
    }
}

impl<'a> From<&'a DomainName> for NameRef<'a> {
    fn from(name: &'a DomainName) -> Self {
        name.as_ref()
    }
}

impl Borrow<[u8]> for DomainName {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Presentation format without the final dot; every octet that is not plain is escaped, so that a name is safe to log.
impl fmt::Display for NameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for (index, label) in self.labels().enumerate() {
            if 0 < index {
                f.write_str(".")?;
            }
            for &octet in label {
                match octet {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(octet))?,
                    b'!'..=b'~' => write!(f, "{}", char::from(octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl fmt::Debug for NameRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Why something is not a domain name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum NameError {
    #[error("the name is empty")]
    Empty,
    #[error("a label is empty or longer than 63 octets")]
    Label,
    #[error("the name is longer than 253 characters")]
    TooLong,
    #[error("`{}` does not belong into a domain name", .0.escape_default())]
    Character(char),
    #[error("the name is not valid as an international name")]
    Idna,
    #[error("the name ends early")]
    Truncated,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, NameError>) {
        let parsed = DomainName::parse(text).map(|name| name.to_string());
        assert_eq!(parsed, expected.map(str::to_owned), "{text:?}");
    }

    #[test]
    fn a_name_is_read_as_people_write_it() {
        check("example.com", Ok("example.com"));
        check("Example.COM.", Ok("example.com"));
        check("_dmarc.r3---sn.example", Ok("_dmarc.r3---sn.example"));
        check("bücher.example", Ok("xn--bcher-kva.example"));
        check("com", Ok("com"));
        check("", Err(NameError::Empty));
        check(".", Err(NameError::Empty));
        check("a..b", Err(NameError::Label));
        check(".a", Err(NameError::Label));
        check("a b.example", Err(NameError::Character(' ')));
        check("<html>", Err(NameError::Character('<')));
        check(&"a".repeat(64), Err(NameError::Label));
        check(&vec!["a"; 127].join("."), Ok(&vec!["a"; 127].join(".")));
        check(&vec!["a"; 128].join("."), Err(NameError::TooLong));
    }

    #[test]
    fn ancestors_go_from_the_name_up_to_its_top_level_domain() {
        let name = DomainName::parse("a.b.example").unwrap();
        let ancestors: Vec<String> = name.as_ref().ancestors().map(|name| name.to_string()).collect();
        assert_eq!(ancestors, ["a.b.example", "b.example", "example"]);
        assert!(name.as_ref().is_within(DomainName::parse("b.example").unwrap().as_ref()));
        assert!(!name.as_ref().is_within(DomainName::parse("c.b.example").unwrap().as_ref()));
        assert!(name.as_ref().is_within(DomainName::root().as_ref()));
    }

    #[test]
    fn octets_that_are_not_plain_are_escaped() {
        let name = DomainName::from_wire(b"\x03a.b\x02\x00\n\x03com\x00").unwrap();
        assert_eq!(name.to_string(), "a\\.b.\\000\\010.com");
    }

    proptest! {
        #[test]
        fn reading_wire_never_panics(wire: Vec<u8>) {
            if let Ok(name) = DomainName::from_wire(&wire) {
                prop_assert_eq!(DomainName::from_wire(name.as_ref().as_wire()), Ok(name.clone()));
                prop_assert!(name.as_ref().as_wire().len() <= NAME_LEN_MAX);
            }
        }

        #[test]
        fn what_is_shown_reads_back(text in "[a-zA-Z0-9_-]{1,20}(\\.[a-zA-Z0-9_-]{1,20}){0,5}") {
            let name = DomainName::parse(&text).unwrap();
            prop_assert_eq!(name.to_string(), text.to_ascii_lowercase());
        }
    }
}
