//! A Delta table at one version, in memory.
//!
//! Never: applying a commit costs more than its own actions; files are kept in a persistent map.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use imbl::OrdMap;
use uuid::Uuid;

use super::LoadedFile;
use super::bounds::{FileBounds, KeptBounds};
use super::commit::first_actions;
use super::data_file::DataFile;
use super::files::{Difference, Files, differences};
use super::prepared::{PREPARED, SETTLED};
use crate::error::{Error, Result};
use crate::log::{Action, Add, CommitInfo, LogEntry, Metadata, Protocol, Remove, Transaction};
use crate::schema::{TableSpec, check_readable, from_delta, split_configuration};

/// How long the log remembers a removed file, where the table does not say: a week.
pub(super) const TOMBSTONE_MICROS: i64 = 7 * 24 * 3600 * 1_000_000;
/// Forgotten tombstones a commit, so that no commit pays for many.
const FORGOTTEN_MAX: usize = 32;

/// The immutable state of a table at one version.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    /// The version; that of the snapshot beneath for a staged one.
    pub version: i64,
    /// When it was committed, microseconds since 1970 UTC; never before an older version.
    pub timestamp_micros: i64,
    /// The columns, in order, with their metadata.
    pub schema: SchemaRef,
    /// Columns whose values split the files.
    pub partition_columns: Arc<[String]>,
    /// CHECK constraints, by name, as SQL.
    pub constraints: Arc<BTreeMap<String, String>>,
    /// Table properties, constraints not among them.
    pub configuration: Arc<BTreeMap<String, String>>,
    metadata: Arc<Metadata>,
    protocol: Arc<Protocol>,
    files: Files,
    /// Removed files by the time of their removal, oldest first.
    tombstones: OrdMap<(i64, Arc<str>), Arc<Remove>>,
    /// Numbered producers and the ledger of loaded files, by application id.
    txns: OrdMap<String, Transaction>,
    prepared: Option<i64>,
    settled: Option<i64>,
    /// Which commit made it; none where that is not known.
    operation: Option<Uuid>,
    /// When the store wrote its log entry, where that was read.
    pub(super) written_micros: Option<i64>,
    totals: Totals,
    /// Shared by all versions.
    pub(super) bounds: Arc<KeptBounds>,
}

/// Sums over the files.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    rows: u64,
    bytes: u64,
    without_row_count: usize,
    with_deletion_vector: usize,
}

impl TableSnapshot {
    /// The state that the actions of a checkpoint, or of version 0, describe.
    pub(crate) fn from_actions(object: &str, version: i64, actions: Vec<Action>) -> Result<Self> {
        let missing = |what: &str| Error::Corrupt {
            path: object.to_owned(),
            reason: format!("version {version} has no {what}"),
        };
        let metadata = actions.iter().rev().find_map(|action| match action {
            Action::Metadata(metadata) => Some(metadata.as_ref().clone()),
            _ => None,
        });
        let protocol = actions.iter().rev().find_map(|action| match action {
            Action::Protocol(protocol) => Some(protocol.clone()),
            _ => None,
        });
        let mut snapshot = Self {
            version,
            timestamp_micros: i64::MIN,
            schema: Arc::new(arrow::datatypes::Schema::empty()),
            partition_columns: Arc::from([]),
            constraints: Arc::default(),
            configuration: Arc::default(),
            metadata: Arc::default(),
            protocol: Arc::new(protocol.ok_or_else(|| missing("protocol"))?),
            files: OrdMap::new(),
            tombstones: OrdMap::new(),
            txns: OrdMap::new(),
            prepared: None,
            settled: None,
            operation: None,
            written_micros: None,
            totals: Totals::default(),
            bounds: Arc::default(),
        };
        check_readable(object, &snapshot.protocol)?;
        snapshot.define(object, metadata.ok_or_else(|| missing("metadata"))?)?;
        for action in actions {
            snapshot.act(object, action)?;
        }
        Ok(snapshot)
    }

