//! What the processor does with whole batches.

mod properties;

use std::time::Duration;

use watershed_pipeline::testing::{Drive, build};
use watershed_pipeline::{AnyValue, AttributesMut, Kind, Metadata, Record, RecordMut, Value};

use super::*;

const TRACE: [u8; 16] = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes();
const SPAN: [u8; 8] = 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes();
const TRACE_TEXT: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn processor(settings: &str) -> Drive<Correlation> {
    Drive::new(build::<Config>(settings).unwrap())
}

fn log(fill: impl FnOnce(&mut RecordMut<'_>)) -> Batch {
    Batch::builder(Signal::Logs).record(fill).build()
}

fn with_headers(mut batch: Batch, headers: &[(&str, &str)]) -> Batch {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    batch.set_metadata(Some(Arc::new(Metadata::new(headers, None))));
    batch
}

/// What goes out, read again from its bytes, so that a change that is not written would show.
fn pass(drive: &mut Drive<Correlation>, batch: Batch) -> Batch {
    let passed = drive.process(batch).remove(0);
    Batch::from_otlp(passed.signal(), passed.to_otlp()).unwrap()
}

fn show(record: Record<'_>) -> String {
    let one = |(key, value): (&str, Value<'_>)| format!("{key}={}", value.to_text());
    record.attributes().iter().map(one).collect::<Vec<_>>().join(" ")
}

fn text_of<'a>(record: Record<'a>, key: &str) -> &'a str {
    record.attribute(key).and_then(Value::as_str).unwrap_or_default()
}

/// Passes one log record with these attributes, and compares its attributes.
#[track_caller]
fn check(settings: &str, attributes: &[(&str, &str)], expected: &str) {
    let batch = log(|log| attributes.iter().for_each(|(key, value)| log.set_attribute(key, *value)));
    let passed = pass(&mut processor(settings), batch);
    assert_eq!(passed.records().map(show).collect::<String>(), expected);
}

#[test]
fn an_id_is_taken_from_the_first_name_that_holds_one() {
    check("{}", &[("correlation.id", "a")], "correlation.id=a correlation.source=attribute");
    check("{}", &[("correlationId", "a"), ("x", "y")], "x=y correlation.id=a correlation.source=attribute");
    check("{}", &[("requestId", "a")], "correlation.id=a correlation.source=attribute");
    check(
        "{}",
        &[("request_id", "r"), ("correlation_id", "c")],
        "request_id=r correlation.id=c correlation.source=attribute",
    );
    check(
        "id_attributes: [order]",
        &[("request_id", "r"), ("order", "o")],
        "request_id=r correlation.id=o correlation.source=attribute",
    );
    check(
        "{}",
        &[("correlation.id", " "), ("request_id", "r")],
        "correlation.id=r correlation.source=attribute",
    );
    check(
        "{}",
        &[("http.request.header.x-request-id", "h")],
        "http.request.header.x-request-id=h correlation.id=h correlation.source=header",
    );
    check(
        "{}",
        &[("http.request.header.x_correlation_id", "h"), ("request_id", "r")],
        "http.request.header.x_correlation_id=h correlation.id=r correlation.source=attribute",
    );
    check("{}", &[("sessionId", "s")], "correlation.id=s correlation.source=session session.id=s");
    check(
        "{}",
        &[("correlation.id", "t"), ("correlation.source", "trace")],
        "correlation.id=t correlation.source=trace",
    );
    check(
        "{}",
        &[("correlation.id", "t"), ("correlation.source", "elsewhere")],
        "correlation.id=t correlation.source=attribute",
    );
}

#[test]
fn unsafe_ids_become_their_hash_and_stay_beside_it() {
    check(
        "{}",
        &[("correlation_id", "a b")],
        "correlation.id=sha256:c8687a08aa5d6ed2044328fa6a697ab8 correlation.id.original=a b correlation.source=attribute",
    );
    let passed = pass(&mut processor("{}"), log(|log| log.set_attribute("request_id", 17_i64)));
    assert_eq!(
        passed.records().map(show).collect::<String>(),
        "correlation.id=17 correlation.source=attribute"
    );
}

