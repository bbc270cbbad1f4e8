//! Severities: names and numbers of many worlds, as OpenTelemetry's numbers from 1 (trace) to 24 (fatal).
//!
//! Source: OpenTelemetry's log data model, "Severity Fields" and appendix B. Where a name means different things in
//! different worlds (`critical`), the function says which.

use crate::batch::Value;

/// `TRACE`.
pub const TRACE: i32 = 1;
/// `DEBUG`.
pub const DEBUG: i32 = 5;
/// `INFO`.
pub const INFO: i32 = 9;
/// `WARN`.
pub const WARN: i32 = 13;
/// `ERROR`.
pub const ERROR: i32 = 17;
/// `FATAL`.
pub const FATAL: i32 = 21;

/// Names of levels in lower case. Those of log4j, logback, `java.util.logging`, Python, .NET, zap, winston, PostgreSQL
/// and the Collector's default preset agree on them; `critical` is Python's and .NET's, the last but one.
const NAMES: [(&str, i32); 55] = [
    ("trace", TRACE),
    ("trace2", 2),
    ("trace3", 3),
    ("trace4", 4),
    ("finest", TRACE),
    ("finer", 3),
    ("silly", TRACE),
    ("debug", DEBUG),
    ("debug2", 6),
    ("debug3", 7),
    ("debug4", 8),
    ("debug1", DEBUG),
    ("debug5", DEBUG),
    ("dbg", DEBUG),
    ("fine", DEBUG),
    ("verbose", DEBUG),
    ("config", 8),
    ("info", INFO),
    ("info2", 10),
    ("info3", 11),
    ("info4", 12),
    ("inf", INFO),
    ("information", INFO),
    ("informational", INFO),
    ("http", INFO),
    ("log", INFO),
    ("default", INFO),
    ("statement", INFO),
    ("success", 10),
    ("notice", 10),
    ("warn", WARN),
    ("warn2", 14),
    ("warn3", 15),
    ("warn4", 16),
    ("warning", WARN),
    ("wrn", WARN),
    ("error", ERROR),
    ("error2", 18),
    ("error3", 19),
    ("error4", 20),
    ("err", ERROR),
    ("severe", ERROR),
    ("exception", ERROR),
    ("dpanic", 18),
    ("alert", 19),
    ("crit", FATAL),
    ("critical", FATAL),
    ("fatal", FATAL),
    ("fatal2", 22),
    ("fatal3", 23),
    ("fatal4", 24),
    ("ftl", FATAL),
    ("panic", FATAL),
    ("emerg", 24),
    ("emergency", 24),
];

/// The number of a level's name, in any case.
#[must_use]
pub fn by_name(name: &str) -> Option<i32> {
    let name = name.trim();
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, number)| *number)
}

/// The number of a letter: those of klog and glog (`I`, `W`, `E`, `F`), of Android and of Serilog's short names.
#[must_use]
pub fn by_letter(letter: char) -> Option<i32> {
    Some(match letter {
        'T' | 'V' => TRACE,
        'D' => DEBUG,
        'I' => INFO,
        'W' => WARN,
        'E' => ERROR,
        'F' | 'C' => FATAL,
        _ => return None,
    })
}

/// The number of syslog's severity, from 0 (emergency) to 7 (debug); also that of journald's `PRIORITY`.
#[must_use]
pub fn of_syslog(severity: i64) -> Option<i32> {
    Some(match severity {
        0 => FATAL,
        1 => 19,
        2 => 18,
        3 => ERROR,
        4 => WARN,
        5 => 10,
        6 => INFO,
        7 => DEBUG,
        _ => return None,
    })
}

/// What syslog calls a severity, as RFC 5424 §6.2.1 abbreviates in common use.
#[must_use]
pub fn syslog_name(severity: i64) -> &'static str {
    match severity {
        0 => "emerg",
        1 => "alert",
        2 => "crit",
        3 => "err",
        4 => "warning",
        5 => "notice",
        6 => "info",
        _ => "debug",
    }
}

/// The number of a level of pino or bunyan: 10 (trace) to 60 (fatal); those in between are the one below.
#[must_use]
pub fn of_pino(level: i64) -> Option<i32> {
    Some(match level {
        10..20 => TRACE,
        20..30 => DEBUG,
        30..40 => INFO,
        40..50 => WARN,
        50..60 => ERROR,
        60..=100 => FATAL,
        _ => return None,
    })
}

/// The number of a level of Python's `logging`: 10 (debug) to 50 (critical); those in between are the one below.
#[must_use]
pub fn of_python(level: i64) -> Option<i32> {
    Some(match level {
        1..10 => TRACE,
        10..20 => DEBUG,
        20..30 => INFO,
        30..40 => WARN,
        40..50 => ERROR,
        50..=100 => FATAL,
        _ => return None,
    })
}

