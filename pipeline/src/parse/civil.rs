//! A time as it is written, piece by piece, and the instant it means.

use super::zone::Zone;

const SECONDS_A_DAY: i64 = 86_400;
const NANOS_A_SECOND: i64 = 1_000_000_000;
/// How far ahead a time without a year may seem to be, before it is taken for one of the year before. The
/// Collector's rule.
const AHEAD_MAX: i64 = 7 * SECONDS_A_DAY;

/// The pieces of a time; what is not there is taken from the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: Option<i32>,
    pub(super) month: Option<u32>,
    pub(super) day: Option<u32>,
    pub(super) day_of_year: Option<u32>,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
    pub(super) nanos: u32,
    pub(super) is_afternoon: Option<bool>,
    /// Seconds east of Greenwich.
    pub(super) offset: Option<i32>,
}

impl Civil {
    /// Nanoseconds since the Unix epoch; none if there is no such time, or it is before 1970 or after 2262.
    pub(super) fn unix_nano(self, zone: &Zone, reference: u64) -> Option<u64> {
        let now = i64::try_from(reference).unwrap_or(i64::MAX) / NANOS_A_SECOND;
        let (this_year, this_month, this_day) = civil_from_days(now.div_euclid(SECONDS_A_DAY));
        let seconds = match (self.year, self.month) {
            (Some(year), _) => self.seconds(year, self.month.unwrap_or(1), self.day.unwrap_or(1), zone)?,
            (None, None) => {
                let today = self.seconds(this_year, this_month, self.day.unwrap_or(this_day), zone)?;
                // Late in the evening, read after midnight.
                if today > now.saturating_add(SECONDS_A_DAY / 2) { today - SECONDS_A_DAY } else { today }
            }
            (None, Some(month)) => self.without_year(this_year, month, zone, now)?,
        };
        let nanos = seconds.checked_mul(NANOS_A_SECOND)?.checked_add(i64::from(self.nanos))?;
        u64::try_from(nanos).ok()
    }

    /// The most recent time of this month and day, give or take some days of clocks that are ahead.
    fn without_year(self, this_year: i32, month: u32, zone: &Zone, now: i64) -> Option<i64> {
        let day = self.day.unwrap_or(1);
        // One year more for 1 January seen from 31 December; more years back for 29 February.
        let years = (this_year.saturating_sub(8)..=this_year.saturating_add(1)).rev();
        let mut times = years.filter_map(|year| self.seconds(year, month, day, zone));
        times.find(|time| *time <= now.saturating_add(AHEAD_MAX))
    }

    fn seconds(self, year: i32, month: u32, day: u32, zone: &Zone) -> Option<i64> {
        let hour = match self.is_afternoon {
            None => self.hour,
            Some(_) if !(1..=12).contains(&self.hour) => return None,
            Some(is_afternoon) => self.hour % 12 + if is_afternoon { 12 } else { 0 },
        };
        let days = match self.day_of_year {
            Some(number) => {
                let last = 365 + u32::from(is_leap(year));
                (1..=last).contains(&number).then(|| days_from_civil(year, 1, 1) + i64::from(number) - 1)?
            }
            None => {
                let is_day = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
                is_day.then(|| days_from_civil(year, month, day))?
            }
        };
        // A leap second is the last one of its minute once more.
        let is_time = hour < 24 && self.minute < 60 && self.second <= 60;
        is_time.then_some(())?;
        let second = self.second.min(59);
        let of_day = i64::from(hour * 3600 + self.minute * 60 + second);
        let local = days * SECONDS_A_DAY + of_day;
        match self.offset {
            Some(offset) => Some(local - i64::from(offset)),
            None => zone.to_utc(local),
        }
    }
}

fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i32, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar, by Howard Hinnant's `days_from_civil`: years begin in March, so that
/// the leap day is the last of its year, and 400 years always have the same number of days.
pub(super) fn days_from_civil(year: i32, month: u32, day: u32) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = i64::from((month + 9) % 12);
    let day_of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days since 1970-01-01; the inverse of [`days_from_civil`].
pub(super) fn civil_from_days(days: i64) -> (i32, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as i32, month as u32, day as u32)
}
