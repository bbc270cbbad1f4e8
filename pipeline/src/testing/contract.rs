//! What every component must do, as tests over the lists of factories.
//!
//! A component crate has one test for each of its lists: `assert_eq!(contract::processors(ALL), Ok(()))`. The answer
//! names every violation of every component, so a new component is tested before its author writes a test.

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use watershed_config::{BuildError, ConfigError, ConfigErrors, Section};

use super::{any_batch, context};
use crate::batch::{Batch, Signal};
use crate::component::{Out, Processor, Suspended};
use crate::delivery::DeliverySettings;
use crate::lifecycle::guard;
use crate::receipt::{Waiter, receipt};
use crate::registry::{Description, ExporterFactory, ExtensionFactory, ProcessorFactory, ReceiverFactory};
use crate::telemetry::{Kind, Telemetry};

/// Sequences of arbitrary batches that each processor gets, per signal.
const CASES: usize = 48;

/// Checks all receivers: page, settings.
///
/// # Errors
/// Returns every violation, one a line.
pub fn receivers(factories: &[ReceiverFactory]) -> Result<(), String> {
    check(factories.iter().flat_map(|factory| {
        settings(&factory.description, "receivers", |section| {
            let context = context(Kind::Receiver, factory.description.type_name, &Telemetry::new())?;
            built(section, (factory.parse)(section)?.build(&context).map(drop))
        })
    }))
}

/// Checks all exporters: page, settings, and that the engine's options stand beside their own.
///
/// # Errors
/// Returns every violation, one a line.
pub fn exporters(factories: &[ExporterFactory]) -> Result<(), String> {
    check(factories.iter().flat_map(|factory| {
        settings(&factory.description, "exporters", |section| {
            let mut own = section.clone();
            let (_, mistakes) = DeliverySettings::take(&mut own, factory.reach, factory.batch);
            ConfigErrors::check(mistakes)?;
            let context = context(Kind::Exporter, factory.description.type_name, &Telemetry::new())?;
            built(&own, (factory.parse)(&own)?.build(&context).map(drop))
        })
    }))
}

/// Checks all processors: page, settings, and that they treat arbitrary batches as `Processor` promises.
///
/// # Errors
/// Returns every violation, one a line.
pub fn processors(factories: &[ProcessorFactory]) -> Result<(), String> {
    let sequences = Signal::ALL.map(|signal| (signal, sequences(signal)));
    check(factories.iter().flat_map(|factory| {
        let build = |section: &Section, telemetry: &Telemetry| {
            let context = context(Kind::Processor, factory.description.type_name, telemetry)?;
            let built = (factory.parse)(section)?.build(&context);
            built.map_err(|error| ConfigErrors::from(section.build_error(error)))
        };
        let mut violations = settings(&factory.description, "processors", |section| {
            build(section, &Telemetry::new()).map(drop)
        });
        if let Ok(section) = example(&factory.description, "processors") {
            violations.extend(sequences.iter().filter_map(|(signal, sequences)| {
                let build = |telemetry: &Telemetry| build(&section, telemetry);
                let told = behaviour(sequences, build).and_then(|()| suspension(sequences, build)).err()?;
                Some(format!("{}: with {signal}: {told}", factory.description.type_name))
            }));
        }
        violations
    }))
}

/// Checks all extensions: page, settings.
///
/// # Errors
/// Returns every violation, one a line.
pub fn extensions(factories: &[ExtensionFactory]) -> Result<(), String> {
    check(factories.iter().flat_map(|factory| {
        settings(&factory.description, "extensions", |section| {
            let context = context(Kind::Extension, factory.description.type_name, &Telemetry::new())?;
            built(section, (factory.parse)(section)?.build(&context).map(drop))
        })
    }))
}

fn check(violations: impl Iterator<Item = String>) -> Result<(), String> {
    let violations: Vec<String> = violations.collect();
    if violations.is_empty() { Ok(()) } else { Err(violations.join("\n")) }
}

fn built(section: &Section, result: Result<(), BuildError>) -> Result<(), ConfigErrors> {
    result.map_err(|error| section.build_error(error).into())
}

