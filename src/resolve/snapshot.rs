//! What the cache knows, as one file for a warm restart.
//!
//! Version 1, numbers little-endian: `PXSCACHE`, version (u32), when it was written (Unix time in milliseconds, i64), how many
//! answers (u32), the answers, XXH3-64 of all before. An answer: flags (u8; 1: DO, 2: CD, 4: for a group), where it is for a group
//! the number of its upstream set (u16), RCODE (u16), age when written (milliseconds, u64), how long it holds (seconds, u32), length and label of the upstream (u8), length and octets of the
//! message (u16). The question stands in the message, so that an answer can't be filed under another one's.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use super::{Question, UpstreamSet};
use crate::name::DomainName;
use crate::wire::{HEADER_LEN, Stored};

const MAGIC: &[u8; 8] = b"PXSCACHE";
const VERSION: u32 = 1;
/// A larger file is neither written nor read: what a household asks in a day takes a few megabytes, and an SD card has to
/// take it every quarter of an hour.
pub(super) const SIZE_MAX: usize = 64 << 20;
/// What stands around the answers, in octets.
const FRAME_LEN: usize = MAGIC.len() + 4 + 8 + 4 + 8;

const DNSSEC_OK: u8 = 1;
const CHECKING_DISABLED: u8 = 2;
const OF_GROUP: u8 = 4;

/// Answers and when they were written down.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    pub(super) written_ms: i64,
    pub(super) answers: Vec<Remembered>,
}

/// An answer as it is written down.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Remembered {
    pub(super) dnssec_ok: bool,
    pub(super) checking_disabled: bool,
    pub(super) set: UpstreamSet,
    pub(super) answer: Stored,
    pub(super) upstream: Arc<str>,
    pub(super) age: Duration,
    pub(super) fresh_secs: u32,
}

/// Why a file is not used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum SnapshotError {
    #[error("it is no file of kept answers")]
    Foreign,
    #[error("it is of version {0}, which this pixelsink does not read")]
    Version(u32),
    #[error("it is damaged")]
    Damaged,
    #[error("it was written later than this machine's clock says it is now")]
    Future,
}

impl Remembered {
    /// What it answers.
    pub(super) fn question(&self) -> Option<Question> {
        let question = self.answer.message().get(HEADER_LEN..)?;
        // A question's name is never compressed: nothing stands before it.
        let name = DomainName::from_wire(question).ok()?;
        let mut behind = Reader(question.get(name.as_ref().as_wire().len()..)?);
        let (qtype, qclass) = (u16::from_be_bytes(behind.octets()?), u16::from_be_bytes(behind.octets()?));
        let Self { dnssec_ok, checking_disabled, set, .. } = *self;
        Some(Question { name, qtype, qclass, dnssec_ok, checking_disabled, set })
    }

    fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        let message = self.answer.message();
        let message_len = u16::try_from(message.len()).ok()?;
        let upstream_len = u8::try_from(self.upstream.len()).ok()?;
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let is_of_group = self.set != UpstreamSet::EVERYBODY;
        out.push(
            flag(self.dnssec_ok, DNSSEC_OK)
                | flag(self.checking_disabled, CHECKING_DISABLED)
                | flag(is_of_group, OF_GROUP),
        );
        if is_of_group {
            out.extend(self.set.0.to_le_bytes());
        }
        out.extend(self.answer.rcode().to_le_bytes());
        out.extend(u64::try_from(self.age.as_millis()).ok()?.to_le_bytes());
        out.extend(self.fresh_secs.to_le_bytes());
        out.push(upstream_len);
        out.extend(self.upstream.as_bytes());
        out.extend(message_len.to_le_bytes());
        out.extend(message);
        Some(())
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let [flags] = from.octets()?;
        let is_of_group = flags & OF_GROUP != 0;
        let set = if is_of_group {
            UpstreamSet(u16::from_le_bytes(from.octets()?))
        } else {
            UpstreamSet::EVERYBODY
        };
        let rcode = u16::from_le_bytes(from.octets()?);
        let age = Duration::from_millis(u64::from_le_bytes(from.octets()?));
        let fresh_secs = u32::from_le_bytes(from.octets()?);
        let [upstream_len] = from.octets()?;
        let upstream = std::str::from_utf8(from.take(upstream_len.into())?).ok()?.into();
        let message_len = u16::from_le_bytes(from.octets()?);
        let answer = Stored::new(from.take(message_len.into())?.to_vec(), rcode).ok()?;
        let [dnssec_ok, checking_disabled] = [DNSSEC_OK, CHECKING_DISABLED].map(|flag| flags & flag != 0);
        let remembered = Self { dnssec_ok, checking_disabled, set, answer, upstream, age, fresh_secs };
        let is_sound = flags < 8 && is_of_group == (set != UpstreamSet::EVERYBODY);
        (is_sound && remembered.question().is_some()).then_some(remembered)
    }
}

