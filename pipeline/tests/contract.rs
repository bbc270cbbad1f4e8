//! The contract tests, tried on a processor, an exporter and a receiver that keep it, and on some that don't.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;
use watershed_pipeline::testing::contract;
use watershed_pipeline::*;

const PAGE: &str = "//! Passes on.\n//!\n//! ```yaml\n//! good:\n//!   limit: 5\n//! ```\n";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Good {
    limit: u64,
}

/// Takes any key, needs settings without saying which, and has a page that shows nothing.
#[derive(Deserialize, JsonSchema)]
struct Bad {
    limit: Option<u64>,
}

struct Pass;

impl ProcessorConfig for Good {
    const TYPE: &'static str = "good";
    const SOURCE: &'static str = PAGE;
    type Processor = Pass;

    fn build(&self, _: &Context) -> Result<Pass, BuildError> {
        if self.limit == 0 { Err(BuildError::at("limit", "must be positive")) } else { Ok(Pass) }
    }
}

impl ProcessorConfig for Bad {
    const TYPE: &'static str = "bad";
    const SOURCE: &'static str = "//! Passes on.\n";
    type Processor = Pass;

    fn build(&self, _: &Context) -> Result<Pass, BuildError> {
        self.limit.map(|_| Pass).ok_or_else(|| BuildError::new("something is missing"))
    }
}

impl Processor for Pass {
    fn process(&mut self, batch: Batch, _: Instant, out: &mut Out) {
        out.push(batch);
    }
}

#[async_trait]
impl Exporter for Pass {
    async fn export(&self, _: &Batch) -> Result<(), ExportError> {
        Ok(())
    }
}

impl ExporterConfig for Good {
    const TYPE: &'static str = "good";
    const SOURCE: &'static str = "//! Sends.\n//!\n//! ```yaml\n//! exporters:\n//!   good/far:\n//!     limit: 5\n//!     timeout: 3s\n//! ```\n";
    const REACH: Reach = Reach::Network { timeout: Duration::from_secs(5) };
    type Exporter = Pass;

    fn build(&self, _: &Context) -> Result<Pass, BuildError> {
        Ok(Pass)
    }
}

#[async_trait]
impl Receiver for Pass {
    async fn bind(&mut self) -> Result<(), StartError> {
        Ok(())
    }

    async fn run(self: Box<Self>, _: Outlet, mut shutdown: Shutdown) -> Result<(), RunError> {
        shutdown.requested().await;
        Ok(())
    }
}

impl ReceiverConfig for Good {
    const TYPE: &'static str = "good";
    const SOURCE: &'static str = PAGE;
    type Receiver = Pass;

    fn build(&self, _: &Context) -> Result<Pass, BuildError> {
        Ok(Pass)
    }
}

#[test]
fn components_that_keep_the_contract_pass() {
    assert_eq!(contract::processors(&[processor::<Good>()]), Ok(()));
    assert_eq!(contract::exporters(&[exporter::<Good>()]), Ok(()));
    assert_eq!(contract::receivers(&[receiver::<Good>()]), Ok(()));
}

#[test]
fn every_violation_is_told() {
    let told = contract::processors(&[processor::<Good>(), processor::<Bad>()]).unwrap_err();
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "bad: its page has no YAML block; show settings that work",
            "bad: an unknown key is not named with its place: bad:1:1: bad: something is missing",
            "bad: an empty section is refused without a word what to add: bad:1:1: bad: something is missing",
        ]
    );
}
