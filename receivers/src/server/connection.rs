//! One connection from its first byte to its last: limits of time and size, and the graceful end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep_until;
use watershed_pipeline::Shutdown;

use super::certificate::ClientCertificate;
use super::{Options, Service};

/// What a client may send on one HTTP/2 stream before we have read any of it.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for all streams of a connection.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// The largest HTTP/2 frame that we take: large messages then come in few pieces.
const FRAME_MAX: u32 = 1 << 20;
/// The headers of one request, in bytes; for HTTP/1.1 also the buffer that bodies are read through.
const HEADERS_MAX: u32 = 64 << 10;

/// Makes connections of one server; cheap to clone.
pub(crate) struct Connection<S> {
    builder: Arc<Builder<TokioExecutor>>,
    options: Arc<Options>,
    service: Arc<S>,
    shutdown: Shutdown,
}

impl<S> Clone for Connection<S> {
    fn clone(&self) -> Self {
        Self {
            builder: Arc::clone(&self.builder),
            options: Arc::clone(&self.options),
            service: Arc::clone(&self.service),
            shutdown: self.shutdown.clone(),
        }
    }
}

impl<S: Service> Connection<S> {
    /// Prepares what all connections of a server share.
    pub(crate) fn new(options: Options, service: Arc<S>, shutdown: Shutdown) -> Self {
        let builder = Arc::new(builder(&options));
        Self { builder, options: Arc::new(options), service, shutdown }
    }

    /// How connections are treated.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Serves one connection until it ends. The certificate of a client goes into the extensions of its requests.
    pub(crate) async fn serve<I>(self, stream: I, client: SocketAddr, certificate: Option<ClientCertificate>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { builder, options, service, mut shutdown } = self;
        let activity = Arc::new(Activity::new());
        let calls = Arc::clone(&activity);
        let answer = service_fn(move |mut request: Request<Incoming>| {
            if let Some(certificate) = &certificate {
                request.extensions_mut().insert(certificate.clone());
            }
            let (service, call) = (Arc::clone(&service), calls.begin());
            async move {
                let response = service.call(request, client).await;
                drop(call);
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answer));
        let mut clock = Clock::new(&options, activity);
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%client, error, "a connection ended early");
                    }
                    return;
                }
                () = shutdown.requested(), if !clock.is_closing => clock.close(None),
                verdict = clock.next() => match verdict {
                    Verdict::Close => clock.close(options.age_grace),
                    Verdict::Cut => return,
                    Verdict::Stay => continue,
                },
            }
            connection.as_mut().graceful_shutdown();
        }
    }
}

fn builder(options: &Options) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .keep_alive(options.keep_alive)
        .header_read_timeout(options.header_timeout)
        .max_buf_size(HEADERS_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_MAX)
        .max_header_list_size(HEADERS_MAX)
        .max_concurrent_streams(options.streams_max)
        .keep_alive_interval(options.ping_interval)
        .keep_alive_timeout(options.ping_timeout);
    if options.http1 { builder } else { builder.http2_only() }
}

/// Counts the requests of one connection, to know when it is idle.
struct Activity {
    start: Instant,
    has_begun: AtomicBool,
    in_flight: AtomicUsize,
    last_end: AtomicU64,
}

/// One request in flight; dropping it is its end.
struct Call(Arc<Activity>);

impl Activity {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            has_begun: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            last_end: AtomicU64::new(0),
        }
    }

    fn begin(self: &Arc<Self>) -> Call {
        self.has_begun.store(true, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Call(Arc::clone(self))
    }

    /// Since when the connection has had no request; now, if it has one.
    fn idle_since(&self) -> Instant {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            return Instant::now();
        }
        self.start + Duration::from_millis(self.last_end.load(Ordering::Relaxed))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let elapsed = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_end.store(elapsed, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Knows when a connection has to end.
struct Clock {
    activity: Arc<Activity>,
    idle_timeout: Option<Duration>,
    first_timeout: Option<Duration>,
    age_end: Option<Instant>,
    is_closing: bool,
    cut_at: Option<Instant>,
}

/// What has to be done with a connection.
enum Verdict {
    /// Nothing yet.
    Stay,
    /// End it gracefully.
    Close,
    /// Drop it.
    Cut,
}

impl Clock {
    fn new(options: &Options, activity: Arc<Activity>) -> Self {
        // Connections that were opened together should not all be opened again together.
        let age = options.age_max.map(|age| age.mul_f64(0.9 + 0.2 * fastrand::f64()));
        let age_end = age.and_then(|age| activity.start.checked_add(age));
        Self {
            activity,
            idle_timeout: options.idle_timeout,
            first_timeout: options.header_timeout,
            age_end,
            is_closing: false,
            cut_at: None,
        }
    }

    /// When the connection has been without a request for too long, if nothing comes.
    fn idle_end(&self) -> Option<Instant> {
        // hyper limits the time of headers only once it knows the version of HTTP, so the first wait is ours.
        let has_begun = self.activity.has_begun.load(Ordering::Relaxed);
        let first = self.first_timeout.filter(|_| !has_begun);
        let timeout = self.idle_timeout.into_iter().chain(first).min()?;
        self.activity.idle_since().checked_add(timeout)
    }

    /// Remembers that the connection is being closed, and for how long that may take.
    fn close(&mut self, grace: Option<Duration>) {
        self.is_closing = true;
        self.cut_at = grace.and_then(|grace| Instant::now().checked_add(grace));
    }

    /// Waits for the next moment at which something may have to be done.
    async fn next(&self) -> Verdict {
        let idle_end = self.idle_end();
        let moment =
            if self.is_closing { self.cut_at } else { idle_end.into_iter().chain(self.age_end).min() };
        match moment {
            None => std::future::pending().await,
            Some(moment) => sleep_until(moment.into()).await,
        }
        if self.is_closing {
            return Verdict::Cut;
        }
        let now = Instant::now();
        let is_idle = self.idle_end().is_some_and(|end| now >= end);
        let is_old = self.age_end.is_some_and(|end| now >= end);
        if is_idle || is_old { Verdict::Close } else { Verdict::Stay }
    }
}
