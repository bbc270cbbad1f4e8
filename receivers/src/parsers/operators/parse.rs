//! The operators that read a text into fields.

use watershed_pipeline::AnyValue;
use watershed_pipeline::parse::{Entries, Fields, Zone, json};

use crate::parsers::columns::Columns;
use crate::parsers::patterns::Pattern;
use crate::parsers::reader::json_reason;
use crate::parsers::syslog::{self, Protocol};

/// The most pairs of a text, as finding those that repeat takes time that grows with the square of their number.
const PAIRS_MAX: usize = 1024;

type Parsed = Result<Vec<(String, AnyValue)>, &'static str>;

pub(super) enum TextParser {
    Json,
    Regex(Box<Pattern>),
    Csv(Columns),
    KeyValue { delimiter: String, pair_delimiter: Option<String> },
    Syslog(Protocol, Zone),
    Uri,
}

impl TextParser {
    /// The keys and values of a text.
    pub(super) fn parse(&self, text: &str, observed: u64, fields: &mut Fields) -> Parsed {
        match self {
            Self::Json => {
                let entries = json::read(text, fields).map_err(|error| json_reason(error.reason))?;
                Ok(owned(entries))
            }
            Self::Regex(pattern) => Ok(owned(pattern.groups(text, fields).ok_or("no match")?)),
            Self::Csv(columns) => Ok(owned(columns.read(text, fields).map_err(|failure| failure.reason)?)),
            Self::KeyValue { delimiter, pair_delimiter } => {
                key_values(text, delimiter, pair_delimiter.as_deref())
            }
            Self::Syslog(protocol, zone) => {
                let message =
                    syslog::parse(text, *protocol, zone, observed).map_err(|failure| failure.reason)?;
                Ok(syslog_fields(&message))
            }
            Self::Uri => uri(text),
        }
    }
}

/// The last of several fields with one key counts.
fn owned(entries: Entries<'_>) -> Vec<(String, AnyValue)> {
    let mut owned: Vec<(String, AnyValue)> = Vec::with_capacity(entries.len());
    for (key, value) in entries.iter() {
        match owned.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = value.to_any_value(),
            None => owned.push((key.to_owned(), value.to_any_value())),
        }
    }
    owned
}

/// The pairs of a text; quotes, single or double, keep what is between them together.
fn key_values(text: &str, delimiter: &str, pair_delimiter: Option<&str>) -> Parsed {
    let mut pairs: Vec<(String, AnyValue)> = Vec::new();
    let found = pairs_of(text, pair_delimiter);
    if found.len() > PAIRS_MAX {
        return Err("too many keys");
    }
    for pair in found {
        let (key, value) = pair.split_once(delimiter).ok_or("a pair without its delimiter")?;
        let (key, value) = (key.trim().trim_matches(['"', '\'']), value.trim().trim_matches(['"', '\'']));
        if key.is_empty() {
            return Err("a key is missing");
        }
        match pairs.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = value.into(),
            None => pairs.push((key.to_owned(), value.into())),
        }
    }
    if pairs.is_empty() { Err("no pair of key and value") } else { Ok(pairs) }
}

fn pairs_of<'t>(text: &'t str, delimiter: Option<&str>) -> Vec<&'t str> {
    let mut pairs = Vec::new();
    let (mut start, mut at, mut quote) = (0, 0, None);
    while let Some(letter) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = text.get(at..).unwrap_or_default();
        let skip = match (quote, delimiter) {
            (Some(_), _) => 0,
            (None, Some(delimiter)) if rest.starts_with(delimiter) => delimiter.len(),
            (None, None) if letter.is_whitespace() => letter.len_utf8(),
            (None, _) => 0,
        };
        if skip > 0 {
            pairs.push(text.get(start..at).unwrap_or_default());
            at += skip;
            start = at;
            continue;
        }
        if matches!(letter, '"' | '\'') {
            quote = match quote {
                None => Some(letter),
                Some(open) if open == letter => None,
                open => open,
            };
        }
        at += letter.len_utf8();
    }
    pairs.push(text.get(start..).unwrap_or_default());
    pairs.retain(|pair| !pair.trim().is_empty());
    pairs
}

/// The names that the Collector's `syslog_parser` gives.
fn syslog_fields(message: &syslog::Message<'_>) -> Vec<(String, AnyValue)> {
    let mut fields: Vec<(String, AnyValue)> = Vec::new();
    let mut push = |key: &str, value: AnyValue| fields.push((key.to_owned(), value));
    if let Some(priority) = message.priority {
        push("priority", i64::from(priority).into());
        push("facility", i64::from(priority / 8).into());
        push("severity", i64::from(priority % 8).into());
    }
    if let Some(version) = message.version {
        push("version", version.into());
    }
    let texts = [
        ("hostname", message.host),
        ("appname", message.app),
        ("proc_id", message.process),
        ("msg_id", message.id),
        ("message", message.text),
    ];
    for (key, text) in texts {
        if !text.is_empty() {
            push(key, text.into());
        }
    }
    if !message.data.is_empty() {
        push("structured_data", message.structured_data());
    }
    fields
}

/// The parts of a URI, by the names of the Collector's `uri_parser`.
fn uri(text: &str) -> Parsed {
    let (before, query) = text.split_once('?').map_or((text, None), |(before, query)| (before, Some(query)));
    let mut fields: Vec<(String, AnyValue)> = Vec::new();
    let mut push = |key: &str, value: &str| {
        if !value.is_empty() {
            fields.push((key.to_owned(), value.into()));
        }
    };
    let path = match before.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) =
                rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
            let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
            // The colons of an IPv6 address stand in brackets.
            let (host, port) = host
                .rsplit_once(':')
                .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
                .unwrap_or((host, ""));
            push("scheme", scheme);
            push("user", user.split(':').next().unwrap_or_default());
            push("host", host.trim_matches(['[', ']']));
            push("port", port);
            path
        }
        None if before.starts_with('/') || before.is_empty() => before,
        None => return Err("no URI"),
    };
    push("path", path);
    let query = query.unwrap_or_default().split('#').next().unwrap_or_default();
    if !query.is_empty() {
        fields.push(("query".to_owned(), self::query(query)?));
    }
    if fields.is_empty() { Err("no URI") } else { Ok(fields) }
}

/// The parameters of a query: each a list, as one may repeat.
fn query(query: &str) -> Result<AnyValue, &'static str> {
    let mut parameters: Vec<(String, AnyValue)> = Vec::new();
    let found = || query.split('&').filter(|pair| !pair.is_empty());
    if found().nth(PAIRS_MAX).is_some() {
        return Err("too many keys");
    }
    for pair in found() {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (percent_decoded(key), AnyValue::Str(percent_decoded(value)));
        match parameters.iter_mut().find(|(known, _)| *known == key) {
            Some((_, AnyValue::Array(values))) => values.push(value),
            Some(_) => {}
            None => parameters.push((key, AnyValue::Array(vec![value]))),
        }
    }
    Ok(AnyValue::Map(parameters))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (decoded, used) = match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => (u8::try_from(high * 16 + low).unwrap_or(b'%'), 2),
            (b'+', _, _) => (b' ', 0),
            _ => (byte, 0),
        };
        bytes.push(decoded);
        rest = after.get(used..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
