//! Arrow values as Postgres prints them, with the session's time zone at UTC.
//!
//! Written apart from the server's own formatting on purpose: the two are held against each other,
//! and both against PostgreSQL. Never: guesses. A type that no test needs yet is an error in the text.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type};
use arrow::datatypes::{Int64Type, TimeUnit, UInt32Type, UInt64Type};
use arrow::util::display::array_value_to_string;

/// The text of one value, `None` for NULL.
#[must_use]
pub fn render(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Null => return None,
        DataType::Boolean => if column.as_boolean().value(row) { "t" } else { "f" }.to_owned(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Float32 => {
            let value = column.as_primitive::<Float32Type>().value(row);
            float(f64::from(value), &format!("{value:e}"), 6)
        }
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            float(value, &format!("{value:e}"), 15)
        }
        DataType::Decimal128(_, _) => column.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).to_owned(),
        DataType::Utf8View => column.as_string_view().value(row).to_owned(),
        DataType::Binary => bytes(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(column.as_binary::<i64>().value(row)),
        DataType::BinaryView => bytes(column.as_binary_view().value(row)),
        DataType::Date32 => display(column, row),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => timestamp(column, row, zone.is_some()),
        DataType::List(_) => list(&column.as_list::<i32>().value(row)),
        DataType::Struct(_) => composite(column, row),
        DataType::Dictionary(_, value) => {
            let plain = arrow::compute::cast(column, value).expect("a dictionary holds its values");
            return render(&plain, row);
        }
        other => format!("<cannot show {other}>"),
    })
}

fn display(column: &ArrayRef, row: usize) -> String {
    array_value_to_string(column, row).expect("the value has a text form")
}

/// `2013-01-01 10:00:00.25+00`: a blank for the `T`, no trailing zeros, `+00` for the `Z`.
fn timestamp(column: &ArrayRef, row: usize, zoned: bool) -> String {
    let text = display(column, row).replace('T', " ");
    let text = text.trim_end_matches("+00:00").trim_end_matches('Z');
    let text = if text.contains('.') { text.trim_end_matches('0') } else { text };
    format!("{text}{}", if zoned { "+00" } else { "" })
}

fn bytes(value: &[u8]) -> String {
    value.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// The shortest digits that read back as the same number; from `10^digits` on, and below `10^-4`,
/// with an exponent of at least two figures. `scientific` is Rust's shortest form of the value.
fn float(value: f64, scientific: &str, digits: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let (mantissa, exponent) = scientific.split_once('e').expect("the form has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a whole number");
    if (-4..digits).contains(&exponent) {
        return plain(mantissa, exponent);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Moves the point of `1.25` by `exponent` places.
fn plain(mantissa: &str, exponent: i32) -> String {
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits = mantissa.replace('.', "");
    let whole = usize::try_from(exponent + 1).unwrap_or(0);
    if whole == 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("{sign}0.{zeros}{digits}");
    }
    let padded = format!("{digits:0<whole$}");
    let (before, after) = padded.split_at(whole);
    let point = if after.is_empty() { "" } else { "." };
    format!("{sign}{before}{point}{after}")
}

/// `{1,NULL,"a b"}`.
fn list(items: &ArrayRef) -> String {
    let item = |row| match render(items, row) {
        None => "NULL".to_owned(),
        Some(text) if needs_quotes(&text) || text.eq_ignore_ascii_case("null") => quoted(&text),
        Some(text) => text,
    };
    format!("{{{}}}", (0..items.len()).map(item).collect::<Vec<_>>().join(","))
}

/// `(1,,"a b")`.
fn composite(column: &ArrayRef, row: usize) -> String {
    let field = |values: &ArrayRef| match render(values, row) {
        None => String::new(),
        Some(text) if needs_quotes(&text) => quoted(&text),
        Some(text) => text,
    };
    let fields = column.as_struct().columns().iter().map(field);
    format!("({})", fields.collect::<Vec<_>>().join(","))
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty()
        || text.contains(|letter: char| "{}(),\"\\".contains(letter) || letter.is_whitespace())
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float32Array, Float64Array, TimestampMicrosecondArray};

    use super::{ArrayRef, render};

    fn one(column: impl Into<ArrayRef>) -> String {
        render(&column.into(), 0).expect("the value is not null")
    }

    /// The expected texts are what PostgreSQL 15 answers to `SELECT x::float8`.
    #[test]
    fn floats_as_postgres_prints_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15, "1e+15"),
            (1.234_567_890_123_456_7e19, "1.2345678901234567e+19"),
            (100.0, "100"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in cases {
            assert_eq!(one(Arc::new(Float64Array::from(vec![value])) as ArrayRef), text);
        }
        for (value, text) in [(100_000.0, "100000"), (1e6, "1e+06"), (0.1, "0.1"), (1e-5, "1e-05")]
        {
            assert_eq!(one(Arc::new(Float32Array::from(vec![value])) as ArrayRef), text);
        }
    }

    #[test]
    fn timestamps_as_postgres_prints_them() {
        let zoned = |micros| TimestampMicrosecondArray::from(vec![micros]).with_timezone("UTC");
        assert_eq!(one(Arc::new(zoned(1_500_000)) as ArrayRef), "1970-01-01 00:00:01.5+00");
        assert_eq!(one(Arc::new(zoned(0)) as ArrayRef), "1970-01-01 00:00:00+00");
        let plain = TimestampMicrosecondArray::from(vec![10_000_000]);
        assert_eq!(one(Arc::new(plain) as ArrayRef), "1970-01-01 00:00:10");
    }
}
