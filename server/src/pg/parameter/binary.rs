//! Values in Postgres' binary format, as a Bind message brings them.
//!
//! Never: a read beyond the value's own bytes, or memory for a length that is only announced.

use arrow::array::Time64MicrosecondArray;
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano};
use bytes::{Buf, Bytes};
use datafusion::scalar::ScalarValue;
use sql::text::{Formatter, Zone};
use sql::types::{PgType, by_oid, field_of_pg_type};
use uuid::Uuid;

use super::{parse_text, utf8};
use crate::pg::binary::{EPOCH_DAYS, EPOCH_MICROS};

/// Digits that `numeric` has here at most.
const DIGITS_MAX: i32 = 38;
const DAY_MICROS: i64 = 86_400_000_000;

/// The value in `bytes`, of the Arrow type that stands for `pg_type` where there is a choice.
pub(super) fn decode(
    bytes: &Bytes,
    pg_type: &PgType,
    data_type: &DataType,
    zone: &Zone,
) -> sql::Result<ScalarValue> {
    if pg_type.array() {
        return array(bytes.clone(), pg_type, zone);
    }
    Ok(match pg_type.name {
        "bool" => match exact::<1>(bytes)? {
            [0] => ScalarValue::Boolean(Some(false)),
            [_] => ScalarValue::Boolean(Some(true)),
        },
        "int2" => ScalarValue::Int16(Some(i16::from_be_bytes(exact(bytes)?))),
        "int4" => ScalarValue::Int32(Some(i32::from_be_bytes(exact(bytes)?))),
        "int8" => ScalarValue::Int64(Some(i64::from_be_bytes(exact(bytes)?))),
        "oid" | "xid" | "cid" | "regproc" | "regprocedure" | "regclass" | "regtype"
        | "regnamespace" | "regrole" => {
            ScalarValue::UInt32(Some(u32::from_be_bytes(exact(bytes)?)))
        }
        "float4" => ScalarValue::Float32(Some(f32::from_be_bytes(exact(bytes)?))),
        "float8" => ScalarValue::Float64(Some(f64::from_be_bytes(exact(bytes)?))),
        "numeric" => numeric(bytes.clone())?,
        "date" => ScalarValue::Date32(Some(date(i32::from_be_bytes(exact(bytes)?))?)),
        "timestamp" => {
            let micros = timestamp(i64::from_be_bytes(exact(bytes)?))?;
            ScalarValue::TimestampMicrosecond(Some(micros), None)
        }
        "timestamptz" => {
            let micros = timestamp(i64::from_be_bytes(exact(bytes)?))?;
            ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
        }
        "time" => time(i64::from_be_bytes(exact(bytes)?), data_type)?,
        "interval" => interval(bytes)?,
        "uuid" => ScalarValue::Utf8(Some(Uuid::from_bytes(exact(bytes)?).to_string())),
        "bytea" => ScalarValue::Binary(Some(bytes.to_vec())),
        "jsonb" => match bytes.split_first() {
            Some((1, text)) => textual(text, pg_type, zone)?,
            _ => return Err(incorrect()),
        },
        "text" | "varchar" | "bpchar" | "name" | "char" | "json" | "unknown" => {
            textual(bytes, pg_type, zone)?
        }
        other => {
            let message = format!("parameters of type \"{other}\" are not supported in binary");
            return Err(sql::Error::unsupported(message).with_hint("Send the parameter as text."));
        }
    })
}

fn exact<const N: usize>(bytes: &[u8]) -> sql::Result<[u8; N]> {
    bytes.try_into().map_err(|_| incorrect())
}

fn incorrect() -> sql::Error {
    sql::Error::new("22P03", "incorrect binary data format in bind parameter")
}

/// Types whose binary form is their text: read, and checked, as text is.
fn textual(bytes: &[u8], pg_type: &PgType, zone: &Zone) -> sql::Result<ScalarValue> {
    let field =
        field_of_pg_type("", pg_type, true).unwrap_or_else(|| Field::new("", DataType::Utf8, true));
    parse_text(utf8(bytes)?, &field, zone)
}

fn date(days: i32) -> sql::Result<i32> {
    match days {
        i32::MIN | i32::MAX => Err(infinite("date")),
        _ => days.checked_add(EPOCH_DAYS).ok_or_else(|| out_of_range("date")),
    }
}

fn timestamp(micros: i64) -> sql::Result<i64> {
    match micros {
        i64::MIN | i64::MAX => Err(infinite("timestamp")),
        _ => micros.checked_add(EPOCH_MICROS).ok_or_else(|| out_of_range("timestamp")),
    }
}

fn infinite(type_name: &str) -> sql::Error {
    sql::Error::unsupported(format!("{type_name} value \"infinity\" is not supported"))
}

fn out_of_range(type_name: &str) -> sql::Error {
    sql::Error::new("22008", format!("{type_name} out of range"))
}

