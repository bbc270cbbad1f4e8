//! Calls of functions: names, arguments, and the expressions compiled for them.

use std::ops::RangeInclusive;

use super::ConditionContext;
use super::error::Fault;
use super::expression::{Expression, Literal, Pattern};
use super::function::{EXTRACT_PATTERNS, Function, IS_MATCH};
use super::parser::Parser;
use watershed_config::suggest;

/// How large a compiled regular expression may be, in bytes.
const PATTERN_SIZE_MAX: usize = 1 << 20;

impl Parser<'_> {
    /// A function, after its opening parenthesis.
    pub(super) fn call(&mut self, name: &str, at: usize) -> Result<Expression, Fault> {
        let function = Function::from_name(name);
        if function.is_none() && name != IS_MATCH && name != EXTRACT_PATTERNS {
            let near = suggest(name, Function::names());
            let hint = near.map_or_else(
                || format!("there is {}", Function::names().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            return Err(Fault::new(at, format!("unknown function `{name}`; {hint}")));
        }
        let arguments = self.values(")")?;
        match function {
            Some(function) => finish_call(function, arguments, self.context, at),
            None => finish_match(name, arguments, at),
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
    let name = function.name();
    check_count(name, &function.argument_count(), arguments.len())
        .map_err(|message| Fault::new(at, message))?;
    if let Some(only) = function.only_in().filter(|only| *only != context) {
        let message = format!(
            "`{name}` works in a condition on a {} only; this one is on a {}",
            only.name(),
            context.name()
        );
        return Err(Fault::new(at, message));
    }
    if function == Function::Concat && !matches!(arguments.first(), Some((Expression::List(_), _))) {
        let message = "`Concat` needs a list in brackets, such as `Concat([name, kind], \" \")`";
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

/// Checks how many arguments a function or an editor got.
pub(super) fn check_count(name: &str, wanted: &RangeInclusive<usize>, got: usize) -> Result<(), String> {
    if wanted.contains(&got) {
        return Ok(());
    }
    let (fewest, most) = (wanted.start(), wanted.end());
    let wanted = if fewest == most { fewest.to_string() } else { format!("{fewest} to {most}") };
    Err(format!("`{name}` takes {wanted} arguments, not {got}"))
}

fn finish_match(name: &str, arguments: Vec<(Expression, usize)>, at: usize) -> Result<Expression, Fault> {
    let Ok([(target, _), (pattern, pattern_at)]) = <[_; 2]>::try_from(arguments) else {
        return Err(Fault::new(at, format!("`{name}` takes a value and a regular expression")));
    };
    let (target, pattern) = (Box::new(target), compile(&pattern, pattern_at)?);
    if name == IS_MATCH {
        return Ok(Expression::Match { target, pattern });
    }
    if pattern.0.capture_names().flatten().next().is_none() {
        let message = format!("`{name}` needs an expression with a named group, such as `(?P<code>[0-9]+)`");
        return Err(Fault::new(pattern_at, message));
    }
    Ok(Expression::Extract { target, pattern })
}

/// Compiles the regular expression that an argument is.
pub(super) fn compile(argument: &Expression, at: usize) -> Result<Pattern, Fault> {
    let Expression::Literal(Literal::Text(pattern)) = argument else {
        return Err(Fault::new(at, "expected a regular expression in quotes"));
    };
    compile_text(pattern, at)
}

pub(super) fn compile_text(pattern: &str, at: usize) -> Result<Pattern, Fault> {
    let compiled = regex::RegexBuilder::new(pattern).size_limit(PATTERN_SIZE_MAX).build();
    compiled.map(Pattern).map_err(|error| {
        // The library's text shows the expression on several lines; its last one says what is wrong.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Fault::new(at, format!("`{pattern}` is not a regular expression: {reason}"))
    })
}
