//! Types as statements declare them (`CREATE TABLE t (a varchar(20))`, `CAST(x AS ...)`), as Arrow fields.
//!
//! Never: a type quietly replaced by a wider one. What cannot be kept as declared is an error.

use arrow::datatypes::Field;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, Ident, ObjectName, TimezoneInfo,
};

use super::{PgType, TypeError, builtin, field_of_pg_type, numeric_modifier};

/// Digits of a bare `numeric`: Delta's decimals have a fixed scale.
pub(super) const NUMERIC_PRECISION: i32 = 38;
/// Digits after the point of a bare `numeric`.
pub(super) const NUMERIC_SCALE: i32 = 9;
/// Postgres' own limit of `varchar(n)`.
const CHARACTERS_MAX: u64 = 10_485_760;
const MICROSECOND_DIGITS: u64 = 6;

type Result<T> = std::result::Result<T, TypeError>;

/// The Arrow field of a column declared with this type, to be kept in a table.
///
/// # Errors
/// [`TypeError`]: no such type, one that tables cannot keep (`interval`, `serial`), or a wrong modifier.
pub fn field_of_sql_type(sql_type: &DataType, name: &str, nullable: bool) -> Result<Field> {
    let pg_type = declared(sql_type)?;
    let element = if pg_type.array() { pg_type.element_oid } else { pg_type.oid };
    if let Some(instead) = not_stored(element) {
        return Err(TypeError::Unsupported { name: sql_type.to_string(), instead });
    }
    field_of_pg_type(name, &pg_type, nullable).ok_or_else(|| unsupported(sql_type))
}

/// The Arrow field of a value of this type, as in `CAST(x AS interval)` or `PREPARE p(interval)`.
///
/// # Errors
/// [`TypeError`]: no such type, one without values here, or a wrong modifier.
pub fn field_of_value_type(sql_type: &DataType, name: &str, nullable: bool) -> Result<Field> {
    field_of_pg_type(name, &declared(sql_type)?, nullable).ok_or_else(|| unsupported(sql_type))
}

/// What to use instead of a type that has values but no columns in tables.
const fn not_stored(oid: u32) -> Option<&'static str> {
    match oid {
        builtin::INTERVAL => Some("bigint with a unit in the column's name, or two timestamps"),
        24 | builtin::OID | 28 | 29 | 2202 | 2205 | 2206 | 4089 | 4096 => Some("bigint"),
        builtin::QUOTED_CHAR => Some("char(1)"),
        705 => Some("text"),
        _ => None,
    }
}

fn unsupported(sql_type: &DataType) -> TypeError {
    TypeError::Unsupported { name: sql_type.to_string(), instead: "text" }
}

fn declared(sql_type: &DataType) -> Result<PgType> {
    match sql_type {
        DataType::Boolean | DataType::Bool => of(builtin::BOOL),
        DataType::SmallInt(width) | DataType::Int2(width) => plain(builtin::INT2, width.is_some()),
        DataType::Int(width) | DataType::Int4(width) | DataType::Integer(width) => {
            plain(builtin::INT4, width.is_some())
        }
        DataType::BigInt(width) | DataType::Int8(width) => plain(builtin::INT8, width.is_some()),
        DataType::Real | DataType::Float4 => of(builtin::FLOAT4),
        DataType::DoublePrecision | DataType::Float8 => of(builtin::FLOAT8),
        DataType::Float(digits) => float(digits),
        DataType::Numeric(digits) | DataType::Decimal(digits) | DataType::Dec(digits) => {
            numeric(digits)
        }
        DataType::Text => of(builtin::TEXT),
        DataType::Varchar(length)
        | DataType::CharacterVarying(length)
        | DataType::CharVarying(length) => length
            .map_or_else(|| of(builtin::VARCHAR), |length| characters(builtin::VARCHAR, length)),
        DataType::Char(length) | DataType::Character(length) => {
            let one = CharacterLength::IntegerLength { length: 1, unit: None };
            characters(builtin::BPCHAR, length.unwrap_or(one))
        }
        DataType::Bytea => of(builtin::BYTEA),
        DataType::Date => of(builtin::DATE),
        DataType::Time(digits, zone) => temporal(*digits, *zone, builtin::TIME, builtin::TIMETZ),
        DataType::Timestamp(digits, zone) => {
            temporal(*digits, *zone, builtin::TIMESTAMP, builtin::TIMESTAMPTZ)
        }
        DataType::Interval { fields: None, precision: None } => of(builtin::INTERVAL),
        DataType::Uuid => of(builtin::UUID),
        DataType::JSON => of(builtin::JSON),
        DataType::JSONB => of(builtin::JSONB),
        DataType::Regclass => of(2205),
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => array(element),
        DataType::Custom(name, modifiers) => custom(name, modifiers),
        DataType::Interval { .. }
        | DataType::Bit(_)
        | DataType::BitVarying(_)
        | DataType::VarBit(_)
        | DataType::GeometricType(_)
        | DataType::TsVector
        | DataType::TsQuery => Err(unsupported(sql_type)),
        other => Err(unknown(&other.to_string())),
    }
}

