//! Tests of the type mapping. The oracle is PostgreSQL 15: `format_type`, `pg_type` and `atttypmod`
//! of the same declarations, noted beside each case.

#![expect(clippy::unwrap_used, reason = "tests")]

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::sql::sqlparser::{dialect::PostgreSqlDialect, parser::Parser};

use super::*;

fn declare(text: &str) -> Result<Field, TypeError> {
    let sql_type = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(text)
        .and_then(|mut parser| parser.parse_data_type())
        .unwrap();
    field_of_sql_type(&sql_type, "c", true)
}

/// `SELECT format_type(atttypid, atttypmod), atttypid, atttypmod` for a table of these columns.
#[test]
fn declared_types_are_those_of_postgres() {
    let cases = [
        ("boolean", "boolean", 16, -1),
        ("int2", "smallint", 21, -1),
        ("int", "integer", 23, -1),
        ("INTEGER", "integer", 23, -1),
        ("pg_catalog.int4", "integer", 23, -1),
        ("int8", "bigint", 20, -1),
        ("float(24)", "real", 700, -1),
        ("float", "double precision", 701, -1),
        ("numeric(12,2)", "numeric(12,2)", 1700, 786_438),
        ("decimal(5)", "numeric(5,0)", 1700, 327_684),
        ("pg_catalog.numeric(12,2)", "numeric(12,2)", 1700, 786_438),
        ("text", "text", 25, -1),
        ("varchar", "character varying", 1043, -1),
        ("varchar(20)", "character varying(20)", 1043, 24),
        ("character varying(20)", "character varying(20)", 1043, 24),
        ("char", "character(1)", 1042, 5),
        ("char(3)", "character(3)", 1042, 7),
        ("bpchar", "bpchar", 1042, -1),
        ("bytea", "bytea", 17, -1),
        ("uuid", "uuid", 2950, -1),
        ("json", "json", 114, -1),
        ("jsonb", "jsonb", 3802, -1),
        ("date", "date", 1082, -1),
        ("time", "time without time zone", 1083, -1),
        ("time(3)", "time(3) without time zone", 1083, 3),
        ("timestamp", "timestamp without time zone", 1114, -1),
        ("timestamptz", "timestamp with time zone", 1184, -1),
        ("timestamptz(3)", "timestamp(3) with time zone", 1184, 3),
        ("timestamp(0) with time zone", "timestamp(0) with time zone", 1184, 0),
        ("int[]", "integer[]", 1007, -1),
        ("uuid[]", "uuid[]", 2951, -1),
        ("varchar(7)[]", "character varying(7)[]", 1015, 11),
        ("numeric(12,2)[]", "numeric(12,2)[]", 1231, 786_438),
        ("name", "name", 19, -1),
    ];
    for (text, formatted, oid, modifier) in cases {
        let field = declare(text).unwrap();
        let pg_type = pg_type_of(&field);
        assert_eq!(
            (type_name(&field).as_str(), pg_type.oid, pg_type.modifier),
            (formatted, oid, modifier),
            "{text}"
        );
    }
}

#[test]
fn bare_numeric_says_the_digits_that_it_keeps() {
    assert_eq!(declare("numeric").unwrap().data_type(), &DataType::Decimal128(38, 9));
    assert_eq!(type_name(&declare("numeric").unwrap()), "numeric(38,9)");
}

#[test]
fn types_that_cannot_be_kept_are_refused() {
    let cases = [
        ("serial", "0A000"),
        ("bigserial", "0A000"),
        ("interval", "0A000"),
        ("oid", "0A000"),
        ("money", "0A000"),
        ("timetz", "0A000"),
        ("int[][]", "0A000"),
        ("varchar(0)", "22023"),
        ("numeric(39,2)", "22023"),
        ("numeric(5,6)", "22023"),
        ("timestamp(7)", "22023"),
        ("int(11)", "42601"),
        ("datetime", "42704"),
        ("hugething", "42704"),
        ("other.int4", "42704"),
    ];
    for (text, sqlstate) in cases {
        assert_eq!(declare(text).map_err(|error| error.sqlstate()), Err(sqlstate), "{text}");
    }
    assert_eq!(declare("string").unwrap_err().hint().as_deref(), Some("Use text."));
}

#[test]
fn intervals_are_values_but_not_columns() {
    let sql_type =
        datafusion::sql::sqlparser::ast::DataType::Interval { fields: None, precision: None };
    let field = field_of_value_type(&sql_type, "c", true).unwrap();
    assert_eq!(pg_type_of(&field).oid, 1186);
}

#[test]
fn arrow_types_of_computed_columns_have_a_postgres_type() {
    let cases = [
        (DataType::Utf8View, 25),
        (DataType::LargeUtf8, 25),
        (DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), 25),
        (DataType::UInt64, 20),
        (DataType::BinaryView, 17),
        (DataType::Timestamp(TimeUnit::Nanosecond, Some("+00:00".into())), 1184),
        (DataType::Duration(TimeUnit::Microsecond), 1186),
        (DataType::new_list(DataType::Utf8View, true), 1009),
        (DataType::new_list(DataType::new_list(DataType::Int64, true), true), 1016),
        (DataType::Struct(vec![Field::new("a", DataType::Int64, true)].into()), 2249),
        (DataType::Null, 25),
    ];
    for (arrow, oid) in cases {
        let field = Field::new("c", arrow, true);
        assert_eq!(pg_type_of(&field).oid, oid, "{field}");
    }
}

#[test]
fn every_type_survives_a_round_trip_through_its_field() {
    for pg_type in types() {
        if let Some(field) = field_of_pg_type("c", &pg_type, true) {
            let back = pg_type_of(&field);
            assert_eq!(back.oid, pg_type.oid, "{}", pg_type.name);
        }
    }
    assert_eq!(by_oid(builtin::QUOTED_CHAR).unwrap().format(), "\"char\"");
}

#[test]
fn numeric_modifiers_read_back() {
    assert_eq!(numeric_precision_scale(786_438), Some((12, 2)));
    assert_eq!(numeric_precision_scale(-1), None);
}
