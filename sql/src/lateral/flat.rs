//! Arrays of several dimensions as one list: to PostgreSQL, `unnest` gives their elements, whatever
//! their dimensions.
//!
//! Never: an element twice, or in another order.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::error::{Error, state};
use crate::types::{self, TYPE_KEY};

/// The function that lies behind `unnest` in rewritten statements.
pub(super) const FLAT: &str = "__flat";

/// From an array to the list of its elements.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Flat {
    signature: Signature,
}

impl Flat {
    pub(super) fn function() -> ScalarUDF {
        ScalarUDF::from(Self { signature: Signature::any(1, Volatility::Immutable) })
    }
}

/// The type of the innermost elements; none where it is no list.
fn innermost(data_type: &DataType) -> Option<&FieldRef> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Some(innermost(item.data_type()).unwrap_or(item))
        }
        _ => None,
    }
}

impl ScalarUDFImpl for Flat {
    fn name(&self) -> &str {
        FLAT
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.first().and_then(innermost) {
            Some(item) => Ok(DataType::List(Arc::clone(item))),
            None => Err(Error::internal("what is no array was made flat").into()),
        }
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let [array] = arguments.arg_fields else {
            return Err(Error::internal("arrays are made flat one at a time").into());
        };
        let Some(item) = innermost(array.data_type()) else {
            let message = format!("function unnest({}) does not exist", types::type_name(array));
            return Err(Error::new(state::UNDEFINED_FUNCTION, message)
                .with_hint("It takes one array.")
                .into());
        };
        let kind = array.metadata().get(TYPE_KEY).or_else(|| item.metadata().get(TYPE_KEY));
        let metadata = kind.map(|kind| (TYPE_KEY.to_owned(), kind.clone()));
        let list = Field::new(FLAT, DataType::List(Arc::clone(item)), true);
        Ok(Arc::new(list.with_metadata(metadata.into_iter().collect())))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [array] = &arguments.args[..] else {
            return Err(Error::internal("arrays are made flat one at a time").into());
        };
        let mut array = array.to_array(arguments.number_rows)?;
        while let Some(inner) = nested(&array)? {
            array = inner;
        }
        Ok(ColumnarValue::Array(as_list(&array)?))
    }
}

/// A list of any kind as the usual one.
fn as_list(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Ok(cast(array, &DataType::List(Arc::clone(item)))?)
        }
        _ => Ok(Arc::clone(array)),
    }
}

/// The same list with one dimension less; none where it has but one.
fn nested(array: &ArrayRef) -> Result<Option<ArrayRef>> {
    let outer = as_list(array)?;
    let outer = outer.as_list::<i32>();
    if innermost(outer.values().data_type()).is_none() {
        return Ok(None);
    }
    let inner = as_list(outer.values())?;
    let inner = inner.as_list::<i32>();
    let DataType::List(item) = inner.data_type() else { return Ok(None) };
    let (mut lengths, mut places) = (Vec::with_capacity(outer.len()), Vec::new());
    for row in 0..outer.len() {
        let before = places.len();
        if outer.is_valid(row) {
            let lists =
                outer.value_offsets()[row] as usize..outer.value_offsets()[row + 1] as usize;
            for list in lists.filter(|list| inner.is_valid(*list)) {
                let offsets = inner.value_offsets();
                places.extend(offsets[list] as u64..offsets[list + 1] as u64);
            }
        }
        lengths.push(places.len() - before);
    }
    let values = take(inner.values(), &UInt64Array::from(places), None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let list = ListArray::try_new(Arc::clone(item), offsets, values, outer.nulls().cloned())?;
    Ok(Some(Arc::new(list)))
}

/// A value whose type text alone knows, such as a UUID, as one of that type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct OfType {
    kind: String,
    signature: Signature,
}

impl OfType {
    pub(super) fn function(kind: &str) -> ScalarUDF {
        let signature = Signature::any(1, Volatility::Immutable);
        ScalarUDF::from(Self { kind: kind.to_owned(), signature })
    }
}

impl ScalarUDFImpl for OfType {
    fn name(&self) -> &str {
        "__of_type"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments.first().cloned().unwrap_or(DataType::Utf8))
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let data_type = arguments.arg_fields.first().map(|field| field.data_type().clone());
        let kind = (TYPE_KEY.to_owned(), self.kind.clone());
        let field = Field::new(self.name(), data_type.unwrap_or(DataType::Utf8), true);
        Ok(Arc::new(field.with_metadata([kind].into())))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut values = arguments.args.into_iter();
        values.next().ok_or_else(|| Error::internal("a value has its type alone").into())
    }
}
