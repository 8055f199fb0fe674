//! `pg_constraint`, `pg_index` and `pg_attrdef`: CHECK constraints, declared keys and defaults.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use arrow::datatypes::Schema;
use catalog::DEFAULT_KEY;
use datafusion::sql::sqlparser::ast::{Expr, Ident, visit_expressions};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::super::context::{SystemContext, Wanted};
use super::super::names;
use super::super::rows::{Rows, Value};
use super::attribute::GENERATED_KEY;
use crate::dml::Key;
use crate::error::Result;

/// The number of a table's key; those of CHECK constraints come after it.
const KEY_NUMBER: u32 = 0;

pub(crate) fn pg_constraint(
    context: &SystemContext,
    wanted: &Wanted,
    rows: &mut Rows,
) -> Result<()> {
    for entry in context.relation_entries().filter(|entry| wanted.includes(entry)) {
        let Some(relation) = context.relation(entry.oid) else { continue };
        let schema = names::schema_oid(context, &entry.schema).unwrap_or_default();
        if let Some(key) = Key::of(&relation.options) {
            let oid = names::constraint_oid(entry.oid, KEY_NUMBER);
            rows.push([
                ("oid", oid.into()),
                ("conindid", oid.into()),
                ("conname", key.name.as_str().into()),
                ("connamespace", schema.into()),
                ("contype", "p".into()),
                ("convalidated", false.into()),
                ("conrelid", entry.oid.into()),
                ("confupdtype", " ".into()),
                ("confdeltype", " ".into()),
                ("confmatchtype", " ".into()),
                ("conislocal", true.into()),
                ("conkey", key_columns(&key, &relation.columns).into()),
            ])?;
        }
        for (number, (name, check)) in (1_u32..).zip(relation.constraints.iter()) {
            rows.push([
                ("oid", names::constraint_oid(entry.oid, number).into()),
                ("conname", name.as_str().into()),
                ("connamespace", schema.into()),
                ("contype", "c".into()),
                ("convalidated", true.into()),
                ("conrelid", entry.oid.into()),
                ("confupdtype", " ".into()),
                ("confdeltype", " ".into()),
                ("confmatchtype", " ".into()),
                ("conislocal", true.into()),
                ("conkey", column_numbers(check, &relation.columns).into()),
                ("conbin", check.as_str().into()),
            ])?;
        }
    }
    Ok(())
}

/// Drivers look for a key's columns in its index. There are no indexes, and no relations that are one; but
/// what tells of a key's columns is there.
pub(crate) fn pg_index(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.relation_entries().filter(|entry| wanted.includes(entry)) {
        let Some(relation) = context.relation(entry.oid) else { continue };
        let Some(key) = Key::of(&relation.options) else { continue };
        let columns = key_columns(&key, &relation.columns);
        let count = i16::try_from(columns.len()).unwrap_or(i16::MAX);
        rows.push([
            ("indexrelid", names::constraint_oid(entry.oid, KEY_NUMBER).into()),
            ("indrelid", entry.oid.into()),
            ("indnatts", count.into()),
            ("indnkeyatts", count.into()),
            ("indisprimary", true.into()),
            ("indimmediate", true.into()),
            ("indisvalid", true.into()),
            ("indisready", true.into()),
            ("indislive", true.into()),
            ("indkey", columns.into()),
        ])?;
    }
    Ok(())
}

/// The columns of a key, as `conkey` numbers them.
fn key_columns(key: &Key, schema: &Schema) -> Vec<i16> {
    let indexes = key.columns.iter().filter_map(|name| schema.index_of(name).ok());
    indexes.map(column_number).collect()
}

pub(crate) fn pg_attrdef(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.relation_entries().filter(|entry| wanted.includes(entry)) {
        let Some(relation) = context.relation(entry.oid) else { continue };
        for (number, field) in (1_u32..).zip(relation.columns.fields()) {
            let metadata = field.metadata();
            let Some(text) = metadata.get(DEFAULT_KEY).or_else(|| metadata.get(GENERATED_KEY))
            else {
                continue;
            };
            rows.push([
                ("oid", names::default_oid(entry.oid, number).into()),
                ("adrelid", entry.oid.into()),
                ("adnum", Value::Int(number.into())),
                ("adbin", text.as_str().into()),
            ])?;
        }
    }
    Ok(())
}

/// What `pg_get_constraintdef` says of the constraint with this OID.
pub(crate) fn constraint_definition(
    context: &SystemContext,
    oid: u32,
    pretty: bool,
) -> Option<String> {
    context.relation_entries().find_map(|entry| {
        let relation = context.relation(entry.oid)?;
        if names::constraint_oid(entry.oid, KEY_NUMBER) == oid {
            let key = Key::of(&relation.options)?;
            let columns = key.columns.iter().map(|name| names::quote_identifier(name));
            let columns: Vec<_> = columns.collect();
            return Some(format!("PRIMARY KEY ({}) NOT ENFORCED", columns.join(", ")));
        }
        let found = (1_u32..)
            .zip(relation.constraints.values())
            .find(|(number, _)| names::constraint_oid(entry.oid, *number) == oid);
        let (_, check) = found?;
        // PostgreSQL keeps the parentheses of the expression itself unless asked for less.
        Some(if pretty { format!("CHECK ({check})") } else { format!("CHECK (({check}))") })
    })
}

/// The columns that a CHECK reads, as `conkey` numbers them.
pub(crate) fn checked_columns(check: &str, schema: &Schema) -> BTreeSet<usize> {
    let parsed = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(check)
        .and_then(|mut parser| parser.parse_expr());
    let mut found = BTreeSet::new();
    let Ok(parsed) = parsed else { return found };
    let _ = visit_expressions(&parsed, |expr| {
        if let Expr::Identifier(ident) = expr
            && let Ok(index) = schema.index_of(&folded(ident))
        {
            found.insert(index);
        }
        ControlFlow::<()>::Continue(())
    });
    found
}

fn column_numbers(check: &str, schema: &Schema) -> Vec<i16> {
    let indexes = checked_columns(check, schema);
    indexes.into_iter().map(column_number).collect()
}

/// As `conkey` numbers a column.
fn column_number(index: usize) -> i16 {
    i16::try_from(index + 1).unwrap_or(i16::MAX)
}

fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}
