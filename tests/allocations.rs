//! Neither a look-up in the ruleset nor a limit makes an allocation: tests of their own, since its allocator counts for the whole program.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fall over")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::IpAddr;
use std::time::Instant;

use pixelsink::list::{Action, Rule, Scope};
use pixelsink::name::DomainName;
use pixelsink::ruleset::{Asked, BuildOptions, Builder, SourceId};
use pixelsink::server::Limits;

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

#[test]
fn a_limit_makes_no_allocation() {
    let now = Instant::now();
    let limits = Limits::new(now);
    let client = |number: u32| IpAddr::from((0xcb00_7100 + number * 7).to_be_bytes());
    let before = ALLOCATIONS.with(Cell::get);
    for number in 0..100_000 {
        limits.admits(client(number), 10, now);
        limits.rate(client(number), 10, now);
        drop(limits.wait(client(number), 10));
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
}
