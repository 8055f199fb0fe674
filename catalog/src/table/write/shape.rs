//! Incoming batches in the shape of the table: its columns, in its order, of its types.
//!
//! Never: a value is changed. Only the ways in which Arrow holds the same value are exchanged.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};

use crate::error::{Error, Result};

/// How to bring a batch of one schema into another.
pub(super) struct Shape {
    schema: SchemaRef,
    /// For each column of the table, where the input has it.
    sources: Vec<usize>,
}

impl Shape {
    pub(super) fn new(object: &str, schema: &SchemaRef, input: &SchemaRef) -> Result<Self> {
        let mismatch = |reason| Error::Mismatch { object: object.to_owned(), reason };
        if let Some(extra) =
            input.fields().iter().find(|field| schema.field_with_name(field.name()).is_err())
        {
            return Err(mismatch(format!("it has no column \"{}\"", extra.name())));
        }
        if input.fields().len() > schema.fields().len() {
            return Err(mismatch("a column is given twice".to_owned()));
        }
        let sources = schema
            .fields()
            .iter()
            .map(|field| {
                let name = field.name();
                let source = input
                    .index_of(name)
                    .map_err(|_| mismatch(format!("column \"{name}\" is missing")))?;
                let given = input.field(source).data_type();
                if same_values(given, field.data_type()) {
                    Ok(source)
                } else {
                    let wanted = field.data_type();
                    Err(mismatch(format!("column \"{name}\" is {wanted}, not {given}")))
                }
            })
            .collect::<Result<_>>()?;
        Ok(Self { schema: SchemaRef::clone(schema), sources })
    }

    pub(super) fn conform(&self, object: &str, batch: &RecordBatch) -> Result<RecordBatch> {
        let mismatch = |reason| Error::Mismatch { object: object.to_owned(), reason };
        let columns = self
            .schema
            .fields()
            .iter()
            .zip(&self.sources)
            .map(|(field, source)| {
                let column = batch.column(*source);
                if !field.is_nullable() && column.is_nullable() && column.logical_null_count() > 0 {
                    let (object, column) = (object.to_owned(), field.name().clone());
                    return Err(Error::NotNull { object, column });
                }
                if column.data_type() == field.data_type() {
                    return Ok(ArrayRef::clone(column));
                }
                cast(column, field.data_type()).map_err(|error| mismatch(error.to_string()))
            })
            .collect::<Result<Vec<_>>>()?;
        RecordBatch::try_new(SchemaRef::clone(&self.schema), columns)
            .map_err(|error| mismatch(error.to_string()))
    }
}

/// Whether two types hold the same values, in different ways perhaps.
fn same_values(given: &DataType, wanted: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Dictionary, LargeBinary, LargeList, LargeUtf8, List, ListView, Map,
        Struct, Timestamp, Utf8, Utf8View,
    };
    match (given, wanted) {
        (Dictionary(_, value), wanted) => same_values(value, wanted),
        (LargeUtf8 | Utf8View, Utf8) | (LargeBinary | BinaryView, Binary) => true,
        // UTC by another name.
        (Timestamp(given, Some(_)), Timestamp(wanted, Some(_))) => given == wanted,
        (List(given) | LargeList(given) | ListView(given), List(wanted))
        | (Map(given, _), Map(wanted, _)) => same_values(given.data_type(), wanted.data_type()),
        (Struct(given), Struct(wanted)) => {
            given.len() == wanted.len()
                && given.iter().zip(wanted).all(|(given, wanted)| {
                    given.name() == wanted.name()
                        && same_values(given.data_type(), wanted.data_type())
                })
        }
        (given, wanted) => given == wanted,
    }
}

/// Whether a column of floats holds a NaN.
pub(super) fn has_nan(column: &ArrayRef) -> bool {
    match column.data_type() {
        DataType::Float32 => column.as_primitive::<Float32Type>().iter().flatten().any(f32::is_nan),
        DataType::Float64 => column.as_primitive::<Float64Type>().iter().flatten().any(f64::is_nan),
        _ => false,
    }
}
