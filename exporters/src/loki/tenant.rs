//! Whose log a record goes to: the value of `X-Scope-OrgID`.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;
use watershed_pipeline::{Metadata, Record, Value};

use super::value::text;

/// The header in which Loki takes the tenant.
pub(super) const HEADER: &str = "x-scope-orgid";

/// The longest name of a tenant, in bytes (`tenant.ValidTenantID` of grafana/dskit).
const SIZE_MAX: usize = 150;

/// Where the tenant's name comes from: the attribute, else the header of the request that brought the record, else `id`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TenantSettings {
    /// The tenant of records for which nothing else names one. Default none: no header is sent.
    id: Option<String>,
    /// An attribute of the record, else of its resource, that names the tenant.
    attribute: Option<String>,
    /// A header of the request that brought the record, such as `x-scope-orgid`. The receiver must keep it
    /// (`include_metadata`).
    header: Option<String>,
}

/// The attribute holds something that is no tenant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid;

impl TenantSettings {
    /// Checks the fixed name.
    ///
    /// # Errors
    /// Says what a tenant may be called.
    pub(super) fn check(&self) -> Result<(), BuildError> {
        match &self.id {
            Some(id) if !is_valid(id) => {
                let message = format!(
                    "`{}` is no tenant; use up to {SIZE_MAX} letters, digits and !-_.*'()",
                    id.escape_debug()
                );
                Err(BuildError::at("tenant.id", message))
            }
            _ => Ok(()),
        }
    }

    /// Whether records choose their tenant themselves.
    pub(super) fn varies(&self) -> bool {
        self.attribute.is_some() || self.header.is_some()
    }

    /// The tenant of records for which nothing else names one.
    pub(super) fn id(&self) -> Option<Arc<str>> {
        self.id.as_deref().map(Arc::from)
    }

    /// The tenant of a record, if it has one.
    ///
    /// # Errors
    /// What names the tenant is no tenant; to send the record to another would show it to the wrong people.
    pub(super) fn of<'r>(
        &'r self,
        record: Record<'r>,
        sender: Option<&'r Metadata>,
    ) -> Result<Option<Cow<'r, str>>, Invalid> {
        let named = self.attribute.as_deref().and_then(|key| {
            let value = record.attribute(key).or_else(|| record.resource().attribute(key));
            value.filter(|value| *value != Value::Empty).map(|value| lossless(text(value)))
        });
        let header = || Some(sender?.values(self.header.as_deref()?).next()?.into());
        match named.or_else(header) {
            Some(name) if is_valid(&name) => Ok(Some(name)),
            Some(_) => Err(Invalid),
            None => Ok(self.id.as_deref().map(Cow::Borrowed)),
        }
    }
}

/// Texts of values are UTF-8; what is not would be no tenant either.
fn lossless(text: Cow<'_, [u8]>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => String::from_utf8(bytes).unwrap_or_default().into(),
    }
}

/// The rules of `tenant.ValidTenantID` of grafana/dskit.
fn is_valid(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_.*'()".contains(&byte);
    (1..=SIZE_MAX).contains(&name.len()) && name.bytes().all(is_allowed) && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;
    use watershed_pipeline::{Batch, Signal};

    fn settings() -> TenantSettings {
        TenantSettings {
            id: Some("rest".into()),
            attribute: Some("tenant".into()),
            header: Some("X-Scope-OrgID".into()),
        }
    }

    #[track_caller]
    fn check(own: &str, resource: &str, header: &str, expected: Result<Option<&str>, Invalid>) {
        let present = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let batch = Batch::builder(Signal::Logs)
            .resource(|attributes| {
                present(resource).iter().for_each(|name| attributes.set_attribute("tenant", name.as_str()));
            })
            .record(|log| present(own).iter().for_each(|name| log.set_attribute("tenant", name.as_str())))
            .build();
        let headers = present(header).map(|value| ("x-scope-orgid".to_owned(), value));
        let sender = Metadata::new(headers, None);
        let settings = settings();
        let found = settings.of(batch.records().next().unwrap(), Some(&sender));
        assert_eq!(found.map(|name| name.map(Cow::into_owned)), expected.map(|name| name.map(str::to_owned)));
    }

    #[test]
    fn the_nearest_name_wins() {
        check("a", "b", "c", Ok(Some("a")));
        check("", "b", "c", Ok(Some("b")));
        check("", "", "c", Ok(Some("c")));
        check("", "", "", Ok(Some("rest")));
    }

    #[test]
    fn what_is_no_tenant_goes_to_nobody_else() {
        check("a|b", "b", "c", Err(Invalid));
        check("..", "", "", Err(Invalid));
        check(&"x".repeat(151), "", "", Err(Invalid));
        let wrong = TenantSettings { id: Some("a/b".into()), ..TenantSettings::default() };
        assert!(wrong.check().unwrap_err().to_string().contains("tenant.id: `a/b` is no tenant"));
    }
}
