//! The way of a record: from the thread that answered, through a ring of its own, to whoever gathers.
//!
//! Nobody is woken and nothing is dropped. Whoever gathers comes by now and then; in a flood a thread whose ring is nearly
//! full gathers itself, so that counts are exact whatever the scheduler does.

use std::sync::Arc;

use rtrb::Consumer;
use rtrb::Producer;
use rtrb::RingBuffer;

use super::EventSource;
use super::EventWriter;
use super::Told;
use super::record::Draft;
use super::record::RECORD_LEN_MAX;
use super::record::split_first;

/// The octets of a ring: about 4,000 queries, a second of a busy house. A larger one would not stay in the processor's
/// cache, and in a flood the thread would stand still for longer when it empties it.
const RING_LEN: usize = 1 << 18;
/// With less room than this a thread sees to it that its ring is emptied.
const ROOM_LEAST: usize = RING_LEN / 4;

/// Single events that a thread may tell at once: a house that wakes up.
pub const DETAILED_MAX: u32 = 1_000;
/// Single events that it may tell each second for long. An event costs a hundred times what a count does, and 25 octets of
/// an SD card; a house of thirty people asks less.
pub const DETAILED_PER_SECOND: u32 = 200;

/// Writes the records of one thread.
pub struct RingWriter {
    ring: Producer<u8>,
    source: Arc<dyn EventSource>,
    draft: Draft,
    allowance: Allowance,
}

/// A ring, seen from the other end.
pub struct Ring(Consumer<u8>);

/// A writer and the ring that it writes to; `source` gathers from it.
pub fn ring(source: Arc<dyn EventSource>) -> (RingWriter, Ring) {
    let (producer, consumer) = RingBuffer::new(RING_LEN);
    let writer = RingWriter { ring: producer, source, draft: Draft::new(), allowance: Allowance::default() };
    (writer, Ring(consumer))
}

impl EventWriter for RingWriter {
    fn write(&mut self, told: &Told<'_>) {
        let detailed = self.allowance.take(told.at.as_millisecond());
        let record = self.draft.compose(told, detailed);
        // The first look costs nothing; the second fetches what the other end has done meanwhile.
        if self.ring.cached_slots() < ROOM_LEAST && self.ring.slots() < ROOM_LEAST {
            self.source.try_gather();
        }
        if self.ring.push_entire_slice(record).is_err() {
            self.source.gather();
            // Now the ring is empty.
            let _ = self.ring.push_entire_slice(record);
        }
    }
}

impl Ring {
    /// Whether the writer is gone and everything was read.
    pub(super) fn is_done(&self) -> bool {
        // In this order: what was written last was written before the writer went.
        self.0.is_abandoned() && self.0.is_empty()
    }

    /// Hands over every record that was written so far.
    pub(super) fn drain(&mut self, mut take: impl FnMut(&[u8])) {
        let Ok(chunk) = self.0.read_chunk(self.0.slots()) else { return };
        let (mut first, mut second) = chunk.as_slices();
        while let Some(record) = split_first(&mut first) {
            take(record);
        }
        if !first.is_empty() {
            // A record that lies over the end of the ring is put together.
            let mut whole = [0; RECORD_LEN_MAX];
            let (head, tail) = whole.split_at_mut(first.len().min(RECORD_LEN_MAX));
            head.copy_from_slice(first.get(..head.len()).unwrap_or_default());
            let tail_len = tail.len().min(second.len());
            for (place, octet) in tail.iter_mut().zip(second) {
                *place = *octet;
            }
            let present = head.len() + tail_len;
            let mut joined = whole.get(..present).unwrap_or_default();
            if let Some(record) = split_first(&mut joined) {
                take(record);
                second = second.get(record.len() - first.len()..).unwrap_or_default();
            }
        }
        while let Some(record) = split_first(&mut second) {
            take(record);
        }
        chunk.commit_all();
    }
}

/// How many queries may be told one by one: many at once, fewer for long. It goes by the time of the queries themselves.
struct Allowance {
    left: u32,
    since_ms: i64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: DETAILED_MAX, since_ms: 0 }
    }
}

