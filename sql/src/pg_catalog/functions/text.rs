//! Functions of text that the planner's own lack: quoting, `format`, JSON of scalars.

use std::fmt::Write as _;

use super::super::names;
use super::super::rows::Value;
use super::{Call, Function, strict, value};
use crate::error::{Error, Result, state};

pub(super) static FUNCTIONS: &[Function] = &[
    strict("quote_ident", 1..=1, "text", |_, a| Ok(names::quote_identifier(&value::text(&a[0])).into())),
    strict("quote_literal", 1..=1, "text", |_, a| Ok(names::quote_literal(&value::text(&a[0])).into())),
    strict("quote_nullable", 1..=1, "text", quote_nullable).taking_null(),
    strict("parse_ident", 1..=2, "text[]", parse_ident),
    strict("format", 1..=usize::MAX, "text", format).taking_null(),
    strict("json_build_object", 0..=usize::MAX, "json", json_object).taking_null(),
    strict("jsonb_build_object", 0..=usize::MAX, "jsonb", json_object).taking_null(),
];

fn quote_nullable(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    Ok(match &arguments[0] {
        Value::Null => "NULL".into(),
        other => names::quote_literal(&value::text(other)).into(),
    })
}

fn parse_ident(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let text = value::text(&arguments[0]);
    names::parse_name(&text).map(Value::from).ok_or_else(|| {
        value::refused(format!("string is not a valid identifier: \"{text}\""))
    })
}

/// `%s`, `%I`, `%L` and `%%`, with `n$` positions; widths are not supported.
fn format(_: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    let Some(Value::Text(pattern)) = arguments.first() else { return Ok(Value::Null) };
    let mut rest = pattern.as_str();
    let mut formatted = String::with_capacity(pattern.len());
    let mut next = 1;
    while let Some((before, after)) = rest.split_once('%') {
        formatted.push_str(before);
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let position = after[digits..].strip_prefix('$').and_then(|_| after[..digits].parse().ok());
        let specifier = if position.is_some() { &after[digits + 1..] } else { after };
        let at = position.unwrap_or(next);
        let kind = specifier.chars().next();
        if kind == Some('%') {
            formatted.push('%');
        } else {
            let argument = arguments.get(at).filter(|_| at > 0);
            let argument = argument.ok_or_else(|| value::refused("too few arguments for format()"))?;
            next = at + 1;
            match (kind, argument) {
                (Some('s'), argument) => formatted.push_str(&value::text(argument)),
                (Some('L'), Value::Null) => formatted.push_str("NULL"),
                (Some('L'), argument) => formatted.push_str(&names::quote_literal(&value::text(argument))),
                (Some('I'), Value::Null) => {
                    return Err(Error::new("22004", "null values cannot be formatted as an SQL identifier"));
                }
                (Some('I'), argument) => formatted.push_str(&names::quote_identifier(&value::text(argument))),
                (other, _) => {
                    let shown = other.map(String::from).unwrap_or_default();
                    return Err(value::refused(format!("unrecognized format() type specifier \"{shown}\"")));
                }
            }
        }
        rest = specifier.get(kind.map_or(0, char::len_utf8)..).unwrap_or_default();
    }
    formatted.push_str(rest);
    Ok(formatted.into())
}

/// As PostgreSQL writes it: `{"a" : 1, "b" : "x"}`.
fn json_object(call: &Call<'_>, arguments: &[Value]) -> Result<Value> {
    if !arguments.len().is_multiple_of(2) {
        return Err(value::refused("argument list must have even number of elements"));
    }
    let mut object = String::from("{");
    for (number, (pair, fields)) in arguments.chunks(2).zip(call.fields.chunks(2)).enumerate() {
        let [key, member] = pair else { continue };
        if *key == Value::Null {
            return Err(Error::new(state::INVALID_PARAMETER_VALUE, "argument of a JSON object's key must not be null"));
        }
        let separator = if number == 0 { "" } else { ", " };
        let key = serde_json::Value::from(value::text(key));
        // Writing to a string cannot fail.
        let _ = write!(object, "{separator}{key} : {}", json(member, fields.get(1).is_some_and(is_json)));
    }
    object.push('}');
    Ok(object.into())
}

fn is_json(field: &arrow::datatypes::FieldRef) -> bool {
    matches!(crate::types::pg_type_of(field).name, "json" | "jsonb")
}

fn json(member: &Value, already: bool) -> String {
    match member {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Text(text) if already => text.clone(),
        Value::Text(text) => serde_json::Value::from(text.as_str()).to_string(),
        Value::List(elements) => {
            let elements: Vec<String> = elements.iter().map(|element| json(element, false)).collect();
            format!("[{}]", elements.join(","))
        }
    }
}
