//! Downloads as they run: a bar for each list where there is a terminal, nothing elsewhere.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, IsTerminal};
use std::pin::pin;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::interval;

use super::client::Daemon;
use crate::web::api::{List, Progress};

/// How often the daemon is asked how far they have come.
const EVERY: Duration = Duration::from_millis(200);

/// Waits for `work` and shows how far the downloads have come meanwhile.
pub(super) async fn shown<T>(work: impl Future<Output = T>, daemon: &Daemon) -> T {
    if !io::stderr().is_terminal() {
        return work.await;
    }
    let mut work = pin!(work);
    let mut ticks = interval(EVERY);
    let mut bars = Bars::default();
    loop {
        tokio::select! {
            done = &mut work => {
                // What is printed next stands where the bars were.
                let _ = bars.all.clear();
                return done;
            }
            _ = ticks.tick() => {
                // One answer that does not come is no reason to stop waiting.
                if let Ok(lists) = daemon.get::<Vec<List>>("lists", &[]).await {
                    bars.show(&lists);
                }
            }
        }
    }
}

#[derive(Default)]
struct Bars {
    all: MultiProgress,
    by_list: BTreeMap<String, ProgressBar>,
}

impl Bars {
    fn show(&mut self, lists: &[List]) {
        for list in lists {
            let Some(bar) = self.bar(list) else { continue };
            match list.progress {
                Some(Progress { received, expected }) => {
                    bar.set_length(expected.unwrap_or(received).max(received));
                    bar.set_position(received);
                }
                None if !list.refreshing => bar.finish(),
                None => {}
            }
        }
    }

    /// The bar of a list; there is none for one that was not downloaded meanwhile.
    fn bar(&mut self, list: &List) -> Option<&ProgressBar> {
        if !self.by_list.contains_key(&list.name) {
            if !list.refreshing {
                return None;
            }
            let bar = self.all.add(ProgressBar::new(0).with_message(list.name.clone()));
            let style = ProgressStyle::with_template("{msg:24} {bar:30} {bytes:>10} of {total_bytes:10}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            self.by_list.insert(list.name.clone(), bar);
        }
        self.by_list.get(&list.name)
    }
}
