//! Bad rows: kept aside whole and in order, or an error that says where.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use bytes::Bytes;
use futures::{StreamExt, stream};
use proptest::prelude::*;

use super::{decode, rows, text_columns, typed};
use crate::decode::{
    Decoded, Decoder, Format, OnError, Options, RowError, UnknownFields, decode_stream,
};
use crate::dialect::{Dialect, DialectOptions};
use crate::error::Error;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int32, true),
        typed("code", "varchar(3)"),
        Field::new("day", DataType::Date32, true),
    ]))
}

fn csv() -> Options {
    Options::new(Format::Delimited(Dialect::csv(DialectOptions::default()).unwrap()))
}

fn collecting() -> Options {
    Options { on_error: OnError::Collect, ..csv() }
}

fn row_error(result: Result<Vec<arrow::array::RecordBatch>, Error>) -> RowError {
    match result.unwrap_err() {
        Error::Row(error) => *error,
        other => panic!("{other}"),
    }
}

#[test]
fn every_kind_of_bad_row_is_kept_aside() {
    let input = b"1,a,2013-01-31\nx,b,2013-01-31\n2,toolong,bad\n3\n4,d,2013-01-31,5\n\
                  5,\xff,\n6,\"e\nf\",\n7,g\r,\n8,h,\n";
    let mut decoder = Decoder::new(&schema(), collecting()).unwrap();
    let mut batches = decoder.feed(&Bytes::from_static(input)).unwrap();
    batches.extend(decoder.finish().unwrap());
    let ids: Vec<_> = rows(&batches).into_iter().map(|row| row[0].clone().unwrap()).collect();
    assert_eq!(ids, ["1", "6", "8"]);
    assert_eq!(decoder.rows(), 9);
    let rejected = decoder.take_rejected();
    assert!(decoder.take_rejected().is_empty());
    let shown: Vec<_> = rejected
        .iter()
        .map(|rejected| {
            let error = &rejected.error;
            let raw = String::from_utf8_lossy(error.raw()).into_owned();
            (rejected.row, error.line(), error.column(), raw, error.to_string())
        })
        .collect();
    let expected = [
        (2, 2, Some("id"), "x,b,2013-01-31", "invalid input syntax for type integer: \"x\""),
        (3, 3, Some("code"), "2,toolong,bad", "value too long for type character varying(3)"),
        (4, 4, None, "3", "missing data for column \"code\""),
        (5, 5, None, "4,d,2013-01-31,5", "extra data after last expected column"),
        (6, 6, None, "5,\u{fffd},", "invalid byte sequence for encoding \"UTF8\": 0xff"),
        (8, 9, None, "7,g\r,", "unquoted carriage return found in data"),
    ];
    let expected = expected.map(|(row, line, column, raw, message)| {
        (row, line, column, raw.to_owned(), message.to_owned())
    });
    assert_eq!(shown, expected);
}

#[test]
fn messages_show_the_beginning_of_a_long_value() {
    let options = csv();
    let long = format!("1,{},\n", "ä".repeat(60));
    let error = row_error(decode(&schema(), &options, long.as_bytes(), 7));
    let shown = "ä".repeat(50);
    assert_eq!(error.context("t"), format!("COPY t, line 1, column code: \"{shown}...\""));
    assert_eq!(error.value(), Some("ä".repeat(60).as_str()));
}

#[test]
fn a_row_over_the_limit_is_an_error_before_the_memory_is_full() {
    let options = Options { row_bytes_max: 20, chunk_bytes: 8, ..csv() };
    let endless = vec![b'x'; 1 << 20];
    let error = row_error(decode(&text_columns(&["a"]), &options, &endless, 100));
    assert_eq!(error.to_string(), "row is longer than 20 bytes");
    assert_eq!(error.reason().sqlstate(), "54000");
    assert_eq!(error.context("t"), "COPY t, line 1");
    assert!(error.raw().len() < 40);

    // Within a chunk, only the row itself is refused.
    let options = Options { row_bytes_max: 20, ..collecting() };
    let mut decoder = Decoder::new(&text_columns(&["a"]), options).unwrap();
    let input = Bytes::from(format!("short\n{}\nend\n", "x".repeat(21)));
    let mut batches = decoder.feed(&input).unwrap();
    batches.extend(decoder.finish().unwrap());
    assert_eq!(rows(&batches).len(), 2);
    assert_eq!(decoder.take_rejected()[0].row, 2);
}

#[test]
fn options_name_columns_that_exist() {
    let options = Options { force_null: vec!["x".to_owned()], ..csv() };
    let error = Decoder::new(&schema(), options).unwrap_err();
    assert_eq!(error.to_string(), "column \"x\" is not one that COPY reads");
    assert_eq!(error.sqlstate(), "42P10");
}

