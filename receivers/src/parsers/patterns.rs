//! Formats that a regular expression describes: those of well-known programs, and the user's own.
//!
//! The names of groups are those of fields in JSON (`timestamp`, `level`, `logger`, `message`), which become the record's
//! own, or OpenTelemetry's names of attributes.

use std::sync::LazyLock;

use regex::{Regex, RegexBuilder};
use watershed_pipeline::Value;
use watershed_pipeline::parse::{Entries, Fields, Layout};

use super::keys::{Moment, lift};
use super::stats::Failure;
use watershed_pipeline::RecordMut;

/// How large a compiled regular expression may be, in bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;
/// Groups of the known formats whose digits are numbers.
const NUMBERS: [&str; 5] =
    ["http.response.status_code", "http.response.body.size", "code.line.number", "process.pid", "thread.id"];

/// One expression and how its time is written.
pub(super) struct Pattern {
    format: &'static str,
    regex: Regex,
    /// The layout of the group `timestamp`, where it can't be told by itself.
    layout: Option<Layout>,
    /// Whether groups of [`NUMBERS`] become numbers, and `-` no field at all.
    is_known: bool,
}

type Patterns = LazyLock<Vec<Pattern>>;

const TIME: &str =
    r"(?P<timestamp>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d| UTC)?)";
const JAVA_TIME: &str =
    r"(?P<timestamp>(?:\d{4}-\d\d-\d\d[ T])?\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)";
const PYTHON_LEVEL: &str = "(?P<level>CRITICAL|FATAL|ERROR|WARNING|WARN|INFO|DEBUG|NOTSET)";
const JAVA_LEVEL: &str = "(?P<level>FATAL|ERROR|SEVERE|WARN|WARNING|INFO|DEBUG|TRACE)";
const TEXT: &str = "(?P<message>(?s:.*))";

pub(super) static PYTHON: Patterns = LazyLock::new(|| {
    known(
        "python",
        &[
            format!(r"^{TIME}\s+-\s+(?P<logger>[^\s]+)\s+-\s+{PYTHON_LEVEL}\s+-\s{TEXT}$"),
            format!(r"^{PYTHON_LEVEL}:(?P<logger>[^:\s]+):{TEXT}$"),
            format!(r"^{TIME}\s+\[?{PYTHON_LEVEL}\]?\s+\[?(?P<logger>[\w.\-]+)\]?\s*[:\-]\s{TEXT}$"),
        ],
    )
});

pub(super) static LOG4J: Patterns = LazyLock::new(|| {
    known(
        "log4j",
        &[
            format!(
                r"^{JAVA_TIME}\s+\[(?P<thread>[^\]]*)\]\s+{JAVA_LEVEL}\s+(?P<logger>[^\s:]+)\s*[\-:]+\s{TEXT}$"
            ),
            format!(
                r"^{JAVA_TIME}\s+\[?{JAVA_LEVEL}\s*\]?\s+\[(?P<thread>[^\]]*)\]\s+(?P<logger>[^\s:]+)(?::\d+)?\s*[\-:]+\s{TEXT}$"
            ),
            format!(
                r"^{JAVA_TIME}\s+{JAVA_LEVEL}\s+(?P<process.pid>\d+)\s+---\s+(?:\[[^\]]*\]\s+)?\[\s*(?P<thread>[^\]]*)\]\s+(?P<logger>\S+)\s*:\s{TEXT}$"
            ),
            format!(r"^{JAVA_TIME}\s+{JAVA_LEVEL}\s+(?P<logger>[\w.$]+)(?::\d+)?\s+-\s{TEXT}$"),
        ],
    )
});

pub(super) static ACCESS_LOG: Patterns = LazyLock::new(|| {
    known("access_log", &[concat!(
        r#"^(?P<client.address>\S+) \S+ (?P<user.name>\S+) \[(?P<timestamp>[^\]]+)\] ""#,
        r#"(?:(?P<http.request.method>[A-Z]+) (?P<url.original>\S+)"#,
        r#"(?: HTTP/(?P<network.protocol.version>[\d.]+))?|[^"]*)" "#,
        r#"(?P<http.response.status_code>\d{3}) (?P<http.response.body.size>\d+|-)"#,
        r#"(?: "(?P<http.request.header.referer>(?:[^"\\]|\\.)*)" "(?P<user_agent.original>(?:[^"\\]|\\.)*)")?(?: .*)?$"#,
    )
    .to_owned()])
});

