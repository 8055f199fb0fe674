//! Arrow types that PostgreSQL's answers cannot cover, and texts that are refused on purpose.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, Date32Array, Date64Array, Decimal256Array,
    DictionaryArray, DurationMicrosecondArray, FixedSizeBinaryArray, FixedSizeListArray, Int8Array,
    Int32Array, Int32Builder, IntervalDayTimeArray, IntervalYearMonthArray, LargeBinaryArray,
    LargeListArray, LargeStringArray, ListViewArray, MapBuilder, NullArray, RunArray, StringArray,
    StringBuilder, StringViewArray, Time32SecondArray, Time64NanosecondArray,
    TimestampMicrosecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int8Type, Int32Type, IntervalDayTime, TimeUnit, i256};

use super::{Formatter, Parser, Zone, field, shown};

/// What a column shows, row by row; `None` for NULL.
fn rows(array: &dyn Array) -> Vec<Option<String>> {
    let formatter = Formatter::new(array, &Zone::UTC).unwrap();
    (0..array.len())
        .map(|row| {
            (!formatter.is_null(row)).then(|| {
                let mut bytes = Vec::new();
                formatter.write(row, &mut bytes);
                String::from_utf8(bytes).unwrap()
            })
        })
        .collect()
}

fn assert_shows<const N: usize>(array: &dyn Array, expected: [Option<&str>; N]) {
    let expected: Vec<_> = expected.iter().map(|text| text.map(str::to_owned)).collect();
    assert_eq!(rows(array), expected, "{}", array.data_type());
}

#[test]
fn other_widths_and_units() {
    assert_shows(&Int8Array::from(vec![Some(-128), None]), [Some("-128"), None]);
    assert_shows(&UInt64Array::from(vec![u64::MAX]), [Some("18446744073709551615")]);
    assert_shows(&NullArray::new(2), [None, None]);
    let wide = i256::from_i128(i128::MAX).wrapping_mul(i256::from_i128(1_000));
    let wide = Decimal256Array::from(vec![wide]).with_precision_and_scale(76, 3).unwrap();
    assert_shows(&wide, [Some("170141183460469231731687303715884105727.000")]);
    let negative_scale = cast(&Int32Array::from(vec![1_200, 0]), &DataType::Decimal128(10, -2));
    assert_shows(&negative_scale.unwrap(), [Some("1200"), Some("0")]);
    assert_shows(&Date64Array::from(vec![-1]), [Some("1969-12-31")]);
    assert_shows(&Time32SecondArray::from(vec![86_399]), [Some("23:59:59")]);
    assert_shows(&Time64NanosecondArray::from(vec![1_500]), [Some("00:00:00.000001")]);
    assert_shows(&TimestampSecondArray::from(vec![-1]), [Some("1969-12-31 23:59:59")]);
    let nanos = TimestampNanosecondArray::from(vec![-1, 1_001]).with_timezone("+00:00");
    assert_shows(
        &nanos,
        [Some("1969-12-31 23:59:59.999999+00"), Some("1970-01-01 00:00:00.000001+00")],
    );
    assert_shows(&IntervalYearMonthArray::from(vec![-13]), [Some("-1 years -1 mons")]);
    let day_time = IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, -1_500)]);
    assert_shows(&day_time, [Some("1 day -00:00:01.5")]);
    let durations = DurationMicrosecondArray::from(vec![90_000_000_000, -1]);
    assert_shows(&durations, [Some("1 day 01:00:00"), Some("-00:00:00.000001")]);
    assert_shows(&BinaryViewArray::from(vec![&b"\x00\xff"[..]]), [Some("\\x00ff")]);
    assert_shows(&LargeBinaryArray::from(vec![&b""[..]]), [Some("\\x")]);
    let fixed = FixedSizeBinaryArray::new(2, vec![1_u8, 2].into(), None);
    assert_shows(&fixed, [Some("\\x0102")]);
    assert_shows(&StringViewArray::from(vec![Some("ä"), None]), [Some("ä"), None]);
    assert_shows(&LargeStringArray::from(vec!["ä"]), [Some("ä")]);
}

