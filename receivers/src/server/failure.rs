//! Every way in which a request can fail, with its answer over HTTP and over gRPC in one table.

use std::fmt::Display;
use std::time::Duration;

use http::StatusCode;
use watershed_pipeline::{AuthError, BudgetExceeded, Context, Counter, Refusal, Signal, Unit};

use super::body::BodyError;
use super::compression::DecompressError;

/// When to try again if nobody knows better.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request was not accepted.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What kind of failure it is, which decides the status codes.
    pub(crate) kind: Kind,
    /// What is wrong and what to do, for the client.
    pub(crate) text: String,
    /// When trying again makes sense; only for failures that pass.
    pub(crate) retry_after: Option<Duration>,
}

/// The kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is no memory for the request.
    Memory,
    /// A pipeline cannot take it now.
    Busy,
    /// The client did not send, or we did not answer, in time.
    Slow,
    /// The data is not what it claims to be.
    Invalid,
    /// A pipeline will never take it.
    Rejected,
    /// It is larger than allowed.
    TooLarge,
    /// It is compressed in a way that we do not know.
    Encoding,
    /// It has a content type that we do not know.
    ContentType,
    /// The method is not POST.
    Method,
    /// There is nothing at this path.
    Path,
    /// No pipeline takes this signal.
    NoPipeline,
    /// The client went away.
    Broken,
    /// There are no credentials.
    CredentialsMissing,
    /// The credentials are not valid.
    CredentialsInvalid,
    /// Too many credentials are being checked.
    CredentialsBusy,
    /// The credentials are valid and do not suffice.
    Forbidden,
    /// A page of this origin may not send.
    Origin,
    /// The credentials were used too often.
    Rate,
    /// There are more records than allowed.
    TooManyRecords,
    /// There is nothing in it, where something has to be.
    Empty,
}

impl Kind {
    /// All kinds, in order.
    const ALL: [Self; 20] = [
        Self::Memory,
        Self::Busy,
        Self::Slow,
        Self::Invalid,
        Self::Rejected,
        Self::TooLarge,
        Self::Encoding,
        Self::ContentType,
        Self::Method,
        Self::Path,
        Self::NoPipeline,
        Self::Broken,
        Self::CredentialsMissing,
        Self::CredentialsInvalid,
        Self::CredentialsBusy,
        Self::Forbidden,
        Self::Origin,
        Self::Rate,
        Self::TooManyRecords,
        Self::Empty,
    ];

    /// The HTTP status, the gRPC code (`google.rpc.Code`) and the label of the counter.
    ///
    /// Clients try again after 503, `UNAVAILABLE` and `DEADLINE_EXCEEDED`, and after none of the others (OTLP
    /// specification, "Failures").
    const fn answer(self) -> (StatusCode, u32, &'static str) {
        match self {
            Self::Memory => (StatusCode::SERVICE_UNAVAILABLE, 14, "memory"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, 14, "busy"),
            Self::Slow => (StatusCode::SERVICE_UNAVAILABLE, 4, "slow"),
            Self::Invalid => (StatusCode::BAD_REQUEST, 3, "invalid"),
            Self::Rejected => (StatusCode::BAD_REQUEST, 3, "rejected"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, 8, "too_large"),
            Self::Encoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, 12, "encoding"),
            Self::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, 3, "content_type"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, 12, "method"),
            Self::Path => (StatusCode::NOT_FOUND, 12, "path"),
            Self::NoPipeline => (StatusCode::NOT_FOUND, 12, "no_pipeline"),
            Self::Broken => (StatusCode::BAD_REQUEST, 1, "broken"),
            Self::CredentialsMissing => (StatusCode::UNAUTHORIZED, 16, "credentials_missing"),
            Self::CredentialsInvalid => (StatusCode::UNAUTHORIZED, 16, "credentials_invalid"),
            Self::CredentialsBusy => (StatusCode::SERVICE_UNAVAILABLE, 14, "credentials_busy"),
            Self::Forbidden => (StatusCode::FORBIDDEN, 7, "forbidden"),
            Self::Origin => (StatusCode::FORBIDDEN, 7, "origin"),
            Self::Rate => (StatusCode::TOO_MANY_REQUESTS, 8, "rate"),
            Self::TooManyRecords => (StatusCode::PAYLOAD_TOO_LARGE, 8, "too_many_records"),
            Self::Empty => (StatusCode::BAD_REQUEST, 3, "empty"),
        }
    }

    /// The status over HTTP.
    pub(crate) const fn http(self) -> StatusCode {
        self.answer().0
    }

    /// The name of the kind, which is the label of its counter.
    pub(crate) const fn label(self) -> &'static str {
        self.answer().2
    }

    /// The code over gRPC, and in the body over HTTP.
    pub(crate) const fn grpc(self) -> u32 {
        self.answer().1
    }
}

