//! `UPDATE table SET column = expression [, ...] [WHERE ...]`.

use std::collections::BTreeSet;

use arrow::datatypes::{Field, FieldRef};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;

use crate::dml::{self, Rewrite};
use crate::error::{Error, Result, state};
use crate::output::Output;
use crate::resolve::fold;
use crate::session::Session;
use crate::statement::delete::one_table;
use crate::statement::select;

/// The parameters of an UPDATE.
pub(crate) async fn describe(
    session: &Session,
    update: &ast::Update,
    given: &[Option<FieldRef>],
) -> Result<Vec<Field>> {
    let (name, rewrite) = parts(update)?;
    let given = select::with_cast_types(update, given);
    dml::describe_rewrite(session, name, &rewrite, &given).await
}

/// Gives the rows that match new values.
pub(crate) async fn run(
    session: &Session,
    update: &ast::Update,
    parameters: &[ScalarValue],
) -> Result<Output> {
    let (name, rewrite) = parts(update)?;
    refuse_columns(session, name, &rewrite).await?;
    Ok(Output::counted("UPDATE", dml::rewrite(session, name, &rewrite, parameters).await?))
}

fn parts(update: &ast::Update) -> Result<(&ast::ObjectName, Rewrite<'_>)> {
    let refused = match update {
        _ if update.from.is_some() => "FROM",
        _ if update.returning.is_some() || update.output.is_some() => "RETURNING",
        _ if update.or.is_some() => "OR",
        _ if !update.order_by.is_empty() => "ORDER BY",
        _ if update.limit.is_some() => "LIMIT",
        _ => "",
    };
    if !refused.is_empty() {
        return Err(Error::unsupported(format!("UPDATE does not support {refused}")));
    }
    let (name, alias) = one_table(std::slice::from_ref(&update.table), "UPDATE")?;
    let mut seen = BTreeSet::new();
    let assignments = update.assignments.iter().map(|assignment| {
        let ast::AssignmentTarget::ColumnName(target) = &assignment.target else {
            return Err(Error::unsupported("SET (a, b) = (...) is not supported")
                .with_hint("Write SET a = ..., b = ..."));
        };
        let column = match target.0.as_slice() {
            [part] => part.as_ident().map(fold),
            _ => None,
        };
        let column = column
            .ok_or_else(|| Error::syntax(format!("syntax error: \"{target}\" is not a column")))?;
        if !seen.insert(column.clone()) {
            return Err(Error::syntax(format!("multiple assignments to same column \"{column}\"")));
        }
        Ok((column, assignment.value.clone()))
    });
    let assignments = Some(assignments.collect::<Result<Vec<_>>>()?);
    let predicate = update.selection.as_ref();
    Ok((name, Rewrite { predicate, assignments, alias, operation: "UPDATE" }))
}

async fn refuse_columns(
    session: &Session,
    name: &ast::ObjectName,
    rewrite: &Rewrite<'_>,
) -> Result<()> {
    let pinned = dml::target(session, name).await?;
    for (column, _) in rewrite.assignments.iter().flatten() {
        match pinned.snapshot.schema.field_with_name(column) {
            Ok(field) if dml::generated(field) => {
                return Err(Error::new("428C9", format!("cannot update column \"{column}\""))
                    .with_detail("The server fills this column."));
            }
            Ok(_) => {}
            Err(_) => {
                return Err(Error::new(
                    state::UNDEFINED_COLUMN,
                    format!(
                        "column \"{column}\" of relation \"{}\" does not exist",
                        pinned.name.name
                    ),
                ));
            }
        }
    }
    Ok(())
}