#[test]
fn captured_headers_are_lists_of_which_the_first_counts() {
    let values = AnyValue::Array(vec!["h".into(), "i".into()]);
    let batch = log(|log| log.set_attribute("http.request.header.x-correlation-id", &values));
    let passed = pass(&mut processor("{}"), batch);
    assert_eq!(text_of(passed.records().next().unwrap(), "correlation.id"), "h");
}

#[test]
fn the_request_that_brought_a_record_names_it_unless_the_record_does() {
    let id = |batch: Batch, settings: &str| {
        let passed = pass(&mut processor(settings), batch);
        let record = passed.records().next().unwrap();
        (text_of(record, "correlation.id").to_owned(), text_of(record, "correlation.source").to_owned())
    };
    let request = [("X-Request-ID", "r")];
    let trace = |log: &mut RecordMut<'_>| log.set_trace_context(TRACE, SPAN, 1);
    assert_eq!(id(with_headers(log(trace), &request), "{}"), ("r".into(), "header".into()));
    assert_eq!(id(with_headers(log(trace), &request), "headers: []"), (TRACE_TEXT.into(), "trace".into()));
    let own = |log: &mut RecordMut<'_>| log.set_attribute("correlation_id", "c");
    assert_eq!(id(with_headers(log(own), &request), "{}"), ("c".into(), "attribute".into()));
    // A receiver may have put it on the record already.
    let stamped = |log: &mut RecordMut<'_>| log.set_attribute("correlation.id", "r");
    assert_eq!(id(with_headers(log(stamped), &request), "{}"), ("r".into(), "header".into()));
}

#[test]
fn a_trace_header_of_hexadecimal_digits_is_the_trace_of_log_records_without_one() {
    let passed = pass(&mut processor("{}"), with_headers(log(|_| ()), &[("x-trace-id", TRACE_TEXT)]));
    let record = passed.records().next().unwrap();
    assert_eq!(record.trace_id(), TRACE);
    assert_eq!(show(record), format!("correlation.id={TRACE_TEXT} correlation.source=trace"));
    let own = log(|log| log.set_trace_context([7; 16], SPAN, 0));
    let passed = pass(&mut processor("{}"), with_headers(own, &[("x-trace-id", TRACE_TEXT)]));
    assert_eq!(passed.records().next().unwrap().trace_id(), [7; 16]);
}

/// Passes one log record with these attributes, and compares its trace context and what else is left.
#[track_caller]
fn check_context(attributes: &[(&str, &str)], expected: ([u8; 16], [u8; 8], u32), left: &str) {
    let batch = log(|log| attributes.iter().for_each(|(key, value)| log.set_attribute(key, *value)));
    let passed = pass(&mut processor("{}"), batch);
    let log = passed.logs().next().unwrap();
    assert_eq!((log.trace_id(), log.span_id(), log.flags()), expected, "{attributes:?}");
    let rest = log.attributes().iter().filter(|(key, _)| !key.starts_with("correlation."));
    assert_eq!(rest.map(|(key, _)| key).collect::<Vec<_>>().join(" "), left);
}

#[test]
fn trace_context_moves_from_attributes_to_empty_fields() {
    let parent = format!("00-{TRACE_TEXT}-00f067aa0ba902b7-01");
    check_context(&[("traceparent", &parent), ("x", "y")], (TRACE, SPAN, 1), "x");
    check_context(
        &[("trace_id", TRACE_TEXT), ("span_id", "00f067aa0ba902b7"), ("trace_flags", "01")],
        (TRACE, SPAN, 1),
        "",
    );
    check_context(&[("traceId", TRACE_TEXT)], (TRACE, [0; 8], 0), "");
    check_context(&[("trace.id", "not one")], ([0; 16], [0; 8], 0), "trace.id");
    check_context(&[("trace_id", "00000000000000000000000000000000")], ([0; 16], [0; 8], 0), "trace_id");
    let low = 0xa3ce_929d_0e0e_4736_u64;
    let datadog = [("dd.trace_id", low.to_string()), ("dd.span_id", u64::from_be_bytes(SPAN).to_string())];
    let datadog = datadog.each_ref().map(|(key, value)| (*key, value.as_str()));
    check_context(&datadog, (u128::from(low).to_be_bytes(), SPAN, 0), "");
}

