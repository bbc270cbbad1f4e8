//! The kinds of clients: where each sends, what its bytes mean, and which answers it understands.
//!
//! A preset is one file beside this one; each has its paths ([`Place`]) and, for each way of sending, a [`Form`].

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::content::{Content, Declared, unsupported};
use super::fault::{Fault, json, problem};
use super::records::{Outcome, Records};
use super::{datadog, elastic, flat, fluent, loki, splunk};
use crate::server::Reply;
use crate::server::failure::{Failure, Kind};

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Preset {
    /// Flat JSON, NDJSON and text at `path`.
    Flat,
    /// Bulk requests of Elasticsearch at `/_bulk` and `/<index>/_bulk`.
    Elastic,
    /// Splunk's HTTP Event Collector at `/services/collector`.
    Splunk,
    /// Push requests of Loki at `/loki/api/v1/push`.
    Loki,
    /// Logs of Datadog's agent at `/api/v2/logs` and `/v1/input`.
    Datadog,
    /// JSON of Fluent Bit's output `http` at `/fluent`.
    Fluent,
}

/// What is at a path.
pub(super) enum Place {
    /// Logs are taken in this form.
    Take(&'static dyn Form),
    /// A page that clients read before they send; it needs no key.
    Page(fn() -> Response<Reply>),
    /// Whether requests of this form are let in; it needs no key.
    Health(&'static dyn Form),
}

impl Preset {
    /// All of them.
    pub(super) const ALL: [Self; 6] =
        [Self::Flat, Self::Elastic, Self::Splunk, Self::Loki, Self::Datadog, Self::Fluent];

    /// What this preset has at a path.
    pub(super) fn place(self, method: &Method, path: &str, flat_path: &str) -> Option<Place> {
        match self {
            Self::Flat => (path == flat_path).then_some(Place::Take(&flat::Flat)),
            Self::Elastic => elastic::place(method, path),
            Self::Splunk => splunk::place(path),
            Self::Loki => (path == loki::PATH).then_some(Place::Take(&loki::Push)),
            Self::Datadog => datadog::PATHS.contains(&path).then_some(Place::Take(&datadog::Logs)),
            Self::Fluent => (path == fluent::PATH).then_some(Place::Take(&fluent::Fluent)),
        }
    }
}

/// A request with logs.
pub(super) struct Sent<'a> {
    /// The path that it was sent to.
    pub(super) path: &'a str,
    /// Its headers.
    pub(super) headers: &'a HeaderMap,
    /// The query of its address, as sent.
    pub(super) query: &'a str,
    /// What the body is.
    pub(super) content: Content,
    /// The body without compression.
    pub(super) body: &'a Bytes,
}

impl Sent<'_> {
    /// The body as text.
    pub(super) fn text(&self) -> Result<&str, Failure> {
        std::str::from_utf8(self.body).map_err(|error| {
            let offset = error.valid_up_to();
            Failure::new(Kind::Invalid, format!("the body is no UTF-8 at byte {offset}"))
        })
    }

    /// A field of the query.
    pub(super) fn query_field(&self, name: &str) -> Option<String> {
        query_field(self.query, name)
    }
}

/// A field of a query.
pub(super) fn query_field(query: &str, name: &str) -> Option<String> {
    let mut fields = form_urlencoded::parse(query.as_bytes());
    fields.find(|(field, _)| field == name).map(|(_, value)| value.into_owned())
}

/// One way of sending logs.
pub(super) trait Form: Sync {
    /// Whether bodies may be of this type.
    fn takes(&self, declared: Declared) -> bool {
        declared != Declared::Protobuf
    }

    /// What the headers say of the body.
    fn declared(&self, headers: &HeaderMap) -> Result<Declared, Failure> {
        let declared = Declared::of(headers)?;
        if self.takes(declared) { Ok(declared) } else { Err(unsupported(headers)) }
    }

    /// Makes records of a body.
    fn decode(&self, sent: &Sent<'_>, records: &mut Records<'_>) -> Result<(), Fault>;

    /// The answer when records were taken.
    fn accepted(&self, outcome: &Outcome) -> Response<Reply>;

    /// The answer when none were.
    fn refused(&self, fault: &Fault) -> Response<Reply> {
        problem(fault)
    }

    /// The answer when somebody asks whether requests are let in, and they are.
    fn healthy(&self) -> Response<Reply> {
        json(StatusCode::OK, &Health { status: "ok" })
    }
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}
