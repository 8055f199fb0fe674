//! `columns`, `element_types` and `column_udt_usage`.

use arrow::datatypes::Field;
use catalog::{DEFAULT_KEY, Definition};

use super::{standard, yes_or_no};
use crate::error::Result;
use crate::pg_catalog::context::{SystemContext, Wanted};
use crate::pg_catalog::relations;
use crate::pg_catalog::rows::Rows;
use crate::pg_catalog::tables::attribute::GENERATED_KEY;
use crate::types::{self, PgType};

/// What PostgreSQL says of text without a limit.
const OCTETS_MAX: i32 = 1 << 30;
/// Bytes of the longest character in UTF-8.
const CHARACTER_BYTES_MAX: i32 = 4;

/// A column, and where it stands.
struct Column<'a> {
    schema: &'a str,
    table: &'a str,
    number: i32,
    field: &'a Field,
    updatable: bool,
}

/// Visits the columns of every relation that the standard knows and the scan asks for.
fn each_column(
    context: &SystemContext,
    wanted: &Wanted,
    mut visit: impl FnMut(Column<'_>) -> Result<()>,
) -> Result<()> {
    for entry in standard(context, wanted) {
        let Some(relation) = context.relation(entry.oid) else { continue };
        let updatable = matches!(entry.definition, Definition::Table(_));
        for (number, field) in (1_i32..).zip(relation.columns.fields()) {
            visit(Column { schema: &entry.schema, table: &entry.name, number, field, updatable })?;
        }
    }
    let asked = |name: &str| wanted.names.as_ref().is_none_or(|names| names.contains(name));
    for system in relations::all().iter().filter(|system| system.oid != 0 && asked(system.name)) {
        for (number, field) in (1_i32..).zip(system.columns.fields()) {
            let (schema, table) = (system.schema, system.name);
            visit(Column { schema, table, number, field, updatable: false })?;
        }
    }
    Ok(())
}

pub(super) fn columns(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    let catalog = context.session.database.as_str();
    each_column(context, wanted, |column| {
        let metadata = column.field.metadata();
        let pg_type = types::pg_type_of(column.field);
        let sizes = Sizes::of(&pg_type);
        let generated = metadata.get(GENERATED_KEY);
        rows.push([
            ("table_catalog", catalog.into()),
            ("table_schema", column.schema.into()),
            ("table_name", column.table.into()),
            ("column_name", column.field.name().as_str().into()),
            ("ordinal_position", column.number.into()),
            ("column_default", metadata.get(DEFAULT_KEY).cloned().into()),
            ("is_nullable", yes_or_no(column.field.is_nullable()).into()),
            ("data_type", data_type(&pg_type).into()),
            ("character_maximum_length", sizes.characters.into()),
            ("character_octet_length", sizes.octets.into()),
            ("numeric_precision", sizes.precision.into()),
            ("numeric_precision_radix", sizes.radix.into()),
            ("numeric_scale", sizes.scale.into()),
            ("datetime_precision", sizes.time_digits.into()),
            ("udt_catalog", catalog.into()),
            ("udt_schema", "pg_catalog".into()),
            ("udt_name", pg_type.name.into()),
            ("dtd_identifier", column.number.to_string().into()),
            ("is_self_referencing", "NO".into()),
            ("is_identity", "NO".into()),
            ("identity_cycle", "NO".into()),
            ("is_generated", if generated.is_some() { "ALWAYS" } else { "NEVER" }.into()),
            ("generation_expression", generated.cloned().into()),
            ("is_updatable", yes_or_no(column.updatable && generated.is_none()).into()),
        ])
    })
}

pub(super) fn element_types(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    let catalog = context.session.database.as_str();
    each_column(context, wanted, |column| {
        let pg_type = types::pg_type_of(column.field);
        let Some(element) = types::by_oid(pg_type.element_oid) else { return Ok(()) };
        rows.push([
            ("object_catalog", catalog.into()),
            ("object_schema", column.schema.into()),
            ("object_name", column.table.into()),
            ("object_type", "TABLE".into()),
            ("collection_type_identifier", column.number.to_string().into()),
            ("data_type", data_type(&element).into()),
            ("udt_catalog", catalog.into()),
            ("udt_schema", "pg_catalog".into()),
            ("udt_name", element.name.into()),
            ("dtd_identifier", format!("a{}", column.number).into()),
        ])
    })
}

pub(super) fn column_udt_usage(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    let catalog = context.session.database.as_str();
    each_column(context, wanted, |column| {
        rows.push([
            ("udt_catalog", catalog.into()),
            ("udt_schema", "pg_catalog".into()),
            ("udt_name", types::pg_type_of(column.field).name.into()),
            ("table_catalog", catalog.into()),
            ("table_schema", column.schema.into()),
            ("table_name", column.table.into()),
            ("column_name", column.field.name().as_str().into()),
        ])
    })
}

/// The type's name as the standard's views write it.
pub(super) fn data_type(pg_type: &PgType) -> String {
    if pg_type.array() { "ARRAY".to_owned() } else { pg_type.format_bare() }
}

/// How long or precise the values of a type are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sizes {
    characters: Option<i32>,
    octets: Option<i32>,
    precision: Option<i32>,
    radix: Option<i32>,
    scale: Option<i32>,
    time_digits: Option<i32>,
}

impl Sizes {
    fn of(pg_type: &PgType) -> Self {
        let exact = |precision| Self {
            precision: Some(precision),
            radix: Some(2),
            scale: Some(0),
            ..Self::default()
        };
        let float = |precision| Self { precision: Some(precision), radix: Some(2), ..Self::default() };
        let time = |digits| Self { time_digits: Some(digits), ..Self::default() };
        match pg_type.name {
            "int2" => exact(16),
            "int4" => exact(32),
            "int8" => exact(64),
            "float4" => float(24),
            "float8" => float(53),
            "numeric" => {
                let digits = types::numeric_precision_scale(pg_type.modifier);
                Self {
                    precision: digits.map(|(precision, _)| precision),
                    radix: Some(10),
                    scale: digits.map(|(_, scale)| scale),
                    ..Self::default()
                }
            }
            "text" | "varchar" | "bpchar" => {
                let characters = types::character_length(pg_type.modifier);
                let octets = characters.map_or(OCTETS_MAX, |n| n.saturating_mul(CHARACTER_BYTES_MAX));
                Self { characters, octets: Some(octets), ..Self::default() }
            }
            "date" => time(0),
            "time" | "timetz" | "timestamp" | "timestamptz" | "interval" => {
                time(if pg_type.modifier < 0 { 6 } else { pg_type.modifier })
            }
            _ => Self::default(),
        }
    }
}
