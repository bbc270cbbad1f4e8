//! How the sender of a batch learns what became of it.
//!
//! A receipt travels with the batch and with everything made from it: copies, parts, merged batches. When the
//! last holder lets go, the sender is told: taken, or refused if any holder said so. A processor that drops
//! records on purpose just drops them; an exporter's queue lets go once it has taken responsibility.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::component::Refusal;

/// The travelling half: dropping the last clone answers the sender.
#[derive(Clone)]
pub(crate) struct Receipt(#[expect(dead_code, reason = "held for its drop")] Arc<Answer>, Arc<Verdict>);

type Verdict = Mutex<Progress>;

/// What is known so far about a sender's batch.
enum Progress {
    /// Somebody still holds a receipt; the first refusal, if there was one.
    Open(Option<Refusal>),
    /// The sender has been answered.
    Answered { is_taken: bool },
}

struct Answer {
    verdict: Arc<Verdict>,
    sender: Option<oneshot::Sender<Result<(), Refusal>>>,
}

/// The waiting half.
pub(crate) struct Waiter(oneshot::Receiver<Result<(), Refusal>>);

/// Makes both halves.
pub(crate) fn receipt() -> (Receipt, Waiter) {
    let (sender, receiver) = oneshot::channel();
    let verdict = Arc::new(Mutex::new(Progress::Open(None)));
    let answer = Arc::new(Answer { verdict: Arc::clone(&verdict), sender: Some(sender) });
    (Receipt(answer, verdict), Waiter(receiver))
}

impl Receipt {
    /// Says that this holder could not take the batch. The first refusal is the one the sender hears.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        if let Progress::Open(first) = &mut *self.1.lock().unwrap_or_else(PoisonError::into_inner) {
            first.get_or_insert(refusal);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut progress = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = if let Progress::Open(first) = &mut *progress { first.take() } else { None };
        *progress = Progress::Answered { is_taken: refusal.is_none() };
        if let Some(sender) = self.sender.take() {
            // A sender that no longer waits (a client that hung up) needs no answer.
            drop(sender.send(refusal.map_or(Ok(()), Err)));
        }
    }
}

/// What becomes of the requests that a batch came from, for whoever wants to know it later.
///
/// A processor that remembers what it has seen asks this before it drops a repetition: what was refused, or is still on
/// its way, may be sent again for good reason.
#[derive(Clone)]
pub struct Fate(Vec<Arc<Verdict>>);

impl Fate {
    pub(crate) fn of(receipts: &[Receipt]) -> Self {
        Self(receipts.iter().map(|receipt| Arc::clone(&receipt.1)).collect())
    }

    /// Whether every sender was told that its data has been taken. A batch that nobody waits for counts as taken.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        let taken = |verdict: &Arc<Verdict>| {
            matches!(
                &*verdict.lock().unwrap_or_else(PoisonError::into_inner),
                Progress::Answered { is_taken: true }
            )
        };
        self.0.iter().all(taken)
    }
}

impl Waiter {
    /// Waits until the last receipt is gone.
    pub(crate) async fn answer(self) -> Result<(), Refusal> {
        self.0.await.unwrap_or(Ok(()))
    }

    /// Whether the last receipt is gone.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_answered(&mut self) -> bool {
        !matches!(self.0.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_answer_comes_with_the_last_clone_and_keeps_the_first_refusal() {
        let (receipt, waiter) = receipt();
        let copy = receipt.clone();
        receipt.refuse(Refusal::Final { reason: "first".into() });
        drop(receipt);
        copy.refuse(Refusal::Final { reason: "second".into() });
        drop(copy);
        assert_eq!(waiter.answer().await, Err(Refusal::Final { reason: "first".into() }));
    }

    #[test]
    fn a_fate_is_known_once_the_sender_is_answered() {
        let (taken, _waiter) = receipt();
        let (refused, _other) = receipt();
        let fates = [Fate::of(std::slice::from_ref(&taken)), Fate::of(&[taken.clone(), refused.clone()])];
        assert!(fates.iter().all(|fate| !fate.is_taken()));
        refused.refuse(Refusal::Final { reason: "no".into() });
        drop((taken, refused));
        assert_eq!(fates.map(|fate| fate.is_taken()), [true, false]);
        assert!(Fate::of(&[]).is_taken());
    }

    #[tokio::test]
    async fn letting_go_without_a_word_means_taken() {
        let (receipt, waiter) = receipt();
        drop(receipt);
        assert_eq!(waiter.answer().await, Ok(()));
    }
}
