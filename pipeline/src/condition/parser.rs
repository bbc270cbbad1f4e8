//! Tokens to a tree, by recursive descent: `or`, `and`, `not`, comparison, sum, product, operand.

use super::ConditionContext;
use super::error::{ConditionError, Fault};
use super::expression::{Comparison, Expression, Key, Literal, Operator};
use super::field::{self, Field};
use super::function::{named_number, number_names};
use super::lexer::{Token, tokens};
use crate::batch::Signal;
use watershed_config::suggest;

/// How deep parentheses, `not` and functions may nest.
const DEPTH_MAX: usize = 32;

/// Parses a whole condition.
pub(super) fn parse(text: &str, context: ConditionContext) -> Result<Expression, ConditionError> {
    let parse = || {
        let mut parser = Parser::new(text, context)?;
        let at = parser.at();
        let whole = parser.or()?;
        parser.expect_end()?;
        require_condition(whole, at)
    };
    parse().map_err(|fault| ConditionError::new(text, fault))
}

/// What a text on a signal is on, as the prefixes of its paths say: the most detailed one counts. Without any, it is
/// on log records, spans or metrics.
pub(super) fn most_detailed(text: &str, signal: Signal) -> ConditionContext {
    match signal {
        Signal::Logs => ConditionContext::Log,
        Signal::Traces if has_prefix(text, "spanevent") => ConditionContext::SpanEvent,
        Signal::Traces => ConditionContext::Span,
        Signal::Metrics if has_prefix(text, "datapoint") => ConditionContext::DataPoint,
        Signal::Metrics => ConditionContext::Metric,
    }
}

/// Whether a path of the text begins with this word.
fn has_prefix(text: &str, word: &str) -> bool {
    let tokens = tokens(text).unwrap_or_default();
    tokens
        .windows(2)
        .any(|pair| matches!(pair, [(Token::Word(first), _), (Token::Symbol("."), _)] if *first == word))
}

