//! Statistics of a file that was just written, from what the Parquet writer has noted.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::file::metadata::ParquetMetaData;

use super::text::{lower_json, upper_json};

/// Columns that get bounds where the table does not say: Delta's default.
const COLUMNS_DEFAULT: usize = 32;

/// The statistics of a file as Delta's JSON, for the first `columns_max` columns.
pub(crate) fn collect(
    metadata: &ParquetMetaData,
    schema: &SchemaRef,
    columns_max: Option<usize>,
) -> String {
    let mut minima = Group::default();
    let mut maxima = Group::default();
    let mut nulls = Group::default();
    let descriptor = metadata.file_metadata().schema_descr();
    let groups = metadata.row_groups();
    for field in schema.fields().iter().take(columns_max.unwrap_or(COLUMNS_DEFAULT)) {
        let Ok(converter) = StatisticsConverter::try_new(field.name(), schema, descriptor) else {
            continue;
        };
        if converter.parquet_column_index().is_none() {
            continue;
        }
        if let Some(count) =
            converter.row_group_null_counts(groups).ok().filter(|counts| counts.null_count() == 0)
        {
            nulls.push(field.name(), &count.iter().flatten().sum::<u64>().to_string());
        }
        let least = converter.row_group_mins(groups).ok().and_then(|all| extreme(&all, true));
        if let Some(text) = least.as_ref().and_then(lower_json) {
            minima.push(field.name(), &text);
        }
        let greatest = converter.row_group_maxes(groups).ok().and_then(|all| extreme(&all, false));
        if let Some(text) = greatest.as_ref().and_then(upper_json) {
            maxima.push(field.name(), &text);
        }
    }
    format!(
        "{{\"numRecords\":{},\"minValues\":{},\"maxValues\":{},\"nullCount\":{}}}",
        metadata.file_metadata().num_rows(),
        minima.json(),
        maxima.json(),
        nulls.json()
    )
}

/// The least or greatest of the row groups' bounds. A group without one has only NULLs, or values
/// that cannot be bounded; which of the two, the caller has to know.
fn extreme(bounds: &ArrayRef, least: bool) -> Option<ScalarValue> {
    let mut extreme: Option<ScalarValue> = None;
    for index in 0..bounds.len() {
        let bound = ScalarValue::try_from_array(bounds, index).ok()?;
        if bound.is_null() {
            continue;
        }
        let wins = extreme.as_ref().is_none_or(|known| {
            let order = bound.partial_cmp(known);
            order
                == Some(if least { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater })
        });
        if wins {
            extreme = Some(bound);
        }
    }
    extreme
}

/// A JSON object in the making. Numbers stand as they are, so that decimals keep their digits.
#[derive(Default)]
struct Group {
    text: String,
}

impl Group {
    fn push(&mut self, name: &str, value: &str) {
        let separator = if self.text.is_empty() { "" } else { "," };
        let name = serde_json::to_string(name).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{separator}{name}:{value}");
    }

    fn json(&self) -> String {
        format!("{{{}}}", self.text)
    }
}
