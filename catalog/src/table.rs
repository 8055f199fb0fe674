//! A Delta table: the only type that reads or commits one.
//!
//! ```text
//! create, open      load.rs       the newest version, from a checkpoint and the entries after it
//! current, update   here          the newest known version; the entries that others wrote
//! at_version        travel.rs     older versions, history
//! restore           restore.rs    the way back to one
//! changed_files     changes.rs    what commits did to rows
//! write_files       write.rs      rows to Parquet files that no version names yet
//! commit            commit.rs     the next version
//! prepare           prepared.rs   a commit that holds together with those of other tables
//! clean_log         cleanup.rs    the oldest log entries go
//! scan              provider.rs   pinned files as a DataFusion table
//! ```
//!
//! Never: a commit lists the log, or replays files that it does not touch.

mod bounds;
mod changes;
mod checkpoints;
mod cleanup;
mod commit;
mod compact;
mod conflict;
mod data_file;
mod files;
mod load;
mod loaded;
mod prepared;
mod restore;
mod snapshot;
mod statistics;
mod travel;
mod uploads;
mod vacuum;
mod write;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use datafusion::catalog::TableProvider;
use parking_lot::Mutex;
use uuid::Uuid;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::log::{Log, LogEntry};
use crate::stores::Location;

pub(crate) use bounds::{BoundArrays, FileBounds};
pub use changes::ChangedFiles;
pub use commit::{Commit, CommitKind};
pub use data_file::DataFile;
pub use loaded::LoadedFile;
pub(crate) use prepared::{Decisions, Prepared, Verdict};
pub use snapshot::TableSnapshot;
pub(crate) use statistics::{ColumnBounds, partition_scalar};
pub use vacuum::Vacuumed;
pub use write::HeldFiles;

use snapshot::operation_of;
use travel::Travelled;

/// Operations that are remembered, so that committing one again finds it.
const REMEMBERED_OPERATIONS: usize = 10_000;
/// How often a log is listed anew that is being cleaned up while it is read.
const LOOKS_MAX: usize = 16;

/// A Delta table, shared by all sessions of a process.
pub struct LakeTable {
    location: Location,
    clock: Arc<dyn Clock>,
    log: Log,
    /// For messages: `table "…"`.
    object: String,
    current: ArcSwap<TableSnapshot>,
    /// Held while `current` moves on.
    recent: Mutex<VecDeque<(Uuid, i64)>>,
    /// One commit at a time within the process: a race here would only cost store requests.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Who knows what became of prepared commits.
    decisions: OnceLock<Arc<dyn Decisions>>,
    /// When the version that was current then, or an older one, was known to be the newest, by the clock.
    asked_at_micros: AtomicI64,
    /// The newest version that was read by itself, as entries before it were gone.
    skipped_to: AtomicI64,
    checkpointing: AtomicBool,
    checkpoint_version: AtomicI64,
    travelled: Mutex<Travelled>,
}

impl LakeTable {
    fn new(
        location: Location,
        log: Log,
        clock: Arc<dyn Clock>,
        snapshot: TableSnapshot,
        asked_at_micros: i64,
        checkpoint_version: i64,
    ) -> Arc<Self> {
        Arc::new(Self {
            object: log.object(),
            location,
            log,
            asked_at_micros: AtomicI64::new(asked_at_micros),
            skipped_to: AtomicI64::new(-1),
            clock,
            current: ArcSwap::from_pointee(snapshot),
            recent: Mutex::default(),
            turn: Arc::default(),
            decisions: OnceLock::new(),
            checkpointing: AtomicBool::new(false),
            checkpoint_version: AtomicI64::new(checkpoint_version),
            travelled: Mutex::default(),
        })
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
        let mut is_stale = self.is_stale();
        for _ in 0..LOOKS_MAX {
            let asked_at = self.clock.now_micros();
            let mut snapshot = self.current();
            let mut reached = snapshot.version;
            if is_stale {
                (snapshot, reached) = self.look_again(snapshot).await?;
            }
            loop {
                let next = self.log.read(snapshot.version + 1).await?;
                if self.is_long_since(asked_at) {
                    break;
                }
                match next {
                    Some(entry) if snapshot.is_followed_by(&entry) => {
                        snapshot = self.advance(&snapshot, entry)?;
                    }
                    // One of the two was put where others had been cleaned up.
                    Some(_) => {
                        self.begin_again().await?;
                        break;
                    }
                    None if snapshot.version >= reached => {
                        self.asked_at_micros.fetch_max(asked_at, Ordering::AcqRel);
                        return Ok(self.current());
                    }
                    None => break,
                }
            }
            // It slept, or what was there a moment ago is being cleaned up.
            is_stale = true;
        }
        let reason = "entries of its log are listed and cannot be read".to_owned();
        Err(Error::Corrupt { path: self.object.clone(), reason })
    }

