//! The kinds of clients: where each sends, what its bytes mean, and which answers it understands.
//!
//! A preset is one file beside this one; each has its paths ([`Place`]) and, for each way of sending, a [`Form`].

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use schemars::JsonSchema;
use serde::Deserialize;

use super::content::{Content, Declared};
use super::fault::{Fault, problem};
use super::flat;
use super::records::{Outcome, Records};
use crate::server::Reply;
use crate::server::failure::{Failure, Kind};

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Preset {
    /// Flat JSON, NDJSON and text at `path`.
    Flat,
}

/// What is at a path.
pub(super) enum Place {
    /// Logs are taken in this form.
    Take(&'static dyn Form),
    /// A page that clients read before or while they send; it needs no key.
    Page(fn() -> Response<Reply>),
}

impl Preset {
    /// All of them.
    pub(super) const ALL: [Self; 1] = [Self::Flat];

    /// What this preset has at a path.
    pub(super) fn place(self, method: &Method, path: &str, flat_path: &str) -> Option<Place> {
        match self {
            Self::Flat => (path == flat_path).then_some(Place::Take(&flat::Flat)),
        }
    }
}

/// A request with logs.
pub(super) struct Sent<'a> {
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

    /// Makes records of a body.
    fn decode(&self, sent: &Sent<'_>, records: &mut Records<'_>) -> Result<(), Fault>;

    /// The answer when records were taken.
    fn accepted(&self, outcome: &Outcome) -> Response<Reply>;

    /// The answer when none were.
    fn refused(&self, fault: &Fault) -> Response<Reply> {
        problem(fault)
    }
}
