//! What sets a record's own fields from others: time, severity, trace context, scope name.

use watershed_config::BuildError;
use watershed_pipeline::parse::severity::{self, SeverityMapping, SeverityMatch};
use watershed_pipeline::parse::{Layout, Zone, hex, time};
use watershed_pipeline::{AnyValue, Literal, Value};

use super::entry::Entry;
use super::path::Path;
use super::settings::{LayoutType, Severity, Source, Time, Trace};

type Outcome = Result<(), &'static str>;

/// How a record's own fields are set, after its text has been read.
#[derive(Debug, Default)]
pub(super) struct Refinement {
    time: Option<(Path, Clock, Zone)>,
    severity: Option<(Path, SeverityMapping, bool)>,
    trace: Option<[Path; 3]>,
    scope_name: Option<Path>,
}

#[derive(Debug)]
enum Clock {
    Detected,
    Layout(Layout),
    Epoch(time::Unit),
}

pub(super) fn path(text: &str, at: &str) -> Result<Path, BuildError> {
    Path::parse(text).map_err(|message| BuildError::at(at, message))
}

impl Refinement {
    pub(super) fn time(mut self, settings: Option<&Time>, zone: &Zone, at: &str) -> Result<Self, BuildError> {
        let Some(settings) = settings else { return Ok(self) };
        let from = path(&settings.parse_from, &format!("{at}parse_from"))?;
        let zone = match &settings.location {
            None => zone.clone(),
            Some(name) => Zone::named(name)
                .map_err(|error| BuildError::at(format!("{at}location"), error.to_string()))?,
        };
        let wrong = |message: String| BuildError::at(format!("{at}layout"), message);
        let clock = match (&settings.layout, settings.layout_type) {
            (None, LayoutType::Epoch) => {
                return Err(wrong("is missing; write `s`, `ms`, `us` or `ns`".to_owned()));
            }
            (None, LayoutType::Strptime | LayoutType::Gotime) => Clock::Detected,
            (Some(layout), LayoutType::Strptime) => {
                Clock::Layout(Layout::strptime(layout).map_err(|error| wrong(error.to_string()))?)
            }
            (Some(layout), LayoutType::Gotime) => {
                Clock::Layout(Layout::gotime(layout).map_err(|error| wrong(error.to_string()))?)
            }
            (Some(layout), LayoutType::Epoch) => Clock::Epoch(match layout.as_str() {
                "s" | "s.ms" | "s.us" | "s.ns" => time::Unit::Seconds,
                "ms" => time::Unit::Milliseconds,
                "us" => time::Unit::Microseconds,
                "ns" => time::Unit::Nanoseconds,
                other => {
                    return Err(wrong(format!(
                        "`{other}` is no epoch; write s, ms, us, ns, s.ms, s.us or s.ns"
                    )));
                }
            }),
        };
        self.time = Some((from, clock, zone));
        Ok(self)
    }

    pub(super) fn severity(mut self, settings: Option<&Severity>, at: &str) -> Result<Self, BuildError> {
        let Some(settings) = settings else { return Ok(self) };
        let from = path(&settings.parse_from, &format!("{at}parse_from"))?;
        let has_names = match settings.preset.as_deref() {
            None | Some("default") => true,
            Some("none") => false,
            Some(other) => {
                let message = format!("`{other}` is no preset; write `default` or `none`");
                return Err(BuildError::at(format!("{at}preset"), message));
            }
        };
        let mut matches = Vec::new();
        for (level, Literal(value)) in &settings.mapping {
            let place = format!("{at}mapping.{level}");
            let number = severity::by_name(level).ok_or_else(|| {
                BuildError::at(&place, format!("`{level}` is no level; write trace, debug, info, warn, error or fatal, or one with 2, 3 or 4 behind it"))
            })?;
            let values = if let AnyValue::Array(values) = value {
                values.as_slice()
            } else {
                std::slice::from_ref(value)
            };
            for value in values {
                let known = severity_match(value).map_err(|message| BuildError::at(&place, message))?;
                matches.push((known, number));
            }
        }
        self.severity = Some((from, SeverityMapping::new(matches, has_names), settings.overwrite_text));
        Ok(self)
    }

    pub(super) fn trace(mut self, settings: Option<&Trace>, at: &str) -> Result<Self, BuildError> {
        let Some(settings) = settings else { return Ok(self) };
        let one = |source: &Option<Source>, name: &str| match source {
            Some(source) => path(&source.parse_from, &format!("{at}{name}.parse_from")),
            None => path(&format!("attributes.{name}"), at),
        };
        self.trace = Some([
            one(&settings.trace_id, "trace_id")?,
            one(&settings.span_id, "span_id")?,
            one(&settings.trace_flags, "trace_flags")?,
        ]);
        Ok(self)
    }

