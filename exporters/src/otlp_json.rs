//! A batch as one OTLP/JSON request object.

use watershed_pipeline::otlp::{json, schema};
use watershed_pipeline::{Batch, ExportError, Signal};

/// Appends the batch as a request object on one line, without an end of line.
///
/// # Errors
/// Rejects a batch that was built with values nested deeper than OTLP/JSON can show.
pub(crate) fn push_batch(out: &mut Vec<u8>, batch: &Batch) -> Result<(), ExportError> {
    let message = match batch.signal() {
        Signal::Logs => &schema::LOGS_REQUEST,
        Signal::Traces => &schema::TRACES_REQUEST,
        Signal::Metrics => &schema::METRICS_REQUEST,
    };
    json::encode(message, &batch.to_otlp(), out).map_err(|error| ExportError::Reject {
        count: batch.len(),
        reason: format!("cannot be written as OTLP/JSON: {error}"),
    })
}
