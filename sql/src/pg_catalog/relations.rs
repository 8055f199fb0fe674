//! Names, OIDs and columns of the system's own relations.
//!
//! `relations.txt` holds a line for each: its name, OID, kind and columns, as PostgreSQL 15 has
//! them (read from its `pg_class` and `pg_attribute`); `!` marks columns that are never NULL.
//! Never: a relation here that [`super::tables`] neither computes nor declares empty.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::types::{self, TYPE_KEY};

static TEXT: &str = include_str!("relations.txt");

static RELATIONS: LazyLock<Vec<SystemRelation>> =
    LazyLock::new(|| TEXT.lines().filter_map(parse).collect());

static BY_NAME: LazyLock<HashMap<(&str, &str), &SystemRelation>> =
    LazyLock::new(|| RELATIONS.iter().map(|r| ((r.schema, r.name), r)).collect());

/// A table or view of `pg_catalog` or `information_schema`.
#[derive(Debug)]
pub(crate) struct SystemRelation {
    /// The schema.
    pub(crate) schema: &'static str,
    /// The name.
    pub(crate) name: &'static str,
    /// The OID that PostgreSQL gives it.
    pub(crate) oid: u32,
    /// `r` or `v`.
    pub(crate) kind: &'static str,
    /// The columns.
    pub(crate) columns: SchemaRef,
}

/// Every system relation.
pub(crate) fn all() -> &'static [SystemRelation] {
    &RELATIONS
}

/// A system relation by its name.
pub(crate) fn find(schema: &str, name: &str) -> Option<&'static SystemRelation> {
    BY_NAME.get(&(schema, name)).copied()
}

fn parse(line: &'static str) -> Option<SystemRelation> {
    let mut words = line.split(' ');
    let (schema, name) = words.next()?.split_once('.')?;
    let oid = words.next()?.parse().ok()?;
    let kind = words.next()?;
    let columns: Vec<Field> = words.map(column).collect::<Option<_>>()?;
    Some(SystemRelation { schema, name, oid, kind, columns: Arc::new(Schema::new(columns)) })
}

/// `name:type` or `name:type!`.
fn column(text: &str) -> Option<Field> {
    let (name, type_text) = text.split_once(':')?;
    let (type_text, nullable) = match type_text.strip_suffix('!') {
        Some(rest) => (rest, false),
        None => (type_text, true),
    };
    Some(field(name, type_text, nullable))
}

/// A column of a Postgres type. Types that hold no values here (they are always NULL) are text.
pub(crate) fn field(name: &str, type_text: &str, nullable: bool) -> Field {
    let known = types::named_type(type_text);
    if let Some(field) = known.and_then(|known| types::field_of_pg_type(name, &known, nullable)) {
        return field;
    }
    let arrow = match type_text {
        "int2vector" => list(DataType::Int16),
        "oidvector" => list(DataType::UInt32),
        other if other.ends_with("[]") => list(DataType::Utf8),
        _ => DataType::Utf8,
    };
    let metadata = known.map(|_| (TYPE_KEY.to_owned(), type_text.to_owned()));
    Field::new(name, arrow, nullable).with_metadata(metadata.into_iter().collect())
}

fn list(element: DataType) -> DataType {
    DataType::List(FieldRef::new(Field::new("item", element, true)))
}
