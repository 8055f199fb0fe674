//! Checkpoints in the background, so that a table opens fast however many commits it has seen.
//!
//! Never: a writer waits for a checkpoint, or fails because of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{LakeTable, TableSnapshot};
use crate::error::Result;

/// Commits between checkpoints of a small table.
const COMMITS_MIN: i64 = 100;
/// Commits between checkpoints of a huge one: what opening it may have to read one by one.
const COMMITS_MAX: i64 = 5_000;
/// A checkpoint writes every file, so each commit pays for about this many.
const FILES_PER_COMMIT: i64 = 10;

/// Clears the mark of a running checkpoint, also when it is cancelled.
struct Running<'a>(&'a AtomicBool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl LakeTable {
    /// Writes a checkpoint of `snapshot` in the background, if there were enough commits since the
    /// last one and none is under way.
    pub(super) fn checkpoint_if_due(self: &Arc<Self>, snapshot: &Arc<TableSnapshot>) {
        let since = snapshot.version - self.checkpoint_version.load(Ordering::Relaxed).max(0);
        if since < interval(snapshot) || self.checkpointing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (table, snapshot) = (Arc::clone(self), Arc::clone(snapshot));
        tokio::spawn(async move {
            let _running = Running(&table.checkpointing);
            if let Err(error) = table.write_checkpoint(&snapshot).await {
                tracing::warn!(table = %table.location, %error, "could not write a checkpoint");
            }
            // After a failure, too: the next try is a whole interval away.
            table.checkpoint_version.fetch_max(snapshot.version, Ordering::Relaxed);
        });
    }

    /// Writes a checkpoint of the newest known version now.
    pub async fn checkpoint(&self) -> Result<()> {
        let snapshot = self.current();
        self.write_checkpoint(&snapshot).await?;
        self.checkpoint_version.fetch_max(snapshot.version, Ordering::Relaxed);
        Ok(())
    }

    async fn write_checkpoint(&self, snapshot: &TableSnapshot) -> Result<()> {
        self.log.write_checkpoint(snapshot.version, snapshot.to_actions()).await
    }
}

fn interval(snapshot: &TableSnapshot) -> i64 {
    let files = i64::try_from(snapshot.file_count()).unwrap_or(i64::MAX);
    (files / FILES_PER_COMMIT).clamp(COMMITS_MIN, COMMITS_MAX)
}
