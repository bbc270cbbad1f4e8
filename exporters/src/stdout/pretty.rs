//! Records as text for people: time, level, service, message, and then all attributes.

use watershed_pipeline::{Attributes, DataPoint, LogRecord, Number, PointValue, Record, Span, Value};

use crate::flat_json::{duration_ms, push_value, severity_name, span_kind, status_name};
use crate::terminal;
use watershed_pipeline::calendar::Moment;

/// Where the second and further lines of a message begin.
const INDENT: &str = "    ";

/// A way to show text: the number of ECMA-48 "select graphic rendition".
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Blue,
    Cyan,
    Magenta,
}

/// Appends one record with its end of line.
pub(super) fn push_record(out: &mut Vec<u8>, record: Record<'_>, is_colored: bool) {
    let mut text = Text { out, is_colored };
    if let Some(log) = record.log() {
        push_log(&mut text, log);
    } else if let Some(span) = record.span() {
        push_span(&mut text, span);
    } else if let Some(point) = record.point() {
        push_point(&mut text, point);
    }
    text.attributes(record.attributes(), "");
    text.attributes(record.resource().attributes(), "service.name");
    text.out.push(b'\n');
}

fn push_log(text: &mut Text<'_>, log: LogRecord<'_>) {
    let time = match log.time_unix_nano() {
        0 => log.observed_time_unix_nano(),
        time => time,
    };
    let level = match severity_name(log.severity_number()) {
        "" if log.severity_text().is_empty() => "-",
        "" => log.severity_text(),
        name => name,
    };
    let style = match log.severity_number() {
        1..=8 => Style::Dim,
        9..=12 => Style::Green,
        13..=16 => Style::Yellow,
        17..=24 => Style::Red,
        _ => Style::Plain,
    };
    text.head(time, level, style, log.resource().attribute("service.name"));
    match log.body() {
        None => text.message(log.event_name()),
        Some(Value::Str(body)) => text.message(body),
        Some(body) => text.message(&json_of(body)),
    }
}

fn push_span(text: &mut Text<'_>, span: Span<'_>) {
    let style = if span.status_code() == 2 { Style::Red } else { Style::Blue };
    text.head(span.start_time_unix_nano(), "SPAN", style, span.resource().attribute("service.name"));
    text.message(span.name());
    text.styled(Style::Bold, &format!(" {}ms", duration_ms(span)));
    for word in [span_kind(span.kind()), status_name(span.status_code()), span.status_message()] {
        if !word.is_empty() {
            text.styled(style, &format!(" {word}"));
        }
    }
}

fn push_point(text: &mut Text<'_>, point: DataPoint<'_>) {
    let metric = point.metric();
    let service = point.resource().attribute("service.name");
    text.head(point.time_unix_nano(), "POINT", Style::Magenta, service);
    text.message(metric.name());
    text.styled(Style::Bold, &format!(" {}", value_of(point)));
    if !metric.unit().is_empty() {
        text.styled(Style::Plain, &format!(" {}", metric.unit()));
    }
}

fn value_of(point: DataPoint<'_>) -> String {
    let summary = |count, sum: Option<f64>| match sum {
        Some(sum) => format!("count={count} sum={sum}"),
        None => format!("count={count}"),
    };
    match point.value() {
        PointValue::Number(Number::None) => "-".to_owned(),
        PointValue::Number(Number::Int(value)) => value.to_string(),
        PointValue::Number(Number::Double(value)) => value.to_string(),
        PointValue::Histogram { count, sum, .. } | PointValue::ExponentialHistogram { count, sum, .. } => {
            summary(count, sum)
        }
        PointValue::Summary { count, sum, .. } => summary(count, Some(sum)),
    }
}

fn json_of(value: Value<'_>) -> String {
    let mut json = Vec::new();
    push_value(&mut json, value);
    String::from_utf8_lossy(&json).into_owned()
}

/// The text so far. All that comes from telemetry goes through [`Text::safe`].
struct Text<'a> {
    out: &'a mut Vec<u8>,
    is_colored: bool,
}

