//! What attributes mean by their names: the table that every attribute of every record is looked up in.

use hashbrown::HashMap;

use super::renames::{RENAMES, Rename};

/// The attribute that the correlation id ends in.
pub(super) const ID: &str = "correlation.id";
/// What a client sent, where that was not safe.
pub(super) const ORIGINAL: &str = "correlation.id.original";
/// Where the id is from.
pub(super) const SOURCE: &str = "correlation.source";
/// The session of a person's visit.
pub(super) const SESSION: &str = "session.id";
/// Who did it.
pub(super) const USER: &str = "user.id";

/// Other names of a correlation id, in the order in which they are asked.
const IDS: [&str; 12] = [
    "correlation_id",
    "correlationId",
    "correlationID",
    "CorrelationId",
    "x-correlation-id",
    "X-Correlation-ID",
    "request.id",
    "request_id",
    "requestId",
    "RequestId",
    "x-request-id",
    "X-Request-ID",
];
const SESSIONS: [&str; 3] = ["session_id", "sessionId", "sessionID"];
const USERS: [&str; 5] = ["user_id", "userId", "userID", "enduser.id", "usr.id"];
const TRACE_IDS: [&str; 5] = ["trace_id", "traceId", "traceid", "trace.id", "otelTraceID"];
const SPAN_IDS: [&str; 5] = ["span_id", "spanId", "spanid", "span.id", "otelSpanID"];
const FLAGS: [&str; 3] = ["trace_flags", "traceFlags", "trace.flags"];

/// What an attribute means by its name.
#[derive(Clone, Copy)]
pub(super) enum Role {
    /// A correlation id; the smaller number is asked first.
    Id(Rank),
    Source,
    Session(Rank),
    User(Rank),
    TraceId,
    SpanId,
    TraceFlags,
    Traceparent,
    DatadogTraceId,
    DatadogSpanId,
    /// A name of the semantic conventions that has been replaced.
    Deprecated(&'static Rename),
}

/// The place of a name among those that mean the same; the first is the name that the value ends under.
pub(super) type Rank = u16;

/// Names found within a body rank behind those of attributes.
pub(super) const BODY: Rank = 10_000;
/// Headers of the request that a record tells of rank behind all that the record says itself.
pub(super) const HEADER: Rank = 20_000;

/// All names with their meaning.
pub(super) struct Names {
    roles: HashMap<Box<str>, Role>,
    /// The lengths of the names that begin with a byte, one bit each, both modulo 64: most keys are none of the names, and
    /// are told by this without a hash.
    lengths: [u64; 64],
}

impl Names {
    /// The known names, with further ones for correlation ids, headers in lower case, and, if asked for, those to rename.
    pub(super) fn new(own_ids: &[String], headers: &[String], renames: bool) -> Self {
        let mut names = Self { roles: HashMap::new(), lengths: [0; 64] };
        let ids = [ID].into_iter().chain(own_ids.iter().map(String::as_str)).chain(IDS);
        names.add(ids, 0, Role::Id);
        for (rank, header) in (HEADER..).zip(headers) {
            // Older semantic conventions have `_` for `-`.
            for header in [header.clone(), header.replace('-', "_")] {
                names.add([format!("http.request.header.{header}").as_str()], rank, Role::Id);
            }
        }
        names.add([SESSION].into_iter().chain(SESSIONS), 0, Role::Session);
        names.add([USER].into_iter().chain(USERS), 0, Role::User);
        names.add([SOURCE], 0, |_| Role::Source);
        names.add(TRACE_IDS, 0, |_| Role::TraceId);
        names.add(SPAN_IDS, 0, |_| Role::SpanId);
        names.add(FLAGS, 0, |_| Role::TraceFlags);
        names.add(["traceparent"], 0, |_| Role::Traceparent);
        names.add(["dd.trace_id"], 0, |_| Role::DatadogTraceId);
        names.add(["dd.span_id"], 0, |_| Role::DatadogSpanId);
        for rename in RENAMES.iter().filter(|_| renames) {
            names.add([rename.old], 0, |_| Role::Deprecated(rename));
        }
        names
    }

    fn add<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n str>,
        first: Rank,
        role: impl Fn(Rank) -> Role,
    ) {
        for (rank, name) in (first..).zip(names) {
            self.roles.entry(name.into()).or_insert(role(rank));
            let (first, length) = shape(name);
            self.lengths.iter_mut().skip(first).take(1).for_each(|lengths| *lengths |= length);
        }
    }

    pub(super) fn role(&self, key: &str) -> Option<Role> {
        let (first, length) = shape(key);
        let may_be = self.lengths.get(first).is_some_and(|lengths| lengths & length != 0);
        may_be.then(|| self.roles.get(key).copied()).flatten()
    }
}

/// The first byte and the bit of the length of a name.
fn shape(name: &str) -> (usize, u64) {
    (usize::from(name.as_bytes().first().copied().unwrap_or_default() % 64), 1 << (name.len() % 64))
}
