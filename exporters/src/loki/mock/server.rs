//! The Loki on loopback.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use super::Loki;

/// A Loki that listens on loopback.
pub(crate) struct Server {
    pub(crate) url: String,
    loki: Arc<Mutex<Loki>>,
}

impl Server {
    pub(crate) async fn start(loki: Loki) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let loki = Arc::new(Mutex::new(loki));
        let shared = Arc::clone(&loki);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(|request| respond(request, Arc::clone(&shared)));
                    let server = auto::Builder::new(TokioExecutor::new());
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { url, loki }
    }

    pub(crate) fn loki(&self) -> MutexGuard<'_, Loki> {
        self.loki.lock().unwrap()
    }
}

async fn respond(
    request: Request<Incoming>,
    loki: Arc<Mutex<Loki>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let ((code, text), headers) = loki.lock().unwrap().answer(head.uri.path(), &head.headers, &body);
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response.headers_mut().extend(headers);
    Ok(response)
}
