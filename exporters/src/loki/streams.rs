//! The budget of streams: how many each tenant may have at a time, so that a label whose values explode cannot take
//! the store down.
//!
//! A stream counts from its first record until half an hour after its last, as in Loki (`chunk_idle_period`). Memory: the
//! labels of at most `streams_max` × `tenants_max` streams.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::limits::Limits;

/// How long a stream without records counts, in nanoseconds.
const IDLE_TIME: u64 = 30 * 60 * 1_000_000_000;

/// The streams of all tenants of one exporter.
pub(super) struct StreamBudget {
    streams_max: usize,
    tenants_max: usize,
    tenants: Mutex<HashMap<String, Tenant>>,
}

#[derive(Default)]
struct Tenant {
    /// When each stream was last used, in nanoseconds since the Unix epoch.
    streams: HashMap<String, u64>,
    last_used: u64,
    /// When a full table is worth another look for streams that have become idle.
    next_sweep: u64,
}

impl StreamBudget {
    /// Makes an empty budget.
    pub(super) fn new(limits: &Limits) -> Self {
        Self { streams_max: limits.streams_max, tenants_max: limits.tenants_max, tenants: Mutex::default() }
    }

    /// Whether the tenant may use the stream; `now` is in nanoseconds since the Unix epoch.
    pub(super) fn admit(&self, tenant: &str, stream: &str, now: u64) -> bool {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if !tenants.contains_key(tenant) {
            if tenants.len() >= self.tenants_max {
                tenants.retain(|_, tenant| tenant.last_used.saturating_add(IDLE_TIME) > now);
            }
            if tenants.len() >= self.tenants_max {
                return false;
            }
        }
        let tenant = tenants.entry(tenant.to_owned()).or_default();
        tenant.last_used = now;
        tenant.admit(stream, now, self.streams_max)
    }
}

impl Tenant {
    fn admit(&mut self, stream: &str, now: u64, streams_max: usize) -> bool {
        if let Some(last_used) = self.streams.get_mut(stream) {
            *last_used = now;
            return true;
        }
        if self.streams.len() >= streams_max && now >= self.next_sweep {
            self.streams.retain(|_, last_used| last_used.saturating_add(IDLE_TIME) > now);
            let oldest = self.streams.values().min().copied().unwrap_or(now);
            self.next_sweep = oldest.saturating_add(IDLE_TIME);
        }
        let has_room = self.streams.len() < streams_max;
        if has_room {
            self.streams.insert(stream.to_owned(), now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(streams_max: usize, tenants_max: usize) -> StreamBudget {
        StreamBudget::new(&Limits { streams_max, tenants_max, ..Limits::default() })
    }

    #[test]
    fn each_tenant_has_its_own_streams() {
        let budget = budget(2, 2);
        let admitted = |tenant, stream| budget.admit(tenant, stream, 1);
        assert!(admitted("a", "1") && admitted("a", "2") && !admitted("a", "3"));
        assert!(admitted("a", "1"), "a stream that has its place keeps it");
        assert!(admitted("b", "3"));
        assert!(!admitted("c", "1"), "there are two tenants already");
    }

    #[test]
    fn an_idle_stream_makes_room() {
        let budget = budget(2, 1);
        assert!(budget.admit("a", "1", 0) && budget.admit("a", "2", 1000) && !budget.admit("a", "3", 1000));
        assert!(!budget.admit("a", "3", IDLE_TIME - 1));
        assert!(budget.admit("a", "3", IDLE_TIME));
        assert!(!budget.admit("a", "4", IDLE_TIME));
        assert!(!budget.admit("b", "1", IDLE_TIME + 1));
        assert!(budget.admit("b", "1", IDLE_TIME * 2));
    }
}
