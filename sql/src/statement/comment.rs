//! `COMMENT ON TABLE | VIEW | MATERIALIZED VIEW | SCHEMA | MODEL | COLUMN name IS 'text' | NULL`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use catalog::{COMMENT_KEY, Change, Entry, Kind};
use datafusion::sql::sqlparser::ast;

use crate::dml;
use crate::error::{Error, Result, state};
use crate::output::Output;
use crate::resolve::{find_in, fold, split_name};
use crate::session::Session;
use crate::statement::alter_table;

/// A comment to be put or taken away.
#[derive(Debug, Clone)]
pub(crate) struct Comment {
    on: On,
    name: ast::ObjectName,
    text: Option<String>,
    if_exists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Entry(Kind),
    Column,
    Database,
}

impl Comment {
    pub(crate) fn on_model(name: ast::ObjectName, text: Option<String>) -> Self {
        Self { on: On::Entry(Kind::Model), name, text, if_exists: false }
    }

    pub(crate) fn from_ast(statement: ast::Statement) -> Result<Self> {
        let ast::Statement::Comment { object_type, object_name, comment, if_exists } = statement
        else {
            return Err(Error::internal("not a COMMENT"));
        };
        let on = match object_type {
            ast::CommentObject::Table => On::Entry(Kind::Table),
            ast::CommentObject::View => On::Entry(Kind::View),
            ast::CommentObject::MaterializedView => On::Entry(Kind::MaterializedView),
            ast::CommentObject::Schema => On::Entry(Kind::Schema),
            ast::CommentObject::Column => On::Column,
            ast::CommentObject::Database => On::Database,
            other => {
                return Err(Error::unsupported(format!("COMMENT ON {other} is not supported")));
            }
        };
        Ok(Self { on, name: object_name, text: comment, if_exists })
    }
}

/// Keeps the text with the object.
pub(crate) async fn run(session: &Session, comment: &Comment) -> Result<Output> {
    session.refuse_read_only()?;
    match comment.on {
        On::Column => on_column(session, comment).await?,
        On::Entry(kind) => on_entry(session, comment, kind).await?,
        On::Database => return Err(Error::unsupported("COMMENT ON DATABASE is not supported")),
    }
    Ok(Output::done("COMMENT"))
}

async fn on_entry(session: &Session, comment: &Comment, kind: Kind) -> Result<()> {
    let (schema, name) = split_name(&comment.name)?;
    let snapshot = session.snapshot();
    let found = if kind == Kind::Schema {
        snapshot.schema(&name).map(Arc::clone)
    } else {
        find_in(&snapshot, &session.search_path(), schema.as_deref(), &name)
    };
    let Some(entry) = found else {
        if comment.if_exists {
            return Ok(());
        }
        let code = match kind {
            Kind::Schema => state::INVALID_SCHEMA_NAME,
            Kind::Model => state::UNDEFINED_OBJECT,
            _ => state::UNDEFINED_TABLE,
        };
        return Err(Error::new(code, format!("{kind} \"{}\" does not exist", comment.name)));
    };
    // To clients an external table is a table.
    let is_table = kind == Kind::Table && entry.kind() == Kind::ExternalTable;
    if entry.kind() != kind && !is_table {
        return Err(Error::new(
            state::WRONG_OBJECT_TYPE,
            format!("\"{name}\" is a {}, not a {kind}", entry.kind()),
        ));
    }
    let entry = Entry { comment: comment.text.clone(), ..entry.as_ref().clone() };
    session.change(vec![Change::Put(entry)], None).await
}

async fn on_column(session: &Session, comment: &Comment) -> Result<()> {
    let mut parts = comment.name.0.clone();
    let column = parts.pop().and_then(|part| part.as_ident().map(fold));
    let (Some(column), false) = (column, parts.is_empty()) else {
        return Err(Error::syntax("syntax error: COMMENT ON COLUMN takes table.column"));
    };
    let pinned = dml::target(session, &ast::ObjectName(parts)).await?;
    if pinned.snapshot.schema.field_with_name(&column).is_err() {
        return Err(Error::new(
            state::UNDEFINED_COLUMN,
            format!("column \"{column}\" of relation \"{}\" does not exist", pinned.name.name),
        ));
    }
    let fields = pinned.snapshot.schema.fields().iter().map(|field| {
        if *field.name() != column {
            return field.as_ref().clone();
        }
        let mut metadata: HashMap<String, String> = field.metadata().clone();
        match &comment.text {
            Some(text) => metadata.insert(COMMENT_KEY.to_owned(), text.clone()),
            None => metadata.remove(COMMENT_KEY),
        };
        Field::clone(field).with_metadata(metadata)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    alter_table::commit_schema(session, &pinned, schema, "CHANGE COLUMN").await
}
