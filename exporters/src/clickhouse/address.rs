//! From `endpoint` and `connection_params` to servers, sign-in and settings.
//!
//! The form is that of the Collector: `http://host1:8123,host2:8123/database?dial_timeout=10s&max_execution_time=60`.
//! Parameters that clickhouse-go gives a meaning keep it; every other one is a setting of ClickHouse and goes along with
//! each query. Addresses of the native protocol (`tcp://host:9000`) are turned into those of HTTP where the port is the
//! usual one.

use std::collections::BTreeMap;

use reqwest::Url;
use watershed_config::{BuildError, Secret};

use super::Compression;

/// What is needed to speak to ClickHouse.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    /// At least one.
    pub(super) servers: Vec<Url>,
    pub(super) order: Order,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: String,
    pub(super) compression: Option<Compression>,
    pub(super) async_insert: Option<bool>,
    /// Settings of ClickHouse that go along with every query.
    pub(super) settings: BTreeMap<String, String>,
}

/// Which of several servers is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The first in the list that works.
    Listed,
    /// Each in turn.
    RoundRobin,
    /// Any.
    Random,
}

/// Parameters of clickhouse-go that have no meaning here and are no settings of ClickHouse.
const WITHOUT_MEANING: [&str; 13] = [
    "block_buffer_size",
    "client_info_product",
    "compress_level",
    "conn_max_lifetime",
    "connection_pool_size",
    "debug",
    "dial_timeout",
    "max_compression_buffer",
    "max_idle_conns",
    "max_open_conns",
    "no_delay",
    "read_timeout",
    "write_timeout",
];

