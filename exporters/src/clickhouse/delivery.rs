//! One attempt to deliver a batch: look at the table if need be, encode, insert, and sort what came of it.

mod make_good;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use reqwest::Url;
use watershed_pipeline::{Batch, ExportError, Signal};

use super::Compression;
use super::block;
use super::body::checksum;
use super::doubt::Doubts;
use super::layout::{Described, Layout};
use super::row::{self, Row};
use super::schema::{Schema, Unready};
use super::server::{Servers, failure};
use super::tables::{KINDS, Naming, Table};
use super::verdict::{Failure, Reaction};

/// Batches of which it is remembered which tables have their part already.
const PARTLY_DONE_MAX: usize = 256;

/// All that attempts share.
pub(super) struct Delivery {
    servers: Servers,
    naming: Naming,
    create_schema: bool,
    compression: Compression,
    async_insert: bool,
    /// How each table is written to, once it has been looked at.
    layouts: [tokio::sync::Mutex<Option<Arc<Layout>>>; 7],
    /// Inserts that were stored although another of the same batch was not, as token and table.
    partly_done: Mutex<VecDeque<(String, Table)>>,
    /// Inserts of which an attempt had no answer.
    doubts: Doubts,
    /// Whether an insert has ever worked, so that what fails now is no mistake in the settings.
    has_worked: AtomicBool,
}

impl Delivery {
    pub(super) fn new(
        servers: Servers,
        naming: Naming,
        create_schema: bool,
        compression: Compression,
        async_insert: bool,
    ) -> Self {
        Self {
            servers,
            naming,
            create_schema,
            compression,
            async_insert,
            layouts: Default::default(),
            partly_done: Mutex::default(),
            doubts: Doubts::default(),
            has_worked: AtomicBool::new(false),
        }
    }

    pub(super) fn servers(&self) -> &Servers {
        &self.servers
    }

    pub(super) fn naming(&self) -> &Naming {
        &self.naming
    }

    /// What a later version of the program would write to.
    #[cfg(test)]
    pub(super) fn set_migrations(&mut self, migrations: &'static [super::versions::Migration]) {
        self.naming.migrations = migrations;
    }

    /// Inserts a batch, into as many tables as it takes.
    pub(super) async fn deliver(&self, batch: &Batch) -> Result<(), ExportError> {
        let token = token(batch);
        let tables: Vec<Table> = match batch.signal() {
            Signal::Logs => vec![Table::Logs],
            Signal::Traces => vec![Table::Traces],
            Signal::Metrics => KINDS.map(Table::Metrics).into(),
        };
        let mut refused: Option<(usize, String)> = None;
        for table in tables {
            let items = count(batch, table);
            if items == 0 || self.is_done(&token, table) {
                continue;
            }
            match self.insert(batch, table, &token).await {
                Ok(()) => self.note_done(&token, table, batch.len() > items),
                Err(failure) => match self.error(failure, items) {
                    ExportError::Reject { count, reason } => {
                        let before = refused.map_or(0, |(count, _)| count);
                        refused = Some((before + count, reason));
                    }
                    error => return Err(error),
                },
            }
        }
        self.forget(&token);
        refused.map_or(Ok(()), |(count, reason)| Err(ExportError::Reject { count, reason }))
    }

    /// What stops the process before anything has worked is only a delay afterwards.
    fn error(&self, failure: Failure, items: usize) -> ExportError {
        match failure.into_error(items) {
            ExportError::Fatal { reason } if self.has_worked.load(Ordering::Relaxed) => {
                ExportError::Retry { reason, after: None }
            }
            error => error,
        }
    }

    async fn insert(&self, batch: &Batch, table: Table, token: &str) -> Result<(), Failure> {
        let (layout, is_fresh) = self.layout(table).await?;
        let body = self.body(batch, table, &layout, self.compression).await?;
        let parameters = self.parameters(&layout, token);
        let doubt = self.doubts.begin(token, table, batch.may_have_been_sent());
        let answer = match doubt {
            Some(doubt) if doubt.is_answered => Ok(()),
            _ => self.servers.insert(&parameters, &body, None).await,
        };
        if doubt.is_none() && answer.as_ref().map_or_else(|failure| failure.code.is_some(), |()| true) {
            self.doubts.settle(token, table);
        }
        match answer {
            Ok(()) => {
                self.has_worked.store(true, Ordering::Relaxed);
                match doubt {
                    Some(mut doubt) => {
                        doubt.is_answered = true;
                        self.doubts.update(token, table, doubt);
                        self.make_good(doubt, batch, table, &layout, token).await
                    }
                    None => Ok(()),
                }
            }
            Err(failure) if failure.reaction == Reaction::Look => {
                Err(self.look_again(table, failure, is_fresh).await)
            }
            Err(failure) => Err(failure),
        }
    }

