//! Arrow values to Postgres text: a [`Formatter`] is built once for a column of a batch, then
//! appends the text of one row after the other to a buffer.
//!
//! Never: an allocation per value, or bytes for a NULL, which each protocol shows in its own way.

mod nested;
mod number;
mod temporal;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, Date32Array,
    Decimal128Array, Decimal256Array, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, LargeBinaryArray,
    LargeStringArray, PrimitiveArray, StringArray, StringViewArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowTemporalType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type,
    Decimal128Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, IntervalDayTimeType, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, IntervalYearMonthType, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};

use super::calendar::{MICROS_PER_DAY, MICROS_PER_SECOND};
use super::zone::{CachedZone, Zone};
use crate::error::{Error, Result};

pub(crate) use nested::quote_in_place;
use nested::{List, Record};
pub(super) use temporal::time;

/// Writes the values of one column as text.
#[derive(Debug)]
pub struct Formatter {
    column: Column,
    nulls: Option<NullBuffer>,
}

/// The column, downcast. Types that show alike are brought to one of them when it is built.
#[derive(Debug)]
enum Column {
    Null,
    Boolean(BooleanArray),
    Int8(Int8Array),
    Int16(Int16Array),
    Int32(Int32Array),
    Int64(Int64Array),
    UInt8(UInt8Array),
    UInt16(UInt16Array),
    UInt32(UInt32Array),
    UInt64(UInt64Array),
    Float32(Float32Array),
    Float64(Float64Array),
    Decimal(Decimal128Array, i8),
    WideDecimal(Decimal256Array, i8),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    Timestamp(TimestampMicrosecondArray),
    TimestampWithZone(TimestampMicrosecondArray, CachedZone),
    Interval(IntervalMonthDayNanoArray),
    Text(StringArray),
    LargeText(LargeStringArray),
    TextView(StringViewArray),
    Binary(BinaryArray),
    LargeBinary(LargeBinaryArray),
    BinaryView(BinaryViewArray),
    FixedBinary(FixedSizeBinaryArray),
    List(List),
    Record(Record),
}

impl Formatter {
    /// A formatter for a column; instants are shown in `zone`.
    pub fn new(array: &dyn Array, zone: &Zone) -> Result<Self> {
        Ok(Self { column: Column::new(array, zone)?, nulls: array.logical_nulls() })
    }

    /// Whether the row has no value; [`Formatter::write`] is then not to be called.
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// The bytes that texts of this type are made of, if there are few: writers need not look for
    /// others.
    pub(crate) fn alphabet(&self) -> Option<&'static [u8]> {
        match self.column {
            Column::Boolean(_) => Some(b"tf"),
            Column::Int8(_)
            | Column::Int16(_)
            | Column::Int32(_)
            | Column::Int64(_)
            | Column::UInt8(_)
            | Column::UInt16(_)
            | Column::UInt32(_)
            | Column::UInt64(_) => Some(b"-0123456789"),
            Column::Decimal(..) | Column::WideDecimal(..) => Some(b"-.0123456789"),
            Column::Float32(_) | Column::Float64(_) => Some(b"-+.0123456789eNaInfity"),
            Column::Date(_) => Some(b"-0123456789 BC"),
            Column::Time(_) | Column::Timestamp(_) | Column::TimestampWithZone(..) => {
                Some(b"-+:.0123456789 BC")
            }
            _ => None,
        }
    }

    /// Appends the text of the value in a row.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        match &self.column {
            Column::Null => {}
            Column::Boolean(array) => out.push(if array.value(row) { b't' } else { b'f' }),
            Column::Int8(array) => number::integer(array.value(row), out),
            Column::Int16(array) => number::integer(array.value(row), out),
            Column::Int32(array) => number::integer(array.value(row), out),
            Column::Int64(array) => number::integer(array.value(row), out),
            Column::UInt8(array) => number::integer(array.value(row), out),
            Column::UInt16(array) => number::integer(array.value(row), out),
            Column::UInt32(array) => number::integer(array.value(row), out),
            Column::UInt64(array) => number::integer(array.value(row), out),
            Column::Float32(array) => number::float(array.value(row), out),
            Column::Float64(array) => number::float(array.value(row), out),
            Column::Decimal(array, scale) => number::decimal(array.value(row), *scale, out),
            Column::WideDecimal(array, scale) => {
                number::wide_decimal(array.value(row), *scale, out);
            }
            Column::Date(array) => temporal::date(i64::from(array.value(row)), out),
            Column::Time(array) => time(array.value(row), out),
            Column::Timestamp(array) => temporal::timestamp(array.value(row), out),
            Column::TimestampWithZone(array, zone) => {
                let micros = array.value(row);
                let offset = zone.offset_at(micros.div_euclid(MICROS_PER_SECOND));
                temporal::timestamp_with_zone(micros, offset, out);
            }
            Column::Interval(array) => {
                let value = array.value(row);
                let micros = value.nanoseconds / 1_000;
                temporal::interval(i64::from(value.months), i64::from(value.days), micros, out);
            }
            Column::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Column::LargeText(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Column::TextView(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Column::Binary(array) => hex(array.value(row), out),
            Column::LargeBinary(array) => hex(array.value(row), out),
            Column::BinaryView(array) => hex(array.value(row), out),
            Column::FixedBinary(array) => hex(array.value(row), out),
            Column::List(list) => list.write(row, out),
            Column::Record(record) => record.write(row, out),
        }
    }
}

