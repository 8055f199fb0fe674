//! The built-in Postgres types that Tarn speaks of, with their fixed OIDs, and their Arrow types.
//!
//! OIDs, lengths and categories are those of PostgreSQL's `pg_type`: drivers have them compiled in.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

use super::PgType;

pub(super) const BOOL: u32 = 16;
pub(super) const BYTEA: u32 = 17;
pub(super) const QUOTED_CHAR: u32 = 18;
pub(super) const NAME: u32 = 19;
pub(super) const INT8: u32 = 20;
pub(super) const INT2: u32 = 21;
pub(super) const INT4: u32 = 23;
pub(super) const TEXT: u32 = 25;
pub(super) const OID: u32 = 26;
pub(super) const JSON: u32 = 114;
pub(super) const FLOAT4: u32 = 700;
pub(super) const FLOAT8: u32 = 701;
pub(super) const BPCHAR: u32 = 1042;
pub(super) const VARCHAR: u32 = 1043;
pub(super) const DATE: u32 = 1082;
pub(super) const TIME: u32 = 1083;
pub(super) const TIMESTAMP: u32 = 1114;
pub(super) const TIMESTAMPTZ: u32 = 1184;
pub(super) const INTERVAL: u32 = 1186;
pub(super) const TIMETZ: u32 = 1266;
pub(super) const NUMERIC: u32 = 1700;
const RECORD: u32 = 2249;
pub(super) const UUID: u32 = 2950;
pub(super) const JSONB: u32 = 3802;

