//! What makes no allocation: a look-up in the ruleset, and telling of a query. Tests of their own, since their allocator
//! counts for the whole program.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fall over")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use jiff::Timestamp;
use pixelsink::event::{
    AnsweredBy, Batch, DETAILED_MAX, Decided, EventSource, EventWriter, RuleText, Told, ring,
};
use pixelsink::list::{Action, Rule, Scope};
use pixelsink::name::DomainName;
use pixelsink::ruleset::{Asked, BuildOptions, Builder, SourceId};

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain number and allocates nothing.
#[expect(unsafe_code, reason = "an allocator is unsafe to write")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_look_up_makes_no_allocation() {
    let name = |text: String| DomainName::parse(&text).unwrap();
    let mut builder = Builder::new(BuildOptions::default());
    for number in 0..20_000 {
        let listed = name(format!("n{number}.t{}.example", number % 50));
        let rule = Rule::plain(listed, Scope::Subtree, Action::Block, 1);
        builder.add(SourceId(number % 3), false, &rule).unwrap();
    }
    let ruleset = builder.finish_in_memory().unwrap().0;
    let listed: Vec<_> =
        (0..20_000).map(|number| name(format!("a.n{number}.t{}.example", number % 50))).collect();
    let unlisted: Vec<_> = (0..20_000).map(|number| name(format!("a.b{number}.c.example"))).collect();
    let before = ALLOCATIONS.with(Cell::get);
    let count = |names: &[DomainName]| {
        names.iter().filter(|name| ruleset.lookup(&Asked::by_anyone(name.as_ref())).is_some()).count()
    };
    let found = (count(&listed), count(&unlisted));
    let allocations = ALLOCATIONS.with(Cell::get) - before;
    assert_eq!(found, (20_000, 0));
    assert_eq!(allocations, 0);
}

/// Lets records lie.
struct Nobody;

impl EventSource for Nobody {
    fn try_gather(&self) {}

    fn gather(&self) {}

    fn take(&self) -> Batch {
        Batch::default()
    }
}

#[test]
fn telling_of_a_query_makes_no_allocation() {
    let (mut writer, _ring) = ring(Arc::new(Nobody));
    let name = DomainName::parse("a.tracker.example").unwrap();
    let rule = RuleText { list: "mine", rule: &format_args!("||{}^", "tracker.example") };
    let before = ALLOCATIONS.with(Cell::get);
    // With and without their rules.
    for _ in 0..2 * DETAILED_MAX {
        for (answered, decided) in [
            (AnsweredBy::Sinkhole, Decided::Block(rule)),
            (AnsweredBy::Upstream("udp://192.0.2.53:53"), Decided::Pass),
        ] {
            let (at, client, name) = (Timestamp::UNIX_EPOCH, [192, 0, 2, 1].into(), name.as_ref());
            writer.write(&Told { at, client, name, qtype: 1, rcode: 0, latency_us: 9, answered, decided });
        }
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
}
