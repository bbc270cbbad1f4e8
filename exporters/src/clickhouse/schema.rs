//! Creates the tables that are not there, and brings those that were created here before up to date.
//!
//! A table is ours if a version of it is written down ([`versions`](super::versions)). All others are somebody else's, for
//! instance the Collector's, and are never altered. A version is written down after the statement that made it, so that
//! a crash in between leaves a table of ours that is taken for somebody else's: it works, and stays as it is.
//!
//! Several processes may do all of this at the same time: each statement does nothing where it has been done, and of
//! versions written down twice the highest counts.

use reqwest::Url;

use super::server::failure;
use super::tables::{Creation, Naming, Table, literal, literals};
use super::verdict::Failure;
use super::versions::{Recorded, SCHEMA_VERSIONS};

/// ClickHouse's number for a right that is missing.
const ACCESS_DENIED: u32 = 497;

/// One server on which there should be tables.
pub(super) struct Schema<'a> {
    pub(super) session: &'a clickhouse::Client,
    pub(super) url: &'a Url,
    pub(super) naming: &'a Naming,
}

/// What was found for a table and its companions.
struct Found {
    existing: Vec<String>,
    recorded: Vec<Recorded>,
}

/// Why a table could not be made ready.
pub(super) enum Unready {
    /// A newer program has changed it, with what to do about it.
    Newer(String),
    /// A statement failed. The table may be there all the same.
    Failed(Failure),
}

impl From<Failure> for Unready {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Schema<'_> {
    /// Makes a table ready, with what belongs to it.
    pub(super) async fn prepare(&self, table: Table) -> Result<(), Unready> {
        let creations = self.creations(table).await?;
        let found = self.find(&creations).await?;
        if let Some(reason) = found.refusal(self.naming, table) {
            return Err(Unready::Newer(reason));
        }
        Ok(self.carry_out(table, &creations, &found).await.map_err(with_way_out)?)
    }

    /// Why the table cannot be used, if a newer program has changed it. Nothing is written.
    ///
    /// # Errors
    /// The server's answer.
    pub(super) async fn refusal(&self, table: Table) -> Result<Option<String>, Failure> {
        let creations = self.creations(table).await?;
        Ok(self.find(&creations).await?.refusal(self.naming, table))
    }

    async fn creations(&self, table: Table) -> Result<Vec<Creation>, Failure> {
        let query = "SELECT version()";
        let version: String = self.session.query_raw(query).fetch_one().await.map_err(self.sort())?;
        Ok(self.naming.create(table, number_of(&version)))
    }

    async fn find(&self, creations: &[Creation]) -> Result<Found, Failure> {
        let mut names: Vec<&str> = creations.iter().map(|creation| creation.name.as_str()).collect();
        names.push(SCHEMA_VERSIONS);
        let existing = self.existing(&names).await?;
        if !existing.iter().any(|name| name == SCHEMA_VERSIONS) {
            return Ok(Found { existing, recorded: Vec::new() });
        }
        let query = self.naming.versions_of(&names);
        let rows = self.session.query_raw(&query).fetch_all::<(String, u32, String)>().await;
        let recorded = |(table, version, applied_by)| Recorded { table, version, applied_by };
        Ok(Found { existing, recorded: rows.map_err(self.sort())?.into_iter().map(recorded).collect() })
    }

    /// Which of these tables and views there are.
    async fn existing(&self, names: &[&str]) -> Result<Vec<String>, Failure> {
        let query = format!(
            "SELECT name FROM system.tables WHERE database = {} AND name IN ({})",
            literal(&self.naming.database),
            literals(names)
        );
        self.session.query_raw(&query).fetch_all().await.map_err(self.sort())
    }

    /// Creates what is not there, writes it down, and adds what was added since.
    async fn carry_out(&self, table: Table, creations: &[Creation], found: &Found) -> Result<(), Failure> {
        let is_complete = creations.iter().all(|creation| found.exists(&creation.name));
        // One server does not know what there is on the others of a cluster.
        if !is_complete || !self.naming.cluster.is_empty() {
            self.create_database().await?;
            self.execute(&self.naming.create_versions()).await?;
            for creation in creations {
                self.create(creation, found).await?;
            }
        }
        let name = self.naming.name(table);
        let version = if found.exists(name) { found.version(name) } else { Some(1) };
        let Some(version) = version else { return Ok(()) };
        for migration in self.naming.missing(table, version) {
            self.execute(&self.naming.alter(migration)).await?;
            self.execute(&self.naming.record(name, migration.version)).await?;
            tracing::info!(table = name, version = migration.version, "table brought up to date");
        }
        Ok(())
    }

    /// Creates the database if it is not there. Who may create tables in it need not have the right to create it.
    async fn create_database(&self) -> Result<(), Failure> {
        let Some(statement) = self.naming.create_database() else { return Ok(()) };
        let database = literal(&self.naming.database);
        let query = format!("SELECT name FROM system.databases WHERE name = {database}");
        let there: Vec<String> = self.session.query_raw(&query).fetch_all().await.map_err(self.sort())?;
        if there.is_empty() || !self.naming.cluster.is_empty() {
            self.execute(&statement).await?;
        }
        Ok(())
    }

    async fn create(&self, creation: &Creation, found: &Found) -> Result<(), Failure> {
        let Creation { name, statement, is_view } = creation;
        let exists = found.exists(name);
        if exists && self.naming.cluster.is_empty() {
            return Ok(());
        }
        self.execute(statement).await?;
        if exists || *is_view {
            return Ok(());
        }
        if self.existing(&[name]).await?.is_empty() {
            // ClickHouse creates no table in the place of a detached one and calls it a success.
            let name = self.naming.qualified(name);
            return Err(Failure::person(format!(
                "table {name} is not there and cannot be created; if somebody has detached it, run ATTACH TABLE {name}"
            )));
        }
        self.execute(&self.naming.record(name, 1)).await
    }

    async fn execute(&self, statement: &str) -> Result<(), Failure> {
        let session = self.session.clone();
        let session = if self.naming.json { session.with_setting("enable_json_type", "1") } else { session };
        session.query_raw(statement).execute().await.map_err(self.sort())
    }

    fn sort(&self) -> impl Fn(clickhouse::error::Error) -> Failure {
        |error| failure(self.url, &error)
    }
}

impl Found {
    fn exists(&self, name: &str) -> bool {
        self.existing.iter().any(|other| other == name)
    }

    fn version(&self, name: &str) -> Option<u32> {
        self.recorded.iter().find(|recorded| recorded.table == name).map(|recorded| recorded.version)
    }

    fn refusal(&self, naming: &Naming, table: Table) -> Option<String> {
        self.recorded.iter().find_map(|recorded| naming.refusal(table, recorded))
    }
}

/// A user who may not create tables can be given some.
fn with_way_out(failure: Failure) -> Failure {
    if failure.code != Some(ACCESS_DENIED) {
        return failure;
    }
    let reason = format!(
        "{}, or have the tables created by somebody else and set `create_schema: false`",
        failure.reason
    );
    Failure { reason, ..failure }
}

/// The first two numbers of a version.
fn number_of(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}