fn of(oid: u32) -> Result<PgType> {
    builtin::by_oid(oid).ok_or_else(|| unknown(&oid.to_string()))
}

/// A type that takes no modifier: MySQL's `int(11)` is not Postgres.
fn plain(oid: u32, modified: bool) -> Result<PgType> {
    let pg_type = of(oid)?;
    if modified { Err(TypeError::Modifier { name: pg_type.sql_name }) } else { Ok(pg_type) }
}

/// `float(p)` counts binary digits.
fn float(digits: &ExactNumberInfo) -> Result<PgType> {
    match digits {
        ExactNumberInfo::None | ExactNumberInfo::Precision(25..=53) => of(builtin::FLOAT8),
        ExactNumberInfo::Precision(1..=24) => of(builtin::FLOAT4),
        _ => Err(TypeError::OutOfRange { what: "precision", name: "float", min: 1, max: 53 }),
    }
}

fn numeric(digits: &ExactNumberInfo) -> Result<PgType> {
    let (precision, scale) = match *digits {
        ExactNumberInfo::None => (i64::from(NUMERIC_PRECISION), i64::from(NUMERIC_SCALE)),
        ExactNumberInfo::Precision(precision) => (i64::try_from(precision).unwrap_or(i64::MAX), 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => {
            (i64::try_from(precision).unwrap_or(i64::MAX), scale)
        }
    };
    let name = "numeric";
    let max = i64::from(NUMERIC_PRECISION);
    let out = |what, min, max| TypeError::OutOfRange { what, name, min, max };
    if !(1..=max).contains(&precision) {
        return Err(out("precision", 1, max));
    }
    if !(0..=precision).contains(&scale) {
        return Err(out("scale", 0, precision));
    }
    let small = |digits: i64| i32::try_from(digits).unwrap_or(NUMERIC_PRECISION);
    Ok(of(builtin::NUMERIC)?.with_modifier(numeric_modifier(small(precision), small(scale))))
}

fn characters(oid: u32, length: CharacterLength) -> Result<PgType> {
    let pg_type = of(oid)?;
    match length {
        CharacterLength::IntegerLength { length: length @ 1..=CHARACTERS_MAX, unit: None } => {
            let length = i32::try_from(length).unwrap_or(i32::MAX - super::MODIFIER_OFFSET);
            Ok(pg_type.with_modifier(length + super::MODIFIER_OFFSET))
        }
        _ => Err(TypeError::OutOfRange {
            what: "length",
            name: pg_type.sql_name,
            min: 1,
            max: CHARACTERS_MAX.try_into().unwrap_or(i64::MAX),
        }),
    }
}

/// `time` and `timestamp`. Six digits are what is kept anyway; fewer are a modifier.
fn temporal(digits: Option<u64>, zone: TimezoneInfo, plain: u32, zoned: u32) -> Result<PgType> {
    let zoned_asked = matches!(zone, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz);
    let pg_type = of(if zoned_asked { zoned } else { plain })?;
    match digits {
        None => Ok(pg_type),
        Some(digits @ 0..=MICROSECOND_DIGITS) => {
            Ok(pg_type.with_modifier(i32::try_from(digits).unwrap_or(-1)))
        }
        Some(_) => Err(TypeError::OutOfRange {
            what: "precision",
            name: pg_type.sql_name,
            min: 0,
            max: MICROSECOND_DIGITS.try_into().unwrap_or(i64::MAX),
        }),
    }
}

fn array(element: &DataType) -> Result<PgType> {
    let element_type = declared(element)?;
    if element_type.array() {
        return Err(TypeError::Unsupported {
            name: format!("{element}[]"),
            instead: "an array of one dimension, or jsonb",
        });
    }
    builtin::by_oid(element_type.array_oid)
        .map(|array| array.with_modifier(element_type.modifier))
        .ok_or_else(|| unsupported(element))
}

/// Names that sqlparser has no variant for: quoted ones, `pg_catalog.int4`, serials, typos.
fn custom(name: &ObjectName, modifiers: &[String]) -> Result<PgType> {
    let parts: Option<Vec<&Ident>> = name.0.iter().map(|part| part.as_ident()).collect();
    let base = match parts.as_deref() {
        Some([only]) => *only,
        Some([schema, base]) if folded(schema) == "pg_catalog" => *base,
        _ => return Err(unknown(&name.to_string())),
    };
    let lower = folded(base);
    if let Some(instead) = serial(&lower) {
        return Err(TypeError::Unsupported { name: lower, instead });
    }
    // In quotes a type goes by the name of its catalog row only, and `"char"` is the one-byte type.
    let quoted = base.quote_style.is_some() || name.0.len() > 1;
    let found = if quoted {
        builtin::types().find(|known| known.name == lower)
    } else {
        builtin::by_name(&lower)
    };
    let found = found.ok_or_else(|| unknown(&name.to_string()))?;
    if modifiers.is_empty() {
        return Ok(found);
    }
    let numbers: Option<Vec<u64>> = modifiers.iter().map(|digits| digits.parse().ok()).collect();
    match (found.oid, numbers.as_deref()) {
        (builtin::VARCHAR | builtin::BPCHAR, Some([length])) => {
            characters(found.oid, CharacterLength::IntegerLength { length: *length, unit: None })
        }
        (builtin::NUMERIC, Some([precision])) => numeric(&ExactNumberInfo::Precision(*precision)),
        (builtin::NUMERIC, Some([precision, scale])) => {
            numeric(&ExactNumberInfo::PrecisionAndScale(
                *precision,
                i64::try_from(*scale).unwrap_or(i64::MAX),
            ))
        }
        (builtin::TIME | builtin::TIMESTAMP, Some([digits])) => {
            temporal(Some(*digits), TimezoneInfo::None, found.oid, found.oid)
        }
        (builtin::TIMETZ | builtin::TIMESTAMPTZ, Some([digits])) => {
            temporal(Some(*digits), TimezoneInfo::Tz, found.oid, found.oid)
        }
        _ => Err(TypeError::Modifier { name: found.sql_name }),
    }
}

/// Unquoted names fold to lower case.
fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

fn serial(name: &str) -> Option<&'static str> {
    match name {
        "smallserial" | "serial2" => Some("smallint and give the values yourself"),
        "serial" | "serial4" => Some("integer and give the values yourself"),
        "bigserial" | "serial8" => Some("bigint and give the values yourself"),
        _ => None,
    }
}

/// No such type, with the Postgres name of other databases' types.
fn unknown(name: &str) -> TypeError {
    let lower = name.to_ascii_lowercase();
    let word = lower.split(['(', '<', ' ']).next().unwrap_or_default();
    let instead = match word {
        "string" | "nvarchar" | "clob" | "tinytext" | "mediumtext" | "longtext" => Some("text"),
        "tinyint" => Some("smallint"),
        "mediumint" => Some("integer"),
        "double" | "float64" => Some("double precision"),
        "float32" => Some("real"),
        "int16" => Some("smallint"),
        "int32" => Some("integer"),
        "int64" | "long" => Some("bigint"),
        "datetime" | "timestamp_ntz" | "datetime64" => Some("timestamp"),
        "binary" | "varbinary" | "blob" | "bytes" => Some("bytea"),
        "number" | "bignumeric" | "bigdecimal" => Some("numeric"),
        "variant" | "struct" | "map" => Some("jsonb"),
        _ => None,
    };
    TypeError::Unknown { name: name.to_owned(), instead }
}
