//! Numerics from text, rounded to the scale of their column.
//!
//! Never: a binary float on the way, or a number cut to its precision.

use arrow::datatypes::Decimal128Type;

use super::number::trim;
use super::primitive::Parse;
use crate::text::ValueError;

/// The numbers of a column `numeric(precision, scale)`.
#[derive(Debug)]
pub(super) struct Decimal {
    precision: u8,
    scale: i8,
    /// The first magnitude, in units of the scale, that has too many digits.
    limit: i128,
}

const POWERS: [u64; 19] = {
    let mut powers = [1; 19];
    let mut exponent = 1;
    while exponent < 19 {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

impl Decimal {
    pub(super) fn new(precision: u8, scale: i8) -> Self {
        let limit = 10_i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
        Self { precision, scale, limit }
    }

    /// Reads `-123.45`, with at most 18 digits and no more of them after the point than the scale
    /// has: nearly all numbers. `None` leaves the text to [`Self::parse_any`].
    #[inline]
    fn parse_short(&self, text: &[u8]) -> Option<i128> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        if text.is_empty() || text.len() > 19 {
            return None;
        }
        let mut digits = 0_u64;
        let mut places = 0;
        let mut after_point = 0;
        for byte in text {
            let digit = byte.wrapping_sub(b'0');
            if digit <= 9 {
                digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit));
                places += after_point;
            } else if *byte == b'.' && after_point == 0 {
                after_point = 1;
            } else {
                return None;
            }
        }
        if text.len() - after_point > 18 || text.len() == after_point {
            return None;
        }
        let shift = usize::try_from(self.scale).ok()?.checked_sub(places)?;
        let value = i128::from(digits) * i128::from(*POWERS.get(shift)?);
        (value < self.limit).then_some(if negative { -value } else { value })
    }

    /// Reads whatever PostgreSQL reads: signs, exponents, any number of digits.
    #[cold]
    fn parse_any(&self, text: &str) -> Result<i128, ValueError> {
        let syntax = || ValueError::syntax("numeric", text);
        let trimmed = trim(text);
        let (negative, unsigned) = match trimmed.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if is_special(unsigned, trimmed) {
            return Err(ValueError::numeric_special(text));
        }
        let written = Written::read(unsigned).ok_or_else(syntax)?;
        if written.exponent.abs() > EXPONENT_MAX {
            return Err(ValueError::numeric_format());
        }
        let magnitude = written
            .scaled(i64::from(self.scale))
            .filter(|magnitude| *magnitude < self.limit)
            .ok_or_else(|| ValueError::numeric_overflow(self.precision, self.scale))?;
        Ok(if negative { -magnitude } else { magnitude })
    }
}

impl Parse for Decimal {
    type Arrow = Decimal128Type;

    #[inline]
    fn parse(&self, text: &str) -> Result<i128, ValueError> {
        match self.parse_short(text.as_bytes()) {
            Some(value) => Ok(value),
            None => self.parse_any(text),
        }
    }
}

fn is_special(unsigned: &[u8], trimmed: &str) -> bool {
    trimmed.eq_ignore_ascii_case("nan")
        || unsigned.eq_ignore_ascii_case(b"inf")
        || unsigned.eq_ignore_ascii_case(b"infinity")
}

/// A number as it was written: `whole.fraction` times ten to the power of `exponent`.
struct Written<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

/// PostgreSQL's own limit for the exponent of a numeric.
const EXPONENT_MAX: i64 = i32::MAX as i64 / 2;

impl<'a> Written<'a> {
    fn read(text: &'a [u8]) -> Option<Self> {
        let (whole, rest) = digits(text);
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => digits(rest),
            _ => (&[][..], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        Some(Self { whole, fraction, exponent })
    }

    /// The number times ten to the power of `scale`, rounded half away from zero.
    fn scaled(&self, scale: i64) -> Option<i128> {
        // So many of the written digits stand before the point after scaling.
        let kept = self.whole.len() as i64 + self.exponent + scale;
        let mut written = self.whole.iter().chain(self.fraction).map(|byte| byte - b'0');
        if kept < 0 {
            return Some(0);
        }
        let mut value = 0_i128;
        for place in 0..kept {
            let digit = match written.next() {
                Some(digit) => digit,
                None if value == 0 => break,
                // Zeros to come cannot make an overflowing number fit.
                None if kept - place > 38 => return None,
                None => 0,
            };
            value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
        }
        let round_up = written.next().is_some_and(|digit| digit >= 5);
        value.checked_add(i128::from(round_up))
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (digits, rest) = digits(text);
    if digits.is_empty() || !rest.is_empty() {
        return None;
    }
    let value = digits
        .iter()
        .fold(0_i64, |value, byte| (value * 10 + i64::from(byte - b'0')).min(EXPONENT_MAX + 1));
    Some(if negative { -value } else { value })
}
