//! Time zones, for times that are written without one.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A time zone: UTC, a fixed offset, or a region with its rules.
#[derive(Clone, Debug)]
pub struct Zone(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// Seconds east of Greenwich.
    Fixed(i32),
    Region(TimeZone),
}

/// There is no such time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown time zone `{0}`; write `UTC`, `Local`, an offset such as `+02:00`, or a name such as `Europe/Vienna`"
)]
pub struct ZoneError(String);

impl Zone {
    /// Universal time.
    pub const UTC: Self = Self(Kind::Fixed(0));

    /// The zone of this name: `UTC`, `Local` (the one this machine is set to), `+02:00`, or a name of the IANA time zone
    /// database, which the program brings along.
    ///
    /// # Errors
    /// Says what a name may be.
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        if let Some(offset) = super::time::offset(name) {
            return Ok(Self(Kind::Fixed(offset)));
        }
        let region =
            if name.eq_ignore_ascii_case("local") { TimeZone::try_system() } else { TimeZone::get(name) };
        region.map(|region| Self(Kind::Region(region))).map_err(|_| ZoneError(name.to_owned()))
    }

    /// The instant of a wall-clock time, both in seconds since 1970. A time that a clock shows twice is the first of
    /// them; one that it skips is as much later.
    pub(super) fn to_utc(&self, local: i64) -> Option<i64> {
        match &self.0 {
            Kind::Fixed(offset) => Some(local - i64::from(*offset)),
            Kind::Region(region) => {
                let wall = jiff::Timestamp::from_second(local).ok()?;
                let wall: DateTime = TimeZone::UTC.to_datetime(wall);
                region.to_timestamp(wall).ok().map(jiff::Timestamp::as_second)
            }
        }
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}
