//! Postgres types of Arrow columns: which OID, modifier and name a client sees for a [`Field`].
//!
//! Arrow lacks some Postgres types (`uuid`, `jsonb`, `varchar(n)`, `oid`, ...). Columns of those are
//! plain strings or integers whose field says the Postgres type under [`TYPE_KEY`]; every reader of a
//! column's type goes through this file, so that the wire, `pg_catalog` and `CREATE TABLE` agree.
//!
//! Never: a look at values, or at anything but the field.

mod builtin;
mod declared;
mod error;

use arrow::datatypes::{DataType, Field, FieldRef};

pub use builtin::{by_name, by_oid, record_type, types};
pub use declared::{field_of_sql_type, field_of_value_type};
pub use error::TypeError;

/// Field metadata key that names the Postgres type of a column which Arrow cannot express.
pub const TYPE_KEY: &str = "tarn.type";

/// The length that Postgres adds to a modifier which counts characters or digits (`VARHDRSZ`).
const MODIFIER_OFFSET: i32 = 4;

/// A Postgres type as a client sees it: the `pg_type` row of a column, and the column's modifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PgType {
    /// `pg_type.oid`.
    pub oid: u32,
    /// OID of the array type over this type; 0 where there is none (arrays, pseudo-types).
    pub array_oid: u32,
    /// `pg_type.typname`, for instance `int4`; arrays start with `_`.
    pub name: &'static str,
    /// The name in SQL, for instance `integer`, without modifier; of arrays, the element's name.
    pub sql_name: &'static str,
    /// `pg_type.typlen`: bytes, or -1 for variable length, -2 for a C string.
    pub length: i16,
    /// `pg_type.typcategory`, for instance `N` for numbers.
    pub category: char,
    /// The element's OID of an array type, else 0.
    pub element_oid: u32,
    /// `pg_attribute.atttypmod`: length of `varchar(n)`, precision of `numeric(p,s)`; -1 for none.
    pub modifier: i32,
}

impl PgType {
    /// Whether this is an array type.
    #[must_use]
    pub const fn array(&self) -> bool {
        self.category == 'A' && self.element_oid != 0
    }

    /// The same type with a modifier.
    #[must_use]
    pub const fn with_modifier(self, modifier: i32) -> Self {
        Self { modifier, ..self }
    }

    /// The type as Postgres' `format_type` writes it, for instance `numeric(12,2)` or `text[]`.
    #[must_use]
    pub fn format(&self) -> String {
        let (oid, brackets) = if self.array() { (self.element_oid, "[]") } else { (self.oid, "") };
        format!("{}{brackets}", with_modifier_text(oid, self.sql_name, self.modifier))
    }

    /// The type as `format_type(oid, NULL)` writes it: no modifier at all.
    #[must_use]
    pub fn format_bare(&self) -> String {
        let brackets = if self.array() { "[]" } else { "" };
        format!("{}{brackets}", self.sql_name)
    }
}

/// The Postgres type of a column, with the modifier for `numeric`, `varchar`, `char` and times.
///
/// Unsigned 64-bit integers (what `row_number()` yields) count as `bigint`, durations as `interval`.
#[must_use]
pub fn pg_type_of(field: &Field) -> PgType {
    match field.metadata().get(TYPE_KEY).and_then(|text| named_type(text)) {
        // A scalar name on a list speaks of its elements.
        Some(named) if !named.array() && element_of(field.data_type()).is_some() => {
            array_of(&named)
        }
        Some(named) => named,
        None => pg_type_of_arrow(field.data_type()),
    }
}

/// The column's type as Postgres' `format_type` writes it, for instance `character varying(20)`.
#[must_use]
pub fn type_name(field: &Field) -> String {
    pg_type_of(field).format()
}

/// A type from its text under [`TYPE_KEY`]: any name of the type, with modifier and `[]`.
#[must_use]
pub fn named_type(text: &str) -> Option<PgType> {
    let text = text.trim();
    if let Some(element) = text.strip_suffix("[]") {
        return named_type(element).map(|element| array_of(&element));
    }
    let (name, modifier) = split_modifier(text)?;
    let found = by_name(&name)?;
    let modifier = match modifier.as_slice() {
        [] => -1,
        [length] if matches!(found.oid, builtin::VARCHAR | builtin::BPCHAR) => {
            length + MODIFIER_OFFSET
        }
        [precision] if found.oid == builtin::NUMERIC => numeric_modifier(*precision, 0),
        [precision, scale] => numeric_modifier(*precision, *scale),
        [precision] => *precision,
        _ => return None,
    };
    Some(found.with_modifier(modifier))
}

