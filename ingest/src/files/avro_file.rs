//! Rows of Avro's object container files.
//!
//! Never: more of a file in memory than a few ranges and the block at hand; an end that is not the file's.

use std::collections::HashMap;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_avro::errors::AvroError;
use arrow_avro::reader::async_reader::read_header_info;
use arrow_avro::reader::{AsyncAvroFileReader, AsyncFileReader, HeaderInfo, ReaderBuilder};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, TryFutureExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::File;
use super::mapping::{Mapping, TypedOptions};
use super::read::ranges;
use crate::decode::Decoded;
use crate::error::{Error, Result};
use crate::text::TYPE_KEY;

/// How every such file begins.
const MAGIC: &[u8] = b"Obj\x01";
/// The length of the marker that ends the header and each block.
const MARKER_BYTES: u64 = 16;

/// The columns that a file says it has.
pub async fn avro_schema(file: &File) -> Result<SchemaRef> {
    let header = header(file).await?;
    let schema = reader(file, &header)?.schema();
    let fields = schema.fields().iter().map(|field| {
        let is_uuid = field.metadata().get("logicalType").is_some_and(|kind| kind == "uuid");
        if !is_uuid || *field.data_type() != DataType::FixedSizeBinary(16) {
            return field.as_ref().clone().with_metadata(HashMap::new());
        }
        let metadata = [(TYPE_KEY.to_owned(), "uuid".to_owned())].into();
        Field::new(field.name(), DataType::Utf8, field.is_nullable()).with_metadata(metadata)
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// The rows of a file, with the columns of `schema`.
pub(super) fn read(
    file: File,
    schema: SchemaRef,
    options: TypedOptions,
) -> impl Stream<Item = Result<Decoded>> + Send {
    stream::once(open(file, schema, options)).try_flatten()
}

async fn open(
    file: File,
    schema: SchemaRef,
    options: TypedOptions,
) -> Result<impl Stream<Item = Result<Decoded>> + Send> {
    let header = header(&file).await?;
    let found = reader(&file, &header)?.schema();
    let mapping = Mapping::new(&file, &found, &schema, &options)?;
    let batches = blocks(file.clone(), options.batch_rows_max);
    let state = (batches, mapping, file, 0_u64);
    Ok(stream::try_unfold(state, |(mut batches, mapping, file, rows_before)| async move {
        let batch = match batches.recv().await {
            Some(Ok(Some(batch))) => batch,
            Some(Ok(None)) => return Ok(None),
            Some(Err(error)) => return Err(error),
            // Without its mark, the end is that of the thread.
            None => return Err(Error::Interrupted),
        };
        let rows = batch.num_rows() as u64;
        let batch =
            mapping.apply(&batch, rows_before + 1).map_err(|error| file.content_error(error))?;
        let decoded = Decoded { batches: vec![batch], rows, rows_before, ..Decoded::default() };
        Ok(Some((decoded, (batches, mapping, file, rows_before + rows))))
    }))
}

/// The rows as the file has them, and a `None` at their end: bytes are fetched ahead, and decoded on a
/// thread that may be kept busy.
fn blocks(file: File, rows_max: usize) -> mpsc::Receiver<Result<Option<RecordBatch>>> {
    let (fetched, pieces) = mpsc::channel(1);
    let (read, batches) = mpsc::channel(1);
    let mut ranges = ranges(&file);
    tokio::spawn(async move {
        while let Some(piece) = ranges.next().await {
            if fetched.send(piece).await.is_err() {
                return;
            }
        }
    });
    spawn_blocking(move || {
        let input = Input { pieces, piece: Bytes::new(), missing: file.meta.size };
        let reader = ReaderBuilder::new().with_batch_size(rows_max).build(BufReader::new(input));
        let mut reader = match reader {
            Ok(reader) => reader,
            Err(error) => {
                let _ = read.blocking_send(Err(malformed(&file, error)));
                return;
            }
        };
        loop {
            let batch = reader.next().transpose().map_err(|error| malformed(&file, error));
            let is_last = !matches!(batch, Ok(Some(_)));
            if read.blocking_send(batch).is_err() || is_last {
                return;
            }
        }
    });
    batches
}

/// The bytes of a file as they come.
struct Input {
    pieces: mpsc::Receiver<Result<Bytes>>,
    piece: Bytes,
    /// Bytes of the file that have not come yet.
    missing: u64,
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) => {
                    self.missing = self.missing.saturating_sub(piece.len() as u64);
                    self.piece = piece;
                }
                Some(Err(error)) => return Err(io::Error::other(error)),
                None if self.missing > 0 => return Err(io::Error::other(Error::Interrupted)),
                None => return Ok(0),
            }
        }
        let taken = self.piece.split_to(into.len().min(self.piece.len()));
        into[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

async fn header(file: &File) -> Result<HeaderInfo> {
    let malformed =
        |reason: &str| Error::FileMalformed { file: file.url.clone(), reason: reason.to_owned() };
    let size = file.meta.size;
    let (magic, marker) = (MAGIC.len() as u64, MARKER_BYTES);
    // The reader of the header keeps no error of the store as such.
    if size < magic + marker || *file.range(0..magic).await? != *MAGIC {
        return Err(malformed("it does not begin as Avro's object container files do"));
    }
    let header = read_header_info(&mut Reader(file.clone()), size, None).await;
    let header = header.map_err(|error| self::malformed(file, error))?;
    // The reader of the blocks takes one that is cut short for the end.
    if *file.range(size - marker..size).await? != header.sync() {
        return Err(malformed("it is cut short: it does not end with its sync marker"));
    }
    Ok(header)
}

/// A reader of a file with this header.
fn reader(file: &File, header: &HeaderInfo) -> Result<AsyncAvroFileReader<Reader>> {
    let builder = AsyncAvroFileReader::builder(Reader(file.clone()), file.meta.size, 1);
    builder.build_with_header(header.clone()).map_err(|error| malformed(file, error))
}

/// The file as Avro's reader asks for it.
struct Reader(File);

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, AvroError>> {
        self.0.range(range).map_err(|error| AvroError::External(Box::new(error))).boxed()
    }
}

/// An error of the format, or one of ours that passed through its reader.
fn malformed(file: &File, error: impl Into<ArrowError>) -> Error {
    let error = error.into();
    let reason = error.to_string();
    let malformed = || Error::FileMalformed { file: file.url.clone(), reason };
    match error {
        ArrowError::ExternalError(source) => {
            let source = match source.downcast::<io::Error>() {
                Ok(source) => source.into_inner(),
                Err(source) => Some(source),
            };
            let ours = source.and_then(|source| source.downcast::<Error>().ok());
            ours.map_or_else(malformed, |error| *error)
        }
        ArrowError::IoError(_, source) => {
            let ours = source.into_inner().and_then(|source| source.downcast::<Error>().ok());
            ours.map_or_else(malformed, |error| *error)
        }
        _ => malformed(),
    }
}
