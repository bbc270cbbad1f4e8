//! The counters, gauges and histograms as a page for Prometheus (text format 0.0.4).

use std::time::Duration;

use watershed_pipeline::{Distribution, Sample, Telemetry, Unit};

use super::settings::{Identity, Prometheus};
use crate::process::{cpu_time, resident_memory};

/// How names are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exposition {
    /// Counters end with `_total`.
    pub(crate) type_suffix: bool,
    /// Names end with their unit.
    pub(crate) units: bool,
}

impl From<&Prometheus> for Exposition {
    fn from(settings: &Prometheus) -> Self {
        Self { type_suffix: !settings.without_type_suffix, units: !settings.without_units }
    }
}

/// Writes the whole page.
pub(crate) fn page(telemetry: &Telemetry, identity: &Identity, uptime: Duration, form: Exposition) -> String {
    let mut page = Page { text: String::new(), family: String::new(), form };
    for sample in telemetry.samples() {
        let value = sample.value.to_string();
        page.line(&sample.name, sample.monotonic, sample.unit, &sample.help, &sample.labels, &value);
    }
    telemetry.distributions().iter().for_each(|distribution| page.histogram(distribution));
    page.process(uptime);
    let labels: Vec<(String, String)> = identity.0.clone().into_iter().collect();
    page.line("target_info", false, Unit::Items, "Describes this process.", &labels, "1");
    page.text
}

struct Page {
    text: String,
    /// The last name, whose help and type are written.
    family: String,
    form: Exposition,
}

impl Page {
    fn process(&mut self, uptime: Duration) {
        let seconds = format!("{:.3}", uptime.as_secs_f64());
        self.line("otelcol_process_uptime", true, Unit::Seconds, "Uptime of the process.", &[], &seconds);
        let seconds = format!("{:.2}", cpu_time().as_secs_f64());
        self.line(
            "otelcol_process_cpu_seconds",
            true,
            Unit::Seconds,
            "Processor time in user and system mode.",
            &[],
            &seconds,
        );
        if let Some(bytes) = resident_memory() {
            let help = "Memory of the process that is in physical memory.";
            self.line("otelcol_process_memory_rss", false, Unit::Bytes, help, &[], &bytes.to_string());
        }
    }

    fn line(
        &mut self,
        name: &str,
        is_counter: bool,
        unit: Unit,
        help: &str,
        labels: &[(String, String)],
        value: &str,
    ) {
        let name = self.form.name(name, is_counter, unit);
        self.head(&name, help, if is_counter { "counter" } else { "gauge" });
        self.series(&name, labels, value);
    }

    /// The cumulative counts of all buckets, their sum and their count, as the series that Prometheus makes of them.
    fn histogram(&mut self, distribution: &Distribution) {
        let Distribution { name, help, labels, buckets, sum } = distribution;
        let name = self.form.name(name, false, Unit::Seconds);
        self.head(&name, help, "histogram");
        for (bound, count) in buckets {
            let mut labels = labels.clone();
            labels.push(("le".to_owned(), (*bound).to_owned()));
            self.series(&format!("{name}_bucket"), &labels, &count.to_string());
        }
        self.series(&format!("{name}_sum"), labels, &sum.as_secs_f64().to_string());
        self.series(&format!("{name}_count"), labels, &distribution.count().to_string());
    }

    /// Says once for each name what it means.
    fn head(&mut self, name: &str, help: &str, kind: &str) {
        if self.family != name {
            let help = help.replace('\\', "\\\\").replace('\n', "\\n");
            self.text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            name.clone_into(&mut self.family);
        }
    }

    fn series(&mut self, name: &str, labels: &[(String, String)], value: &str) {
        self.text.push_str(name);
        let mut separator = '{';
        for (key, value) in labels {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.text.push_str(&format!("{separator}{}=\"{value}\"", sanitize(key)));
            separator = ',';
        }
        self.text.push_str(if labels.is_empty() { "" } else { "}" });
        self.text.push_str(&format!(" {value}\n"));
    }
}