impl Connection {
    /// Reads an endpoint, then the further parameters.
    ///
    /// # Errors
    /// Names the setting and what to write. The endpoint is never repeated whole: it may hold a password.
    pub(super) fn new(endpoint: &str, parameters: &BTreeMap<String, String>) -> Result<Self, BuildError> {
        let wrong = |message: &str| BuildError::at("endpoint", message);
        if endpoint.trim().is_empty() {
            return Err(wrong("endpoint must be specified; write `http://host:8123`"));
        }
        let (scheme, rest) = endpoint
            .trim()
            .split_once("://")
            .ok_or_else(|| wrong("endpoint must be url format; write `http://host:8123`"))?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let tail = Url::parse(&format!("http://host{rest}")).map_err(|_| {
            wrong("has a path or parameters that are no URL; write `http://host:8123/database?name=value`")
        })?;
        let (sign_in, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let mut connection = Self {
            servers: Vec::new(),
            order: Order::Listed,
            user: None,
            password: None,
            database: tail.path().trim_matches('/').to_owned(),
            compression: None,
            async_insert: None,
            settings: BTreeMap::new(),
        };
        connection.sign_in(sign_in)?;
        let mut is_secure = false;
        let from_url =
            tail.query_pairs().map(|(name, value)| ("endpoint", name.into_owned(), value.into_owned()));
        let further =
            parameters.iter().map(|(name, value)| ("connection_params", name.clone(), value.clone()));
        for (place, name, value) in from_url.chain(further) {
            if name == "secure" {
                is_secure = flag(place, &name, &value)?;
            } else {
                connection.parameter(place, name, value)?;
            }
        }
        for host in hosts.split(',') {
            connection.servers.push(server(scheme, host.trim(), is_secure)?);
        }
        if connection.database.is_empty() {
            "default".clone_into(&mut connection.database);
        }
        Ok(connection)
    }

    fn sign_in(&mut self, text: &str) -> Result<(), BuildError> {
        if text.is_empty() {
            return Ok(());
        }
        let url = Url::parse(&format!("http://{text}@host")).map_err(|_| {
            BuildError::at("endpoint", "has a user or password that is no URL; set `username` and `password`")
        })?;
        let decoded = |text: &str| {
            let pair = format!("x={}", text.replace('+', "%2B"));
            let url = Url::parse(&format!("http://host/?{pair}")).ok();
            url.and_then(|url| url.query_pairs().next().map(|(_, value)| value.into_owned()))
                .unwrap_or_default()
        };
        self.user = Some(decoded(url.username())).filter(|user| !user.is_empty());
        self.password = url.password().map(|password| Secret::new(decoded(password)));
        Ok(())
    }

    fn parameter(&mut self, place: &str, name: String, value: String) -> Result<(), BuildError> {
        let wrong = |message: String| BuildError::at(place, message);
        match name.as_str() {
            "connection_open_strategy" => {
                self.order = match value.as_str() {
                    "in_order" => Order::Listed,
                    "round_robin" => Order::RoundRobin,
                    "random" => Order::Random,
                    _ => {
                        return Err(wrong(format!(
                            "{name}: `{value}` is unknown; use `in_order`, `round_robin` or `random`"
                        )));
                    }
                };
            }
            "compress" => {
                self.compression = Some(match value.as_str() {
                    "zstd" => Compression::Zstd,
                    "none" | "false" | "0" => Compression::None,
                    _ => Compression::Lz4,
                });
            }
            "async_insert" => self.async_insert = Some(flag(place, &name, &value)?),
            "username" => self.user = Some(value),
            "password" => self.password = Some(Secret::new(value)),
            "database" => self.database = value,
            "skip_verify" => {
                return Err(wrong(format!("{name}: is set by `tls: {{insecure_skip_verify: true}}` here")));
            }
            name if WITHOUT_MEANING.contains(&name) => {}
            _ => {
                self.settings.insert(name, value);
            }
        }
        Ok(())
    }
}

fn flag(place: &str, name: &str, value: &str) -> Result<bool, BuildError> {
    match value {
        "true" | "1" | "" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(BuildError::at(place, format!("{name}: `{value}` is neither `true` nor `false`"))),
    }
}

/// The address of one server over HTTP.
fn server(scheme: &str, host: &str, is_secure: bool) -> Result<Url, BuildError> {
    let wrong = |message: String| BuildError::at("endpoint", message);
    let no_host = || wrong(format!("`{}` is no host; write `http://host:8123`", host.escape_debug()));
    if host.is_empty() || host.contains(['@', '/', '?', '#']) {
        return Err(no_host());
    }
    let mut url = Url::parse(&format!("http://{host}/")).map_err(|_| no_host())?;
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let (secure, port) = match (scheme, port) {
        ("http", port) => (is_secure, port.unwrap_or(if is_secure { 8443 } else { 8123 })),
        ("https", port) => (true, port.unwrap_or(8443)),
        ("tcp" | "clickhouse" | "native", None) => (is_secure, if is_secure { 8443 } else { 8123 }),
        ("tcp" | "clickhouse" | "native", Some(9000)) if !is_secure => (false, 8123),
        ("tcp" | "clickhouse" | "native", Some(9440)) => (true, 8443),
        ("tcp" | "clickhouse" | "native", Some(port)) => {
            return Err(wrong(format!(
                "port {port} of `{scheme}://` speaks ClickHouse's native protocol, and this exporter speaks HTTP; \
                 write `http://` with the server's http_port, which is 8123 by default"
            )));
        }
        _ => {
            return Err(wrong(format!("unknown scheme `{}`; use `http` or `https`", scheme.escape_debug())));
        }
    };
    let done = url.set_scheme(if secure { "https" } else { "http" }).and_then(|()| url.set_port(Some(port)));
    done.map_err(|()| no_host())?;
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(endpoint: &str, parameters: &[(&str, &str)]) -> Result<Connection, String> {
        let parameters =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Connection::new(endpoint, &parameters).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check_servers(endpoint: &str, servers: &[&str]) {
        let connection = read(endpoint, &[]).unwrap();
        let found: Vec<&str> = connection.servers.iter().map(Url::as_str).collect();
        assert_eq!(found, servers);
    }

    #[test]
    fn endpoints_are_servers_over_http() {
        check_servers("http://h:8123", &["http://h:8123/"]);
        check_servers("https://h", &["https://h:8443/"]);
        check_servers("https://h:443/db", &["https://h/"]);
        check_servers("http://a:1,b:2,[::1]:3/db", &["http://a:1/", "http://b:2/", "http://[::1]:3/"]);
        check_servers("tcp://127.0.0.1:9000?dial_timeout=10s&compress=lz4", &["http://127.0.0.1:8123/"]);
        check_servers("clickhouse://h:9440?secure=true", &["https://h:8443/"]);
    }

    #[test]
    fn sign_in_database_and_parameters_are_read() {
        let endpoint = "http://me:p%40ss+word@h/logs?async_insert=false&max_execution_time=7&dial_timeout=2s";
        let connection =
            read(endpoint, &[("connection_open_strategy", "random"), ("insert_quorum", "2")]).unwrap();
        assert_eq!(connection.user.as_deref(), Some("me"));
        assert_eq!(connection.password.as_ref().map(Secret::expose), Some("p@ss+word"));
        assert_eq!((connection.database.as_str(), connection.order), ("logs", Order::Random));
        assert_eq!(connection.async_insert, Some(false));
        let settings: Vec<_> =
            connection.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(settings, ["insert_quorum=2", "max_execution_time=7"]);
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_advice_and_without_the_password() {
        for (endpoint, part) in [
            ("", "endpoint must be specified"),
            ("localhost:9000", "endpoint must be url format"),
            ("ftp://me:hunter2@h", "unknown scheme `ftp`"),
            ("tcp://me:hunter2@h:9009", "port 9009 of `tcp://` speaks ClickHouse's native protocol"),
            ("http://me:hunter2@", "`` is no host"),
            ("http://me:hunter2@h?async_insert=x", "async_insert"),
            ("http://h?skip_verify=true", "insecure_skip_verify"),
        ] {
            let error = read(endpoint, &[]).unwrap_err();
            assert!(error.contains(part) && !error.contains("hunter2"), "{endpoint}: {error}");
        }
    }
}
