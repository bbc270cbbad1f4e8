//! The settings of one operator, of all types. Which of them a type has is checked when it is compiled.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_pipeline::Literal;

use crate::parsers::container::Runtime;

/// One operator.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Operator {
    /// What it does. Required.
    #[serde(rename = "type")]
    pub kind: OperatorType,
    /// Its name for `output` of others. Default: its type.
    pub id: Option<String>,
    /// Where records go: the id of a later operator, or a list of them. Default: the next one.
    pub output: Option<Literal>,
    /// Only records of which this is true are worked on; others go on as they are.
    #[serde(rename = "if")]
    pub condition: Option<String>,
    /// What becomes of a record that fails. Default: `send`.
    pub on_error: OnError,
    /// For parsers: the field to read. Default: `body`.
    pub parse_from: Option<String>,
    /// For parsers: where the result goes: its entries into `attributes`, `body` or `resource`, or as one value into a field.
    /// Default: `attributes`.
    pub parse_to: Option<String>,
    /// For parsers: the record's time, from a field of the result.
    pub timestamp: Option<Time>,
    /// For parsers: the record's severity, from a field of the result.
    pub severity: Option<Severity>,
    /// For parsers: the record's trace context, from fields of the result.
    pub trace: Option<Trace>,
    /// For parsers: the record's scope name, from a field of the result.
    pub scope_name: Option<Source>,
    /// For `regex_parser`: the expression, with named groups.
    pub regex: Option<String>,
    /// For `csv_parser`: the names of the columns, parted as the columns are.
    pub header: Option<String>,
    /// For `csv_parser`: one character, default `,`. For `key_value_parser`: what parts key and value, default `=`.
    pub delimiter: Option<String>,
    /// For `key_value_parser`: what parts the pairs. Default: white space.
    pub pair_delimiter: Option<String>,
    /// For `json_parser`: accepted for the Collector's sake; whole numbers are always whole.
    pub parse_ints: Option<bool>,
    /// For `syslog_parser`: `rfc3164` or `rfc5424`. Default: told by the line.
    pub protocol: Option<String>,
    /// For `syslog_parser` and `time_parser`: the zone of times that name none. Default: that of the receiver.
    pub location: Option<String>,
    /// For `time_parser`: how the time is written. Default: told by the text.
    pub layout: Option<String>,
    /// For `time_parser`: what `layout` is. Default: `strptime`.
    pub layout_type: Option<LayoutType>,
    /// For `severity_parser`: levels to what means them: texts, numbers, `{min, max}`, `4xx`, or lists of these.
    pub mapping: BTreeMap<String, Literal>,
    /// For `severity_parser`: `default` (known names as well) or `none`. Default: `default`.
    pub preset: Option<String>,
    /// For `severity_parser`: whether the text becomes OpenTelemetry's name of the level. Default: false.
    pub overwrite_text: Option<bool>,
    /// For `trace_parser`: where the trace id is. Default: `attributes.trace_id`.
    pub trace_id: Option<Source>,
    /// For `trace_parser`: where the span id is. Default: `attributes.span_id`.
    pub span_id: Option<Source>,
    /// For `trace_parser`: where the flags are. Default: `attributes.trace_flags`.
    pub trace_flags: Option<Source>,
    /// For `move` and `copy`: the field to take.
    pub from: Option<String>,
    /// For `move` and `copy`: the field to set.
    pub to: Option<String>,
    /// For `add`, `remove` and `flatten`: the field.
    pub field: Option<String>,
    /// For `add`: the value, or `EXPR(…)`.
    pub value: Option<Literal>,
    /// For `retain`: the fields to keep. Of `body`, `attributes` and `resource` only those named here lose anything.
    pub fields: Vec<String>,
    /// For `filter`: records of which this is true are dropped.
    pub expr: Option<String>,
    /// For `router`: the first of these that is true decides.
    pub routes: Vec<Route>,
    /// For `router`: the id for all others. Default: they are dropped.
    pub default: Option<String>,
    /// For `recombine`: what is true of the first line of a record.
    pub is_first_entry: Option<String>,
    /// For `recombine`: what is true of the last line of a record.
    pub is_last_entry: Option<String>,
    /// For `recombine`: the field that is put together. Required.
    pub combine_field: Option<String>,
    /// For `recombine`: what stands between the lines. Default: a line break.
    pub combine_with: Option<String>,
    /// For `recombine`: `newest` or `oldest`: the record whose other fields stay. Default: `newest`.
    pub overwrite_with: Option<String>,
    /// For `recombine`: the most lines of a record. Default: 1000.
    pub max_batch_size: Option<usize>,
    /// For `recombine`: the most bytes of a record. Default: 1 MiB (also for 0).
    pub max_log_size: Option<watershed_config::ByteSize>,
    /// For `recombine`: accepted for the Collector's sake; the receiver ends what has been silent.
    pub force_flush_period: Option<String>,
    /// For `recombine`: accepted for the Collector's sake; each source is recombined by itself.
    pub source_identifier: Option<String>,
    /// For `container`: who wrote the lines. Default: told by the line.
    pub format: Option<Runtime>,
    /// For `container`: whether pod, namespace and container are told from `attributes["log.file.path"]`. Default: true.
    pub add_metadata_from_filepath: Option<bool>,
}

