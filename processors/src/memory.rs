//! A bound on memory that the lanes of a processor share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use watershed_config::ByteSize;

use crate::key::Hashes;

/// What all lanes take together, in bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    used: Arc<AtomicUsize>,
}

/// One lane's part of it. What it took goes back when it is gone.
#[derive(Debug)]
pub(crate) struct Share {
    used: Arc<AtomicUsize>,
    own: usize,
    max: usize,
}

/// What the lanes of a processor with keys share: the bound, and hashes that are the same in all of them.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) memory: Memory,
    pub(crate) hashes: Hashes,
}

impl Memory {
    pub(crate) fn share(&self, max: ByteSize) -> Share {
        Share { used: Arc::clone(&self.used), own: 0, max: max.as_usize() }
    }
}

impl Share {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.own += bytes;
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn release(&mut self, bytes: usize) {
        let bytes = bytes.min(self.own);
        self.own -= bytes;
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether all lanes together have taken more than there is.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.max
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.release(self.own);
    }
}
