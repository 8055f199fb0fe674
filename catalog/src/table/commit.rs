//! Making the next version of a table.
//!
//! An entry is put at exactly the version after the newest known one, if there is none yet. If there
//! is, only the entries that were missed are read: the own operation among them means that it had
//! landed and its answer was lost; a contradiction is an error; otherwise the next version is tried.
//!
//! Never: an unknown outcome is met by putting the same operation at another version.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::cleanup::HEAD_MICROS_MAX;
use super::uploads::Uploads;
use super::write::HeldFiles;
use super::{LakeTable, LoadedFile, TableSnapshot, conflict};
use crate::error::{Error, Result};
use crate::log::{
    Action, Add, CommitInfo, Format, LogEntry, Metadata, Put, Remove, Transaction, encode,
};
use crate::schema::{TableSpec, check_writable, protocol_of, protocol_union, to_delta};

const ENGINE: &str = concat!("Tarn/", env!("CARGO_PKG_VERSION"));
const MICROS_PER_MILLI: i64 = 1000;
/// How often an entry may be called taken without being there.
pub(super) const DENIED_MAX: u32 = 8;
pub(super) const DENIED_PAUSE: Duration = Duration::from_millis(20);

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
    /// Files whose rows the commit brings, for the ledger. One that was loaded meanwhile makes the
    /// commit a replay.
    pub loaded: Vec<LoadedFile>,
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
    /// Which attempt of whom it is: the same id is not committed twice.
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
            loaded: Vec::new(),
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
    /// Makes the next version, as it was decided over `base`.
    ///
    /// Errors that the caller acts on: [`Error::Conflict`] (read again and retry),
    /// [`Error::MetadataChanged`] (check the rows again), [`Error::AlreadyApplied`] (a replay),
    /// [`Error::OutcomeUnknown`] (the same commit again, with the same operation id, finds out).
    pub async fn commit(
        self: &Arc<Self>,
        base: &TableSnapshot,
        commit: Commit,
    ) -> Result<Arc<TableSnapshot>> {
        self.commit_with(base, commit, HeldFiles::default()).await
    }

    /// The same with files that are not in the store yet: they are put beside the commit's own entry,
    /// which gets its name after them. They are removed again where no entry will name them.
    pub async fn commit_with(
        self: &Arc<Self>,
        base: &TableSnapshot,
        mut commit: Commit,
        files: HeldFiles,
    ) -> Result<Arc<TableSnapshot>> {
        commit.adds.extend(files.adds);
        let mut uploads = Uploads::new(&self.location, files.puts);
        let committed = self.put_next(base, &commit, &mut uploads).await;
        if matches!(
            committed,
            Err(Error::Conflict { .. }
                | Error::MetadataChanged { .. }
                | Error::AlreadyApplied { .. })
        ) {
            uploads.discard().await;
        }
        committed
    }

    async fn put_next(
        self: &Arc<Self>,
        base: &TableSnapshot,
        commit: &Commit,
        uploads: &mut Uploads,
    ) -> Result<Arc<TableSnapshot>> {
        let _turn = self.turn.lock().await;
        self.put_entry(commit.operation_id, base.version, uploads, None, |head| {
            conflict::check(&self.object, base, head, commit)?;
            self.actions(head, base.version, commit).map(Some)
        })
        .await
    }

    /// Puts what `actions_on` makes of the newest version right after it, once; nothing where it says
    /// `None`. What waits for a decision there is settled first, unless it is what the entry settles.
    /// Before `since` the operation was not tried; one that is only put in answer to the newest version has
    /// no such limit. The caller has the turn.
    pub(super) async fn put_entry(
        self: &Arc<Self>,
        operation: Uuid,
        since: i64,
        uploads: &mut Uploads,
        settles: Option<i64>,
        mut actions_on: impl FnMut(&TableSnapshot) -> Result<Option<Vec<Action>>>,
    ) -> Result<Arc<TableSnapshot>> {
        let mut known_at = self.clock.now_micros();
        let mut head = self.update_if_older(HEAD_MICROS_MAX).await?;
        let mut denied = 0;
        loop {
            if self.version_of(operation).is_some() {
                return Ok(self.current());
            }
            self.expect_none_skipped(since, operation)?;
            if head.prepared().is_some() && settles.is_none() {
                head = Box::pin(self.settle(head)).await?;
                self.expect_none_skipped(since, operation)?;
            }
            let Some(mut actions) = actions_on(&head)? else { return Ok(head) };
            head.name_in(&mut actions);
            let version = head.version + 1;
            let entry = encode(&actions)?;
            let put = |after| self.log.put(version, entry, operation, after);
            match uploads.beside(put).await? {
                Put::Landed => {
                    self.expect_no_sleep(known_at, operation, version)?;
                    let now = self.clock.now_micros();
                    let entry = LogEntry { version, actions, modified_micros: now };
                    let next = self.advance(&head, entry)?;
                    self.asked_at_micros.fetch_max(known_at, Ordering::AcqRel);
                    self.checkpoint_if_due(&next);
                    return Ok(next);
                }
                Put::Taken => {
                    self.expect_no_sleep(known_at, operation, version)?;
                    known_at = self.clock.now_micros();
                    match self.missed(&head, operation).await? {
                        Some(newest) => head = newest,
                        // Some stores call an entry taken that is still being put, perhaps by this very
                        // operation. Nothing else may be tried before that is settled.
                        None if denied < DENIED_MAX => {
                            denied += 1;
                            tokio::time::sleep(DENIED_PAUSE * denied).await;
                        }
                        None => {
                            let why = format!("version {version} is neither there nor free");
                            return Err(self.outcome_unknown(operation, why));
                        }
                    }
                }
            }
        }
    }

    /// Reads the entries after `head`, if there are any.
    async fn missed(
        &self,
        head: &TableSnapshot,
        operation: Uuid,
    ) -> Result<Option<Arc<TableSnapshot>>> {
        let mut newest: Option<Arc<TableSnapshot>> = None;
        loop {
            let version = newest.as_deref().unwrap_or(head).version + 1;
            match self.log.read(version).await {
                Ok(Some(entry)) => {
                    let known = newest.as_deref().unwrap_or(head);
                    if !known.is_followed_by(&entry) {
                        let why = format!("the log was cleaned up before version {version}");
                        return Err(self.outcome_unknown(operation, why));
                    }
                    newest = Some(self.advance(known, entry)?);
                }
                Ok(None) => return Ok(newest),
                // The entry may be this very operation, landed without an answer.
                Err(Error::Store { source, .. }) => {
                    let object = self.object.clone();
                    return Err(Error::OutcomeUnknown { object, operation_id: operation, source });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// An entry that took long to be put may stand where older ones were cleaned up.
    fn expect_no_sleep(&self, since_micros: i64, operation: Uuid, version: i64) -> Result<()> {
        // A clock that was set back by a little is no sleep.
        let passed = self.clock.now_micros().saturating_sub(since_micros);
        if passed.saturating_abs() < HEAD_MICROS_MAX {
            return Ok(());
        }
        let why = format!("the request for version {version} took over ten minutes");
        Err(self.outcome_unknown(operation, why))
    }

    /// An operation that was tried at a version that is gone cannot tell whether it was committed there.
    pub(super) fn expect_none_skipped(&self, since: i64, operation: Uuid) -> Result<()> {
        if since >= self.skipped_to.load(Ordering::Acquire) {
            return Ok(());
        }
        let why = "the log was cleaned up since it was first tried";
        Err(self.outcome_unknown(operation, why.to_owned()))
    }

    fn outcome_unknown(&self, operation_id: Uuid, why: String) -> Error {
        let source = object_store::Error::Generic { store: "log", source: why.into() };
        Error::OutcomeUnknown { object: self.object.clone(), operation_id, source }
    }

    /// The actions of a commit on top of `head`.
    pub(super) fn actions(
        &self,
        head: &TableSnapshot,
        read_version: i64,
        commit: &Commit,
    ) -> Result<Vec<Action>> {
        check_writable(&self.object, head.protocol())?;
        // Time does not go back within a table, whatever the clock does.
        let micros = self.clock.now_micros().max(head.timestamp_micros);
        let millis = micros.div_euclid(MICROS_PER_MILLI);
        let mut actions = vec![commit_info(commit, millis, Some(read_version))];
        if let Some(spec) = &commit.metadata {
            spec.check()?;
            let needed = protocol_union(head.protocol(), &protocol_of(spec));
            if needed != **head.protocol() {
                actions.push(Action::Protocol(needed));
            }
            actions.push(metadata(spec, head.metadata())?);
        }
        let txns = commit.txns.iter().map(|(app_id, version)| {
            let app_id = app_id.clone();
            Action::Txn(Transaction { app_id, version: *version, last_updated: Some(millis) })
        });
        actions.extend(txns);
        actions.extend(commit.loaded.iter().map(|entry| {
            let (app_id, version) = (entry.app_id(), entry.load);
            Action::Txn(Transaction { app_id, version, last_updated: Some(millis) })
        }));
        let removes = commit.removes.iter().filter_map(|path| head.file(path)).map(|file| {
            let add = file.add();
            Action::Remove(Box::new(Remove {
                path: add.path.clone(),
                deletion_timestamp: Some(millis),
                data_change: commit.data_change,
                extended_file_metadata: Some(true),
                partition_values: Some(add.partition_values.clone()),
                size: Some(add.size),
                deletion_vector: add.deletion_vector.clone(),
            }))
        });
        actions.extend(removes);
        let adds = commit.adds.iter().map(|add| {
            Action::Add(Box::new(Add { data_change: commit.data_change, ..add.clone() }))
        });
        actions.extend(adds);
        Ok(actions)
    }
}

/// The actions of version 0.
pub(super) fn first_actions(
    spec: &TableSpec,
    now_micros: i64,
    operation: Uuid,
) -> Result<Vec<Action>> {
    spec.check()?;
    let millis = now_micros.div_euclid(MICROS_PER_MILLI);
    let commit =
        Commit { operation_id: operation, ..Commit::new("CREATE TABLE", CommitKind::Exact) };
    let fresh = Metadata {
        id: Uuid::new_v4().to_string(),
        format: Format::default(),
        created_time: Some(millis),
        ..Metadata::default()
    };
    Ok(vec![
        commit_info(&commit, millis, None),
        Action::Protocol(protocol_of(spec)),
        metadata(spec, &fresh)?,
    ])
}

fn commit_info(commit: &Commit, millis: i64, read_version: Option<i64>) -> Action {
    let parameters: Map<String, Value> = commit
        .parameters
        .iter()
        .map(|(key, value)| (key.clone(), Value::String(value.clone())))
        .collect();
    Action::CommitInfo(Box::new(CommitInfo {
        timestamp: Some(millis),
        operation: Some(commit.operation.clone()),
        operation_parameters: Some(parameters),
        operation_id: Some(commit.operation_id.to_string()),
        user_name: commit.user.clone(),
        engine_info: Some(ENGINE.to_owned()),
        read_version,
        is_blind_append: Some(commit.kind == CommitKind::Append),
        ..CommitInfo::default()
    }))
}

fn metadata(spec: &TableSpec, old: &Metadata) -> Result<Action> {
    Ok(Action::Metadata(Box::new(Metadata {
        schema_string: to_delta(&spec.schema)?,
        partition_columns: spec.partition_columns.clone(),
        configuration: spec.delta_configuration(),
        ..old.clone()
    })))
}