/// Checks what a component makes of settings.
fn settings(
    description: &Description,
    group: &str,
    build: impl Fn(&Section) -> Result<(), ConfigErrors>,
) -> Vec<String> {
    const UNKNOWN: &str = "surely_unknown_key";
    let name = description.type_name;
    let mut violations = Vec::new();
    match example(description, group).map(|section| build(&section)) {
        Err(missing) => violations.push(format!("{name}: {missing}")),
        Ok(Err(errors)) => {
            violations.push(format!("{name}: the first YAML block of its page does not build: {errors}"))
        }
        Ok(Ok(())) => {}
    }
    let section = |text: &str| Section::from_text(name, text);
    let names = |error: &ConfigError| error.origin.is_some() && error.message.contains(UNKNOWN);
    match section(&format!("{UNKNOWN}: 1")).and_then(|section| build(&section)) {
        Err(errors) if errors.iter().any(names) => {}
        Err(errors) => {
            violations.push(format!("{name}: an unknown key is not named with its place: {errors}"))
        }
        Ok(()) => violations.push(format!("{name}: an unknown key is taken; add `deny_unknown_fields`")),
    }
    if let Err(errors) = section("").and_then(|section| build(&section)) {
        let helps = |error: &ConfigError| error.path != name || error.message.contains('`');
        if !errors.iter().all(helps) {
            violations
                .push(format!("{name}: an empty section is refused without a word what to add: {errors}"));
        }
    }
    violations
}

/// The settings in the first YAML block of a component's page.
fn example(description: &Description, group: &str) -> Result<Section, String> {
    let page = description.page();
    let block: Vec<&str> = page
        .lines()
        .skip_while(|line| !line.starts_with("```yaml"))
        .skip(1)
        .take_while(|line| !line.starts_with("```"))
        .collect();
    if block.is_empty() {
        return Err("its page has no YAML block; show settings that work".to_owned());
    }
    let mut section = Section::from_text(description.type_name, &block.join("\n"))
        .map_err(|errors| format!("the first YAML block of its page is no YAML: {errors}"))?;
    section = section.take(group).unwrap_or(section);
    let is_own = |key: &&str| description.answers_to(key.split('/').next().unwrap_or_default());
    let key = section.keys().find(is_own).map(str::to_owned);
    let own = key.and_then(|key| section.take(&key));
    own.ok_or_else(|| format!("the first YAML block of its page has no `{}:`", description.type_name))
}

/// Sequences of arbitrary batches, made once for all processors.
fn sequences(signal: Signal) -> Vec<Vec<Batch>> {
    let mut runner = TestRunner::deterministic();
    let strategy = vec(any_batch(signal), 1..6);
    (0..CASES).filter_map(|_| Some(strategy.new_tree(&mut runner).ok()?.current())).collect()
}

/// Runs a processor over sequences of batches.
fn behaviour(
    sequences: &[Vec<Batch>],
    build: impl Fn(&Telemetry) -> Result<Box<dyn Processor>, ConfigErrors>,
) -> Result<(), String> {
    for sequence in sequences {
        let telemetry = Telemetry::new();
        // An example that does not build is told elsewhere.
        let Ok(processor) = build(&telemetry) else { return Ok(()) };
        Case { processor, telemetry, now: Instant::now(), waiters: Vec::new() }.run(sequence.clone())?;
    }
    Ok(())
}

/// Stops a processor in the middle of each sequence, hands over what it gives to another instance, and goes on.
fn suspension(
    sequences: &[Vec<Batch>],
    build: impl Fn(&Telemetry) -> Result<Box<dyn Processor>, ConfigErrors>,
) -> Result<(), String> {
    for sequence in sequences {
        let telemetry = Telemetry::new();
        let (Ok(first), Ok(second)) = (build(&telemetry), build(&telemetry)) else { return Ok(()) };
        let mut case = Case { processor: first, telemetry, now: Instant::now(), waiters: Vec::new() };
        let (before, after) = sequence.split_at(sequence.len() / 2);
        before.iter().try_for_each(|batch| case.process(batch.clone()))?;
        let held = case.processor.held();
        let mut kept = Suspended::default();
        guard(|| case.processor.suspend(&mut kept)).map_err(|reason| format!("suspend {reason}"))?;
        let left = case.processor.held();
        if held != left + kept.items() {
            let items = kept.items();
            return Err(format!("suspend makes {items} handed over and {left} left of {held} held items"));
        }
        case.drain()?;
        case.processor = second;
        for memory in std::mem::take(&mut kept.memory) {
            // Bytes of another version are to do no harm.
            let cut = memory.get(..memory.len() / 2).unwrap_or_default();
            for memory in [cut, &memory] {
                guard(|| case.processor.resume(memory)).map_err(|reason| format!("resume {reason}"))?;
            }
        }
        case.run(kept.into_batches().into_iter().chain(after.iter().cloned()).collect())?;
    }
    Ok(())
}

/// A processor on trial, and the senders that wait for it.
struct Case {
    processor: Box<dyn Processor>,
    telemetry: Telemetry,
    now: Instant,
    waiters: Vec<Waiter>,
}

