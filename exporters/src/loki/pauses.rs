//! Tenants that were told to wait. Nothing is sent for them until then, whichever batch their records are in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Tenants that are remembered at most; where there are more, those whose time comes first are asked again early.
const TENANTS_MAX: usize = 4096;

/// How long a tenant waits when Loki does not say, which it never does by itself: its limits are rates per second.
const LENGTH: Duration = Duration::from_secs(1);

/// How long a tenant waits at most, whatever a proxy says.
const LENGTH_MAX: Duration = Duration::from_secs(15 * 60);

/// The tenants that wait, each with what it was told.
#[derive(Default)]
pub(super) struct Pauses(Mutex<HashMap<Option<Arc<str>>, Pause>>);

struct Pause {
    /// In nanoseconds since the Unix epoch.
    begin: u64,
    end: u64,
    words: String,
}

impl Pauses {
    /// The tenant was told to wait; returns how long. Times are in nanoseconds since the Unix epoch.
    pub(super) fn begin(
        &self,
        tenant: Option<&Arc<str>>,
        after: Option<Duration>,
        words: &str,
        now: u64,
    ) -> Duration {
        let length = after.unwrap_or(LENGTH).min(LENGTH_MAX);
        let end = now.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pauses.insert(tenant.cloned(), Pause { begin: now, end, words: words.to_owned() });
        if pauses.len() > TENANTS_MAX {
            let first = pauses.iter().min_by_key(|(_, pause)| pause.end).map(|(tenant, _)| tenant.clone());
            first.and_then(|tenant| pauses.remove(&tenant));
        }
        length
    }

    /// How long the tenant has to wait still, and what it was told; nothing if it need not.
    pub(super) fn find(&self, tenant: Option<&Arc<str>>, now: u64) -> Option<(Duration, String)> {
        let mut pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pauses.is_empty() {
            return None;
        }
        let tenant = tenant.cloned();
        let pause = pauses.get(&tenant)?;
        // Where the clock was set back, nobody knows how much time is left.
        if (pause.begin..pause.end).contains(&now) {
            return Some((Duration::from_nanos(pause.end - now), pause.words.clone()));
        }
        pauses.remove(&tenant);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_tenant_waits_until_its_time_and_nobody_else_does() {
        let pauses = Pauses::default();
        let (slow, other) = (Arc::from("slow"), Arc::from("other"));
        assert_eq!(pauses.begin(Some(&slow), None, "rate", 10 * SECOND), LENGTH);
        let left = |now| pauses.find(Some(&slow), now).map(|(left, _)| left.as_millis());
        assert_eq!(left(10 * SECOND + SECOND / 4), Some(750));
        assert_eq!(pauses.find(Some(&other), 10 * SECOND), None);
        assert_eq!(pauses.find(None, 10 * SECOND), None);
        assert_eq!(left(11 * SECOND), None);
        assert_eq!(pauses.begin(Some(&slow), Some(Duration::MAX), "", 0), LENGTH_MAX);
    }

    #[test]
    fn a_clock_that_is_set_back_ends_the_wait() {
        let pauses = Pauses::default();
        pauses.begin(None, None, "rate", 10 * SECOND);
        assert_eq!(pauses.find(None, 9 * SECOND), None);
    }

    #[test]
    fn memory_is_bounded() {
        let pauses = Pauses::default();
        let tenants: Vec<Arc<str>> =
            (0..=TENANTS_MAX).map(|number| Arc::from(number.to_string().as_str())).collect();
        for (tenant, now) in tenants.iter().zip(0..) {
            pauses.begin(Some(tenant), None, "", now);
        }
        assert_eq!(pauses.find(Some(&tenants[0]), SECOND / 2), None);
        assert!(pauses.find(Some(&tenants[1]), SECOND / 2).is_some());
    }
}
