//! The decimal places of seconds that a type such as `timestamp(3)` keeps.
//!
//! Never: more than six, which is what is stored.

use arrow::datatypes::Field;

use crate::text::TYPE_KEY;
use crate::text::calendar::{MICROS_PER_SECOND, SECONDS_PER_DAY, days_from_civil};

/// The unit to which times are rounded, in microseconds; 1 leaves them as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::text::parse) struct Precision(i64);

/// PostgreSQL counts from here, and rounds away from here.
const EPOCH: i64 = days_from_civil(2000, 1, 1) * SECONDS_PER_DAY * MICROS_PER_SECOND;

impl Precision {
    const ALL: Self = Self(1);

    /// The precision that a type's name has in parentheses; `None` if it is not one.
    pub(in crate::text::parse) fn named(name: &str) -> Option<Self> {
        let Some((_, rest)) = name.split_once('(') else {
            return Some(Self::ALL);
        };
        let (digits, _) = rest.split_once(')')?;
        let cut = 6_u32.checked_sub(digits.trim().parse().ok()?)?;
        Some(Self(10_i64.pow(cut)))
    }

    /// The precision of a column.
    pub(in crate::text::parse) fn of(field: &Field) -> Self {
        let name = field.metadata().get(TYPE_KEY);
        name.and_then(|name| Self::named(name)).unwrap_or(Self::ALL)
    }

    pub(super) fn time(self, micros: i64) -> i64 {
        if self == Self::ALL {
            return micros;
        }
        (micros.abs() + self.0 / 2) / self.0 * self.0 * micros.signum()
    }

    pub(super) fn timestamp(self, micros: i64) -> i64 {
        if self == Self::ALL {
            return micros;
        }
        micros.checked_sub(EPOCH).map_or(micros, |since| EPOCH + self.time(since))
    }
}
