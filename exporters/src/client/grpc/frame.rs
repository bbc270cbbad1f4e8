//! A gRPC message on the wire: one byte for its compression, four for its length, then the message.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, SizeHint};

use crate::client::Compressor;

/// A request body of two pieces, so that the message does not have to be copied behind its length.
pub(super) struct Frame {
    head: Option<Bytes>,
    message: Option<Bytes>,
}

impl Frame {
    /// Compresses a message and frames it.
    ///
    /// # Errors
    /// The message is longer than gRPC can say, or memory runs short inside the compressor.
    pub(super) fn new(compressor: &Compressor, message: Bytes) -> Result<Self, String> {
        let message = compressor.compress(message)?;
        let length =
            u32::try_from(message.len()).map_err(|_| "the message has more than 4 GiB".to_owned())?;
        let mut head = Vec::with_capacity(5);
        head.push(u8::from(compressor.encoding().is_some()));
        head.extend_from_slice(&length.to_be_bytes());
        Ok(Self { head: Some(head.into()), message: Some(message) })
    }
}

impl Body for Frame {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let piece = self.head.take().or_else(|| self.message.take());
        Poll::Ready(piece.map(|piece| Ok(http_body::Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_none() && self.message.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left = [&self.head, &self.message].into_iter().flatten().map(|piece| piece.len() as u64).sum();
        SizeHint::with_exact(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Compression, CompressionParameters};

    #[test]
    fn a_message_is_framed_without_a_copy() {
        let compressor = Compressor::new(Compression::None, CompressionParameters::default()).unwrap();
        let message = Bytes::from_static(b"message");
        let frame = Frame::new(&compressor, message.clone()).unwrap();
        assert_eq!(frame.head.as_deref(), Some(&[0, 0, 0, 0, 7][..]));
        assert_eq!(frame.message.as_ref().unwrap().as_ptr(), message.as_ptr());
    }
}
