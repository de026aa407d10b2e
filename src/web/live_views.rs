//! Where whoever hears of questions tells them to the live views that are open. It never knows what a view shows of them.

use std::sync::Arc;

use tokio::sync::{Notify, broadcast};

use crate::event::Heard;

/// Views that lag further behind than this many events are told that they missed some.
const WAITING_MAX: usize = 1024;

/// The live views that are open. Cheap to clone.
#[derive(Clone)]
pub struct LiveViews {
    views: broadcast::Sender<Heard>,
    joined: Arc<Notify>,
}

impl Default for LiveViews {
    fn default() -> Self {
        Self { views: broadcast::Sender::new(WAITING_MAX), joined: Arc::default() }
    }
}

impl LiveViews {
    /// Another view; whoever tells is woken.
    pub fn join(&self) -> broadcast::Receiver<Heard> {
        let view = self.views.subscribe();
        self.joined.notify_one();
        view
    }

    /// Returns when a view has joined since the last time.
    pub async fn joined(&self) {
        self.joined.notified().await;
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        0 < self.views.receiver_count()
    }

    /// Tells all that listen.
    pub fn tell(&self, heard: Heard) {
        // Fails only when the last view has just gone.
        let _ = self.views.send(heard);
    }
}
