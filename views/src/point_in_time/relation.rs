//! Plans a parenthesised ASOF JOIN as a relation.
//!
//! Never: looks at tables itself; both sides go through the whole planner, so they can be tables,
//! views, subqueries, CTEs or joins, ASOF joins included.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan};
use datafusion::sql::sqlparser::ast::{
    Join, JoinConstraint, JoinOperator, ObjectName, TableFactor, TableWithJoins,
};

use super::condition::{Condition, ConditionReader, form, using_pair};
use super::node::AsOfJoinNode;
use super::rewrite::lone_as_of;

/// Claims what [`rewrite_as_of`](super::rewrite_as_of) has wrapped, and leaves the rest alone.
#[derive(Debug, Default)]
pub struct AsOfRelationPlanner;

impl RelationPlanner for AsOfRelationPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        match relation {
            TableFactor::NestedJoin { table_with_joins, alias }
                if lone_as_of(&table_with_joins).is_some() =>
            {
                let plan = plan_join(*table_with_joins, context)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}

fn plan_join(
    item: TableWithJoins,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let TableWithJoins { relation, mut joins } = item;
    let Some(Join {
        relation: joined,
        global,
        join_operator: JoinOperator::AsOf { match_condition, constraint },
    }) = joins.pop()
    else {
        return context.plan(relation);
    };
    if global {
        return Err(form("GLOBAL", "it has no meaning here", "Leave it out."));
    }
    if lateral(&joined) {
        let hint = "Join a table or an independent subquery.";
        return Err(form("LATERAL", "the right side cannot read the left one", hint));
    }
    let left = context.plan(relation)?;
    let right = context.plan(joined)?;
    let names = match &constraint {
        JoinConstraint::Using(names) => using_names(names, context)?,
        _ => Vec::new(),
    };
    let condition = plan_condition(match_condition, constraint, &names, (&left, &right), context)?;
    let hidden = condition.on.iter().take(names.len()).filter_map(|(_, right)| as_column(right));
    let node = AsOfJoinNode::try_new(left, right, condition.clone(), hidden.collect())?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

fn plan_condition(
    matching: datafusion::sql::sqlparser::ast::Expr,
    constraint: JoinConstraint,
    names: &[String],
    (left, right): (&LogicalPlan, &LogicalPlan),
    context: &mut dyn RelationPlannerContext,
) -> Result<Condition> {
    let both = left.schema().join(right.schema())?;
    let reader = ConditionReader { left: left.schema(), right: right.schema() };
    let matching = context.sql_to_expr(matching, &both)?;
    let keys = match constraint {
        JoinConstraint::On(on) => reader.keys(context.sql_to_expr(on, &both)?)?,
        JoinConstraint::Using(_) => names
            .iter()
            .map(|name| using_pair(name, left.schema(), right.schema()))
            .collect::<Result<Vec<_>>>()?,
        JoinConstraint::None => Vec::new(),
        JoinConstraint::Natural => {
            return Err(form("NATURAL", "its keys must be named", "Write USING (key)."));
        }
    };
    reader.read(matching, keys)
}

fn using_names(names: &[ObjectName], context: &dyn RelationPlannerContext) -> Result<Vec<String>> {
    let plain = |name: &ObjectName| match name.0.as_slice() {
        [part] => part.as_ident().cloned(),
        _ => None,
    };
    names
        .iter()
        .map(|name| match plain(name) {
            Some(ident) => Ok(context.normalize_ident(ident)),
            None => {
                let hint = "Write USING (key), or ON l.key = r.key.";
                Err(form(&format!("\"{name}\" in USING"), "it is not a plain column", hint))
            }
        })
        .collect()
}

/// The column below the casts that made both keys one type.
fn as_column(expression: &Expr) -> Option<Column> {
    match expression {
        Expr::Column(column) => Some(column.clone()),
        Expr::Cast(cast) => as_column(&cast.expr),
        _ => None,
    }
}

fn lateral(factor: &TableFactor) -> bool {
    matches!(
        factor,
        TableFactor::Derived { lateral: true, .. } | TableFactor::Function { lateral: true, .. }
    )
}
