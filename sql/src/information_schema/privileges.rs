//! Who may do what: the owner everything, until there are grants.

use super::standard;
use crate::error::Result;
use crate::pg_catalog::context::{SystemContext, Wanted};
use crate::pg_catalog::rows::{Rows, Value};

const OF_TABLES: [&str; 7] =
    ["INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];
const OF_COLUMNS: [&str; 4] = ["INSERT", "SELECT", "UPDATE", "REFERENCES"];

pub(super) fn table_privileges(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in standard(context, wanted) {
        for privilege in OF_TABLES {
            rows.push([
                ("grantor", entry.owner.as_str().into()),
                ("grantee", entry.owner.as_str().into()),
                ("table_catalog", context.session.database.as_str().into()),
                ("table_schema", entry.schema.as_str().into()),
                ("table_name", entry.name.as_str().into()),
                ("privilege_type", privilege.into()),
                ("is_grantable", "YES".into()),
                ("with_hierarchy", if privilege == "SELECT" { "YES" } else { "NO" }.into()),
            ])?;
        }
    }
    Ok(())
}

pub(super) fn column_privileges(context: &SystemContext, wanted: &Wanted, rows: &mut Rows) -> Result<()> {
    for entry in standard(context, wanted) {
        let Some(relation) = context.relation(entry.oid) else { continue };
        for (field, privilege) in
            relation.columns.fields().iter().flat_map(|field| OF_COLUMNS.map(|p| (field, p)))
        {
            rows.push([
                ("grantor", entry.owner.as_str().into()),
                ("grantee", entry.owner.as_str().into()),
                ("table_catalog", context.session.database.as_str().into()),
                ("table_schema", entry.schema.as_str().into()),
                ("table_name", entry.name.as_str().into()),
                ("column_name", field.name().as_str().into()),
                ("privilege_type", privilege.into()),
                ("is_grantable", "YES".into()),
            ])?;
        }
    }
    Ok(())
}

pub(super) fn routine_privileges(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    let catalog = || Value::from(context.session.database.as_str());
    for entry in context.model_entries() {
        rows.push([
            ("grantor", entry.owner.as_str().into()),
            ("grantee", entry.owner.as_str().into()),
            ("specific_catalog", catalog()),
            ("specific_schema", entry.schema.as_str().into()),
            ("specific_name", super::routines::specific_name(entry).into()),
            ("routine_catalog", catalog()),
            ("routine_schema", entry.schema.as_str().into()),
            ("routine_name", entry.name.as_str().into()),
            ("privilege_type", "EXECUTE".into()),
            ("is_grantable", "YES".into()),
        ])?;
    }
    Ok(())
}

pub(super) fn enabled_roles(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    context.roles().into_iter().try_for_each(|role| rows.push([("role_name", role.into())]))
}