pub(super) struct Parser<'t> {
    tokens: Vec<(Token<'t>, usize)>,
    position: usize,
    depth: usize,
    pub(super) context: ConditionContext,
    /// Whether paths may name the cache.
    pub(super) has_cache: bool,
    /// The fields that paths have named so far.
    pub(super) fields: Vec<&'static Field>,
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t str, context: ConditionContext) -> Result<Self, Fault> {
        Ok(Self {
            tokens: tokens(text)?,
            position: 0,
            depth: 0,
            context,
            has_cache: false,
            fields: Vec::new(),
        })
    }

    pub(super) fn peek(&self) -> &Token<'t> {
        self.tokens.get(self.position).map_or(&Token::End, |(token, _)| token)
    }

    /// The byte where the next token begins.
    pub(super) fn at(&self) -> usize {
        self.tokens.get(self.position).or(self.tokens.last()).map_or(0, |(_, at)| *at)
    }

    pub(super) fn next(&mut self) -> Token<'t> {
        let token = self.peek().clone();
        self.position += 1;
        token
    }

    pub(super) fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(own) if *own == symbol);
        self.position += usize::from(found);
        found
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(own) if *own == word);
        self.position += usize::from(found);
        found
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Result<(), Fault> {
        if self.take_symbol(symbol) {
            return Ok(());
        }
        Err(Fault::new(self.at(), format!("expected `{symbol}`, found {}", describe(self.peek()))))
    }

    pub(super) fn expect_end(&self) -> Result<(), Fault> {
        if *self.peek() == Token::End {
            return Ok(());
        }
        let message = format!("expected `and`, `or` or the end, found {}", describe(self.peek()));
        Err(Fault::new(self.at(), message))
    }

    pub(super) fn or(&mut self) -> Result<Expression, Fault> {
        self.chain("or", Self::and, Expression::Or)
    }

    fn and(&mut self) -> Result<Expression, Fault> {
        self.chain("and", Self::not, Expression::And)
    }

    /// One or more parts with a word between them; a single part stays as it is.
    fn chain(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Expression, Fault>,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Result<Expression, Fault> {
        let at = self.at();
        let first = part(self)?;
        if !matches!(self.peek(), Token::Word(own) if *own == word) {
            return Ok(first);
        }
        let mut parts = vec![require_condition(first, at)?];
        while self.take_word(word) {
            let at = self.at();
            parts.push(require_condition(part(self)?, at)?);
        }
        Ok(join(parts))
    }

    fn not(&mut self) -> Result<Expression, Fault> {
        if !self.take_word("not") {
            return self.comparison();
        }
        let at = self.at();
        let inner = self.nested(Self::not)?;
        Ok(Expression::Not(Box::new(require_condition(inner, at)?)))
    }

    fn comparison(&mut self) -> Result<Expression, Fault> {
        let at = self.at();
        let left = self.sum()?;
        let Token::Symbol(symbol) = self.peek() else { return Ok(left) };
        let Some(comparison) = Comparison::from_symbol(symbol) else { return Ok(left) };
        let left = require_operand(left, at)?;
        self.position += 1;
        let at = self.at();
        let right = require_operand(self.sum()?, at)?;
        Ok(Expression::Compare(Box::new((left, comparison, right))))
    }

    pub(super) fn sum(&mut self) -> Result<Expression, Fault> {
        self.compute(Self::product, &[("+", Operator::Add), ("-", Operator::Subtract)])
    }

    fn product(&mut self) -> Result<Expression, Fault> {
        self.compute(Self::operand, &[("*", Operator::Multiply), ("/", Operator::Divide)])
    }

    fn compute(
        &mut self,
        part: fn(&mut Self) -> Result<Expression, Fault>,
        operators: &[(&str, Operator)],
    ) -> Result<Expression, Fault> {
        let mut at = self.at();
        let mut first = part(self)?;
        let mut rest = Vec::new();
        while let Some((_, operator)) = operators.iter().find(|(symbol, _)| self.take_symbol(symbol)) {
            first = require_operand(first, at)?;
            at = self.at();
            rest.push((*operator, require_operand(part(self)?, at)?));
        }
        Ok(if rest.is_empty() { first } else { Expression::Compute { first: Box::new(first), rest } })
    }

    fn operand(&mut self) -> Result<Expression, Fault> {
        let at = self.at();
        Ok(match self.next() {
            Token::Text(text) => Expression::Literal(Literal::Text(text)),
            Token::Bytes(bytes) => Expression::Literal(Literal::Bytes(bytes)),
            Token::Number(digits) => Expression::Literal(number("", digits, at)?),
            Token::Symbol(sign @ ("+" | "-")) => {
                let Token::Number(digits) = self.next() else {
                    return Err(Fault::new(at, format!("expected a number after `{sign}`")));
                };
                Expression::Literal(number(sign, digits, at)?)
            }
            Token::Symbol("(") => {
                let inner = self.nested(Self::or)?;
                self.expect_symbol(")")?;
                inner
            }
            Token::Word("nil") => Expression::Literal(Literal::Nil),
            Token::Word("true") => Expression::Literal(Literal::Bool(true)),
            Token::Word("false") => Expression::Literal(Literal::Bool(false)),
            Token::Symbol("[") => self.list()?,
            Token::Word(word) if self.take_symbol("(") => {
                let value = self.call(word, at)?;
                let keys = self.keys()?;
                if keys.is_empty() { value } else { Expression::Step { from: Box::new(value), keys } }
            }
            Token::Word(word) => self.named(word, at)?,
            token @ (Token::Symbol(_) | Token::End) => {
                let message = format!("expected a field, a value or a function, found {}", describe(&token));
                return Err(Fault::new(at, message));
            }
        })
    }

    /// Values in brackets, after the opening one.
    fn list(&mut self) -> Result<Expression, Fault> {
        let items = self.values("]")?;
        Ok(Expression::List(items.into_iter().map(|(item, _)| item).collect()))
    }

    /// Values with commas between them up to a closing symbol, each with the byte where it begins.
    pub(super) fn values(&mut self, end: &str) -> Result<Vec<(Expression, usize)>, Fault> {
        let mut values = Vec::new();
        while !self.take_symbol(end) {
            if !values.is_empty() {
                self.expect_symbol(",")?;
            }
            let at = self.at();
            values.push((require_operand(self.nested(Self::sum)?, at)?, at));
        }
        Ok(values)
    }

    pub(super) fn nested(
        &mut self,
        inner: fn(&mut Self) -> Result<Expression, Fault>,
    ) -> Result<Expression, Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Fault::new(self.at(), format!("nested deeper than {DEPTH_MAX}; write it flatter")));
        }
        let inner = inner(self)?;
        self.depth -= 1;
        Ok(inner)
    }

    /// A named number or a path.
    fn named(&mut self, word: &str, at: usize) -> Result<Expression, Fault> {
        if let Some((name, number)) = named_number(word) {
            return Ok(Expression::Literal(Literal::Named(name, number)));
        }
        if word.chars().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_')
        {
            let hint = suggest(word, number_names())
                .map_or("OpenTelemetry has no number of this name".to_owned(), |near| {
                    format!("did you mean `{near}`?")
                });
            return Err(Fault::new(at, format!("unknown name `{word}`; {hint}")));
        }
        let mut path = word.to_owned();
        while self.take_symbol(".") {
            let at = self.at();
            let Token::Word(word) = self.next() else {
                return Err(Fault::new(at, format!("expected a field after `{path}.`")));
            };
            path.push('.');
            path.push_str(word);
        }
        let field = field::resolve(&path, self.context, at)?;
        if field.name == field::CACHE && (!self.has_cache || field.of != self.context) {
            let message =
                "`cache` belongs to the statements on one thing, and is read and written by these only";
            return Err(Fault::new(at, message));
        }
        self.fields.push(field);
        Ok(Expression::Path { field, keys: self.keys()? })
    }

    fn keys(&mut self) -> Result<Vec<Key>, Fault> {
        let mut keys = Vec::new();
        while self.take_symbol("[") {
            let at = self.at();
            let key = match self.next() {
                Token::Text(text) => Some(Key::Text(text)),
                Token::Number(digits) => digits.parse().ok().map(Key::Index),
                _ => None,
            };
            let wrong = || Fault::new(at, "expected a key in quotes or the position of a list's item");
            keys.push(key.ok_or_else(wrong)?);
            self.expect_symbol("]")?;
        }
        Ok(keys)
    }
}