#[test]
fn the_ends_of_every_range_are_shown() {
    assert_eq!(rows(&Date32Array::from(vec![i32::MIN, i32::MAX])).len(), 2);
    let ends = TimestampMicrosecondArray::from(vec![i64::MIN, i64::MAX]);
    assert_eq!(rows(&ends.clone().with_timezone("UTC")).len(), 2);
    assert_eq!(rows(&ends)[1].as_deref(), Some("294247-01-10 04:00:54.775807"));
    let zone = Zone::named("Europe/Berlin").unwrap();
    let formatter = Formatter::new(&ends.with_timezone("UTC"), &zone).unwrap();
    formatter.write(0, &mut Vec::new());
    formatter.write(1, &mut Vec::new());
    assert_eq!(rows(&TimestampSecondArray::from(vec![i64::MIN, i64::MAX])).len(), 2);
    assert_eq!(rows(&DurationMicrosecondArray::from(vec![i64::MIN, i64::MAX])).len(), 2);
}

#[test]
fn indirect_arrays_show_their_values() {
    let keys = Int8Array::from(vec![Some(1), None, Some(0), Some(2)]);
    let values = StringArray::from(vec![Some("a"), Some("b"), None]);
    let dictionary = DictionaryArray::<Int8Type>::new(keys, Arc::new(values));
    assert_shows(&dictionary, [Some("b"), None, Some("a"), None]);
    let ends = Int32Array::from(vec![2, 3]);
    let runs = RunArray::<Int32Type>::try_new(&ends, &StringArray::from(vec![Some("x"), None]));
    assert_shows(&runs.unwrap(), [Some("x"), Some("x"), None]);
}

#[test]
fn every_kind_of_list_shows_alike() {
    let item = || Arc::new(Field::new_list_field(DataType::Int32, true));
    let lists = cast(
        &arrow::array::ListArray::from_iter_primitive::<Int32Type, _, _>([
            Some(vec![Some(1), None]),
            None,
            Some(vec![Some(3), Some(4)]),
        ]),
        &DataType::List(item()),
    )
    .unwrap();
    let expected = [Some("{1,NULL}"), None, Some("{3,4}")];
    for data_type in [
        DataType::List(item()),
        DataType::LargeList(item()),
        DataType::FixedSizeList(item(), 2),
        DataType::ListView(item()),
        DataType::LargeListView(item()),
    ] {
        let array: ArrayRef = cast(&lists, &data_type).unwrap();
        assert_shows(&array, expected);
        assert_shows(&array.slice(1, 2), [None, Some("{3,4}")]);
    }
    let nested = LargeListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)])]);
    let nested: ArrayRef = Arc::new(nested);
    let outer = FixedSizeListArray::new(
        Arc::new(Field::new_list_field(nested.data_type().clone(), true)),
        1,
        nested,
        None,
    );
    assert_shows(&outer, [Some("{{1}}")]);
    assert!(cast(&lists, &DataType::ListView(item())).unwrap().as_any().is::<ListViewArray>());
}

