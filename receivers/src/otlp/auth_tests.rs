//! Tests of who is let in over both protocols, and of certificates of clients.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, Request, Version};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::testing::{Bench, Pieces, grpc_request, http_request, logs, send, send_over};

const GUARDED: &str = "protocols: {grpc: {endpoint: 'localhost:0', auth: {authenticator: doorman}}, \
                       http: {endpoint: 'localhost:0', include_metadata: true, auth: {authenticator: doorman}}}";

/// What both protocols say to a sender at the door: over HTTP, over gRPC, and to the counter.
const CASES: [(&str, u16, &str, &str); 5] = [
    ("", 401, "16", "credentials_missing"),
    ("wrong", 401, "16", "credentials_invalid"),
    ("traces", 403, "7", "forbidden"),
    ("crowd", 503, "14", "credentials_busy"),
    ("ada", 200, "0", ""),
];

fn at_the_door(mut request: Request<Pieces>, name: &str) -> Request<Pieces> {
    if !name.is_empty() {
        request.headers_mut().insert("x-door", HeaderValue::from_str(name).unwrap());
    }
    request
}

#[tokio::test]
async fn only_who_may_send_is_let_in_and_refusals_are_counted_by_reason() {
    let bench = Bench::start(GUARDED).await;
    for (name, http, grpc, reason) in CASES {
        let answer = send(bench.http(), at_the_door(http_request(&logs(1)), name)).await;
        assert_eq!(answer.status.as_u16(), http, "{name}: {}", answer.text());
        assert_eq!(answer.header("www-authenticate"), if http == 401 { "Door" } else { "" });
        assert_eq!(answer.header("retry-after"), if http == 503 { "1" } else { "" });
        let answer = send(bench.grpc(), at_the_door(grpc_request(&logs(1), Pieces::from), name)).await;
        let status = answer.headers.get("grpc-status").or(answer.trailers.get("grpc-status")).unwrap();
        assert_eq!(status, grpc, "{name}");
        if !reason.is_empty() {
            assert_eq!(bench.refused(reason), 2, "{reason}");
        }
    }
    assert_eq!(bench.items(), 2);
    assert_eq!(bench.ended().await, 0);
}

#[tokio::test]
async fn who_is_not_let_in_is_told_before_the_body_comes() {
    let bench = Bench::start(GUARDED).await;
    let never = |_| Pieces::never(Some(1 << 20));
    let answer = send(bench.grpc(), at_the_door(grpc_request(&logs(1), never), "wrong")).await;
    assert_eq!(answer.header("grpc-status"), "16");
    let request = http_request(&logs(1)).map(|_| Pieces::never(Some(1 << 20)));
    let (mut parts, body) = request.into_parts();
    (parts.version, parts.uri) = (Version::HTTP_2, "http://localhost/v1/logs".parse().unwrap());
    parts.headers.remove("host");
    let answer = send(bench.http(), at_the_door(Request::from_parts(parts, body), "wrong")).await;
    assert_eq!(answer.status.as_u16(), 401);
    assert_eq!(bench.ended().await, 0);
}

#[tokio::test]
async fn a_browser_may_ask_without_credentials_what_it_may_send() {
    let yaml = "protocols: {http: {endpoint: 'localhost:0', cors: {allowed_origins: ['*']}, \
                auth: {authenticator: doorman}}}";
    let bench = Bench::start(yaml).await;
    let request = Request::options("/v1/logs")
        .header("host", "localhost")
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "POST")
        .body(Pieces::cut(&bytes::Bytes::new(), 1))
        .unwrap();
    assert_eq!(send(bench.http(), request).await.status.as_u16(), 204);
}

#[tokio::test]
async fn the_name_of_the_sender_travels_with_the_data_and_its_credentials_do_not() {
    let bench = Bench::start(GUARDED).await;
    let mut request = at_the_door(http_request(&logs(1)), "ada");
    request.headers_mut().insert("auth.subject", HeaderValue::from_static("admin"));
    request.headers_mut().insert("x-tenant", HeaderValue::from_static("a"));
    send(bench.http(), request).await;
    send(bench.grpc(), at_the_door(grpc_request(&logs(1), Pieces::from), "eve")).await;
    let batches = bench.probe.batches();
    let values = |number: usize, name: &str| {
        batches[number].metadata().unwrap().values(name).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!((values(0, "auth.subject"), values(0, "x-tenant")), (vec!["ada".into()], vec!["a".into()]));
    assert!(values(0, "x-door").is_empty());
    // Without `include_metadata` there is the name and nothing else.
    assert_eq!(values(1, "auth.subject"), ["eve"]);
    assert_eq!(batches[1].metadata().unwrap().client_address(), None);
}

/// An authority that signs certificates for clients.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for this name, and its key, in PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// Sends log records over TLS with a client's certificate; what the server trusts is `authority`.
async fn send_as(
    address: SocketAddr,
    authority: &str,
    identity: Option<&(String, String)>,
) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder
                .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
                .unwrap()
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await;
    let mut stream = stream.map_err(|error| error.to_string())?;
    // With TLS 1.3 a client hears only when it reads that its certificate was refused.
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.map_err(|error| error.to_string())?;
    stream.read(&mut [0; 1000]).await.map_err(|error| error.to_string())?;
    let answer = send_over(stream, http_request(&logs(1))).await;
    assert_eq!(answer.status.as_u16(), 200);
    Ok(())
}

#[tokio::test]
async fn clients_need_a_certificate_of_an_authority_that_may_be_exchanged() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (servers, first, second) = (Authority::new(), Authority::new(), Authority::new());
    let (certificate, key) = servers.sign("gateway");
    let (cert_file, key_file) = (write("cert.pem", &certificate), write("key.pem", &key));
    let client_ca_file = write("ca.pem", &first.pem);
    let yaml = format!(
        "protocols: {{http: {{endpoint: 'localhost:0', tls: {{cert_file: {cert_file}, key_file: {key_file}, \
         client_ca_file: {client_ca_file}, client_ca_file_reload: true}}}}}}"
    );
    let bench = Bench::start(&yaml).await;
    let (ada, eve) = (first.sign("ada"), second.sign("eve"));
    assert_eq!(send_as(bench.http(), &servers.pem, Some(&ada)).await, Ok(()));
    assert!(send_as(bench.http(), &servers.pem, None).await.is_err());
    assert!(send_as(bench.http(), &servers.pem, Some(&eve)).await.is_err());
    // Both authorities together are longer than one, so the change shows whatever the clock of the disk.
    write("ca.pem", &format!("{}{}", first.pem, second.pem));
    assert_eq!(send_as(bench.http(), &servers.pem, Some(&eve)).await, Ok(()));
    let names: Vec<String> = bench
        .probe
        .batches()
        .iter()
        .flat_map(|batch| {
            batch.metadata().unwrap().values("auth.subject").map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(names, ["ada", "eve"]);
}
