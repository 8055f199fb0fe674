//! The only way in for rows: validated, written, committed in groups.
//!
//! ```text
//! rows ── validate ──┬─ few ──> queue ─┐
//!                    │                 ├──> one commit for all that waited ──> acknowledged
//!                    └─ many ─> files ─┘
//! ```
//!
//! An idle table commits at once. While a commit is under way, what comes waits and becomes the
//! next commit together: throughput grows with load and no timer is needed. Each statement is
//! validated before it joins a group, so a bad row fails only its own statement.
//! Never: an acknowledgement before the commit; a group held up by a client that went away.

mod load;
mod validate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use catalog::{Add, Commit, LakeTable, TableSnapshot};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub use validate::{Check, Validation};

use crate::{Error, Result};

/// Rows up to this size share a file with the rows of other statements.
const SMALL_BYTES_MAX: usize = 4 << 20;

/// Rows of one group at most, so that a long queue becomes several files of a usual size.
const GROUP_BYTES_MAX: usize = 64 << 20;

/// What one statement added.
#[derive(Debug, Clone)]
pub struct Appended {
    /// Its rows.
    pub rows: u64,
    /// The version that holds them; the one before where there were none.
    pub version: i64,
}

/// Files that no version names yet, and how many rows they hold.
#[derive(Debug)]
pub struct Written {
    /// The files.
    pub adds: Vec<Add>,
    /// Their rows.
    pub rows: u64,
}

/// The way into one table, shared by all sessions.
#[derive(Debug)]
pub struct Writer {
    table: Arc<LakeTable>,
    queue: Mutex<Vec<Pending>>,
    leading: AtomicBool,
}

/// A statement that waits for its commit.
#[derive(Debug)]
struct Pending {
    work: Work,
    /// The definition that its rows were made for and validated against.
    schema: SchemaRef,
    constraints: Arc<BTreeMap<String, String>>,
    user: Option<String>,
    done: oneshot::Sender<Result<i64, Arc<catalog::Error>>>,
}

#[derive(Debug)]
enum Work {
    Rows(Vec<RecordBatch>),
    Files(Vec<Add>),
}

impl Work {
    fn bytes(&self) -> usize {
        match self {
            Self::Rows(batches) => batches.iter().map(RecordBatch::get_array_memory_size).sum(),
            Self::Files(_) => 0,
        }
    }
}

impl Writer {
    /// The way into `table`.
    pub fn new(table: Arc<LakeTable>) -> Arc<Self> {
        Arc::new(Self { table, queue: Mutex::default(), leading: AtomicBool::new(false) })
    }

    /// Validates the rows, writes them, and returns after the commit that holds them all. The rows have
    /// the columns of `snapshot`: where the table is defined anew before that commit, the error is
    /// [`catalog::Error::MetadataChanged`].
    ///
    /// Dropped before that, nothing is kept, or everything: never a part.
    pub async fn append(
        self: &Arc<Self>,
        snapshot: &TableSnapshot,
        rows: SendableRecordBatchStream,
        validation: &Arc<Validation>,
        user: Option<String>,
    ) -> Result<Appended> {
        let counted = Arc::new(AtomicU64::new(0));
        let mut rows = validate::validated(rows, &snapshot.schema, validation, &counted);
        let (head, more) = take_small(&mut rows).await?;
        let work = if more {
            let schema = rows.schema();
            let head = futures::stream::iter(head.into_iter().map(Ok));
            let all = Box::pin(RecordBatchStreamAdapter::new(schema, head.chain(rows)));
            Work::Files(self.table.write_files(snapshot, all).await.map_err(write_error)?)
        } else {
            Work::Rows(head)
        };
        let rows = counted.load(Ordering::Relaxed);
        if rows == 0 {
            return Ok(Appended { rows, version: snapshot.version });
        }
        let (done, committed) = oneshot::channel();
        let (schema, constraints) =
            (Arc::clone(&snapshot.schema), Arc::clone(&snapshot.constraints));
        self.queue.lock().push(Pending { work, schema, constraints, user, done });
        self.lead();
        match committed.await {
            Ok(Ok(version)) => Ok(Appended { rows, version }),
            Ok(Err(error)) => Err(Error::Catalog(error)),
            Err(_) => Err(Error::WriterStopped),
        }
    }

