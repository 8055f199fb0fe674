//! `SET column = expression`, `SET (column, ...) = (expression, ...)`.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast;

use crate::error::{Error, Result};
use crate::statement::insert;

/// What a SET gives to each column it names.
pub(crate) fn assignments(written: &[ast::Assignment]) -> Result<Vec<(String, ast::Expr)>> {
    let mut assigned = Vec::with_capacity(written.len());
    for assignment in written {
        match &assignment.target {
            ast::AssignmentTarget::ColumnName(name) => {
                assigned.push((column(name)?, assignment.value.clone()));
            }
            ast::AssignmentTarget::Tuple(names) => {
                let values = row(&assignment.value)?;
                if values.len() != names.len() {
                    return Err(Error::syntax("number of columns does not match number of values"));
                }
                for (name, value) in names.iter().zip(values) {
                    assigned.push((column(name)?, value));
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    match assigned.iter().find(|(column, _)| !seen.insert(column)) {
        None => Ok(assigned),
        Some((column, _)) => {
            Err(Error::syntax(format!("multiple assignments to same column \"{column}\"")))
        }
    }
}

fn column(name: &ast::ObjectName) -> Result<String> {
    insert::column_name(name).map_err(|error| {
        error.with_hint("SET names columns of the target table without the table's name.")
    })
}

/// The expressions of `(a, b)` or `ROW (a, b)`.
fn row(value: &ast::Expr) -> Result<Vec<ast::Expr>> {
    match value {
        ast::Expr::Tuple(values) => Ok(values.clone()),
        ast::Expr::Nested(value) => Ok(vec![value.as_ref().clone()]),
        ast::Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("row") => {
            arguments(&function.args)
        }
        _ => Err(Error::unsupported("SET (a, b) = (SELECT ...) is not supported")
            .with_hint("Write SET a = (SELECT ...), b = (SELECT ...), or UPDATE ... FROM.")),
    }
}

fn arguments(arguments: &ast::FunctionArguments) -> Result<Vec<ast::Expr>> {
    let ast::FunctionArguments::List(list) = arguments else { return Ok(Vec::new()) };
    list.args
        .iter()
        .map(|argument| match argument {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
            other => Err(Error::syntax(format!("syntax error: \"{other}\" is not a value"))),
        })
        .collect()
}
