//! Requests of Loki's own protocol: `PushRequest` in protobuf, snappy's block format.

use std::sync::Arc;

use bytes::Bytes;

use super::encode::{Encoded, Group};
use super::requests::{Request, divide};
use super::send::Job;

/// One push request.
pub(super) struct PushJob<'e> {
    group: &'e Group,
    request: Request,
}

/// The requests of a batch, tenant by tenant.
pub(super) fn jobs(encoded: &Encoded, size_max: usize, one_stream: bool) -> Vec<PushJob<'_>> {
    let of_group =
        |group| divide(group, size_max, one_stream).into_iter().map(move |request| (group, request));
    encoded.groups.iter().flat_map(of_group).map(|(group, request)| PushJob { group, request }).collect()
}

impl Job for PushJob<'_> {
    fn tenant(&self) -> Option<&Arc<str>> {
        self.group.tenant.as_ref()
    }

    fn records(&self) -> usize {
        self.request.entries
    }

    fn body(&self) -> Result<Bytes, String> {
        compress(&self.request.message(self.group)).map(Bytes::from)
    }

    fn halve(self) -> Option<(Self, Self)> {
        let (first, second) = self.request.halve()?;
        let group = self.group;
        Some((Self { group, request: first }, Self { group, request: second }))
    }
}

/// Snappy's block format, not its framed one.
pub(super) fn compress(message: &[u8]) -> Result<Vec<u8>, String> {
    snap::raw::Encoder::new().compress_vec(message).map_err(|error| error.to_string())
}