impl Snapshot {
    /// As many of `answers` as a file may hold.
    pub(super) fn encode(now: Timestamp, answers: impl Iterator<Item = Remembered>) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(now.as_millisecond().to_le_bytes());
        let count_at = out.len();
        out.extend([0; 4]);
        let mut count = 0_u32;
        for answer in answers {
            let before = out.len();
            let is_written = answer.write(&mut out).is_some();
            // What has no room is left out, and so is what has no place in this form.
            if !is_written || SIZE_MAX < out.len() + 8 {
                out.truncate(before);
                continue;
            }
            count += 1;
        }
        if let Some(place) = out.get_mut(count_at..count_at + 4) {
            place.copy_from_slice(&count.to_le_bytes());
        }
        let sum = xxh3_64(&out);
        out.extend(sum.to_le_bytes());
        out
    }

    /// Reads a file as a failing disk or a stranger may have left it.
    ///
    /// # Errors
    /// When it is not exactly what was written.
    pub fn decode(octets: &[u8]) -> Result<Self, SnapshotError> {
        let version = octets.strip_prefix(MAGIC).and_then(|rest| Reader(rest).octets());
        match version.map(u32::from_le_bytes) {
            None => return Err(SnapshotError::Foreign),
            Some(VERSION) => {}
            Some(other) => return Err(SnapshotError::Version(other)),
        }
        Self::read(octets).ok_or(SnapshotError::Damaged)
    }

    fn read(octets: &[u8]) -> Option<Self> {
        if octets.len() < FRAME_LEN {
            return None;
        }
        let (whole, sum) = octets.split_last_chunk()?;
        if xxh3_64(whole) != u64::from_le_bytes(*sum) {
            return None;
        }
        let mut from = Reader(whole.get(MAGIC.len() + 4..)?);
        let written_ms = i64::from_le_bytes(from.octets()?);
        let count = u32::from_le_bytes(from.octets()?);
        // The count may lie, and is no reason to take memory.
        let mut answers = Vec::new();
        for _ in 0..count {
            answers.push(Remembered::read(&mut from)?);
        }
        from.0.is_empty().then_some(Self { written_ms, answers })
    }

    /// The answers as they are at `now`: they aged while nobody ran, by the clock on the wall.
    pub(super) fn aged(self, now: Timestamp) -> Result<impl Iterator<Item = Remembered>, SnapshotError> {
        let passed = now.as_millisecond().checked_sub(self.written_ms);
        let passed = passed.and_then(|passed| u64::try_from(passed).ok()).ok_or(SnapshotError::Future)?;
        let passed = Duration::from_millis(passed);
        Ok(self.answers.into_iter().map(move |mut answer| {
            answer.age = answer.age.saturating_add(passed);
            answer
        }))
    }

    /// How many answers there are.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }
}

/// What is still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn octets<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resolve::testkit::{answer, question};

    fn remembered(number: u16) -> Remembered {
        Remembered {
            dnssec_ok: number.is_multiple_of(2),
            checking_disabled: number.is_multiple_of(3),
            set: UpstreamSet(number / 2),
            answer: answer(&question(&format!("n{number}.example")), 300),
            upstream: "udp://192.0.2.1:53".into(),
            age: Duration::from_millis(number.into()),
            fresh_secs: 300,
        }
    }

    fn encoded(count: u16) -> Vec<u8> {
        Snapshot::encode(Timestamp::UNIX_EPOCH, (0..count).map(remembered))
    }

    /// Makes the checksum right, so that what is behind it is looked at too.
    fn mend(octets: &mut Vec<u8>) {
        octets.truncate(octets.len().saturating_sub(8));
        let sum = xxh3_64(octets);
        octets.extend(sum.to_le_bytes());
    }

    #[test]
    fn what_was_written_is_read() {
        let snapshot = Snapshot::decode(&encoded(5)).unwrap();
        assert_eq!(snapshot.answers, (0..5).map(remembered).collect::<Vec<_>>());
        assert_eq!(
            snapshot.answers[3].question().unwrap(),
            Question { checking_disabled: true, set: UpstreamSet(1), ..question("n3.example") }
        );
    }

    #[test]
    fn what_is_not_ours_is_said_to_be_so() {
        assert_eq!(Snapshot::decode(b""), Err(SnapshotError::Foreign));
        assert_eq!(Snapshot::decode(b"PXSCACHE"), Err(SnapshotError::Foreign));
        let mut newer = encoded(1);
        newer[8] = 2;
        assert_eq!(Snapshot::decode(&newer), Err(SnapshotError::Version(2)));
        let mut lying = encoded(1);
        lying[20] = 9;
        mend(&mut lying);
        assert_eq!(Snapshot::decode(&lying), Err(SnapshotError::Damaged));
    }

    #[test]
    fn answers_age_while_nobody_runs() {
        let later = Timestamp::from_millisecond(7_000).unwrap();
        let aged: Vec<_> = Snapshot::decode(&encoded(2)).unwrap().aged(later).unwrap().collect();
        assert_eq!(aged[1].age, Duration::from_millis(7_001));
        let earlier = Timestamp::from_millisecond(-1).unwrap();
        assert!(Snapshot::decode(&encoded(2)).unwrap().aged(earlier).is_err());
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_not_used(at in 0_usize..600, with in 1_u8..) {
            let mut octets = encoded(4);
            let at = at % octets.len();
            octets[at] ^= with;
            prop_assert!(Snapshot::decode(&octets).is_err());
        }

        #[test]
        fn reading_never_panics_and_finds_only_what_could_have_been_written(
            edits in proptest::collection::vec((20_usize..600, any::<u8>()), 0..4), cut in 0_usize..600,
        ) {
            let mut octets = encoded(4);
            for (at, with) in edits {
                let at = at % octets.len();
                octets[at] ^= with;
            }
            let length = octets.len();
            octets.truncate(if cut < 300 { length } else { cut });
            mend(&mut octets);
            if let Ok(snapshot) = Snapshot::decode(&octets) {
                prop_assert!(snapshot.answers.iter().all(|answer| answer.question().is_some()));
            }
        }
    }
}
