//! Log clean-up: the oldest entries go, so that a stream of small commits does not fill the store with
//! them.
//!
//! Where entries go, "there is none after mine" no longer says that mine is the newest: the next one may
//! be gone. Two spans of time keep this apart. An entry stays for [`ENTRY_MICROS_MIN`] after a later
//! version came, and nobody commits over a version that was last known to be the newest longer than
//! [`HEAD_MICROS_MAX`] ago: who has not looked for so long asks first how far the log goes. What is left
//! between the two is for requests under way and for clocks that differ.
//!
//! Never: an entry goes that a pinned version, or one younger than [`ENTRY_MICROS_MIN`], needs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::load::{Loaded, from_checkpoint, newest};
use super::{LakeTable, TableSnapshot};
use crate::error::{Error, Result};

const HOUR_MICROS: i64 = 3600 * 1_000_000;

/// For how long an entry stays after later versions came, in any case.
const ENTRY_MICROS_MIN: i64 = HOUR_MICROS;
/// For how long a version that was the newest may be taken for the newest.
pub(super) const HEAD_MICROS_MAX: i64 = HOUR_MICROS / 6;
/// How many versions stay that can be read, where they are not older than [`ENTRY_MICROS_MAX`].
const ENTRIES_KEPT: i64 = 10_000;
/// For how long: Delta's own `logRetentionDuration`.
const ENTRY_MICROS_MAX: i64 = 30 * 24 * HOUR_MICROS;

impl LakeTable {
    /// Removes the log's entries and checkpoints before the newest checkpoint that is old enough, and not
    /// newer than any version in `pinned`: older than 30 days, or than an hour and 10,000 versions.
    /// Returns the oldest version that can be read from then on, if the log was cleaned.
    ///
    /// Errors: [`Error::Corrupt`] where that checkpoint cannot be read; then nothing goes.
    pub async fn clean_log(&self, pinned: &[i64]) -> Result<Option<i64>> {
        self.clean_log_to(ENTRIES_KEPT, pinned).await
    }

    pub(super) async fn clean_log_to(&self, kept: i64, pinned: &[i64]) -> Result<Option<i64>> {
        let head = self.update().await?;
        // The mark of a commit that waits for its decision is read once more.
        let needed = pinned.iter().copied().chain(head.prepared()).min().unwrap_or(head.version);
        let listing = self.log.list().await?;
        let checkpoints: Vec<(i64, _)> = listing.checkpoints_before(needed).collect();
        // Newest first; from some on they are all old enough.
        let (mut first, mut end) = (0, checkpoints.len());
        while first < end {
            let middle = usize::midpoint(first, end);
            if self.is_old(checkpoints[middle].0, head.version - kept).await? {
                end = middle;
            } else {
                first = middle + 1;
            }
        }
        let Some(&(base, files)) = checkpoints.get(first) else { return Ok(None) };
        if !listing.has_before(base) {
            return Ok(None);
        }
        from_checkpoint(&self.log, base, files).await?;
        self.log.remove_before(&listing, base).await?;
        Ok(Some(base))
    }

    /// Whether what comes before a version may go; `enough` is the version before which there are enough
    /// newer ones.
    async fn is_old(&self, version: i64, enough: i64) -> Result<bool> {
        // Without its entry a version has no time.
        let Some(entry) = self.log.read(version).await? else { return Ok(false) };
        // By the clock of the store and by that of the writer, whichever says that it is younger.
        let modified = entry.modified_micros;
        let at = super::travel::record(entry).timestamp_micros.max(modified);
        let age = self.clock.now_micros().saturating_sub(at);
        Ok(age >= ENTRY_MICROS_MAX || (age >= ENTRY_MICROS_MIN && version <= enough))
    }

    /// Whether the newest known version was so for the last time too long ago to go on from it.
    pub(super) fn is_stale(&self) -> bool {
        self.is_long_since(self.asked_at_micros.load(Ordering::Acquire))
    }

    /// Whether so much time has passed that entries which were there then may be gone.
    pub(super) fn is_long_since(&self, at_micros: i64) -> bool {
        !self.is_within(HEAD_MICROS_MAX, at_micros)
    }

    /// How far the log goes, and the version from which on its entries are to be read: `known`, or, where
    /// entries after it are gone, the newest one, read anew.
    pub(super) async fn look_again(
        &self,
        known: Arc<TableSnapshot>,
    ) -> Result<(Arc<TableSnapshot>, i64)> {
        let gone =
            || Error::Corrupt { path: self.object.clone(), reason: "its log is gone".to_owned() };
        let reached = self.log.list_newest().await?.newest().ok_or_else(gone)?;
        if reached <= known.version {
            return Ok((known, reached));
        }
        let listing = self.log.list().await?;
        let reached = listing.newest().ok_or_else(gone)?;
        // What another who slept has put may stand where the next entry was: it is none of the log's, as
        // no checkpoint comes before it.
        if listing.reaches(known.version) && listing.gap(known.version + 1..=reached).is_none() {
            return Ok((known, reached));
        }
        let newest = self.begin_again().await?;
        let reached = newest.version;
        Ok((newest, reached))
    }

    /// Goes on from the newest version, read by itself.
    pub(super) async fn begin_again(&self) -> Result<Arc<TableSnapshot>> {
        let Loaded { mut snapshot, checkpoint_version } =
            newest(&self.log).await?.ok_or_else(|| self.log_is_gone())?;
        snapshot.bounds = Arc::clone(&self.current().bounds);
        self.checkpoint_version.fetch_max(checkpoint_version, Ordering::Relaxed);
        // Held while `current` moves on. What was remembered may never have been of the log.
        let mut recent = self.recent.lock();
        recent.clear();
        self.skipped_to.fetch_max(snapshot.version, Ordering::Release);
        if snapshot.version > self.current.load().version {
            self.current.store(Arc::new(snapshot));
        }
        Ok(self.current())
    }

    fn log_is_gone(&self) -> Error {
        Error::Corrupt { path: self.object.clone(), reason: "its log is gone".to_owned() }
    }
}
