//! The rules as a document that a browser can apply before anything is sent: keys as words, values as JavaScript regular
//! expressions with the name of a check where an expression can't tell.
//!
//! The browser sees plain texts and objects, so its expressions may find a little more than the detectors here, and it can't
//! hash, for it must not know the key: it masks instead. Whatever it misses is found here.

use serde::Serialize;

use super::Config;
use super::action::{Action, ActionKind};
use super::detect::Detector;
use super::key_words::KeyWords;
use super::rules::Rules;
use super::settings::glob_pattern;

/// All rules, as JSON.
///
/// - `version`: 1.
/// - `keys`: `words` are the last words of keys that are meant, in small letters and without what parts words; `tails` are
///   words at the end of a key that do not count, as numbers do not; `patterns` are expressions for whole keys.
/// - `ignored_keys`: keys whose values stay. `allowed_keys`: the only ones that stay, or null.
/// - `values`: expressions for values within texts; of a match the group `secret` is hidden, or all of it if there is no such
///   group. `check` names what else must be true: `luhn` (issuer and last digit of a card), `ssn`, `iban`.
/// - `skipped`: rules of one's own that JavaScript can't express.
#[derive(Clone, Debug, Serialize)]
pub struct RuleFile {
    version: u32,
    keys: Keys,
    ignored_keys: Vec<String>,
    allowed_keys: Option<Vec<String>>,
    values: Vec<ValueRule>,
    allowed_values: Vec<Expression>,
    skipped: Vec<Skipped>,
}

#[derive(Clone, Debug, Serialize)]
struct Keys {
    words: Vec<KeyRule>,
    tails: Vec<String>,
    patterns: Vec<PatternRule>,
}

#[derive(Clone, Debug, Serialize)]
struct KeyRule {
    words: String,
    #[serde(flatten)]
    what: What,
}

#[derive(Clone, Debug, Serialize)]
struct PatternRule {
    #[serde(flatten)]
    expression: Expression,
    #[serde(flatten)]
    what: What,
}

#[derive(Clone, Debug, Serialize)]
struct ValueRule {
    #[serde(flatten)]
    expression: Expression,
    check: Option<&'static str>,
    #[serde(flatten)]
    what: What,
}

/// What is done, and under which name it is counted.
#[derive(Clone, Debug, Serialize)]
struct What {
    rule: String,
    action: &'static str,
    mask: String,
}

/// The two arguments of `new RegExp`.
#[derive(Clone, Debug, Serialize)]
struct Expression {
    source: String,
    flags: String,
}

#[derive(Clone, Debug, Serialize)]
struct Skipped {
    setting: String,
    pattern: String,
}

impl RuleFile {
    pub(super) fn new(config: &Config, rules: &Rules) -> Self {
        let mut file = Self {
            version: 1,
            keys: Keys { words: Vec::new(), tails: KeyWords::tails().collect(), patterns: Vec::new() },
            ignored_keys: config.ignored_keys.clone(),
            allowed_keys: config.allow_list().map(<[String]>::to_vec),
            values: Vec::new(),
            allowed_values: Vec::new(),
            skipped: Vec::new(),
        };
        let words = rules.key_words.iter().filter_map(|(words, rule)| Some((words, what(rules, rule)?)));
        file.keys.words = words.map(|(words, what)| KeyRule { words: words.to_owned(), what }).collect();
        file.keys.words.sort_by(|left, right| left.words.cmp(&right.words));
        for (detector, rule) in &rules.detectors {
            if let Some(what) = what(rules, *rule) {
                file.values.push(detector_rule(*detector, what));
            }
        }
        for own in &config.rules {
            let Some(what) = what_of(rules, &own.name) else { continue };
            let globs = own.key_globs.iter().map(|glob| glob_pattern(glob));
            file.key_patterns("key_patterns", own.key_patterns.iter().cloned().chain(globs), &what);
            file.patterns("patterns", &own.patterns, &what);
        }
        if let Some(what) = what_of(rules, "blocked_key_patterns") {
            file.key_patterns("blocked_key_patterns", config.blocked_key_patterns.iter().cloned(), &what);
        }
        if let Some(what) = what_of(rules, "blocked_values") {
            file.patterns("blocked_values", &config.blocked_values, &what);
        }
        for pattern in &config.allowed_values {
            if let Some(expression) = file.expression("allowed_values", pattern) {
                file.allowed_values.push(expression);
            }
        }
        file
    }

    fn key_patterns(&mut self, setting: &str, patterns: impl Iterator<Item = String>, what: &What) {
        for pattern in patterns {
            if let Some(expression) = self.expression(setting, &pattern) {
                self.keys.patterns.push(PatternRule { expression, what: what.clone() });
            }
        }
    }

    fn patterns(&mut self, setting: &str, patterns: &[String], what: &What) {
        for pattern in patterns {
            if let Some(expression) = self.expression(setting, pattern) {
                self.values.push(ValueRule { expression, check: None, what: what.clone() });
            }
        }
    }

    fn expression(&mut self, setting: &str, pattern: &str) -> Option<Expression> {
        let expression = javascript(pattern);
        if expression.is_none() {
            self.skipped.push(Skipped { setting: setting.to_owned(), pattern: pattern.to_owned() });
        }
        expression
    }
}

fn what(rules: &Rules, rule: u16) -> Option<What> {
    let rule = rules.rules.get(usize::from(rule))?;
    Some(What { rule: rule.name.clone(), action: action(&rule.action), mask: rule.action.mask.clone() })
}

fn what_of(rules: &Rules, name: &str) -> Option<What> {
    let number = rules.rules.iter().position(|rule| rule.name == name)?;
    what(rules, u16::try_from(number).ok()?)
}

fn action(action: &Action) -> &'static str {
    match action.kind {
        ActionKind::Hash => ActionKind::Mask.name(),
        other => other.name(),
    }
}

/// An expression of the `regex` crate for JavaScript, if both mean the same by it.
fn javascript(pattern: &str) -> Option<Expression> {
    let (flags, source) = match pattern.strip_prefix("(?").and_then(|rest| rest.split_once(')')) {
        Some((flags, rest)) if flags.chars().all(|flag| matches!(flag, 'i' | 's' | 'm')) => (flags, rest),
        _ => ("", pattern),
    };
    let source = source.replace("(?P<", "(?<");
    // Flags in the middle, classes within classes, anchors and escapes that only one of the two knows.
    let is_foreign = |at: usize| {
        let rest = source.get(at..).unwrap_or_default();
        let is_flag = rest.starts_with("(?") && !["(?:", "(?<"].iter().any(|known| rest.starts_with(known));
        let foreign =
            ["[[", "[^[", "&&", "--", "~~", "\\A", "\\z", "\\x{", "\\U", "\\a", "\\b{", "\\pL", "\\p", "\\P"];
        is_flag || foreign.iter().any(|foreign| rest.starts_with(foreign))
    };
    if source.char_indices().any(|(at, _)| is_foreign(at)) {
        return None;
    }
    Some(Expression { source, flags: format!("{flags}gu") })
}

fn detector_rule(detector: Detector, what: What) -> ValueRule {
    let (source, flags, check) = detector.javascript();
    ValueRule { expression: Expression { source: source.to_owned(), flags: flags.to_owned() }, check, what }
}
