//! Arrow values in Postgres' binary format: a [`BinaryColumn`] is built once for a column of a batch,
//! then appends one row's value after the other.
//!
//! Arrow types that show as one Postgres type are first cast to one of them, column by column.
//! Never: a value that does not fit and is sent nevertheless; that is an error when the column is built.

mod nested;
mod numeric;
#[cfg(test)]
mod tests;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array,
    Decimal256Array, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
    IntervalMonthDayNanoArray, Time64MicrosecondArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::ArrowTemporalType;
use arrow::datatypes::{
    DataType, Decimal32Type, Decimal64Type, Decimal128Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit, TimeUnit, TimestampMicrosecondType,
    TimestampNanosecondType,
};
use sql::text::{Formatter, Zone};
use sql::types::PgType;
use uuid::Uuid;

use self::nested::{List, Record};
use super::row::{NULL, sized};

/// Days and microseconds from the Unix epoch to Postgres', 2000-01-01.
pub(super) const EPOCH_DAYS: i32 = 10_957;
pub(super) const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// Writes the values of one column in binary.
#[derive(Debug)]
pub(crate) struct BinaryColumn {
    values: Values,
    nulls: Option<NullBuffer>,
}

#[derive(Debug)]
enum Values {
    /// All rows are NULL.
    Null,
    Bool(BooleanArray),
    Int2(Int16Array),
    Int4(Int32Array),
    Int8(Int64Array),
    Oid(UInt32Array),
    Float4(Float32Array),
    Float8(Float64Array),
    Numeric(Decimal128Array, i8),
    WideNumeric(Decimal256Array, i8),
    Date(Date32Array),
    Time(Time64MicrosecondArray),
    Timestamp(TimestampMicrosecondArray),
    Interval(IntervalMonthDayNanoArray),
    Uuid(Vec<Uuid>),
    Bytes(BinaryViewArray),
    /// Types whose binary form is their text.
    Text(Formatter),
    /// Text after a version number.
    Jsonb(Formatter),
    List(Box<List>),
    Record(Record),
}

impl BinaryColumn {
    /// A writer for a column that clients see as `pg_type`.
    pub(crate) fn new(array: &ArrayRef, pg_type: &PgType) -> sql::Result<Self> {
        let array = unpacked(array)?;
        Ok(Self { nulls: array.logical_nulls(), values: Values::new(&array, pg_type)? })
    }

    /// Appends the length and the value of a row, or the mark of a NULL.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend(NULL);
        } else {
            self.values.write(row, out);
        }
    }

    fn is_null(&self, row: usize) -> bool {
        matches!(self.values, Values::Null)
            || self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }
}

impl Values {
    fn new(array: &ArrayRef, pg_type: &PgType) -> sql::Result<Self> {
        if array.data_type().is_null() {
            return Ok(Self::Null);
        }
        if pg_type.array() {
            return Ok(Self::List(Box::new(List::new(array, pg_type)?)));
        }
        Ok(match pg_type.name {
            "bool" => Self::Bool(cast(array, &DataType::Boolean)?.as_boolean().clone()),
            "int2" => Self::Int2(cast(array, &DataType::Int16)?.as_primitive().clone()),
            "int4" => Self::Int4(cast(array, &DataType::Int32)?.as_primitive().clone()),
            "int8" => Self::Int8(cast(array, &DataType::Int64)?.as_primitive().clone()),
            "oid" | "xid" | "cid" | "regproc" | "regprocedure" | "regclass" | "regtype"
            | "regnamespace" | "regrole" => {
                Self::Oid(cast(array, &DataType::UInt32)?.as_primitive().clone())
            }
            "float4" => Self::Float4(cast(array, &DataType::Float32)?.as_primitive().clone()),
            "float8" => Self::Float8(cast(array, &DataType::Float64)?.as_primitive().clone()),
            "numeric" => Self::numeric(array)?,
            "date" => Self::Date(cast(array, &DataType::Date32)?.as_primitive().clone()),
            "time" => {
                let micros = DataType::Time64(TimeUnit::Microsecond);
                Self::Time(cast(array, &micros)?.as_primitive().clone())
            }
            "timestamp" | "timestamptz" => Self::Timestamp(timestamps(array)?),
            "interval" => Self::Interval(intervals(array)?),
            "uuid" => Self::Uuid(uuids(array)?),
            "bytea" => Self::Bytes(cast(array, &DataType::BinaryView)?.as_binary_view().clone()),
            "jsonb" => Self::Jsonb(Formatter::new(array, &Zone::UTC)?),
            "record" => Self::Record(Record::new(array)?),
            "text" | "varchar" | "bpchar" | "name" | "char" | "json" | "xml" | "unknown"
            | "cstring" | "pg_node_tree" => Self::Text(Formatter::new(array, &Zone::UTC)?),
            other => {
                let message = format!("type \"{other}\" has no binary form here");
                return Err(sql::Error::unsupported(message)
                    .with_hint("Ask for the results in text format, or cast the column to text."));
            }
        })
    }

