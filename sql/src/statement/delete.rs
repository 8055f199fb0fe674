//! `DELETE FROM table [WHERE ...]`.

use arrow::datatypes::{Field, FieldRef};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;

use crate::dml::{self, Rewrite};
use crate::error::{Error, Result};
use crate::output::Output;
use crate::resolve::fold;
use crate::session::Session;
use crate::statement::select;

/// The parameters of a DELETE.
pub(crate) async fn describe(
    session: &Session,
    delete: &ast::Delete,
    given: &[Option<FieldRef>],
) -> Result<Vec<Field>> {
    let (name, rewrite) = parts(delete)?;
    let given = select::with_cast_types(delete, given);
    dml::describe_rewrite(session, name, &rewrite, &given).await
}

/// Deletes the rows that match.
pub(crate) async fn run(
    session: &Session,
    delete: &ast::Delete,
    parameters: &[ScalarValue],
) -> Result<Output> {
    let (name, rewrite) = parts(delete)?;
    Ok(Output::counted("DELETE", dml::rewrite(session, name, &rewrite, parameters).await?))
}

fn parts(delete: &ast::Delete) -> Result<(&ast::ObjectName, Rewrite<'_>)> {
    let refused = match delete {
        _ if !delete.tables.is_empty() => "several tables",
        _ if delete.using.is_some() => "USING",
        _ if delete.returning.is_some() || delete.output.is_some() => "RETURNING",
        _ if !delete.order_by.is_empty() => "ORDER BY",
        _ if delete.limit.is_some() => "LIMIT",
        _ => "",
    };
    if !refused.is_empty() {
        let error = Error::unsupported(format!("DELETE does not support {refused}"));
        return Err(error.with_hint("Use WHERE key IN (SELECT ...)."));
    }
    let (ast::FromTable::WithFromKeyword(from) | ast::FromTable::WithoutKeyword(from)) =
        &delete.from;
    let (name, alias) = one_table(from, "DELETE")?;
    let predicate = delete.selection.as_ref();
    Ok((name, Rewrite { predicate, assignments: None, alias, operation: "DELETE" }))
}

/// The one table of a statement that changes rows, and its alias.
pub(crate) fn one_table<'a>(
    from: &'a [ast::TableWithJoins],
    statement: &str,
) -> Result<(&'a ast::ObjectName, Option<String>)> {
    if let [ast::TableWithJoins { relation, joins }] = from
        && joins.is_empty()
        && let ast::TableFactor::Table {
            name,
            alias,
            args: None,
            version: None,
            sample: None,
            with_hints,
            partitions,
            ..
        } = relation
        && with_hints.is_empty()
        && partitions.is_empty()
    {
        if alias.as_ref().is_some_and(|alias| !alias.columns.is_empty()) {
            let what = format!("{statement} with other names for columns is not supported");
            return Err(Error::unsupported(what));
        }
        return Ok((name, alias.as_ref().map(|a| fold(&a.name))));
    }
    Err(Error::unsupported(format!("{statement} changes one table, without joins")))
}
