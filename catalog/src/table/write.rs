//! Rows to Parquet files that no version names yet.
//!
//! A file that fits in a part of an upload is encoded in memory and put at once; so a few rows cost
//! one durable put. Larger ones go up in parts while they are encoded. A few rows that are committed
//! right away are held: their commit puts them, beside its own entry.
//!
//! Never: more than a bounded part of the rows is held; a file is visible to readers before a commit.

mod file;
mod shape;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use super::statistics::partition_text;
use super::{LakeTable, TableSnapshot};
use crate::error::{Error, Result};
use crate::log::Add;
use file::DataFileWriter;
#[cfg(test)]
pub(super) use file::PART_BYTES;
use shape::Shape;

/// Where a file ends and the next begins, where the table does not say.
const FILE_BYTES: usize = 128 << 20;
/// The table property that says.
const FILE_BYTES_KEY: &str = "delta.targetFileSize";
/// What all open files of one call may hold in memory; the largest is finished beyond it.
const OPEN_BYTES_MAX: usize = 256 << 20;
/// How many files of one call are open at once, one for each partition.
const OPEN_FILES_MAX: usize = 64;

/// The values of the partition columns, in their order.
type Partition = Vec<Option<String>>;

impl LakeTable {
    /// Streams rows into Parquet files that no version names yet. Columns are found by name; every
    /// column of the table has to be there.
    ///
    /// On an error nothing stays behind, as far as the store allows.
    pub async fn write_files(
        &self,
        snapshot: &TableSnapshot,
        rows: SendableRecordBatchStream,
    ) -> Result<Vec<Add>> {
        let mut files = Files::new(self, snapshot, &rows.schema(), false)?;
        match files.write_all(rows).await {
            Ok(()) => Ok(files.done),
            Err(error) => {
                self.delete_files(&files.done).await;
                Err(error)
            }
        }
    }

    /// Removes files that no version names and none will. Those that stay are swept later.
    pub async fn delete_files(&self, files: &[Add]) {
        for add in files {
            let path = self.location.path.clone().join(add.path.as_str());
            if let Err(error) = self.location.store.delete(&path).await {
                tracing::debug!(%path, %error, "could not remove an unused file");
            }
        }
    }

    /// Encodes rows that are in memory, for a commit right away. The store does not have them yet.
    pub async fn hold_files(
        &self,
        snapshot: &TableSnapshot,
        batches: Vec<RecordBatch>,
    ) -> Result<HeldFiles> {
        let Some(schema) = batches.first().map(RecordBatch::schema) else {
            return Ok(HeldFiles::default());
        };
        let mut files = Files::new(self, snapshot, &schema, true)?;
        let rows = stream::iter(batches.into_iter().map(Ok));
        files.write_all(Box::pin(RecordBatchStreamAdapter::new(schema, rows))).await?;
        Ok(HeldFiles { adds: files.done, puts: files.held })
    }

    fn rows_error(&self) -> impl Fn(DataFusionError) -> Error + '_ {
        |source| Error::Rows { object: self.object.clone(), source }
    }
}

/// Files that are encoded, and that [`LakeTable::commit_with`] puts in the store.
#[derive(Debug, Default)]
pub struct HeldFiles {
    pub(super) adds: Vec<Add>,
    pub(super) puts: Vec<(Path, PutPayload)>,
}

impl TableSnapshot {
    /// Where a data file ends and the next begins.
    pub(super) fn target_file_bytes(&self) -> usize {
        let said = self.configuration.get(FILE_BYTES_KEY);
        said.and_then(|text| byte_count(text)).unwrap_or(FILE_BYTES)
    }
}

/// A size as table properties have it: `134217728`, `128mb`.
fn byte_count(text: &str) -> Option<usize> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        _ => return None,
    };
    digits.trim().parse::<usize>().ok()?.checked_shl(shift).filter(|bytes| *bytes > 0)
}

/// The files of one call.
struct Files<'a> {
    table: &'a LakeTable,
    shape: Shape,
    partition_columns: Arc<[String]>,
    /// Where they stand in the schema of the table.
    partition_indices: Vec<usize>,
    /// Where the others stand.
    file_indices: Vec<usize>,
    file_schema: SchemaRef,
    statistics_columns: Option<usize>,
    file_bytes: usize,
    /// Columns of files that held a NaN, which statistics of Parquet pass over as if it were not
    /// greater than all numbers; so these columns get none.
    nan_columns: BTreeSet<usize>,
    open: HashMap<Partition, DataFileWriter>,
    done: Vec<Add>,
    /// Whether files stay in memory, and those that did.
    hold: bool,
    held: Vec<(Path, PutPayload)>,
}

impl<'a> Files<'a> {
    fn new(
        table: &'a LakeTable,
        snapshot: &TableSnapshot,
        input: &SchemaRef,
        hold: bool,
    ) -> Result<Self> {
        let schema = &snapshot.schema;
        let (partition_indices, file_indices): (Vec<_>, Vec<_>) = (0..schema.fields().len())
            .partition(|index| snapshot.partition_columns.contains(schema.field(*index).name()));
        let partition_indices = {
            // In the order in which the table names them.
            let mut ordered = partition_indices;
            ordered.sort_by_key(|index| {
                let name = schema.field(*index).name();
                snapshot.partition_columns.iter().position(|column| column == name)
            });
            ordered
        };
        let file_schema = schema.project(&file_indices).map_err(|error| Error::Mismatch {
            object: table.object.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            table,
            shape: Shape::new(&table.object, schema, input)?,
            partition_columns: Arc::clone(&snapshot.partition_columns),
            partition_indices,
            file_indices,
            file_schema: Arc::new(file_schema),
            statistics_columns: snapshot
                .configuration
                .get("delta.dataSkippingNumIndexedCols")
                .and_then(|text| text.parse::<i64>().ok())
                .map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
            file_bytes: snapshot.target_file_bytes(),
            nan_columns: BTreeSet::new(),
            open: HashMap::new(),
            done: Vec::new(),
            hold,
            held: Vec::new(),
        })
    }