    fn numeric(array: &ArrayRef) -> sql::Result<Self> {
        Ok(match array.data_type() {
            DataType::Decimal32(_, scale) => {
                let wide = array.as_primitive::<Decimal32Type>();
                Self::Numeric(wide.unary::<_, Decimal128Type>(i128::from), *scale)
            }
            DataType::Decimal64(_, scale) => {
                let wide = array.as_primitive::<Decimal64Type>();
                Self::Numeric(wide.unary::<_, Decimal128Type>(i128::from), *scale)
            }
            DataType::Decimal256(_, scale) => {
                Self::WideNumeric(array.as_primitive().clone(), *scale)
            }
            DataType::Decimal128(_, scale) => Self::Numeric(array.as_primitive().clone(), *scale),
            // Something else that is called numeric: integers have no fraction.
            _ => {
                Self::Numeric(cast(array, &DataType::Decimal128(38, 0))?.as_primitive().clone(), 0)
            }
        })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend(NULL),
            Self::Bool(array) => fixed(out, [u8::from(array.value(row))]),
            Self::Int2(array) => fixed(out, array.value(row).to_be_bytes()),
            Self::Int4(array) => fixed(out, array.value(row).to_be_bytes()),
            Self::Int8(array) => fixed(out, array.value(row).to_be_bytes()),
            Self::Oid(array) => fixed(out, array.value(row).to_be_bytes()),
            Self::Float4(array) => fixed(out, array.value(row).to_be_bytes()),
            Self::Float8(array) => fixed(out, array.value(row).to_be_bytes()),
            Self::Numeric(array, scale) => {
                let value = array.value(row);
                sized(out, |out| {
                    numeric::write(value.unsigned_abs(), value < 0, *scale, out);
                });
            }
            Self::WideNumeric(array, scale) => {
                let value = array.value(row);
                sized(out, |out| {
                    numeric::write(value.wrapping_abs(), value.is_negative(), *scale, out);
                });
            }
            Self::Date(array) => {
                fixed(out, array.value(row).saturating_sub(EPOCH_DAYS).to_be_bytes());
            }
            Self::Time(array) => fixed(out, array.value(row).to_be_bytes()),
            Self::Timestamp(array) => {
                fixed(out, array.value(row).saturating_sub(EPOCH_MICROS).to_be_bytes());
            }
            Self::Interval(array) => {
                let value = array.value(row);
                sized(out, |out| {
                    out.extend((value.nanoseconds / 1_000).to_be_bytes());
                    out.extend(value.days.to_be_bytes());
                    out.extend(value.months.to_be_bytes());
                });
            }
            Self::Uuid(uuids) => fixed(out, *uuids[row].as_bytes()),
            Self::Bytes(array) => sized(out, |out| out.extend_from_slice(array.value(row))),
            Self::Text(formatter) => sized(out, |out| formatter.write(row, out)),
            Self::Jsonb(formatter) => sized(out, |out| {
                out.push(1);
                formatter.write(row, out);
            }),
            Self::List(list) => sized(out, |out| list.write(row, out)),
            Self::Record(record) => sized(out, |out| record.write(row, out)),
        }
    }
}

