//! The ASOF JOIN in a logical plan.
//!
//! Never: loses the right columns that decide between right rows of equal time. All columns of
//! the right side take part in that decision, so all are read, unless the right side is known to
//! have one row per key and time.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use datafusion::common::{Column, DFSchema, DFSchemaRef, Dependency, internal_err};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, UserDefinedLogicalNodeCore};

use super::condition::Condition;

/// For each row of the left input, the best row of the right one; see the module
/// [`point_in_time`](super).
///
/// Output: all left columns, then the right ones, nullable, without those that USING merged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AsOfJoinNode {
    left: LogicalPlan,
    right: LogicalPlan,
    condition: Condition,
    /// Right columns that USING merged into their left ones.
    hidden: Vec<Column>,
    schema: DFSchemaRef,
}

impl AsOfJoinNode {
    pub(super) fn try_new(
        left: LogicalPlan,
        right: LogicalPlan,
        condition: Condition,
        hidden: Vec<Column>,
    ) -> Result<Self> {
        let schema = output_schema(&left, &right, &hidden)?;
        Ok(Self { left, right, condition, hidden, schema: Arc::new(schema) })
    }

    pub(super) fn left(&self) -> &LogicalPlan {
        &self.left
    }

    pub(super) fn right(&self) -> &LogicalPlan {
        &self.right
    }

    pub(super) fn condition(&self) -> &Condition {
        &self.condition
    }

    /// The same join over another left input.
    pub(super) fn with_left(&self, left: LogicalPlan) -> Result<Self> {
        Self::try_new(left, self.right.clone(), self.condition.clone(), self.hidden.clone())
    }

    /// Positions in the right input of the columns that come out, in order.
    pub(super) fn visible_right(&self) -> Vec<usize> {
        visible(self.right.schema(), &self.hidden).collect()
    }

    /// Whether no two right rows have equal keys and time, so that nothing needs a decision.
    pub(super) fn right_is_unique(&self) -> bool {
        let schema = self.right.schema();
        let position = |expression: &Expr| match expression {
            Expr::Column(column) => schema.maybe_index_of_column(column),
            _ => None,
        };
        let keys = self.condition.on.iter().map(|(_, right)| right);
        let compared: HashSet<usize> =
            keys.chain([&self.condition.time.right]).filter_map(position).collect();
        schema.functional_dependencies().iter().any(|dependence| {
            dependence.mode == Dependency::Single
                && dependence.source_indices.iter().all(|index| compared.contains(index))
        })
    }
}

fn visible(right: &DFSchema, hidden: &[Column]) -> impl Iterator<Item = usize> {
    let hidden: HashSet<usize> =
        hidden.iter().filter_map(|column| right.maybe_index_of_column(column)).collect();
    (0..right.fields().len()).filter(move |index| !hidden.contains(index))
}

fn output_schema(left: &LogicalPlan, right: &LogicalPlan, hidden: &[Column]) -> Result<DFSchema> {
    let (left, right) = (left.schema(), right.schema());
    let of_left = left.iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)));
    let of_right = visible(right, hidden).map(|index| {
        let (qualifier, field) = right.qualified_field(index);
        (qualifier.cloned(), Arc::new(field.as_ref().clone().with_nullable(true)))
    });
    let fields = of_left.chain(of_right).collect::<Vec<_>>();
    // A left row stays one row, so what identified it still does, and decides the right columns.
    let mut dependencies = left.functional_dependencies().clone();
    dependencies.extend_target_indices(fields.len());
    let mut metadata = right.metadata().clone();
    metadata.extend(left.metadata().clone());
    DFSchema::new_with_metadata(fields, metadata)?.with_functional_dependencies(dependencies)
}

impl PartialOrd for AsOfJoinNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let key = |node: &Self| (node.condition.clone(), node.hidden.clone());
        let inputs = (&self.left, &self.right).partial_cmp(&(&other.left, &other.right))?;
        let ordering = inputs.then(key(self).partial_cmp(&key(other))?);
        // Two nodes that differ in their schemas alone have no order.
        (ordering != Ordering::Equal || self == other).then_some(ordering)
    }
}

impl UserDefinedLogicalNodeCore for AsOfJoinNode {
    fn name(&self) -> &str {
        "AsOfJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.condition.expressions()
    }

    // By name only: a left column whose name the right side has too is moved by `PushDownToLeft`.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.right.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsOfJoin: {}", self.condition)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([left, right]) = <[LogicalPlan; 2]>::try_from(inputs) else {
            return internal_err!("an AsOfJoin has two inputs");
        };
        let Some(condition) = self.condition.with_expressions(exprs) else {
            return internal_err!("an AsOfJoin keeps the number of its expressions");
        };
        let right = self.without_left_filter(right);
        Self::try_new(left, right, condition, self.hidden.clone())
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.left.schema().fields().len();
        let visible = self.visible_right();
        let (mut left, mut right) = (BTreeSet::new(), BTreeSet::new());
        for &column in output_columns {
            match column.checked_sub(width) {
                None => left.insert(column),
                Some(offset) => right.insert(*visible.get(offset)?),
            };
        }
        if !self.right_is_unique() {
            right.extend(0..self.right.schema().fields().len());
        }
        Some(vec![left.into_iter().collect(), right.into_iter().collect()])
    }
}

impl AsOfJoinNode {
    /// The right input without a filter that is the left one's.
    ///
    /// The engine pushes a filter that names no right column, or no column at all, over *every*
    /// input of an extension node. Over the right input it has no meaning: it would be an error,
    /// or, when it is as blind as `random() < 0.5`, take right rows away.
    fn without_left_filter(&self, right: LogicalPlan) -> LogicalPlan {
        match right {
            LogicalPlan::Filter(Filter { predicate, input, .. })
                if *input == self.right && !reads_only(&predicate, &self.right) =>
            {
                Arc::unwrap_or_clone(input)
            }
            other => other,
        }
    }
}

fn reads_only(predicate: &Expr, input: &LogicalPlan) -> bool {
    let columns = predicate.column_refs();
    !columns.is_empty() && columns.iter().all(|c| input.schema().is_column_from_schema(c))
}
