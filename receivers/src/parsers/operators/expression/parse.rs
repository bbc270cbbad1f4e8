//! Text to a tree, by recursive descent: `??`, `or`, `and`, `not`, comparison, sum, operand.

use regex::RegexBuilder;
use watershed_pipeline::AnyValue;

use super::{Comparison, Expression, Function, TextTest};
use crate::parsers::operators::path::{Path, Root};

/// How deep parentheses, lists and negations may nest.
const DEPTH_MAX: usize = 32;
/// How large a compiled regular expression may be, in bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;

type Fault = (usize, String);

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(AnyValue),
    Symbol(&'static str),
    End,
}

const SYMBOLS: [&str; 21] = [
    "==", "!=", "<=", ">=", "&&", "||", "??", "?.", "<", ">", "!", "(", ")", "[", "]", ",", ".", "+", "-",
    "{", "|",
];

pub(super) fn parse(text: &str) -> Result<Expression, Fault> {
    let mut parser = Parser { tokens: tokens(text)?, position: 0, depth: 0 };
    let whole = parser.coalesce()?;
    match parser.peek() {
        Token::End => Ok(whole),
        other => Err((parser.at(), format!("{} is not supported here", describe(other)))),
    }
}

fn tokens(text: &str) -> Result<Vec<(Token, usize)>, Fault> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(letter) = rest.chars().next() {
        let at = text.len() - rest.len();
        let (token, after) = match letter {
            '"' | '\'' | '`' => quoted(rest, letter, at)?,
            '0'..='9' => number(rest, at)?,
            letter if letter.is_alphabetic() || letter == '_' => {
                let end = rest.find(|l: char| !l.is_alphanumeric() && l != '_').unwrap_or(rest.len());
                let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
                (Token::Word(word.to_owned()), after)
            }
            _ => {
                let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol));
                let symbol = symbol.ok_or((at, format!("unexpected `{letter}`")))?;
                (Token::Symbol(symbol), rest.get(symbol.len()..).unwrap_or_default())
            }
        };
        tokens.push((token, at));
        rest = after.trim_start();
    }
    tokens.push((Token::End, text.len()));
    Ok(tokens)
}

fn quoted(rest: &str, quote: char, at: usize) -> Result<(Token, &str), Fault> {
    let mut text = String::new();
    let mut letters = rest.chars();
    letters.next();
    loop {
        match letters.next() {
            Some(letter) if letter == quote => return Ok((Token::Text(text), letters.as_str())),
            Some('\\') if quote != '`' => text.push(match letters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(letter @ ('\\' | '"' | '\'')) => letter,
                other => {
                    let letter = other.unwrap_or(' ');
                    return Err((at, format!("unknown escape `\\{letter}`; for a backslash, write `\\\\`")));
                }
            }),
            Some(letter) => text.push(letter),
            None => return Err((at, "this text has no end".to_owned())),
        }
    }
}

