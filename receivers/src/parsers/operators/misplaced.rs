//! Which settings which operators have. The rest would do nothing, and whoever wrote it believes otherwise.

use super::settings::{Operator, OperatorType};

use OperatorType::{
    Add, Container, Copy, CsvParser, Filter, Flatten, JsonParser, KeyValueParser, Move, Recombine,
    RegexParser, Remove, Retain, Router, ScopeNameParser, SeverityParser, SyslogParser, TimeParser,
    TraceParser, UriParser,
};

/// Those that read a text into fields.
const PARSERS: [OperatorType; 6] =
    [JsonParser, RegexParser, CsvParser, KeyValueParser, SyslogParser, UriParser];
/// Those that read one field.
const READERS: [OperatorType; 9] = [
    JsonParser,
    RegexParser,
    CsvParser,
    KeyValueParser,
    SyslogParser,
    UriParser,
    TimeParser,
    SeverityParser,
    ScopeNameParser,
];

/// The name of a setting, whether it is given, and whose it is.
type Use = (&'static str, bool, &'static [OperatorType]);

impl Operator {
    /// The first setting that this operator does not have.
    pub(super) fn misplaced(&self) -> Option<&'static str> {
        let mut uses = self.of_parsers().into_iter().chain(self.of_others());
        uses.find(|(_, is_given, kinds)| *is_given && !kinds.contains(&self.kind)).map(|(name, ..)| name)
    }

    fn of_parsers(&self) -> [Use; 21] {
        [
            ("parse_from", self.parse_from.is_some(), &READERS),
            ("parse_to", self.parse_to.is_some(), &PARSERS),
            ("timestamp", self.timestamp.is_some(), &PARSERS),
            ("severity", self.severity.is_some(), &PARSERS),
            ("trace", self.trace.is_some(), &PARSERS),
            ("scope_name", self.scope_name.is_some(), &PARSERS),
            ("regex", self.regex.is_some(), &[RegexParser]),
            ("header", self.header.is_some(), &[CsvParser]),
            ("delimiter", self.delimiter.is_some(), &[CsvParser, KeyValueParser]),
            ("pair_delimiter", self.pair_delimiter.is_some(), &[KeyValueParser]),
            ("parse_ints", self.parse_ints.is_some(), &[JsonParser]),
            ("protocol", self.protocol.is_some(), &[SyslogParser]),
            ("location", self.location.is_some(), &[SyslogParser, TimeParser]),
            ("layout", self.layout.is_some(), &[TimeParser]),
            ("layout_type", self.layout_type.is_some(), &[TimeParser]),
            ("mapping", !self.mapping.is_empty(), &[SeverityParser]),
            ("preset", self.preset.is_some(), &[SeverityParser]),
            ("overwrite_text", self.overwrite_text.is_some(), &[SeverityParser]),
            ("trace_id", self.trace_id.is_some(), &[TraceParser]),
            ("span_id", self.span_id.is_some(), &[TraceParser]),
            ("trace_flags", self.trace_flags.is_some(), &[TraceParser]),
        ]
    }

    fn of_others(&self) -> [Use; 19] {
        [
            ("from", self.from.is_some(), &[Move, Copy]),
            ("to", self.to.is_some(), &[Move, Copy]),
            ("field", self.field.is_some(), &[Add, Remove, Flatten]),
            ("value", self.value.is_some(), &[Add]),
            ("fields", !self.fields.is_empty(), &[Retain]),
            ("expr", self.expr.is_some(), &[Filter]),
            ("routes", !self.routes.is_empty(), &[Router]),
            ("default", self.default.is_some(), &[Router]),
            ("is_first_entry", self.is_first_entry.is_some(), &[Recombine]),
            ("is_last_entry", self.is_last_entry.is_some(), &[Recombine]),
            ("combine_field", self.combine_field.is_some(), &[Recombine]),
            ("combine_with", self.combine_with.is_some(), &[Recombine]),
            ("overwrite_with", self.overwrite_with.is_some(), &[Recombine]),
            ("max_batch_size", self.max_batch_size.is_some(), &[Recombine]),
            ("max_log_size", self.max_log_size.is_some(), &[Recombine]),
            ("force_flush_period", self.force_flush_period.is_some(), &[Recombine]),
            ("source_identifier", self.source_identifier.is_some(), &[Recombine]),
            ("format", self.format.is_some(), &[Container]),
            ("add_metadata_from_filepath", self.add_metadata_from_filepath.is_some(), &[Container]),
        ]
    }
}
