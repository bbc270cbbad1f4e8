//! Where every item that reaches an exporter is accounted for: sent, refused, dropped with a reason, or held.
//!
//! A [`Load`] is a batch with the items of it whose fate is still open. Whoever lets a load go without
//! having said what became of it (a stop that ran out of time, a task that was ended) has lost it, and the
//! load says so itself when it is dropped. Nothing can leave in silence.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::{Batch, Signal, now};
use crate::component::Refusal;
use crate::telemetry::{Counter, Gauge, Histogram, Telemetry, Unit};

/// Why items were dropped, as the label `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropReason {
    /// The far end will never take them.
    Rejected,
    /// A single item is larger than the far end takes.
    TooLarge,
    /// The far end did not take them within `max_elapsed_time`, or failed once with retry switched off.
    RetryTimeout,
    /// The queue was full and `block_on_overflow` is off, and no sender was there to be told.
    QueueFull,
    /// The queue's file was damaged.
    Corrupted,
    /// The stop ran out of time.
    Shutdown,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::Rejected,
        Self::TooLarge,
        Self::RetryTimeout,
        Self::QueueFull,
        Self::Corrupted,
        Self::Shutdown,
    ];

    /// The value of the label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::TooLarge => "too_large",
            Self::RetryTimeout => "retry_timeout",
            Self::QueueFull => "queue_full",
            Self::Corrupted => "corrupted",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The counters of one exporter and signal.
pub(crate) struct Ledger {
    pub(crate) exporter: String,
    pub(crate) signal: Signal,
    sent: Counter,
    send_failed: Counter,
    enqueue_failed: Counter,
    dropped: [Counter; 6],
    held: Gauge,
    lag: Histogram,
}

impl Ledger {
    pub(crate) fn new(telemetry: &Telemetry, exporter: &str, signal: Signal) -> Self {
        let counter = |verb: &str, help: &str, labels: &[(&str, &str)]| {
            let labels: Vec<_> = [("exporter", exporter)].iter().chain(labels).copied().collect();
            telemetry.counter(
                &format!("otelcol_exporter_{verb}_{}", signal.items()),
                Unit::Items,
                help,
                &labels,
            )
        };
        Self {
            exporter: exporter.to_owned(),
            signal,
            sent: counter("sent", "Items that the far end took.", &[]),
            send_failed: counter(
                "send_failed",
                "Items that were dropped, or given back to their sender.",
                &[],
            ),
            enqueue_failed: counter("enqueue_failed", "Items that the full queue did not take.", &[]),
            dropped: DropReason::ALL.map(|reason| {
                counter("dropped", "Items lost for good, by reason.", &[("reason", reason.name())])
            }),
            held: telemetry.gauge(
                &format!("otelcol_exporter_held_{}", signal.items()),
                Unit::Items,
                "Items waiting for the exporter or on their way.",
                &[("exporter", exporter)],
            ),
            lag: telemetry.histogram(
                "otelcol_exporter_delivery_lag",
                "From the receipt of the oldest item of a batch until the far end has taken the batch, over restarts too.",
                &[("exporter", exporter), ("data_type", signal.name())],
            ),
        }
    }

    /// So many items came to be held, or no longer are, without a load.
    pub(crate) fn hold(&self, items: i64) {
        self.held.add(items);
    }

    /// Items that wait or are on their way.
    pub(crate) fn held(&self) -> i64 {
        self.held.value()
    }

    /// So many held items are lost for good.
    pub(crate) fn lose(&self, reason: DropReason, items: u64) {
        self.held.add(-i64::try_from(items).unwrap_or(i64::MAX));
        self.drop_items(reason, usize::try_from(items).unwrap_or(usize::MAX));
    }

    fn drop_items(&self, reason: DropReason, items: usize) {
        let [rejected, too_large, retry_timeout, queue_full, corrupted, shutdown] = &self.dropped;
        let counter = match reason {
            DropReason::Rejected => rejected,
            DropReason::TooLarge => too_large,
            DropReason::RetryTimeout => retry_timeout,
            DropReason::QueueFull => queue_full,
            DropReason::Corrupted => corrupted,
            DropReason::Shutdown => shutdown,
        };
        counter.add(items as u64);
    }
}

/// A queue's hold on what it has given out; dropping the last clone frees the place.
pub(crate) trait Claim: Send + Sync {
    /// The load was let go of before its end. Says whether the queue still has the items, so that nothing is lost.
    fn abandon(&self) -> bool {
        false
    }
}

/// A batch on its way to an exporter, and how many of its items still have an open fate.
pub(crate) struct Load {
    batch: Batch,
    open: usize,
    ledger: Arc<Ledger>,
    claims: Vec<Arc<dyn Claim>>,
    /// Its number in a queue on disk.
    sequence: Option<u64>,
}

