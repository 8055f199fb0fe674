//! Days and months of the proleptic Gregorian calendar, over the whole range of an Arrow date.
//!
//! Never: time zones (see `zone`), or years as people write them: year 0 is 1 BC here.

pub(crate) const SECONDS_PER_DAY: i64 = 86_400;
pub(crate) const MICROS_PER_SECOND: i64 = 1_000_000;
pub(crate) const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;

/// Days from 0000-03-01, where the 400-year cycle starts, to 1970-01-01.
const EPOCH: i64 = 719_468;
const DAYS_PER_CYCLE: i64 = 146_097;

/// The days from 1970-01-01 to a day that exists.
pub(crate) const fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let cycle = shifted.div_euclid(400);
    let year_of_cycle = shifted.rem_euclid(400);
    let month_from_march = (month as i64 + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day as i64 - 1;
    let day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
    cycle * DAYS_PER_CYCLE + day_of_cycle - EPOCH
}

/// The year, month and day that lie this many days after 1970-01-01.
pub(crate) const fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + EPOCH;
    let cycle = shifted.div_euclid(DAYS_PER_CYCLE);
    let day_of_cycle = shifted.rem_euclid(DAYS_PER_CYCLE) as u32;
    let leaps = day_of_cycle / 1_460 - day_of_cycle / 36_524 + day_of_cycle / 146_096;
    let year_of_cycle = (day_of_cycle - leaps) / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = cycle * 400 + year_of_cycle as i64 + (month <= 2) as i64;
    (year, month, day)
}

/// The length of a month, from 1 to 12.
pub(crate) const fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDate};

    #[test]
    fn agrees_with_chrono_over_its_range() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for days in (-90_000_000..90_000_000_i64).step_by(997) {
            let expected = epoch + chrono::TimeDelta::days(days);
            let (year, month, day) = civil_from_days(days);
            assert_eq!(
                (year, month, day),
                (i64::from(expected.year()), expected.month(), expected.day())
            );
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }

    #[test]
    fn survives_the_ends_of_an_arrow_date() {
        for days in [i64::from(i32::MIN), i64::from(i32::MAX)] {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
            assert!((1..=days_in_month(year, month)).contains(&day));
        }
    }
}
