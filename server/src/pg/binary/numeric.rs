//! `numeric` in binary: a sign, and groups of four decimal digits aligned at the decimal point.
//!
//! Never: a detour over text, or a rounding.

use arrow::datatypes::i256;

const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;

/// 76 digits make 19 groups, and one more where they straddle the decimal point.
const GROUPS_MAX: usize = 20;

/// A number without sign that can be taken apart from its last digits on.
pub(super) trait Magnitude {
    /// Divides by a small number and gives the remainder.
    fn take(&mut self, divisor: u16) -> u16;

    /// Whether nothing is left.
    fn is_zero(&self) -> bool;
}

impl Magnitude for u128 {
    fn take(&mut self, divisor: u16) -> u16 {
        // Division of 128 bits is slow, and most numbers are small.
        if let Ok(small) = u64::try_from(*self) {
            let divisor = u64::from(divisor);
            *self = Self::from(small / divisor);
            (small % divisor) as u16
        } else {
            let divisor = Self::from(divisor);
            let remainder = *self % divisor;
            *self /= divisor;
            remainder as u16
        }
    }

    fn is_zero(&self) -> bool {
        *self == 0
    }
}

impl Magnitude for i256 {
    fn take(&mut self, divisor: u16) -> u16 {
        let divisor = Self::from_i128(i128::from(divisor));
        let remainder = self.wrapping_rem(divisor);
        *self = self.wrapping_div(divisor);
        remainder.as_i128() as u16
    }

    fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

/// Appends `magnitude / 10^scale`.
pub(super) fn write(mut magnitude: impl Magnitude, negative: bool, scale: i8, out: &mut Vec<u8>) {
    let mut groups = [0_u16; GROUPS_MAX];
    let mut count = 0;
    // The last group may hold fewer digits of the number than four, and zeros after them.
    let digits_of_last = scale.rem_euclid(4) as u32;
    if digits_of_last > 0 {
        groups[0] = magnitude.take(10_u16.pow(digits_of_last)) * 10_u16.pow(4 - digits_of_last);
        count = 1;
    }
    while !magnitude.is_zero() && count < GROUPS_MAX {
        groups[count] = magnitude.take(10_000);
        count += 1;
    }
    let zeros_after = groups[..count].iter().take_while(|group| **group == 0).count();
    let used = &groups[zeros_after..count];
    // How many places the groups' numbers are below the point: the first of them is 10000^-places.
    let places = (i16::from(scale) + digits_missing(scale)) / 4;
    let weight = if used.is_empty() { 0 } else { count as i16 - 1 - places };
    out.extend((used.len() as u16).to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend(if negative { NEGATIVE } else { POSITIVE }.to_be_bytes());
    out.extend((scale.max(0) as u16).to_be_bytes());
    used.iter().rev().for_each(|group| out.extend(group.to_be_bytes()));
}

/// How many digits lack from the scale to a multiple of four.
fn digits_missing(scale: i8) -> i16 {
    i16::from((4 - scale.rem_euclid(4)) % 4)
}
