//! Which files can hold rows that a filter lets through.
//!
//! Filters over columns that are constant in a file (partition columns, the file's path) are decided
//! here for good. The others are held against the minima, maxima and NULL counts of each file.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, StringArray, UInt64Array,
};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;

use super::FILE_COLUMN;
use super::layout::Layout;
use crate::table::{BoundArrays, DataFile, FileBounds, TableSnapshot};

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
pub(super) fn prune(
    state: &dyn Session,
    layout: &Layout,
    snapshot: &TableSnapshot,
    filters: &[Expr],
) -> Result<Vec<Arc<DataFile>>> {
    if filters.is_empty() || snapshot.file_count() == 0 {
        return Ok(snapshot.files().map(Arc::clone).collect());
    }
    let known = snapshot.bounds();
    let mut kept = vec![true; known.files().len()];
    let (constant, others): (Vec<Expr>, Vec<Expr>) =
        filters.iter().cloned().partition(|filter| is_decided_by(filter, layout));
    if let Some(filter) = conjunction(constant) {
        let values = files_values(layout, &known)?;
        restrict(&mut kept, &decide(state, &values, filter)?);
    }
    if let Some(filter) = conjunction(others).filter(|_| kept.contains(&true)) {
        let schema = Arc::clone(layout.table_schema().table_schema());
        let df_schema = DFSchema::try_from(Arc::clone(&schema))?;
        let filter = state.create_physical_expr(filter, &df_schema)?;
        let builder = PruningPredicateBuilder::new().with_file_schema(schema);
        // What cannot be turned into a question about bounds prunes nothing.
        if let Ok(predicate) = builder.try_build(filter)
            && !predicate.always_true()
            && let Ok(possible) = predicate.prune(&Bounds { layout, known: &known })
        {
            restrict(&mut kept, &possible);
        }
    }
    let files = known.files().iter().zip(kept).filter(|(_, kept)| *kept);
    Ok(files.map(|(file, _)| Arc::clone(file)).collect())
}

fn restrict(kept: &mut [bool], possible: &[bool]) {
    for (kept, possible) in kept.iter_mut().zip(possible) {
        *kept &= possible;
    }
}

/// The values of the constant columns, one row a file.
fn files_values(layout: &Layout, known: &FileBounds) -> Result<RecordBatch> {
    let first = layout.file_columns().len();
    let mut columns: Vec<ArrayRef> = Vec::new();
    let mut fields: Vec<FieldRef> = Vec::new();
    for (nth, field) in layout.constant_columns().enumerate() {
        let column = if field.name() == FILE_COLUMN && layout.has_places() {
            let paths = known.files().iter().map(|file| file.path());
            Arc::new(StringArray::from_iter_values(paths))
        } else {
            // Minimum and maximum are the value, but for NULL, which has neither.
            bounds(layout, known, first + nth, field.data_type())?.min
        };
        columns.push(column);
        fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(known.files().len()));
    let schema = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// The bounds of a column of the file source, of all files.
fn bounds(
    layout: &Layout,
    known: &FileBounds,
    index: usize,
    data_type: &DataType,
) -> Result<BoundArrays> {
    let is_constant =
        index >= layout.file_columns().len() && index < layout.stored().fields().len();
    known.column(index, data_type, |file| {
        let statistics = super::statistics::of_table_columns(file, layout);
        match statistics.column_statistics.get(index) {
            // What a constant column is must be known: rows would be lost.
            None if is_constant => layout.partition_values_of_table(file).map(|_| None),
            found => Ok(found.cloned()),
        }
    })
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

/// The bounds of files, for DataFusion's pruning.
struct Bounds<'a> {
    layout: &'a Layout,
    known: &'a FileBounds,
}

impl Bounds<'_> {
    fn of(&self, column: &Column) -> Option<BoundArrays> {
        let schema = self.layout.table_schema().table_schema();
        let index = schema.index_of(&column.name).ok()?;
        bounds(self.layout, self.known, index, schema.field(index).data_type()).ok()
    }
}

impl PruningStatistics for Bounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.of(column).map(|bounds| bounds.min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.of(column).map(|bounds| bounds.max)
    }

    fn num_containers(&self) -> usize {
        self.known.files().len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        self.of(column).map(|bounds| bounds.null_count)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts: UInt64Array = self.known.files().iter().map(|file| file.row_count()).collect();
        Some(Arc::new(counts))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