    /// Validates the rows and writes them as files that a transaction commits later.
    pub async fn write(
        &self,
        snapshot: &TableSnapshot,
        rows: SendableRecordBatchStream,
        validation: &Arc<Validation>,
    ) -> Result<Written> {
        let counted = Arc::new(AtomicU64::new(0));
        let rows = validate::validated(rows, &snapshot.schema, validation, &counted);
        let adds = self.table.write_files(snapshot, rows).await.map_err(write_error)?;
        Ok(Written { adds, rows: counted.load(Ordering::Relaxed) })
    }

    /// Starts the one task that commits groups, unless it runs already.
    fn lead(self: &Arc<Self>) {
        if self.leading.swap(true, Ordering::AcqRel) {
            return;
        }
        let writer = Arc::clone(self);
        // A task of its own: a client that goes away must not take the group with it.
        tokio::spawn(async move {
            loop {
                let group = writer.take_group();
                if group.is_empty() {
                    writer.leading.store(false, Ordering::Release);
                    // Somebody may have queued between the look and the store.
                    let waiting = !writer.queue.lock().is_empty();
                    if waiting && !writer.leading.swap(true, Ordering::AcqRel) {
                        continue;
                    }
                    return;
                }
                writer.commit_group(group).await;
            }
        });
    }

    fn take_group(&self) -> Vec<Pending> {
        let mut queue = self.queue.lock();
        let mut bytes = 0;
        let fits = queue.iter().take_while(|pending| {
            bytes += pending.work.bytes();
            bytes <= GROUP_BYTES_MAX
        });
        let count = fits.count().max(1).min(queue.len());
        queue.drain(..count).collect()
    }

    async fn commit_group(&self, group: Vec<Pending>) {
        let snapshot = self.table.current();
        let (group, stale): (Vec<Pending>, Vec<Pending>) = group.into_iter().partition(|pending| {
            pending.schema == snapshot.schema && pending.constraints == snapshot.constraints
        });
        for pending in stale {
            let object = self.table.location().path.to_string();
            let changed = Arc::new(catalog::Error::MetadataChanged { object });
            let _ = pending.done.send(Err(changed));
        }
        if group.is_empty() {
            return;
        }
        let (mut waiting, mut batches, mut adds) = (Vec::new(), Vec::new(), Vec::new());
        let mut users = Vec::new();
        for pending in group {
            match pending.work {
                Work::Rows(rows) => batches.extend(rows),
                Work::Files(files) => adds.extend(files),
            }
            users.extend(pending.user);
            waiting.push(pending.done);
        }
        let committed = self.commit(&snapshot, batches, adds, users).await.map_err(Arc::new);
        for done in waiting {
            // A client that went away does not care.
            let _ = done.send(committed.clone());
        }
    }

    async fn commit(
        &self,
        snapshot: &TableSnapshot,
        batches: Vec<RecordBatch>,
        adds: Vec<Add>,
        mut users: Vec<String>,
    ) -> Result<i64, catalog::Error> {
        let files = self.table.hold_files(snapshot, batches).await?;
        users.dedup();
        let user = if users.len() == 1 { users.pop() } else { None };
        let commit = Commit { parameters: append_parameters(), user, ..Commit::append(adds) };
        Ok(self.table.commit_with(snapshot, commit, files).await?.version)
    }
}

/// What the history says of an append.
fn append_parameters() -> BTreeMap<String, String> {
    BTreeMap::from([("mode".to_owned(), "Append".to_owned())])
}

/// Takes rows as long as they are few; tells whether more may come.
async fn take_small(rows: &mut SendableRecordBatchStream) -> Result<(Vec<RecordBatch>, bool)> {
    let (mut head, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = rows.try_next().await.map_err(Error::from)? {
        bytes += batch.get_array_memory_size();
        if batch.num_rows() > 0 {
            head.push(batch);
        }
        if bytes > SMALL_BYTES_MAX {
            return Ok((head, true));
        }
    }
    Ok((head, false))
}

fn write_error(error: catalog::Error) -> Error {
    match error {
        // The rows' own error is what the author of the statement can act on.
        catalog::Error::Rows { source: DataFusionError::External(source), object } => {
            match source.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(source) => Error::Catalog(Arc::new(catalog::Error::Rows {
                    object,
                    source: DataFusionError::External(source),
                })),
            }
        }
        other => Error::Catalog(Arc::new(other)),
    }
}
