//! What a body is: JSON, a JSON value a line, or lines of text.
//!
//! The content type decides. `text/plain` (all that `navigator.sendBeacon` can send across origins), a form (what
//! `curl -d` says it sends) and a missing type decide nothing: there the first character does.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::server::failure::{Failure, Kind};

/// What the content type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    /// JSON values, one behind the other.
    Json,
    /// JSON values, one a line.
    JsonLines,
    /// Anything that is text.
    Text,
    /// Fields of a form (WHATWG URL, "application/x-www-form-urlencoded").
    Form,
    /// Protobuf, compressed with snappy.
    Protobuf,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// JSON values, one behind the other.
    Json,
    /// JSON values, one a line.
    JsonLines,
    /// Lines of text.
    Text,
    /// Protobuf.
    Protobuf,
}

impl Content {
    /// JSON for what looked like text, where nothing else can be meant.
    pub(super) fn or_json(self) -> Self {
        if self == Self::Text { Self::Json } else { self }
    }
}

impl Declared {
    /// Reads the content type; its parameters, such as a charset, do not matter.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(Self::Text) };
        let text = String::from_utf8_lossy(value.as_bytes());
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/json-lines"
            | "application/jsonlines"
            | "application/x-jsonlines" => Ok(Self::JsonLines),
            "" => Ok(Self::Text),
            "application/x-www-form-urlencoded" => Ok(Self::Form),
            "application/x-protobuf" => Ok(Self::Protobuf),
            "application/json" => Ok(Self::Json),
            json if json.ends_with("+json") => Ok(Self::Json),
            plain if plain.starts_with("text/") => Ok(Self::Text),
            _ => Err(unsupported(headers)),
        }
    }

    /// Finds out what the body is, and takes it out of a form.
    pub(super) fn open(self, body: Bytes, form_field: &str) -> Result<(Content, Bytes), Failure> {
        match self {
            Self::Json => Ok((Content::Json, body)),
            Self::JsonLines => Ok((Content::JsonLines, body)),
            Self::Protobuf => Ok((Content::Protobuf, body)),
            Self::Text => Ok((sniff(&body), body)),
            Self::Form if sniff(&body) == Content::Json => Ok((Content::Json, body)),
            Self::Form => {
                let field = form_urlencoded::parse(&body).find(|(name, _)| name == form_field);
                let Some((_, value)) = field else {
                    let text = format!("the form has no field `{form_field}`, which should hold the logs");
                    return Err(Failure::new(Kind::Invalid, text));
                };
                let value = Bytes::from(value.into_owned());
                Ok((sniff(&value), value))
            }
        }
    }
}

/// The failure for a type that cannot be read here.
pub(super) fn unsupported(headers: &HeaderMap) -> Failure {
    let content_type = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let text = format!(
        "the content type `{}` is not supported here; send `application/json`, `application/x-ndjson` or `text/plain`",
        content_type.unwrap_or_default()
    );
    Failure::new(Kind::ContentType, text)
}

/// JSON begins with `{`, or with `[` and an object in it; `[info] started` is text.
fn sniff(body: &[u8]) -> Content {
    let body = body.trim_ascii_start();
    let is_json = match body.split_first() {
        Some((b'{', _)) => true,
        Some((b'[', rest)) => matches!(rest.trim_ascii_start().first(), Some(b'{' | b']')),
        _ => false,
    };
    if is_json { Content::Json } else { Content::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_decides_and_then_the_first_character() {
        for (content_type, body, expected) in [
            ("application/json", "x", Ok(Content::Json)),
            ("Application/JSON; charset=utf-8", "x", Ok(Content::Json)),
            ("application/vnd.api+json", "x", Ok(Content::Json)),
            ("application/x-ndjson", "x", Ok(Content::JsonLines)),
            ("text/plain;charset=UTF-8", " [ {\"a\":1}]", Ok(Content::Json)),
            ("text/plain", "[]", Ok(Content::Json)),
            ("text/plain", "{\"a\":1}", Ok(Content::Json)),
            ("text/plain", "[info] started", Ok(Content::Text)),
            ("text/plain", "", Ok(Content::Text)),
            ("", "{}", Ok(Content::Json)),
            ("application/x-www-form-urlencoded", "{\"a\":\"b=c&d\"}", Ok(Content::Json)),
            ("application/x-www-form-urlencoded", "x=1&payload=%7B%22a%22%3A1%7D", Ok(Content::Json)),
            ("application/x-www-form-urlencoded", "payload=a+b", Ok(Content::Text)),
            ("application/x-www-form-urlencoded", "x=1", Err(Kind::Invalid)),
            ("multipart/form-data; boundary=x", "", Err(Kind::ContentType)),
            ("image/png", "", Err(Kind::ContentType)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
            let opened = Declared::of(&headers)
                .and_then(|declared| declared.open(Bytes::copy_from_slice(body.as_bytes()), "payload"));
            let content = opened.map(|(content, _)| content).map_err(|failure| failure.kind);
            assert_eq!(content, expected, "{content_type} {body}");
        }
    }

    #[test]
    fn the_field_of_a_form_is_decoded() {
        let body = Bytes::from_static(b"payload=%7B%22a%22%3A%22b+c%22%7D");
        let (_, value) = Declared::Form.open(body, "payload").unwrap();
        assert_eq!(value, "{\"a\":\"b c\"}");
    }
}
