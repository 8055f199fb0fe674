//! `table_constraints`, `check_constraints` and `constraint_column_usage`.
//!
//! NOT NULL is a CHECK to the standard; PostgreSQL names it by OIDs, and so does this file.

use std::sync::Arc;

use catalog::Entry;

use super::standard;
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

/// Visits the constraints of every table that the scan asks for.
fn each_check(
    context: &SystemContext,
    wanted: &Wanted,
    mut visit: impl FnMut(&Arc<Entry>, Check) -> Result<()>,
) -> Result<()> {
    for entry in standard(context, wanted).filter(|entry| entry.table().is_some()) {
        let Some(relation) = context.relation(entry.oid) else { continue };
        let schema = names::schema_oid(context, &entry.schema).unwrap_or_default();
        for (name, check) in &relation.constraints {
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
            visit(entry, Check { name, clause, columns: vec![field.name().clone()], written: false })?;
        }
    }
    Ok(())
}

pub(super) fn table_constraints(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    let catalog = || Value::from(context.session.database.as_str());
    each_check(context, wanted, |entry, check| {
        rows.push([
            ("constraint_catalog", catalog()),
            ("constraint_schema", entry.schema.as_str().into()),
            ("constraint_name", check.name.into()),
            ("table_catalog", catalog()),
            ("table_schema", entry.schema.as_str().into()),
            ("table_name", entry.name.as_str().into()),
            ("constraint_type", "CHECK".into()),
            ("is_deferrable", "NO".into()),
            ("initially_deferred", "NO".into()),
            ("enforced", "YES".into()),
        ])
    })
}

pub(super) fn check_constraints(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
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
    each_check(context, wanted, |entry, check| {
        for column in check.columns.iter().filter(|_| check.written) {
            rows.push([
                ("table_catalog", catalog()),
                ("table_schema", entry.schema.as_str().into()),
                ("table_name", entry.name.as_str().into()),
                ("column_name", column.as_str().into()),
                ("constraint_catalog", catalog()),
                ("constraint_schema", entry.schema.as_str().into()),
                ("constraint_name", check.name.as_str().into()),
            ])?;
        }
        Ok(())
    })
}
