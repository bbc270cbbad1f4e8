//! Who may send: the program with authenticators in front of its ports, asked with right, wrong and no credentials, over
//! HTTP, gRPC, and TLS with certificates of clients.
#![cfg(test)]

mod support {
    pub(crate) mod program;
    pub(crate) mod running;
}

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use support::program::config_file;
use support::running::Running;

/// A peer that is silent for so long is broken.
const PATIENCE: Duration = Duration::from_secs(30);
const LOG: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"hi"}}]}]}]}"#;

/// Sends a log record with further header lines; answers with status, and headers and body in lower case.
fn post(address: SocketAddr, credentials: &str) -> (u16, String) {
    let length = LOG.len();
    ask(
        address,
        &format!(
            "POST /v1/logs HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n{credentials}\r\n{LOG}"
        ),
    )
}

fn ask(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer.to_ascii_lowercase())
}

/// Starts the program with a part of a configuration and what every one here needs.
fn start(name: &str, text: &str) -> Running {
    let rest = "
  telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]}}
";
    Running::start(&config_file(name, &format!("{text}{rest}")))
}

#[test]
fn requests_are_let_in_by_their_key_and_refusals_are_counted_by_reason() {
    let text = "
extensions:
  apikey:
    keys:
      - {name: shop, sha256: SHOP}
      - {name: browsers, sha256: BROWSERS, scopes: [traces]}
receivers:
  otlp:
    protocols: {http: {endpoint: '127.0.0.1:0', auth: {authenticator: apikey}}}
exporters: {stdout: }
service:
  extensions: [apikey]
  pipelines:
    logs: {receivers: [otlp], exporters: [stdout]}
    traces: {receivers: [otlp], exporters: [stdout]}";
    // The hashes of `key-of-shop` and `key-of-browsers`.
    let text = text
        .replace("SHOP", "625ec9a8bfc54cc62de07d58b187d9e967e1fbcaa61cf9acd03ce7995c261a8d")
        .replace("BROWSERS", "3092a49e34ae97596d7e1941c44198070e6bf49c964825cd492f3d00815fd858");
    let running = start("auth_keys.yaml", &text);
    let address = running.address("protocol", "http");
    for (credentials, status, words) in [
        ("", 401, "credentials are missing; send them in the header `x-api-key`"),
        ("x-api-key: wrong-hunter2\r\n", 401, "the credentials are not valid"),
        ("x-api-key: key-of-browsers\r\n", 403, "these credentials may not send logs"),
        ("x-api-key: key-of-shop\r\n", 200, "{}"),
    ] {
        let (answered, answer) = post(address, credentials);
        assert_eq!(answered, status, "{credentials}: {answer}");
        assert!(answer.contains(words), "{credentials}: {answer}");
        assert_eq!(answer.contains("www-authenticate: apikey"), status == 401, "{answer}");
    }
    let metrics = running.address("message", "metrics available");
    let (_, counted) = ask(metrics, "GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    for reason in ["credentials_missing", "credentials_invalid", "forbidden"] {
        let line = counted.lines().find(|line| line.contains(&format!("reason=\"{reason}\"")));
        let line = line.unwrap_or_else(|| panic!("{reason} is not counted: {counted}"));
        assert!(line.contains("receiver=\"otlp\"") && line.ends_with(" 1"), "{line}");
    }
    let (status, stdout, stderr) = running.stop();
    assert!(status.success(), "{stderr}");
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    for secret in ["key-of-", "hunter2", "625ec9a8bfc54cc6"] {
        assert!(
            !stderr.contains(secret) && !stdout.contains(secret) && !counted.contains(secret),
            "{secret}"
        );
    }
}

#[test]
fn the_example_of_a_secure_gateway_lets_in_who_has_the_token() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    write_certificates(folder.path(), &["gateway"]);
    let file = |name: &str| folder.path().join(name).display().to_string();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/secure-gateway.yaml");
    let config = config_file("auth_secure-gateway.yaml", &std::fs::read_to_string(example).unwrap());
    let settings = [
        "receivers.otlp.protocols.grpc.endpoint=127.0.0.1:0",
        "receivers.otlp.protocols.http.endpoint=127.0.0.1:0",
        "service.telemetry.metrics.readers=[{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]",
    ];
    let variables = [
        ("GATEWAY_TOKEN", "first-hunter2"),
        ("CERT_FILE", &file("gateway.pem")),
        ("KEY_FILE", &file("gateway.key")),
    ];
    let gateway = Running::start_with(&config, &settings, &variables);
    let (address, tls) = (gateway.address("protocol", "grpc"), format!("ca_file: {}", file("ca.pem")));
    let right = start_agent("auth_right.yaml", address, &tls, "token: first-hunter2");
    let wrong = start_agent("auth_wrong.yaml", address, &tls, "token: other");
    assert_eq!(post(right.address("protocol", "http"), "").0, 200);
    assert_eq!(post(wrong.address("protocol", "http"), "").0, 400);
}

