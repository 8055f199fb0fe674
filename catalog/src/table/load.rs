//! Opening a table: the newest checkpoint that can be read, then the entries after it.
//!
//! Never: a gap in the log is taken for its end. A missing entry before a later one is an error that
//! names it.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use uuid::Uuid;

use super::commit::{DENIED_MAX, DENIED_PAUSE, first_actions};
use super::{LakeTable, TableSnapshot};
use crate::clock::Clock;
use crate::entry::Kind;
use crate::error::{Error, Result};
use crate::log::{Listing, Log, LogEntry, Put, encode};
use crate::schema::TableSpec;
use crate::stores::Location;

/// Entries that are read at once.
const READ_AHEAD: usize = 16;

/// A state and how it was reached.
pub(super) struct Loaded {
    pub(super) snapshot: TableSnapshot,
    /// The version of the checkpoint beneath; -1 if there was none.
    pub(super) checkpoint_version: i64,
}

impl LakeTable {
    /// Makes a Delta table with version 0 at `location`.
    pub async fn create(
        location: Location,
        spec: TableSpec,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let log = Log::new(&location);
        let (now, operation) = (clock.now_micros(), Uuid::new_v4());
        let actions = first_actions(&spec, now, operation)?;
        let mut denied = 0;
        while log.put(0, encode(&actions)?, operation, None).await? == Put::Taken {
            match log.read(0).await? {
                Some(entry) if super::operation_of(&entry.actions) == Some(operation) => break,
                // Called taken while it is still being put, perhaps by this very operation.
                None if denied < DENIED_MAX => {
                    denied += 1;
                    tokio::time::sleep(DENIED_PAUSE * denied).await;
                }
                _ => {
                    let name = location.to_string();
                    return Err(Error::Duplicate { kind: Kind::Table, name });
                }
            }
        }
        let snapshot = TableSnapshot::from_actions(&log.object(), -1, actions.clone())?;
        let entry = LogEntry { version: 0, actions, modified_micros: now };
        let snapshot = snapshot.apply(&log.object(), entry)?;
        Ok(Self::new(location, log, clock, snapshot, now, -1))
    }

    /// Opens the Delta table at `location`.
    pub async fn open(location: Location, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        let (log, asked_at) = (Log::new(&location), clock.now_micros());
        let Some(Loaded { snapshot, checkpoint_version }) = newest(&log).await? else {
            return Err(Error::NotFound { kind: Kind::Table, name: location.to_string() });
        };
        Ok(Self::new(location, log, clock, snapshot, asked_at, checkpoint_version))
    }
}

impl LakeTable {
    /// Whether the entry of the newest known version is the one that was read: not one of another table
    /// that stands there by now.
    pub(crate) async fn is_as_known(&self) -> Result<bool> {
        let known = self.current();
        Ok(self.log.written_at(known.version).await? == known.written_micros)
    }

