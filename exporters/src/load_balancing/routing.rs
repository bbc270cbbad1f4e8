//! Which records belong together, and which server gets them.

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::BuildError;
use watershed_pipeline::{Attributes, Batch, Record, Resource, Signal};

use super::ring::Ring;

/// What decides on the server of a record.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
pub(super) enum RoutingKey {
    /// The trace; for data points, which are of no trace, the service.
    #[default]
    #[serde(rename = "traceID")]
    TraceId,
    /// The resource attribute `service.name`.
    #[serde(rename = "service")]
    Service,
    /// All attributes of the resource.
    #[serde(rename = "resource")]
    Resource,
    /// The name of the metric; only data points have one.
    #[serde(rename = "metric")]
    Metric,
    /// The time series: resource, scope, name of the metric, and attributes.
    #[serde(rename = "streamID")]
    StreamId,
    /// The values of `routing_attributes`.
    #[serde(rename = "attributes")]
    Attributes,
}

/// Divides batches among servers.
pub(super) struct Router {
    key: RoutingKey,
    attributes: Vec<String>,
}

/// The records of a batch that one server gets.
pub(super) struct Share {
    /// The server, by its position in the list.
    pub(super) server: usize,
    /// Where the records stand in the batch that was divided.
    pub(super) positions: Vec<usize>,
    /// The records.
    pub(super) batch: Batch,
}

impl Router {
    /// Takes the settings.
    ///
    /// # Errors
    /// There are attributes without use, or none where they are needed.
    pub(super) fn new(key: RoutingKey, attributes: &[String]) -> Result<Self, BuildError> {
        let wants_attributes = key == RoutingKey::Attributes;
        if wants_attributes && attributes.is_empty() {
            let message = "is empty; name the attributes whose values decide, such as [k8s.namespace.name]";
            return Err(BuildError::at("routing_attributes", message));
        }
        if !wants_attributes && !attributes.is_empty() {
            let message = "has no effect without `routing_key: attributes`; add that or remove it";
            return Err(BuildError::at("routing_attributes", message));
        }
        Ok(Self { key, attributes: attributes.to_vec() })
    }

    /// Divides the records that are not settled, by the ring. Those without a key go to the server `stray`.
    pub(super) fn divide(&self, batch: &Batch, settled: &[bool], ring: &Ring, stray: usize) -> Vec<Share> {
        let mut positions: Vec<Vec<usize>> = Vec::new();
        let mut key = Vec::new();
        let mut last: Option<(Resource<'_>, usize)> = None;
        for (position, record) in batch.records().enumerate() {
            if settled.get(position) == Some(&true) {
                continue;
            }
            let resource = record.resource();
            let server = match last {
                Some((same, server)) if self.is_of_resource(batch.signal()) && same.is_same(resource) => {
                    server
                }
                _ => {
                    key.clear();
                    self.write_key(record, &mut key);
                    ring.owner(&key).filter(|_| !key.is_empty()).unwrap_or(stray)
                }
            };
            last = Some((resource, server));
            if positions.len() <= server {
                positions.resize_with(server + 1, Vec::new);
            }
            if let Some(of_server) = positions.get_mut(server) {
                of_server.push(position);
            }
        }
        let shares = positions.into_iter().enumerate().filter(|(_, positions)| !positions.is_empty());
        shares.map(|(server, positions)| Share::new(server, positions, batch)).collect()
    }

    /// Whether all records of a resource have the same key.
    fn is_of_resource(&self, signal: Signal) -> bool {
        match self.key {
            RoutingKey::Service | RoutingKey::Resource => true,
            RoutingKey::TraceId => signal == Signal::Metrics,
            RoutingKey::Metric | RoutingKey::StreamId | RoutingKey::Attributes => false,
        }
    }

    /// Writes the key of a record; nothing if it has none.
    fn write_key(&self, record: Record<'_>, key: &mut Vec<u8>) {
        match self.key {
            RoutingKey::TraceId if record.signal() != Signal::Metrics => {
                let trace = record.trace_id();
                if trace != [0; 16] {
                    key.extend_from_slice(&trace);
                }
            }
            RoutingKey::TraceId | RoutingKey::Service => {
                write_value(record.resource().attributes(), "service.name", key);
            }
            RoutingKey::Resource => write_all(record.resource().attributes(), key),
            RoutingKey::Metric => key.extend_from_slice(metric_name(record).as_bytes()),
            RoutingKey::StreamId => {
                write_all(record.resource().attributes(), key);
                let scope = record.scope();
                for text in [scope.name(), scope.version(), metric_name(record)] {
                    key.extend_from_slice(text.as_bytes());
                    key.push(0);
                }
                write_all(scope.attributes(), key);
                write_all(record.attributes(), key);
            }
            RoutingKey::Attributes => {
                let holders =
                    [record.resource().attributes(), record.scope().attributes(), record.attributes()];
                for name in &self.attributes {
                    let is_found = holders.iter().any(|attributes| write_value(*attributes, name, key));
                    if !is_found && name == "span.name" {
                        key.extend_from_slice(record.span().map_or("", |span| span.name()).as_bytes());
                    }
                }
            }
        }
    }
}

impl Share {
    fn new(server: usize, positions: Vec<usize>, whole: &Batch) -> Self {
        let mut batch = whole.clone();
        if positions.len() < whole.len() {
            let mut wanted = positions.iter().peekable();
            let mut position = 0;
            batch.retain(|_| {
                let is_wanted = wanted.next_if_eq(&&position).is_some();
                position += 1;
                is_wanted
            });
        }
        Self { server, positions, batch }
    }

    /// Splits off the second half; nothing if there is only one record.
    pub(super) fn halve(&mut self) -> Option<Self> {
        let half = self.positions.len() / 2;
        let batch = if half == 0 { None } else { self.batch.split_off(half) }?;
        Some(Self { server: self.server, positions: self.positions.split_off(half), batch })
    }
}

fn metric_name(record: Record<'_>) -> &str {
    record.point().map_or("", |point| point.metric().name())
}

/// Writes the value of an attribute, if it is there.
fn write_value(attributes: Attributes<'_>, name: &str, key: &mut Vec<u8>) -> bool {
    let value = attributes.value(name);
    value.is_some_and(|value| {
        key.extend_from_slice(value.to_text().as_bytes());
        true
    })
}

/// Writes all attributes, in whatever order they come: nothing for none.
fn write_all(attributes: Attributes<'_>, key: &mut Vec<u8>) {
    if attributes.is_empty() {
        return;
    }
    let mut pairs: Vec<_> = attributes.iter().collect();
    pairs.sort_by_key(|(name, _)| *name);
    for (name, value) in pairs {
        for text in [name, &value.to_text()] {
            key.extend_from_slice(text.as_bytes());
            key.push(0);
        }
    }
}
