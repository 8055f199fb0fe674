//! The Delta log: names of its entries, their actions, checkpoints.
//!
//! ```text
//! <table>/_delta_log/00000000000000000042.json                 one commit, an action a line
//! <table>/_delta_log/00000000000000000040.checkpoint.parquet   all actions in force at version 40
//! <table>/_delta_log/_last_checkpoint                          a hint: which checkpoint is newest
//! ```
//!
//! Never: an entry is written otherwise than by create-if-absent.

mod action;
mod checkpoint;
mod listing;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::stores::{Location, NameAfter, NotWritten};

pub(crate) use action::{Action, CommitInfo, Format, Metadata, Protocol, Remove, Transaction};
pub use action::{Add, CommitRecord};
pub(crate) use listing::Listing;

/// How often a store is asked again before its failure is believed.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// After this time no further attempt is begun. A remote store's client tries again by itself, and
/// each of its tries may take as long as its time-out.
const ATTEMPTS_TIME: Duration = Duration::from_secs(60);

/// The log of one table.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    store: Arc<dyn ObjectStore>,
    directory: Path,
}

/// One commit as it is read.
#[derive(Debug, Clone)]
pub(crate) struct LogEntry {
    pub(crate) version: i64,
    pub(crate) actions: Vec<Action>,
    /// When the store says that it was written, microseconds since 1970 UTC.
    pub(crate) modified_micros: i64,
}

/// What became of an entry that was to be put.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is in the log.
    Landed,
    /// There is an entry of that version. It may be the one that was to be put: an answer can get
    /// lost on the way, and the store's client can ask twice.
    Taken,
}

impl Log {
    pub(crate) fn new(table: &Location) -> Self {
        Self { store: Arc::clone(&table.store), directory: table.path.clone().join("_delta_log") }
    }

    pub(crate) fn entry_path(&self, version: i64) -> Path {
        self.directory.clone().join(format!("{version:020}.json"))
    }

    /// The entry of a version; `None` if there is none.
    pub(crate) async fn read(&self, version: i64) -> Result<Option<LogEntry>> {
        let path = self.entry_path(version);
        let Some((bytes, modified_micros)) = self.get(&path).await? else { return Ok(None) };
        let actions = parse(&path, &bytes)?;
        Ok(Some(LogEntry { version, actions, modified_micros }))
    }

    /// When the store wrote the entry of a version; `None` if there is none.
    pub(crate) async fn written_at(&self, version: i64) -> Result<Option<i64>> {
        let path = self.entry_path(version);
        match self.store.head(&path).await {
            Ok(meta) => Ok(Some(meta.last_modified.timestamp_micros())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(Error::store("read", &path)(error)),
        }
    }

    /// An object that has to be there.
    pub(crate) async fn read_object(&self, path: &Path) -> Result<Bytes> {
        let found = self.get(path).await?;
        found.map(|(bytes, _)| bytes).ok_or_else(|| Error::Corrupt {
            path: path.to_string(),
            reason: "it is missing".to_owned(),
        })
    }

    /// An object and its time, `None` if there is none; asks again when the store fails.
    async fn get(&self, path: &Path) -> Result<Option<(Bytes, i64)>> {
        let mut pause = FIRST_PAUSE;
        let begun = Instant::now();
        let is_last = |attempt| attempt == ATTEMPTS || begun.elapsed() > ATTEMPTS_TIME;
        for attempt in 1.. {
            let answer = async {
                let found = self.store.get(path).await?;
                let modified = found.meta.last_modified.timestamp_micros();
                Ok((found.bytes().await?, modified))
            };
            match answer.await {
                Ok(found) => return Ok(Some(found)),
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) if is_last(attempt) || is_final(&error) => {
                    return Err(Error::store("read", path)(error));
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
        Ok(None)
    }

    /// Puts the entry of a version if there is none; `after` is for stores that name objects later.
    ///
    /// A failure without a clear outcome is met by putting the same bytes under the same name again.
    /// That is safe at one version: whichever of the puts lands first, the others find it taken. The
    /// caller must read the entry at [`Put::Taken`] before it goes to another version.
    pub(crate) async fn put(
        &self,
        version: i64,
        bytes: Bytes,
        operation: Uuid,
        after: Option<NameAfter>,
    ) -> Result<Put> {
        let path = self.entry_path(version);
        let mut pause = FIRST_PAUSE;
        let begun = Instant::now();
        let is_last = |attempt| attempt == ATTEMPTS || begun.elapsed() > ATTEMPTS_TIME;
        let mut uncertain = false;
        for attempt in 1.. {
            let mut options = PutOptions::from(PutMode::Create);
            if let Some(after) = &after {
                options.extensions.insert(after.clone());
            }
            let payload = PutPayload::from(bytes.clone());
            match self.store.put_opts(&path, payload, options).await {
                Ok(_) => return Ok(Put::Landed),
                Err(
                    object_store::Error::AlreadyExists { .. }
                    | object_store::Error::Precondition { .. },
                ) => return Ok(Put::Taken),
                Err(error) if is_final(&error) && !uncertain => {
                    return Err(Error::store("write", &path)(error));
                }
                // What cannot be learned from the answer may be learned from the log.
                Err(source) if is_last(attempt) => {
                    if let Ok(Some(_)) = self.get(&path).await {
                        return Ok(Put::Taken);
                    }
                    let object = self.object();
                    return Err(Error::OutcomeUnknown { object, operation_id: operation, source });
                }
                Err(_) => {
                    uncertain = true;
                    tokio::time::sleep(pause).await;
                }
            }
            pause *= 2;
        }
        Ok(Put::Taken)
    }

    /// The table, for messages.
    pub(crate) fn object(&self) -> String {
        let table: Path =
            self.directory.parts().take(self.directory.parts_count().saturating_sub(1)).collect();
        format!("table \"{table}\"")
    }
}

/// Failures that asking again does not mend, and that say for certain that nothing happened.
fn is_final(error: &object_store::Error) -> bool {
    if let object_store::Error::Generic { source, .. } = error {
        return source.is::<NotWritten>();
    }
    matches!(
        error,
        object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. }
            | object_store::Error::NotSupported { .. }
            | object_store::Error::NotImplemented { .. }
            | object_store::Error::InvalidPath { .. }
            | object_store::Error::UnknownConfigurationKey { .. }
    )
}

/// The actions of an entry.
fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Action>> {
    let mut actions = Vec::new();
    for line in lines(path, bytes) {
        actions.extend(line?.action());
    }
    Ok(actions)
}

fn lines<'a>(path: &'a Path, bytes: &'a [u8]) -> impl Iterator<Item = Result<action::Line>> + 'a {
    bytes
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .map(|(index, line)| {
            serde_json::from_slice(line).map_err(|error| Error::Corrupt {
                path: path.to_string(),
                reason: format!("line {}: {error}", index + 1),
            })
        })
}

/// The bytes of an entry.
pub(crate) fn encode(actions: &[Action]) -> Result<Bytes> {
    let mut bytes = Vec::with_capacity(256 * actions.len());
    for action in actions {
        serde_json::to_writer(&mut bytes, action).map_err(|error| Error::Unsupported {
            what: format!("cannot write a log entry: {error}"),
        })?;
        bytes.push(b'\n');
    }
    Ok(bytes.into())
}
