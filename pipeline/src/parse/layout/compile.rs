//! Patterns to steps.

use std::sync::LazyLock;

use super::{Layout, LayoutError, Step};

/// The layouts that are tried on a time of which nothing is said. No text fits two of them.
pub(in crate::parse) static COMMON: LazyLock<Vec<Layout>> = LazyLock::new(|| {
    let patterns = [
        "%d/%b/%Y:%H:%M:%S %z",
        "%b %e %H:%M:%S",
        "%b %e %Y %H:%M:%S",
        "%a, %d %b %Y %H:%M:%S %z",
        "%a, %d %b %Y %H:%M:%S %Z",
        "%a %b %e %H:%M:%S %Y",
        "%d %b %Y %H:%M:%S",
        "%Y%m%dT%H%M%S%z",
        "%Y%m%d %H:%M:%S",
        "%H:%M:%S",
    ];
    patterns.iter().filter_map(|pattern| strptime(pattern).ok()).collect()
});

/// The steps of a directive, or the pattern it stands for. As in the Collector, where these differ from C: `%o`, `%q`,
/// `%g`, `%l`, `%L`, `%f`, `%s` and the offsets `%w`, `%i`, `%j`, `%k`.
fn directive(letter: char) -> Result<Vec<Step>, LayoutError> {
    let step = match letter {
        'Y' => Step::Year,
        'y' => Step::ShortYear,
        'm' | 'o' | 'q' => Step::Month,
        'b' | 'h' | 'B' => Step::MonthName,
        'd' | 'e' | 'g' => Step::Day,
        'a' | 'A' => Step::Weekday,
        'H' | 'I' | 'l' => Step::Hour,
        'M' => Step::Minute,
        'S' => Step::Second,
        'L' | 'f' | 's' => Step::FractionDigits,
        'p' | 'P' => Step::AmPm,
        'z' | 'w' | 'i' | 'j' | 'k' => Step::Offset,
        'Z' => Step::ZoneName,
        'n' | 't' => Step::Spaces,
        '%' => Step::Literal("%".into()),
        'D' | 'x' => return steps("%m/%d/%Y"),
        'F' => return steps("%Y-%m-%d"),
        'T' | 'X' => return steps("%H:%M:%S"),
        'R' => return steps("%H:%M"),
        'r' => return steps("%I:%M:%S %p"),
        'c' => return steps("%a %b %e %H:%M:%S %Y"),
        other => return Err(LayoutError::Directive(other)),
    };
    Ok(vec![step])
}

fn steps(pattern: &str) -> Result<Vec<Step>, LayoutError> {
    let mut steps = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' => steps.extend(directive(letters.next().unwrap_or(' '))?),
            other => literal(&mut steps, other.encode_utf8(&mut [0; 4])),
        }
    }
    Ok(steps)
}

pub(super) fn strptime(pattern: &str) -> Result<Layout, LayoutError> {
    finish(pattern, steps(pattern)?)
}

/// What stands for a part of a time in a Go layout; where one begins with another, the longer is first.
const GO: [(&str, Step); 34] = [
    ("January", Step::MonthName),
    ("Jan", Step::MonthName),
    ("Monday", Step::Weekday),
    ("Mon", Step::Weekday),
    ("MST", Step::ZoneName),
    ("2006", Step::Year),
    ("__2", Step::DayOfYear),
    ("002", Step::DayOfYear),
    ("_2", Step::Day),
    ("01", Step::Month),
    ("02", Step::Day),
    ("03", Step::Hour),
    ("04", Step::Minute),
    ("05", Step::Second),
    ("06", Step::ShortYear),
    ("15", Step::Hour),
    ("PM", Step::AmPm),
    ("pm", Step::AmPm),
    ("Z070000", Step::Offset),
    ("Z07:00:00", Step::Offset),
    ("Z07:00", Step::Offset),
    ("Z0700", Step::Offset),
    ("Z07", Step::Offset),
    ("-070000", Step::Offset),
    ("-07:00:00", Step::Offset),
    ("-07:00", Step::Offset),
    ("-0700", Step::Offset),
    ("-07", Step::Offset),
    ("+0700", Step::Offset),
    ("1", Step::Month),
    ("2", Step::Day),
    ("3", Step::Hour),
    ("4", Step::Minute),
    ("5", Step::Second),
];

pub(super) fn gotime(layout: &str) -> Result<Layout, LayoutError> {
    let mut steps = Vec::new();
    let mut rest = layout;
    while let Some(letter) = rest.chars().next() {
        if let Some((after, step)) = GO.iter().find_map(|(name, step)| Some((rest.strip_prefix(name)?, step)))
        {
            steps.push(step.clone());
            rest = after;
            continue;
        }
        let after = rest.get(letter.len_utf8()..).unwrap_or_default();
        if matches!(letter, '.' | ',') && after.starts_with(['0', '9']) {
            steps.push(Step::Fraction);
            let digit = after.chars().next().unwrap_or('0');
            rest = after.trim_start_matches(digit);
            continue;
        }
        literal(&mut steps, rest.get(..letter.len_utf8()).unwrap_or_default());
        rest = after;
    }
    finish(layout, steps)
}

/// Adds text that stands for itself; white space fits any white space.
fn literal(steps: &mut Vec<Step>, text: &str) {
    let is_space = text.chars().all(char::is_whitespace);
    match steps.last_mut() {
        Some(Step::Spaces) if is_space => {}
        _ if is_space => steps.push(Step::Spaces),
        Some(Step::Literal(before)) => *before = format!("{before}{text}").into(),
        _ => steps.push(Step::Literal(text.into())),
    }
}

fn finish(pattern: &str, steps: Vec<Step>) -> Result<Layout, LayoutError> {
    let is_time = |step: &Step| !matches!(step, Step::Literal(_) | Step::Spaces);
    if !steps.iter().any(is_time) {
        return Err(LayoutError::NoTime(pattern.to_owned()));
    }
    Ok(Layout(steps))
}
