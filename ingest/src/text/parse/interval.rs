//! Intervals from text: PostgreSQL's own forms (`1 year 2 mons -3 days 04:05:06`), the SQL
//! standard's `1-2` for years and months, and ISO 8601 (`P1Y2M3DT4H5M6S`).
//!
//! Never: a unit that is guessed from the type's modifiers, which no column has.

use arrow::datatypes::{IntervalMonthDayNano, IntervalMonthDayNanoType};

use super::datetime::{Fault, Token, clock, split};
use super::primitive::Parse;
use crate::text::ValueError;
use crate::text::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND};

type Result<T> = std::result::Result<T, Fault>;

/// A column of intervals.
#[derive(Debug)]
pub(super) struct Intervals;

impl Parse for Intervals {
    type Arrow = IntervalMonthDayNanoType;

    fn parse(&self, text: &str) -> std::result::Result<IntervalMonthDayNano, ValueError> {
        match read(text) {
            Ok(interval) => Ok(interval),
            Err(Fault::Special) => Err(ValueError::datetime_special("interval", text)),
            Err(Fault::Field | Fault::Order) => Err(ValueError::interval_field(text)),
            Err(Fault::Range) => Err(ValueError::interval_range()),
            Err(_) => Err(ValueError::datetime_syntax("interval", text)),
        }
    }
}

fn read(text: &str) -> Result<IntervalMonthDayNano> {
    let trimmed = super::number::trim(text);
    let sum = match trimmed.strip_prefix('P') {
        Some(designated) => iso(designated)?,
        None => spoken(trimmed)?,
    };
    sum.interval().ok_or(Fault::Range)
}

/// The parts added up so far.
#[derive(Debug, Default)]
struct Sum {
    months: i64,
    days: i64,
    micros: i64,
}

impl Sum {
    fn interval(&self) -> Option<IntervalMonthDayNano> {
        let months = i32::try_from(self.months).ok()?;
        let days = i32::try_from(self.days).ok()?;
        Some(IntervalMonthDayNano::new(months, days, self.micros.checked_mul(1_000)?))
    }

    /// Adds a number of a unit, with its fraction spilling into the smaller units.
    fn add(&mut self, unit: Unit, whole: i64, fraction: f64) -> Option<()> {
        match unit {
            Unit::Micros(per_unit) => {
                self.add_micros(whole.checked_mul(per_unit)?)?;
                self.add_micros((fraction * per_unit as f64).round_ties_even() as i64)
            }
            Unit::Days(per_unit) => {
                self.days = self.days.checked_add(whole.checked_mul(per_unit)?)?;
                self.add_days(fraction * per_unit as f64)
            }
            Unit::Months(1) => {
                self.months = self.months.checked_add(whole)?;
                self.add_days(fraction * 30.0)
            }
            Unit::Months(per_unit) => {
                let more = (fraction * per_unit as f64).round_ties_even() as i64;
                let months = whole.checked_mul(per_unit)?.checked_add(more)?;
                self.months = self.months.checked_add(months)?;
                Some(())
            }
        }
    }

    fn add_days(&mut self, days: f64) -> Option<()> {
        let whole = days.trunc();
        self.days = self.days.checked_add(whole as i64)?;
        self.add_micros(((days - whole) * MICROS_PER_DAY as f64).round_ties_even() as i64)
    }

    fn add_micros(&mut self, micros: i64) -> Option<()> {
        self.micros = self.micros.checked_add(micros)?;
        Some(())
    }
}

/// A unit, as a multiple of the one that an interval keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Micros(i64),
    Days(i64),
    Months(i64),
}

impl Unit {
    const SECOND: Self = Self::Micros(MICROS_PER_SECOND);
    const DAY: Self = Self::Days(1);

    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "microsecon" | "microsecond" | "microseconds" | "us" | "usec" | "usecond"
            | "useconds" | "usecs" => Self::Micros(1),
            "millisecon" | "millisecond" | "milliseconds" | "ms" | "msec" | "msecond"
            | "mseconds" | "msecs" => Self::Micros(1_000),
            "s" | "sec" | "second" | "seconds" | "secs" => Self::SECOND,
            "m" | "min" | "mins" | "minute" | "minutes" => Self::Micros(60 * MICROS_PER_SECOND),
            "h" | "hour" | "hours" | "hr" | "hrs" => Self::Micros(3_600 * MICROS_PER_SECOND),
            "d" | "day" | "days" => Self::DAY,
            "w" | "week" | "weeks" => Self::Days(7),
            "mon" | "mons" | "month" | "months" => Self::Months(1),
            "y" | "year" | "years" | "yr" | "yrs" => Self::Months(12),
            "dec" | "decade" | "decades" | "decs" => Self::Months(120),
            "c" | "cent" | "centuries" | "century" => Self::Months(1_200),
            "mil" | "millennia" | "millennium" | "mils" => Self::Months(12_000),
            _ => return None,
        })
    }
}

