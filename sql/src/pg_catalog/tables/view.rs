//! PostgreSQL's own views over its catalogs: `pg_tables`, `pg_views`, `pg_matviews` and the like.

use std::sync::Arc;

use catalog::{Definition, Entry};

use super::super::context::{SystemContext, Wanted};
use super::super::functions::view_definition;
use super::super::relations;
use super::super::rows::{Rows, Value};
use super::class;
use crate::error::Result;

fn entries<'a>(
    context: &'a SystemContext,
    wanted: &'a Wanted,
    kind: fn(&Definition) -> bool,
) -> impl Iterator<Item = &'a Arc<Entry>> {
    context
        .relation_entries()
        .filter(move |entry| wanted.includes(entry) && kind(&entry.definition))
}

pub(super) fn pg_tables(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    let is_table =
        |d: &Definition| matches!(d, Definition::Table(_) | Definition::ExternalTable(_));
    for entry in entries(context, wanted, is_table) {
        table(rows, &entry.schema, &entry.name, &entry.owner)?;
    }
    for system in relations::all().iter().filter(|system| system.kind == "r") {
        table(rows, system.schema, system.name, context.system_owner())?;
    }
    Ok(())
}

fn table(rows: &mut Rows, schema: &str, name: &str, owner: &str) -> Result<()> {
    rows.push([
        ("schemaname", schema.into()),
        ("tablename", name.into()),
        ("tableowner", owner.into()),
        ("hasindexes", false.into()),
        ("hasrules", false.into()),
        ("hastriggers", false.into()),
        ("rowsecurity", false.into()),
    ])
}

pub(super) fn pg_views(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in entries(context, wanted, |d| matches!(d, Definition::View { .. })) {
        rows.push([
            ("schemaname", entry.schema.as_str().into()),
            ("viewname", entry.name.as_str().into()),
            ("viewowner", entry.owner.as_str().into()),
            ("definition", view_definition(entry).into()),
        ])?;
    }
    for system in relations::all().iter().filter(|system| system.kind == "v") {
        rows.push([
            ("schemaname", system.schema.into()),
            ("viewname", system.name.into()),
            ("viewowner", context.system_owner().into()),
        ])?;
    }
    Ok(())
}

pub(super) fn pg_matviews(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in entries(context, wanted, |d| matches!(d, Definition::MaterializedView { .. })) {
        rows.push([
            ("schemaname", entry.schema.as_str().into()),
            ("matviewname", entry.name.as_str().into()),
            ("matviewowner", entry.owner.as_str().into()),
            ("hasindexes", false.into()),
            ("ispopulated", class::populated(entry).into()),
            ("definition", view_definition(entry).into()),
        ])?;
    }
    Ok(())
}

/// Rows are counted; nothing else that PostgreSQL counts there is.
pub(super) fn pg_stat_user_tables(
    context: &SystemContext,
    wanted: &Wanted,
    rows: &mut Rows,
) -> Result<()> {
    for entry in entries(context, wanted, |d| !matches!(d, Definition::View { .. })) {
        let count = context.relation(entry.oid).and_then(|relation| relation.row_count);
        let count = count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        rows.push([
            ("relid", entry.oid.into()),
            ("schemaname", entry.schema.as_str().into()),
            ("relname", entry.name.as_str().into()),
            ("n_live_tup", count.map_or(Value::Null, Value::Int)),
        ])?;
    }
    Ok(())
}