impl Text<'_> {
    fn head(&mut self, time: u64, level: &str, style: Style, service: Option<Value<'_>>) {
        let mut shown = Vec::new();
        Moment::from_unix_nano(time).push_iso(&mut shown);
        self.styled(Style::Dim, &String::from_utf8_lossy(&shown));
        self.styled(style, &format!(" {level:<5} "));
        if let Some(service) = service.and_then(Value::as_str) {
            self.styled(Style::Cyan, &format!("{service}: "));
        }
    }

    /// Writes a message; its further lines are indented, so that none of them looks like a record.
    fn message(&mut self, message: &str) {
        for (index, line) in message.trim_end_matches(['\r', '\n']).split('\n').enumerate() {
            if index > 0 {
                self.out.push(b'\n');
                self.out.extend_from_slice(INDENT.as_bytes());
            }
            self.safe(line.strip_suffix('\r').unwrap_or(line));
        }
    }

    fn attributes(&mut self, attributes: Attributes<'_>, skipped: &str) {
        for (key, value) in attributes.iter().filter(|(key, _)| *key != skipped) {
            let value = match value {
                Value::Str(text) if is_plain(text) => text.to_owned(),
                value => json_of(value),
            };
            self.styled(Style::Dim, &format!(" {key}={value}"));
        }
    }

    fn styled(&mut self, style: Style, text: &str) {
        let code = match style {
            Style::Plain => "",
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Red => "31",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Blue => "34",
            Style::Cyan => "36",
            Style::Magenta => "35",
        };
        if !self.is_colored || style == Style::Plain {
            return self.safe(text);
        }
        self.out.extend_from_slice(format!("\x1b[{code}m").as_bytes());
        self.safe(text);
        self.out.extend_from_slice(b"\x1b[0m");
    }

    fn safe(&mut self, text: &str) {
        terminal::push_safe(self.out, text);
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|letter: char| letter.is_whitespace() || "\"'=".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use watershed_pipeline::{Batch, Signal};

    #[track_caller]
    fn check(batch: &Batch, is_colored: bool, expected: &str) {
        let mut out = Vec::new();
        for record in batch.records() {
            push_record(&mut out, record, is_colored);
        }
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    fn log(body: &str, key: &str, value: &str) -> Batch {
        Batch::builder(Signal::Logs)
            .resource(|resource| resource.set_attribute("service.name", "shop"))
            .record(|log| {
                log.set_time_unix_nano(1_000_000);
                log.set_severity_number(17);
                log.set_body(body);
                log.set_attribute(key, value);
            })
            .build()
    }

    #[test]
    fn a_log_record_is_one_line() {
        check(
            &log("no stock", "order", "47 11"),
            false,
            "1970-01-01T00:00:00.001Z ERROR shop: no stock order=\"47 11\"\n",
        );
    }

    #[test]
    fn further_lines_of_a_message_are_indented() {
        check(
            &log("oops\r\n\tat a\n", "k", "v"),
            false,
            "1970-01-01T00:00:00.001Z ERROR shop: oops\n    \tat a k=v\n",
        );
    }

    #[test]
    fn colours_surround_the_parts() {
        check(
            &log("x", "k", "v"),
            true,
            "\x1b[2m1970-01-01T00:00:00.001Z\x1b[0m\x1b[31m ERROR \x1b[0m\x1b[36mshop: \x1b[0mx\x1b[2m k=v\x1b[0m\n",
        );
    }

    #[test]
    fn points_show_their_value_and_unit() {
        let mut builder = Batch::builder(Signal::Metrics);
        builder.begin_number_metric("http.requests", "{request}", None);
        builder.push_point(0, 0, Number::Int(5), |point| point.set_attribute("method", "GET"));
        check(
            &builder.build(),
            false,
            "1970-01-01T00:00:00.000Z POINT http.requests 5 {request} method=GET\n",
        );
    }

    proptest! {
        #[test]
        fn property_telemetry_cannot_drive_the_terminal(body in "(?s:.{0,40})|[\\x00-\\x9f]{0,20}", key in "(?s:.{0,9})", value in "(?s:.{0,9})") {
            let mut out = Vec::new();
            for record in log(&body, &key, &value).records() {
                push_record(&mut out, record, false);
            }
            let text = String::from_utf8(out).unwrap();
            prop_assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n' && letter != '\t'), "{text:?}");
            prop_assert!(text.lines().skip(1).all(|line| line.starts_with(INDENT)), "{text:?}");
        }
    }
}
