//! Delta's JSON form of a schema, to and from Arrow.
//!
//! Never: a type is widened or narrowed on the way; what Delta lacks is an error.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// The schema as Delta's `schemaString`.
pub(crate) fn to_delta(schema: &Schema) -> Result<String> {
    Ok(struct_type(schema.fields())?.to_string())
}

/// The schema of a `schemaString`, or what is wrong with it.
pub(crate) fn from_delta(text: &str) -> Result<SchemaRef, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(Arc::new(Schema::new(fields(&value)?)))
}

fn struct_type(fields: &Fields) -> Result<Value> {
    let fields = fields.iter().map(|field| field_value(field)).collect::<Result<Vec<_>>>()?;
    Ok(json!({"type": "struct", "fields": fields}))
}

fn field_value(field: &Field) -> Result<Value> {
    let data_type = type_value(field.data_type()).map_err(|kind| Error::Unsupported {
        what: format!("column \"{}\" cannot be stored: type {kind}", field.name()),
    })?;
    let metadata: Map<String, Value> = field
        .metadata()
        .iter()
        .map(|(key, text)| (key.clone(), metadata_value(key, text)))
        .collect();
    Ok(json!({
        "name": field.name(),
        "type": data_type,
        "nullable": field.is_nullable(),
        "metadata": metadata,
    }))
}

/// Delta's own keys may hold numbers and objects; all other values are text.
fn metadata_value(key: &str, text: &str) -> Value {
    let own = key.starts_with("delta.") && key != super::GENERATED_KEY;
    own.then(|| serde_json::from_str(text).ok())
        .flatten()
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

/// The Delta type, or the Arrow type that it lacks.
fn type_value(data_type: &DataType) -> Result<Value, DataType> {
    let name = match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 => "byte",
        DataType::Int16 => "short",
        DataType::Int32 => "integer",
        DataType::Int64 => "long",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Utf8 => "string",
        DataType::Binary => "binary",
        DataType::Date32 => "date",
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp_ntz",
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => "timestamp",
        DataType::Decimal128(precision, scale) if *scale >= 0 && *scale as u8 <= *precision => {
            return Ok(json!(format!("decimal({precision},{scale})")));
        }
        DataType::List(element) => {
            return Ok(json!({
                "type": "array",
                "elementType": type_value(element.data_type())?,
                "containsNull": element.is_nullable(),
            }));
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else {
                return Err(data_type.clone());
            };
            let [key, value] = &pair[..] else { return Err(data_type.clone()) };
            return Ok(json!({
                "type": "map",
                "keyType": type_value(key.data_type())?,
                "valueType": type_value(value.data_type())?,
                "valueContainsNull": value.is_nullable(),
            }));
        }
        DataType::Struct(fields) => {
            return struct_type(fields).map_err(|_| data_type.clone());
        }
        other => return Err(other.clone()),
    };
    Ok(json!(name))
}

fn fields(value: &Value) -> Result<Fields, String> {
    value
        .get("fields")
        .and_then(Value::as_array)
        .ok_or("a struct has no fields")?
        .iter()
        .map(field)
        .collect::<Result<Vec<_>, _>>()
        .map(Fields::from)
}

fn field(value: &Value) -> Result<Field, String> {
    let name = value.get("name").and_then(Value::as_str).ok_or("a field has no name")?;
    let data_type = data_type(value.get("type").ok_or("a field has no type")?)?;
    let nullable = value.get("nullable").and_then(Value::as_bool).unwrap_or(true);
    let metadata: HashMap<String, String> = value
        .get("metadata")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (key.clone(), text)
        })
        .collect();
    Ok(Field::new(name, data_type, nullable).with_metadata(metadata))
}

fn data_type(value: &Value) -> Result<DataType, String> {
    if let Some(name) = value.as_str() {
        return primitive(name);
    }
    let inner = |key: &str| data_type(value.get(key).ok_or_else(|| format!("no {key}"))?);
    let flag = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(true);
    match value.get("type").and_then(Value::as_str) {
        Some("struct") => Ok(DataType::Struct(fields(value)?)),
        Some("array") => {
            let element = Field::new("element", inner("elementType")?, flag("containsNull"));
            Ok(DataType::List(Arc::new(element)))
        }
        Some("map") => {
            let key = Field::new("key", inner("keyType")?, false);
            let value = Field::new("value", inner("valueType")?, flag("valueContainsNull"));
            let pair = DataType::Struct(Fields::from(vec![key, value]));
            Ok(DataType::Map(Arc::new(Field::new("key_value", pair, false)), false))
        }
        _ => Err(format!("unknown type {value}")),
    }
}

fn primitive(name: &str) -> Result<DataType, String> {
    Ok(match name {
        "boolean" => DataType::Boolean,
        "byte" => DataType::Int8,
        "short" => DataType::Int16,
        "integer" => DataType::Int32,
        "long" => DataType::Int64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "string" => DataType::Utf8,
        "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
        other => decimal(other).ok_or_else(|| format!("unknown type \"{other}\""))?,
    })
}

fn decimal(name: &str) -> Option<DataType> {
    if name == "decimal" {
        return Some(DataType::Decimal128(10, 0));
    }
    let (precision, scale) = name.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
    let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    (1..=38).contains(&precision).then_some(DataType::Decimal128(precision, scale))
}
