//! `pg_class`: tables, views and materialized views, and the system's own relations.

use std::sync::Arc;

use catalog::{Definition, Entry};

use super::super::context::{Relation, SystemContext, Wanted, relation_kind};
use super::super::names;
use super::super::relations;
use super::super::rows::{Rows, Value};
use crate::error::Result;

/// Columns that need the table's own metadata.
pub(crate) const DETAILS: &[&str] =
    &["relnatts", "relchecks", "reltuples", "relpages", "reloptions"];

/// The size by which PostgreSQL counts pages.
const PAGE_BYTES: u64 = 8192;

pub(crate) fn pg_class(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.relation_entries().filter(|entry| wanted.includes(entry)) {
        relation(context, entry, rows)?;
    }
    for system in relations::all().iter().filter(|system| system.oid != 0) {
        rows.push([
            ("oid", system.oid.into()),
            ("relname", system.name.into()),
            ("relnamespace", names::schema_oid(context, system.schema).into()),
            ("relowner", names::role_oid(context.system_owner()).into()),
            ("relkind", system.kind.into()),
            ("relnatts", count(system.columns.fields().len())),
            ("reltuples", Value::Float(-1.0)),
            ("relpersistence", "p".into()),
            ("relhasrules", (system.kind == "v").into()),
            ("relispopulated", true.into()),
            ("relreplident", "n".into()),
        ])?;
    }
    Ok(())
}

fn relation(context: &SystemContext, entry: &Arc<Entry>, rows: &mut Rows) -> Result<()> {
    let view = matches!(entry.definition, Definition::View { .. });
    let details = context.relation(entry.oid);
    let details = details.as_deref();
    let temporary = entry.schema == super::super::context::TEMPORARY_SCHEMA;
    rows.push([
        ("oid", entry.oid.into()),
        ("relname", entry.name.as_str().into()),
        ("relnamespace", names::schema_oid(context, &entry.schema).unwrap_or_default().into()),
        ("relowner", names::role_oid(&entry.owner).into()),
        ("relam", if view { 0_u32 } else { names::DELTA }.into()),
        ("relfilenode", if view { 0_u32 } else { entry.oid }.into()),
        ("relpages", details.map_or(Value::Int(0), pages)),
        ("reltuples", tuples(details)),
        ("relpersistence", if temporary { "t" } else { "p" }.into()),
        ("relkind", relation_kind(entry).unwrap_or_default().into()),
        ("relnatts", count(details.map_or(0, |details| details.columns.fields().len()))),
        ("relchecks", count(details.map_or(0, |details| details.constraints.len()))),
        (
            "relhasrules",
            (view || matches!(entry.definition, Definition::MaterializedView { .. })).into(),
        ),
        ("relispopulated", populated(entry).into()),
        ("relreplident", if view { "n" } else { "d" }.into()),
        ("reloptions", options(entry, details)),
    ])
}

/// Whether there are rows to read: a materialized view has none until it is refreshed.
pub(crate) const fn populated(entry: &Entry) -> bool {
    !matches!(entry.definition, Definition::MaterializedView { populated: false, .. })
}

/// A number of columns or constraints, in the 16 bits that PostgreSQL gives it.
fn count(number: usize) -> Value {
    i16::try_from(number).unwrap_or(i16::MAX).into()
}

fn pages(details: &Relation) -> Value {
    let pages = details.byte_count.div_ceil(PAGE_BYTES);
    i32::try_from(pages).unwrap_or(i32::MAX).into()
}

#[expect(clippy::cast_precision_loss, reason = "PostgreSQL keeps the count as a float, too")]
fn tuples(details: Option<&Relation>) -> Value {
    let count = details.and_then(|details| details.row_count);
    Value::Float(count.map_or(-1.0, |rows| rows as f32))
}

/// `key=value`, as `WITH` gave them.
fn options(entry: &Entry, details: Option<&Relation>) -> Value {
    let mut options: Vec<String> = Vec::new();
    if let Definition::MaterializedView { options: given, .. } = &entry.definition {
        options.extend(given.iter().map(|(key, value)| format!("{key}={value}")));
    }
    if let Some(details) = details {
        // Delta's own properties follow from the protocol; nobody wrote them.
        // The key is told as a constraint.
        let own = |key: &str| !key.starts_with("delta.") && !key.starts_with("tarn.");
        let own = details.options.iter().filter(|(key, _)| own(key));
        options.extend(own.map(|(key, value)| format!("{key}={value}")));
        options.extend(crate::schema_evolution::shown(&details.options));
        if !details.partition_columns.is_empty() {
            options.push(format!("partition_by={}", details.partition_columns.join(",")));
        }
    }
    if options.is_empty() { Value::Null } else { options.into() }
}