impl Case {
    fn run(mut self, batches: Vec<Batch>) -> Result<(), String> {
        for batch in batches {
            self.process(batch)?;
            self.now += Duration::from_millis(50);
            self.tick()?;
        }
        self.drain()?;
        if !self.waiters.iter_mut().all(Waiter::is_answered) {
            return Err("keeps a batch after drain, so its sender waits for ever".to_owned());
        }
        Ok(())
    }

    fn process(&mut self, mut batch: Batch) -> Result<(), String> {
        let (receipt, mut waiter) = receipt();
        batch.add_receipt(receipt);
        let (items, held) = (batch.len(), self.processor.held());
        let out = self.call("process", |processor, now, out| processor.process(batch, now, out))?;
        let passed: usize = out.passed.iter().map(Batch::len).sum();
        // Nothing was held, nothing is held: whatever came out belongs to this batch and must bear its receipt.
        let is_own = held == 0 && self.processor.held() == 0 && items > 0 && passed > 0;
        if is_own && out.refused.is_none() && waiter.is_answered() {
            let told = "the sender is answered before what was passed on is delivered";
            return Err(format!("{told}: pass on the batch itself, or parts of it, not a new one"));
        }
        drop(out);
        self.waiters.push(waiter);
        Ok(())
    }

    fn tick(&mut self) -> Result<(), String> {
        if self.processor.deadline().is_none_or(|deadline| deadline > self.now) {
            return Ok(());
        }
        self.call("tick", |processor, now, out| processor.tick(now, out))?;
        match self.processor.deadline() {
            Some(deadline) if deadline <= self.now => {
                Err("its deadline stays in the past after tick".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn drain(&mut self) -> Result<(), String> {
        let (held, counted) = (self.processor.held(), self.counted());
        let out = self.call("drain", |processor, now, out| processor.drain(now, out))?;
        if self.processor.held() != 0 {
            return Err(format!("holds {} items after drain", self.processor.held()));
        }
        let passed: usize = out.passed.iter().map(Batch::len).sum();
        if passed + out.merged < held && self.counted() == counted {
            let told = "pass them on, tell `out.merged`, or count them with a counter of your own";
            return Err(format!("drain lets {} held items disappear: {told}", held - passed));
        }
        Ok(())
    }

    /// What the processor's own counters say, all together.
    fn counted(&self) -> i128 {
        let counters = self.telemetry.samples().into_iter().filter(|sample| sample.monotonic);
        counters.map(|sample| sample.value).sum()
    }

    fn call(
        &mut self,
        name: &str,
        action: impl FnOnce(&mut dyn Processor, Instant, &mut Out),
    ) -> Result<Out, String> {
        let mut out = Out::default();
        guard(|| action(&mut *self.processor, self.now, &mut out))
            .map_err(|reason| format!("{name} {reason}"))?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Passes on, or does what the test wants to see found.
    struct Suspect(fn(&mut Vec<Batch>, Batch, &mut Out), Vec<Batch>, Cell<bool>);

    impl Processor for Suspect {
        fn process(&mut self, batch: Batch, _: Instant, out: &mut Out) {
            self.0(&mut self.1, batch, out);
        }

        fn drain(&mut self, _: Instant, _: &mut Out) {
            self.2.set(true);
        }

        fn held(&self) -> usize {
            if self.2.get() { 0 } else { self.1.iter().map(Batch::len).sum() }
        }
    }

    #[track_caller]
    fn check(process: fn(&mut Vec<Batch>, Batch, &mut Out), expected: Result<(), &str>) {
        let build =
            |_: &Telemetry| Ok(Box::new(Suspect(process, Vec::new(), Cell::default())) as Box<dyn Processor>);
        assert_eq!(behaviour(&sequences(Signal::Logs), build), expected.map_err(str::to_owned));
    }

    #[test]
    fn the_contract_finds_what_it_is_for() {
        check(|_, batch, out| out.push(batch), Ok(()));
        check(|_, _, _| (), Ok(()));
        check(
            |held, batch, _| held.extend((!batch.is_empty()).then_some(batch)),
            Err(
                "drain lets 3 held items disappear: pass them on, tell `out.merged`, or count them with a counter of your own",
            ),
        );
        check(
            |_, batch, out| {
                let copy = Batch::from_otlp(batch.signal(), batch.to_otlp()).unwrap();
                drop(batch);
                out.push(copy);
            },
            Err("the sender is answered before what was passed on is delivered: \
                 pass on the batch itself, or parts of it, not a new one"),
        );
        check(
            |_, batch, _| assert!(batch.len() < 2, "two"),
            Err("process panicked: two; this is a defect, please report it"),
        );
    }
}
