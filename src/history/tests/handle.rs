//! The handle and the thread behind it.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::clock::Clock;
use crate::event::EventSource;
use crate::history::EventFilter;
use crate::history::History;
use crate::history::HistoryError;
use crate::history::HistoryOptions;
use crate::history::testkit::TestClock;
use crate::history::testkit::Waiting;
use crate::history::testkit::catalogue;
use crate::history::testkit::event;
use crate::history::testkit::ever;
use crate::history::testkit::options;

fn open(options: &HistoryOptions, clock: &Arc<TestClock>) -> (History, Arc<Waiting>) {
    let waiting = Arc::new(Waiting::default());
    let source = Arc::clone(&waiting) as Arc<dyn EventSource>;
    (
        History::open(
            options.clone(),
            catalogue(),
            Arc::default(),
            Arc::clone(clock) as Arc<dyn Clock>,
            source,
        ),
        waiting,
    )
}

#[tokio::test]
async fn an_event_is_seen_by_the_next_question() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let (history, waiting) = open(&options(dir.path()), &clock);
    waiting.emit(event(&clock, "block tv a.pixel.example"));
    assert_eq!(history.totals(ever(), None).await.unwrap().hits, 1);
    assert_eq!(history.events(EventFilter { limit: 5, ..Default::default() }).await.unwrap().len(), 1);
    let before = history.health().await.unwrap();
    assert_eq!((before.unflushed, before.flushed, before.problem), (1, None, None));
    assert_eq!((before.dropped, before.unlisted, before.unnamed), Default::default());
    // It is flushed in its time.
    clock.pass(Duration::from_secs(61));
    history.health().await.unwrap();
    let after = history.health().await.unwrap();
    assert_eq!((after.unflushed, after.flushed), (0, Some(clock.now())));
    assert_eq!(after.file, options(dir.path()).file);
    assert!(4096 < after.size_bytes);
}

#[tokio::test]
async fn closing_writes_what_waits() {
    for how in ["close", "drop"] {
        let dir = tempfile::tempdir().unwrap();
        let clock = TestClock::new();
        let (history, waiting) = open(&options(dir.path()), &clock);
        waiting.emit(event(&clock, "block tv a.pixel.example"));
        assert_eq!(history.health().await.unwrap().problem, None, "the file is open");
        if how == "close" {
            assert_eq!(history.close().await, Ok(()));
            assert_eq!(history.totals(ever(), None).await, Err(HistoryError::Closed));
            assert_eq!(history.close().await, Ok(()), "it is closed, as was asked");
            // Nobody is there to take it; nobody minds.
            waiting.emit(event(&clock, "block tv a.pixel.example"));
            assert!(!dir.path().join("history.sqlite3-wal").exists());
        }
        drop(history);
        // The file is waited for until the first thread has let it go.
        let (history, _) = open(&options(dir.path()), &clock);
        assert_eq!(history.totals(ever(), None).await.unwrap().hits, 1, "{how}");
    }
}

#[tokio::test]
async fn a_panic_in_the_thread_closes_the_history_and_nothing_else() {
    let clock = TestClock::new();
    let dir = tempfile::tempdir().unwrap();
    let (history, waiting) = open(&options(dir.path()), &clock);
    let answer: Result<(), _> = history.ask(|_| panic!("a defect")).await;
    assert_eq!(answer, Err(HistoryError::Closed));
    assert_eq!(history.health().await.map(|_| ()), Err(HistoryError::Closed));
    assert_eq!(history.close().await, Err(HistoryError::Closed), "what waited is lost");
    waiting.emit(event(&clock, "pass tv www.shop.example"));
}

#[tokio::test]
async fn the_end_of_the_history_is_seen_however_it_comes() {
    for how in ["close", "panic"] {
        let clock = TestClock::new();
        let dir = tempfile::tempdir().unwrap();
        let (history, _) = open(&options(dir.path()), &clock);
        let watcher = history.clone();
        let mut ended = std::pin::pin!(watcher.ended());
        history.health().await.unwrap();
        let waiting =
            std::future::poll_fn(|context| Poll::Ready(ended.as_mut().poll(context).is_pending())).await;
        assert!(waiting, "it runs");
        if how == "close" {
            assert_eq!(history.close().await, Ok(()));
        } else {
            let answer: Result<(), _> = history.ask(|_| panic!("a defect")).await;
            assert_eq!(answer, Err(HistoryError::Closed));
        }
        ended.await;
        // Also for those who come late.
        history.ended().await;
    }
}

#[tokio::test]
async fn many_may_ask_at_once() {
    let clock = TestClock::new();
    let dir = tempfile::tempdir().unwrap();
    let (history, _) = open(&options(dir.path()), &clock);
    let ask = |history: History| async move { history.totals(ever(), None).await };
    let asked: Vec<_> = (0..300).map(|_| tokio::spawn(ask(history.clone()))).collect();
    for answer in asked {
        answer.await.unwrap().unwrap();
    }
}
