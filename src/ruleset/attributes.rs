//! What is said of a key: which rules, of which sources. Keys of which the same is said share one attribute.
//!
//! An attribute is written as: how many rules (varint); for each a [`Flags`] octet, the number of its modifiers when it has
//! any (varint), how many sources have it (varint), and the sources, each as the difference to the one before (varint).

use super::SourceId;
use super::bytes::{Reader, put_varint};
use crate::list::{Action, Scope};

/// The shape of a rule in one octet.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Flags(u8);

const SCOPE: u8 = 0b0000_0011;
const ALLOW: u8 = 0b0000_0100;
const TARGETS_ONLY: u8 = 0b0000_1000;
const MODIFIED: u8 = 0b0001_0000;

impl Flags {
    pub(super) const fn new(scope: Scope, action: Action, targets_only: bool, modified: bool) -> Self {
        let scope = match scope {
            Scope::Exact => 0,
            Scope::Subtree => 1,
            Scope::Below => 2,
        };
        let action = match action {
            Action::Allow => ALLOW,
            Action::Block => 0,
        };
        let targets_only = if targets_only { TARGETS_ONLY } else { 0 };
        Self(scope | action | targets_only | if modified { MODIFIED } else { 0 })
    }

    /// What is covered from the key on.
    pub(super) const fn scope(self) -> Scope {
        match self.0 & SCOPE {
            0 => Scope::Exact,
            1 => Scope::Subtree,
            _ => Scope::Below,
        }
    }

    pub(super) const fn action(self) -> Action {
        if self.0 & ALLOW == 0 { Action::Block } else { Action::Allow }
    }

    /// Whether the rule counts only for the targets in an answer.
    pub(super) const fn targets_only(self) -> bool {
        self.0 & TARGETS_ONLY != 0
    }

    const fn is_modified(self) -> bool {
        self.0 & MODIFIED != 0
    }
}

/// One rule of an attribute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    pub(super) flags: Flags,
    pub(super) modifiers: Option<u32>,
    pub(super) sources: Sources<'a>,
}

/// The sources that have a rule, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sources<'a> {
    left: u32,
    last: u32,
    reader: Reader<'a>,
}

impl Iterator for Sources<'_> {
    type Item = SourceId;

    fn next(&mut self) -> Option<SourceId> {
        self.left = self.left.checked_sub(1)?;
        self.last = self.last.wrapping_add(self.reader.varint()?);
        u16::try_from(self.last).ok().map(SourceId)
    }
}

/// Writes one rule of an attribute; `sources` in order.
pub(super) fn put_said(out: &mut Vec<u8>, flags: Flags, modifiers: Option<u32>, sources: &[SourceId]) {
    out.push(flags.0);
    if let Some(modifiers) = modifiers {
        put_varint(out, modifiers);
    }
    put_varint(out, u32::try_from(sources.len()).unwrap_or(u32::MAX));
    let mut last = 0;
    for source in sources {
        put_varint(out, u32::from(source.0 - last));
        last = source.0;
    }
}

/// The rules of an attribute.
pub(super) fn read(octets: &[u8]) -> impl Iterator<Item = Said<'_>> {
    let mut reader = Reader(octets);
    let count = reader.varint().unwrap_or_default();
    (0..count).map_while(move |_| {
        let flags = Flags(reader.u8()?);
        let modifiers = if flags.is_modified() { Some(reader.varint()?) } else { None };
        let left = reader.varint()?;
        let sources = Sources { left, last: 0, reader };
        (0..left).try_for_each(|_| reader.varint().map(drop))?;
        Some(Said { flags, modifiers, sources })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let flags = [
            Flags::new(Scope::Exact, Action::Block, false, false),
            Flags::new(Scope::Below, Action::Allow, true, true),
        ];
        let mut octets = vec![2];
        put_said(&mut octets, flags[0], None, &[SourceId(3), SourceId(700)]);
        put_said(&mut octets, flags[1], Some(300), &[SourceId(0)]);
        let said: Vec<_> = read(&octets).collect();
        assert_eq!((said[0].flags, said[0].modifiers), (flags[0], None));
        assert_eq!(said[0].sources.collect::<Vec<_>>(), [SourceId(3), SourceId(700)]);
        assert_eq!((said[1].flags, said[1].modifiers), (flags[1], Some(300)));
        assert_eq!(said[1].flags.scope(), Scope::Below);
        assert_eq!(said[1].flags.action(), Action::Allow);
        assert!(said[1].flags.targets_only() && !said[0].flags.targets_only());
        for end in 0..octets.len() {
            read(&octets[..end]).for_each(|said| said.sources.for_each(drop));
        }
    }
}
