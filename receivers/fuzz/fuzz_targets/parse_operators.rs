//! No line makes an operator panic, and no expression the compiler of operators. The first line of the input is the
//! expression, the second byte chooses the operator.

#![no_main]

use libfuzzer_sys::fuzz_target;
use watershed_pipeline::{Batch, Signal};
use watershed_receivers::parsers::{Format, Operator, Parser, Rules};

const NOW: u64 = 1_734_604_220_000_000_000;
const PARSERS: [&str; 7] = [
    "json_parser", "key_value_parser", "syslog_parser", "uri_parser", "container", "csv_parser", "regex_parser",
];

fuzz_target!(|data: &str| {
    let (expression, text) = data.split_once('\n').unwrap_or(("true", data));
    let number = usize::from(text.bytes().next().unwrap_or(0));
    let name = PARSERS[number % PARSERS.len()];
    let mut first = serde_json::json!({"type": name, "if": expression});
    match name {
        "csv_parser" => first["header"] = "a,b".into(),
        "regex_parser" => first["regex"] = "(?P<a>[a-z]+)=(?P<b>.*)".into(),
        _ => {}
    }
    let settings = serde_json::json!([
        first,
        {"type": "recombine", "combine_field": "body", "is_first_entry": expression},
        {"type": "flatten", "field": "attributes.a"},
    ]);
    let operators: Vec<Operator> = serde_json::from_value(settings).expect("settings as they should be");
    let rules = Rules { format: &Format::None, time_zone: "UTC", operators: &operators };
    let Ok(parser) = Parser::compile(&rules) else { return };
    let mut source = parser.source();
    let mut builder = Batch::builder(Signal::Logs);
    for line in text.lines() {
        parser.parse(&mut source, line.as_bytes(), NOW, &mut builder, &mut |_| ());
    }
    parser.flush(&mut source, NOW, &mut builder, &mut |_| ());
    let batch = builder.build();
    let again = Batch::from_otlp(Signal::Logs, batch.to_otlp()).expect("our own bytes are valid");
    assert_eq!(again.len(), batch.len());
});
