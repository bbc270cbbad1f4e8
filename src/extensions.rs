//! The extensions that come with the program: one file each, one visible list [`ALL`].
//!
//! They stand here and not in a component crate because receivers and exporters use the same ones, and those crates
//! refuse to know each other; what they offer is a contract of `watershed-pipeline`. Shared by several of them:
//! `extensions/credentials.rs` (a header with credentials) and `extensions/source.rs` (a text that may be a file).

mod apikey;
mod basicauth;
mod bearertokenauth;
mod credentials;
mod file_storage;
mod health_check;
mod source;

use std::path::PathBuf;

use watershed_config::{ComponentId, Document};
use watershed_pipeline::{ExtensionConfig, ExtensionFactory, extension};

pub(crate) use health_check::Config as HealthCheck;

/// Every extension, in the order of the manual.
pub(crate) static ALL: &[ExtensionFactory] = &[
    extension::<health_check::Config>(),
    extension::<bearertokenauth::Config>(),
    extension::<basicauth::Config>(),
    extension::<apikey::Config>(),
    extension::<file_storage::Config>(),
];

/// The directories of extensions that are switched on and offer one.
pub(crate) fn file_storages(document: &Document) -> Vec<PathBuf> {
    read_all(document).map(file_storage::Config::into_directory).collect()
}

/// The health checks that are switched on and have no mistakes, which the registry tells.
pub(crate) fn health_checks(document: &Document) -> Vec<HealthCheck> {
    read_all(document).collect()
}

/// The settings of the extensions of a type that are switched on and have no mistakes.
fn read_all<C: ExtensionConfig>(document: &Document) -> impl Iterator<Item = C> {
    let is_on = |id: &ComponentId| document.service.extensions.iter().any(|on| on.value == *id);
    let of_type = document.extensions.iter().filter(move |(id, _)| id.kind() == C::TYPE && is_on(id));
    of_type.filter_map(|(_, section)| section.read().ok())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_extension_keeps_the_contract() {
        assert_eq!(watershed_pipeline::testing::contract::extensions(super::ALL), Ok(()));
    }
}
