//! Binary values against readers that others wrote: what `postgres-types` reads is what Arrow held.
#![expect(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "tests; arrays and values are written where they are used"
)]

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{
    BinaryArray, DictionaryArray, DurationMicrosecondArray, FixedSizeBinaryArray, Int8Array,
    LargeStringArray, ListArray, StringArray, StringViewArray, StructArray,
    TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{Field, Int32Type, i256};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use postgres_types::{FromSql, Type};
use proptest::prelude::*;
use sql::types::{TYPE_KEY, by_name, pg_type_of};

use super::*;

/// The bytes of every row, without their length; none for NULL.
fn encoded(array: ArrayRef, type_text: Option<&str>) -> Vec<Option<Vec<u8>>> {
    let mut field = Field::new("c", array.data_type().clone(), true);
    if let Some(text) = type_text {
        field = field.with_metadata([(TYPE_KEY.to_owned(), text.to_owned())].into());
    }
    let column = BinaryColumn::new(&array, &pg_type_of(&field)).unwrap();
    (0..array.len())
        .map(|row| {
            let mut out = Vec::new();
            column.write(row, &mut out);
            let (length, value) = out.split_first_chunk::<4>().unwrap();
            match i32::from_be_bytes(*length) {
                -1 => None,
                length => {
                    assert_eq!(length as usize, value.len());
                    Some(value.to_vec())
                }
            }
        })
        .collect()
}

/// What a reader of the field makes of the column.
fn decoded<T>(array: ArrayRef, type_text: Option<&str>, pg_type: &Type) -> Vec<Option<T>>
where
    T: for<'a> FromSql<'a>,
{
    assert!(T::accepts(pg_type));
    let read = |bytes: Option<Vec<u8>>| bytes.map(|bytes| T::from_sql(pg_type, &bytes).unwrap());
    encoded(array, type_text).into_iter().map(read).collect()
}

fn assert_same<T>(array: impl Array + 'static, pg_type: &Type, expected: Vec<Option<T>>)
where
    T: for<'a> FromSql<'a> + PartialEq + Debug,
{
    assert_eq!(decoded::<T>(Arc::new(array), None, pg_type), expected);
}

proptest! {
    #[test]
    fn numbers_are_read_back(
        bools in any::<Vec<Option<bool>>>(),
        shorts in any::<Vec<Option<i16>>>(),
        ints in any::<Vec<Option<i32>>>(),
        longs in any::<Vec<Option<i64>>>(),
        floats in any::<Vec<Option<f32>>>(),
        doubles in any::<Vec<Option<f64>>>(),
    ) {
        assert_same(BooleanArray::from(bools.clone()), &Type::BOOL, bools);
        assert_same(Int16Array::from(shorts.clone()), &Type::INT2, shorts);
        assert_same(Int32Array::from(ints.clone()), &Type::INT4, ints);
        assert_same(Int64Array::from(longs.clone()), &Type::INT8, longs);
        assert_same(Float32Array::from(floats.clone()), &Type::FLOAT4, floats);
        assert_same(Float64Array::from(doubles.clone()), &Type::FLOAT8, doubles);
    }

    #[test]
    fn texts_and_bytes_are_read_back(
        texts in any::<Vec<Option<String>>>(),
        bytes in any::<Vec<Option<Vec<u8>>>>(),
    ) {
        assert_same(StringArray::from(texts.clone()), &Type::TEXT, texts.clone());
        assert_same(LargeStringArray::from(texts.clone()), &Type::TEXT, texts.clone());
        let views = StringViewArray::from_iter(texts.clone());
        assert_same(views, &Type::TEXT, texts.clone());
        let words: DictionaryArray<Int32Type> = texts.iter().map(|text| text.as_deref()).collect();
        assert_same(words, &Type::TEXT, texts);
        let slices: Vec<Option<&[u8]>> = bytes.iter().map(|bytes| bytes.as_deref()).collect();
        assert_same(BinaryArray::from(slices.clone()), &Type::BYTEA, bytes.clone());
        assert_same(BinaryViewArray::from(slices), &Type::BYTEA, bytes);
    }

    #[test]
    fn times_are_read_back(
        days in proptest::collection::vec(proptest::option::of(-700_000..2_000_000_i32), 0..20),
        instants in proptest::collection::vec(
            proptest::option::of(-60_000_000_000_000_000..200_000_000_000_000_000_i64), 0..20),
        clock in proptest::collection::vec(proptest::option::of(0..86_400_000_000_i64), 0..20),
    ) {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        let dates = days.iter().map(|day| day.map(|day| epoch + TimeDelta::days(day.into())));
        assert_same(Date32Array::from(days.clone()), &Type::DATE, dates.collect());
        let at = |micros: i64| DateTime::<Utc>::from_timestamp_micros(micros).unwrap();
        let zoned = instants.iter().map(|micros| micros.map(at)).collect();
        let local: Vec<Option<NaiveDateTime>> =
            instants.iter().map(|micros| micros.map(|micros| at(micros).naive_utc())).collect();
        let array = TimestampMicrosecondArray::from(instants);
        assert_same(array.clone().with_timezone("UTC"), &Type::TIMESTAMPTZ, zoned);
        assert_same(array, &Type::TIMESTAMP, local);
        let midnight = NaiveTime::MIN;
        let times = clock.iter().map(|time| time.map(|time| midnight + TimeDelta::microseconds(time)));
        assert_same(Time64MicrosecondArray::from(clock.clone()), &Type::TIME, times.collect());
    }

    #[test]
    fn arrays_are_read_back(lists in any::<Vec<Option<Vec<Option<i32>>>>>()) {
        let array = ListArray::from_iter_primitive::<Int32Type, _, _>(lists.clone());
        assert_same(array, &Type::INT4_ARRAY, lists);
    }

    #[test]
    fn numerics_are_the_digits_that_they_were(
        value in -99_999_999_999_999_999_999_999_999_999_999_999_999_i128
            ..=99_999_999_999_999_999_999_999_999_999_999_999_999,
        shift in 0..38_u32,
        scale in 0..=38_i8,
    ) {
        let value = value / 10_i128.pow(shift);
        let array = Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale).unwrap();
        let expected = plain_decimal(&value.to_string(), scale);
        let bytes = encoded(Arc::new(array), None).remove(0).unwrap();
        prop_assert_eq!(&numeric_text(&bytes), &expected);
        let wide = Decimal256Array::from(vec![i256::from_i128(value)])
            .with_precision_and_scale(76, scale)
            .unwrap();
        let bytes = encoded(Arc::new(wide), None).remove(0).unwrap();
        prop_assert_eq!(numeric_text(&bytes), expected);
    }
}

/// `-12345` with a scale of 2 is `-123.45`.
fn plain_decimal(digits: &str, scale: i8) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let scale = scale as usize;
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let point = if scale > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}