    /// As [`Self::update`], unless the store was asked, or a commit landed, less than `age_micros`
    /// ago.
    pub async fn update_if_older(&self, age_micros: i64) -> Result<Arc<TableSnapshot>> {
        let asked_at = self.asked_at_micros.load(Ordering::Acquire);
        if self.is_within(age_micros, asked_at) { Ok(self.current()) } else { self.update().await }
    }

    /// Whether a time is past, and by less than `age_micros`. A clock that went back says nothing about age.
    fn is_within(&self, age_micros: i64, at_micros: i64) -> bool {
        (0..age_micros).contains(&self.clock.now_micros().saturating_sub(at_micros))
    }

    /// Takes the entry after `snapshot` into account.
    fn advance(&self, snapshot: &TableSnapshot, entry: LogEntry) -> Result<Arc<TableSnapshot>> {
        let operation = operation_of(&entry.actions);
        let next = Arc::new(snapshot.apply(&self.object, entry)?);
        let mut recent = self.recent.lock();
        if next.version > self.current.load().version {
            self.current.store(Arc::clone(&next));
            if let Some(operation) = operation {
                if recent.len() == REMEMBERED_OPERATIONS {
                    recent.pop_front();
                }
                recent.push_back((operation, next.version));
            }
        }
        Ok(next)
    }

    /// The version that an operation made, if it was lately.
    fn version_of(&self, operation: Uuid) -> Option<i64> {
        let recent = self.recent.lock();
        recent.iter().rev().find(|(known, _)| *known == operation).map(|(_, version)| *version)
    }

    /// A reader of exactly the files of `snapshot`. It has none of DataFusion's write hooks.
    pub fn scan(self: &Arc<Self>, snapshot: Arc<TableSnapshot>) -> Arc<dyn TableProvider> {
        crate::provider::scan(self.location.clone(), snapshot, false)
    }

    /// Whether `scan` came from [`Self::scan`] of this table.
    pub fn is_scanned_by(&self, scan: &dyn TableProvider) -> bool {
        crate::provider::is_scan_of(scan, &self.location)
    }

    /// A scan of `snapshot` in place of an earlier one, in a plan that was made over that. `None`
    /// where the plan may not hold: the table was defined anew, or others began to write it.
    pub fn scan_again(
        self: &Arc<Self>,
        earlier: &dyn TableProvider,
        snapshot: Arc<TableSnapshot>,
    ) -> Option<Arc<dyn TableProvider>> {
        crate::provider::scan_again(earlier, snapshot)
    }

    /// As [`Self::scan`], with the place of each row in two more columns: [`crate::FILE_COLUMN`], the
    /// path of its file, as [`Commit::removes`] takes it, and [`crate::ROW_COLUMN`], its number there.
    pub fn scan_with_places(
        self: &Arc<Self>,
        snapshot: Arc<TableSnapshot>,
    ) -> Arc<dyn TableProvider> {
        crate::provider::scan(self.location.clone(), snapshot, true)
    }
}

impl fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeTable")
            .field("location", &self.location.to_string())
            .field("version", &self.current.load().version)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
