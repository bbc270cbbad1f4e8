//! One attempt for a batch: its requests one after the other, and what their answers come to.
//!
//! A request that is too large is halved until it passes. When a tenant has to wait, its later requests wait too, so that
//! order is kept; those of other tenants go on. What is settled is not sent again when the batch comes back, and a tenant
//! that was told to wait is not asked before its time, by any batch.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use watershed_pipeline::ExportError;

use super::answer::{Verdict, verdict};
use super::pauses::Pauses;
use super::progress::{Key, Progress};
use super::reason::{Counters, Reason, Tally};
use super::{Protocol, tenant};
use crate::client::{self, Client};

/// One request to be.
pub(super) trait Job: Sized + Send {
    /// Whose log it goes to.
    fn tenant(&self) -> Option<&Arc<str>>;
    /// How many records it holds.
    fn records(&self) -> usize;
    /// The body as it is sent.
    ///
    /// # Errors
    /// The compressor cannot take it.
    fn body(&self) -> Result<Bytes, String>;
    /// Two requests with half of the records each; nothing if there is only one record.
    fn halve(self) -> Option<(Self, Self)>;
}

/// Sends the requests of one exporter.
pub(super) struct Sender {
    client: Client,
    url: Url,
    headers: HeaderMap,
    progress: Progress,
    pauses: Pauses,
    /// Whether Loki has ever taken anything from us.
    has_succeeded: AtomicBool,
    /// Whether records choose their tenant themselves, so that one without any is no mistake of the settings.
    tenant_varies: bool,
    counters: Counters,
}

/// The time of an attempt, which goes on while requests are answered.
struct Clock {
    /// In nanoseconds since the Unix epoch.
    began: u64,
    instant: Instant,
}

/// What an attempt has come to so far.
#[derive(Default)]
struct Outcome {
    tally: Tally,
    /// The words of the first refusal.
    refusal: Option<String>,
    /// What has to wait, and how long.
    wait: Option<(String, Option<Duration>)>,
    /// Requests that need not be sent again.
    settled: Vec<Key>,
}

impl Sender {
    pub(super) fn new(
        client: Client,
        url: Url,
        mut headers: HeaderMap,
        encoding: Option<&'static str>,
        tenant_varies: bool,
        counters: Counters,
    ) -> Self {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        let has_succeeded = AtomicBool::new(false);
        let (progress, pauses) = (Progress::default(), Pauses::default());
        Self { client, url, headers, progress, pauses, has_succeeded, tenant_varies, counters }
    }

    /// The address, without a query that may hold a token.
    pub(super) fn address(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.to_string()
    }

    /// Reads certificates again if it is time to.
    pub(super) fn refresh(&self) {
        self.client.refresh();
    }

    /// Sends the requests of one batch; `tally` is what was dropped before, `now` is in nanoseconds since the Unix epoch.
    pub(super) async fn send<J: Job>(
        &self,
        mut jobs: Vec<J>,
        tally: Tally,
        now: u64,
    ) -> Result<(), ExportError> {
        let clock = Clock { began: now, instant: Instant::now() };
        let mut outcome = Outcome { tally, ..Outcome::default() };
        // One request that is answered settles its batch; more have to be remembered.
        let mut is_remembered = jobs.len() > 1 || !self.progress.is_empty();
        let mut waiting: HashSet<Option<Arc<str>>> = HashSet::new();
        jobs.reverse();
        while let Some(job) = jobs.pop() {
            if waiting.contains(&job.tenant().cloned()) {
                continue;
            }
            let verdict = self.attempt(&job, is_remembered, &clock, &mut outcome).await?;
            match verdict {
                Verdict::Stored => self.has_succeeded.store(true, Ordering::Relaxed),
                Verdict::Refused { count, reason, words } => outcome.refused(reason, count, words),
                Verdict::Split { words } => {
                    let records = job.records();
                    match job.halve() {
                        Some((first, second)) => {
                            is_remembered = true;
                            jobs.push(second);
                            jobs.push(first);
                        }
                        None => outcome.refused(Reason::TooLarge, records, words),
                    }
                }
                Verdict::Later { words, after, is_of_tenant } => {
                    if !is_of_tenant {
                        outcome.all_wait(words, after);
                        break;
                    }
                    outcome.tenant_waits(words, after);
                    waiting.insert(job.tenant().cloned());
                }
                Verdict::Misconfigured { words } if self.has_succeeded.load(Ordering::Relaxed) => {
                    // It worked before, so somebody is at work on it; the records can wait for them.
                    outcome.all_wait(words, None);
                    break;
                }
                Verdict::Misconfigured { words } => return Err(ExportError::Fatal { reason: words }),
            }
        }
        self.conclude(outcome)
    }

