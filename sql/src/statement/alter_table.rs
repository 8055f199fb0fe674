//! `ALTER TABLE`: RENAME TO, RENAME of constraints not, ADD COLUMN, SET and DROP DEFAULT.
//!
//! A new name is a change of the catalog and moves no file; a new column is a change of the
//! table's Delta metadata and writes no file: older files lack it, and it reads as NULL.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use catalog::{Change, Commit, CommitKind, DEFAULT_KEY, Entry, Kind, TableSpec};
use datafusion::sql::sqlparser::ast;

use crate::dml;
use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::resolve::{Pinned, QualifiedName, fold, split_name};
use crate::session::Session;
use crate::statement::{create_table, drop};

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
    let [operation] = alter.operations.as_slice() else {
        return Err(Error::unsupported("ALTER TABLE takes one change at a time")
            .with_hint("Write several ALTER TABLE statements."));
    };
    match operation {
        ast::AlterTableOperation::RenameTable { table_name } => {
            let (ast::RenameTableNameKind::To(to) | ast::RenameTableNameKind::As(to)) = table_name;
            rename(session, schema.as_deref(), &name, to).await?;
        }
        ast::AlterTableOperation::AddColumn {
            if_not_exists,
            column_def,
            column_position: None,
            ..
        } => add_column(session, &alter.name, column_def, *if_not_exists).await?,
        ast::AlterTableOperation::AlterColumn { column_name, op } => match op {
            ast::AlterColumnOperation::SetDefault { value } => {
                set_default(session, &alter.name, &fold(column_name), Some(value)).await?;
            }
            ast::AlterColumnOperation::DropDefault => {
                set_default(session, &alter.name, &fold(column_name), None).await?;
            }
            other => {
                return Err(Error::unsupported(format!(
                    "ALTER COLUMN ... {other} is not supported"
                )));
            }
        },
        other => {
            return Err(Error::unsupported(format!("ALTER TABLE ... {other} is not supported")));
        }
    }
    Ok(Output::done("ALTER TABLE"))
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

async fn add_column(
    session: &Session,
    table: &ast::ObjectName,
    column: &ast::ColumnDef,
    if_not_exists: bool,
) -> Result<()> {
    let pinned = dml::target(session, table).await?;
    let mut constraints = BTreeMap::new();
    let field = create_table::column_field(session, column, &pinned.name.name, &mut constraints)?;
    let known = &pinned.snapshot.schema;
    let taken = known.fields().iter().any(|f| f.name().eq_ignore_ascii_case(field.name()));
    if taken {
        if if_not_exists {
            let note = format!("column \"{}\" already exists, skipping", field.name());
            session.notice(Notice::note(note));
            return Ok(());
        }
        return Err(Error::new(
            state::DUPLICATE_COLUMN,
            format!(
                "column \"{}\" of relation \"{}\" already exists",
                field.name(),
                pinned.name.name
            ),
        ));
    }
    if !constraints.is_empty() {
        return Err(Error::unsupported("ADD COLUMN ... CHECK is not supported"));
    }
    let has_rows = pinned.snapshot.file_count() > 0;
    if field.metadata().contains_key(DEFAULT_KEY) && has_rows {
        return Err(Error::unsupported(
            "ADD COLUMN ... DEFAULT on a table with rows is not supported",
        )
        .with_hint("ADD COLUMN, UPDATE the rows, then ALTER COLUMN ... SET DEFAULT."));
    }
    if !field.is_nullable() && has_rows {
        return Err(Error::new(
            state::NOT_NULL_VIOLATION,
            format!(
                "column \"{}\" of relation \"{}\" contains null values",
                field.name(),
                pinned.name.name
            ),
        ));
    }
    let fields = known.fields().iter().map(|f| f.as_ref().clone()).chain([field]);
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    commit_schema(session, &pinned, schema, "ADD COLUMNS").await
}

async fn set_default(
    session: &Session,
    table: &ast::ObjectName,
    column: &str,
    value: Option<&ast::Expr>,
) -> Result<()> {
    let pinned = dml::target(session, table).await?;
    let known = &pinned.snapshot.schema;
    let Ok(field) = known.field_with_name(column) else {
        return Err(Error::new(
            state::UNDEFINED_COLUMN,
            format!("column \"{column}\" of relation \"{}\" does not exist", pinned.name.name),
        ));
    };
    if let Some(value) = value {
        create_table::check_default(session, &value.to_string(), field)?;
    }
    let fields = known.fields().iter().map(|field| {
        if field.name() != column {
            return field.as_ref().clone();
        }
        let mut metadata: HashMap<String, String> = field.metadata().clone();
        match value {
            Some(value) => metadata.insert(DEFAULT_KEY.to_owned(), value.to_string()),
            None => metadata.remove(DEFAULT_KEY),
        };
        Field::clone(field).with_metadata(metadata)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    commit_schema(session, &pinned, schema, "CHANGE COLUMN").await
}

/// Gives the table new columns, in one commit of its own.
pub(crate) async fn commit_schema(
    session: &Session,
    pinned: &Pinned,
    schema: SchemaRef,
    operation: &str,
) -> Result<()> {
    if session.stages(pinned) {
        return Err(Error::unsupported(
            "changing the columns of an existing table cannot be part of a transaction",
        )
        .with_hint("COMMIT first."));
    }
    let snapshot = &pinned.snapshot;
    let spec = TableSpec {
        schema,
        partition_columns: snapshot.partition_columns.to_vec(),
        constraints: snapshot.constraints.as_ref().clone(),
        configuration: snapshot.configuration.as_ref().clone(),
    };
    let commit = Commit {
        metadata: Some(spec),
        user: Some(session.user().to_owned()),
        ..Commit::new(operation, CommitKind::Metadata { read_all: false })
    };
    pinned.table.commit(snapshot, commit).await?;
    Ok(())
}
