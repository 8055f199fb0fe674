//! Prints how fast lineitem-like rows are split, decoded and encoded on one core.
//!
//! `cargo run --release -p ingest --example throughput [ROWS [WORK]]`, where WORK begins what is to
//! be measured, such as `decode csv`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program of one screen")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use ingest::decode::{Decoder, Format, Options, UnknownFields};
use ingest::encode::{self, Encoder};
use ingest::{Dialect, DialectOptions};

fn schema() -> SchemaRef {
    let number = || DataType::Decimal128(15, 2);
    let fields = [
        ("l_orderkey", DataType::Int64),
        ("l_partkey", DataType::Int64),
        ("l_suppkey", DataType::Int64),
        ("l_linenumber", DataType::Int32),
        ("l_quantity", number()),
        ("l_extendedprice", number()),
        ("l_discount", number()),
        ("l_tax", number()),
        ("l_returnflag", DataType::Utf8),
        ("l_linestatus", DataType::Utf8),
        ("l_shipdate", DataType::Date32),
        ("l_commitdate", DataType::Date32),
        ("l_receiptdate", DataType::Date32),
        ("l_shipinstruct", DataType::Utf8),
        ("l_shipmode", DataType::Utf8),
        ("l_comment", DataType::Utf8),
    ];
    let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
    Arc::new(Schema::new(fields.to_vec()))
}

/// A number that looks random and is the same every time.
fn noise(row: usize, column: usize) -> usize {
    let mixed = (row * 16 + column) as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33) as usize
}

fn row(row: usize) -> Vec<String> {
    const FLAGS: [&str; 3] = ["A", "N", "R"];
    const STATUSES: [&str; 2] = ["F", "O"];
    const INSTRUCTIONS: [&str; 4] =
        ["DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"];
    const MODES: [&str; 7] = ["REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"];
    const WORDS: &str = "carefully final deposits detect slyly agai furiously regular requests";
    let date = |column| {
        let day = noise(row, column);
        format!("{}-{:02}-{:02}", 1992 + day % 7, 1 + day / 7 % 12, 1 + day / 84 % 28)
    };
    let cents = |column, most| {
        let cents = noise(row, column) % most;
        format!("{}.{:02}", cents / 100, cents % 100)
    };
    let start = noise(row, 15) % 20;
    vec![
        (row / 4 + 1).to_string(),
        (noise(row, 1) % 200_000 + 1).to_string(),
        (noise(row, 2) % 10_000 + 1).to_string(),
        (row % 4 + 1).to_string(),
        format!("{}.00", noise(row, 4) % 50 + 1),
        cents(5, 10_000_000),
        cents(6, 11),
        cents(7, 9),
        FLAGS[noise(row, 8) % 3].to_owned(),
        STATUSES[noise(row, 9) % 2].to_owned(),
        date(10),
        date(11),
        date(12),
        INSTRUCTIONS[noise(row, 13) % 4].to_owned(),
        MODES[noise(row, 14) % 7].to_owned(),
        WORDS[start..start + 10 + noise(row, 16) % 33].to_owned(),
    ]
}

fn lines(rows: usize, line: impl Fn(Vec<String>) -> String) -> Bytes {
    (0..rows).map(|number| line(row(number)) + "\n").collect::<String>().into()
}

const RUNS: usize = 15;

/// Runs the work some times and prints the best.
fn measure(name: &str, rows: usize, bytes: usize, mut work: impl FnMut()) {
    if std::env::args().nth(2).is_some_and(|wanted| !name.starts_with(&wanted)) {
        return;
    }
    let seconds = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::MAX, f64::min);
    let megabytes = bytes as f64 / 1e6 / seconds;
    let thousands = rows as f64 / 1e3 / seconds;
    println!("{name:<24} {megabytes:>8.0} MB/s {thousands:>8.0} k rows/s");
}

fn main() {
    let rows = std::env::args().nth(1).map_or(300_000, |rows| rows.parse().unwrap());
    let schema = schema();
    let csv = Dialect::csv(DialectOptions::default()).unwrap();
    let text = Dialect::text(DialectOptions::default()).unwrap();
    let quoted = |row: Vec<String>| format!("\"{}\"", row.join("\",\""));
    let object = |row: Vec<String>| {
        let member = |(field, value): (&Arc<Field>, String)| match field.data_type() {
            DataType::Utf8 | DataType::Date32 => format!("\"{}\":\"{value}\"", field.name()),
            _ => format!("\"{}\":{value}", field.name()),
        };
        let members = schema.fields().iter().zip(row).map(member);
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    };
    let inputs = [
        ("csv", Format::Delimited(csv.clone()), lines(rows, |row| row.join(","))),
        ("quoted csv", Format::Delimited(csv), lines(rows, quoted)),
        ("text", Format::Delimited(text), lines(rows, |row| row.join("\t"))),
        ("json", Format::JsonLines(UnknownFields::Refuse), lines(rows, object)),
    ];
    for (name, format, input) in &inputs {
        let decoder = || Decoder::new(&schema, Options::new(format.clone())).unwrap();
        measure(&format!("split {name}"), rows, input.len(), || {
            let mut decoder = decoder();
            for piece in input.chunks(64 << 10) {
                black_box(decoder.split(piece).unwrap());
            }
            black_box(decoder.split_finish().unwrap());
        });
        measure(&format!("decode {name}"), rows, input.len(), || {
            let mut decoder = decoder();
            for start in (0..input.len()).step_by(64 << 10) {
                let piece = input.slice(start..input.len().min(start + (64 << 10)));
                black_box(decoder.feed(&piece).unwrap());
            }
            black_box(decoder.finish().unwrap());
            assert_eq!(decoder.rows(), rows as u64);
        });
        let mut decoder = decoder();
        let mut batches = decoder.feed(input).unwrap();
        batches.extend(decoder.finish().unwrap());
        let format = match format {
            Format::Delimited(dialect) => encode::Format::Delimited(dialect.clone()),
            Format::JsonLines(_) => encode::Format::JsonLines,
        };
        let mut options = encode::Options::new(format);
        if name.contains("quoted") {
            options.force_quote = encode::ForceQuote::All;
        }
        let encoder = Encoder::new(&schema, &options).unwrap();
        let mut out = Vec::new();
        measure(&format!("encode {name}"), rows, input.len(), || {
            for batch in &batches {
                out.clear();
                encoder.encode(batch, &mut out).unwrap();
                black_box(&out);
            }
        });
    }
}
