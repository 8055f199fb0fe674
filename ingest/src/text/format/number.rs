//! Numbers as PostgreSQL writes them.
//!
//! Never: a digit that the number does not have. A float is written with the fewest digits that
//! read back as the same float, a decimal with exactly its scale.

use arrow::datatypes::i256;

pub(super) fn integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(super) fn decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    // Most decimals fit, and dividing 64 bits takes a fraction of the time.
    match i64::try_from(value) {
        Ok(value) => point(buffer.format(value), scale, out),
        Err(_) => point(buffer.format(value), scale, out),
    }
}

pub(super) fn wide_decimal(value: i256, scale: i8, out: &mut Vec<u8>) {
    point(&value.to_string(), scale, out);
}

/// Writes an integer's digits with the decimal point where the scale puts it.
fn point(number: &str, scale: i8, out: &mut Vec<u8>) {
    let number = number.as_bytes();
    let (sign, digits) = if number[0] == b'-' { number.split_at(1) } else { (&[][..], number) };
    out.extend_from_slice(sign);
    let Ok(places) = usize::try_from(scale) else {
        out.extend_from_slice(digits);
        if digits != b"0" {
            out.resize(out.len() + usize::from(scale.unsigned_abs()), b'0');
        }
        return;
    };
    if digits.len() > places {
        let (whole, fraction) = digits.split_at(digits.len() - places);
        out.extend_from_slice(whole);
        if places > 0 {
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + places - digits.len(), b'0');
        out.extend_from_slice(digits);
    }
}

/// What a binary float looks like inside, and how PostgreSQL shows its width.
pub(super) trait Float: ryu::Float + Copy {
    /// From this decimal exponent on, PostgreSQL shows an exponent.
    const EXPONENT_MAX: i32;
    /// As many decimal digits always tell two floats apart.
    const DIGITS_MAX: usize;
    /// The implied highest bit of the significand.
    const HIDDEN_BIT: u64;

    fn class(self) -> Class;
    /// The significand and the power of two by which it is multiplied.
    fn parts(self) -> (u64, i32);
    /// The float with this many significant digits, if they read back as the same float.
    fn rounded(self, digits: usize) -> Option<String>;
}

pub(super) enum Class {
    Finite,
    NaN,
    Infinity,
    NegativeInfinity,
}

macro_rules! float {
    ($float:ty, $exponent_max:literal, $digits_max:literal) => {
        impl Float for $float {
            const EXPONENT_MAX: i32 = $exponent_max;
            const DIGITS_MAX: usize = $digits_max;
            const HIDDEN_BIT: u64 = 1 << (<$float>::MANTISSA_DIGITS - 1);

            fn class(self) -> Class {
                if self.is_finite() {
                    Class::Finite
                } else if self.is_nan() {
                    Class::NaN
                } else if self > 0.0 {
                    Class::Infinity
                } else {
                    Class::NegativeInfinity
                }
            }

            fn parts(self) -> (u64, i32) {
                let stored_bits = <$float>::MANTISSA_DIGITS - 1;
                let bits = u64::from(self.abs().to_bits());
                let exponent = (bits >> stored_bits) as i32;
                let bias = <$float>::MAX_EXP - 1 + stored_bits as i32;
                let stored = bits & (Self::HIDDEN_BIT - 1);
                if exponent == 0 {
                    (stored, 1 - bias)
                } else {
                    (stored | Self::HIDDEN_BIT, exponent - bias)
                }
            }

            fn rounded(self, digits: usize) -> Option<String> {
                let text = format!("{:.*e}", digits - 1, self);
                (text.parse() == Ok(self)).then_some(text)
            }
        }
    };
}

float!(f32, 6, 9);
float!(f64, 15, 17);

pub(super) fn float<F: Float>(value: F, out: &mut Vec<u8>) {
    match value.class() {
        Class::NaN => out.extend_from_slice(b"NaN"),
        Class::Infinity => out.extend_from_slice(b"Infinity"),
        Class::NegativeInfinity => out.extend_from_slice(b"-Infinity"),
        Class::Finite => {
            let mut buffer = ryu::Buffer::new();
            let decimal = Decimal::read(buffer.format_finite(value));
            match decimal.without_halfway(value) {
                Some(longer) => longer.write(F::EXPONENT_MAX, out),
                None => decimal.write(F::EXPONENT_MAX, out),
            }
        }
    }
}

