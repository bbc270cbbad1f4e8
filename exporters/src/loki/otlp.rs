//! Requests of Loki's OTLP endpoint: labels are the server's choice, and so are the limits of lines and metadata.
//!
//! Loki copies a resource's attributes into each of its records, so what is small here may be too large inside Loki; such
//! a request is halved.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use watershed_pipeline::{Batch, Record};

use super::encode::time_of;
use super::limits::Limits;
use super::reason::{Reason, Tally};
use super::send::Job;
use super::tenant::TenantSettings;
use crate::client::Compressor;

/// One OTLP request.
pub(super) struct OtlpJob<'c> {
    tenant: Option<Arc<str>>,
    batch: Batch,
    compressor: &'c Compressor,
}

/// The requests of a batch, tenant by tenant, and what was dropped on the way.
pub(super) fn jobs<'c>(
    batch: &Batch,
    rules: &TenantSettings,
    limits: &Limits,
    now: u64,
    compressor: &'c Compressor,
) -> (Vec<OtlpJob<'c>>, Tally) {
    let mut tally = Tally::default();
    let mut names: Vec<Option<Arc<str>>> = Vec::new();
    let mut numbers: HashMap<Option<Arc<str>>, usize> = HashMap::new();
    let sender = batch.metadata().map(Arc::as_ref);
    // For each record the number of its tenant, if it is sent at all.
    let mut chosen: Vec<Option<usize>> = Vec::with_capacity(batch.len());
    for record in batch.records() {
        match tenant_of(record, rules, sender, limits, now) {
            Ok(tenant) => {
                let number = *numbers.entry(tenant).or_insert_with_key(|tenant| {
                    names.push(tenant.clone());
                    names.len() - 1
                });
                chosen.push(Some(number));
            }
            Err(reason) => {
                tally.drop(reason, 1);
                chosen.push(None);
            }
        }
    }
    let mut jobs = Vec::new();
    for (number, tenant) in names.into_iter().enumerate() {
        let mut own = batch.clone();
        let mut choice = chosen.iter();
        own.retain(|_| choice.next() == Some(&Some(number)));
        divide(OtlpJob { tenant, batch: own, compressor }, limits.request_size_max, &mut jobs);
    }
    (jobs, tally)
}

fn tenant_of(
    record: Record<'_>,
    rules: &TenantSettings,
    sender: Option<&watershed_pipeline::Metadata>,
    limits: &Limits,
    now: u64,
) -> Result<Option<Arc<str>>, Reason> {
    if let Some(log) = record.log() {
        time_of(log, limits, now)?;
    }
    let tenant = rules.of(record, sender).map_err(|_| Reason::InvalidTenant)?;
    Ok(tenant.map(|name| Arc::from(name.as_ref())))
}

/// Halves a request until each part is small enough.
fn divide<'c>(job: OtlpJob<'c>, size_max: usize, jobs: &mut Vec<OtlpJob<'c>>) {
    let mut pending = vec![job];
    while let Some(job) = pending.pop() {
        if job.batch.len() < 2 || job.batch.to_otlp().len() <= size_max {
            jobs.push(job);
        } else if let Some((first, second)) = job.halve() {
            pending.push(second);
            pending.push(first);
        }
    }
}

impl Job for OtlpJob<'_> {
    fn tenant(&self) -> Option<&Arc<str>> {
        self.tenant.as_ref()
    }

    fn records(&self) -> usize {
        self.batch.len()
    }

    fn body(&self) -> Result<Bytes, String> {
        self.compressor.compress(self.batch.to_otlp())
    }

    fn halve(mut self) -> Option<(Self, Self)> {
        let half = self.batch.len() / 2;
        if half == 0 {
            return None;
        }
        let rest = self.batch.split_off(half)?;
        let second = Self { tenant: self.tenant.clone(), batch: rest, compressor: self.compressor };
        Some((self, second))
    }
}
