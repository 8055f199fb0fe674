//! One Parquet file in the making.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::error::Result;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::buffered::BufWriter;
use object_store::{PutPayload, PutPayloadMut};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::async_writer::{AsyncArrowWriter, AsyncFileWriter};
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use uuid::{NoContext, Timestamp, Uuid};

use crate::stores::Location;
use crate::table::statistics::collect;

/// Rows that a reader decides over at once.
const ROW_GROUP_ROWS: usize = 1 << 20;
const ROW_GROUP_BYTES: usize = 128 << 20;
/// Rows of a page, the least that a lookup decompresses of each column that it shows. With the usual
/// 20,000 a point lookup spends half of its time on rows that it does not want.
const PAGE_ROWS: usize = 4096;
/// A dictionary is read whole by whoever reads one of its rows: columns of many values do without.
const DICTIONARY_BYTES: usize = 64 << 10;
/// Files below this size are put in one piece. Small in tests, so that they see uploads in parts.
pub(crate) const PART_BYTES: usize = if cfg!(test) { 8 << 10 } else { 16 << 20 };

pub(super) struct DataFileWriter {
    name: String,
    writer: AsyncArrowWriter<Sink>,
}

/// Where the bytes of a file go.
enum Sink {
    Store(BufWriter),
    Memory(PutPayloadMut),
}

impl AsyncFileWriter for Sink {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, parquet::errors::Result<()>> {
        match self {
            Self::Store(upload) => AsyncFileWriter::write(upload, bytes),
            Self::Memory(payload) => {
                payload.push(bytes);
                std::future::ready(Ok(())).boxed()
            }
        }
    }

    fn complete(&mut self) -> BoxFuture<'_, parquet::errors::Result<()>> {
        match self {
            Self::Store(upload) => AsyncFileWriter::complete(upload),
            Self::Memory(_) => std::future::ready(Ok(())).boxed(),
        }
    }
}

/// A file that is complete.
pub(super) struct WrittenFile {
    pub(super) name: String,
    pub(super) byte_count: usize,
    /// In Delta's JSON.
    pub(super) statistics: String,
    /// Its bytes, where they are not in the store.
    pub(super) held: Option<PutPayload>,
}

impl DataFileWriter {
    pub(super) fn new(
        table: &Location,
        schema: SchemaRef,
        without_statistics: &BTreeSet<usize>,
        now_micros: i64,
        hold: bool,
    ) -> Result<Self> {
        // Names sort by time, so that files are listed, and scanned, in the order of their commits.
        let name = format!("part-{}.snappy.parquet", time_ordered(now_micros));
        let path = table.path.clone().join(name.as_str());
        let sink = if hold {
            Sink::Memory(PutPayloadMut::new())
        } else {
            Sink::Store(BufWriter::with_capacity(Arc::clone(&table.store), path, PART_BYTES))
        };
        let options = ArrowWriterOptions::new()
            .with_properties(properties(&schema, without_statistics))
            // The table says what the types are; a copy in every file would cost more than one row.
            .with_skip_arrow_metadata(true);
        let writer = AsyncArrowWriter::try_new_with_options(sink, schema, options)?;
        Ok(Self { name, writer })
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.writer.write(batch).await?)
    }

    /// What the file would be if it ended now, about.
    pub(super) fn byte_count(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.writer.memory_size()
    }

    /// Completes the file; when this returns, the store has it for good, unless it is held.
    pub(super) async fn finish(
        mut self,
        schema: &SchemaRef,
        statistics_columns: Option<usize>,
    ) -> Result<WrittenFile> {
        let metadata = self.writer.finish().await?;
        let byte_count = self.writer.bytes_written();
        let held = match self.writer.into_inner() {
            Sink::Store(_) => None,
            Sink::Memory(payload) => Some(payload.freeze()),
        };
        let statistics = collect(&metadata, schema, statistics_columns);
        Ok(WrittenFile { name: self.name, byte_count, statistics, held })
    }
}

fn time_ordered(now_micros: i64) -> Uuid {
    let seconds = u64::try_from(now_micros.div_euclid(1_000_000)).unwrap_or(0);
    let nanos = u32::try_from(now_micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, nanos))
}

fn properties(schema: &SchemaRef, without: &BTreeSet<usize>) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("Tarn version ", env!("CARGO_PKG_VERSION")).to_owned())
        // Decompressed several times as fast as zstd and a third larger; and the reader makes a zstd
        // context, hundreds of kilobytes to clear, for each column of each file.
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES);
    for index in without {
        let column = ColumnPath::from(schema.field(*index).name().as_str());
        properties = properties.set_column_statistics_enabled(column, EnabledStatistics::None);
    }
    properties.build()
}
