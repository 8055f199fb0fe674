//! What exists, where, at which version: names, Delta tables and the catalog's own log.
//!
//! ```text
//!            Catalog ── Snapshot ── Entry          names -> definitions, one commit per DDL
//!               │                      │
//!               │ table(entry)         │ TableRef
//!               ▼                      ▼
//!           LakeTable ── TableSnapshot ── Add      a Delta table at one version
//!           │   │   │
//!    scan   │   │   │ write_files, commit
//!           ▼   ▼   ▼
//!             Stores                               the one policy for every read and write
//! ```
//!
//! A transaction over several tables travels `Catalog::commit_transaction`, and `Catalog::pin` shows it
//! in all of them or in none.
//!
//! A write travels `LakeTable::write_files` (Parquet files that nothing names yet) and then
//! `LakeTable::commit` (one log entry that names them); a few rows are held in memory until
//! `LakeTable::commit_with`. A read travels `LakeTable::current` (a pinned
//! `TableSnapshot`, no I/O) and then `LakeTable::scan` (a `TableProvider` over exactly its files).
//!
//! Never: another crate reads or writes a Delta log, or reaches an object store that `Stores` did
//! not hand out.

mod backup;
mod clock;
mod entry;
mod error;
pub mod faults;
mod log;
mod provider;
mod registry;
mod schema;
mod secrets;
mod snapshot;
mod stores;
mod table;

pub use backup::{Checked, Copied, backup, check, restore};
pub use clock::{Clock, ManualClock, SystemClock};
pub use entry::{
    Change, ColumnEntry, ColumnSource, Definition, Entry, ExternalTable, Kind, ModelVersion,
    OptionValue, TYPE_KEY, TableRef, Tags, Zone,
};
pub use error::{Error, Result};
pub use log::{Add, CommitRecord};
pub use provider::{FILE_COLUMN, ROW_COLUMN, scan_parquet};
pub use registry::{Catalog, TableCommit, TransactionFailure};
pub use schema::{COMMENT_KEY, DEFAULT_KEY, GENERATED_KEY, TableSpec};
pub use secrets::{Sealed, SecretKey};
pub use snapshot::Snapshot;
pub use stores::{CacheCounts, CacheOptions, Location, Options, StoreOptions, Stores};
pub use table::{
    ChangedFiles, Commit, CommitKind, DataFile, HeldFiles, LakeTable, LoadedFile, TableSnapshot,
    Vacuumed,
};