    /// Files that no log names, as a table of this definition would have them.
    pub(crate) fn of_files(object: &str, spec: &TableSpec, files: Vec<Add>) -> Result<Self> {
        let mut actions = first_actions(spec, 0, Uuid::nil())?;
        actions.extend(files.into_iter().map(|add| Action::Add(Box::new(add))));
        Self::from_actions(object, 0, actions)
    }

    /// The next version.
    pub(crate) fn apply(&self, object: &str, entry: LogEntry) -> Result<Self> {
        let mut next = self.clone();
        next.version = entry.version;
        let committed = entry.actions.iter().find_map(|action| match action {
            Action::CommitInfo(info) => info.in_commit_timestamp.or(info.timestamp),
            _ => None,
        });
        let micros = committed.map_or(entry.modified_micros, |millis| millis.saturating_mul(1000));
        next.timestamp_micros = micros.max(self.timestamp_micros);
        next.operation = operation_of(&entry.actions);
        next.written_micros = Some(entry.modified_micros);
        for action in entry.actions {
            next.act(object, action)?;
        }
        next.forget_tombstones();
        Ok(next)
    }

    /// Takes what the entry of its own version tells beside files.
    pub(super) fn told_by(&mut self, other: &Self) {
        self.timestamp_micros = other.timestamp_micros;
        (self.operation, self.written_micros) = (other.operation, other.written_micros);
    }

    /// Says in an entry that it comes after this version.
    pub(super) fn name_in(&self, actions: &mut [Action]) {
        let Some(operation) = self.operation else { return };
        for action in actions {
            if let Action::CommitInfo(info) = action {
                info.other.insert(PREVIOUS.to_owned(), operation.to_string().into());
            }
        }
    }

    /// Whether an entry may come after this version: it names it, or nothing.
    pub(super) fn is_followed_by(&self, entry: &LogEntry) -> bool {
        let named = entry.actions.iter().find_map(|action| match action {
            Action::CommitInfo(info) => info.other.get(PREVIOUS)?.as_str().map(str::to_owned),
            _ => None,
        });
        match (named, self.operation) {
            (Some(named), Some(operation)) => named == operation.to_string(),
            _ => true,
        }
    }

    fn act(&mut self, object: &str, action: Action) -> Result<()> {
        match action {
            Action::Add(add) => self.add(*add),
            Action::Remove(remove) => self.remove(*remove),
            Action::Metadata(metadata) => self.define(object, *metadata)?,
            Action::Protocol(protocol) => {
                check_readable(object, &protocol)?;
                self.protocol = Arc::new(protocol);
            }
            Action::Txn(txn) => {
                let version = (txn.version >= 0).then_some(txn.version);
                match txn.app_id.as_str() {
                    PREPARED => self.prepared = version,
                    SETTLED => self.settled = version,
                    _ => {}
                }
                self.txns.insert(txn.app_id.clone(), txn);
            }
            Action::CommitInfo(_) => {}
        }
        Ok(())
    }

    fn define(&mut self, object: &str, metadata: Metadata) -> Result<()> {
        if *self.metadata == metadata {
            return Ok(());
        }
        let corrupt = |reason: String| Error::Corrupt { path: object.to_owned(), reason };
        self.schema = from_delta(&metadata.schema_string).map_err(corrupt)?;
        if let Some(column) = metadata
            .partition_columns
            .iter()
            .find(|column| self.schema.field_with_name(column).is_err())
        {
            return Err(corrupt(format!("partition column \"{column}\" is not a column")));
        }
        self.partition_columns = metadata.partition_columns.clone().into();
        let (constraints, configuration) = split_configuration(&metadata.configuration);
        self.constraints = Arc::new(constraints);
        self.configuration = Arc::new(configuration);
        self.metadata = Arc::new(metadata);
        Ok(())
    }

    fn add(&mut self, add: Add) {
        let path: Arc<str> = add.path.as_str().into();
        let file = DataFile::new(add);
        self.totals.count(&file);
        if let Some(old) = self.files.insert(path, Arc::new(file)) {
            self.totals.discount(&old);
        }
    }

    fn remove(&mut self, remove: Remove) {
        let path: Arc<str> = remove.path.as_str().into();
        if let Some(old) = self.files.remove(&path) {
            self.totals.discount(&old);
        }
        let time = remove.deletion_timestamp.unwrap_or(0);
        self.tombstones.insert((time, path), Arc::new(remove));
    }

