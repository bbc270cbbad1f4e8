//! What flows through watershed, the contract of its components, and the engine that runs them.
//!
//! This crate refuses to know any server or client library, any file format and YAML. Read in this order:
//! [`Batch`] (`batch.rs`), the contract (`component.rs`), `outlet.rs`, `graph.rs`, `lanes.rs`, `delivery.rs`,
//! `engine.rs`; then, when you need them, `extension.rs`, `auth.rs`, `otlp.rs`, `telemetry.rs`, `spans.rs`, `budget.rs`, and `testing.rs` for tests of
//! components (feature `testing`).

mod auth;
mod batch;
mod budget;
pub mod calendar;
mod component;
mod condition;
mod context;
mod correlation_id;
mod delivery;
mod engine;
mod extension;
mod graph;
mod host;
pub mod json_text;
mod lanes;
mod lifecycle;
mod machine;
mod metadata;
pub mod otlp;
mod outlet;
pub mod parse;
mod receipt;
mod registry;
mod shutdown;
mod spans;
pub mod storage;
mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod until_eof;
mod vault;
mod watch;

pub use auth::{
    AuthError, AuthSettings, ClientAuthenticator, HashedKeys, Identity, KeyDigest, RequestHeaders,
    ServerAuthenticator,
};
pub use batch::{
    AnyValue, Array, Attributes, AttributesMut, Batch, BatchBuilder, DataPoint, Edit, End, Exemplar,
    IntoValue, Literal, LogRecord, Map, Metric, MetricKind, Number, PointValue, Quantile, Record, RecordMut,
    RecordsMut, Resource, Scope, Signal, Slot, Span, SpanEvent, SpanLink, Sweep, TextPlace, Value,
};
pub use budget::{Budget, BudgetExceeded, Reservation};
pub use component::{
    ExportError, Exporter, ExporterConfig, KeyHash, Out, Processor, ProcessorConfig, Reach, Receiver,
    ReceiverConfig, Refusal, RunError, StartError, State, Suspended,
};
pub use condition::{
    Condition, ConditionContext, ConditionError, DataPointCondition, Failure, LogCondition, MetricCondition,
    SpanCondition, SpanEventCondition, Statement, Statements,
};
pub use context::{Context, Shared};
pub use correlation_id::CorrelationId;
pub use delivery::{
    BatchOptions, DeliveryOptions, DropReason, FsyncPolicy, QueueCompression, RetryOnFailure, SendingQueue,
    Sizer,
};
pub use engine::{Dropped, Engine, EngineError, Ready, Running, Summary, Totals, run};
pub use extension::{Extension, ExtensionConfig, Extensions};
pub use graph::{Environment, Graph};
pub use host::{container_attributes, environment_attributes, host_attributes, kubernetes_attributes};
pub use machine::available_memory;
pub use metadata::Metadata;
pub use outlet::Outlet;
pub use receipt::Fate;
pub use registry::{
    Description, ExporterFactory, ExtensionFactory, ProcessorFactory, ReceiverFactory, Registry, exporter,
    extension, processor, receiver,
};
pub use shutdown::{Shutdown, ShutdownTrigger, shutdown};
pub use spans::OWN_TRACES;
pub use telemetry::{Counter, Distribution, Gauge, Histogram, Kind, Sample, Telemetry, Unit};
pub use until_eof::{Progress, UntilEof};
pub use watch::Watched;
