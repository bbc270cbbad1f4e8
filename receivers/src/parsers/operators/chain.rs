//! The operators as a whole: where records go from one to the next, and what becomes of failures.

use watershed_config::BuildError;
use watershed_pipeline::parse::{Fields, Zone};
use watershed_pipeline::{BatchBuilder, LogRecord};

use super::compile;
use super::entry::Entry;
use super::expression::Expression;
use super::settings::{OnError, Operator};
use super::step::{Kept, Outcome, Step};
use crate::parsers::keys::Moment;
use crate::parsers::{Failure, Stats};

/// Operators, compiled.
pub(in crate::parsers) struct Chain {
    links: Vec<Link>,
}

pub(super) struct Link {
    pub(super) step: Step,
    /// The operator's type, for failures.
    pub(super) name: &'static str,
    pub(super) condition: Option<Expression>,
    pub(super) on_error: OnError,
    /// Where records go: later links; the number of links means out.
    pub(super) outputs: Vec<usize>,
}

/// What operators keep between the records of one source.
#[derive(Default)]
pub(in crate::parsers) struct Held {
    fields: Fields,
    /// One for each link, made by the first record.
    kept: Vec<Kept>,
    /// The record that came last, from which one is made of pieces that are left.
    last: Option<Entry>,
}

impl Held {
    pub(in crate::parsers) fn is_holding(&self) -> bool {
        self.kept.iter().any(|kept| kept.partial.is_holding() || kept.lines.is_holding())
    }
}

impl Chain {
    pub(in crate::parsers) fn compile(operators: &[Operator], zone: &Zone) -> Result<Self, BuildError> {
        compile::links(operators, zone).map(|links| Self { links })
    }

    /// Takes a record through the operators and adds what comes out.
    pub(in crate::parsers) fn run(
        &self,
        log: LogRecord<'_>,
        moment: Moment<'_>,
        held: &mut Held,
        stats: &mut Stats,
        out: &mut BatchBuilder,
    ) {
        let entry = Entry::read(log);
        held.kept.resize_with(self.links.len(), Kept::default);
        if self.links.iter().any(|link| matches!(link.step, Step::Container { .. })) {
            held.last = Some(entry.clone());
        }
        self.go(vec![(0, entry)], moment, held, stats, out);
    }

    /// Adds what is held back.
    pub(in crate::parsers) fn flush(
        &self,
        moment: Moment<'_>,
        held: &mut Held,
        stats: &mut Stats,
        out: &mut BatchBuilder,
    ) {
        for (link, index) in self.links.iter().zip(0..) {
            let Some(kept) = held.kept.get_mut(index) else { break };
            let ended = link.step.end(kept, held.last.as_ref());
            let next = ended.into_iter().flat_map(|entry| send(link, entry)).rev().collect();
            self.go(next, moment, held, stats, out);
        }
    }

    /// Takes records on from the links where they are. The last of the list is taken first.
    fn go(
        &self,
        mut waiting: Vec<(usize, Entry)>,
        moment: Moment<'_>,
        held: &mut Held,
        stats: &mut Stats,
        out: &mut BatchBuilder,
    ) {
        while let Some((index, entry)) = waiting.pop() {
            let (Some(link), Some(kept)) = (self.links.get(index), held.kept.get_mut(index)) else {
                entry.write(out);
                continue;
            };
            let is_meant = link.condition.as_ref().is_none_or(|condition| condition.holds(&entry));
            let outcome = if is_meant {
                link.step.run(entry, moment.observed, &mut held.fields, kept)
            } else {
                Outcome::On(entry)
            };
            match outcome {
                Outcome::On(entry) => waiting.extend(send(link, entry)),
                Outcome::To(index, entry) => waiting.push((index, entry)),
                Outcome::Many(entries) => {
                    waiting.extend(entries.into_iter().rev().flat_map(|entry| send(link, entry)));
                }
                Outcome::Held => {}
                Outcome::Dropped => stats.dropped += 1,
                Outcome::Failed(mut entry, reason) => {
                    let failure = Failure { format: link.name, reason };
                    stats.fail(failure);
                    match link.on_error {
                        OnError::Drop | OnError::DropQuiet => stats.dropped += 1,
                        OnError::Send => {
                            entry.mark(failure);
                            waiting.extend(send(link, entry));
                        }
                        OnError::SendQuiet => waiting.extend(send(link, entry)),
                    }
                }
            }
        }
    }
}

/// A record for each output of a link, the first of them last.
fn send(link: &Link, entry: Entry) -> Vec<(usize, Entry)> {
    match link.outputs.as_slice() {
        [only] => vec![(*only, entry)],
        several => several.iter().rev().map(|to| (*to, entry.clone())).collect(),
    }
}
