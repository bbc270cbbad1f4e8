//! What container runtimes write: a time, a stream, and a piece of what the program wrote.
//!
//! CRI (containerd, CRI-O): `<RFC 3339 time> stdout|stderr P|F[:more tags] <text>`, `P` for all but the last piece of a
//! line; source: Kubernetes' CRI logging design. Docker's `json-file` driver: `{"log":"text\n","stream":"stdout","time":"…"}`,
//! where only the last piece ends in a line break.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_pipeline::parse::{Fields, Zone, json, time};
use watershed_pipeline::{AnyValue, RecordMut, Value};

use super::reader::json_reason;
use super::stats::Failure;

/// How long a line may become that is put together, in bytes; a longer one goes on in parts.
const LINE_MAX: usize = 1 << 20;

/// Who wrote a container's line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// containerd and CRI-O.
    #[default]
    Cri,
    /// Docker's `json-file` driver.
    Docker,
}

/// What stands around a piece of text.
#[derive(Clone, Copy)]
pub(super) struct Piece<'l> {
    time: u64,
    stream: &'l str,
    is_last: bool,
}

/// What stood around the first piece of a text that is held back.
pub(super) struct Origin {
    time: u64,
    stream: String,
}

/// The pieces that wait for the rest of their lines, for each stream.
#[derive(Default)]
pub(super) struct Partial(Vec<(Origin, String)>);

impl Runtime {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cri => "cri",
            Self::Docker => "docker",
        }
    }

    /// The runtime that writes lines like this one.
    pub(super) fn of(line: &str, fields: &mut Fields) -> Option<Self> {
        [Self::Cri, Self::Docker].into_iter().find(|runtime| runtime.split(line, fields).is_ok())
    }

    /// A line's text and what stands around it.
    pub(super) fn split<'a>(
        self,
        line: &'a str,
        fields: &'a mut Fields,
    ) -> Result<(Piece<'a>, &'a str), Failure> {
        let failure = |reason| Failure { format: self.name(), reason };
        match self {
            Self::Cri => split_cri(line).ok_or(failure("no match")),
            Self::Docker => {
                let entries = json::read(line, fields).map_err(|error| failure(json_reason(error.reason)))?;
                let text = |key| entries.value(key).and_then(Value::as_str);
                let (Some(log), Some(stream), Some(at)) = (text("log"), text("stream"), text("time")) else {
                    return Err(failure("no match"));
                };
                let time = time::rfc3339(at, &Zone::UTC, 0).ok_or(failure("time"))?;
                let content = log.strip_suffix('\n');
                let piece = Piece { time, stream, is_last: content.is_some() };
                Ok((piece, content.map_or(log, |text| text.strip_suffix('\r').unwrap_or(text))))
            }
        }
    }
}

fn split_cri(line: &str) -> Option<(Piece<'_>, &str)> {
    let (at, rest) = line.split_once(' ')?;
    let (stream, rest) = rest.split_once(' ')?;
    let (tags, text) = rest.split_once(' ').unwrap_or((rest, ""));
    matches!(stream, "stdout" | "stderr").then_some(())?;
    let is_last = match tags.split(':').next()? {
        "F" => true,
        "P" => false,
        _ => return None,
    };
    Some((Piece { time: time::rfc3339(at, &Zone::UTC, 0)?, stream, is_last }, text))
}

impl Piece<'_> {
    /// Sets what the runtime says: the time, and the attribute `log.iostream`.
    pub(super) fn describe(&self, record: &mut RecordMut<'_>) {
        record.set_time_unix_nano(self.time);
        record.set_attribute("log.iostream", self.stream);
    }

    /// As [`Self::describe`], on a record that owns what it holds.
    pub(super) fn mark(&self, time: &mut u64, attributes: &mut AnyValue) {
        *time = self.time;
        let AnyValue::Map(attributes) = attributes else { return };
        attributes.retain(|(key, _)| key != "log.iostream");
        attributes.push(("log.iostream".to_owned(), self.stream.into()));
    }
}

impl Origin {
    pub(super) fn piece(&self) -> Piece<'_> {
        Piece { time: self.time, stream: &self.stream, is_last: true }
    }
}

impl Partial {
    pub(super) fn is_holding(&self) -> bool {
        !self.0.is_empty()
    }

    pub(super) fn take_all(&mut self) -> Vec<(Origin, String)> {
        std::mem::take(&mut self.0)
    }

    /// The whole line that a piece completes, or as much of it as may be held; nothing if the piece has to wait.
    pub(super) fn join<'l>(&mut self, piece: &Piece<'_>, text: &'l str) -> Option<Cow<'l, str>> {
        let held = self.0.iter().position(|(origin, _)| origin.stream == piece.stream);
        match held {
            None if piece.is_last || text.len() >= LINE_MAX => Some(text.into()),
            None => {
                let origin = Origin { time: piece.time, stream: piece.stream.to_owned() };
                self.0.push((origin, text.to_owned()));
                None
            }
            Some(index) => {
                let (_, line) = self.0.get_mut(index)?;
                line.push_str(text);
                if piece.is_last || line.len() >= LINE_MAX {
                    return Some(self.0.swap_remove(index).1.into());
                }
                None
            }
        }
    }
}
