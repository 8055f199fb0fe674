//! `pg_namespace`: schemas.

use super::super::context::{SystemContext, TEMPORARY_SCHEMA, Wanted};
use super::super::names;
use super::super::rows::Rows;
use crate::error::Result;

pub(super) fn pg_namespace(context: &SystemContext, _: &Wanted, rows: &mut Rows) -> Result<()> {
    let user = context.system_owner();
    let mut push = |oid: u32, name: &str, owner: &str| {
        rows.push([
            ("oid", oid.into()),
            ("nspname", name.into()),
            ("nspowner", names::role_oid(owner).into()),
        ])
    };
    push(names::PG_CATALOG, "pg_catalog", user)?;
    push(names::INFORMATION_SCHEMA, "information_schema", user)?;
    push(names::TARN, "tarn", user)?;
    if !context.temporary.is_empty() {
        push(names::TEMPORARY, TEMPORARY_SCHEMA, user)?;
    }
    for schema in context.snapshot.schemas() {
        push(schema.oid, &schema.name, &schema.owner)?;
    }
    Ok(())
}
