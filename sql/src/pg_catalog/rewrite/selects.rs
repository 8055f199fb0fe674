//! SELECT lists: two columns of one name, system columns, and rows that cannot be.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, FunctionArguments, GroupByExpr, Ident, JoinOperator, Query, Select,
    SelectItem, SetExpr, TableFactor, Value, visit_expressions, visit_expressions_mut,
};

use super::super::tables;
use super::{build, relations};

/// What a second column of one name is called inside a query.
const DUPLICATE: &str = "__column_";

/// The planner refuses two columns of one name; PostgreSQL does only where one is asked for.
pub(super) fn name_duplicates(query: &mut Query) {
    in_body(query.body.as_mut());
}

fn in_body(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => in_list(&mut select.projection),
        SetExpr::SetOperation { left, right, .. } => {
            in_body(left);
            in_body(right);
        }
        _ => {}
    }
}

fn in_list(list: &mut [SelectItem]) {
    let mut seen = HashSet::new();
    for (position, item) in list.iter_mut().enumerate() {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = &*item
        else {
            continue;
        };
        let name = match &*item {
            SelectItem::ExprWithAlias { alias, .. } => build::folded(alias),
            _ => expr.to_string(),
        };
        if !seen.insert(name) {
            let alias = Ident::with_quote('"', format!("{DUPLICATE}{position}"));
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
}

/// System columns of the system's relations: `tableoid` is the relation's OID, and the others,
/// which tell row versions apart, are the same for every row of a statement's snapshot.
pub(super) fn system_columns(select: &mut Select) {
    let mut known: HashMap<String, u32> = HashMap::new();
    for factor in factors(select) {
        let (Some(relation), TableFactor::Table { name, alias, .. }) =
            (relations::system_relation(factor), factor)
        else {
            continue;
        };
        let own = name.0.last().and_then(|part| part.as_ident()).map(build::folded);
        let called = alias.as_ref().map(|alias| build::folded(&alias.name)).or(own);
        known.extend(called.map(|called| (called, relation.oid)));
    }
    if known.is_empty() {
        return;
    }
    let mut replace = |expr: &mut Expr| {
        if let Some(value) = system_column(expr, &known) {
            *expr = value;
        }
        ControlFlow::<()>::Continue(())
    };
    for item in &mut select.projection {
        let kept = match item {
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().cloned(),
            _ => None,
        };
        let _ = visit_expressions_mut(item, &mut replace);
        // The column keeps the name that the client asked for.
        if let (Some(alias), SelectItem::UnnamedExpr(expr @ Expr::Cast { .. })) = (kept, &*item) {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        }
    }
    let _ = visit_expressions_mut(&mut select.from, &mut replace);
    let _ = visit_expressions_mut(&mut select.selection, &mut replace);
}

fn system_column(expr: &Expr, known: &HashMap<String, u32>) -> Option<Expr> {
    let Expr::CompoundIdentifier(parts) = expr else { return None };
    let [.., qualifier, column] = parts.as_slice() else { return None };
    let oid = known.get(&build::folded(qualifier))?;
    let (number, type_name) = match build::folded(column).as_str() {
        "tableoid" => (*oid, "oid"),
        "xmin" => (2, "xid"),
        "xmax" => (0, "xid"),
        "cmin" | "cmax" => (0, "cid"),
        _ => return None,
    };
    let data_type = DataType::Custom(vec![Ident::new(type_name)].into(), Vec::new());
    Some(cast(Value::Number(number.to_string(), false), data_type))
}

fn cast(value: Value, data_type: DataType) -> Expr {
    let expr = Box::new(Expr::value(value));
    Expr::Cast { kind: CastKind::DoubleColon, expr, data_type, array: false, format: None }
}

fn factors(select: &Select) -> impl Iterator<Item = &TableFactor> {
    select.from.iter().flat_map(|from| {
        std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
    })
}

/// Columns of rows that there are none of, because a relation that is always empty is joined,
/// need not be computed: a subquery among them, which the planner might refuse, is a NULL.
pub(super) fn of_nothing(select: &mut Select) {
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(all, _) if all.is_empty());
    if grouped || select.having.is_some() || !select.from.iter().any(always_empty) {
        return;
    }
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
            continue;
        };
        if holds_subquery(expr) {
            *expr = cast(Value::Null, DataType::Text);
        }
    }
}

/// Whether a relation that is always empty leaves no rows of a FROM item.
fn always_empty(from: &datafusion::sql::sqlparser::ast::TableWithJoins) -> bool {
    let inner = |operator: &JoinOperator| {
        matches!(
            operator,
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
        )
    };
    let preserving = from.joins.iter().all(|join| {
        inner(&join.join_operator)
            || matches!(join.join_operator, JoinOperator::Left(_) | JoinOperator::LeftOuter(_))
    });
    let empty =
        |factor: &TableFactor| relations::system_relation(factor).is_some_and(tables::empty);
    let joined = from.joins.iter().filter(|join| inner(&join.join_operator));
    preserving && (empty(&from.relation) || joined.map(|join| &join.relation).any(empty))
}

fn holds_subquery(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |inner| match inner {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        Expr::Function(function) if matches!(function.args, FunctionArguments::Subquery(_)) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}
