//! A gRPC message means the same however it is cut into pieces. The first byte of the input says where to cut.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

#[path = "../../src/otlp/frame.rs"]
#[allow(dead_code, reason = "the targets use the parts that read")]
mod frame;

use frame::{FrameError, Framer, Message};

const LIMIT: usize = 1 << 16;

fn message(pieces: impl Iterator<Item = Bytes>) -> Result<Message, FrameError> {
    let mut framer = Framer::new(LIMIT);
    for piece in pieces {
        framer.push(piece)?;
    }
    framer.finish()
}

fuzz_target!(|data: &[u8]| {
    let Some((size, body)) = data.split_first() else { return };
    let body = Bytes::copy_from_slice(body);
    let whole = message(std::iter::once(body.clone()));
    let cut = message(body.chunks(usize::from(*size).max(1)).map(|piece| body.slice_ref(piece)));
    assert_eq!(whole, cut);
});
