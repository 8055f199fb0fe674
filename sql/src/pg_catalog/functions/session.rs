//! Functions about the session and the server: who, where, since when, with what settings.

use super::super::context::TEMPORARY_SCHEMA;
use super::super::names;
use super::super::rows::Value;
use super::{Call, Function, strict, value};
use crate::error::{Error, Result, state};

pub(super) static FUNCTIONS: &[Function] = &[
    strict("version", 0..=0, "text", |call, _| Ok(call.context.session.version.as_str().into())),
    strict("current_database", 0..=0, "name", database),
    strict("current_catalog", 0..=0, "name", database),
    strict("current_user", 0..=0, "name", user),
    strict("session_user", 0..=0, "name", user),
    strict("current_role", 0..=0, "name", user),
    strict("user", 0..=0, "name", user),
    strict("current_schema", 0..=0, "name", current_schema),
    strict("current_schemas", 1..=1, "name[]", current_schemas),
    strict("current_setting", 1..=2, "text", current_setting),
    strict("pg_backend_pid", 0..=0, "integer", |call, _| Ok(call.context.session.backend_pid.into())),
    strict("pg_is_in_recovery", 0..=0, "boolean", |_, _| Ok(false.into())),
    strict("pg_postmaster_start_time", 0..=0, "timestamptz", started),
    strict("pg_conf_load_time", 0..=0, "timestamptz", started),
    strict("inet_client_addr", 0..=0, "inet", |call, _| Ok(address(call.context.session.client_address))),
    strict("inet_client_port", 0..=0, "integer", |call, _| Ok(port(call.context.session.client_address))),
    strict("inet_server_addr", 0..=0, "inet", |call, _| Ok(address(call.context.session.server_address))),
    strict("inet_server_port", 0..=0, "integer", |call, _| Ok(port(call.context.session.server_address))),
    strict("txid_current", 0..=0, "bigint", transaction),
    strict("pg_current_xact_id", 0..=0, "bigint", transaction),
    strict("pg_my_temp_schema", 0..=0, "oid", temporary_schema),
    strict("pg_is_other_temp_schema", 1..=1, "boolean", |_, _| Ok(false.into())),
    // There are no advisory locks to take, so none are held that this could release.
    strict("pg_advisory_unlock_all", 0..=0, "text", |_, _| Ok("".into())),
    strict("pg_client_encoding", 0..=0, "name", |_, _| Ok("UTF8".into())),
    strict("getdatabaseencoding", 0..=0, "name", |_, _| Ok("UTF8".into())),
    strict("pg_encoding_to_char", 1..=1, "name", encoding_name),
    strict("pg_char_to_encoding", 1..=1, "integer", encoding_number),
    strict("pg_encoding_max_length", 1..=1, "integer", |_, _| Ok(4_i32.into())),
];

fn database(call: &Call<'_>, _: &[Value]) -> Result<Value> {
    Ok(call.context.session.database.as_str().into())
}

fn user(call: &Call<'_>, _: &[Value]) -> Result<Value> {
    Ok(call.context.session.user.as_str().into())
}

/// Schemas of the search path that there are.
fn existing<'a>(call: &'a Call<'_>) -> impl Iterator<Item = &'a str> {
    let path = call.context.session.search_path.iter().map(String::as_str);
    path.filter(|name| names::schema_oid(call.context, name).is_some())
}

fn current_schema(call: &Call<'_>, _: &[Value]) -> Result<Value> {
    Ok(existing(call).next().into())
}

/// With `true`, those that are searched although the path does not name them, too.
fn current_schemas(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let mut found: Vec<&str> = Vec::new();
    if value::flag(arguments.first()) {
        let temporary = (!call.context.temporary.is_empty()).then_some(TEMPORARY_SCHEMA);
        let implied = temporary.into_iter().chain(["pg_catalog"]);
        let named = &call.context.session.search_path;
        found.extend(implied.filter(|name| !named.iter().any(|schema| schema == name)));
    }
    found.extend(existing(call));
    Ok(found.into())
}

fn current_setting(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let name = value::text(&arguments[0]);
    match call.context.setting(&name) {
        Some(setting) => Ok(setting.into()),
        None if value::flag(arguments.get(1)) => Ok(Value::Null),
        None => Err(Error::new(
            state::UNDEFINED_OBJECT,
            format!("unrecognized configuration parameter \"{name}\""),
        )),
    }
}

fn started(call: &Call<'_>, _: &[Value]) -> Result<Value> {
    Ok(call.context.session.server_started_at_micros.into())
}

fn transaction(call: &Call<'_>, _: &[Value]) -> Result<Value> {
    Ok(call.context.session.transaction.into())
}

fn temporary_schema(call: &Call<'_>, _: &[Value]) -> Result<Value> {
    Ok(if call.context.temporary.is_empty() { 0 } else { names::TEMPORARY }.into())
}

fn address(address: Option<std::net::SocketAddr>) -> Value {
    address.map(|address| address.ip().to_string()).into()
}

fn port(address: Option<std::net::SocketAddr>) -> Value {
    address.map(|address| i32::from(address.port())).into()
}

/// Encodings that clients ask about; text is UTF-8 throughout.
const ENCODINGS: &[(i64, &str)] = &[(0, "SQL_ASCII"), (6, "UTF8"), (8, "LATIN1")];

fn encoding_name(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let number = value::int(&arguments[0]);
    let found = ENCODINGS.iter().find(|(known, _)| Some(*known) == number);
    Ok(found.map_or("", |(_, name)| name).into())
}

fn encoding_number(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let plain = |text: &str| text.to_uppercase().replace(['-', '_'], "");
    let asked = plain(&value::text(&arguments[0]));
    let found = ENCODINGS.iter().find(|(_, name)| plain(name) == asked);
    Ok(Value::Int(found.map_or(-1, |(number, _)| *number)))
}
