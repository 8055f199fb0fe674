//! What the planner is told about types that only the catalog has.
//!
//! Never: a rule by the names in a query; the types of both sides decide.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable};

/// The planner of `array = '{1,2}'`, where PostgreSQL reads the text as an array.
pub(crate) fn expr_planner() -> Arc<dyn ExprPlanner> {
    Arc::new(ArrayText)
}

#[derive(Debug)]
struct ArrayText;

impl ExprPlanner for ArrayText {
    fn plan_binary_op(
        &self,
        mut expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> DfResult<PlannerResult<RawBinaryExpr>> {
        read_as_array(&mut expr.right, &expr.left, schema);
        read_as_array(&mut expr.left, &expr.right, schema);
        Ok(PlannerResult::Original(expr))
    }
}

/// Turns a literal text into an array of the other side's type, where the other side is one.
fn read_as_array(text: &mut Expr, other: &Expr, schema: &DFSchema) {
    let Expr::Literal(ScalarValue::Utf8(Some(literal)), _) = text else { return };
    let Some(elements) = literal.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        return;
    };
    let Ok(DataType::List(item)) = other.get_type(schema) else { return };
    if elements.contains(['"', '{', '\\']) {
        return;
    }
    let elements = elements.split(',').map(str::trim).filter(|element| !element.is_empty());
    let texts: ArrayRef = Arc::new(elements.map(Some).collect::<StringArray>());
    let Ok(values) = cast(&texts, item.data_type()) else { return };
    *text = Expr::Literal(SingleRowListArrayBuilder::new(values).build_list_scalar(), None);
}
