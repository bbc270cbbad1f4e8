//! What a sender's connection said about itself: request headers and the address it came from.

use std::net::IpAddr;

/// Headers and address of the request that brought a batch. Kept only when the receiver has `include_metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    headers: Vec<(String, String)>,
    client_address: Option<IpAddr>,
}

impl Metadata {
    /// Makes metadata from header names, in any case, and values.
    #[must_use]
    pub fn new(headers: impl IntoIterator<Item = (String, String)>, client_address: Option<IpAddr>) -> Self {
        let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        Self { headers, client_address }
    }

    /// The values of a header, its name in any case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let matching = self.headers.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name));
        matching.map(|(_, value)| value.as_str())
    }

    /// All headers, their names in lower case.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The address that the connection came from.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        self.client_address
    }
}
