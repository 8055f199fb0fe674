//! `DROP TABLE | VIEW | MATERIALIZED VIEW | SCHEMA | MODEL | LOCATION | SECRET [IF EXISTS] name [, ...] [CASCADE]`.
//!
//! Names go in one catalog commit; files are swept later, so that readers of an older snapshot
//! end in peace.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{Change, Definition, Entry, Kind, OptionValue, Snapshot};
use datafusion::sql::sqlparser::ast;
use uuid::Uuid;

use crate::error::{Error, Result, state};
use crate::output::{Notice, Output};
use crate::parser;
use crate::resolve::{find_in, split_name, unknown};
use crate::session::Session;

/// What is to go.
#[derive(Debug, Clone)]
pub(crate) struct Drop {
    pub(crate) kind: Kind,
    pub(crate) names: Vec<ast::ObjectName>,
    pub(crate) if_exists: bool,
    pub(crate) cascade: bool,
}

impl Drop {
    pub(crate) fn from_ast(statement: ast::Statement) -> Result<Self> {
        let ast::Statement::Drop {
            object_type,
            if_exists,
            names,
            cascade,
            restrict: _,
            purge: false,
            temporary: false,
            table: None,
        } = statement
        else {
            return Err(Error::unsupported("this form of DROP is not supported"));
        };
        let kind = match object_type {
            ast::ObjectType::Table => Kind::Table,
            ast::ObjectType::View => Kind::View,
            ast::ObjectType::MaterializedView => Kind::MaterializedView,
            ast::ObjectType::Schema => Kind::Schema,
            other => return Err(Error::unsupported(format!("DROP {other} is not supported"))),
        };
        Ok(Self { kind, names, if_exists, cascade })
    }

    fn tag(&self) -> String {
        format!("DROP {}", self.kind.name().to_uppercase())
    }
}

/// Takes the names away.
pub(crate) async fn run(session: &Session, drop: &Drop) -> Result<Output> {
    session.refuse_read_only()?;
    let snapshot = session.snapshot();
    let mut dropped: BTreeMap<Uuid, Arc<Entry>> = BTreeMap::new();
    let mut temporary = Vec::new();
    for name in &drop.names {
        match find(session, &snapshot, drop, name)? {
            Found::Entry(entry) => {
                dropped.insert(entry.id, entry);
            }
            Found::Temporary(name) => temporary.push(name),
            Found::Nothing(shown) => {
                let note = format!("{} \"{shown}\" does not exist, skipping", drop.kind);
                session.notice(Notice::note(note));
            }
        }
    }
    add_dependents(&snapshot, &mut dropped, drop.cascade)?;
    if !dropped.is_empty() {
        // Schemas last: they must be empty by then.
        let (schemas, others): (Vec<_>, Vec<_>) =
            dropped.values().partition(|entry| entry.kind() == Kind::Schema);
        let changes = others.iter().chain(&schemas).map(|entry| Change::Drop(entry.id));
        session.change(changes.collect(), None).await?;
        for id in dropped.keys() {
            session.engine().forget_writer(*id);
        }
    }
    for name in temporary {
        session.drop_temporary_table(&name);
    }
    Ok(Output::done(&drop.tag()))
}

enum Found {
    Entry(Arc<Entry>),
    Temporary(String),
    Nothing(String),
}

fn find(
    session: &Session,
    snapshot: &Snapshot,
    drop: &Drop,
    name: &ast::ObjectName,
) -> Result<Found> {
    let (schema, table) = split_name(name)?;
    if drop.kind.is_global() {
        return find_global(snapshot, drop, name);
    }
    if drop.kind == Kind::Schema {
        return match snapshot.schema(&table) {
            Some(entry) => Ok(Found::Entry(Arc::clone(entry))),
            None if drop.if_exists => Ok(Found::Nothing(table)),
            None => Err(Error::new(
                state::INVALID_SCHEMA_NAME,
                format!("schema \"{table}\" does not exist"),
            )),
        };
    }
    if drop.kind == Kind::Table
        && schema.as_deref().is_none_or(|s| s == "pg_temp")
        && session.temporary_table(&table).is_some()
    {
        return Ok(Found::Temporary(table));
    }
    let path = session.search_path();
    match find_in(snapshot, &path, schema.as_deref(), &table) {
        Some(entry) if entry.kind() == drop.kind => Ok(Found::Entry(entry)),
        Some(entry) => {
            let message = format!("\"{table}\" is not {}", with_article(drop.kind));
            let (kind, what) = (entry.kind().name().to_uppercase(), with_article(entry.kind()));
            Err(Error::new(state::WRONG_OBJECT_TYPE, message)
                .with_hint(format!("Use DROP {kind} to remove {what}.")))
        }
        None if drop.if_exists => Ok(Found::Nothing(table)),
        None if drop.kind == Kind::Model => {
            Err(Error::new(state::UNDEFINED_OBJECT, format!("model \"{name}\" does not exist")))
        }
        None => Err(unknown(snapshot, &path, schema.as_deref(), &table)),
    }
}