    fn parameters<'a>(&self, layout: &'a Layout, token: &'a str) -> Vec<(&'static str, &'a str)> {
        let mut parameters = vec![("query", layout.insert.as_str())];
        if self.compression != Compression::None {
            parameters.push(("decompress", "1"));
        }
        if self.async_insert {
            parameters.extend([("async_insert", "1"), ("wait_for_async_insert", "1")]);
        } else {
            parameters.extend(once(token));
        }
        if layout.has_json {
            parameters.push(("type_json_skip_duplicated_paths", "1"));
        }
        parameters
    }

    /// Forgets how the table is written to, unless that was found out a moment ago: then the data does not fit.
    async fn look_again(&self, table: Table, failure: Failure, is_fresh: bool) -> Failure {
        if let Some(place) = self.layouts.get(table.index()) {
            *place.lock().await = None;
        }
        if is_fresh { Failure { reaction: Reaction::Person, ..failure } } else { failure }
    }

    /// Encodes on a thread for such work: it takes milliseconds, and other tasks wait on this one.
    async fn body(
        &self,
        batch: &Batch,
        table: Table,
        layout: &Arc<Layout>,
        compression: Compression,
    ) -> Result<Bytes, Failure> {
        let (batch, layout) = (batch.clone(), Arc::clone(layout));
        let work = move || block::encode(&layout.columns, &rows(&batch, table), compression);
        let done = tokio::task::spawn_blocking(work).await;
        let encoded = done.unwrap_or_else(|stopped| Err(format!("encoding stopped: {stopped}")));
        encoded.map_err(Failure::unreachable)
    }

    /// How a table is written to, and whether that was found out just now.
    async fn layout(&self, table: Table) -> Result<(Arc<Layout>, bool), Failure> {
        let Some(place) = self.layouts.get(table.index()) else {
            return Err(Failure::person(format!("there is no table for {table:?}")));
        };
        let mut known = place.lock().await;
        if let Some(layout) = &*known {
            return Ok((Arc::clone(layout), false));
        }
        let mut found = Err(Failure::unreachable("there is no server".to_owned()));
        for (index, url) in self.servers.order() {
            found = self.look(url, table).await;
            if self.servers.is_final(index, &found) {
                break;
            }
        }
        let layout = Arc::new(found?);
        *known = Some(Arc::clone(&layout));
        Ok((layout, true))
    }

    /// Creates the table if it is not there, brings it up to date if it is ours, and looks at it.
    async fn look(&self, url: &Url, table: Table) -> Result<Layout, Failure> {
        let session = self.servers.session(url)?;
        let creates = self.create_schema && !self.naming.is_foreign(table);
        let schema = Schema { session: &session, url, naming: &self.naming };
        let uncreated = match if creates { schema.prepare(table).await } else { Ok(()) } {
            Ok(()) => None,
            Err(Unready::Newer(reason)) => return Err(Failure::person(reason)),
            Err(Unready::Failed(failure)) => Some(failure),
        };
        let query = format!("DESCRIBE TABLE {}", self.naming.quoted(table));
        let described = session.query_raw(&query).fetch_all::<Described>().await;
        match (described, uncreated) {
            (Ok(described), uncreated) => {
                if let Some(failure) = uncreated {
                    // Somebody else has created the table, for a user who may not.
                    tracing::warn!(
                        reason = failure.reason,
                        "tables cannot be created or brought up to date; using those that are there"
                    );
                }
                let engine = session.query_raw(&self.naming.engine_of(table)).fetch_one::<String>().await;
                let engine = engine.unwrap_or_default();
                Layout::new(&self.naming, table, &engine, &described).map_err(Failure::person)
            }
            (Err(_), Some(uncreated)) => Err(uncreated),
            (Err(error), None) => {
                let failure = failure(url, &error);
                let is_final = failure.reaction == Reaction::Look;
                Err(if is_final { Failure { reaction: Reaction::Person, ..failure } } else { failure })
            }
        }
    }

    fn is_done(&self, token: &str, table: Table) -> bool {
        let done = self.partly_done.lock().unwrap_or_else(PoisonError::into_inner);
        done.iter().any(|(other, of)| other == token && *of == table)
    }

    fn note_done(&self, token: &str, table: Table, has_more: bool) {
        if !has_more {
            return;
        }
        let mut done = self.partly_done.lock().unwrap_or_else(PoisonError::into_inner);
        if done.len() >= PARTLY_DONE_MAX {
            done.pop_front();
        }
        done.push_back((token.to_owned(), table));
    }

    fn forget(&self, token: &str) {
        let mut done = self.partly_done.lock().unwrap_or_else(PoisonError::into_inner);
        done.retain(|(other, _)| other != token);
    }
}

/// The settings that let an insert be stored once, however often it is sent.
fn once(token: &str) -> [(&'static str, &str); 3] {
    [
        ("async_insert", "0"),
        ("insert_deduplication_token", token),
        ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ]
}

/// The rows of a batch for one table.
pub(super) fn rows(batch: &Batch, table: Table) -> Vec<Row<'_>> {
    match table {
        Table::Logs => row::logs(batch),
        Table::Traces => row::spans(batch),
        Table::Metrics(kind) => row::points(batch, kind),
    }
}

/// How many rows of a batch a table gets.
fn count(batch: &Batch, table: Table) -> usize {
    match table {
        Table::Logs | Table::Traces => batch.len(),
        Table::Metrics(kind) => batch.points().filter(|point| point.metric().kind() == kind).count(),
    }
}

/// What tells this batch from every other, and stays the same when it is sent again, even by another process.
fn token(batch: &Batch) -> String {
    // A queue on disk gives each batch a number; without one, only the data tells batches apart.
    if batch.id() != 0 {
        return format!("{:032x}", batch.id());
    }
    checksum(&batch.to_otlp()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use watershed_pipeline::testing::with_id;

    use super::*;

    fn logs(severity: i32) -> Batch {
        Batch::builder(Signal::Logs).record(|log| log.set_severity_number(severity)).build()
    }

    #[test]
    fn a_batch_without_a_number_is_told_from_others_by_its_data() {
        assert_eq!(token(&logs(1)), token(&logs(1)));
        assert_ne!(token(&logs(1)), token(&logs(2)));
    }

    #[test]
    fn a_batch_with_a_number_is_told_from_others_by_the_number_alone() {
        assert_eq!(token(&with_id(logs(1), 0xab << 64)), "00000000000000ab0000000000000000");
        assert_ne!(token(&with_id(logs(1), 1)), token(&with_id(logs(1), 2)));
    }
}