impl Allowance {
    const MS_PER_EVENT: i64 = 1000 / DETAILED_PER_SECOND as i64;

    fn take(&mut self, at_ms: i64) -> bool {
        let earned = (at_ms - self.since_ms) / Self::MS_PER_EVENT;
        if earned != 0 {
            // A clock that stepped back earns nothing, and goes on from there.
            let earned = u32::try_from(earned.clamp(0, DETAILED_MAX.into())).unwrap_or_default();
            self.left = DETAILED_MAX.min(self.left + earned);
            self.since_ms = at_ms;
        }
        let may = 0 < self.left;
        self.left = self.left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::Timestamp;

    use super::*;
    use crate::event::AnsweredBy;
    use crate::event::Batch;
    use crate::event::Decided;
    use crate::event::record::Record;
    use crate::name::DomainName;

    /// Reads the QTYPEs of a ring, which number the queries.
    #[derive(Default)]
    struct Reader {
        ring: Mutex<Option<Ring>>,
        read: Mutex<Vec<u16>>,
        /// Whether a writer that asks politely is let in.
        lets_in: bool,
    }

    impl EventSource for Reader {
        fn gather(&self) {
            if let Some(ring) = &mut *self.ring.lock().unwrap() {
                ring.drain(|record| self.read.lock().unwrap().push(Record::read(record).unwrap().qtype));
            }
        }

        fn try_gather(&self) {
            if self.lets_in {
                self.gather();
            }
        }

        fn take(&self) -> Batch {
            Batch::default()
        }
    }

    fn write(writer: &mut RingWriter, number: u16) {
        // Of every length, so that the end of the ring meets a record everywhere.
        let name = DomainName::parse(&"a.".repeat(usize::from(number % 120 + 1))).unwrap();
        writer.write(&Told {
            at: Timestamp::UNIX_EPOCH,
            client: [192, 0, 2, 1].into(),
            name: name.as_ref(),
            behind: None,
            qtype: number,
            rcode: 0,
            latency_us: 0,
            answered: AnsweredBy::Cache,
            decided: Decided::Pass,
        });
    }

    #[test]
    fn nothing_is_lost_or_out_of_order_when_the_writer_empties_its_ring() {
        for lets_in in [true, false] {
            let reader = Arc::new(Reader { lets_in, ..Reader::default() });
            let (mut writer, ring) = ring(Arc::clone(&reader) as Arc<dyn EventSource>);
            *reader.ring.lock().unwrap() = Some(ring);
            let numbers: Vec<u16> = (0..=u16::MAX).collect();
            numbers.iter().for_each(|&number| write(&mut writer, number));
            let waiting = numbers.len() - reader.read.lock().unwrap().len();
            assert!(waiting < RING_LEN / HEAD, "{waiting}");
            reader.gather();
            assert!(*reader.read.lock().unwrap() == numbers);
            assert!(!reader.ring.lock().unwrap().as_ref().unwrap().is_done());
            drop(writer);
            assert!(reader.ring.lock().unwrap().as_ref().unwrap().is_done());
        }
    }

    /// A record is longer than this.
    const HEAD: usize = 36;

    #[test]
    fn many_are_told_at_once_and_fewer_for_long() {
        let mut allowance = Allowance::default();
        let mut told =
            |at_ms: i64, asked: u32| (0..asked).map(|_| u32::from(allowance.take(at_ms))).sum::<u32>();
        let start = 1_800_000_000_000;
        assert_eq!(told(start, 5_000), DETAILED_MAX);
        assert_eq!(told(start + 1_000, 5_000), DETAILED_PER_SECOND);
        assert_eq!(
            (0..10_000).map(|ms| told(start + 1_000 + ms, 10)).sum::<u32>(),
            10 * DETAILED_PER_SECOND - 1
        );
        // A clock that is set back starts anew.
        assert_eq!(told(start - 1_000_000, 1), 0);
        assert_eq!(told(start - 1_000_000 + 1_000, 5_000), DETAILED_PER_SECOND);
        assert_eq!(told(start + 1_000_000, 5_000), DETAILED_MAX);
    }
}