/// A decimal number in parts: `0.d1 d2 d3 ...` times ten to the power of `point`.
struct Decimal {
    negative: bool,
    digits: [u8; 17],
    count: usize,
    point: i32,
}

impl Decimal {
    /// Reads `-12.5`, `1e20`, `1.5e-7`: the forms that float printers give.
    fn read(text: &str) -> Self {
        let mut decimal = Self { negative: false, digits: [b'0'; 17], count: 0, point: 0 };
        let mut fraction = false;
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'-' => decimal.negative = true,
                b'.' => fraction = true,
                b'e' => {
                    let exponent = &text[text.len() - bytes.len()..];
                    decimal.point += exponent.parse().unwrap_or(0);
                    break;
                }
                b'0' if decimal.count == 0 => decimal.point -= i32::from(fraction),
                digit => {
                    // A float printer pads a whole number with zeros only, past 17 digits too.
                    if let Some(place) = decimal.digits.get_mut(decimal.count) {
                        *place = digit;
                        decimal.count += 1;
                    }
                    decimal.point += i32::from(!fraction);
                }
            }
        }
        while decimal.count > 0 && decimal.digits[decimal.count - 1] == b'0' {
            decimal.count -= 1;
        }
        decimal
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.count]
    }

    /// PostgreSQL never writes a decimal that lies exactly half way between two floats, although
    /// the usual rounding would read it back: 1e23 becomes 9.999999999999999e+22. Gives the
    /// longer decimal, if this is such a case.
    fn without_halfway<F: Float>(&self, value: F) -> Option<Self> {
        if !self.is_halfway(value) {
            return None;
        }
        (self.count + 1..=F::DIGITS_MAX)
            .filter_map(|digits| value.rounded(digits))
            .map(|text| Self::read(&text))
            .find(|decimal| !decimal.is_halfway(value))
    }

    /// Whether the decimal equals the middle between the float and one of its neighbours. Only
    /// whole numbers beyond the significand's width can: others have more digits than are written.
    fn is_halfway<F: Float>(&self, value: F) -> bool {
        let (significand, exponent) = value.parts();
        let trailing_zeros = self.point - self.count as i32;
        let (Ok(trailing_zeros), 1..) = (u32::try_from(trailing_zeros), exponent) else {
            return false;
        };
        let digits = self.digits().iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let fives = 5_u64.checked_pow(trailing_zeros);
        let Some(odd) =
            fives.and_then(|fives| (digits >> digits.trailing_zeros()).checked_mul(fives))
        else {
            return false;
        };
        let power = (trailing_zeros + digits.trailing_zeros()) as i32;
        let beside = [2 * significand + 1, 2 * significand - 1].contains(&odd);
        let below_power_of_two =
            significand == F::HIDDEN_BIT && odd == 4 * significand - 1 && power == exponent - 2;
        beside && power == exponent - 1 || below_power_of_two
    }

    fn write(&self, exponent_max: i32, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        let digits = self.digits();
        let Some((first, rest)) = digits.split_first() else {
            out.push(b'0');
            return;
        };
        let exponent = self.point - 1;
        if !(-4..exponent_max).contains(&exponent) {
            out.push(*first);
            if !rest.is_empty() {
                out.push(b'.');
                out.extend_from_slice(rest);
            }
            out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
            if exponent.abs() < 10 {
                out.push(b'0');
            }
            integer(exponent.unsigned_abs(), out);
        } else if self.point <= 0 {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + self.point.unsigned_abs() as usize, b'0');
            out.extend_from_slice(digits);
        } else {
            let whole = self.point as usize;
            if whole >= digits.len() {
                out.extend_from_slice(digits);
                out.resize(out.len() + whole - digits.len(), b'0');
            } else {
                out.extend_from_slice(&digits[..whole]);
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
        }
    }
}
