//! A Delta table: the only type that reads or commits one.
//!
//! Never: a commit lists the log, or replays files that it does not touch.

mod snapshot;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::execution::SendableRecordBatchStream;
use uuid::Uuid;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::log::{Add, CommitRecord};
use crate::schema::TableSpec;
use crate::stores::Location;

pub use snapshot::{DataFile, TableSnapshot};

/// A Delta table, shared by all sessions of a process.
#[derive(Debug)]
pub struct LakeTable {
    location: Location,
    clock: Arc<dyn Clock>,
    current: arc_swap::ArcSwap<TableSnapshot>,
}

/// What a commit does to a table.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Files that come; written by [`LakeTable::write_files`].
    pub adds: Vec<Add>,
    /// Paths of files that go.
    pub removes: Vec<String>,
    /// The new definition of the table, where it changes.
    pub metadata: Option<TableSpec>,
    /// Numbered producers that the commit takes forward: application id and version.
    pub txns: Vec<(String, i64)>,
    /// What was done, in Delta's words: `WRITE`, `DELETE`, `UPDATE`, `MERGE`, ...
    pub operation: String,
    /// With what.
    pub parameters: BTreeMap<String, String>,
    /// By whom.
    pub user: Option<String>,
    /// What concurrent commits it agrees with.
    pub kind: CommitKind,
    /// Whether rows changed, rather than files being arranged anew.
    pub data_change: bool,
    /// Which attempt of whom it is: the same id is never committed twice.
    pub operation_id: Uuid,
}

/// What concurrent commits a commit agrees with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitKind {
    /// New rows only. Agrees with anything but a change of the definition.
    Append,
    /// Replaces files. Conflicts when a file that it removes is gone, and where `read_all`, also when
    /// rows came.
    Rewrite {
        /// Whether the commit depends on every row of the table (an overwrite, a MERGE).
        read_all: bool,
    },
    /// A new definition. Conflicts with another one, and where `read_all`, also when rows came.
    Metadata {
        /// Whether every row was checked against the new definition.
        read_all: bool,
    },
    /// Conflicts with any other commit.
    Exact,
}

impl Commit {
    /// A commit of nothing yet.
    #[must_use]
    pub fn new(operation: impl Into<String>, kind: CommitKind) -> Self {
        Self {
            adds: Vec::new(),
            removes: Vec::new(),
            metadata: None,
            txns: Vec::new(),
            operation: operation.into(),
            parameters: BTreeMap::new(),
            user: None,
            kind,
            data_change: true,
            operation_id: Uuid::new_v4(),
        }
    }

    /// New rows.
    #[must_use]
    pub fn append(adds: Vec<Add>) -> Self {
        Self { adds, ..Self::new("WRITE", CommitKind::Append) }
    }
}

impl LakeTable {
    /// Makes a Delta table with version 0 at `location`.
    pub async fn create(
        location: Location,
        spec: TableSpec,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let _ = (location, spec, clock);
        Err(Error::Unsupported { what: "not yet".to_owned() })
    }

    /// Opens the Delta table at `location`.
    pub async fn open(location: Location, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let _ = (location, clock);
        Err(Error::Unsupported { what: "not yet".to_owned() })
    }

    /// Where it stands.
    #[must_use]
    pub const fn location(&self) -> &Location {
        &self.location
    }

    /// The newest known version. No I/O.
    #[must_use]
    pub fn current(&self) -> Arc<TableSnapshot> {
        self.current.load_full()
    }

    /// Reads the log entries that others wrote.
    pub async fn update(&self) -> Result<Arc<TableSnapshot>> {
        Ok(self.current())
    }

    /// As [`Self::update`], unless the store was asked less than `age_micros` ago.
    pub async fn update_if_older(&self, age_micros: i64) -> Result<Arc<TableSnapshot>> {
        let _ = (age_micros, self.clock.now_micros());
        Ok(self.current())
    }

    /// The table as it was at a version.
    pub async fn at_version(&self, version: i64) -> Result<Arc<TableSnapshot>> {
        Err(Error::VersionNotFound { object: self.location.path.to_string(), version })
    }

    /// The table as it was at a time, microseconds since 1970 UTC.
    pub async fn at_timestamp(&self, micros: i64) -> Result<Arc<TableSnapshot>> {
        self.at_version(micros).await
    }

    /// Streams rows into Parquet files that no version names yet.
    pub async fn write_files(
        &self,
        snapshot: &TableSnapshot,
        rows: SendableRecordBatchStream,
    ) -> Result<Vec<Add>> {
        let _ = (snapshot, rows);
        Err(Error::Unsupported { what: "not yet".to_owned() })
    }

    /// Makes the next version, as it was decided over `base`.
    ///
    /// Errors that the caller acts on: [`Error::Conflict`] (read again and retry),
    /// [`Error::MetadataChanged`] (check the rows again), [`Error::AlreadyApplied`] (a replay).
    pub async fn commit(&self, base: &TableSnapshot, commit: Commit) -> Result<Arc<TableSnapshot>> {
        let _ = (base, commit);
        Err(Error::Unsupported { what: "not yet".to_owned() })
    }

    /// The newest commits, newest first.
    pub async fn history(&self, limit: usize) -> Result<Vec<CommitRecord>> {
        let _ = limit;
        Err(Error::Unsupported { what: "not yet".to_owned() })
    }

    /// A reader of exactly the files of `snapshot`. It has none of DataFusion's write hooks.
    pub fn scan(self: &Arc<Self>, snapshot: Arc<TableSnapshot>) -> Arc<dyn TableProvider> {
        crate::provider::scan(self.location.clone(), snapshot, false)
    }

    /// As [`Self::scan`], with one more column, [`crate::FILE_COLUMN`]: the path of each row's file,
    /// as [`Commit::removes`] takes it.
    pub fn scan_with_file_column(
        self: &Arc<Self>,
        snapshot: Arc<TableSnapshot>,
    ) -> Arc<dyn TableProvider> {
        crate::provider::scan(self.location.clone(), snapshot, true)
    }
}