#[test]
fn a_record_keeps_its_own_trace_and_takes_no_span_of_another() {
    for (own, expected) in [((TRACE, [0; 8]), (TRACE, SPAN)), (([7; 16], [0; 8]), ([7; 16], [0; 8]))] {
        let batch = log(|log| {
            log.set_trace_context(own.0, own.1, 0);
            log.set_attribute("trace_id", TRACE_TEXT);
            log.set_attribute("span_id", "00f067aa0ba902b7");
        });
        let passed = pass(&mut processor("{}"), batch);
        let log = passed.logs().next().unwrap();
        assert_eq!((log.trace_id(), log.span_id()), expected);
    }
}

#[test]
fn a_body_that_is_a_map_is_read_and_stays() {
    let body = AnyValue::Map(vec![
        ("message".into(), "paid".into()),
        ("trace_id".into(), TRACE_TEXT.into()),
        ("correlationId".into(), "c".into()),
        ("userId".into(), 17_i64.into()),
    ]);
    let passed = pass(&mut processor("{}"), log(|log| log.set_body(&body)));
    let log = passed.logs().next().unwrap();
    assert_eq!(log.trace_id(), TRACE);
    assert_eq!(log.body().unwrap().to_any_value(), body);
    let record = passed.records().next().unwrap();
    assert_eq!(show(record), "correlation.id=c correlation.source=attribute user.id=17");
}

#[test]
fn sessions_and_users_get_their_name_unless_it_is_taken() {
    let known = ("correlation.id", "c");
    let expected = "correlation.id=c correlation.source=attribute";
    check("{}", &[known, ("user_id", "u")], &format!("{expected} user.id=u"));
    check("{}", &[known, ("enduser.id", "u")], &format!("{expected} user.id=u"));
    check(
        "{}",
        &[known, ("user_id", "u"), ("user.id", "v")],
        "correlation.id=c user_id=u user.id=v correlation.source=attribute",
    );
}

#[test]
fn a_session_of_the_resource_names_its_records() {
    let session = |resource: &mut AttributesMut<'_>| resource.set_attribute("session.id", "s");
    let batch = Batch::builder(Signal::Logs).resource(session).record(|log| log.set_body("x")).build();
    let passed = pass(&mut processor("{}"), batch);
    assert_eq!(show(passed.records().next().unwrap()), "correlation.id=s correlation.source=session");
}

#[test]
fn deprecated_names_are_replaced_only_if_asked_for() {
    let attributes = [
        ("correlation.id", "c"),
        ("correlation.source", "header"),
        ("http.method", "GET"),
        ("db.system", "mssql"),
    ];
    check("{}", &attributes, "correlation.id=c correlation.source=header http.method=GET db.system=mssql");
    check(
        "rename_deprecated: true",
        &attributes,
        "correlation.id=c correlation.source=header http.request.method=GET db.system.name=microsoft.sql_server",
    );
    check(
        "rename_deprecated: true",
        &[("correlation.id", "c"), ("net.peer.ip", "1"), ("net.sock.peer.addr", "2")],
        "correlation.id=c net.sock.peer.addr=2 correlation.source=attribute network.peer.address=1",
    );
}

#[test]
fn a_batch_that_has_all_passes_as_it_was_received() {
    let batch = log(|log| {
        log.set_trace_context(TRACE, SPAN, 1);
        log.set_attribute("correlation.id", "c");
        log.set_attribute("correlation.source", "trace");
    });
    let received = Batch::from_otlp(Signal::Logs, batch.to_otlp()).unwrap();
    let bytes = received.to_otlp();
    let passed = processor("{}").process(received).remove(0);
    assert_eq!(passed.to_otlp().as_ptr(), bytes.as_ptr(), "not even copied");
}

