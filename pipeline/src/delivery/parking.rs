//! Where deliveries wait for their next attempt, so that the consumer that began them can take the next batch.
//!
//! One far end may have many receivers behind it, such as tenants, of which one makes its batches wait. A delivery that
//! has to wait asks for a place here. With a place, its consumer goes on and drives it beside its other work; without
//! one, the consumer waits with it. So the far end's pressure is felt once the places are taken. A queue on disk loses
//! nothing by it: what is taken is acknowledged in any order.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::queue::kibibytes;

/// Batches that wait at most, for each exporter and signal.
const PARKED_MAX: usize = 100;

/// Memory that they take at most, in KiB. A batch that is larger does not wait here.
const PARKED_KIB_MAX: usize = 16 << 10;

/// A delivery under way. It ends when every item is settled or given back.
pub(super) type Delivering<'d> = Pin<Box<dyn Future<Output = ()> + Send + 'd>>;

/// The places of one exporter and signal, and how many attempts may be made at the same time.
pub(super) struct Parking {
    places: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    /// Because of the places there are more deliveries than consumers.
    attempts: Semaphore,
}

/// A place; it is given back when the delivery ends.
struct Place(#[expect(dead_code, reason = "held for its drop")] [OwnedSemaphorePermit; 2]);

/// A delivery's way to leave its consumer.
pub(super) struct Exit<'p> {
    parking: &'p Parking,
    consumer: Option<oneshot::Sender<()>>,
    place: Option<Place>,
}

impl Parking {
    /// As many attempts at the same time as there are consumers.
    pub(super) fn new(consumers: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(PARKED_MAX)),
            memory: Arc::new(Semaphore::new(PARKED_KIB_MAX)),
            attempts: Semaphore::new(consumers),
        }
    }

    /// Waits until one more attempt may be made; it ends when what is returned is dropped.
    pub(super) async fn begin_attempt(&self) -> impl Sized {
        self.attempts.acquire().await.ok()
    }

    /// A way out for a delivery, and what its consumer hears when it takes it.
    pub(super) fn exit(&self) -> (Exit<'_>, oneshot::Receiver<()>) {
        let (consumer, left) = oneshot::channel();
        (Exit { parking: self, consumer: Some(consumer), place: None }, left)
    }

    fn place(&self, memory: usize) -> Option<Place> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let memory = Arc::clone(&self.memory).try_acquire_many_owned(kibibytes(memory)).ok()?;
        Some(Place([place, memory]))
    }
}

impl Exit<'_> {
    /// Lets the consumer go if there is a place for a batch that takes so many bytes of memory.
    pub(super) fn take(&mut self, memory: usize) {
        if self.place.is_none() {
            self.place = self.parking.place(memory);
        }
        if self.place.is_some()
            && let Some(consumer) = self.consumer.take()
        {
            // A consumer that is gone takes its deliveries with it.
            consumer.send(()).unwrap_or_default();
        }
    }
}

/// Drives the deliveries that left their consumer, until no more can come and all have ended.
pub(super) async fn drive(mut coming: mpsc::UnboundedReceiver<Delivering<'_>>) {
    let mut parked: Vec<Delivering<'_>> = Vec::new();
    let mut is_open = true;
    poll_fn(move |cx| {
        while is_open && let Poll::Ready(next) = coming.poll_recv(cx) {
            is_open = next.is_some();
            parked.extend(next);
        }
        parked.retain_mut(|delivery| delivery.as_mut().poll(cx).is_pending());
        if parked.is_empty() && !is_open { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
