//! `verbosity: normal`: one line a record, with the lines of its resource and scope before the first.

use watershed_pipeline::{Batch, DataPoint, Number, PointValue, Record, Signal};

use super::text::{Groups, id, inline, plain};

pub(super) fn push(out: &mut String, batch: &Batch) {
    let noun = match batch.signal() {
        Signal::Logs => "Log",
        Signal::Traces => "Traces",
        Signal::Metrics => "Metrics",
    };
    let mut groups = Groups::default();
    for record in batch.records() {
        let begins = groups.see(record);
        if let Some(number) = begins.resource {
            let resource = record.resource();
            let schema = bracketed(resource.schema_url());
            out.push_str(&format!("Resource{noun} #{number}{schema}{}\n", inline(resource.attributes())));
        }
        if let Some(number) = begins.scope {
            out.push_str(&format!("Scope{noun} #{number}{}\n", scope(record)));
        }
        push_record(out, record);
    }
}

fn scope(record: Record<'_>) -> String {
    let scope = record.scope();
    let name = if scope.name().is_empty() { String::new() } else { format!(" {}", scope.name()) };
    let version = if scope.version().is_empty() { String::new() } else { format!("@{}", scope.version()) };
    format!("{name}{version}{}{}", bracketed(scope.schema_url()), inline(scope.attributes()))
}

fn bracketed(schema_url: &str) -> String {
    if schema_url.is_empty() { String::new() } else { format!(" [{schema_url}]") }
}

fn push_record(out: &mut String, record: Record<'_>) {
    if let Some(log) = record.log() {
        let body = log.body().map(plain).unwrap_or_default();
        out.push_str(&format!("{body}{}\n", inline(log.attributes())));
    } else if let Some(span) = record.span() {
        let (trace, own) = (id(&span.trace_id()), id(&span.span_id()));
        out.push_str(&format!("{} {trace} {own}{}\n", span.name(), inline(span.attributes())));
    } else if let Some(point) = record.point() {
        let attributes = point.attributes().iter().map(|(key, value)| format!("{key}={}", plain(value)));
        let attributes: Vec<String> = attributes.collect();
        out.push_str(&format!("{}{{{}}}{}\n", point.metric().name(), attributes.join(","), value(point)));
    }
}

fn value(point: DataPoint<'_>) -> String {
    let summary = |count: u64, numbers: [(&str, Option<f64>); 3]| {
        let numbers = numbers.into_iter().filter_map(|(name, number)| Some(format!(" {name}={}", number?)));
        format!(" count={count}{}", numbers.collect::<String>())
    };
    match point.value() {
        PointValue::Number(Number::None) => String::new(),
        PointValue::Number(Number::Int(value)) => format!(" {value}"),
        PointValue::Number(Number::Double(value)) => format!(" {value}"),
        PointValue::Histogram { count, sum, min, max, bucket_counts, explicit_bounds } => {
            let last = bucket_counts.get(explicit_bounds.len()).map(|count| format!(" {count}"));
            let buckets = explicit_bounds.iter().zip(bucket_counts);
            let buckets: String = buckets.map(|(bound, count)| format!(" le{bound}={count}")).collect();
            summary(count, [("sum", sum), ("min", min), ("max", max)]) + &buckets + &last.unwrap_or_default()
        }
        PointValue::ExponentialHistogram { count, sum, min, max, .. } => {
            summary(count, [("sum", sum), ("min", min), ("max", max)])
        }
        PointValue::Summary { count, sum, quantiles } => {
            let quantiles = quantiles.iter().map(|one| format!(" q{}={}", one.quantile, one.value));
            summary(count, [("sum", Some(sum)), ("", None), ("", None)]) + &quantiles.collect::<String>()
        }
    }
}
