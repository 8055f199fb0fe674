//! Inputs to rows, with PostgreSQL's own answers and simple programs as the judges.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;

use super::{Decoder, Options};
use crate::error::Error;
use crate::text::{Formatter, TYPE_KEY, Zone};

mod json;
mod oracles;
mod postgres;
mod rejected;

fn text_columns(names: &[&str]) -> SchemaRef {
    let fields = names.iter().map(|name| Field::new(*name, DataType::Utf8, false));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn typed(name: &str, type_name: &str) -> Field {
    let metadata = [(TYPE_KEY.to_owned(), type_name.to_owned())].into();
    Field::new(name, DataType::Utf8, true).with_metadata(metadata)
}

/// Decodes an input given in pieces of this length.
fn decode(
    schema: &SchemaRef,
    options: &Options,
    input: &[u8],
    piece: usize,
) -> Result<Vec<RecordBatch>, Error> {
    let mut decoder = Decoder::new(schema, options.clone())?;
    let mut batches = Vec::new();
    for piece in input.chunks(piece.max(1)) {
        batches.extend(decoder.feed(&Bytes::copy_from_slice(piece))?);
    }
    batches.extend(decoder.finish()?);
    for batch in &batches {
        assert_eq!(batch.schema(), decoder.schema());
    }
    Ok(batches)
}

/// The values of batches as texts, row by row.
fn rows(batches: &[RecordBatch]) -> Vec<Vec<Option<String>>> {
    let Some(first) = batches.first() else {
        return Vec::new();
    };
    let batch = concat_batches(&first.schema(), batches).unwrap();
    let formatters: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| Formatter::new(column.as_ref() as &dyn Array, &Zone::UTC).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            let value = |formatter: &Formatter| {
                let mut bytes = Vec::new();
                (!formatter.is_null(row)).then(|| {
                    formatter.write(row, &mut bytes);
                    String::from_utf8(bytes).unwrap()
                })
            };
            formatters.iter().map(value).collect()
        })
        .collect()
}