impl Load {
    pub(crate) fn new(mut batch: Batch, ledger: &Arc<Ledger>) -> Self {
        batch.receive();
        let open = batch.len();
        ledger.held.add(signed(open));
        Self { batch, open, ledger: Arc::clone(ledger), claims: Vec::new(), sequence: None }
    }

    /// The load of a batch that a queue held, and whose items were counted as held all the time.
    pub(crate) fn resumed(batch: Batch, ledger: &Arc<Ledger>, claim: Arc<dyn Claim>, sequence: u64) -> Self {
        let open = batch.len();
        Self { batch, open, ledger: Arc::clone(ledger), claims: vec![claim], sequence: Some(sequence) }
    }

    /// The number of the record that the load is, if a queue on disk gave it out.
    pub(crate) fn sequence(&self) -> Option<u64> {
        self.sequence
    }

    /// A queue has the items safe: the senders are answered, and the items stay counted as held.
    pub(crate) fn park(mut self) {
        self.open = 0;
    }

    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }

    pub(crate) fn batch_mut(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// Whether a sender still waits to hear what became of the items.
    pub(crate) fn has_sender(&self) -> bool {
        self.batch.has_receipts()
    }

    pub(crate) fn add_claim(&mut self, claim: Arc<dyn Claim>) {
        self.claims.push(claim);
    }

    /// Answers the senders: from here on the items are this process's responsibility.
    pub(crate) fn take_responsibility(&mut self) {
        self.batch.take_custody();
    }

    /// Puts the items of another load behind one's own.
    pub(crate) fn append(&mut self, mut other: Self) {
        let empty = Batch::new(other.batch.signal());
        self.batch.append(std::mem::replace(&mut other.batch, empty));
        self.claims.append(&mut other.claims);
        self.open += std::mem::take(&mut other.open);
    }

    /// Splits off what is behind the first `count` items. For loads of which nothing is settled yet.
    pub(crate) fn split_off(&mut self, count: usize) -> Option<Self> {
        let rest = self.batch.split_off(count)?;
        self.open = self.batch.len();
        Some(Self {
            open: rest.len(),
            batch: rest,
            ledger: Arc::clone(&self.ledger),
            claims: self.claims.clone(),
            sequence: self.sequence,
        })
    }

    /// The far end took so many items.
    pub(crate) fn sent(&mut self, items: usize) {
        let items = self.close(items);
        self.ledger.sent.add(items as u64);
        if items > 0 {
            // A clock that was set back in between makes it 0.
            self.ledger.lag.observe(Duration::from_nanos(now().saturating_sub(self.batch.received())));
        }
    }

    /// So many items are lost for good.
    pub(crate) fn dropped(&mut self, reason: DropReason, items: usize) {
        let items = self.close(items);
        self.ledger.send_failed.add(items as u64);
        self.ledger.drop_items(reason, items);
    }

    /// Gives everything open back to the senders, or drops it when there is none.
    pub(crate) fn fail(&mut self, refusal: &Refusal, reason: DropReason) {
        if self.has_sender() {
            let items = self.close(self.open);
            self.ledger.send_failed.add(items as u64);
            self.batch.refuse(refusal);
        } else {
            self.dropped(reason, self.open);
        }
    }

    /// The full queue does not take the load: its senders are told.
    pub(crate) fn overflow(&mut self, refusal: &Refusal, reason: DropReason) {
        self.ledger.enqueue_failed.add(self.open as u64);
        self.fail(refusal, reason);
    }

    fn close(&mut self, items: usize) -> usize {
        let items = items.min(self.open);
        self.open -= items;
        self.ledger.held.add(-signed(items));
        items
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if self.open == 0 {
            return;
        }
        // Every claim must hear it, hence no short cut.
        let kept = self.claims.iter().filter(|claim| claim.abandon()).count();
        if kept > 0 && kept == self.claims.len() {
            self.close(self.open);
            return;
        }
        let reason = "the process stops before the data could be delivered; send it again".to_owned();
        self.fail(&Refusal::Retry { reason, after: None }, DropReason::Shutdown);
    }
}

fn signed(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_that_of_the_oldest_item_and_only_of_what_the_far_end_took() {
        let telemetry = Telemetry::new();
        let ledger = Arc::new(Ledger::new(&telemetry, "x", Signal::Logs));
        let load = |seconds: u64| {
            let mut batch = Batch::builder(Signal::Logs).record(|log| log.set_body("a")).build();
            batch.set_received(now() - seconds * 1_000_000_000);
            Load::new(batch, &ledger)
        };
        let mut merged = load(7);
        merged.append(load(40));
        merged.append(load(3));
        merged.sent(3);
        load(20).dropped(DropReason::Rejected, 1);
        let [lag] = &telemetry.distributions()[..] else { panic!("one histogram") };
        assert_eq!((lag.count(), lag.sum.as_secs()), (1, 40));
    }
}