    /// Sends one request, unless an earlier attempt has settled it or its tenant has to wait.
    async fn attempt<J: Job>(
        &self,
        job: &J,
        is_remembered: bool,
        clock: &Clock,
        outcome: &mut Outcome,
    ) -> Result<Verdict, ExportError> {
        let Ok(body) = job.body() else {
            return Ok(Verdict::Split { words: "the request is too large to be compressed".to_owned() });
        };
        let tenant = job.tenant();
        let key = || self.progress.key(tenant.map(AsRef::as_ref), &body);
        let known = is_remembered.then(key);
        if let Some(key) = known
            && let Some(verdict) = self.progress.find(key)
        {
            outcome.settled.push(key);
            return Ok(verdict);
        }
        if let Some((left, words)) = self.pauses.find(tenant, clock.now()) {
            return Ok(Verdict::Later { words, after: Some(left), is_of_tenant: true });
        }
        let mut verdict = self.post(tenant, body.clone(), job.records()).await?;
        if let Verdict::Later { words, after, is_of_tenant: true } = &mut verdict {
            *after = Some(self.pauses.begin(tenant, *after, words, clock.now()));
        }
        let is_settled = match verdict {
            Verdict::Stored | Verdict::Refused { .. } => is_remembered,
            Verdict::Split { .. } => true,
            Verdict::Later { .. } | Verdict::Misconfigured { .. } => false,
        };
        if is_settled {
            let key = known.unwrap_or_else(key);
            self.progress.settle(key, verdict.clone());
            outcome.settled.push(key);
        }
        Ok(verdict)
    }

    /// Sends one request and reads the answer.
    ///
    /// # Errors
    /// There is no answer.
    pub(super) async fn post(
        &self,
        tenant: Option<&Arc<str>>,
        body: Bytes,
        records: usize,
    ) -> Result<Verdict, ExportError> {
        let mut request = Request::new(Method::POST, self.url.clone());
        *request.headers_mut() = self.headers.clone();
        if let Some(value) = tenant.and_then(|name| HeaderValue::from_str(name).ok()) {
            request.headers_mut().insert(HeaderName::from_static(tenant::HEADER), value);
        }
        *request.body_mut() = Some(body.into());
        let mut response = self.client.send(request).await?;
        let code = response.status().as_u16();
        let after = client::retry_after(response.headers(), SystemTime::now());
        let body = client::body_start(&mut response).await;
        // Where the words are lost, the code alone says enough.
        let body = body.unwrap_or_default();
        Ok(match verdict(code, &String::from_utf8_lossy(&body), after, records) {
            Verdict::Refused { reason: Reason::NoTenant, words, .. } if !self.tenant_varies => {
                Verdict::Misconfigured { words: format!("{words}; set tenant.id") }
            }
            other => other,
        })
    }

    /// Asks for what stands at another path of the server; nothing if there is no good answer.
    pub(super) async fn get(&self, path: &str) -> Option<Bytes> {
        let mut url = self.url.clone();
        let own = url.path().to_owned();
        let base = Protocol::ALL.iter().find_map(|protocol| own.strip_suffix(protocol.path()))?;
        url.set_path(&format!("{base}{path}"));
        let mut request = Request::new(Method::GET, url);
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().remove(CONTENT_TYPE);
        request.headers_mut().remove(CONTENT_ENCODING);
        let mut response = self.client.send(request).await.ok()?;
        let is_good = response.status().is_success();
        client::body_start(&mut response).await.ok().filter(|_| is_good)
    }

    /// Turns what the requests came to into the engine's terms. Counts only when the batch will not come back.
    fn conclude(&self, outcome: Outcome) -> Result<(), ExportError> {
        if let Some((reason, after)) = outcome.wait {
            return Err(ExportError::Retry { reason, after });
        }
        self.progress.forget(&outcome.settled);
        self.counters.add(&outcome.tally);
        match outcome.tally.dropped() {
            0 => Ok(()),
            count => {
                let words = outcome.tally.words();
                let reason = match outcome.refusal {
                    Some(refusal) => format!("dropped {words}; {refusal}"),
                    None => format!("dropped {words}"),
                };
                Err(ExportError::Reject { count, reason })
            }
        }
    }
}

impl Outcome {
    fn refused(&mut self, reason: Reason, count: usize, words: String) {
        self.tally.drop(reason, count);
        self.refusal.get_or_insert(words);
    }

    /// A tenant has to wait. The batch comes back when the first of them may be asked; the others are remembered.
    fn tenant_waits(&mut self, words: String, after: Option<Duration>) {
        let wait = self.wait.get_or_insert((words, after));
        wait.1 = wait.1.min(after);
    }

    /// Everybody has to wait, for as long as the server says.
    fn all_wait(&mut self, words: String, after: Option<Duration>) {
        let wait = self.wait.get_or_insert((words, after));
        wait.1 = wait.1.max(after);
    }
}

impl Clock {
    fn now(&self) -> u64 {
        self.began.saturating_add(u64::try_from(self.instant.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