impl Column {
    fn new(array: &dyn Array, zone: &Zone) -> Result<Self> {
        use DataType as D;
        Ok(match array.data_type() {
            D::Null => Self::Null,
            D::Boolean => Self::Boolean(array.as_boolean().clone()),
            D::Int8 => Self::Int8(array.as_primitive().clone()),
            D::Int16 => Self::Int16(array.as_primitive().clone()),
            D::Int32 => Self::Int32(array.as_primitive().clone()),
            D::Int64 => Self::Int64(array.as_primitive().clone()),
            D::UInt8 => Self::UInt8(array.as_primitive().clone()),
            D::UInt16 => Self::UInt16(array.as_primitive().clone()),
            D::UInt32 => Self::UInt32(array.as_primitive().clone()),
            D::UInt64 => Self::UInt64(array.as_primitive().clone()),
            D::Float16 => Self::new(&cast(array, &D::Float32)?, zone)?,
            D::Float32 => Self::Float32(array.as_primitive().clone()),
            D::Float64 => Self::Float64(array.as_primitive().clone()),
            D::Decimal32(_, scale) => Self::Decimal(
                array.as_primitive::<Decimal32Type>().unary::<_, Decimal128Type>(i128::from),
                *scale,
            ),
            D::Decimal64(_, scale) => Self::Decimal(
                array.as_primitive::<Decimal64Type>().unary::<_, Decimal128Type>(i128::from),
                *scale,
            ),
            D::Decimal128(_, scale) => Self::Decimal(array.as_primitive().clone(), *scale),
            D::Decimal256(_, scale) => Self::WideDecimal(array.as_primitive().clone(), *scale),
            D::Date32 => Self::Date(array.as_primitive().clone()),
            D::Date64 => {
                let days = |millis: i64| millis.div_euclid(MICROS_PER_DAY / 1_000) as i32;
                Self::Date(array.as_primitive::<Date64Type>().unary::<_, Date32Type>(days))
            }
            D::Time32(_) | D::Time64(_) => Self::Time(time_in_micros(array)?),
            D::Timestamp(_, None) => Self::Timestamp(timestamp_in_micros(array)?),
            D::Timestamp(_, Some(_)) => {
                Self::TimestampWithZone(timestamp_in_micros(array)?, CachedZone::new(*zone))
            }
            D::Interval(_) | D::Duration(_) => Self::Interval(interval(array)?),
            D::Utf8 => Self::Text(array.as_string().clone()),
            D::LargeUtf8 => Self::LargeText(array.as_string().clone()),
            D::Utf8View => Self::TextView(array.as_string_view().clone()),
            D::Binary => Self::Binary(array.as_binary().clone()),
            D::LargeBinary => Self::LargeBinary(array.as_binary().clone()),
            D::BinaryView => Self::BinaryView(array.as_binary_view().clone()),
            D::FixedSizeBinary(_) => Self::FixedBinary(array.as_fixed_size_binary().clone()),
            D::List(_)
            | D::LargeList(_)
            | D::FixedSizeList(..)
            | D::ListView(_)
            | D::LargeListView(_)
            | D::Map(..) => Self::List(List::new(array, zone)?),
            D::Struct(_) => Self::Record(Record::new(array.as_struct(), zone)?),
            D::Dictionary(_, values) => Self::new(&unpacked(array, values)?, zone)?,
            D::RunEndEncoded(_, values) => Self::new(&unpacked(array, values.data_type())?, zone)?,
            other @ D::Union(..) => return Err(Error::UnsupportedType(other.clone())),
        })
    }
}

