//! Parameters as other people's drivers write them.
#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::BytesMut;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use postgres_types::{ToSql, Type};
use proptest::prelude::*;
use sql::types::TYPE_KEY;

use super::*;

fn field(data_type: DataType) -> Field {
    Field::new("$1", data_type, true)
}

/// The value of a parameter that the plan wants as `planned`, sent as `pg_type`.
fn sent(planned: &Field, pg_type: &Type, value: &dyn SendAs) -> sql::Result<ScalarValue> {
    let mut bytes = BytesMut::new();
    value.write(pg_type, &mut bytes);
    let parameter = Parameter::new(planned, pg_type.oid())?;
    parameter.decode(Some(&bytes.freeze()), Format::Binary, &Zone::UTC)
}

trait SendAs {
    fn write(&self, pg_type: &Type, out: &mut BytesMut);
}

impl<T: ToSql> SendAs for T {
    fn write(&self, pg_type: &Type, out: &mut BytesMut) {
        assert!(<T as ToSql>::accepts(pg_type));
        self.to_sql(pg_type, out).unwrap();
    }
}

fn text(planned: &Field, oid: u32, value: &str) -> sql::Result<ScalarValue> {
    let bytes = Bytes::copy_from_slice(value.as_bytes());
    Parameter::new(planned, oid)?.decode(Some(&bytes), Format::Text, &Zone::UTC)
}

proptest! {
    #[test]
    fn binary_values_of_drivers_are_read(
        int in any::<i32>(), long in any::<i64>(), double in any::<f64>(), word in any::<String>(),
        micros in -60_000_000_000_000_000..200_000_000_000_000_000_i64,
    ) {
        let planned = field(DataType::Int32);
        prop_assert_eq!(sent(&planned, &Type::INT4, &int).unwrap(), ScalarValue::Int32(Some(int)));
        let planned = field(DataType::Int64);
        prop_assert_eq!(sent(&planned, &Type::INT8, &long).unwrap(), ScalarValue::Int64(Some(long)));
        let planned = field(DataType::Float64);
        let read = sent(&planned, &Type::FLOAT8, &double).unwrap();
        prop_assert_eq!(read, ScalarValue::Float64(Some(double)));
        let planned = field(DataType::Utf8);
        let read = sent(&planned, &Type::TEXT, &word).unwrap();
        prop_assert_eq!(read, ScalarValue::Utf8(Some(word)));
        let instant = DateTime::<Utc>::from_timestamp_micros(micros).unwrap();
        let zone = Some("UTC".into());
        let planned = field(DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, zone.clone()));
        let read = sent(&planned, &Type::TIMESTAMPTZ, &instant).unwrap();
        prop_assert_eq!(read, ScalarValue::TimestampMicrosecond(Some(micros), zone));
    }

    #[test]
    fn what_the_server_writes_it_reads_again(
        value in -99_999_999_999_999_999_999_999_999_999_999_999_999_i128
            ..=99_999_999_999_999_999_999_999_999_999_999_999_999,
        scale in 0..=38_i8,
    ) {
        let mut written = Vec::new();
        let expected = ScalarValue::Decimal128(Some(value), 38, scale);
        let array = expected.to_array().unwrap();
        let planned = field(DataType::Decimal128(38, scale));
        let column = crate::pg::binary::BinaryColumn::new(&array, &pg_type_of(&planned)).unwrap();
        column.write(0, &mut written);
        let parameter = Parameter::new(&planned, 0).unwrap();
        let bytes = Bytes::copy_from_slice(&written[4..]);
        let read = parameter.decode(Some(&bytes), Format::Binary, &Zone::UTC).unwrap();
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(oid in proptest::sample::select(TYPES), bytes in any::<Vec<u8>>()) {
        if let Ok(parameter) = Parameter::new(&field(DataType::Null), oid) {
            for format in [Format::Text, Format::Binary] {
                let _ = parameter.decode(Some(&Bytes::from(bytes.clone())), format, &Zone::UTC);
            }
        }
    }

    #[test]
    fn no_array_makes_the_decoder_panic(count in any::<i32>(), length in any::<i32>(), rest in any::<[u8; 9]>()) {
        let header = [1_u32.to_be_bytes(), [0; 4], 23_u32.to_be_bytes(), count.to_be_bytes(), [0, 0, 0, 1]];
        let bytes = [&header.concat()[..], &length.to_be_bytes(), &rest].concat();
        let parameter = Parameter::new(&field(DataType::Null), 1007).unwrap();
        let read = parameter.decode(Some(&Bytes::from(bytes)), Format::Binary, &Zone::UTC);
        prop_assert!(read.is_err());
    }
}

/// OIDs of types with a binary form, and of some without.
const TYPES: &[u32] = &[
    16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 700, 701, 705, 790, 1000, 1005, 1007, 1009, 1016,
    1042, 1043, 1082, 1083, 1114, 1184, 1186, 1231, 1266, 1700, 2205, 2249, 2950, 2951, 3802, 3807,
];

