//! The cache against a naive model, and what people expect of it.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::resolve::testkit::{answer, nxdomain, question};

const OPTIONS: CacheOptions = CacheOptions {
    size: 16 << 20,
    ttl_min_secs: 5,
    ttl_max_secs: 100,
    negative_ttl_max_secs: 20,
    stale_max: Duration::from_secs(200),
    prefetch: true,
    keep: false,
};

fn answered(stored: crate::wire::Stored) -> Result<Answered, Unresolved> {
    Ok(Answered { answer: Arc::new(stored), upstream: "udp://192.0.2.1:53".into() })
}

fn failed() -> Result<Answered, Unresolved> {
    Err(Unresolved::new("no answer in time".into(), UnresolvedKind::Unreachable))
}

fn cached(known: Option<Known>) -> Cached {
    match known {
        Some(Known::Answer(cached)) => cached,
        other => panic!("{other:?}"),
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn failures_are_kept_for_longer_and_longer_until_one_answer_comes() {
    let (cache, asked) = (Cache::new(OPTIONS), question("a.example"));
    let mut now = Instant::now();
    let mut fails_for = |cache: &Cache| {
        cache.learn(asked.clone(), failed(), now);
        let begun = now;
        while let Some(known) = cache.known(&asked.as_asked(), now) {
            assert!(matches!(known, Known::Failure(_)));
            now += Duration::from_millis(500);
        }
        (now - begun).as_secs()
    };
    let kept: Vec<u64> = (0..7).map(|_| fails_for(&cache)).collect();
    assert_eq!(kept, [1, 2, 4, 8, 16, 30, 30]);
    cache.learn(asked.clone(), answered(answer(&asked, 0)), now);
    cache.flush(&Flush::All);
    let fails_again = || {
        cache.learn(asked.clone(), failed(), now);
        matches!(cache.known(&asked.as_asked(), now + secs(1)), Some(Known::Failure(_)))
    };
    assert!(!fails_again(), "a second again");
    assert!(fails_again(), "and longer the next time");
    now += FAILURE_REMEMBERED;
    assert!(!{
        cache.learn(asked.clone(), failed(), now);
        cache.known(&asked.as_asked(), now + secs(1)).is_some()
    });
}

#[test]
fn that_we_had_too_much_to_do_is_not_kept() {
    let (cache, asked, now) = (Cache::new(OPTIONS), question("a.example"), Instant::now());
    let why = Unresolved::new("too many".into(), UnresolvedKind::Overload);
    assert!(matches!(cache.learn(asked.clone(), Err(why), now), Entry::Failure(_)));
    assert!(cache.known(&asked.as_asked(), now).is_none());
}

#[test]
fn a_popular_answer_wants_to_be_refreshed_once_when_a_tenth_of_its_time_is_left() {
    let (cache, asked, now) = (Cache::new(OPTIONS), question("a.example"), Instant::now());
    let wants = |after| cached(cache.known(&asked.as_asked(), now + secs(after))).wants_refresh();
    cache.learn(asked.clone(), answered(answer(&asked, 100)), now);
    assert_eq!([0, 1, 89, 90, 91].map(wants), [false, false, false, true, false]);
    cache.learn(asked.clone(), answered(answer(&asked, 100)), now);
    assert_eq!([95, 96, 97].map(wants), [false, true, false], "the second one who asks");
    // A tenth of nine seconds is less than a TTL can say.
    cache.learn(asked.clone(), answered(answer(&asked, 9)), now);
    assert_eq!([1, 8, 8].map(wants), [false; 3]);
    cache.set_options(CacheOptions { prefetch: false, ..OPTIONS });
    cache.learn(asked.clone(), answered(answer(&asked, 100)), now);
    assert_eq!([1, 95, 96].map(wants), [false; 3]);
}

#[test]
fn an_answer_is_clear_for_the_policy_that_looked_at_it_only() {
    let (cache, asked, now) = (Cache::new(OPTIONS), question("a.example"), Instant::now());
    cache.learn(asked.clone(), answered(answer(&asked, 100)), now);
    let of = |now| cached(cache.known(&asked.as_asked(), now));
    assert!(!of(now).cleared(0) && !of(now).cleared(1));
    of(now).clear(1);
    assert!(of(now).cleared(1) && !of(now).cleared(2));
    cache.learn(asked.clone(), answered(answer(&asked, 100)), now);
    assert!(!of(now).cleared(1), "another answer may lead elsewhere");
}

#[test]
fn times_to_live_are_held_to_their_bounds() {
    let cache = Cache::new(OPTIONS);
    let asked = question("a.example");
    let now = Instant::now();
    for (ttl, expected) in [(1, 5), (50, 50), (1_000, 100), (u32::MAX, 5)] {
        cache.learn(asked.clone(), answered(answer(&asked, ttl)), now);
        assert_eq!(
            cached(cache.known(&asked.as_asked(), now)).records(0)[0].as_record().ttl_secs,
            expected,
            "{ttl}"
        );
    }
    for (ttl, expected) in [(1, 5), (15, 15), (50, 20)] {
        cache.learn(asked.clone(), answered(nxdomain(&asked, ttl)), now);
        assert_eq!(cached(cache.known(&asked.as_asked(), now)).ttl_secs(), expected, "{ttl}");
    }
}

#[test]
fn nothing_is_kept_where_there_is_no_room_but_that_upstreams_failed() {
    let (cache, asked) = (Cache::new(CacheOptions { size: 0, ..OPTIONS }), question("a.example"));
    let now = Instant::now();
    assert!(matches!(cache.learn(asked.clone(), answered(answer(&asked, 60)), now), Entry::Answer(_)));
    assert!(cache.known(&asked.as_asked(), now).is_none());
    cache.learn(asked.clone(), failed(), now);
    assert!(matches!(cache.known(&asked.as_asked(), now), Some(Known::Failure(_))));
}

#[test]
fn an_answer_for_now_only_is_not_kept() {
    let cache = Cache::new(CacheOptions { ttl_min_secs: 0, ..OPTIONS });
    let (asked, now) = (question("a.example"), Instant::now());
    cache.learn(asked.clone(), answered(answer(&asked, 0)), now);
    assert_eq!(cache.status().entries, 0);
    assert!(!cache.has_stale(&asked, now));
}

#[test]
fn more_than_fits_is_not_kept() {
    let cache = Cache::new(CacheOptions { size: 1 << 20, ..OPTIONS });
    let now = Instant::now();
    for number in 0..10_000 {
        let asked = question(&format!("n{number}.example"));
        let kept = answer(&asked, 60);
        cache.learn(asked, answered(kept), now);
    }
    let status = cache.status();
    assert!(status.octets <= 1 << 20 && 700_000 < status.octets, "{status:?}");
}

/// What is done to the cache in the model test. Names and times are small, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Answer {
        name: usize,
        ttl: u32,
        negative: bool,
    },
    Fail {
        name: usize,
    },
    /// Upstreams are too slow.
    Hold {
        name: usize,
    },
    Pass {
        millis: u64,
    },
    Flush {
        name: usize,
        below: bool,
    },
    FlushAll,
}

