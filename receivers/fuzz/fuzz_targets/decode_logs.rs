//! No bytes make the decoder of logs panic, and what it takes it writes back as something that it takes again.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use watershed_pipeline::{Batch, Signal};

fuzz_target!(|data: &[u8]| {
    if let Ok(batch) = Batch::from_otlp(Signal::Logs, Bytes::copy_from_slice(data)) {
        let again = Batch::from_otlp(Signal::Logs, batch.to_otlp()).expect("our own bytes are valid");
        assert_eq!(again.len(), batch.len());
    }
});
