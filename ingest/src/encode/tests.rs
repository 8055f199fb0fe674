//! Rows to bytes, with PostgreSQL's own files as the judge, and back again.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use bytes::Bytes;
use proptest::prelude::*;

use super::{Encoder, ForceQuote, Format, Options};
use crate::decode;
use crate::dialect::{Dialect, DialectOptions};
use crate::text::{Parser, TYPE_KEY, Zone};

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn schema(table: &str) -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let fields = match table {
        "one" => vec![text("a")],
        "two" => vec![text("a"), text("b b")],
        _ => vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", DataType::Decimal128(8, 2), true),
            Field::new("c", DataType::Boolean, true),
            Field::new("d", DataType::Date32, true),
            Field::new("e", DataType::Binary, true),
        ],
    };
    Arc::new(Schema::new(fields))
}

fn batch(schema: &SchemaRef, rows: &[Vec<Option<String>>]) -> RecordBatch {
    let arrays = schema.fields().iter().enumerate().map(|(column, field)| {
        let mut parser = Parser::new(field, &Zone::UTC).unwrap();
        rows.iter().for_each(|row| parser.append(row[column].as_deref()).unwrap());
        parser.finish().unwrap()
    });
    RecordBatch::try_new(Arc::clone(schema), arrays.collect()).unwrap()
}

fn written(options: &Options, batches: &[RecordBatch]) -> Vec<u8> {
    let encoder = Encoder::new(&batches[0].schema(), options).unwrap();
    let mut out = Vec::new();
    encoder.start(&mut out);
    batches.iter().for_each(|batch| encoder.encode(batch, &mut out).unwrap());
    out
}

fn options(name: &str) -> Options {
    let csv = |given| Options::new(Format::Delimited(Dialect::csv(given).unwrap()));
    let text = |given| Options::new(Format::Delimited(Dialect::text(given).unwrap()));
    let default = DialectOptions::default();
    match name {
        "two-csv" | "one-csv" | "typed-csv" => csv(default),
        "two-csv-header" => Options { header: true, ..csv(default) },
        "two-csv-odd" => Options {
            header: true,
            ..csv(DialectOptions {
                delimiter: Some(" "),
                quote: Some("'"),
                escape: Some("\\"),
                null: Some("N"),
            })
        },
        "two-csv-force" => {
            Options { force_quote: ForceQuote::Columns(vec!["b b".to_owned()]), ..csv(default) }
        }
        "two-csv-force-all" => Options {
            force_quote: ForceQuote::All,
            ..csv(DialectOptions { null: Some("N"), ..default })
        },
        "two-text" | "one-text" | "typed-text" => text(default),
        "two-text-header" => {
            Options { header: true, ..text(DialectOptions { delimiter: Some(" "), ..default }) }
        }
        "two-text-odd" => text(DialectOptions { delimiter: Some("|"), null: Some("N"), ..default }),
        "typed-csv-odd" => csv(DialectOptions { delimiter: Some("-"), null: Some("1"), ..default }),
        "typed-csv-quote" => csv(DialectOptions { quote: Some("0"), escape: Some("."), ..default }),
        "typed-text-odd" => {
            text(DialectOptions { delimiter: Some("-"), null: Some("t"), ..default })
        }
        other => panic!("{other}"),
    }
}

#[test]
fn agrees_with_postgres_byte_for_byte() {
    let file = include_str!("../../tests/data/copy_out.tsv");
    let mut count = 0;
    for line in file.lines() {
        let [name, rows, expected] =
            <[&str; 3]>::try_from(line.split('\t').collect::<Vec<_>>()).unwrap();
        let value = |text: &str| {
            text.strip_prefix('x').map(|digits| String::from_utf8(unhex(digits)).unwrap())
        };
        let rows: Vec<Vec<_>> =
            rows.split(';').map(|row| row.split(',').map(value).collect()).collect();
        let schema = schema(name.split('-').next().unwrap());
        let (first, second) = rows.split_at(1);
        let batches = [batch(&schema, first), batch(&schema, second)];
        let actual = written(&options(name), &batches);
        let expected = unhex(expected);
        assert_eq!(
            String::from_utf8(actual).unwrap(),
            String::from_utf8(expected).unwrap(),
            "{name} {rows:?}"
        );
        count += 1;
    }
    assert!(count > 300);
}

