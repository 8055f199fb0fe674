//! Files: where those of a table lie, and how many bytes they have.

use catalog::{Definition, Entry};

use super::super::context::TEMPORARY_SCHEMA;
use super::super::rows::Value;
use super::lookup::class_oid;
use super::{Call, Function, strict, value};
use crate::error::Result;

pub(super) static FUNCTIONS: &[Function] = &[
    strict("pg_relation_size", 1..=2, "bigint", relation).reading_relations(),
    strict("pg_table_size", 1..=1, "bigint", relation).reading_relations(),
    strict("pg_total_relation_size", 1..=1, "bigint", relation).reading_relations(),
    strict("pg_indexes_size", 1..=1, "bigint", |_, _| Ok(Value::Int(0))),
    strict("pg_database_size", 1..=1, "bigint", database).reading_relations(),
    strict("pg_tablespace_size", 1..=1, "bigint", database).reading_relations(),
    strict("pg_size_pretty", 1..=1, "text", pretty),
    strict("pg_relation_filepath", 1..=1, "text", path),
];

/// A relation given as `regclass`, number or name.
fn named(call: &Call<'_>, argument: &Value) -> Option<u32> {
    match argument {
        Value::Text(name) => value::oid(argument).or_else(|| class_oid(call.context, name)),
        other => value::oid(other),
    }
}

/// The folder of a Delta table, relative to the warehouse as PostgreSQL's is to its data directory.
/// Views have none, and those of temporary tables are nobody else's.
fn path(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let found = named(call, &arguments[0]).and_then(|oid| call.context.relation_entry(oid));
    let lasting = found.filter(|entry| entry.schema != TEMPORARY_SCHEMA);
    Ok(lasting.and_then(|entry| folder(entry)).map_or(Value::Null, Value::Text))
}

fn folder(entry: &Entry) -> Option<String> {
    match &entry.definition {
        Definition::Table(table) | Definition::MaterializedView { table, .. } => {
            Some(table.path.clone())
        }
        _ => None,
    }
}

fn relation(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let oid = named(call, &arguments[0]);
    // What has no files, such as a view, has the size 0; what there is not, none.
    let known = oid.filter(|oid| super::lookup::class_name(call.context, *oid).is_some());
    Ok(known
        .map(|oid| call.context.relation(oid).map_or(0, |found| bytes(found.byte_count)))
        .into())
}

fn database(call: &Call<'_>, _: &[Value]) -> Result<Value> {
    let entries = call.context.relation_entries();
    let sizes = entries.filter_map(|entry| call.context.relation(entry.oid));
    Ok(Value::Int(bytes(sizes.map(|relation| relation.byte_count).sum())))
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// As PostgreSQL: a unit is left at 10 of the next, and halves are rounded up.
fn pretty(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let Some(size) = value::int(&arguments[0]) else {
        return Err(value::refused("pg_size_pretty takes a number of bytes"));
    };
    let mut size = i128::from(size);
    for unit in ["bytes", "kB", "MB", "GB", "TB", "PB"] {
        let whole = if unit == "bytes" { size } else { (size + size.signum()) / 2 };
        if size.abs() < 10 * 1024 * if unit == "bytes" { 1 } else { 2 } || unit == "PB" {
            return Ok(format!("{whole} {unit}").into());
        }
        // One bit below the next unit is kept for rounding.
        size /= if unit == "bytes" { 512 } else { 1024 };
    }
    Ok(Value::Null)
}
