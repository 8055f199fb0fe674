//! The schema `tarn`: what PostgreSQL's catalogs have no place for.

use std::collections::BTreeSet;

use arrow::datatypes::Field;
use catalog::{COMMENT_KEY, Definition, Entry, Kind, Tags};

use super::super::context::{SystemContext, Wanted};
use super::super::rows::Rows;
use super::{Details, Keys, Source, by_name, computed, dependency, of_tables};
use crate::error::Result;
use crate::statement::describe_history;
use crate::types;

/// How the rows of a relation come about; none for one that is unknown.
pub(super) fn source(name: &str) -> Option<Source> {
    const TABLE: Keys = by_name("table_schema", "table_name");
    Some(match name {
        "catalog_history" => Source::Computed {
            compute: catalog_history,
            keys: Keys::default(),
            details: Details::CatalogHistory,
        },
        "caches" => computed(caches),
        "column_lineage" => computed(column_lineage),
        "history" => {
            Source::Computed { compute: history, keys: TABLE, details: Details::Histories }
        }
        "lineage" => computed(lineage),
        "locations" => computed(locations),
        "objects" => of_tables(objects, by_name("object_schema", "object_name")),
        "snapshots" => computed(snapshots),
        "tables" => of_tables(tables, TABLE),
        "tags" => computed(tags),
        _ => return None,
    })
}

/// One row for each commit of the catalog.
fn catalog_history(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for commit in context.catalog_history() {
        rows.push([
            ("version", commit.version.into()),
            ("committed_at", commit.timestamp_micros.into()),
            ("changes", commit.parameters.get("changes").cloned().into()),
        ])?;
    }
    Ok(())
}

/// One row for each commit of each table.
fn history(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    for entry in context.snapshot.entries().filter(|entry| wanted.includes(entry)) {
        for commit in context.history(entry.oid) {
            rows.push([
                ("table_schema", entry.schema.as_str().into()),
                ("table_name", entry.name.as_str().into()),
                ("version", commit.version.into()),
                ("committed_at", commit.timestamp_micros.into()),
                ("operation", commit.operation.clone().into()),
                ("parameters", describe_history::parameters(&commit).into()),
                ("user_name", commit.user.clone().into()),
                ("files_added", count(commit.files_added).into()),
                ("files_removed", count(commit.files_removed).into()),
                ("rows_added", commit.rows_added.map(count).into()),
            ])?;
        }
    }
    Ok(())
}

/// What the server keeps to be faster.
fn caches(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for cache in context.relations.caches() {
        rows.push([
            ("name", cache.name.into()),
            ("hits", cache.hits.into()),
            ("misses", cache.misses.into()),
            ("bytes", cache.bytes.into()),
            ("limit_bytes", cache.limit_bytes.into()),
        ])?;
    }
    Ok(())
}

/// One row for each stored column that a column of a view, a materialized view or a table made of a query
/// comes from, and for each that decided which rows there are.
fn column_lineage(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.relation_entries() {
        for source in &entry.sources {
            let Some(from) = context.snapshot.entry_by_id(source.table) else { continue };
            rows.push([
                ("table_schema", entry.schema.as_str().into()),
                ("table_name", entry.name.as_str().into()),
                ("column_name", source.column.as_deref().into()),
                ("usage", if source.column.is_some() { "value" } else { "condition" }.into()),
                ("source_schema", from.schema.as_str().into()),
                ("source_name", from.name.as_str().into()),
                ("source_column", source.from.as_str().into()),
            ])?;
        }
    }
    Ok(())
}

/// One row for each relation that another one reads, or was made of.
fn lineage(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.relation_entries() {
        let mut inputs: BTreeSet<u32> = dependency::inputs(context, entry);
        if dependency::query_of(entry).is_none() {
            let made_of = entry.sources.iter().map(|source| source.table);
            inputs.extend(
                made_of.filter_map(|id| context.snapshot.entry_by_id(id)).map(|from| from.oid),
            );
        }
        for from in context.relation_entries().filter(|from| inputs.contains(&from.oid)) {
            rows.push([
                ("table_schema", entry.schema.as_str().into()),
                ("table_name", entry.name.as_str().into()),
                ("kind", entry.kind().name().into()),
                ("source_schema", from.schema.as_str().into()),
                ("source_name", from.name.as_str().into()),
                ("source_kind", from.kind().name().into()),
            ])?;
        }
    }
    Ok(())
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

/// One row for each object, and one for each of its columns; a model's are what it takes and yields.
fn objects(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    let in_no_schema = [Kind::Location, Kind::Snapshot];
    let global = in_no_schema.into_iter().flat_map(|kind| context.snapshot.global_entries(kind));
    let schemas = context.snapshot.schemas();
    for entry in schemas.chain(global).chain(context.snapshot.entries()) {
        // What is in no schema has no table's name to ask for.
        if !entry.schema.is_empty() && !wanted.includes(entry) {
            continue;
        }
        object(entry, None, rows)?;
        if let Definition::Model { inputs, outputs, .. } = &entry.definition {
            for column in inputs.iter().chain(outputs) {
                object(entry, Some(&Field::from(column)), rows)?;
            }
        }
        let Some(relation) = context.relation(entry.oid) else { continue };
        for field in relation.columns.fields() {
            object(entry, Some(field), rows)?;
        }
    }
    Ok(())
}

fn object(entry: &Entry, column: Option<&Field>, rows: &mut Rows) -> Result<()> {
    let (comment, tags) = match column {
        Some(column) => {
            let comment = column.metadata().get(COMMENT_KEY).cloned();
            (comment, entry.column_tags.get(column.name()).and_then(shown))
        }
        None => (entry.comment.clone(), shown(&entry.tags)),
    };
    rows.push([
        ("kind", column.map_or_else(|| entry.kind().name(), |_| "column").into()),
        ("object_schema", Some(entry.schema.as_str()).filter(|name| !name.is_empty()).into()),
        ("object_name", entry.name.as_str().into()),
        ("column_name", column.map(|column| column.name().as_str()).into()),
        ("data_type", column.map(types::type_name).into()),
        ("owner", entry.owner.as_str().into()),
        ("comment", comment.into()),
        ("tags", tags.into()),
        ("created_at", entry.created_at_micros.into()),
    ])
}

/// `pii=yes, team=growth`; none where there are no tags.
fn shown(tags: &Tags) -> Option<String> {
    let one = |(name, value): (&String, &String)| match value.is_empty() {
        true => name.clone(),
        false => format!("{name}={value}"),
    };
    (!tags.is_empty()).then(|| tags.iter().map(one).collect::<Vec<_>>().join(", "))
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

/// One row for each tag of an object or a column.
fn tags(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.snapshot.schemas().chain(context.relation_entries()) {
        let of_entry = entry.tags.iter().map(|tag| (None, tag));
        let of_columns = entry.column_tags.iter();
        let of_columns =
            of_columns.flat_map(|(name, tags)| tags.iter().map(move |t| (Some(name), t)));
        for (column, (tag, value)) in of_entry.chain(of_columns) {
            rows.push([
                ("schema_name", Some(entry.schema.as_str()).filter(|name| !name.is_empty()).into()),
                ("object_name", entry.name.as_str().into()),
                ("kind", entry.kind().name().into()),
                ("column_name", column.map(String::as_str).into()),
                ("tag", tag.as_str().into()),
                ("value", value.as_str().into()),
            ])?;
        }
    }
    Ok(())
}
