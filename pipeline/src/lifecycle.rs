//! What every part of a running engine shares: how far the stop has come, and the first reason to fail.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::watch;

/// How far the stop has come; it only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Data flows.
    Running,
    /// Receivers were told to stop. Whoever would wait for a far end is refused, for its sender is still there.
    Stopping,
    /// No new data comes; what is held goes out.
    Draining,
    /// Somebody asked a second time: what is not out by now is counted and left.
    Ending,
}

/// A component that cannot go on, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) component: String,
    pub(crate) reason: String,
}

/// The shared state of one running engine.
#[derive(Clone)]
pub(crate) struct Lifecycle(Arc<Inner>);

struct Inner {
    phase: watch::Sender<Phase>,
    failure: watch::Sender<Option<Failure>>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self(Arc::new(Inner { phase: watch::Sender::new(Phase::Running), failure: watch::Sender::new(None) }))
    }
}

impl Lifecycle {
    /// Moves on to a phase; never back.
    pub(crate) fn enter(&self, phase: Phase) {
        self.0.phase.send_if_modified(|current| {
            let forward = phase > *current;
            *current = phase.max(*current);
            forward
        });
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    /// Waits until the phase has come.
    pub(crate) async fn reached(&self, phase: Phase) {
        // The sender lives as long as `self`, so there is no error to see.
        drop(self.0.phase.subscribe().wait_for(|current| *current >= phase).await);
    }

    /// Tells that a component cannot go on; the first one is the reason that people see.
    pub(crate) fn fail(&self, component: &str, reason: impl Into<String>) {
        let failure = Failure { component: component.to_owned(), reason: reason.into() };
        tracing::error!(component, reason = failure.reason, "component failed, stopping");
        self.0.failure.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(failure);
            is_first
        });
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.0.failure.borrow().clone()
    }

    /// Waits until a component has failed.
    pub(crate) async fn failed(&self) {
        drop(self.0.failure.subscribe().wait_for(Option::is_some).await);
    }
}

/// Runs component code; a panic becomes an error with its message.
pub(crate) fn guard<T>(action: impl FnOnce() -> T) -> Result<T, String> {
    // The caller never uses again what the action worked on, so a half-done change can't be seen.
    catch_unwind(AssertUnwindSafe(action)).map_err(|panic| panic_text(&*panic))
}

/// The same for a future.
pub(crate) async fn guard_future<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match guard(|| future.as_mut().poll(cx)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(reason) => Poll::Ready(Err(reason)),
    })
    .await
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    format!("panicked: {text}; this is a defect, please report it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_move_forward() {
        let lifecycle = Lifecycle::default();
        lifecycle.enter(Phase::Draining);
        lifecycle.enter(Phase::Stopping);
        assert_eq!(lifecycle.phase(), Phase::Draining);
        lifecycle.reached(Phase::Stopping).await;
    }

    #[tokio::test]
    async fn the_first_failure_is_the_one_that_is_told() {
        let lifecycle = Lifecycle::default();
        lifecycle.fail("otlp", "first");
        lifecycle.fail("file", "second");
        lifecycle.failed().await;
        assert_eq!(lifecycle.failure().unwrap().reason, "first");
    }

    #[tokio::test]
    async fn a_panic_becomes_an_error_with_its_text() {
        let answer = guard_future(async { panic!("index {}", 7) }).await;
        assert_eq!(answer.unwrap_err(), "panicked: index 7; this is a defect, please report it");
    }
}
