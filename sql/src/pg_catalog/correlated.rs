//! Correlated scalar subqueries over the system's relations, as joins.
//!
//! The planner joins such a subquery only if it is an aggregate with equalities. Clients write
//! others: `(SELECT adbin FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND a.atthasdef)` is one
//! row by its keys, which nothing in the plan says. Here it becomes a left join on the condition:
//!
//! ```text
//! Projection [(subquery)]          Projection [CASE WHEN found THEN value END]
//!   input                    =>      Left Join on the conditions with outer columns
//!                                      input
//!                                      the subquery's rows, with a column `found`
//! ```
//!
//! An aggregate is computed after the join, over the rows found for each row of the input.
//! Never: a subquery that reads a user's table; two rows there are an error, not two rows.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::datasource::source_as_provider;
use datafusion::error::Result as DfResult;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::AggregateFunctionParams;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, Filter, JoinType, LogicalPlan, LogicalPlanBuilder, Operator,
    Projection, Subquery, lit, when,
};

use super::{existence, provider};

/// The plan with its correlated subqueries over system relations joined, and EXISTS as values.
pub(crate) fn join_subqueries(plan: LogicalPlan) -> DfResult<LogicalPlan> {
    let mut number = 0;
    let step =
        |node| existence::as_counts(node)?.transform_data(|node| join_in_node(node, &mut number));
    plan.transform_up_with_subqueries(step).data()
}

fn join_in_node(node: LogicalPlan, number: &mut usize) -> DfResult<Transformed<LogicalPlan>> {
    let supported = matches!(
        node,
        LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Aggregate(_)
    );
    if !supported || !node.expressions().iter().any(holds_correlated) {
        return Ok(Transformed::no(node));
    }
    let before = Arc::clone(node.schema());
    let mut input = node.inputs()[0].clone();
    let names = NamePreserver::new(&node);
    let mut expressions = Vec::new();
    let mut changed = false;
    for expression in node.expressions() {
        let name = names.save(&expression);
        let joined = expression.transform_up(|expr| {
            let Expr::ScalarSubquery(subquery) = &expr else { return Ok(Transformed::no(expr)) };
            let Some((wider, value)) = join(&input, subquery, *number)? else {
                return Ok(Transformed::no(expr));
            };
            *number += 1;
            input = wider;
            Ok(Transformed::yes(value))
        })?;
        changed |= joined.transformed;
        expressions.push(name.restore(joined.data));
    }
    if !changed {
        return Ok(Transformed::no(node));
    }
    let wider = node.with_new_exprs(expressions, vec![input])?;
    Ok(Transformed::yes(narrowed(wider, &before)?))
}

/// Filters and sorts pass on the columns that a join added; nothing above knows them.
fn narrowed(plan: LogicalPlan, columns: &DFSchema) -> DfResult<LogicalPlan> {
    if plan.schema().fields().len() == columns.fields().len() {
        return Ok(plan);
    }
    let columns = columns.columns().into_iter().map(Expr::Column);
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

fn holds_correlated(expr: &Expr) -> bool {
    let correlated = |inner: &Expr| matches!(inner, Expr::ScalarSubquery(subquery) if !subquery.outer_ref_columns.is_empty());
    expr.exists(|inner| Ok(correlated(inner))).unwrap_or(false)
}

/// The input joined to the subquery's rows, and what stands in the subquery's place.
fn join(
    input: &LogicalPlan,
    subquery: &Subquery,
    number: usize,
) -> DfResult<Option<(LogicalPlan, Expr)>> {
    let plan = subquery.subquery.as_ref();
    if subquery.outer_ref_columns.is_empty() || !reads_system_only(plan) {
        return Ok(None);
    }
    let LogicalPlan::Projection(Projection { expr, input: rows, .. }) = plan else {
        return Ok(None);
    };
    let [value] = expr.as_slice() else { return Ok(None) };
    let value = value.clone().unalias();
    match rows.as_ref() {
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
            join_aggregate(input, aggregate, &value, number)
        }
        rows => {
            let Some(matched) = Matched::join(input, rows, number)? else { return Ok(None) };
            let value = matched.outside(value)?;
            let value = when(matched.found(), value).end()?;
            Ok(Some((matched.plan, value)))
        }
    }
}

/// The aggregate is computed for each row of the input, over the rows found for it.
fn join_aggregate(
    input: &LogicalPlan,
    aggregate: &Aggregate,
    value: &Expr,
    number: usize,
) -> DfResult<Option<(LogicalPlan, Expr)>> {
    let row = format!("__row_{number}");
    let numbered =
        LogicalPlanBuilder::from(input.clone()).window([row_number().alias(row)])?.build()?;
    let Some(matched) = Matched::join(&numbered, &aggregate.input, number)? else {
        return Ok(None);
    };
    if matched.only_equalities {
        // The planner knows these itself, and joins them better.
        return Ok(None);
    }
    let mut names = HashMap::new();
    let mut aggregates = Vec::new();
    let outputs = aggregate.schema.columns();
    for (position, (expr, output)) in aggregate.aggr_expr.iter().zip(&outputs).enumerate() {
        let name = format!("__aggregate_{number}_{position}");
        names.insert(output.clone(), name.clone());
        let filtered = only_found(matched.outside(expr.clone().unalias())?, &matched.found());
        aggregates.push(filtered.alias(name));
    }
    let groups: Vec<Expr> = numbered.schema().columns().into_iter().map(Expr::Column).collect();
    let plan =
        LogicalPlanBuilder::from(matched.plan.clone()).aggregate(groups, aggregates)?.build()?;
    let value = value.clone().transform_up(|expr| match &expr {
        Expr::Column(column) if names.contains_key(column) => {
            Ok(Transformed::yes(Expr::Column(Column::new_unqualified(names[column].clone()))))
        }
        _ => Ok(Transformed::no(expr)),
    });
    Ok(Some((plan, matched.outside(value.data()?)?)))
}

