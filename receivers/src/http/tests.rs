//! The receiver as its clients see it.

use bytes::Bytes;
use http::{Request, StatusCode};

use super::Config;
use crate::testing::{Bench, Pieces, send};

async fn start(yaml: &str) -> Bench {
    Bench::run::<Config>("http/edge", &format!("endpoint: localhost:0\n{yaml}")).await
}

fn body(bytes: impl AsRef<[u8]>) -> Pieces {
    Bytes::copy_from_slice(bytes.as_ref()).into()
}

#[tokio::test]
async fn one_json_object_becomes_a_record() {
    let bench = start("").await;
    let request = Request::post("/logs").header("host", "a").header("content-type", "application/json");
    let answer = send(bench.address("http"), request.body(body(r#"{"user.id": "u1"}"#)).unwrap()).await;
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, r#"{"accepted":1,"rejected":0}"#));
    let batches = bench.probe.batches();
    let log = batches[0].logs().next().unwrap();
    assert_eq!(log.attribute("user.id").unwrap().as_str(), Some("u1"));
}
