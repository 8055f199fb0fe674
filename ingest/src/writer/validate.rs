//! Rows that a table takes: its columns in its order, NOT NULL and CHECK kept.
//!
//! Delta's own write paths check none of this.
//! Never: a row that reaches a file before it was checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::error::Result as DfResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use crate::{Error, Result};

/// A CHECK constraint, ready to be evaluated over the table's columns.
#[derive(Debug, Clone)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Yields a boolean for each row; NULL passes, as in SQL.
    pub expression: Arc<dyn PhysicalExpr>,
}

/// What rows of a table must keep.
#[derive(Debug, Clone, Default)]
pub struct Validation {
    /// The table, as messages name it.
    pub table: String,
    /// Its CHECK constraints.
    pub checks: Vec<Check>,
}

/// The same rows, counted, or the first one's error.
pub(super) fn validated(
    rows: SendableRecordBatchStream,
    schema: &SchemaRef,
    validation: &Arc<Validation>,
    counted: &Arc<AtomicU64>,
) -> SendableRecordBatchStream {
    let (target, validation) = (Arc::clone(schema), Arc::clone(validation));
    let counted = Arc::clone(counted);
    let checked = rows.map(move |batch| -> DfResult<RecordBatch> {
        let batch = conform(&batch?, &target, &validation)?;
        counted.fetch_add(u64::try_from(batch.num_rows()).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(batch)
    });
    Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), checked))
}

/// The batch under the table's schema, all constraints checked.
fn conform(
    batch: &RecordBatch,
    schema: &SchemaRef,
    validation: &Validation,
) -> Result<RecordBatch> {
    if batch.num_columns() != schema.fields().len() {
        return Err(Error::Shape {
            table: validation.table.clone(),
            expected: schema.fields().len(),
            found: batch.num_columns(),
        });
    }
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if !field.is_nullable() && column.logical_null_count() > 0 {
            return Err(Error::NotNull {
                table: validation.table.clone(),
                column: field.name().clone(),
            });
        }
    }
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| {
            if field.data_type() == column.data_type() {
                return Ok(Arc::clone(column));
            }
            let strict = arrow::compute::CastOptions { safe: false, ..Default::default() };
            arrow::compute::cast_with_options(column, field.data_type(), &strict)
        })
        .collect::<Result<_, _>>()?;
    let batch = RecordBatch::try_new(Arc::clone(schema), columns)?;
    for check in &validation.checks {
        let passed = check.expression.evaluate(&batch)?.into_array(batch.num_rows())?;
        let passed = passed.as_boolean();
        // A CHECK fails on FALSE alone.
        if passed.false_count() > 0 {
            return Err(Error::Check {
                table: validation.table.clone(),
                constraint: check.name.clone(),
            });
        }
    }
    Ok(batch)
}