    /// The files of the log by which the versions from `oldest` to `newest` can be read, in an order in
    /// which a copy is never further than what it holds.
    pub(crate) async fn log_files(&self, oldest: i64, newest: i64) -> Result<Vec<Path>> {
        let listing = self.log.list().await?;
        let mut first = 0;
        let mut files = Vec::new();
        for (version, checkpoint) in listing.checkpoints_before(oldest) {
            if listing.gap(version + 1..=newest).is_some() {
                break;
            }
            match from_checkpoint(&self.log, version, checkpoint).await {
                Ok(_) => {
                    first = version;
                    files.extend_from_slice(checkpoint);
                    break;
                }
                Err(Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(missing) = listing.gap(first + i64::from(!files.is_empty())..=newest) {
            return Err(gap(&self.log, missing));
        }
        // The entry of the checkpoint's own version tells its time.
        let entries = (first..=newest).filter(|version| listing.gap(*version..=*version).is_none());
        files.extend(entries.map(|version| self.log.entry_path(version)));
        Ok(files)
    }

    /// What is wrong with the log up to a version: entries that are missing, checkpoints that cannot be
    /// read, or that tell other than the entries before them.
    pub(crate) async fn check_log(&self, at: &TableSnapshot) -> Result<Vec<String>> {
        let listing = self.log.list().await?;
        let mut problems = Vec::new();
        let mut note = |loaded: Result<Loaded>| match loaded {
            Ok(loaded) => Ok(Some(loaded.snapshot)),
            Err(error @ Error::Corrupt { .. }) => {
                problems.push(error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        };
        let newest = note(load(&self.log, &listing, at.version).await)?;
        let checkpoint = listing.checkpoints_before(at.version).next();
        let told = match checkpoint {
            Some((version, files)) => {
                let snapshot = from_checkpoint(&self.log, version, files).await;
                let loaded =
                    snapshot.map(|snapshot| Loaded { snapshot, checkpoint_version: version });
                note(loaded)?
            }
            None => None,
        };
        let mut differs = |snapshot: Option<&TableSnapshot>, other: &TableSnapshot, what: &str| {
            if snapshot.is_some_and(|snapshot| !snapshot.has_files_of(other)) {
                problems.push(format!("{what} version {} tells other files", other.version));
            }
        };
        differs(newest.as_ref(), at, "the log up to");
        if let Some(told) = told {
            let without = listing.without_checkpoint(told.version);
            match load(&self.log, &without, told.version).await {
                Ok(replayed) => differs(Some(&told), &replayed.snapshot, "the checkpoint of"),
                // What came before it was cleaned up, or cannot be read; nothing needs it.
                Err(Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(problems)
    }
}

/// The newest state; `None` where there is no log.
pub(super) async fn newest(log: &Log) -> Result<Option<Loaded>> {
    let mut listing = log.list_newest().await?;
    let mut is_whole = false;
    loop {
        let Some(newest) = listing.newest() else { return Ok(None) };
        let error = match load(log, &listing, newest).await {
            Err(error @ Error::Corrupt { .. }) => error,
            loaded => return loaded.map(Some),
        };
        // What is older than the newest checkpoint was not listed; it may tell the same. Or the log went
        // on meanwhile, and what was listed has been cleaned up.
        listing = log.list().await?;
        if std::mem::replace(&mut is_whole, true) && listing.newest() <= Some(newest) {
            return Err(error);
        }
    }
}

/// The state at `version`, which the listing reaches.
pub(super) async fn load(log: &Log, listing: &Listing, version: i64) -> Result<Loaded> {
    let mut failure = None;
    for (checkpoint, files) in listing.checkpoints_before(version) {
        if let Some(missing) = listing.gap(checkpoint + 1..=version) {
            failure.get_or_insert_with(|| gap(log, missing));
            break;
        }
        match from_checkpoint(log, checkpoint, files).await {
            Ok(start) => return replay(log, start, checkpoint, version).await,
            // An older checkpoint, or the entries from the start, may still tell the same.
            Err(error @ Error::Corrupt { .. }) => {
                tracing::warn!(table = log.object(), version = checkpoint, %error, "unreadable checkpoint");
                failure.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match (listing.gap(0..=version), failure) {
        (None, _) => from_start(log, version).await,
        (Some(_), Some(error)) => Err(error),
        (Some(missing), None) => Err(gap(log, missing)),
    }
}

fn gap(log: &Log, version: i64) -> Error {
    Error::Corrupt { path: log.object(), reason: format!("log entry {version} is missing") }
}

pub(super) async fn from_checkpoint(
    log: &Log,
    version: i64,
    files: &[Path],
) -> Result<TableSnapshot> {
    let actions = log.read_checkpoint(files).await?;
    TableSnapshot::from_actions(&log.object(), version, actions)
}

async fn from_start(log: &Log, version: i64) -> Result<Loaded> {
    let first = log.read(0).await?.ok_or_else(|| gap(log, 0))?;
    let start = TableSnapshot::from_actions(&log.object(), -1, first.actions)?;
    replay(log, start, -1, version).await
}

/// Applies the entries after `start`, which is the state at `after`.
async fn replay(log: &Log, start: TableSnapshot, after: i64, version: i64) -> Result<Loaded> {
    let object = log.object();
    let mut entries = stream::iter(after + 1..=version)
        .map(|version| async move { log.read(version).await?.ok_or_else(|| gap(log, version)) })
        .buffered(READ_AHEAD);
    let mut snapshot = start;
    while let Some(entry) = entries.try_next().await? {
        snapshot = snapshot.apply(&object, entry)?;
    }
    if snapshot.timestamp_micros == i64::MIN {
        // The checkpoint is the newest version; its entry, if it is still there, has the time.
        let time = log.read(version).await?.map(|entry| snapshot.apply(&object, entry));
        if let Some(timed) = time.transpose()? {
            snapshot.told_by(&timed);
        }
    }
    Ok(Loaded { snapshot, checkpoint_version: after })
}
