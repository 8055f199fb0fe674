//! Arrow arrays as plain values, and plain values as what a function takes them for.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::util::display::array_value_to_string;

use super::super::rows::Value;
use crate::error::{Error, Result, state};

/// The value in a row of an array. What is neither a truth value, an integer nor a list is text.
pub(super) fn at(array: &ArrayRef, row: usize) -> Result<Value> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let one = array.slice(row, 1);
    Ok(match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => Value::Bool(one.as_boolean().value(0)),
        integer if integer.is_integer() => {
            Value::Int(cast(&one, &DataType::Int64)?.as_primitive::<Int64Type>().value(0))
        }
        // A whole number that a client wrote with a point is still a number to these functions.
        DataType::Decimal128(_, 0) => {
            Value::Int(cast(&one, &DataType::Int64)?.as_primitive::<Int64Type>().value(0))
        }
        #[expect(clippy::cast_possible_truncation, reason = "only JSON shows these, as text")]
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            Value::Float(cast(&one, &DataType::Float64)?.as_primitive::<Float64Type>().value(0) as f32)
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
            Value::Text(cast(&one, &DataType::Utf8)?.as_string::<i32>().value(0).to_owned())
        }
        DataType::List(_) => list(&one.as_list::<i32>().value(0))?,
        DataType::LargeList(_) => list(&one.as_list::<i64>().value(0))?,
        _ => Value::Text(array_value_to_string(&one, 0)?),
    })
}

fn list(elements: &ArrayRef) -> Result<Value> {
    (0..elements.len()).map(|i| at(elements, i)).collect::<Result<Vec<_>>>().map(Value::List)
}

/// An OID, given as a number or as its digits.
pub(super) fn oid(value: &Value) -> Option<u32> {
    match value {
        Value::Int(number) => u32::try_from(*number).ok(),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A number, given as one or as its digits.
pub(super) fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A text; a number is its digits.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "t".to_owned(),
        Value::Bool(false) => "f".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::List(elements) => {
            format!("{{{}}}", elements.iter().map(text).collect::<Vec<_>>().join(","))
        }
    }
}

/// A truth value that an argument gives, absent arguments being false.
pub(super) fn flag(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(flag)) => *flag,
        // `pg_get_viewdef(oid, 80)`: a width to wrap at asks for the pretty form.
        Some(Value::Int(number)) => *number != 0,
        Some(Value::Text(text)) => matches!(text.as_str(), "t" | "true" | "on" | "1"),
        _ => false,
    }
}

/// An argument that a function cannot take.
pub(super) fn refused(message: impl Into<String>) -> Error {
    Error::new(state::INVALID_PARAMETER_VALUE, message)
}
