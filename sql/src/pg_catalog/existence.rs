//! `SELECT EXISTS (...)`: existence as a value, which the planner knows in WHERE alone.
//!
//! It becomes `(SELECT count(*) > 0 FROM (...))`; of rows that do not depend on the outer query, at
//! most one is counted.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as DfResult;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::Exists;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Subquery, lit};

/// The name of the count inside the subquery.
const COUNT: &str = "__count";

/// A node with its EXISTS outside of conditions as counts.
pub(super) fn as_counts(node: LogicalPlan) -> DfResult<Transformed<LogicalPlan>> {
    let values = matches!(
        node,
        LogicalPlan::Projection(_) | LogicalPlan::Sort(_) | LogicalPlan::Aggregate(_)
    );
    let holds = |expr: &Expr| expr.exists(|inner| Ok(matches!(inner, Expr::Exists(_))));
    if !values || !node.expressions().iter().any(|expr| holds(expr).unwrap_or(false)) {
        return Ok(Transformed::no(node));
    }
    let names = NamePreserver::new(&node);
    let inputs = node.inputs().into_iter().cloned().collect();
    let mut expressions = Vec::new();
    for expression in node.expressions() {
        let name = names.save(&expression);
        let counted = expression.transform_up(|expr| match expr {
            Expr::Exists(exists) => Ok(Transformed::yes(as_count(exists)?)),
            other => Ok(Transformed::no(other)),
        })?;
        expressions.push(name.restore(counted.data));
    }
    Ok(Transformed::yes(node.with_new_exprs(expressions, inputs)?))
}

fn as_count(exists: Exists) -> DfResult<Expr> {
    let Exists { subquery, negated } = exists;
    let rows = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone());
    let rows = if subquery.outer_ref_columns.is_empty() { rows.limit(0, Some(1))? } else { rows };
    let none: [Expr; 0] = [];
    let some = Expr::Column(COUNT.into()).gt(lit(0_i64));
    let counted =
        rows.aggregate(none, [count(lit(1_i64)).alias(COUNT)])?.project([some])?.build()?;
    let value = Expr::ScalarSubquery(Subquery { subquery: Arc::new(counted), ..subquery });
    Ok(if negated { Expr::Not(Box::new(value)) } else { value })
}
