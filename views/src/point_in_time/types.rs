//! Which types an ASOF JOIN compares, and what both sides are cast to first.
//!
//! Never: casts where the cast could let a later value pass for an earlier one. Timestamps go to
//! the finer unit of the two; a timestamp with and one without time zone are not compared, since
//! the answer would depend on the session.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::unparser::Unparser;

use crate::Error;

/// An expression over the left side with the one over the right side that it is compared with.
pub(super) type Pair = (Expr, Expr);

/// Casts two keys to one type in which equality means what it does in SQL.
pub(super) fn coerce_keys(pair: Pair, left: &DFSchema, right: &DFSchema) -> Result<Pair> {
    let (left_type, right_type) = (pair.0.get_type(left)?, pair.1.get_type(right)?);
    let common = match (family(&left_type), family(&right_type)) {
        (Family::Temporal, Family::Temporal) => common_time(&left_type, &right_type),
        (a, b) if a == b && a != Family::Other => comparison_coercion(&left_type, &right_type),
        _ if left_type == right_type && !left_type.is_nested() => Some(left_type.clone()),
        _ => None,
    };
    cast_both(pair, (&left_type, &right_type), common, (left, right))
}

/// Casts two times to one type with a total order.
pub(super) fn coerce_times(pair: Pair, left: &DFSchema, right: &DFSchema) -> Result<Pair> {
    let (left_type, right_type) = (pair.0.get_type(left)?, pair.1.get_type(right)?);
    let common = match (family(&left_type), family(&right_type)) {
        (Family::Temporal, Family::Temporal) => common_time(&left_type, &right_type),
        (Family::Number, Family::Number) => comparison_coercion(&left_type, &right_type),
        _ => None,
    };
    cast_both(pair, (&left_type, &right_type), common, (left, right))
}

fn cast_both(
    pair: Pair,
    types: (&DataType, &DataType),
    common: Option<DataType>,
    schemas: (&DFSchema, &DFSchema),
) -> Result<Pair> {
    let Some(common) = common else {
        return Err(Error::AsOfTypes {
            left: sql_text(&pair.0),
            left_type: type_name(types.0),
            right: sql_text(&pair.1),
            right_type: type_name(types.1),
            hint: hint(types.0, types.1),
        }
        .into());
    };
    Ok((pair.0.cast_to(&common, schemas.0)?, pair.1.cast_to(&common, schemas.1)?))
}

fn hint(left: &DataType, right: &DataType) -> &'static str {
    match (family(left), family(right)) {
        (Family::Temporal, Family::Temporal) => {
            "Cast one side, for example with AT TIME ZONE 'UTC'."
        }
        (Family::Text, Family::Text) => {
            "ASOF JOIN orders dates, timestamps and numbers: cast both."
        }
        _ => "Cast one side to the type of the other.",
    }
}

#[derive(PartialEq, Eq)]
enum Family {
    Number,
    Temporal,
    Text,
    Binary,
    Other,
}

fn family(data_type: &DataType) -> Family {
    match data_type {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => Family::Temporal,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Family::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Family::Binary,
        DataType::Dictionary(_, value) => family(value),
        number if number.is_numeric() => Family::Number,
        _ => Family::Other,
    }
}

/// The type in which two dates or timestamps keep both their values exactly.
fn common_time(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, Date64, Dictionary, Timestamp};
    match (left, right) {
        (Dictionary(_, value), other) | (other, Dictionary(_, value)) => common_time(value, other),
        (Timestamp(a, Some(zone)), Timestamp(b, Some(_))) => {
            Some(Timestamp(finer(*a, *b), Some(Arc::clone(zone))))
        }
        (Timestamp(a, None), Timestamp(b, None)) => Some(Timestamp(finer(*a, *b), None)),
        (Timestamp(unit, None), Date32) | (Date32, Timestamp(unit, None)) => {
            Some(Timestamp(*unit, None))
        }
        (Timestamp(unit, None), Date64) | (Date64, Timestamp(unit, None)) => {
            Some(Timestamp(finer(*unit, TimeUnit::Millisecond), None))
        }
        (Date32, Date32) => Some(Date32),
        (Date32 | Date64, Date32 | Date64) => Some(Date64),
        _ => None,
    }
}

fn finer(a: TimeUnit, b: TimeUnit) -> TimeUnit {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    match (a, b) {
        (Nanosecond, _) | (_, Nanosecond) => Nanosecond,
        (Microsecond, _) | (_, Microsecond) => Microsecond,
        (Millisecond, _) | (_, Millisecond) => Millisecond,
        (Second, Second) => Second,
    }
}

/// An expression as the author of a statement would write it.
pub(super) fn sql_text(expression: &Expr) -> String {
    match Unparser::default().with_pretty(true).expr_to_sql(expression) {
        Ok(sql) => sql.to_string(),
        Err(_) => expression.to_string(),
    }
}

/// A type in the words of SQL.
pub(super) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        DataType::Timestamp(_, None) => "timestamp without time zone".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        DataType::Decimal128(precision, scale) => format!("numeric({precision},{scale})"),
        DataType::Dictionary(_, value) => type_name(value),
        _ => match family(data_type) {
            Family::Text => "text".to_owned(),
            Family::Binary => "bytea".to_owned(),
            _ => data_type.to_string(),
        },
    }
}
