//! Calendar days, written as TOML dates (`2026-10-01`).

use lethe_types::Millis;
use serde::{Deserialize, Deserializer, de::Error};

/// A calendar day in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(jiff::civil::Date);

const FORM: &str = "write a day without quotes and without a time, such as 2026-10-01";

impl Day {
    /// Start of the day, ms since the epoch.
    pub(crate) fn start(self) -> Option<Millis> {
        let start = jiff::tz::TimeZone::UTC.to_timestamp(self.0.at(0, 0, 0, 0)).ok()?;
        Millis::try_from(start.as_millisecond()).ok()
    }

    /// Whole days from `earlier` to this day; negative if it lies before.
    pub(crate) fn days_since(self, earlier: Self) -> i64 {
        self.0.duration_since(earlier.0).as_hours() / 24
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = toml::value::Datetime::deserialize(deserializer).map_err(|_| D::Error::custom(FORM))?;
        let (Some(date), None, None) = (written.date, written.time, written.offset) else { return Err(D::Error::custom(FORM)) };
        let day = || {
            let year = i16::try_from(date.year).ok()?;
            let day = jiff::civil::Date::new(year, i8::try_from(date.month).ok()?, i8::try_from(date.day).ok()?).ok()?;
            (year >= 1970).then_some(Self(day))
        };
        day().ok_or_else(|| D::Error::custom("there is no such day; write one such as 2026-10-01"))
    }
}
