//! Operators over JSON to the functions that carry them out. Comparisons of other types with `@>` and
//! `<@`, such as those of arrays, are left alone.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, ScalarUDF};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::functions::{Json, Work, is_json};
use crate::types::TYPE_KEY;

/// The planner of operators over JSON.
pub(crate) fn planner() -> Arc<dyn ExprPlanner> {
    Arc::new(Operators)
}

#[derive(Debug)]
struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let json = |side: &Expr| side.to_field(schema).is_ok_and(|(_, field)| is_json(&field));
        let found = match expr.op {
            BinaryOperator::Arrow => Some(("json_get", Work::Get)),
            BinaryOperator::LongArrow => Some(("json_get_text", Work::GetText)),
            BinaryOperator::HashArrow => Some(("json_get_path", Work::Path)),
            BinaryOperator::HashLongArrow => Some(("json_get_path_text", Work::PathText)),
            BinaryOperator::Question => Some(("jsonb_exists", Work::Exists)),
            BinaryOperator::QuestionPipe => Some(("jsonb_exists_any", Work::ExistsAny)),
            BinaryOperator::QuestionAnd => Some(("jsonb_exists_all", Work::ExistsAll)),
            BinaryOperator::AtArrow if json(&expr.left) => Some(("jsonb_contains", Work::Contains)),
            BinaryOperator::ArrowAt if json(&expr.right) => {
                Some(("jsonb_contains", Work::Contains))
            }
            _ => None,
        };
        let Some((name, work)) = found else { return Ok(PlannerResult::Original(expr)) };
        let mut sides = vec![expr.left, expr.right];
        if expr.op == BinaryOperator::ArrowAt {
            sides.reverse();
        }
        if work == Work::Contains {
            // A literal is read as what it is compared with, and refused if it is none.
            let as_json = |side| if json(&side) { side } else { to_jsonb(side) };
            sides = sides.into_iter().map(as_json).collect();
        }
        let function: ScalarUDF = Json::new(name, work).into();
        Ok(PlannerResult::Planned(function.call(sides)))
    }
}

fn to_jsonb(expr: Expr) -> Expr {
    let jsonb = HashMap::from([(TYPE_KEY.to_owned(), "jsonb".to_owned())]);
    let field = Field::new("", DataType::Utf8, true).with_metadata(jsonb);
    Expr::Cast(Cast::new_from_field(Box::new(expr), Arc::new(field)))
}
