//! `ALTER TABLE`: the name, the columns, their defaults, the constraints.
//!
//! A new name is a change of the catalog and moves no file. Everything else is one commit of the table,
//! however many changes the statement makes; it writes files anew only where their rows change or the
//! columns get other names or types (`evolution.rs`).
//! Never: a definition that a row of the table contradicts.

pub(crate) mod carried;
mod evolution;

use arrow::datatypes::SchemaRef;
use catalog::{Change, Commit, CommitKind, Entry, Kind, TableSpec};
use datafusion::sql::sqlparser::ast;

use crate::dml;
use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::resolve::{Pinned, QualifiedName, split_name};
use crate::session::Session;
use crate::statement::{create_table, drop};
pub(crate) use evolution::Evolution;

/// Carries the operations out, one after another.
pub(crate) async fn run(session: &Session, alter: &ast::AlterTable) -> Result<Output> {
    session.refuse_read_only()?;
    if alter.location.is_some() || alter.on_cluster.is_some() || alter.table_type.is_some() {
        return Err(Error::unsupported("this form of ALTER TABLE is not supported"));
    }
    let (schema, name) = split_name(&alter.name)?;
    if alter.if_exists && missing(session, schema.as_deref(), &name) {
        session.notice(Notice::note(format!("relation \"{name}\" does not exist, skipping")));
        return Ok(Output::done("ALTER TABLE"));
    }
    let renames = |operation: &ast::AlterTableOperation| {
        matches!(operation, ast::AlterTableOperation::RenameTable { .. })
    };
    match alter.operations.as_slice() {
        [ast::AlterTableOperation::RenameTable { table_name }] => {
            let (ast::RenameTableNameKind::To(to) | ast::RenameTableNameKind::As(to)) = table_name;
            rename(session, schema.as_deref(), &name, to).await?;
        }
        several if several.iter().any(renames) => {
            return Err(Error::syntax("syntax error: RENAME TO stands alone"));
        }
        operations => {
            refuse_view(session, schema.as_deref(), &name)?;
            carried::evolve(session, &alter.name, operations).await?;
        }
    }
    Ok(Output::done("ALTER TABLE"))
}

/// A view has the columns of its query.
fn refuse_view(session: &Session, schema: Option<&str>, name: &str) -> Result<()> {
    if schema.is_none_or(|s| s == "pg_temp") && session.temporary_table(name).is_some() {
        return Ok(());
    }
    let entry = dml::existing(session, schema, name)?;
    match entry.kind() {
        Kind::Table => Ok(()),
        kind => {
            let message = format!("cannot alter columns of {kind} \"{}\"", entry.qualified_name());
            let error = Error::new(state::WRONG_OBJECT_TYPE, message);
            Err(match kind {
                Kind::View => error.with_hint("Use CREATE OR REPLACE VIEW."),
                _ => error,
            })
        }
    }
}

/// Makes all changes in one commit, over again while others are faster.
async fn evolve(
    session: &Session,
    table: &ast::ObjectName,
    operations: &[ast::AlterTableOperation],
) -> Result<()> {
    let mut attempt = 1;
    loop {
        let pinned = dml::target(session, table).await?;
        let mut evolution = Evolution::new(session, &pinned);
        for operation in operations {
            evolution.apply(operation)?;
        }
        match evolution.commit().await {
            Err(error) => {
                if !dml::goes_again(session, &pinned, &error, &mut attempt).await? {
                    return Err(error);
                }
            }
            done => return done,
        }
    }
}

fn missing(session: &Session, schema: Option<&str>, name: &str) -> bool {
    session.temporary_table(name).is_none() && dml::existing(session, schema, name).is_err()
}

async fn rename(
    session: &Session,
    schema: Option<&str>,
    name: &str,
    to: &ast::ObjectName,
) -> Result<()> {
    let (to_schema, to) = split_name(to)?;
    if schema.is_none_or(|s| s == "pg_temp") && session.temporary_table(name).is_some() {
        return session.rename_temporary_table(name, to);
    }
    let entry = dml::existing(session, schema, name)?;
    if to_schema.is_some_and(|s| s != entry.schema) {
        return Err(Error::unsupported("RENAME TO does not move a table to another schema"));
    }
    if entry.kind() == Kind::Model {
        return Err(Error::new(state::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a table")));
    }
    let new = QualifiedName { schema: entry.schema.clone(), name: to.clone() };
    create_table::refuse_taken(session, &new, false)?;
    refuse_readers(session, &entry)?;
    let entry = Entry { name: to, ..entry.as_ref().clone() };
    session.change(vec![Change::Put(entry)], None).await
}

/// A view knows what it reads by name; a rename below it would break it, so it is refused here
/// rather than found out later.
fn refuse_readers(session: &Session, entry: &Entry) -> Result<()> {
    let snapshot = session.snapshot();
    let reader = snapshot
        .entries()
        .find(|other| other.id != entry.id && drop::reads(&snapshot, other).contains(&entry.id));
    match reader {
        None => Ok(()),
        Some(reader) => Err(Error::new(
            state::DEPENDENT_OBJECTS,
            format!("cannot rename \"{}\" because other objects depend on it", entry.name),
        )
        .with_detail(format!("{} {} reads it.", reader.kind(), reader.qualified_name()))
        .with_hint("Drop the view, rename, and create the view again.")),
    }
}

/// Gives the table other columns of the same names and types, in one commit.
pub(crate) async fn commit_schema(
    session: &Session,
    pinned: &Pinned,
    schema: SchemaRef,
    operation: &str,
) -> Result<()> {
    let spec = TableSpec { schema, ..pinned.snapshot.spec() };
    let commit = Commit {
        metadata: Some(spec),
        ..Commit::new(operation, CommitKind::Metadata { read_all: false })
    };
    dml::land(session, pinned, commit).await
}
