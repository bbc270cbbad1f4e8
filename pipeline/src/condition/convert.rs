//! What the functions that make one value of another compute.

use std::borrow::Cow;

use regex::Regex;
use sha2::{Digest, Sha256};

use super::evaluate::Subject;
use super::expression::Expression;
use super::function::Function;
use super::term::Term;
use crate::batch::Value;

use crate::otlp::nested;
use crate::parse::{Fields, json};

/// The most pairs of one text, as each is compared with those before it. As many as a line of JSON may have keys.
const PAIRS_MAX: usize = 1024;

impl Function {
    /// The value that a function makes of its arguments. What fails in one of them fails here too.
    pub(super) fn convert<'a>(self, arguments: &'a [Expression], subject: Subject<'a>) -> Term<'a> {
        let argument =
            |index: usize| arguments.get(index).map(|argument: &Expression| argument.term(subject));
        let value = match argument(0).unwrap_or(Term::Nil) {
            failed @ Term::Failed(_) => return failed,
            // Its list is walked, not made.
            _ if self == Self::Concat => Term::Nil,
            value => value,
        };
        match self {
            Self::Len => value.length(),
            Self::Int => value.to_int(),
            Self::Double => value.to_double(),
            Self::String => value.into_text(),
            Self::Bool => to_bool(value),
            Self::ToLowerCase => change_letters(value, char::is_uppercase, str::to_lowercase),
            Self::ToUpperCase => change_letters(value, char::is_lowercase, str::to_uppercase),
            Self::TraceId | Self::SpanId => value,
            Self::Hex => hex(&value),
            Self::Concat => concat(arguments, subject),
            Self::ParseJson => of_text(value, "ParseJSON needs a text", |text| parse_json(&text)),
            Self::ParseKeyValue => of_text(value, "ParseKeyValue needs a text", |text| {
                let (delimiter, between) =
                    (argument(1).unwrap_or("=".into()), argument(2).unwrap_or(" ".into()));
                match (delimiter, between) {
                    (Term::Text(delimiter), Term::Text(between)) => key_values(&text, &delimiter, &between),
                    _ => Term::Failed("ParseKeyValue needs texts as delimiters"),
                }
            }),
            Self::Sha256 => {
                of_text(value, "SHA256 needs a text", |text| Term::hex(&Sha256::digest(text.as_bytes())))
            }
            Self::Split => of_text(value, "Split needs a text", |text| match argument(1) {
                Some(Term::Text(between)) if !between.is_empty() => {
                    list(text.split(between.as_ref()).map(Term::from))
                }
                _ => Term::Failed("Split needs a text that is not empty as delimiter"),
            }),
            Self::Substring => {
                of_text(value, "Substring needs a text", |text| substring(text, argument(1), argument(2)))
            }
            Self::Trim => {
                of_text(value, "Trim needs a text", |text| match argument(1).unwrap_or(" ".into()) {
                    Term::Text(letters) => {
                        text.trim_matches(|letter| letters.contains(letter)).to_owned().into()
                    }
                    _ => Term::Failed("Trim needs the letters to take away as a text"),
                })
            }
            _ => Term::Nil,
        }
    }
}

impl From<String> for Term<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

fn of_text<'a>(
    value: Term<'a>,
    otherwise: &'static str,
    convert: impl FnOnce(Cow<'a, str>) -> Term<'a>,
) -> Term<'a> {
    if let Term::Text(text) = value { convert(text) } else { Term::Failed(otherwise) }
}

/// A list of values; the first failed one is the answer instead.
pub(super) fn list<'a, 't>(items: impl Iterator<Item = Term<'t>>) -> Term<'a> {
    let items: Vec<Term<'t>> = items.collect();
    if let Some(Term::Failed(reason)) = items.iter().find(|item| matches!(item, Term::Failed(_))) {
        return Term::Failed(reason);
    }
    let items: Vec<_> = items.iter().map(Term::to_any_value).collect();
    Term::List(nested::encode_array(&items).into())
}

/// The named groups of the first match; an empty map without one.
pub(super) fn extract<'a>(target: Term<'a>, pattern: &Regex) -> Term<'a> {
    of_text(target, "ExtractPatterns needs a text", |text| {
        let Some(groups) = pattern.captures(&text) else { return Term::entries(&[]) };
        let named = pattern.capture_names().flatten();
        let found =
            named.map(|name| (name, Value::Str(groups.name(name).map_or("", |group| group.as_str()))));
        Term::entries(&found.collect::<Vec<_>>())
    })
}

/// Changes a text that has a letter to change, and leaves everything else as it is.
fn change_letters<'a>(term: Term<'a>, wrong: fn(char) -> bool, change: fn(&str) -> String) -> Term<'a> {
    match term {
        Term::Text(text) if text.chars().any(wrong) => Term::Text(change(&text).into()),
        other => other,
    }
}

