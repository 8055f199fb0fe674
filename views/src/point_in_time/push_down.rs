//! Moves what touches left columns only from above an ASOF JOIN to its left input.
//!
//! The engine's own rule compares bare column names, and the two sides of an ASOF JOIN usually
//! both have a `ts` and a key of one name.
//!
//! Never: moves a filter on right columns. It chooses among joined rows; below the join it would
//! choose among candidates, and another row would be joined.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Extension, Filter, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::node::AsOfJoinNode;

/// An optimizer rule, to be added with [`PushDownToLeft::insert_into`].
#[derive(Debug, Default)]
pub struct PushDownToLeft;

impl PushDownToLeft {
    /// Adds the rule right after the engine's `push_down_filter`. That one brings filters down to
    /// a join, and in its next round takes them on below it; rules after it put projections
    /// between a filter and a join.
    pub fn insert_into(rules: &mut Vec<Arc<dyn OptimizerRule + Send + Sync>>) {
        let before = rules.iter().position(|rule| rule.name() == PushDownFilter::new().name());
        rules.insert(before.map_or(rules.len(), |place| place + 1), Arc::new(Self));
    }
}

impl OptimizerRule for PushDownToLeft {
    fn name(&self) -> &str {
        "push_down_to_left_of_as_of_join"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Filter(filter) => push_down(filter),
            other => Ok(Transformed::no(other)),
        }
    }
}

fn push_down(filter: Filter) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Extension(Extension { node }) = filter.input.as_ref() else {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    };
    let Some(join) = node.as_any().downcast_ref::<AsOfJoinNode>() else {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    };
    let conjuncts = split_conjunction_owned(filter.predicate.clone());
    let (below, above): (Vec<Expr>, Vec<Expr>) =
        conjuncts.into_iter().partition(|conjunct| reads_left_only(conjunct, join));
    let Some(below) = conjunction(below) else {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    };
    let left = LogicalPlan::Filter(Filter::try_new(below, Arc::new(join.left().clone()))?);
    let joined = LogicalPlan::Extension(Extension { node: Arc::new(join.with_left(left)?) });
    Ok(Transformed::yes(match conjunction(above) {
        Some(above) => LogicalPlan::Filter(Filter::try_new(above, Arc::new(joined))?),
        None => joined,
    }))
}

fn reads_left_only(conjunct: &Expr, join: &AsOfJoinNode) -> bool {
    let left = join.left().schema();
    let columns = conjunct.column_refs();
    !columns.is_empty()
        && !conjunct.is_volatile()
        && !contains_subquery(conjunct)
        && columns.iter().all(|column| left.is_column_from_schema(column))
}

/// A subquery may read right columns that `column_refs` does not see.
fn contains_subquery(expression: &Expr) -> bool {
    let subquery =
        |e: &Expr| Ok(matches!(e, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)));
    expression.exists(subquery).unwrap_or(true)
}
