//! Log clean-up: the oldest entries go, so that a stream of small commits stays as fast after years as
//! on its first day.
//!
//! Entries go oldest first, one after the other, and only what lies before a checkpoint that could be read
//! back just now. Versions that somebody has pinned keep a checkpoint of their own.
//!
//! Where old entries go, "there is no entry after mine" no longer says that mine is the newest: the
//! next one may be gone. Whoever has not looked for [`HEAD_MICROS_MAX`] therefore asks whether the entry of
//! its own version is still there. As entries go in order, the ones after it are then complete.
//!
//! Never: an entry goes that is among the newest [`ENTRIES_KEPT`], or before one that is older.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::load::{from_checkpoint, load, newest};
use super::{LakeTable, TableSnapshot};
use crate::error::{Error, Result};
use crate::log::Listing;

/// Entries that stay, whatever their number was: how far back every version can be read.
const ENTRIES_KEPT: i64 = 4_000;
/// Entries from which on a log is cleaned. What comes until it is done must not bring it above 10,000.
const ENTRIES_MAX: i64 = 8_000;
/// For how long a known version cannot have been cleaned up: a table gets no more than [`ENTRIES_KEPT`]
/// commits in this time, each of which waits for a store.
pub(super) const HEAD_MICROS_MAX: i64 = 2_000_000;

impl LakeTable {
    /// Whether its log holds enough entries to be cleaned. No I/O.
    pub fn is_log_long(&self) -> bool {
        self.current().version - self.cleaned_to.load(Ordering::Relaxed) >= ENTRIES_MAX
    }

    /// Removes the entries and checkpoints before the newest checkpoint that is at least
    /// [`ENTRIES_KEPT`] versions old, except for what the versions in `pinned` need. Returns how many
    /// entries went.
    ///
    /// Errors: [`Error::Corrupt`] where that checkpoint cannot be read; then nothing goes.
    pub async fn clean_log(&self, pinned: &[i64]) -> Result<usize> {
        self.clean_log_to(ENTRIES_KEPT, pinned).await
    }

    pub(super) async fn clean_log_to(&self, kept: i64, pinned: &[i64]) -> Result<usize> {
        let head = self.update().await?;
        let listing = self.log.list().await?;
        let Some((base, files)) = listing.checkpoints_before(head.version - kept).next() else {
            return Ok(0);
        };
        // The mark of a commit that waits for its decision is read once more.
        if head.prepared().is_some_and(|mark| mark < base) {
            return Ok(0);
        }
        from_checkpoint(&self.log, base, files).await?;
        let pinned: HashSet<i64> = pinned.iter().copied().filter(|pin| *pin < base).collect();
        for version in &pinned {
            self.keep_version(&listing, *version).await?;
        }
        let mut removed = 0;
        for version in listing.entries_before(base) {
            self.log.remove_entry(version).await?;
            removed += 1;
        }
        for (version, files) in listing.checkpoints_before(base - 1) {
            if !pinned.contains(&version) {
                self.log.remove_checkpoint(files).await?;
            }
        }
        self.cleaned_to.fetch_max(base, Ordering::Relaxed);
        Ok(removed)
    }

    /// Sees to it that a version can be read without the entries before it.
    async fn keep_version(&self, listing: &Listing, version: i64) -> Result<()> {
        if listing.has_checkpoint(version) || !listing.reaches(version) {
            return Ok(());
        }
        let snapshot = load(&self.log, listing, version).await?.snapshot;
        self.log.write_checkpoint(version, snapshot.to_actions()).await
    }

    /// Whether the log went on so far, since somebody last looked, that the entries after the newest
    /// known version are gone.
    pub(super) async fn is_overtaken(&self) -> Result<bool> {
        let version = self.newest.version();
        if self.newest.is_younger(HEAD_MICROS_MAX, self.clock.now_micros())
            || self.log.has_entry(version).await?
        {
            return Ok(false);
        }
        // Other programs may remove the entry of a checkpoint's version, too.
        Ok(self.log.list_newest().await?.newest() > Some(version))
    }

    /// Begins again at the newest version, as at the opening of the table.
    pub(super) async fn catch_up(&self) -> Result<Arc<TableSnapshot>> {
        let asked_at = self.clock.now_micros();
        let loaded = newest(&self.log).await?.ok_or_else(|| Error::Corrupt {
            path: self.object.clone(),
            reason: "its log is gone".to_owned(),
        })?;
        self.checkpoint_version.fetch_max(loaded.checkpoint_version, Ordering::Relaxed);
        let mut snapshot = loaded.snapshot;
        snapshot.bounds = Arc::clone(&self.current().bounds);
        self.newest.is(snapshot.version, asked_at);
        // Held while `current` moves on.
        let _recent = self.recent.lock();
        if snapshot.version > self.current.load().version {
            self.current.store(Arc::new(snapshot));
        }
        Ok(self.current())
    }
}

/// Which version was known to be the newest, and when.
#[derive(Debug)]
pub(super) struct LastLook {
    version: AtomicI64,
    /// Microseconds since 1970 UTC, by the clock.
    at_micros: AtomicI64,
}

impl LastLook {
    pub(super) const fn new(version: i64, at_micros: i64) -> Self {
        Self { version: AtomicI64::new(version), at_micros: AtomicI64::new(at_micros) }
    }

    /// The version first: who reads it before the time never takes one for known that was not.
    pub(super) fn is(&self, version: i64, at_micros: i64) {
        self.version.fetch_max(version, Ordering::AcqRel);
        self.at_micros.fetch_max(at_micros, Ordering::AcqRel);
    }

    fn version(&self) -> i64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether it is less than `age_micros` ago. A clock that went back says nothing about age.
    pub(super) fn is_younger(&self, age_micros: i64, now_micros: i64) -> bool {
        let at = self.at_micros.load(Ordering::Acquire);
        (0..age_micros).contains(&now_micros.saturating_sub(at))
    }
}
