//! Rows of Parquet files: columns are found by name and brought to the table's types.
//!
//! Never: a column that is passed over in silence, unless the statement says so.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, TryFutureExt, TryStreamExt, stream};
use object_store::coalesce_ranges;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::File;
use super::convert::Conversion;
use crate::decode::{Decoded, UnknownFields};
use crate::error::{Error, Result};
use crate::text::Zone;

/// How Parquet files are read.
#[derive(Debug, Clone)]
pub struct ParquetOptions {
    /// What happens to a column that the table does not have.
    pub unknown_columns: UnknownFields,
    /// Whether timestamps in nanoseconds are cut to microseconds; else such a value is an error.
    pub truncate_nanoseconds: bool,
    /// The zone of timestamps that the file keeps without one.
    pub zone: Zone,
    /// No batch has more rows.
    pub batch_rows_max: usize,
}

impl Default for ParquetOptions {
    fn default() -> Self {
        Self {
            unknown_columns: UnknownFields::Refuse,
            truncate_nanoseconds: false,
            zone: Zone::UTC,
            batch_rows_max: 16_384,
        }
    }
}

/// The columns that a file says it has.
pub async fn parquet_schema(file: &File) -> Result<SchemaRef> {
    let builder = ParquetRecordBatchStreamBuilder::new(Reader(file.clone()))
        .await
        .map_err(|error| malformed(file, error))?;
    Ok(Arc::clone(builder.schema()))
}

/// The rows of a file, with the columns of `schema`.
pub(super) fn read(
    file: File,
    schema: SchemaRef,
    options: ParquetOptions,
) -> impl Stream<Item = Result<Decoded>> + Send {
    stream::once(open(file, schema, options)).try_flatten()
}

async fn open(
    file: File,
    schema: SchemaRef,
    options: ParquetOptions,
) -> Result<impl Stream<Item = Result<Decoded>> + Send> {
    let builder = ParquetRecordBatchStreamBuilder::new(Reader(file.clone()))
        .await
        .map_err(|error| malformed(&file, error))?;
    let mapping = Mapping::new(&file, builder.schema(), &schema, &options)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), mapping.roots.iter().copied());
    let batches = builder
        .with_projection(mask)
        .with_batch_size(options.batch_rows_max)
        .build()
        .map_err(|error| malformed(&file, error))?;
    let state = (batches, mapping, file, 0_u64);
    Ok(stream::try_unfold(state, |(mut batches, mapping, file, rows_before)| async move {
        let Some(batch) = batches.try_next().await.map_err(|error| malformed(&file, error))? else {
            return Ok(None);
        };
        let rows = batch.num_rows() as u64;
        let batch =
            mapping.apply(&batch, rows_before + 1).map_err(|error| file.content_error(error))?;
        let decoded = Decoded { batches: vec![batch], rows, rows_before, ..Decoded::default() };
        Ok(Some((decoded, (batches, mapping, file, rows_before + rows))))
    }))
}

/// The file as Parquet's reader asks for it.
struct Reader(File);

/// Ranges with smaller gaps than this are fetched as one.
const GAP_BYTES_MAX: u64 = 1 << 20;

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.0.range(range).map_err(passed_through).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move {
            coalesce_ranges(&ranges, |range| self.0.range(range), GAP_BYTES_MAX)
                .await
                .map_err(passed_through)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        let size = self.0.meta.size;
        let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
        reader.load_and_finish(self, size).map_ok(Arc::new).boxed()
    }
}

fn passed_through(error: Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

/// An error of the format, or one of ours that passed through its reader.
fn malformed(file: &File, error: ParquetError) -> Error {
    let reason = error.to_string();
    let malformed = || Error::FileMalformed { file: file.url.clone(), reason };
    match error {
        ParquetError::External(source) => {
            source.downcast::<Error>().map_or_else(|_| malformed(), |error| *error)
        }
        _ => malformed(),
    }
}

/// Which column of the file becomes which of the table, and how.
#[derive(Debug)]
struct Mapping {
    schema: SchemaRef,
    /// The file's columns that are read, in the file's order.
    roots: Vec<usize>,
    /// Per column of the table: its place among the columns read.
    columns: Vec<Option<(usize, Conversion)>>,
}

impl Mapping {
    fn new(
        file: &File,
        found: &Schema,
        wanted: &SchemaRef,
        options: &ParquetOptions,
    ) -> Result<Self> {
        let in_file = || file.url.clone();
        let matched: Vec<Option<usize>> =
            wanted.fields().iter().map(|field| position(found, field.name())).collect();
        let mut roots: Vec<usize> = matched.iter().flatten().copied().collect();
        roots.sort_unstable();
        if let Some(pair) = roots.windows(2).find(|pair| pair[0] == pair[1]) {
            let column = found.field(pair[0]).name().clone();
            return Err(Error::FileColumnAmbiguous { file: in_file(), column });
        }
        let unknown = (0..found.fields().len()).find(|index| !roots.contains(index));
        if let (Some(unknown), UnknownFields::Refuse) = (unknown, options.unknown_columns) {
            let column = found.field(unknown).name().clone();
            return Err(Error::FileColumnUnknown { file: in_file(), column });
        }
        let column = |(field, root): (&Arc<Field>, &Option<usize>)| {
            let Some(root) = root else {
                let column = field.name().clone();
                return if field.is_nullable() {
                    Ok(None)
                } else {
                    Err(Error::FileColumnMissing { file: in_file(), column })
                };
            };
            let from = found.field(*root).data_type();
            let conversion =
                Conversion::new(from, field, options.zone, options.truncate_nanoseconds)?;
            Ok(roots.binary_search(root).ok().map(|place| (place, conversion)))
        };
        let columns = wanted.fields().iter().zip(&matched).map(column).collect::<Result<_>>()?;
        let fields = wanted.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { schema, roots, columns })
    }

    fn apply(&self, batch: &RecordBatch, first_row: u64) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let columns =
            self.columns.iter().zip(self.schema.fields()).map(|(column, field)| match column {
                Some((place, conversion)) => conversion.apply(batch.column(*place), first_row),
                None => Ok(new_null_array(field.data_type(), rows)),
            });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

/// The column of this name; if none has it exactly, the one that differs only in case.
fn position(found: &Schema, name: &str) -> Option<usize> {
    found.index_of(name).ok().or_else(|| {
        let mut alike = found
            .fields()
            .iter()
            .enumerate()
            .filter(|(_, field)| field.name().eq_ignore_ascii_case(name));
        let (index, _) = alike.next()?;
        alike.next().is_none().then_some(index)
    })
}
