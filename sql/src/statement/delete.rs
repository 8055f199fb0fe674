//! `[WITH ...] DELETE FROM table [[AS] alias] [USING ...] [WHERE ...] [RETURNING ...]`.

use arrow::datatypes::{Field, FieldRef, SchemaRef};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;

use crate::dml::{self, Action, Branch, Change, Repeated};
use crate::error::{Error, Result};
use crate::output::Output;
use crate::resolve::{fold, split_name};
use crate::session::Session;
use crate::statement::select;

/// A DELETE with the WITH before it.
#[derive(Debug, Clone)]
pub(crate) struct Delete {
    pub(crate) with: Option<ast::With>,
    pub(crate) ast: ast::Delete,
}

/// The parameters of a DELETE, and what it returns.
pub(crate) async fn describe(
    session: &Session,
    delete: &Delete,
    given: &[Option<FieldRef>],
) -> Result<(Vec<Field>, Option<SchemaRef>)> {
    let given = select::with_cast_types(&delete.ast, given);
    dml::describe(session, &change(delete)?, &given).await
}

/// Deletes the rows that match.
pub(crate) async fn run(
    session: &Session,
    delete: &Delete,
    parameters: &[ScalarValue],
) -> Result<Output> {
    dml::run(session, &change(delete)?, parameters).await
}

fn change(delete: &Delete) -> Result<Change<'_>> {
    let Delete { with, ast: delete } = delete;
    let refused = match delete {
        _ if !delete.tables.is_empty() => "several tables",
        _ if delete.output.is_some() => "OUTPUT",
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
    let (target, alias) = one_table(from, "DELETE")?;
    Ok(Change {
        operation: "DELETE",
        target,
        from: with_others(&alias, delete.using.as_deref().unwrap_or_default())?,
        alias,
        with: with.as_ref(),
        predicate: delete.selection.as_ref(),
        branches: vec![Branch { when: None, action: Action::Delete }],
        repeated: Repeated::Skipped,
        key: Vec::new(),
        excluded: None,
        returning: delete.returning.as_deref(),
    })
}

/// FROM of a query over the target and the relations beside it.
pub(crate) fn with_others(
    alias: &str,
    others: &[ast::TableWithJoins],
) -> Result<Vec<ast::TableWithJoins>> {
    let joined = others.iter().flat_map(|other| &other.joins).map(|join| &join.relation);
    for relation in others.iter().map(|other| &other.relation).chain(joined) {
        if dml::relation_name(relation)?.as_deref() == Some(alias) {
            return Err(dml::specified_twice(alias));
        }
    }
    let mut from = vec![dml::target_relation(alias)?];
    from.extend_from_slice(others);
    Ok(from)
}

/// The one table of a statement that changes rows, and what it is called there.
pub(crate) fn one_table<'a>(
    from: &'a [ast::TableWithJoins],
    statement: &str,
) -> Result<(&'a ast::ObjectName, String)> {
    match from {
        [ast::TableWithJoins { relation, joins }] if joins.is_empty() => {
            plain_table(relation, statement)
        }
        _ => Err(changes_one_table(statement)),
    }
}

/// A table without anything but an alias, and what it is called in the statement.
pub(crate) fn plain_table<'a>(
    relation: &'a ast::TableFactor,
    statement: &str,
) -> Result<(&'a ast::ObjectName, String)> {
    let ast::TableFactor::Table {
        name,
        alias,
        args: None,
        version: None,
        sample: None,
        with_hints,
        partitions,
        ..
    } = relation
    else {
        return Err(changes_one_table(statement));
    };
    if !with_hints.is_empty() || !partitions.is_empty() {
        return Err(changes_one_table(statement));
    }
    match alias {
        Some(alias) if !alias.columns.is_empty() => {
            let what = format!("{statement} with other names for columns is not supported");
            Err(Error::unsupported(what))
        }
        Some(alias) => Ok((name, fold(&alias.name))),
        None => Ok((name, split_name(name)?.1)),
    }
}

fn changes_one_table(statement: &str) -> Error {
    Error::unsupported(format!("{statement} changes one table, without joins"))
}
