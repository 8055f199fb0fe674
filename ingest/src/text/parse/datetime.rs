//! Dates, times and timestamps from text. ISO texts take a short path; everything else that
//! PostgreSQL reads with `DateStyle = 'ISO, mdy'` goes through tokens and rules.
//!
//! Never: the present time. `now`, `today` and the like are refused, as is `infinity`, which the
//! tables cannot hold.

mod iso;
mod precision;
mod rules;
mod tokens;

use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Time64MicrosecondType, TimestampMicrosecondType,
};

use super::primitive::Parse;
use crate::text::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND, SECONDS_PER_DAY, days_from_civil};
use crate::text::{ValueError, Zone, format};

pub(super) use precision::Precision;
pub(super) use rules::clock;
pub(super) use tokens::{Token, split};

/// The days and the instants that PostgreSQL accepts: from 4714-11-24 BC on, to before these.
const DAYS_MIN: i64 = -2_440_588;
const DAYS_LIMIT: i64 = days_from_civil(5_874_898, 1, 1);
const TIMESTAMP_DAYS_LIMIT: i64 = days_from_civil(294_277, 1, 1);

/// A moment as it was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Moment {
    /// Days since 1970-01-01.
    days: i64,
    /// Up to and including 24:00:00.
    micros_of_day: i64,
    zone: Option<Zone>,
}

/// Why a text is not a moment. The type's name is added where it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    Syntax,
    /// A part is out of its range.
    Field,
    /// Month or day out of range: perhaps they are in another order.
    Order,
    ZoneOffset,
    ZoneName(String),
    /// The sum of the parts is out of the type's range.
    Range,
    /// A word that stands for infinity or for the present.
    Special,
}

impl Fault {
    #[cold]
    fn of(self, type_name: &str, text: &str) -> ValueError {
        match self {
            Self::Syntax => ValueError::datetime_syntax(type_name, text),
            Self::Field | Self::Range => ValueError::datetime_field(text),
            Self::Order => ValueError::datetime_order(text),
            Self::ZoneOffset => ValueError::zone_offset(text),
            Self::ZoneName(name) => ValueError::zone_name(&name),
            Self::Special => ValueError::datetime_special(type_name, text),
        }
    }
}

/// A column of dates.
#[derive(Debug)]
pub(super) struct Dates;

impl Parse for Dates {
    type Arrow = Date32Type;

    #[inline]
    fn parse(&self, text: &str) -> Result<i32, ValueError> {
        match iso::day(text.as_bytes()) {
            Some((days, [])) => Ok(days),
            _ => date_by_rules(text),
        }
    }
}

#[cold]
fn date_by_rules(text: &str) -> Result<i32, ValueError> {
    let moment = rules::moment(text).map_err(|fault| fault.of("date", text))?;
    i32::try_from(moment.days)
        .ok()
        .filter(|days| (DAYS_MIN..DAYS_LIMIT).contains(&i64::from(*days)))
        .ok_or_else(|| ValueError::datetime_range("date", text))
}

/// A column of timestamps. Without a zone, an offset in the text is ignored, as PostgreSQL does.
#[derive(Debug)]
pub(super) struct Timestamps {
    zone: Option<Zone>,
    precision: Precision,
}

impl Timestamps {
    pub(super) fn without_zone(precision: Precision) -> Self {
        Self { zone: None, precision }
    }

    pub(super) fn in_zone(zone: Zone, precision: Precision) -> Self {
        Self { zone: Some(zone), precision }
    }

    fn type_name(&self) -> &'static str {
        if self.zone.is_some() { "timestamp with time zone" } else { "timestamp" }
    }

    #[inline]
    fn micros(&self, moment: &Moment) -> Option<i64> {
        let local = moment.days.checked_mul(MICROS_PER_DAY)?.checked_add(moment.micros_of_day)?;
        let Some(session_zone) = &self.zone else {
            return Some(self.precision.timestamp(local));
        };
        let zone = moment.zone.as_ref().unwrap_or(session_zone);
        let offset = zone.offset_at_local(local.div_euclid(MICROS_PER_SECOND));
        let instant = local.checked_sub(i64::from(offset) * MICROS_PER_SECOND)?;
        Some(self.precision.timestamp(instant))
    }

    #[cold]
    fn parse_by_rules(&self, text: &str) -> Result<i64, ValueError> {
        let moment = rules::moment(text).map_err(|fault| fault.of(self.type_name(), text))?;
        self.micros(&moment)
            .filter(|micros| {
                let days = micros.div_euclid(MICROS_PER_DAY);
                (DAYS_MIN..TIMESTAMP_DAYS_LIMIT).contains(&days)
            })
            .ok_or_else(|| ValueError::datetime_range("timestamp", text))
    }
}

impl Parse for Timestamps {
    type Arrow = TimestampMicrosecondType;

    #[inline]
    fn parse(&self, text: &str) -> Result<i64, ValueError> {
        iso::moment(text.as_bytes())
            .and_then(|moment| self.micros(&moment))
            .map_or_else(|| self.parse_by_rules(text), Ok)
    }
}

/// A column of times of day.
#[derive(Debug)]
pub(super) struct Times(pub(super) Precision);

impl Parse for Times {
    type Arrow = Time64MicrosecondType;

    fn parse(
        &self,
        text: &str,
    ) -> Result<<Time64MicrosecondType as ArrowPrimitiveType>::Native, ValueError> {
        rules::time_of_day(text)
            .map(|micros| self.0.time(micros))
            .map_err(|fault| fault.of("time", text))
    }
}

/// Appends the form in which PostgreSQL shows a time of day.
pub(super) fn time(text: &str, precision: Precision, out: &mut Vec<u8>) -> Result<(), ValueError> {
    let micros = Times(precision).parse(text)?;
    format::time(micros, out);
    Ok(())
}

/// Whether a number of seconds lies within a day, as every offset must.
fn within_a_day(seconds: i64) -> bool {
    seconds.abs() < SECONDS_PER_DAY
}