/// Reads a binary numeric as the documentation of `numeric_send` describes it, digit by digit.
fn numeric_text(bytes: &[u8]) -> String {
    let words: Vec<i16> =
        bytes.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect();
    let [count, weight, sign, scale, groups @ ..] = words.as_slice() else { unreachable!() };
    assert_eq!(groups.len(), *count as usize);
    assert!(groups.iter().all(|group| (0..10_000).contains(group)));
    assert!(groups.first() != Some(&0) && groups.last() != Some(&0), "{groups:?}");
    let group_at = |place: i16| {
        let index = usize::try_from(*weight - place).ok();
        index.and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    let whole: String =
        (0..=(*weight).max(0)).rev().map(|place| format!("{:04}", group_at(place))).collect();
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let mut fraction: String = (1..=12).map(|place| format!("{:04}", group_at(-place))).collect();
    assert!(fraction[*scale as usize..].bytes().all(|digit| digit == b'0'), "{fraction}");
    fraction.truncate(*scale as usize);
    let point = if *scale > 0 { "." } else { "" };
    let sign = if *sign == 0x4000 { "-" } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}

#[test]
fn numerics_of_every_width_and_with_a_negative_scale() {
    let array = Decimal128Array::from(vec![12_345]).with_precision_and_scale(20, -1).unwrap();
    let bytes = encoded(Arc::new(array), None).remove(0).unwrap();
    assert_eq!(numeric_text(&bytes), "123450");
    let widest = i256::from_string(&"9".repeat(76)).unwrap();
    let array = Decimal256Array::from(vec![widest]).with_precision_and_scale(76, 37).unwrap();
    let bytes = encoded(Arc::new(array), None).remove(0).unwrap();
    assert_eq!(numeric_text(&bytes), plain_decimal(&"9".repeat(76), 37));
    let narrow =
        arrow::array::Decimal32Array::from(vec![-105]).with_precision_and_scale(9, 2).unwrap();
    let bytes = encoded(Arc::new(narrow), None).remove(0).unwrap();
    assert_eq!(numeric_text(&bytes), "-1.05");
    // The very bytes of PostgreSQL 15: SELECT numeric_send(12345.678).
    let array = Decimal128Array::from(vec![12_345_678]).with_precision_and_scale(10, 3).unwrap();
    let expected = [0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 0x09, 0x29, 0x1a, 0x7c];
    assert_eq!(encoded(Arc::new(array), None), [Some(expected.to_vec())]);
}

#[test]
fn types_that_only_metadata_names() {
    let text = "0192f0c4-1111-7abc-8def-0123456789ab";
    let uuid = Uuid::parse_str(text).unwrap();
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some(text), None]));
    assert_eq!(encoded(texts, Some("uuid")), [Some(uuid.as_bytes().to_vec()), None]);
    let bytes = FixedSizeBinaryArray::try_from_iter([uuid.as_bytes()].into_iter()).unwrap();
    assert_eq!(encoded(Arc::new(bytes), Some("uuid")), [Some(uuid.as_bytes().to_vec())]);
    let json: ArrayRef = Arc::new(StringArray::from(vec!["[1]"]));
    assert_eq!(encoded(Arc::clone(&json), Some("jsonb")), [Some(b"\x01[1]".to_vec())]);
    assert_eq!(encoded(json, Some("json")), [Some(b"[1]".to_vec())]);
    let times: ArrayRef = Arc::new(StringArray::from(vec!["01:02:03.000004"]));
    let expected = NaiveTime::from_hms_micro_opt(1, 2, 3, 4).unwrap();
    assert_eq!(decoded::<NaiveTime>(times, Some("time"), &Type::TIME), [Some(expected)]);
    let oids: ArrayRef = Arc::new(UInt32Array::from(vec![u32::MAX]));
    assert_eq!(decoded::<u32>(oids, Some("oid"), &Type::OID), [Some(u32::MAX)]);
    let names: ArrayRef = Arc::new(StringArray::from(vec!["pg_class"]));
    assert_eq!(decoded::<String>(names, Some("name"), &Type::NAME), [Some("pg_class".into())]);
    let values = StringArray::from(vec![text]);
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([1]);
    let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
    let lists: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::new(values), None));
    let bytes = encoded(lists, Some("uuid[]")).remove(0).unwrap();
    assert_eq!(bytes[8..12], 2950_u32.to_be_bytes());
    assert_eq!(bytes[24..], *uuid.as_bytes());
}

