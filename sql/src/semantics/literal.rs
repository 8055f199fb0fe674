//! The syntax tree before it is planned: whole numbers get PostgreSQL's types, and `AT TIME ZONE`
//! becomes a call of `timezone`.
//!
//! The planner takes whole numbers for `bigint`. Those that fit become casts to `integer`, which
//! [`fold`] replaces by their values as soon as there is a plan.
//! Never: a cast where only a bare number is meant, as in `LIMIT 1` or `ORDER BY 1`.

use std::ops::ControlFlow;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{Cast, Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};

/// Rewrites what the planner would take for something else.
pub(crate) fn rewrite(tree: &mut impl VisitMut) {
    let _ = tree.visit(&mut Rewriter { numbers: true });
}

/// As [`rewrite`]; the values of an `INSERT` are converted to their columns' types anyway.
pub(crate) fn rewrite_statement(statement: &mut ast::Statement) {
    let values = matches!(statement, ast::Statement::Insert(insert) if insert
        .source
        .as_ref()
        .is_some_and(|source| matches!(source.body.as_ref(), ast::SetExpr::Values(_))));
    let _ = statement.visit(&mut Rewriter { numbers: !values });
}

/// Replaces the casts of numbers by their values, and makes aggregates of integers exact.
pub(crate) fn fold(plan: LogicalPlan) -> Result<LogicalPlan> {
    super::rule::each_expression(plan, |expr, schema| {
        expr.transform_up(|expr| {
            Ok(folded(expr).update_data(|expr| super::aggregate::exact(expr, schema)))
        })
    })
}

/// The value of the cast that [`rewrite`] made of a number.
pub(crate) fn folded(expr: Expr) -> Transformed<Expr> {
    if let Expr::Cast(Cast { expr: inner, field }) = &expr
        && field.data_type() == &arrow::datatypes::DataType::Int32
        && let Expr::Literal(ScalarValue::Int64(Some(number)), None) = inner.as_ref()
        && let Ok(number) = i32::try_from(*number)
    {
        return Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(number)), None));
    }
    Transformed::no(expr)
}

struct Rewriter {
    numbers: bool,
}