/// An aggregate over the rows that a left join found, and not over the NULLs that stand for none.
fn only_found(expr: Expr, found: &Expr) -> Expr {
    let Expr::AggregateFunction(mut function) = expr else { return expr };
    let AggregateFunctionParams { filter, .. } = &mut function.params;
    let both = match filter.take() {
        Some(filter) => filter.and(found.clone()),
        None => found.clone(),
    };
    *filter = Some(Box::new(both));
    Expr::AggregateFunction(function)
}

/// An input joined to the rows of a subquery.
struct Matched {
    plan: LogicalPlan,
    alias: String,
    /// The subquery's columns, as the join calls them.
    columns: HashMap<Column, Column>,
    /// The input's columns, by which outer references are told from those of a query further out.
    outer: Vec<Column>,
    only_equalities: bool,
}

const FOUND: &str = "__found";

impl Matched {
    fn join(input: &LogicalPlan, rows: &LogicalPlan, number: usize) -> DfResult<Option<Self>> {
        let Some((rows, conditions)) = without_outer_conditions(rows)? else { return Ok(None) };
        if conditions.is_empty() {
            return Ok(None);
        }
        let alias = format!("__subquery_{number}");
        let mut columns = HashMap::new();
        let mut projected = vec![lit(true).alias(FOUND)];
        for (position, column) in rows.schema().columns().into_iter().enumerate() {
            let name = format!("__{position}");
            projected.push(Expr::Column(column.clone()).alias(&name));
            columns.insert(column, Column::new(Some(alias.clone()), name));
        }
        let right =
            LogicalPlanBuilder::from(rows).project(projected)?.alias(alias.clone())?.build()?;
        let outer = input.schema().columns();
        let only_equalities = conditions.iter().all(equality);
        let mut matched = Self { plan: input.clone(), alias, columns, outer, only_equalities };
        let conditions =
            conditions.into_iter().map(|c| matched.outside(c)).collect::<DfResult<Vec<_>>>()?;
        matched.plan = LogicalPlanBuilder::from(input.clone())
            .join_on(right, JoinType::Left, conditions)?
            .build()?;
        Ok(Some(matched))
    }

    /// An expression of the subquery as the join above both sides sees it.
    fn outside(&self, expr: Expr) -> DfResult<Expr> {
        expr.transform_down(|expr| match &expr {
            Expr::Column(column) if self.columns.contains_key(column) => {
                let renamed = Expr::Column(self.columns[column].clone());
                Ok(Transformed::new(renamed, true, TreeNodeRecursion::Jump))
            }
            Expr::OuterReferenceColumn(_, column) if self.outer.contains(column) => {
                let plain = Expr::Column(column.clone());
                Ok(Transformed::new(plain, true, TreeNodeRecursion::Jump))
            }
            _ => Ok(Transformed::no(expr)),
        })
        .data()
    }

    fn found(&self) -> Expr {
        Expr::Column(Column::new(Some(self.alias.clone()), FOUND)).is_true()
    }
}

/// `inner = outer`, which the planner can join on.
fn equality(condition: &Expr) -> bool {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            left.contains_outer() != right.contains_outer()
                && (left.column_refs().is_empty() != right.column_refs().is_empty())
        }
        _ => false,
    }
}

/// The plan without its conditions on outer columns, and those conditions. `None` where an outer
/// column stands anywhere else.
fn without_outer_conditions(plan: &LogicalPlan) -> DfResult<Option<(LogicalPlan, Vec<Expr>)>> {
    if plan.all_out_ref_exprs().is_empty() {
        return Ok(Some((plan.clone(), Vec::new())));
    }
    match plan {
        LogicalPlan::Filter(Filter { predicate, input, .. }) => {
            let Some((rows, mut conditions)) = without_outer_conditions(input)? else {
                return Ok(None);
            };
            let (outer, own): (Vec<_>, Vec<_>) = split_conjunction_owned(predicate.clone())
                .into_iter()
                .partition(Expr::contains_outer);
            conditions.extend(outer);
            let rows = LogicalPlanBuilder::from(rows);
            let rows = match own.into_iter().reduce(Expr::and) {
                Some(own) => rows.filter(own)?,
                None => rows,
            };
            Ok(Some((rows.build()?, conditions)))
        }
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
            if plan.contains_outer_reference() {
                return Ok(None);
            }
            let (left, right) =
                (without_outer_conditions(&join.left)?, without_outer_conditions(&join.right)?);
            let (Some((left, mut conditions)), Some((right, more))) = (left, right) else {
                return Ok(None);
            };
            conditions.extend(more);
            Ok(Some((plan.with_new_exprs(plan.expressions(), vec![left, right])?, conditions)))
        }
        _ => Ok(None),
    }
}

/// Whether every table below is the system's own.
fn reads_system_only(plan: &LogicalPlan) -> bool {
    let mut only = true;
    let visited = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            only &= source_as_provider(&scan.source).is_ok_and(|table| provider::is_system(&table));
        }
        Ok(if only { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    visited.is_ok() && only
}
