//! `routines` and `parameters`: models. The server's own functions are in `pg_proc` alone.

use arrow::datatypes::Field;
use catalog::{ColumnEntry, Definition, Entry};

use super::columns::data_type;
use crate::error::Result;
use crate::pg_catalog::context::{SystemContext, Wanted};
use crate::pg_catalog::rows::{Rows, Value};
use crate::types;

/// The name that tells routines of one name apart.
pub(super) fn specific_name(entry: &Entry) -> String {
    format!("{}_{}", entry.name, entry.oid)
}

pub(super) fn routines(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    let catalog = || Value::from(context.session.database.as_str());
    for entry in context.model_entries() {
        let Definition::Model { outputs, .. } = &entry.definition else { continue };
        let result = match outputs.as_slice() {
            [only] => types::pg_type_of(&Field::from(only)),
            _ => types::record_type(),
        };
        rows.push([
            ("specific_catalog", catalog()),
            ("specific_schema", entry.schema.as_str().into()),
            ("specific_name", specific_name(entry).into()),
            ("routine_catalog", catalog()),
            ("routine_schema", entry.schema.as_str().into()),
            ("routine_name", entry.name.as_str().into()),
            ("routine_type", "FUNCTION".into()),
            ("data_type", data_type(&result).into()),
            ("type_udt_catalog", catalog()),
            ("type_udt_schema", "pg_catalog".into()),
            ("type_udt_name", result.name.into()),
            ("dtd_identifier", "0".into()),
            ("routine_body", "EXTERNAL".into()),
            ("external_language", "MODEL".into()),
            ("parameter_style", "GENERAL".into()),
            ("is_deterministic", "YES".into()),
            ("is_null_call", "NO".into()),
            ("schema_level_routine", "YES".into()),
            ("security_type", "INVOKER".into()),
            ("is_udt_dependent", "NO".into()),
        ])?;
    }
    Ok(())
}

pub(super) fn parameters(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in context.model_entries() {
        let Definition::Model { inputs, outputs, .. } = &entry.definition else { continue };
        let several = outputs.len() > 1;
        let taken = inputs.iter().map(|column| ("IN", column));
        let yielded = outputs.iter().filter(|_| several).map(|column| ("OUT", column));
        for (number, (mode, column)) in (1_i32..).zip(taken.chain(yielded)) {
            parameter(context, entry, (number, mode), column, rows)?;
        }
    }
    Ok(())
}

fn parameter(
    context: &SystemContext,
    entry: &Entry,
    (number, mode): (i32, &str),
    column: &ColumnEntry,
    rows: &mut Rows,
) -> Result<()> {
    let catalog = || Value::from(context.session.database.as_str());
    let pg_type = types::pg_type_of(&Field::from(column));
    rows.push([
        ("specific_catalog", catalog()),
        ("specific_schema", entry.schema.as_str().into()),
        ("specific_name", specific_name(entry).into()),
        ("ordinal_position", number.into()),
        ("parameter_mode", mode.into()),
        ("is_result", "NO".into()),
        ("as_locator", "NO".into()),
        ("parameter_name", column.name.as_str().into()),
        ("data_type", data_type(&pg_type).into()),
        ("udt_catalog", catalog()),
        ("udt_schema", "pg_catalog".into()),
        ("udt_name", pg_type.name.into()),
        ("dtd_identifier", number.to_string().into()),
    ])
}
