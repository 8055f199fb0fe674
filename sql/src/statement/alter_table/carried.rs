//! What the catalog keeps of a table's columns, when these get other names or go: tags, and where the
//! columns of other relations come from.
//!
//! Never: the columns have their new names and the catalog has not, or the other way round.

use std::collections::BTreeMap;

use catalog::{Change, Entry};
use datafusion::sql::sqlparser::ast;

use crate::dml;
use crate::error::Result;
use crate::resolve::{fold, split_name};
use crate::session::Session;
use crate::statement::transaction;

/// What becomes of a column.
enum Move {
    Renamed { from: String, to: String },
    Dropped(String),
}

/// Makes the changes of the table, and those of the catalog that follow from them.
pub(super) async fn evolve(
    session: &Session,
    table: &ast::ObjectName,
    operations: &[ast::AlterTableOperation],
) -> Result<()> {
    let moves: Vec<Move> = operations.iter().flat_map(moves).collect();
    if changes(session, table, &moves)?.is_empty() {
        return super::evolve(session, table, operations).await;
    }
    let moves = &moves;
    transaction::as_one(session, || async move {
        super::evolve(session, table, operations).await?;
        session.change(changes(session, table, moves)?, None).await
    })
    .await
}

fn moves(operation: &ast::AlterTableOperation) -> Vec<Move> {
    use ast::AlterTableOperation as O;
    match operation {
        O::RenameColumn { old_column_name, new_column_name } => {
            vec![Move::Renamed { from: fold(old_column_name), to: fold(new_column_name) }]
        }
        O::DropColumn { column_names, .. } => {
            column_names.iter().map(|name| Move::Dropped(fold(name))).collect()
        }
        _ => Vec::new(),
    }
}

/// The entries that keep something of these columns, as they shall be.
fn changes(session: &Session, table: &ast::ObjectName, moves: &[Move]) -> Result<Vec<Change>> {
    if moves.is_empty() {
        return Ok(Vec::new());
    }
    let (schema, name) = split_name(table)?;
    if schema.as_deref().is_none_or(|s| s == "pg_temp") && session.temporary_table(&name).is_some()
    {
        return Ok(Vec::new());
    }
    let altered = dml::existing(session, schema.as_deref(), &name)?;
    let snapshot = session.snapshot();
    let changed = snapshot.entries().filter_map(|entry| {
        let mut moved = entry.as_ref().clone();
        moves.iter().for_each(|step| carry(&mut moved, &altered, step));
        (moved != **entry).then_some(Change::Put(moved))
    });
    Ok(changed.collect())
}

fn carry(entry: &mut Entry, altered: &Entry, step: &Move) {
    let is_altered = entry.id == altered.id;
    match step {
        Move::Renamed { from, to } => {
            for source in &mut entry.sources {
                if source.table == altered.id && source.from == *from {
                    source.from.clone_from(to);
                }
                if is_altered && source.column.as_ref() == Some(from) {
                    source.column = Some(to.clone());
                }
            }
            if is_altered && let Some(tags) = entry.column_tags.remove(from) {
                entry.column_tags.insert(to.clone(), tags);
            }
        }
        Move::Dropped(name) => {
            if is_altered {
                entry.sources.retain(|source| source.column.as_ref() != Some(name));
                entry.column_tags.remove(name);
            }
        }
    }
}

/// Forgets tags of columns that a table does not have any more.
pub(crate) async fn forget_others(
    session: &Session,
    id: uuid::Uuid,
    has: impl Fn(&str) -> bool,
) -> Result<()> {
    let snapshot = session.snapshot();
    let Some(entry) = snapshot.entry_by_id(id) else { return Ok(()) };
    let of_columns = entry.column_tags.iter().filter(|(column, _)| has(column));
    let column_tags: BTreeMap<_, _> =
        of_columns.map(|(column, tags)| (column.clone(), tags.clone())).collect();
    if column_tags.len() == entry.column_tags.len() {
        return Ok(());
    }
    let entry = Entry { column_tags, ..entry.as_ref().clone() };
    session.change(vec![Change::Put(entry)], None).await
}
