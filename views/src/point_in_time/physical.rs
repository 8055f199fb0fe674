//! The condition of a point-in-time join over physical expressions, ready to run.
//!
//! Never: evaluates the longest age per row; it is one number, in the unit of the times.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExprRef;

use super::columns::{Encoding, Side, native};
use super::condition::MatchOperator;
use super::types::sql_text;
use crate::Error;

/// `left operator right` over physical expressions of one type.
#[derive(Debug, Clone)]
pub(super) struct PhysicalComparison {
    pub(super) left: PhysicalExprRef,
    pub(super) operator: MatchOperator,
    pub(super) right: PhysicalExprRef,
}

impl fmt::Display for PhysicalComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.left, self.operator, self.right)
    }
}

/// The whole condition of a point-in-time join.
#[derive(Debug, Clone)]
pub(super) struct PhysicalCondition {
    pub(super) on: Vec<(PhysicalExprRef, PhysicalExprRef)>,
    pub(super) time: PhysicalComparison,
    /// The longest age, inclusive, in the unit of the times.
    pub(super) age_max: Option<i64>,
    pub(super) cuts: Vec<PhysicalComparison>,
}

impl PhysicalCondition {
    /// How the rows of the left and the right side are encoded for comparison.
    pub(super) fn sides(&self, left: &Schema) -> Result<(Side, Side)> {
        let types = self.on.iter().map(|(key, _)| key.data_type(left));
        let keys = Arc::new(Encoding::new(&types.collect::<Result<Vec<_>>>()?, false)?);
        let encoding = |comparison: &PhysicalComparison| -> Result<Arc<Encoding>> {
            let data_type = comparison.left.data_type(left)?;
            Ok(Arc::new(Encoding::new(&[data_type], comparison.operator.forward())?))
        };
        let time = encoding(&self.time)?;
        let cuts = self.cuts.iter().map(encoding).collect::<Result<Vec<_>>>()?;
        let side = |pick: fn(&PhysicalComparison) -> &PhysicalExprRef, keys_of| Side {
            keys: (keys_of, Arc::clone(&keys)),
            time: (Arc::clone(pick(&self.time)), Arc::clone(&time)),
            cuts: self.cuts.iter().map(|c| Arc::clone(pick(c))).zip(cuts.iter().cloned()).collect(),
        };
        let left_keys = self.on.iter().map(|(key, _)| Arc::clone(key)).collect();
        let right_keys = self.on.iter().map(|(_, key)| Arc::clone(key)).collect();
        Ok((side(|c| &c.left, left_keys), side(|c| &c.right, right_keys)))
    }

    /// Whether, among left rows of one key in the order of their times, a right row that satisfies
    /// the cuts keeps satisfying them.
    pub(super) fn cuts_follow_time(&self) -> bool {
        self.cuts.iter().all(|cut| {
            cut.left.as_ref() == self.time.left.as_ref()
                && cut.operator.forward() == self.time.operator.forward()
        })
    }

    /// Whether left rows can be looked up by time.
    pub(super) fn can_look_up(&self, left: &Schema) -> Result<bool> {
        Ok(native(&self.time.left.data_type(left)?) && self.cuts_follow_time())
    }
}

impl fmt::Display for PhysicalCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "match=[{}]", self.time)?;
        if !self.on.is_empty() {
            let keys = self.on.iter().map(|(left, right)| format!("({left}, {right})"));
            write!(f, ", on=[{}]", keys.collect::<Vec<_>>().join(", "))?;
        }
        if let Some(age) = self.age_max {
            write!(f, ", age_max={age}")?;
        }
        if !self.cuts.is_empty() {
            let cuts = self.cuts.iter().map(ToString::to_string);
            write!(f, ", and=[{}]", cuts.collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
    }
}

