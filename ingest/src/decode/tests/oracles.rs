//! Random inputs that other readers understand, too.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{decode, rows, text_columns};
use crate::decode::{Decoder, Format, Header, OnError, Options, UnknownFields};
use crate::dialect::{Dialect, DialectOptions};
use crate::error::Error;

fn csv() -> Options {
    Options::new(Format::Delimited(Dialect::csv(DialectOptions::default()).unwrap()))
}

/// The records of a csv input as the csv-core crate reads them.
fn by_csv_core(input: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv_core::Reader::new();
    let mut rest = input;
    let mut fields = vec![0; input.len() + 8];
    let mut ends = vec![0; input.len() + 8];
    let (mut written, mut count) = (0, 0);
    let mut records = Vec::new();
    loop {
        let (result, read, more, ended) =
            reader.read_record(rest, &mut fields[written..], &mut ends[count..]);
        rest = &rest[read..];
        written += more;
        count += ended;
        match result {
            csv_core::ReadRecordResult::Record => {
                let mut start = 0;
                let field = |end: &usize| {
                    let text = String::from_utf8(fields[start..*end].to_vec()).unwrap();
                    start = *end;
                    text
                };
                records.push(ends[..count].iter().map(field).collect());
                (written, count) = (0, 0);
            }
            // The end of the input is told to the reader by giving it nothing.
            csv_core::ReadRecordResult::InputEmpty => {}
            csv_core::ReadRecordResult::End => return records,
            other => panic!("{other:?}"),
        }
    }
}

/// A field that is quoted or not, as it stands in the input.
fn csv_field() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-d éß'\\\\.]{0,9}",
        "[a-d,\"\n\r é]{0,9}".prop_map(|text| format!("\"{}\"", text.replace('"', "\"\""))),
    ]
}

/// A field of the text format: its escapes, and the value that a reader must find.
fn text_field() -> impl Strategy<Value = (String, Option<String>)> {
    let piece = prop_oneof![
        "[a-z é|,]".prop_map(|text| (text.clone(), text)),
        Just(("\\n".to_owned(), "\n".to_owned())),
        Just(("\\t".to_owned(), "\t".to_owned())),
        Just(("\\\\".to_owned(), "\\".to_owned())),
        Just(("\\\t".to_owned(), "\t".to_owned())),
        Just(("\\\n".to_owned(), "\n".to_owned())),
        Just(("\\q".to_owned(), "q".to_owned())),
        Just(("\\x41".to_owned(), "A".to_owned())),
        Just(("\\102".to_owned(), "B".to_owned())),
        Just(("\\xc3\\xa9".to_owned(), "é".to_owned())),
    ];
    let value = vec(piece, 0..6).prop_map(|pieces| {
        let (escaped, plain): (Vec<_>, Vec<_>) = pieces.into_iter().unzip();
        (escaped.concat(), Some(plain.concat()))
    });
    prop_oneof![4 => value, 1 => Just(("\\N".to_owned(), None))]
}

/// Bytes of any kind, among them many that formats care about.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => "[a-c0-9,;\t\"'\\\\{}:\\[\\]. \n\r]",
        1 => Just("\r\n".to_owned()),
        1 => Just("\\.\n".to_owned()),
        1 => Just("{\"a\":1,\"b\":[\"x\"]}\n".to_owned()),
        1 => "é|日".prop_map(|text| text),
    ];
    let piece = prop_oneof![
        9 => piece.prop_map(String::into_bytes),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn formats() -> Vec<Options> {
    let csv = |given| Options::new(Format::Delimited(Dialect::csv(given).unwrap()));
    let default = DialectOptions::default();
    let text = Dialect::text(default).unwrap();
    vec![
        csv(default),
        csv(DialectOptions { escape: Some("\\"), ..default }),
        Options::new(Format::Delimited(text)),
        Options::new(Format::JsonLines(UnknownFields::Refuse)),
    ]
}

proptest! {
    #[test]
    fn no_bytes_break_it_and_no_cut_matters(
        input in any_bytes(),
        chunk_bytes in 1_usize..30,
        piece in 1_usize..30,
        collect in any::<bool>(),
    ) {
        let item = Field::new_list_field(DataType::Utf8, true);
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", DataType::List(Arc::new(item)), true),
        ]));
        let on_error = if collect { OnError::Collect } else { OnError::Stop };
        for options in formats() {
            let whole = Options { on_error, ..options };
            let cut = Options { chunk_bytes, ..whole.clone() };
            let answer = |options: &Options, piece| {
                let mut decoder = Decoder::new(&schema, options.clone()).unwrap();
                let mut batches = Vec::new();
                for piece in input.chunks(piece) {
                    batches.extend(decoder.feed(&Bytes::copy_from_slice(piece))?);
                }
                batches.extend(decoder.finish()?);
                Ok::<_, Error>((rows(&batches), decoder.take_rejected(), decoder.rows()))
            };
            let (whole, cut) = (answer(&whole, input.len().max(1)), answer(&cut, piece));
            prop_assert_eq!(format!("{whole:?}"), format!("{cut:?}"));
        }
    }
}

