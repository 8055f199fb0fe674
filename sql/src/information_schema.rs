//! `information_schema`: the SQL standard's view of the catalog, with PostgreSQL's columns.
//!
//! Never: materialized views, which the standard does not know; they are in `pg_catalog` alone, as
//! in PostgreSQL.

mod columns;
mod constraints;
mod general;
mod privileges;
mod routines;

use std::sync::Arc;

use catalog::{Definition, Entry};

use crate::pg_catalog::context::{SystemContext, Wanted};
use crate::pg_catalog::provider::Keys;
use crate::pg_catalog::tables::{Source, by_name, computed, of_tables};

/// How the rows of a relation come about; none for one that is empty or unknown.
pub(crate) fn source(name: &str) -> Option<Source> {
    const TABLE: Keys = by_name("table_schema", "table_name");
    Some(match name {
        "character_sets" => computed(general::character_sets),
        "check_constraints" => of_tables(constraints::check_constraints, NO_KEYS),
        "collation_character_set_applicability" => computed(general::collation_applicability),
        "collations" => computed(general::collations),
        "column_privileges" => of_tables(privileges::column_privileges, TABLE),
        "column_udt_usage" => of_tables(columns::column_udt_usage, TABLE),
        "columns" => of_tables(columns::columns, TABLE),
        "constraint_column_usage" => of_tables(constraints::constraint_column_usage, TABLE),
        "element_types" => {
            of_tables(columns::element_types, by_name("object_schema", "object_name"))
        }
        "enabled_roles" => computed(privileges::enabled_roles),
        "information_schema_catalog_name" => computed(general::catalog_name),
        "key_column_usage" => of_tables(constraints::key_column_usage, TABLE),
        "parameters" => computed(routines::parameters),
        "role_table_grants" | "table_privileges" => computed(privileges::table_privileges),
        "routine_privileges" => computed(privileges::routine_privileges),
        "routines" => computed(routines::routines),
        "schemata" => computed(general::schemata),
        "table_constraints" => of_tables(constraints::table_constraints, TABLE),
        "tables" => computed(general::tables),
        "view_table_usage" => computed(general::view_table_usage),
        "views" => computed(general::views),
        _ => return None,
    })
}

const NO_KEYS: Keys = crate::pg_catalog::tables::NO_KEYS;

/// The relations that the standard knows, of those that a scan asks for: tables and views.
fn standard<'a>(
    context: &'a SystemContext,
    wanted: &'a Wanted,
) -> impl Iterator<Item = &'a Arc<Entry>> {
    let known = |entry: &&Arc<Entry>| {
        !matches!(entry.definition, Definition::MaterializedView { .. }) && wanted.includes(entry)
    };
    context.relation_entries().filter(known)
}

/// A boolean as the standard writes it.
const fn yes_or_no(yes: bool) -> &'static str {
    if yes { "YES" } else { "NO" }
}
