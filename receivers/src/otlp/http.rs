//! OTLP over HTTP, in protobuf and JSON (OTLP specification, "OTLP/HTTP").

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tokio::time::timeout;
use watershed_pipeline::otlp::{json, schema};
use watershed_pipeline::{Reservation, Signal};

use super::answer;
use super::failure::{Failure, Kind};
use super::intake::Intake;
use crate::server::body::{BodyError, discard, read};
use crate::server::compression::{Encoding, decompress};
use crate::server::cors::Cors;
use crate::server::{Reply, Service};

const ACCEPTED_TYPES: &str = "`application/x-protobuf` or `application/json`";

/// Answers OTLP requests over HTTP.
pub(crate) struct Http {
    /// The way to the pipelines.
    pub(crate) intake: Intake,
    /// How requests are answered.
    pub(crate) rules: Rules,
}

/// How requests are answered.
pub(crate) struct Rules {
    /// The path of each signal.
    pub(crate) paths: [(String, Signal); 3],
    /// The largest body, before and after decompression, in bytes.
    pub(crate) limit: usize,
    /// Accepted names in `content-encoding`.
    pub(crate) encodings: Encodings,
    /// Answers to browsers, if pages of other origins may send.
    pub(crate) cors: Option<Cors>,
    /// Headers of every answer.
    pub(crate) response_headers: HeaderMap,
    /// How long a body may take to arrive.
    pub(crate) read_timeout: Option<Duration>,
    /// How long an answer may take.
    pub(crate) write_timeout: Option<Duration>,
}

/// Accepted names in `content-encoding`.
pub(crate) struct Encodings {
    /// Names and what they mean.
    pub(crate) names: Vec<(&'static str, Encoding)>,
    /// The same names in a list, as in `accept-encoding`.
    pub(crate) list: HeaderValue,
}

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

impl Format {
    /// Reads a content type; its parameters, such as a charset, do not matter.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_TYPE)?.as_bytes();
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if essence.eq_ignore_ascii_case(b"application/x-protobuf") {
            return Some(Self::Protobuf);
        }
        essence.eq_ignore_ascii_case(b"application/json").then_some(Self::Json)
    }

    const fn content_type(self) -> HeaderValue {
        match self {
            Self::Protobuf => HeaderValue::from_static("application/x-protobuf"),
            Self::Json => HeaderValue::from_static("application/json"),
        }
    }
}

impl Service for Http {
    async fn call(&self, request: Request<Incoming>, client: SocketAddr) -> Response<Reply> {
        let (parts, mut body) = request.into_parts();
        let is_preflight = Cors::is_preflight(&parts.method, &parts.headers) && self.rules.cors.is_some();
        let mut response = if is_preflight {
            let mut response = Response::new(Reply::default());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        } else {
            self.answer(&parts, &mut body, client).await
        };
        let headers = response.headers_mut();
        if let Some(cors) = &self.rules.cors {
            cors.allow(&parts.headers, is_preflight, headers);
        }
        for (name, value) in &self.rules.response_headers {
            headers.insert(name, value.clone());
        }
        response
    }
}