impl Exposition {
    fn name(self, name: &str, is_counter: bool, unit: Unit) -> String {
        let mut name = sanitize(name);
        let unit = match unit {
            Unit::Seconds => "_seconds",
            Unit::Bytes => "_bytes",
            Unit::Items | Unit::Requests | Unit::Values | Unit::Handles => "",
        };
        if self.units && !name.ends_with(unit) {
            name.push_str(unit);
        }
        if self.type_suffix && is_counter {
            name.push_str("_total");
        }
        name
    }
}

/// Names hold letters, digits and underscores.
fn sanitize(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

/// The samples of the counters that belong to the process rather than to a component.
pub(super) fn process_samples(uptime: Duration) -> Vec<Sample> {
    let sample = |name: &str, help: &str, unit, monotonic, value| Sample {
        name: name.into(),
        help: help.into(),
        unit,
        monotonic,
        labels: Vec::new(),
        value,
    };
    let uptime = i128::from(uptime.as_secs());
    let cpu = i128::from(cpu_time().as_secs());
    let mut samples = vec![
        sample("otelcol_process_uptime", "Uptime of the process.", Unit::Seconds, true, uptime),
        sample(
            "otelcol_process_cpu_seconds",
            "Processor time in user and system mode.",
            Unit::Seconds,
            true,
            cpu,
        ),
    ];
    samples.extend(resident_memory().map(|bytes| {
        let help = "Memory of the process that is in physical memory.";
        sample("otelcol_process_memory_rss", help, Unit::Bytes, false, i128::from(bytes))
    }));
    samples
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn shown(form: Exposition) -> String {
        let telemetry = Telemetry::new();
        let name = "otelcol_receiver_accepted_spans";
        telemetry
            .counter(name, Unit::Items, "a\nb", &[("receiver", "otlp/\"x\""), ("data.type", "t")])
            .add(3);
        telemetry.counter(name, Unit::Items, "a\nb", &[("receiver", "z")]).add(4);
        telemetry.gauge("queue_size", Unit::Bytes, "bytes", &[]).set(-1);
        let page = page(&telemetry, &Identity(BTreeMap::new()), Duration::from_secs(2), form);
        page.split("# HELP otelcol_process_uptime").next().unwrap().to_owned()
    }

    #[test]
    fn names_are_those_of_the_collector_and_values_are_escaped() {
        assert_eq!(
            shown(Exposition::default()),
            "# HELP otelcol_receiver_accepted_spans a\\nb\n\
             # TYPE otelcol_receiver_accepted_spans counter\n\
             otelcol_receiver_accepted_spans{data_type=\"t\",receiver=\"otlp/\\\"x\\\"\"} 3\n\
             otelcol_receiver_accepted_spans{receiver=\"z\"} 4\n\
             # HELP queue_size bytes\n\
             # TYPE queue_size gauge\n\
             queue_size -1\n"
        );
    }

    #[test]
    fn a_histogram_is_its_buckets_sum_and_count() {
        let telemetry = Telemetry::new();
        telemetry.histogram("lag", "how late", &[("exporter", "x")]).observe(Duration::from_millis(1500));
        for (units, name) in [(false, "lag"), (true, "lag_seconds")] {
            let form = Exposition { type_suffix: true, units };
            let page = page(&telemetry, &Identity(BTreeMap::new()), Duration::ZERO, form);
            let text = page.split("# HELP otelcol_process_uptime").next().unwrap();
            assert!(
                text.starts_with(&format!("# HELP {name} how late\n# TYPE {name} histogram\n")),
                "{text}"
            );
            assert!(text.contains(&format!("{name}_bucket{{exporter=\"x\",le=\"1\"}} 0\n")), "{text}");
            assert!(text.contains(&format!("{name}_bucket{{exporter=\"x\",le=\"2.5\"}} 1\n")), "{text}");
            assert!(text.contains(&format!("{name}_bucket{{exporter=\"x\",le=\"+Inf\"}} 1\n")), "{text}");
            assert!(
                text.ends_with(&format!(
                    "{name}_sum{{exporter=\"x\"}} 1.5\n{name}_count{{exporter=\"x\"}} 1\n"
                ))
            );
        }
    }

    #[test]
    fn suffixes_come_back_when_asked_for() {
        let text = shown(Exposition { type_suffix: true, units: true });
        assert!(text.contains("otelcol_receiver_accepted_spans_total{"), "{text}");
        assert!(text.contains("queue_size_bytes -1"), "{text}");
    }
}
