//! Between Arrow arrays and the engines' values.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Float32Array, Float64Array,
    Int32Array, Int64Array, ListArray, PrimitiveArray, StringArray, UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, FieldRef, Float32Type, Float64Type, Int32Type, Int64Type,
    UInt32Type,
};

use crate::error::{Error, Result};
use crate::inputs::BoundInput;
use crate::outputs::Part;
use crate::value::{Data, ElementType, Text, column};

/// The columns of a batch in the element types of the graph inputs.
pub(crate) struct Columns {
    inputs: Vec<(ElementType, Vec<ArrayRef>)>,
}

impl Columns {
    /// Casts each column once for the whole batch.
    pub(crate) fn new(arrays: &[ArrayRef], bound: &[BoundInput]) -> Result<Self> {
        let mut inputs = Vec::with_capacity(bound.len());
        for input in bound {
            let mut columns = Vec::with_capacity(input.columns.len());
            for position in &input.columns {
                let array = arrays
                    .get(*position)
                    .ok_or_else(|| Error::internal("a column of the batch is missing"))?;
                columns.push(cast(array, &arrow_type(input.kind.element, array.data_type()))?);
            }
            inputs.push((input.kind.element, columns));
        }
        Ok(Self { inputs })
    }

    /// One value for each graph input, from a block of rows.
    pub(crate) fn block(&self, start: usize, rows: usize) -> Result<Vec<Data>> {
        self.inputs.iter().map(|(element, columns)| value(*element, columns, start, rows)).collect()
    }
}

fn arrow_type(element: ElementType, from: &DataType) -> DataType {
    match (element, from) {
        (ElementType::Float32, _) => DataType::Float32,
        (ElementType::Float64, _) => DataType::Float64,
        (ElementType::Int32, _) => DataType::Int32,
        (ElementType::Int64, _) => DataType::Int64,
        (ElementType::Boolean, _) => DataType::Boolean,
        (ElementType::Text, DataType::Dictionary(..)) => {
            DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
        }
        (ElementType::Text, _) => DataType::Utf8,
    }
}

/// Casts without a copy if there is nothing to do; a value that does not fit is an error.
pub(crate) fn cast(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, target, &options).map_err(|error| Error::evaluation(error.to_string()))
}

fn value(element: ElementType, columns: &[ArrayRef], start: usize, rows: usize) -> Result<Data> {
    Ok(match element {
        ElementType::Float32 => {
            Data::Float32(primitives::<Float32Type>(columns, start, rows, f32::NAN)?)
        }
        ElementType::Float64 => {
            Data::Float64(primitives::<Float64Type>(columns, start, rows, f64::NAN)?)
        }
        ElementType::Int32 => Data::Int32(primitives::<Int32Type>(columns, start, rows, 0)?),
        ElementType::Int64 => Data::Int64(primitives::<Int64Type>(columns, start, rows, 0)?),
        ElementType::Boolean => {
            let mut values = Vec::with_capacity(columns.len() * rows);
            for column in columns {
                let column = column.as_boolean_opt().ok_or_else(wrong_type)?;
                values.extend(column.values().slice(start, rows).iter());
            }
            Data::Boolean(values)
        }
        ElementType::Text => {
            let texts: Vec<Text> =
                columns.iter().map(|column| text(column, start, rows)).collect::<Result<_>>()?;
            let (strings, keys) = Text::join(&texts.iter().collect::<Vec<_>>())?;
            Data::Text(Text { keys: keys.concat(), strings })
        }
    })
}

/// Feature after feature; `missing` stands for NULL.
fn primitives<T: ArrowPrimitiveType>(
    columns: &[ArrayRef],
    start: usize,
    rows: usize,
    missing: T::Native,
) -> Result<Vec<T::Native>> {
    let mut values = Vec::with_capacity(columns.len() * rows);
    for column in columns {
        let column: &PrimitiveArray<T> = column.as_primitive_opt().ok_or_else(wrong_type)?;
        let first = values.len();
        values.extend_from_slice(column.values().get(start..start + rows).unwrap_or_default());
        if column.null_count() > 0 {
            let own = values.iter_mut().skip(first);
            for (row, value) in own.enumerate() {
                if column.is_null(start + row) {
                    *value = missing;
                }
            }
        }
    }
    Ok(values)
}

