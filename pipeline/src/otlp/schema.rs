//! The messages of OTLP as one table: for each field its protobuf number, its JSON name, its kind and its presence.
//!
//! Code that is driven by this table treats logs, traces and metrics alike. The truth behind the table is
//! opentelemetry-proto 1.x (`opentelemetry/proto/**/*.proto`) and, for [`STATUS`], `google/rpc/status.proto`. To follow
//! a new release of OTLP, add the new lines here.

mod messages;

pub use messages::*;

/// How many attribute values may stand inside each other. The body of a log record or the value of an attribute is
/// the first level, an element of its array or list the second, and so on. Encoders and decoders refuse more, because
/// they recurse and a sender must not choose the depth of the stack.
pub const NESTING_LIMIT: usize = 64;

/// A protobuf message.
#[derive(Debug)]
pub struct Message {
    /// The name of the message, without its package.
    pub name: &'static str,
    /// The fields, in order of their numbers.
    pub fields: &'static [Field],
}

/// A field of a message.
#[derive(Debug)]
pub struct Field {
    /// The protobuf number, below 32.
    pub number: u32,
    /// The name in JSON, in lowerCamelCase.
    pub name: &'static str,
    /// The name as it starts a member of a JSON object, in quotes and with a colon.
    pub key: &'static str,
    /// What one value of the field is.
    pub kind: Kind,
    /// When the field is there.
    pub presence: Presence,
}

/// What one value of a field is: its protobuf type, and its form in JSON where that is special.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A message: an object.
    Message(&'static Message),
    /// UTF-8 text.
    String,
    /// Bytes: base64 text.
    Bytes,
    /// An id of so many bytes, or none: hexadecimal text, unlike any other bytes.
    Id(usize),
    /// A truth value.
    Bool,
    /// A double: a number, or the text `NaN`, `Infinity` or `-Infinity`.
    Double,
    /// An unsigned 64-bit integer of fixed width: text.
    Fixed64,
    /// A signed 64-bit integer of fixed width: text.
    Sfixed64,
    /// An unsigned 64-bit integer: text.
    Uint64,
    /// A signed 64-bit integer: text.
    Int64,
    /// An unsigned 32-bit integer of fixed width: a number.
    Fixed32,
    /// An unsigned 32-bit integer: a number.
    Uint32,
    /// A signed 32-bit integer: a number.
    Int32,
    /// A signed 32-bit integer in zigzag form: a number.
    Sint32,
    /// A value of an enumeration, with the names in order of their numbers from 0: a number.
    Enum(&'static [&'static str]),
}

/// When a field is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The field is absent exactly when it has its default value.
    Implicit,
    /// The field is there or not, whatever its value: `optional` fields and messages.
    Explicit,
    /// As `Explicit`, and at most one field of this presence is there. No message has two `oneof`s.
    Oneof,
    /// The field is a list; numbers are packed.
    Repeated,
}

/// How a value is laid out in protobuf bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireType {
    /// Seven bits a byte, least significant first.
    Varint,
    /// Eight bytes, little-endian.
    Fixed64,
    /// A length as a varint, then so many bytes.
    Length,
    /// Four bytes, little-endian.
    Fixed32,
}

impl Kind {
    /// Returns how one value of this kind is laid out.
    #[must_use]
    pub fn wire_type(self) -> WireType {
        match self {
            Self::Message(_) | Self::String | Self::Bytes | Self::Id(_) => WireType::Length,
            Self::Double | Self::Fixed64 | Self::Sfixed64 => WireType::Fixed64,
            Self::Fixed32 => WireType::Fixed32,
            Self::Bool
            | Self::Uint64
            | Self::Int64
            | Self::Uint32
            | Self::Int32
            | Self::Sint32
            | Self::Enum(_) => WireType::Varint,
        }
    }
}

impl Message {
    /// Reports whether this is `AnyValue`, the only message that can hold itself.
    #[must_use]
    pub fn is_any_value(&self) -> bool {
        std::ptr::eq(self, &raw const ANY_VALUE)
    }
}

/// Finds the fields of a message one after the other. Senders write fields in order, so it looks first where it found
/// the last one.
pub(crate) struct Finder {
    fields: &'static [Field],
    last: usize,
}

impl Finder {
    /// Makes a finder that starts at the first field.
    pub(crate) fn new(message: &'static Message) -> Self {
        Self { fields: message.fields, last: 0 }
    }

    /// Finds the field with this number.
    pub(crate) fn number(&mut self, number: u32) -> Option<&'static Field> {
        self.find(|field| field.number == number)
    }

    /// Finds the field with this name, in lowerCamelCase or, as in the proto files, in snake_case.
    pub(crate) fn name(&mut self, name: &str) -> Option<&'static Field> {
        self.find(|field| field.name == name).or_else(|| {
            if name.contains('_') { self.find(|field| is_snake_case_of(name, field.name)) } else { None }
        })
    }

    fn find(&mut self, matches: impl Fn(&Field) -> bool) -> Option<&'static Field> {
        let (earlier, later) = self.fields.split_at_checked(self.last)?;
        self.last = match later.iter().position(&matches) {
            Some(position) => self.last + position,
            None => earlier.iter().position(&matches)?,
        };
        self.fields.get(self.last)
    }
}

fn is_snake_case_of(snake: &str, camel: &str) -> bool {
    let spelled = camel.bytes().flat_map(|byte| {
        let underscore = byte.is_ascii_uppercase().then_some(b'_');
        underscore.into_iter().chain([byte.to_ascii_lowercase()])
    });
    snake.bytes().eq(spelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `check` once for each message that can be reached from the requests and responses.
    fn each_message(check: impl Fn(&'static Message)) {
        let mut waiting: Vec<&'static Message> = vec![
            &LOGS_REQUEST,
            &TRACES_REQUEST,
            &METRICS_REQUEST,
            &LOGS_RESPONSE,
            &TRACES_RESPONSE,
            &METRICS_RESPONSE,
            &STATUS,
        ];
        let mut seen: Vec<*const Message> = Vec::new();
        while let Some(message) = waiting.pop() {
            if seen.contains(&&raw const *message) {
                continue;
            }
            seen.push(message);
            check(message);
            waiting.extend(message.fields.iter().filter_map(|field| match field.kind {
                Kind::Message(inner) => Some(inner),
                _ => None,
            }));
        }
    }

    #[test]
    fn field_numbers_ascend_and_fit_a_mask_of_32_bits() {
        each_message(|message| {
            assert!(
                message.fields.is_sorted_by(|left, right| left.number < right.number),
                "{}",
                message.name
            );
            assert!(message.fields.iter().all(|field| field.number < 32), "{}", message.name);
        });
    }

    #[test]
    fn singular_messages_have_explicit_presence() {
        each_message(|message| {
            for field in message.fields.iter().filter(|field| matches!(field.kind, Kind::Message(_))) {
                assert_ne!(field.presence, Presence::Implicit, "{}.{}", message.name, field.name);
            }
        });
    }

    #[test]
    fn fields_are_found_by_either_spelling_in_any_order() {
        let mut finder = Finder::new(&LOG_RECORD);
        for (name, number) in [
            ("traceId", 9),
            ("time_unix_nano", 1),
            ("observedTimeUnixNano", 11),
            ("dropped_attributes_count", 7),
        ] {
            assert_eq!(finder.name(name).map(|field| field.number), Some(number), "{name}");
        }
        for name in ["TraceId", "trace_Id", "trace_id_", "", "_"] {
            assert!(finder.name(name).is_none(), "{name}");
        }
    }
}
