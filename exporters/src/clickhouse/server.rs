//! Talks to ClickHouse: inserts, and the few queries that look at tables and create them.
//!
//! Queries go through the `clickhouse` crate. Inserts are plain requests with a body made beforehand: so an attempt that
//! is given up takes its connection with it (the crate would go on waiting in a task of its own), and the status codes
//! of proxies are seen.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use reqwest::{Request, Url};
use tokio::time::Instant;
use watershed_config::BuildError;

use super::address::{Connection, Order};
use super::verdict::{Failure, Reaction};
use crate::client::{self, Client, Credentials, Options, Tls, Version, body_start, chain, retry_after};

/// For how long a server that did not answer is asked last.
const AVOIDED: Duration = Duration::from_secs(10);

/// The servers, and how to reach them.
pub(super) struct Servers {
    connection: Connection,
    client: Client,
    tls: Tls,
    is_secure: bool,
    headers: HeaderMap,
    /// When each server failed last.
    failed: Mutex<Vec<Option<Instant>>>,
    turn: AtomicUsize,
}

impl Servers {
    /// Reads the certificates.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    pub(super) fn new(
        connection: Connection,
        tls: &Tls,
        mut headers: HeaderMap,
        credentials: Credentials,
    ) -> Result<Self, BuildError> {
        let is_secure = connection.servers.iter().any(|url| url.scheme() == "https");
        let options = Options {
            tls: tls.clone(),
            is_secure,
            version: Version::One,
            proxy: None,
            idle_connections_max: 32,
            // Below the server's keep_alive_timeout, which is 3 s in old versions: it closes first otherwise.
            idle_timeout: Some(Duration::from_millis(2500)),
            ping: None,
            pings_idle: false,
        };
        let sign_in = [
            ("x-clickhouse-user", connection.user.as_deref(), "username"),
            (
                "x-clickhouse-key",
                connection.password.as_ref().map(watershed_config::Secret::expose),
                "password",
            ),
        ];
        for (name, value, setting) in sign_in {
            let Some(value) = value else { continue };
            let mut value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| BuildError::at(setting, "has a line end or a control character; remove it"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let failed = Mutex::new(vec![None; connection.servers.len()]);
        let client = Client::new(options, credentials)?;
        Ok(Self {
            connection,
            client,
            tls: tls.clone(),
            is_secure,
            headers,
            failed,
            turn: AtomicUsize::new(0),
        })
    }

    /// Reads the certificates again if it is time to.
    pub(super) fn refresh(&self) {
        self.client.refresh();
    }

    /// The servers in the order of the endpoint.
    pub(super) fn urls(&self) -> &[Url] {
        &self.connection.servers
    }

    /// Sends an insert to one server after the other, until one answers. The body is of the type given, if one is.
    ///
    /// # Errors
    /// The last server's answer.
    pub(super) async fn insert(
        &self,
        parameters: &[(&str, &str)],
        body: &Bytes,
        content_type: Option<&HeaderValue>,
    ) -> Result<(), Failure> {
        let mut last = Err(Failure::unreachable("there is no server".to_owned()));
        for (index, url) in self.order() {
            last = self.post(url, parameters, body.clone(), content_type).await;
            if self.is_final(index, &last) {
                break;
            }
        }
        last
    }

    /// Takes note of a server's answer and says whether it stands; else the next server may do better.
    pub(super) fn is_final<T>(&self, index: usize, answer: &Result<T, Failure>) -> bool {
        let goes_on = matches!(answer, Err(failure) if failure.reaction == Reaction::Elsewhere);
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = failed.get_mut(index) {
            *place = goes_on.then(Instant::now);
        }
        !goes_on
    }

    /// The servers in the order in which they are asked. One that failed lately is asked last.
    pub(super) fn order(&self) -> Vec<(usize, &Url)> {
        let count = self.connection.servers.len();
        let first = match self.connection.order {
            Order::Listed => 0,
            Order::RoundRobin => self.turn.fetch_add(1, Ordering::Relaxed) % count.max(1),
            Order::Random => fastrand::usize(..count.max(1)),
        };
        let mut order: Vec<usize> = (0..count).map(|index| (first + index) % count).collect();
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_avoided = |index: &usize| {
            failed.get(*index).copied().flatten().is_some_and(|failed| failed.elapsed() < AVOIDED)
        };
        order.sort_by_key(is_avoided);
        let with_url = |index: usize| Some((index, self.connection.servers.get(index)?));
        order.into_iter().filter_map(with_url).collect()
    }

    async fn post(
        &self,
        url: &Url,
        parameters: &[(&str, &str)],
        body: Bytes,
        content_type: Option<&HeaderValue>,
    ) -> Result<(), Failure> {
        let mut url = url.clone();
        // The last of equal names counts, so that what the configuration says comes last.
        url.query_pairs_mut().extend_pairs(parameters).extend_pairs(&self.connection.settings);
        let mut request = Request::new(Method::POST, url.clone());
        request.headers_mut().clone_from(&self.headers);
        if let Some(content_type) = content_type {
            request.headers_mut().insert(CONTENT_TYPE, content_type.clone());
        }
        *request.body_mut() = Some(body.into());
        let unreachable = |error: watershed_pipeline::ExportError| {
            Failure::unreachable(format!("{}: {error}", name_of(&url)))
        };
        let mut response = self.client.send(request).await.map_err(unreachable)?;
        let status = response.status();
        let code = number(response.headers(), "x-clickhouse-exception-code");
        let body = body_start(&mut response).await;
        if status.is_success() && code.is_none() {
            // An insert has no answer but an exception, which comes in the body when the status has been sent already.
            let body = body.map_err(unreachable)?;
            let text = String::from_utf8_lossy(&body);
            return if text.contains("DB::Exception") {
                Err(Failure::exception(&text, None))
            } else {
                Ok(())
            };
        }
        let body = body.unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        let is_clickhouse = code.is_some() || text.contains("DB::Exception");
        if is_clickhouse {
            return Err(Failure::exception(&text, code));
        }
        Err(Failure::stranger(status, &text, retry_after(response.headers(), SystemTime::now())))
    }

    /// A client of the `clickhouse` crate for one server, with the certificates as they are now.
    ///
    /// # Errors
    /// A certificate cannot be read.
    pub(super) fn session(&self, url: &Url) -> Result<clickhouse::Client, Failure> {
        let config = self
            .tls
            .client_config(self.is_secure)
            .map_err(|error| Failure::unreachable(format!("certificates cannot be read: {error}")))?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(client::CONNECT_TIMEOUT));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let http = HttpClient::builder(TokioExecutor::new()).build(connector);
        let mut client = clickhouse::Client::with_http_client(http).with_url(url.as_str());
        for (name, value) in &self.connection.settings {
            client = client.with_setting(name, value);
        }
        let mut headers = self.headers.clone();
        let added = self.client.credentials().add_to(&mut headers);
        added.map_err(|error| Failure::unreachable(error.to_string()))?;
        for (name, value) in headers.iter().filter(|(name, _)| **name != USER_AGENT) {
            client = client.with_header(name.as_str(), String::from_utf8_lossy(value.as_bytes()));
        }
        Ok(client)
    }
}

