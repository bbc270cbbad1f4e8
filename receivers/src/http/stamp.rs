//! What every record of a request gets from the request itself.

use std::net::IpAddr;

use watershed_pipeline::RecordMut;

use super::correlation::Correlation;

/// What a record gets that does not say it itself.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    /// Trace and correlation id of the request.
    pub(super) correlation: Correlation,
    /// The client's address, if it is wanted.
    pub(super) client: Option<String>,
    /// When the request came, in nanoseconds since the Unix epoch.
    pub(super) now: u64,
}

impl Stamp {
    /// Prepares what is put on records.
    pub(super) fn new(correlation: Correlation, client: Option<IpAddr>, now: u64) -> Self {
        Self { correlation, client: client.map(|address| address.to_string()), now }
    }

    /// Puts it on a record.
    pub(super) fn put(&self, log: &mut RecordMut<'_>) {
        log.set_observed_time_unix_nano(self.now);
        self.correlation.stamp(log);
        if let Some(client) = &self.client
            && log.attribute("client.address").is_none()
        {
            log.set_attribute("client.address", client.as_str());
        }
    }
}
