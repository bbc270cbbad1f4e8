//! The rules outside of a pipeline: for the command that tries them, and for measuring them.

use watershed_config::{ComponentId, ConfigErrors, Section};
use watershed_pipeline::{Batch, Context, Kind, ProcessorConfig, Signal};

use super::{Config, Redaction, RuleFile, settings};

/// A `redaction` section at work on texts and batches, without a pipeline around it.
pub struct Redactor {
    redaction: Redaction,
    rule_file: RuleFile,
}

impl Redactor {
    /// Compiles the settings of a section.
    ///
    /// # Errors
    /// Returns what is wrong with them, each with its place.
    pub fn new(section: &Section) -> Result<Self, ConfigErrors> {
        let config: Config = section.read()?;
        let wrong = |message| section.build_error(watershed_config::BuildError::new(message));
        let id: ComponentId = Config::TYPE.parse().map_err(wrong)?;
        let cx = Context::detached(Kind::Processor, id);
        let redaction = config.build(&cx).map_err(|error| section.build_error(error))?;
        Ok(Self { rule_file: RuleFile::new(&config, &redaction.rules), redaction })
    }

    /// Applies the rules to a batch.
    pub fn redact_batch(&mut self, batch: &mut Batch) {
        self.redaction.redact(batch);
    }

    /// Applies the rules to a text, as to the body of a log record. None if a rule drops the record.
    pub fn redact_text(&mut self, text: &str) -> Option<String> {
        let mut batch = Batch::builder(Signal::Logs).record(|log| log.set_body(text)).build();
        self.redact_batch(&mut batch);
        let record = batch.logs().next()?;
        Some(record.body().map_or_else(String::new, |body| body.to_text().into_owned()))
    }

    /// The rules that hit so far, with how often.
    pub fn hits(&self) -> impl Iterator<Item = (&str, u64)> {
        let names = self.redaction.rules.rules.iter().map(|rule| rule.name.as_str());
        let names = names.chain([settings::NOT_ALLOWED]);
        let counts = self.redaction.counters.iter().map(watershed_pipeline::Counter::value);
        names.zip(counts).filter(|(_, count)| *count > 0)
    }

    /// The rules in a form that a browser can apply.
    #[must_use]
    pub fn rule_file(&self) -> &RuleFile {
        &self.rule_file
    }
}
