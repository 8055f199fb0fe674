//! What an object is: definitions, comments, arguments of functions.

use catalog::{COMMENT_KEY, Entry};

use super::super::names;
use super::super::rows::Value;
use super::super::tables::{self, dependency};
use super::lookup::{class_oid, nothing};
use super::{Call, Function, strict, value};
use crate::error::Result;

pub(super) static FUNCTIONS: &[Function] = &[
    strict("pg_get_viewdef", 1..=2, "text", view),
    strict("pg_get_ruledef", 1..=2, "text", rule),
    strict("pg_get_expr", 2..=3, "text", |_, a| Ok(value::text(&a[0]).into())),
    strict("pg_get_constraintdef", 1..=2, "text", constraint).reading_relations(),
    strict("pg_get_function_arguments", 1..=1, "text", |call, a| {
        of_model(call, a, tables::arguments)
    }),
    strict("pg_get_function_identity_arguments", 1..=1, "text", |call, a| {
        of_model(call, a, tables::identity_arguments)
    }),
    strict("pg_get_function_result", 1..=1, "text", |call, a| {
        of_model(call, a, tables::result_type)
    }),
    strict("obj_description", 1..=2, "text", object_description),
    strict("col_description", 2..=2, "text", column_description).reading_relations(),
    strict("shobj_description", 2..=2, "text", nothing),
    // What there is none of has no definition.
    strict("pg_get_indexdef", 1..=3, "text", nothing),
    strict("pg_get_triggerdef", 1..=2, "text", nothing),
    strict("pg_get_partkeydef", 1..=1, "text", nothing),
    strict("pg_get_partition_constraintdef", 1..=1, "text", nothing),
    strict("pg_get_statisticsobjdef", 1..=1, "text", nothing),
    strict("pg_get_statisticsobjdef_columns", 1..=1, "text", nothing),
    strict("pg_get_statisticsobjdef_expressions", 1..=1, "text[]", nothing),
    strict("pg_get_serial_sequence", 2..=2, "text", nothing),
    strict("pg_get_function_sqlbody", 1..=1, "text", nothing),
    strict("pg_get_function_arg_default", 2..=2, "text", nothing),
    strict("pg_relation_is_publishable", 1..=1, "boolean", |_, _| Ok(false.into())),
    strict("pg_index_column_has_property", 3..=3, "boolean", nothing),
    strict("pg_sequence_last_value", 1..=1, "bigint", nothing),
    strict("pg_tablespace_location", 1..=1, "text", |_, _| Ok("".into())),
];

/// A view's query as PostgreSQL shows it: with its semicolon.
pub(crate) fn view_definition(entry: &Entry) -> Option<String> {
    let (sql, _) = dependency::query_of(entry)?;
    Some(format!("{};", sql.trim().trim_end_matches(';').trim_end()))
}

/// By OID, or by name.
fn view(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let oid =
        value::oid(&arguments[0]).or_else(|| class_oid(call.context, &value::text(&arguments[0])));
    let entry = oid.and_then(|oid| call.context.relation_entry(oid));
    Ok(entry.and_then(|entry| view_definition(entry)).into())
}

fn rule(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let entry = value::oid(&arguments[0]).and_then(|oid| call.context.relation_entry(oid));
    let text = entry.and_then(|entry| {
        let definition = view_definition(entry)?;
        let name = names::written(call.context, entry);
        Some(format!("CREATE RULE \"_RETURN\" AS ON SELECT TO {name} DO INSTEAD {definition}"))
    });
    Ok(text.into())
}

fn constraint(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let Some(oid) = value::oid(&arguments[0]) else { return Ok(Value::Null) };
    Ok(tables::constraint_definition(call.context, oid, value::flag(arguments.get(1))).into())
}

fn of_model(
    call: &Call<'_>,
    arguments: &[Value],
    say: fn(&super::SystemContext, u32) -> Option<String>,
) -> Result<Value> {
    Ok(value::oid(&arguments[0]).and_then(|oid| say(call.context, oid)).into())
}

/// The comment on a relation, schema or model. The catalog's name, where given, must be its own.
fn object_description(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let Some(oid) = value::oid(&arguments[0]) else { return Ok(Value::Null) };
    let catalog = arguments.get(1).map(value::text);
    let snapshot = &call.context.snapshot;
    let relation = call.context.relation_entry(oid).map(|entry| ("pg_class", entry));
    let schema = || snapshot.schemas().find(|entry| entry.oid == oid).map(|e| ("pg_namespace", e));
    let model =
        || call.context.model_entries().find(|entry| entry.oid == oid).map(|e| ("pg_proc", e));
    let found = relation.or_else(schema).or_else(model);
    let found = found.filter(|(own, _)| catalog.as_ref().is_none_or(|asked| asked == own));
    Ok(found.and_then(|(_, entry)| entry.comment.clone()).into())
}

fn column_description(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let relation = value::oid(&arguments[0]).and_then(|oid| call.context.relation(oid));
    let number = value::int(&arguments[1]).and_then(|number| usize::try_from(number - 1).ok());
    let comment = relation.zip(number).and_then(|(relation, number)| {
        relation.columns.fields().get(number)?.metadata().get(COMMENT_KEY).cloned()
    });
    Ok(comment.into())
}
