//! The setting `format`: how lines are written.

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;

use super::columns::Columns;
use super::container::Runtime;
use super::patterns::{self, Pattern};
use super::reader::{Content, Known, Reader};

/// How the lines of a source are written. Either a name, or a map of one name to its settings:
///
/// ```yaml
/// format: json
/// format: {regex: {regex: '^(?P<timestamp>\S+) (?P<level>\w+) (?P<message>.*)$'}}
/// ```
///
/// Whatever the format, names of fields that are known from loggers (`time`, `level`, `msg`, `logger`, `trace_id` …) become
/// the record's own fields; all others become attributes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Detected from the first lines of each source, and kept: `cri`, `docker`, `json`, `syslog`, `klog`, `access_log`,
    /// `postgresql`, `python`, `log4j`, `logfmt`, in this order. A source of which no line fits any is read as `none`.
    #[default]
    Auto,
    /// The line is the body.
    None,
    /// One JSON object a line: pino, winston, bunyan, zap, logrus, zerolog, structlog, ECS, log4j2, Serilog, GELF.
    Json,
    /// `level=info msg="order placed" took=12`.
    Logfmt,
    /// Syslog, RFC 5424 or RFC 3164, as sent or as rsyslog writes it into files (without `<priority>`).
    Syslog,
    /// Access logs of Apache, nginx and others: common or combined.
    AccessLog,
    /// klog and glog, of Kubernetes' own programs: `I1219 10:30:15.123456 1 main.go:42] text`.
    Klog,
    /// Python's `logging`: `2024-12-19 10:30:15,123 - app.core - INFO - text`, `INFO:app.core:text`, and
    /// `2024-12-19 10:30:15 [INFO] app.core: text`.
    Python,
    /// Patterns in common use with log4j, logback and Spring Boot:
    /// `2024-12-19 10:30:15,123 [main] INFO com.shop.Order - text`.
    Log4j,
    /// PostgreSQL with its usual prefixes `%m [%p] ` and `%m [%p] %q%u@%d `.
    Postgresql,
    /// What container runtimes write for Kubernetes: `2024-12-19T10:30:15.123456789Z stdout F text`. Pieces of a long
    /// line are put together. The text in it is read as `auto`.
    Cri,
    /// Docker's JSON files. Pieces of a long line are put together. The text in it is read as `auto`.
    Docker,
    /// `cri` or `docker`, and how the text in it is written.
    Container(ContainerFormat),
    /// An expression with named groups.
    Regex(RegexFormat),
    /// Values in columns.
    Csv(CsvFormat),
}

/// How a container's lines are written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerFormat {
    /// How the text of a container's line is written: any format but `cri`, `docker` and `container`. Default: `auto`.
    #[serde(default)]
    pub content: Box<Format>,
    /// Who wrote the line. Default: `cri` (containerd and CRI-O).
    #[serde(default)]
    pub runtime: Runtime,
}

/// An expression with named groups.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegexFormat {
    /// The expression, with one named group `(?P<name>…)` at least. It is searched for anywhere in the line unless it
    /// begins with `^`. Groups that take part become fields; all are texts. Required.
    pub regex: String,
}

/// Values in columns, as RFC 4180 has them, one record a line.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvFormat {
    /// The names of the columns. Required. A line that repeats them is skipped as the file's own header would be.
    pub header: Vec<String>,
    /// What parts the columns: one character. Default: `,`.
    #[serde(default = "comma")]
    pub delimiter: char,
}

fn comma() -> char {
    ','
}

impl Format {
    pub(super) fn compile(&self) -> Result<Reader, BuildError> {
        Ok(match self {
            Self::Auto => Reader::Auto,
            Self::Cri => Reader::Container(Runtime::Cri, Content::Auto),
            Self::Docker => Reader::Container(Runtime::Docker, Content::Auto),
            Self::Container(container) => {
                Reader::Container(container.runtime, container.content.content("format.container.content")?)
            }
            _ => Reader::Plain(self.content("format")?),
        })
    }

    /// The format as one of text. `path` is where it stands in the settings.
    fn content(&self, path: &str) -> Result<Content, BuildError> {
        let known = match self {
            Self::Auto => return Ok(Content::Auto),
            Self::None => return Ok(Content::None),
            Self::Json => Known::Json,
            Self::Logfmt => Known::Logfmt,
            Self::Syslog => Known::Syslog,
            Self::AccessLog => Known::Patterns(&patterns::ACCESS_LOG),
            Self::Klog => Known::Patterns(&patterns::KLOG),
            Self::Python => Known::Patterns(&patterns::PYTHON),
            Self::Log4j => Known::Patterns(&patterns::LOG4J),
            Self::Postgresql => Known::Patterns(&patterns::POSTGRESQL),
            Self::Cri | Self::Docker | Self::Container(_) => {
                let message =
                    "a container's text is no container's line; write `auto`, `json`, `none` or another";
                return Err(BuildError::at(path, message));
            }
            Self::Regex(format) => {
                let pattern = Pattern::own("regex", &format.regex);
                let pattern =
                    pattern.map_err(|message| BuildError::at(format!("{path}.regex.regex"), message))?;
                return Ok(Content::Own(Box::new(pattern)));
            }
            Self::Csv(format) => {
                let columns = Columns::new(format.header.clone(), format.delimiter);
                let at = |(field, message)| BuildError::at(format!("{path}.csv.{field}"), message);
                return columns.map(Content::Csv).map_err(at);
            }
        };
        Ok(Content::Known(known))
    }
}