impl Http {
    async fn answer(&self, parts: &Parts, body: &mut Incoming, client: SocketAddr) -> Response<Reply> {
        let exported = limited(self.rules.write_timeout, self.export(parts, body, client)).await;
        let failure = match exported {
            Some(Ok((signal, format))) => return accepted(signal, format),
            Some(Err(failure)) => failure,
            None => Failure::passing(Kind::Slow, "the request was not answered in time", None),
        };
        self.intake.failures.count(failure.kind);
        let mut response = refused(&failure, Format::of(&parts.headers));
        let headers = response.headers_mut();
        match failure.kind {
            Kind::Method => drop(headers.insert(ALLOW, HeaderValue::from_static("POST"))),
            Kind::Encoding => drop(headers.insert(ACCEPT_ENCODING, self.rules.encodings.list.clone())),
            _ => {}
        }
        // What was not read of the body would be taken for the next request.
        if parts.version < Version::HTTP_2 && !discard(body).await {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn export(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        client: SocketAddr,
    ) -> Result<(Signal, Format), Failure> {
        let signal = self.signal(parts.uri.path())?;
        if parts.method != Method::POST {
            let text = format!("the method `{}` is not supported; use POST", parts.method);
            return Err(Failure::new(Kind::Method, text));
        }
        let format = Format::of(&parts.headers).ok_or_else(|| unknown_type(&parts.headers))?;
        let encoding = self.encoding(&parts.headers)?;
        self.intake.check(signal)?;
        let read = limited(self.rules.read_timeout, read(body, &self.intake.budget, self.rules.limit)).await;
        let (bytes, mut reservation) = read.unwrap_or(Err(BodyError::Slow))?;
        let bytes = match encoding {
            Encoding::Identity => bytes,
            encoding => decompress(encoding, &bytes, self.rules.limit, &mut reservation)?.into(),
        };
        let message = match format {
            Format::Protobuf => bytes,
            Format::Json => self.from_json(signal, &bytes, &mut reservation)?,
        };
        self.intake.deliver(signal, message, reservation, &parts.headers, client).await?;
        Ok((signal, format))
    }

    fn signal(&self, path: &str) -> Result<Signal, Failure> {
        let found = self.rules.paths.iter().find(|(known, _)| known == path);
        found.map(|(_, signal)| *signal).ok_or_else(|| {
            let known: Vec<&str> = self.rules.paths.iter().map(|(path, _)| path.as_str()).collect();
            Failure::new(
                Kind::Path,
                format!("there is nothing at this path; use one of: {}", known.join(", ")),
            )
        })
    }

    fn encoding(&self, headers: &HeaderMap) -> Result<Encoding, Failure> {
        let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
        let name = value.as_bytes().trim_ascii();
        if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
            return Ok(Encoding::Identity);
        }
        let known = &self.rules.encodings.names;
        let found = known.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        found.map(|(_, encoding)| *encoding).ok_or_else(|| {
            let list = self.rules.encodings.list.to_str().unwrap_or_default();
            let name = String::from_utf8_lossy(name);
            let text = format!("the content encoding `{name}` is not supported; use one of: {list}");
            Failure::new(Kind::Encoding, text)
        })
    }

    /// Turns JSON into protobuf, which is never larger than allowed.
    fn from_json(
        &self,
        signal: Signal,
        text: &[u8],
        reservation: &mut Reservation,
    ) -> Result<Bytes, Failure> {
        let message = match signal {
            Signal::Logs => &schema::LOGS_REQUEST,
            Signal::Traces => &schema::TRACES_REQUEST,
            Signal::Metrics => &schema::METRICS_REQUEST,
        };
        // The protobuf form is smaller than the text as a rule; what it takes exactly is reserved with the batch.
        reservation.resize(reservation.bytes().saturating_add(text.len()))?;
        let decoded = json::decode(message, text, self.rules.limit).map_err(|error| match error {
            json::JsonError::TooLarge { .. } => Failure::new(Kind::TooLarge, error),
            json::JsonError::Invalid { .. } => Failure::new(Kind::Invalid, error),
        })?;
        Ok(decoded.into())
    }
}

/// Waits for a future; `None` if it takes too long.
async fn limited<T>(limit: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    match limit {
        None => Some(future.await),
        Some(limit) => timeout(limit, future).await.ok(),
    }
}

fn unknown_type(headers: &HeaderMap) -> Failure {
    let text = match headers.get(CONTENT_TYPE) {
        None => format!("the content type is missing; send {ACCEPTED_TYPES}"),
        Some(value) => {
            let value = String::from_utf8_lossy(value.as_bytes());
            format!("the content type `{value}` is not supported; send {ACCEPTED_TYPES}")
        }
    };
    Failure::new(Kind::ContentType, text)
}

fn accepted(signal: Signal, format: Format) -> Response<Reply> {
    let message = match format {
        Format::Protobuf => answer::accepted(0, ""),
        Format::Json => answer::accepted_json(signal, 0, ""),
    };
    let mut response = Response::new(Reply::new(message));
    response.headers_mut().insert(CONTENT_TYPE, format.content_type());
    response
}

/// An error, in the form of the request, or as plain text if that is not known.
fn refused(failure: &Failure, format: Option<Format>) -> Response<Reply> {
    let code = failure.kind.grpc();
    let (message, content_type) = match format {
        Some(Format::Protobuf) => {
            (answer::status(code, &failure.text, None).into(), Format::Protobuf.content_type())
        }
        Some(Format::Json) => (answer::status_json(code, &failure.text), Format::Json.content_type()),
        None => (Bytes::from(failure.text.clone()), HeaderValue::from_static("text/plain; charset=utf-8")),
    };
    let mut response = Response::new(Reply::new(message));
    *response.status_mut() = failure.kind.http();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    if let Some(after) = failure.retry_after {
        // Whole seconds, rounded up: less would be too early.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// Reads the settings' header names and values.
pub(crate) fn header_map<'s>(
    headers: impl IntoIterator<Item = (&'s String, &'s String)>,
) -> Result<HeaderMap, String> {
    let pairs = headers.into_iter().map(|(name, value)| {
        let header: HeaderName = name.parse().map_err(|_| format!("`{name}` is not the name of a header"))?;
        let value = value
            .parse::<HeaderValue>()
            .map_err(|_| format!("the value of `{name}` cannot stand in a header"))?;
        Ok((header, value))
    });
    pairs.collect()
}
