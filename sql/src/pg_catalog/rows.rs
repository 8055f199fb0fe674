//! Rows of a system relation, given by column name, and their batch.
//!
//! Never: a column that the relation does not have, or a value of another type: both are errors.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float32Builder, Int16Builder, Int32Builder, Int64Builder, ListBuilder,
    RecordBatch, RecordBatchOptions, StringBuilder, TimestampMicrosecondBuilder, UInt32Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::error::{Error, Result};

/// A value of a catalog's column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// Any integer, OIDs and times included.
    Int(i64),
    /// A number with a fraction.
    Float(f32),
    /// Any text.
    Text(String),
    /// An array.
    List(Vec<Self>),
}

macro_rules! from {
    ($($from:ty => |$value:ident| $into:expr),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from($value: $from) -> Self { $into }
        })*
    };
}

from! {
    bool => |value| Self::Bool(value),
    u32 => |value| Self::Int(value.into()),
    i32 => |value| Self::Int(value.into()),
    i16 => |value| Self::Int(value.into()),
    i64 => |value| Self::Int(value),
    f32 => |value| Self::Float(value),
    &str => |value| Self::Text(value.to_owned()),
    char => |value| Self::Text(value.to_string()),
    String => |value| Self::Text(value),
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

/// Rows of one relation. Columns that a row does not mention are NULL, or, where the relation
/// allows no NULL, false, 0, `''` or `{}`.
#[derive(Debug)]
pub(crate) struct Rows {
    schema: SchemaRef,
    rows: Vec<Vec<Value>>,
}

impl Rows {
    pub(crate) const fn new(schema: SchemaRef) -> Self {
        Self { schema, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn push<const N: usize>(&mut self, values: [(&str, Value); N]) -> Result<()> {
        let mut row: Vec<Value> = self.schema.fields().iter().map(|field| unmentioned(field)).collect();
        for (name, value) in values {
            let index = self.schema.index_of(name).map_err(|_| {
                Error::internal(format!("a system relation has no column \"{name}\""))
            })?;
            row[index] = value;
        }
        self.rows.push(row);
        Ok(())
    }

    /// The batch of some of the columns.
    pub(crate) fn batch(&self, projection: Option<&Vec<usize>>) -> Result<RecordBatch> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let chosen = projection.unwrap_or(&all);
        let fields: Vec<Field> = chosen.iter().map(|&i| self.schema.field(i).clone()).collect();
        let columns: Vec<ArrayRef> = chosen
            .iter()
            .map(|&i| column(self.schema.field(i), self.rows.iter().map(|row| &row[i])))
            .collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }
}

fn unmentioned(field: &Field) -> Value {
    if field.is_nullable() {
        return Value::Null;
    }
    match field.data_type() {
        DataType::Boolean => Value::Bool(false),
        DataType::Utf8 => Value::Text(String::new()),
        DataType::List(_) => Value::List(Vec::new()),
        DataType::Float32 => Value::Float(0.0),
        _ => Value::Int(0),
    }
}

/// Builds a column of one Arrow type; a value of another kind is an error.
macro_rules! build {
    ($field:expr, $values:expr, $builder:expr, $($pattern:pat => $value:expr),+) => {{
        let mut builder = $builder;
        for value in $values {
            match value {
                Value::Null => builder.append_null(),
                $($pattern => builder.append_value($value),)+
                other => return Err(mismatch($field, other)),
            }
        }
        Arc::new(builder.finish()) as ArrayRef
    }};
}

/// An Arrow array of values, as the field's type says.
pub(crate) fn column<'a>(
    field: &Field,
    values: impl Iterator<Item = &'a Value>,
) -> Result<ArrayRef> {
    Ok(match field.data_type() {
        DataType::Boolean => build!(field, values, BooleanBuilder::new(), Value::Bool(v) => *v),
        DataType::Utf8 => build!(field, values, StringBuilder::new(), Value::Text(v) => v),
        DataType::Int16 => {
            build!(field, values, Int16Builder::new(), Value::Int(v) => narrow(field, *v)?)
        }
        DataType::Int32 => {
            build!(field, values, Int32Builder::new(), Value::Int(v) => narrow(field, *v)?)
        }
        DataType::UInt32 => {
            build!(field, values, UInt32Builder::new(), Value::Int(v) => narrow(field, *v)?)
        }
        DataType::Int64 => build!(field, values, Int64Builder::new(), Value::Int(v) => *v),
        DataType::Float32 => build!(field, values, Float32Builder::new(), Value::Float(v) => *v),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let builder = TimestampMicrosecondBuilder::new().with_timezone_opt(zone.clone());
            build!(field, values, builder, Value::Int(v) => *v)
        }
        DataType::List(item) => list(field, item, values)?,
        _ => {
            let values: Vec<&Value> = values.collect();
            if let Some(value) = values.iter().find(|value| ***value != Value::Null) {
                return Err(mismatch(field, value));
            }
            arrow::array::new_null_array(field.data_type(), values.len())
        }
    })
}

fn list<'a>(
    field: &Field,
    item: &Arc<Field>,
    values: impl Iterator<Item = &'a Value>,
) -> Result<ArrayRef> {
    macro_rules! list_of {
        ($builder:expr, $pattern:pat => $value:expr) => {{
            let mut builder = ListBuilder::new($builder).with_field(Arc::clone(item));
            for value in values {
                match value {
                    Value::Null => builder.append_null(),
                    Value::List(elements) => {
                        for element in elements {
                            match element {
                                Value::Null => builder.values().append_null(),
                                $pattern => builder.values().append_value($value),
                                other => return Err(mismatch(field, other)),
                            }
                        }
                        builder.append(true);
                    }
                    other => return Err(mismatch(field, other)),
                }
            }
            Arc::new(builder.finish()) as ArrayRef
        }};
    }
    Ok(match item.data_type() {
        DataType::Utf8 => list_of!(StringBuilder::new(), Value::Text(v) => v),
        DataType::Int16 => list_of!(Int16Builder::new(), Value::Int(v) => narrow(field, *v)?),
        DataType::Int32 => list_of!(Int32Builder::new(), Value::Int(v) => narrow(field, *v)?),
        DataType::UInt32 => list_of!(UInt32Builder::new(), Value::Int(v) => narrow(field, *v)?),
        _ => {
            let nulls = values.map(|v| matches!(v, Value::Null)).collect::<Vec<_>>();
            if nulls.contains(&false) {
                return Err(mismatch(field, &Value::List(Vec::new())));
            }
            arrow::array::new_null_array(field.data_type(), nulls.len())
        }
    })
}

fn narrow<T: TryFrom<i64>>(field: &Field, value: i64) -> Result<T> {
    T::try_from(value).map_err(|_| mismatch(field, &Value::Int(value)))
}

fn mismatch(field: &Field, value: &Value) -> Error {
    Error::internal(format!(
        "column \"{}\" of a system relation does not take the value {value:?}",
        field.name()
    ))
}
