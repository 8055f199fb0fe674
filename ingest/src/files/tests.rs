//! Files found, read and written in a store in memory and on the local disk.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{Compression, File, FileFormat, ReadOptions, list, read};
use crate::decode;
use crate::dialect::{Dialect, DialectOptions};
use crate::error::{Error, Result};
use crate::text::{Formatter, Zone};

mod found;
mod from_avro;
mod from_parquet;
mod from_text;
mod written;

const BASE: &str = "memory://lake/";

async fn store_with(files: &[(&str, &[u8])]) -> Arc<dyn ObjectStore> {
    let store = InMemory::new();
    for (path, bytes) in files {
        store.put(&Path::parse(path).unwrap(), Bytes::copy_from_slice(bytes).into()).await.unwrap();
    }
    Arc::new(store)
}

async fn file(store: &Arc<dyn ObjectStore>, path: &str) -> File {
    let mut found = list(store, &Path::parse(path).unwrap(), BASE).await.unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn csv() -> decode::Options {
    let dialect = Dialect::csv(DialectOptions::default()).unwrap();
    decode::Options::new(decode::Format::Delimited(dialect))
}

fn options(format: FileFormat) -> ReadOptions {
    ReadOptions { format, compression: None, threads: 2, origin: None }
}

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

async fn batches(
    file: &File,
    schema: &SchemaRef,
    options: ReadOptions,
) -> Result<Vec<RecordBatch>> {
    let decoded: Vec<_> = read(file, schema, options)?.try_collect().await?;
    Ok(decoded.into_iter().flat_map(|decoded| decoded.batches).collect())
}

/// The rows as texts, values joined by `|`, NULL as `-`.
fn shown(batches: &[RecordBatch]) -> Vec<String> {
    let batch = concat_batches(&batches[0].schema(), batches).unwrap();
    let formatters: Vec<_> =
        batch.columns().iter().map(|column| Formatter::new(column, &Zone::UTC).unwrap()).collect();
    let value = |formatter: &Formatter, row| {
        let mut bytes = Vec::new();
        if formatter.is_null(row) {
            bytes.push(b'-');
        } else {
            formatter.write(row, &mut bytes);
        }
        String::from_utf8(bytes).unwrap()
    };
    (0..batch.num_rows())
        .map(|row| formatters.iter().map(|formatter| value(formatter, row)).collect::<Vec<_>>())
        .map(|values| values.join("|"))
        .collect()
}
