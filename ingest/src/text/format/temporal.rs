//! Dates, times and intervals as PostgreSQL writes them with `DateStyle = 'ISO'` and
//! `IntervalStyle = 'postgres'`.
//!
//! Never: a panic at the ends of an Arrow range, which are wider than PostgreSQL's.

use crate::text::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND, SECONDS_PER_DAY, civil_from_days};

use super::number::integer;

const PAIRS: &[u8; 200] = b"00010203040506070809101112131415161718192021222324252627282930313233\
34353637383940414243444546474849505152535455565758596061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

fn pair(value: u32) -> [u8; 2] {
    let at = value as usize * 2;
    [PAIRS[at], PAIRS[at + 1]]
}

pub(super) fn date(days: i64, out: &mut Vec<u8>) {
    let before_christ = day(days, out);
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// Writes `2013-01-31`; says whether the year is one before Christ, which a suffix must tell.
fn day(days: i64, out: &mut Vec<u8>) -> bool {
    let (year, month, day) = civil_from_days(days);
    let before_christ = year <= 0;
    let shown = if before_christ { 1 - year } else { year };
    if shown < 10_000 {
        let shown = shown as u32;
        let [y1, y2] = pair(shown / 100);
        let [y3, y4] = pair(shown % 100);
        let [m1, m2] = pair(month);
        let [d1, d2] = pair(day);
        out.extend_from_slice(&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]);
    } else {
        integer(shown, out);
        out.push(b'-');
        out.extend_from_slice(&pair(month));
        out.push(b'-');
        out.extend_from_slice(&pair(day));
    }
    before_christ
}

/// Writes a time of day, `05:00:00.123`, up to and including `24:00:00`.
pub(in crate::text) fn time(micros: i64, out: &mut Vec<u8>) {
    let seconds = (micros / MICROS_PER_SECOND) as u32;
    let [h1, h2] = pair(seconds / 3_600 % 100);
    let [m1, m2] = pair(seconds / 60 % 60);
    let [s1, s2] = pair(seconds % 60);
    out.extend_from_slice(&[h1, h2, b':', m1, m2, b':', s1, s2]);
    fraction((micros % MICROS_PER_SECOND) as u32, out);
}

/// Writes `.123`, without trailing zeros, and nothing for a whole second.
fn fraction(micros: u32, out: &mut Vec<u8>) {
    if micros == 0 {
        return;
    }
    let [a, b] = pair(micros / 10_000);
    let [c, d] = pair(micros / 100 % 100);
    let [e, f] = pair(micros % 100);
    let text = [b'.', a, b, c, d, e, f];
    let zeros = text.iter().rev().take_while(|digit| **digit == b'0').count();
    out.extend_from_slice(&text[..text.len() - zeros]);
}

pub(super) fn timestamp(micros: i64, out: &mut Vec<u8>) {
    let before_christ = day(micros.div_euclid(MICROS_PER_DAY), out);
    out.push(b' ');
    time(micros.rem_euclid(MICROS_PER_DAY), out);
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// Writes an instant in a zone that is this many seconds east of UTC: `2013-01-01 05:00:00+01`.
pub(super) fn timestamp_with_zone(micros: i64, offset_seconds: i32, out: &mut Vec<u8>) {
    let seconds = micros.div_euclid(MICROS_PER_SECOND) + i64::from(offset_seconds);
    let before_christ = day(seconds.div_euclid(SECONDS_PER_DAY), out);
    out.push(b' ');
    let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    time(second_of_day * MICROS_PER_SECOND + micros.rem_euclid(MICROS_PER_SECOND), out);
    offset(offset_seconds, out);
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

fn offset(seconds: i32, out: &mut Vec<u8>) {
    out.push(if seconds < 0 { b'-' } else { b'+' });
    let seconds = seconds.unsigned_abs();
    out.extend_from_slice(&pair(seconds / 3_600));
    if !seconds.is_multiple_of(3_600) {
        out.push(b':');
        out.extend_from_slice(&pair(seconds / 60 % 60));
    }
    if !seconds.is_multiple_of(60) {
        out.push(b':');
        out.extend_from_slice(&pair(seconds % 60));
    }
}

/// Writes an interval: `1 year 2 mons -3 days +04:05:06.789`.
pub(super) fn interval(months: i64, days: i64, micros: i64, out: &mut Vec<u8>) {
    let start = out.len();
    // After a negative part, PostgreSQL gives the next one its sign even if it is positive.
    let mut after_negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value == 0 {
            continue;
        }
        if out.len() > start {
            out.push(b' ');
        }
        if after_negative && value > 0 {
            out.push(b'+');
        }
        integer(value, out);
        out.push(b' ');
        out.extend_from_slice(unit.as_bytes());
        if value != 1 {
            out.push(b's');
        }
        after_negative = value < 0;
    }
    if micros == 0 && out.len() > start {
        return;
    }
    if out.len() > start {
        out.push(b' ');
    }
    if micros < 0 {
        out.push(b'-');
    } else if after_negative {
        out.push(b'+');
    }
    clock(micros.unsigned_abs(), out);
}

/// Writes hours, which may be many, minutes and seconds.
fn clock(micros: u64, out: &mut Vec<u8>) {
    let micros_per_second = MICROS_PER_SECOND as u64;
    let seconds = micros / micros_per_second;
    let hours = seconds / 3_600;
    if hours < 100 {
        out.extend_from_slice(&pair(hours as u32));
    } else {
        integer(hours, out);
    }
    let [m1, m2] = pair((seconds / 60 % 60) as u32);
    let [s1, s2] = pair((seconds % 60) as u32);
    out.extend_from_slice(&[b':', m1, m2, b':', s1, s2]);
    fraction((micros % micros_per_second) as u32, out);
}
