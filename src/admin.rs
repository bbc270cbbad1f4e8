//! A small HTTP server beside the pipelines: `/metrics` for Prometheus, and the health of the process.
//!
//! Every address is bound before data flows, so that a port that is taken stops the start with a clear text.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use watershed_pipeline::Telemetry;

use crate::extensions::HealthCheck;
use crate::telemetry::{Exposition, Identity, MetricSettings, page};

/// A client that sends its request slower than this is let go.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of one listener at the same time; further ones wait.
const CONNECTIONS_MAX: usize = 64;
/// The pause after the system could not give a connection, for instance for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where the process is in its life; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Health(Arc<AtomicU8>);

/// A part of the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Ready,
    Stopping,
}

impl Health {
    pub(crate) fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Stopping,
        }
    }
}

/// What the pages show.
pub(crate) struct Source {
    pub(crate) telemetry: Telemetry,
    pub(crate) identity: Identity,
    pub(crate) start: Instant,
    pub(crate) health: Health,
}

/// The servers at work; they end when this is dropped.
pub(crate) struct Admin {
    /// Where they listen, with what for.
    pub(crate) addresses: Vec<(&'static str, SocketAddr)>,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
enum Page {
    Metrics(Exposition),
    Health(HealthCheck),
}

impl Admin {
    /// Binds every address and begins to answer.
    ///
    /// # Errors
    /// Says which address cannot be had, and how to choose another one.
    pub(crate) async fn start(
        metrics: &MetricSettings,
        health: &[HealthCheck],
        source: Source,
    ) -> Result<Self, String> {
        let source = Arc::new(source);
        let mut addresses = Vec::new();
        let mut tasks = JoinSet::new();
        for settings in metrics.pages() {
            let address = (settings.host.as_str(), settings.port);
            let listener =
                TcpListener::bind(address).await.map_err(|error| metrics_taken(address, &error))?;
            addresses.extend(listener.local_addr().map(|address| ("metrics", address)));
            tasks.spawn(serve(listener, Page::Metrics(Exposition::from(&settings)), Arc::clone(&source)));
        }
        for settings in health {
            let address = settings.endpoint.bind_address();
            let listener =
                TcpListener::bind(&address).await.map_err(|error| health_taken(&address, &error))?;
            addresses.extend(listener.local_addr().map(|address| ("health", address)));
            tasks.spawn(serve(listener, Page::Health(settings.clone()), Arc::clone(&source)));
        }
        Ok(Self { addresses, _tasks: tasks })
    }
}

fn metrics_taken((host, port): (&str, u16), error: &io::Error) -> String {
    format!(
        "cannot listen on {host}:{port} for own metrics: {error}; choose another address, for instance with \
         `--set service.telemetry.metrics.address=127.0.0.1:8889`, or none with \
         `--set service.telemetry.metrics.level=none`"
    )
}

fn health_taken(address: &str, error: &io::Error) -> String {
    format!(
        "cannot listen on {address} for the health check: {error}; choose another `endpoint` of the extension \
         `health_check`"
    )
}

async fn serve(listener: TcpListener, page: Page, source: Arc<Source>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match stream {
            Ok((stream, _)) => {
                connections.spawn(answer_all(stream, page.clone(), Arc::clone(&source)));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn answer_all(stream: TcpStream, page: Page, source: Arc<Source>) {
    let service = service_fn(|request: Request<Incoming>| {
        let response = respond(request.method(), request.uri().path(), &page, &source);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(REQUEST_TIMEOUT);
    // A client that goes away in the middle is its own business.
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

fn respond(method: &Method, path: &str, page: &Page, source: &Source) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let wanted = match page {
        Page::Metrics(_) => "/metrics",
        Page::Health(health) => &health.path,
    };
    if path != wanted {
        let hint = format!("nothing here; see {wanted}\n");
        return response(StatusCode::NOT_FOUND, TEXT, hint);
    }
    if method != Method::GET && method != Method::HEAD {
        return response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is supported\n".into());
    }
    match page {
        Page::Metrics(form) => {
            let body = metrics_page(source, *form);
            response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body)
        }
        Page::Health(settings) => health_page(source, settings),
    }
}

fn metrics_page(source: &Source, form: Exposition) -> String {
    page(&source.telemetry, &source.identity, source.start.elapsed(), form)
}

fn health_page(source: &Source, settings: &HealthCheck) -> Response<Full<Bytes>> {
    let (status, word) = match source.health.phase() {
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Phase::Ready => (StatusCode::OK, "ready"),
        Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
    };
    let Some(body) = &settings.response_body else {
        let seconds = source.start.elapsed().as_secs();
        let body = serde_json::json!({"status": word, "uptime_seconds": seconds, "version": env!("CARGO_PKG_VERSION")});
        return response(status, "application/json", body.to_string());
    };
    response(status, "text/plain; charset=utf-8", body.clone())
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn source(phase: Phase) -> Source {
        let health = Health::default();
        health.enter(phase);
        let identity = Identity::new(&std::collections::BTreeMap::new());
        Source { telemetry: Telemetry::new(), identity, start: Instant::now(), health }
    }

    #[track_caller]
    fn check(page: &Page, path: &str, phase: Phase, status: u16, start_of_body: &str) {
        let answer = respond(&Method::GET, path, page, &source(phase));
        assert_eq!(answer.status(), status);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(answer.into_body().collect()).unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.starts_with(start_of_body), "{body}");
    }

    #[test]
    fn health_is_good_only_between_start_and_stop() {
        let page = Page::Health(HealthCheck::default());
        check(&page, "/", Phase::Starting, 503, "{\"status\":\"starting\"");
        check(&page, "/", Phase::Ready, 200, "{\"status\":\"ready\"");
        check(&page, "/", Phase::Stopping, 503, "{\"status\":\"stopping\"");
        check(&page, "/other", Phase::Ready, 404, "nothing here; see /");
    }

    #[test]
    fn a_body_of_ones_own_replaces_the_json() {
        let page = Page::Health(HealthCheck { response_body: Some("fine".into()), ..HealthCheck::default() });
        check(&page, "/", Phase::Ready, 200, "fine");
    }

    #[test]
    fn metrics_are_at_their_path() {
        let page = Page::Metrics(Exposition::default());
        check(&page, "/metrics", Phase::Ready, 200, "# HELP otelcol_process_uptime");
        check(&page, "/", Phase::Ready, 404, "nothing here; see /metrics");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_told_with_the_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap().to_string().parse().unwrap();
        let settings = MetricSettings { address: Some(address), ..MetricSettings::default() };
        let error = Admin::start(&settings, &[], source(Phase::Starting)).await.err().unwrap();
        assert!(error.contains("--set service.telemetry.metrics.address="), "{error}");
    }
}
