//! Names of OpenTelemetry's semantic conventions that were replaced, and what replaced them.
//!
//! From the deprecated attributes of the conventions 1.20 to 1.37, as far as one attribute became one other of the same
//! meaning. What was split (`http.target`), depends on the side (`net.peer.name`) or was dropped is left alone.

use watershed_pipeline::{AnyValue, RecordMut, Value};

/// An attribute that got another name.
#[derive(Debug, PartialEq)]
pub(super) struct Rename {
    pub(super) old: &'static str,
    pub(super) new: &'static str,
}

const fn rename(old: &'static str, new: &'static str) -> Rename {
    Rename { old, new }
}

pub(super) static RENAMES: [Rename; 22] = [
    rename("http.method", "http.request.method"),
    rename("http.status_code", "http.response.status_code"),
    rename("http.url", "url.full"),
    rename("http.scheme", "url.scheme"),
    rename("http.client_ip", "client.address"),
    rename("http.user_agent", "user_agent.original"),
    rename("net.peer.ip", "network.peer.address"),
    rename("net.sock.peer.addr", "network.peer.address"),
    rename("net.sock.peer.port", "network.peer.port"),
    rename("net.host.ip", "network.local.address"),
    rename("net.sock.host.addr", "network.local.address"),
    rename("net.sock.host.port", "network.local.port"),
    rename("net.host.name", "server.address"),
    rename("net.host.port", "server.port"),
    rename("net.protocol.name", "network.protocol.name"),
    rename("net.protocol.version", "network.protocol.version"),
    rename("db.statement", "db.query.text"),
    rename("db.operation", "db.operation.name"),
    rename("db.name", "db.namespace"),
    rename("db.sql.table", "db.collection.name"),
    rename("db.system", DB_SYSTEM),
    rename("messaging.operation", "messaging.operation.type"),
];

const DB_SYSTEM: &str = "db.system.name";

/// Values of `db.system` that are written otherwise in `db.system.name`.
const DB_SYSTEMS: [(&str, &str); 9] = [
    ("cosmosdb", "azure.cosmosdb"),
    ("db2", "ibm.db2"),
    ("dynamodb", "aws.dynamodb"),
    ("hanadb", "sap.hana"),
    ("mssql", "microsoft.sql_server"),
    ("oracle", "oracle.db"),
    ("redshift", "aws.redshift"),
    ("spanner", "gcp.spanner"),
    ("firebird", "firebirdsql"),
];

impl Rename {
    /// Moves the value of the attribute, unless there is one under the new name.
    pub(super) fn apply(&self, record: &mut RecordMut<'_>) {
        let Some(value) = record.attribute(self.old).map(|value| self.value(value)) else { return };
        if record.attribute(self.new).is_none() {
            record.set_attribute(self.new, value);
            record.remove_attribute(self.old);
        }
    }

    /// The value under the new name.
    fn value(&self, value: Value<'_>) -> AnyValue {
        let found = DB_SYSTEMS.iter().find(|(old, _)| self.new == DB_SYSTEM && value == Value::Str(old));
        found.map_or_else(|| value.to_any_value(), |(_, new)| AnyValue::from(*new))
    }
}
