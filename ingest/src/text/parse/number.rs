//! Whole numbers and floats from text.
//!
//! Never: a value that is cut to fit; outside its type's range a number is an error.

use arrow::datatypes::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::primitive::Parse;
use crate::text::ValueError;

/// The white space that PostgreSQL skips around a value.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| matches!(c, ' ' | '\t'..='\r'))
}

/// A type of whole numbers, under its Postgres name.
#[derive(Debug)]
pub(super) struct Integer<T> {
    name: &'static str,
    native: std::marker::PhantomData<T>,
}

impl<T> Integer<T> {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, native: std::marker::PhantomData }
    }

    #[cold]
    fn refuse(&self, text: &str) -> ValueError {
        let trimmed = trim(text);
        let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            ValueError::out_of_range(self.name, text)
        } else {
            ValueError::syntax(self.name, text)
        }
    }
}

/// Reads digits with an optional sign, as far as they fit into 64 bits.
#[inline]
fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_i64;
    if digits.len() <= 18 {
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        return Some(if negative { -value } else { value });
    }
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Downwards, since the smallest number has no positive counterpart.
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

macro_rules! integers {
    ($($arrow:ty),*) => {$(
        impl Parse for Integer<$arrow> {
            type Arrow = $arrow;

            #[inline]
            fn parse(
                &self,
                text: &str,
            ) -> Result<<$arrow as ArrowPrimitiveType>::Native, ValueError> {
                integer(text.as_bytes())
                    .or_else(|| integer(trim(text).as_bytes()))
                    .and_then(|value| value.try_into().ok())
                    .ok_or_else(|| self.refuse(text))
            }
        }
    )*};
}

integers!(Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type);

impl Parse for Integer<UInt64Type> {
    type Arrow = UInt64Type;

    #[inline]
    fn parse(&self, text: &str) -> Result<u64, ValueError> {
        trim(text).parse().map_err(|_| self.refuse(text))
    }
}

/// A type of floats, under its Postgres name.
#[derive(Debug)]
pub(super) struct Float<T> {
    name: &'static str,
    native: std::marker::PhantomData<T>,
}

impl<T> Float<T> {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, native: std::marker::PhantomData }
    }
}

macro_rules! floats {
    ($($arrow:ty),*) => {$(
        impl Parse for Float<$arrow> {
            type Arrow = $arrow;

            #[inline]
            fn parse(
                &self,
                text: &str,
            ) -> Result<<$arrow as ArrowPrimitiveType>::Native, ValueError> {
                let trimmed = trim(text);
                let value: <$arrow as ArrowPrimitiveType>::Native =
                    trimmed.parse().map_err(|_| ValueError::syntax(self.name, text))?;
                // Infinity and zero are also what a number out of range reads as.
                if (value.is_infinite() || value == 0.0) && has_digit_but_zero(trimmed) {
                    return Err(ValueError::float_out_of_range(self.name, trimmed));
                }
                Ok(value)
            }
        }
    )*};
}

floats!(Float32Type, Float64Type);

/// Whether a number's significant digits, before the exponent, are not all zero.
fn has_digit_but_zero(text: &str) -> bool {
    text.bytes()
        .take_while(|byte| !matches!(byte, b'e' | b'E'))
        .any(|byte| matches!(byte, b'1'..=b'9'))
}