/// A truth value: of numbers whether they are not zero, of texts what Go's `strconv.ParseBool` reads.
fn to_bool(value: Term<'_>) -> Term<'_> {
    match value {
        Term::Bool(value) => Term::Bool(value),
        Term::Int(number) => Term::Bool(number != 0),
        Term::Double(number) => Term::Bool(number != 0.0),
        Term::Text(text) => match text.as_ref() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Term::Bool(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Term::Bool(false),
            _ => Term::Failed("Bool needs a text such as true or false"),
        },
        _ => Term::Nil,
    }
}

/// The bytes in hexadecimal: of a text its own, of a number eight, the highest first.
fn hex<'a>(value: &Term<'_>) -> Term<'a> {
    match value {
        Term::Text(text) => Term::hex(text.as_bytes()),
        Term::Bool(value) => Term::hex(&[u8::from(*value)]),
        Term::Int(number) => Term::hex(&number.to_be_bytes()),
        Term::Double(number) => Term::hex(&number.to_bits().to_be_bytes()),
        other => other.bytes().map_or(Term::Failed("Hex needs a text, bytes or a number"), Term::hex),
    }
}

/// Values as texts one behind another; no value is written `<nil>`, as the Collector does.
fn concat<'a>(arguments: &[Expression], subject: Subject<'_>) -> Term<'a> {
    let [Expression::List(items), between] = arguments else { return Term::Nil };
    let Term::Text(between) = between.term(subject) else {
        return Term::Failed("Concat needs a text as delimiter");
    };
    let mut joined = String::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            joined.push_str(&between);
        }
        match item.term(subject).into_text() {
            Term::Text(text) => joined.push_str(&text),
            Term::Failed(reason) => return Term::Failed(reason),
            _ => joined.push_str("<nil>"),
        }
    }
    joined.into()
}

fn parse_json<'a>(text: &str) -> Term<'a> {
    let mut fields = Fields::default();
    match json::read(text, &mut fields) {
        Ok(entries) => Term::entries(&entries.iter().collect::<Vec<_>>()),
        Err(_) => Term::Failed("ParseJSON needs the text of one JSON object"),
    }
}

/// Pairs of a text; what stands within quotes does not part it.
fn key_values<'a>(text: &str, delimiter: &str, between: &str) -> Term<'a> {
    if delimiter.is_empty() || between.is_empty() || delimiter == between {
        return Term::Failed("ParseKeyValue needs two different delimiters");
    }
    let mut pairs: Vec<(&str, Value<'_>)> = Vec::new();
    for pair in split_unquoted(text, between) {
        if pair.trim().is_empty() {
            continue;
        }
        if pairs.len() >= PAIRS_MAX {
            return Term::Failed("ParseKeyValue takes at most 1,024 pairs");
        }
        let Some((key, value)) = pair.split_once(delimiter) else {
            return Term::Failed("ParseKeyValue needs pairs of keys and values");
        };
        let (key, value) = (unquoted(key), Value::Str(unquoted(value)));
        match pairs.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => pairs.push((key, value)),
        }
    }
    Term::entries(&pairs)
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

fn split_unquoted<'t>(text: &'t str, between: &str) -> Vec<&'t str> {
    let (mut parts, mut start, mut quote) = (Vec::new(), 0, None);
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if quote.is_none() && rest.starts_with(between) {
            parts.push(text.get(start..at).unwrap_or_default());
            at += between.len();
            start = at;
            continue;
        }
        let letter = rest.chars().next().unwrap_or_default();
        match quote {
            Some(open) if open == letter => quote = None,
            None if matches!(letter, '"' | '\'') => quote = Some(letter),
            _ => {}
        }
        at += letter.len_utf8();
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

/// So many bytes of a text from one on, without splitting a character; what reaches beyond the end fails.
fn substring<'a>(text: Cow<'a, str>, start: Option<Term<'a>>, length: Option<Term<'a>>) -> Term<'a> {
    let number = |term| match term {
        Some(Term::Int(number)) => usize::try_from(number).ok(),
        _ => None,
    };
    let (Some(start), Some(length)) = (number(start), number(length)) else {
        return Term::Failed("Substring needs a start and a length that are not negative");
    };
    let Some(end) = start.checked_add(length).filter(|end| *end <= text.len()) else {
        return Term::Failed("Substring reaches beyond the end of the text");
    };
    let range = text.floor_char_boundary(start)..text.floor_char_boundary(end);
    match text {
        Cow::Borrowed(text) => Term::from(text.get(range).unwrap_or_default()),
        Cow::Owned(text) => text.get(range).unwrap_or_default().to_owned().into(),
    }
}
