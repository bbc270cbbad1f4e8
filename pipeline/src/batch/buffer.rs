//! The bytes behind a part of a batch: those received, and those that processors wrote since.
//!
//! Everything else in a part points into here by [`Text`], eight bytes of offset and length. Offsets below the
//! length of the received bytes mean those; higher ones mean the written bytes.

use bytes::Bytes;

/// A place in a [`Buffer`]. Of itself it knows nothing of UTF-8; see [`Buffer::text`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

impl Text {
    /// The empty place, which also means "nothing here" where a field may be absent.
    pub(crate) const NONE: Self = Self { offset: 0, len: 0 };

    pub(crate) fn is_none(self) -> bool {
        self.len == 0
    }
}

/// Received bytes and written bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffer {
    wire: Bytes,
    own: Vec<u8>,
}

impl Buffer {
    pub(crate) fn new(wire: Bytes) -> Self {
        Self { wire, own: Vec::new() }
    }

    /// The bytes as received.
    pub(crate) fn wire(&self) -> &Bytes {
        &self.wire
    }

    /// The bytes of a place; none for a place of another buffer.
    pub(crate) fn bytes(&self, place: Text) -> &[u8] {
        let start = place.offset as usize;
        let end = start + place.len as usize;
        let wire = self.wire.len();
        let found = if end <= wire {
            self.wire.get(start..end)
        } else {
            self.own.get(start.wrapping_sub(wire)..end.wrapping_sub(wire))
        };
        found.unwrap_or_default()
    }

    /// The text of a place that was checked when it was decoded or written.
    pub(crate) fn text(&self, place: Text) -> &str {
        std::str::from_utf8(self.bytes(place)).unwrap_or_default()
    }

    /// Says where bytes are, after appending them. A slice of the received bytes is not copied: it is where it is.
    ///
    /// A buffer holds up to 4 GiB; the budget for telemetry in flight is met long before.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Text {
        if let Some(received) = self.received(bytes) {
            return received;
        }
        let offset = u32::try_from(self.wire.len() + self.own.len());
        let len = u32::try_from(bytes.len());
        match (offset, len) {
            (Ok(offset), Ok(len)) if offset.checked_add(len).is_some() => {
                self.own.extend_from_slice(bytes);
                Text { offset, len }
            }
            _ => Text::NONE,
        }
    }

    /// The place of a slice of the received bytes; none for a slice of other memory.
    fn received(&self, slice: &[u8]) -> Option<Text> {
        let offset = slice.as_ptr().addr().checked_sub(self.wire.as_ptr().addr())?;
        let is_within = !slice.is_empty() && offset.checked_add(slice.len())? <= self.wire.len();
        is_within.then_some(())?;
        Some(Text { offset: u32::try_from(offset).ok()?, len: u32::try_from(slice.len()).ok()? })
    }

    /// Bytes of memory taken.
    pub(crate) fn memory_size(&self) -> usize {
        self.wire.len() + self.own.capacity()
    }

    /// Bytes that copies of the buffer share.
    pub(crate) fn received_size(&self) -> usize {
        self.wire.len()
    }
}

/// Whether the bytes are UTF-8, with a short path for the short ASCII that telemetry mostly is.
pub(crate) fn is_utf8(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let high = words.iter().fold(0, |high, word| high | u64::from_le_bytes(*word));
    let tail = rest.iter().fold(0, |high, byte| high | byte);
    (high & 0x8080_8080_8080_8080 == 0 && tail < 0x80) || std::str::from_utf8(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_bytes_follow_the_received_ones() {
        let mut buffer = Buffer::new(Bytes::from_static(b"received"));
        let written = buffer.push(b"written");
        assert_eq!(buffer.text(Text { offset: 0, len: 8 }), "received");
        assert_eq!(buffer.text(written), "written");
        assert_eq!(buffer.bytes(Text { offset: 90, len: 4 }), b"");
    }

    #[test]
    fn a_slice_of_the_received_bytes_is_not_copied() {
        let wire = Bytes::from(b"received".to_vec());
        let mut buffer = Buffer::new(wire.clone());
        assert_eq!(buffer.push(&wire[2..5]), Text { offset: 2, len: 3 });
        assert_eq!(buffer.push(&wire), Text { offset: 0, len: 8 });
        let copied = buffer.push(b"cei");
        assert_eq!(copied, Text { offset: 8, len: 3 });
        assert_eq!(buffer.text(copied), "cei");
        assert_eq!(buffer.push(b"").len, 0);
    }

    #[test]
    fn utf8_is_told_from_other_bytes_at_every_length() {
        for len in 0..40 {
            let ascii = vec![b'a'; len];
            assert!(is_utf8(&ascii));
            for position in 0..len {
                let mut broken = ascii.clone();
                broken[position] = 0xFF;
                assert!(!is_utf8(&broken), "{position} of {len}");
            }
        }
        assert!(is_utf8("größer als fünf".as_bytes()));
    }
}
