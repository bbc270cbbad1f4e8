//! The signal by which the engine asks receivers to stop.

use tokio::sync::watch;

/// A receiver's end of the stop signal; clone it for each connection.
#[derive(Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// The engine's end of the stop signal. Dropping it stops too.
pub struct ShutdownTrigger(watch::Sender<bool>);

/// Makes both ends of a stop signal.
#[must_use]
pub fn shutdown() -> (ShutdownTrigger, Shutdown) {
    let (tx, rx) = watch::channel(false);
    (ShutdownTrigger(tx), Shutdown(rx))
}

impl Shutdown {
    /// Waits until the stop is asked for; returns at once when it has been.
    pub async fn requested(&mut self) {
        // An error means that the trigger is gone, which is a stop as well.
        drop(self.0.wait_for(|stop| *stop).await);
    }

    /// Whether the stop has been asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

impl ShutdownTrigger {
    /// Asks every holder of the signal to stop.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}
