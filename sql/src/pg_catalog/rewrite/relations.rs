//! Names in FROM: the database before a system schema, and functions that are tables here.

use datafusion::sql::sqlparser::ast::{ObjectName, TableFactor};

use super::super::relations;
use super::build;

/// `db.information_schema.tables` is `information_schema.tables`: there is one database.
pub(super) fn strip_database(relation: &mut ObjectName) {
    let parts = build::parts(relation);
    if let Some([_, schema, _]) = parts.as_deref()
        && build::system_schema(schema)
    {
        relation.0.remove(0);
    }
}

/// `FROM pg_get_keywords()` reads a relation of the system; `FROM pg_catalog.f()` calls `f`.
pub(super) fn system_call(factor: &mut TableFactor) {
    let TableFactor::Table { name, args, .. } = factor else { return };
    let Some(called) = args.as_ref() else { return };
    let Some(function) = build::function_name(name) else { return };
    let relation = relations::find("pg_catalog", &function).filter(|relation| relation.kind == "f");
    if relation.is_some() && called.args.is_empty() {
        *args = None;
    } else if name.0.len() > 1 {
        build::keep_last(name);
    }
}

/// Whether a relation in FROM is the system's own.
pub(super) fn system_relation(factor: &TableFactor) -> bool {
    let TableFactor::Table { name, args: None, .. } = factor else { return false };
    match build::parts(name).as_deref() {
        Some([table]) => relations::find("pg_catalog", table).is_some(),
        Some([schema, table]) => relations::find(schema, table).is_some(),
        _ => false,
    }
}
