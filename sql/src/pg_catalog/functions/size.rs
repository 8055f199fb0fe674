//! Sizes: bytes of a table's data files.

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
];

fn relation(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let oid = match &arguments[0] {
        Value::Text(name) => value::oid(&arguments[0]).or_else(|| class_oid(call.context, name)),
        other => value::oid(other),
    };
    // What has no files, such as a view, has the size 0; what there is not, none.
    let known = oid.filter(|oid| super::lookup::class_name(call.context, *oid).is_some());
    Ok(known.map(|oid| call.context.relation(oid).map_or(0, |found| bytes(found.byte_count))).into())
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
