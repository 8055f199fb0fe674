//! `pg_attribute`: the columns of every relation.

use arrow::datatypes::{Field, Schema};
use catalog::DEFAULT_KEY;

use super::super::context::{SystemContext, Wanted};
use super::super::relations;
use super::super::rows::{Rows, Value};
use super::data_type;
use crate::error::Result;
use crate::types;

/// Delta's key for the expression of a generated column.
pub(crate) const GENERATED_KEY: &str = "delta.generationExpression";

pub(super) fn pg_attribute(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.relation_entries().filter(|entry| wanted.includes(entry)) {
        if let Some(relation) = context.relation(entry.oid) {
            columns(entry.oid, &relation.columns, rows)?;
        }
    }
    let asked = |oid: u32| oid != 0 && wanted.oids.as_ref().is_none_or(|oids| oids.contains(&oid));
    for system in relations::all().iter().filter(|system| asked(system.oid)) {
        columns(system.oid, &system.columns, rows)?;
    }
    Ok(())
}

fn columns(relation: u32, schema: &Schema, rows: &mut Rows) -> Result<()> {
    for (number, field) in (1_i16..).zip(schema.fields()) {
        let pg_type = types::pg_type_of(field);
        let row = data_type::type_row(pg_type.oid);
        let generated = field.metadata().contains_key(GENERATED_KEY);
        rows.push([
            ("attrelid", relation.into()),
            ("attname", field.name().as_str().into()),
            ("atttypid", pg_type.oid.into()),
            ("attstattarget", Value::Int(-1)),
            ("attlen", pg_type.length.into()),
            ("attnum", number.into()),
            ("attndims", i32::from(pg_type.array()).into()),
            ("attcacheoff", Value::Int(-1)),
            ("atttypmod", pg_type.modifier.into()),
            ("attbyval", row.is_some_and(|row| row.by_value).into()),
            ("attalign", row.map_or("i", |row| row.alignment).into()),
            ("attstorage", row.map_or("x", |row| row.storage).into()),
            ("attnotnull", (!field.is_nullable()).into()),
            ("atthasdef", (generated || has_default(field)).into()),
            ("attgenerated", if generated { "s" } else { "" }.into()),
            ("attislocal", true.into()),
            ("attcollation", row.map_or(0, |row| row.collation).into()),
        ])?;
    }
    Ok(())
}

fn has_default(field: &Field) -> bool {
    field.metadata().contains_key(DEFAULT_KEY)
}
