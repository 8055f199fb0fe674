//! Single values in Delta's text forms: bounds in statistics, and partition values.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use datafusion::common::ScalarValue;
use serde_json::Value;

/// Characters of a string that statistics keep.
const PREFIX_CHARS: usize = 32;
/// Decimals of so many digits can be told apart as doubles.
const EXACT_DOUBLE: f64 = 1e14;
/// How far a number with a fraction may be off that was read from JSON, relative to itself.
const JSON_ERROR: f64 = 4.0 * f64::EPSILON;
const MICROS_PER_MILLI: i64 = 1000;

/// A bound that no value is below.
pub(super) fn lower(value: &Value, data_type: &DataType) -> Option<ScalarValue> {
    read(value, data_type, false)
}

/// A bound that no value is above.
pub(super) fn upper(value: &Value, data_type: &DataType) -> Option<ScalarValue> {
    read(value, data_type, true)
}

fn read(value: &Value, data_type: &DataType, upper: bool) -> Option<ScalarValue> {
    Some(match data_type {
        DataType::Boolean => ScalarValue::Boolean(Some(value.as_bool()?)),
        DataType::Int8 => ScalarValue::Int8(Some(value.as_i64()?.try_into().ok()?)),
        DataType::Int16 => ScalarValue::Int16(Some(value.as_i64()?.try_into().ok()?)),
        DataType::Int32 => ScalarValue::Int32(Some(value.as_i64()?.try_into().ok()?)),
        DataType::Int64 => ScalarValue::Int64(Some(value.as_i64()?)),
        DataType::Float32 => ScalarValue::Float32(Some(read_float32(value.as_f64()?, upper))),
        DataType::Float64 => ScalarValue::Float64(Some(read_float64(value, upper)?)),
        DataType::Utf8 => ScalarValue::Utf8(Some(value.as_str()?.to_owned())),
        DataType::Date32 => ScalarValue::Date32(Some(read_date(value.as_str()?)?)),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = read_timestamp(value.as_str()?)?;
            // Others cut to milliseconds.
            let cut = upper && micros % MICROS_PER_MILLI == 0;
            let micros = if cut { micros.checked_add(MICROS_PER_MILLI - 1)? } else { micros };
            ScalarValue::TimestampMicrosecond(Some(micros), zone.clone())
        }
        DataType::Decimal128(precision, scale) => {
            let unscaled = read_decimal(value, *scale, upper)?;
            ScalarValue::Decimal128(Some(unscaled), *precision, *scale)
        }
        _ => return None,
    })
}

/// Whole numbers are read exactly; others may come out as a neighbour.
fn read_float64(value: &Value, upper: bool) -> Option<f64> {
    let number = value.as_f64()?;
    if value.is_i64() {
        return Some(number);
    }
    let slack = number.abs() * JSON_ERROR;
    Some(if upper { (number + slack).next_up() } else { (number - slack).next_down() })
}

/// The double in the text may have been a rounded single.
fn read_float32(value: f64, upper: bool) -> f32 {
    let near = value as f32;
    match f64::from(near).partial_cmp(&value) {
        Some(std::cmp::Ordering::Less) if upper => near.next_up(),
        Some(std::cmp::Ordering::Greater) if !upper => near.next_down(),
        _ => near,
    }
}

/// Decimals are JSON numbers, which arrive as doubles: up to 14 digits are exact, more are widened.
fn read_decimal(value: &Value, scale: i8, upper: bool) -> Option<i128> {
    let factor = 10_i128.checked_pow(u32::try_from(scale).ok()?)?;
    if let Some(whole) = value.as_i64() {
        return i128::from(whole).checked_mul(factor);
    }
    let number = match value.as_str() {
        Some(text) => text.parse().ok()?,
        None => value.as_f64()?,
    };
    let unscaled: f64 = number * factor as f64;
    let unscaled = if unscaled.abs() < EXACT_DOUBLE {
        unscaled.round()
    } else {
        let slack = unscaled.abs() * JSON_ERROR;
        if upper { (unscaled + slack).ceil() } else { (unscaled - slack).floor() }
    };
    (unscaled.abs() < 1e38).then_some(unscaled as i128)
}

