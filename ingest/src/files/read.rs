//! One file as a stream of rows.
//!
//! Never: more of a file in memory than a few ranges and the chunks being decoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, future, stream};

use super::found::header_names;
use super::mapping::TypedOptions;
use super::{Compression, File, avro_file, parquet_file};
use crate::decode::{self, Decoded, Decoder, Header, Skipped, decode_stream};
use crate::error::{Error, Result};
use crate::origin::Origin;

/// How files are read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// The format.
    pub format: FileFormat,
    /// The compression; without it, the file's name tells. Parquet and Avro have their own.
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
    Parquet(TypedOptions),
    /// Avro's object container files.
    Avro(TypedOptions),
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
        FileFormat::Parquet(typed) => parquet_file::read(file.clone(), brought, typed).boxed(),
        FileFormat::Avro(typed) => avro_file::read(file.clone(), brought, typed).boxed(),
        FileFormat::Decoded(ref decode) if decode.header == Header::ByName => {
            let options = ReadOptions { origin: None, ..options.clone() };
            let decode = decode.clone();
            stream::once(read_by_name(file.clone(), brought, options, decode)).try_flatten().boxed()
        }
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

/// The rows of csv or text whose header line says the order of the columns.
async fn read_by_name(
    file: File,
    schema: SchemaRef,
    options: ReadOptions,
    decode: decode::Options,
) -> Result<BoxStream<'static, Result<Decoded>>> {
    let names = header_names(&file, &options, &decode).await?;
    let mut places = vec![None; schema.fields().len()];
    let mut fields = Vec::with_capacity(names.len());
    for (at, column) in names.into_iter().enumerate() {
        let Ok(place) = schema.index_of(&column) else {
            return Err(Error::FileColumnUnknown { file: file.url, column });
        };
        places[place] = Some(at);
        fields.push(schema.field(place).clone());
    }
    if fields.is_empty() {
        return Ok(stream::empty().boxed());
    }
    let format = FileFormat::Decoded(decode::Options { header: Header::Match, ..decode });
    let given: SchemaRef = Arc::new(Schema::new(fields));
    let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let nullable: SchemaRef = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let rows = read(&file, &given, ReadOptions { format, ..options })?;
    let in_order = move |batch: &RecordBatch| -> Result<RecordBatch> {
        let columns = places.iter().zip(nullable.fields()).map(|(place, field)| match place {
            Some(at) => Arc::clone(batch.column(*at)),
            None => new_null_array(field.data_type(), batch.num_rows()),
        });
        Ok(RecordBatch::try_new(Arc::clone(&nullable), columns.collect())?)
    };
    Ok(rows
        .map(move |decoded| {
            let mut decoded = decoded?;
            decoded.batches = decoded.batches.iter().map(&in_order).collect::<Result<_>>()?;
            Ok(decoded)
        })
        .boxed())
}

/// What was read from several files; final when their rows have ended.
#[derive(Debug, Default)]
pub struct Tally {
    rows: Vec<AtomicU64>,
    skipped: Skipped,
}

impl Tally {
    /// For so many files. More rows left out than `skipped_max` are an error.
    pub fn new(files: usize, skipped_max: Option<u64>) -> Arc<Self> {
        let rows = (0..files).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { rows, skipped: Skipped::new(skipped_max) })
    }

    /// The rows that came from each file, in the files' order.
    pub fn rows(&self) -> impl Iterator<Item = u64> {
        self.rows.iter().map(|rows| rows.load(Ordering::Relaxed))
    }

    /// The rows that were left out, of all files.
    pub fn skipped(&self) -> u64 {
        self.skipped.count()
    }

    fn count(&self, file: usize, decoded: &Decoded) -> Result<()> {
        let rows: usize = decoded.batches.iter().map(RecordBatch::num_rows).sum();
        if let Some(count) = self.rows.get(file) {
            count.fetch_add(rows as u64, Ordering::Relaxed);
        }
        self.skipped.add(decoded)
    }
}

/// The rows of several files, one file after the other, as one stream for a table's writer. With an
/// origin, each row is tagged with the URL of its own file.
pub fn read_all(
    files: Vec<File>,
    schema: &SchemaRef,
    options: &ReadOptions,
    tally: &Arc<Tally>,
) -> SendableRecordBatchStream {
    let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let out = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let (schema, options, tally) = (Arc::clone(schema), options.clone(), Arc::clone(tally));
    let decoded = stream::iter(files.into_iter().enumerate())
        .map(move |(nth, file)| {
            let origin = options.origin.clone();
            let origin = origin.map(|origin| Origin { source: Some(file.url.clone()), ..origin });
            let decoded = read(&file, &schema, ReadOptions { origin, ..options.clone() })?;
            let tally = Arc::clone(&tally);
            Ok::<_, Error>(decoded.and_then(move |decoded| {
                let counted = tally.count(nth, &decoded).map_err(|error| file.content_error(error));
                future::ready(counted.map(|()| decoded))
            }))
        })
        .try_flatten();
    let batches = decoded
        .map_ok(|decoded| stream::iter(decoded.batches.into_iter().map(Ok::<_, Error>)))
        .try_flatten()
        .map_err(DataFusionError::from);
    Box::pin(RecordBatchStreamAdapter::new(out, batches))
}

fn tagged(origin: &Origin, schema: &SchemaRef, decoded: Decoded) -> Result<Decoded> {
    let numbers = decoded.row_numbers();
    let batches = decoded.batches.iter().zip(&numbers);
    let batches = batches.map(|(batch, numbers)| origin.tag(schema, batch, numbers));
    let batches = batches.collect::<Result<Vec<RecordBatch>>>()?;
    Ok(Decoded { batches, ..decoded })
}

/// The bytes of a file, decompressed.
pub(super) fn decompressed(
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
pub(super) fn ranges(file: &File) -> BoxStream<'static, Result<Bytes>> {
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