pub(super) static KLOG: Patterns = LazyLock::new(|| {
    let mut patterns = known(
        "klog",
        &[format!(
            r"^(?P<level>[IWEF])(?P<timestamp>\d{{4}} \d\d:\d\d:\d\d(?:\.\d+)?)\s+(?P<thread.id>\d+) (?P<code.file.path>[^:\]]+):(?P<code.line.number>\d+)\] ?{TEXT}$"
        )],
    );
    patterns.iter_mut().for_each(|pattern| pattern.layout = Layout::strptime("%m%d %H:%M:%S").ok());
    patterns
});

pub(super) static POSTGRESQL: Patterns = LazyLock::new(|| {
    known(
        "postgresql",
        &[format!(
            concat!(
                r"^(?P<timestamp>\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?: UTC| GMT| [+-]\d\d(?::?\d\d)?)?)(?: [A-Z]{{2,5}})? ",
                r"\[(?P<process.pid>\d+)\](?:-\d+)?:? +(?:(?P<user.name>[^@\s]+)@(?P<db.namespace>\S+) +)?",
                r"(?P<level>DEBUG[1-5]?|INFO|NOTICE|WARNING|ERROR|LOG|FATAL|PANIC|DETAIL|HINT|CONTEXT|STATEMENT|QUERY|LOCATION): +{}$"
            ),
            TEXT
        )],
    )
});

/// Compiles the expressions of a known format. That each compiles is shown by a test; none is lost in silence.
fn known(format: &'static str, expressions: &[String]) -> Vec<Pattern> {
    let compile = |expression: &String| Pattern::compile(format, expression, true).ok();
    expressions.iter().filter_map(compile).collect()
}

impl Pattern {
    /// Compiles an expression of the user's.
    pub(super) fn own(format: &'static str, expression: &str) -> Result<Self, String> {
        let pattern = Self::compile(format, expression, false)
            .map_err(|error| format!("`{expression}` is not a regular expression: {error}"))?;
        if pattern.regex.capture_names().flatten().next().is_none() {
            return Err(format!(
                "`{expression}` has no named group, such as `(?P<message>.*)`; nothing would come of it"
            ));
        }
        Ok(pattern)
    }

    fn compile(format: &'static str, expression: &str, is_known: bool) -> Result<Self, regex::Error> {
        let regex = RegexBuilder::new(expression).size_limit(PATTERN_SIZE_MAX).build()?;
        Ok(Self { format, regex, layout: None, is_known })
    }

    /// The groups that take part in the match; none if there is no match.
    pub(super) fn groups<'a>(&self, line: &'a str, fields: &'a mut Fields) -> Option<Entries<'a>> {
        let captures = self.regex.captures(line)?;
        Some(fields.fill(line, |filler| {
            for (name, group) in self.regex.capture_names().zip(captures.iter()) {
                let (Some(name), Some(group)) = (name, group) else { continue };
                let text = group.as_str();
                let number = if self.is_known && NUMBERS.contains(&name) { text.parse().ok() } else { None };
                match number {
                    Some(number) => filler.push(name, Value::Int(number)),
                    None if self.is_known && text == "-" => continue,
                    None => filler.push(name, Value::Str(text)),
                };
            }
        }))
    }

    /// Reads a line into a record, which is left alone if there is no match.
    pub(super) fn read(
        &self,
        line: &str,
        fields: &mut Fields,
        moment: Moment<'_>,
        record: &mut RecordMut<'_>,
    ) -> Result<(), Failure> {
        let no_match = Failure { format: self.format, reason: "no match" };
        let entries = self.groups(line, fields).ok_or(no_match)?;
        lift(entries.iter(), Some(line), moment, self.layout.as_ref(), record);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_expression_compiles() {
        let counts = [&PYTHON, &LOG4J, &ACCESS_LOG, &KLOG, &POSTGRESQL].map(|patterns| patterns.len());
        assert_eq!(counts, [3, 4, 1, 1, 1]);
    }
}