/// OpenTelemetry's short name of a number, such as `INFO` or `WARN2`; empty for other numbers.
#[must_use]
pub fn name_of(number: i32) -> &'static str {
    const SHORT: [&str; 24] = [
        "TRACE", "TRACE2", "TRACE3", "TRACE4", "DEBUG", "DEBUG2", "DEBUG3", "DEBUG4", "INFO", "INFO2",
        "INFO3", "INFO4", "WARN", "WARN2", "WARN3", "WARN4", "ERROR", "ERROR2", "ERROR3", "ERROR4", "FATAL",
        "FATAL2", "FATAL3", "FATAL4",
    ];
    usize::try_from(number - 1).ok().and_then(|index| SHORT.get(index)).copied().unwrap_or_default()
}

/// What is mapped to a severity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeverityMatch {
    /// This text, in any case; also a number's digits.
    Text(String),
    /// A number from the first to the second, or the digits of one.
    Range(i64, i64),
}

/// A mapping of one's own, as the Collector's `severity_parser` has it, over the known names or without them.
#[derive(Clone, Debug, Default)]
pub struct SeverityMapping {
    matches: Vec<(SeverityMatch, i32)>,
    has_names: bool,
}

impl SeverityMapping {
    /// A mapping to numbers from 1 to 24. With `has_names` the known names are tried after it.
    #[must_use]
    pub fn new(matches: Vec<(SeverityMatch, i32)>, has_names: bool) -> Self {
        Self { matches, has_names }
    }

    /// The number of a value: text, or a whole number.
    ///
    /// ```
    /// use watershed_pipeline::parse::severity::{SeverityMapping, SeverityMatch};
    /// use watershed_pipeline::Value;
    /// let mapping = SeverityMapping::new(vec![(SeverityMatch::Range(400, 499), 13)], true);
    /// assert_eq!(mapping.number(Value::Int(404)), Some(13));
    /// assert_eq!(mapping.number(Value::Str("ERROR")), Some(17));
    /// assert_eq!(mapping.number(Value::Str("nice")), None);
    /// ```
    #[must_use]
    pub fn number(&self, value: Value<'_>) -> Option<i32> {
        let text = value.to_text();
        let text = text.trim();
        let digits = text.parse::<i64>().ok();
        let is_it = |known: &SeverityMatch| match known {
            SeverityMatch::Text(known) => known.eq_ignore_ascii_case(text),
            SeverityMatch::Range(first, last) => {
                digits.is_some_and(|number| (*first..=*last).contains(&number))
            }
        };
        let own = self.matches.iter().find(|(known, _)| is_it(known)).map(|(_, number)| *number);
        own.or_else(|| if self.has_names { by_name(text) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_worlds_have_their_numbers() {
        for (name, number) in [
            ("INFO", 9),
            ("Information", 9),
            ("WARNING", 13),
            ("warn", 13),
            ("Err", 17),
            ("SEVERE", 17),
            ("CRITICAL", 21),
            ("notice", 10),
            ("trace3", 3),
            (" FATAL4 ", 24),
        ] {
            assert_eq!(by_name(name), Some(number), "{name}");
        }
        assert_eq!(by_name("hello"), None);
        assert_eq!(by_name(""), None);
        assert!(NAMES.iter().all(|(name, number)| by_name(name) == Some(*number)));
    }

    #[test]
    fn numbers_of_all_worlds_have_theirs() {
        assert_eq!(
            (0..9).map(of_syslog).collect::<Vec<_>>(),
            [Some(21), Some(19), Some(18), Some(17), Some(13), Some(10), Some(9), Some(5), None]
        );
        assert_eq!([10, 20, 30, 35, 40, 50, 60].map(of_pino), [1, 5, 9, 9, 13, 17, 21].map(Some));
        assert_eq!([5, 10, 20, 25, 30, 40, 50].map(of_python), [1, 5, 9, 9, 13, 17, 21].map(Some));
        assert_eq!(['I', 'W', 'E', 'F'].map(by_letter), [9, 13, 17, 21].map(Some));
        assert_eq!([1, 10, 24, 0, 25].map(name_of), ["TRACE", "INFO2", "FATAL4", "", ""]);
    }

    #[test]
    fn a_mapping_of_ones_own_comes_first() {
        let own = vec![(SeverityMatch::Text("oops".into()), 17), (SeverityMatch::Range(500, 599), 18)];
        let mapping = SeverityMapping::new(own.clone(), true);
        assert_eq!(mapping.number(Value::Str("OOPS")), Some(17));
        assert_eq!(mapping.number(Value::Str("503")), Some(18));
        assert_eq!(mapping.number(Value::Str("info")), Some(9));
        assert_eq!(SeverityMapping::new(own, false).number(Value::Str("info")), None);
    }
}
