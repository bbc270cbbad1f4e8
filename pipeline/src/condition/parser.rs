//! Tokens to a tree, by recursive descent: `or`, `and`, `not`, comparison, sum, product, operand.

use super::ConditionContext;
use super::error::{ConditionError, Fault};
use super::expression::{Comparison, Expression, Key, Literal, Operator, Pattern};
use super::field;
use super::function::{Function, IS_MATCH, named_number, number_names};
use super::lexer::{Token, tokens};
use watershed_config::suggest;

/// How deep parentheses, `not` and functions may nest.
const DEPTH_MAX: usize = 32;
/// How large a compiled regular expression may be, in bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// Parses a whole condition.
pub(super) fn parse(text: &str, context: ConditionContext) -> Result<Expression, ConditionError> {
    let parse = || {
        let mut parser = Parser { tokens: tokens(text)?, position: 0, depth: 0, context };
        let at = parser.at();
        let whole = parser.or()?;
        parser.expect_end()?;
        require_condition(whole, at)
    };
    parse().map_err(|fault| ConditionError::new(text, fault))
}

/// Whether a path of the text begins with this word.
pub(super) fn has_prefix(text: &str, word: &str) -> bool {
    let tokens = tokens(text).unwrap_or_default();
    tokens
        .windows(2)
        .any(|pair| matches!(pair, [(Token::Word(first), _), (Token::Symbol("."), _)] if *first == word))
}

struct Parser<'t> {
    tokens: Vec<(Token<'t>, usize)>,
    position: usize,
    depth: usize,
    context: ConditionContext,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> &Token<'t> {
        self.tokens.get(self.position).map_or(&Token::End, |(token, _)| token)
    }

    /// The byte where the next token begins.
    fn at(&self) -> usize {
        self.tokens.get(self.position).or(self.tokens.last()).map_or(0, |(_, at)| *at)
    }

    fn next(&mut self) -> Token<'t> {
        let token = self.peek().clone();
        self.position += 1;
        token
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(own) if *own == symbol);
        self.position += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(own) if *own == word);
        self.position += usize::from(found);
        found
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<(), Fault> {
        if self.take_symbol(symbol) {
            return Ok(());
        }
        Err(Fault::new(self.at(), format!("expected `{symbol}`, found {}", describe(self.peek()))))
    }

    fn expect_end(&self) -> Result<(), Fault> {
        if *self.peek() == Token::End {
            return Ok(());
        }
        let message = format!("expected `and`, `or` or the end, found {}", describe(self.peek()));
        Err(Fault::new(self.at(), message))
    }

    fn or(&mut self) -> Result<Expression, Fault> {
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

    fn sum(&mut self) -> Result<Expression, Fault> {
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
            Token::Word(word) if self.take_symbol("(") => self.call(word, at)?,
            Token::Word(word) => self.named(word, at)?,
            token @ (Token::Symbol(_) | Token::End) => {
                let message = format!("expected a field, a value or a function, found {}", describe(&token));
                return Err(Fault::new(at, message));
            }
        })
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<Expression, Fault>) -> Result<Expression, Fault> {
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

    /// A function, after its opening parenthesis.
    fn call(&mut self, name: &str, at: usize) -> Result<Expression, Fault> {
        let function = Function::from_name(name);
        if function.is_none() && name != IS_MATCH {
            let near = suggest(name, Function::names());
            let hint = near.map_or_else(
                || format!("there is {}", Function::names().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(Fault::new(at, format!("unknown function `{name}`; {hint}")));
        }
        let mut arguments = Vec::new();
        while !self.take_symbol(")") {
            if !arguments.is_empty() {
                self.expect_symbol(",")?;
            }
            let at = self.at();
            arguments.push((require_operand(self.nested(Self::sum)?, at)?, at));
        }
        match function {
            Some(function) => finish_call(function, arguments, self.context, at),
            None => finish_match(arguments, at),
        }
    }
}

/// Checks the arguments of a function.
fn finish_call(
    function: Function,
    arguments: Vec<(Expression, usize)>,
    context: ConditionContext,
    at: usize,
) -> Result<Expression, Fault> {
    let (name, count) = (function.name(), function.argument_count());
    if arguments.len() != count {
        let message = format!("`{name}` takes {count} arguments, not {}", arguments.len());
        return Err(Fault::new(at, message));
    }
    if let Some(only) = function.only_in().filter(|only| *only != context) {
        let message = format!(
            "`{name}` works in a condition on a {} only; this one is on a {}",
            only.name(),
            context.name()
        );
        return Err(Fault::new(at, message));
    }
    for (argument, at) in &arguments {
        check_argument(function, argument).map_err(|message| Fault::new(*at, message))?;
    }
    let arguments = arguments.into_iter().map(|(argument, _)| argument).collect();
    Ok(Expression::Call { function, arguments })
}

fn check_argument(function: Function, argument: &Expression) -> Result<(), String> {
    let length = match function {
        Function::TraceId => 16,
        Function::SpanId => 8,
        Function::HasAttrKeyOnDatapoint | Function::HasAttrOnDatapoint => {
            return match argument {
                Expression::Literal(Literal::Text(_)) => Ok(()),
                _ => Err(format!("`{}` needs a text in quotes", function.name())),
            };
        }
        _ => return Ok(()),
    };
    match argument {
        Expression::Literal(Literal::Bytes(bytes)) if bytes.len() == length => Ok(()),
        _ => Err(format!(
            "`{}` needs {length} bytes, written as 0x and {} hexadecimal digits",
            function.name(),
            2 * length
        )),
    }
}

fn finish_match(arguments: Vec<(Expression, usize)>, at: usize) -> Result<Expression, Fault> {
    let Ok([(target, _), (pattern, pattern_at)]) = <[_; 2]>::try_from(arguments) else {
        return Err(Fault::new(at, "`IsMatch` takes a value and a regular expression"));
    };
    let Expression::Literal(Literal::Text(pattern)) = pattern else {
        return Err(Fault::new(pattern_at, "expected a regular expression in quotes"));
    };
    let compiled = regex::RegexBuilder::new(&pattern).size_limit(PATTERN_SIZE_MAX).build();
    let compiled = compiled.map_err(|error| {
        // The library's text shows the expression on several lines; its last one says what is wrong.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Fault::new(pattern_at, format!("`{pattern}` is not a regular expression: {reason}"))
    })?;
    Ok(Expression::Match { target: Box::new(target), pattern: Pattern(compiled) })
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

fn require_condition(expression: Expression, at: usize) -> Result<Expression, Fault> {
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

fn describe(token: &Token<'_>) -> String {
    match token {
        Token::Word(word) => format!("`{word}`"),
        Token::Number(digits) => format!("`{digits}`"),
        Token::Symbol(symbol) => format!("`{symbol}`"),
        Token::Text(_) => "a text".into(),
        Token::Bytes(_) => "bytes".into(),
        Token::End => "the end".into(),
    }
}
