//! `has_..._privilege`: everyone may do everything until there are roles and grants.
//!
//! Never: a yes for an object that does not exist; that is an error, as in PostgreSQL, when it is
//! named, and NULL when its OID is given.

use super::super::context::SystemContext;
use super::super::names;
use super::super::rows::Value;
use super::lookup::class_oid;
use super::{Call, Function, strict, value};
use crate::error::{Error, Result, state};

pub(super) static FUNCTIONS: &[Function] = &[
    strict("has_table_privilege", 2..=3, "boolean", table),
    strict("has_any_column_privilege", 2..=3, "boolean", table),
    strict("has_column_privilege", 3..=4, "boolean", column),
    strict("has_schema_privilege", 2..=3, "boolean", schema),
    strict("has_database_privilege", 2..=3, "boolean", |_, _| Ok(true.into())),
    strict("has_function_privilege", 2..=3, "boolean", |_, _| Ok(true.into())),
    strict("has_language_privilege", 2..=3, "boolean", |_, _| Ok(true.into())),
    strict("has_type_privilege", 2..=3, "boolean", |_, _| Ok(true.into())),
    strict("has_tablespace_privilege", 2..=3, "boolean", |_, _| Ok(true.into())),
    strict("has_sequence_privilege", 2..=3, "boolean", table),
    strict("pg_has_role", 2..=3, "boolean", |_, _| Ok(true.into())),
    strict("row_security_active", 1..=1, "boolean", |_, _| Ok(false.into())),
];

fn table(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    on_table(call, &arguments[arguments.len() - 2])
}

fn column(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    on_table(call, &arguments[arguments.len() - 3])
}

fn on_table(call: &Call<'_>, object: &Value) -> Result<Value> {
    let named = |name: &str| class_oid(call.context, name);
    on_object(object, |oid| exists(call.context, oid), named, |name| {
        Error::new(state::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"))
    })
}

fn exists(context: &SystemContext, oid: u32) -> bool {
    super::lookup::class_name(context, oid).is_some()
}

fn schema(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let named = |name: &str| names::schema_oid(call.context, name);
    let known = |oid| names::schema_name(call.context, oid).is_some();
    on_object(&arguments[arguments.len() - 2], known, named, |name| {
        Error::new(state::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"))
    })
}

fn on_object(
    object: &Value,
    known: impl Fn(u32) -> bool,
    named: impl Fn(&str) -> Option<u32>,
    missing: impl Fn(&str) -> Error,
) -> Result<Value> {
    match object {
        Value::Int(_) => Ok(value::oid(object).filter(|oid| known(*oid)).map(|_| true).into()),
        other => {
            let name = value::text(other);
            named(&name).map(|_| Value::Bool(true)).ok_or_else(|| missing(&name))
        }
    }
}
