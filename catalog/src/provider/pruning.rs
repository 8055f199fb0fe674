//! Which files can hold rows that a filter lets through.
//!
//! Filters over columns that are constant in a file (partition columns, the file's path) are decided
//! here for good. The others are held against the minima, maxima and NULL counts of each file.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;

use super::layout::Layout;
use crate::table::{DataFile, TableSnapshot};

/// Whether the constant columns of a file decide the filter for all of its rows.
pub(super) fn is_decided_by(filter: &Expr, layout: &Layout) -> bool {
    let mut decided = true;
    let walk = filter.apply(|expr| {
        decided &= match expr {
            Expr::Column(column) => {
                layout.constant_columns().any(|field| *field.name() == column.name)
            }
            Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
            Expr::Literal(..)
            | Expr::Alias(_)
            | Expr::BinaryExpr(_)
            | Expr::Not(_)
            | Expr::Negative(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Between(_)
            | Expr::InList(_)
            | Expr::Like(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_) => true,
            _ => false,
        };
        Ok(if decided { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walk.is_ok() && decided
}

/// The files that may hold rows for which all `filters` are true.
pub(super) fn prune<'a>(
    state: &dyn Session,
    layout: &Layout,
    snapshot: &'a TableSnapshot,
    filters: &[Expr],
) -> Result<Vec<&'a Arc<DataFile>>> {
    let mut files: Vec<&Arc<DataFile>> = snapshot.files().collect();
    let (constant, others): (Vec<Expr>, Vec<Expr>) =
        filters.iter().cloned().partition(|filter| is_decided_by(filter, layout));
    if let Some(filter) = conjunction(constant) {
        let kept = decide(state, &files_values(layout, &files)?, filter)?;
        keep(&mut files, &kept);
    }
    if let Some(filter) = conjunction(others).filter(|_| !files.is_empty()) {
        let schema = Arc::clone(layout.table_schema().table_schema());
        let df_schema = DFSchema::try_from(Arc::clone(&schema))?;
        let filter = state.create_physical_expr(filter, &df_schema)?;
        let builder = PruningPredicateBuilder::new().with_file_schema(schema);
        // What cannot be turned into a question about bounds prunes nothing.
        if let Ok(predicate) = builder.try_build(filter)
            && !predicate.always_true()
        {
            let bounds = FileBounds { layout, files: &files };
            if let Ok(kept) = predicate.prune(&bounds) {
                keep(&mut files, &kept);
            }
        }
    }
    Ok(files)
}

fn keep(files: &mut Vec<&Arc<DataFile>>, kept: &[bool]) {
    let mut kept = kept.iter();
    files.retain(|_| kept.next().copied().unwrap_or(true));
}

/// The values of the constant columns, one row a file.
fn files_values(layout: &Layout, files: &[&Arc<DataFile>]) -> Result<RecordBatch> {
    let schema = Arc::new(Schema::new(layout.constant_columns().cloned().collect::<Vec<_>>()));
    let values = files
        .iter()
        .map(|file| layout.partition_values(file))
        .collect::<Result<Vec<Vec<ScalarValue>>>>()?;
    let columns = (0..schema.fields().len())
        .map(|column| {
            let values = values.iter().filter_map(|row| row.get(column).cloned());
            array_of(values, schema.field(column).data_type())
        })
        .collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(files.len()));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

fn decide(state: &dyn Session, values: &RecordBatch, filter: Expr) -> Result<Vec<bool>> {
    if values.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let schema: SchemaRef = values.schema();
    let df_schema = DFSchema::try_from(schema)?;
    let filter = state.create_physical_expr(filter, &df_schema)?;
    let decided = filter.evaluate(values)?.into_array(values.num_rows())?;
    let decided = datafusion::common::cast::as_boolean_array(&decided)?;
    Ok(decided.iter().map(|kept| kept == Some(true)).collect())
}

fn array_of(values: impl Iterator<Item = ScalarValue>, data_type: &DataType) -> Result<ArrayRef> {
    let mut values = values.peekable();
    if values.peek().is_none() {
        return Ok(arrow::array::new_empty_array(data_type));
    }
    ScalarValue::iter_to_array(values)
}

/// The bounds of files, for DataFusion's pruning.
struct FileBounds<'a> {
    layout: &'a Layout,
    files: &'a [&'a Arc<DataFile>],
}

impl FileBounds<'_> {
    /// One array of a bound of a column; unknown is NULL.
    fn bound(
        &self,
        column: &Column,
        choose: impl Fn(&datafusion::common::ColumnStatistics) -> Option<ScalarValue>,
    ) -> Option<ArrayRef> {
        let schema = self.layout.table_schema().table_schema();
        let index = schema.index_of(&column.name).ok()?;
        let unknown = ScalarValue::try_from(schema.field(index).data_type()).ok()?;
        let values = self.files.iter().map(|file| {
            let statistics = super::statistics::of_file(file, self.layout);
            let column = statistics.column_statistics.get(index);
            column.and_then(&choose).unwrap_or_else(|| unknown.clone())
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for FileBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, |statistics| statistics.min_value.get_value().cloned())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, |statistics| statistics.max_value.get_value().cloned())
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let index = self.layout.table_schema().table_schema().index_of(&column.name).ok()?;
        let counts: UInt64Array = self
            .files
            .iter()
            .map(|file| {
                let statistics = super::statistics::of_file(file, self.layout);
                let count = statistics.column_statistics.get(index)?.null_count;
                count.get_value().map(|count| *count as u64)
            })
            .collect();
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts: UInt64Array = self.files.iter().map(|file| file.row_count()).collect();
        Some(Arc::new(counts))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
