//! Names in FROM: the database before a system schema, and functions that are tables here.

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, FunctionArg, FunctionArgExpr, ObjectName, TableFactor,
};

use super::super::relations::{self, SystemRelation};
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
    let Some(called) = args.as_mut() else { return };
    let Some(function) = build::function_name(name) else { return };
    if function == "unnest" {
        *factor = unnest(factor);
        return;
    }
    let relation = relations::find("pg_catalog", &function).filter(|relation| relation.kind == "f");
    if function == "generate_series" {
        called.args.iter_mut().for_each(widened);
    }
    if relation.is_some() && called.args.is_empty() {
        *args = None;
    } else if name.0.len() > 1 {
        build::keep_last(name);
    }
}

/// The bounds of an array as `bigint`, which is what the planner's generate_series counts in.
fn widened(argument: &mut FunctionArg) {
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else { return };
    let Expr::Function(function) = &*expr else { return };
    let name = build::function_name(&function.name);
    if matches!(
        name.as_deref(),
        Some("array_upper" | "array_lower" | "array_length" | "cardinality")
    ) {
        let (kind, data_type) = (CastKind::DoubleColon, DataType::BigInt(None));
        let inner = Box::new(build::take(expr));
        *expr = Expr::Cast { kind, expr: inner, data_type, array: false, format: None };
    }
}

/// `FROM pg_catalog.unnest(a) x` as the parser reads `FROM unnest(a) x`.
fn unnest(factor: &TableFactor) -> TableFactor {
    let TableFactor::Table { alias, args: Some(called), with_ordinality, .. } = factor else {
        return factor.clone();
    };
    let arguments = called.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    let Some(array_exprs) = arguments.collect() else { return factor.clone() };
    TableFactor::UNNEST {
        alias: alias.clone(),
        array_exprs,
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: *with_ordinality,
    }
}

/// The relation of the system that stands in FROM, if one does.
pub(super) fn system_relation(factor: &TableFactor) -> Option<&'static SystemRelation> {
    let TableFactor::Table { name, args: None, .. } = factor else { return None };
    match build::parts(name)?.as_slice() {
        [table] => relations::find("pg_catalog", table),
        [schema, table] => relations::find(schema, table),
        _ => None,
    }
}
