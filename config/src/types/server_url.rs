//! The address of a server that data is sent to.

use std::{fmt, str::FromStr};

use super::{
    endpoint::{host_and_port, port_is_signed},
    text_type,
};

/// The address of a server: `http://host:4318/path`, `https://host`, or a bare `host:port`.
///
/// Whether a bare address means TLS is for the exporter to say, see [`ServerUrl::is_secure`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    secure: Option<bool>,
    authority: String,
    /// Begins with `/` when there is one, and holds the query too; no `/` at the end.
    path: String,
}

impl ServerUrl {
    /// `true` for `https`, `false` for `http`, and nothing when the scheme was left out.
    pub fn is_secure(&self) -> Option<bool> {
        self.secure
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        match host_and_port(&self.authority) {
            Some((host, _)) => host,
            None => self.authority.trim_start_matches('[').trim_end_matches(']'),
        }
    }

    /// The port, when one was written.
    pub fn port(&self) -> Option<u16> {
        host_and_port(&self.authority)?.1.parse().ok()
    }

    /// The host with its port as it was written.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The path and query, without a `/` at the end; empty when there is none.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The whole address with a scheme; a bare address gets `https` when `secure` says so, and else `http`.
    pub fn with_scheme(&self, secure: bool) -> String {
        let scheme = if self.secure.unwrap_or(secure) { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.path)
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (secure, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some(false), rest),
            Some(("https", rest)) => (Some(true), rest),
            Some((scheme, _)) => {
                return Err(format!("unknown scheme `{}`; use `http` or `https`", scheme.escape_debug()));
            }
            None => (None, text),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            // The text is not repeated, because it may hold a password.
            return Err(
                "the address holds a user name or password; use the settings for authentication".to_owned()
            );
        }
        let is_printable = !text.chars().any(|letter| letter.is_whitespace() || letter.is_control());
        let is_good = is_printable
            && match host_and_port(authority) {
                Some((host, port)) => {
                    !host.is_empty() && port.parse::<u16>().is_ok() && !port_is_signed(authority)
                }
                None => secure.is_some() && is_bare_host(authority),
            };
        if !is_good {
            return Err(format!(
                "`{}` is not the address of a server; write `http://host:4318`, `https://host` or `host:4317`",
                text.escape_debug()
            ));
        }
        Ok(Self { secure, authority: authority.to_owned(), path: path.trim_end_matches('/').to_owned() })
    }
}

/// Whether this is a host without a port.
fn is_bare_host(authority: &str) -> bool {
    match authority.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !authority.is_empty() && !authority.contains([':', '[', ']']),
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.secure {
            Some(secure) => out.write_str(&self.with_scheme(secure)),
            None => write!(out, "{}{}", self.authority, self.path),
        }
    }
}

text_type!(
    ServerUrl,
    "string",
    r"^(https?://)?[^\s/@]+(/\S*)?$",
    "The address of a server, such as `http://host:4318`, `https://host` or `host:4317`."
);

#[cfg(test)]
mod tests {
    use super::ServerUrl;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, secure, host, port, path) in [
            ("http://h:4318", Some(false), "h", Some(4318), ""),
            ("https://logs.example.com/v1/", Some(true), "logs.example.com", None, "/v1"),
            ("collector:4317", None, "collector", Some(4317), ""),
            ("http://[::1]:8123/?x=1", Some(false), "::1", Some(8123), "/?x=1"),
            ("http://[::1]", Some(false), "::1", None, ""),
        ] {
            let url: ServerUrl = text.parse().unwrap();
            assert_eq!(
                (url.is_secure(), url.host(), url.port(), url.path()),
                (secure, host, port, path),
                "{text}"
            );
        }
    }

    #[test]
    fn the_scheme_of_a_bare_address_is_the_callers_choice() {
        let url: ServerUrl = "h:1/x".parse().unwrap();
        assert_eq!((url.with_scheme(true).as_str(), url.to_string().as_str()), ("https://h:1/x", "h:1/x"));
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in ["", "h", "ftp://h", "http://", "http://h:x", "http://a b", "h:99999", "http://h\u{7}"] {
            assert!(text.parse::<ServerUrl>().is_err(), "{text}");
        }
        let message = "http://me:hunter2@h".parse::<ServerUrl>().unwrap_err();
        assert!(!message.contains("hunter2"), "{message}");
    }
}
