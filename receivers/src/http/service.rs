//! One request from its headers to its answer.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONNECTION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use watershed_pipeline::{Batch, Context, Identity, Outlet, Reservation, Signal};

use super::client;
use super::content::Declared;
use super::correlation::Correlation;
use super::decode::{Arrived, decode};
use super::fault::{Fault, problem};
use super::flat::Flat;
use super::preset::{Form, Place, Preset};
use super::records::Outcome;
use super::rules::Rules;
use super::stamp::Stamp;
use crate::server::auth::Guard;
use crate::server::body::{BodyError, STEP, discard, read};
use crate::server::compression::{Encoding, decompress};
use crate::server::cors::Cors;
use crate::server::failure::{Failure, Failures, Kind};
use crate::server::settings::within;
use crate::server::{Reply, Service};

/// The header that ties a request to its records, and is sent back.
const CORRELATION_ID: &str = "x-correlation-id";

/// Answers requests with logs.
pub(super) struct Ingest {
    cx: Context,
    outlet: Outlet,
    failures: Failures,
    rules: Rules,
}

impl Service for Ingest {
    async fn call(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Reply> {
        let (parts, mut body) = request.into_parts();
        let correlation = Correlation::of(&parts.headers);
        let echo = correlation.header();
        let is_preflight = Cors::is_preflight(&parts.method, &parts.headers) && self.rules.cors.is_some();
        let mut response = if is_preflight {
            empty(StatusCode::NO_CONTENT)
        } else {
            self.answer(&parts, &mut body, correlation, peer).await
        };
        let headers = response.headers_mut();
        if let Some(cors) = &self.rules.cors {
            cors.allow(&parts.headers, is_preflight, headers);
        }
        headers.extend(echo.map(|id| (http::HeaderName::from_static(CORRELATION_ID), id)));
        for (name, value) in &self.rules.response_headers {
            headers.insert(name, value.clone());
        }
        response
    }
}

impl Ingest {
    /// Prepares to answer.
    pub(super) fn new(cx: &Context, outlet: Outlet, rules: Rules) -> Self {
        Self { cx: cx.clone(), outlet, failures: Failures::new(cx), rules }
    }

    async fn answer(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        correlation: Correlation,
        peer: SocketAddr,
    ) -> Response<Reply> {
        let (fault, form) = match self.place(parts) {
            Ok(Found::Page(response)) => return *response,
            Ok(Found::Form(preset, form)) => {
                let taking = self.take(parts, body, preset, form, correlation, peer);
                match within(self.rules.write_timeout, taking).await {
                    Some(Ok(outcome)) => return form.accepted(&outcome),
                    Some(Err(fault)) => (fault, Some(form)),
                    None => {
                        let text = "the request was not answered in time";
                        (Failure::passing(Kind::Slow, text, None).into(), Some(form))
                    }
                }
            }
            Err(failure) => (failure.into(), None),
        };
        self.refuse(parts, body, &fault, form).await
    }

