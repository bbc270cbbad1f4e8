//! Hides secrets and personal data: passwords, tokens, keys, card numbers, whatever you name.
//!
//! ```yaml
//! redaction:
//!   keys: [session_id]
//!   values: [credit_card, iban, jwt, bearer_token, private_key, email]
//!   actions: {credit_card: partial}
//!   rules:
//!     - {name: customer_number, patterns: ['CUST-\d{8}'], mask: '[customer]'}
//!     - {name: internal, key_globs: ['internal.*'], action: drop}
//! ```
//!
//! **By key.** A rule for keys means every key whose *last words* are its own, however it is written: `api_key` means
//! `apiKey`, `API-KEY`, `user.api.key` and `http.request.header.x-api-key`. Numbers at the end, and words such as `value`,
//! `old` and `new`, do not count: `password2`, `token_value`. So `token_count`, `tokenizer` and `password_hash` stay. The
//! value goes whatever its type, but for truth values and `null`. Rules of one's own may mean whole keys by globs and regular
//! expressions too. Keys are looked for in attributes, in nested maps at any depth, and in texts: JSON and JSON in JSON,
//! `key=value`, `key: value`, queries of URLs (percent-encoded too), headers.
//!
//! **By value.** What looks like a secret is found wherever it stands, also inside of texts; see `values`. Own expressions are
//! those of the `regex` crate, whose time is linear.
//!
//! **Where.** Bodies, severity texts, event names; names, status messages and trace states of spans, their events and
//! links; names, descriptions and units of metrics; attributes of resources, scopes, records, span events, links, exemplars
//! and metrics; the keys themselves. Bytes are looked at if they are UTF-8. Numbers are left alone unless `redact_all_types` is
//! set. Fields that this program does not know pass unseen.
//!
//! Data points whose attributes become equal stay apart as points of one series: use `hash` where they must be told from
//! one another. A hash is made of the characters as found: `4111 1111` and `41111111` differ.
//!
//! Signals: all. Order: kept. Loss: what `drop` and `drop_record` remove, counted. Memory: the compiled rules. Place it
//! first, before anything that stores, copies or counts. Time: about the same for any number of rules, and linear in the
//! length of texts. Counter: `redaction_hits`, by `rule` and `action` (`dry_run` if nothing is changed). To try rules on text:
//! `watershed redact`. `****` was chosen because the Collector writes it; a value that was hidden before is not hidden again.

mod action;
mod detect;
mod key_words;
mod pair;
mod patterns;
mod redactor;
mod rule_file;
mod rules;
mod settings;
mod summary;
mod sweeper;
mod window;

use std::time::Instant;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, Secret};
use watershed_pipeline::{Batch, Context, Counter, Out, Processor, ProcessorConfig, Unit};

pub use redactor::Redactor;
pub use rule_file::RuleFile;