fn number(sign: &str, digits: &str, at: usize) -> Result<Literal, Fault> {
    let text = format!("{}{digits}", if sign == "-" { "-" } else { "" });
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse().map(Literal::Int);
        return number.map_err(|_| Fault::new(at, format!("`{text}` has more than 64 bits")));
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Literal::Double(number)),
        _ => Err(Fault::new(at, format!("`{text}` is too large for a number"))),
    }
}

pub(super) fn require_condition(expression: Expression, at: usize) -> Result<Expression, Fault> {
    if expression.is_condition() {
        return Ok(expression);
    }
    let message = format!(
        "`{expression}` is a value, not a condition; compare it with something, such as `{expression} != nil`"
    );
    Err(Fault::new(at, message))
}

fn require_operand(expression: Expression, at: usize) -> Result<Expression, Fault> {
    if expression.is_operand() {
        return Ok(expression);
    }
    Err(Fault::new(at, "expected a value, found a comparison; join comparisons with `and` or `or`"))
}

pub(super) fn describe(token: &Token<'_>) -> String {
    match token {
        Token::Word(word) => format!("`{word}`"),
        Token::Number(digits) => format!("`{digits}`"),
        Token::Symbol(symbol) => format!("`{symbol}`"),
        Token::Text(_) => "a text".into(),
        Token::Bytes(_) => "bytes".into(),
        Token::End => "the end".into(),
    }
}