/// Numbers with units, and times. Read from the back, where a unit comes before its number.
fn spoken(text: &str) -> Result<Sum> {
    let tokens = split(text).ok_or(Fault::Syntax)?;
    let mut sum = Sum::default();
    let mut unit = None;
    let mut ago = false;
    let mut found = false;
    let mut used = Vec::new();
    for (index, token) in tokens.iter().enumerate().rev() {
        match token {
            Token::Word(word) => match word.as_str() {
                "ago" if index + 1 == tokens.len() => ago = true,
                "inf" | "infinity" => return Err(Fault::Special),
                word => unit = Some(Unit::named(word).ok_or(Fault::Syntax)?),
            },
            Token::SignedWord(_) => return Err(Fault::Special),
            Token::Time(text) => {
                add_clock(&mut sum, text, 1)?;
                unit = Some(Unit::DAY);
                found = true;
            }
            Token::Signed(text) if text.contains(':') => {
                add_clock(&mut sum, &text[1..], if text.starts_with('-') { -1 } else { 1 })?;
                unit = Some(Unit::DAY);
                found = true;
            }
            Token::Signed(text) | Token::Number(text) | Token::Date(text) => {
                let last = index + 1 == tokens.len();
                let of = unit.take().or(if last { Some(Unit::SECOND) } else { None });
                let of = add_number(&mut sum, text, of)?;
                // No unit may come twice.
                if used.contains(&of) {
                    return Err(Fault::Syntax);
                }
                used.push(of);
                found = true;
            }
        }
    }
    if !found {
        return Err(Fault::Syntax);
    }
    if ago {
        sum = Sum { months: -sum.months, days: -sum.days, micros: -sum.micros };
    }
    Ok(sum)
}

fn add_clock(sum: &mut Sum, text: &str, sign: i64) -> Result<()> {
    let micros = clock(text)?.total().ok_or(Fault::Field)?;
    sum.add_micros(sign * micros).ok_or(Fault::Field)
}

/// Adds `12`, `-1.5`, or `1-2`, which is years and months whatever the unit. Says the unit.
fn add_number(sum: &mut Sum, text: &str, unit: Option<Unit>) -> Result<Unit> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let sign = if negative { -1 } else { 1 };
    if let Some((years, months)) = unsigned.split_once('-') {
        let (years, months) = (whole(years)?, whole(months)?);
        if months >= 12 {
            return Err(Fault::Field);
        }
        let months = years.checked_mul(12).and_then(|in_years| in_years.checked_add(months));
        sum.add(Unit::Months(1), sign * months.ok_or(Fault::Field)?, 0.0).ok_or(Fault::Field)?;
        return Ok(Unit::Months(1));
    }
    let unit = unit.ok_or(Fault::Syntax)?;
    let (number, fraction) = split_fraction(unsigned)?;
    sum.add(unit, sign * number, sign as f64 * fraction).ok_or(Fault::Field)?;
    Ok(unit)
}

fn split_fraction(unsigned: &str) -> Result<(i64, f64)> {
    match unsigned.find('.') {
        None => Ok((whole(unsigned)?, 0.0)),
        Some(at) => {
            let number = if at == 0 { 0 } else { whole(&unsigned[..at])? };
            let fraction = &unsigned[at..];
            let fraction = if fraction == "." { 0.0 } else { parsed(fraction)? };
            Ok((number, fraction))
        }
    }
}

fn parsed(fraction: &str) -> Result<f64> {
    fraction.parse().map_err(|_| Fault::Syntax)
}

fn whole(digits: &str) -> Result<i64> {
    digits.parse::<i32>().map(i64::from).map_err(|error| match error.kind() {
        std::num::IntErrorKind::PosOverflow => Fault::Field,
        _ => Fault::Syntax,
    })
}

/// What follows the `P` of an ISO 8601 duration with designators.
fn iso(designated: &str) -> Result<Sum> {
    let mut sum = Sum::default();
    let mut rest = designated;
    let mut in_time = false;
    if rest.is_empty() {
        return Err(Fault::Syntax);
    }
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T') {
            if in_time {
                return Err(Fault::Syntax);
            }
            in_time = true;
            rest = time;
            continue;
        }
        let end = rest.find(|c: char| c.is_ascii_alphabetic()).ok_or(Fault::Syntax)?;
        let unit = match (&rest[end..=end], in_time) {
            ("Y", false) => Unit::Months(12),
            ("M", false) => Unit::Months(1),
            ("W", false) => Unit::Days(7),
            ("D", false) => Unit::DAY,
            ("H", true) => Unit::Micros(3_600 * MICROS_PER_SECOND),
            ("M", true) => Unit::Micros(60 * MICROS_PER_SECOND),
            ("S", true) => Unit::SECOND,
            _ => return Err(Fault::Syntax),
        };
        let number = &rest[..end];
        let unsigned = number.strip_prefix(['-', '+']).unwrap_or(number);
        let sign = if number.starts_with('-') { -1 } else { 1 };
        let (number, fraction) = split_fraction(unsigned)?;
        sum.add(unit, sign * number, sign as f64 * fraction).ok_or(Fault::Field)?;
        rest = &rest[end + 1..];
    }
    Ok(sum)
}