    async fn write_all(&mut self, mut rows: SendableRecordBatchStream) -> Result<()> {
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(self.table.rows_error())?;
            if batch.num_rows() > 0 {
                let batch = self.shape.conform(&self.table.object, &batch)?;
                self.write_batch(&batch).await?;
            }
        }
        let open: Vec<Partition> = self.open.keys().cloned().collect();
        for partition in open {
            self.finish(&partition).await?;
        }
        Ok(())
    }

    async fn write_batch(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.partition_indices.is_empty() {
            return self.write_part(Vec::new(), batch).await;
        }
        for (partition, rows) in self.split(batch)? {
            let part = take_record_batch(batch, &rows).map_err(|error| self.rows_failed(error))?;
            let part = part.project(&self.file_indices).map_err(|error| self.rows_failed(error))?;
            self.write_part(partition, &part).await?;
        }
        Ok(())
    }

    /// The rows of each partition.
    fn split(&self, batch: &RecordBatch) -> Result<HashMap<Partition, UInt32Array>> {
        let mut parts: HashMap<Partition, Vec<u32>> = HashMap::new();
        for row in 0..batch.num_rows() {
            let partition = self
                .partition_indices
                .iter()
                .map(|index| self.partition_value(batch, *index, row))
                .collect::<Result<_>>()?;
            parts.entry(partition).or_default().push(u32::try_from(row).unwrap_or(u32::MAX));
        }
        Ok(parts.into_iter().map(|(partition, rows)| (partition, rows.into())).collect())
    }

    fn partition_value(
        &self,
        batch: &RecordBatch,
        index: usize,
        row: usize,
    ) -> Result<Option<String>> {
        let name = || batch.schema().field(index).name().clone();
        match partition_text(batch.column(index), row) {
            Some(Some(text)) if text.is_empty() => Err(Error::Unsupported {
                what: format!(
                    "an empty string cannot be stored in partition column \"{}\"",
                    name()
                ),
            }),
            Some(value) => Ok(value),
            None => Err(Error::Unsupported { what: format!("cannot partition by \"{}\"", name()) }),
        }
    }

    /// Writes rows of one partition, without its columns.
    async fn write_part(&mut self, partition: Partition, batch: &RecordBatch) -> Result<()> {
        if self.meets_new_nan(batch) {
            self.finish(&partition).await?;
        }
        if !self.open.contains_key(&partition) {
            if self.open.len() >= OPEN_FILES_MAX {
                self.finish_largest().await?;
            }
            let writer = DataFileWriter::new(
                &self.table.location,
                Arc::clone(&self.file_schema),
                &self.nan_columns,
                self.table.clock.now_micros(),
                self.hold,
            )
            .map_err(self.table.rows_error())?;
            self.open.insert(partition.clone(), writer);
        }
        if let Some(writer) = self.open.get_mut(&partition) {
            writer.write(batch).await.map_err(self.table.rows_error())?;
            if writer.byte_count() >= self.file_bytes {
                self.finish(&partition).await?;
            }
        }
        while self.open.len() > 1
            && self.open.values().map(DataFileWriter::memory_bytes).sum::<usize>() > OPEN_BYTES_MAX
        {
            self.finish_largest().await?;
        }
        Ok(())
    }

    /// Whether a column has its first NaN; the open file has to end before it.
    fn meets_new_nan(&mut self, batch: &RecordBatch) -> bool {
        let before = self.nan_columns.len();
        for (index, column) in batch.columns().iter().enumerate() {
            if !self.nan_columns.contains(&index) && shape::has_nan(column) {
                self.nan_columns.insert(index);
            }
        }
        self.nan_columns.len() > before
    }

    async fn finish_largest(&mut self) -> Result<()> {
        let largest = {
            let largest = self.open.iter().max_by_key(|(_, writer)| writer.memory_bytes());
            largest.map(|(partition, _)| partition.clone())
        };
        match largest {
            Some(partition) => self.finish(&partition).await,
            None => Ok(()),
        }
    }

    async fn finish(&mut self, partition: &Partition) -> Result<()> {
        let Some(writer) = self.open.remove(partition) else { return Ok(()) };
        let written = writer
            .finish(&self.file_schema, self.statistics_columns)
            .await
            .map_err(self.table.rows_error())?;
        if let Some(payload) = written.held {
            let path = self.table.location.path.clone().join(written.name.as_str());
            self.held.push((path, payload));
        }
        let values = self.partition_columns.iter().cloned().zip(partition.iter().cloned());
        self.done.push(Add {
            path: written.name,
            partition_values: values.collect(),
            size: i64::try_from(written.byte_count).unwrap_or(i64::MAX),
            modification_time: self.table.clock.now_micros().div_euclid(1000),
            data_change: true,
            stats: Some(written.statistics),
            ..Add::default()
        });
        Ok(())
    }

    fn rows_failed(&self, error: impl Into<DataFusionError>) -> Error {
        Error::Rows { object: self.table.object.clone(), source: error.into() }
    }
}
