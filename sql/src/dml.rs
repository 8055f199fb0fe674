//! What the statements that change rows share: the target table, its constraints, and the two
//! ways in which rows reach it.
//!
//! ```text
//! INSERT, COPY                    append.rs     through the one `Writer`, in a group's commit
//! UPDATE, DELETE, MERGE, upsert   change.rs     what a query finds and what becomes of it
//!                                 apply.rs      its rows to new files, the touched files replaced
//! RETURNING                       returning.rs  what the client gets of the rows
//! ```
//!
//! DataFusion's own hooks for changes lose predicates and are not used; see docs/decisions.
//! Never: a row that was not checked against the table's constraints.

mod append;
mod apply;
mod assignments;
mod change;
mod hits;
mod insert_target;
mod key;
mod returning;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use catalog::{Commit, CommitKind, DEFAULT_KEY, Entry};
use datafusion::common::DFSchema;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast;
use ingest::{Check, Validation};

pub(crate) use append::{AppendJob, append, append_batch, append_evolved, append_unnamed};
pub(crate) use apply::{delete_all, run};
pub(crate) use assignments::assignments;
pub(crate) use change::{
    Action, Branch, Change, EXCLUDED, PRESENT, Repeated, TARGET, column_index, describe,
    marked_source, relation, relation_name, specified_twice, target_relation,
};
pub(crate) use insert_target::InsertTarget;
pub(crate) use key::{Key, not_null};
pub(crate) use returning::{Returning, Rows};

use crate::error::{Error, Result, state};
use crate::plan;
use crate::resolve::{Pinned, QualifiedName, find_in, split_name, unknown};
use crate::semantics;
use crate::session::Session;
use crate::statement::create_table::GENERATED_KEY;
use crate::transaction::Staged;

/// How often a statement is carried out again when others were faster.
const ATTEMPTS_MAX: usize = 15;

/// The table that a statement changes, at the version it reads.
pub(crate) async fn target(session: &Session, name: &ast::ObjectName) -> Result<Pinned> {
    let (schema, table) = split_name(name)?;
    if schema.as_deref().is_none_or(|s| s == "pg_temp")
        && let Some(temporary) = session.temporary_table(&table)
    {
        let snapshot = session.temporary_snapshot(&temporary);
        let name = QualifiedName { schema: "pg_temp".to_owned(), name: table };
        return Ok(Pinned { id: temporary.id, name, table: temporary.table, snapshot });
    }
    session.refuse_read_only()?;
    let entry = existing(session, schema.as_deref(), &table)?;
    match entry.kind() {
        catalog::Kind::Table => session.pin(&entry).await,
        kind => Err(Error::new(
            state::WRONG_OBJECT_TYPE,
            format!("cannot change rows of {kind} \"{}\"", entry.qualified_name()),
        )),
    }
}

/// The entry of a name that must exist.
pub(crate) fn existing(session: &Session, schema: Option<&str>, name: &str) -> Result<Arc<Entry>> {
    let (snapshot, path) = (session.snapshot(), session.search_path());
    if matches!(schema, Some("pg_catalog" | "information_schema" | "tarn")) {
        return Err(Error::new(
            state::INSUFFICIENT_PRIVILEGE,
            format!("permission denied: \"{name}\" is a system catalog"),
        ));
    }
    find_in(&snapshot, &path, schema, name).ok_or_else(|| unknown(&snapshot, &path, schema, name))
}

/// The same, of a table or a materialized view.
pub(crate) fn existing_with_files(session: &Session, name: &ast::ObjectName) -> Result<Arc<Entry>> {
    let (schema, name) = split_name(name)?;
    let entry = existing(session, schema.as_deref(), &name)?;
    if entry.table().is_none() {
        return Err(Error::new(
            state::WRONG_OBJECT_TYPE,
            format!("{} \"{}\" has no files", entry.kind(), entry.qualified_name()),
        ));
    }
    Ok(entry)
}

/// Whether others were faster, and another attempt may be made.
pub(crate) fn is_lost_race(error: &Error, attempt: usize) -> bool {
    error.sqlstate() == state::SERIALIZATION_FAILURE && attempt < ATTEMPTS_MAX
}

/// Whether a statement that met `error` is to be carried out again, and makes it over what others have
/// committed. Not within a transaction, which keeps its versions.
pub(crate) async fn goes_again(
    session: &Session,
    pinned: &Pinned,
    error: &Error,
    attempt: &mut usize,
) -> Result<bool> {
    if !is_lost_race(error, *attempt) || session.in_transaction() {
        return Ok(false);
    }
    *attempt += 1;
    // What is read of a table follows the catalog, too.
    session.engine().catalog.refresh().await?;
    pinned.table.update().await?;
    Ok(true)
}

