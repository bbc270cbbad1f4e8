//! Writes protobuf fields, and remembers where the bytes are that differ from record to record.

/// A part of a record that is written anew for each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// When it happened: eight bytes, little endian.
    Time,
    /// When it was noticed, or ended: eight bytes, little endian.
    LaterTime,
    /// Sixteen bytes.
    TraceId,
    /// Eight bytes.
    SpanId,
    /// Eight bytes.
    ParentSpanId,
    /// Sixteen hexadecimal digits inside a text.
    RequestId,
}

impl Slot {
    /// How many bytes it takes.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::Time | Self::LaterTime | Self::SpanId | Self::ParentSpanId => 8,
            Self::TraceId | Self::RequestId => 16,
        }
    }
}

/// A protobuf message under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) bytes: Vec<u8>,
    /// Each slot with its offset in `bytes`.
    pub(crate) slots: Vec<(usize, Slot)>,
}

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn number(mut self, field: u32, value: u64) -> Self {
        varint(&mut self.bytes, u64::from(field) << 3);
        varint(&mut self.bytes, value);
        self
    }

    pub(crate) fn fixed(mut self, field: u32, value: u64) -> Self {
        varint(&mut self.bytes, u64::from(field) << 3 | 1);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn text(mut self, field: u32, text: &str) -> Self {
        delimited(&mut self.bytes, field, text.len());
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    /// A text with a request id between two parts.
    pub(crate) fn text_with_id(mut self, field: u32, before: &str, after: &str) -> Self {
        delimited(&mut self.bytes, field, before.len() + Slot::RequestId.size() + after.len());
        self.bytes.extend_from_slice(before.as_bytes());
        self.reserve(Slot::RequestId);
        self.bytes.extend_from_slice(after.as_bytes());
        self
    }

    /// A field of type `fixed64` that differs from record to record.
    pub(crate) fn time_slot(mut self, field: u32, slot: Slot) -> Self {
        varint(&mut self.bytes, u64::from(field) << 3 | 1);
        self.reserve(slot);
        self
    }

    /// A field of type `bytes` that differs from record to record.
    pub(crate) fn id_slot(mut self, field: u32, slot: Slot) -> Self {
        delimited(&mut self.bytes, field, slot.size());
        self.reserve(slot);
        self
    }

    pub(crate) fn message(mut self, field: u32, inner: &Self) -> Self {
        delimited(&mut self.bytes, field, inner.bytes.len());
        let start = self.bytes.len();
        self.slots.extend(inner.slots.iter().map(|(offset, slot)| (start + offset, *slot)));
        self.bytes.extend_from_slice(&inner.bytes);
        self
    }

    fn reserve(&mut self, slot: Slot) {
        self.slots.push((self.bytes.len(), slot));
        self.bytes.resize(self.bytes.len() + slot.size(), 0);
    }
}

/// Writes a number in groups of seven bits.
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`varint`] writes.
pub(crate) const fn varint_size(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Writes the key and the length of a text, of bytes or of a message.
pub(crate) fn delimited(out: &mut Vec<u8>, field: u32, length: usize) {
    varint(out, u64::from(field) << 3 | 2);
    varint(out, length as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_number_is_what_is_written() {
        for value in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out.len(), varint_size(value), "{value}");
        }
    }

    #[test]
    fn slots_keep_their_place_when_a_message_is_put_into_another() {
        let inner = Message::new().text_with_id(1, "id=", ";");
        let outer = Message::new().fixed(1, 7).message(5, &inner);
        let [(offset, Slot::RequestId)] = outer.slots[..] else { panic!("{:?}", outer.slots) };
        assert_eq!(&outer.bytes[offset - 3..offset], b"id=");
        assert_eq!(&outer.bytes[offset + 16..], b";");
    }
}
