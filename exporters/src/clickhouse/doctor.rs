//! Looks at every configured server without writing to it: version, sign-in, clock, tables, rights.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::Url;
use watershed_config::{ConfigErrors, Section};
use watershed_pipeline::Extensions;

use super::layout::{Described, Layout};
use super::schema::Schema;
use super::server::{failure, name_of};
use super::tables::{Naming, Table};
use super::verdict::{Failure, Reaction};
use super::{ClickHouse, Config};
use crate::check::{self, Finding, Report, ServerReport, Severity};

/// How far two clocks may differ.
const SKEW_MAX: Duration = Duration::from_secs(5);

/// Examines the servers of an exporter, given its section. Nothing is written.
///
/// # Errors
/// The section has mistakes.
pub async fn check(section: &Section, extensions: &Arc<Extensions>) -> Result<Report, ConfigErrors> {
    let exporter = check::build::<Config>(section, extensions)?;
    let config: Config = check::own_settings(section).read()?;
    let mut servers = Vec::new();
    for url in exporter.0.servers().urls() {
        let mut findings = Vec::new();
        if let Err(failure) = examine(&exporter, url, config.create_schema, &mut findings).await {
            findings.push(Finding::problem(failure.reason));
        }
        servers.push(ServerReport { address: name_of(url), findings });
    }
    Ok(Report { servers })
}

async fn examine(
    exporter: &ClickHouse,
    url: &Url,
    creates: bool,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let session = exporter.0.servers().session(url)?;
    let before = SystemTime::now();
    let query = "SELECT version(), currentUser(), toUnixTimestamp64Milli(now64(3))";
    let (version, user, time): (String, String, i64) =
        session.query_raw(query).fetch_one().await.map_err(|error| failure(url, &error))?;
    findings.push(Finding::good(format!("ClickHouse {version}, signed in as {user}")));
    findings.push(clock(before, SystemTime::now(), time));
    for table in Table::all() {
        let found = examine_table(&session, url, exporter.0.naming(), table, creates).await;
        findings.extend(found.unwrap_or_else(|failure| vec![Finding::problem(failure.reason)]));
    }
    Ok(())
}

/// Compares the server's clock, in milliseconds since the Unix epoch, with the middle of the time in which it was read.
fn clock(before: SystemTime, after: SystemTime, server: i64) -> Finding {
    let milliseconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
    };
    let middle = milliseconds(before).midpoint(milliseconds(after));
    let skew = Duration::from_millis(server.abs_diff(middle));
    let direction = if server >= middle { "ahead of" } else { "behind" };
    let text = format!("the server's clock is {:.1} s {direction} this machine's", skew.as_secs_f64());
    if skew > SKEW_MAX {
        let severity = Severity::Warning;
        return Finding {
            severity,
            text: format!("{text}; synchronise both, or queries for the last minutes miss data"),
        };
    }
    Finding::good(text)
}

async fn examine_table(
    session: &clickhouse::Client,
    url: &Url,
    naming: &Naming,
    table: Table,
    creates: bool,
) -> Result<Vec<Finding>, Failure> {
    let name = naming.quoted(table);
    let sort = |error| failure(url, &error);
    let described = session.query_raw(&format!("DESCRIBE TABLE {name}")).fetch_all::<Described>().await;
    let described = match described.map_err(sort) {
        Ok(described) => described,
        Err(failure) if matches!(failure.code, Some(60 | 81)) && creates && !naming.is_foreign(table) => {
            return Ok(vec![Finding::good(format!("table {name} is not there and will be created"))]);
        }
        Err(Failure { reaction: Reaction::Elsewhere, reason, .. }) => {
            return Err(Failure::unreachable(reason));
        }
        Err(failure) => return Ok(vec![Finding::problem(failure.reason)]),
    };
    let schema = Schema { session, url, naming };
    if creates && let Some(reason) = schema.refusal(table).await? {
        return Ok(vec![Finding::problem(reason)]);
    }
    let mut findings = vec![match Layout::new(naming, table, "", &described) {
        Ok(layout) => {
            Finding::good(format!("table {name} fits: {} columns are filled", layout.columns.len()))
        }
        Err(reason) => Finding::problem(reason),
    }];
    // Servers before 24.11 don't know this question.
    let may = session.query_raw(&format!("CHECK GRANT INSERT ON {name}")).fetch_one::<u8>().await;
    if may.is_ok_and(|may| may == 0) {
        findings.push(Finding::problem(format!(
            "the user may not write; run GRANT INSERT ON {name} TO the user"
        )));
    }
    let created = session.query_raw(&format!("SHOW CREATE TABLE {name}")).fetch_one::<String>().await;
    if created.is_ok_and(|created| forgets_inserts(&created)) {
        let severity = Severity::Warning;
        let text = format!(
            "table {name} stores a batch twice when its answer is lost; run ALTER TABLE {name} MODIFY SETTING \
             non_replicated_deduplication_window = 1000"
        );
        findings.push(Finding { severity, text });
    }
    Ok(findings)
}

/// Whether a table of this statement has no memory of inserts, so that one that is sent again is stored again.
fn forgets_inserts(created: &str) -> bool {
    let engine = created.split_once("ENGINE = ").map_or("", |(_, engine)| engine);
    let name = engine.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
    name.ends_with("MergeTree")
        && !["Replicated", "Shared"].iter().any(|prefix| name.starts_with(prefix))
        && !created.contains("non_replicated_deduplication_window")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared_with_the_middle_of_the_round_trip() {
        let at = |milliseconds| SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds);
        let near = clock(at(10_000), at(12_000), 11_500);
        assert_eq!(near, Finding::good("the server's clock is 0.5 s ahead of this machine's".to_owned()));
        let far = clock(at(10_000), at(12_000), 1_000);
        assert_eq!(far.severity, Severity::Warning);
        assert!(far.text.contains("10.0 s behind"), "{}", far.text);
    }

    #[test]
    fn tables_without_a_memory_of_inserts_are_known_by_their_statement() {
        let check = |engine: &str| {
            forgets_inserts(&format!("CREATE TABLE t (`a` UInt8) ENGINE = {engine} ORDER BY a"))
        };
        assert_eq!(
            ["MergeTree", "ReplacingMergeTree(a)", "ReplicatedMergeTree('/t', 'r')", "Null"].map(check),
            [true, true, false, false]
        );
        assert!(!check("MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 7"));
    }
}
