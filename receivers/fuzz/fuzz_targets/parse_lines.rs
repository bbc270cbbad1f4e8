//! No lines make a parser of any format panic, and none is lost. The first byte of the input chooses the format.

#![no_main]

use libfuzzer_sys::fuzz_target;
use watershed_pipeline::{Batch, Signal};
use watershed_receivers::parsers::{CsvFormat, Format, Parser, Rules};

const NOW: u64 = 1_734_604_220_000_000_000;

fn format(number: u8) -> (Format, bool) {
    let csv = CsvFormat { header: vec!["a".into(), "b".into()], delimiter: ',' };
    // The second says whether one record may come of several lines, or of none.
    match number % 13 {
        0 => (Format::None, false),
        1 => (Format::Json, false),
        2 => (Format::Logfmt, false),
        3 => (Format::Syslog, false),
        4 => (Format::AccessLog, false),
        5 => (Format::Klog, false),
        6 => (Format::Python, false),
        7 => (Format::Log4j, false),
        8 => (Format::Postgresql, false),
        9 => (Format::Csv(csv), true),
        10 => (Format::Cri, true),
        11 => (Format::Docker, true),
        _ => (Format::Auto, true),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((number, text)) = data.split_first() else { return };
    let (format, joins) = format(*number);
    let rules = Rules { format: &format, time_zone: "UTC", operators: &[] };
    let parser = Parser::compile(&rules).expect("settings without a mistake");
    let mut source = parser.source();
    let mut builder = Batch::builder(Signal::Logs);
    let mut lines = 0;
    for line in text.split(|byte| *byte == b'\n') {
        lines += 1;
        parser.parse(&mut source, line, NOW, &mut builder, &mut |_| ());
    }
    parser.flush(&mut source, NOW, &mut builder, &mut |_| ());
    let batch = builder.build();
    assert!(batch.len() == lines || joins && batch.len() <= lines);
    let again = Batch::from_otlp(Signal::Logs, batch.to_otlp()).expect("our own bytes are valid");
    assert_eq!(again.len(), batch.len());
});
