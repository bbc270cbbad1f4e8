//! What the tests of components need: a probe behind an outlet, arbitrary batches, moved time, and contract tests.
//!
//! Behind the feature `testing`, for `[dev-dependencies]` only.

pub mod contract;
mod probe;

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::strategy::{BoxedStrategy, Strategy};
use prost::Message;
use watershed_config::{ComponentId, ConfigErrors, Section};

use crate::batch::{Batch, Signal};
use crate::budget::Budget;
use crate::component::{Out, Processor, ProcessorConfig, Refusal, Suspended};
use crate::context::Context;
use crate::otlp::arbitrary;
use crate::receipt::{Receipt, receipt};
use crate::registry::ProcessorFactory;
use crate::telemetry::{Kind, Telemetry};

pub use probe::Probe;

/// Makes batches of a signal: any number of resources and scopes, any kind of value and metric, empty ones too.
pub fn any_batch(signal: Signal) -> BoxedStrategy<Batch> {
    let decode = move |message: Vec<u8>| {
        // What an encoder of its own wrote can be read; if not, the tests of the decoder say so.
        Batch::from_otlp(signal, message.into()).unwrap_or_else(|_| Batch::new(signal))
    };
    match signal {
        Signal::Logs => arbitrary::logs().prop_map(move |request| decode(request.encode_to_vec())).boxed(),
        Signal::Traces => {
            arbitrary::traces().prop_map(move |request| decode(request.encode_to_vec())).boxed()
        }
        Signal::Metrics => {
            arbitrary::metrics().prop_map(move |request| decode(request.encode_to_vec())).boxed()
        }
    }
}

/// The batch as a sending queue gives it to its exporter, under this id.
#[must_use]
pub fn with_id(mut batch: Batch, id: u128) -> Batch {
    batch.set_id(id);
    batch
}

/// The batch as a receiver sends it, and its sender, who is answered when this and all copies of the batch are gone.
#[must_use]
pub fn sent(mut batch: Batch) -> (Batch, Sender) {
    let (receipt, _waiter) = receipt();
    batch.add_receipt(receipt.clone());
    (batch, Sender(receipt))
}

/// The sender of a batch, waiting.
pub struct Sender(Receipt);

impl Sender {
    /// Has the batch refused, as an exporter behind would.
    pub fn refuse(self) {
        self.0.refuse(Refusal::Final { reason: "refused by the test".into() });
    }
}

/// Builds a processor from the YAML of its own section, without its name: `timeout: 5s`.
///
/// # Errors
/// Returns what is wrong with the settings.
pub fn build<C: ProcessorConfig>(text: &str) -> Result<C::Processor, ConfigErrors> {
    let section = Section::from_text(C::TYPE, text)?;
    let settings = section.read::<C>()?;
    settings
        .build(&context(Kind::Processor, C::TYPE, &Telemetry::new())?)
        .map_err(|error| section.build_error(error).into())
}

/// Builds the processor of a type in a list, from the YAML of its own section; for those who can't name its settings.
///
/// # Errors
/// Returns what is wrong with the settings, or that there is no such type.
pub fn instance(
    factories: &[ProcessorFactory],
    type_name: &str,
    text: &str,
) -> Result<Box<dyn Processor>, ConfigErrors> {
    let unknown = || watershed_config::ConfigError::new(None, type_name, "is no processor of the list");
    let factory = factories.iter().find(|factory| factory.description.type_name == type_name);
    let section = Section::from_text(type_name, text)?;
    let settings = (factory.ok_or_else(unknown)?.parse)(&section)?;
    let built = settings.build(&context(Kind::Processor, type_name, &Telemetry::new())?);
    built.map_err(|error| section.build_error(error).into())
}

/// Calls a processor as the engine would, with a clock that the test moves.
pub struct Drive<P> {
    /// The processor.
    pub processor: P,
    /// The time that its next call gets.
    pub now: Instant,
    out: Out,
}

impl<P: Processor> Drive<P> {
    /// Begins at any moment.
    #[must_use]
    pub fn new(processor: P) -> Self {
        Self { processor, now: Instant::now(), out: Out::default() }
    }

    /// Gives the processor a batch, and returns what it passes on at once.
    pub fn process(&mut self, batch: Batch) -> Vec<Batch> {
        self.processor.process(batch, self.now, &mut self.out);
        self.out.take()
    }

    /// Moves the clock, calling `tick` at every deadline on the way; returns what comes out.
    pub fn advance(&mut self, time: Duration) -> Vec<Batch> {
        let end = self.now + time;
        let mut passed = Vec::new();
        while let Some(deadline) = self.processor.deadline().filter(|deadline| *deadline <= end) {
            // A deadline that stays where it is must not keep the clock from moving.
            self.now = deadline.max(self.now + Duration::from_nanos(1));
            self.processor.tick(self.now, &mut self.out);
            passed.append(&mut self.out.take());
        }
        self.now = end.max(self.now);
        passed
    }

    /// Ends the input, and returns what comes out.
    pub fn drain(&mut self) -> Vec<Batch> {
        self.processor.drain(self.now, &mut self.out);
        self.out.take()
    }

    /// Stops the processor as the engine would that has a place to keep things, and returns what it hands over.
    pub fn suspend(&mut self) -> Suspended {
        let mut kept = Suspended::default();
        self.processor.suspend(&mut kept);
        kept
    }

    /// Gives the processor what another instance handed over, and returns what it passes on at once.
    pub fn resume(&mut self, kept: Suspended) -> Vec<Batch> {
        kept.memory.iter().for_each(|memory| self.processor.resume(memory));
        kept.into_batches().into_iter().flat_map(|batch| self.process(batch)).collect()
    }

    /// What has been derived since the last call.
    pub fn derived(&mut self) -> Vec<Batch> {
        self.out.take_derived()
    }

    /// Whether the processor has refused a batch since the last call, and why.
    pub fn refusal(&mut self) -> Option<Refusal> {
        self.out.refused.take()
    }
}

/// A context with nothing shared, for a component named by its type.
fn context(kind: Kind, type_name: &str, telemetry: &Telemetry) -> Result<Context, ConfigErrors> {
    let wrong = |message: String| watershed_config::ConfigError::new(None, type_name, message);
    let id = type_name.parse::<ComponentId>().map_err(wrong)?;
    Ok(Context::new(kind, id, telemetry.clone(), Budget::new(1 << 30, 1 << 30), Arc::default()))
}