/// Times are kept as text, in the one form that the text format shows.
fn time(micros: i64, data_type: &DataType) -> sql::Result<ScalarValue> {
    if !(0..=DAY_MICROS).contains(&micros) {
        return Err(out_of_range("time"));
    }
    if !matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) {
        return Ok(ScalarValue::Time64Microsecond(Some(micros)));
    }
    let mut text = Vec::new();
    let array = Time64MicrosecondArray::from_iter_values([micros]);
    Formatter::new(&array, &Zone::UTC)?.write(0, &mut text);
    Ok(ScalarValue::Utf8(Some(utf8(&text)?.to_owned())))
}

fn interval(bytes: &[u8]) -> sql::Result<ScalarValue> {
    let mut bytes = &exact::<16>(bytes)?[..];
    let (micros, days, months) = (bytes.get_i64(), bytes.get_i32(), bytes.get_i32());
    let nanos = micros.checked_mul(1_000).ok_or_else(|| out_of_range("interval"))?;
    let interval = IntervalMonthDayNano::new(months, days, nanos);
    Ok(ScalarValue::IntervalMonthDayNano(Some(interval)))
}

/// A number with as many decimal places as the client sent.
fn numeric(mut bytes: Bytes) -> sql::Result<ScalarValue> {
    const NEGATIVE: u16 = 0x4000;
    let mut header = || bytes.try_get_u16().map_err(|_| incorrect());
    let (groups, weight) = (header()?, header()? as i16);
    let (sign, places) = (header()?, header()?);
    if bytes.len() != usize::from(groups) * 2 {
        return Err(incorrect());
    }
    if sign != 0 && sign != NEGATIVE {
        let error = sql::Error::new("22003", "numeric value cannot be stored");
        return Err(error.with_detail("Numeric values are finite numbers only."));
    }
    let scale = i32::from(places);
    if scale > DIGITS_MAX {
        return Err(numeric_overflow());
    }
    let mut value = 0_i128;
    for index in 0..i32::from(groups) {
        let group = i128::from(bytes.get_u16());
        if group > 9_999 {
            return Err(incorrect());
        }
        // The power of ten that the group counts, in units of the last place.
        let exponent = 4 * (i32::from(weight) - index) + scale;
        let part = if exponent >= 0 {
            power_of_ten(exponent).and_then(|power| group.checked_mul(power))
        } else {
            // Digits beyond the last place are zeros that fill up the group.
            Some(power_of_ten(-exponent).map_or(0, |power| group / power))
        };
        let part = if group == 0 { Some(0) } else { part };
        value = part.and_then(|part| value.checked_add(part)).ok_or_else(numeric_overflow)?;
    }
    if value >= power_of_ten(DIGITS_MAX).unwrap_or(i128::MAX) {
        return Err(numeric_overflow());
    }
    let value = if sign == NEGATIVE { -value } else { value };
    Ok(ScalarValue::Decimal128(Some(value), DIGITS_MAX as u8, scale as i8))
}

fn power_of_ten(exponent: i32) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

fn numeric_overflow() -> sql::Error {
    sql::Error::new("22003", "numeric value out of range")
        .with_detail(format!("Numeric values have at most {DIGITS_MAX} digits."))
}

fn array(mut bytes: Bytes, pg_type: &PgType, zone: &Zone) -> sql::Result<ScalarValue> {
    let number = |bytes: &mut Bytes| bytes.try_get_i32().map_err(|_| incorrect());
    let (dimensions, _has_nulls) = (number(&mut bytes)?, number(&mut bytes)?);
    let element_oid = number(&mut bytes)? as u32;
    let element = by_oid(element_oid)
        .filter(|element| element.oid == pg_type.element_oid)
        .ok_or_else(|| sql::Error::new("42804", "wrong element type of an array parameter"))?;
    let field = field_of_pg_type("item", &element, true)
        .ok_or_else(|| sql::Error::unsupported(format!("arrays of {}", element.format())))?;
    let count = match dimensions {
        0 => 0,
        1 => {
            let (count, _lower_bound) = (number(&mut bytes)?, number(&mut bytes)?);
            usize::try_from(count).map_err(|_| incorrect())?
        }
        _ => {
            let message = "arrays of more than one dimension are not supported as parameters";
            return Err(sql::Error::unsupported(message));
        }
    };
    // Every element takes the four bytes of its length at least.
    if count > bytes.len() / 4 {
        return Err(incorrect());
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let value = match number(&mut bytes)? {
            -1 => ScalarValue::try_from(field.data_type())?,
            length => {
                let length = usize::try_from(length).map_err(|_| incorrect())?;
                if length > bytes.len() {
                    return Err(incorrect());
                }
                let value = decode(&bytes.split_to(length), &element, field.data_type(), zone)?;
                value.cast_to(field.data_type())?
            }
        };
        values.push(value);
    }
    if !bytes.is_empty() {
        return Err(incorrect());
    }
    Ok(ScalarValue::List(ScalarValue::new_list(&values, field.data_type(), true)))
}
