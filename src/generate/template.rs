//! Records that look like those of a web shop, encoded once, with slots for what differs.
//!
//! Field numbers are those of `opentelemetry/proto/{logs,trace,metrics,common,resource}/v1`.

use watershed_pipeline::Signal;

use super::message::{Message, Slot, delimited, varint, varint_size};

/// What is written into the slots of one record.
pub(crate) struct Values {
    pub(crate) time: u64,
    pub(crate) later_time: u64,
    pub(crate) trace_id: [u8; 16],
    pub(crate) span_id: [u8; 8],
    pub(crate) parent_span_id: [u8; 8],
    pub(crate) request_id: [u8; 16],
}

/// A record without its `sequence`.
pub(crate) struct Template {
    message: Message,
    /// The field of the message that holds attributes.
    attributes: u32,
}

/// Requests of the shop: method, route, status, duration in milliseconds, what happened.
const REQUESTS: [(&str, &str, u64, f64, &str); 8] = [
    ("GET", "/api/v1/products/{id}", 200, 12.25, "product page rendered from cache"),
    ("POST", "/api/v1/orders", 201, 148.5, "order accepted and reserved in the warehouse"),
    ("GET", "/api/v1/carts/{id}", 200, 8.75, "cart read with all of its lines"),
    ("PUT", "/api/v1/carts/{id}/lines", 200, 31.0, "line added to the cart"),
    ("GET", "/api/v1/search", 200, 61.125, "search answered from the second replica"),
    ("POST", "/api/v1/payments", 402, 402.5, "payment refused by the bank of the customer"),
    ("GET", "/api/v1/users/{id}/orders", 200, 25.5, "orders of the customer listed"),
    ("DELETE", "/api/v1/carts/{id}", 503, 1004.0, "cart store did not answer in time"),
];
/// Spans that share a trace: a root, which has no parent, and its children. It divides the number of templates.
pub(crate) const SPANS_PER_TRACE: u64 = 4;
/// A body is filled to about so many bytes.
const BODY_SIZE: usize = 200;

impl Template {
    /// The templates of a signal, to be used in turn.
    pub(crate) fn all(signal: Signal) -> Vec<Self> {
        let numbered = REQUESTS.iter().enumerate();
        let make = |(index, request): (usize, &(&str, &str, u64, f64, &str))| match signal {
            Signal::Logs => Self::log(index, request),
            Signal::Traces => Self::span(index, request),
            Signal::Metrics => Self::point(index, request),
        };
        numbered.map(make).collect()
    }

    fn log(index: usize, request: &(&str, &str, u64, f64, &str)) -> Self {
        let (method, route, status, _, what) = request;
        let (severity, severity_text) = match status {
            500.. => (17, "ERROR"),
            400..=499 => (13, "WARN"),
            _ => (9, "INFO"),
        };
        let before = format!("{method} {route} answered {status}: {what}; request ");
        let filler = " of session web, region eu-central-1, served after one attempt by the pool of warm workers, \
                      nothing else to report about the request";
        let room = BODY_SIZE.saturating_sub(before.len() + Slot::RequestId.size());
        let body = Message::new().text_with_id(1, &before, filler.get(..room).unwrap_or(filler));
        let message = Message::new()
            .time_slot(1, Slot::Time)
            .number(2, severity)
            .text(3, severity_text)
            .message(5, &body)
            .id_slot(9, Slot::TraceId)
            .id_slot(10, Slot::SpanId)
            .time_slot(11, Slot::LaterTime);
        Self { message: with_attributes(message, 6, index, request), attributes: 6 }
    }

    fn span(index: usize, request: &(&str, &str, u64, f64, &str)) -> Self {
        let (method, route, status, ..) = request;
        let outcome = Message::new().number(3, if *status >= 500 { 2 } else { 0 });
        let ids = Message::new().id_slot(1, Slot::TraceId).id_slot(2, Slot::SpanId);
        let is_root = (index as u64).is_multiple_of(SPANS_PER_TRACE);
        let ids = if is_root { ids } else { ids.id_slot(4, Slot::ParentSpanId) };
        let message = ids
            .text(5, &format!("{method} {route}"))
            .number(6, 2)
            .time_slot(7, Slot::Time)
            .time_slot(8, Slot::LaterTime)
            .message(15, &outcome);
        Self { message: with_attributes(message, 9, index, request), attributes: 9 }
    }