const NAMES: [&str; 4] = ["example", "a.example", "b.a.example", "other"];

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    prop_oneof![
        3 => (name(), 0_u32..150, any::<bool>())
            .prop_map(|(name, ttl, negative)| Step::Answer { name, ttl, negative }),
        3 => name().prop_map(|name| Step::Fail { name }),
        2 => name().prop_map(|name| Step::Hold { name }),
        5 => prop_oneof![0_u64..2_000, 0_u64..50_000, 0_u64..400_000].prop_map(|millis| Step::Pass { millis }),
        1 => (name(), any::<bool>()).prop_map(|(name, below)| Step::Flush { name, below }),
        1 => Just(Step::FlushAll),
    ]
}

/// What the model knows of a name; times in milliseconds.
#[derive(Clone, Debug)]
enum Noted {
    Answer { at: u64, ttl: u64, held_until: u64 },
    Failure { at: u64, kept: u64 },
}

fn failure(before: Option<&Noted>, now: u64) -> Noted {
    let kept = match before {
        Some(Noted::Failure { at, kept }) if now - at < 300_000 => (kept * 2).min(30_000),
        _ => 1_000,
    };
    Noted::Failure { at: now, kept }
}

proptest! {
    #[test]
    fn the_cache_is_what_a_table_with_times_is(steps in proptest::collection::vec(step(), 1..60)) {
        let cache = Cache::new(OPTIONS);
        let questions = NAMES.map(question);
        let mut model: HashMap<usize, Noted> = HashMap::new();
        let (begun, mut now) = (Instant::now(), 0_u64);
        for step in steps {
            let at = begun + Duration::from_millis(now);
            let overdue = |noted: Option<&Noted>, now: u64| match noted {
                Some(Noted::Answer { at, ttl, .. }) => Some((now - at >= *ttl, at + ttl + 200_000)),
                _ => None,
            };
            match step {
                Step::Answer { name, ttl, negative } => {
                    let asked = questions[name].clone();
                    let stored = if negative { nxdomain(&asked, ttl) } else { answer(&asked, ttl) };
                    cache.learn(asked, answered(stored), at);
                    let ttl = u64::from(ttl).clamp(5, if negative { 20 } else { 100 }) * 1_000;
                    model.insert(name, Noted::Answer { at: now, ttl, held_until: 0 });
                }
                Step::Fail { name } => {
                    cache.learn(questions[name].clone(), failed(), at);
                    match overdue(model.get(&name), now) {
                        Some((false, _)) => {}
                        Some((true, until)) if now < until => {
                            let Some(Noted::Answer { held_until, .. }) = model.get_mut(&name) else { unreachable!() };
                            *held_until = until.min(now + 30_000);
                        }
                        _ => {
                            let noted = failure(model.get(&name), now);
                            model.insert(name, noted);
                        }
                    }
                }
                Step::Hold { name } => {
                    cache.hold(&questions[name], at);
                    if let Some((true, until)) = overdue(model.get(&name), now)
                        && now < until
                        && let Some(Noted::Answer { held_until, .. }) = model.get_mut(&name)
                    {
                        *held_until = until.min(now + 30_000);
                    }
                }
                Step::Pass { millis } => now += millis,
                Step::Flush { name, below } => {
                    let gone = cache.flush(&Flush::Name { name: questions[name].name.clone(), below });
                    let before = model.len();
                    model.retain(|&other, _| {
                        let is_below = NAMES[other].ends_with(&format!(".{}", NAMES[name]));
                        other != name && !(below && is_below)
                    });
                    prop_assert_eq!(gone, before - model.len());
                }
                Step::FlushAll => {
                    prop_assert_eq!(cache.flush(&Flush::All), model.len());
                    model.clear();
                }
            }
            let at = begun + Duration::from_millis(now);
            for (name, asked) in questions.iter().enumerate() {
                let found = cache.known(&asked.as_asked(), at).map(|known| match known {
                    Known::Answer(cached) => {
                        (Some((cached.freshness(), cached.age_secs())), u64::from(cached.ttl_secs()))
                    }
                    Known::Failure(_) => (None, 0),
                });
                let expected = model.get(&name).and_then(|noted| match *noted {
                    Noted::Answer { at, ttl, .. } if now - at < ttl => {
                        let age = u32::try_from((now - at) / 1_000).unwrap();
                        Some((Some((Freshness::Fresh, age)), ttl / 1_000))
                    }
                    Noted::Answer { held_until, .. } if now < held_until => Some((Some((Freshness::Stale, 0)), 30)),
                    Noted::Failure { at, kept } if now - at < kept => Some((None, 0)),
                    _ => None,
                });
                prop_assert_eq!(found, expected, "{} at {}", NAMES[name], now);
                let stale = overdue(model.get(&name), now).is_some_and(|(over, until)| over && now < until);
                prop_assert_eq!(cache.has_stale(asked, at), stale);
            }
        }
    }
}
