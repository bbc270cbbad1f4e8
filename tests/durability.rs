//! The promise of an acknowledgement, tried on the real program: it is killed without warning under load, again and
//! again, and whatever a client was told is taken arrives.
//!
//! `KILL_CYCLES` says how often it is killed (default 3).

#![expect(clippy::expect_used, reason = "what goes wrong here fails the test")]

mod support {
    pub(crate) mod kill;
}

use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use support::kill::{SENDERS, cycles, kill_under_load, post, read_message, request, start};

/// Nothing here takes longer, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A far end that speaks OTLP over HTTP, is sometimes down, and remembers what it took.
#[derive(Default)]
struct FarEnd {
    down: AtomicBool,
    arrived: Mutex<BTreeSet<String>>,
}

impl FarEnd {
    fn start(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let far_end = Arc::clone(self);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let far_end = Arc::clone(&far_end);
                std::thread::spawn(move || far_end.serve(stream));
            }
        });
        address
    }

    /// Waits until all of these have arrived.
    fn wait_for(&self, texts: &BTreeSet<String>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let missing = texts.difference(&self.arrived.lock().expect("no panic")).count();
            if missing == 0 {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{missing} of {} acknowledged records never arrived",
                texts.len()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Answers the requests of one connection until it is cut.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut writer = stream;
        loop {
            let (_, body) = read_message(&mut reader)?;
            let answer = if self.down.load(Ordering::Relaxed) {
                "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
            } else {
                let request = ExportLogsServiceRequest::decode(&*body).expect("the body is what was sent");
                self.arrived.lock().expect("no panic").extend(bodies(&request));
                "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
            };
            writer.write_all(answer.as_bytes()).ok()?;
        }
    }
}

fn bodies(request: &ExportLogsServiceRequest) -> Vec<String> {
    let scopes = request.resource_logs.iter().flat_map(|resource| &resource.scope_logs);
    let bodies =
        scopes.flat_map(|scope| &scope.log_records).filter_map(|log| log.body.as_ref()?.value.as_ref());
    bodies
        .filter_map(|value| if let Value::StringValue(text) = value { Some(text.clone()) } else { None })
        .collect()
}

#[test]
fn what_a_client_was_told_is_taken_arrives_however_often_the_program_is_killed() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let far_end = Arc::new(FarEnd::default());
    let endpoint = far_end.start();
    let config = directory.path().join("config.yaml");
    let text = format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters:
  otlp_http:
    endpoint: 'http://{endpoint}'
    compression: none
    retry_on_failure: {{initial_interval: 20ms, max_interval: 100ms}}
service:
  storage: {{directory: '{}'}}
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{logs: {{receivers: [otlp], exporters: [otlp_http]}}}}
",
        directory.path().join("queues").display()
    );
    std::fs::write(&config, text).expect("a file");
    let next = AtomicU64::new(0);
    let mut acknowledged = BTreeSet::new();
    for cycle in 0..cycles() {
        far_end.down.store(cycle % 2 == 0, Ordering::Relaxed);
        acknowledged.extend(kill_under_load(&config, cycle, &next));
    }
    assert!(!acknowledged.is_empty(), "nothing was under way");
    far_end.down.store(false, Ordering::Relaxed);
    let (mut child, address) = start(&config);
    let (fresh, body) = request(SENDERS, u64::MAX);
    let mut stream = TcpStream::connect(address).expect("it listens");
    post(&mut stream, &body).expect("it takes data");
    acknowledged.extend(fresh);
    far_end.wait_for(&acknowledged);
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}