#[test]
fn an_unknown_force_quote_column_is_named() {
    let force_quote = ForceQuote::Columns(vec!["x".to_owned()]);
    let options = Options { force_quote, ..options("two-csv") };
    let error = Encoder::new(&schema("two"), &options).unwrap_err();
    assert_eq!(error.to_string(), "FORCE_QUOTE column \"x\" not referenced by COPY");
    assert_eq!(error.sqlstate(), "42P10");
}

#[test]
fn json_takes_the_forms_of_to_json() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    let record = StructArray::from(vec![(
        Arc::new(Field::new("k", DataType::Utf8, true)),
        Arc::new(StringArray::from(vec![Some("a\"b"), None, Some("\u{1}")])) as ArrayRef,
    )]);
    let json = Field::new("j", DataType::Utf8, true)
        .with_metadata([(TYPE_KEY.to_owned(), "json".to_owned())].into());
    let stamps = TimestampMicrosecondArray::from(vec![0, 1_500_000, -62_135_596_800_000_001]);
    let stamps = stamps.with_timezone("UTC");
    let fields = vec![
        Field::new("n\"", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        json,
        Field::new("l", list.data_type().clone(), true),
        Field::new("r", record.data_type().clone(), true),
        Field::new("t", stamps.data_type().clone(), true),
    ];
    let batch = RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        vec![
            Arc::new(Int64Array::from(vec![Some(1), None, Some(-2)])),
            Arc::new(Float64Array::from(vec![1.5, f64::NAN, f64::NEG_INFINITY])),
            Arc::new(StringArray::from(vec![Some("{\"a\": 1}"), None, Some("[]")])),
            Arc::new(list),
            Arc::new(record),
            Arc::new(stamps),
        ],
    )
    .unwrap();
    let text = String::from_utf8(written(&Options::new(Format::JsonLines), &[batch])).unwrap();
    let expected = [
        r#"{"n\"":1,"f":1.5,"j":{"a": 1},"l":[1,null],"r":{"k":"a\"b"},"t":"1970-01-01T00:00:00+00:00"}"#,
        r#"{"n\"":null,"f":"NaN","j":null,"l":null,"r":{"k":null},"t":"1970-01-01T00:00:01.5+00:00"}"#,
        r#"{"n\"":-2,"f":"-Infinity","j":[],"l":[],"r":{"k":"\u0001"},"t":"0001-12-31T23:59:59.999999+00 BC"}"#,
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

/// Rows of two texts, some of them NULL, with the characters that formats care about.
fn rows() -> impl Strategy<Value = Vec<Vec<Option<String>>>> {
    let text = proptest::option::of("[a-cN,;\"'\\\\.\n\r\t |é\u{1}]{0,5}");
    proptest::collection::vec(proptest::collection::vec(text, 2), 1..12)
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(rows in rows(), chunk_bytes in 1_usize..40) {
        let schema = schema("two");
        let batch = batch(&schema, &rows);
        for name in ["two-csv", "two-csv-odd", "two-csv-force-all", "two-text", "two-text-header"] {
            let options = options(name);
            let bytes = written(&options, std::slice::from_ref(&batch));
            let Format::Delimited(dialect) = &options.format else { unreachable!() };
            let header =
                if options.header { decode::Header::Match } else { decode::Header::Absent };
            let options = decode::Options {
                header,
                chunk_bytes,
                ..decode::Options::new(decode::Format::Delimited(dialect.clone()))
            };
            assert_read_again(&batch, options, &bytes);
        }
        let bytes = written(&Options::new(Format::JsonLines), std::slice::from_ref(&batch));
        let format = decode::Format::JsonLines(decode::UnknownFields::Refuse);
        let options = decode::Options { chunk_bytes, ..decode::Options::new(format) };
        assert_read_again(&batch, options, &bytes);
    }
}

fn assert_read_again(batch: &RecordBatch, options: decode::Options, bytes: &[u8]) {
    let mut decoder = decode::Decoder::new(&batch.schema(), options).unwrap();
    let mut batches = decoder.feed(&Bytes::copy_from_slice(bytes)).unwrap();
    batches.extend(decoder.finish().unwrap());
    let again = arrow::compute::concat_batches(&batch.schema(), &batches).unwrap();
    assert_eq!(&again, batch, "{:?}", String::from_utf8_lossy(bytes));
}
