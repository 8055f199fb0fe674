//! Names to OIDs and back: `to_regclass`, the `reg...` casts, `format_type`, visibility.
//!
//! `regclass(x)` and its kin are what `rewrite` makes of `x::regclass`: a name becomes an OID, or
//! an error; an OID stays one. `regclass_text(x)` is the name again, as the cast to text shows it.

use std::sync::Arc;

use catalog::{Definition, Entry};

use super::super::context::{SystemContext, TEMPORARY_SCHEMA};
use super::super::rows::Value;
use super::super::tables::data_type;
use super::super::{names, relations};
use super::{Call, Function, strict, value};
use crate::error::{Error, Result, state};
use crate::types;

pub(super) static FUNCTIONS: &[Function] = &[
    strict("regclass", 1..=1, "regclass", |call, a| cast(call, a, class_oid, missing_class)),
    strict("regtype", 1..=1, "regtype", |call, a| cast(call, a, type_oid, missing_type)),
    strict("regproc", 1..=1, "regproc", |call, a| cast(call, a, function_oid, missing_function)),
    strict("regprocedure", 1..=1, "regprocedure", |call, a| {
        cast(call, a, function_oid, missing_function)
    }),
    strict("regnamespace", 1..=1, "regnamespace", |call, a| {
        cast(call, a, schema_oid, missing_schema)
    }),
    strict("regrole", 1..=1, "regrole", |call, a| cast(call, a, role_oid, missing_role)),
    strict("to_regclass", 1..=1, "regclass", |call, a| {
        Ok(class_oid(call.context, &value::text(&a[0])).into())
    }),
    strict("to_regtype", 1..=1, "regtype", |call, a| {
        Ok(type_oid(call.context, &value::text(&a[0])).into())
    }),
    strict("to_regproc", 1..=1, "regproc", |call, a| {
        Ok(function_oid(call.context, &value::text(&a[0])).into())
    }),
    strict("to_regnamespace", 1..=1, "regnamespace", |call, a| {
        Ok(schema_oid(call.context, &value::text(&a[0])).into())
    }),
    strict("to_regrole", 1..=1, "regrole", |call, a| {
        Ok(role_oid(call.context, &value::text(&a[0])).into())
    }),
    strict("regclass_text", 1..=1, "text", |call, a| {
        Ok(shown(a, |oid| class_name(call.context, oid)))
    }),
    strict("regtype_text", 1..=1, "text", |_, a| Ok(shown(a, |oid| Some(type_text(oid, -1))))),
    strict("regproc_text", 1..=1, "text", |call, a| {
        Ok(shown(a, |oid| function_text(call.context, oid)))
    }),
    strict("regprocedure_text", 1..=1, "text", |call, a| {
        Ok(shown(a, |oid| function_text(call.context, oid)))
    }),
    strict("regnamespace_text", 1..=1, "text", |call, a| {
        Ok(shown(a, |oid| names::schema_name(call.context, oid).map(names::quote_identifier)))
    }),
    strict("regrole_text", 1..=1, "text", |call, a| {
        Ok(shown(a, |oid| role_name(call.context, oid).map(names::quote_identifier)))
    }),
    strict("pg_get_userbyid", 1..=1, "name", user_by_id),
    strict("format_type", 2..=2, "text", format_type).taking_null(),
    strict("pg_typeof", 1..=1, "regtype", |call, _| {
        Ok(types::pg_type_of(&call.fields[0]).oid.into())
    })
    .taking_null(),
    strict("pg_table_is_visible", 1..=1, "boolean", table_is_visible),
    strict("pg_type_is_visible", 1..=1, "boolean", |_, a| {
        Ok(known(a, |oid| types::by_oid(oid).is_some()))
    }),
    strict("pg_function_is_visible", 1..=1, "boolean", function_is_visible),
    strict("pg_collation_is_visible", 1..=1, "boolean", |_, _| Ok(true.into())),
    strict("pg_operator_is_visible", 1..=1, "boolean", nothing),
    strict("pg_opclass_is_visible", 1..=1, "boolean", nothing),
    strict("pg_opfamily_is_visible", 1..=1, "boolean", nothing),
    strict("pg_conversion_is_visible", 1..=1, "boolean", nothing),
    strict("pg_statistics_obj_is_visible", 1..=1, "boolean", nothing),
    strict("pg_ts_config_is_visible", 1..=1, "boolean", nothing),
    strict("pg_ts_dict_is_visible", 1..=1, "boolean", nothing),
    strict("pg_ts_parser_is_visible", 1..=1, "boolean", nothing),
    strict("pg_ts_template_is_visible", 1..=1, "boolean", nothing),
];

