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
    let of_table = of_table_columns(file, layout);
    if !layout.has_places() {
        return of_table;
    }
    let mut all = of_table.as_ref().clone();
    all.column_statistics.push(of_constant(ScalarValue::from(file.path()), file.row_count()));
    all.column_statistics.push(ColumnStatistics::new_unknown());
    Arc::new(all)
}

/// The same without a row's place.
pub(super) fn of_table_columns(file: &DataFile, layout: &Layout) -> Arc<Statistics> {
    file.scan_statistics(layout.stored(), || {
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
        let constants = layout.partition_values_of_table(file).unwrap_or_default();
        columns.extend(constants.into_iter().map(|value| of_constant(value, rows)));
        Arc::new(Statistics {
            num_rows: count(rows),
            total_byte_size: Precision::Absent,
            column_statistics: columns,
        })
    })
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
    files: &[Arc<DataFile>],
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
        if let Some(slot) = total.column_statistics.get_mut(*index) {
            *slot = of_column_in_all(&all, *index);
        }
    }
    total
}

/// The statistics of one column over all files.
fn of_column_in_all(all: &[Arc<Statistics>], index: usize) -> ColumnStatistics {
    let mut total = ColumnStatistics::new_unknown();
    total.null_count = Precision::Exact(0);
    let mut bounds: Option<(Precision<ScalarValue>, Precision<ScalarValue>)> = None;
    for file in all {
        let Some(column) = file.column_statistics.get(index) else {
            return ColumnStatistics::new_unknown();
        };
        total.null_count = total.null_count.add(&column.null_count);
        // Rows that are all NULL have no bounds and need none.
        if matches!(column.null_count, Precision::Exact(_)) && column.null_count == file.num_rows {
            continue;
        }
        bounds = Some(match bounds {
            None => (column.min_value.clone(), column.max_value.clone()),
            Some((min, max)) => (min.min(&column.min_value), max.max(&column.max_value)),
        });
    }
    if let Some((min, max)) = bounds {
        total.min_value = min;
        total.max_value = max;
    }
    total
}