/// An authority, and what it has signed: `ca.pem`, and a certificate and key for each name.
fn write_certificates(folder: &Path, names: &[&str]) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    for name in names {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, *name);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// An agent that tells its own client at once what the gateway answers.
fn start_agent(name: &str, gateway: SocketAddr, tls: &str, token: &str) -> Running {
    let port = gateway.port();
    let text = format!(
        "
extensions: {{bearertokenauth: {{{token}}}}}
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters:
  otlp_grpc:
    endpoint: https://localhost:{port}
    tls: {{{tls}}}
    auth: {{authenticator: bearertokenauth}}
    sending_queue: {{enabled: false}}
    retry_on_failure: {{enabled: false}}
service:
  extensions: [bearertokenauth]
  pipelines: {{logs: {{receivers: [otlp], exporters: [otlp_grpc]}}}}"
    );
    start(name, &text)
}

#[test]
fn agents_prove_themselves_by_certificate_and_by_a_token_that_is_exchanged_without_a_restart() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    write_certificates(folder.path(), &["gateway", "agent"]);
    std::fs::write(file("tokens"), "first-hunter2\n").unwrap();
    std::fs::write(file("token"), "first-hunter2\n").unwrap();
    let (ca, cert, key) = (file("ca.pem"), file("gateway.pem"), file("gateway.key"));
    let tokens = file("tokens");
    let text = format!(
        "
extensions: {{bearertokenauth: {{filename: {tokens}, reload_interval: 0s}}}}
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:0
        tls: {{cert_file: {cert}, key_file: {key}, client_ca_file: {ca}, min_version: '1.3'}}
        auth: {{authenticator: bearertokenauth}}
exporters: {{stdout: }}
service:
  extensions: [bearertokenauth]
  pipelines: {{logs: {{receivers: [otlp], exporters: [stdout]}}}}"
    );
    let gateway = start("auth_gateway.yaml", &text);
    let address = gateway.address("protocol", "grpc");
    let identity =
        format!("ca_file: {ca}, cert_file: {}, key_file: {}", file("agent.pem"), file("agent.key"));
    let watching = format!("filename: {}, reload_interval: 0s", file("token"));
    let agent = start_agent("auth_agent.yaml", address, &identity, &watching);
    let fixed = start_agent("auth_fixed.yaml", address, &identity, "token: first-hunter2");
    let nameless = start_agent("auth_nameless.yaml", address, &format!("ca_file: {ca}"), &watching);

    #[track_caller]
    fn check(agent: &Running, status: u16, words: &str) {
        let (answered, answer) = post(agent.address("protocol", "http"), "");
        assert_eq!(answered, status, "{answer}");
        assert!(answer.contains(words) && !answer.contains("hunter2"), "{answer}");
    }
    check(&agent, 200, "{}");
    check(&fixed, 200, "{}");
    check(&nameless, 503, "no answer from the server");
    std::fs::write(file("tokens"), "the-second-hunter2\n").unwrap();
    check(&fixed, 400, "unauthenticated");
    check(&agent, 400, "unauthenticated");
    std::fs::write(file("token"), "the-second-hunter2\n").unwrap();
    check(&agent, 200, "{}");

    for running in [agent, fixed, nameless] {
        let (_, stdout, stderr) = running.stop();
        assert!(!stderr.contains("hunter2") && !stdout.contains("hunter2"), "{stderr}");
    }
    let (status, stdout, stderr) = gateway.stop();
    assert!(status.success(), "{stderr}");
    assert_eq!(stdout.lines().count(), 3, "{stdout}");
    assert!(!stderr.contains("hunter2") && !stdout.contains("hunter2"), "{stderr}");
}