/// The columns that clients supply: all but those that the server fills.
pub(crate) fn user_schema(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().filter(|f| !generated(f)).map(Arc::clone);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Whether the server fills the column.
pub(crate) fn generated(field: &Field) -> bool {
    field.metadata().contains_key(GENERATED_KEY)
}

/// The plan's columns, in their order, under the names and types of `schema`.
pub(crate) fn project_to(plan: LogicalPlan, schema: &SchemaRef) -> Result<LogicalPlan> {
    let columns = plan.schema().columns();
    if columns.len() != schema.fields().len() {
        return Err(Error::syntax(format!(
            "the query has {} columns where {} are expected",
            columns.len(),
            schema.fields().len()
        )));
    }
    let sources: Vec<_> = plan.schema().fields().iter().map(Arc::clone).collect();
    let columns = columns.into_iter().zip(sources).zip(schema.fields());
    let expressions = columns
        .map(|((column, source), field)| {
            let assigned = semantics::assign(Expr::Column(column), &source, field)?;
            Ok(assigned.alias(field.name()))
        })
        .collect::<DfResult<Vec<Expr>>>()?;
    Ok(LogicalPlanBuilder::from(plan).project(expressions)?.build()?)
}

/// CHECK constraints, ready to run.
pub(crate) fn compile_checks(
    session: &Session,
    schema: &SchemaRef,
    constraints: &BTreeMap<String, String>,
) -> Result<Vec<Check>> {
    if constraints.is_empty() {
        return Ok(Vec::new());
    }
    let state = session.planning_state();
    let columns = DFSchema::try_from(Arc::clone(schema))?;
    constraints
        .iter()
        .map(|(name, text)| {
            let expr = plan::expression(&state, text, &columns)?;
            let expr = plan::simplify(&state, expr, &columns)?;
            let kind = datafusion::logical_expr::ExprSchemable::get_type(&expr, &columns)?;
            if !matches!(
                kind,
                arrow::datatypes::DataType::Boolean | arrow::datatypes::DataType::Null
            ) {
                return Err(Error::new(
                    state::DATATYPE_MISMATCH,
                    format!("argument of CHECK \"{name}\" must be boolean: {text}"),
                ));
            }
            if expr.is_volatile() {
                return Err(Error::unsupported(format!("CHECK \"{name}\" is not deterministic")));
            }
            let expression = state.create_physical_expr(expr, &columns)?;
            Ok(Check { name: name.clone(), expression })
        })
        .collect()
}

/// What a table asks of its rows.
pub(crate) fn validation(session: &Session, pinned: &Pinned) -> Result<Arc<Validation>> {
    let snapshot = &pinned.snapshot;
    let checks = compile_checks(session, &snapshot.schema, &snapshot.constraints)?;
    Ok(Arc::new(Validation { table: pinned.name.name.clone(), checks }))
}

/// Commits what was written: at once, or with the open transaction.
pub(crate) async fn land(session: &Session, pinned: &Pinned, commit: Commit) -> Result<()> {
    if session.stages(pinned) {
        let read_all = match commit.kind {
            CommitKind::Rewrite { read_all } | CommitKind::Metadata { read_all } => read_all,
            CommitKind::Append | CommitKind::Exact => false,
        };
        let staged = Staged {
            table: Arc::clone(&pinned.table),
            name: pinned.name.to_string(),
            base: Arc::clone(&pinned.snapshot),
            adds: commit.adds,
            removes: commit.removes,
            read_all,
            loaded: Vec::new(),
            definition: commit.metadata,
        };
        return session.stage(pinned.id, staged);
    }
    let commit = Commit { user: Some(session.user().to_owned()), ..commit };
    let commitment = session.commitment();
    let _committing = commitment.make();
    pinned.table.commit(&pinned.snapshot, commit).await?;
    Ok(())
}

/// `$n` as an index from 0.
pub(crate) fn placeholder(expr: &ast::Expr) -> Option<usize> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Placeholder(name) => {
                name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1)
            }
            _ => None,
        },
        ast::Expr::Cast { expr, .. } | ast::Expr::Nested(expr) => placeholder(expr),
        _ => None,
    }
}

/// Whether an expression is the word DEFAULT, in place of a value.
pub(crate) fn is_default(expr: &ast::Expr) -> bool {
    matches!(expr, ast::Expr::Identifier(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default"))
}

/// The DEFAULT of a column, or NULL.
pub(crate) fn default_expression(field: &Field) -> ast::Expr {
    field
        .metadata()
        .get(DEFAULT_KEY)
        .and_then(|text| crate::parser::parse_expression(text).ok())
        .unwrap_or_else(|| ast::Expr::value(ast::Value::Null))
}

#[cfg(test)]
mod tests;
