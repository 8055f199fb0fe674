//! What a file says of its rows, in Delta's JSON: row count, minima, maxima, NULL counts.
//!
//! Never: a bound is tighter than the rows. Where the text form loses digits the bound is moved
//! outward, and where that cannot be done there is no bound.

mod collect;
mod text;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use serde_json::{Map, Value};

pub(crate) use collect::collect;
pub(crate) use text::{partition_scalar, partition_text};

/// What is known of the rows of a file, column by column of a schema.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FileStatistics {
    pub(crate) columns: Vec<ColumnBounds>,
}

/// What is known of one column of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ColumnBounds {
    /// Not above any value.
    pub(crate) min: Option<ScalarValue>,
    /// Not below any value.
    pub(crate) max: Option<ScalarValue>,
    /// Whether both bounds are values of the file.
    pub(crate) exact: bool,
    pub(crate) null_count: Option<u64>,
}

/// Reads the statistics of a file for the columns of `schema`.
pub(crate) fn parse(text: Option<&str>, schema: &SchemaRef) -> FileStatistics {
    let value: Value = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let group = |name: &str| value.get(name).and_then(Value::as_object);
    let (minima, maxima, nulls) = (group("minValues"), group("maxValues"), group("nullCount"));
    let of = |group: Option<&Map<String, Value>>, name: &str| group?.get(name).cloned();
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let kind = field.data_type();
            let min = of(minima, field.name()).and_then(|value| text::lower(&value, kind));
            let max = of(maxima, field.name()).and_then(|value| text::upper(&value, kind));
            ColumnBounds {
                exact: min.is_some() && max.is_some() && is_exact(kind),
                min,
                max,
                null_count: of(nulls, field.name()).and_then(|count| count.as_u64()),
            }
        })
        .collect();
    FileStatistics { columns }
}

/// Types whose text form is complete whoever wrote it. Others cut strings and fractions of seconds.
const fn is_exact(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Date32
            | DataType::Boolean
    )
}
