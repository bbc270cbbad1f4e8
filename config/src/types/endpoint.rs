//! An address to listen on.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use super::text_type;

/// An address to listen on: `0.0.0.0:4317`, `localhost:4318`, `[::1]:4317`, or `:4317` for all addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// Makes an endpoint of a host and a port; port 0 lets the system choose one.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// The host without brackets; empty for all addresses.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The endpoint as a listener takes it: `:4317` becomes `[::]:4317`.
    pub fn bind_address(&self) -> String {
        let host = if self.host.is_empty() { "::" } else { &self.host };
        join(host, self.port)
    }
}

/// Writes host and port, with brackets around an IPv6 address.
fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Reads `host:port`; an IPv6 address stands in brackets.
pub(super) fn host_and_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.split('%').next()?.parse::<Ipv6Addr>().ok()?;
            (host, after.strip_prefix(':')?)
        }
        None => text.rsplit_once(':')?,
    };
    let is_name = !text.starts_with('[');
    if is_name && host.contains([':', '/', '@', '[', ']', ' ', '?', '#']) {
        return None;
    }
    Some((host, port))
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.contains("://") {
            return Err(format!(
                "`{text}` is a URL; an address to listen on is `host:port` without a scheme"
            ));
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Err(format!("`{text}` has no port; write `[{text}]:4317`"));
        }
        let Some((host, port)) = host_and_port(text) else {
            return Err(format!(
                "`{text}` is not an address to listen on; write `host:port`, such as `0.0.0.0:4317`"
            ));
        };
        match port.parse() {
            Ok(port) if !port_is_signed(text) => Ok(Self::new(host, port)),
            _ => Err(format!("`{port}` in `{text}` is not a port; a port is a number from 0 to 65535")),
        }
    }
}

/// Whether the port has a sign, which Rust's numbers allow and ports do not.
pub(super) fn port_is_signed(text: &str) -> bool {
    text.rsplit(':').next().is_some_and(|port| port.starts_with('+'))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&join(&self.host, self.port))
    }
}

text_type!(
    Endpoint,
    "string",
    r"^.*:\d{1,5}$",
    "An address to listen on, such as `0.0.0.0:4317`; `:4317` listens on all addresses."
);

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, host, port) in [
            ("0.0.0.0:4317", "0.0.0.0", 4317),
            ("localhost:4318", "localhost", 4318),
            (":4317", "", 4317),
            ("[::1]:4317", "::1", 4317),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.host(), endpoint.port(), endpoint.to_string().as_str()), (host, port, text));
        }
        assert_eq!(":4317".parse::<Endpoint>().unwrap().bind_address(), "[::]:4317");
    }

    #[test]
    fn what_is_no_address_is_refused_with_advice() {
        for (text, message) in [
            ("http://h:1", "`http://h:1` is a URL; an address to listen on is `host:port` without a scheme"),
            ("::1", "`::1` has no port; write `[::1]:4317`"),
            (
                "localhost",
                "`localhost` is not an address to listen on; write `host:port`, such as `0.0.0.0:4317`",
            ),
            ("h:99999", "`99999` in `h:99999` is not a port; a port is a number from 0 to 65535"),
            ("h:+1", "`+1` in `h:+1` is not a port; a port is a number from 0 to 65535"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap_err(), message);
        }
    }
}
