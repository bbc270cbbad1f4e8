//! The fields that hold one value of a fixed type, one line each: what they are of, their name, and how they are set.

use super::super::ConditionContext::{self, DataPoint, Log, Metric, Scope, Span, SpanEvent};
use super::super::term::Term;
use super::Failure;
use super::hand::Hand;
use crate::batch::{Number, PointData};

/// A field that can be set.
#[derive(Debug)]
pub(super) struct Setter {
    of: ConditionContext,
    name: &'static str,
    write: Write,
}

/// What a field takes, and how it is written.
#[derive(Debug)]
enum Write {
    Text(fn(&mut Hand<'_>, &str)),
    /// A number from 0 to the given one.
    Upto(i64, fn(&mut Hand<'_>, i64)),
    Int(fn(&mut Hand<'_>, i64)),
    Double(fn(&mut Hand<'_>, f64)),
    TraceId(fn(&mut Hand<'_>, [u8; 16])),
    SpanId(fn(&mut Hand<'_>, [u8; 8])),
}

const fn text(of: ConditionContext, name: &'static str, write: fn(&mut Hand<'_>, &str)) -> Setter {
    Setter { of, name, write: Write::Text(write) }
}

const fn time(of: ConditionContext, name: &'static str, write: fn(&mut Hand<'_>, i64)) -> Setter {
    upto(i64::MAX, of, name, write)
}

const fn upto(most: i64, of: ConditionContext, name: &'static str, write: fn(&mut Hand<'_>, i64)) -> Setter {
    Setter { of, name, write: Write::Upto(most, write) }
}

const fn trace_id(of: ConditionContext, name: &'static str, write: fn(&mut Hand<'_>, [u8; 16])) -> Setter {
    Setter { of, name, write: Write::TraceId(write) }
}

const fn span_id(of: ConditionContext, name: &'static str, write: fn(&mut Hand<'_>, [u8; 8])) -> Setter {
    Setter { of, name, write: Write::SpanId(write) }
}

/// The largest of the flags of a record, 32 bits.
const FLAGS_MAX: i64 = u32::MAX as i64;

/// Writes a text into the buffer of the part, and its place into a row.
macro_rules! place {
    ($row:ident, $field:ident) => {
        |hand, text| {
            let text = hand.part.buffer.push(text.as_bytes());
            hand.$row(|row| row.$field = text);
        }
    };
}

/// Writes a number or an id into a row, as the field has it.
macro_rules! plain {
    ($row:ident, $field:ident) => {
        |hand, value| hand.$row(|row| row.$field = value)
    };
    ($row:ident, $field:ident as $number:ty) => {
        |hand, value| hand.$row(|row| row.$field = <$number>::try_from(value).unwrap_or_default())
    };
}

static SETTERS: [Setter; 36] = [
    text(Scope, "name", place!(scope, name)),
    text(Scope, "version", place!(scope, version)),
    upto(24, Log, "severity_number", plain!(log, severity_number as i32)),
    text(Log, "severity_text", place!(log, severity_text)),
    text(Log, "event_name", place!(log, event_name)),
    time(Log, "time_unix_nano", plain!(log, time as u64)),
    time(Log, "observed_time_unix_nano", plain!(log, observed_time as u64)),
    upto(FLAGS_MAX, Log, "flags", plain!(log, flags as u32)),
    trace_id(Log, "trace_id", plain!(log, trace_id)),
    trace_id(Log, "trace_id.string", plain!(log, trace_id)),
    span_id(Log, "span_id", plain!(log, span_id)),
    span_id(Log, "span_id.string", plain!(log, span_id)),
    text(Span, "name", place!(span, name)),
    upto(5, Span, "kind", plain!(span, kind as i32)),
    upto(2, Span, "status.code", |hand, code| {
        hand.span(|row| {
            row.has_status = true;
            row.status_code = i32::try_from(code).unwrap_or_default();
        });
    }),
    text(Span, "status.message", |hand, text| {
        let text = hand.part.buffer.push(text.as_bytes());
        hand.span(|row| {
            row.has_status = true;
            row.status_message = text;
        });
    }),
    text(Span, "trace_state", place!(span, trace_state)),
    time(Span, "start_time_unix_nano", plain!(span, start_time as u64)),
    time(Span, "end_time_unix_nano", plain!(span, end_time as u64)),
    upto(FLAGS_MAX, Span, "flags", plain!(span, flags as u32)),
    trace_id(Span, "trace_id", plain!(span, trace_id)),
    trace_id(Span, "trace_id.string", plain!(span, trace_id)),
    span_id(Span, "span_id", plain!(span, span_id)),
    span_id(Span, "span_id.string", plain!(span, span_id)),
    span_id(Span, "parent_span_id", plain!(span, parent_span_id)),
    span_id(Span, "parent_span_id.string", plain!(span, parent_span_id)),
    text(SpanEvent, "name", place!(event, name)),
    time(SpanEvent, "time_unix_nano", plain!(event, time as u64)),
    text(Metric, "name", place!(metric_row, name)),
    text(Metric, "description", place!(metric_row, description)),
    text(Metric, "unit", place!(metric_row, unit)),
    time(DataPoint, "time_unix_nano", plain!(point, time as u64)),
    time(DataPoint, "start_time_unix_nano", plain!(point, start_time as u64)),
    upto(FLAGS_MAX, DataPoint, "flags", plain!(point, flags as u32)),
    Setter {
        of: DataPoint,
        name: "value_int",
        write: Write::Int(|hand, value| set_number(hand, Number::Int(value))),
    },
    Setter {
        of: DataPoint,
        name: "value_double",
        write: Write::Double(|hand, value| set_number(hand, Number::Double(value))),
    },
];

/// Sets the value of a point of a gauge or a sum; other points stay as they are.
fn set_number(hand: &mut Hand<'_>, value: Number) {
    hand.point(|row| {
        if let PointData::Number(number) = &mut row.data {
            *number = value;
        }
    });
}

impl Setter {
    pub(super) fn find(of: ConditionContext, name: &str) -> Option<&'static Self> {
        SETTERS.iter().find(|setter| setter.of == of && setter.name == name)
    }

    /// The names of what can be set of a context.
    pub(super) fn names(of: ConditionContext) -> impl Iterator<Item = &'static str> {
        SETTERS.iter().filter(move |setter| setter.of == of).map(|setter| setter.name)
    }

    /// What the field takes, in words.
    pub(super) fn takes(&self) -> &'static str {
        match self.write {
            Write::Text(_) => "the field takes a text",
            Write::Upto(24, _) => "the field takes a number from 0 to 24",
            Write::Upto(5, _) => "the field takes a number from 0 to 5",
            Write::Upto(2, _) => "the field takes a number from 0 to 2",
            Write::Upto(..) => "the field takes a whole number that is not negative",
            Write::Int(_) => "the field takes a whole number",
            Write::Double(_) => "the field takes a number with a decimal point",
            Write::TraceId(_) => "the field takes an id of 16 bytes, or its 32 hexadecimal digits",
            Write::SpanId(_) => "the field takes an id of 8 bytes, or its 16 hexadecimal digits",
        }
    }

    /// Whether the field takes a value of this kind.
    pub(super) fn can_take(&self, value: &Term<'_>) -> bool {
        match &self.write {
            Write::Text(_) => matches!(value, Term::Text(_)),
            Write::Upto(most, _) => matches!(value, Term::Int(number) if (0..=*most).contains(number)),
            Write::Int(_) => matches!(value, Term::Int(_)),
            Write::Double(_) => matches!(value, Term::Double(_)),
            Write::TraceId(_) => id::<16>(value).is_some(),
            Write::SpanId(_) => id::<8>(value).is_some(),
        }
    }

    pub(super) fn set(&self, hand: &mut Hand<'_>, value: &Term<'_>) -> Result<(), Failure> {
        if !self.can_take(value) {
            return Err(Failure(self.takes()));
        }
        match (&self.write, value) {
            (Write::Text(write), Term::Text(text)) => write(hand, text),
            (Write::Upto(_, write) | Write::Int(write), Term::Int(number)) => write(hand, *number),
            (Write::Double(write), Term::Double(number)) => write(hand, *number),
            (Write::TraceId(write), value) => write(hand, id(value).unwrap_or_default()),
            (Write::SpanId(write), value) => write(hand, id(value).unwrap_or([0; 8])),
            _ => {}
        }
        Ok(())
    }
}

/// The id that bytes or hexadecimal digits are.
fn id<const N: usize>(value: &Term<'_>) -> Option<[u8; N]> {
    if let Term::Text(digits) = value {
        let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
        let bytes: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
        return bytes.try_into().ok();
    }
    value.bytes()?.try_into().ok()
}
