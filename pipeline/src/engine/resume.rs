//! Gives processors back what they left on disk at the last stop.

use std::io;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::Running;
use crate::lanes::{Loads, Pipeline, submit};
use crate::receipt::{Waiter, receipt};
use crate::storage::to_batch;
use crate::vault::{Entry, Frame, Vault};

impl Running {
    /// Gives processors back what they left, before receivers run. A file goes away once nobody holds what was in it
    /// on its senders' behalf: it is delivered, dropped on purpose, or in the custody of a processor.
    pub(super) async fn resume(&mut self) {
        let Some(vault) = self.graph.vault.clone() else { return };
        let (own, pipelines) = (Arc::clone(&vault), self.graph.pipelines.clone());
        let now = Instant::now().into_std();
        let read = move || {
            let entries = own.entries().unwrap_or_else(|error| {
                tracing::error!(%error, "can't read what processors held at the last stop; it stays on disk");
                Vec::new()
            });
            entries.into_iter().filter_map(|entry| take_up(&own, entry, &pipelines, now)).collect::<Vec<_>>()
        };
        // Panics of components are caught where they happen.
        for (entry, loads, waiter) in spawn_blocking(read).await.unwrap_or_default() {
            self.resumptions.spawn(finish(Arc::clone(&vault), entry, loads, waiter));
        }
    }
}

/// Gives a processor back one file.
fn take_up(
    vault: &Vault,
    entry: Entry,
    pipelines: &[Arc<Pipeline>],
    now: std::time::Instant,
) -> Option<(Entry, Loads, Waiter)> {
    let (name, processor, path) = (&entry.pipeline, &entry.processor, entry.path.display());
    let found = pipelines.iter().find(|own| own.name == *name && own.has_processor(processor));
    let Some(pipeline) = found else {
        let told = "nobody takes up what this processor held at an earlier stop; configure it again, or remove the file";
        tracing::warn!(pipeline = name, processor, %path, "{told}");
        return None;
    };
    let mut loads = Loads::new();
    let (receipt, waiter) = receipt();
    let mut items = 0;
    let outcome = frames(vault, &entry, |frame| {
        match frame {
            Frame::Memory(memory) => pipeline.resume(processor, &memory),
            Frame::Batch(record) => {
                let mut batch = to_batch(&record).map_err(io::Error::other)?;
                items += batch.len();
                batch.add_receipt(receipt.clone());
                pipeline.process_again(processor, batch, now, &mut loads);
            }
        }
        Ok(())
    });
    tracing::info!(pipeline = name, processor, items, "goes on with what was held at the last stop");
    if let Err(error) = outcome {
        tracing::error!(%error, pipeline = name, processor, %path, "can't be read to its end and is put aside");
        let aside = vault.put_aside(&entry);
        aside.unwrap_or_else(|error| tracing::error!(%error, %path, "could not be put aside"));
    }
    Some((entry, loads, waiter))
}

fn frames(vault: &Vault, entry: &Entry, mut take: impl FnMut(Frame) -> io::Result<()>) -> io::Result<()> {
    let mut frames = vault.read(entry)?;
    while let Some(frame) = frames.next()? {
        take(frame)?;
    }
    Ok(())
}

/// Delivers what passed at once, and removes the file when all of it is in good hands.
async fn finish(vault: Arc<Vault>, entry: Entry, loads: Loads, waiter: Waiter) {
    submit(loads).await;
    let path = entry.path.display().to_string();
    if let Err(refusal) = waiter.answer().await {
        let told = "could not be taken up and stays for the next start; part of it may arrive twice";
        return tracing::warn!(reason = %refusal, path, "{told}");
    }
    let removed = spawn_blocking(move || vault.remove(&entry)).await;
    if let Ok(Err(error)) = removed {
        tracing::warn!(%error, path, "was taken up and could not be removed; it may arrive twice");
    }
}
