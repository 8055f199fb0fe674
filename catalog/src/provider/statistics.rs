//! What DataFusion's planner is told about the rows of files.
//!
//! Never: something is called exact that is only a bound, for the planner answers queries with it.

use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};

use super::layout::Layout;
use crate::table::{ColumnBounds, DataFile};

/// The statistics of one file, for all columns of the file source.
pub(super) fn of_file(file: &DataFile, layout: &Layout) -> Arc<Statistics> {
    let make = || {
        let known = file.statistics(layout.stored());
        let rows = file.row_count();
        let of_files =
            layout.file_columns().iter().zip(layout.table_schema().file_schema().fields());
        let mut columns: Vec<ColumnStatistics> = of_files
            .map(|(index, field)| {
                known.columns.get(*index).map_or_else(ColumnStatistics::new_unknown, |bounds| {
                    of_column(bounds, field.data_type())
                })
            })
            .collect();
        let constants = layout.partition_values(file).unwrap_or_default();
        columns.extend(constants.into_iter().map(|value| of_constant(value, rows)));
        Arc::new(Statistics {
            num_rows: count(rows),
            total_byte_size: Precision::Absent,
            column_statistics: columns,
        })
    };
    if layout.has_file_column() { make() } else { file.scan_statistics(layout.stored(), make) }
}

fn of_column(bounds: &ColumnBounds, data_type: &arrow::datatypes::DataType) -> ColumnStatistics {
    let value = |bound: &Option<ScalarValue>| match bound
        .as_ref()
        .and_then(|value| value.cast_to(data_type).ok())
    {
        Some(value) if bounds.exact => Precision::Exact(value),
        Some(value) => Precision::Inexact(value),
        None => Precision::Absent,
    };
    ColumnStatistics {
        null_count: count(bounds.null_count),
        min_value: value(&bounds.min),
        max_value: value(&bounds.max),
        ..ColumnStatistics::new_unknown()
    }
}

fn of_constant(value: ScalarValue, rows: Option<u64>) -> ColumnStatistics {
    if value.is_null() {
        return ColumnStatistics { null_count: count(rows), ..ColumnStatistics::new_unknown() };
    }
    ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: Precision::Exact(value.clone()),
        max_value: Precision::Exact(value),
        ..ColumnStatistics::new_unknown()
    }
}

fn count(number: Option<u64>) -> Precision<usize> {
    number
        .and_then(|number| usize::try_from(number).ok())
        .map_or(Precision::Absent, Precision::Exact)
}

/// The statistics of all files together; columns outside the projection stay unknown.
pub(super) fn of_scan(
    files: &[&Arc<DataFile>],
    layout: &Layout,
    projection: &[usize],
) -> Statistics {
    let mut total = Statistics {
        num_rows: Precision::Exact(0),
        total_byte_size: Precision::Absent,
        column_statistics: vec![
            ColumnStatistics::new_unknown();
            layout.table_schema().table_schema().fields().len()
        ],
    };
    let all: Vec<Arc<Statistics>> = files.iter().map(|file| of_file(file, layout)).collect();
    for file in &all {
        total.num_rows = total.num_rows.add(&file.num_rows);
    }
    for index in projection {
        let mut columns = all.iter().filter_map(|file| file.column_statistics.get(*index));
        let (Some(first), Some(slot)) = (columns.next(), total.column_statistics.get_mut(*index))
        else {
            continue;
        };
        slot.null_count = first.null_count;
        slot.min_value = first.min_value.clone();
        slot.max_value = first.max_value.clone();
        for column in columns {
            slot.null_count = slot.null_count.add(&column.null_count);
            slot.min_value = extreme(&slot.min_value, column, true);
            slot.max_value = extreme(&slot.max_value, column, false);
        }
    }
    total
}

/// The bound of two groups of rows; a group of NULLs only has none and needs none.
fn extreme(
    known: &Precision<ScalarValue>,
    column: &ColumnStatistics,
    least: bool,
) -> Precision<ScalarValue> {
    let other = if least { &column.min_value } else { &column.max_value };
    if least { known.min(other) } else { known.max(other) }
}
