//! Tasks whose first steps are taken at once, by who begins them.
//!
//! It knows how a task begins; it never knows what it does.

use std::pin::Pin;
use std::task::{Context, Waker};

use tokio::runtime::Handle;

/// Goes on with a task right here until it has to wait, and leaves the rest to the runtime. What it does first, such as to send a
/// packet, then waits for no other thread to wake.
///
/// Takes as long as the task does until it waits, and panics where it panics.
pub fn begin(runtime: &Handle, task: impl Future<Output = ()> + Send + 'static) {
    // What it waits for is watched by the same runtime, whoever begins it.
    let _entered = runtime.enter();
    let mut task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
    // Nobody is woken yet: the runtime looks at it anew.
    if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
        runtime.spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn the_first_steps_are_taken_at_once_and_the_rest_when_it_can_go_on() {
        let begun = Arc::new(AtomicBool::new(false));
        let (go_on, wait) = oneshot::channel::<()>();
        let (tell_end, end) = oneshot::channel();
        let task = {
            let begun = Arc::clone(&begun);
            async move {
                begun.store(true, Ordering::Relaxed);
                wait.await.unwrap();
                tell_end.send(()).unwrap();
            }
        };
        begin(&Handle::current(), task);
        assert!(begun.load(Ordering::Relaxed));
        go_on.send(()).unwrap();
        end.await.unwrap();
    }
}
