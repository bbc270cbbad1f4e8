//! The payload of a record: an OTLP request message, as it is or compressed.
//!
//! Compressed, it is the length of the message in four bytes, little-endian, and the message as an LZ4 block.

use std::cell::RefCell;

use bytes::Bytes;
use lz4::block::{CompressionMode, compress_bound, compress_to_buffer, decompress_to_buffer};

use super::MAX_RECORD;

/// How a payload is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As it is.
    #[default]
    Plain,
    /// Compressed with LZ4.
    Lz4,
}

/// A payload that is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the compressed payload is damaged")]
pub(crate) struct PayloadError;

/// How much time LZ4 may take for a smaller result: 8 takes half as long as 1, for about a fifteenth more bytes.
const ACCELERATION: i32 = 8;
/// Less than this is not worth the work.
const LENGTH_MIN: usize = 256;
/// What LZ4 makes of a message is at most this many times as short, so a longer claim is false.
const RATIO_MAX: usize = 256;
/// A thread keeps no larger buffer than this for the next message.
const SCRATCH_MAX: usize = 4 << 20;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Encoding {
    /// The number of the encoding on disk.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Lz4 => 1,
        }
    }

    /// The encoding with this number, if there is one.
    pub(crate) fn numbered(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Plain),
            1 => Some(Self::Lz4),
            _ => None,
        }
    }

    /// The payload of a message, and how it is written: what does not become smaller stays as it is.
    pub(crate) fn encode(self, message: Bytes) -> (Self, Bytes) {
        if self == Self::Plain || message.len() < LENGTH_MIN {
            return (Self::Plain, message);
        }
        match compress(&message) {
            Some(payload) => (Self::Lz4, payload),
            None => (Self::Plain, message),
        }
    }

    /// The message of a payload.
    ///
    /// # Errors
    /// When it is not what [`Self::encode`] makes.
    pub(crate) fn decode(self, payload: &Bytes) -> Result<Bytes, PayloadError> {
        match self {
            Self::Plain => Ok(payload.clone()),
            Self::Lz4 => decompress(payload).ok_or(PayloadError),
        }
    }
}

fn decompress(payload: &[u8]) -> Option<Bytes> {
    let (length, block) = payload.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length as u64 > MAX_RECORD || length / RATIO_MAX > block.len() {
        return None;
    }
    let mut message = vec![0; length];
    let read = decompress_to_buffer(block, i32::try_from(length).ok(), &mut message).ok()?;
    (read == length).then(|| message.into())
}

/// The length and the compressed message; `None` unless that is shorter.
fn compress(message: &[u8]) -> Option<Bytes> {
    SCRATCH.with_borrow_mut(|scratch| {
        let needed = compress_bound(message.len()).ok()? + 4;
        if scratch.len() < needed {
            scratch.resize(needed, 0);
        }
        let mode = Some(CompressionMode::FAST(ACCELERATION));
        let written = compress_to_buffer(message, mode, true, scratch).ok()?;
        let payload = scratch.get(..written).filter(|payload| payload.len() < message.len());
        let payload = payload.map(Bytes::copy_from_slice);
        if scratch.len() > SCRATCH_MAX {
            *scratch = Vec::new();
        }
        payload
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn property_a_message_comes_back(piece in vec(any::<u8>(), 0..300), times in 1_usize..50) {
            let message = Bytes::from(piece.repeat(times));
            let (encoding, payload) = Encoding::Lz4.encode(message.clone());
            prop_assert!(payload.len() <= message.len());
            prop_assert_eq!(encoding.decode(&payload), Ok(message));
        }

        #[test]
        fn property_no_bytes_make_reading_fail_or_take_much_memory(payload in vec(any::<u8>(), 0..300)) {
            let message = Encoding::Lz4.decode(&payload.clone().into());
            prop_assert!(message.is_err() || message.is_ok_and(|message| message.len() <= RATIO_MAX * (payload.len() + 1)));
        }
    }

    #[test]
    fn what_does_not_become_smaller_is_left_as_it_is() {
        let mut random = fastrand::Rng::with_seed(1);
        let message: Bytes = (0..1000).map(|_| random.u8(..)).collect::<Vec<_>>().into();
        assert_eq!(Encoding::Lz4.encode(message.clone()), (Encoding::Plain, message));
        let small = Bytes::from_static(&[0; 100]);
        assert_eq!(Encoding::Lz4.encode(small.clone()), (Encoding::Plain, small));
    }
}
