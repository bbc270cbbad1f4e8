//! Extensions: components that no data flows through, and that others use by id.
//!
//! The settings type is the factory, as for the other components ([`ExtensionConfig`]); what it builds is a set of
//! things to offer ([`Extension`]): an authenticator for servers, one for clients, a place for queues. Extensions are
//! built before all other components, which find them through [`Context::extensions`]. One is in use only if
//! `service.extensions` names it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use watershed_config::{BuildError, ComponentId, suggest};

use crate::auth::{ClientAuthenticator, Nobody, ServerAuthenticator};
use crate::context::Context;

/// Names listed in an error at most.
const SHOWN_MAX: usize = 20;

/// The settings of an extension.
pub trait ExtensionConfig: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// File name, YAML key and heading of the manual.
    const TYPE: &'static str;
    /// Other names that configuration files may use.
    const ALIASES: &'static [&'static str] = &[];
    /// The text of the component's source file, whose module comment is its page in the manual.
    const SOURCE: &'static str;

    /// Makes what the extension offers. Files that it needs are read here; nothing is bound and nobody is asked.
    ///
    /// # Errors
    /// Names the field, the value and the fix.
    fn build(&self, cx: &Context) -> Result<Extension, BuildError>;
}

/// What an extension offers to other components.
#[derive(Clone, Default)]
pub struct Extension {
    server_authenticator: Option<Arc<dyn ServerAuthenticator>>,
    client_authenticator: Option<Arc<dyn ClientAuthenticator>>,
    storage: Option<PathBuf>,
}

impl Extension {
    /// Offers nothing to other components.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers to find out who sends.
    #[must_use]
    pub fn with_server_authenticator(mut self, authenticator: Arc<dyn ServerAuthenticator>) -> Self {
        self.server_authenticator = Some(authenticator);
        self
    }

    /// Offers to say who we are.
    #[must_use]
    pub fn with_client_authenticator(mut self, authenticator: Arc<dyn ClientAuthenticator>) -> Self {
        self.client_authenticator = Some(authenticator);
        self
    }

    /// Offers a directory for queues.
    #[must_use]
    pub fn with_storage(mut self, directory: PathBuf) -> Self {
        self.storage = Some(directory);
        self
    }
}

/// The extensions of a configuration.
#[derive(Default)]
pub struct Extensions(BTreeMap<ComponentId, State>);

/// What is known of an extension.
enum State {
    /// It is in use.
    On(Extension),
    /// `service.extensions` does not name it.
    Off(Extension),
    /// Its settings have mistakes, which were told; no process will start with it.
    Broken,
}

impl Extensions {
    /// Adds an extension that is in use; for tests of components that name one.
    #[must_use]
    pub fn with(mut self, id: ComponentId, extension: Extension) -> Self {
        self.insert(id, extension, true);
        self
    }

    /// Adds an extension.
    pub(crate) fn insert(&mut self, id: ComponentId, extension: Extension, is_on: bool) {
        self.0.insert(id, if is_on { State::On(extension) } else { State::Off(extension) });
    }

    /// Adds an extension that could not be built.
    pub(crate) fn insert_broken(&mut self, id: ComponentId) {
        self.0.insert(id, State::Broken);
    }

    /// The extension of this id as one that finds out who sends.
    ///
    /// # Errors
    /// Says why it cannot be used as that, and what to do.
    pub fn server_authenticator(&self, id: &ComponentId) -> Result<Arc<dyn ServerAuthenticator>, String> {
        let pick = |extension: &Extension| extension.server_authenticator.clone();
        Ok(self.find(id, "is no authenticator for servers", pick)?.unwrap_or_else(|| Arc::new(Nobody)))
    }

