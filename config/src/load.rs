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
