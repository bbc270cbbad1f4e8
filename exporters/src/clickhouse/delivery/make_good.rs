//! The second look at an insert of which an earlier attempt had no answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use reqwest::Url;
use watershed_pipeline::Batch;

use super::super::Compression;
use super::super::doubt::{Comparison, Doubt, form};
use super::super::layout::Layout;
use super::super::server::failure;
use super::super::tables::Table;
use super::super::verdict::{Failure, Reaction};
use super::{Delivery, once};

impl Delivery {
    /// Finds out whether what was just answered with success is there, if a crash may have taken it back.
    pub(super) async fn make_good(
        &self,
        mut doubt: Doubt,
        batch: &Batch,
        table: Table,
        layout: &Arc<Layout>,
        token: &str,
    ) -> Result<(), Failure> {
        // Several servers with tables that know nothing of each other have no one place to look at.
        if let (Some(comparison), [url]) = (&layout.comparison, self.servers.urls())
            && !self.async_insert
        {
            if let Some(uptime) = self.uptime(url).await? {
                doubt.learn(uptime);
                self.doubts.update(token, table, doubt);
            }
            if let Some(number) = doubt.owed {
                let rows = self.body(batch, table, layout, Compression::None).await?;
                let token = format!("{token}-{number:016x}");
                self.compare(comparison, layout, &rows, &token).await?;
            }
        }
        self.doubts.settle(token, table);
        Ok(())
    }

    async fn compare(
        &self,
        comparison: &Comparison,
        layout: &Layout,
        rows: &Bytes,
        token: &str,
    ) -> Result<(), Failure> {
        let (form, content_type) = form(rows);
        let content_type = HeaderValue::from_str(&content_type)
            .map_err(|error| Failure::unreachable(format!("a form cannot be made: {error}")))?;
        let mut parameters = vec![
            ("query", comparison.statement.as_str()),
            ("batch_format", "Native"),
            ("batch_structure", comparison.structure.as_str()),
        ];
        parameters.extend(once(token));
        if layout.has_json {
            parameters.push(("type_json_skip_duplicated_paths", "1"));
        }
        match self.servers.insert(&parameters, &form, Some(&content_type)).await {
            // Nothing that could be tried again: what ClickHouse said of the insert has to do.
            Err(failure) if failure.reaction == Reaction::Person => {
                let reason = failure.reason;
                tracing::warn!(reason, "rows cannot be compared after a crash of ClickHouse; grant SELECT");
                Ok(())
            }
            answer => answer,
        }
    }

    /// How long the server has been up; nothing if it does not say.
    async fn uptime(&self, url: &Url) -> Result<Option<Duration>, Failure> {
        let answer = self.servers.session(url)?.query_raw("SELECT uptime()").fetch_one::<u32>().await;
        match answer.map_err(|error| failure(url, &error)) {
            Ok(seconds) => Ok(Some(Duration::from_secs(seconds.into()))),
            Err(failure) if failure.code.is_some() => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}
