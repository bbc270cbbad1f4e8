//! The settings made into rules.

use std::collections::{BTreeMap, HashSet};

use regex::{RegexSet, RegexSetBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, suggest};

use super::Config;
use super::action::{Action, ActionKind};
use super::detect::Detector;
use super::key_words::KeyWords;
use super::patterns::{self, Patterns};
use super::rules::{KeyPatterns, Rule, Rules};
use super::sweeper::KeyLists;
use super::window::Filter;

/// The last words of keys that mean a secret, unless `default_keys` is off.
pub(super) const DEFAULT_KEYS: [&str; 41] = [
    "password",
    "passwords",
    "passwd",
    "pwd",
    "passphrase",
    "passcode",
    "token",
    "access_token",
    "access_tokens",
    "refresh_token",
    "refresh_tokens",
    "id_token",
    "session_token",
    "csrf_token",
    "secret",
    "secrets",
    "client_secret",
    "api_key",
    "api_keys",
    "secret_key",
    "access_key",
    "private_key",
    "encryption_key",
    "signing_key",
    "master_key",
    "shared_key",
    "account_key",
    "session_key",
    "ssh_key",
    "credential",
    "credentials",
    "authorization",
    "proxy_authorization",
    "cookie",
    "cookies",
    "set_cookie",
    "cvv",
    "cvc",
    "otp",
    "card_number",
    "social_security_number",
];

/// The rule of keys given by words.
const KEYS: &str = "keys";
const BLOCKED_KEY_PATTERNS: &str = "blocked_key_patterns";
const BLOCKED_VALUES: &str = "blocked_values";
/// The name under which attributes removed by `allowed_keys` are counted.
pub(super) const NOT_ALLOWED: &str = "allowed_keys";
/// How many rules of one's own there may be.
const RULES_MAX: usize = 1_000;
/// Room for the compiled expressions of one list, in bytes.
const SET_SIZE_MAX: usize = 10 << 20;

/// A rule of one's own.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnRule {
    /// The name by which its hits are counted, and by which `actions` calls it. Required.
    pub(super) name: String,
    /// Last words of keys that are meant, as in `keys`.
    #[serde(default)]
    keys: Vec<String>,
    /// Whole keys that are meant; `*` stands for any characters, `?` for one. Case does not matter.
    #[serde(default)]
    pub(super) key_globs: Vec<String>,
    /// Regular expressions for keys that are meant.
    #[serde(default)]
    pub(super) key_patterns: Vec<String>,
    /// Regular expressions for values that are meant, wherever they stand in a text.
    #[serde(default)]
    pub(super) patterns: Vec<String>,
    /// What is done about it. Default: `action` of the processor.
    #[serde(default)]
    action: Option<ActionKind>,
    /// Default: `mask` of the processor.
    #[serde(default)]
    mask: Option<String>,
}

/// How values are hashed. The Collector's weaker functions are refused: what they hide can be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(super) enum HashFunction {
    /// HMAC-SHA-256 with `hash_key`.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
}

/// Rules in the making.
struct Compiler<'a> {
    config: &'a Config,
    rules: Vec<Rule>,
    key_words: KeyWords,
    key_patterns: Vec<(String, String, u16)>,
    patterns: Vec<(String, &'a str, u16)>,
}

impl Config {
    pub(super) fn compile(&self) -> Result<(Rules, KeyLists), BuildError> {
        if self.rules.len() > RULES_MAX {
            let told = format!("has {} rules; at most {RULES_MAX} are allowed", self.rules.len());
            return Err(BuildError::at("rules", told));
        }
        let mut compiler = Compiler {
            config: self,
            rules: Vec::new(),
            key_words: KeyWords::default(),
            key_patterns: Vec::new(),
            patterns: Vec::new(),
        };
        compiler.own_rules()?;
        compiler.keys()?;
        let detectors = compiler.detectors()?;
        compiler.collector_lists()?;
        self.check_names(&compiler.rules)?;
        let rules = compiler.finish(detectors)?;
        check_masks(&rules)?;
        Ok((rules, self.lists()?))
    }

    /// The only keys that stay, if there is such a list.
    pub(super) fn allow_list(&self) -> Option<&[String]> {
        let is_closed = self.allow_all_keys.map_or(!self.allowed_keys.is_empty(), |all| !all);
        is_closed.then_some(self.allowed_keys.as_slice())
    }

