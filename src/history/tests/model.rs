//! Whatever happens in whatever order, the answers are those of a naive model.

use std::time::Duration;

use proptest::prelude::*;

use crate::clock::Clock;
use crate::history::Span;
use crate::history::flush::Counts;
use crate::history::testkit::TestClock;
use crate::history::testkit::event;
use crate::history::testkit::ever;
use crate::history::testkit::model;
use crate::history::testkit::options;
use crate::history::testkit::store;

#[derive(Clone, Debug)]
enum Step {
    Hear(String),
    Pass(u64),
    /// The wall clock is set back (or forth) by minutes.
    Set(i64),
    Flush,
    Reopen,
    /// The process is killed: what is in memory is lost.
    Kill,
    /// The file can't be used for a while.
    LoseFile,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = prop_oneof![
        Just("pixel.example"),
        Just("a.pixel.example"),
        Just("beacon.example"),
        Just("www.shop.example"),
        Just(r"a\.b\000.example"),
    ];
    let cloaked =
        prop_oneof![Just("www.shop.example x.pixel.example"), Just("beacon.example y.hidden.example"),];
    let device = || prop_oneof!["tv", "phone", "laptop"];
    let cloaked =
        (device(), cloaked).prop_map(|(device, names)| Step::Hear(format!("cloak {device} {names}")));
    let heard = (prop_oneof!["pass", "allow", "block"], device(), name)
        .prop_map(|(verdict, device, name)| Step::Hear(format!("{verdict} {device} {name}")));
    let step = prop_oneof![
        12 => heard,
        3 => cloaked,
        3 => (1_u64..5000).prop_map(Step::Pass),
        1 => (-300_i64..300).prop_map(Step::Set),
        2 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => Just(Step::LoseFile),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn answers_agree_with_a_naive_model(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path());
        let clock = TestClock::new();
        let mut store = store(&options, &clock);
        let (mut flushed, mut waiting) = (Vec::new(), Vec::new());
        for step in &steps {
            match step {
                Step::Hear(words) => {
                    store.hear(&clock, &[words]);
                    waiting.push(event(&clock, words));
                }
                Step::Pass(seconds) => clock.pass(Duration::from_secs(*seconds)),
                Step::Set(minutes) => {
                    let now = clock.now() + jiff::SignedDuration::from_mins(*minutes);
                    clock.set(&now.to_string());
                }
                Step::Flush => {
                    prop_assert_eq!(store.flush(Counts::Due), Ok(()));
                    flushed.append(&mut waiting);
                }
                Step::Reopen => {
                    prop_assert_eq!(store.close(), Ok(()));
                    flushed.append(&mut waiting);
                    store = crate::history::testkit::store(&options, &clock);
                }
                Step::Kill => {
                    store.die();
                    store = crate::history::testkit::store(&options, &clock);
                    waiting.clear();
                }
                Step::LoseFile => {
                    prop_assert_eq!(store.flush(Counts::Due), Ok(()));
                    flushed.append(&mut waiting);
                    store.detach();
                    let words = "block phone lost.example";
                    store.hear(&clock, &[words]);
                    waiting.push(event(&clock, words));
                    prop_assert_eq!(store.flush(Counts::Due), Ok(()));
                    flushed.append(&mut waiting);
                }
            }
            if !matches!(step, Step::Hear(_) | Step::Pass(_) | Step::Set(_)) {
                let all = [&*flushed, &*waiting].concat();
                prop_assert_eq!(store.tell(ever()), Ok(model(&all, ever())));
            }
        }
        let all = [flushed, waiting].concat();
        prop_assert_eq!(store.tell(ever()), Ok(model(&all, ever())));
        let span = Span { from: clock.now() - Duration::from_secs(5000), until: clock.now() };
        prop_assert_eq!(store.tell(span), Ok(model(&all, span)));
        let events = store.events(&crate::history::EventFilter { limit: 1000, ..Default::default() }).unwrap();
        let remembered: Vec<_> = events.iter().rev().map(|event| (event.at, event.name.clone())).collect();
        let happened: Vec<_> = all.iter().map(|event| (event.at, event.name.clone())).collect();
        prop_assert_eq!(remembered, happened);
    }
}