fn number(rest: &str, at: usize) -> Result<(Token, &str), Fault> {
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
    let (digits, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let whole = digits.parse::<i64>().map(AnyValue::Int);
    let value = whole.or_else(|_| digits.parse().map(AnyValue::Double));
    Ok((Token::Number(value.map_err(|_| (at, format!("`{digits}` is no number")))?), after))
}

fn describe(token: &Token) -> String {
    match token {
        Token::Word(word) => format!("`{word}`"),
        Token::Text(text) => format!("{text:?}"),
        Token::Number(number) => format!("{number:?}"),
        Token::Symbol(symbol) => format!("`{symbol}`"),
        Token::End => "the end".to_owned(),
    }
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    position: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.position).map_or(&Token::End, |(token, _)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.position).or(self.tokens.last()).map_or(0, |(_, at)| *at)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.position += 1;
        token
    }

    fn take(&mut self, names: &[&str]) -> bool {
        let found = match self.peek() {
            Token::Word(word) => names.contains(&word.as_str()),
            Token::Symbol(symbol) => names.contains(symbol),
            _ => false,
        };
        self.position += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Fault> {
        if self.take(&[symbol]) {
            return Ok(());
        }
        Err((self.at(), format!("expected `{symbol}`, found {}", describe(self.peek()))))
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err((self.at(), format!("nested more than {DEPTH_MAX} deep")));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn coalesce(&mut self) -> Result<Expression, Fault> {
        self.chain(&["??"], Self::or, Expression::Coalesce)
    }

    fn or(&mut self) -> Result<Expression, Fault> {
        self.chain(&["or", "||"], Self::and, Expression::Or)
    }

    fn and(&mut self) -> Result<Expression, Fault> {
        self.chain(&["and", "&&"], Self::comparison, Expression::And)
    }

    /// One or more parts with an operator between them, from left to right.
    fn chain(
        &mut self,
        names: &[&str],
        part: fn(&mut Self) -> Result<Expression, Fault>,
        join: fn(Box<(Expression, Expression)>) -> Expression,
    ) -> Result<Expression, Fault> {
        let mut whole = part(self)?;
        let mut parts = 0;
        while self.take(names) {
            parts += 1;
            if parts > 256 {
                return Err((self.at(), "more than 256 parts".to_owned()));
            }
            whole = join(Box::new((whole, part(self)?)));
        }
        Ok(whole)
    }

    fn comparison(&mut self) -> Result<Expression, Fault> {
        if self.take(&["not", "!"]) {
            let inner = self.nested(Self::comparison)?;
            return Ok(Expression::Not(Box::new(inner)));
        }
        let left = self.sum()?;
        let operator = self.peek().clone();
        let name = match &operator {
            Token::Symbol(symbol) => *symbol,
            Token::Word(word) => word.as_str(),
            _ => return Ok(left),
        };
        let comparison = match name {
            "==" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            _ => return self.word_comparison(name, left),
        };
        self.position += 1;
        Ok(Expression::Compare(comparison, Box::new((left, self.sum()?))))
    }

    fn word_comparison(&mut self, name: &str, left: Expression) -> Result<Expression, Fault> {
        if !matches!(name, "matches" | "contains" | "startsWith" | "endsWith" | "in" | "not") {
            return Ok(left);
        }
        self.position += 1;
        let test = match name {
            "matches" => return self.matches(left),
            "in" => return Ok(Expression::In(Box::new((left, self.sum()?)))),
            "not" => {
                let name = match self.peek() {
                    Token::Word(word) if word != "not" => word.clone(),
                    other => {
                        return Err((self.at(), format!("`not` can't stand before {}", describe(other))));
                    }
                };
                return Ok(Expression::Not(Box::new(self.word_comparison(&name, left)?)));
            }
            "contains" => TextTest::Contains,
            "startsWith" => TextTest::StartsWith,
            _ => TextTest::EndsWith,
        };
        Ok(Expression::Text(test, Box::new((left, self.sum()?))))
    }

    fn matches(&mut self, left: Expression) -> Result<Expression, Fault> {
        let at = self.at();
        let Token::Text(pattern) = self.next() else {
            return Err((at, "`matches` needs a text with a regular expression".to_owned()));
        };
        let regex = RegexBuilder::new(&pattern).size_limit(PATTERN_SIZE_MAX).build();
        let regex =
            regex.map_err(|error| (at, format!("`{pattern}` is not a regular expression: {error}")))?;
        Ok(Expression::Matches(Box::new(left), regex))
    }

    fn sum(&mut self) -> Result<Expression, Fault> {
        self.chain(&["+"], Self::operand, Expression::Add)
    }

    fn operand(&mut self) -> Result<Expression, Fault> {
        let at = self.at();
        match self.next() {
            Token::Text(text) => Ok(Expression::Literal(text.into())),
            Token::Number(number) => Ok(Expression::Literal(number)),
            Token::Word(word) => self.word(&word, at),
            Token::Symbol("(") => {
                let inner = self.nested(Self::coalesce)?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Symbol("[") => {
                let mut items = Vec::new();
                while !self.take(&["]"]) {
                    items.push(self.nested(Self::coalesce)?);
                    if !self.take(&[","]) {
                        self.expect("]")?;
                        break;
                    }
                }
                Ok(Expression::List(items))
            }
            Token::Symbol("-") => match self.next() {
                Token::Number(AnyValue::Int(number)) => Ok(Expression::Literal((-number).into())),
                Token::Number(AnyValue::Double(number)) => Ok(Expression::Literal((-number).into())),
                other => Err((at, format!("`-` needs a number, found {}", describe(&other)))),
            },
            other => Err((at, format!("expected a value, found {}", describe(&other)))),
        }
    }

    fn word(&mut self, word: &str, at: usize) -> Result<Expression, Fault> {
        let function = match word {
            "true" => return Ok(Expression::Literal(true.into())),
            "false" => return Ok(Expression::Literal(false.into())),
            "nil" | "null" => return Ok(Expression::Literal(AnyValue::Empty)),
            "severity_text" => return Ok(Expression::SeverityText),
            "severity_number" => return Ok(Expression::SeverityNumber),
            "len" => Function::Len,
            "lower" => Function::Lower,
            "upper" => Function::Upper,
            "trim" => Function::Trim,
            "string" => Function::String,
            "int" => Function::Int,
            "type" => Function::Type,
            _ => match Root::named(word) {
                Some(root) => return Ok(Expression::Path(Path { root, keys: self.keys()? })),
                None => {
                    let message = format!(
                        "`{word}` is not supported; a field begins with `body`, `attributes` or `resource`, and the \
                         functions are len, lower, upper, trim, string, int and type"
                    );
                    return Err((at, message));
                }
            },
        };
        self.expect("(")?;
        let argument = self.nested(Self::coalesce)?;
        self.expect(")")?;
        Ok(Expression::Call(function, Box::new(argument)))
    }

    fn keys(&mut self) -> Result<Vec<String>, Fault> {
        let mut keys = Vec::new();
        loop {
            let at = self.at();
            if self.take(&[".", "?."]) {
                match self.next() {
                    Token::Word(key) => keys.push(key),
                    other => return Err((at, format!("expected a key, found {}", describe(&other)))),
                }
            } else if self.take(&["["]) {
                match self.next() {
                    Token::Text(key) => keys.push(key),
                    other => return Err((at, format!("a key is a text, found {}", describe(&other)))),
                }
                self.expect("]")?;
            } else {
                return Ok(keys);
            }
        }
    }
}
