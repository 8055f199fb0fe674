//! OIDs of `regclass` and its kin by name, where a client sees them.
//!
//! Inside a statement such a value is a number, so that it compares and joins as in PostgreSQL.
//! Only what leaves the statement is text.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};

use super::context::SystemContext;
use super::functions;
use crate::types;

/// The plan with its columns as a client sees them.
pub(crate) fn shown(plan: LogicalPlan, context: &Arc<SystemContext>) -> DfResult<LogicalPlan> {
    let mut changed = false;
    let columns: Vec<Expr> = plan
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
            let text = text_function(types::pg_type_of(field).name);
            match text.and_then(|name| functions::function(name, context)) {
                Some(function) => {
                    changed = true;
                    function.call(vec![column]).alias_qualified(qualifier.cloned(), field.name())
                }
                None => column,
            }
        })
        .collect();
    if changed { LogicalPlanBuilder::from(plan).project(columns)?.build() } else { Ok(plan) }
}

/// The function that shows values of a type by name.
fn text_function(type_name: &str) -> Option<&'static str> {
    Some(match type_name {
        "regclass" => "regclass_text",
        "regtype" => "regtype_text",
        "regproc" => "regproc_text",
        "regprocedure" => "regprocedure_text",
        "regnamespace" => "regnamespace_text",
        "regrole" => "regrole_text",
        _ => return None,
    })
}