#[test]
fn maps_show_as_pairs() {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    builder.keys().append_value("a b");
    builder.values().append_value(1);
    builder.append(true).unwrap();
    assert_shows(&builder.finish(), [Some(r#"{"(\"a b\",1)"}"#)]);
}

#[test]
fn text_is_read_into_other_layouts() {
    let read = |data_type: DataType, text: &str| {
        let field = Field::new("c", data_type, true);
        let mut parser = Parser::new(&field, &Zone::UTC).unwrap();
        parser.append(Some(text)).unwrap();
        parser.append(None).unwrap();
        let array = parser.finish().unwrap();
        assert_eq!(array.data_type(), field.data_type());
        rows(&array)
    };
    for data_type in [DataType::LargeUtf8, DataType::Utf8View] {
        assert_eq!(read(data_type, "ä"), [Some("ä".to_owned()), None]);
    }
    for data_type in [DataType::LargeBinary, DataType::BinaryView] {
        assert_eq!(read(data_type, "\\x00"), [Some("\\x00".to_owned()), None]);
    }
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Nanosecond] {
        let shown = read(DataType::Timestamp(unit, None), "2020-01-01");
        assert_eq!(shown[0].as_deref(), Some("2020-01-01 00:00:00"));
    }
    assert_eq!(read(DataType::UInt32, "4294967295")[0].as_deref(), Some("4294967295"));
    assert_eq!(
        read(DataType::UInt64, "18446744073709551615")[0].as_deref(),
        Some("18446744073709551615")
    );
}

/// The SQLSTATE and message with which a text is refused.
fn refusal(type_name: &str, text: &str) -> (&'static str, String) {
    let error = shown(&field(type_name), &Zone::UTC, text).unwrap_err();
    (error.sqlstate(), error.message().to_owned())
}

#[test]
fn values_that_tables_cannot_hold_are_refused() {
    for (type_name, text, sqlstate, message) in [
        ("date", "infinity", "0A000", r#"date value "infinity" is not supported"#),
        ("timestamp", "-infinity", "0A000", r#"timestamp value "-infinity" is not supported"#),
        ("timestamp", "now", "0A000", r#"timestamp value "now" is not supported"#),
        (
            "timestamp with time zone",
            "today 10:00",
            "0A000",
            r#"timestamp with time zone value "today 10:00" is not supported"#,
        ),
        ("numeric(12,2)", "NaN", "22003", r#"numeric value "NaN" cannot be stored"#),
        ("numeric(12,2)", "-Infinity", "22003", r#"numeric value "-Infinity" cannot be stored"#),
        ("int[]", "{{1},{2}}", "0A000", r#"array "{{1},{2}}" is not supported"#),
        ("int[]", "[2:3]={1,2}", "0A000", r#"array "[2:3]={1,2}" is not supported"#),
        ("jsonb", r#""\u0000""#, "22P05", "unsupported Unicode escape sequence"),
    ] {
        assert_eq!(refusal(type_name, text), (sqlstate, message.to_owned()));
    }
}

#[test]
fn deep_json_is_refused_before_the_stack_ends() {
    let deep = "[".repeat(1_000_000);
    for type_name in ["json", "jsonb"] {
        let (sqlstate, message) = refusal(type_name, &deep);
        assert_eq!(sqlstate, "54001");
        assert_eq!(message, "json value is nested deeper than 500 levels");
    }
}

#[test]
fn a_refused_text_leaves_no_trace() {
    for (type_name, good, bad) in [
        ("int", "1", "x"),
        ("boolean", "t", "x"),
        ("text[]", "{a,b}", "{c,d"),
        ("int[]", "{1,2}", "{3,x}"),
        ("bytea", "\\x00", "\\x00zz"),
        ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0"),
    ] {
        let field = field(type_name);
        let mut parser = Parser::new(&field, &Zone::UTC).unwrap();
        let refused = parser.extend(&[Some(good), None, Some(bad), Some(good)]).unwrap_err();
        assert_eq!(refused.index, 2);
        assert_eq!(parser.len(), 2, "{type_name}");
        parser.append(Some(good)).unwrap();
        parser.append(Some(good)).unwrap();
        parser.truncate(3);
        let array = parser.finish().unwrap();
        assert_eq!(array.len(), 3, "{type_name}");
        assert!(parser.is_empty());
        assert_eq!(rows(&array)[0], rows(&array)[2], "{type_name}");
        assert!(array.is_null(1));
        if let Some(list) = array.as_list_opt::<i32>() {
            assert_eq!(list.values().len(), 4, "{type_name}");
        }
    }
}

#[test]
fn a_record_is_read_whole_or_not_at_all() {
    let fields =
        vec![Field::new("n", DataType::Int32, true), Field::new("t", DataType::Utf8, true)];
    let field = Field::new("c", DataType::Struct(fields.into()), true);
    for text in [r#"(1,"a b")"#, "(,)", r#"(1,"")"#, r#"(1,"a""b\\c")"#] {
        assert_eq!(shown(&field, &Zone::UTC, text).unwrap(), text);
    }
    for (text, detail) in [
        ("1,a)", "Missing left parenthesis."),
        ("(1)", "Too few columns."),
        ("(1,a,b)", "Too many columns."),
        ("(1,a", "Unexpected end of input."),
        ("(1,a)b", "Junk after right parenthesis."),
    ] {
        let error = shown(&field, &Zone::UTC, text).unwrap_err();
        assert_eq!(error.message(), format!("malformed record literal: \"{text}\""));
        assert_eq!(error.detail(), Some(detail));
    }
    let mut parser = Parser::new(&field, &Zone::UTC).unwrap();
    assert!(parser.append(Some("(2,a)")).is_ok());
    assert!(parser.append(Some("(x,a)")).is_err());
    assert!(parser.append(Some("(3,b)")).is_ok());
    assert_eq!(rows(&parser.finish().unwrap()), [Some("(2,a)".into()), Some("(3,b)".into())]);
}

#[test]
fn unknown_types_are_named() {
    let metadata = [("tarn.type".to_owned(), "money".to_owned())].into();
    let money = Field::new("c", DataType::Utf8, true).with_metadata(metadata);
    let error = Parser::new(&money, &Zone::UTC).unwrap_err();
    assert_eq!(error.to_string(), "type \"money\" is not known");
    let wide = Field::new("c", DataType::Decimal256(76, 2), true);
    assert!(Parser::new(&wide, &Zone::UTC).is_err());
}
