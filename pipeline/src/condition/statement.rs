//! Statements: what is changed in a record, in the same language as conditions.
//!
//! A statement is an editor with its arguments and, if not every record is meant, a condition behind `where`:
//!
//! ```text
//! set(log.attributes["failed"], true) where log.severity_number >= SEVERITY_NUMBER_ERROR
//! merge_maps(log.attributes, ParseJSON(log.body), "upsert") where IsMatch(log.body, "^\\{")
//! ```
//!
//! Read in this order: `parse` (text to an [`Editor`](editor::Editor)), `editor` (what each one does), `place` (what can
//! be changed as a value or a map), `setter` (what can be changed as a field), `hand` (the record while it changes).

mod editor;
mod hand;
mod parse;
mod place;
mod setter;

use std::ops::ControlFlow;
use std::sync::Arc;

use super::error::{ConditionError, Fault};
use super::expression::Expression;
use super::parser::{Parser, most_detailed};
use super::{Condition, ConditionContext};
use crate::batch::{Batch, Part, Signal};
use editor::Editor;
use hand::Item;

/// Why a statement could not be carried out on a record, which stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(&'static str);

/// A parsed statement.
///
/// ```
/// # use watershed_pipeline::{ConditionContext, Statement};
/// let error = Statement::parse(r#"sett(body, "x")"#, ConditionContext::Log).unwrap_err();
/// assert_eq!(error.to_string(), "at character 1: unknown editor `sett`; did you mean `set`?");
/// ```
#[derive(Clone, Debug)]
pub struct Statement {
    editor: Editor,
    condition: Option<Expression>,
    context: ConditionContext,
}

impl Statement {
    /// Parses a statement on what the context says.
    ///
    /// # Errors
    /// Points at the character and says what to write instead.
    pub fn parse(text: &str, context: ConditionContext) -> Result<Self, ConditionError> {
        Self::parse_in(text, context)
            .map(|(statement, _)| statement)
            .map_err(|fault| ConditionError::new(text, fault))
    }

    /// Parses a statement on a signal, whose paths say what it is on: the most detailed prefix counts, so that one
    /// that names nothing but a resource is carried out once for each resource. Without any, it is on log records,
    /// spans or metrics.
    ///
    /// # Errors
    /// As for [`Self::parse`].
    pub fn for_signal(text: &str, signal: Signal) -> Result<Self, ConditionError> {
        let parsed = Self::parse_in(text, most_detailed(text, signal));
        let (statement, named) = parsed.map_err(|fault| ConditionError::new(text, fault))?;
        let wider = [ConditionContext::Resource, ConditionContext::Scope]
            .into_iter()
            .find(|wider| !named.is_empty() && named.iter().all(|of| wider.readable().contains(of)));
        let again = wider.and_then(|wider| Self::parse_in(text, wider).ok());
        Ok(again.map_or(statement, |(wider, _)| wider))
    }

    /// The statement, and what its paths belong to.
    fn parse_in(text: &str, context: ConditionContext) -> Result<(Self, Vec<ConditionContext>), Fault> {
        let mut parser = Parser::new(text, context)?;
        parser.has_cache = true;
        let (editor, condition) = parse::statement(&mut parser)?;
        let named = parser.fields.iter().map(|field| field.of).collect();
        Ok((Self { editor, condition, context }, named))
    }

    /// What the statement is on.
    #[must_use]
    pub fn context(&self) -> ConditionContext {
        self.context
    }

    fn run(&self, part: &mut Arc<Part>, item: Item, cache: &mut Vec<u8>) -> Result<(), Failure> {
        if self.condition.as_ref().is_some_and(|condition| !condition.holds(item.subject(part, cache))) {
            return Ok(());
        }
        self.editor.run(part, item, cache)
    }
}

/// Statements on the same thing, carried out one after another on each log record, span, resource and so on.
#[derive(Clone, Debug)]
pub struct Statements {
    context: ConditionContext,
    conditions: Vec<Condition>,
    statements: Vec<Statement>,
}

impl Statements {
    /// Statements that are all on what the context says, for what any of the conditions is true of; without
    /// conditions, for everything.
    #[must_use]
    pub fn new(context: ConditionContext, conditions: Vec<Condition>, statements: Vec<Statement>) -> Self {
        Self { context, conditions, statements }
    }

    /// What the statements are on.
    #[must_use]
    pub fn context(&self) -> ConditionContext {
        self.context
    }

    /// Adds a statement on the same thing, to be carried out after the others.
    pub fn push(&mut self, statement: Statement) {
        self.statements.push(statement);
    }

    /// Carries the statements out on a batch. Resources, scopes and metrics are changed once, for all of their
    /// records; those without records are left alone.
    ///
    /// `failed` hears of each statement, by its position, that could not be carried out, and says whether to go on.
    ///
    /// # Errors
    /// Returns the failure after which `failed` said to stop. What was changed before it stays changed.
    pub fn apply(
        &self,
        batch: &mut Batch,
        mut failed: impl FnMut(usize, Failure) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let mut cache = Vec::new();
        for part in batch.parts_mut() {
            for item in hand::items(part, self.context) {
                cache.clear();
                if !self.is_meant(part, item) {
                    continue;
                }
                for (position, statement) in self.statements.iter().enumerate() {
                    if let Err(failure) = statement.run(part, item, &mut cache)
                        && failed(position, failure).is_break()
                    {
                        return Err(failure);
                    }
                }
            }
        }
        Ok(())
    }

    fn is_meant(&self, part: &Part, item: Item) -> bool {
        let holds = |condition: &Condition| condition.expression.holds(item.subject(part, &[]));
        self.conditions.is_empty() || self.conditions.iter().any(holds)
    }
}

#[cfg(test)]
mod tests;
