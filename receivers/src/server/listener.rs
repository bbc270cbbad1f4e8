//! A bound port, and the loop that accepts connections until the stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use watershed_config::Endpoint;
use watershed_pipeline::{Shutdown, StartError};

use super::connection::Connection;
use super::tls::{self, Tls, TlsSettings};
use super::{Options, Service};

/// How long requests in flight may take after the stop was asked for.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// The wait after the system could not give a connection, for instance because files are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound port with everything that its connections need.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    options: Options,
    tls: Option<Tls>,
}

impl Server {
    /// Binds the port and reads the certificates.
    pub(crate) async fn bind(
        endpoint: &Endpoint,
        options: Options,
        tls: Option<&TlsSettings>,
    ) -> Result<Self, StartError> {
        let tls = tls.map(Tls::load).transpose().map_err(StartError::Other)?;
        let bound = bind(endpoint).await.and_then(|listener| {
            let address = listener.local_addr()?;
            Ok((listener, address))
        });
        let (listener, address) =
            bound.map_err(|source| StartError::Bind { address: endpoint.to_string(), source })?;
        Ok(Self { listener, address, options, tls })
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the stop is asked for; then finishes the requests in flight.
    pub(crate) async fn run<S: Service>(self, service: Arc<S>, mut shutdown: Shutdown) {
        let Self { listener, options, tls, .. } = self;
        let connection = Connection::new(options, service, shutdown.clone());
        let slots = Arc::new(Semaphore::new(connection.options().connections_max));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = shutdown.requested() => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = accept(&listener, &slots) => accepted,
            };
            let Some((stream, client, slot)) = accepted else { continue };
            let connection = connection.clone();
            let acceptor = tls.as_ref().map(Tls::acceptor);
            connections.spawn(async move {
                match acceptor {
                    None => connection.serve(stream, client, None).await,
                    Some(acceptor) => match Tls::accept(&acceptor, stream).await {
                        Ok(stream) => {
                            let certificate = tls::client_certificate(&stream);
                            connection.serve(stream, client, certificate).await;
                        }
                        Err(error) => tracing::debug!(%client, %error, "the TLS handshake failed"),
                    },
                }
                drop(slot);
            });
        }
        drop(listener);
        let finished = async { while connections.join_next().await.is_some() {} };
        if timeout(STOP_GRACE, finished).await.is_err() {
            tracing::warn!(
                "requests were still in flight {STOP_GRACE:?} after the stop; their clients are not answered"
            );
        }
    }
}

type Slot = tokio::sync::OwnedSemaphorePermit;

/// Waits for a free slot and then for a connection.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, SocketAddr, Slot)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, client)) => {
            // Without this an answer may wait for the client's next packet; if it fails, the answer is only late.
            drop(stream.set_nodelay(true));
            Some((stream, client, slot))
        }
        Err(error) if is_of_one_connection(&error) => None,
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection; trying again");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Whether the error concerns only the connection that was to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Binds a name's IPv4 address before its IPv6 one, as the Collector does: clients that are told `127.0.0.1`
/// would miss a listener on `::1`.
async fn bind(endpoint: &Endpoint) -> io::Result<TcpListener> {
    if endpoint.host().is_empty() {
        return match TcpListener::bind(endpoint.bind_address()).await {
            Err(error) if is_without_ipv6(&error) => TcpListener::bind(("0.0.0.0", endpoint.port())).await,
            bound => bound,
        };
    }
    let mut addresses: Vec<SocketAddr> = lookup_host(endpoint.bind_address()).await?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let address = addresses.first().ok_or_else(|| io::Error::other("the name has no address"))?;
    TcpListener::bind(address).await
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(AF_NOT_SUPPORTED)
}

/// `EAFNOSUPPORT` of Linux, which has no kind of its own.
const AF_NOT_SUPPORTED: i32 = 97;
