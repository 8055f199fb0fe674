//! `table_constraints`, `check_constraints`, `key_column_usage` and `constraint_column_usage`.
//!
//! NOT NULL is a CHECK to the standard; PostgreSQL names it by OIDs, and so does this file.

use std::sync::Arc;

use catalog::Entry;

use super::standard;
use crate::dml::Key;
use crate::error::Result;
use crate::pg_catalog::context::{SystemContext, Wanted};
use crate::pg_catalog::names;
use crate::pg_catalog::rows::{Rows, Value};
use crate::pg_catalog::tables::constraint::checked_columns;

/// A CHECK constraint, written or implied.
struct Check {
    name: String,
    clause: String,
    columns: Vec<String>,
    written: bool,
}

/// Visits the declared key of every table that the scan asks for.
fn each_key(
    context: &SystemContext,
    wanted: &Wanted,
    mut visit: impl FnMut(&Arc<Entry>, &Key) -> Result<()>,
) -> Result<()> {
    for entry in standard(context, wanted).filter(|entry| entry.table().is_some()) {
        let relation = context.relation(entry.oid);
        if let Some(key) = relation.and_then(|relation| Key::of(&relation.options)) {
            visit(entry, &key)?;
        }
    }
    Ok(())
}

/// Visits the constraints of every table that the scan asks for.
fn each_check(
    context: &SystemContext,
    wanted: &Wanted,
    mut visit: impl FnMut(&Arc<Entry>, Check) -> Result<()>,
) -> Result<()> {
    for entry in standard(context, wanted).filter(|entry| entry.table().is_some()) {
        let Some(relation) = context.relation(entry.oid) else { continue };
        let schema = names::schema_oid(context, &entry.schema).unwrap_or_default();
        for (name, check) in relation.constraints.iter() {
            let columns = checked_columns(check, &relation.columns).into_iter();
            let columns = columns.map(|i| relation.columns.field(i).name().clone()).collect();
            let clause = format!("(({check}))");
            visit(entry, Check { name: name.clone(), clause, columns, written: true })?;
        }
        for (number, field) in (1_i32..).zip(relation.columns.fields()) {
            if field.is_nullable() {
                continue;
            }
            let name = format!("{schema}_{}_{number}_not_null", entry.oid);
            let clause = format!("{} IS NOT NULL", names::quote_identifier(field.name()));
            visit(
                entry,
                Check { name, clause, columns: vec![field.name().clone()], written: false },
            )?;
        }
    }
    Ok(())
}

pub(super) fn table_constraints(
    context: &SystemContext,
    wanted: &Wanted,
    rows: &mut Rows,
) -> Result<()> {
    let catalog = || Value::from(context.session.database.as_str());
    let mut push = |entry: &Entry, name: &str, kind: &str, enforced: &str| {
        rows.push([
            ("constraint_catalog", catalog()),
            ("constraint_schema", entry.schema.as_str().into()),
            ("constraint_name", name.into()),
            ("table_catalog", catalog()),
            ("table_schema", entry.schema.as_str().into()),
            ("table_name", entry.name.as_str().into()),
            ("constraint_type", kind.into()),
            ("is_deferrable", "NO".into()),
            ("initially_deferred", "NO".into()),
            ("enforced", enforced.into()),
        ])
    };
    each_key(context, wanted, |entry, key| push(entry, &key.name, "PRIMARY KEY", "NO"))?;
    each_check(context, wanted, |entry, check| push(entry, &check.name, "CHECK", "YES"))
}

pub(super) fn key_column_usage(
    context: &SystemContext,
    wanted: &Wanted,
    rows: &mut Rows,
) -> Result<()> {
    let catalog = || Value::from(context.session.database.as_str());
    each_key(context, wanted, |entry, key| {
        for (position, column) in (1_i32..).zip(&key.columns) {
            rows.push([
                ("constraint_catalog", catalog()),
                ("constraint_schema", entry.schema.as_str().into()),
                ("constraint_name", key.name.as_str().into()),
                ("table_catalog", catalog()),
                ("table_schema", entry.schema.as_str().into()),
                ("table_name", entry.name.as_str().into()),
                ("column_name", column.as_str().into()),
                ("ordinal_position", position.into()),
            ])?;
        }
        Ok(())
    })
}

pub(super) fn check_constraints(
    context: &SystemContext,
    wanted: &Wanted,
    rows: &mut Rows,
) -> Result<()> {
    each_check(context, wanted, |entry, check| {
        rows.push([
            ("constraint_catalog", context.session.database.as_str().into()),
            ("constraint_schema", entry.schema.as_str().into()),
            ("constraint_name", check.name.into()),
            ("check_clause", check.clause.into()),
        ])
    })
}

pub(super) fn constraint_column_usage(
    context: &SystemContext,
    wanted: &Wanted,
    rows: &mut Rows,
) -> Result<()> {
    let catalog = || Value::from(context.session.database.as_str());
    let mut push = |entry: &Entry, name: &str, columns: &[String]| {
        columns.iter().try_for_each(|column| {
            rows.push([
                ("table_catalog", catalog()),
                ("table_schema", entry.schema.as_str().into()),
                ("table_name", entry.name.as_str().into()),
                ("column_name", column.as_str().into()),
                ("constraint_catalog", catalog()),
                ("constraint_schema", entry.schema.as_str().into()),
                ("constraint_name", name.into()),
            ])
        })
    };
    each_key(context, wanted, |entry, key| push(entry, &key.name, &key.columns))?;
    each_check(context, wanted, |entry, check| match check.written {
        true => push(entry, &check.name, &check.columns),
        false => Ok(()),
    })
}
