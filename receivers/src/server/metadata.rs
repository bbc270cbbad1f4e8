//! What of a request's headers may travel with its batch.

use std::net::SocketAddr;

use http::HeaderMap;
use watershed_pipeline::Metadata;

/// Headers that concern one connection only (RFC 9110 §7.6.1), and those that carry credentials.
const LEFT_OUT: [&str; 12] = [
    "authorization",
    "connection",
    "cookie",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-api-key",
];

/// Makes metadata of the headers that are text, without credentials, what concerns the connection, and names that
/// are kept for what we find out ourselves. `credentials` is a further header that carries some.
pub(crate) fn metadata(headers: &HeaderMap, client: SocketAddr, credentials: Option<&str>) -> Metadata {
    let kept = headers.iter().filter(|(name, _)| {
        let name = name.as_str();
        !LEFT_OUT.contains(&name) && credentials != Some(name) && !Metadata::is_reserved(name)
    });
    let texts =
        kept.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    Metadata::new(texts, Some(client.ip().to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_headers_of_the_connection_stay_behind() {
        let mut headers = HeaderMap::new();
        for name in LEFT_OUT.iter().chain(&["x-tenant", "x-own-key", "auth.subject"]) {
            headers.insert(*name, "value".parse().unwrap());
        }
        let kept = metadata(&headers, "[::ffff:10.0.0.1]:5".parse().unwrap(), Some("x-own-key"));
        assert_eq!(kept, Metadata::new([("x-tenant".into(), "value".into())], "10.0.0.1".parse().ok()));
    }
}