/// An Arrow field for a Postgres type, for instance of a parameter that a client declared by OID.
///
/// `None` for types that hold no value here (`record`, `void`, `money`, ...).
#[must_use]
pub fn field_of_pg_type(name: &str, pg_type: &PgType, nullable: bool) -> Option<Field> {
    if pg_type.array() {
        let element = by_oid(pg_type.element_oid)?.with_modifier(pg_type.modifier);
        let item = field_of_pg_type("item", &element, true)?;
        return Some(list_field(name, item, nullable));
    }
    let arrow = builtin::arrow_type(pg_type)?;
    let field = Field::new(name, arrow, nullable);
    // The Arrow type alone already says which Postgres type it is for most types.
    if pg_type_of(&field) == *pg_type {
        return Some(field);
    }
    Some(with_type_text(field, short_name(&pg_type.format())))
}

/// The one spelling under which a type is kept: what reads it need not know Postgres' long names.
fn short_name(format: &str) -> String {
    format
        .replace("character varying", "varchar")
        .replace("character", "char")
        .replace("time without time zone", "time")
}

/// The field of a list column. The element's type text moves to the list: Delta keeps the metadata of
/// columns, not of elements.
fn list_field(name: &str, item: Field, nullable: bool) -> Field {
    let text = item.metadata().get(TYPE_KEY).map(|text| format!("{text}[]"));
    let field = Field::new(name, DataType::List(FieldRef::new(item)), nullable);
    match text {
        Some(text) => with_type_text(field, text),
        None => field,
    }
}

fn with_type_text(field: Field, text: String) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert(TYPE_KEY.to_owned(), text);
    field.with_metadata(metadata)
}

/// `numeric(p,s)` as a modifier.
const fn numeric_modifier(precision: i32, scale: i32) -> i32 {
    ((precision << 16) | (scale & 0x7ff)) + MODIFIER_OFFSET
}

/// Precision and scale of a `numeric` modifier.
#[must_use]
pub const fn numeric_precision_scale(modifier: i32) -> Option<(i32, i32)> {
    if modifier < MODIFIER_OFFSET {
        return None;
    }
    let bits = modifier - MODIFIER_OFFSET;
    // The scale is an 11-bit signed number.
    Some(((bits >> 16) & 0xffff, ((bits & 0x7ff) ^ 1024) - 1024))
}

/// Characters of a `varchar` or `char` modifier.
#[must_use]
pub const fn character_length(modifier: i32) -> Option<i32> {
    if modifier < MODIFIER_OFFSET { None } else { Some(modifier - MODIFIER_OFFSET) }
}

fn with_modifier_text(oid: u32, sql_name: &str, modifier: i32) -> String {
    if modifier < 0 {
        // Postgres tells `character` (one character) from a `bpchar` of any length by the name.
        return if oid == builtin::BPCHAR { "bpchar".to_owned() } else { sql_name.to_owned() };
    }
    match oid {
        builtin::NUMERIC => match numeric_precision_scale(modifier) {
            Some((precision, scale)) => format!("{sql_name}({precision},{scale})"),
            None => sql_name.to_owned(),
        },
        builtin::VARCHAR | builtin::BPCHAR => match character_length(modifier) {
            Some(length) => format!("{sql_name}({length})"),
            None => sql_name.to_owned(),
        },
        builtin::TIME | builtin::TIMETZ | builtin::TIMESTAMP | builtin::TIMESTAMPTZ => {
            // The precision stands inside: `timestamp(3) with time zone`.
            let (word, rest) = sql_name.split_once(' ').unwrap_or((sql_name, ""));
            format!("{word}({modifier}) {rest}")
        }
        _ => sql_name.to_owned(),
    }
}

/// Splits `name(1,2) rest` into `name rest` and `[1, 2]`.
fn split_modifier(text: &str) -> Option<(String, Vec<i32>)> {
    let Some((head, tail)) = text.split_once('(') else {
        return Some((text.to_owned(), Vec::new()));
    };
    let (numbers, rest) = tail.split_once(')')?;
    let numbers =
        numbers.split(',').map(|number| number.trim().parse().ok()).collect::<Option<_>>();
    let name = [head.trim(), rest.trim()].join(" ");
    Some((name.trim().to_owned(), numbers?))
}

fn array_of(element: &PgType) -> PgType {
    by_oid(element.array_oid).map_or(*element, |array| array.with_modifier(element.modifier))
}

/// The element field of any of Arrow's list types.
fn element_of(data_type: &DataType) -> Option<&FieldRef> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Some(item),
        DataType::Dictionary(_, values) => element_of(values),
        DataType::RunEndEncoded(_, values) => element_of(values.data_type()),
        _ => None,
    }
}

fn pg_type_of_arrow(data_type: &DataType) -> PgType {
    if let Some(item) = element_of(data_type) {
        let element = pg_type_of(item);
        // A list of lists is one array of more dimensions.
        return if element.array() { element } else { array_of(&element) };
    }
    match data_type {
        DataType::Dictionary(_, values) => pg_type_of_arrow(values),
        DataType::RunEndEncoded(_, values) => pg_type_of(values),
        DataType::Struct(_) => record_type(),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => builtin::of_arrow(data_type)
            .with_modifier(numeric_modifier(i32::from(*precision), i32::from(*scale))),
        other => builtin::of_arrow(other),
    }
}

#[cfg(test)]
mod tests;
