//! `INSERT ... ON CONFLICT [(columns) | ON CONSTRAINT name] DO NOTHING | DO UPDATE SET ... [WHERE ...]`.
//!
//! The new rows are joined with the table by its declared key. Those that match none are inserted; a
//! commit of others that brought rows in the meantime makes the statement start over.

use std::collections::BTreeSet;

use catalog::FILE_COLUMN;
use datafusion::sql::sqlparser::ast;

use super::{table_alias, table_name};
use crate::dml::{self, Action, Branch, Change, EXCLUDED, Key, Repeated};
use crate::error::{Error, Result, state};
use crate::parser;
use crate::resolve::{Pinned, fold};

/// What the rows that were to be inserted are called in DO UPDATE.
const EXCLUDED_ALIAS: &str = "excluded";

pub(super) fn change<'a>(
    insert: &'a ast::Insert,
    conflict: &ast::OnInsert,
    pinned: &Pinned,
) -> Result<Change<'a>> {
    let ast::OnInsert::OnConflict(conflict) = conflict else {
        return Err(Error::unsupported("INSERT does not support ON DUPLICATE KEY UPDATE")
            .with_hint("Use ON CONFLICT (key) DO UPDATE SET ..."));
    };
    let alias = table_alias(insert, pinned);
    if alias == EXCLUDED_ALIAS {
        return Err(dml::specified_twice(&alias));
    }
    let key = Key::needed(&pinned.snapshot.configuration, &pinned.name.name)?;
    refuse_other_key(conflict, &key)?;
    let own = dml::user_schema(&pinned.snapshot.schema);
    let columns: Vec<String> = own.fields().iter().map(|field| field.name().clone()).collect();
    let values = columns.iter().map(|column| of(EXCLUDED_ALIAS, column)).collect();
    let is_new =
        parser::parse_expression(&format!("{}.\"{FILE_COLUMN}\" IS NULL", quoted(&alias)))?;
    let mut branches =
        vec![Branch { when: Some(is_new), action: Action::Insert { columns, values } }];
    let repeated = match &conflict.action {
        ast::OnConflictAction::DoNothing => Repeated::Skipped,
        ast::OnConflictAction::DoUpdate(update) => {
            let assigned = dml::assignments(&update.assignments)?;
            let when = update.selection.clone();
            branches.push(Branch { when, action: Action::Update(assigned) });
            Repeated::Refused {
                message: "ON CONFLICT DO UPDATE command cannot affect row a second time",
                hint: "Ensure that no rows proposed for insertion within the same command have duplicate constrained values.",
            }
        }
    };
    Ok(Change {
        operation: "MERGE",
        target: table_name(insert)?,
        from: vec![joined(&alias, &key)?],
        alias,
        with: None,
        predicate: None,
        branches,
        repeated,
        key: key.columns,
        excluded: Some(insert),
        returning: insert.returning.as_deref(),
    })
}

/// Refuses a conflict target that is not the declared key.
fn refuse_other_key(conflict: &ast::OnConflict, key: &Key) -> Result<()> {
    let refused = |what: String| {
        let columns = key.columns.join(", ");
        Err(Error::new("42P10", what)
            .with_hint(format!("The declared key is \"{}\" ({columns}).", key.name)))
    };
    match (&conflict.conflict_target, &conflict.action) {
        (None, ast::OnConflictAction::DoNothing) => Ok(()),
        (None, ast::OnConflictAction::DoUpdate(_)) => Err(Error::syntax(
            "ON CONFLICT DO UPDATE requires inference specification or constraint name",
        )
        .with_hint(format!("For example, ON CONFLICT ({}).", key.columns.join(", ")))),
        (Some(ast::ConflictTarget::Columns(columns)), _) => {
            let named: BTreeSet<String> = columns.iter().map(fold).collect();
            match named == key.columns.iter().cloned().collect() {
                true => Ok(()),
                false => refused(
                    "there is no unique or exclusion constraint matching the ON CONFLICT specification"
                        .to_owned(),
                ),
            }
        }
        (Some(ast::ConflictTarget::OnConstraint(name)), _) => {
            let last = name.0.last().and_then(|part| part.as_ident()).map(fold);
            match last.as_ref() == Some(&key.name) {
                true => Ok(()),
                false => Err(Error::new(
                    state::UNDEFINED_OBJECT,
                    format!("constraint \"{name}\" for the table does not exist"),
                )
                .with_hint(format!("The declared key is \"{}\".", key.name))),
            }
        }
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn of(relation: &str, column: &str) -> ast::Expr {
    let part = |name: &str| ast::Ident::with_quote('"', name);
    ast::Expr::CompoundIdentifier(vec![part(relation), part(column)])
}

/// Every new row, with the row of the table that has its key.
fn joined(alias: &str, key: &Key) -> Result<ast::TableWithJoins> {
    let mut from = dml::target_relation(alias)?;
    let rows = dml::relation(EXCLUDED)?.relation;
    let same = key.columns.iter().map(|column| ast::Expr::BinaryOp {
        left: Box::new(of(alias, column)),
        op: ast::BinaryOperator::Eq,
        right: Box::new(of(EXCLUDED_ALIAS, column)),
    });
    let same = same.reduce(|one, other| ast::Expr::BinaryOp {
        left: Box::new(one),
        op: ast::BinaryOperator::And,
        right: Box::new(other),
    });
    let same = same.ok_or_else(|| Error::internal("a key has no columns"))?;
    from.joins.push(ast::Join {
        relation: dml::marked_source(&rows, EXCLUDED_ALIAS)?,
        global: false,
        join_operator: ast::JoinOperator::Right(ast::JoinConstraint::On(same)),
    });
    Ok(from)
}
