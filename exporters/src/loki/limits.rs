//! What Loki takes: its documented limits, checked before anything is sent. Section `limits` of the exporter.

use schemars::JsonSchema;
use serde::Deserialize;
use watershed_config::{BuildError, ByteSize, Period};

/// What Loki takes; the defaults are those of Loki 3.7. Change them together with `limits_config` of the server.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitSettings {
    /// The longest line. Loki's `max_line_size`. Default `256KiB`.
    pub(super) line_size_max: ByteSize,
    /// Names and values of one record's structured metadata. Loki's `max_structured_metadata_size`. Default `64KiB`.
    pub(super) metadata_size_max: ByteSize,
    /// Pairs of one record's structured metadata. Loki's `max_structured_metadata_entries_count`. Default 128.
    pub(super) metadata_entries_max: usize,
    /// Labels of a stream beside `service_name`. Loki's `max_label_names_per_series`. Default 15.
    pub(super) label_count_max: usize,
    /// The longest name of a label. Loki's `max_label_name_length`. Default `1KiB`.
    pub(super) label_name_size_max: ByteSize,
    /// The longest value of a label. Loki's `max_label_value_length`. Default `2KiB`.
    pub(super) label_value_size_max: ByteSize,
    /// The oldest record. Loki's `reject_old_samples_max_age`. Default `168h`; `0` leaves it to Loki.
    pub(super) age_max: Period,
    /// How far ahead of our clock a record may be. Loki's `creation_grace_period`. Default `10m`; `0` leaves it to Loki.
    pub(super) future_max: Period,
    /// The largest request before compression; a larger one is split. Loki's own parts pass on at most 4 MiB. Default
    /// `3584KiB`.
    pub(super) request_size_max: ByteSize,
    /// Streams that one tenant may have at a time; further ones go to one stream for the overflow, with their labels as
    /// metadata. Loki's `max_global_streams_per_user` holds for all senders together. Default 1000.
    pub(super) streams_max: usize,
    /// Tenants whose streams are told apart; those of further ones all go to their overflow. Default 1000.
    pub(super) tenants_max: usize,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            line_size_max: ByteSize::new(256 << 10),
            metadata_size_max: ByteSize::new(64 << 10),
            metadata_entries_max: 128,
            label_count_max: 15,
            label_name_size_max: ByteSize::new(1024),
            label_value_size_max: ByteSize::new(2048),
            age_max: Period::seconds(7 * 24 * 60 * 60),
            future_max: Period::seconds(10 * 60),
            request_size_max: ByteSize::new(3584 << 10),
            streams_max: 1000,
            tenants_max: 1000,
        }
    }
}

/// The same as plain numbers.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) line_size_max: usize,
    pub(super) metadata_size_max: usize,
    pub(super) metadata_entries_max: usize,
    pub(super) label_count_max: usize,
    pub(super) label_name_size_max: usize,
    pub(super) label_value_size_max: usize,
    /// In nanoseconds; 0 for no limit.
    pub(super) age_max: u64,
    /// In nanoseconds; 0 for no limit.
    pub(super) future_max: u64,
    pub(super) request_size_max: usize,
    pub(super) streams_max: usize,
    pub(super) tenants_max: usize,
}

impl LimitSettings {
    /// Checks the limits against each other.
    ///
    /// # Errors
    /// Names the limit with which nothing could be sent.
    pub(super) fn limits(&self) -> Result<Limits, BuildError> {
        let nanoseconds = |period: Period| u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let limits = Limits {
            line_size_max: self.line_size_max.as_usize(),
            metadata_size_max: self.metadata_size_max.as_usize(),
            metadata_entries_max: self.metadata_entries_max,
            label_count_max: self.label_count_max,
            label_name_size_max: self.label_name_size_max.as_usize(),
            label_value_size_max: self.label_value_size_max.as_usize(),
            age_max: nanoseconds(self.age_max),
            future_max: nanoseconds(self.future_max),
            request_size_max: self.request_size_max.as_usize(),
            streams_max: self.streams_max,
            tenants_max: self.tenants_max,
        };
        for (name, value) in [
            ("line_size_max", limits.line_size_max),
            ("label_value_size_max", limits.label_value_size_max),
            ("request_size_max", limits.request_size_max),
            ("streams_max", limits.streams_max),
            ("tenants_max", limits.tenants_max),
        ] {
            if value == 0 {
                let path = format!("limits.{name}");
                return Err(BuildError::at(path, "is 0, with which nothing can be sent; leave it out"));
            }
        }
        Ok(limits)
    }
}

#[cfg(test)]
impl Default for Limits {
    fn default() -> Self {
        LimitSettings::default().limits().unwrap()
    }
}
