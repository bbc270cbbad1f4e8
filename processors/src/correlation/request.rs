//! What the headers of the request say that a batch came with.

use watershed_pipeline::parse::hex;
use watershed_pipeline::{CorrelationId, Metadata};

/// The header in which 32 hexadecimal digits are a trace id.
const TRACE_HEADER: &str = "x-trace-id";

/// What holds for all records of a batch that do not say otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Request<'a> {
    pub(super) id: Option<CorrelationId<'a>>,
    pub(super) trace_id: Option<[u8; 16]>,
}

impl<'a> Request<'a> {
    /// Reads the headers of these names, in lower case; the first that holds an id counts.
    pub(super) fn of(sender: &'a Metadata, headers: &[String]) -> Self {
        let mut request = Self::default();
        for (name, value) in headers.iter().flat_map(|name| {
            let matching = sender.headers().iter().filter(move |(own, _)| own == name);
            matching.map(|(name, value)| (name.as_str(), value.as_str()))
        }) {
            match hex(value.trim()).filter(|_| name == TRACE_HEADER) {
                Some(trace_id) => {
                    request.trace_id = request.trace_id.or(Some(trace_id).filter(|id| *id != [0; 16]));
                }
                None => request.id = request.id.or_else(|| CorrelationId::of(value.as_bytes())),
            }
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_header_with_an_id_counts_and_hexadecimal_digits_are_a_trace() {
        const DIGITS: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        let trace = Some(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
        for (headers, id, trace_id) in [
            (&[("X-Request-ID", "r"), ("X-Correlation-ID", "c")][..], Some("c"), None),
            (&[("x-correlation-id", " "), ("x-request-id", "r")], Some("r"), None),
            (&[("x-trace-id", "visit-7")], Some("visit-7"), None),
            (&[("x-trace-id", DIGITS), ("x-request-id", "r")], Some("r"), trace),
            (&[("x-request-id", DIGITS)], Some(DIGITS), None),
            (&[("x-trace-id", "00000000000000000000000000000000")], None, None),
            (&[("x-other", "o")], None, None),
        ] {
            let pairs = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let sender = Metadata::new(pairs, None);
            let names = ["x-correlation-id", "x-request-id", "x-trace-id"].map(str::to_owned);
            let request = Request::of(&sender, &names);
            assert_eq!(request.id.as_ref().map(CorrelationId::as_str), id, "{headers:?}");
            assert_eq!(request.trace_id, trace_id, "{headers:?}");
        }
    }
}
