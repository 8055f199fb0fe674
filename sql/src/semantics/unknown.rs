//! Text literals, which are of unknown type until what stands beside them tells it.
//!
//! Never: a column that is converted for the sake of a literal.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::cast;

/// Reads a literal beside an operator as the type that PostgreSQL would take it for.
#[derive(Debug)]
pub(crate) struct UnknownLiterals;

impl ExprPlanner for UnknownLiterals {
    fn plan_binary_op(
        &self,
        mut expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if let Some(read) = beside(&expr.op, &expr.left, &expr.right, schema) {
            expr.right = read;
        } else if let Some(read) = beside(&expr.op, &expr.right, &expr.left, schema) {
            expr.left = read;
        }
        Ok(PlannerResult::Original(expr))
    }
}

/// The literals of `IN` and `BETWEEN`, in an expression that is planned.
pub(super) fn in_lists(expr: Expr, schema: &DFSchema) -> Expr {
    match expr {
        Expr::InList(mut list) => {
            for item in &mut list.list {
                if let Some(read) = compared(&list.expr, item, schema) {
                    *item = read;
                }
            }
            Expr::InList(list)
        }
        Expr::Between(mut between) => {
            for bound in [&mut between.low, &mut between.high] {
                if let Some(read) = compared(&between.expr, bound, schema) {
                    **bound = read;
                }
            }
            Expr::Between(between)
        }
        other => other,
    }
}

fn beside(op: &BinaryOperator, other: &Expr, literal: &Expr, schema: &DFSchema) -> Option<Expr> {
    use BinaryOperator as B;
    match op {
        B::Eq | B::NotEq | B::Lt | B::LtEq | B::Gt | B::GtEq => compared(other, literal, schema),
        B::Plus | B::Minus | B::Multiply | B::Divide | B::Modulo => {
            let (_, field) = unknown(literal).then(|| other.to_field(schema).ok())??;
            let number = field.data_type().is_numeric();
            let target = match (field.data_type(), op) {
                (DataType::Timestamp(..) | DataType::Interval(_), B::Plus)
                | (DataType::Interval(_), B::Minus) => interval(),
                (DataType::Timestamp(..) | DataType::Date32, B::Minus) => cast::target_of(&field),
                _ if number => cast::target_of(&field),
                _ => return None,
            };
            Some(read(literal, target))
        }
        _ => None,
    }
}

/// The text literal `expr` as a value of the type of `other`, where that is no text.
fn compared(other: &Expr, expr: &Expr, schema: &DFSchema) -> Option<Expr> {
    let (_, field) = unknown(expr).then(|| other.to_field(schema).ok())??;
    let readable = if cast::text(field.data_type()) {
        cast::normal_form(&field) || fits(expr, &field)
    } else {
        cast::readable(field.data_type())
    };
    readable.then(|| read(expr, cast::target_of(&field)))
}

const fn unknown(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(ScalarValue::Utf8(Some(_)), None))
}

/// Whether a literal can be padded to a `char(n)`, which compares without the blanks at its end.
fn fits(literal: &Expr, field: &Field) -> bool {
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = literal else { return false };
    let padded = crate::types::pg_type_of(field).name == "bpchar";
    let length = cast::character_length(field).filter(|_| padded);
    length.is_some_and(|length| text.trim_end_matches(' ').chars().count() <= length)
}

fn read(literal: &Expr, target: FieldRef) -> Expr {
    Expr::Cast(Cast::new_from_field(Box::new(literal.clone()), target))
}

fn interval() -> FieldRef {
    Arc::new(Field::new("", DataType::Interval(IntervalUnit::MonthDayNano), true))
}
