//! Subqueries as values: `ARRAY(SELECT ...)`, and scalar subqueries over the system's relations.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArguments, GroupByExpr, LambdaFunction, LambdaFunctionParameter,
    LambdaSyntax, LimitClause, OneOrManyWithParens, OrderByExpr, OrderByKind, Query, Select, SelectItem,
    SetExpr, TableFactor, Value,
};

use super::{build, relations};

/// Aggregates that a client's subquery may already hold.
const AGGREGATES: &[&str] = &[
    "array_agg", "avg", "bool_and", "bool_or", "count", "every", "first_value", "json_agg", "last_value", "max", "min",
    "string_agg", "sum",
];

/// `ARRAY(SELECT x FROM t ORDER BY y)` is `(SELECT array_or_empty(array_agg(x ORDER BY y)) FROM t)`.
pub(super) fn array_of(expr: &mut Expr) {
    let Expr::Function(function) = expr else { return };
    if build::function_name(&function.name).as_deref() != Some("array") {
        return;
    }
    let FunctionArguments::Subquery(query) = &mut function.args else { return };
    if let Some(mapped) = mapped(query) {
        *expr = mapped;
        return;
    }
    let Some((select, order)) = plain_select(query) else { return };
    let Some(item) = only_item(select) else { return };
    let order = ordered(&order, item);
    let aggregate = build::aggregate("array_agg", item.clone(), order);
    *item = build::call("array_or_empty", [aggregate]);
    query.order_by = None;
    *expr = Expr::Subquery(query.clone());
}

/// `ARRAY(SELECT f(x) FROM unnest(a) x)` is a function of the elements of `a`.
fn mapped(query: &mut Query) -> Option<Expr> {
    let (select, order) = plain_select(query)?;
    if !order.is_empty() || select.selection.is_some() {
        return None;
    }
    let [from] = select.from.as_slice() else { return None };
    let TableFactor::UNNEST { array_exprs, alias: Some(alias), with_offset: false, .. } = &from.relation
    else {
        return None;
    };
    let [array] = array_exprs.as_slice() else { return None };
    let (array, name) = (array.clone(), alias.name.clone());
    if !from.joins.is_empty() {
        return None;
    }
    let body = only_item(select)?.clone();
    let params = OneOrManyWithParens::One(LambdaFunctionParameter { name, data_type: None });
    let lambda = LambdaFunction { params, body: Box::new(body), syntax: LambdaSyntax::Arrow };
    let mapped = build::call("array_transform", [array, Expr::Lambda(lambda)]);
    Some(build::call("array_or_empty", [mapped]))
}

/// `(SELECT x FROM pg_class c WHERE c.oid = outer.oid)` becomes an aggregate of its one row: the
/// planner joins a correlated subquery only if it can see that there is at most one.
///
/// Only over the system's relations, where such a subquery selects by key.
pub(super) fn scalar(expr: &mut Expr) {
    let Expr::Subquery(query) = expr else { return };
    let Some((select, order)) = plain_select(query) else { return };
    let system = !select.from.is_empty()
        && select.from.iter().all(|from| {
            let mut all = std::iter::once(&from.relation).chain(from.joins.iter().map(|j| &j.relation));
            all.all(relations::system_relation)
        });
    if !system {
        return;
    }
    let Some(item) = only_item(select) else { return };
    if aggregated(item) {
        return;
    }
    let order = ordered(&order, item);
    *item = build::aggregate("first_value", item.clone(), order);
    query.order_by = None;
    query.limit_clause = None;
}

/// The SELECT of a query without WITH, GROUP BY, DISTINCT or set operation, and its order.
/// A limit of one row is no hindrance: there is one row.
fn plain_select(query: &mut Query) -> Option<(&mut Select, Vec<OrderByExpr>)> {
    if query.with.is_some() || query.fetch.is_some() || !one_row(query.limit_clause.as_ref()) {
        return None;
    }
    let order = match query.order_by.as_ref().map(|order| &order.kind) {
        None => Vec::new(),
        Some(OrderByKind::Expressions(order)) => order.clone(),
        Some(OrderByKind::All(_)) => return None,
    };
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(all, _) if all.is_empty());
    if select.distinct.is_some() || grouped || select.having.is_some() {
        return None;
    }
    Some((select.as_mut(), order))
}

fn one_row(limit: Option<&LimitClause>) -> bool {
    match limit {
        None => true,
        Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by }) => {
            limit_by.is_empty() && limit.to_string() == "1"
        }
        Some(_) => false,
    }
}

fn only_item(select: &mut Select) -> Option<&mut Expr> {
    match select.projection.as_mut_slice() {
        [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] => Some(expr),
        _ => None,
    }
}

/// `ORDER BY 1` orders by the item itself.
fn ordered(order: &[OrderByExpr], item: &Expr) -> Vec<OrderByExpr> {
    let mut order = order.to_vec();
    for key in &mut order {
        if let Expr::Value(value) = &key.expr
            && matches!(&value.value, Value::Number(digits, _) if digits == "1")
        {
            key.expr = item.clone();
        }
    }
    order
}

fn aggregated(expr: &Expr) -> bool {
    use std::ops::ControlFlow;
    let found = datafusion::sql::sqlparser::ast::visit_expressions(expr, |inner| match inner {
        Expr::Function(function)
            if build::function_name(&function.name)
                .is_some_and(|name| AGGREGATES.contains(&name.as_str())) =>
        {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}