    fn lists(&self) -> Result<KeyLists, BuildError> {
        Ok(KeyLists {
            ignored: self.ignored_keys.iter().cloned().collect(),
            ignored_patterns: set("ignored_key_patterns", &self.ignored_key_patterns)?,
            allowed: self.allow_list().map(|keys| keys.iter().cloned().collect::<HashSet<_>>()),
        })
    }

    /// Every name in `actions` must be that of a rule.
    fn check_names(&self, rules: &[Rule]) -> Result<(), BuildError> {
        let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        let Some(wrong) = self.actions.keys().find(|name| !names.contains(&name.as_str())) else {
            return Ok(());
        };
        let close = suggest(wrong, names.iter().copied())
            .map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        Err(BuildError::at("actions", format!("there is no rule `{wrong}` at work{close}")))
    }

    /// The default action: that of the settings.
    fn default_action(&self) -> ActionKind {
        let hash = self.hash_function.map(|_| ActionKind::Hash);
        self.action.or(hash).unwrap_or_default()
    }

    fn action(&self, name: &str, own: Option<&OwnRule>, path: &str) -> Result<Action, BuildError> {
        let kind = self.actions.get(name).copied().or(own.and_then(|own| own.action));
        let kind = kind.unwrap_or_else(|| self.default_action());
        let mask = own.and_then(|own| own.mask.as_ref()).unwrap_or(&self.mask).clone();
        if mask.contains(|letter: char| letter.is_control() || matches!(letter, '"' | '\'' | '\\' | '&'))
            || mask.is_empty()
        {
            let told = format!(
                "`{mask}` could break the JSON or URL around it; use letters, digits, `*`, `[` and the like"
            );
            return Err(BuildError::at(
                if path.is_empty() { "mask".into() } else { format!("{path}.mask") },
                told,
            ));
        }
        let hash_key = self.hash_key.as_ref().map(|key| key.expose().as_bytes().to_vec());
        if kind == ActionKind::Hash && hash_key.as_ref().is_none_or(|key| key.len() < 16) {
            let told = "`hash` needs a key of at least 16 characters, such as `${env:REDACTION_KEY}`: without one, whoever \
                        guesses a value can check the guess";
            return Err(BuildError::at("hash_key", told));
        }
        Ok(Action { kind, mask, hash_key: hash_key.unwrap_or_default() })
    }
}

impl<'a> Compiler<'a> {
    /// Adds a rule and returns its number.
    fn rule(&mut self, name: &str, own: Option<&OwnRule>, path: &str) -> Result<u16, BuildError> {
        if self.rules.iter().any(|rule| rule.name == name) || name == NOT_ALLOWED {
            return Err(BuildError::at(
                format!("{path}.name"),
                format!("`{name}` is the name of another rule"),
            ));
        }
        let action = self.config.action(name, own, path)?;
        self.rules.push(Rule { name: name.to_owned(), action });
        u16::try_from(self.rules.len() - 1).map_err(|_| BuildError::at("rules", "too many rules"))
    }

    fn own_rules(&mut self) -> Result<(), BuildError> {
        let config = self.config;
        for (index, own) in config.rules.iter().enumerate() {
            let path = format!("rules[{index}]");
            check_name(&own.name, &path)?;
            let number = self.rule(&own.name, Some(own), &path)?;
            self.key_words(&own.keys, number, &format!("{path}.keys"))?;
            for glob in &own.key_globs {
                self.key_patterns.push((format!("{path}.key_globs"), glob_pattern(glob), number));
            }
            for pattern in &own.key_patterns {
                self.key_patterns.push((format!("{path}.key_patterns"), pattern.clone(), number));
            }
            let patterns =
                own.patterns.iter().map(|pattern| (format!("{path}.patterns"), pattern.as_str(), number));
            self.patterns.extend(patterns);
            let lists = [&own.keys, &own.key_globs, &own.key_patterns, &own.patterns];
            if lists.iter().all(|list| list.is_empty()) {
                let told = "means nothing; add `keys`, `key_globs`, `key_patterns` or `patterns`";
                return Err(BuildError::at(path, told));
            }
        }
        Ok(())
    }

    fn key_words(&mut self, keys: &[String], number: u16, path: &str) -> Result<(), BuildError> {
        for key in keys {
            if !key.bytes().any(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80) {
                return Err(BuildError::at(
                    path,
                    format!("`{key}` has no letters; write the last words of a key"),
                ));
            }
            self.key_words.add(key, number);
        }
        Ok(())
    }