fn read_date(text: &str) -> Option<i32> {
    let date: NaiveDate = text.parse().ok()?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

fn read_timestamp(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|time| time.and_utc().timestamp_micros())
}

/// The JSON of a least value; `None` where the type has no bounds or the value no text.
pub(super) fn lower_json(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(Some(text)) => json_string(cut(text)),
        other => json(other),
    }
}

/// The JSON of a greatest value.
pub(super) fn upper_json(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(Some(text)) if cut(text).len() < text.len() => {
            json_string(&next_after(cut(text))?)
        }
        other => json(other),
    }
}

fn json(value: &ScalarValue) -> Option<String> {
    Some(match value {
        ScalarValue::Boolean(Some(v)) => v.to_string(),
        ScalarValue::Int8(Some(v)) => v.to_string(),
        ScalarValue::Int16(Some(v)) => v.to_string(),
        ScalarValue::Int32(Some(v)) => v.to_string(),
        ScalarValue::Int64(Some(v)) => v.to_string(),
        ScalarValue::Float32(Some(v)) if v.is_finite() => float_text(f64::from(*v)),
        ScalarValue::Float64(Some(v)) if v.is_finite() => float_text(*v),
        ScalarValue::Decimal128(Some(v), _, scale) => decimal_text(*v, *scale),
        ScalarValue::Utf8(Some(v)) => return json_string(v),
        ScalarValue::Date32(Some(v)) => return json_string(&date_text(*v)?),
        ScalarValue::TimestampMicrosecond(Some(v), zone) => {
            let time = DateTime::from_timestamp_micros(*v)?;
            let zone = if zone.is_some() { "Z" } else { "" };
            format!("\"{}{zone}\"", time.format("%Y-%m-%dT%H:%M:%S%.6f"))
        }
        _ => return None,
    })
}

fn json_string(text: &str) -> Option<String> {
    serde_json::to_string(text).ok()
}

/// The shortest text that reads back as the same number; whole where the number is.
fn float_text(value: f64) -> String {
    let whole = value.fract() == 0.0 && value.abs() < EXACT_DOUBLE && value != 0.0;
    if whole { format!("{value}") } else { format!("{value:?}") }
}

fn decimal_text(unscaled: i128, scale: i8) -> String {
    let scale = usize::try_from(scale).unwrap_or(0);
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn date_text(days: i32) -> Option<String> {
    let date = NaiveDate::default().checked_add_signed(chrono::Duration::days(days.into()))?;
    Some(date.format("%Y-%m-%d").to_string())
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(PREFIX_CHARS).map_or(text, |(end, _)| &text[..end])
}

/// The least string of at most as many characters that is above every string with this prefix.
fn next_after(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            char::MAX => None,
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// A partition value in Delta's text form; the outer `None` where the type cannot be one.
pub(crate) fn partition_text(array: &dyn Array, row: usize) -> Option<Option<String>> {
    if array.is_null(row) {
        return Some(None);
    }
    Some(Some(match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Date32 => date_text(array.as_primitive::<Date32Type>().value(row))?,
        DataType::Decimal128(_, scale) => {
            decimal_text(array.as_primitive::<Decimal128Type>().value(row), *scale)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            DateTime::from_timestamp_micros(micros)?.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
        }
        _ => return None,
    }))
}

/// Reads a partition value; absent and empty text are NULL.
pub(crate) fn partition_scalar(text: Option<&str>, data_type: &DataType) -> Option<ScalarValue> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return ScalarValue::try_from(data_type).ok();
    };
    match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            Some(ScalarValue::TimestampMicrosecond(Some(read_timestamp(text)?), zone.clone()))
        }
        DataType::Date32 => Some(ScalarValue::Date32(Some(read_date(text)?))),
        other => ScalarValue::try_from_string(text.to_owned(), other).ok(),
    }
}