#[test]
fn dialects_are_checked_in_the_words_of_postgres() {
    let default = DialectOptions::default();
    let csv = |options| Dialect::csv(options).unwrap_err();
    let text = |options| Dialect::text(options).unwrap_err();
    for (error, sqlstate, message) in [
        (
            csv(DialectOptions { delimiter: Some("ab"), ..default }),
            "0A000",
            "COPY delimiter must be a single one-byte character",
        ),
        (
            csv(DialectOptions { delimiter: Some("ä"), ..default }),
            "0A000",
            "COPY delimiter must be a single one-byte character",
        ),
        (
            csv(DialectOptions { delimiter: Some("\n"), ..default }),
            "22023",
            "COPY delimiter cannot be newline or carriage return",
        ),
        (
            csv(DialectOptions { null: Some("a\nb"), ..default }),
            "22023",
            "COPY null representation cannot use newline or carriage return",
        ),
        (
            text(DialectOptions { delimiter: Some("a"), ..default }),
            "22023",
            "COPY delimiter cannot be \"a\"",
        ),
        (
            text(DialectOptions { quote: Some("\""), ..default }),
            "0A000",
            "COPY quote available only in CSV mode",
        ),
        (
            text(DialectOptions { escape: Some("\""), ..default }),
            "0A000",
            "COPY escape available only in CSV mode",
        ),
        (
            csv(DialectOptions { quote: Some(","), ..default }),
            "22023",
            "COPY delimiter and quote must be different",
        ),
        (
            csv(DialectOptions { null: Some("a,b"), ..default }),
            "0A000",
            "COPY delimiter must not appear in the NULL specification",
        ),
        (
            csv(DialectOptions { null: Some("\""), ..default }),
            "0A000",
            "CSV quote character must not appear in the NULL specification",
        ),
    ] {
        assert_eq!((error.sqlstate(), error.to_string()), (sqlstate, message.to_owned()));
    }
}

/// Lines of which about half are good rows.
fn lines() -> impl Strategy<Value = Vec<String>> {
    let line = prop_oneof![
        "[0-9]{1,4},[a-z]{0,3},2013-0[1-9]-1[0-9]",
        "[0-9x]{1,2},[a-z\"]{0,4},(2013-01-0[0-2])?",
        "[0-9],[a-z]{0,2}",
        "[0-9],a,,[a-z]",
    ];
    // An odd quote would join lines, and this oracle reads one line at a time.
    let even = line.prop_filter("quotes are even", |line| line.matches('"').count() % 2 == 0);
    proptest::collection::vec(even, 0..40)
}

/// Number, bytes and reason.
type BadRow = (u64, String, String);

/// What decoding each line alone gives: the row, or the error.
fn one_by_one(lines: &[String]) -> (Vec<Vec<Option<String>>>, Vec<BadRow>) {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let input = format!("{line}\n");
        match decode(&schema(), &csv(), input.as_bytes(), usize::MAX) {
            Ok(batches) => good.extend(rows(&batches)),
            Err(Error::Row(error)) => {
                bad.push((index as u64 + 1, line.clone(), error.to_string()));
            }
            Err(other) => panic!("{other}"),
        }
    }
    (good, bad)
}

fn bad_rows(decoded: &[Decoded]) -> Vec<BadRow> {
    let rejected = decoded.iter().flat_map(|decoded| &decoded.rejected);
    rejected
        .map(|rejected| {
            let raw = String::from_utf8(rejected.error.raw().to_vec()).unwrap();
            assert_eq!(rejected.error.line(), rejected.row);
            (rejected.row, raw, rejected.error.to_string())
        })
        .collect()
}

proptest! {
    #[test]
    fn collected_rows_are_those_that_fail_alone(lines in lines(), chunk_bytes in 1_usize..60) {
        let input = Bytes::from(lines.iter().map(|line| format!("{line}\n")).collect::<String>());
        let (good, bad) = one_by_one(&lines);
        let options = Options { chunk_bytes, batch_rows_max: 3, ..collecting() };
        let mut decoder = Decoder::new(&schema(), options).unwrap();
        let mut chunks = decoder.split(&input).unwrap();
        chunks.extend(decoder.split_finish().unwrap());
        let mut before = 0;
        let decoded: Vec<_> = chunks
            .iter()
            .map(|chunk| {
                let decoded = chunk.decode().unwrap().after(before);
                before += decoded.rows;
                decoded
            })
            .collect();
        let batches: Vec<_> = decoded.iter().flat_map(|part| part.batches.clone()).collect();
        prop_assert!(batches.iter().all(|batch| (1..=3).contains(&batch.num_rows())));
        prop_assert_eq!(rows(&batches), good);
        prop_assert_eq!(&bad_rows(&decoded), &bad);
        prop_assert_eq!(before, lines.len() as u64);

        // The numbers of the rows that were kept are those that are not among the bad ones.
        let numbers: Vec<u64> = decoded
            .iter()
            .flat_map(Decoded::row_numbers)
            .flat_map(|numbers| numbers.values().to_vec())
            .map(|number| number as u64)
            .collect();
        let is_bad = |number: &u64| bad.iter().any(|(row, _, _)| row == number);
        let kept = (1..=lines.len() as u64).filter(|number| !is_bad(number));
        prop_assert_eq!(numbers, kept.collect::<Vec<_>>());
    }

    #[test]
    fn the_first_bad_row_is_the_error(lines in lines(), chunk_bytes in 1_usize..60) {
        let input = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let (_, bad) = one_by_one(&lines);
        let options = Options { chunk_bytes, ..csv() };
        match (decode(&schema(), &options, input.as_bytes(), 5), bad.first()) {
            (Ok(_), None) => {}
            (Err(Error::Row(error)), Some((line, raw, message))) => {
                prop_assert_eq!(error.line(), *line);
                prop_assert_eq!(error.raw().as_ref(), raw.as_bytes());
                prop_assert_eq!(&error.to_string(), message);
            }
            (result, bad) => prop_assert!(false, "{result:?} {bad:?}"),
        }
    }
}