#[test]
fn units_and_widths_that_postgres_lacks() {
    assert_same(Int8Array::from(vec![-1]), &Type::INT2, vec![Some(-1_i16)]);
    assert_same(UInt64Array::from(vec![7]), &Type::INT8, vec![Some(7_i64)]);
    let micros = |micros: i64| DateTime::<Utc>::from_timestamp_micros(micros).unwrap().naive_utc();
    let array = TimestampMillisecondArray::from(vec![-1]);
    assert_same(array, &Type::TIMESTAMP, vec![Some(micros(-1_000))]);
    // Before the epoch as after it: the microsecond that has begun.
    let array = TimestampNanosecondArray::from(vec![-1, 1_999]);
    assert_same(array, &Type::TIMESTAMP, vec![Some(micros(-1)), Some(micros(1))]);
}

#[test]
fn intervals_are_microseconds_days_and_months() {
    let nanos = 3_600_000_000_000;
    let array = IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(14, -3, nanos)]);
    let expected = [&3_600_000_000_i64.to_be_bytes()[..], &(-3_i32).to_be_bytes(), &[0, 0, 0, 14]];
    assert_eq!(encoded(Arc::new(array), None), [Some(expected.concat())]);
    let array = DurationMicrosecondArray::from(vec![86_400_000_001]);
    let expected = [&1_i64.to_be_bytes()[..], &1_i32.to_be_bytes(), &[0; 4]];
    assert_eq!(encoded(Arc::new(array), None), [Some(expected.concat())]);
}

#[test]
fn records_tell_the_type_of_each_field() {
    let ints: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), None]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let array = StructArray::from(vec![
        (Arc::new(Field::new("n", DataType::Int32, true)), ints),
        (Arc::new(Field::new("t", DataType::Utf8, false)), texts),
    ]);
    let (int4, text) = (23_u32.to_be_bytes(), 25_u32.to_be_bytes());
    let first = [&[0, 0, 0, 2], &int4[..], &[0, 0, 0, 4, 0, 0, 0, 7], &text, &[0, 0, 0, 1], b"a"];
    let second = [&[0, 0, 0, 2], &int4[..], &[0xff; 4], &text, &[0, 0, 0, 1], b"b"];
    assert_eq!(encoded(Arc::new(array), None), [Some(first.concat()), Some(second.concat())]);
}

#[test]
fn what_does_not_fit_is_an_error_and_not_a_null() {
    let refused = |array: ArrayRef, name: &str| {
        BinaryColumn::new(&array, &by_name(name).unwrap()).unwrap_err()
    };
    let large: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
    assert_eq!(refused(large, "int8").sqlstate(), "22003");
    let text: ArrayRef = Arc::new(StringArray::from(vec!["nonsense"]));
    assert_eq!(refused(Arc::clone(&text), "uuid").sqlstate(), "22P02");
    assert_eq!(refused(Arc::clone(&text), "money").sqlstate(), "0A000");
    let inner = ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1)])]);
    let item = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([1]);
    let nested: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::new(inner), None));
    assert_eq!(refused(nested, "_int4").sqlstate(), "0A000");
}

#[test]
fn a_slice_of_a_column_is_its_own_rows() {
    let array = Int32Array::from(vec![Some(1), None, Some(3), Some(4)]).slice(1, 2);
    assert_same(array, &Type::INT4, vec![None, Some(3)]);
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1)]),
        None,
        Some(vec![Some(2), None]),
    ]);
    assert_same(lists.slice(2, 1), &Type::INT4_ARRAY, vec![Some(vec![Some(2), None])]);
}