impl Failure {
    /// Makes a failure that will not pass by waiting.
    pub(crate) fn new(kind: Kind, text: impl Display) -> Self {
        Self { kind, text: text.to_string(), retry_after: None }
    }

    /// Makes a failure that passes.
    pub(crate) fn passing(kind: Kind, text: impl Display, after: Option<Duration>) -> Self {
        Self { kind, text: text.to_string(), retry_after: Some(after.unwrap_or(RETRY_AFTER)) }
    }

    /// No pipeline takes this signal.
    pub(crate) fn no_pipeline(receiver: &str, signal: Signal) -> Self {
        let text = format!(
            "no pipeline takes {signal} from this receiver; add `{receiver}` to the receivers of a {signal} pipeline"
        );
        Self::new(Kind::NoPipeline, text)
    }
}

impl From<BudgetExceeded> for Failure {
    fn from(error: BudgetExceeded) -> Self {
        Self::passing(Kind::Memory, error, None)
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Memory(error) => error.into(),
            BodyError::TooLarge { .. } => Self::new(Kind::TooLarge, error),
            BodyError::Slow => Self::passing(Kind::Slow, error, None),
            BodyError::Broken(_) => Self::new(Kind::Broken, error),
        }
    }
}

impl From<DecompressError> for Failure {
    fn from(error: DecompressError) -> Self {
        match error {
            DecompressError::Memory(error) => error.into(),
            DecompressError::TooLarge { .. } => Self::new(Kind::TooLarge, error),
            DecompressError::Invalid { .. } => Self::new(Kind::Invalid, error),
        }
    }
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing { .. } => Self::new(Kind::CredentialsMissing, error),
            AuthError::Invalid => Self::new(Kind::CredentialsInvalid, error),
            AuthError::Forbidden { .. } => Self::new(Kind::Forbidden, error),
            AuthError::Busy => Self::passing(Kind::CredentialsBusy, error, None),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Retry { reason, after } => Self::passing(Kind::Busy, reason, after),
            Refusal::Final { reason } => Self::new(Kind::Rejected, reason),
        }
    }
}

/// A time to wait as `Retry-After` has it: whole seconds, rounded up, since less would be too early.
pub(crate) fn whole_seconds(after: Duration) -> u64 {
    after.as_secs() + u64::from(after.subsec_nanos() > 0)
}

/// Counts failed requests by kind.
pub(crate) struct Failures([Counter; Kind::ALL.len()]);

impl Failures {
    /// Makes the counters of a receiver.
    pub(crate) fn new(cx: &Context) -> Self {
        Self(Kind::ALL.map(|kind| {
            let reason = kind.label();
            let help = "Requests that were not accepted; the client was told.";
            cx.labelled_counter("refused_requests", Unit::Requests, help, &[("reason", reason)])
        }))
    }

    /// Counts one.
    pub(crate) fn count(&self, kind: Kind) {
        if let Some(counter) = self.0.get(kind as usize) {
            counter.add(1);
        }
    }
}
