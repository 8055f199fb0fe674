//! The short path: `2013-01-31`, `2013-01-31 05:00:00.123+01`.
//!
//! Never: an error. What is not exactly of this form, or out of range, is left to the rules.

use super::{MICROS_PER_SECOND, Moment, Zone, days_from_civil};
use crate::text::calendar::days_in_month;

#[inline]
fn digit(byte: u8) -> Option<u32> {
    let digit = byte.wrapping_sub(b'0');
    (digit <= 9).then_some(u32::from(digit))
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<u32> {
    Some(digit(tens)? * 10 + digit(ones)?)
}

/// The day, in days since 1970-01-01, and the rest of the text.
#[inline]
pub(super) fn day(text: &[u8]) -> Option<(i32, &[u8])> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, rest @ ..] = text else {
        return None;
    };
    let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
    let month = two(*m1, *m2)?;
    let day = two(*d1, *d2)?;
    let exists = year > 0
        && (1..=12).contains(&month)
        && day > 0
        && (day <= 28 || day <= days_in_month(i64::from(year), month));
    exists.then(|| (days_from_civil(i64::from(year), month, day) as i32, rest))
}

/// A day, or a day and a time with or without an offset.
#[inline]
pub(super) fn moment(text: &[u8]) -> Option<Moment> {
    let (days, rest) = day(text)?;
    let days = i64::from(days);
    let [b' ' | b'T', h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = rest else {
        return rest.is_empty().then_some(Moment { days, micros_of_day: 0, zone: None });
    };
    let (hour, minute, second) = (two(*h1, *h2)?, two(*m1, *m2)?, two(*s1, *s2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, rest) = fraction(rest)?;
    let seconds = i64::from(hour * 3_600 + minute * 60 + second);
    let micros_of_day = seconds * MICROS_PER_SECOND + i64::from(micros);
    Some(Moment { days, micros_of_day, zone: offset(rest)? })
}

/// `.123`, with at most six digits, in microseconds.
#[inline]
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let [b'.', digits @ ..] = text else {
        return Some((0, text));
    };
    let mut micros = 0;
    let mut unit = 100_000;
    let mut rest = digits;
    while let [first, after @ ..] = rest
        && let Some(digit) = digit(*first)
    {
        if unit == 0 {
            return None;
        }
        micros += digit * unit;
        unit /= 10;
        rest = after;
    }
    (rest.len() < digits.len()).then_some((micros, rest))
}

/// Nothing, `Z`, `+01` or `-03:30`.
#[inline]
fn offset(text: &[u8]) -> Option<Option<Zone>> {
    let (sign, hours, minutes) = match text {
        [] => return Some(None),
        [b'Z' | b'z'] => return Some(Some(Zone::UTC)),
        [sign, h1, h2] => (sign, two(*h1, *h2)?, 0),
        [sign, h1, h2, b':', m1, m2] => (sign, two(*h1, *h2)?, two(*m1, *m2)?),
        _ => return None,
    };
    if hours > 15 || minutes > 59 {
        return None;
    }
    let seconds = (hours * 3_600 + minutes * 60) as i32;
    match sign {
        b'+' => Some(Zone::fixed(seconds)),
        b'-' => Some(Zone::fixed(-seconds)),
        _ => None,
    }
}
