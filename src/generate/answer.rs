//! What a server made of a request, read from HTTP status, gRPC status and OTLP's partial success.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

/// What a server made of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Taken, except for so many records that the server rejected for good.
    Accepted { rejected: u64 },
    /// Not taken now; sending the same again makes sense, at once or after the time the server named.
    Busy { after: Option<Duration>, reason: String },
    /// Not taken, and it never will be.
    Refused { reason: String },
}

/// The headers of a message, its body, and its trailers.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    /// Reads the answer to an OTLP/HTTP request (OTLP specification, "OTLP/HTTP Response").
    pub(crate) fn of_http(response: &Response) -> Self {
        let status = response.status;
        let reason = || {
            let text: String = String::from_utf8_lossy(said(&response.body))
                .chars()
                .filter(|c| !c.is_control())
                .take(200)
                .collect();
            format!("{status}: {text}")
        };
        match status.as_u16() {
            200..=299 => Self::Accepted { rejected: rejected(&response.body) },
            429 | 502 | 503 | 504 => Self::Busy { after: retry_after(&response.headers), reason: reason() },
            _ => Self::Refused { reason: reason() },
        }
    }

    /// Reads the answer to an OTLP/gRPC request; the status stands in the trailers, or in the headers when there
    /// is no message.
    pub(crate) fn of_grpc(response: &Response) -> Self {
        let of = |name: &str| {
            let value = response.trailers.get(name).or_else(|| response.headers.get(name));
            value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let Some(code) = of("grpc-status") else {
            return Self::Refused { reason: format!("{} without grpc-status", response.status) };
        };
        let reason = format!("grpc-status {code}: {}", of("grpc-message").unwrap_or_default());
        match code.as_str() {
            "0" => Self::Accepted { rejected: rejected(response.body.get(5..).unwrap_or_default()) },
            // Cancelled, deadline exceeded, resource exhausted, aborted, out of range, unavailable, data loss.
            "1" | "4" | "8" | "10" | "11" | "14" | "15" => {
                Self::Busy { after: retry_after(&response.headers), reason }
            }
            _ => Self::Refused { reason },
        }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The number of rejected records in an export response: field 1 of the message in field 1.
fn rejected(body: &[u8]) -> u64 {
    let Some(partial) =
        field(body, 1, 2).and_then(|(length, rest)| rest.get(..usize::try_from(length).ok()?))
    else {
        return 0;
    };
    field(partial, 1, 0).map_or(0, |(count, _)| count)
}

/// What a server says of a failure: the `message` of a google.rpc.Status in protobuf, or else the whole body.
fn said(body: &[u8]) -> &[u8] {
    let behind_code = field(body, 1, 0).map_or(body, |(_, rest)| rest);
    let message = field(behind_code, 2, 2);
    message.and_then(|(length, rest)| rest.get(..usize::try_from(length).ok()?)).unwrap_or(body)
}

/// The number behind the key of this field and wire type at the start of `bytes`, and what follows.
fn field(bytes: &[u8], number: u8, wire_type: u8) -> Option<(u64, &[u8])> {
    let rest = bytes.strip_prefix(&[number << 3 | wire_type])?;
    let mut value = 0;
    for (index, byte) in rest.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, rest.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Response {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.collect(),
            body: body.to_vec(),
            trailers: HeaderMap::new(),
        }
    }

    #[test]
    fn a_partial_success_counts_what_was_rejected() {
        let partial = [10, 3, 8, 0xac, 2];
        assert_eq!(Answer::of_http(&response(200, &[], &partial)), Answer::Accepted { rejected: 300 });
        assert_eq!(Answer::of_http(&response(200, &[], &[])), Answer::Accepted { rejected: 0 });
        let framed = [&[0, 0, 0, 0, 5][..], &partial].concat();
        let answer = Answer::of_grpc(&response(200, &[("grpc-status", "0")], &framed));
        assert_eq!(answer, Answer::Accepted { rejected: 300 });
    }

    #[test]
    fn an_overloaded_server_is_told_from_one_that_refuses() {
        let busy = Answer::of_http(&response(503, &[("retry-after", "7")], b"later"));
        let after = Some(Duration::from_secs(7));
        assert_eq!(busy, Answer::Busy { after, reason: "503 Service Unavailable: later".into() });
        assert!(matches!(Answer::of_http(&response(400, &[], b"")), Answer::Refused { .. }));
        let status = Answer::of_http(&response(400, &[], b"\x08\x03\x12\x03bad"));
        assert_eq!(status, Answer::Refused { reason: "400 Bad Request: bad".into() });
        let code = |code| Answer::of_grpc(&response(200, &[("grpc-status", code)], b""));
        assert!(matches!(code("14"), Answer::Busy { .. }));
        assert!(matches!(code("3"), Answer::Refused { .. }));
    }

    #[test]
    fn a_broken_body_is_a_success_without_rejections() {
        for body in [&[10][..], &[10, 200], &[10, 1, 8], &[10, 2, 8, 0x80]] {
            assert_eq!(rejected(body), 0, "{body:?}");
        }
    }
}