use action::ActionKind;
use detect::Detector;
use rules::{Hit, Rules};
use settings::{Actions, HashFunction, OwnRule};
use summary::{Notes, Summary};
use sweeper::{KeyLists, Sweeper};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Whether keys that usually hold secrets are meant: `password`, `token`, `secret`, `api_key`, `private_key`,
    /// `authorization`, `cookie`, `credentials` and the like, 41 in all. Default true.
    #[serde(default = "yes")]
    default_keys: bool,
    /// Further keys, by their last words. Default none.
    #[serde(default)]
    keys: Vec<String>,
    /// The known kinds of values that are looked for. Default: those that say so below.
    #[serde(default = "default_values")]
    values: Vec<Detector>,
    /// Rules of one's own, at most 1,000; they go before the others. Default none.
    #[serde(default)]
    rules: Vec<OwnRule>,
    /// What is done about hits. Default `mask`, or `hash` if `hash_function` is set.
    #[serde(default)]
    action: Option<ActionKind>,
    /// What is done about the hits of single rules, by name: `keys`, a kind of `values`, a rule of one's own,
    /// `blocked_values`, `blocked_key_patterns`. Default: `action`.
    #[serde(default)]
    actions: Actions,
    /// What is put in place of what is hidden. Default `****`.
    #[serde(default = "mask")]
    mask: String,
    /// The key of `hash`, at least 16 characters. Whoever has it can check guesses; whoever changes it can no longer join old
    /// values with new ones. No default.
    #[serde(default, alias = "hmac_key")]
    hash_key: Option<Secret>,
    /// Makes `hash` the default action. Default: not set.
    #[serde(default)]
    hash_function: Option<HashFunction>,
    /// Counts what would be hidden, and hides nothing. Default false.
    #[serde(default)]
    dry_run: bool,
    /// The only attributes that stay, by their whole keys; others are removed. Nested keys are not looked up. Default: all.
    #[serde(default)]
    allowed_keys: Vec<String>,
    /// `false` without `allowed_keys` removes every attribute, as in the Collector. Default: true without `allowed_keys`,
    /// otherwise false.
    #[serde(default)]
    allow_all_keys: Option<bool>,
    /// Keys whose values stay as they are. Default none.
    #[serde(default)]
    ignored_keys: Vec<String>,
    /// Regular expressions for such keys. Default none.
    #[serde(default)]
    ignored_key_patterns: Vec<String>,
    /// Regular expressions for keys whose values are hidden. Default none.
    #[serde(default)]
    blocked_key_patterns: Vec<String>,
    /// Regular expressions for values that are hidden. Default none.
    #[serde(default)]
    blocked_values: Vec<String>,
    /// Regular expressions for found values that stay, such as the card numbers of a test shop. The Collector holds them
    /// against the whole text, watershed against the found characters. Default none.
    #[serde(default)]
    allowed_values: Vec<String>,
    /// Whether numbers and truth values are looked at like texts. Default false.
    #[serde(default)]
    redact_all_types: bool,
    /// What records tell about what was done to them. Default `silent`.
    #[serde(default)]
    summary: Summary,
}

fn yes() -> bool {
    true
}

fn default_values() -> Vec<Detector> {
    Detector::ALL.into_iter().filter(|detector| detector.is_default()).collect()
}

fn mask() -> String {
    "****".to_owned()
}

impl ProcessorConfig for Config {
    const TYPE: &'static str = "redaction";
    const SOURCE: &'static str = include_str!("redaction.rs");
    type Processor = Redaction;

    fn build(&self, cx: &Context) -> Result<Redaction, BuildError> {
        let (rules, lists) = self.compile()?;
        let counter = |name: &str, action: ActionKind| {
            let action = if self.dry_run { "dry_run" } else { action.name() };
            let labels = [("rule", name), ("action", action)];
            cx.labelled_counter("redaction_hits", Unit::Values, "Values found by a rule", &labels)
        };
        let own = rules.rules.iter().map(|rule| counter(&rule.name, rule.action.kind));
        let not_allowed = std::iter::once(counter(settings::NOT_ALLOWED, ActionKind::Drop));
        let counters: Vec<Counter> = own.chain(not_allowed).collect();
        Ok(Redaction {
            counts: vec![0; counters.len()],
            counters,
            rules,
            lists,
            dry_run: self.dry_run,
            all_types: self.redact_all_types,
            summary: self.summary,
            hits: Vec::new(),
        })
    }
}

pub(crate) struct Redaction {
    rules: Rules,
    lists: KeyLists,
    dry_run: bool,
    all_types: bool,
    summary: Summary,
    /// The published counters, one for each rule and one for keys that are not allowed.
    counters: Vec<Counter>,
    /// What the batch in hand adds to them.
    counts: Vec<u64>,
    hits: Vec<Hit>,
}

impl Redaction {
    fn redact(&mut self, batch: &mut Batch) {
        batch.sweep(&mut Sweeper {
            rules: &self.rules,
            lists: &self.lists,
            dry_run: self.dry_run,
            all_types: self.all_types,
            counts: &mut self.counts,
            hits: &mut self.hits,
            notes: Notes::new(self.summary),
            drops: false,
        });
        for (counter, count) in self.counters.iter().zip(&mut self.counts) {
            counter.add(std::mem::take(count));
        }
    }
}

impl Processor for Redaction {
    fn process(&mut self, mut batch: Batch, _now: Instant, out: &mut Out) {
        self.redact(&mut batch);
        out.push(batch);
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