/// Turns an error of the `clickhouse` crate into one of ours.
pub(super) fn failure(url: &Url, error: &clickhouse::error::Error) -> Failure {
    match error {
        clickhouse::error::Error::BadResponse(text) if text.contains("Code: ") => {
            Failure::exception(text, None)
        }
        _ => Failure::unreachable(format!("{}: {}", name_of(url), chain(error))),
    }
}

/// A server in a message.
pub(super) fn name_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    format!("{host}:{}", url.port_or_known_default().unwrap_or_default())
}

fn number(headers: &HeaderMap, name: &str) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use watershed_config::Secret;

    use super::*;
    use crate::testing::{Reply, server, tls_server};

    fn servers(url: &str, tls: &str) -> Servers {
        let endpoint = format!("{url}?max_threads=2");
        let mut connection = Connection::new(&endpoint, &std::collections::BTreeMap::new()).unwrap();
        connection.user = Some("me".to_owned());
        connection.password = Some(Secret::new("hunter2 ü"));
        let section = watershed_config::Section::from_text("tls", tls).unwrap();
        Servers::new(connection, &section.read().unwrap(), HeaderMap::new(), Credentials::default()).unwrap()
    }

    async fn insert(servers: &Servers) -> Result<(), Failure> {
        servers.insert(&[("query", "INSERT INTO t FORMAT Native")], &Bytes::from_static(b"block"), None).await
    }

    #[tokio::test]
    async fn an_insert_is_one_request_with_sign_in_and_settings() {
        let mut server = server(Reply::ok("")).await;
        insert(&servers(server.url(), "{}")).await.unwrap();
        let request = server.received().await;
        assert_eq!((request.header("x-clickhouse-user"), request.body.as_ref()), ("me", &b"block"[..]));
        assert_eq!(request.headers["x-clickhouse-key"].as_bytes(), "hunter2 ü".as_bytes());
    }

    #[track_caller]
    fn check(result: Result<(), Failure>, reaction: Reaction, words: &str) {
        let failure = result.unwrap_err();
        assert_eq!(failure.reaction, reaction, "{failure:?}");
        assert!(failure.reason.contains(words) && !failure.reason.contains("hunter2"), "{failure:?}");
    }

    #[tokio::test]
    async fn an_exception_behind_a_good_status_is_no_success() {
        let text = "\r\n__exception__\r\nabcd\r\nCode: 241. DB::Exception: Memory limit exceeded\r\n40 abcd";
        let server = server(Reply::ok(text)).await;
        check(insert(&servers(server.url(), "{}")).await, Reaction::Wait, "Code: 241");
    }

    #[tokio::test]
    async fn answers_of_a_proxy_are_told_from_those_of_clickhouse() {
        let server_413 = server(Reply::code(413, "<html>")).await;
        check(insert(&servers(server_413.url(), "{}")).await, Reaction::Split, "413");
        let server_503 = server(Reply::code(503, "").with("retry-after", "7")).await;
        let failure = insert(&servers(server_503.url(), "{}")).await.unwrap_err();
        assert_eq!((failure.reaction, failure.after), (Reaction::Elsewhere, Some(Duration::from_secs(7))));
        let by_header = Reply::code(500, "").with("x-clickhouse-exception-code", "252");
        check(insert(&servers(server(by_header).await.url(), "{}")).await, Reaction::Wait, "ClickHouse");
    }

    #[tokio::test]
    async fn inserts_and_queries_use_the_same_certificates() {
        let (server, certificate) = tls_server(Reply::code(500, "Code: 202. DB::Exception: busy")).await;
        let trusting = servers(server.url(), &format!("ca_pem: {certificate:?}"));
        check(insert(&trusting).await, Reaction::Wait, "Code: 202");
        let url = &trusting.urls()[0];
        let query = |servers: &Servers| servers.session(url).unwrap().query_raw("SELECT 1").execute();
        check(query(&trusting).await.map_err(|error| failure(url, &error)), Reaction::Wait, "Code: 202");
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
        let doubting = servers(server.url(), &format!("ca_pem: {other:?}"));
        check(insert(&doubting).await, Reaction::Elsewhere, "certificate");
        check(
            query(&doubting).await.map_err(|error| failure(url, &error)),
            Reaction::Elsewhere,
            "certificate",
        );
    }

    #[test]
    fn a_server_that_failed_is_asked_last() {
        let servers = servers("http://a,b,c", "{}");
        let order = || servers.order().into_iter().map(|(index, _)| index).collect::<Vec<_>>();
        assert_eq!(order(), [0, 1, 2]);
        assert!(!servers.is_final(0, &Err::<(), _>(Failure::unreachable(String::new()))));
        assert_eq!(order(), [1, 2, 0]);
        assert!(servers.is_final(0, &Ok(())));
        assert_eq!(order(), [0, 1, 2]);
    }
}