fn text(column: &ArrayRef, start: usize, rows: usize) -> Result<Text> {
    if let Some(dictionary) = column.as_any().downcast_ref::<DictionaryArray<UInt32Type>>() {
        let keys = dictionary.keys().values().get(start..start + rows).unwrap_or_default().to_vec();
        let strings = dictionary.values().as_string_opt::<i32>().ok_or_else(wrong_type)?;
        return Ok(Text { keys, strings: Arc::new(strings.clone()) });
    }
    let strings = column.as_string_opt::<i32>().ok_or_else(wrong_type)?.slice(start, rows);
    Ok(Text { keys: (0..rows as u32).collect(), strings: Arc::new(strings) })
}

fn wrong_type() -> Error {
    Error::internal("a column is not of the type it was cast to")
}

/// Rows that have a value in all of the columns; `None` if all rows have.
pub(crate) fn complete_rows<'a>(columns: impl Iterator<Item = &'a ArrayRef>) -> Option<NullBuffer> {
    let nulls = columns.fold(None, |all: Option<NullBuffer>, column| {
        NullBuffer::union(all.as_ref(), column.logical_nulls().as_ref())
    });
    nulls.filter(|nulls| nulls.null_count() > 0)
}

/// The part of an output that a column of the result is made of: a value for each row, or all
/// values row after row.
pub(crate) fn output_values(
    data: &Data,
    part: Part,
    width: usize,
    rows: usize,
) -> Result<ArrayRef> {
    Ok(match data {
        Data::Float32(values) => Arc::new(Float32Array::from(pick(values, part, width, rows))),
        Data::Float64(values) => Arc::new(Float64Array::from(pick(values, part, width, rows))),
        Data::Int32(values) => Arc::new(Int32Array::from(pick(values, part, width, rows))),
        Data::Int64(values) => Arc::new(Int64Array::from(pick(values, part, width, rows))),
        Data::Boolean(values) => Arc::new(BooleanArray::from(pick(values, part, width, rows))),
        Data::Text(text) => {
            let keys = pick(&text.keys, part, width, rows);
            let strings = keys.iter().map(|key| text.string(*key));
            Arc::new(StringArray::from_iter_values(strings))
        }
    })
}

fn pick<T: Copy>(values: &[T], part: Part, width: usize, rows: usize) -> Vec<T> {
    match part {
        Part::Feature(feature) => column(values, feature, rows).to_vec(),
        Part::All => {
            let row =
                |row: usize| values.iter().skip(row).step_by(rows.max(1)).take(width).copied();
            (0..rows).flat_map(row).collect()
        }
    }
}

/// A column of the result from the values of its blocks.
pub(crate) fn output_column(
    blocks: &[ArrayRef],
    part: Part,
    width: usize,
    field: &FieldRef,
) -> Result<ArrayRef> {
    let arrow = |error: arrow::error::ArrowError| Error::internal(error.to_string());
    let blocks: Vec<&dyn Array> = blocks.iter().map(AsRef::as_ref).collect();
    let values = match blocks.as_slice() {
        [only] => only.slice(0, only.len()),
        several => concat(several).map_err(arrow)?,
    };
    match (part, field.data_type()) {
        (Part::All, DataType::List(element)) => {
            let rows = values.len() / width.max(1);
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows));
            let values = cast(&values, element.data_type())?;
            let list = ListArray::try_new(Arc::clone(element), offsets, values, None);
            Ok(Arc::new(list.map_err(arrow)?))
        }
        (_, target) => cast(&values, target),
    }
}

/// Puts the results of complete rows back among all rows; the others are NULL.
pub(crate) fn scatter(results: &ArrayRef, complete: &NullBuffer) -> Result<ArrayRef> {
    let mut next = 0;
    let positions: UInt32Array = complete
        .iter()
        .map(|valid| {
            valid.then(|| {
                next += 1;
                next - 1
            })
        })
        .collect();
    arrow::compute::take(results, &positions, None)
        .map_err(|error| Error::internal(error.to_string()))
}