/// OID, array OID, `typname`, array's `typname`, name in SQL, length, category.
type Row = (u32, u32, &'static str, &'static str, &'static str, i16, char);

const SCALARS: &[Row] = &[
    (BOOL, 1000, "bool", "_bool", "boolean", 1, 'B'),
    (BYTEA, 1001, "bytea", "_bytea", "bytea", -1, 'U'),
    (QUOTED_CHAR, 1002, "char", "_char", "\"char\"", 1, 'Z'),
    (NAME, 1003, "name", "_name", "name", 64, 'S'),
    (INT8, 1016, "int8", "_int8", "bigint", 8, 'N'),
    (INT2, 1005, "int2", "_int2", "smallint", 2, 'N'),
    (22, 1006, "int2vector", "_int2vector", "int2vector", -1, 'A'),
    (INT4, 1007, "int4", "_int4", "integer", 4, 'N'),
    (24, 1008, "regproc", "_regproc", "regproc", 4, 'N'),
    (TEXT, 1009, "text", "_text", "text", -1, 'S'),
    (OID, 1028, "oid", "_oid", "oid", 4, 'N'),
    (27, 1010, "tid", "_tid", "tid", 6, 'U'),
    (28, 1011, "xid", "_xid", "xid", 4, 'U'),
    (29, 1012, "cid", "_cid", "cid", 4, 'U'),
    (30, 1013, "oidvector", "_oidvector", "oidvector", -1, 'A'),
    (JSON, 199, "json", "_json", "json", -1, 'U'),
    (142, 143, "xml", "_xml", "xml", -1, 'U'),
    (194, 0, "pg_node_tree", "", "pg_node_tree", -1, 'Z'),
    (FLOAT4, 1021, "float4", "_float4", "real", 4, 'N'),
    (FLOAT8, 1022, "float8", "_float8", "double precision", 8, 'N'),
    (705, 0, "unknown", "", "unknown", -2, 'X'),
    (790, 791, "money", "_money", "money", 8, 'N'),
    (650, 651, "cidr", "_cidr", "cidr", -1, 'I'),
    (869, 1041, "inet", "_inet", "inet", -1, 'I'),
    (1033, 1034, "aclitem", "_aclitem", "aclitem", 12, 'U'),
    (BPCHAR, 1014, "bpchar", "_bpchar", "character", -1, 'S'),
    (VARCHAR, 1015, "varchar", "_varchar", "character varying", -1, 'S'),
    (DATE, 1182, "date", "_date", "date", 4, 'D'),
    (TIME, 1183, "time", "_time", "time without time zone", 8, 'D'),
    (TIMESTAMP, 1115, "timestamp", "_timestamp", "timestamp without time zone", 8, 'D'),
    (TIMESTAMPTZ, 1185, "timestamptz", "_timestamptz", "timestamp with time zone", 8, 'D'),
    (INTERVAL, 1187, "interval", "_interval", "interval", 16, 'T'),
    (TIMETZ, 1270, "timetz", "_timetz", "time with time zone", 12, 'D'),
    (1560, 1561, "bit", "_bit", "bit", -1, 'V'),
    (1562, 1563, "varbit", "_varbit", "bit varying", -1, 'V'),
    (NUMERIC, 1231, "numeric", "_numeric", "numeric", -1, 'N'),
    (2202, 2207, "regprocedure", "_regprocedure", "regprocedure", 4, 'N'),
    (2205, 2210, "regclass", "_regclass", "regclass", 4, 'N'),
    (2206, 2211, "regtype", "_regtype", "regtype", 4, 'N'),
    (RECORD, 2287, "record", "_record", "record", -1, 'P'),
    (2275, 1263, "cstring", "_cstring", "cstring", -2, 'P'),
    (2277, 0, "anyarray", "", "anyarray", -1, 'P'),
    (2278, 0, "void", "", "void", 4, 'P'),
    (UUID, 2951, "uuid", "_uuid", "uuid", 16, 'U'),
    (JSONB, 3807, "jsonb", "_jsonb", "jsonb", -1, 'U'),
    (4089, 4090, "regnamespace", "_regnamespace", "regnamespace", 4, 'N'),
    (4096, 4097, "regrole", "_regrole", "regrole", 4, 'N'),
];

const fn scalar(row: &Row) -> PgType {
    let &(oid, array_oid, name, _, sql_name, length, category) = row;
    // The two vectors are fixed arrays, but Postgres does not write them with brackets.
    PgType { oid, array_oid, name, sql_name, length, category, element_oid: 0, modifier: -1 }
}

const fn array(row: &Row) -> PgType {
    let &(element_oid, oid, _, name, sql_name, _, _) = row;
    let (array_oid, length, category) = (0, -1, 'A');
    PgType { oid, array_oid, name, sql_name, length, category, element_oid, modifier: -1 }
}

/// All types known by name here, scalars and their arrays.
pub fn types() -> impl Iterator<Item = PgType> {
    let arrays = SCALARS.iter().filter(|row| row.1 != 0).map(array);
    SCALARS.iter().map(scalar).chain(arrays)
}

/// The type with this OID.
#[must_use]
pub fn by_oid(oid: u32) -> Option<PgType> {
    types().find(|known| known.oid == oid)
}

/// The type with this name: `int4`, `integer`, `_int4` or `"char"`, without modifier.
///
/// As in Postgres' grammar, `char` alone is `character`; the one-byte type needs its quotes.
#[must_use]
pub fn by_name(name: &str) -> Option<PgType> {
    let lower = name.to_ascii_lowercase();
    let name = match lower.as_str() {
        "char" => "character",
        "int" => "int4",
        "decimal" | "dec" => "numeric",
        "float" => "float8",
        "timestamp with time zone" => "timestamptz",
        "time with time zone" => "timetz",
        other => other,
    };
    SCALARS
        .iter()
        .find(|row| row.4 == name || (row.2 == name && row.0 != QUOTED_CHAR))
        .map(scalar)
        .or_else(|| SCALARS.iter().find(|row| !row.3.is_empty() && row.3 == name).map(array))
}

/// `record`: the type of a row value, which Arrow calls a struct.
#[must_use]
pub fn record_type() -> PgType {
    known(RECORD)
}

/// The Postgres type of a scalar Arrow type. Text for what has no counterpart (maps, unions).
pub(super) fn of_arrow(data_type: &DataType) -> PgType {
    known(match data_type {
        DataType::Boolean => BOOL,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => INT2,
        DataType::UInt16 | DataType::Int32 => INT4,
        DataType::UInt32 | DataType::UInt64 | DataType::Int64 => INT8,
        DataType::Float16 | DataType::Float32 => FLOAT4,
        DataType::Float64 => FLOAT8,
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => NUMERIC,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => BYTEA,
        DataType::Date32 | DataType::Date64 => DATE,
        DataType::Time32(_) | DataType::Time64(_) => TIME,
        DataType::Timestamp(_, Some(_)) => TIMESTAMPTZ,
        DataType::Timestamp(_, None) => TIMESTAMP,
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        _ => TEXT,
    })
}

/// The Arrow type that holds values of a scalar Postgres type; `None` where Tarn keeps no such values.
pub(super) fn arrow_type(pg_type: &PgType) -> Option<DataType> {
    Some(match pg_type.oid {
        BOOL => DataType::Boolean,
        BYTEA => DataType::Binary,
        INT2 => DataType::Int16,
        INT4 => DataType::Int32,
        INT8 => DataType::Int64,
        FLOAT4 => DataType::Float32,
        FLOAT8 => DataType::Float64,
        NUMERIC => decimal(pg_type.modifier)?,
        DATE => DataType::Date32,
        TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        // OIDs compare as numbers, whatever they point at.
        24 | OID | 28 | 29 | 2202 | 2205 | 2206 | 4089 | 4096 => DataType::UInt32,
        QUOTED_CHAR | NAME | TEXT | JSON | BPCHAR | VARCHAR | TIME | UUID | JSONB | 705 => {
            DataType::Utf8
        }
        _ => return None,
    })
}

fn decimal(modifier: i32) -> Option<DataType> {
    let (precision, scale) = super::numeric_precision_scale(modifier)
        .unwrap_or((super::declared::NUMERIC_PRECISION, super::declared::NUMERIC_SCALE));
    Some(DataType::Decimal128(precision.try_into().ok()?, scale.try_into().ok()?))
}

/// A type of the table above; text is its fallback, which `types_of_the_table_are_found` keeps unused.
fn known(oid: u32) -> PgType {
    SCALARS.iter().find(|row| row.0 == oid).map_or_else(
        || PgType {
            oid: TEXT,
            array_oid: 1009,
            name: "text",
            sql_name: "text",
            length: -1,
            category: 'S',
            element_oid: 0,
            modifier: -1,
        },
        scalar,
    )
}