/// The longest age in the unit of a time's type, inclusive.
pub(super) fn age_max(limit: &ScalarValue, strict: bool, time: &DataType) -> Result<i64> {
    let refuse = |reason| {
        let limit = sql_text(&Expr::Literal(limit.clone(), None));
        Err(Error::AsOfTolerance { limit, reason }.into())
    };
    if !native(time) {
        return refuse("ages are measured between dates, timestamps and integers only");
    }
    let (amount, unit) = match unit_nanos(time) {
        // Days between dates may be given as a number, too.
        Some(unit) => match (nanos(limit), integer(limit), time) {
            (Ok(Some(nanos)), _, _) => (nanos, unit),
            (Ok(None), Some(days), DataType::Date32) => (days * unit, unit),
            (Ok(None), _, _) => return refuse("it must be an interval"),
            (Err(reason), _, _) => return refuse(reason),
        },
        None => match integer(limit) {
            Some(integer) => (integer, 1),
            None => return refuse("it must be an integer, like the times"),
        },
    };
    // The greatest whole number of units that is below, or not above, the limit.
    let units = match strict {
        true => (amount + unit - 1).div_euclid(unit) - 1,
        false => amount.div_euclid(unit),
    };
    Ok(units.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

fn unit_nanos(time: &DataType) -> Option<i128> {
    match time {
        DataType::Date32 => Some(NANOS_PER_DAY),
        DataType::Date64 => Some(1_000_000),
        DataType::Timestamp(unit, _) | DataType::Duration(unit) => Some(match unit {
            TimeUnit::Second => 1_000_000_000,
            TimeUnit::Millisecond => 1_000_000,
            TimeUnit::Microsecond => 1_000,
            TimeUnit::Nanosecond => 1,
        }),
        _ => None,
    }
}

/// The length of an interval; `None` if the value is none.
fn nanos(limit: &ScalarValue) -> Result<Option<i128>, &'static str> {
    const MONTHS: &str = "months and years have no fixed length: give days";
    Ok(match limit {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months != 0 => {
            return Err(MONTHS);
        }
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            Some(i128::from(interval.days) * NANOS_PER_DAY + i128::from(interval.nanoseconds))
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            let milliseconds = i128::from(interval.milliseconds) * 1_000_000;
            Some(i128::from(interval.days) * NANOS_PER_DAY + milliseconds)
        }
        ScalarValue::IntervalYearMonth(Some(_)) => return Err(MONTHS),
        ScalarValue::DurationSecond(Some(value)) => Some(i128::from(*value) * 1_000_000_000),
        ScalarValue::DurationMillisecond(Some(value)) => Some(i128::from(*value) * 1_000_000),
        ScalarValue::DurationMicrosecond(Some(value)) => Some(i128::from(*value) * 1_000),
        ScalarValue::DurationNanosecond(Some(value)) => Some(i128::from(*value)),
        _ => None,
    })
}

fn integer(limit: &ScalarValue) -> Option<i128> {
    match limit {
        ScalarValue::Int8(Some(value)) => Some(i128::from(*value)),
        ScalarValue::Int16(Some(value)) => Some(i128::from(*value)),
        ScalarValue::Int32(Some(value)) => Some(i128::from(*value)),
        ScalarValue::Int64(Some(value)) => Some(i128::from(*value)),
        ScalarValue::UInt8(Some(value)) => Some(i128::from(*value)),
        ScalarValue::UInt16(Some(value)) => Some(i128::from(*value)),
        ScalarValue::UInt32(Some(value)) => Some(i128::from(*value)),
        ScalarValue::UInt64(Some(value)) => Some(i128::from(*value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use datafusion::arrow::datatypes::IntervalMonthDayNano;

    use super::*;

    fn interval(months: i32, days: i32, nanoseconds: i64) -> ScalarValue {
        ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds }))
    }

    #[test]
    fn an_age_is_rounded_to_the_unit_so_that_no_older_row_passes() {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let limit = interval(0, 0, 1_500);
        assert_eq!(age_max(&limit, false, &micros).unwrap(), 1);
        assert_eq!(age_max(&limit, true, &micros).unwrap(), 1);
        let limit = interval(0, 0, 2_000);
        assert_eq!(age_max(&limit, false, &micros).unwrap(), 2);
        assert_eq!(age_max(&limit, true, &micros).unwrap(), 1);
        assert_eq!(age_max(&interval(0, 0, -1), false, &micros).unwrap(), -1);
    }

    #[test]
    fn days_count_for_dates_and_integers_for_integers() {
        assert_eq!(age_max(&interval(0, 7, 0), false, &DataType::Date32).unwrap(), 7);
        assert_eq!(age_max(&ScalarValue::Int64(Some(7)), true, &DataType::Date32).unwrap(), 6);
        assert_eq!(age_max(&ScalarValue::Int32(Some(7)), false, &DataType::Int64).unwrap(), 7);
    }

    #[test]
    fn an_age_that_has_no_fixed_length_or_another_type_is_refused() {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        assert!(age_max(&interval(1, 0, 0), false, &micros).is_err());
        assert!(age_max(&ScalarValue::Int64(Some(7)), false, &micros).is_err());
        assert!(age_max(&interval(0, 7, 0), false, &DataType::Int64).is_err());
        assert!(age_max(&ScalarValue::Int64(Some(7)), false, &DataType::Float64).is_err());
        assert!(age_max(&ScalarValue::IntervalMonthDayNano(None), false, &micros).is_err());
    }
}