#[tokio::test]
async fn threads_change_nothing() {
    let lines: Vec<_> = (0..2_000).map(|row| format!("{row},{row}a,2013-01-31")).collect();
    let input = lines.join("\n");
    for on_error in [OnError::Collect, OnError::Stop] {
        let options = Options { chunk_bytes: 100, on_error, ..csv() };
        let pieces = input.as_bytes().chunks(333).map(Bytes::copy_from_slice);
        let pieces = stream::iter(pieces.map(Ok).collect::<Vec<_>>());
        let decoder = Decoder::new(&schema(), options).unwrap();
        let decoded: Vec<_> = decode_stream(pieces, decoder, 4).collect().await;
        let (decoded, errors): (Vec<_>, Vec<_>) = decoded.into_iter().partition(Result::is_ok);
        let decoded: Vec<_> = decoded.into_iter().map(Result::unwrap).collect();
        let batches: Vec<_> = decoded.iter().flat_map(|part| part.batches.clone()).collect();
        let ids: Vec<_> = rows(&batches).into_iter().map(|row| row[0].clone().unwrap()).collect();
        if on_error == OnError::Collect {
            // From row 101 on, the code has more than three characters.
            assert_eq!(ids, (0..100).map(|id| id.to_string()).collect::<Vec<_>>());
            let bad: Vec<_> = bad_rows(&decoded).into_iter().map(|(row, _, _)| row).collect();
            assert_eq!(bad, (101..=2_000).collect::<Vec<_>>());
            assert!(errors.is_empty());
        } else {
            assert!(ids.len() <= 100);
            assert_eq!(errors.len(), 1);
            let Err(Error::Row(error)) = &errors[0] else { panic!() };
            assert_eq!((error.line(), error.value()), (101, Some("100a")));
        }
    }
}

#[tokio::test]
async fn the_end_marker_and_errors_of_the_stream_come_in_their_turn() {
    let text = Dialect::text(DialectOptions::default()).unwrap();
    let options = Options { chunk_bytes: 4, ..Options::new(Format::Delimited(text)) };
    let broken = || Err(Error::UnknownType("broken".to_owned()));
    let pieces = |end: &'static str| {
        stream::iter([Ok(Bytes::from_static(b"a\nb\n")), Ok(Bytes::from(end)), broken()])
    };
    let schema = text_columns(&["a"]);
    let decoder = || Decoder::new(&schema, options.clone()).unwrap();
    let decoded: Vec<_> = decode_stream(pieces("\\.\nc\n"), decoder(), 1).collect().await;
    assert!(decoded.iter().all(Result::is_ok));
    let total: u64 = decoded.iter().flatten().map(|decoded| decoded.rows).sum();
    assert_eq!(total, 2);
    let decoded: Vec<_> = decode_stream(pieces("c\nd\n"), decoder(), 3).collect().await;
    assert_eq!(decoded.iter().flatten().map(|decoded| decoded.rows).sum::<u64>(), 4);
    assert_eq!(
        decoded.last().unwrap().as_ref().unwrap_err().to_string(),
        "type \"broken\" is not known"
    );
}

#[test]
fn row_numbers_are_whole_numbers_of_the_input() {
    let options = Options::new(Format::JsonLines(UnknownFields::Refuse));
    let mut decoder = Decoder::new(&text_columns(&["a"]), options).unwrap();
    assert!(decoder.split(b"{\"a\":1}\n\n{\"a\":2}\n").unwrap().is_empty());
    let decoded = decoder.split_finish().unwrap().unwrap().decode().unwrap().after(10);
    let numbers = decoded.row_numbers();
    assert_eq!(numbers[0].values(), &[11, 12]);
    assert_eq!((numbers[0].data_type(), numbers[0].null_count()), (&DataType::Int64, 0));
    assert!(decoded.batches[0].column(0).as_primitive_opt::<Int64Type>().is_none());
}
