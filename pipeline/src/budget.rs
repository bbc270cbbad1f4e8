//! The memory that telemetry in flight may take, for the whole process, counted in bytes.
//!
//! A receiver asks before it reads a body, so that overload is answered before it costs anything. What is
//! admitted stays counted until the last copy of the batch is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The process-wide admission by bytes: new work up to the soft limit, work under way up to the hard one.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Limits>);

#[derive(Debug)]
struct Limits {
    used: AtomicUsize,
    soft: AtomicUsize,
    hard: AtomicUsize,
}

/// Bytes taken from a [`Budget`]; they go back when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    bytes: usize,
    /// What is kept as long as this one.
    _origin: Option<Arc<Self>>,
}

/// There is no room for the bytes asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "memory limit reached: {used} of {limit} bytes are taken by telemetry in flight and {wanted} more were asked for"
)]
pub struct BudgetExceeded {
    /// Bytes asked for.
    pub wanted: usize,
    /// Bytes taken at that moment.
    pub used: usize,
    /// The limit that was met.
    pub limit: usize,
}

impl Budget {
    /// Makes a budget with a limit for new work and one for work under way, both in bytes.
    #[must_use]
    pub fn new(soft: usize, hard: usize) -> Self {
        Self(Arc::new(Limits {
            used: AtomicUsize::new(0),
            soft: AtomicUsize::new(soft.min(hard)),
            hard: AtomicUsize::new(hard),
        }))
    }

    /// Changes both limits; what is already admitted stays.
    pub fn set_limits(&self, soft: usize, hard: usize) {
        self.0.soft.store(soft.min(hard), Ordering::Relaxed);
        self.0.hard.store(hard, Ordering::Relaxed);
    }

    /// Admits new work of so many bytes.
    ///
    /// # Errors
    /// Refuses when the soft limit would be passed. Something larger than the whole soft limit is refused
    /// even when nothing else is in flight.
    pub fn admit(&self, bytes: usize) -> Result<Reservation, BudgetExceeded> {
        self.take(bytes, self.0.soft.load(Ordering::Relaxed))?;
        Ok(Reservation { budget: self.clone(), bytes, _origin: None })
    }

    /// Bytes taken at this moment.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The limit for new work, in bytes.
    #[must_use]
    pub fn soft_limit(&self) -> usize {
        self.0.soft.load(Ordering::Relaxed)
    }

    /// The limit for work under way, in bytes.
    #[must_use]
    pub fn hard_limit(&self) -> usize {
        self.0.hard.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize, limit: usize) -> Result<(), BudgetExceeded> {
        let taken = self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|total| *total <= limit)
        });
        taken.map(drop).map_err(|used| BudgetExceeded { wanted: bytes, used, limit })
    }
}

impl Reservation {
    /// Makes the reservation so many bytes in all, larger or smaller.
    ///
    /// # Errors
    /// Refuses growth beyond the hard limit; the reservation is then unchanged.
    pub fn resize(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        if bytes > self.bytes {
            self.budget.take(bytes - self.bytes, self.budget.hard_limit())?;
        } else {
            self.budget.0.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Counts a copy that takes so many bytes beside what it shares with what this reservation is for, which stays
    /// counted as well. It is not refused: the copy is made in the middle of work that was admitted. But what
    /// comes next is, while the limit is passed.
    #[must_use]
    pub(crate) fn for_copy(self: &Arc<Self>, bytes: usize) -> Self {
        self.budget.0.used.fetch_add(bytes, Ordering::Relaxed);
        Self { budget: self.budget.clone(), bytes, _origin: Some(Arc::clone(self)) }
    }

    /// Bytes reserved.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_work_stops_at_the_soft_limit_and_work_under_way_at_the_hard_one() {
        let budget = Budget::new(100, 150);
        let mut first = budget.admit(80).unwrap();
        assert_eq!(budget.admit(30).unwrap_err(), BudgetExceeded { wanted: 30, used: 80, limit: 100 });
        first.resize(150).unwrap();
        assert!(first.resize(151).is_err());
        assert_eq!(first.bytes(), 150);
        first.resize(10).unwrap();
        assert_eq!(budget.used(), 10);
        drop(first);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_copy_is_counted_beyond_the_limit_and_keeps_what_it_was_made_from() {
        let budget = Budget::new(100, 100);
        let first = Arc::new(budget.admit(80).unwrap());
        let copy = first.for_copy(60);
        assert_eq!(budget.used(), 140);
        assert!(budget.admit(1).is_err());
        drop(first);
        assert_eq!(budget.used(), 140);
        drop(copy);
        assert_eq!(budget.used(), 0);
    }
}
