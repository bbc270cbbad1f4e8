//! What of a request's headers may travel with its batch.

use std::net::SocketAddr;
use std::sync::Arc;

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

/// Makes metadata of the headers that are text, without credentials and what concerns the connection.
pub(crate) fn metadata(headers: &HeaderMap, client: SocketAddr) -> Arc<Metadata> {
    let kept = headers.iter().filter(|(name, _)| !LEFT_OUT.contains(&name.as_str()));
    let texts =
        kept.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    Arc::new(Metadata::new(texts, Some(client.ip().to_canonical())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_headers_of_the_connection_stay_behind() {
        let mut headers = HeaderMap::new();
        for name in LEFT_OUT.iter().chain(&["x-tenant"]) {
            headers.insert(*name, "value".parse().unwrap());
        }
        let kept = metadata(&headers, "[::ffff:10.0.0.1]:5".parse().unwrap());
        assert_eq!(*kept, Metadata::new([("x-tenant".into(), "value".into())], "10.0.0.1".parse().ok()));
    }
}