    async fn refuse(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        fault: &Fault,
        form: Option<&dyn Form>,
    ) -> Response<Reply> {
        let kind = fault.failure.kind;
        self.failures.count(kind);
        let mut response = form.map_or_else(|| problem(fault), |form| form.refused(fault));
        let headers = response.headers_mut();
        match kind {
            Kind::Method => drop(headers.insert(ALLOW, HeaderValue::from_static("POST"))),
            Kind::Encoding => drop(headers.insert(ACCEPT_ENCODING, self.rules.encodings.list())),
            Kind::CredentialsMissing | Kind::CredentialsInvalid => {
                headers.insert(WWW_AUTHENTICATE, self.rules.challenge());
            }
            _ => {}
        }
        // What was not read of the body would be taken for the next request.
        if parts.version < Version::HTTP_2 && !discard(body).await {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// What is at the path of a request.
    fn place(&self, parts: &Parts) -> Result<Found, Failure> {
        let path = parts.uri.path();
        if path == self.rules.health_path {
            return self.health(&Flat);
        }
        for preset in &self.rules.presets {
            match preset.place(&parts.method, path, &self.rules.path) {
                Some(Place::Page(page)) => return Ok(Found::Page(Box::new(page()))),
                Some(Place::Health(form)) => return self.health(form),
                Some(Place::Take(_)) if parts.method != Method::POST && parts.method != Method::PUT => {
                    let text = format!("the method `{}` is not supported; use POST", parts.method);
                    return Err(Failure::new(Kind::Method, text));
                }
                Some(Place::Take(form)) => return Ok(Found::Form(*preset, form)),
                None => {}
            }
        }
        let text = format!("there is nothing at this path; logs are taken at `{}`", self.rules.path);
        Err(Failure::new(Kind::Path, text))
    }

    /// Whether requests are let in now.
    fn health(&self, form: &'static dyn Form) -> Result<Found, Failure> {
        match self.cx.budget().admit(STEP) {
            Ok(_) => Ok(Found::Page(Box::new(form.healthy()))),
            Err(error) => Ok(Found::Page(Box::new(form.refused(&Failure::from(error).into())))),
        }
    }

    /// Takes the logs of a request: checks who sends, reads, decodes, and waits until every pipeline has taken
    /// responsibility.
    async fn take(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        preset: Preset,
        form: &dyn Form,
        correlation: Correlation,
        peer: SocketAddr,
    ) -> Result<Outcome, Fault> {
        let rules = &self.rules;
        Cors::check(rules.cors.as_ref(), &parts.headers)?;
        let identity = self.admit(parts, preset).await?;
        let declared = form.declared(&parts.headers)?;
        let encoding = match declared {
            Declared::Protobuf => Encoding::Snappy,
            _ => rules.encodings.of(&parts.headers)?,
        };
        if !self.outlet.accepts(Signal::Logs) {
            return Err(Failure::no_pipeline(&self.cx.id().to_string(), Signal::Logs).into());
        }
        let (bytes, reservation) = self.body(body, encoding).await?;
        let client = client::address(peer, &parts.headers, &rules.trusted_proxies);
        let stamp = Stamp::new(correlation, rules.client_address.then_some(client), now());
        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
        let arrived = Arrived { path, query, headers: &parts.headers, declared, body: bytes };
        let (mut batch, outcome) = decode(arrived, form, &rules.form_field, rules.limits, &stamp)?;
        let client = SocketAddr::new(client, peer.port());
        batch.set_metadata(rules.guard.metadata(&parts.headers, client, &identity));
        self.deliver(batch, reservation).await?;
        self.outlet.count_refused(Signal::Logs, outcome.rejected.len() as u64);
        Ok(outcome)
    }

    /// Finds out who sends, and whether this one may.
    async fn admit(&self, parts: &Parts, preset: Preset) -> Result<Identity, Failure> {
        let Rules { keys, guard, .. } = &self.rules;
        let identity = guard.admit(parts).await?;
        Guard::permit(&identity, Signal::Logs)?;
        if keys.is_empty() {
            return Ok(identity);
        }
        let query = parts.uri.query().unwrap_or_default();
        keys.check(&parts.headers, query, preset, Instant::now()).cloned()
    }

    /// Reads and decompresses a body.
    async fn body(&self, body: &mut Incoming, encoding: Encoding) -> Result<(Bytes, Reservation), Failure> {
        let limit = self.rules.body_max;
        let reading = read(body, self.cx.budget(), limit);
        let read = within(self.rules.read_timeout, reading).await;
        let (bytes, mut reservation) = read.unwrap_or(Err(BodyError::Slow))?;
        let bytes = match encoding {
            Encoding::Identity => bytes,
            encoding => decompress(encoding, &bytes, limit, &mut reservation)?.into(),
        };
        Ok((bytes, reservation))
    }

    async fn deliver(&self, mut batch: Batch, mut reservation: Reservation) -> Result<(), Failure> {
        if batch.is_empty() {
            return Ok(());
        }
        reservation.resize(batch.memory_size())?;
        batch.set_reservation(reservation);
        Ok(self.outlet.send(batch).await?)
    }
}

/// What is at the path of a request.
enum Found {
    Page(Box<Response<Reply>>),
    Form(Preset, &'static dyn Form),
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response<Reply> {
    let mut response = Response::new(Reply::default());
    *response.status_mut() = status;
    response
}

/// Nanoseconds since the Unix epoch.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