/// Appends a value of a length that its type gives.
fn fixed<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    out.extend((N as u32).to_be_bytes());
    out.extend(bytes);
}

/// The same values as another type; one that does not fit is an error, never a NULL.
fn cast(array: &ArrayRef, to: &DataType) -> sql::Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(array, to, &options)?)
}

/// A dictionary's or run-end encoded array's values, one a row.
fn unpacked(array: &ArrayRef) -> sql::Result<ArrayRef> {
    match array.data_type() {
        DataType::Dictionary(_, values) if matches!(**values, DataType::Utf8) => {
            cast(array, &DataType::Utf8View)
        }
        DataType::Dictionary(_, values) => cast(array, values),
        DataType::RunEndEncoded(_, values) => cast(array, values.data_type()),
        _ => Ok(ArrayRef::clone(array)),
    }
}

fn timestamps(array: &ArrayRef) -> sql::Result<TimestampMicrosecondArray> {
    Ok(match array.data_type() {
        // A cast would round times before 1970 up, the text format rounds them down.
        DataType::Timestamp(TimeUnit::Nanosecond, _) => array
            .as_primitive::<TimestampNanosecondType>()
            .unary::<_, TimestampMicrosecondType>(|nanos| nanos.div_euclid(1_000)),
        DataType::Timestamp(_, zone) => {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            cast(array, &micros)?.as_primitive().clone()
        }
        _ => {
            let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
            cast(array, &micros)?.as_primitive().clone()
        }
    })
}

fn intervals(array: &ArrayRef) -> sql::Result<IntervalMonthDayNanoArray> {
    Ok(match array.data_type() {
        DataType::Duration(TimeUnit::Second) => durations::<DurationSecondType>(array, 1),
        DataType::Duration(TimeUnit::Millisecond) => {
            durations::<DurationMillisecondType>(array, 1_000)
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            durations::<DurationMicrosecondType>(array, 1_000_000)
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            durations::<DurationNanosecondType>(array, 1_000_000_000)
        }
        _ => {
            let interval = DataType::Interval(IntervalUnit::MonthDayNano);
            cast(array, &interval)?.as_primitive().clone()
        }
    })
}

/// Durations as days and a time, as PostgreSQL gives the difference of two timestamps.
fn durations<T>(array: &ArrayRef, per_second: i64) -> IntervalMonthDayNanoArray
where
    T: ArrowTemporalType<Native = i64>,
{
    let per_day = per_second * 86_400;
    array.as_primitive::<T>().unary::<_, IntervalMonthDayNanoType>(|value| {
        // Only durations of more than five million years have more days than fit.
        let days = (value / per_day).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        IntervalMonthDayNano::new(0, days, value % per_day * (1_000_000_000 / per_second))
    })
}

fn uuids(array: &ArrayRef) -> sql::Result<Vec<Uuid>> {
    if let DataType::FixedSizeBinary(16) = array.data_type() {
        let array = array.as_fixed_size_binary();
        let read = |bytes: Option<&[u8]>| Uuid::from_slice(bytes.unwrap_or_default()).ok();
        return Ok(array.iter().map(|bytes| read(bytes).unwrap_or_default()).collect());
    }
    let texts = cast(array, &DataType::Utf8View)?;
    let read = |text: Option<&str>| match text {
        None => Ok(Uuid::nil()),
        Some(text) => Uuid::try_parse(text).map_err(|_| {
            let message = format!("invalid input syntax for type uuid: \"{text}\"");
            sql::Error::new("22P02", message)
        }),
    };
    texts.as_string_view().iter().map(read).collect()
}
