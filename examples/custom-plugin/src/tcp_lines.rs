//! Writes the body of each log record as one line to a TCP connection.
//!
//! ```yaml
//! tcp_lines:
//!   endpoint: localhost:5170
//! ```
//!
//! Signals: logs; others are refused. Order: kept within a batch. Loss: none while the queue in front of it has
//! room; a batch is sent again as a whole when the connection breaks. `sending_queue`, `retry_on_failure` and
//! `timeout` are settings of every exporter.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use watershed_config::BuildError;
use watershed_pipeline::{Batch, Context, ExportError, Exporter, ExporterConfig, Reach, Signal};

/// The settings of `tcp_lines`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Host and port to connect to. Required.
    endpoint: String,
}

impl ExporterConfig for Config {
    const TYPE: &'static str = "tcp_lines";
    const SOURCE: &'static str = include_str!("tcp_lines.rs");
    const REACH: Reach = Reach::Network { timeout: Duration::from_secs(5) };
    type Exporter = TcpLines;

    fn build(&self, _cx: &Context) -> Result<TcpLines, BuildError> {
        Ok(TcpLines { endpoint: self.endpoint.clone() })
    }
}

pub(crate) struct TcpLines {
    endpoint: String,
}

#[async_trait]
impl Exporter for TcpLines {
    async fn export(&self, batch: &Batch) -> Result<(), ExportError> {
        if batch.signal() != Signal::Logs {
            let reason = format!("tcp_lines takes logs, not {}", batch.signal());
            return Err(ExportError::Reject { count: batch.len(), reason });
        }
        let lines = lines(batch);
        let sent = async {
            let mut stream = TcpStream::connect(&self.endpoint).await?;
            stream.write_all(lines.as_bytes()).await?;
            stream.shutdown().await
        };
        sent.await.map_err(|error| ExportError::Retry {
            reason: format!("cannot write to {}: {error}", self.endpoint),
            after: None,
        })
    }
}

fn lines(batch: &Batch) -> String {
    let bodies = batch.logs().filter_map(|log| log.body().and_then(|body| body.as_str()));
    bodies.fold(String::new(), |lines, body| lines + &body.replace('\n', " ") + "\n")
}