    /// The extension of this id as one that says who we are.
    ///
    /// # Errors
    /// Says why it cannot be used as that, and what to do.
    pub fn client_authenticator(&self, id: &ComponentId) -> Result<Arc<dyn ClientAuthenticator>, String> {
        let pick = |extension: &Extension| extension.client_authenticator.clone();
        Ok(self.find(id, "is no authenticator for clients", pick)?.unwrap_or_else(|| Arc::new(Nobody)))
    }

    /// The directory of the extension of this id.
    ///
    /// # Errors
    /// Says why it cannot be used as that, and what to do.
    pub fn storage(&self, id: &ComponentId) -> Result<PathBuf, String> {
        let pick = |extension: &Extension| extension.storage.clone();
        Ok(self.find(id, "is no storage", pick)?.unwrap_or_default())
    }

    /// The directories of all extensions that are in use and offer one.
    pub fn storages(&self) -> impl Iterator<Item = &Path> {
        self.0.values().filter_map(|state| match state {
            State::On(extension) => extension.storage.as_deref(),
            State::Off(_) | State::Broken => None,
        })
    }

    /// What an extension offers; nothing if its own mistakes were told before.
    fn find<T>(
        &self,
        id: &ComponentId,
        lacks: &str,
        pick: impl Fn(&Extension) -> Option<T>,
    ) -> Result<Option<T>, String> {
        match self.0.get(id) {
            Some(State::Broken) => return Ok(None),
            Some(State::On(extension)) => {
                if let Some(found) = pick(extension) {
                    return Ok(Some(found));
                }
            }
            Some(State::Off(extension)) if pick(extension).is_some() => {
                return Err(format!(
                    "the extension `{id}` is not switched on; add it to `service.extensions`"
                ));
            }
            Some(State::Off(_)) | None => {}
        }
        let suitable = self.0.iter().filter(|(_, state)| match state {
            State::On(extension) | State::Off(extension) => pick(extension).is_some(),
            State::Broken => false,
        });
        let names: Vec<String> = suitable.map(|(id, _)| id.to_string()).take(SHOWN_MAX).collect();
        let near = suggest(&id.to_string(), names.iter().map(String::as_str));
        let what = if self.0.contains_key(id) { lacks } else { "is not configured" };
        let advice = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => "add one under `extensions`".to_owned(),
            None => format!("use one of: {}", names.join(", ")),
        };
        Err(format!("the extension `{id}` {what}; {advice}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ComponentId {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check_refused(extensions: &Extensions, wanted: &str, expected: &str) {
        assert_eq!(extensions.server_authenticator(&id(wanted)).err().as_deref(), Some(expected));
    }

    #[test]
    fn what_cannot_be_used_is_explained() {
        let mut extensions = Extensions::default();
        check_refused(
            &extensions,
            "basicauth",
            "the extension `basicauth` is not configured; add one under `extensions`",
        );
        let both =
            Extension::new().with_server_authenticator(Arc::new(Nobody)).with_storage(PathBuf::from("/q"));
        extensions.insert(id("keys/a"), both.clone(), true);
        extensions.insert(id("keys/off"), both, false);
        extensions.insert(id("plain"), Extension::new(), true);
        extensions.insert_broken(id("broken"));
        for wanted in ["keys/a", "broken"] {
            assert!(extensions.server_authenticator(&id(wanted)).is_ok(), "{wanted}");
        }
        check_refused(
            &extensions,
            "keys/of",
            "the extension `keys/of` is not configured; did you mean `keys/off`?",
        );
        check_refused(
            &extensions,
            "keys/off",
            "the extension `keys/off` is not switched on; add it to `service.extensions`",
        );
        check_refused(
            &extensions,
            "plain",
            "the extension `plain` is no authenticator for servers; use one of: keys/a, keys/off",
        );
        assert!(extensions.client_authenticator(&id("keys/a")).is_err());
        assert_eq!(extensions.storage(&id("keys/a")), Ok(PathBuf::from("/q")));
        assert_eq!(extensions.storages().collect::<Vec<_>>(), [Path::new("/q")]);
    }
}