    /// Drops tombstones that have outlived their retention, a few at a time.
    fn forget_tombstones(&mut self) {
        let oldest_kept = (self.timestamp_micros - TOMBSTONE_MICROS) / 1000;
        for _ in 0..FORGOTTEN_MAX {
            match self.tombstones.get_min() {
                Some(((time, _), _)) if *time < oldest_kept => {
                    self.tombstones = self.tombstones.without_min().1;
                }
                _ => break,
            }
        }
    }

    /// All actions in force, as a checkpoint holds them.
    pub(crate) fn to_actions(&self) -> Vec<Action> {
        let mut actions = vec![
            Action::Protocol(self.protocol.as_ref().clone()),
            Action::Metadata(Box::new(self.metadata.as_ref().clone())),
        ];
        actions.extend(self.txns.values().cloned().map(Action::Txn));
        let gone = self.tombstones.values().filter(|gone| !self.files.contains_key(&*gone.path));
        actions.extend(gone.map(|gone| Action::Remove(Box::new(gone.as_ref().clone()))));
        actions.extend(self.files.values().map(|file| {
            // What a checkpoint says is nobody's change.
            let add = Add { data_change: false, ..file.add().clone() };
            Action::Add(Box::new(add))
        }));
        actions
    }

    /// The data files, by path.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Arc<DataFile>> {
        self.files.values()
    }

    /// Whether both have the same files.
    pub(crate) fn has_files_of(&self, other: &Self) -> bool {
        self.file_count() == other.file_count()
            && self.files().all(|file| other.file(file.path()).is_some())
    }

    /// The bounds of the data files, for scans.
    pub(crate) fn bounds(&self) -> Arc<FileBounds> {
        self.bounds.of(&self.files, &self.schema)
    }

    /// One data file.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&Arc<DataFile>> {
        self.files.get(path)
    }

    /// Paths of files that were removed at or after a time, milliseconds since 1970 UTC, as far as that is
    /// remembered: a week.
    pub(super) fn removed_since(&self, millis: i64) -> impl Iterator<Item = &str> {
        let from: (i64, Arc<str>) = (millis, Arc::from(""));
        self.tombstones.range(from..).map(|(_, gone)| gone.path.as_str())
    }

    /// How many data files there are.
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// How many rows there are, where every file says so.
    #[must_use]
    pub const fn row_count(&self) -> Option<u64> {
        let Totals { rows, without_row_count, with_deletion_vector, .. } = self.totals;
        if without_row_count + with_deletion_vector == 0 { Some(rows) } else { None }
    }

    /// The bytes of all data files.
    #[must_use]
    pub const fn byte_count(&self) -> u64 {
        self.totals.bytes
    }

    /// How far the numbered producer `app_id` has come.
    #[must_use]
    pub fn txn(&self, app_id: &str) -> Option<i64> {
        self.txns.get(app_id).map(|txn| txn.version)
    }

    /// All numbered producers, in no order.
    pub fn txns(&self) -> impl Iterator<Item = (&str, i64)> {
        self.txns.values().map(|txn| (txn.app_id.as_str(), txn.version))
    }

    /// The newest load of a file, if it was loaded.
    #[must_use]
    pub fn loaded_file(&self, file: &str) -> Option<LoadedFile> {
        let prefix = LoadedFile::prefix(file);
        let entries = self.txns.range(prefix.clone()..);
        entries
            .take_while(|(app_id, _)| app_id.starts_with(&prefix))
            .filter_map(|(app_id, txn)| LoadedFile::of(app_id, txn.version))
            .max_by_key(|entry| entry.load)
    }

    /// All loads of files.
    pub fn loaded_files(&self) -> impl Iterator<Item = LoadedFile> {
        self.txns().filter_map(|(app_id, version)| LoadedFile::of(app_id, version))
    }

    /// What Delta knows the table by; two tables never share it.
    #[must_use]
    pub fn delta_id(&self) -> &str {
        &self.metadata.id
    }

    /// The commit that stands in the log and waits for its decision, by the version of its mark.
    #[must_use]
    pub const fn prepared(&self) -> Option<i64> {
        self.prepared
    }

    /// The newest prepared commit that is part of this version.
    #[must_use]
    pub const fn settled(&self) -> Option<i64> {
        self.settled
    }

    /// The definition, to be changed and committed again.
    #[must_use]
    pub fn spec(&self) -> TableSpec {
        TableSpec {
            schema: Arc::clone(&self.schema),
            partition_columns: self.partition_columns.to_vec(),
            constraints: self.constraints.as_ref().clone(),
            configuration: self.configuration.as_ref().clone(),
        }
    }

    /// What a reader inside an open transaction sees: this snapshot with files that it has written
    /// and without files that it has removed, none of it committed.
    #[must_use]
    pub fn with_staged(&self, adds: &[Add], removes: &[String]) -> Self {
        let mut staged = self.clone();
        for path in removes {
            staged.remove(Remove { path: path.clone(), ..Remove::default() });
        }
        for add in adds {
            staged.add(add.clone());
        }
        staged
    }

    /// As [`Self::with_staged`], for other columns and constraints.
    #[must_use]
    pub fn with_definition(&self, spec: &TableSpec) -> Self {
        let mut staged = self.clone();
        staged.schema = Arc::clone(&spec.schema);
        staged.partition_columns = spec.partition_columns.clone().into();
        staged.constraints = Arc::new(spec.constraints.clone());
        staged.configuration = Arc::new(spec.configuration.clone());
        staged
    }

    /// As [`Self::with_staged`], for files whose rows a transaction has loaded.
    #[must_use]
    pub fn with_loaded(&self, loaded: &[LoadedFile]) -> Self {
        let mut staged = self.clone();
        for entry in loaded {
            let (app_id, version) = (entry.app_id(), entry.load);
            let txn = Transaction { app_id: app_id.clone(), version, last_updated: None };
            staged.txns.insert(app_id, txn);
        }
        staged
    }

    /// Files that came since `base` and brought rows, as far as they are still there.
    pub(crate) fn rows_came_since(&self, base: &Self) -> bool {
        differences(&base.files, &self.files).any(|difference| match difference {
            Difference::Came(file) => file.add().data_change,
            Difference::Went(_) => false,
        })
    }

    /// Whether rows have to be read by delta-rs' scan: others hide rows by deletion vectors, or
    /// columns behind other names.
    pub(crate) fn needs_foreign_reader(&self) -> bool {
        let mapping = self.configuration.get("delta.columnMapping.mode");
        self.totals.with_deletion_vector > 0 || mapping.is_some_and(|mode| mode != "none")
    }

    pub(crate) const fn metadata(&self) -> &Arc<Metadata> {
        &self.metadata
    }

    pub(crate) const fn protocol(&self) -> &Arc<Protocol> {
        &self.protocol
    }
}

impl Totals {
    fn count(&mut self, file: &DataFile) {
        self.rows += file.row_count().unwrap_or(0);
        self.bytes += file.byte_count();
        self.without_row_count += usize::from(file.row_count().is_none());
        self.with_deletion_vector += usize::from(file.add().deletion_vector.is_some());
    }

    fn discount(&mut self, file: &DataFile) {
        self.rows -= file.row_count().unwrap_or(0);
        self.bytes -= file.byte_count();
        self.without_row_count -= usize::from(file.row_count().is_none());
        self.with_deletion_vector -= usize::from(file.add().deletion_vector.is_some());
    }
}

/// Where an entry names the commit before it, so that one that stands where others were cleaned up is
/// told apart.
const PREVIOUS: &str = "tarnPrevious";

/// The operation id of a log entry of ours.
pub(crate) fn operation_of(actions: &[Action]) -> Option<Uuid> {
    actions.iter().find_map(|action| match action {
        Action::CommitInfo(info) => operation_id(info),
        _ => None,
    })
}

fn operation_id(info: &CommitInfo) -> Option<Uuid> {
    info.operation_id.as_deref().and_then(|text| Uuid::parse_str(text).ok())
}
