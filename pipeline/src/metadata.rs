//! What is known of a sender: request headers, the address it came from, and the name that it proved to have.

use std::net::IpAddr;

/// The header-like name under which the name of an authenticated sender is found.
const SUBJECT: &str = "auth.subject";
/// Names that begin like this are not taken from requests.
const RESERVED: &str = "auth.";

/// What is known of the sender of a batch.
///
/// Headers and address are kept only when the receiver has `include_metadata`. The name of a sender who had to prove
/// it (a user, a key, the subject of a certificate) is kept always, as the value of `auth.subject`.
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

    /// Whether a name is kept for what we found out ourselves; receivers leave out such headers of requests.
    #[must_use]
    pub fn is_reserved(name: &str) -> bool {
        name.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
    }

    /// Adds the name that the sender proved to have.
    #[must_use]
    pub fn with_subject(mut self, subject: &str) -> Self {
        self.headers.push((SUBJECT.to_owned(), subject.to_owned()));
        self
    }

    /// The values of a header, its name in any case; of `auth.subject`, the name that the sender proved to have.
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