/// There are no objects of the kind that the function asks about.
pub(super) fn nothing(_: &Call<'_>, _: &[Value]) -> Result<Value> {
    Ok(Value::Null)
}

/// `'name'::regclass` or `oid::regclass`: an OID either way.
fn cast(
    call: &Call<'_>,
    arguments: &[Value],
    find: fn(&SystemContext, &str) -> Option<u32>,
    missing: fn(&str) -> Error,
) -> Result<Value> {
    match &arguments[0] {
        Value::Int(oid) => Ok(Value::Int(*oid)),
        other => {
            let text = value::text(other);
            let digits = text.parse::<u32>().ok().or_else(|| (text == "-").then_some(0));
            let found = digits.or_else(|| find(call.context, &text));
            found.map(Value::from).ok_or_else(|| missing(&text))
        }
    }
}

fn missing_class(name: &str) -> Error {
    Error::new(state::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"))
}

fn missing_type(name: &str) -> Error {
    Error::new(state::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

fn missing_function(name: &str) -> Error {
    Error::new(state::UNDEFINED_FUNCTION, format!("function \"{name}\" does not exist"))
}

fn missing_schema(name: &str) -> Error {
    Error::new(state::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"))
}

fn missing_role(name: &str) -> Error {
    Error::new(state::UNDEFINED_OBJECT, format!("role \"{name}\" does not exist"))
}

/// The OID of a relation by its written name.
pub(super) fn class_oid(context: &SystemContext, name: &str) -> Option<u32> {
    let parts = names::parse_name(name)?;
    match parts.as_slice() {
        [table] => {
            let temporary = context.temporary.iter().find(|entry| entry.name == *table);
            let system = || relations::find("pg_catalog", table).map(|relation| relation.oid);
            let own =
                || context.session.search_path.iter().find_map(|s| in_schema(context, s, table));
            temporary.map(|entry| entry.oid).or_else(system).or_else(own)
        }
        [.., schema, table] => in_schema(context, schema, table),
        [] => None,
    }
}

fn in_schema(context: &SystemContext, schema: &str, table: &str) -> Option<u32> {
    if schema == TEMPORARY_SCHEMA {
        return context.temporary.iter().find(|e| e.name == table).map(|e| e.oid);
    }
    if let Some(system) = relations::find(schema, table) {
        return Some(system.oid);
    }
    let entry = context.snapshot.entry(schema, table)?;
    context.relation_entry(entry.oid).map(|entry| entry.oid)
}

fn type_oid(_: &SystemContext, name: &str) -> Option<u32> {
    let parts = names::parse_name(name);
    // `pg_catalog.int4` or `int4`; names of several words, or with a modifier, as SQL writes them.
    let bare = match parts.as_deref() {
        Some([schema, base]) if schema == "pg_catalog" => base.clone(),
        Some([_, _, ..]) => return None,
        _ => name.trim().to_owned(),
    };
    types::named_type(&bare).map(|found| found.oid)
}

fn schema_oid(context: &SystemContext, name: &str) -> Option<u32> {
    match names::parse_name(name)?.as_slice() {
        [schema] => names::schema_oid(context, schema),
        _ => None,
    }
}

fn role_oid(context: &SystemContext, name: &str) -> Option<u32> {
    match names::parse_name(name)?.as_slice() {
        [role] => context.roles().contains(role.as_str()).then(|| names::role_oid(role)),
        _ => None,
    }
}

fn role_name(context: &SystemContext, oid: u32) -> Option<&str> {
    context.roles().into_iter().find(|role| names::role_oid(role) == oid)
}

/// A function that reads or writes values of a type, or a model; `name(types)` by the name.
fn function_oid(context: &SystemContext, name: &str) -> Option<u32> {
    let name = name.split_once('(').map_or(name, |(name, _)| name);
    let parts = names::parse_name(name)?;
    let model = |entry: &Arc<Entry>| {
        matches!(entry.definition, Definition::Model { .. }).then_some(entry.oid)
    };
    match parts.as_slice() {
        [only] => data_type::function_oid(only).or_else(|| {
            let path = context.session.search_path.iter();
            path.filter_map(|schema| context.snapshot.entry(schema, only)).find_map(model)
        }),
        [schema, function] if schema == "pg_catalog" => data_type::function_oid(function),
        [schema, function] => context.snapshot.entry(schema, function).and_then(model),
        _ => None,
    }
}

/// A `reg...` value as text: the name; `-` for none; the digits of an OID that names nothing.
fn shown(arguments: &[Value], name: impl Fn(u32) -> Option<String>) -> Value {
    match value::oid(&arguments[0]) {
        Some(0) => "-".into(),
        Some(oid) => name(oid).unwrap_or_else(|| oid.to_string()).into(),
        None => Value::Null,
    }
}

/// A relation's name by its OID, with its schema where a bare name would not find it.
pub(crate) fn class_name(context: &SystemContext, oid: u32) -> Option<String> {
    if let Some(entry) = context.relation_entry(oid) {
        return Some(names::written(context, entry));
    }
    let system = relations::all().iter().find(|relation| relation.oid == oid)?;
    Some(match system.schema {
        "pg_catalog" => system.name.to_owned(),
        schema => format!("{schema}.{}", system.name),
    })
}

fn function_text(context: &SystemContext, oid: u32) -> Option<String> {
    if let Some(name) = data_type::function_name(oid) {
        return Some(name.to_owned());
    }
    let entry = context.snapshot.entry_by_oid(oid)?;
    matches!(entry.definition, Definition::Model { .. }).then(|| names::written(context, entry))
}

fn user_by_id(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let oid = value::oid(&arguments[0]).unwrap_or_default();
    let name = role_name(call.context, oid).map(str::to_owned);
    Ok(name.unwrap_or_else(|| format!("unknown (OID={oid})")).into())
}

/// The OID may not be NULL, the modifier may.
fn format_type(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let Some(oid) = value::oid(&arguments[0]) else { return Ok(Value::Null) };
    if oid == 0 {
        return Ok("-".into());
    }
    if arguments[1] == Value::Null {
        return Ok(types::by_oid(oid).map_or_else(|| "???".to_owned(), |t| t.format_bare()).into());
    }
    let modifier = value::int(&arguments[1]).and_then(|number| i32::try_from(number).ok());
    Ok(type_text(oid, modifier.unwrap_or(-1)).into())
}

/// A type's name by its OID and modifier.
pub(crate) fn type_text(oid: u32, modifier: i32) -> String {
    types::by_oid(oid)
        .map_or_else(|| "???".to_owned(), |found| found.with_modifier(modifier).format())
}

fn table_is_visible(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let Some(oid) = value::oid(&arguments[0]) else { return Ok(Value::Null) };
    if let Some(entry) = call.context.relation_entry(oid) {
        return Ok(names::visible(call.context, entry).into());
    }
    let system = relations::all().iter().find(|relation| relation.oid == oid);
    Ok(system.map(|relation| relation.schema == "pg_catalog").into())
}

fn function_is_visible(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let oid = value::oid(&arguments[0]).unwrap_or_default();
    let model = call.context.model_entries().find(|entry| entry.oid == oid);
    Ok(model.is_none_or(|entry| names::visible(call.context, entry)).into())
}

/// `true`, or NULL where there is no such object.
fn known(arguments: &[Value], exists: impl Fn(u32) -> bool) -> Value {
    value::oid(&arguments[0]).filter(|oid| exists(*oid)).map(|_| true).into()
}
