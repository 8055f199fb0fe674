//! Each input of `tests/data/copy.tsv` must give PostgreSQL's rows or its error, however it is
//! cut into pieces and chunks.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{decode, rows, text_columns, typed};
use crate::decode::{Format, Header, Options};
use crate::dialect::{Dialect, DialectOptions};
use crate::error::Error;

/// What COPY answered: the rows, or the error in its parts.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Rows(Vec<Vec<Option<String>>>),
    Error { sqlstate: String, message: String, detail: String, hint: String, context: String },
}

fn unescaped(field: &str) -> String {
    let mut text = String::new();
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters.next().unwrap() {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'v' => '\u{b}',
                other => other,
            },
            other => other,
        });
    }
    text
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn value(text: &str) -> Option<String> {
    text.strip_prefix('x').map(|digits| String::from_utf8(unhex(digits)).unwrap())
}

fn schema(table: &str) -> SchemaRef {
    match table {
        "one" => text_columns(&["a"]),
        "two" => text_columns(&["a", "b"]),
        _ => Arc::new(Schema::new(vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", DataType::Date32, true),
            typed("c", "varchar(3)"),
        ])),
    }
}

fn options(name: &str) -> Options {
    let csv = |given| Options::new(Format::Delimited(Dialect::csv(given).unwrap()));
    let text = |given| Options::new(Format::Delimited(Dialect::text(given).unwrap()));
    let default = DialectOptions::default();
    let null = DialectOptions { null: Some("N"), ..default };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    match name {
        "csv" => csv(default),
        "csv-header" => Options { header: Header::Skip, ..csv(default) },
        "csv-match" => Options { header: Header::Match, ..csv(default) },
        "csv-escape" => csv(DialectOptions { escape: Some("\\"), ..default }),
        "csv-odd" => csv(DialectOptions { delimiter: Some(";"), quote: Some("'"), ..null }),
        "csv-force" => {
            Options { force_null: names(&["a"]), force_not_null: names(&["b"]), ..csv(null) }
        }
        "csv-force-both" => {
            Options { force_null: names(&["a", "b"]), force_not_null: names(&["a"]), ..csv(null) }
        }
        "text" => text(default),
        "text-header" => Options { header: Header::Match, ..text(default) },
        "text-odd" => text(DialectOptions { delimiter: Some("|"), null: Some(""), ..default }),
        other => panic!("{other}"),
    }
}

fn answer(result: Result<Vec<arrow::array::RecordBatch>, Error>) -> Answer {
    match result {
        Ok(batches) => Answer::Rows(rows(&batches)),
        Err(Error::Row(error)) => Answer::Error {
            sqlstate: error.reason().sqlstate().to_owned(),
            message: error.to_string(),
            detail: error.reason().detail().unwrap_or_default().to_owned(),
            hint: error.reason().hint().unwrap_or_default().to_owned(),
            context: error.context("t"),
        },
        Err(other) => panic!("{other}"),
    }
}

/// Three answers of PostgreSQL's are not followed. It does not count the line ends in a first record
/// that spans lines; a header whose quote is never closed hides all rows without an error; and a
/// `\.` behind other data means one thing in a file and another from a client.
fn differs_on_purpose(actual: &Answer, expected: &Answer, input: &[u8], name: &str) -> bool {
    match (actual, expected) {
        (Answer::Error { message, .. }, _)
            if message == "end-of-copy marker is not alone on its line" =>
        {
            name.starts_with("text") && input.windows(2).any(|pair| pair == b"\\.")
        }
        (
            Answer::Error { message, context, .. },
            Answer::Error { message: same_message, context: other_context, .. },
        ) => {
            let without_line = |context: &str| {
                let at = context.find(|c: char| c.is_ascii_digit()).unwrap();
                context[at..].trim_start_matches(|c: char| c.is_ascii_digit()).to_owned()
            };
            message == same_message
                && without_line(context) == without_line(other_context)
                && first_record_spans_lines(input, if name == "csv-odd" { b'\'' } else { b'"' })
        }
        (Answer::Error { message, .. }, Answer::Rows(none)) => {
            message == "unterminated CSV quoted field" && none.is_empty()
        }
        _ => false,
    }
}

fn first_record_spans_lines(input: &[u8], quote: u8) -> bool {
    let mut inside = false;
    for byte in input {
        match byte {
            _ if *byte == quote => inside = !inside,
            b'\n' | b'\r' => return inside,
            _ => {}
        }
    }
    false
}

#[test]
fn agrees_with_postgres_at_every_cut() {
    let file = include_str!("../../../tests/data/copy.tsv");
    let mut differences = Vec::new();
    let mut count = 0;
    for line in file.lines() {
        let fields: Vec<_> = line.split('\t').map(unescaped).collect();
        let [table, name, input, sqlstate, message, detail, hint, context, shown] =
            <[String; 9]>::try_from(fields).unwrap();
        let expected = if sqlstate == "00000" {
            let row = |row: &str| row.split(',').map(value).collect();
            Answer::Rows(shown.split_terminator(';').map(row).collect())
        } else {
            Answer::Error { sqlstate, message, detail, hint, context }
        };
        let input = unhex(&input);
        count += 1;
        for chunk_bytes in [usize::MAX, 1, 2, 3, 5, 8] {
            let options = Options { chunk_bytes, ..options(&name) };
            let actual = answer(decode(&schema(&table), &options, &input, chunk_bytes));
            if actual != expected && !differs_on_purpose(&actual, &expected, &input, &name) {
                differences.push(format!(
                    "{table} {name} {:?} in chunks of {chunk_bytes}:\n  \
                     PostgreSQL {expected:?}\n  Tarn       {actual:?}",
                    String::from_utf8_lossy(&input)
                ));
                break;
            }
        }
    }
    assert!(count > 2_000);
    let failed = differences.len();
    differences.truncate(40);
    assert_eq!(failed, 0, "{failed} of {count} differ:\n{}", differences.join("\n"));
}