    fn point(index: usize, request: &(&str, &str, u64, f64, &str)) -> Self {
        let (_, _, _, duration, _) = request;
        let message = Message::new()
            .time_slot(2, Slot::Time)
            .time_slot(3, Slot::LaterTime)
            .fixed(4, (duration * 1000.0).to_bits());
        Self { message: with_attributes(message, 7, index, request), attributes: 7 }
    }

    /// Appends the record as `field` of the message around it.
    pub(crate) fn append(&self, out: &mut Vec<u8>, field: u32, values: &Values, sequence: u64) {
        const KEY: &str = "sequence";
        let number_size = varint_size(sequence);
        let value_size = 1 + number_size;
        let pair_size = 2 + KEY.len() + 2 + value_size;
        delimited(out, field, self.message.bytes.len() + 2 + pair_size);
        let start = out.len();
        out.extend_from_slice(&self.message.bytes);
        if let Some(record) = out.get_mut(start..) {
            self.fill(record, values);
        }
        delimited(out, self.attributes, pair_size);
        delimited(out, 1, KEY.len());
        out.extend_from_slice(KEY.as_bytes());
        delimited(out, 2, value_size);
        varint(out, 3 << 3);
        varint(out, sequence);
    }

    fn fill(&self, record: &mut [u8], values: &Values) {
        for (offset, slot) in &self.message.slots {
            let Some(place) = record.get_mut(*offset..offset + slot.size()) else { continue };
            match slot {
                Slot::Time => place.copy_from_slice(&values.time.to_le_bytes()),
                Slot::LaterTime => place.copy_from_slice(&values.later_time.to_le_bytes()),
                Slot::TraceId => place.copy_from_slice(&values.trace_id),
                Slot::SpanId => place.copy_from_slice(&values.span_id),
                Slot::ParentSpanId => place.copy_from_slice(&values.parent_span_id),
                Slot::RequestId => place.copy_from_slice(&values.request_id),
            }
        }
    }
}

/// Adds the nine attributes that, with `sequence`, make ten.
fn with_attributes(
    message: Message,
    field: u32,
    index: usize,
    request: &(&str, &str, u64, f64, &str),
) -> Message {
    let (method, route, status, duration, _) = request;
    let text = |value: &str| Message::new().text(1, value);
    let attributes = [
        ("http.request.method", text(method)),
        ("http.route", text(route)),
        ("http.response.status_code", Message::new().number(3, *status)),
        ("http.duration_ms", Message::new().fixed(4, duration.to_bits())),
        ("user.id", text(&format!("user-{:06}", index * 7919 % 1_000_000))),
        ("client.address", text(&format!("203.0.113.{}", index * 31 % 250 + 1))),
        (
            "user_agent.original",
            text(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36",
            ),
        ),
        ("cache.hit", Message::new().number(2, u64::from(index.is_multiple_of(2)))),
        ("thread.id", Message::new().number(3, index as u64 + 1)),
    ];
    attributes.iter().fold(message, |message, (key, value)| message.message(field, &pair(key, value)))
}

fn pair(key: &str, value: &Message) -> Message {
    Message::new().text(1, key).message(2, value)
}

/// The resource of all records of one connection, with six attributes.
pub(crate) fn resource(connection: usize) -> Message {
    let attributes = [
        ("service.name", "checkout".to_owned()),
        ("service.namespace", "shop".to_owned()),
        ("service.version", "2.14.3".to_owned()),
        ("service.instance.id", format!("checkout-7d9f6c-{connection:04}")),
        ("host.name", format!("node-{:02}.eu-central-1.example", connection % 16)),
        ("deployment.environment.name", "production".to_owned()),
    ];
    let text = |value: &str| Message::new().text(1, value);
    attributes
        .iter()
        .fold(Message::new(), |resource, (key, value)| resource.message(1, &pair(key, &text(value))))
}

/// The scope of all records.
pub(crate) fn scope() -> Message {
    Message::new().text(1, "watershed.generate").text(2, env!("CARGO_PKG_VERSION"))
}
