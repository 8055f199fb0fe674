//! One file as a stream of rows.
//!
//! Never: more of a file in memory than a few ranges and the chunks being decoded.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};

use super::parquet_file::{self, ParquetOptions};
use super::{Compression, File};
use crate::decode::{self, Decoded, Decoder, OnError, decode_stream};
use crate::error::{Error, Result};
use crate::origin::Origin;

/// How files are read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// The format.
    pub format: FileFormat,
    /// The compression; without it, the file's name tells. Parquet has its own.
    pub compression: Option<Compression>,
    /// So many threads decode at once.
    pub threads: usize,
    /// What the rows are tagged with, where the table has columns for it.
    pub origin: Option<Origin>,
}

/// The format of a file.
#[derive(Debug, Clone)]
pub enum FileFormat {
    /// csv, text or JSON lines.
    Decoded(decode::Options),
    /// Parquet.
    Parquet(ParquetOptions),
}

/// The file is asked for in ranges of this length, of which so many are on their way at once.
const RANGE_BYTES: u64 = 8 << 20;
const RANGES_AHEAD: usize = 2;

/// The rows of a file, in its order. `schema` has the columns to be filled; with an origin, those
/// that [`Origin::is_column`] knows are filled by the server and the file need not have them. All
/// columns of the batches are nullable: what is NOT NULL is checked on writing, except that a
/// Parquet file without such a column is refused at once.
pub fn read(
    file: &File,
    schema: &SchemaRef,
    options: ReadOptions,
) -> Result<BoxStream<'static, Result<Decoded>>> {
    let brought = match &options.origin {
        Some(_) => Origin::brought(schema),
        None => Arc::clone(schema),
    };
    let rows = match options.format {
        FileFormat::Parquet(parquet) => parquet_file::read(file.clone(), brought, parquet).boxed(),
        FileFormat::Decoded(decode) => {
            let compression = options.compression.unwrap_or_else(|| Compression::of(&file.url));
            let decoder = Decoder::new(&brought, decode)?;
            let input = decompressed(file, compression)?;
            let file = file.clone();
            decode_stream(input, decoder, options.threads)
                .map_err(move |error| file.content_error(error))
                .boxed()
        }
    };
    let Some(origin) = options.origin else {
        return Ok(rows);
    };
    let schema = Arc::clone(schema);
    Ok(rows.map(move |decoded| tagged(&origin, &schema, decoded?)).boxed())
}

/// The rows of several files, one file after the other, as one stream for a table's writer. With an
/// origin, each row is tagged with the URL of its own file. The first bad row is an error.
pub fn read_all(
    files: Vec<File>,
    schema: &SchemaRef,
    options: &ReadOptions,
) -> Result<SendableRecordBatchStream> {
    if let FileFormat::Decoded(decode) = &options.format
        && decode.on_error != OnError::Stop
    {
        let message = "rejected rows of several files cannot be collected".to_owned();
        return Err(Error::Option { sqlstate: "0A000", message });
    }
    let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let out = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let (schema, options) = (Arc::clone(schema), options.clone());
    let decoded = stream::iter(files)
        .map(move |file| {
            let origin = options.origin.clone();
            let origin = origin.map(|origin| Origin { source: Some(file.url.clone()), ..origin });
            read(&file, &schema, ReadOptions { origin, ..options.clone() })
        })
        .try_flatten();
    let batches = decoded
        .map_ok(|decoded| stream::iter(decoded.batches.into_iter().map(Ok::<_, Error>)))
        .try_flatten()
        .map_err(DataFusionError::from);
    Ok(Box::pin(RecordBatchStreamAdapter::new(out, batches)))
}

fn tagged(origin: &Origin, schema: &SchemaRef, decoded: Decoded) -> Result<Decoded> {
    let numbers = decoded.row_numbers();
    let batches = decoded.batches.iter().zip(&numbers);
    let batches = batches.map(|(batch, numbers)| origin.tag(schema, batch, numbers));
    let batches = batches.collect::<Result<Vec<RecordBatch>>>()?;
    Ok(Decoded { batches, ..decoded })
}

/// The bytes of a file, decompressed.
fn decompressed(
    file: &File,
    compression: Compression,
) -> Result<BoxStream<'static, Result<Bytes>>> {
    let bytes = ranges(file);
    if compression == Compression::None {
        return Ok(bytes);
    }
    let bytes = bytes.map_err(|error| DataFusionError::External(Box::new(error))).boxed();
    let file = file.clone();
    let plain = compression.codec().convert_stream(bytes)?;
    Ok(plain.map_err(move |error| codec_error(&file, error)).boxed())
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// An error of the codec, or one of ours that passed through it in several wrappings.
fn codec_error(file: &File, error: DataFusionError) -> Error {
    let reason = error.to_string();
    let mut error: AnyError = Box::new(error);
    loop {
        error = match error.downcast::<Error>() {
            Ok(ours) => return *ours,
            Err(wrapped) => match unwrapped(wrapped) {
                Some(inner) => inner,
                None => return Error::FileMalformed { file: file.url.clone(), reason },
            },
        };
    }
}

fn unwrapped(error: AnyError) -> Option<AnyError> {
    match error.downcast::<DataFusionError>() {
        Ok(error) => match *error {
            DataFusionError::External(inner) => Some(inner),
            DataFusionError::IoError(inner) => Some(Box::new(inner)),
            _ => None,
        },
        Err(error) => error.downcast::<std::io::Error>().ok()?.into_inner(),
    }
}

/// The bytes of a file.
fn ranges(file: &File) -> BoxStream<'static, Result<Bytes>> {
    let size = file.meta.size;
    let file = file.clone();
    stream::iter((0..size).step_by(RANGE_BYTES as usize))
        .map(move |start| {
            let file = file.clone();
            async move { file.range(start..(start + RANGE_BYTES).min(size)).await }
        })
        .buffered(RANGES_AHEAD)
        .boxed()
}
