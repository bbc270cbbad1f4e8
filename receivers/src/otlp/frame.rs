//! The frames of gRPC: one byte that says whether the message is compressed, four for its length, and the message
//! (gRPC over HTTP/2, "Length-Prefixed-Message"). Of a unary request there is exactly one.

use bytes::Bytes;

/// The bytes before a message.
const PREFIX: usize = 5;

/// Puts a message together from the pieces in which it arrives. One that arrives in one piece is not copied.
#[derive(Debug)]
pub(crate) struct Framer {
    limit: usize,
    state: State,
}

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Whether it is compressed.
    pub(crate) is_compressed: bool,
    /// Its bytes.
    pub(crate) bytes: Bytes,
}

/// Why the pieces are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The message is larger than allowed. The words are those of grpc-go.
    #[error(
        "grpc: received message larger than max ({length} vs. {limit}); send smaller batches or raise `max_recv_msg_size_mib`"
    )]
    TooLarge {
        /// Bytes announced.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// There is something behind the message.
    #[error("more than one message in a unary request; send one message per request")]
    Several,
    /// The request ends before the message does.
    #[error("the request ended after {received} of {length} bytes of the message")]
    Truncated {
        /// Bytes received.
        received: usize,
        /// Bytes announced.
        length: usize,
    },
    /// The request ends before a message began.
    #[error("the request holds no message")]
    Missing,
    /// The first byte is neither 0 nor 1.
    #[error("the first byte of the message is {0}; it must be 0 (as is) or 1 (compressed)")]
    Flag(u8),
}

#[derive(Debug)]
enum State {
    /// The prefix is not complete.
    Prefix { bytes: [u8; PREFIX], count: usize },
    /// The prefix is known. `first` is what came with it; it moves to `whole` when more comes.
    Body { is_compressed: bool, length: usize, first: Bytes, whole: Vec<u8> },
}

impl Framer {
    /// Starts a message of up to `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: State::Prefix { bytes: [0; PREFIX], count: 0 } }
    }

    /// The length of the message, once it is known.
    pub(crate) fn length(&self) -> Option<usize> {
        match &self.state {
            State::Prefix { .. } => None,
            State::Body { length, .. } => Some(*length),
        }
    }

    /// Takes the next piece. Before a second piece of the message, [`length`](Self::length) bytes are allocated.
    pub(crate) fn push(&mut self, mut piece: Bytes) -> Result<(), FrameError> {
        if let State::Prefix { bytes, count } = &mut self.state {
            let rest = bytes.get_mut(*count..).unwrap_or_default();
            let taken = piece.split_to(rest.len().min(piece.len()));
            rest.iter_mut().zip(&taken).for_each(|(to, from)| *to = *from);
            *count += taken.len();
            if *count < PREFIX {
                return Ok(());
            }
            let [flag, length @ ..] = *bytes;
            self.state = self.begin(flag, u32::from_be_bytes(length) as usize)?;
        }
        self.append(piece)
    }

    /// Ends the request.
    pub(crate) fn finish(self) -> Result<Message, FrameError> {
        let State::Body { is_compressed, length, first, whole } = self.state else {
            return Err(FrameError::Missing);
        };
        let bytes = if whole.is_empty() { first } else { whole.into() };
        if bytes.len() < length {
            return Err(FrameError::Truncated { received: bytes.len(), length });
        }
        Ok(Message { is_compressed, bytes })
    }

    fn begin(&self, flag: u8, length: usize) -> Result<State, FrameError> {
        if flag > 1 {
            return Err(FrameError::Flag(flag));
        }
        if length > self.limit {
            return Err(FrameError::TooLarge { length, limit: self.limit });
        }
        Ok(State::Body { is_compressed: flag == 1, length, first: Bytes::new(), whole: Vec::new() })
    }

    fn append(&mut self, piece: Bytes) -> Result<(), FrameError> {
        let State::Body { length, first, whole, .. } = &mut self.state else { return Ok(()) };
        let received = first.len().max(whole.len());
        if piece.len() > *length - received {
            return Err(FrameError::Several);
        }
        if piece.is_empty() {
            return Ok(());
        }
        if received == 0 {
            *first = piece;
            return Ok(());
        }
        if whole.is_empty() {
            whole.reserve_exact(*length);
            whole.extend_from_slice(first);
            *first = Bytes::new();
        }
        whole.extend_from_slice(&piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 10;

    fn message(pieces: &[&'static [u8]]) -> Result<Message, FrameError> {
        let mut framer = Framer::new(LIMIT);
        for piece in pieces {
            framer.push(Bytes::from_static(piece))?;
        }
        framer.finish()
    }

    #[test]
    fn a_message_is_the_same_however_it_is_cut() {
        let request = b"\x01\0\0\0\x04data";
        let expected = Message { is_compressed: true, bytes: Bytes::from_static(b"data") };
        assert_eq!(message(&[request]), Ok(expected));
        for first in 0..request.len() {
            for second in first..request.len() {
                let pieces = [&request[..first], &request[first..second], &request[second..]];
                assert_eq!(message(&pieces).unwrap().bytes, "data", "{first} {second}");
            }
        }
    }

    #[test]
    fn a_message_in_one_piece_is_not_copied() {
        let piece = Bytes::from_static(b"\0\0\0\0\x04data");
        let mut framer = Framer::new(LIMIT);
        framer.push(piece.clone()).unwrap();
        assert_eq!(framer.finish().unwrap().bytes.as_ptr(), piece[5..].as_ptr());
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_reason() {
        let cases: [(&[&'static [u8]], FrameError); 7] = [
            (&[], FrameError::Missing),
            (&[b"\0\0\0"], FrameError::Missing),
            (&[b"\x02\0\0\0\0"], FrameError::Flag(2)),
            (&[b"\0\0\0\0\x0b"], FrameError::TooLarge { length: 11, limit: LIMIT }),
            (&[b"\0\0\0\0\x04dat"], FrameError::Truncated { received: 3, length: 4 }),
            (&[b"\0\0\0\0\x04data\0"], FrameError::Several),
            (&[b"\0\0\0\0\x04data", b"\0\0\0\0\0"], FrameError::Several),
        ];
        for (pieces, error) in cases {
            assert_eq!(message(pieces), Err(error), "{pieces:?}");
        }
    }
}
