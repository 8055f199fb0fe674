//! Arrays as the catalog's queries handle them: bounds, and subscripts as rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::super::rows::Value;
use super::{Call, Function, strict, value};
use crate::error::Result;

pub(super) static FUNCTIONS: &[Function] = &[
    strict("array_upper", 2..=2, "integer", |_, a| Ok(bound(a, |length| length))),
    strict("array_lower", 2..=2, "integer", |_, a| Ok(bound(a, |_| 1))),
    // What `rewrite` makes of generate_subscripts(a, 1): unnest of this.
    strict("array_subscripts", 1..=3, "integer[]", subscripts),
];

/// Arrays have one dimension, and start at 1; an empty one has no bounds.
fn bound(arguments: &[Value], of: fn(i64) -> i64) -> Value {
    let Some(length) = length(&arguments[0]).filter(|length| *length > 0) else { return Value::Null };
    if value::int(&arguments[1]) == Some(1) { Value::Int(of(length)) } else { Value::Null }
}

fn length(array: &Value) -> Option<i64> {
    match array {
        Value::List(elements) => i64::try_from(elements.len()).ok(),
        _ => None,
    }
}

fn subscripts(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let Some(length) = length(&arguments[0]) else { return Ok(Value::Null) };
    let dimension = arguments.get(1).and_then(value::int).unwrap_or(1);
    let count = if dimension == 1 { length } else { 0 };
    let rising = 1..=count;
    let numbers: Vec<Value> = if value::flag(arguments.get(2)) {
        rising.rev().map(Value::Int).collect()
    } else {
        rising.map(Value::Int).collect()
    };
    Ok(Value::List(numbers))
}

/// A function from an array to an array, whose type follows from the argument's.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayFunction {
    name: &'static str,
    signature: Signature,
    result: fn(&FieldRef) -> DataType,
    body: fn(&ListArray, &FieldRef) -> ArrayRef,
}

/// Functions whose result's type follows from the argument's.
pub(super) fn polymorphic(name: &str) -> Option<Arc<ScalarUDF>> {
    let (name, result, body): (_, fn(&FieldRef) -> DataType, fn(&ListArray, &FieldRef) -> ArrayRef) =
        match name {
            // `ARRAY(SELECT ...)` over no rows is an empty array, not NULL.
            "array_or_empty" => ("array_or_empty", |item| DataType::List(Arc::clone(item)), or_empty),
            // What `rewrite` makes of information_schema._pg_expandarray(a): unnest of this.
            "array_expanded" => ("array_expanded", expanded_type, expanded),
            _ => return None,
        };
    let signature = Signature::any(1, Volatility::Immutable);
    Some(Arc::new(ScalarUDF::new_from_impl(ArrayFunction { name, signature, result, body })))
}

/// The element's field of an array argument; anything else, such as a bare NULL, holds nothing.
fn item_of(argument: &DataType) -> FieldRef {
    match argument {
        DataType::List(item) => Arc::clone(item),
        _ => Arc::new(Field::new("item", DataType::Utf8, true)),
    }
}

impl ScalarUDFImpl for ArrayFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> DfResult<DataType> {
        Ok((self.result)(&item_of(arguments.first().unwrap_or(&DataType::Null))))
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> DfResult<FieldRef> {
        let types: Vec<DataType> =
            arguments.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(Arc::new(Field::new(self.name, self.return_type(&types)?, true)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let array = arguments.args[0].to_array(arguments.number_rows)?;
        let item = item_of(array.data_type());
        let lists = arrow::compute::cast(&array, &DataType::List(Arc::clone(&item)))?;
        Ok(ColumnarValue::Array((self.body)(lists.as_list::<i32>(), &item)))
    }
}

fn or_empty(lists: &ListArray, item: &FieldRef) -> ArrayRef {
    // An empty slot under a NULL may still span values, so the lengths are counted anew.
    let lengths = (0..lists.len()).map(|i| if lists.is_null(i) { 0 } else { lists.value(i).len() });
    let offsets = OffsetBuffer::from_lengths(lengths);
    let present: Vec<ArrayRef> =
        (0..lists.len()).filter(|&i| lists.is_valid(i)).map(|i| lists.value(i)).collect();
    let present: Vec<&dyn Array> = present.iter().map(AsRef::as_ref).collect();
    let values = arrow::compute::concat(&present)
        .unwrap_or_else(|_| arrow::array::new_empty_array(item.data_type()));
    Arc::new(ListArray::new(Arc::clone(item), offsets, values, None))
}

fn expanded_fields(item: &FieldRef) -> Vec<FieldRef> {
    let element = item.as_ref().clone().with_name("x").with_nullable(true);
    vec![Arc::new(element), Arc::new(Field::new("n", DataType::Int32, true))]
}

fn expanded_item(item: &FieldRef) -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(expanded_fields(item).into()), true))
}

fn expanded_type(item: &FieldRef) -> DataType {
    DataType::List(expanded_item(item))
}

/// Each element `x` with its number `n`, from 1.
fn expanded(lists: &ListArray, item: &FieldRef) -> ArrayRef {
    let offsets = lists.offsets().clone();
    let mut numbers = vec![0; lists.values().len()];
    for window in offsets.windows(2) {
        let (start, end) = (window[0].unsigned_abs() as usize, window[1].unsigned_abs() as usize);
        for (number, slot) in (1_i32..).zip(&mut numbers[start..end]) {
            *slot = number;
        }
    }
    let columns: Vec<ArrayRef> = vec![Arc::clone(lists.values()), Arc::new(Int32Array::from(numbers))];
    let elements = StructArray::new(expanded_fields(item).into(), columns, None);
    Arc::new(ListArray::new(expanded_item(item), offsets, Arc::new(elements), lists.nulls().cloned()))
}
