//! Older versions of a table, and what made them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::data_file::DataFile;
use super::load::load;
use super::{LakeTable, TableSnapshot};
use crate::error::{Error, Result};
use crate::log::{Action, CommitRecord, LogEntry};

/// Older versions that are kept for the next who asks.
const KEPT_VERSIONS: usize = 16;
/// Entries that are read at once for a history.
const READ_AHEAD: usize = 16;

/// Older versions that were loaded, newest use last.
pub(super) type Travelled = VecDeque<Arc<TableSnapshot>>;

impl LakeTable {
    /// The table as it was at a version.
    pub async fn at_version(&self, version: i64) -> Result<Arc<TableSnapshot>> {
        let mut current = self.current();
        if version > current.version {
            current = self.update().await?;
        }
        if version == current.version {
            return Ok(current);
        }
        if let Some(kept) = self.kept(version) {
            return Ok(kept);
        }
        let not_found = || Error::VersionNotFound { object: self.object.clone(), version };
        if version < 0 || version > current.version {
            return Err(not_found());
        }
        let listing = self.log.list().await?;
        if listing.is_cleaned() && listing.oldest().is_none_or(|oldest| version < oldest) {
            return Err(not_found());
        }
        let loaded = Arc::new(load(&self.log, &listing, version).await?.snapshot);
        self.keep(&loaded);
        Ok(loaded)
    }

    /// The table as it was at a time, microseconds since 1970 UTC.
    pub async fn at_timestamp(&self, micros: i64) -> Result<Arc<TableSnapshot>> {
        let current = self.update().await?;
        if current.timestamp_micros <= micros {
            return Ok(current);
        }
        let not_found = || Error::TimeNotFound { object: self.object.clone() };
        let oldest = self.log.list().await?.oldest().ok_or_else(not_found)?;
        // The newest version that is not after the time; times do not go back.
        let (mut low, mut high) = (oldest, current.version);
        while low < high {
            let middle = low + (high - low + 1) / 2;
            if self.committed_at(middle).await? <= micros {
                low = middle
            } else {
                high = middle - 1
            }
        }
        if self.committed_at(low).await? > micros {
            return Err(not_found());
        }
        self.at_version(low).await
    }

    /// The newest commits, newest first.
    pub async fn history(&self, limit: usize) -> Result<Vec<CommitRecord>> {
        let newest = self.update().await?.version;
        stream::iter((0..=newest).rev().take(limit))
            .map(|version| self.log.read(version))
            .buffered(READ_AHEAD)
            // Entries that were cleaned up end the history.
            .try_take_while(|entry| std::future::ready(Ok(entry.is_some())))
            .try_filter_map(|entry| std::future::ready(Ok(entry.map(record))))
            .try_collect()
            .await
    }

    /// All rows of one file, as it stores them. For small tables of the server's own.
    pub(crate) async fn read_file(&self, file: &DataFile) -> Result<Vec<RecordBatch>> {
        let path = self.location.path.clone().join(file.path());
        let bytes = self.log.read_object(&path).await?;
        let corrupt = |reason: String| Error::Corrupt { path: path.to_string(), reason };
        ParquetRecordBatchReaderBuilder::try_new(bytes)
            .and_then(ParquetRecordBatchReaderBuilder::build)
            .map_err(|error| corrupt(error.to_string()))?
            .collect::<Result<_, _>>()
            .map_err(|error| corrupt(error.to_string()))
    }

    async fn committed_at(&self, version: i64) -> Result<i64> {
        let entry = self.log.read(version).await?;
        entry
            .map(|entry| record(entry).timestamp_micros)
            .ok_or_else(|| Error::VersionNotFound { object: self.object.clone(), version })
    }

    fn kept(&self, version: i64) -> Option<Arc<TableSnapshot>> {
        let mut travelled = self.travelled.lock();
        let index = travelled.iter().position(|snapshot| snapshot.version == version)?;
        let snapshot = travelled.remove(index)?;
        travelled.push_back(Arc::clone(&snapshot));
        Some(snapshot)
    }

    /// Keeps an older version for who asks for it next.
    pub(super) fn keep(&self, snapshot: &Arc<TableSnapshot>) {
        let mut travelled = self.travelled.lock();
        travelled.retain(|kept| kept.version != snapshot.version);
        if travelled.len() == KEPT_VERSIONS {
            travelled.pop_front();
        }
        travelled.push_back(Arc::clone(snapshot));
    }
}

pub(super) fn record(entry: LogEntry) -> CommitRecord {
    let mut record = CommitRecord {
        version: entry.version,
        timestamp_micros: entry.modified_micros,
        operation: None,
        parameters: BTreeMap::new(),
        user: None,
        engine: None,
        operation_id: None,
        files_added: 0,
        files_removed: 0,
        rows_added: Some(0),
        txns: Vec::new(),
    };
    for action in entry.actions {
        match action {
            Action::Add(add) => {
                record.files_added += 1;
                let rows = DataFile::new(*add).row_count();
                record.rows_added = record.rows_added.zip(rows).map(|(sum, rows)| sum + rows);
            }
            Action::Remove(_) => record.files_removed += 1,
            Action::Txn(txn) => record.txns.push((txn.app_id, txn.version)),
            Action::CommitInfo(info) => {
                if let Some(millis) = info.in_commit_timestamp.or(info.timestamp) {
                    record.timestamp_micros = millis.saturating_mul(1000);
                }
                let parameters = info.operation_parameters.unwrap_or_default();
                record.parameters = parameters.into_iter().map(|(k, v)| (k, text(v))).collect();
                record.operation = info.operation;
                record.user = info.user_name;
                record.engine = info.engine_info;
                record.operation_id = info.operation_id;
            }
            Action::Metadata(_) | Action::Protocol(_) => {}
        }
    }
    record
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
