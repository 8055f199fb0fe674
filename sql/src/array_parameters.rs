//! The type of a parameter that a value is looked for in: `$1` of `x = ANY($1)` is an array of what x is.
//!
//! Drivers leave the type of a list of texts to the server, and the planner has no rule for it.
//! Never: a type for a parameter that has one.

use std::collections::BTreeMap;

use arrow::datatypes::Field;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Placeholder, ScalarFunction};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use crate::types;

/// The planner's function for `= ANY(array)` and `<> ALL(array)`.
const LOOKED_FOR_IN: &str = "array_has";

/// The array types that the plan tells of parameters without one, by name: `$1`.
pub(crate) fn array_parameters(plan: &LogicalPlan) -> Result<BTreeMap<String, Field>> {
    let mut found = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                found.extend(array_parameter(expr, &schema));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

fn array_parameter(expr: &Expr, schema: &DFSchema) -> Option<(String, Field)> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    let [Expr::Placeholder(Placeholder { id, field: None }), value] = args.as_slice() else {
        return None;
    };
    if func.name() != LOOKED_FOR_IN {
        return None;
    }
    let (_, element) = value.to_field(schema).ok()?;
    let array = types::by_oid(types::pg_type_of(&element).array_oid)?;
    Some((id.clone(), types::field_of_pg_type("", &array, true)?))
}
