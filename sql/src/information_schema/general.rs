//! `schemata`, `tables`, `views`, and the views about names, character sets and collations.

use catalog::Definition;

use super::{standard, yes_or_no};
use crate::error::Result;
use crate::pg_catalog::context::{SystemContext, TEMPORARY_SCHEMA, Wanted};
use crate::pg_catalog::functions::view_definition;
use crate::pg_catalog::relations;
use crate::pg_catalog::rows::{Rows, Value};
use crate::pg_catalog::tables::dependency;

pub(super) fn catalog_name(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    rows.push([("catalog_name", context.session.database.as_str().into())])
}

pub(super) fn schemata(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    let user = context.system_owner();
    let fixed = [("pg_catalog", user), ("information_schema", user), ("tarn", user)];
    let temporary = (!context.temporary.is_empty()).then_some((TEMPORARY_SCHEMA, user));
    let own = context.snapshot.schemas().map(|entry| (entry.name.as_str(), entry.owner.as_str()));
    for (name, owner) in fixed.into_iter().chain(temporary).chain(own) {
        rows.push([
            ("catalog_name", context.session.database.as_str().into()),
            ("schema_name", name.into()),
            ("schema_owner", owner.into()),
        ])?;
    }
    Ok(())
}

pub(super) fn tables(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in standard(context, wanted) {
        let view = matches!(entry.definition, Definition::View { .. });
        let kind = match (view, entry.schema == TEMPORARY_SCHEMA) {
            (true, _) => "VIEW",
            (false, true) => "LOCAL TEMPORARY",
            (false, false) => "BASE TABLE",
        };
        let external = matches!(entry.definition, Definition::ExternalTable(_));
        table(context, rows, (&entry.schema, &entry.name), kind, !view && !external)?;
    }
    for system in relations::all().iter().filter(|system| system.oid != 0) {
        let kind = if system.kind == "v" { "VIEW" } else { "BASE TABLE" };
        table(context, rows, (system.schema, system.name), kind, false)?;
    }
    Ok(())
}

fn table(
    context: &SystemContext,
    rows: &mut Rows,
    (schema, name): (&str, &str),
    kind: &str,
    insertable: bool,
) -> Result<()> {
    rows.push([
        ("table_catalog", context.session.database.as_str().into()),
        ("table_schema", schema.into()),
        ("table_name", name.into()),
        ("table_type", kind.into()),
        ("is_insertable_into", yes_or_no(insertable).into()),
        ("is_typed", "NO".into()),
    ])
}

pub(super) fn views(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    let own = standard(context, wanted).filter_map(|entry| {
        Some((entry.schema.as_str(), entry.name.as_str(), view_definition(entry)?))
    });
    let views = relations::all().iter().filter(|system| system.kind == "v");
    // Views of the system are computed, not queries: they have no text.
    let system = views.map(|system| (system.schema, system.name, String::new()));
    for (schema, name, definition) in own.chain(system) {
        let definition = Some(definition).filter(|text| !text.is_empty());
        rows.push([
            ("table_catalog", context.session.database.as_str().into()),
            ("table_schema", schema.into()),
            ("table_name", name.into()),
            ("view_definition", definition.into()),
            ("check_option", "NONE".into()),
            ("is_updatable", "NO".into()),
            ("is_insertable_into", "NO".into()),
            ("is_trigger_updatable", "NO".into()),
            ("is_trigger_deletable", "NO".into()),
            ("is_trigger_insertable_into", "NO".into()),
        ])?;
    }
    Ok(())
}

pub(super) fn view_table_usage(
    context: &SystemContext,
    wanted: &Wanted,
    rows: &mut Rows,
) -> Result<()> {
    let catalog = || Value::from(context.session.database.as_str());
    for view in standard(context, wanted) {
        for input in dependency::inputs(context, view) {
            let Some(table) = context.relation_entry(input) else { continue };
            rows.push([
                ("view_catalog", catalog()),
                ("view_schema", view.schema.as_str().into()),
                ("view_name", view.name.as_str().into()),
                ("table_catalog", catalog()),
                ("table_schema", table.schema.as_str().into()),
                ("table_name", table.name.as_str().into()),
            ])?;
        }
    }
    Ok(())
}

pub(super) fn character_sets(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    rows.push([
        ("character_set_name", "UTF8".into()),
        ("character_repertoire", "UCS".into()),
        ("form_of_use", "UTF8".into()),
        ("default_collate_catalog", context.session.database.as_str().into()),
        ("default_collate_schema", "pg_catalog".into()),
        ("default_collate_name", "C".into()),
    ])
}

pub(super) fn collations(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    for name in ["default", "C", "POSIX"] {
        rows.push([
            ("collation_catalog", context.session.database.as_str().into()),
            ("collation_schema", "pg_catalog".into()),
            ("collation_name", name.into()),
            ("pad_attribute", "NO PAD".into()),
        ])?;
    }
    Ok(())
}

pub(super) fn collation_applicability(
    context: &SystemContext,
    _: &Wanted,
    rows: &mut Rows,
) -> Result<()> {
    for name in ["default", "C", "POSIX"] {
        rows.push([
            ("collation_catalog", context.session.database.as_str().into()),
            ("collation_schema", "pg_catalog".into()),
            ("collation_name", name.into()),
            ("character_set_name", "UTF8".into()),
        ])?;
    }
    Ok(())
}
