//! Rows of Parquet files.
//!
//! Never: more of a file in memory than the row groups being read.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
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
use super::mapping::{Mapping, TypedOptions};
use crate::decode::Decoded;
use crate::error::{Error, Result};

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
    options: TypedOptions,
) -> impl Stream<Item = Result<Decoded>> + Send {
    stream::once(open(file, schema, options)).try_flatten()
}

async fn open(
    file: File,
    schema: SchemaRef,
    options: TypedOptions,
) -> Result<impl Stream<Item = Result<Decoded>> + Send> {
    let builder = ParquetRecordBatchStreamBuilder::new(Reader(file.clone()))
        .await
        .map_err(|error| malformed(&file, error))?;
    let mapping = Mapping::new(&file, builder.schema(), &schema, &options)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), mapping.roots().iter().copied());
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
