//! Rows as one file.
//!
//! Never: a file that readers can see before it is whole: a store shows it with the last byte, and
//! an error before that takes it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use bytes::Bytes;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::arrow::AsyncArrowWriter;
use parquet::basic::{Compression as PageCompression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tokio::io::AsyncWriteExt;

use super::Compression;
use crate::encode::{self, Encoder};
use crate::error::{Error, Result};

/// The format of a file to be written.
#[derive(Debug, Clone)]
pub enum WriteFormat {
    /// csv, text or JSON lines.
    Encoded(encode::Options, Compression),
    /// Parquet, its pages compressed by zstd.
    Parquet,
}

/// Writes all rows into a file, which is replaced if it is there. Gives the number of rows.
pub async fn write(
    store: Arc<dyn ObjectStore>,
    path: &Path,
    url: &str,
    rows: SendableRecordBatchStream,
    format: &WriteFormat,
) -> Result<u64> {
    let writer = BufWriter::new(store, path.clone());
    match format {
        WriteFormat::Parquet => parquet(writer, url, rows).await,
        WriteFormat::Encoded(options, compression) => {
            let count = Arc::new(AtomicU64::new(0));
            let bytes = encoded(rows, options, Arc::clone(&count))?;
            let bytes = compression.codec().convert_to_compress_stream(bytes)?;
            put(writer, url, bytes).await?;
            Ok(count.load(Ordering::Relaxed))
        }
    }
}

fn unwritable(url: &str, source: object_store::Error) -> Error {
    Error::FileUnwritable { file: url.to_owned(), source: source.into() }
}

/// The bytes of the rows. Counts the rows on the way.
fn encoded(
    rows: SendableRecordBatchStream,
    options: &encode::Options,
    count: Arc<AtomicU64>,
) -> Result<BoxStream<'static, Result<Bytes, DataFusionError>>> {
    let encoder = Encoder::new(&rows.schema(), options)?;
    let mut start = Vec::new();
    encoder.start(&mut start);
    let start = stream::iter((!start.is_empty()).then(|| Ok(Bytes::from(start))));
    let batches = rows.map(move |batch| {
        let batch: RecordBatch = batch?;
        let mut bytes = Vec::new();
        encoder.encode(&batch, &mut bytes)?;
        count.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        Ok(Bytes::from(bytes))
    });
    Ok(start.chain(batches).boxed())
}

async fn put(
    mut writer: BufWriter,
    url: &str,
    mut bytes: BoxStream<'static, Result<Bytes, DataFusionError>>,
) -> Result<()> {
    let mut ended = false;
    let copied = async {
        while let Some(piece) = bytes.try_next().await? {
            writer.put(piece).await.map_err(|error| unwritable(url, error))?;
        }
        ended = true;
        writer
            .shutdown()
            .await
            .map_err(|error| Error::FileUnwritable { file: url.to_owned(), source: error.into() })
    }
    .await;
    // One that failed while it ended cannot be aborted: the library panics.
    if copied.is_err() && !ended {
        // What is left of an upload is not visible, only paid for; the first error counts.
        writer.abort().await.ok();
    }
    copied
}

async fn parquet(writer: BufWriter, url: &str, mut rows: SendableRecordBatchStream) -> Result<u64> {
    let level = ZstdLevel::try_new(1).map_err(|error| unwritable_page(url, error))?;
    let properties =
        WriterProperties::builder().set_compression(PageCompression::ZSTD(level)).build();
    let mut writer = AsyncArrowWriter::try_new(writer, rows.schema(), Some(properties))
        .map_err(|error| unwritable_page(url, error))?;
    let mut count = 0;
    let mut ended = false;
    let copied: Result<()> = async {
        while let Some(batch) = rows.try_next().await? {
            count += batch.num_rows() as u64;
            writer.write(&batch).await.map_err(|error| unwritable_page(url, error))?;
        }
        ended = true;
        writer.finish().await.map_err(|error| unwritable_page(url, error))?;
        Ok(())
    }
    .await;
    if let Err(error) = copied {
        if !ended {
            writer.into_inner().abort().await.ok();
        }
        return Err(error);
    }
    Ok(count)
}

fn unwritable_page(url: &str, error: ParquetError) -> Error {
    Error::FileUnwritable { file: url.to_owned(), source: error.into() }
}
