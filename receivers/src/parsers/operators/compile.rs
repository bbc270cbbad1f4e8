//! Settings to steps.

use watershed_config::BuildError;
use watershed_pipeline::parse::Zone;
use watershed_pipeline::{AnyValue, Literal};

use super::chain::Link;
use super::expression::Expression;
use super::parse::TextParser;
use super::path::Path;
use super::recombine::{Bound, Recombine};
use super::refine::{Refinement, path};
use super::settings::{Operator, OperatorType, Severity, Source, Time, Trace};
use super::step::Step;
use crate::parsers::columns::Columns;
use crate::parsers::patterns::Pattern;
use crate::parsers::syslog::Protocol;

/// The most lines of a record that is put together, and its bytes.
const LINES_MAX: usize = 1000;
const BYTES_MAX: usize = 1 << 20;
/// The most outputs of one operator, as each of them gets a copy.
const OUTPUTS_MAX: usize = 8;

/// Compiles all operators.
pub(super) fn links(operators: &[Operator], zone: &Zone) -> Result<Vec<Link>, BuildError> {
    let names: Vec<&str> =
        operators.iter().map(|operator| operator.id.as_deref().unwrap_or(operator.kind.name())).collect();
    let one = |(index, operator): (usize, &Operator)| {
        let compiler = Compiler { operator, zone, names: &names, index };
        compiler.link().map_err(|error| {
            let path = [format!("operators[{index}]"), error.path].join(".");
            BuildError::at(path.trim_end_matches('.'), error.message)
        })
    };
    operators.iter().enumerate().map(one).collect()
}

impl OperatorType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::JsonParser => "json_parser",
            Self::RegexParser => "regex_parser",
            Self::CsvParser => "csv_parser",
            Self::KeyValueParser => "key_value_parser",
            Self::SyslogParser => "syslog_parser",
            Self::UriParser => "uri_parser",
            Self::TimeParser => "time_parser",
            Self::SeverityParser => "severity_parser",
            Self::TraceParser => "trace_parser",
            Self::ScopeNameParser => "scope_name_parser",
            Self::Container => "container",
            Self::Move => "move",
            Self::Copy => "copy",
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Retain => "retain",
            Self::Flatten => "flatten",
            Self::Filter => "filter",
            Self::Router => "router",
            Self::Recombine => "recombine",
        }
    }
}

struct Compiler<'a> {
    operator: &'a Operator,
    zone: &'a Zone,
    names: &'a [&'a str],
    index: usize,
}