/// What an operator does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperatorType {
    /// Nothing: a place for `output` to lead to.
    #[default]
    Noop,
    /// Reads a JSON object.
    JsonParser,
    /// Reads with an expression.
    RegexParser,
    /// Reads columns.
    CsvParser,
    /// Reads pairs of keys and values.
    KeyValueParser,
    /// Reads syslog.
    SyslogParser,
    /// Reads a URI.
    UriParser,
    /// Sets the time.
    TimeParser,
    /// Sets the severity.
    SeverityParser,
    /// Sets the trace context.
    TraceParser,
    /// Sets the scope name.
    ScopeNameParser,
    /// Reads containers' lines.
    Container,
    /// Moves a field.
    Move,
    /// Copies a field.
    Copy,
    /// Sets a field.
    Add,
    /// Removes a field.
    Remove,
    /// Keeps some fields.
    Retain,
    /// Puts the entries of a field where the field was.
    Flatten,
    /// Drops records.
    Filter,
    /// Sends records to different operators.
    Router,
    /// Makes one record of several.
    Recombine,
}

/// What becomes of a record that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It goes on, with the attribute `log.parse.error`.
    #[default]
    Send,
    /// It is dropped.
    Drop,
    /// It goes on as it is.
    SendQuiet,
    /// It is dropped.
    DropQuiet,
}

/// What a layout is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LayoutType {
    /// Directives such as `%Y-%m-%d`.
    #[default]
    Strptime,
    /// Go's `2006-01-02T15:04:05Z07:00`.
    Gotime,
    /// `s`, `ms`, `us`, `ns`, `s.ms`, `s.us` or `s.ns` since 1970.
    Epoch,
}

/// A field.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The field to read. Required.
    pub parse_from: String,
}

/// A time within a parser's result.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// The field to read. Required.
    pub parse_from: String,
    /// How the time is written. Default: told by the text.
    #[serde(default)]
    pub layout: Option<String>,
    /// What `layout` is. Default: `strptime`.
    #[serde(default)]
    pub layout_type: LayoutType,
    /// The zone of times that name none. Default: that of the receiver.
    #[serde(default)]
    pub location: Option<String>,
}

/// A severity within a parser's result.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Severity {
    /// The field to read. Required.
    pub parse_from: String,
    /// Levels to what means them. Default: none.
    #[serde(default)]
    pub mapping: BTreeMap<String, Literal>,
    /// `default` or `none`. Default: `default`.
    #[serde(default)]
    pub preset: Option<String>,
    /// Whether the text becomes OpenTelemetry's name of the level. Default: false.
    #[serde(default)]
    pub overwrite_text: bool,
}

/// A trace context within a parser's result.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Trace {
    /// Where the trace id is. Default: `attributes.trace_id`.
    pub trace_id: Option<Source>,
    /// Where the span id is. Default: `attributes.span_id`.
    pub span_id: Option<Source>,
    /// Where the flags are. Default: `attributes.trace_flags`.
    pub trace_flags: Option<Source>,
}

/// A way of a router.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What is true of records that go this way. Required.
    pub expr: String,
    /// The id of the operator they go to. Required.
    pub output: String,
}