#[test]
fn records_are_counted_by_where_their_id_is_from() {
    let telemetry = watershed_pipeline::Telemetry::new();
    let section = watershed_config::Section::from_text("correlation", "{}").unwrap();
    let budget = watershed_pipeline::Budget::new(1 << 30, 1 << 30);
    let id = "correlation".parse().unwrap();
    let cx = Context::new(Kind::Processor, id, telemetry.clone(), budget, Arc::default());
    let mut drive = Drive::new(section.read::<Config>().unwrap().build(&cx).unwrap());
    let mut builder = Batch::builder(Signal::Logs);
    builder.push(|log| {
        log.set_attribute("correlation.id", "c");
        log.set_attribute("correlation.source", "attribute");
    });
    builder.push(|log| log.set_trace_context(TRACE, SPAN, 1));
    builder.push(|log| log.set_body("x"));
    drive.process(builder.build());
    let counts: Vec<(String, i128)> = telemetry
        .samples()
        .into_iter()
        .filter(|sample| sample.value > 0)
        .map(|sample| (sample.labels[1].1.clone(), sample.value))
        .collect();
    let one = |source: &str| (source.to_owned(), 1);
    assert_eq!(counts, [one("attribute"), one("generated"), one("trace")]);
}

fn trace_log(fill: impl FnOnce(&mut RecordMut<'_>)) -> Batch {
    log(|log| {
        log.set_trace_context(TRACE, SPAN, 1);
        fill(log);
    })
}

#[test]
fn what_a_span_says_of_its_trace_is_filled_in_by_every_lane_for_the_window() {
    let section = watershed_config::Section::from_text("correlation", "back_fill: {window: 10s}").unwrap();
    let config: Config = section.read().unwrap();
    let cx = Context::detached(Kind::Processor, "correlation".parse().unwrap());
    let lane = || Drive::new(config.build(&cx).unwrap());
    let (mut traces, mut logs) = (lane(), lane());
    let span = Batch::builder(Signal::Traces).record(|span| {
        span.set_span_ids(TRACE, SPAN, [0; 8]);
        span.set_attribute("request_id", "r");
        span.set_attribute("user.id", "u");
        span.set_attribute("session.id", "s");
    });
    let before = pass(&mut logs, trace_log(|_| ()));
    let expected = format!("correlation.id={TRACE_TEXT} correlation.source=trace");
    assert_eq!(show(before.records().next().unwrap()), expected);
    pass(&mut traces, span.build());
    let after = pass(&mut logs, trace_log(|_| ()));
    let expected = "correlation.id=r correlation.source=span session.id=s user.id=u";
    assert_eq!(show(after.records().next().unwrap()), expected);
    // A record without the trace is of the same request.
    let of_request = pass(&mut logs, log(|log| log.set_attribute("correlation.id", "r")));
    let expected = "correlation.id=r correlation.source=attribute session.id=s user.id=u";
    assert_eq!(show(of_request.records().next().unwrap()), expected);
    let of_tenant = pass(&mut logs, trace_log(|log| log.set_attribute("tenant.id", "other")));
    assert_eq!(text_of(of_tenant.records().next().unwrap(), "correlation.source"), "trace");
    logs.advance(Duration::from_secs(10));
    let late = pass(&mut logs, trace_log(|_| ()));
    assert_eq!(text_of(late.records().next().unwrap(), "correlation.source"), "trace");
}

#[test]
fn records_of_one_batch_tell_each_other_whatever_their_order() {
    let mut builder = Batch::builder(Signal::Logs);
    builder.push(|log| log.set_trace_context(TRACE, SPAN, 1));
    builder.push(|log| {
        log.set_trace_context(TRACE, SPAN, 1);
        log.set_attribute("correlation_id", "c");
    });
    let passed = pass(&mut processor("back_fill: {}"), builder.build());
    assert!(passed.records().all(|record| text_of(record, "correlation.id") == "c"));
}

#[test]
fn mistakes_are_shown_where_they_are() {
    for (yaml, expected) in [
        (
            "back_fill: {window: 0s}",
            "correlation:1:21: correlation.back_fill.window: is 0; give a time such as `5m`, or remove `back_fill`",
        ),
        (
            "back_fill: {max_memory: 0}",
            "correlation:1:25: correlation.back_fill.max_memory: is 0; give a size such as `16MiB`, or remove `back_fill`",
        ),
        ("headers: [a, '']", "correlation:1:14: correlation.headers[1]: is empty; give a name, or remove it"),
    ] {
        assert_eq!(build::<Config>(yaml).err().unwrap().to_string(), expected);
    }
}
