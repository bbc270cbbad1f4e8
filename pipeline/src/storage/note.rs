//! From a batch to a record and back.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::payload::{Encoding, PayloadError};
use super::record::Record;
use crate::batch::{Batch, now};
use crate::metadata::Metadata;
use crate::otlp::DecodeError;

/// What is kept beside the telemetry itself.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Note {
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<Sender>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sender {
    headers: Vec<(String, String)>,
    address: Option<IpAddr>,
}

/// Why a record is no batch any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnreadableRecord {
    /// It is not what was compressed.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// It is no OTLP request message.
    #[error(transparent)]
    Message(#[from] DecodeError),
}

/// The batch as a record, with the reason if it is a dead letter.
pub(crate) fn to_record(batch: &Batch, reason: Option<&str>, encoding: Encoding) -> Record {
    let sender = batch
        .metadata()
        .map(|metadata| Sender { headers: metadata.headers().to_vec(), address: metadata.client_address() });
    let note = Note { sender, reason: reason.map(str::to_owned) };
    let note = if note == Note::default() { None } else { serde_json::to_vec(&note).ok() };
    let (encoding, payload) = encoding.encode(batch.to_otlp());
    Record {
        id: batch.id(),
        time: if batch.received() == 0 { now() } else { batch.received() },
        items: u32::try_from(batch.len()).unwrap_or(u32::MAX),
        signal: batch.signal(),
        note: note.map(Bytes::from).unwrap_or_default(),
        encoding,
        payload,
    }
}

/// The batch that was kept as this record.
///
/// # Errors
/// When the payload can't be decoded, which a checksum that fits makes unlikely.
pub(crate) fn to_batch(record: &Record) -> Result<Batch, UnreadableRecord> {
    let message = record.message()?;
    let mut batch = Batch::from_otlp(record.signal, message)?;
    batch.set_id(record.id);
    batch.set_received(record.time);
    let metadata = read(record).sender.map(|sender| Arc::new(Metadata::new(sender.headers, sender.address)));
    batch.set_metadata(metadata);
    Ok(batch)
}

/// Why the record is a dead letter; empty for another.
pub(crate) fn reason(record: &Record) -> String {
    read(record).reason.unwrap_or_default()
}

/// The record as it was before the far end refused it.
pub(crate) fn without_reason(record: Record) -> Record {
    let note = Note { reason: None, ..read(&record) };
    let note = if note == Note::default() { None } else { serde_json::to_vec(&note).ok() };
    Record { note: note.map(Bytes::from).unwrap_or_default(), ..record }
}

fn read(record: &Record) -> Note {
    if record.note.is_empty() {
        return Note::default();
    }
    serde_json::from_slice(&record.note).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Signal;

    #[test]
    fn a_batch_comes_back_with_its_id_and_its_sender() {
        let mut batch = Batch::builder(Signal::Logs).record(|log| log.set_severity_number(9)).build();
        batch.set_id(12);
        batch.set_received(34);
        assert!(to_record(&batch, None, Encoding::Plain).note.is_empty());
        let metadata = Metadata::new([("Tenant".to_owned(), "a".to_owned())], "::1".parse().ok());
        batch.set_metadata(Some(Arc::new(metadata)));
        for encoding in [Encoding::Plain, Encoding::Lz4] {
            let record = to_record(&batch, Some("too long"), encoding);
            let back = to_batch(&record).unwrap();
            assert_eq!((back.id(), back.received(), back.to_otlp()), (12, 34, batch.to_otlp()));
            assert_eq!(back.metadata(), batch.metadata());
            assert_eq!(reason(&record), "too long");
        }
    }
}
