//! The text of a statement to an editor and a condition.

use std::ops::RangeInclusive;

use super::super::call::{check_count, compile, compile_text};
use super::super::error::Fault;
use super::super::expression::{Expression, Literal};
use super::super::lexer::Token;
use super::super::parser::{Parser, describe, require_condition};
use super::editor::{Editor, FLATTEN_MAX, Replacement, Strategy, Wanted};
use super::place::Place;
use watershed_config::suggest;

/// Name, fewest and most arguments, and how it is written.
static EDITORS: [(&str, RangeInclusive<usize>, &str); 14] = [
    ("append", 2..=2, r#"append(attributes["tags"], "new")"#),
    ("delete_key", 2..=2, r#"delete_key(attributes, "key")"#),
    ("delete_matching_keys", 2..=2, r#"delete_matching_keys(attributes, "^internal\\.")"#),
    ("flatten", 1..=3, r#"flatten(attributes, "prefix", 2)"#),
    ("keep_keys", 2..=2, r#"keep_keys(attributes, ["a", "b"])"#),
    ("keep_matching_keys", 2..=2, r#"keep_matching_keys(attributes, "^http\\.")"#),
    ("limit", 2..=3, r#"limit(attributes, 100, ["first"])"#),
    ("merge_maps", 3..=3, r#"merge_maps(attributes, ParseJSON(body), "upsert")"#),
    ("replace_all_matches", 3..=3, r#"replace_all_matches(attributes, "/user/*", "/user/{id}")"#),
    ("replace_all_patterns", 4..=4, r#"replace_all_patterns(attributes, "value", "[0-9]{16}", "***")"#),
    ("replace_match", 3..=3, r#"replace_match(name, "/user/*", "/user/{id}")"#),
    ("replace_pattern", 3..=3, r#"replace_pattern(body, "password=[^ ]*", "password=***")"#),
    ("set", 2..=2, r#"set(attributes["key"], "value")"#),
    ("truncate_all", 2..=2, "truncate_all(attributes, 4096)"),
];

/// The answer to an editor that OTTL does not have and people try first.
const RENAME: &str = r#"there is no editor `rename`; write `set(attributes["new"], attributes["old"])` and `delete_key(attributes, "old")`"#;

/// An argument and the byte where it begins.
type Argument = (Expression, usize);

/// Reads a whole statement.
pub(super) fn statement(parser: &mut Parser<'_>) -> Result<(Editor, Option<Expression>), Fault> {
    let at = parser.at();
    let name = match parser.next() {
        Token::Word(word) => word.to_owned(),
        other => {
            return Err(Fault::new(
                at,
                format!("expected an editor such as `set`, found {}", describe(&other)),
            ));
        }
    };
    let (_, count, example) = known(&name).map_err(|message| Fault::new(at, message))?;
    parser.expect_symbol("(")?;
    let arguments = parser.values(")")?;
    let wrong_count = |message| Fault::new(at, format!("{message}; write `{example}`"));
    check_count(&name, count, arguments.len()).map_err(wrong_count)?;
    let editor = editor(&name, &arguments)?;
    let mut condition = None;
    if parser.take_word("where") {
        let at = parser.at();
        condition = Some(require_condition(parser.or()?, at)?);
    } else if *parser.peek() != Token::End {
        let message = format!("expected `where` or the end, found {}", describe(parser.peek()));
        return Err(Fault::new(parser.at(), message));
    }
    parser.expect_end()?;
    Ok((editor, condition))
}

fn known(name: &str) -> Result<&'static (&'static str, RangeInclusive<usize>, &'static str), String> {
    EDITORS.iter().find(|(own, ..)| *own == name).ok_or_else(|| {
        let names = || EDITORS.iter().map(|(own, ..)| *own);
        match suggest(name, names()) {
            _ if name == "rename" => RENAME.to_owned(),
            Some(near) => format!("unknown editor `{name}`; did you mean `{near}`?"),
            None => format!("unknown editor `{name}`; there is {}", names().collect::<Vec<_>>().join(", ")),
        }
    })
}

/// An editor of the right number of arguments.
fn editor(name: &str, arguments: &[Argument]) -> Result<Editor, Fault> {
    let [first, rest @ ..] = arguments else { return Err(Fault::new(0, "expected arguments")) };
    let map = || Place::map(&first.0, first.1);
    Ok(match (name, rest) {
        ("set", [value]) => set(first, value)?,
        ("append", [value]) => Editor::Append { place: list(first)?, value: value.0.clone() },
        ("delete_key", [key]) => Editor::DeleteKey { map: map()?, key: key.0.clone() },
        ("delete_matching_keys", [pattern]) => {
            Editor::Retain { map: map()?, wanted: Wanted::NotMatching(compile(&pattern.0, pattern.1)?.0) }
        }
        ("keep_matching_keys", [pattern]) => {
            Editor::Retain { map: map()?, wanted: Wanted::Matching(compile(&pattern.0, pattern.1)?.0) }
        }
        ("keep_keys", [keys]) => Editor::Retain { map: map()?, wanted: Wanted::Listed(texts(keys)?) },
        ("limit", [most, first @ ..]) => Editor::Limit {
            map: map()?,
            most: number(most)?,
            first: first.first().map(texts).transpose()?.unwrap_or_default(),
        },
        ("truncate_all", [most]) => Editor::Truncate { map: map()?, most: number(most)? },
        ("replace_pattern", [pattern, text]) => {
            Editor::Replace { place: Place::new(&first.0, first.1)?, replacement: of_pattern(pattern, text)? }
        }
        ("replace_match", [glob, text]) => {
            Editor::Replace { place: Place::new(&first.0, first.1)?, replacement: of_glob(glob, text)? }
        }
        ("replace_all_patterns", [mode, pattern, text]) => Editor::ReplaceAll {
            map: map()?,
            in_keys: one_of(mode, &[("value", false), ("key", true)])?,
            replacement: of_pattern(pattern, text)?,
        },
        ("replace_all_matches", [glob, text]) => {
            Editor::ReplaceAll { map: map()?, in_keys: false, replacement: of_glob(glob, text)? }
        }
        ("merge_maps", [source, strategy]) => Editor::Merge {
            map: map()?,
            source: source.0.clone(),
            strategy: one_of(
                strategy,
                &[("insert", Strategy::Insert), ("update", Strategy::Update), ("upsert", Strategy::Upsert)],
            )?,
        },
        ("flatten", options) => Editor::Flatten {
            map: map()?,
            prefix: options.first().map(text).transpose()?.unwrap_or_default().to_owned(),
            depth: options
                .get(1)
                .map(number)
                .transpose()?
                .map_or(FLATTEN_MAX, |depth| depth.min(FLATTEN_MAX)),
        },
        _ => return Err(Fault::new(first.1, format!("`{name}` does not take these arguments"))),
    })
}

/// `set`, whose value is checked now if the text says it.
fn set((place, place_at): &Argument, (value, value_at): &Argument) -> Result<Editor, Fault> {
    let place = Place::new(place, *place_at)?;
    if let Expression::Literal(literal) = value
        && !matches!(literal, Literal::Nil)
    {
        place.check(&literal.term()).map_err(|message| Fault::new(*value_at, message))?;
    }
    Ok(Editor::Set { place, value: value.clone() })
}

/// A place that can hold a list.
fn list((argument, at): &Argument) -> Result<Place, Fault> {
    let place = Place::new(argument, *at)?;
    let is_whole =
        matches!(argument, Expression::Path { field, keys } if keys.is_empty() && field.name != "body");
    if is_whole {
        return Err(Fault::new(*at, format!("`{argument}` can't hold a list; an attribute and a body can")));
    }
    Ok(place)
}

fn text((argument, at): &Argument) -> Result<&str, Fault> {
    match argument {
        Expression::Literal(Literal::Text(text)) => Ok(text),
        _ => Err(Fault::new(*at, "expected a text in quotes")),
    }
}

fn texts((argument, at): &Argument) -> Result<Vec<String>, Fault> {
    let wrong = || Fault::new(*at, "expected a list of keys, such as `[\"a\", \"b\"]`");
    let Expression::List(items) = argument else { return Err(wrong()) };
    let text = |item: &Expression| match item {
        Expression::Literal(Literal::Text(text)) => Ok(text.clone()),
        _ => Err(wrong()),
    };
    items.iter().map(text).collect()
}

fn number((argument, at): &Argument) -> Result<usize, Fault> {
    let number = match argument {
        Expression::Literal(Literal::Int(number)) => usize::try_from(*number).ok(),
        _ => None,
    };
    number.ok_or_else(|| Fault::new(*at, "expected a whole number that is not negative"))
}

fn one_of<T: Copy>(argument: &Argument, known: &[(&str, T)]) -> Result<T, Fault> {
    let found = text(argument).ok().and_then(|text| known.iter().find(|(name, _)| *name == text));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<String> = known.iter().map(|(name, _)| format!("`\"{name}\"`")).collect();
        Fault::new(argument.1, format!("expected {}", names.join(" or ")))
    })
}

fn of_pattern(pattern: &Argument, text: &Argument) -> Result<Replacement, Fault> {
    Ok(Replacement { pattern: compile(&pattern.0, pattern.1)?.0, has_groups: true, text: text.0.clone() })
}

fn of_glob(glob: &Argument, new: &Argument) -> Result<Replacement, Fault> {
    let pattern = compile_text(&glob_expression(text(glob)?), glob.1)?.0;
    Ok(Replacement { pattern, has_groups: false, text: new.0.clone() })
}

/// The regular expression of a shell pattern: `*` any text, `?` any character, `[a-z]`, `[!a-z]`, `{this,that}`, and `\`
/// before a character that means itself.
fn glob_expression(glob: &str) -> String {
    let mut expression = String::from("(?s)^");
    let (mut letters, mut braces) = (glob.chars(), 0_usize);
    while let Some(letter) = letters.next() {
        match letter {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '[' => {
                expression.push('[');
                let mut class = letters.by_ref().take_while(|letter| *letter != ']').peekable();
                if class.next_if_eq(&'!').is_some() {
                    expression.push('^');
                }
                for letter in class {
                    if matches!(letter, '\\' | '[' | '^' | '&' | '~') {
                        expression.push('\\');
                    }
                    expression.push(letter);
                }
                expression.push(']');
            }
            '{' => {
                braces += 1;
                expression.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                expression.push(')');
            }
            ',' if braces > 0 => expression.push('|'),
            '\\' => expression.push_str(&regex::escape(&String::from_iter(letters.next()))),
            letter => expression.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    expression.push('$');
    expression
}
