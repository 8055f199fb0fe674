//! JSON lines, with serde_json and PostgreSQL's `json_populate_record` as the models.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{decode, rows, text_columns, typed};
use crate::decode::{Format, Options, UnknownFields};
use crate::error::Error;
use crate::text::TYPE_KEY;

fn options(unknown: UnknownFields) -> Options {
    Options::new(Format::JsonLines(unknown))
}

fn schema() -> SchemaRef {
    let item = |data_type| Arc::new(Field::new_list_field(data_type, true));
    let pair = vec![Field::new("x", DataType::Int32, true), Field::new("y", DataType::Utf8, true)];
    Arc::new(Schema::new(vec![
        Field::new("i", DataType::Int64, true),
        Field::new("n", DataType::Decimal128(10, 2), true),
        Field::new("b", DataType::Boolean, true),
        Field::new("t", DataType::Utf8, true),
        typed("j", "json"),
        typed("jb", "jsonb"),
        Field::new("s", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("l", DataType::List(item(DataType::Utf8)), true),
        Field::new("p", DataType::Struct(pair.into()), true),
        Field::new("ja", DataType::List(item(DataType::Utf8)), true)
            .with_metadata([(TYPE_KEY.to_owned(), "jsonb[]".to_owned())].into()),
    ]))
}

/// The values that are not NULL in the one row of a line, as `name=value`.
fn values(line: &str) -> Result<Vec<String>, (&'static str, String, Option<String>)> {
    let schema = schema();
    match decode(&schema, &options(UnknownFields::Refuse), line.as_bytes(), 3) {
        Ok(batches) => {
            let rows = rows(&batches);
            assert_eq!(rows.len(), 1);
            let named = schema.fields().iter().zip(&rows[0]);
            let shown = named.filter_map(|(field, value)| {
                value.as_ref().map(|value| format!("{}={value}", field.name()))
            });
            Ok(shown.collect())
        }
        Err(Error::Row(error)) => {
            let detail = error.reason().detail().map(str::to_owned);
            Err((error.reason().sqlstate(), error.to_string(), detail))
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn values_reach_columns_as_json_populate_record_takes_them() {
    for (line, expected) in [
        (r#"{}"#, vec![]),
        (r#"{"i":1,"n":1.005,"b":true,"t":"x"}"#, vec!["i=1", "n=1.01", "b=t", "t=x"]),
        (r#" { "t" : "a" , "i" : "12" } "#, vec!["i=12", "t=a"]),
        (r#"{"i":null,"t":null,"j":null,"l":null}"#, vec![]),
        (r#"{"t":12.50}"#, vec!["t=12.50"]),
        (r#"{"t":{"a": [1]}}"#, vec![r#"t={"a": [1]}"#]),
        (r#"{"t":"\u00e9\n\"\\"}"#, vec!["t=é\n\"\\"]),
        (r#"{"t":""}"#, vec!["t="]),
        (r#"{"j":"a\"b","jb":{"b":1,"a":2}}"#, vec![r#"j="a\"b""#, r#"jb={"a": 2, "b": 1}"#]),
        (r#"{"s":"2013-01-01T05:00:00Z"}"#, vec!["s=2013-01-01 05:00:00+00"]),
        (r#"{"l":["a","b c",null,"NULL","\"",1]}"#, vec![r#"l={a,"b c",NULL,"NULL","\"",1}"#]),
        (r#"{"l":[]}"#, vec!["l={}"]),
        (r#"{"l":"{a,b}"}"#, vec!["l={a,b}"]),
        (r#"{"p":{"y":"a,b","x":1}}"#, vec![r#"p=(1,"a,b")"#]),
        (r#"{"p":{}}"#, vec!["p=(,)"]),
        (r#"{"ja":["a",{"b":1, "a":2}]}"#, vec![r#"ja={"\"a\"","{\"a\": 2, \"b\": 1}"}"#]),
        (r#"{"i":1,"i":2}"#, vec!["i=2"]),
        (r#"{"\u0069":3}"#, vec!["i=3"]),
    ] {
        assert_eq!(values(line).unwrap(), expected, "{line}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_its_line() {
    for (line, sqlstate, message, detail) in [
        (r#"{"x":1}"#, "22P04", "field \"x\" matches no column", None),
        (r#"{"p":{"z":1}}"#, "22P04", "field \"z\" matches no column", None),
        (r#"{"i":"a"}"#, "22P02", "invalid input syntax for type bigint: \"a\"", None),
        (r#"{"i":1.5}"#, "22P02", "invalid input syntax for type bigint: \"1.5\"", None),
        (r#"{"i":true}"#, "22P02", "invalid input syntax for type bigint: \"true\"", None),
        (
            r#"{"l":[{"a":1}}"#,
            "22P02",
            "invalid input syntax for type json",
            Some("Expected \",\" or \"]\", but found \"}\"."),
        ),
        (
            r#"[1]"#,
            "22P02",
            "invalid input syntax for type json",
            Some("Expected \"{\", but found \"[\"."),
        ),
        (
            r#"{"i":1} x"#,
            "22P02",
            "invalid input syntax for type json",
            Some("Token \"x\" is invalid."),
        ),
        (
            r#"{"i":1"#,
            "22P02",
            "invalid input syntax for type json",
            Some("The input string ended unexpectedly."),
        ),
        (
            r#"{"t":"\u0000"}"#,
            "22P05",
            "unsupported Unicode escape sequence",
            Some("\\u0000 cannot be converted to text."),
        ),
    ] {
        let error = values(line).unwrap_err();
        let expected = (sqlstate, message.to_owned(), detail.map(str::to_owned));
        assert_eq!(error, expected, "{line}");
    }
    let schema = text_columns(&["t"]);
    let input = b"{\"t\":1}\n\n \r\n{\"t\":2}\r\n{\"t\":\n";
    match decode(&schema, &options(UnknownFields::Refuse), input, 4) {
        Err(Error::Row(error)) => assert_eq!(error.context("t"), "COPY t, line 5: \"{\"t\":\""),
        other => panic!("{other:?}"),
    }
}

#[test]
fn unknown_fields_are_passed_over_if_told() {
    let schema = text_columns(&["t"]);
    let input = br#"{"a":[{"b":"}"}],"t":1,"c":null}"#;
    let batches = decode(&schema, &options(UnknownFields::Ignore), input, 5).unwrap();
    assert_eq!(rows(&batches), [[Some("1".to_owned())]]);
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c\"\\\\\n é\u{1}😀]{0,6}".prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            ("[a-c]", inner).prop_map(|(key, value)| json!({ key: value })),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_serde(
        objects in proptest::collection::vec(
            proptest::collection::hash_map("[abx]", value(), 0..4),
            0..10,
        ),
        chunk_bytes in 1_usize..60,
    ) {
        let lines = objects.iter().map(|object| {
            let object: Map<_, _> = object.clone().into_iter().collect();
            Value::from(object).to_string() + "\n"
        });
        let input: String = lines.collect();
        let options = Options { chunk_bytes, ..options(UnknownFields::Ignore) };
        let batches = decode(&text_columns(&["a", "b"]), &options, input.as_bytes(), 9).unwrap();
        let text = |value: Option<&Value>| match value {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        let expected: Vec<Vec<_>> =
            objects.iter().map(|object| ["a", "b"].map(|key| text(object.get(key))).to_vec()).collect();
        prop_assert_eq!(rows(&batches), expected);
    }
}
