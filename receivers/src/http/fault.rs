//! Why a request, or a record of it, was not taken, as the client is told: problem details in JSON (RFC 9457).

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::server::Reply;
use crate::server::failure::{Failure, whole_seconds};

/// Why a request was not taken, and which records are to blame.
#[derive(Debug)]
pub(super) struct Fault {
    /// The kind of failure, with its words.
    pub(super) failure: Failure,
    /// The records that are to blame; none if it is the request as a whole.
    pub(super) rejected: Vec<Rejection>,
}

impl<E: Into<Failure>> From<E> for Fault {
    fn from(failure: E) -> Self {
        Self { failure: failure.into(), rejected: Vec::new() }
    }
}

/// One record that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Rejection {
    /// Which record of the request, the first being 0.
    pub(super) index: usize,
    /// The line of the body, the first being 1.
    pub(super) line: usize,
    /// The byte of the body, after decompression, the first being 0.
    pub(super) offset: usize,
    /// The field, if it is one field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field: Option<&'static str>,
    /// What is wrong.
    pub(super) detail: String,
}

/// The members of problem details, with two of our own: `code` and `errors`.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Rejection],
}

/// Answers with problem details.
pub(super) fn problem(fault: &Fault) -> Response<Reply> {
    let Fault { failure, rejected } = fault;
    let status = failure.kind.http();
    let problem = Problem {
        kind: "about:blank",
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail: &failure.text,
        code: failure.kind.label(),
        errors: rejected,
    };
    refusal(status, failure, "application/problem+json", &problem)
}

/// Answers a failure in JSON of any shape.
pub(super) fn refusal(
    status: StatusCode,
    failure: &Failure,
    content_type: &'static str,
    body: &impl Serialize,
) -> Response<Reply> {
    let mut response = json(status, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    retry_after(failure, response)
}

/// Adds when the client may try again, if that makes sense.
pub(super) fn retry_after(failure: &Failure, mut response: Response<Reply>) -> Response<Reply> {
    if let Some(after) = failure.retry_after {
        response.headers_mut().insert(RETRY_AFTER, whole_seconds(after).into());
    }
    response
}

/// Answers with JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response<Reply> {
    // Our own types have no maps with keys that are no texts, which is all that can fail.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Reply::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
