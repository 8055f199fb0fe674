//! `[WITH ...] UPDATE table [[AS] alias] SET column = expression [, ...] [FROM ...] [WHERE ...]
//! [RETURNING ...]`.

use arrow::datatypes::{Field, FieldRef, SchemaRef};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast;

use crate::dml::{self, Action, Branch, Change, Repeated};
use crate::error::{Error, Result};
use crate::output::Output;
use crate::session::Session;
use crate::statement::delete::{one_table, with_others};
use crate::statement::select;

/// An UPDATE with the WITH before it.
#[derive(Debug, Clone)]
pub(crate) struct Update {
    pub(crate) with: Option<ast::With>,
    pub(crate) ast: ast::Update,
}

/// The parameters of an UPDATE, and what it returns.
pub(crate) async fn describe(
    session: &Session,
    update: &Update,
    given: &[Option<FieldRef>],
) -> Result<(Vec<Field>, Option<SchemaRef>)> {
    let given = select::with_cast_types(&update.ast, given);
    dml::describe(session, &change(update)?, &given).await
}

/// Gives the rows that match new values.
pub(crate) async fn run(
    session: &Session,
    update: &Update,
    parameters: &[ScalarValue],
) -> Result<Output> {
    dml::run(session, &change(update)?, parameters).await
}

fn change(update: &Update) -> Result<Change<'_>> {
    let Update { with, ast: update } = update;
    let refused = match update {
        _ if update.output.is_some() => "OUTPUT",
        _ if update.or.is_some() => "OR",
        _ if !update.order_by.is_empty() => "ORDER BY",
        _ if update.limit.is_some() => "LIMIT",
        _ => "",
    };
    if !refused.is_empty() {
        return Err(Error::unsupported(format!("UPDATE does not support {refused}")));
    }
    let others = match &update.from {
        None => &[],
        Some(ast::UpdateTableFromKind::AfterSet(from)) => from.as_slice(),
        Some(ast::UpdateTableFromKind::BeforeSet(_)) => {
            return Err(Error::syntax("syntax error: FROM stands before SET")
                .with_hint("Write UPDATE table SET ... FROM ..."));
        }
    };
    let (target, alias) = one_table(std::slice::from_ref(&update.table), "UPDATE")?;
    Ok(Change {
        operation: "UPDATE",
        target,
        from: with_others(&alias, others)?,
        alias,
        with: with.as_ref(),
        predicate: update.selection.as_ref(),
        branches: vec![Branch {
            when: None,
            action: Action::Update(dml::assignments(&update.assignments)?),
        }],
        // As in PostgreSQL, one of the rows that join decides; which one is not defined.
        repeated: Repeated::Skipped,
        key: Vec::new(),
        excluded: None,
        returning: update.returning.as_deref(),
    })
}