impl Compiler<'_> {
    fn link(&self) -> Result<Link, BuildError> {
        let operator = self.operator;
        if let Some(name) = operator.misplaced() {
            let message = format!("is no setting of `{}`; remove it", operator.kind.name());
            return Err(BuildError::at(name, message));
        }
        let condition = operator.condition.as_deref().map(|text| expression(text, "if")).transpose()?;
        Ok(Link {
            step: self.step()?,
            name: operator.kind.name(),
            condition,
            on_error: operator.on_error,
            outputs: self.outputs()?,
        })
    }

    fn outputs(&self) -> Result<Vec<usize>, BuildError> {
        let wrong =
            || BuildError::at("output", "is the id of a later operator, or a list of up to 8 of them");
        match &self.operator.output {
            None => Ok(vec![self.index + 1]),
            Some(Literal(AnyValue::Str(id))) => Ok(vec![self.later(id, "output")?]),
            Some(Literal(AnyValue::Array(ids))) if (1..=OUTPUTS_MAX).contains(&ids.len()) => ids
                .iter()
                .map(|id| if let AnyValue::Str(id) = id { self.later(id, "output") } else { Err(wrong()) })
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    /// The number of the later operator with this id.
    fn later(&self, id: &str, at: &str) -> Result<usize, BuildError> {
        let later = self.names.iter().enumerate().skip(self.index + 1);
        let found = later.clone().find(|(_, name)| **name == id);
        found.map(|(index, _)| index).ok_or_else(|| {
            let known: Vec<&str> = later.map(|(_, name)| *name).collect();
            BuildError::at(
                at,
                format!(
                    "no later operator has the id `{id}`; those after this one are: {}",
                    known.join(", ")
                ),
            )
        })
    }

    fn step(&self) -> Result<Step, BuildError> {
        let operator = self.operator;
        Ok(match operator.kind {
            OperatorType::Noop => Step::Noop,
            OperatorType::JsonParser
            | OperatorType::RegexParser
            | OperatorType::CsvParser
            | OperatorType::KeyValueParser
            | OperatorType::SyslogParser
            | OperatorType::UriParser => self.parse()?,
            OperatorType::TimeParser
            | OperatorType::SeverityParser
            | OperatorType::TraceParser
            | OperatorType::ScopeNameParser => Step::Refine(self.refinement()?),
            OperatorType::Container => Step::Container {
                runtime: operator.format,
                names_pod: operator.add_metadata_from_filepath.unwrap_or(true),
            },
            OperatorType::Move => Step::Move(field(&operator.from, "from")?, field(&operator.to, "to")?),
            OperatorType::Copy => Step::Copy(field(&operator.from, "from")?, field(&operator.to, "to")?),
            OperatorType::Add => Step::Add(field(&operator.field, "field")?, self.value()?),
            OperatorType::Remove => Step::Remove(field(&operator.field, "field")?),
            OperatorType::Flatten => {
                let path = field(&operator.field, "field")?;
                if path.keys.is_empty() {
                    return Err(BuildError::at(
                        "field",
                        "needs a field within `body`, `attributes` or `resource`",
                    ));
                }
                Step::Flatten(path)
            }
            OperatorType::Retain if operator.fields.is_empty() => {
                return Err(BuildError::at("fields", "is missing; name the fields to keep"));
            }
            OperatorType::Retain => Step::Retain(
                operator.fields.iter().map(|field| path(field, "fields")).collect::<Result<_, _>>()?,
            ),
            OperatorType::Filter => Step::Filter(expression(required(&operator.expr, "expr")?, "expr")?),
            OperatorType::Router => self.router()?,
            OperatorType::Recombine => Step::Recombine(self.recombine()?),
        })
    }

    fn router(&self) -> Result<Step, BuildError> {
        let operator = self.operator;
        if operator.routes.is_empty() {
            return Err(BuildError::at("routes", "is missing; write `routes: [{expr: …, output: …}]`"));
        }
        let route = |(index, route): (usize, &super::settings::Route)| {
            let condition = expression(&route.expr, &format!("routes[{index}].expr"))?;
            Ok((condition, self.later(&route.output, &format!("routes[{index}].output"))?))
        };
        let routes = operator.routes.iter().enumerate().map(route).collect::<Result<_, BuildError>>()?;
        let default = operator.default.as_deref().map(|id| self.later(id, "default")).transpose()?;
        Ok(Step::Router(routes, default))
    }

    fn value(&self) -> Result<Expression, BuildError> {
        let value = self.operator.value.as_ref();
        let Literal(value) = value.ok_or_else(|| BuildError::at("value", "is missing"))?;
        let inner = if let AnyValue::Str(text) = value {
            text.strip_prefix("EXPR(").and_then(|text| text.strip_suffix(')'))
        } else {
            None
        };
        inner.map_or_else(|| Ok(Expression::Literal(value.clone())), |inner| expression(inner, "value"))
    }

    fn parse(&self) -> Result<Step, BuildError> {
        let operator = self.operator;
        let from = path(operator.parse_from.as_deref().unwrap_or("body"), "parse_from")?;
        let to = path(operator.parse_to.as_deref().unwrap_or("attributes"), "parse_to")?;
        let then = Refinement::default()
            .time(operator.timestamp.as_ref(), self.zone, "timestamp.")?
            .severity(operator.severity.as_ref(), "severity.")?
            .trace(operator.trace.as_ref(), "trace.")?
            .scope_name(operator.scope_name.as_ref(), "scope_name.")?;
        Ok(Step::Parse { parser: self.parser()?, from, to, then })
    }

    fn parser(&self) -> Result<TextParser, BuildError> {
        let operator = self.operator;
        Ok(match operator.kind {
            OperatorType::RegexParser => {
                let pattern = Pattern::own("regex_parser", required(&operator.regex, "regex")?);
                TextParser::Regex(Box::new(pattern.map_err(|message| BuildError::at("regex", message))?))
            }
            OperatorType::CsvParser => {
                let delimiter = operator.delimiter.as_deref().unwrap_or(",");
                let mut letters = delimiter.chars();
                let (Some(delimiter), None) = (letters.next(), letters.next()) else {
                    return Err(BuildError::at("delimiter", format!("`{delimiter}` is not one character")));
                };
                let header = required(&operator.header, "header")?.split(delimiter);
                let header = header.map(|name| name.trim().to_owned()).collect();
                let columns = Columns::new(header, delimiter);
                TextParser::Csv(columns.map_err(|(field, message)| BuildError::at(field, message))?)
            }
            OperatorType::KeyValueParser => {
                let delimiter = operator.delimiter.clone().unwrap_or_else(|| "=".to_owned());
                let pair_delimiter = operator.pair_delimiter.clone().filter(|text| !text.trim().is_empty());
                if delimiter.is_empty() || pair_delimiter.as_ref() == Some(&delimiter) {
                    return Err(BuildError::at("delimiter", "needs a text other than `pair_delimiter`"));
                }
                TextParser::KeyValue { delimiter, pair_delimiter }
            }
            OperatorType::SyslogParser => TextParser::Syslog(self.protocol()?, self.location()?),
            OperatorType::UriParser => TextParser::Uri,
            _ => TextParser::Json,
        })
    }

    fn protocol(&self) -> Result<Protocol, BuildError> {
        match self.operator.protocol.as_deref() {
            None => Ok(Protocol::Either),
            Some("rfc3164") => Ok(Protocol::Rfc3164),
            Some("rfc5424") => Ok(Protocol::Rfc5424),
            Some(other) => {
                Err(BuildError::at("protocol", format!("`{other}` is none; write `rfc3164` or `rfc5424`")))
            }
        }
    }

    fn location(&self) -> Result<Zone, BuildError> {
        let Some(name) = &self.operator.location else { return Ok(self.zone.clone()) };
        Zone::named(name).map_err(|error| BuildError::at("location", error.to_string()))
    }

    /// The refinement that is an operator of its own.
    fn refinement(&self) -> Result<Refinement, BuildError> {
        let operator = self.operator;
        let parse_from = || required(&operator.parse_from, "parse_from").map(ToOwned::to_owned);
        match operator.kind {
            OperatorType::TimeParser => {
                let time = Time {
                    parse_from: parse_from()?,
                    layout: operator.layout.clone(),
                    layout_type: operator.layout_type.unwrap_or_default(),
                    location: operator.location.clone(),
                };
                Refinement::default().time(Some(&time), self.zone, "")
            }
            OperatorType::SeverityParser => {
                let severity = Severity {
                    parse_from: parse_from()?,
                    mapping: operator.mapping.clone(),
                    preset: operator.preset.clone(),
                    overwrite_text: operator.overwrite_text.unwrap_or(false),
                };
                Refinement::default().severity(Some(&severity), "")
            }
            OperatorType::ScopeNameParser => {
                Refinement::default().scope_name(Some(&Source { parse_from: parse_from()? }), "")
            }
            _ => {
                let trace = Trace {
                    trace_id: operator.trace_id.clone(),
                    span_id: operator.span_id.clone(),
                    trace_flags: operator.trace_flags.clone(),
                };
                Refinement::default().trace(Some(&trace), "")
            }
        }
    }

    fn recombine(&self) -> Result<Recombine, BuildError> {
        let operator = self.operator;
        let bound = match (&operator.is_first_entry, &operator.is_last_entry) {
            (Some(first), None) => Bound::First(expression(first, "is_first_entry")?),
            (None, Some(last)) => Bound::Last(expression(last, "is_last_entry")?),
            _ => {
                return Err(BuildError::at(
                    "is_first_entry",
                    "needs one of `is_first_entry` and `is_last_entry`",
                ));
            }
        };
        let keeps_oldest = match operator.overwrite_with.as_deref() {
            None | Some("newest") => false,
            Some("oldest") => true,
            Some(other) => {
                let message = format!("`{other}` is neither `newest` nor `oldest`");
                return Err(BuildError::at("overwrite_with", message));
            }
        };
        let bytes_max =
            operator.max_log_size.map_or(0, |size| usize::try_from(size.bytes()).unwrap_or(usize::MAX));
        Ok(Recombine {
            bound,
            field: field(&operator.combine_field, "combine_field")?,
            with: operator.combine_with.clone().unwrap_or_else(|| "\n".to_owned()),
            keeps_oldest,
            lines_max: operator.max_batch_size.filter(|lines| *lines > 0).unwrap_or(LINES_MAX),
            bytes_max: if bytes_max == 0 { BYTES_MAX } else { bytes_max },
        })
    }
}

fn required<'s>(value: &'s Option<String>, name: &str) -> Result<&'s str, BuildError> {
    value.as_deref().ok_or_else(|| BuildError::at(name, "is missing"))
}

fn field(value: &Option<String>, name: &str) -> Result<Path, BuildError> {
    path(required(value, name)?, name)
}

fn expression(text: &str, name: &str) -> Result<Expression, BuildError> {
    Expression::parse(text).map_err(|message| BuildError::at(name, message))
}