impl VisitorMut for Rewriter {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        match expr {
            ast::Expr::AtTimeZone { timestamp, time_zone } => {
                let arguments = [take(time_zone), take(timestamp)];
                *expr = call("timezone", arguments);
            }
            ast::Expr::IsDistinctFrom(_, right) | ast::Expr::IsNotDistinctFrom(_, right)
                if joins_conditions(right) =>
            {
                rebind(expr);
            }
            ast::Expr::Value(_) if self.numbers => typed_number(expr),
            // The planner reads a number and its sign as one.
            ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr: inner } => {
                if let Some(number) = bare(inner) {
                    **inner = number;
                    *expr = integer(take(expr));
                }
            }
            ast::Expr::Function(function) => {
                if let Some(ast::WindowType::WindowSpec(window)) = &mut function.over {
                    bare_frame(window);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        if let ast::GroupByExpr::Expressions(expressions, _) = &mut select.group_by {
            expressions.iter_mut().for_each(make_bare);
        }
        for ast::NamedWindowDefinition(_, window) in &mut select.named_window {
            if let ast::NamedWindowExpr::WindowSpec(window) = window {
                bare_frame(window);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        if let Some(order) = &mut query.order_by
            && let ast::OrderByKind::Expressions(expressions) = &mut order.kind
        {
            expressions.iter_mut().for_each(|by| make_bare(&mut by.expr));
        }
        if let Some(ast::LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            limit.iter_mut().for_each(make_bare);
            offset.iter_mut().for_each(|offset| make_bare(&mut offset.value));
        }
        if let Some(quantity) = query.fetch.as_mut().and_then(|fetch| fetch.quantity.as_mut()) {
            make_bare(quantity);
        }
        ControlFlow::Continue(())
    }
}

/// `1` as `integer`; a number too large for `bigint` as `numeric`.
fn typed_number(expr: &mut ast::Expr) {
    let ast::Expr::Value(value) = &*expr else { return };
    let ast::Value::Number(digits, _) = &value.value else { return };
    if digits.parse::<i32>().is_ok() {
        *expr = integer(take(expr));
    } else if digits.parse::<i64>().is_err() && digits.parse::<u64>().is_ok() {
        let text = ast::Expr::value(ast::Value::SingleQuotedString(digits.clone()));
        let digits = ast::ExactNumberInfo::PrecisionAndScale(20, 0);
        *expr = cast(text, ast::DataType::Numeric(digits));
    }
}

fn integer(number: ast::Expr) -> ast::Expr {
    cast(number, ast::DataType::Int4(None))
}

fn cast(expr: ast::Expr, data_type: ast::DataType) -> ast::Expr {
    let expr = Box::new(expr);
    ast::Expr::Cast { kind: ast::CastKind::Cast, expr, data_type, array: false, format: None }
}

/// The number in a cast that [`integer`] made.
fn bare(expr: &ast::Expr) -> Option<ast::Expr> {
    let ast::Expr::Cast { expr, data_type: ast::DataType::Int4(None), .. } = expr else {
        return None;
    };
    let number = match expr.as_ref() {
        ast::Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => expr,
        number => number,
    };
    let ast::Expr::Value(value) = number else { return None };
    matches!(value.value, ast::Value::Number(..)).then(|| expr.as_ref().clone())
}

fn make_bare(expr: &mut ast::Expr) {
    if let Some(number) = bare(expr) {
        *expr = number;
    }
}

fn bare_frame(window: &mut ast::WindowSpec) {
    let Some(frame) = &mut window.window_frame else { return };
    for bound in std::iter::once(&mut frame.start_bound).chain(frame.end_bound.as_mut()) {
        if let ast::WindowFrameBound::Preceding(Some(rows))
        | ast::WindowFrameBound::Following(Some(rows)) = bound
        {
            make_bare(rows);
        }
    }
}

/// Takes an expression out of the tree; what stays behind is about to be replaced.
fn take(expr: &mut ast::Expr) -> ast::Expr {
    std::mem::replace(expr, ast::Expr::value(ast::Value::Null))
}

/// A call of a function.
pub(crate) fn call(name: &str, arguments: impl IntoIterator<Item = ast::Expr>) -> ast::Expr {
    let arguments = arguments
        .into_iter()
        .map(|argument| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument)));
    ast::Expr::Function(ast::Function {
        name: ast::ObjectName::from(vec![ast::Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// Whether an expression is an `AND` or `OR` without parentheses.
const fn joins_conditions(expr: &ast::Expr) -> bool {
    matches!(
        expr,
        ast::Expr::BinaryOp { op: ast::BinaryOperator::And | ast::BinaryOperator::Or, .. }
    )
}

/// sqlparser takes all that follows `a IS [NOT] DISTINCT FROM` for the other side. `AND` and `OR` bind less:
/// `a IS DISTINCT FROM (b AND c)` is `(a IS DISTINCT FROM b) AND c`.
fn rebind(expr: &mut ast::Expr) {
    let distinct = matches!(expr, ast::Expr::IsDistinctFrom(..));
    let (ast::Expr::IsDistinctFrom(left, right) | ast::Expr::IsNotDistinctFrom(left, right)) = expr
    else {
        return;
    };
    let (left, mut whole) = (take(left), take(right));
    let mut first = &mut whole;
    while let ast::Expr::BinaryOp { left, .. } = first {
        first = left.as_mut();
        if !joins_conditions(first) {
            break;
        }
    }
    let right = Box::new(take(first));
    *first = match distinct {
        true => ast::Expr::IsDistinctFrom(Box::new(left), right),
        false => ast::Expr::IsNotDistinctFrom(Box::new(left), right),
    };
    *expr = whole;
}