fn with_article(kind: Kind) -> String {
    let article = if kind == Kind::ExternalTable { "an" } else { "a" };
    format!("{article} {kind}")
}

/// A location or a secret. A secret that a location needs stays.
fn find_global(snapshot: &Snapshot, drop: &Drop, name: &ast::ObjectName) -> Result<Found> {
    let (None, name) = split_name(name)? else {
        return Err(Error::syntax(format!("a {} stands in no schema", drop.kind)));
    };
    let Some(entry) = snapshot.global(drop.kind, &name) else {
        if drop.if_exists {
            return Ok(Found::Nothing(name));
        }
        let message = format!("{} \"{name}\" does not exist", drop.kind);
        return Err(Error::new(state::UNDEFINED_OBJECT, message));
    };
    let needs_it = |location: &&Arc<Entry>| match &location.definition {
        Definition::Location { options, .. } => {
            options.values().any(|value| *value == OptionValue::Secret(name.clone()))
        }
        _ => false,
    };
    if drop.kind == Kind::Secret
        && let Some(location) = snapshot.global_entries(Kind::Location).find(needs_it)
    {
        let message = format!("cannot drop secret {name} because other objects depend on it");
        return Err(Error::new(state::DEPENDENT_OBJECTS, message)
            .with_detail(format!("location {} depends on it.", location.name))
            .with_hint(format!("Use DROP LOCATION {} first.", location.name)));
    }
    Ok(Found::Entry(Arc::clone(entry)))
}

/// What reads what goes: refused without CASCADE, gone with it.
fn add_dependents(
    snapshot: &Snapshot,
    dropped: &mut BTreeMap<Uuid, Arc<Entry>>,
    cascade: bool,
) -> Result<()> {
    loop {
        let inside = snapshot.entries().find(|entry| {
            !dropped.contains_key(&entry.id)
                && dropped
                    .values()
                    .any(|gone| gone.kind() == Kind::Schema && gone.name == entry.schema)
        });
        let dependent = inside.or_else(|| {
            snapshot.entries().find(|entry| {
                !dropped.contains_key(&entry.id) && reads_any(snapshot, entry, dropped)
            })
        });
        let Some(dependent) = dependent.map(Arc::clone) else { return Ok(()) };
        if !cascade {
            let object = dropped.values().next().map_or_else(String::new, |entry| {
                format!("{} {}", entry.kind(), entry.qualified_name())
            });
            return Err(Error::new(
                state::DEPENDENT_OBJECTS,
                format!("cannot drop {object} because other objects depend on it"),
            )
            .with_detail(format!(
                "{} {} depends on it.",
                dependent.kind(),
                dependent.qualified_name()
            ))
            .with_hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        dropped.insert(dependent.id, dependent);
    }
}

/// Refuses that an entry goes while others read it.
pub(crate) fn refuse_dependents(snapshot: &Snapshot, entry: &Arc<Entry>) -> Result<()> {
    add_dependents(snapshot, &mut BTreeMap::from([(entry.id, Arc::clone(entry))]), false)
}

fn reads_any(snapshot: &Snapshot, entry: &Entry, dropped: &BTreeMap<Uuid, Arc<Entry>>) -> bool {
    reads(snapshot, entry).iter().any(|id| dropped.contains_key(id))
}

/// The entries that a view's query names.
pub(crate) fn reads(snapshot: &Snapshot, entry: &Entry) -> Vec<Uuid> {
    let (Definition::View { sql, search_path, .. }
    | Definition::MaterializedView { sql, search_path, .. }) = &entry.definition
    else {
        return Vec::new();
    };
    let Ok(query) = parser::parse_query(sql) else { return Vec::new() };
    let statement =
        datafusion::sql::parser::Statement::Statement(Box::new(ast::Statement::Query(query)));
    let Ok((relations, _)) = datafusion::sql::resolve::resolve_table_references(&statement, true)
    else {
        return Vec::new();
    };
    let named = relations.iter().filter_map(|relation| {
        find_in(snapshot, search_path, relation.schema(), relation.table()).map(|e| e.id)
    });
    named.collect()
}
