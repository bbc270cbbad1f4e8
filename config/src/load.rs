//! From sources to a document, step by step.

use crate::{
    document::Document,
    error::{ConfigError, ConfigErrors, ConfigWarning},
    interpolate::interpolate,
    layer,
    source::{self, Sources},
    structure,
};

/// A document that was read without mistakes.
#[derive(Debug)]
pub struct Loaded {
    /// What was configured.
    pub document: Document,
    /// What is allowed and still worth a look.
    pub warnings: Vec<ConfigWarning>,
}

/// Reads, merges, expands and checks a configuration.
///
/// `env` answers with the value of an environment variable; pass
/// [`process_environment`](crate::process_environment) outside of tests. Overrides are always read from the
/// environment of the process, see [`Sources`].
///
/// # Errors
///
/// Returns every mistake that was found. Mistakes in the YAML itself hide those in the structure; all others are found
/// together, and [`ConfigErrors::take_document`] lets the caller go on to the sections.
///
/// ```
/// use watershed_config::{Source, Sources, load};
///
/// let text = "
/// receivers: {otlp: }
/// exporters: {debug: {verbosity: '${env:VERBOSITY:-basic}'}}
/// service:
///   pipelines:
///     logs: {receivers: [otpl], exporters: [debug]}
/// ";
/// let sources = Sources { files: vec![Source::text("deploy.yaml", text)], set: vec![] };
/// let errors = load(&sources, &|_| None).unwrap_err();
/// assert_eq!(
///     errors.to_string(),
///     "deploy.yaml:6:24: service.pipelines.logs.receivers: \
///      receiver `otpl` is not configured; did you mean `otlp`?"
/// );
/// ```
pub fn load(sources: &Sources, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigErrors> {
    load_with(sources, env, &source::overrides_of_process())
}

/// Does the work of [`load`] with the overrides given, so that tests need not change the environment.
fn load_with(
    sources: &Sources,
    env: &dyn Fn(&str) -> Option<String>,
    overrides: &[(String, String)],
) -> Result<Loaded, ConfigErrors> {
    if sources.files.is_empty() {
        return Err(ConfigError::new(None, "", "no configuration given; name a file with `--config`").into());
    }
    let layers = source::layers(sources, env, overrides)
        .or_else(|errors| ConfigErrors::check(errors).map(|()| Vec::new()))?;
    let Some((mut root, mut warnings)) = layer::merge(&layers) else {
        return Err(ConfigError::new(None, "", "nothing is configured").into());
    };
    let mut expansion = interpolate(&mut root, env);
    warnings.append(&mut expansion.warnings);
    let (document, mut errors) = structure::check(root);
    errors.append(&mut expansion.errors);
    match ConfigErrors::check(errors) {
        Ok(()) => Ok(Loaded { document, warnings }),
        Err(errors) => Err(errors.with_document(document)),
    }
}

#[cfg(test)]
mod tests {
    use super::load_with;
    use crate::source::{Source, Sources};

    const TEXT: &str = "
receivers: {otlp: {ports: [1], level: info}}
exporters: {debug: }
service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}}}
";

    fn effective(overrides: &[(&str, &str)], set: &[&str]) -> Result<String, String> {
        let overrides: Vec<_> =
            overrides.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let set = set.iter().map(|argument| (*argument).to_owned()).collect();
        let sources = Sources { files: vec![Source::text("a.yaml", TEXT)], set };
        let loaded = load_with(&sources, &|_| None, &overrides).map_err(|errors| errors.to_string())?;
        Ok(loaded.document.effective(false))
    }

    #[test]
    fn the_environment_wins_over_files_and_set_wins_over_the_environment() {
        let overrides = [("RECEIVERS__OTLP__PORTS", "[2, 3]"), ("RECEIVERS__OTLP__LEVEL", "warn")];
        let text = effective(&overrides, &["receivers.otlp.level=debug"]).unwrap();
        assert!(text.contains("ports:\n      - 2\n      - 3\n    level: debug\n"), "{text}");
    }

    #[test]
    fn mistakes_in_overrides_name_the_variable() {
        let errors = effective(&[("SERVICE__PIPELINES__LOGS__EXPORTERS", "[debgu]"), ("A____B", "1")], &[])
            .unwrap_err();
        assert_eq!(errors, "environment WATERSHED__A____B: a part of the path is empty");
        let errors =
            effective(&[("SERVICE__PIPELINES__LOGS__EXPORTERS", "[debgu]")], &["servce.x=1"]).unwrap_err();
        assert_eq!(
            errors,
            "environment WATERSHED__SERVICE__PIPELINES__LOGS__EXPORTERS: service.pipelines.logs.exporters: \
             exporter `debgu` is not configured; did you mean `debug`?\n\
             --set servce.x: unknown key `servce`; did you mean `service`?"
        );
    }
}