proptest! {
    #[test]
    fn csv_agrees_with_csv_core(
        records in vec(vec(csv_field(), 3), 0..12),
        crlf in any::<bool>(),
        closed in any::<bool>(),
        chunk_bytes in 1_usize..50,
        piece in 1_usize..20,
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let lines: Vec<_> = records.iter().map(|record| record.join(",")).collect();
        let input = lines.join(end) + if closed && !lines.is_empty() { end } else { "" };
        // PostgreSQL tells an empty value from NULL by its quotes; csv-core does not.
        let expected = by_csv_core(input.as_bytes());
        let options = Options { chunk_bytes, ..csv() };
        let names = text_columns(&["a", "b", "c"]);
        let batches = decode(&names, &options, input.as_bytes(), piece).unwrap();
        let actual = rows(&batches).into_iter().map(|row| {
            row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>()
        });
        prop_assert_eq!(actual.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn text_agrees_with_what_was_escaped(
        records in vec(vec(text_field(), 2), 0..12),
        chunk_bytes in 1_usize..50,
        piece in 1_usize..20,
    ) {
        let line = |record: &Vec<(String, Option<String>)>| {
            format!("{}\t{}\n", record[0].0, record[1].0)
        };
        let input: String = records.iter().map(line).collect();
        let text = Dialect::text(DialectOptions::default()).unwrap();
        let options = Options { chunk_bytes, ..Options::new(Format::Delimited(text)) };
        let batches = decode(&text_columns(&["a", "b"]), &options, input.as_bytes(), piece);
        let expected: Vec<Vec<_>> = records
            .iter()
            .map(|record| record.iter().map(|(_, value)| value.clone()).collect())
            .collect();
        prop_assert_eq!(rows(&batches.unwrap()), expected);
    }

    #[test]
    fn typed_csv_agrees_with_arrow(
        records in vec(
            (
                option::of(any::<i64>()),
                option::of(-99_999_999_i64..=99_999_999),
                option::of(1_u32..=28),
                option::of("[a-z\"]{1,6}"),
                option::of(any::<bool>()),
            ),
            1..30,
        ),
        chunk_bytes in 1_usize..200,
    ) {
        let schema = Arc::new(Schema::new(vec![
            Field::new("i", DataType::Int64, true),
            Field::new("n", DataType::Decimal128(10, 2), true),
            Field::new("d", DataType::Date32, true),
            Field::new("t", DataType::Utf8, true),
            Field::new("b", DataType::Boolean, true),
        ]));
        let shown = |value: Option<String>| value.unwrap_or_default();
        let mut input = String::from("i,n,d,t,b\n");
        for (integer, cents, day, text, flag) in &records {
            let cents = cents.map(|cents| {
                let sign = if cents < 0 { "-" } else { "" };
                format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
            });
            let fields = [
                shown(integer.map(|integer| integer.to_string())),
                shown(cents),
                shown(day.map(|day| format!("2024-02-{day:02}"))),
                shown(text.as_ref().map(|text| format!("\"{}\"", text.replace('"', "\"\"")))),
                shown(flag.map(|flag| flag.to_string())),
            ];
            input += &(fields.join(",") + "\n");
        }
        let reader = ReaderBuilder::new(Arc::clone(&schema)).with_header(true);
        let reader = reader.build(input.as_bytes()).unwrap();
        let expected: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        let options = Options { chunk_bytes, header: Header::Match, ..csv() };
        let actual = decode(&schema, &options, input.as_bytes(), 7).unwrap();
        prop_assert_eq!(
            concat_batches(&schema, &actual).unwrap(),
            concat_batches(&schema, &expected).unwrap()
        );
    }
}