    fn keys(&mut self) -> Result<(), BuildError> {
        let defaults = DEFAULT_KEYS.iter().filter(|_| self.config.default_keys).map(|key| (*key).to_owned());
        let keys: Vec<String> = self.config.keys.iter().cloned().chain(defaults).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let number = self.rule(KEYS, None, "")?;
        self.key_words(&keys, number, KEYS)
    }

    fn detectors(&mut self) -> Result<Vec<(Detector, u16)>, BuildError> {
        let mut detectors = Vec::new();
        for detector in Detector::ALL {
            if self.config.values.contains(&detector) {
                detectors.push((detector, self.rule(detector.name(), None, "")?));
            }
        }
        Ok(detectors)
    }

    fn collector_lists(&mut self) -> Result<(), BuildError> {
        let config = self.config;
        if !config.blocked_key_patterns.is_empty() {
            let number = self.rule(BLOCKED_KEY_PATTERNS, None, "")?;
            let patterns = config.blocked_key_patterns.iter();
            self.key_patterns
                .extend(patterns.map(|pattern| (BLOCKED_KEY_PATTERNS.to_owned(), pattern.clone(), number)));
        }
        if !config.blocked_values.is_empty() {
            let number = self.rule(BLOCKED_VALUES, None, "")?;
            let patterns = config.blocked_values.iter();
            self.patterns
                .extend(patterns.map(|pattern| (BLOCKED_VALUES.to_owned(), pattern.as_str(), number)));
        }
        Ok(())
    }

    fn finish(self, detectors: Vec<(Detector, u16)>) -> Result<Rules, BuildError> {
        for (path, source, _) in &self.key_patterns {
            patterns::regex(path, source)?;
        }
        let sources: Vec<String> = self.key_patterns.iter().map(|(_, source, _)| source.clone()).collect();
        let key_patterns = set("rules", &sources)?.map(|set| KeyPatterns {
            set,
            rules: self.key_patterns.iter().map(|(_, _, number)| *number).collect(),
        });
        let mut rules = Rules {
            rules: self.rules,
            filter: Filter::new(),
            detectors,
            buckets: Vec::new(),
            key_words: self.key_words,
            key_patterns,
            patterns: Patterns::compile(&self.patterns)?,
            allowed_values: set("allowed_values", &self.config.allowed_values)?,
        };
        rules.fill_filter();
        Ok(rules)
    }
}

/// The rules' names are labels of counters.
fn check_name(name: &str, path: &str) -> Result<(), BuildError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_plain) {
        let told = format!("`{name}` is no name; use up to 64 letters, digits, `_`, `-` and `.`");
        return Err(BuildError::at(format!("{path}.name"), told));
    }
    Ok(())
}

/// What is put in must not be found again.
fn check_masks(rules: &Rules) -> Result<(), BuildError> {
    for rule in &rules.rules {
        let mut hits = Vec::new();
        rules.find_all(rule.action.mask.as_bytes(), &mut hits);
        if let Some(found) = hits.first().and_then(|hit| rules.rules.get(usize::from(hit.rule))) {
            let told = format!(
                "`{}` is itself found by the rule `{}`; choose another text",
                rule.action.mask, found.name
            );
            return Err(BuildError::at("mask", told));
        }
    }
    Ok(())
}

/// Compiles expressions that are asked together; none if there are none.
fn set(path: &str, sources: &[String]) -> Result<Option<RegexSet>, BuildError> {
    if sources.is_empty() {
        return Ok(None);
    }
    for source in sources {
        patterns::regex(path, source)?;
    }
    let set = RegexSetBuilder::new(sources).size_limit(SET_SIZE_MAX).build();
    set.map(Some).map_err(|_| BuildError::at(path, "the expressions are too large together; simplify them"))
}

/// A glob as a regular expression.
pub(super) fn glob_pattern(glob: &str) -> String {
    let of = |letter: char| match letter {
        '*' => ".*".to_owned(),
        '?' => ".".to_owned(),
        other => regex::escape(&other.to_string()),
    };
    format!("(?is)^{}$", glob.chars().map(of).collect::<String>())
}

/// The actions of rules by name, as they are configured.
pub(super) type Actions = BTreeMap<String, ActionKind>;