    pub(super) fn scope_name(mut self, settings: Option<&Source>, at: &str) -> Result<Self, BuildError> {
        let Some(settings) = settings else { return Ok(self) };
        self.scope_name = Some(path(&settings.parse_from, &format!("{at}parse_from"))?);
        Ok(self)
    }

    pub(super) fn apply(&self, entry: &mut Entry, observed: u64) -> Outcome {
        if let Some((from, clock, zone)) = &self.time {
            let value = from.value(entry).ok_or("no time")?;
            entry.time = clock.read(value, zone, observed).ok_or("time")?;
        }
        if let Some((from, mapping, has_names)) = &self.severity {
            set_severity(entry, from, mapping, *has_names)?;
        }
        if let Some([trace, span, flags]) = &self.trace {
            let text = |path: &Path| {
                if let Some(AnyValue::Str(text)) = path.value(entry) { Some(text.clone()) } else { None }
            };
            let (trace, span, flags) = (text(trace), text(span), text(flags));
            if let Some(trace) = trace {
                entry.trace_id = hex(&trace).ok_or("trace id")?;
            }
            if let Some(span) = span {
                entry.span_id = hex(&span).ok_or("span id")?;
            }
            if let Some(flags) = flags {
                let [flags] = hex::<1>(&flags).ok_or("trace flags")?;
                entry.flags = flags.into();
            }
        }
        if let Some(from) = &self.scope_name {
            let Some(AnyValue::Str(name)) = from.value(entry) else { return Err("no scope name") };
            entry.scope_name = name.clone();
        }
        Ok(())
    }
}

fn set_severity(entry: &mut Entry, from: &Path, mapping: &SeverityMapping, overwrites: bool) -> Outcome {
    let (number, text) = match from.value(entry) {
        Some(AnyValue::Str(text)) => (mapping.number(Value::Str(text)), text.clone()),
        Some(AnyValue::Int(number)) => (mapping.number(Value::Int(*number)), number.to_string()),
        Some(AnyValue::Double(number)) if number.fract() == 0.0 => {
            // Beyond the whole numbers no level is mapped.
            let number = *number as i64;
            (mapping.number(Value::Int(number)), number.to_string())
        }
        _ => return Err("no severity"),
    };
    entry.severity_number = number.unwrap_or(0);
    entry.severity_text = if overwrites { severity::name_of(entry.severity_number).to_owned() } else { text };
    if number.is_some() { Ok(()) } else { Err("severity") }
}

impl Clock {
    fn read(&self, value: &AnyValue, zone: &Zone, observed: u64) -> Option<u64> {
        match (self, value) {
            (Self::Detected, AnyValue::Str(text)) => time::detect(text, zone, observed),
            (Self::Detected, AnyValue::Int(number)) => time::epoch(*number),
            (Self::Detected, AnyValue::Double(number)) => time::epoch_double(*number),
            (Self::Layout(layout), AnyValue::Str(text)) => layout.parse(text, zone, observed),
            (Self::Epoch(unit), AnyValue::Str(text)) => time::epoch_in(text, *unit),
            (Self::Epoch(unit), AnyValue::Int(number)) => {
                u64::try_from(*number).ok()?.checked_mul(unit.nanos())
            }
            (Self::Epoch(unit), AnyValue::Double(number)) if *number >= 0.0 => {
                // A double keeps microseconds of a time of today.
                let micros = (number * unit.nanos() as f64 / 1_000.0).round();
                (micros as u64).checked_mul(1_000)
            }
            _ => None,
        }
    }
}

/// What one value of a mapping means: `err`, `500`, `{min: 500, max: 599}`, `5xx`.
fn severity_match(value: &AnyValue) -> Result<SeverityMatch, String> {
    match value {
        AnyValue::Int(number) => Ok(SeverityMatch::Range(*number, *number)),
        AnyValue::Str(text) => {
            let hundreds = text.strip_suffix("xx").and_then(|digit| digit.parse::<i64>().ok());
            match hundreds.filter(|digit| (1..=5).contains(digit)) {
                Some(digit) => Ok(SeverityMatch::Range(digit * 100, digit * 100 + 99)),
                None => Ok(SeverityMatch::Text(text.clone())),
            }
        }
        AnyValue::Map(entries) => {
            let bound = |name: &str| entries.iter().find_map(|(key, value)| match value {
                AnyValue::Int(number) if key == name => Some(*number),
                _ => None,
            });
            match (bound("min"), bound("max")) {
                (Some(min), Some(max)) if entries.len() == 2 && min <= max => Ok(SeverityMatch::Range(min, max)),
                _ => Err("a range needs whole numbers `min` and `max`, the first not above the second".to_owned()),
            }
        }
        _ => Err("a level is mapped from a text, a whole number, `{min: 400, max: 499}`, `4xx`, or a list of these".to_owned()),
    }
}
