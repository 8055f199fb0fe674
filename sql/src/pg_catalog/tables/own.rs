//! The schema `tarn`: what PostgreSQL's catalogs have no place for.

use catalog::{Definition, Kind};

use super::super::context::{SystemContext, Wanted};
use super::super::rows::Rows;
use super::{Keys, Source, by_name, computed, of_tables};
use crate::error::Result;

/// How the rows of a relation come about; none for one that is unknown.
pub(super) fn source(name: &str) -> Option<Source> {
    const TABLE: Keys = by_name("table_schema", "table_name");
    Some(match name {
        "locations" => computed(locations),
        "snapshots" => computed(snapshots),
        "tables" => of_tables(tables, TABLE),
        _ => return None,
    })
}

fn locations(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.snapshot.global_entries(Kind::Location) {
        let Definition::Location { url, .. } = &entry.definition else { continue };
        rows.push([
            ("name", entry.name.as_str().into()),
            ("url", url.as_str().into()),
            ("owner", entry.owner.as_str().into()),
            ("comment", entry.comment.clone().into()),
            ("created_at", entry.created_at_micros.into()),
        ])?;
    }
    Ok(())
}

/// One row for each table of a snapshot that is still there; one without a table where none is.
fn snapshots(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.snapshot.global_entries(Kind::Snapshot) {
        let Definition::Snapshot { versions } = &entry.definition else { continue };
        let known = versions.iter().filter_map(|(id, version)| {
            context.snapshot.entry_by_id(*id).map(|table| (Some(table), Some(*version)))
        });
        let mut known: Vec<_> = known.collect();
        if known.is_empty() {
            known.push((None, None));
        }
        for (table, version) in known {
            rows.push([
                ("name", entry.name.as_str().into()),
                ("table_schema", table.map(|table| table.schema.as_str()).into()),
                ("table_name", table.map(|table| table.name.as_str()).into()),
                ("version", version.into()),
                ("owner", entry.owner.as_str().into()),
                ("comment", entry.comment.clone().into()),
                ("created_at", entry.created_at_micros.into()),
            ])?;
        }
    }
    Ok(())
}

fn tables(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.relation_entries().filter(|entry| wanted.includes(entry)) {
        let path = match (&entry.definition, entry.table()) {
            (_, Some(table)) => table.path.as_str(),
            (Definition::ExternalTable(table), _) => table.url.as_str(),
            _ => continue,
        };
        let Some(relation) = context.relation(entry.oid) else { continue };
        let schema = context.snapshot.schema(&entry.schema);
        let zone = schema.and_then(|schema| match schema.definition {
            Definition::Schema { zone } => Some(zone.name()),
            _ => None,
        });
        rows.push([
            ("table_schema", entry.schema.as_str().into()),
            ("table_name", entry.name.as_str().into()),
            ("kind", entry.kind().name().into()),
            ("zone", zone.into()),
            ("owner", entry.owner.as_str().into()),
            ("comment", entry.comment.clone().into()),
            ("created_at", entry.created_at_micros.into()),
            ("row_count", relation.row_count.and_then(|count| i64::try_from(count).ok()).into()),
            ("byte_count", i64::try_from(relation.byte_count).unwrap_or(i64::MAX).into()),
            ("path", path.into()),
        ])?;
    }
    Ok(())
}
