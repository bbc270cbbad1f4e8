//! From the bytes of a request to records: everything between the body and the batch, without a network.

use bytes::Bytes;
use http::HeaderMap;
use watershed_pipeline::Batch;

use super::content::Declared;
use super::fault::Fault;
use super::preset::{Form, Sent};
use super::records::{Limits, Outcome, Records};
use super::stamp::Stamp;

/// A request whose body is there, without compression.
pub(super) struct Arrived<'a> {
    /// The path that it was sent to.
    pub(super) path: &'a str,
    /// The query behind the path, as sent.
    pub(super) query: &'a str,
    /// Its headers.
    pub(super) headers: &'a HeaderMap,
    /// What its content type says.
    pub(super) declared: Declared,
    /// Its body.
    pub(super) body: Bytes,
}

/// Makes a batch of a request.
pub(super) fn decode(
    arrived: Arrived<'_>,
    form: &dyn Form,
    form_field: &str,
    limits: Limits,
    stamp: &Stamp,
) -> Result<(Batch, Outcome), Fault> {
    let Arrived { path, query, headers, declared, body } = arrived;
    let (content, body) = declared.open(body, form_field)?;
    let sent = Sent { path, query, headers, content, body: &body };
    let mut records = Records::new(body.clone(), limits, stamp);
    form.decode(&sent, &mut records)?;
    Ok(records.finish())
}

/// Makes a batch of a body as a request to this path would, with default settings. For benchmarks and fuzzing.
///
/// # Errors
/// Says the status and the reason of the refusal.
#[cfg(any(test, feature = "testing"))]
pub fn decode_body(
    path: &str,
    content_type: &str,
    body: Bytes,
    is_partial: bool,
) -> Result<Batch, (u16, String)> {
    use super::RECORDS_MAX;
    use super::preset::{Place, Preset};

    let refused = |fault: Fault| (fault.failure.kind.http().as_u16(), fault.failure.text);
    let place = Preset::ALL.iter().find_map(|preset| preset.place(&http::Method::POST, path, "/logs"));
    let Some(Place::Take(form)) = place else { return Err((404, path.to_owned())) };
    let mut headers = HeaderMap::new();
    headers.extend(content_type.parse().ok().map(|value| (http::header::CONTENT_TYPE, value)));
    let declared = form.declared(&headers).map_err(|failure| refused(failure.into()))?;
    let limits = Limits { records_max: RECORDS_MAX, is_partial };
    let arrived = Arrived { path, query: "", headers: &headers, declared, body };
    decode(arrived, form, "payload", limits, &Stamp::default()).map(|(batch, _)| batch).map_err(refused)
}