/// A dictionary's or run-end encoded array's values, one a row. Texts become views of the
/// dictionary's, which copies none of them.
fn unpacked(array: &dyn Array, values: &DataType) -> Result<ArrayRef> {
    let views = matches!(values, DataType::Utf8 | DataType::LargeUtf8)
        && matches!(array.data_type(), DataType::Dictionary(..));
    Ok(cast(array, if views { &DataType::Utf8View } else { values })?)
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\x");
    out.extend(
        bytes
            .iter()
            .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]),
    );
}

/// A column of another unit or type as one in microseconds.
fn in_micros<From, To>(array: &dyn Array, to_micros: impl Fn(i64) -> i64) -> PrimitiveArray<To>
where
    From: ArrowTemporalType,
    From::Native: Into<i64>,
    To: ArrowTemporalType<Native = i64>,
{
    array.as_primitive::<From>().unary(|value| to_micros(value.into()))
}

fn time_in_micros(array: &dyn Array) -> Result<Time64MicrosecondArray> {
    Ok(match array.data_type() {
        DataType::Time32(TimeUnit::Second) => {
            in_micros::<Time32SecondType, _>(array, |value| value * MICROS_PER_SECOND)
        }
        DataType::Time32(_) => in_micros::<Time32MillisecondType, _>(array, |value| value * 1_000),
        DataType::Time64(TimeUnit::Nanosecond) => {
            in_micros::<Time64NanosecondType, _>(array, |value| value / 1_000)
        }
        _ => array.as_primitive::<Time64MicrosecondType>().clone(),
    })
}

fn timestamp_in_micros(array: &dyn Array) -> Result<TimestampMicrosecondArray> {
    let DataType::Timestamp(unit, _) = array.data_type() else {
        return Err(Error::UnsupportedType(array.data_type().clone()));
    };
    Ok(match unit {
        TimeUnit::Second => in_micros::<TimestampSecondType, _>(array, |value| {
            value.saturating_mul(MICROS_PER_SECOND)
        }),
        TimeUnit::Millisecond => {
            in_micros::<TimestampMillisecondType, _>(array, |value| value.saturating_mul(1_000))
        }
        TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().clone(),
        TimeUnit::Nanosecond => {
            in_micros::<TimestampNanosecondType, _>(array, |value| value.div_euclid(1_000))
        }
    })
}

fn interval(array: &dyn Array) -> Result<IntervalMonthDayNanoArray> {
    const NANOS_PER_MILLI: i64 = 1_000_000;
    let of_months = |months| IntervalMonthDayNano::new(months, 0, 0);
    Ok(match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => array.as_primitive().clone(),
        DataType::Interval(IntervalUnit::YearMonth) => {
            array.as_primitive::<IntervalYearMonthType>().unary(of_months)
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            array.as_primitive::<IntervalDayTimeType>().unary(|value| {
                let nanos = i64::from(value.milliseconds) * NANOS_PER_MILLI;
                IntervalMonthDayNano::new(0, value.days, nanos)
            })
        }
        DataType::Duration(TimeUnit::Second) => duration::<DurationSecondType>(array, 1),
        DataType::Duration(TimeUnit::Millisecond) => {
            duration::<DurationMillisecondType>(array, 1_000)
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            duration::<DurationMicrosecondType>(array, 1_000_000)
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            duration::<DurationNanosecondType>(array, 1_000_000_000)
        }
        other => return Err(Error::UnsupportedType(other.clone())),
    })
}

/// A duration as days and a time, as PostgreSQL shows the difference of two timestamps.
fn duration<T>(array: &dyn Array, per_second: i64) -> IntervalMonthDayNanoArray
where
    T: ArrowTemporalType<Native = i64>,
{
    let per_day = per_second * 86_400;
    array.as_primitive::<T>().unary::<_, IntervalMonthDayNanoType>(|value| {
        let days =
            i32::try_from(value / per_day).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX });
        IntervalMonthDayNano::new(0, days, value % per_day * (1_000_000_000 / per_second))
    })
}