#[test]
fn dates_times_and_the_types_that_metadata_names() {
    let date = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    let read = sent(&field(DataType::Date32), &Type::DATE, &date).unwrap();
    assert_eq!(read, ScalarValue::Date32(Some(19_782)));
    let time = NaiveTime::from_hms_micro_opt(1, 2, 3, 4_000).unwrap();
    let read = sent(&field(DataType::Utf8), &Type::TIME, &time).unwrap();
    assert_eq!(read, ScalarValue::Utf8(Some("01:02:03.004".to_owned())));
    let json = serde_json::json!({"a": 1});
    let read = sent(&field(DataType::Utf8), &Type::JSONB, &json).unwrap();
    assert_eq!(read, ScalarValue::Utf8(Some(r#"{"a": 1}"#.to_owned())));
    let uuid = uuid::Uuid::new_v4();
    let parameter = Parameter::new(&field(DataType::Utf8), Type::UUID.oid()).unwrap();
    let bytes = Bytes::copy_from_slice(uuid.as_bytes());
    let read = parameter.decode(Some(&bytes), Format::Binary, &Zone::UTC).unwrap();
    assert_eq!(read, ScalarValue::Utf8(Some(uuid.to_string())));
}

#[test]
fn arrays_for_any() {
    let list = DataType::new_list(DataType::Int64, true);
    let read = sent(&field(list), &Type::INT8_ARRAY, &vec![Some(1_i64), None, Some(3)]).unwrap();
    let expected = [Some(1), None, Some(3)].map(ScalarValue::Int64);
    assert_eq!(read, ScalarValue::List(ScalarValue::new_list(&expected, &DataType::Int64, true)));
    let texts = DataType::new_list(DataType::Utf8, true);
    let read = sent(&field(texts.clone()), &Type::TEXT_ARRAY, &Vec::<String>::new()).unwrap();
    assert_eq!(read, ScalarValue::List(ScalarValue::new_list(&[], &DataType::Utf8, true)));
    let read = text(&field(texts), 0, r#"{a,"b c",NULL}"#).unwrap();
    let expected =
        [Some("a"), Some("b c"), None].map(|text| ScalarValue::Utf8(text.map(Into::into)));
    assert_eq!(read, ScalarValue::List(ScalarValue::new_list(&expected, &DataType::Utf8, true)));
}

#[test]
fn a_declared_type_is_cast_to_the_one_that_the_plan_wants() {
    let read = sent(&field(DataType::Int64), &Type::INT4, &7_i32).unwrap();
    assert_eq!(read, ScalarValue::Int64(Some(7)));
    let decimal = field(DataType::Decimal128(38, 9));
    let read = sent(&decimal, &Type::INT4, &7_i32).unwrap();
    assert_eq!(read, ScalarValue::Decimal128(Some(7_000_000_000), 38, 9));
    let too_large = sent(&field(DataType::Int16), &Type::INT4, &70_000_i32).unwrap_err();
    assert_eq!(too_large.sqlstate(), "22003");
}

#[test]
fn nulls_have_the_type_of_the_plan() {
    let parameter = Parameter::new(&field(DataType::Int64), 23).unwrap();
    let read = parameter.decode(None, Format::Binary, &Zone::UTC).unwrap();
    assert_eq!(read, ScalarValue::Int64(None));
}

#[test]
fn texts_follow_the_type_and_bad_ones_have_the_codes_of_postgres() {
    assert_eq!(text(&field(DataType::Int32), 0, " 42 ").unwrap(), ScalarValue::Int32(Some(42)));
    assert_eq!(text(&field(DataType::Null), 0, "x").unwrap(), ScalarValue::Utf8(Some("x".into())));
    assert_eq!(text(&field(DataType::Int32), 0, "x").unwrap_err().sqlstate(), "22P02");
    assert_eq!(text(&field(DataType::Int16), 0, "70000").unwrap_err().sqlstate(), "22003");
    assert_eq!(text(&field(DataType::Date32), 0, "yesterdayish").unwrap_err().sqlstate(), "22007");
    let uuid = field(DataType::Utf8).with_metadata([(TYPE_KEY.into(), "uuid".into())].into());
    assert_eq!(text(&uuid, 0, "x").unwrap_err().sqlstate(), "22P02");
    assert_eq!(text(&field(DataType::Utf8), 2950, "x").unwrap_err().sqlstate(), "22P02");
    let bad = Parameter::new(&field(DataType::Utf8), 0).unwrap();
    let error = bad.decode(Some(&Bytes::from_static(b"\xff")), Format::Text, &Zone::UTC);
    assert_eq!(error.unwrap_err().sqlstate(), "22021");
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let refused = |oid: u32, bytes: &[u8]| {
        let parameter = Parameter::new(&field(DataType::Null), oid).unwrap();
        let bytes = Bytes::copy_from_slice(bytes);
        parameter.decode(Some(&bytes), Format::Binary, &Zone::UTC).unwrap_err().sqlstate()
    };
    assert_eq!(refused(1082, &i32::MAX.to_be_bytes()), "0A000"); // infinity
    assert_eq!(refused(1184, &i64::MIN.to_be_bytes()), "0A000");
    assert_eq!(refused(1114, &(i64::MAX - 1).to_be_bytes()), "22008");
    assert_eq!(refused(1700, &[0, 0, 0, 0, 0xc0, 0, 0, 0]), "22003"); // NaN
    assert_eq!(refused(1700, &[0, 1, 0, 9, 0, 0, 0, 0, 0x27, 0x0f]), "22003"); // 9999e36
    assert_eq!(refused(23, &[1, 2, 3]), "22P03");
    assert_eq!(refused(1083, &(-1_i64).to_be_bytes()), "22008");
    assert_eq!(refused(3802, b"\x02{}"), "22P03");
    assert_eq!(refused(3802, b"\x01{"), "22P02");
}
